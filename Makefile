# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

MAKEFLAGS += --no-print-directory
TOPOLOGY ?= onprem_active_standby
RUN := tests/run
# How many labs the tests run at a time. Two leave two processors idle for a fifth of the time.
LABS ?= 3
# Another ansible-core for this one command: make demo ANSIBLE=2.17
export ANSIBLE

.PHONY: help setup demo test fresh versions lint sanity units clean-lab bench-failover bench-gcp-route bench-gcp-lb bench-gcp-machines bench-alias bench-havip bench-nodes killed molecule release docs

help: ## Show this list
	@sed -n 's/^\([a-z-]*\):.*## /\1	/p' $(MAKEFILE_LIST) | expand -t 18

setup: ## Install what is missing: Debian packages (as root) and the Python tools (in the cache)
	@tests/setup

demo: ## Build a topology in the lab, break it in every way, show what clients lost [TOPOLOGY=onprem_active_standby FAULTS=a,b VERBOSE=1 ANSIBLE=2.17]
	@tests/demo $(TOPOLOGY) $(FAULTS)

fresh: ## Do what the README says on a new Debian root that has nothing but the base system [ROOT=bookworm, by default trixie, too]
	@tests/fresh $(ROOT)

test: ## Everything that CI runs [LABS=3]
	@tests/setup
	@# A new root waits for its downloads most of the time; the checks have the processors meanwhile.
	@$(MAKE) -j 2 fresh-bookworm checks
	@rm -f build/again
	@# They wait most of the time: for time-outs, and for each other.
	$(RUN) pytest -q -n 4 --dist worksteal $(PYTEST_ARGS) tests/contract
	@# They look for what a lab leaves anywhere on the machine, so they are alone on it.
	$(RUN) pytest -q -m alone $(PYTEST_ARGS) tests/system
	@# Some labs at a time. What takes longest comes first, and files of short tests last: a worker keeps up to three
	@# scopes that have one test, though another worker has nothing to do.
	$(RUN) pytest -q -n $(LABS) --dist loadscope --no-loadscope-reorder -m 'not alone' $(PYTEST_ARGS) \
	    $(addprefix tests/system/test_,onprem.py nodes.py gcp_machines.py molecule.py debian13.py gcp_lb.py extending.py \
	    gcp_route.py gcp_alias.py health_port.py gce_instances.py gce_lb_plane.py vpc.py lab.py cloudpods_lab.py \
	    fabric.py) tests/node
	@tests/again $(PYTEST_ARGS)

fresh-bookworm:
	@tests/fresh bookworm

# First what takes seconds. The others have time to spare: sanity installs its tools, and units wait for processes.
checks:
	@$(MAKE) lint
	@$(MAKE) -j 2 --output-sync=target sanity units

versions: ## Every ansible-core that the collection is for, every molecule scenario, and Debian 13 on all machines, which takes more than an hour
	@tests/versions

lint: ## The checks that take seconds
	@tests/lint

sanity: ## ansible-test sanity, with every Python that is installed
	@tests/ansible-test sanity

units: ## ansible-test units
	@tests/ansible-test units

molecule: ## One scenario of a role or a topology: SCENARIO=keepalived
	$(RUN) molecule test -s $(or $(SCENARIO),$(error say which: make molecule SCENARIO=keepalived))

bench-failover: ## Our defaults against the configuration most people start with
	$(RUN) python bench/failover.py

bench-gcp-route: ## What moves a route of a Google Cloud network: ours, gcloud, Debian's resource agent
	$(RUN) python bench/gcp_route.py $(BENCH_ARGS)

bench-gcp-lb: ## What clients lose behind a load balancer of Google Cloud: ours, Google's timers and sample, Debian's agent
	$(RUN) python bench/gcp_lb.py $(BENCH_ARGS)

bench-gcp-machines: ## What clients lose when Google makes a node anew: ours, static routes
	$(RUN) python bench/gcp_machines.py $(BENCH_ARGS)

bench-alias: ## What moves alias ranges of Google Cloud, and what many of them cost: ours, gcloud, Debian's agent
	$(RUN) python bench/alias_ip.py $(BENCH_ARGS)

bench-nodes: ## Nodes come and go in groups of two, three and five
	$(RUN) python bench/nodes.py $(BENCH_ARGS)

bench-havip: ## Who binds virtual IPs of OpenStack while others do: ours, openstack.cloud
	BENCH=yes $(RUN) python bench/havip.py $(BENCH_ARGS)

killed: ## A first deployment is killed at each of its tasks, which takes hours [MINUTES=20 does the first ones]
	$(RUN) python bench/killed.py $(MINUTES)

docs: ## The documentation as HTML, in build/docs
	@tests/docs

release: ## Build the release of the last commit and check it as Galaxy does; publishes nothing
	@tests/release

clean-lab: ## Remove every lab of this machine, one that runs too, and what a killed one left behind
	$(RUN) python -m lab clean

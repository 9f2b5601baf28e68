# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The modules for load balancers in front of the lab's API of Compute Engine."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import functools
import importlib
import io
import json
import os
import re

import pytest
from ansible.module_utils.testing import patch_module_args
from busy import until

from ansible_collections.cloudha.vip.tests.contract import forked
from ansible_collections.cloudha.vip.tests.contract.proxy import Proxy
from ansible_collections.cloudha.vip.tests.contract.test_gcp_modules import PROJECT, ROOT, Module, token_without
from lab import topology
from lab.gce.server import MemoryPlane, local
from lab.gce.world import Instance, Network, Principal, Subnetwork

NAME, REGION, ADDRESS = "web", "us-central1", "10.100.9.1"
NODE1 = f"projects/{PROJECT}/zones/{REGION}-a/instances/node1"
NODE2 = f"projects/{PROJECT}/zones/{REGION}-b/instances/node2"
GROUPS = [
    {"name": "web-a", "zone": f"{REGION}-a", "instances": ["node1"]},
    {"name": "web-b", "zone": f"{REGION}-b", "instances": ["node2"], "failover": True},
]
WHOLE = {"subnetwork": "ip-failover-subnet", "address": ADDRESS, "groups": GROUPS}
EXTERNAL = {"scheme": "external", "subnetwork": None, "address": None, "network": "ip-failover"}
# What docs/gcp.md says that a controller needs.
LEAST = frozenset(
    re.findall(
        r"^  - (compute\.\w+\.\w+)$",
        (ROOT / "docs/gcp.md").read_text().partition("Load balancers, controller")[2].partition("```")[0],
        re.M,
    )
)
KINDS = ("addresses", "firewalls", "forwardingRules", "healthChecks", "instanceGroups", "backendServices")
_TOKEN = "lab-controller-token"


def world():
    """That of the lab, and what may be wrong in one."""
    lab = topology.get("gcp_route_heartbeat").world
    elsewhere = Instance("elsewhere", f"{REGION}-a", "other", "other-subnet", "10.101.4.3")
    spare = Instance("spare", f"{REGION}-a", "ip-failover", "ip-failover-subnet", "10.100.4.4")
    return dataclasses.replace(
        lab,
        networks=(*lab.networks, Network("other")),
        subnetworks=(
            *lab.subnetworks,
            Subnetwork("more-subnet", "ip-failover", REGION, "10.102.0.0/16"),
            Subnetwork("other-subnet", "other", REGION, "10.101.0.0/16"),
        ),
        instances=(*lab.instances, elsewhere, spare),
        principals=(
            *lab.principals,
            Principal("least", ("least-token",), LEAST),
            *(Principal(f"all but {each}", (token_without(each),), LEAST - {each}) for each in LEAST),
            Principal("nobody", ("nobody-token",), frozenset()),
        ),
    )


def run_here(module, arguments):
    """What a module says, which runs in this process."""
    main = importlib.import_module(forked.MODULES + module).main
    said = io.StringIO()
    given = patch_module_args(copy.deepcopy(arguments))
    with given, contextlib.redirect_stdout(said), pytest.raises(SystemExit) as ended:
        main()
    result = json.loads(said.getvalue())
    assert bool(result.get("failed")) == bool(ended.value.code)
    assert arguments["access_token"] not in said.getvalue()
    return result


class Site:
    """The API, and the modules in front of it: in this process, or as processes of their own.

    A new one for each test would take longer than the test: forget() and made() bring a known state back.
    """

    def __init__(self, api):
        self.api = api
        self._empty = self._saved()
        self._usual = api.admin("GET", "/behaviour")

    @functools.cached_property
    def proxy(self):
        """Sees the requests of whoever is started, or given its `endpoint`."""
        return Proxy(("127.0.0.1", int(self.api.root.rpartition(":")[2])))

    @property
    def endpoint(self):
        """That of the proxy."""
        return f"{self.proxy.url}/compute/v1"

    def start(self, module="gcp_passthrough_lb", **options):
        """A process of its own, behind the proxy."""
        return Module(module, self.endpoint, **self._options(options))

    def run(self, module="gcp_passthrough_lb", **options):
        """What the module says, which runs in this process; that takes a tenth of the time."""
        arguments = {"auth_kind": "accesstoken", "access_token": _TOKEN, "endpoint": self.api.endpoint}
        arguments = {key: value for key, value in {**arguments, **self._options(options)}.items() if value is not None}
        return run_here(module, arguments)

    def info(self, **options):
        return self.run("gcp_passthrough_lb_info", **options)

    def behave(self, **told):
        self.api.admin("PATCH", "/behaviour", told)

    def mutations(self):
        return [(entry["method"], entry["path"], entry["status"]) for entry in self.api.requests if entry["mutation"]]

    def there(self):
        """What there is, by kind: names and what was asked for; nothing that the API makes up anew each time."""
        made_up = ("id", "fingerprint", "labelFingerprint", "creationTimestamp", "selfLinkWithId")
        return {
            kind: sorted(
                (
                    {key: value for key, value in each.items() if key not in made_up}
                    for each in self.api.cloud.balancers.kinds[kind].all()
                ),
                key=lambda each: each["selfLink"],
            )
            for kind in KINDS
        }

    def services(self):
        """As the network sees it."""
        return self.api.cloud.balancers.services()

    def probed(self, **health):
        """What the network's probes found: node1="HEALTHY"."""
        for service in self.services():
            for node, state in health.items():
                self.api.cloud.balancers.health[service.name, node] = state

    def forget(self):
        """There is nothing but what the world begins with, and nobody has asked for anything."""
        self._restore(self._empty)

    def made(self):
        """The load balancer is there, as a run with WHOLE makes it, and nobody has asked for anything."""
        self._restore(self._made)

    def remake(self):
        """Somebody has written into what is there, which nobody else does: make it anew next time."""
        vars(self).pop("_made", None)

    @functools.cached_property
    def _made(self):
        self.forget()
        result = self.run(**WHOLE)
        assert result["changed"] and not result.get("failed"), result
        return self._saved()

    def _saved(self):
        """No resource is ever changed: another one takes its place."""
        return {path: dict(each) for path, each in self.api.cloud.balancers.addresses.scopes.items()}

    def _restore(self, saved):
        if "proxy" in vars(self):
            self.proxy.hook = lambda *_: None
            self.proxy.requests.clear()
        self.behave(**self._usual)
        until(lambda: not self.api.admin("GET", "/state")["operations"])  # of a module that was killed
        with self.api.cloud.lock:
            for path, each in self.api.cloud.balancers.addresses.scopes.items():
                assert not each.coming and not each.going, path
                each.clear()
                each.update(saved.get(path, {}))
            self.api.cloud.balancers.health.clear()
        self.api.requests.clear()

    @staticmethod
    def _options(options):
        return {"project": PROJECT, "name": NAME, "region": REGION, "timeout": 300, **options}

    def close(self):
        if "proxy" in vars(self):
            self.proxy.close()


@contextlib.contextmanager
def a_site(**changes):
    """One as long as the block lasts; changes: to its world."""
    with local(dataclasses.replace(world(), **changes), MemoryPlane()) as api:
        site = Site(api)
        try:
            yield site
        finally:
            site.close()


@pytest.fixture(scope="module")
def one_site():
    with pytest.MonkeyPatch.context() as patch:
        for name in [each for each in os.environ if each.startswith("GCP_")]:
            patch.delenv(name)
        with a_site() as site:
            yield site


@pytest.fixture
def site(one_site):
    """With nothing there."""
    one_site.forget()
    yield one_site
    assert one_site.api.violations == []


@pytest.fixture
def made(site):
    """With the load balancer there."""
    site.made()
    return site

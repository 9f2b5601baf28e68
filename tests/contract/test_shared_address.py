# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The verbs where all nodes serve an address at once, by the real Ansible: nodes behind a balancer made for this."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from balanced import Balancer, add_mechanism
from busy import until
from extended import extended
from releases import ALL

NODES = ["node1", "node2", "node3"]


def left_out(test: Callable[[Site], None]) -> Callable[[Site], None]:
    """CI leaves it to make versions, as test_gcp_lb asks the same of real machines."""
    only = pytest.mark.skipif(not ALL, reason="make versions runs this; test_gcp_lb asks the same of real machines")
    return pytest.mark.left_out(only(test))


# On a busy machine an answer may be late; a broken node cuts connections at once.
PATIENT = {"drill_interval_ms": 20, "drill_timeout_ms": 2000, "drill_lossless_ms": 4000, "drill_rto_ms": 5000}
ENVIRONMENT = {"ANSIBLE_NOCOLOR": "1", "ANSIBLE_PIPELINING": "1", "COLUMNS": "1000"}
# Units are directories, with the process that they run.
SYSTEMD_RUN = """#!/bin/sh
while :; do case $1 in
    --unit=*) unit=$NODE/units/${1#*=} ;;
    --description=*) name=${1#*=} ;;
    --setenv=*) environment=${1#*=} ;;
    --*) ;;
    *) break ;;
esac; shift; done
mkdir "$unit"
echo "${name:-}" > "$unit/name"
echo "${environment:-}" > "$unit/environment"
env ${environment:-} setsid "$@" </dev/null >/dev/null 2>&1 &
echo $! > "$unit/pid"
"""
SYSTEMCTL = """#!/bin/sh
for unit; do :; done
case $* in
    *is-active*) kill -0 "$(cat "$NODE/units/$unit/pid" 2>/dev/null)" 2>/dev/null || exit 3 ;;
    show*Description*) cat "$NODE/units/$unit/name" ;;
    show*Environment*) cat "$NODE/units/$unit/environment" ;;
    stop*)
        for each in $NODE/units/$unit; do
            pid=$(cat "$each/pid" 2>/dev/null) || continue
            while /bin/kill -TERM -- "-$pid" 2>/dev/null; do sleep 0.05; done
            rm -rf "$each"
        done ;;
    *) exit 1 ;;
esac
"""


class Site:
    def __init__(self, collection: Path, directory: Path) -> None:
        self.collection, self.directory = collection, directory
        self.balancer = Balancer(directory, NODES, slow_s=1.0)
        for host in (*NODES, "client1"):
            (directory / host / "units").mkdir(parents=True)
            for name, text in {"systemctl": SYSTEMCTL, "systemd-run": SYSTEMD_RUN}.items():
                self._script(host, name, text)
            path = f"export NODE={directory / host} PATH={directory / host}:$PATH"
            self._script(host, "python", f'#!/bin/sh\n{path}\nexec {sys.executable} "$@"\n')

    def _script(self, host: str, name: str, text: str) -> None:
        (self.directory / host / name).write_text(text)
        (self.directory / host / name).chmod(0o755)

    def play(self, book: str, *arguments: str, **variables: Any) -> subprocess.CompletedProcess[str]:
        """Run a playbook of the collection. Its output has no line ends: some releases of ansible-core break lines."""

        def hosts(names: list[str]) -> dict[str, Any]:
            return {name: {"ansible_python_interpreter": str(self.directory / name / "python")} for name in names}

        breaks = {"inject": f"touch {self.directory}/broken/NODE", "undo": f"rm -f {self.directory}/broken/NODE"}
        groups = {"vip_nodes": {"hosts": hosts(NODES)}, "vip_clients": {"hosts": hosts(["client1"])}}
        for node, its in groups["vip_nodes"]["hosts"].items():
            hook = {word: command.replace("NODE", node) for word, command in breaks.items()}
            its["drill_hooks"] = {"service_kill": hook}
        common = {
            "ansible_connection": "local",
            "ansible_become": False,
            "site": str(self.directory),
            "vip_address": "192.0.2.9/32",
            "vip_mechanism": "balanced",
            "drill_url": self.balancer.url,
            "keepalived_settle_timeout": 5,
        }
        (self.directory / "inventory.json").write_text(json.dumps({"all": {"children": groups, "vars": common}}))
        # What roles keep in directories of the machine.
        given = {
            "switchover_lock_dir": "{{ site }}/{{ switchover_lock_node }}/lock",
            "drill_node_dir": "{{ site }}/{{ inventory_hostname }}/drill",
            "drill_client_dir": "{{ site }}/client1/drill",
            **variables,
        }
        above = str(self.collection.parents[2])
        done = subprocess.run(
            [
                "ansible-playbook",
                f"--inventory={self.directory}/inventory.json",
                f"--extra-vars={json.dumps(given)}",
                *arguments,
                str(self.collection / "playbooks" / f"{book}.yml"),
            ],
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
            env={**os.environ, **ENVIRONMENT, "ANSIBLE_COLLECTIONS_PATH": above},
        )
        done.stdout = " ".join(done.stdout.split())
        return done

    def serving(self) -> list[str]:
        return (self.directory / "serving").read_text().split()

    def end(self) -> None:
        self.balancer.end()
        for file in self.directory.glob("*/units/*/pid"):
            os.killpg(int(file.read_text()), signal.SIGKILL)


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Path:
    copy = extended(tmp_path_factory.mktemp("collections"))
    add_mechanism(copy)
    return copy


@pytest.fixture
def site(collection: Path, tmp_path: Path) -> Iterator[Site]:
    this = Site(collection, tmp_path)
    yield this
    this.end()


def test_the_status_names_each_node_that_serves_and_those_that_are_missing(site: Site) -> None:
    done = site.play("status")
    assert done.returncode == 0 and "node1 and node2 and node3 serve 192.0.2.9/32" in done.stdout, done.stdout
    (site.directory / "out/node2").touch()
    until(lambda: site.serving() == ["node1", "node3"], 5)
    done = site.play("status")
    assert done.returncode != 0 and "192.0.2.9/32: no redundancy: node2: does not serve" in done.stdout, done.stdout
    done = site.play("status", status_redundancy=False)
    assert done.returncode == 0 and "node1 and node3 serve 192.0.2.9/32" in done.stdout, done.stdout


@left_out
def test_an_operator_takes_a_node_out_and_brings_it_back(site: Site) -> None:
    refused = site.play("switchover")
    assert refused.returncode != 0 and "set switchover_from to the one that is to stop" in refused.stdout
    done = site.play("switchover", "--check", switchover_from="node1")
    assert done.returncode == 0 and "192.0.2.9/32: would be served by node2 and node3" in done.stdout, done.stdout
    assert site.serving() == NODES
    done = site.play("switchover", switchover_from="node1")
    assert done.returncode == 0 and "192.0.2.9/32: served by node2 and node3" in done.stdout, done.stdout
    assert site.serving() == ["node2", "node3"]
    assert (site.directory / "out/node1").read_text() == "0", "it stays out"
    again = site.play("switchover", switchover_from="node1")
    assert again.returncode == 0 and "served by node2 and node3 already" in again.stdout, again.stdout
    done = site.play("switchover", switchover_from="node2", switchover_to="node1")
    assert done.returncode == 0 and "served by node1 and node3" in done.stdout, done.stdout
    assert site.play("switchover", switchover_from="node3").returncode == 0
    last = site.play("switchover", switchover_from="node1")
    assert last.returncode != 0 and "Nobody would serve without node1" in last.stdout, last.stdout
    assert site.serving() == ["node1"]
    unknown = site.play("switchover", switchover_from="node4")
    assert unknown.returncode != 0 and "switchover_from: node4 is not in the group vip_nodes" in unknown.stdout
    assert list(site.directory.glob("*/units/*")) == list(site.directory.glob("*/lock/*")) == [], "no lock is left"


@left_out
def test_a_drill_breaks_one_node_and_expects_the_others_to_serve(site: Site) -> None:
    done = site.play(
        "drill",
        drill_faults=["planned_switchover", "service_kill"],
        drill_report_dir=str(site.directory / "report"),
        **PATIENT,
    )
    assert done.returncode == 0, done.stdout[-5000:]
    drain, kill = json.loads((site.directory / "report/report.json").read_text())["faults"]
    for fault in (drain, kill):
        assert fault["target"] == "node1"
        assert [(entry["when"], entry["holders"]) for entry in fault["audit"]] == [
            ("before", NODES),
            ("during", ["node2", "node3"]),
            ("after", NODES),
        ]
        assert fault["failback_ms"] is not None and set(fault["served"]) >= {"node2", "node3"}
    assert drain["reason"].startswith("No client lost a request.") and drain["objective_ms"] == 4000
    # The balancer notices after a second. Only each third request is lost till then, so the first and last one may lie
    # well within.
    assert 400 < kill["gap_ms"] < 5000 and kill["requests_lost"] > 5 and 0.15 < kill["share"] < 0.55
    assert site.serving() == NODES and list((site.directory / "out").iterdir()) == []


def test_a_drill_that_fails_brings_the_drained_node_back(site: Site) -> None:
    """The others break as soon as it has gone."""
    away = site.directory / "out/node1"
    others = [site.directory / "broken" / node for node in NODES[1:]]

    def breaks() -> None:
        until(away.exists, 200)
        for each in others:
            each.touch()
        until(lambda: not away.exists(), 200)
        for each in others:
            each.unlink()

    with ThreadPoolExecutor() as pool:
        broken = pool.submit(breaks)
        directory = site.directory / "report"
        its = {"drill_recover_s": 10, "switchover_timeout": 10, "drill_report_dir": str(directory), **PATIENT}
        done = site.play("drill", drill_faults=["planned_switchover"], **its)
        broken.result()
    assert done.returncode != 0 and (directory / "report.json").exists(), done.stdout[-5000:]
    (fault,) = json.loads((directory / "report.json").read_text())["faults"]
    assert fault["rolled_back"] and fault["reason"].startswith("The drill did not go as planned"), fault["reason"]
    assert site.serving() == NODES and list((site.directory / "out").iterdir()) == []


def test_a_drill_does_not_begin_while_a_node_is_missing(site: Site) -> None:
    (site.directory / "out/node2").touch()
    until(lambda: site.serving() == ["node1", "node3"], 5)
    done = site.play("drill", drill_faults=["service_kill"])
    assert done.returncode != 0 and "node2: does not serve" in done.stdout, done.stdout[-3000:]
    assert list((site.directory / "broken").iterdir()) == []


def test_a_deployment_ends_well_if_clients_are_served_and_says_by_whom(site: Site) -> None:
    whole = site.play("plays/served", topology="onprem_active_standby")
    assert whole.returncode == 0 and "node1 and node2 and node3 serve the address: client1 asked" in whole.stdout
    (site.directory / "out/node2").touch()
    until(lambda: site.serving() == ["node1", "node3"], 5)
    fewer = site.play("plays/served", topology="onprem_active_standby")
    assert fewer.returncode == 0 and "node1 and node3 serve the address without node2: client1 asked" in fewer.stdout
    for node in ("node1", "node3"):
        (site.directory / "out" / node).touch()
    until(lambda: site.serving() == [], 5)
    nobody = site.play("plays/served", topology="onprem_active_standby")
    assert nobody.returncode != 0 and "the address is served by no node" in nobody.stdout, nobody.stdout[-3000:]

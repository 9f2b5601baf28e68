# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The pair in a VPC on real machines and the lab's API: deployed, changed, misconfigured, drilled, taken away."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator

import pytest
from busy import passed, short_enough, until
from logs import kept
from pair import ROOT, Pair, changes

from lab.lab import Lab

NODES = ("node1", "node2")
VIP, ROUTE = "10.200.1.1", "floating-ip-route"
LATENCY_S = 0.2
# Where the API or the agent come in by a way of their own; test_gcp_alias has more. The demo takes all faults.
FAULTS = (
    "planned_switchover",
    "node_hang",
    "partition_peers",
    "api_slow",
    "api_refuse",
    "zone_outage",
    "token_expired",
    "agent_kill",
)
# The first deployment has these, and the second one the usual ones.
OPTIONS: dict[str, object] = {
    "gcp_route_priority": 900,
    "keepalived_detection_ms": 700,
    "local_address_python": "/bin/python3",
    "nginx_page": "first\n",
}
PATHS = (
    "/etc/keepalived/keepalived.conf",
    "/etc/vip-agent",
    "/usr/local/lib/vip-agent",
    "/usr/local/lib/cloudha-vip-address",
    "/run/cloudha-vip",
)


class RoutePair(Pair):
    """Where the route leads to the holder."""

    def routes(self) -> dict[str, tuple[str, int]]:
        """Of each route to the address: the machine that it leads to, and its priority."""
        routes = [each for each in self.lab.api.state()["routes"] if each["destRange"] == f"{VIP}/32"]
        return {each["name"]: (each["nextHopInstance"].rpartition("/")[2], each["priority"]) for each in routes}

    def holder(self, priority: int = 1000) -> str:
        """Where the only route leads; an error if it is not the only one, or not as it should be."""
        ((name, (machine, its)),) = self.routes().items()
        assert (name, its) == (ROUTE, priority)
        return machine


@pytest.fixture(scope="module")
def pair(lab_name: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[RoutePair]:
    with kept(Lab(lab_name("gcp"))) as lab:
        lab.up("gcp_route_heartbeat")
        lab.api.behave(latency_s=LATENCY_S)
        this = RoutePair(lab, tmp_path_factory.mktemp("pair"), "gcp_route_heartbeat", VIP)
        # A dry run on fresh nodes passes, and leaves them and the project fresh.
        this.deploy("--check")
        for node in NODES:
            assert this.ssh(node, f"ls -d {' '.join(PATHS)} 2>/dev/null || true") == ""
        assert this.routes() == {}
        this.deploy(**OPTIONS)
        yield this


def test_the_route_leads_to_the_first_node_and_both_have_the_address(pair: RoutePair) -> None:
    assert pair.holder(900) == "node1"
    for node in NODES:
        assert f"{VIP}/32" in pair.ssh(node, "ip -oneline address show lo")
        assert pair.ssh(node, "head -1 /usr/local/lib/cloudha-vip-address/keep") == "#!/bin/python3 -sE\n"
    with pair.client() as seen:
        pass
    assert seen.answered_by == {"node1"}
    assert pair.play("status", **OPTIONS).returncode == 0


def test_changed_options_reach_a_running_pair_and_clients_lose_nothing(pair: RoutePair) -> None:
    before = pair.holder(900)
    with pair.client() as seen:
        # Without a priority a route that is there keeps its own.
        pair.deploy(gcp_route_priority=1000)
    assert pair.holder() == before, "the address stays where it is"
    assert seen.answered_by == {before} and seen.lost == 0


def test_a_switchover_and_back_loses_no_request_but_those_under_way(pair: RoutePair) -> None:
    before = pair.holder()
    for words in ({}, {"switchover_to": before}):
        with pair.client() as seen:
            done = pair.play("switchover", **words)
            assert done.returncode == 0, done.stdout[-3000:]
        assert seen.answered_by == set(NODES) and seen.lost == seen.in_flight
        assert (pair.holder() == before) == bool(words)


def test_a_route_that_was_deleted_by_hand_comes_back_and_stopped_agents_start(pair: RoutePair) -> None:
    before = pair.holder()
    agents = "vip-agent-watch vip-agent"
    for node in NODES:
        pair.ssh(node, f"systemctl stop {agents}")  # which would repair it
    code = (
        "import urllib.request as u; r = u.Request('http://199.36.153.8/compute/v1/projects/lab-project/global/routes/"
        f"{ROUTE}', method='DELETE', headers={{'Authorization': 'Bearer lab-controller-token'}}); u.urlopen(r).read()"
    )
    pair.ssh("client1", f'python3 -c "{code}"')
    until(lambda: not pair.routes(), 20)
    # The route first: the agents would repair it.
    options = {"topology": pair.topology, "topology_shared": "gcp", "gcp_route_priority": 1000}
    done = pair.play(f"{ROOT}/tests/system/part.yml", parts=["gcp_route", "vip_agent"], **options)
    assert done.returncode == 0, done.stdout[-3000:]
    assert changes(done.stdout) == {"node1": 2, "node2": 1}, "the route, and the agents of each node"
    assert pair.holder() == before
    for node in NODES:
        assert pair.ssh(node, f"systemctl is-active {agents}").split() == ["active", "active"]


# What needs no API to be refused is in tests/contract/test_refused.py.
def test_a_token_that_the_api_refuses_stops_a_run_before_anything_changes(pair: RoutePair) -> None:
    look = "sha256sum /etc/keepalived/keepalived.conf /etc/vip-agent/config.json; systemctl show -p MainPID keepalived"
    before = [pair.ssh(node, look) for node in NODES], pair.routes()
    done = pair.play("gcp_route_heartbeat", gcp_access_token="guessed")
    assert done.returncode != 0, "this must be refused"
    assert "401" in done.stdout, done.stdout[-3000:]
    assert set(changes(done.stdout).values()) == {0}, done.stdout[-3000:]
    assert ([pair.ssh(node, look) for node in NODES], pair.routes()) == before


def test_faults(pair: RoutePair) -> None:
    report_dir = pair.scratch / "drill"
    # Without a way back, faults hit both nodes.
    done = pair.play(
        "drill",
        drill_faults=FAULTS,
        # A busy machine is slow; how fast the pair is, is measured elsewhere. The objective is both and 300 ms.
        drill_detection_ms=3000,
        drill_operation_ms=1700,
        drill_api_slow_ms=6100,
        drill_api_refuse_ms=13200,
        drill_lossless_ms=1000,
        drill_failback=False,
        drill_report_dir=str(report_dir),
    )
    print(done.stdout[-3000:])
    report = json.loads((report_dir / "report.json").read_text())
    faults = {each["fault"]: each for each in report["faults"]}
    assert set(faults) == set(FAULTS)
    passed(report)
    assert done.returncode == 0
    # With a token that expired, the node's power is lost as well.
    expected = {"node_hang": 5000, "api_slow": 11100, "api_refuse": 18200, "token_expired": 5000}
    assert {name: faults[name]["objective_ms"] for name in expected} == expected
    planned = faults["planned_switchover"]
    assert planned["requests_lost"] == planned["requests_in_flight"], planned["errors"]
    assert pair.holder() in NODES
    assert pair.play("status").returncode == 0


def test_an_address_that_cannot_be_added_at_once_comes_a_little_later(pair: RoutePair) -> None:
    """At boot systemd may not be able to make the sandbox of the service yet; so may anything else fail once."""
    standby = next(node for node in NODES if node != pair.holder())
    drop_in = "/run/systemd/system/cloudha-vip-address@.service.d"
    once = "ExecStartPre=+/bin/sh -c '[ -e /run/test-once ] || { touch /run/test-once; exit 1; }'"
    pair.ssh(
        standby,
        f"mkdir -p {drop_in}; printf '%s\\n' '[Service]' \"{once}\" > {drop_in}/once.conf; systemctl daemon-reload",
    )
    try:
        unit = f"cloudha-vip-address@{VIP}.service"
        pair.ssh(standby, f"systemctl stop {unit}; systemctl start {unit} || :; test -e /run/test-once")
        pair.until(standby, f"ip -oneline address show lo | grep -q {VIP}/32", 20)
    finally:
        pair.ssh(standby, f"rm -rf {drop_in} /run/test-once; systemctl daemon-reload")
    pair.until_well()


def test_an_address_that_somebody_removes_is_back_at_once_and_stays_away_once_its_service_is_stopped(
    pair: RoutePair,
) -> None:
    holder = pair.holder()
    standby = next(node for node in NODES if node != holder)
    there = f"ip -oneline address show lo | grep -q {VIP}/32 && ip route show table local {VIP} | grep -q 'proto 112'"
    # As one program, so that the keeper does not put back one of them before the other is gone.
    both = f"address delete {VIP}/32 dev lo\\nroute delete local {VIP} dev lo table local proto 112\\n"
    away = f"printf '{both}' | ip -batch -"
    unit, keeper = f"cloudha-vip-address@{VIP}", f"cloudha-vip-address-keeper@{VIP}"
    # As Google's guest agent has one for an address of a forwarding rule.
    guests = f"local {VIP} dev eth0 table local proto 66 scope host metric 7"
    pair.ssh(standby, f"{there} && ip route add {guests}")
    kept_alone = f"ip route show table local proto 66 | grep -q {VIP} && ip route delete {guests}"
    pair.ssh(standby, f"{away}; sleep 0.5; {there} && {kept_alone}")
    with pair.client() as seen:
        pair.ssh(holder, f"for i in $(seq 5); do {there} && {away} || exit 1; sleep 0.3; done")
    # Together or one after the other: the keeper may be quicker than the two commands.
    said = pair.ssh(holder, f"journalctl --unit {keeper}")
    assert f"{VIP}: put back the address on lo" in said
    assert re.search(rf"{VIP}: put back (the address on lo and )?its route", said), said
    short_enough(seen.gap_ms, 100, seen.waited_ms)
    assert pair.holder() == holder
    pair.ssh(standby, f"systemctl kill --signal=KILL {keeper}; {there}")
    pair.until(standby, f"systemctl is-active {keeper}", 10)
    try:
        pair.ssh(standby, f"systemctl stop {unit}; sleep 0.5; ! ip -oneline address show lo | grep {VIP}/32")
        left = pair.ssh(standby, f"ip route show table local {VIP}; systemctl is-active {keeper} || :")
        assert left.split() == ["inactive"]
    finally:
        pair.ssh(standby, f"systemctl start {unit}")
    pair.until(standby, f"{there} && systemctl is-active {keeper}", 10)
    pair.until_well()


def test_a_killed_drill_heals_by_itself(pair: RoutePair) -> None:
    target = pair.holder()
    with pair.killed_drill("api_refuse"):
        pair.until_state("off")
    pair.lab.wait_for_ssh([target], timeout=30)
    until(lambda: not pair.lab.api.behaviour()["faults"])
    for machine in (*NODES, "client1"):
        pair.ssh(machine, "systemctl stop cloudha-vip-drill 'cloudha-vip-drill-prober*' 2>/dev/null; true")
    pair.until_well(40)
    with pair.client():
        pass


def test_teardown_takes_everything_away(pair: RoutePair) -> None:
    done = pair.play("teardown")
    assert done.returncode == 0, done.stdout[-3000:]
    assert pair.routes() == {}
    for node in NODES:
        assert VIP not in pair.ssh(node, "ip -oneline address")
        assert pair.ssh(node, f"ls -d {' '.join(PATHS)} 2>/dev/null || true") == ""
    assert changes(pair.play("teardown").stdout) == {"node1": 0, "node2": 0}

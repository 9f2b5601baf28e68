# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An alias IP range and three nodes that may have it, on real machines and the lab's API."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest
from busy import passed, until
from logs import kept
from pair import ROOT, Pair, changes

from lab.lab import Lab

NODES = ("node1", "node2", "node3")
VIP, RANGE = "10.10.0.5", "10.10.0.5/32"
STRANGER = "10.10.0.77/32"
# Where VRRP or the API come in by a way of their own; test_gcp_route has more. The demo takes all faults.
FAULTS = (
    "planned_switchover",
    "keepalived_kill",
    "service_hang",
    "api_refuse",
    "zone_outage",
    "token_expired",
    "agent_kill",
    "partition_peers",
)


class AliasNodes(Pair):
    """Where the range is on the holder."""

    def ranges(self) -> dict[str, list[str]]:
        """Of each range: the instances that have it."""
        where: dict[str, list[str]] = {}
        for each in self.lab.api.state()["instances"]:
            for alias in each["networkInterfaces"][0].get("aliasIpRanges", ()):
                where.setdefault(alias["ipCidrRange"], []).append(each["name"])
        return where

    def holder(self) -> str:
        (machine,) = self.ranges()[RANGE]
        return machine

    def api(self, method: str, path: str, **body: object) -> None:
        """What somebody else does with the API, from client1."""
        code = (
            "import json, urllib.request as u; "
            f"u.urlopen(u.Request('http://199.36.153.8/compute/v1/projects/lab-project/{path}', "
            f"json.dumps({body!r}).encode(), {{'Authorization': 'Bearer lab-controller-token', "
            f"'Content-Type': 'application/json'}}, method='{method}')).read()"
        )
        self.ssh("client1", f'python3 -c "{code}"')

    def give(self, machine: str, *ranges: str) -> None:
        """Make the alias ranges of a machine these, as somebody else would."""
        interface = self.interface(machine)
        zone = interface["zone"]
        self.api(
            "PATCH",
            f"zones/{zone}/instances/{machine}/updateNetworkInterface?networkInterface=nic0",
            fingerprint=interface["fingerprint"],
            aliasIpRanges=[{"ipCidrRange": each, "subnetworkRangeName": "range1"} for each in ranges],
        )
        until(lambda: sorted(each for each, has in self.ranges().items() if machine in has) == sorted(ranges), 20)

    def interface(self, machine: str) -> dict[str, str]:
        instance = next(each for each in self.lab.api.state()["instances"] if each["name"] == machine)
        return {
            "zone": instance["zone"].rpartition("/")[2],
            "fingerprint": instance["networkInterfaces"][0]["fingerprint"],
        }


@pytest.fixture(scope="module")
def nodes(lab_name: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[AliasNodes]:
    with kept(Lab(lab_name("alias"))) as lab:
        lab.up("gcp_alias_ip")
        lab.api.behave(latency_s=0.2)
        this = AliasNodes(lab, tmp_path_factory.mktemp("nodes"), "gcp_alias_ip", VIP)
        this.give("node2", STRANGER)
        this.deploy("--check")
        assert RANGE not in this.ranges()
        this.deploy()
        yield this


def test_the_range_is_on_the_first_node_and_each_has_the_address(nodes: AliasNodes) -> None:
    assert nodes.holder() == "node1"
    for node in NODES:
        assert RANGE in nodes.ssh(node, "ip -oneline address show lo")
    with nodes.client() as seen:
        pass
    assert seen.answered_by == {"node1"}
    assert nodes.play("status").returncode == 0


def test_only_the_holder_may_send_from_the_range(nodes: AliasNodes) -> None:
    holder = nodes.holder()
    network, allowed = "global/networks/ip-failover", [{"IPProtocol": "udp", "ports": ["9999"]}]
    nodes.api("POST", "global/firewalls", name="ear", network=network, allowed=allowed, sourceRanges=["10.0.0.0/8"])
    until(lambda: "ear" in [each["name"] for each in nodes.lab.api.state()["firewalls"]], 20)
    ear = "import socket as s; e = s.socket(2, 2); e.bind(('', 9999)); open('/run/ear', 'wb').write(e.recv(99))"
    nodes.ssh("client1", f'systemd-run --quiet --collect --unit=ear --property=RuntimeMaxSec=60 python3 -c "{ear}"')
    nodes.until("client1", "ss -Hlun sport = 9999 | grep -q 9999", 10)
    # The others first: what passes first is what the client hears.
    for node in (*(each for each in NODES if each != holder), holder):
        say = (
            f"import socket as s; m = s.socket(2, 2); m.bind(('{VIP}', 0)); m.sendto(b'{node}', ('10.100.3.10', 9999))"
        )
        nodes.ssh(node, f'python3 -c "{say}"')
    nodes.until("client1", "[ -s /run/ear ]", 10)
    assert nodes.ssh("client1", "cat /run/ear") == holder


def test_a_range_that_somebody_removed_comes_back_and_stopped_agents_start(nodes: AliasNodes) -> None:
    before = nodes.holder()
    agents = "vip-agent-watch vip-agent"
    for node in NODES:
        nodes.ssh(node, f"systemctl stop {agents}")  # which would repair it
    nodes.give(before)
    assert RANGE not in nodes.ranges()
    # The range first: the agents would repair it.
    parts = ["gcp_alias_ip", "vip_agent"]
    done = nodes.play(f"{ROOT}/tests/system/part.yml", topology=nodes.topology, topology_shared="gcp", parts=parts)
    assert done.returncode == 0, done.stdout[-3000:]
    assert changes(done.stdout) == {"node1": 2, "node2": 1, "node3": 1}, "the range, and the agents of each node"
    assert nodes.holder() == before
    for node in NODES:
        assert nodes.ssh(node, f"systemctl is-active {agents}").split() == ["active", "active"]


# Each as the API tells it; what needs no API to be refused is in tests/contract/test_refused.py.
def test_a_range_outside_of_the_subnet_is_refused_before_anything_changes(nodes: AliasNodes) -> None:
    look = "sha256sum /etc/keepalived/keepalived.conf /etc/vip-agent/config.json; systemctl show -p MainPID keepalived"
    before = [nodes.ssh(node, look) for node in NODES], nodes.ranges()
    done = nodes.play("gcp_alias_ip", vip_address="10.99.0.5/32")
    assert done.returncode != 0, "this must be refused"
    assert "10.99.0.5/32 is outside" in done.stdout, done.stdout[-3000:]
    assert set(changes(done.stdout).values()) == {0}, done.stdout[-3000:]
    assert ([nodes.ssh(node, look) for node in NODES], nodes.ranges()) == before


def test_a_range_of_a_stranger_is_not_taken(nodes: AliasNodes) -> None:
    nodes.give("client1", "10.10.0.88/32")
    done = nodes.play("gcp_alias_ip", vip_address="10.10.0.88/32")
    assert done.returncode != 0 and "instances/client1, which is no node" in done.stdout, done.stdout[-3000:]
    assert set(changes(done.stdout).values()) == {0}
    assert nodes.ranges()["10.10.0.88/32"] == ["client1"]
    nodes.give("client1")


def test_faults(nodes: AliasNodes) -> None:
    report_dir = nodes.scratch / "drill"
    # Without a way back, faults hit other nodes, too.
    done = nodes.play(
        "drill",
        drill_faults=FAULTS,
        # A busy machine is slow; how fast the nodes are, is measured elsewhere.
        drill_rto_ms=5000,
        drill_lossless_ms=1000,
        drill_zone_outage_ms=13300,
        drill_failback=False,
        drill_report_dir=str(report_dir),
    )
    print(done.stdout[-3000:])
    report = json.loads((report_dir / "report.json").read_text())
    faults = {each["fault"]: each for each in report["faults"]}
    passed(report)
    assert done.returncode == 0 and set(faults) == set(FAULTS)
    # With a token that expired, the node's power is lost as well.
    objectives = {name: faults[name]["objective_ms"] for name in ("zone_outage", "token_expired")}
    assert objectives == {"zone_outage": 18300, "token_expired": 5000}
    assert {each["split_brain_ms"] for each in faults.values()} == {0}
    assert nodes.holder() in NODES
    assert nodes.ranges()[STRANGER] == ["node2"], "what others have stays"
    assert nodes.play("status").returncode == 0


def test_a_killed_drill_heals_by_itself(nodes: AliasNodes) -> None:
    target = nodes.holder()
    with nodes.killed_drill("zone_outage"):
        nodes.until_state("off")
    nodes.lab.wait_for_ssh([target], timeout=40)
    assert nodes.lab.api.behaviour()["zone_outage"] == []
    for machine in (*NODES, "client1"):
        nodes.ssh(machine, "systemctl stop cloudha-vip-drill 'cloudha-vip-drill-prober*' 2>/dev/null; true")
    nodes.until_well()
    with nodes.client():
        pass

# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the lab's router is told of load balancers and firewall rules. What it does with it is in tests/node."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from busy import Watch, until

from ansible_collections.cloudha.vip.tests.contract.test_gce_emulator import PROJECT, Api
from lab import topology
from lab.gce import balance, firewall
from lab.gce.balance import Balancer
from lab.gce.balancers import Backend, Check, Failover, Rule, Service
from lab.gce.firewall import Filter
from lab.gce.memory import MemoryPlane
from lab.gce.probes import PROBERS, Verdict
from lab.gce.resources import Resource
from lab.gce.server import Local, local
from lab.places import Place

RULE = Rule("web", "10.100.3.1", "TCP", (80,), False, "us-central1")
CHECK = Check("HTTP", 80, "/", "", "", 1, 1, 2, 2)
WEB = Service(
    name="web",
    region="us-central1",
    scheme="INTERNAL",
    network="ip-failover",
    rules=(RULE,),
    backends=(Backend("node1", "group"), Backend("node2", "group")),
    health_check=CHECK,
)


def named(*names: str) -> tuple[Backend, ...]:
    """Primary backends, and others, whose names begin with a b."""
    return tuple(Backend(each, "group", each.startswith("b")) for each in names)


# --- the active pool


@pytest.mark.parametrize(
    ("backends", "policy", "healthy", "served"),
    [
        ("p1 p2", None, "p1 p2", "p1 p2"),
        ("p1 p2", None, "p2", "p2"),
        ("p1 p2", None, "", "p1 p2"),
        ("p1 b1", None, "p1 b1", "p1"),
        ("p1 b1", None, "b1", "b1"),
        ("p1 p2 b1 b2", Failover(), "p2 b1", "p2"),
        ("p1 p2 b1 b2", Failover(), "b2", "b2"),
        ("p1 p2 b1 b2", Failover(), "", "p1 p2"),
        ("p1 p2 b1 b2", Failover(drop=True), "", ""),
        ("p1 p2 b1 b2", Failover(0.5), "p1 b1", "p1"),
        ("p1 p2 b1 b2", Failover(0.51), "p1 b1", "b1"),
        ("p1 p2 b1 b2", Failover(1), "p1 b1 b2", "b1 b2"),
        ("p1 p2 b1 b2", Failover(1), "p1 p2 b1", "p1 p2"),
        ("p1 p2 b1 b2", Failover(1, drop=True), "p1", "p1"),
        ("", None, "", ""),
    ],
)
def test_who_gets_new_connections(backends: str, policy: Failover | None, healthy: str, served: str) -> None:
    service = replace(WEB, backends=named(*backends.split()), failover=policy)
    assert " ".join(balance.eligible(service, healthy.split())) == served


# --- the router's rules


CLIENT = {"client1": Place("10.100.3.10", "client1", 9, "")}


class Rules:
    """What a balancer makes of a service as its backends' health and the time go by."""

    def __init__(self) -> None:
        self.balancer = Balancer()
        self.places = {f"node{n}": Place(f"10.100.2.{n}", f"node{n}", n, "") for n in (1, 2, 3)}
        self.text = ""

    def look(self, *services: Service, healthy: str, now: float = 0) -> str:
        health = {(each.name, name): "HEALTHY" for each in services for name in healthy.split()}
        self.text = self.balancer.rules(services, health, {RULE: ("client1",)}, self.places | CLIENT, now)
        return self.text

    def kept(self) -> dict[str, int]:
        """Whose known connections stay, and how often each had lost all before."""
        marks = [int(each, 16) for each in re.findall("0x[0-9a-f]+", re.findall(r"ct mark { (.*?) }", self.text)[0])]
        names = {place.number: name for name, place in self.places.items()}
        return {names[mark & balance.NUMBER]: mark >> 8 for mark in marks}

    def chosen(self) -> Counter[str]:
        """How many hash values lead to whom."""
        names = {place.number: name for name, place in self.places.items()}
        marks = re.findall(r"\d+ : (0x[0-9a-f]+)", self.text)
        return Counter(names[int(mark, 16) & balance.NUMBER] for mark in marks)


def test_the_rules_stay_the_same_as_long_as_nothing_happens() -> None:
    rules = Rules()
    assert rules.look(WEB, healthy="node1 node2") == rules.look(WEB, healthy="node1 node2", now=9)
    assert rules.look(WEB, healthy="node1") != rules.look(WEB, healthy="node1 node2")
    nothing = ["flush chain ip balance prerouting", "flush set inet vpc answers"]
    assert rules.look(healthy="").splitlines() == nothing


def test_hash_values_are_shared_and_only_those_of_who_goes_lead_elsewhere() -> None:
    three = ("node1", "node2", "node3")
    whole = balance._spread(three)
    assert min(Counter(whole).values()) > len(whole) / 3 * 0.8
    for gone in three:
        left = balance._spread(tuple(each for each in three if each != gone))
        assert all(before in (after, gone) for before, after in zip(whole, left, strict=True))


def test_who_lost_connections_does_not_get_them_back() -> None:
    rules, service = Rules(), replace(WEB, persistence="NEVER_PERSIST")
    rules.look(service, healthy="node1 node2")
    assert rules.kept() == {"node1": 0, "node2": 0}
    rules.look(service, healthy="node2")
    assert rules.kept() == {"node2": 0} and set(rules.chosen()) == {"node2"}
    rules.look(service, healthy="node1 node2")
    assert rules.kept() == {"node1": 1, "node2": 0}
    rules.look(healthy="")
    rules.look(service, healthy="node1 node2")
    assert rules.kept() == {"node1": 2, "node2": 1}


def test_an_instance_that_is_gone_has_lost_its_connections_also_if_it_is_made_again() -> None:
    rules, service = Rules(), replace(WEB, drain_s=30)
    rules.look(service, healthy="node1 node2")
    gone = rules.places.pop("node1")
    rules.look(service, healthy="node1 node2")
    assert rules.kept() == {"node2": 0} and set(rules.chosen()) == {"node2"}
    assert "node1" not in rules.text
    rules.places["node1"] = replace(gone, number=4)
    rules.look(service, healthy="node1 node2")
    assert rules.kept() == {"node1": 0, "node2": 0}
    rules.places["node1"] = replace(gone, port="vm5", number=5)
    rules.places["other"] = replace(gone, port="other", number=4)
    rules.look(replace(service, backends=(*service.backends, Backend("other", "group"))), healthy="node1 node2 other")
    assert rules.kept() == {"node1": 0, "node2": 0, "other": 1}, "who has the number now has not what it led to before"
    assert '"vm5" . 10.100.3.1' in rules.text


def test_a_drain_lasts_as_long_as_it_should() -> None:
    rules, service = Rules(), replace(WEB, drain_s=30)
    rules.look(service, healthy="node1 node2", now=100)
    left = replace(service, backends=service.backends[1:])
    for now, kept in ((200, True), (229, True), (230, False), (231, False)):
        rules.look(left, healthy="node2", now=now)
        assert ("node1" in rules.kept()) == kept, now
        assert set(rules.chosen()) == {"node2"}
        assert ('"node1" . 10.100.3.1' in rules.text) == kept, "who is drained may still answer"


def test_a_failover_drains_for_ten_minutes() -> None:
    backends = (Backend("node1", "one"), Backend("node2", "two", True))
    rules, service = Rules(), replace(WEB, backends=backends, failover=Failover(), drain_s=1)
    rules.look(service, healthy="node2", now=0)
    for now, kept in ((10, True), (609, True), (610, False)):
        rules.look(service, healthy="node1 node2", now=now)
        assert ("node2" in rules.kept()) == kept, now
    rules.look(service, healthy="node2", now=700)
    rules.look(service, healthy="node1 node2", now=1000)
    assert rules.kept() == {"node1": 0, "node2": 1}, "the next ten minutes begin when it is active no more"


def test_sets_of_sessions_come_and_go_with_who_holds_them() -> None:
    rules, service = Rules(), replace(WEB, tracking="PER_SESSION", affinity="CLIENT_IP")
    name = "us-central1.web.node1.CLIENT_IP.600"
    assert f"add set ip balance {name} " in rules.look(service, healthy="node1 node2")
    assert "delete set" not in rules.text
    assert f"delete set ip balance {name}\n" in rules.look(service, healthy="node2")
    assert f"add set ip balance {name}" not in rules.text
    other = rules.look(replace(service, idle_s=60), healthy="node2")
    assert "add set ip balance us-central1.web.node2.CLIENT_IP.60 " in other
    assert "delete set ip balance us-central1.web.node2.CLIENT_IP.600\n" in other


def test_udp_from_outside_is_not_tracked_without_an_affinity() -> None:
    rule = replace(RULE, protocol="UDP")
    for scheme, affinity, tracked in (
        ("EXTERNAL", "NONE", False),
        ("EXTERNAL", "CLIENT_IP_PORT_PROTO", True),
        ("INTERNAL", "NONE", True),
    ):
        service = replace(WEB, rules=(rule,), scheme=scheme, affinity=affinity)
        text = Balancer().rules([service], {}, {rule: ("client1",)}, Rules().places | CLIENT, 0)
        assert ("meta mark set ct mark" in text) == tracked


# --- verdicts


@pytest.mark.parametrize(
    ("heard", "found"),
    [("1", "0"), ("11", "01"), ("1011", "0001"), ("110", "011"), ("1100", "0110"), ("11010011", "01111001")],
)
def test_as_many_answers_in_a_row_as_the_check_says_decide(heard: str, found: str) -> None:
    verdict, seen = Verdict(), ""
    for each in heard:
        verdict.hear(each == "1", CHECK)
        seen += str(int(verdict.healthy))
    assert seen == found


# --- firewall rules


def rule(**fields: Any) -> Resource:
    network = "https://www.googleapis.com/compute/v1/projects/lab-project/global/networks/ip-failover"
    whole = {"name": "r", "network": network, "direction": "INGRESS", "priority": 1000, "disabled": False, **fields}
    return whole if "denied" in fields else {"allowed": [{"IPProtocol": "tcp", "ports": ["80", "8000-8010"]}], **whole}


def of(gce: Local, *rules: Resource, name: str = "node1") -> tuple[Filter, ...]:
    return firewall.filters(rules, list(gce.cloud.instances.values()))[name]


def test_the_sample_lets_in_what_it_needs(gce: Local) -> None:
    found = firewall.filters(gce.cloud.firewall_rules(), list(gce.cloud.instances.values()))
    ssh = Filter(True, 6, ("22",), ("10.100.0.2/32",))
    http = Filter(True, 6, ("80",), ("10.100.3.10/32",))
    assert set(found["node1"]) == {http, ssh, Filter(True, 112, None, ("10.100.2.1/32", "10.100.2.2/32"))}
    assert found["client1"] == found["controller"] == (ssh,)
    assert gce.cloud.plane.filters == found, "it is in force from the start"  # type: ignore[attr-defined]


def test_a_firewall_rule_is_for_its_targets(gce: Local) -> None:
    anyone = Filter(True, 6, ("80", "8000-8010"), ("10.0.0.0/8",))
    ranges = {"sourceRanges": ["10.0.0.0/8"]}
    assert of(gce, rule(**ranges)) == of(gce, rule(**ranges), name="client1") == (anyone,)
    assert of(gce, rule(**ranges, targetTags=["backend", "x"])) == (anyone,)
    assert of(gce, rule(**ranges, targetTags=["backend"]), name="client1") == ()
    assert of(gce, rule(**ranges, targetServiceAccounts=[topology.AGENT])) == (anyone,)
    assert of(gce, rule(**ranges, targetServiceAccounts=[topology.AGENT]), name="client1") == ()
    assert of(gce, rule(**ranges, disabled=True)) == of(gce, rule(**ranges, direction="EGRESS")) == ()
    assert of(gce, rule(**ranges, network="https://x/projects/lab-project/global/networks/other")) == ()


def test_a_firewall_rule_is_for_its_sources(gce: Local) -> None:
    def sources(**fields: Any) -> list[tuple[str, ...] | None]:
        return [each.sources for each in of(gce, rule(**fields))]

    assert sources() == [None]
    assert sources(sourceRanges=["1.1.1.1", "10.0.0.0/9", "10.128.0.0/9"]) == [("1.1.1.1/32", "10.0.0.0/8")]
    assert sources(sourceTags=["client"]) == [("10.100.3.10/32",)]
    assert sources(sourceTags=["client"], sourceRanges=["10.100.3.0/24"]) == [("10.100.3.0/24",)]
    assert sources(sourceServiceAccounts=[topology.AGENT]) == [("10.100.2.1/32", "10.100.2.2/32")]
    assert sources(sourceTags=["nobody"]) == sources(sourceRanges=["2600::/16"]) == []


def test_priorities_decide_and_at_the_same_one_a_denial(gce: Local) -> None:
    deny = {"denied": [{"IPProtocol": "all"}], "sourceRanges": ["10.0.0.0/8"]}
    allow = {"allowed": [{"IPProtocol": "udp"}, {"IPProtocol": "51"}], "sourceRanges": ["10.0.0.0/8"]}
    refused = Filter(False, None, None, ("10.0.0.0/8",))
    passes = [Filter(True, number, None, ("10.0.0.0/8",)) for number in (17, 51)]
    assert of(gce, rule(**allow), rule(**deny)) == (refused, *passes)
    assert of(gce, rule(**allow, priority=999), rule(**deny)) == (*passes, refused)
    assert of(gce, rule(**allow), rule(**deny, priority=999)) == (refused, *passes)


def test_a_new_firewall_rule_is_in_force_when_it_has_reached_the_network(gce: Local) -> None:
    gce.admin("PATCH", "/behaviour", {"propagation_s": 0.3})
    before = gce.cloud.plane.filters  # type: ignore[attr-defined]
    watch = Watch()
    api, body = Api(gce), {"name": "more", "network": "global/networks/ip-failover", "sourceRanges": ["10.0.0.0/8"]}
    allowed = [{"IPProtocol": "tcp", "ports": ["80", "8000-8010"]}]
    api.wait(api.good("POST", f"{PROJECT}/global/firewalls", {**body, "allowed": allowed}))
    watch.holds(gce.cloud.plane.filters == before, "it was on its way")  # type: ignore[attr-defined]
    assert gce.settled()
    filters = gce.cloud.plane.filters  # type: ignore[attr-defined]
    assert set(filters["node1"]) - set(before["node1"]) == {Filter(True, 6, ("80", "8000-8010"), ("10.0.0.0/8",))}


# --- load balancers


@pytest.fixture
def world() -> Iterator[Local]:
    """The API of a topology with clients far away and outside."""
    found = topology.get("gcp_lb_failover").world
    assert found is not None
    with local(found) as emulator:  # type: ignore[arg-type]
        emulator.cloud.behaviour.change({"propagation_s": 0})
        yield emulator
        assert emulator.violations == []


def put(gce: Local, monkeypatch: pytest.MonkeyPatch, *services: Service) -> MemoryPlane:
    monkeypatch.setattr(gce.cloud.balancers, "services", lambda: list(services))
    gce.cloud.on_change()
    assert gce.settled()
    assert isinstance(gce.cloud.plane, MemoryPlane)
    return gce.cloud.plane


def test_whose_packets_a_rule_takes(world: Local, monkeypatch: pytest.MonkeyPatch) -> None:
    near = {"node1", "node2", "client1", "controller"}
    plane = put(world, monkeypatch, WEB)
    assert plane.services == (WEB,) and set(plane.senders[RULE]) == near
    everywhere = replace(RULE, global_access=True)
    plane = put(world, monkeypatch, replace(WEB, rules=(everywhere,)))
    assert set(plane.senders[everywhere]) == {*near, "client2"}
    plane = put(world, monkeypatch, replace(WEB, scheme="EXTERNAL"))
    assert set(plane.senders[RULE]) == {"outside1"}
    plane = put(world, monkeypatch, replace(WEB, network="another"))
    assert plane.senders[RULE] == ()


def test_a_backend_answers_a_host_outside_by_the_route_to_the_internet(
    world: Local, monkeypatch: pytest.MonkeyPatch
) -> None:
    plane = put(world, monkeypatch, replace(WEB, scheme="EXTERNAL", rules=(replace(RULE, address="203.0.113.10"),)))
    assert plane.tables["node1"]["198.51.100.10/32"] == ("outside1",)
    assert plane.filters["outside1"] == (Filter(True, sources=("10.100.0.2", "203.0.113.10")),)
    assert plane.tables["outside1"] == {"10.100.0.2/32": ("controller",)}
    assert plane.sources["outside1"] == ("198.51.100.10/32",)
    api = Api(world)
    api.wait(api.good("DELETE", f"{PROJECT}/global/routes/default-route"))
    plane = put(world, monkeypatch)
    assert "198.51.100.10/32" not in plane.tables["node1"] and "198.51.100.10/32" in plane.tables["controller"]
    assert plane.filters["outside1"] == (Filter(True, sources=("10.100.0.2",)),)


def test_what_probers_find_is_in_force_at_once(world: Local, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[Any, ...]] = []
    fast = replace(WEB, health_check=replace(CHECK, interval_s=0.05))  # type: ignore[arg-type]
    plane = world.cloud.plane
    assert isinstance(plane, MemoryPlane)
    monkeypatch.setattr(world.router.probes, "_probe", lambda *task: asked.append(task) or plane.probe(*task))
    put(world, monkeypatch, fast)
    until(lambda: len(asked) > 4)
    assert plane.health == {}, "nothing is known"
    plane.answers |= {"node1": True, "node2": True}
    until(lambda: plane.health == {("web", "node1"): "HEALTHY", ("web", "node2"): "HEALTHY"})
    assert {task[0] for task in asked} == {"node1", "node2"} and {task[2] for task in asked} == {RULE.address}
    until(lambda: {task[3] for task in asked} == set(PROBERS["INTERNAL"]))
    plane.answers["node2"] = False
    until(lambda: plane.health[("web", "node2")] == "UNHEALTHY")
    found = [(each["instance"], each["health"]) for each in world.admin("GET", "/health")]
    assert found[-1] == ("node2", "UNHEALTHY") and len(found) == 5
    put(world, monkeypatch, replace(fast, rules=()))
    assert world.cloud.balancers.health == {}, "without a rule there is no address to probe"

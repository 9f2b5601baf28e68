# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The lab's API in front of the lab's router, with a load balancer: what it says is what packets do."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from busy import Watch, until

from ansible_collections.cloudha.vip.tests.node import vpc_stage
from ansible_collections.cloudha.vip.tests.node.vpc_stage import EXTERNAL, HEALTH, SERVING, SILENCE_S, VIP, Stage, again
from lab import topology
from lab.gce.balancers import Backend, Check, Failover, Rule, Service
from lab.gce.emulator import Emulator

RULE = Rule("web", VIP, "TCP", (SERVING,), False, "us-central1")
PAIR = Service(
    name="web",
    region="us-central1",
    scheme="INTERNAL",
    network="ip-failover",
    rules=(RULE,),
    backends=(Backend("node1", "one"), Backend("node2", "two", True)),
    health_check=Check("HTTP", HEALTH, "/", "", "", 1, 1, 1, 1),
    failover=Failover(),
)
PROJECT = "/compute/v1/projects/lab-project"
FIREWALLS, REGION = f"{PROJECT}/global/firewalls", f"{PROJECT}/regions/us-central1"
RANGES = ("35.191.0.0/16", "130.211.0.0/22", "209.85.152.0/22", "209.85.204.0/22")


class Plane:
    """`lab.gce.dataplane.DataPlane`: the router; its instances have power."""

    def __init__(self, stage: Stage) -> None:
        for name in ("program", "permit", "firewall", "balance", "probe"):
            setattr(self, name, getattr(stage.vpc, name))

    def power(self, instance: str, on: bool) -> None:
        raise AssertionError(instance)

    def running(self, instance: str) -> bool:
        return True


class World:
    """The project of a topology, on a stage."""

    def __init__(self, stage: Stage, plan: topology.Topology) -> None:
        self.stage = stage
        # Its threads are where it is started.
        self.emulator: Emulator = stage.do(Emulator, plan.world, Plane(stage))
        self.emulator.cloud.behaviour.change({"latency_s": 0, "propagation_s": 0})

    def api(self, verb: str, path: str, body: Any = None) -> Any:
        """What the API answers; to a change, when it is done and in force."""
        text = b"" if body is None else json.dumps(body).encode()
        status, answer, _headers = self.emulator.handle(verb, path, topology.CONTROLLER_TOKEN, text)
        assert status == 200, answer
        if answer["kind"] == "compute#operation" and not path.endswith("/wait"):
            done = self.api("POST", f"/compute{answer['selfLink'].partition('/compute')[2]}/wait")
            assert "error" not in done and self.emulator.settled(), done
        return answer

    def let_probers_in(self) -> None:
        allowed = [{"IPProtocol": "tcp", "ports": [str(HEALTH)]}]
        body = {"name": "probes", "network": "global/networks/ip-failover", "sourceRanges": RANGES, "allowed": allowed}
        self.api("POST", FIREWALLS, body)

    def balance(self, monkeypatch: pytest.MonkeyPatch, *services: Service) -> None:
        monkeypatch.setattr(self.emulator.cloud.balancers, "services", lambda: list(services))
        self.emulator.cloud.on_change()
        assert self.emulator.settled()

    def becomes(self, **health: str) -> None:
        """Wait until the backends are found to be so, and the router obeys."""
        until(
            lambda: {name: each for (_service, name), each in self.emulator.cloud.balancers.health.items()} == health, 5
        )
        self.stage.do(self.emulator.router.balance)


@pytest.fixture
def world() -> Iterator[World]:
    plan = topology.get("gcp_lb_failover")
    with vpc_stage.stage(plan.instances) as stage:
        made = World(stage, plan)
        yield made
        stage.do(made.emulator.close)


def test_clients_have_what_the_firewall_rules_of_the_sample_allow(world: World) -> None:
    stage = world.stage
    assert stage.who("client1", "10.100.2.1") == stage.who("client2", "10.100.2.1") == "node1"
    assert stage.lost("client1", "10.100.2.1", HEALTH), "there is a rule for HTTP alone"
    assert stage.lost("node2", "10.100.2.1") and not stage.pings("client1", "10.100.2.1", SILENCE_S)
    assert stage.lost("outside1", "10.100.2.1"), "nothing leads in from outside"
    outside = topology.get("gcp_lb_failover").machine("outside1").address
    assert stage.pings("controller", outside) and not stage.pings("client1", outside, SILENCE_S)


def test_a_load_balancer_from_its_first_probe_to_the_fail_back(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    stage, primary = world.stage, world.stage.nodes["node1"]
    world.balance(monkeypatch, PAIR)
    world.becomes(node1="UNHEALTHY", node2="UNHEALTHY")
    assert stage.who() == "node1", "the last resort"
    world.let_probers_in()
    world.becomes(node1="HEALTHY", node2="HEALTHY")
    with stage.connect() as connection:
        assert again(connection) == "node1"
        primary.status = "503 Down"
        watch = Watch()
        until(lambda: stage.who() == "node2", 5, pause_s=0.002)
        seen = time.monotonic()
        known = world.emulator.router.probes.history[-1]
        assert (known["instance"], known["health"]) == ("node1", "UNHEALTHY")
        watch.at_most(0.1, seen - known["mono_ns"] / 1e9)
        assert again(connection) == "node1", "it persists"
    primary.status = "200 OK"
    until(lambda: stage.who() == "node1", 5)
    world.api("DELETE", f"{FIREWALLS}/probes")
    world.becomes(node1="UNHEALTHY", node2="UNHEALTHY")
    assert stage.who() == "node1" and world.emulator.violations == []


def test_clients_far_away_and_outside(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    stage = world.stage
    world.let_probers_in()
    world.balance(monkeypatch, PAIR)
    assert stage.who("client1") == "node1" and stage.lost("client2")
    world.balance(monkeypatch, replace(PAIR, rules=(replace(RULE, global_access=True),)))
    assert stage.who("client2") == "node1" and stage.lost("outside1")
    external = replace(PAIR, scheme="EXTERNAL", rules=(replace(RULE, address=EXTERNAL),))
    world.balance(monkeypatch, external)
    world.becomes(node1="HEALTHY", node2="HEALTHY")
    assert stage.who("outside1", EXTERNAL) == "node1" and stage.lost("client1", EXTERNAL)
    world.api("DELETE", f"{PROJECT}/global/routes/default-route")
    assert stage.lost("outside1", EXTERNAL), "the answer has no way out"


def test_a_backend_that_is_drained_is_gone_by_itself(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    backends = tuple(Backend(name, "group") for name in ("node1", "node2"))
    service = replace(PAIR, drain_s=1, failover=None, backends=backends)
    world.let_probers_in()
    world.balance(monkeypatch, service)
    with world.stage.connect() as connection:
        name, watch = again(connection), Watch()
        world.balance(monkeypatch, replace(service, backends=tuple(each for each in backends if each.instance != name)))
        watch.holds(again(connection) == name, "it is drained")
        assert world.stage.who() != name
        until(lambda: again(connection) == "reset", 5)


def test_a_load_balancer_that_requests_to_the_api_have_made(world: World) -> None:
    stage, host = world.stage, "https://www.googleapis.com"
    world.let_probers_in()
    check = {"type": "HTTP", "httpHealthCheck": {"port": HEALTH}, "checkIntervalSec": 1, "timeoutSec": 1}
    world.api("POST", f"{REGION}/healthChecks", {"name": "web", **check})
    backends = []
    for zone, name in (("us-central1-a", "node1"), ("us-central1-b", "node2")):
        groups = f"{PROJECT}/zones/{zone}/instanceGroups"
        world.api("POST", groups, {"name": name})
        member = f"{host}{PROJECT}/zones/{zone}/instances/{name}"
        world.api("POST", f"{groups}/{name}/addInstances", {"instances": [{"instance": member}]})
        backends.append({"group": f"{host}{groups}/{name}", "balancingMode": "CONNECTION"})
    service = {
        "name": "web",
        "loadBalancingScheme": "INTERNAL",
        "protocol": "TCP",
        "healthChecks": [f"{host}{REGION}/healthChecks/web"],
        "backends": backends,
        "connectionDraining": {"drainingTimeoutSec": 2},
    }
    world.api("POST", f"{REGION}/backendServices", service)
    services = f"{REGION}/backendServices/web"
    assert "healthStatus" not in world.api("POST", f"{services}/getHealth", {"group": backends[0]["group"]})
    rule = {
        "name": "web",
        "loadBalancingScheme": "INTERNAL",
        "backendService": f"{host}{services}",
        "subnetwork": "regions/us-central1/subnetworks/ip-failover-subnet",
        "IPAddress": VIP,
        "ports": [str(SERVING)],
    }
    world.api("POST", f"{REGION}/forwardingRules", rule)
    world.becomes(node1="HEALTHY", node2="HEALTHY")
    answer = world.api("POST", f"{services}/getHealth", {"group": backends[0]["group"]})
    assert [each["healthState"] for each in answer["healthStatus"]] == ["HEALTHY"]
    assert {stage.who() for _each in range(24)} == {"node1", "node2"}
    connections = [stage.connect() for _each in range(12)]
    before = [again(each) for each in connections]
    fingerprint, watch = world.api("GET", services)["fingerprint"], Watch()
    world.api("PATCH", services, {"fingerprint": fingerprint, "backends": backends[1:]})
    watch.holds([again(each) for each in connections] == before, "they are drained")
    assert {stage.who() for _each in range(12)} == {"node2"} and "node1" in before
    until(lambda: [again(each) for each in connections] == [{"node1": "reset"}.get(name, name) for name in before], 5)
    world.api("DELETE", f"{REGION}/forwardingRules/web")
    assert stage.lost() and world.emulator.cloud.balancers.health == {}
    assert world.emulator.violations == []

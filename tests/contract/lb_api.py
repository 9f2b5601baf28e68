# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests to the lab's API of Compute Engine that make a load balancer, for tests."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from typing import Any

import pytest

from ansible_collections.cloudha.vip.tests.contract.test_gce_emulator import PROJECT, Api
from lab import topology
from lab.gce.server import Local
from lab.gce.world import Instance, Network, Subnetwork, World

HOST = "https://www.googleapis.com/compute/v1"
REGION = f"{PROJECT}/regions/us-central1"
ADDRESSES, CHECKS = f"{REGION}/addresses", f"{REGION}/healthChecks"
SERVICES, RULES = f"{REGION}/backendServices", f"{REGION}/forwardingRules"
FIREWALLS, GLOBAL_CHECKS = f"{PROJECT}/global/firewalls", f"{PROJECT}/global/healthChecks"
NETWORK = f"{HOST}{PROJECT}/global/networks/ip-failover"
SUBNETWORK = f"{HOST}{REGION}/subnetworks/ip-failover-subnet"
ADDRESS = "10.100.9.1"
RESERVED = {"name": "web", "addressType": "INTERNAL", "subnetwork": SUBNETWORK, "address": ADDRESS}
PROBES = {
    "name": "probes",
    "network": "global/networks/ip-failover",
    "sourceRanges": ["35.191.0.0/16", "130.211.0.0/22"],
    "allowed": [{"IPProtocol": "TCP", "ports": ["80", "6000-6001"]}],
    "targetTags": ["backend"],
}
ZONES = {"node1": "us-central1-a", "node2": "us-central1-b", "client1": "us-central1-f"}


def groups(node: str) -> str:
    """Where the groups are that a node can be in."""
    return f"{PROJECT}/zones/{ZONES[node]}/instanceGroups"


GROUP1 = f"{groups('node1')}/of-node1"


def instance(node: str) -> str:
    """The URL of a node."""
    return f"{HOST}{PROJECT}/zones/{ZONES[node]}/instances/{node}"


def check(**changes: Any) -> dict[str, Any]:
    """A health check."""
    return _without_none({"name": "web", "type": "TCP", "tcpHealthCheck": {"port": 80}, **changes})


def service(**changes: Any) -> dict[str, Any]:
    """A backend service, of the two groups of `Balancer`."""
    body = {
        "name": "web",
        "loadBalancingScheme": "INTERNAL",
        "protocol": "TCP",
        "healthChecks": [f"{HOST}{CHECKS}/web"],
        "backends": [backend("node1"), backend("node2")],
    }
    return _without_none({**body, **changes})


def backend(node: str, **changes: Any) -> dict[str, Any]:
    """The group of a node as a backend."""
    return {"group": f"{HOST}{groups(node)}/of-{node}", "balancingMode": "CONNECTION", **changes}


def rule(**changes: Any) -> dict[str, Any]:
    """A forwarding rule."""
    body = {
        "name": "web",
        "loadBalancingScheme": "INTERNAL",
        "backendService": f"{HOST}{SERVICES}/web",
        "network": NETWORK,
        "subnetwork": SUBNETWORK,
        "IPAddress": ADDRESS,
        "IPProtocol": "TCP",
        "ports": ["80"],
    }
    return _without_none({**body, **changes})


def _without_none(body: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in body.items() if value is not None}


class Balancer(Api):
    """A caller, and what load balancers are made of."""

    def __init__(self, gce: Local, token: str = topology.CONTROLLER_TOKEN) -> None:
        super().__init__(gce, token)
        self.gce = gce

    def done(self, verb: str, path: str, body: object = None) -> Any:
        """The operation of a change that is good."""
        operation = self.wait(self.good(verb, path, body))
        assert "error" not in operation, operation
        return operation

    def failed(self, verb: str, path: str, body: object = None) -> tuple[int, str]:
        """Status and code of a change that is accepted and then fails."""
        operation = self.wait(self.good(verb, path, body))
        return operation["httpErrorStatusCode"], operation["error"]["errors"][0]["code"]

    def made(self, collection: str, body: dict[str, Any]) -> Any:
        """What a request has made."""
        self.done("POST", collection, body)
        return self.good("GET", f"{collection}/{body['name']}")

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """While the block lasts no operation ends; then all do, in their order."""
        self.gce.admin("PATCH", "/behaviour", {"faults": [{"kind": "never-ends"}]})
        yield
        self.gce.admin("PATCH", "/behaviour", {"faults": []})

    def group(self, node: str, name: str = "", members: tuple[str, ...] | None = None) -> Any:
        """A group in the zone of a node, and with that node, if nothing else is said."""
        path, name = groups(node), name or f"of-{node}"
        self.done("POST", path, {"name": name})
        nodes = (node,) if members is None else members
        if nodes:
            body = {"instances": [{"instance": instance(each)} for each in nodes]}
            self.done("POST", f"{path}/{name}/addInstances", body)
        return self.good("GET", f"{path}/{name}")

    def parts(self) -> None:
        """A health check, and a group for each node."""
        self.made(CHECKS, check())
        for node in ("node1", "node2"):
            self.group(node)

    def whole(self, **changes: Any) -> Any:
        """A load balancer of both nodes; the rule."""
        self.parts()
        self.made(SERVICES, service())
        return self.made(RULES, rule(**changes))

    def change(self, path: str, verb: str = "PATCH", **fields: Any) -> Any:
        """What a change in place, with the current fingerprint, has made."""
        now = self.good("GET", path)
        body = {**(now if verb == "PUT" else {}), "fingerprint": now["fingerprint"], **fields}
        self.done(verb, path, body)
        return self.good("GET", path)


@pytest.fixture
def api(gce: Local) -> Balancer:
    """A caller."""
    return Balancer(gce)


@pytest.fixture
def lb(api: Balancer) -> Balancer:
    """With a health check and the groups of two nodes."""
    api.parts()
    return api


def world() -> World:
    """The lab's."""
    found = topology.get("gcp_route_heartbeat").world
    assert isinstance(found, World)
    return found


def other_places() -> World:
    """The lab's world, with another network in its region, and the same network in another region."""
    base = world()
    return dataclasses.replace(
        base,
        networks=(*base.networks, Network("other")),
        subnetworks=(
            *base.subnetworks,
            Subnetwork("others", "other", "us-central1", "10.100.0.0/16"),
            Subnetwork("second", "ip-failover", "us-central1", "10.101.0.0/16"),
            Subnetwork("east", "ip-failover", "us-east1", "10.102.0.0/16"),
        ),
        instances=(
            *base.instances,
            Instance("stranger", "us-central1-a", "other", "others", "10.100.2.1"),
            Instance("neighbour", "us-central1-a", "ip-failover", "second", "10.101.2.1"),
            Instance("far", "us-east1-b", "ip-failover", "east", "10.102.2.1"),
        ),
    )

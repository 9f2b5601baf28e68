# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The action with a project in memory; tests/contract has the agent with it, and an API."""

from __future__ import annotations

import time

import pytest

from ansible_collections.cloudha.vip.plugins.module_utils.agent import gcp, gcp_route
from ansible_collections.cloudha.vip.plugins.module_utils.agent.config import parse
from ansible_collections.cloudha.vip.plugins.module_utils.base.errors import Denied, NotFound, Unavailable
from ansible_collections.cloudha.vip.plugins.module_utils.failover.engine import Refused

ME = "projects/home/zones/zone-a/instances/node1"
PEER = "projects/home/zones/zone-b/instances/node2"
URL = "https://www.googleapis.com/compute/v1/"
NETWORK, HOST_NETWORK = "projects/home/global/networks/n", "projects/host/global/networks/n"


class Metadata:
    def __init__(self, url):
        self.url = url

    project = staticmethod(lambda: "home")
    zone = staticmethod(lambda: "zone-a")
    instance = staticmethod(lambda: "node1")

    @staticmethod
    def address(network):
        if network == "unknown":
            raise NotFound("no interface")
        return "10.0.0.1"


class Compute:
    def __init__(self, _session, project, **options):
        self.project = project
        self.options = options
        self.routes = {}
        self.number = 0
        self.warnings = []
        self.fails = None
        self.instance = {
            "canIpForward": True,
            "networkInterfaces": [{"network": URL + NETWORK, "networkIP": "10.0.0.1"}],
        }

    def list_routes(self, destination):
        error = self.fails
        if error is not None:
            raise error
        assert destination == "10.200.1.1/32"
        return list(self.routes.values()), time.time()

    def insert_route(self, body, request_id):
        self.number += 1
        made = {"id": str(self.number), "creationTimestamp": "2026-11-21T03:34:12.123-08:00"}
        self.routes[body["name"]] = {**body, **made, "network": URL + body["network"]}
        return self.warnings

    def delete_route(self, name, request_id):
        for key, route in list(self.routes.items()):
            if name in (key, route["id"]):
                del self.routes[key]

    def get_instance(self, path):
        assert path == ME
        return self.instance


@pytest.fixture
def make(monkeypatch):
    monkeypatch.setattr(gcp, "Metadata", Metadata)
    monkeypatch.setattr(gcp, "Compute", Compute)

    def make(**keys):
        whole = {"type": "gcp_route", "instance": "VI_1", "name": "r", "destination": "10.200.1.1/32", "network": "n"}
        config = parse({"instances": [{"name": "VI_1"}], "actions": [{**whole, "settle_ms": 0, **keys}]})
        action = gcp_route.GcpRoute(config.actions[0])
        action.prepare()
        return action

    return make


def reach(action):
    told = []
    outcome = action.reach(True, lambda: True, told.append, lambda seconds: None)
    return outcome, told


@pytest.mark.parametrize(
    ("keys", "project", "network"),
    [
        ({}, "home", NETWORK),
        ({"network": HOST_NETWORK}, "host", HOST_NETWORK),
        ({"project": "other"}, "other", "projects/other/global/networks/n"),
        ({"project": "host", "network": HOST_NETWORK}, "host", HOST_NETWORK),
    ],
)
def test_whose_the_routes_are(make, keys, project, network):
    action = make(**keys)
    assert (action.me, action._api.compute.project) == (ME, project)
    reach(action)
    made = action._api.compute.routes["r"]
    assert made["network"] == URL + network
    # An instance of another project can be a next hop only by its address.
    hop = {"nextHopInstance": ME} if project == "home" else {"nextHopIp": "10.0.0.1"}
    assert {key: value for key, value in made.items() if key.startswith("nextHop")} == hop
    seen = action.look()
    assert (seen.holder, seen.mine, seen.todo) == (ME, True, [])
    made.pop("nextHopInstance", None)
    made["nextHopIp"] = "10.0.0.2"
    seen = action.look()
    assert (seen.holder, seen.mine) == ("10.0.0.2", False)


def test_an_address_that_is_not_known(make):
    """It matters only where a route can lead here by nothing else."""
    action = make(network="unknown")
    reach(action)
    assert action._api.compute.routes["r"]["nextHopInstance"] == ME
    with pytest.raises(NotFound, match="no interface"):
        make(network="unknown", project="host")


def test_the_address_is_that_on_the_network(make):
    action = make(project="host")
    action._api.compute.instance["networkInterfaces"] = [{"network": URL + HOST_NETWORK, "networkIP": "10.0.0.1"}]
    assert action.preflight() == []
    action._api.compute.instance["networkInterfaces"] = [
        {"network": URL + NETWORK, "networkIP": "10.0.0.1"},
        {"network": URL + HOST_NETWORK, "networkIP": "10.7.0.1"},
    ]
    (problem,) = action.preflight()
    assert "10.7.0.1 on projects/host/global/networks/n" in problem and "10.0.0.1, which is on another" in problem


def test_what_is_seen(make):
    action = make()
    routes = action._api.compute.routes
    seen = action.look()
    assert (seen.holder, seen.mine, seen.why, bool(seen.todo)) == (None, False, "there is no route", True)
    reach(action)
    seen = action.look()
    assert (seen.holder, seen.mine, seen.todo) == (ME, True, [])
    routes["r"]["warnings"] = [{"code": "NEXT_HOP_NOT_RUNNING"}]
    seen = action.look()
    assert (seen.holder, seen.mine, seen.why, bool(seen.todo)) == (None, False, "its next hop is not alive", True)
    routes["r"] = {**routes["r"], "warnings": [], "nextHopInstance": URL + PEER}
    seen = action.look()
    assert (seen.holder, seen.mine, seen.todo) == (PEER, False, [])
    assert seen.elsewhere == f"the address is with {PEER}, which is alive"


def test_a_route_to_this_nodes_address_is_its_own(make):
    action = make()
    reach(action)
    route = action._api.compute.routes["r"]
    del route["nextHopInstance"]
    route["nextHopIp"] = "10.0.0.1"
    assert action.look().mine


def test_what_is_left_out_stays_as_it_is(make):
    action = make()
    compute = action._api.compute
    compute.insert_route(
        {
            "name": "r",
            "destRange": "10.200.1.1/32",
            "network": NETWORK,
            "nextHopInstance": PEER,
            "priority": 77,
            "tags": ["client"],
            "description": "ours",
        },
        "",
    )
    reach(action)
    made = compute.routes["r"]
    assert (made["nextHopInstance"], made["priority"], made["tags"], made["description"]) == (
        ME,
        77,
        ["client"],
        "ours",
    )
    action = make(priority=78, tags=[], description="other")
    action._api.compute.routes = compute.routes
    reach(action)
    made = compute.routes["r"]
    assert (made["priority"], made.get("tags"), made["description"]) == (78, None, "other")


def test_it_has_moved_when_the_first_live_route_is_there(make):
    action = make()
    _outcome, told = reach(action)
    kinds = [event["event"] for event in told]
    assert kinds[:4] == ["step", "mutation", "moved", "done"]
    action = make()
    action._api.compute.warnings = [{"code": "NEXT_HOP_CANNOT_IP_FORWARD"}]
    told = []
    with pytest.raises(Exception, match="NEXT_HOP_CANNOT_IP_FORWARD"):
        action.reach(True, lambda: True, told.append, lambda seconds: None)
    assert "moved" not in [event["event"] for event in told]


def test_preflight(make):
    action = make()
    assert action.preflight() == []
    action._api.compute.instance = {"networkInterfaces": [{"network": URL + NETWORK + "2"}]}
    problems = action.preflight()
    assert len(problems) == 2
    assert f"{ME} may not forward" in problems[0]
    assert problems[1].endswith(f"no interface on {NETWORK}; it is on {NETWORK}2")


def test_status(make):
    action = make()
    action.look()
    api = action.status()["api"]
    assert api["latency_ms"] >= 0 and api["answered"] and api["error"] is None
    action._api.compute.fails = Unavailable("Cannot list: 503.")
    with pytest.raises(Unavailable):
        action.look()
    assert action.status()["api"]["error"] == "Cannot list: 503."


def test_errors_are_the_workers_business(make):
    action = make(timeout_s=5)
    action._api.compute.fails = Denied("Cannot list: 403.")
    with pytest.raises(Exception, match="403"):
        reach(action)
    action._api.compute.fails = None
    action._api.compute.insert_route(
        {"name": "foreign", "destRange": "10.200.1.1/32", "network": NETWORK, "priority": 5,
         "nextHopInstance": PEER},
        "",
    )  # fmt: skip
    with pytest.raises(Refused, match="foreign"):
        reach(action)

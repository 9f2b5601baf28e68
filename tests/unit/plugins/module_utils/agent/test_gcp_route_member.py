# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The action with a project in memory; tests/contract has the agent with it, and an API."""

from __future__ import annotations

import pytest

from ansible_collections.cloudha.vip.plugins.module_utils.agent import gcp
from ansible_collections.cloudha.vip.plugins.module_utils.agent.config import parse
from ansible_collections.cloudha.vip.plugins.module_utils.agent.gcp_route_member import GcpRouteMember
from ansible_collections.cloudha.vip.plugins.module_utils.agent.membership import CHANGES
from ansible_collections.cloudha.vip.plugins.module_utils.base.errors import Denied, Invalid, NotFound
from ansible_collections.cloudha.vip.tests.unit.plugins.module_utils.failover.cloud import (
    DESTINATION,
    EPOCH,
    NETWORK,
    A,
    B,
    Cloud,
    written,
)

RESERVE = 65535


class Metadata:
    """Of node1."""

    def __init__(self, url):
        pass

    project = staticmethod(lambda: "p")
    zone = staticmethod(lambda: "us-central1-a")
    instance = staticmethod(lambda: "node1")

    @staticmethod
    def address(network):
        raise NotFound("no interface")


class Project:
    """The client of a cloud in memory."""

    project = "p"

    def __init__(self, cloud):
        self.cloud = cloud
        self.lacks = set()
        self.asked = []

    def __getattr__(self, name):
        return getattr(self.cloud, name)

    def get_instance(self, path):
        self.asked.append(path)
        return self.cloud.get_instance(path)

    def test_permissions(self, path, permissions):
        return set(permissions) - self.lacks

    def may_follow_operations(self):
        return True


@pytest.fixture
def project():
    cloud = Cloud()
    for path, address in ((A, "10.100.2.1"), (B, "10.100.2.2")):
        cloud.add_instance(path, address, creationTimestamp=written(EPOCH - 1000))
        name = f"web-{path.rpartition('/')[2]}"
        cloud.put(name, path).put(f"{name}-reserve", path, RESERVE)
    return Project(cloud)


@pytest.fixture
def make(monkeypatch, project):
    monkeypatch.setattr(gcp, "Metadata", Metadata)
    monkeypatch.setattr(gcp, "Compute", lambda session, name, **options: project)

    def make(**keys):
        members = [{"instance": A, "priority": 500}, {"instance": B}]
        whole = {"type": "gcp_route_member", "name": "web", "destination": DESTINATION, "network": NETWORK}
        config = parse({"keepalived": False, "actions": [{**whole, "members": members, "settle_ms": 0, **keys}]})
        action = GcpRouteMember(config.actions[0])
        action.prepare()
        return action

    return make


def reach(action, serves, at_once=True):
    told = []
    outcome = action.reach(serves, at_once, lambda: True, told.append, lambda seconds: None)
    changes = [(each["event"], each["resource"]) for each in told if each["event"] in CHANGES]
    return [(step.name, step.resource) for step in outcome.steps], changes


def described(action, wanted, why="", last_one=False):
    return action.describe({"wanted": wanted, "why": why, "last_one": last_one, **action.status()})


def test_out_and_in_again(make, project):
    action = make()
    assert described(action, None, "the agent starts") == (
        f"the own route to {DESTINATION} is not known: the agent starts; alive: NOBODY (what is left are reserve"
        " routes)"
    )
    assert reach(action, False) == ([("delete route", "web-node1")], [("route_withdrawn", "web-node1")])
    assert described(action, False, "the node is drained (-254)") == (
        f"the own route to {DESTINATION} is withdrawn: the node is drained (-254); alive: node2"
    )
    assert reach(action, True) == ([("insert route", "web-node1")], [("route_put_back", "web-node1")])
    assert described(action, True) == f"the own route to {DESTINATION} is active; alive: node1, node2"
    assert [r["priority"] for r in project.routes if r["name"] == "web-node1"] == [500]


def test_what_is_urgent_asks_for_no_peer(make, project):
    action = make()
    action.look(True)
    project.asked.clear()
    reach(action, False)
    assert project.asked == []
    action.look(False)
    assert project.asked == [B]


def test_another_priority_is_no_withdrawal(make):
    action = make()  # the present route has the priority 1000
    steps, changes = reach(action, True)
    assert [name for name, _resource in steps] == ["insert route", "delete route"]
    assert [event for event, _resource in changes] == ["route_put_back"]


def test_what_a_look_says(make, project):
    action = make(members=[{"instance": A}, {"instance": B}])
    for serves in (True, None):
        share = action.look(serves)
        assert (share.todo, share.last) == ([], False)
    share = action.look(False)
    assert (share.todo, share.why, share.last) == (["delete route web-node1"], "it is not as it should be", False)
    project.cloud.kill(B)
    share = action.look(True)
    assert share.todo == ["delete route web-node2"]
    assert share.why.startswith(f"{B} is dead: NEXT_HOP_")
    assert action.status()["dead"] == {"web-node2": share.why}
    assert action.look(False).last
    assert described(action, False, "the node is drained (-10)", True) == (
        f"the own route to {DESTINATION} is active, as the last one, although the node is drained (-10); alive: node1"
    )
    assert reach(action, True) == ([], [])
    assert reach(action, True, at_once=False)[1] == [("peer_route_deleted", "web-node2")]


def test_when_nobody_is_left_the_reserves_are(make, project):
    project.cloud.routes = [r for r in project.cloud.routes if r["priority"] == RESERVE]
    action = make()
    assert action.look(False).last
    assert "is withdrawn: x; alive: NOBODY (what is left are reserve routes)" in described(action, False, "x", True)
    assert action.status()["serving"] == [A, B]


def test_without_holding_back(make, project):
    action = make(hold_back=False, members=[{"instance": A}, {"instance": B}])
    project.cloud.kill(B)
    for serves in (True, None, False):
        share = action.look(serves)
        assert (share.todo, share.last) == ([], False)
    project.cloud.routes = [r for r in project.cloud.routes if r["name"] != "web-node1"]
    assert reach(action, False)[1] == [("route_put_back", "web-node1")]


def test_its_own_creation_is_asked_for_once_and_a_withdrawal_does_not_wait_for_that(make, project):
    action = make(members=[{"instance": A}, {"instance": B}])

    def refuse(phase, verb, target):
        if target == A:
            raise Denied("No.", status=403)

    real, project.get_instance = project.get_instance, lambda path: refuse("before", "get", path) or real(path)
    with pytest.raises(Denied):
        action.look(True)
    assert reach(action, False)[1] == [("route_withdrawn", "web-node1")]
    project.get_instance = real
    action.look(True)
    action.look(True)
    assert project.asked.count(A) == 1


def test_the_preflight(make, project):
    action = make()
    action.look(None)
    assert action.preflight() == []
    project.lacks = {"compute.routes.delete", "compute.instances.use"}
    assert {text.partition(" on ")[0].rpartition(" ")[2] for text in action.preflight()} == project.lacks
    project.cloud.instances[A]["canIpForward"] = False
    assert "may not forward" in action.preflight()[0]


def test_an_instance_that_is_no_member(make):
    with pytest.raises(Invalid, match=f"this instance, {A}, is none of the members"):
        make(members=[{"instance": B}])

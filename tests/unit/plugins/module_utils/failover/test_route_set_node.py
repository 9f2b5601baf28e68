# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A node and its route in a set: in, out, and the routes of dead peers; several nodes at the same moment."""

from __future__ import annotations

import itertools

import pytest

from ansible_collections.cloudha.vip.plugins.module_utils.base.errors import Denied
from ansible_collections.cloudha.vip.plugins.module_utils.failover import engine, route_set_node
from ansible_collections.cloudha.vip.plugins.module_utils.failover.route_set_goal import RESERVE, NodeGoal
from ansible_collections.cloudha.vip.tests.unit.plugins.module_utils.failover import runs
from ansible_collections.cloudha.vip.tests.unit.plugins.module_utils.failover.cloud import (
    DESTINATION,
    EPOCH,
    NETWORK,
    A,
    B,
    C,
    Cloud,
    instance,
    written,
)

NAME = "vip"
ALL = (A, B, C)
FAR = instance("node9", "us-central1-f", "service-project")


def goal(me, present=True, **keys):
    keys.setdefault("peers", ALL)
    return NodeGoal(NAME, DESTINATION, NETWORK, me, present=present, **keys)


def own(cloud, path, priority=1000, reserve=True, **keys):
    """The routes that a node has made before."""
    name = f"{NAME}-{path.rpartition('/')[2]}"
    cloud.put(name, path, priority, **keys)
    return cloud.put(f"{name}-reserve", path, RESERVE, **keys) if reserve else cloud


def pair(first=1000, second=1000):
    return own(own(Cloud(), A, first), B, second)


def recreate(cloud, path, address="10.100.2.9"):
    """The instance was deleted and is there again, with its name."""
    cloud.add_instance(path, address, creationTimestamp=written(EPOCH + cloud.clock.now))
    cloud.clock.now += 20


def apply(cloud, wanted, **keys):
    keys.setdefault("chance", lambda: 0.5)
    return engine.apply(route_set_node, cloud, wanted, sleep=cloud.clock.sleep, clock=cloud.clock, **keys)


def did(outcome):
    return [(each.name, each.resource) for each in outcome.steps]


def look(cloud, wanted):
    return engine.preview(route_set_node, cloud, wanted)[0]


# --- the own route


def test_the_first_look_of_a_new_node_makes_its_route_and_then_its_reserve():
    cloud = Cloud()
    assert did(apply(cloud, goal(A, priority=500))) == [
        ("insert route", "vip-node1"),
        ("insert reserve route", "vip-node1-reserve"),
    ]
    assert [r["priority"] for r in cloud.routes] == [500, RESERVE]
    assert cloud.routes[0]["description"] == "cloudha.vip: route set vip node1"
    assert not apply(cloud, goal(A, priority=500)).changed


def test_a_look_is_one_request_and_one_for_each_peer_that_is_alive():
    cloud = pair()
    cloud.requests.clear()
    apply(cloud, goal(A))
    assert cloud.requests == [("list", DESTINATION), ("instance", B)]
    cloud.requests.clear()
    apply(cloud, goal(A, drop=False))
    assert cloud.requests == [("list", DESTINATION)]


def test_out_takes_one_deletion_at_once():
    cloud = pair()
    before = cloud.clock.now
    assert did(apply(cloud, goal(A, False))) == [("delete route", "vip-node1")]
    assert cloud.clock.now - before == cloud.latency
    assert cloud.traffic() == {B}
    assert not apply(cloud, goal(A, False)).changed


def test_and_in_again_takes_one_insertion_at_once():
    cloud = pair()
    apply(cloud, goal(A, False))
    before = cloud.clock.now
    assert did(apply(cloud, goal(A))) == [("insert route", "vip-node1")]
    assert cloud.clock.now - before == cloud.latency
    assert cloud.traffic() == {A, B}


def test_the_last_route_stays():
    for cloud in (own(Cloud(), A), pair()):
        cloud.kill(B)
        assert did(apply(cloud, goal(A, False, drop=False))) == []
        seen = look(cloud, goal(A, False, drop=False))
        assert seen.held == ["vip-node1"] and seen.serves and seen.others == []


def test_left_as_it_is():
    cloud = Cloud()
    assert did(apply(cloud, goal(A, None))) == []
    cloud = pair()
    assert did(apply(cloud, goal(A, None))) == []


def test_a_node_without_a_reserve_makes_one_before_it_goes():
    cloud = own(own(Cloud(), A, reserve=False), B, reserve=False)
    assert did(apply(cloud, goal(A, False))) == [
        ("insert reserve route", "vip-node1-reserve"),
        ("delete route", "vip-node1"),
    ]


def test_and_not_if_a_peer_has_one():
    cloud = own(own(Cloud(), A, reserve=False), B)
    assert did(apply(cloud, goal(A, False))) == [
        ("delete route", "vip-node1"),
        ("insert reserve route", "vip-node1-reserve"),
    ]


def test_another_priority_is_made_before_the_old_one_goes():
    cloud = pair()
    assert did(apply(cloud, goal(A, priority=500))) == [
        ("insert route", "vip-node1-2"),
        ("delete route", "vip-node1"),
    ]
    assert cloud.traffic() == {A}
    assert did(apply(cloud, goal(A))) == [], "no priority: it stays"


def test_a_route_that_others_made_is_the_nodes_own():
    """As Google's sample makes them."""
    cloud = Cloud().put("floating-route-1", "10.100.2.1").put("floating-route-2", "10.100.2.2")
    wanted = goal(A, False, address="10.100.2.1")
    assert look(cloud, wanted).others == [B]
    assert did(apply(cloud, wanted))[-1] == ("delete route", "floating-route-1")


def test_in_another_project_it_leads_by_the_address():
    cloud = Cloud()
    cloud.add_instance(FAR, "10.100.2.9")
    apply(cloud, goal(FAR, peers=[FAR, A], address="10.100.2.9"))
    assert {r["nextHopIp"] for r in cloud.routes} == {"10.100.2.9"}
    assert not apply(cloud, goal(FAR, peers=[FAR, A], address="10.100.2.9")).changed


def test_an_own_route_of_a_former_instance_is_made_anew():
    cloud = pair()
    recreate(cloud, A, "10.100.2.1")
    wanted = goal(A, created=EPOCH + cloud.clock.now - 20)
    assert did(apply(cloud, wanted)) == [("insert route", "vip-node1-2"), ("delete route", "vip-node1")]
    assert not apply(cloud, wanted).changed


def test_a_name_that_a_route_to_elsewhere_has_is_not_insisted_on():
    cloud = Cloud().put("vip-node1", B)
    cloud.routes[0]["destRange"] = "10.200.1.9/32"
    assert did(apply(cloud, goal(A)))[0] == ("insert route", "vip-node1-2")


def test_a_long_name():
    cloud = Cloud()
    path = instance("n" * 63)
    cloud.add_instance(path, "10.100.2.9")
    long = NodeGoal("v" * 63, DESTINATION, NETWORK, path, present=True)
    apply(cloud, long)
    assert len(set(cloud.names())) == 2 and all(len(name) <= 63 for name in cloud.names())
    assert not apply(cloud, long).changed


# --- peers


@pytest.mark.parametrize("code", ["NEXT_HOP_NOT_RUNNING", "NEXT_HOP_INSTANCE_NOT_FOUND"])
def test_the_route_of_a_dead_peer_goes_and_its_reserve_stays(code):
    cloud = pair()
    cloud.kill(B, code)
    seen = look(cloud, goal(A))
    assert list(seen.dead) == ["vip-node2"] and code in seen.dead["vip-node2"]
    assert did(apply(cloud, goal(A))) == [("delete route", "vip-node2")]
    assert cloud.names() == ["vip-node1", "vip-node1-reserve", "vip-node2-reserve"]
    cloud.dead.clear()
    cloud.check()
    assert cloud.traffic() == {A}, "the recreated instance gets no packets"


def test_the_route_of_a_peer_that_was_created_after_it_goes():
    cloud = pair()
    recreate(cloud, B)
    assert did(apply(cloud, goal(A))) == [("delete route", "vip-node2")]
    apply(cloud, goal(B))
    assert not apply(cloud, goal(A)).changed
    assert cloud.traffic() == {A, B}


def test_a_peer_that_does_not_exist_is_as_its_route_says():
    cloud = pair()
    del cloud.instances[B]
    assert did(apply(cloud, goal(A))) == []
    assert did(apply(cloud, goal(A, drop=False))) == []


def test_routes_of_nobody_in_the_set_are_let_alone():
    cloud = pair().put("other", C)
    cloud.kill(C)
    assert did(apply(cloud, goal(A, peers=[A, B]))) == []


def test_not_while_no_other_route_is_alive():
    """A node that is out does not count, and one that is to go neither."""
    cloud = pair()
    apply(cloud, goal(A, False))
    cloud.kill(B)
    assert did(apply(cloud, goal(A, False))) == []
    assert look(cloud, goal(A, False)).held == ["vip-node2"]
    assert did(apply(cloud, goal(A))) == [("insert route", "vip-node1"), ("delete route", "vip-node2")]


def test_what_leads_to_a_living_instance_goes_first():
    cloud = own(pair(), C)
    cloud.kill(B)
    recreate(cloud, C)
    assert did(apply(cloud, goal(A))) == [("delete route", "vip-node3"), ("delete route", "vip-node2")]


# --- at the same moment


def starts():
    """The states that sets can be in, also those that killed runs leave."""
    yield pair
    yield lambda: pair(500, 1000)
    yield lambda: own(own(Cloud(), A, reserve=False), B, reserve=False)
    yield lambda: own(own(Cloud(), A), B, reserve=False)
    yield lambda: pair().put("floating-route-1", "10.100.2.1").put("floating-route-2", "10.100.2.2", 900)


def both_recreated():
    cloud = pair()
    recreate(cloud, A, "10.100.2.1")
    recreate(cloud, B, "10.100.2.2")
    return cloud


def actor(cloud, wanted):
    return runs.Actor(route_set_node, cloud, wanted, timeout=2000)


@pytest.mark.parametrize(("first", "second"), list(itertools.product([True, False], repeat=2)))
@pytest.mark.parametrize("start", [*starts(), both_recreated])
def test_two_nodes_at_once_step_by_step(start, first, second):
    """The cloud itself checks after each change that there is a route."""
    wanted = [goal(A, first), goal(B, second)]
    counts = [actor(start(), each).end() for each in wanted]
    for alone, then in itertools.product(*(range(count + 1) for count in counts)):
        cloud = start()
        actors = [actor(cloud, each) for each in wanted]
        runs.race(*actors, alone, then)
        assert [each.error for each in actors] == [None, None], (alone, then)
        assert cloud.traffic()
        for each in (*wanted, *wanted):
            apply(cloud, each)
        if start is pair and (first or second):
            assert cloud.traffic() == {each.me.instance for each in wanted if each.own}


@pytest.mark.parametrize("present", [True, False])
@pytest.mark.parametrize("start", [*starts(), both_recreated, Cloud])
def test_killed_after_any_step(start, present):
    wanted = goal(A, present, priority=700)
    for count in range(actor(start(), wanted).end() + 1):
        cloud = start()
        actor(cloud, wanted).go(count)
        cloud.clock.now += 60
        apply(cloud, wanted)
        assert not apply(cloud, wanted).changed
        seen = look(cloud, wanted)
        assert seen.here is (present or bool(seen.held))


def test_without_the_reserves_two_nodes_at_once_can_leave_none(monkeypatch):
    """So the reserve routes are needed, and the races can tell."""

    def careless(o, history, wanted):
        gone = o.of(wanted.me, False)
        return route_set_node.delete(o, gone[0]) if gone else None

    monkeypatch.setattr(route_set_node, "decide", careless)
    cloud = own(own(Cloud(), A, reserve=False), B, reserve=False)
    with pytest.raises(runs.Broken):
        runs.race(actor(cloud, goal(A, False)), actor(cloud, goal(B, False)), 2, 2)


def test_a_refusal_is_told():
    def fault(phase, verb, target):
        if (phase, verb) == ("before", "delete"):
            raise Denied("No.", status=403)

    cloud = pair()
    cloud.fault = fault
    with pytest.raises(engine.Failed, match="No"):
        apply(cloud, goal(A, False))

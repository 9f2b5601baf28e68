# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is decided about a virtual IP, from facts that a look has read: no client, no clock."""

from __future__ import annotations

import pytest

from ansible_collections.cloudha.vip.plugins.module_utils.failover import engine
from ansible_collections.cloudha.vip.plugins.module_utils.failover.facts import Unread, ask
from ansible_collections.cloudha.vip.plugins.module_utils.failover.havip_steps import History
from ansible_collections.cloudha.vip.tests.unit.plugins.module_utils.failover.havip_cloud import (
    CLOUDS,
    Huawei,
    Neutron,
    OldNeutron,
    Stack,
    X,
    Y,
    goal,
)

GONE = goal(present=False)
BOUND = "update members"


def look(cloud, wanted):
    """The facts that a decision needs."""
    procedure = cloud.procedure
    observed = procedure.look(cloud, wanted, {})
    return ask(cloud, observed, lambda o: procedure.decide(o, wanted, History()))[0]


def decide(cloud, observed, wanted, history=None):
    """Decides twice, which must change no fact and come to the same."""
    before = repr(observed.__dict__)
    first, second = (cloud.procedure.decide(observed, wanted, history or History()) for _time in range(2))
    assert repr(observed.__dict__) == before, "a decision changed the facts"
    assert first.problems == second.problems
    assert cloud.procedure.wanted_diff(first) == cloud.procedure.wanted_diff(second)
    return first


def items(cloud, wanted, history=None, memory=None):
    """The steps and pauses that are planned, from facts alone."""
    observed = look(cloud, wanted)
    cloud.requests.clear()
    decision = decide(cloud, observed, wanted, history)
    planned = decision.problems or list(cloud.procedure.plan(decision, wanted, memory or engine.Memory()))
    assert cloud.requests == []
    return planned


def names(*args, **keys):
    return [item if isinstance(item, str) else getattr(item, "name", "pause") for item in items(*args, **keys)]


@pytest.mark.parametrize(
    ("make", "there", "wanted", "expected"),
    [
        *((make, (), GONE, []) for make in CLOUDS),
        (Neutron, (), goal("n1", "n2"), ["create virtual IP", "bind member", "bind member"]),
        (
            Huawei,
            (),
            goal("n1"),
            ["create virtual IP", "switch source/destination check off", BOUND],
        ),
        (Stack, (), goal("n1", "n2"), ["create virtual IP", BOUND]),
        *((make, ("n1",), goal("n1"), []) for make in CLOUDS),
        *((make, ("n1",), goal(name="new"), ["update virtual IP"]) for make in CLOUDS),
        (Neutron, ("n1",), goal("n2"), ["bind member"]),
        (Neutron, ("n1",), goal("n2", exclusive=True), ["bind member", "unbind member"]),
        (Stack, ("n1",), goal("n2", exclusive=True), [BOUND]),
        (Neutron, ("n1", "n2"), GONE, ["unbind member", "unbind member", "delete virtual IP"]),
        # Without revisions a look has to confirm that nobody is bound.
        (OldNeutron, ("n1",), GONE, ["unbind member", "pause", "delete virtual IP"]),
        (Stack, ("n1",), GONE, [BOUND, "pause", "delete virtual IP"]),
        (Neutron, ("n1",), goal(external="eip1"), ["attach external address"]),
    ],
)
def test_what_is_there_and_what_is_wanted_make_the_steps(make, there, wanted, expected):
    cloud = make()
    if there:
        cloud.make(X, there)
    assert names(cloud, wanted) == expected


@pytest.mark.parametrize("make", CLOUDS)
def test_facts_cannot_be_set(make):
    cloud = make()
    cloud.make(X, ["n1"])
    observed = look(cloud, goal("n1"))
    for thing, name in ((observed, "vips"), (observed.vips[0], "members"), (observed.vips[0].members["n1"], "name")):
        with pytest.raises(AttributeError):
            setattr(thing, name, None)
    assert isinstance(observed.vips, tuple)


def test_only_what_a_goal_needs_is_read():
    cloud = Stack()
    cloud.make(X, ["n1"])
    for wanted, asked in (
        (GONE, []),
        (goal("n1"), ["describe_vms", "describe_nics"]),
        (goal("n1", address=Y, name="new"), ["describe_vms", "describe_nics", "describe_subnets"]),
    ):
        cloud.requests.clear()
        look(cloud, wanted)
        assert cloud.requests == ["describe_vips", *asked]
    with pytest.raises(Unread):
        cloud.procedure.decide(cloud.procedure.look(cloud, goal("n1"), {}), goal("n1"), History())


def test_what_lasts_is_read_once_in_a_run():
    cloud = Neutron()
    first = cloud.procedure.look(cloud, goal("n1"), {})
    cloud.requests.clear()
    cloud.procedure.look(cloud, goal("n1"), first.lasting)
    assert cloud.requests == ["list_ports", "list_external"]


@pytest.mark.parametrize("make", CLOUDS)
def test_a_run_deletes_only_the_one_that_it_began_to_delete(make):
    """Another one of the same name and address, which came meanwhile, stays."""
    cloud = make()
    cloud.make(X, ["n1"])
    observed = look(cloud, GONE)
    assert decide(cloud, observed, GONE).vip.address == X
    assert decide(cloud, observed, GONE, History(deleting=("another", X))).vip is None


def test_who_saw_the_same_for_long_enough_goes_on():
    assert History().then("a") == ("a", None)
    assert History(5.0, sight=("a", None)).then("a") == ("a", 5.0)
    assert History(9.0, sight=("a", 5.0)).then("a") == ("a", 5.0)
    assert History(9.0, sight=("a", 5.0)).then("b") == ("b", None)
    cloud = Stack()
    cloud.make(X)
    for seconds, expected in ((0.4, ["pause", "delete virtual IP"]), (1.0, ["delete virtual IP"])):
        memory = engine.Memory()
        memory.now = 10.0 + seconds
        memory.facts["sight"] = ("who", 10.0)
        assert names(cloud, GONE, memory=memory) == expected

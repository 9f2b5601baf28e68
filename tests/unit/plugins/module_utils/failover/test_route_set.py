# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A set of routes: made, changed, adopted, drained, taken away; from every state that a killed run can leave."""

from __future__ import annotations

import pytest

from ansible_collections.cloudha.vip.plugins.module_utils.base.errors import (
    Denied,
    Invalid,
    Lost,
    NotFound,
    Quota,
    Unavailable,
)
from ansible_collections.cloudha.vip.plugins.module_utils.failover import engine, route_set
from ansible_collections.cloudha.vip.plugins.module_utils.failover.route_set_goal import (
    RESERVE,
    Member,
    SetGoal,
    route_name,
)
from ansible_collections.cloudha.vip.tests.unit.plugins.module_utils.failover import runs
from ansible_collections.cloudha.vip.tests.unit.plugins.module_utils.failover.cloud import (
    DESTINATION,
    NETWORK,
    A,
    B,
    C,
    instance,
)
from ansible_collections.cloudha.vip.tests.unit.plugins.modules.gcp_run import Cloud

NAME = "vip"
FAR = instance("node9", "us-central1-f", "service-project")
MADE = ["vip-node1", "vip-node1-reserve", "vip-node2", "vip-node2-reserve"]


def goal(*members, **keys):
    """members: paths, or arguments of Member."""
    members = [Member(*((each,) if isinstance(each, str) else each)) for each in members or (A, B)]
    return SetGoal(NAME, DESTINATION, NETWORK, members, **keys)


def gone(*members):
    return SetGoal(NAME, DESTINATION, NETWORK, [Member(each) for each in members], present=False)


def apply(cloud, wanted, **keys):
    keys.setdefault("chance", lambda: 0.5)
    cloud.unprotected = not wanted.present
    try:
        return engine.apply(route_set.Procedure(), cloud, wanted, sleep=cloud.clock.sleep, clock=cloud.clock, **keys)
    finally:
        cloud.check()
        cloud.unprotected = False


def did(outcome):
    return [f"{each.name} {each.resource}" for each in outcome.steps]


def refused(cloud, wanted):
    before = cloud.mutations
    with pytest.raises(engine.Refused) as caught:
        apply(cloud, wanted)
    assert cloud.mutations == before
    return str(caught.value)


def made(*members):
    cloud = Cloud()
    apply(cloud, goal(*members))
    cloud.clock.now += 60
    return cloud


def sample():
    """As Google's document makes them."""
    return Cloud().put("floating-route-1", "10.100.2.1").put("floating-route-2", "10.100.2.2")


# --- made and changed


def test_made():
    cloud = Cloud()
    assert did(apply(cloud, goal())) == [
        "insert route vip-node1",
        "insert route vip-node2",
        "insert reserve route vip-node1-reserve",
        "insert reserve route vip-node2-reserve",
    ]
    assert cloud.traffic() == {A, B}
    assert {r["priority"] for r in cloud.routes} == {1000, RESERVE}
    assert not apply(cloud, goal()).changed


def test_the_best_priority_first():
    cloud = Cloud()
    steps = did(apply(cloud, goal((A, 1000), (B, 500))))
    assert steps[:2] == ["insert route vip-node2", "insert route vip-node1"]
    assert cloud.traffic() == {B}


@pytest.mark.parametrize(
    ("wanted", "steps", "traffic"),
    [
        (
            goal((A, 500), (B, 1000)),
            ["insert route vip-node1-2", "delete route vip-node1"],
            {A},
        ),
        (
            goal(A, B, C),
            ["insert route vip-node3", "insert reserve route vip-node3-reserve"],
            {A, B, C},
        ),
        (goal(A, (B, None, "drained")), ["delete route vip-node2"], {A}),
        (goal((A, None, "absent"), B), ["delete route vip-node1", "delete route vip-node1-reserve"], {B}),
        (goal(A), [], {A, B}),
        (
            goal(priority=700),
            [
                "insert route vip-node1-2",
                "insert route vip-node2-2",
                "delete route vip-node2",
                "delete route vip-node1",
            ],
            {A, B},
        ),
    ],
    ids=["priority", "one more", "drained", "absent", "not listed", "all priorities"],
)
def test_changed(wanted, steps, traffic):
    cloud = made()
    cloud.clock.now += 60
    assert sorted(did(apply(cloud, wanted))) == sorted(steps)
    assert cloud.traffic() == traffic
    assert not apply(cloud, wanted).changed


def test_the_newest_reserve_goes_only_after_an_older_one_was_made_anew():
    cloud = made()
    assert did(apply(cloud, goal(A, (B, None, "absent")))) == [
        "insert reserve route vip-node1-reserve-2",
        "delete route vip-node2",
        "delete route vip-node2-reserve",
        "delete route vip-node1-reserve",
    ]


def test_a_member_that_is_not_listed_any_more_goes_with_exclusive():
    cloud = made()
    assert did(apply(cloud, goal(A, exclusive=True))) == [
        "insert reserve route vip-node1-reserve-2",
        "delete other route vip-node2",
        "delete other route vip-node2-reserve",
        "delete route vip-node1-reserve",
    ]
    assert cloud.traffic() == {A}


def test_tags_are_changed_make_before_break():
    cloud = made()
    steps = did(apply(cloud, goal(tags=["client"])))
    assert [each.partition(" ")[0] for each in steps] == ["insert"] * 4 + ["delete"] * 4
    assert all(r["tags"] == ["client"] for r in cloud.routes)
    assert did(apply(cloud, goal())) == [], "no tags: they stay"
    apply(cloud, goal(tags=[]))
    assert not any(r.get("tags") for r in cloud.routes)


def test_the_primary_and_the_secondary_change_places():
    """In between both have the traffic, and never one whose turn is over alone."""
    cloud = made((A, 500), (B, 1000))
    seen = []
    check = cloud.check
    cloud.check = lambda: (check(), seen.append(frozenset(cloud.traffic())))
    assert did(apply(cloud, goal((A, 1000), (B, 500)))) == [
        "insert route vip-node2-2",
        "insert route vip-node1-2",
        "delete route vip-node1",
        "delete route vip-node2",
    ]
    assert list(dict.fromkeys(seen)) == [{A, B}, {B}]


def test_a_primary_with_a_worse_number_keeps_the_traffic():
    """The secondary's old route would get it, and goes first."""
    cloud = made((A, 500), (B, 1000))
    seen = set()
    check = cloud.check
    cloud.check = lambda: (check(), seen.add(frozenset(cloud.traffic())))
    apply(cloud, goal((A, 2000), (B, 3000)))
    assert seen == {frozenset({A})}


def test_without_priorities_they_stay():
    cloud = made((A, 500), (B, 900))
    assert did(apply(cloud, goal())) == []


# --- adopted


def test_routes_of_others_are_adopted():
    cloud = sample()
    assert did(apply(cloud, goal())) == [
        "insert reserve route vip-node1-reserve",
        "insert reserve route vip-node2-reserve",
    ]
    assert cloud.named("floating-route-1")["nextHopIp"] == "10.100.2.1"
    assert not apply(cloud, goal()).changed


def test_and_changed_make_before_break():
    cloud = sample()
    apply(cloud, goal((A, 500), B))
    assert cloud.names() == ["floating-route-2", "vip-node1", "vip-node1-reserve", "vip-node2-reserve"]
    assert cloud.traffic() == {A}


def test_foreign_routes_are_left_alone_and_told():
    cloud = made().put("other", C, 100)
    outcome = apply(cloud, goal())
    assert not outcome.changed
    assert [r["name"] for r in outcome.after.observed.foreign] == ["other"]
    assert did(apply(cloud, goal(exclusive=True))) == ["delete other route other"]


def test_a_foreign_route_for_other_senders_stays():
    cloud = made()
    apply(cloud, goal(tags=["client"]))
    cloud.put("other", C, 100, tags=["others"])
    assert did(apply(cloud, goal(exclusive=True))) == []


def test_routes_of_the_network_itself_cannot_be_deleted():
    cloud = made()
    cloud.put("local", None, 0, nextHopNetwork=NETWORK, nextHopIp="")
    assert "made by the network" in refused(cloud, goal(exclusive=True))
    assert not apply(cloud, goal()).changed


def test_a_route_whose_member_moved_to_another_zone_is_replaced():
    cloud = made()
    moved = instance("node1", "us-central1-f")
    cloud.kill(A, "NEXT_HOP_INSTANCE_NOT_FOUND")
    cloud.add_instance(moved, "10.100.2.8")
    apply(cloud, goal(moved, B))
    assert cloud.traffic() == {moved, B}
    assert cloud.names() == ["vip-node1-2", "vip-node1-reserve-2", "vip-node2", "vip-node2-reserve"]


def test_shared_vpc():
    cloud = Cloud()
    cloud.add_instance(FAR, "10.100.2.9")
    apply(cloud, goal(A, FAR))
    assert cloud.named("vip-node9")["nextHopIp"] == "10.100.2.9"
    outcome = apply(cloud, goal(A, FAR))
    assert not outcome.changed and outcome.after.observed.serving == sorted([A, FAR])


# --- drained, and the last one


def test_the_last_active_route_is_not_taken_away():
    cloud = made()
    cloud.kill(B)
    for wanted in (goal((A, None, "drained"), B), goal((A, None, "absent"), B)):
        text = refused(cloud, wanted)
        assert "vip-node1" in text and "last active" in text, text
    text = refused(made(), goal((A, None, "drained"), (B, None, "drained")))
    assert "vip-node1" in text and "vip-node2" in text


def test_a_dead_route_may_go():
    cloud = made()
    cloud.kill(B)
    assert did(apply(cloud, goal(A, (B, None, "drained")))) == ["delete route vip-node2"]


def test_a_member_that_was_drained_comes_back():
    cloud = made()
    apply(cloud, goal(A, (B, None, "drained")))
    assert did(apply(cloud, goal())) == ["insert route vip-node2"]


def test_a_drained_member_serves_while_nobody_else_does():
    cloud = made()
    apply(cloud, goal(A, (B, None, "drained")))
    cloud.dead[A] = "NEXT_HOP_NOT_RUNNING"
    assert cloud.traffic() == {B}


def test_taken_away():
    cloud = made().put("other", C)
    apply(cloud, gone())
    assert cloud.names() == ["other"]
    assert not apply(cloud, gone()).changed
    cloud = sample()
    apply(cloud, gone(A))
    assert cloud.names() == ["floating-route-2"]


# --- refused


@pytest.mark.parametrize(
    ("wanted", "word"),
    [
        (goal((A, 65535)), "priority of node1: 65535"),
        (goal(priority=-1), "priority: -1"),
        (goal(A, A), "twice"),
        (goal(A, instance("node1", "us-central1-f")), "same name"),
        (goal("nonsense"), "is not of the form"),
        (goal(tags=["Bad Tag"]), "no network tag"),
        (SetGoal("Bad", DESTINATION, NETWORK, [Member(A)]), "no name of a route"),
        (SetGoal(NAME, "10.200.1.1", NETWORK, [Member(A)]), "destination"),
        (SetGoal(NAME, DESTINATION, "net", [Member(A)]), "network"),
        (SetGoal(NAME, DESTINATION, NETWORK), "give at least one"),
    ],
)
def test_a_goal_that_cannot_be(wanted, word):
    cloud = Cloud()
    assert word in refused(cloud, wanted)
    assert cloud.requests == []


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"canIpForward": False}, "may not forward"),
        ({"status": "TERMINATED"}, "is not RUNNING"),
        ({"networkInterfaces": []}, "has no interface on"),
    ],
)
def test_a_member_that_is_not_fit(change, word):
    cloud = Cloud()
    cloud.instances[B].update(change)
    assert word in refused(cloud, goal())


def test_a_member_that_stopped_and_needs_nothing_new_does_no_harm():
    cloud = made()
    cloud.kill(B)
    cloud.instances[B]["status"] = "TERMINATED"
    assert did(apply(cloud, goal((A, 500), B))) == ["insert route vip-node1-2", "delete route vip-node1"]


def test_what_is_not_there():
    cloud = Cloud()
    assert "does not exist" in refused(cloud, goal(A, instance("nobody")))
    cloud.subnetworks = [{"name": "s", "ipCidrRange": "10.200.0.0/16"}]
    assert "is inside the range" in refused(cloud, goal())


def test_a_missing_permission_is_told_before_the_first_change():
    cloud = made()
    for missing in ("compute.routes.delete", "compute.instances.use", "compute.globalOperations.get"):
        cloud.missing = {missing}
        cloud.requests.clear()
        with pytest.raises(engine.Failed, match=missing):
            apply(cloud, goal(A, B, C))
        assert not cloud.mutations
    assert not apply(cloud, goal()).changed, "and not asked for if there is nothing to do"


def test_an_insertion_whose_next_hop_died_ends_the_run():
    cloud = made()

    def fault(phase, verb, target):
        if (phase, verb) == ("before", "insert"):
            cloud.dead[C] = "NEXT_HOP_NOT_RUNNING"

    cloud.fault = fault
    with pytest.raises(engine.Failed, match="vip-node3: the API says that the next hop"):
        apply(cloud, goal((C, 500), (A, None, "drained"), (B, None, "drained")))
    assert cloud.traffic() == {A, B}


# --- names


def test_names_are_short_enough_and_tell_members_apart():
    one, other = ("a" * 62 + end for end in "bc")
    names = {route_name("set", one), route_name("set", other), route_name("s" * 63, "a")}
    assert len(names) == 3 and all(len(name) + len("-reserve-99") <= 63 for name in names)
    assert route_name("floating-ip", "node1") == "floating-ip-node1"


def test_a_name_that_is_taken_elsewhere_is_not_insisted_on():
    cloud = Cloud().put("vip-node1", C)
    cloud.routes[0]["destRange"] = "10.200.1.9/32"
    apply(cloud, goal())
    assert cloud.traffic() == {A, B} and "vip-node1-2" in cloud.names()
    assert not apply(cloud, goal()).changed


# --- check mode


@pytest.mark.parametrize(
    "wanted",
    [
        goal(),
        goal((A, 500), (B, 1000)),
        goal(A, (B, None, "drained")),
        goal(A, (B, None, "absent")),
        goal(A, C, exclusive=True),
        goal(tags=["client"]),
        gone(),
        gone(A, B, C),
    ],
)
@pytest.mark.parametrize("start", [Cloud, made, lambda: made((A, 500), B), sample, lambda: made().put("x", C, 100)])
def test_a_preview_tells_the_steps_and_the_result(start, wanted):
    cloud = start()
    procedure = route_set.Procedure()
    before = cloud.mutations
    checked, steps = engine.preview(procedure, cloud, wanted)
    assert cloud.mutations == before
    then = procedure.wanted_diff(checked)
    outcome = apply(cloud, wanted)
    assert [(each.name, each.resource) for each in steps] == [(each.name, each.resource) for each in outcome.steps]
    assert outcome.after.to_diff() == then
    assert outcome.before.to_diff() == checked.to_diff()


def test_a_preview_waits_in_vain_for_nothing():
    """Seconds since 1970 are not exact: what is left of a lease may be too little to be added to them."""
    cloud = Cloud()
    apply(cloud, goal())
    cloud.clock.now += 0.1
    for route in cloud.routes:
        route["creationTimestamp"] = route["creationTimestamp"].replace(".000", ".789")
    assert [each.name for each in engine.preview(route_set.Procedure(), cloud, goal((A, 500), lease=0.3))[1]] == [
        "insert route",
        "delete route",
    ]


# --- killed, and faults


STARTS = {
    "nothing": Cloud,
    "made": made,
    "by priority": lambda: made((A, 500), (B, 1000)),
    "sample": sample,
    "foreign": lambda: made().put("other", C, 100),
    "drained": lambda: made(A, B).put("vip-node1-2", A, 700),
}
GOALS = {
    "equal": goal(priority=1000, exclusive=True),
    "by priority": goal((A, 500), (B, 1000), exclusive=True),
    "swapped": goal((A, 1000), (B, 500), exclusive=True),
    "drained": goal((A, 1000, "drained"), (B, 1000), exclusive=True),
    "other": goal((A, 700, "absent"), (B, 700), (C, 800), tags=["client"], exclusive=True),
}


def actor(cloud, wanted):
    return runs.Actor(route_set.Procedure(), cloud, wanted, timeout=2000)


def stops(cloud, wanted):
    """After how many items of a run something was changed, so that it may be killed there; and at first."""
    run, found, number = actor(cloud, wanted), [0], 0
    while not run.over:
        before = len(cloud.log)
        run.go()
        number += 1
        found += [number] if len(cloud.log) > before else []
    return found


@pytest.mark.parametrize("wanted", GOALS.values(), ids=GOALS)
@pytest.mark.parametrize("start", STARTS.values(), ids=STARTS)
def test_killed_after_any_step_and_run_again(start, wanted):
    cloud = start()
    numbers = stops(cloud, wanted)
    expected = len(cloud.routes), cloud.traffic()
    for number in numbers:
        cloud = start()
        actor(cloud, wanted).go(number)
        apply(cloud, wanted)
        assert (len(cloud.routes), cloud.traffic()) == expected, number
        assert not apply(cloud, wanted).changed


@pytest.mark.parametrize("then", GOALS.values(), ids=GOALS)
@pytest.mark.parametrize("wanted", [GOALS["swapped"], GOALS["other"]])
def test_killed_after_any_step_and_something_else_is_wanted(wanted, then):
    for number in stops(made(), wanted):
        cloud = made()
        actor(cloud, wanted).go(number)
        apply(cloud, then)
        assert not apply(cloud, then).changed


ERRORS = [
    Lost("The connection was lost."),
    Unavailable("Not now.", status=503),
    NotFound("Gone.", status=404),
    Invalid("No.", status=400),
    Quota("Too many.", status=403),
    Denied("No.", status=403),
]


def outcome_of(cloud, wanted):
    """Why it failed; empty if it did not."""
    try:
        apply(cloud, wanted)
    except (engine.Failed, engine.Refused) as failed:
        return str(failed)
    return ""


@pytest.mark.parametrize("phase", ["before", "after"])
@pytest.mark.parametrize("error", ERRORS, ids=lambda each: type(each).__name__)
@pytest.mark.parametrize("wanted", [GOALS["swapped"], GOALS["drained"]])
def test_an_error_at_any_request(wanted, error, phase):
    """It ends well, or says what is the matter; and then it ends well."""
    cloud = made()
    apply(cloud, wanted)
    for number in range(1, len(cloud.requests) + 1):
        cloud = made()
        count = len(cloud.requests) + number

        def fault(when, _verb, _target, cloud=cloud, count=count):
            if when == phase and len(cloud.requests) == count:
                cloud.requests.append(("fault", ""))
                raise error

        cloud.fault = fault
        text = outcome_of(cloud, wanted)
        assert not text or str(error).rstrip(".") in text
        cloud.fault = lambda *_: None
        apply(cloud, wanted)
        assert not apply(cloud, wanted).changed

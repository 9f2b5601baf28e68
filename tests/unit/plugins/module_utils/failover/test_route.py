# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One run after another: from every state, through every crash and every error. The cloud checks the invariants."""

from __future__ import annotations

import copy
import datetime

import pytest

from ansible_collections.cloudha.vip.plugins.module_utils.base.errors import (
    AlreadyExists,
    CloudError,
    Denied,
    Invalid,
    Lost,
    NotFound,
    Quota,
    Stale,
    Unavailable,
)
from ansible_collections.cloudha.vip.plugins.module_utils.clouds.gce_names import normalise, parse_time
from ansible_collections.cloudha.vip.plugins.module_utils.failover import engine, route, route_steps
from ansible_collections.cloudha.vip.plugins.module_utils.failover.route_goal import RouteGoal
from ansible_collections.cloudha.vip.plugins.module_utils.failover.route_look import Observed
from ansible_collections.cloudha.vip.plugins.module_utils.failover.route_table import DEAD, MARK, holder_of, next_hop_of
from ansible_collections.cloudha.vip.tests.unit.plugins.module_utils.failover.cloud import (
    DESTINATION,
    EPOCH,
    NAME,
    NETWORK,
    URL,
    A,
    B,
    C,
    Cloud,
    apply,
    goal,
    instance,
    written,
)
from ansible_collections.cloudha.vip.tests.unit.plugins.module_utils.failover.runs import Crash

MOVE = [route_steps.INSERT_TEMPORARY, route_steps.DELETE, route_steps.INSERT, route_steps.DELETE_TEMPORARY]


def steps(outcome):
    return [step.name for step in outcome.steps]


def converged(cloud, wanted):
    """Exactly the wanted route, and nothing else to this destination."""
    if not wanted.present:
        return cloud.names() == []
    (found,) = cloud.routes
    return (
        found["name"] == wanted.name
        and cloud.traffic() == {wanted.next_hop}
        and found["priority"] == (wanted.priority or 1000)
        and sorted(found.get("tags", [])) == (wanted.tags or [])
        and "temporary" not in found.get("description", "")
    )


# One run


def test_a_new_route_takes_one_request():
    cloud = Cloud()
    outcome = apply(cloud, goal(A))
    assert steps(outcome) == [route_steps.INSERT]
    assert outcome.changed and outcome.before.holder is None and outcome.after.holder == A
    assert converged(cloud, goal(A))


def test_traffic_moves_after_one_request():
    cloud = Cloud().put(NAME, A)
    moved = []
    cloud.fault = lambda phase, verb, target: moved.append((verb, cloud.traffic())) if phase == "after" else None
    outcome = apply(cloud, goal(B))
    assert steps(outcome) == MOVE
    assert [verb for verb, _traffic in moved[:2]] == ["list", "insert"]
    assert all(traffic == {B} for _verb, traffic in moved[1:])
    assert outcome.before.holder == A and outcome.after.holder == B
    assert converged(cloud, goal(B))


def test_nothing_to_do():
    cloud = Cloud().put(NAME, A)
    before = copy.deepcopy(cloud.routes)
    outcome = apply(cloud, goal(A))
    assert not outcome.changed and outcome.steps == [] and cloud.routes == before


def test_steps_are_timed():
    cloud = Cloud(latency=2.0).put(NAME, A)
    outcome = apply(cloud, goal(B, settle=1.0))
    assert [step.ms for step in outcome.steps] == [pytest.approx(2000)] * 4
    assert [step.attempts for step in outcome.steps] == [1] * 4
    assert outcome.elapsed_ms == pytest.approx(4 * 2000 + 2 * 1000)


def test_what_is_left_out_stays():
    cloud = Cloud().put(NAME, A, priority=700, tags=["client"], description="the floating address")
    apply(cloud, goal(B))
    (found,) = cloud.routes
    assert (found["priority"], found["tags"], found["description"]) == (700, ["client"], "the floating address")
    apply(cloud, goal(None, priority=800))
    assert cloud.routes[0]["nextHopInstance"] == URL + B and cloud.routes[0]["priority"] == 800


@pytest.mark.parametrize(
    "keys",
    [{"priority": 500}, {"priority": 2000}, {"tags": ["client"]}, {"description": "new"}, {"next_hop": "10.100.2.1"}],
)
def test_a_difference_is_seen_once(keys):
    cloud = Cloud().put(NAME, A, priority=1000, description="old")
    wanted = goal(keys.pop("next_hop", A), **keys)
    # Another class of senders, or another kind of next hop: (a) is about all of them, of which the cloud knows nothing.
    cloud.check = lambda: None
    assert steps(apply(cloud, wanted)) == MOVE
    assert not apply(cloud, wanted).changed
    for key, value in keys.items():
        assert cloud.routes[0][key] == value


def test_changes_reach_the_senders_later():
    """Insertions later than deletions: without `settle` there would be moments without a route."""
    cloud = Cloud(latency=0.2, propagation=0.9).put(NAME, A)
    apply(cloud, goal(B, settle=1.0))
    cloud.clock.now += 1
    assert converged(cloud, goal(B))
    with pytest.raises(AssertionError, match="no route to a live holder"):
        apply(cloud, goal(A, settle=0.0))


def test_absent():
    cloud = Cloud().put(NAME, A).put("other", B, destRange="10.200.1.2/32")
    stop_after(cloud, goal(B), "insert", 1)
    outcome = apply(cloud, goal(None, present=False))
    assert sorted(steps(outcome)) == sorted([route_steps.DELETE, route_steps.DELETE_TEMPORARY])
    assert cloud.names() == ["other"]
    assert not apply(cloud, goal(None, present=False)).changed


def test_exclusive_removes_others_only_when_asked():
    cloud = Cloud().put(NAME, A).put("better", C, priority=900).put("worse", C, priority=1100)
    with pytest.raises(engine.Refused, match=r"the route better \(priority 900, to .*node3\).*exclusive"):
        apply(cloud, goal(B))
    assert cloud.log == []
    apply(cloud, goal(B, exclusive=True))
    assert cloud.names() == [NAME, "worse"] and cloud.traffic() == {B}


def test_others_that_are_not_in_the_way():
    cloud = Cloud().put(NAME, A, tags=["client"])
    cloud.put("tagged", C, priority=1, tags=["server"])
    cloud.put("elsewhere", C, priority=1, network="projects/p/global/networks/other")
    cloud.check = lambda: None
    apply(cloud, goal(B))
    assert cloud.names() == ["elsewhere", NAME, "tagged"]


def test_preview_changes_nothing():
    cloud = Cloud().put(NAME, A)
    observed, items = engine.preview(route, cloud, goal(B))
    assert [step.name for step in items] == MOVE and items[1].resource == NAME
    assert observed.holder == A and cloud.log == []
    assert observed.to_diff()["routes"] == [
        {"name": NAME, "priority": 1000, "next_hop": A, "tags": [], "description": ""}
    ]
    assert route.wanted_diff(observed)["routes"][0]["next_hop"] == B
    assert route.wanted_diff(observed)["holder"] == B


def test_next_hop_by_address():
    cloud = Cloud().put(NAME, "10.100.2.1")
    outcome = apply(cloud, goal("10.100.2.2", check=True))
    assert (outcome.before.holder, outcome.after.holder) == (A, B)
    assert cloud.routes[0]["nextHopIp"] == "10.100.2.2" and "nextHopInstance" not in cloud.routes[0]


def test_whose_an_address_is_is_not_worth_a_failure():
    """The agent does not ask, and who may not list instances is told the address."""
    outcome = apply(Cloud().put(NAME, "10.100.2.1"), goal("10.100.2.2"))
    assert (outcome.before.holder, outcome.after.holder) == ("10.100.2.1", "10.100.2.2")
    for error in (Denied("may not list", status=403), Unavailable("a zone is silent"), NotFound("no such project")):

        def fault(phase, verb, _target, error=error):
            if (phase, verb) == ("before", "find"):
                raise error

        outcome = apply(Cloud(fault=fault).put(NAME, "10.100.2.1"), goal(B, check=True))
        assert (outcome.before.holder, outcome.after.holder) == ("10.100.2.1", B)


# Shared VPC

D, E = instance("vm1", project="service"), instance("vm2", "us-central1-b", project="other-service")


def shared():
    cloud = Cloud()
    cloud.add_instance(D, "10.100.2.8")
    cloud.add_instance(E, "10.100.2.9")
    return cloud


@pytest.mark.parametrize("address", [None, "10.100.2.9"])
def test_to_an_instance_of_another_project(address):
    """The API takes no such instance as a next hop, and so its address is; for people it is the instance."""
    cloud = shared().put(NAME, "10.100.2.8")
    wanted = goal(E, check=True, expected_holder=D, address=address)
    observed, planned = engine.preview(route, cloud, wanted)
    assert [step.name for step in planned] == MOVE
    assert (observed.holder, route.wanted_diff(observed)["holder"]) == (D, E)
    outcome = apply(cloud, wanted)
    assert steps(outcome) == MOVE
    assert (outcome.before.holder, outcome.after.holder) == (D, E)
    (found,) = cloud.routes
    assert found["nextHopIp"] == "10.100.2.9" and "nextHopInstance" not in found
    assert apply(cloud, wanted).changed is False
    # Between the projects, and by the name alone.
    assert apply(cloud, goal(A, check=True, expected_holder="vm2")).after.holder == A
    assert apply(cloud, goal(D, check=True, expected_holder="node1")).after.holder == D


@pytest.mark.parametrize("number", range(1, 9))
@pytest.mark.parametrize("phase", ["before", "after"])
def test_killed_on_the_way_to_another_project(number, phase):
    seen = []

    def fault(when, verb, _target):
        if when == phase and verb in ("insert", "delete"):
            seen.append(verb)
            if len(seen) == number:
                raise Crash

    cloud = shared().put(NAME, "10.100.2.8")
    cloud.fault = fault
    killed = number <= 4
    if killed:
        with pytest.raises(Crash):
            apply(cloud, goal(E, check=True))
    cloud.fault = lambda *_: None
    assert apply(cloud, goal(E, check=True)).changed == (not killed or (number, phase) != (4, "after"))
    assert cloud.names() == [NAME] and cloud.traffic() == {"10.100.2.9"}


@pytest.mark.parametrize(
    ("keys", "text"),
    [
        ({"canIpForward": False}, f"next hop: {D} may not forward packets"),
        ({"status": "TERMINATED"}, f"next hop: {D} is not RUNNING"),
        (
            {"networkInterfaces": [{"network": URL + NETWORK + "2", "networkIP": "10.9.0.1"}]},
            f"{D} has no interface on",
        ),
        (None, f"next hop: the instance {D} does not exist"),
    ],
)
@pytest.mark.parametrize("check", [True, False])
def test_an_instance_of_another_project_that_will_not_do(keys, text, check):
    cloud = Cloud().put(NAME, A)
    if keys is not None:
        cloud.add_instance(D, "10.100.2.8", **keys)
    with pytest.raises(engine.Refused, match=text):
        engine.preview(route, cloud, goal(D, check=check))
    with pytest.raises(engine.Refused, match=text):
        apply(cloud, goal(D, check=check))
    assert cloud.log == []


def test_a_number_may_be_that_of_the_same_project():
    assert not goal("projects/123/zones/us-central1-a/instances/node1").across
    assert not goal("10.100.2.1").across and not goal(None).across and not goal(A).across and goal(D).across


# Crashes


def crash_at(cloud, number, phase):
    """Kill the process at its number-th mutation, before or after that takes effect."""
    seen = [0]

    def fault(at, verb, target):
        if verb in ("insert", "delete") and at == phase:
            seen[0] += 1
            if seen[0] == number:
                raise Crash

    cloud.fault = fault


def stop_after(cloud, wanted, verb, count):
    crash_at(cloud, count, "after")
    with pytest.raises(Crash):
        apply(cloud, wanted)
    cloud.fault = lambda phase, verb, target: None


SCENARIOS = {
    "fresh": (Cloud, goal(B)),
    "failover": (lambda: Cloud().put(NAME, A), goal(B)),
    "priority": (lambda: Cloud().put(NAME, A), goal(B, priority=500)),
    "worse priority": (lambda: Cloud().put(NAME, A, priority=500), goal(B, priority=1000)),
    "same holder": (lambda: Cloud().put(NAME, B), goal(B, priority=2000)),
    "no room": (lambda: Cloud().put(NAME, A, priority=1), goal(B, priority=1)),
    "exclusive": (
        lambda: Cloud().put(NAME, A).put("better", C, priority=10).put(f"{NAME}-p", A, priority=900),
        goal(B, exclusive=True),
    ),
    "absent": (lambda: Cloud().put(NAME, A), goal(None, present=False)),
    "not there": (lambda: Cloud().put("better", A, priority=10), goal(B, exclusive=True)),
    "dead holder": (lambda: dead(Cloud().put(NAME, A)), goal(B)),
}


def dead(cloud):
    cloud.kill(A)
    return cloud


def crashed(scenario):
    """Every state that a kill before or after a mutation leaves."""
    make, wanted = SCENARIOS[scenario]
    for number in range(1, 20):
        for phase in ("before", "after"):
            cloud = make()
            crash_at(cloud, number, phase)
            try:
                apply(cloud, wanted)
            except Crash:
                cloud.fault = lambda phase, verb, target: None
                yield f"{number} {phase}", cloud, wanted
            else:
                assert converged(cloud, wanted)
                return
    raise AssertionError("the procedure has no end")


@pytest.mark.parametrize("later", [0, 5, 100])
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_killed_anywhere_and_run_again(scenario, later):
    for where, cloud, wanted in crashed(scenario):
        cloud.clock.now += later
        apply(cloud, wanted)
        assert converged(cloud, wanted), where
        assert not apply(cloud, wanted).changed, where


@pytest.mark.parametrize("next_hop", [A, C], ids=["failback", "a third"])
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_killed_anywhere_and_something_else_is_wanted(scenario, next_hop):
    for where, cloud, _wanted in crashed(scenario):
        cloud.dead.clear()
        then = goal(next_hop, priority=1000, exclusive=True)
        cloud.requests.clear()
        outcome = apply(cloud, then)
        assert converged(cloud, then), where
        if not outcome.changed:
            continue
        # Whatever was left: no pause before the first mutation, and it moves the traffic. A look, then a request.
        assert [verb for verb, _target in cloud.requests[:2]] in (["list", "insert"], ["list", "delete"]), where


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_killed_anywhere_and_then_absent(scenario):
    for where, cloud, _wanted in crashed(scenario):
        apply(cloud, goal(None, present=False))
        assert not any(name == NAME or "-tmp-" in name for name in cloud.names()), where


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_killed_again_and_again(scenario):
    """Each run gets one mutation further than the one before, at most."""
    make, wanted = SCENARIOS[scenario]
    for phase in ("before", "after"):
        cloud = make()
        for allowed in range(1, 40):
            crash_at(cloud, allowed, phase)
            try:
                apply(cloud, wanted)
                break
            except Crash:
                cloud.clock.now += 1
        assert converged(cloud, wanted), phase


def test_what_was_left_out_survives_a_crash():
    """Between deletion and insertion, only the temporary knows what the original was like."""
    cloud = Cloud().put(NAME, A, priority=700, tags=["client"], description="the floating address")
    cloud.check = lambda: None
    stop_after(cloud, goal(B), "delete", 2)
    assert cloud.named(NAME) is None
    apply(cloud, goal(None))
    (found,) = cloud.routes
    assert (found["priority"], found["tags"], found["description"]) == (700, ["client"], "the floating address")
    assert next_hop_of(found) == B


def test_late_requests_of_a_dead_run():
    """A deletion that reaches the API after another run has ended hits nothing."""
    cloud = Cloud().put(NAME, A)
    stuck = []
    crash_at(cloud, 2, "before")
    with pytest.raises(Crash):
        apply(cloud, goal(B))
    cloud.fault = lambda phase, verb, target: None
    stuck.append(next(target for verb, target in cloud.requests if verb == "delete"))
    apply(cloud, goal(A))
    with pytest.raises(NotFound):
        cloud.delete_route(stuck[0], "late")
    assert converged(cloud, goal(A))


def test_periodic_repair_after_a_late_insertion():
    """The temporary of a run that died appears after all others have ended and takes the traffic: a plain run mends."""
    cloud = Cloud().put(NAME, A)
    body = {"network": NETWORK, "destRange": DESTINATION, "priority": 999, "nextHopInstance": A}
    mark = f"{MARK}{NAME} {{}}"
    apply(cloud, goal(B))
    cloud.insert_route({**body, "name": f"{NAME}-tmp-0badcafe-1", "description": mark}, "late")
    assert cloud.traffic() == {A}
    apply(cloud, goal(B))
    assert converged(cloud, goal(B))


# Errors


def failing(error, verb, number, phase, times):
    seen = [0]

    def fault(at, what, target):
        if what == verb and at == phase:
            seen[0] += 1
            if number <= seen[0] < number + times:
                raise copy.copy(error)

    return fault


ERRORS = [
    NotFound("404: was not found", status=404),
    AlreadyExists("409: already exists", status=409),
    Stale("412: precondition failed", status=412),
    Denied("403: permission compute.routes.create", status=403, code="forbidden"),
    Invalid("400: invalid", status=400),
    Quota("403: QUOTA_EXCEEDED", status=403, code="QUOTA_EXCEEDED"),
    Unavailable("503: backend error", status=503),
    Unavailable("403: rateLimitExceeded", status=403, retry_after=7),
    Lost("the connection was lost"),
    CloudError("418: something new", status=418),
]


@pytest.mark.parametrize("times", [1, 3, 1000], ids=["once", "three times", "for good"])
@pytest.mark.parametrize("phase", ["before", "after"])
@pytest.mark.parametrize("error", ERRORS, ids=lambda error: f"{type(error).__name__} {error.status}")
@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize("verb", ["list", "insert", "delete"])
def test_every_error_at_every_request(verb, number, error, phase, times):
    """Either the run gets through, or it says what failed and what is there. Run again, it always gets through."""
    cloud = Cloud(fault=failing(error, verb, number, phase, times)).put(NAME, A)
    wanted = goal(B)
    failed = None
    try:
        apply(cloud, wanted)
    except engine.Failed as caught:
        failed = caught
    if failed:
        assert str(error) in str(failed)
        unsure = isinstance(error, Unavailable) and verb != "list"
        assert ("nothing was changed" in str(failed)) == (not failed.steps and not unsure)
        assert ("done until then" in str(failed)) == bool(failed.steps)
        assert ("may have taken effect" in str(failed)) == unsure
        assert failed.observed is None or f"{DESTINATION} goes to" in str(failed)
        assert bool(failed.steps) == bool(cloud.log) or phase == "after"
    else:
        assert converged(cloud, wanted)
    conflicts = {"list": (), "insert": (AlreadyExists, Stale), "delete": (NotFound, Stale)}[verb]
    may_pass = isinstance(error, (Unavailable, *conflicts))
    # An id that is refused may be one that is not known; the name that is tried then must do.
    may_pass = may_pass or (verb == "delete" and isinstance(error, Invalid) and (times == 1 or phase == "after"))
    if times < 1000:
        assert bool(failed) != may_pass
    elif phase == "before":
        assert failed
    assert cloud.traffic() in ({A}, {B})
    cloud.fault = lambda phase, verb, target: None
    apply(cloud, wanted, timeout=600)
    assert converged(cloud, wanted)


def test_an_error_that_may_pass_does_not_end_a_run():
    for verb, number in [("list", 1), ("list", 2), ("insert", 1), ("insert", 2), ("delete", 1), ("delete", 2)]:
        for phase in ("before", "after"):
            for error in (Unavailable("503", status=503), Lost("lost")):
                # An operation that failed is made anew after the second time, so only once after it took effect.
                times = 1 if phase == "after" and not isinstance(error, Lost) else 3
                cloud = Cloud(fault=failing(error, verb, number, phase, times)).put(NAME, A)
                assert steps(apply(cloud, goal(B))) == MOVE, (verb, number, phase, error)
                assert converged(cloud, goal(B))


def test_a_request_that_took_effect_is_not_made_twice():
    cloud = Cloud(fault=failing(Lost("lost"), "insert", 1, "after", 2)).put(NAME, A)
    outcome = apply(cloud, goal(B))
    assert len([entry for entry in cloud.log if entry[0] == "insert"]) == 2
    assert outcome.steps[0].attempts == 3


DEAD_CODES = sorted(DEAD)


@pytest.mark.parametrize("code", DEAD_CODES)
def test_a_dead_next_hop_moves_nothing(code):
    """The operation ends well, with a warning: nothing is deleted because of such a route, and it is taken away."""
    cloud = Cloud().put(NAME, A)
    cloud.dead[B] = code
    with pytest.raises(engine.Failed, match=code) as failed:
        apply(cloud, goal(B))
    assert cloud.names() == [NAME] and cloud.traffic() == {A}
    assert [step.name for step in failed.value.steps] == [route_steps.INSERT_TEMPORARY, route_steps.DELETE_TEMPORARY]
    cloud = Cloud()
    cloud.dead[B] = code
    with pytest.raises(engine.Failed, match=code):
        apply(cloud, goal(B))
    assert cloud.names() == []


def test_the_next_hop_dies_meanwhile():
    cloud = Cloud().put(NAME, A)
    crash_at(cloud, 3, "before")
    with pytest.raises(Crash):
        apply(cloud, goal(B))
    cloud.kill(B)
    cloud.fault = lambda phase, verb, target: None
    apply(cloud, goal(A))
    assert converged(cloud, goal(A))


def test_the_next_hop_dies_under_the_run():
    cloud = Cloud().put(NAME, A)

    def fault(phase, verb, target):
        if (phase, verb, target) == ("before", "insert", NAME):
            cloud.kill(B)

    cloud.fault = fault
    with pytest.raises(engine.Failed, match="NEXT_HOP_NOT_RUNNING"):
        apply(cloud, goal(B))
    apply(cloud, goal(A))
    assert converged(cloud, goal(A))


def test_a_route_whose_next_hop_was_dead_is_made_anew():
    """The agent on a node that came back: the route leads to it, and the API still says that it is dead."""
    cloud = Cloud().put(NAME, A)
    first = cloud.routes[0]["id"]
    shown = cloud._shown
    warnings = {"warnings": [{"code": "NEXT_HOP_NOT_RUNNING"}]}
    cloud._shown = lambda each: {**shown(each), **(warnings if each["id"] == first else {})}
    assert steps(apply(cloud, goal(A))) == MOVE


def test_success_is_not_told_of_a_dead_route():
    cloud = Cloud().put(NAME, A)

    def fault(phase, verb, target):
        if verb == "delete" and phase == "after" and len(cloud.log) == 4:
            cloud.kill(B)

    cloud.fault = fault
    with pytest.raises(engine.Failed, match="is in place, but the API says that its next hop is dead"):
        apply(cloud, goal(B))


# What Google's own function does wrong (the letters are those of the list of its defects)


@pytest.mark.parametrize("error", [Denied("403", status=403), Quota("403", status=403), Invalid("400", status=400)])
def test_defect_a_the_original_goes_although_the_temporary_failed(error):
    cloud = Cloud(fault=failing(error, "insert", 1, "before", 1000)).put(NAME, A)
    with pytest.raises(engine.Failed, match="nothing was changed"):
        apply(cloud, goal(B))
    assert cloud.names() == [NAME] and cloud.traffic() == {A}


def test_defect_b_an_operation_that_is_done_with_an_error():
    """The client raises it as what it means, and the engine ends or tries again; nothing waits without an end."""
    cloud = Cloud(fault=failing(Lost("the operation never ends"), "insert", 1, "before", 10**9)).put(NAME, A)
    begun = cloud.clock.now
    with pytest.raises(engine.Failed, match="never ends"):
        apply(cloud, goal(B), timeout=60)
    assert cloud.clock.now - begun <= 60
    assert cloud.traffic() == {A}


def test_defect_c_failback_after_a_crash_is_no_change():
    """The original looks right, but a temporary keeps the traffic with the other one."""
    cloud = Cloud().put(NAME, A)
    stop_after(cloud, goal(B), "insert", 1)
    assert cloud.named(NAME)["nextHopInstance"].endswith(A) and cloud.traffic() == {B}
    apply(cloud, goal(A))
    assert converged(cloud, goal(A))


def test_defect_d_a_stale_temporary_of_the_same_name():
    """It pointed at the wrong machine while the original was away. Ours have names of their own."""
    cloud = Cloud().put(NAME, A)
    stop_after(cloud, goal(C), "insert", 1)
    (stale,) = [name for name in cloud.names() if "-tmp-" in name]
    seen = []
    cloud.fault = lambda phase, verb, target: seen.append(cloud.traffic()) if verb in ("insert", "delete") else None
    apply(cloud, goal(B))
    assert stale not in [entry[1] for entry in cloud.log if entry[0] == "insert"][1:]
    assert converged(cloud, goal(B)) and all(traffic == {B} for traffic in seen[1:])


def test_defect_f_two_at_once():
    """The worst moment: the second run takes place as a whole while the first is about to delete the original."""
    cloud = Cloud().put(NAME, A)

    def fault(phase, verb, target):
        if (phase, verb) == ("before", "delete"):
            cloud.fault = lambda phase, verb, target: None
            apply(cloud, goal(C))

    cloud.fault = fault
    apply(cloud, goal(B))
    assert converged(cloud, goal(B))


def test_defect_h_names_are_compared_and_zones_are_not():
    twin = instance("node1", zone="us-central1-f")
    cloud = Cloud().put(NAME, A)
    outcome = apply(cloud, goal(twin))
    assert outcome.changed and cloud.traffic() == {twin}
    other_project = instance("node1", project="q")
    cloud.add_instance(other_project, "10.100.2.9")
    assert apply(cloud, goal(other_project)).changed and cloud.traffic() == {"10.100.2.9"}


# What others have left


@pytest.mark.parametrize("priority", [0, 1, 2, 999, 1000, 1001, 65535])
def test_leftovers_with_any_priority(priority):
    for next_hop in (A, B, C, instance("gone")):
        cloud = Cloud().put(NAME, A)
        if next_hop.endswith("gone"):
            cloud.dead[next_hop] = "NEXT_HOP_INSTANCE_NOT_FOUND"
        cloud.put(f"{NAME}-tmp-0badcafe-1", next_hop, priority, description=f"{MARK}{NAME} not JSON")
        apply(cloud, goal(B))
        assert converged(cloud, goal(B))
        cloud = Cloud().put(f"{NAME}-tmp-0badcafe-1", next_hop, priority, description=f"{MARK}{NAME} []")
        apply(cloud, goal(B))
        assert converged(cloud, goal(B))


def test_no_better_priority_is_left():
    """Equal is tolerated, and the rival goes before the original: they share the traffic for one operation."""
    cloud = Cloud().put(NAME, A)
    cloud.put(f"{NAME}-tmp-0badcafe-1", C, 0, description=f"{MARK}{NAME} {{}}")
    outcome = apply(cloud, goal(B))
    assert steps(outcome)[:2] == [route_steps.INSERT_TEMPORARY, route_steps.DELETE_TEMPORARY]
    assert cloud.log[0][2] == 0 and cloud.log[1] == ("delete", f"{NAME}-tmp-0badcafe-1")


def test_an_original_with_priority_zero():
    cloud = Cloud().put(NAME, A, priority=0)
    with pytest.raises(engine.Refused, match="priority 0, which leaves no room"):
        apply(cloud, goal(B))
    apply(cloud, goal(B, priority=1000))
    assert converged(cloud, goal(B))


def test_names_of_63_characters():
    name = "r" * 63
    cloud = Cloud().put(name, A)
    made = []
    cloud.fault = lambda phase, verb, target: made.append(target) if verb == "insert" else None
    apply(cloud, goal(B, name=name))
    apply(cloud, goal(A, name=name))
    assert all(len(each) <= 63 for each in made) and len(set(made)) == 3
    assert cloud.names() == [name]


def test_temporaries_of_another_route_are_not_ours():
    """floating-ip and floating-ip-route begin alike; each knows its own."""
    cloud = Cloud().put("floating-ip", A)
    cloud.put("floating-ip-tmp-0badcafe-1", A, 500, description=f"{MARK}{NAME} {{}}")
    with pytest.raises(engine.Refused, match="floating-ip-tmp-0badcafe-1"):
        apply(cloud, goal(B, name="floating-ip"))


def test_leftovers_of_other_tools():
    """Such as `-p` of Google's function: nobody knows what they are for."""
    cloud = Cloud().put(NAME, A).put(f"{NAME}-p", A, priority=900)
    with pytest.raises(engine.Refused, match=f"{NAME}-p"):
        apply(cloud, goal(B))
    assert cloud.log == []
    apply(cloud, goal(B, exclusive=True))
    assert converged(cloud, goal(B))


def test_routes_of_the_network_itself_stay():
    cloud = Cloud()
    cloud.routes.append(cloud.put("peer", None, 0, nextHopNetwork=URL + NETWORK).routes.pop())
    cloud.check = lambda: None
    with pytest.raises(engine.Refused, match="made by the network"):
        apply(cloud, goal(B, exclusive=True))


def test_an_original_that_leads_elsewhere_is_adopted():
    cloud = Cloud()
    cloud.put(NAME, None, 1000, nextHopGateway=URL + "projects/p/global/gateways/default-internet-gateway")
    cloud.check = lambda: None
    assert steps(apply(cloud, goal(B))) == MOVE
    assert converged(cloud, goal(B))


@pytest.mark.parametrize("others", [0, 3])
def test_an_api_that_does_not_know_ids(others):
    """Then, after a whole lease, by name: slower, and with less certainty, but it ends. One lease is enough for all."""
    cloud = Cloud().put(NAME, A)
    for number in range(others):
        cloud.put(f"other-{number}", A)
    cloud.knows_ids = False
    names = {NAME, *cloud.names()}
    outcome = apply(cloud, goal(B, exclusive=True), timeout=120)
    assert converged(cloud, goal(B))
    operations = sum(step.name.startswith(("insert", "delete")) for step in outcome.steps)
    assert 20_000 < outcome.elapsed_ms < 20_000 + (operations * cloud.latency + 2 + 5) * 1000
    deletions = [target for verb, target in cloud.requests if verb == "delete"]
    by_id = [target for target in deletions if target.isdigit()]
    assert len(set(by_id)) == 1 and len(by_id) < 15
    # Each of the rest takes one request.
    assert len(deletions) - len(by_id) == operations - 2 and names < set(deletions)


def test_an_api_that_refuses_ids():
    """Then there is nothing to wait for."""
    cloud = Cloud().put(NAME, A)

    def fault(phase, verb, target):
        if phase == "before" and verb == "delete" and target.isdigit():
            raise Invalid(f"Invalid value for field 'route': '{target}'. Must be a match of regex", status=400)

    cloud.fault = fault
    outcome = apply(cloud, goal(B))
    assert converged(cloud, goal(B)) and outcome.elapsed_ms < 12_000
    deletions = [target for verb, target in cloud.requests if verb == "delete"]
    assert len(deletions) == 3 and sum(target.isdigit() for target in deletions) == 1


def test_creation_within_the_same_millisecond():
    """Two routes of the same age have an order all the same."""
    cloud = Cloud(latency=0).put(NAME, A)
    when = written(EPOCH + cloud.clock.now)
    original = cloud._commit
    cloud._commit = lambda body, **keys: original({**body, "creationTimestamp": when}, **keys)
    apply(cloud, goal(B, settle=0))
    assert converged(cloud, goal(B))


def test_a_temporary_that_is_not_the_newest_protects_nothing():
    """The clocks of Google's servers differ a little: then another one is made."""
    cloud = Cloud().put(NAME, A)
    cloud.routes[0]["creationTimestamp"] = written(EPOCH + cloud.clock.now + 7)
    outcome = apply(cloud, goal(B))
    assert steps(outcome)[:3] == [route_steps.INSERT_TEMPORARY, route_steps.INSERT_TEMPORARY, route_steps.DELETE]
    assert converged(cloud, goal(B))


# Others at work


def other_at_work(cloud, next_hop, ago=0.0):
    stop_after(cloud, goal(next_hop), "insert", 1)
    cloud.clock.now += ago
    return next(name for name in cloud.names() if "-tmp-" in name)


def overtake(cloud, times, next_hop):
    """So many times, just after the run inserted a temporary, another run does too, and dies."""
    left = [times]

    def fault(phase, verb, target):
        if (phase, verb) == ("after", "insert") and "-tmp-" in target and left[0]:
            left[0] -= 1
            other_at_work(cloud, next_hop)
            cloud.fault = fault

    cloud.fault = fault


def waits_for_others(cloud, wanted):
    waits = []
    outcome = apply(cloud, wanted, notify=lambda event: waits.append(event) if event["event"] == "wait" else None)
    assert converged(cloud, wanted)
    return sum(event["wait_s"] for event in waits if "another run" in event["reason"]), outcome


def test_traffic_is_taken_back_at_once():
    """Such as from a node that became the master and lost it again within the same second."""
    cloud = Cloud().put(NAME, A)
    overtake(cloud, 1, C)
    waited, outcome = waits_for_others(cloud, goal(B))
    assert waited == 0 and steps(outcome)[:2] == [route_steps.INSERT_TEMPORARY] * 2


def test_a_run_that_insists_is_left_alone_until_its_lease_is_over():
    cloud = Cloud().put(NAME, A)
    overtake(cloud, 2, C)
    waited, _outcome = waits_for_others(cloud, goal(B))
    assert 15 <= waited <= 21


def test_a_newer_run_with_the_same_wish_is_left_alone():
    cloud = Cloud().put(NAME, A)
    overtake(cloud, 1, B)
    waited, _outcome = waits_for_others(cloud, goal(B))
    assert 15 <= waited <= 21


def test_the_first_mutation_waits_for_nobody():
    cloud = Cloud().put(NAME, A)
    other_at_work(cloud, C)
    begun, first = cloud.clock.now, []
    cloud.fault = lambda phase, verb, target: first.append(cloud.clock.now) if verb == "insert" else None
    outcome = apply(cloud, goal(B))
    assert first[0] == begun and cloud.traffic() == {B}
    assert outcome.elapsed_ms < 20_000


def test_what_another_run_inserted_is_not_trusted_at_once():
    """It may be listed before its operation is done, and that may fail."""
    cloud = Cloud().put(NAME, A)
    stop_after(cloud, goal(B), "insert", 3)
    assert len(cloud.names()) == 2
    outcome = apply(cloud, goal(B, lease=20))
    assert steps(outcome) == [route_steps.DELETE_TEMPORARY]
    assert 14_000 < outcome.elapsed_ms < 25_000


# What is refused


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"name": "Floating_IP"}, "no name of a route"),
        ({"name": "r" * 64}, "no name of a route"),
        ({"name": ""}, "no name of a route"),
        ({"destination": "10.200.1.1"}, "write 10.200.1.1/32"),
        ({"destination": "10.200.1.1/24"}, "write 10.200.1.0/24, or 10.200.1.1/32"),
        ({"destination": "10.200.1.1/33"}, "from 0 to 32"),
        ({"destination": "10.200.1.256/32"}, "is not an IPv4 network"),
        ({"destination": "fd00::1/128"}, "is not an IPv4 network"),
        ({"destination": "10.100.2.0/24"}, "inside the range 10.100.0.0/16 of the subnet ip-failover-subnet"),
        ({"destination": "10.100.0.0/16"}, "inside the range 10.100.0.0/16"),
        ({"destination": "10.150.0.1/32"}, "inside the range 10.150.0.0/24"),
        ({"priority": 0}, "0 leaves no room"),
        ({"priority": 65536}, "not from 1 to 65535"),
        ({"priority": -1}, "not from 1 to 65535"),
        ({"next_hop": "node2"}, "neither of the form"),
        ({"next_hop": instance("nobody")}, "nobody does not exist"),
        ({"next_hop": instance("rigid")}, "canIpForward"),
        ({"next_hop": instance("off")}, "is not RUNNING but TERMINATED"),
        ({"next_hop": instance("stray")}, "has no interface on projects/p/global/networks/ip-failover"),
        ({"next_hop": "10.100.9.9"}, "no instance has 10.100.9.9 as the primary address"),
        ({"next_hop": "10.100.3.2"}, "is not RUNNING but TERMINATED"),
        ({"next_hop": None}, "next hop: none is given"),
        ({"network": "ip-failover"}, "not of the form projects/P/global/networks/N"),
        ({"network": "projects/p/global/networks/none"}, "networks/none does not exist"),
        ({"description": "x" * 2049}, "longer than 2048"),
        ({"description": MARK + "mine"}, "is the mark of temporary routes"),
    ],
    ids=lambda value: str(value)[:60],
)
def test_bad_wishes_change_nothing(change, says):
    cloud = Cloud()
    cloud.subnetworks[0]["secondaryIpRanges"] = [{"ipCidrRange": "10.150.0.0/24"}]
    cloud.add_instance(instance("rigid"), "10.100.3.1", canIpForward=False)
    cloud.add_instance(instance("off"), "10.100.3.2", status="TERMINATED")
    other = [{"network": URL + "projects/p/global/networks/other", "networkIP": "10.9.0.1"}]
    cloud.add_instance(instance("stray"), "10.100.3.3", networkInterfaces=other)
    keys = {"name": NAME, "destination": DESTINATION, "network": NETWORK, "next_hop": A, **change}
    with pytest.raises(engine.Refused) as refused:
        apply(cloud, RouteGoal(**keys))
    assert says in str(refused.value) and refused.value.problems
    assert not any(verb in ("insert", "delete") for verb, _target in cloud.requests)


def test_all_mistakes_are_told_at_once():
    with pytest.raises(engine.Refused) as refused:
        apply(Cloud(), RouteGoal("X", "10.200.1.1", "n", "node1", priority=0))
    assert len(refused.value.problems) == 5


def test_checks_are_made_once_and_only_when_asked():
    cloud = Cloud().put(NAME, A)
    apply(cloud, goal(B, check=True))
    assert [verb for verb, _target in cloud.requests].count("instance") == 1
    cloud.requests.clear()
    apply(cloud, goal(A))
    assert {verb for verb, _target in cloud.requests} == {"list", "insert", "delete"}


def test_a_destination_wider_than_a_subnet_is_fine():
    cloud = Cloud()
    apply(cloud, goal(A, destination="10.0.0.0/8", check=True))
    assert cloud.names() == [NAME]


@pytest.mark.parametrize(
    ("expected", "fine"),
    [
        (A, True),
        (URL + A, True),
        ("zones/us-central1-a/instances/node1", True),
        ("node1", True),
        ("10.100.2.1", True),
        (C, False),
        ("node3", False),
        ("ode1", False),
        ("10.100.2.3", False),
        (instance("node1", zone="us-central1-f"), False),
    ],
)
@pytest.mark.parametrize("by_address", [False, True])
def test_compare_and_move(expected, fine, by_address):
    cloud = Cloud().put(NAME, "10.100.2.1" if by_address else A)
    wanted = goal(B, expected_holder=expected)
    if fine:
        apply(cloud, wanted)
        assert converged(cloud, wanted)
        assert not apply(cloud, wanted).changed  # the wanted one holds it already
    else:
        with pytest.raises(engine.Refused, match="not to the expected holder"):
            apply(cloud, wanted)
        assert cloud.log == []


def test_compare_and_move_after_a_crash():
    for _where, cloud, _wanted in crashed("failover"):
        wanted = goal(B, expected_holder=A)
        apply(cloud, wanted)
        assert converged(cloud, wanted)


def test_compare_and_delete():
    cloud = Cloud().put(NAME, A)
    with pytest.raises(engine.Refused):
        apply(cloud, goal(None, present=False, expected_holder=B))
    apply(cloud, goal(None, present=False, expected_holder=A))
    assert cloud.names() == []


def test_a_name_that_is_taken():
    cloud = Cloud().put(NAME, A, destRange="10.200.1.9/32")
    cloud.check = lambda: None
    with pytest.raises(engine.Refused, match=r"with another destination than 10\.200\.1\.1/32"):
        apply(cloud, goal(B))
    cloud = Cloud().put(NAME, A, network="projects/p/global/networks/other")
    with pytest.raises(engine.Refused, match="is on another network, projects/p/global/networks/other"):
        apply(cloud, goal(B))
    with pytest.raises(engine.Refused, match="is on another network"):
        apply(cloud, goal(None, present=False))
    assert cloud.names() == [NAME]


# Small things


@pytest.mark.parametrize(
    ("url", "path"),
    [
        (f"https://www.googleapis.com/compute/v1/{A}", A),
        (f"https://compute.googleapis.com/compute/v1/{A}", A),
        (f"http://199.36.153.8/compute/v1/{A}/", A),
        (A, A),
        ("zones/us-central1-a/instances/node1", A),
        ("10.100.2.1", "10.100.2.1"),
        ("node1", "node1"),
    ],
)
def test_spellings_of_a_resource(url, path):
    assert normalise(url, NETWORK) == path


def test_holder_of():
    def on(name, hop, priority, **keys):
        return {"id": "1", "name": name, "network": URL + NETWORK, "priority": priority, "nextHopInstance": hop, **keys}

    routes = [
        on("a", A, 1000),
        on("b", B, 900, warnings=[{"code": "NEXT_HOP_NOT_RUNNING"}]),
        on("c", C, 800, tags=["server"]),
        on("d", C, 1, network="projects/p/global/networks/other"),
    ]
    assert holder_of(routes, NETWORK, ["client"]) == A
    assert holder_of(routes, NETWORK, ["server"]) == C
    assert holder_of(routes[1:2], NETWORK) is None


def test_shared_traffic_is_told():
    cloud = Cloud().put(NAME, A).put("twin", B)
    observed = Observed(goal(A), *cloud.list_routes(DESTINATION))
    assert any("share the traffic" in text for text in observed.warnings)


@pytest.mark.parametrize("offset", ["-08:00", "+00:00", "+05:30", "Z"])
@pytest.mark.parametrize("day", ["1970-01-01", "2000-02-29", "2024-02-29", "2024-03-01", "2026-11-21", "2100-12-31"])
def test_times(day, offset):
    text = f"{day}T03:04:05.678{offset}"
    expected = datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()
    assert parse_time(text) == pytest.approx(expected, abs=1e-3)

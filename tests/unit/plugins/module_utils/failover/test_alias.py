# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Alias ranges move, others stay, and what goes wrong leaves each of them somewhere, or an error that says where."""

from __future__ import annotations

import itertools

import pytest

from ansible_collections.cloudha.vip.plugins.module_utils.base import time_limit
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
from ansible_collections.cloudha.vip.plugins.module_utils.failover import alias, engine
from ansible_collections.cloudha.vip.plugins.module_utils.failover.alias_edit import ADD, REMOVE, RESTORE, STOP
from ansible_collections.cloudha.vip.plugins.module_utils.failover.alias_look import FOLLOW, UPDATE, USE
from ansible_collections.cloudha.vip.tests.unit.plugins.module_utils.failover.alias_cloud import (
    OTHER,
    POD,
    A,
    Aliases,
    B,
    C,
    X,
    Y,
    goal,
    move,
    want,
)
from ansible_collections.cloudha.vip.tests.unit.plugins.module_utils.failover.runs import Crash

MINE, THEIRS = "10.0.8.1/32", "10.0.8.2/32"  # of others, on a and b


@pytest.fixture
def cloud():
    return Aliases().put(A, X, MINE).put(B, THEIRS)


def names(outcome):
    return [step.name for step in outcome.steps]


def test_moves_with_two_requests_and_reads_nothing_in_between(cloud):
    outcome = move(cloud, goal())
    assert outcome.changed and names(outcome) == [REMOVE, ADD]
    assert cloud.on(A) == {MINE} and cloud.on(B) == {THEIRS, X}
    verbs = [verb for verb, _path in cloud.requests]
    assert verbs == ["list", "subnetworks", "permissions", "permissions", "operations", "patch", "patch", "list"]
    assert outcome.before.to_diff()["holder"] == A and outcome.after.to_diff()["holder"] == B
    cloud.requests.clear()
    again = move(cloud, goal())
    assert not again.changed and again.steps == []
    assert "patch" not in [verb for verb, _path in cloud.requests]


def test_source_given_or_found_or_none(cloud):
    move(cloud, goal(want(source=A)))
    assert cloud.holders(X) == [(B, "nic0")]
    cloud.take(B, X)
    assert names(move(cloud, goal(want(target=C)))) == [ADD]
    assert cloud.holders(X) == [(C, "nic0")]


def test_the_last_range_of_an_interface(cloud):
    cloud.take(A, MINE)
    move(cloud, goal())
    assert cloud.on(A) == set() and cloud.mutations[0] == (A, "nic0", [])


def test_any_interface_and_secondary_ranges(cloud):
    cloud.add_interface(A, "nic1", "10.0.0.4")
    cloud.add_interface(B, "nic1", "10.0.0.5")
    cloud.interface(A, "nic1")["aliasIpRanges"] = [{"ipCidrRange": POD, "subnetworkRangeName": "pods"}]
    for keys in ({}, {"range_name": "pods"}):
        there, back = ((B, "nic1"), (A, "nic1")) if not keys else ((A, "nic1"), (B, "nic1"))
        move(cloud, goal(want(POD, [there], source=back, **keys)))
        assert cloud.holders(POD) == [there]
        assert cloud.interface(*there)["aliasIpRanges"][0]["subnetworkRangeName"] == "pods"


def test_between_interfaces_of_one_instance(cloud):
    cloud.add_interface(A, "nic1", "10.0.0.4")
    move(cloud, goal(want(X, [(A, "nic1")], source=(A, "nic0"))))
    assert cloud.holders(X) == [(A, "nic1")] and cloud.on(A) == {MINE}


def test_absent(cloud):
    outcome = move(cloud, goal(want(target=None)))
    assert names(outcome) == [REMOVE] and cloud.on(A) == {MINE}
    assert not move(cloud, goal(want(target=None))).changed
    with pytest.raises(engine.Refused, match="not by the source"):
        move(cloud, goal(want(THEIRS, None, source=A)))


def test_preview(cloud):
    observed, steps = engine.preview(alias, cloud, goal())
    assert [(step.name, step.resource) for step in steps] == [
        (REMOVE, f"{A} nic0: {X}"),
        (ADD, f"{B} nic0: {X}"),
    ]
    assert alias.wanted_diff(observed)["ranges"] == {X: f"{B} nic0"}
    assert cloud.mutations == []


REFUSED = [
    (want("10.0.9.300"), "not an IPv4 network"),
    (want("10.0.9.1/24"), "bits beyond its prefix"),
    (want("10.9.9.9"), "outside the ranges of the subnet"),
    (want("10.0.9.9", range_name="pods"), "outside the secondary range pods"),
    (want("172.16.5.1", range_name=""), "outside the primary range (10.0.0.0/16) of the subnet"),
    (want("10.0.9.9", range_name="nosuch"), "no secondary range nosuch; it has: pods"),
    (want("10.0.8.0/24"), f"overlaps the alias range {MINE} of {A} nic0"),
    (want("10.0.0.1"), f"overlaps the primary address 10.0.0.1/32 of {A} nic0"),
    (want(source=C), f"{X} is held by {A} nic0, and not by the source {C}"),
    (want(source=B), "source and target are the same"),
    (want(X, [(B, "nic7")]), f"{B} has no interface nic7, but nic0"),
    (want("10.0.9.9", source=(A, "nic7")), f"{A} has no interface nic7, but nic0"),
    (want(target=B + "9"), f"{B}9 does not exist"),
    (want("10.0.9.9", source=A + "9"), f"the instance {A}9 does not exist"),
    (want(target="b"), "not of the form projects/P/zones/Z/instances/I"),
]


@pytest.mark.parametrize(("wanted", "text"), REFUSED)
def test_refused_and_nothing_changed(cloud, wanted, text):
    with pytest.raises(engine.Refused) as refused:
        move(cloud, goal(wanted))
    assert text in str(refused.value)
    assert cloud.mutations == [] and "patch" not in dict(cloud.requests)


def test_refused_for_what_is_wanted_together(cloud):
    for wants, keys, text in (
        ([want(), want()], {}, "asked for twice"),
        ([want(), want("10.0.9.0/24")], {}, "overlap"),
        ([want(), want(Y)], {"limit": 2}, "would have 3 alias ranges, and may have 2"),
        ([want()], {"limit": 0}, "limit: 0 is not from 1 to 150"),
        ([want()], {"expected_holder": "c"}, "not on the expected holder c"),
        ([want(target=None)], {"expected_holder": "c"}, "not on the expected holder c"),
        ([want()], {"avoid": [B]}, "is to be avoided"),
    ):
        with pytest.raises(engine.Refused, match=text):
            move(cloud, goal(*wants, **keys))
    cloud.instances[B]["status"] = "TERMINATED"
    with pytest.raises(engine.Refused, match="not RUNNING but TERMINATED"):
        move(cloud, goal())
    cloud.instances[B]["status"] = "RUNNING"
    for permission in (UPDATE, USE, FOLLOW):
        cloud.denied = {permission}
        with pytest.raises(engine.Refused, match=f"does not have the permission {permission}"):
            move(cloud, goal())
    assert cloud.mutations == []


@pytest.mark.parametrize("verb", ["permissions", "operations"])
@pytest.mark.parametrize("error", [Unavailable("503", status=503), Lost("lost"), Invalid("400", status=400)])
def test_a_question_for_permissions_that_fails(cloud, verb, error):
    """Where there is no answer, the move goes on without; what else goes wrong with it is no change."""

    def fault(_phase, this, _path):
        if this == verb:
            raise error

    cloud.fault = fault
    if isinstance(error, Unavailable):
        outcome = move(cloud, goal())
        assert outcome.changed and cloud.on(B) == {THEIRS, X}
        assert outcome.before.notes == [f"the caller's permissions were not checked: {error}"]
        assert [each for each, _path in cloud.requests].count(verb) == 1
    else:
        with pytest.raises(engine.Failed, match="nothing was changed") as failed:
            move(cloud, goal())
        assert not failed.value.unsure and cloud.mutations == []


def test_without_the_answer_that_the_deadline_cut_off_nothing_is_moved(cloud):
    """It would have been that the permission is missing."""

    def fault(phase, verb, _path):
        if (phase, verb) == ("before", "permissions"):
            cloud.clock.now += 6
            if time_limit.at_most(6) < 6:
                raise Lost("no answer in time")

    cloud.fault, cloud.denied = fault, {UPDATE}
    with pytest.raises(engine.Failed, match=r"not done within 5 s: the time was over before the next change.*nothing"):
        move(cloud, goal(), timeout=5)
    assert cloud.mutations == []


def test_a_permission_that_is_missing_counts_though_another_could_not_be_asked(cloud):
    def fault(_phase, verb, _path):
        if verb == "operations":
            raise Unavailable("503", status=503)

    cloud.fault = fault
    cloud.denied = {USE}
    with pytest.raises(engine.Refused, match=USE):
        move(cloud, goal())
    assert cloud.mutations == []


def test_expected_holder(cloud):
    move(cloud, goal(expected_holder="a"))
    assert not move(cloud, goal(expected_holder="a")).changed  # it is where it is wanted
    cloud.take(B, X)
    assert move(cloud, goal(expected_holder=A)).changed  # nobody has it


def test_nothing_is_taken_from_another_instance_that_runs(cloud):
    cloud.put(C, Y)
    cloud.add_interface(B, "nic1", "10.0.0.4", [POD])
    wants = [want(), want(Y), want(POD), want("10.0.9.3")]
    cloud.instances[C]["status"] = "TERMINATED"
    outcome = move(cloud, goal(*wants, spare=True))
    assert cloud.on(A) == {MINE, X} and cloud.on(B) == {THEIRS, Y, POD, "10.0.9.3/32"}
    assert outcome.after.holder is None and outcome.before.decision.spared == {X: (A, "nic0")}
    assert not move(cloud, goal(*wants, spare=True)).changed
    # Nor does it matter what becomes of it meanwhile.
    cloud.take(B, Y)
    cloud.fault = lambda phase, verb, path: verb == "patch" and X in cloud.on(A) and cloud.take(A, X)
    assert move(cloud, goal(*wants, spare=True)).changed and cloud.holders(X) == []
    cloud.fault = lambda *_: None
    assert move(cloud, goal(*wants)).after.holder == B


def test_another_network_is_another_world(cloud):
    cloud.add_interface(C, "nic1", "10.0.0.3", [X], network=OTHER)
    move(cloud, goal())
    assert set(cloud.holders(X)) == {(B, "nic0"), (C, "nic1")}
    with pytest.raises(engine.Refused, match="several networks"):
        move(cloud, goal(want(target=None)))
    move(cloud, goal(want(target=None, source=C)))
    assert cloud.holders(X) == [(B, "nic0")]
    cloud.instances[A]["networkInterfaces"][0]["network"] = OTHER
    with pytest.raises(engine.Refused, match="is not on"):
        move(cloud, goal(want(Y, source=A)))


def test_others_writing_all_the_time(cloud):
    extra = itertools.count(1)

    def fault(phase, verb, path):
        if phase == "before" and verb == "patch" and len(cloud.mutations) < 6 and next(extra) < 6:
            cloud.put(path, f"10.0.7.{next(extra)}/32")

    cloud.fault = fault

    def others():
        return {each for path in (A, B) for each in cloud.on(path) if each.startswith("10.0.7.")}

    assert move(cloud, goal()).changed
    assert cloud.holders(X) == [(B, "nic0")]
    assert len(others()) >= 2 and MINE in cloud.on(A) and THEIRS in cloud.on(B)


# --- what goes wrong


def failing(cloud, path, error, times=10**9, phase="before", verb="patch", skip=0):
    counter = itertools.count()

    def fault(when, what, where):
        if when == phase and what == verb and where == path and skip <= next(counter) < skip + times:
            raise error

    cloud.fault = fault


@pytest.mark.parametrize("error", [Invalid("bad"), Quota("full"), Denied("no"), NotFound("gone"), CloudError("what")])
def test_an_add_that_fails_goes_back(cloud, error):
    failing(cloud, B, error)
    with pytest.raises(engine.Failed) as failed:
        move(cloud, goal())
    assert cloud.holders(X) == [(A, "nic0")] and cloud.on(A) == {X, MINE}
    assert f"{X} is on {A} nic0" in str(failed.value) and "it was put back" in str(failed.value)
    assert [step.name for step in failed.value.steps] == [REMOVE, RESTORE]


def test_an_add_that_cannot_go_back_says_that_it_is_nowhere(cloud):
    failing(cloud, B, Quota("full"))
    first = cloud.fault

    def fault(phase, verb, path):
        first(phase, verb, path)
        if verb == "patch" and path == A and len(cloud.mutations) >= 1 and phase == "before":
            raise Denied("not any more", status=403)

    cloud.fault = fault
    with pytest.raises(engine.Failed) as failed:
        move(cloud, goal())
    assert cloud.holders(X) == []
    for text in (f"{X} is on no instance", "could not be put back", "not any more", "full", "run it again"):
        assert text in str(failed.value)
    cloud.fault = lambda *_: None
    assert move(cloud, goal()).changed and cloud.holders(X) == [(B, "nic0")]


@pytest.mark.parametrize("phase", ["before", "after"])
@pytest.mark.parametrize("path", [A, B])
@pytest.mark.parametrize("error", [Unavailable("busy", status=503), Lost("lost")])
def test_what_passes_is_repeated(cloud, path, error, phase):
    failing(cloud, path, error, times=3, phase=phase)
    assert move(cloud, goal()).changed
    assert cloud.holders(X) == [(B, "nic0")] and cloud.on(A) == {MINE}


def test_a_lost_answer_still_counts_as_a_change(cloud):
    cloud.take(A, MINE, X)
    failing(cloud, B, Unavailable("busy"), times=3, phase="after")
    assert move(cloud, goal()).changed


def test_an_add_whose_answer_never_comes(cloud):
    failing(cloud, B, Lost("lost"), phase="after")
    outcome = move(cloud, goal(), timeout=10)
    assert outcome.changed and cloud.holders(X) == [(B, "nic0")]  # seen at the end


def test_an_address_that_stays_in_use_for_a_moment(cloud):
    failing(cloud, B, AlreadyExists("in use", status=400), times=2)
    assert move(cloud, goal()).changed and cloud.holders(X) == [(B, "nic0")]


def test_a_source_that_does_not_let_go(cloud):
    cloud.silent = {"r-a"}
    began = cloud.clock.now
    with pytest.raises(engine.Failed) as failed:
        move(cloud, goal(want(source=A)), timeout=20)
    assert cloud.clock.now - began < 25
    text = str(failed.value)
    assert f"it is still on {A} nic0" in text and f"{X} is on {A} nic0" in text
    for choice in ("The choices", "Run it again when r-a answers", "on_source_failure=stop", "a route or a load bal"):
        assert choice in text
    assert cloud.holders(X) == [(A, "nic0")]
    # It is stopped if the operator says so, which here is of no use. The timeout is for all of it.
    began = cloud.clock.now
    with pytest.raises(engine.Failed, match="could not be stopped either"):
        move(cloud, goal(want(source=A), stop_source=True), timeout=20)
    assert cloud.clock.now - began < 25
    cloud.silent = set()
    assert move(cloud, goal(want(source=A))).changed


def test_several_sources_that_do_not_let_go_take_no_longer_than_one(cloud):
    """One client changes one interface after the other."""
    cloud.put(C, Y)
    failing(cloud, A, Unavailable("busy", status=503))
    busy = cloud.fault
    cloud.fault = lambda phase, verb, path: busy(phase, verb, A if path == C else path)
    began = cloud.clock.now
    with pytest.raises(engine.Failed) as failed:
        move(cloud, goal(want(), want(Y)), timeout=20)
    assert cloud.clock.now - began < 25 and str(failed.value).count("could not be removed") == 2
    assert cloud.mutations == []


@pytest.mark.parametrize("error", [None, Unavailable("busy", status=503)])
def test_a_removal_that_takes_all_the_time_is_not_left_half_done(cloud, error):
    """The range is added all the same; or put back, if it cannot be."""
    if error:
        failing(cloud, B, error)
    others = cloud.fault

    def fault(phase, verb, path):
        others(phase, verb, path)
        if (phase, verb, path) == ("after", "patch", A) and X not in cloud.on(A):
            cloud.clock.now += 30

    cloud.fault = fault
    began = cloud.clock.now
    if error:
        with pytest.raises(engine.Failed, match="it was put back"):
            move(cloud, goal(), timeout=20)
    else:
        assert names(move(cloud, goal(), timeout=20)) == [REMOVE, ADD]
    assert cloud.holders(X) == [(A if error else B, "nic0")]
    assert cloud.clock.now - began < 32 + 2 * engine.LEAST


@pytest.mark.parametrize("threads", [False, True])
def test_a_zone_that_fails_does_not_keep_the_ranges_of_others(cloud, threads):
    cloud.put(C, Y)
    cloud.silent = {"r-a"}
    with pytest.raises(engine.Failed, match=f"{X}: it is still on {A}"):
        move(cloud, goal(want(source=A), want(Y, source=C)), timeout=20, threads=threads)
    assert cloud.on(B) == {THEIRS, Y} and cloud.on(C) == set() and cloud.holders(X) == [(A, "nic0")]


def test_a_source_that_lets_go_when_it_is_stopped(cloud):
    def fault(phase, verb, path):
        if verb == "patch" and path == A and cloud.instances[A]["status"] == "RUNNING":
            raise Unavailable("busy", status=503)

    cloud.fault = fault
    with pytest.raises(engine.Failed):
        move(cloud, goal(), timeout=10)
    assert cloud.instances[A]["status"] == "RUNNING"
    outcome = move(cloud, goal(stop_source=True), timeout=10)
    assert names(outcome) == [STOP, REMOVE, ADD]
    assert cloud.holders(X) == [(B, "nic0")]


def test_a_holder_that_cannot_be_seen(cloud):
    cloud.silent = {"r-a"}
    with pytest.raises(engine.Failed) as failed:
        move(cloud, goal(), timeout=20)
    assert "an instance that cannot be seen may have it" in str(failed.value)
    assert "r-a" in str(failed.value) and cloud.holders(X) == [(A, "nic0")]
    with pytest.raises(engine.Failed, match="is not known"):
        move(cloud, goal(want(target=None)), timeout=5)


def test_a_target_whose_zone_is_silent(cloud):
    cloud.silent = {"r-b"}
    with pytest.raises(engine.Failed, match="no answer from the zone") as failed:
        move(cloud, goal(), timeout=5)
    assert "nothing was changed" in str(failed.value) and cloud.holders(X) == [(A, "nic0")]


def test_another_run_is_faster(cloud):
    def fault(phase, verb, path):
        if (phase, verb, path) == ("before", "patch", B):
            cloud.fault = lambda *_: None
            cloud.put(C, X)

    cloud.fault = fault
    with pytest.raises(engine.Failed, match=f"{X} is on {C} nic0"):
        move(cloud, goal())
    assert cloud.holders(X) == [(C, "nic0")]


def test_no_longer_wanted(cloud):
    with pytest.raises(engine.Stopped):
        move(cloud, goal(), still_wanted=lambda: "patch" not in dict(cloud.requests) and len(cloud.requests) < 5)
    assert cloud.mutations == []
    # Once it is removed it has to be somewhere.
    assert move(cloud, goal(), still_wanted=lambda: not cloud.mutations).changed


@pytest.mark.parametrize(("error", "times"), [(Lost("lost"), 2), (Unavailable("busy"), 1)])
def test_no_longer_wanted_when_a_removal_may_have_been_done(cloud, error, times):
    failing(cloud, A, error, times=times, phase="after")
    assert move(cloud, goal(), still_wanted=lambda: not cloud.mutations).changed
    assert cloud.holders(X) == [(B, "nic0")]


def test_no_longer_wanted_when_a_removal_was_refused(cloud):
    failing(cloud, A, Unavailable("busy"), times=2)
    with pytest.raises(engine.Stopped):
        move(cloud, goal(), still_wanted=lambda: "patch" not in dict(cloud.requests))
    assert cloud.mutations == [] and cloud.holders(X) == [(A, "nic0")]


def test_no_longer_wanted_before_a_range_that_is_free_is_added(cloud):
    cloud.take(A, X)
    with pytest.raises(engine.Stopped):
        move(cloud, goal(), still_wanted=lambda: not {"list", "operations"} <= {verb for verb, _path in cloud.requests})
    assert cloud.mutations == []


def test_no_longer_wanted_by_some_of_several(cloud):
    """What was removed until then is added, and nothing else is begun."""
    cloud.put(C, Y)
    with pytest.raises(engine.Stopped) as stopped:
        move(cloud, goal(want(), want(Y)), still_wanted=lambda: not cloud.mutations)
    assert [step.name for step in stopped.value.steps] == [REMOVE, ADD]
    assert cloud.holders(X) == [(B, "nic0")] and cloud.holders(Y) == [(C, "nic0")]


def test_an_instance_is_not_stopped_when_it_is_no_longer_wanted(cloud):
    began = cloud.clock.now
    failing(cloud, A, Lost("lost"))
    with pytest.raises(engine.Failed, match=r"could not be stopped either \(it is no longer wanted"):
        move(cloud, goal(stop_source=True), timeout=20, still_wanted=lambda: cloud.clock.now < began + 5)
    assert cloud.instances[A]["status"] == "RUNNING" and cloud.holders(X) == [(A, "nic0")]


@pytest.mark.parametrize("phase", ["before", "after"])
@pytest.mark.parametrize("threads", [False, True])
def test_a_crash_at_every_request(phase, threads):
    wanted = goal(want(), want(Y, C, source=A), want("10.0.9.3", B))

    def fresh():
        return Aliases().put(A, X, Y, MINE).put(B, THEIRS)

    complete = fresh()
    move(complete, wanted)
    for number in range(1, len(complete.requests) + 1):
        cloud = fresh()

        def fault(when, verb, path, cloud=cloud, number=number):
            if when == phase and len(cloud.requests) >= number:
                raise Crash  # and nothing that comes later is sent either

        cloud.fault = fault
        with pytest.raises(Crash):
            move(cloud, wanted, threads=threads)
        cloud.fault = lambda *_: None
        move(cloud, wanted, threads=threads)
        assert cloud.on(A) == {MINE} and cloud.on(B) == {THEIRS, X, "10.0.9.3/32"} and cloud.on(C) == {Y}
        assert not move(cloud, wanted).changed


@pytest.mark.parametrize("phase", ["before", "after"])
def test_a_crash_at_every_request_of_a_removal(phase):
    wanted = goal(want(target=None), want(Y, None))

    def fresh():
        return Aliases().put(A, X, Y, MINE).put(B, THEIRS)

    complete = fresh()
    move(complete, wanted)
    assert len(complete.requests) > 3
    for number in range(1, len(complete.requests) + 1):
        cloud = fresh()

        def fault(when, verb, path, cloud=cloud, number=number):
            if when == phase and len(cloud.requests) >= number:
                raise Crash

        cloud.fault = fault
        with pytest.raises(Crash):
            move(cloud, wanted)
        cloud.fault = lambda *_: None
        move(cloud, wanted)
        assert cloud.on(A) == {MINE} and cloud.on(B) == {THEIRS}
        assert not move(cloud, wanted).changed


@pytest.mark.parametrize("phase", ["before", "after"])
def test_a_crash_at_every_request_where_the_source_is_stopped(phase):
    """The source lets go of the range only then."""

    def busy(cloud, verb, path):
        if verb == "patch" and path == A and cloud.instances[A]["status"] == "RUNNING":
            raise Unavailable("busy", status=503)

    def fresh():
        cloud = Aliases().put(A, X, MINE).put(B, THEIRS)
        cloud.fault = lambda when, verb, path: busy(cloud, verb, path)
        return cloud

    wanted = goal(stop_source=True)
    complete = fresh()
    move(complete, wanted, timeout=10)
    assert len(complete.requests) > 5
    for number in range(1, len(complete.requests) + 1):
        cloud = fresh()

        def fault(when, verb, path, cloud=cloud, number=number):
            if when == phase and len(cloud.requests) >= number:
                raise Crash
            busy(cloud, verb, path)

        cloud.fault = fault
        with pytest.raises(Crash):
            move(cloud, wanted, timeout=10)
        cloud.fault = lambda when, verb, path, cloud=cloud: busy(cloud, verb, path)
        move(cloud, wanted, timeout=10)
        assert cloud.holders(X) == [(B, "nic0")] and cloud.on(A) == {MINE}
        assert not move(cloud, wanted).changed


ERRORS = [
    Invalid("bad"),
    Quota("full"),
    Denied("no"),
    Unavailable("busy"),
    Lost("lost"),
    Stale("old"),
    NotFound("gone"),
]


@pytest.mark.parametrize("phase", ["before", "after"])
@pytest.mark.parametrize("for_good", [False, True])
@pytest.mark.parametrize("error", ERRORS)
def test_every_error_at_every_request(error, for_good, phase):
    complete = Aliases().put(A, X, MINE).put(B, THEIRS)
    move(complete, goal())
    for number in range(1, len(complete.requests) + 1):
        cloud = Aliases().put(A, X, MINE).put(B, THEIRS)

        def fault(when, verb, path, cloud=cloud, number=number):
            if phase == "after" and verb == "patch" and not isinstance(error, Unavailable):
                return  # nobody who has done it says that it cannot be done
            if when == phase and (len(cloud.requests) == number or (for_good and len(cloud.requests) > number)):
                raise error

        cloud.fault = fault
        text = ""
        try:
            move(cloud, goal(), timeout=20)
        except (engine.Failed, engine.Refused) as failed:
            text = str(failed)
        else:
            assert cloud.holders(X) == [(B, "nic0")]
        if not cloud.holders(X):
            assert f"{X} is on no instance" in text or "may have taken effect" in text, (number, text)
        assert MINE in cloud.on(A) and THEIRS in cloud.on(B)
        cloud.fault = lambda *_: None
        move(cloud, goal())
        assert cloud.holders(X) == [(B, "nic0")]


# --- many to many


def nodes(count, ranges=0):
    cloud = Aliases()
    cloud.instances.clear()
    paths = [f"projects/p/zones/r-{'abc'[n % 3]}/instances/n{n}" for n in range(count)]
    for n, path in enumerate(paths):
        cloud.add(path, f"10.0.0.{n + 1}", [f"10.0.{100 + n}.{r + 1}/32" for r in range(ranges)])
    return cloud, paths


@pytest.mark.parametrize("threads", [False, True])
def test_a_hundred_ranges_go_round(threads):
    cloud, paths = nodes(20, 5)
    turned = [
        want(cidr, [(paths[(n + 1) % 20], "nic0")]) for n, path in enumerate(paths) for cidr in sorted(cloud.on(path))
    ]
    outcome = move(cloud, goal(*turned), threads=threads)
    assert all(cloud.holders(w.cidr) == [w.candidates[0]] for w in turned)
    assert len(outcome.steps) == 40  # two requests for each instance, however many ranges


def test_one_that_falls_out_is_spread_with_one_removal():
    cloud, paths = nodes(20, 0)
    ranges = [f"10.0.50.{n}/32" for n in range(100)]
    cloud.put(paths[0], *ranges)
    order = [[(paths[0], "nic0"), (paths[1 + n % 19], "nic0")] for n in range(100)]
    pairs = [(cidr, order[n]) for n, cidr in enumerate(ranges)]
    wants = [want(cidr, candidates, stay=True) for cidr, candidates in pairs]
    assert not move(cloud, goal(*wants)).changed
    outcome = move(cloud, goal(*wants, avoid=[paths[0]]), threads=True)
    assert len(outcome.steps) == 20 and cloud.on(paths[0]) == set()
    # It is back: nothing moves for that alone, unless the first of the list shall have it.
    assert not move(cloud, goal(*wants)).changed
    back = [want(cidr, candidates) for cidr, candidates in pairs]
    assert move(cloud, goal(*back), threads=True).changed and len(cloud.on(paths[0])) == 100


def test_the_limit_leads_to_the_next_candidate():
    cloud, (_a, b, c) = nodes(3)
    both = [(b, "nic0"), (c, "nic0")]
    move(cloud, goal(want(X, both), want(Y, both), limit=1))
    assert cloud.on(b) == {X} and cloud.on(c) == {Y}
    with pytest.raises(engine.Refused, match="limit"):
        move(cloud, goal(want("10.0.9.3", both), limit=1))


@pytest.mark.parametrize("threads", [False, True])
def test_one_bad_source_or_target_does_not_keep_the_others(threads):
    cloud, paths = nodes(6, 2)
    wants = [
        want(cidr, [(paths[n + 3], "nic0")], source=paths[n]) for n in range(3) for cidr in sorted(cloud.on(paths[n]))
    ]

    def fault(phase, verb, path):
        if verb == "patch" and path == paths[0]:
            raise Denied("not this one", status=403)
        if verb == "patch" and path == paths[4]:
            raise Quota("full", status=403)

    cloud.fault = fault
    with pytest.raises(engine.Failed) as failed:
        move(cloud, goal(*wants), threads=threads)
    assert [len(cloud.on(path)) for path in paths] == [2, 2, 0, 2, 2, 4]
    assert "not this one" in str(failed.value) and "it was put back" in str(failed.value)
    # One that has no candidate at all does not either, and is told.
    cloud.fault = lambda *_: None
    lost = want(Y, [("projects/p/zones/r-a/instances/n99", "nic0")])
    with pytest.raises(engine.Failed, match=r"there is no instance for it: .*n99 does not exist"):
        move(cloud, goal(*wants, lost, partial=True), threads=threads)
    assert [len(cloud.on(path)) for path in paths] == [0, 0, 0, 4, 4, 4]


def test_one_bad_range_does_not_keep_the_others_of_its_target(cloud):
    cloud.put(A, Y)
    cloud.put(C, "10.0.9.7/32")
    cloud.interface(C)["network"] = OTHER  # so that it cannot be seen, and then
    failing_once = [want(), want(Y), want("10.0.9.7")]

    def fault(phase, verb, path):
        if verb == "patch":
            cloud.interface(C)["network"] = cloud.interface(A)["network"]

    cloud.fault = fault
    with pytest.raises(engine.Failed, match=r"10\.0\.9\.7/32: it could not be added"):
        move(cloud, goal(*failing_once))
    assert cloud.on(B) == {X, Y, THEIRS}

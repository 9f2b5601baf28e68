# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A name in Cloud DNS: what is planned, and what is left after a crash, a fault or somebody else at any point."""

from __future__ import annotations

import itertools

import pytest

from ansible_collections.cloudha.vip.plugins.module_utils.base.errors import Denied, Invalid, Lost, Unavailable
from ansible_collections.cloudha.vip.plugins.module_utils.failover import dns_name, engine
from ansible_collections.cloudha.vip.plugins.module_utils.failover.dns_name_goal import goal_problems
from ansible_collections.cloudha.vip.plugins.module_utils.failover.dns_name_look import Observed, obstacles
from ansible_collections.cloudha.vip.tests.unit.plugins.module_utils.failover import runs
from ansible_collections.cloudha.vip.tests.unit.plugins.module_utils.failover.dns_cloud import (
    NAME,
    NEW,
    OLD,
    OTHER,
    Cloud,
    apply,
    goal,
    once,
    record,
)


def observed(wanted, *records, pending=(), **zone):
    return Observed(wanted, {**Cloud().the_zone, **zone}, list(records), list(pending))


def refused(cloud, wanted):
    with pytest.raises(engine.Refused) as caught:
        apply(cloud, wanted)
    assert cloud.mutations == []
    return "; ".join(caught.value.problems)


# --- what is planned


@pytest.mark.parametrize(
    ("there", "wanted", "change"),
    [
        ([], goal(NEW), ("create record", [], [record(NEW)])),
        ([], goal(NEW, ttl=0), ("create record", [], [record(NEW, ttl=0)])),
        ([record(OLD, ttl=5)], goal(NEW), ("change record", [record(OLD, ttl=5)], [record(NEW, ttl=5)])),
        ([record(OLD)], goal(ttl=5), ("change record", [record(OLD)], [record(OLD, ttl=5)])),
        ([record(OLD, NEW)], goal(NEW, OLD), None),
        ([record(OLD)], goal(OLD, OLD), None),
        ([record(OLD)], goal(OLD, NEW), ("change record", [record(OLD)], [record(OLD, NEW)])),
        ([record(OLD)], goal(present=False), ("delete record", [record(OLD)], [])),
        ([], goal(present=False), None),
        ([record("x.", kind="TXT")], goal(present=False), None),
        ([record("FD00:0::1", kind="AAAA")], goal("fd00::1", kind="AAAA"), None),
        # What the API adds by itself is no part of what has to match.
        ([record(OLD, signatureRrdatas=[], kind="A")], goal(present=False), ("delete record", [record(OLD)], [])),
    ],
)
def test_the_change_that_is_left(there, wanted, change):
    found = observed(wanted, *there)
    assert found.problems == []
    made = found.change()
    assert (made and (made.name, made.deletions, made.additions)) == change
    then = dns_name.Procedure.wanted_diff(found)
    after = {(each["name"], each["type"]): each for each in there}
    for each in made.deletions if made else ():
        del after[each["name"], each["type"]]
    after.update({(each["name"], each["type"]): each for each in (made.additions if made else ())})
    assert then == observed(wanted, *after.values()).to_diff()


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        (goal(NEW, zone="ha.internal."), "managed_zone: 'ha.internal.' is not the name"),
        (goal(NEW, zone=""), "managed_zone: ''"),
        (goal(NEW, name=""), "name: '.' is not a DNS name"),
        (goal(NEW, name="a..b"), "name: 'a..b.'"),
        (goal(NEW, name="-a.b"), "name: '-a.b.'"),
        (goal(NEW, name=f"{64 * 'a'}.b"), "is not a DNS name"),
        (goal(NEW, name=".".join(["a" * 60] * 5)), "is not a DNS name"),
        (goal(NEW, name="a.*.b"), "is not a DNS name"),
        (goal("10.0.0"), "addresses: '10.0.0': no IPv4 address"),
        (goal("010.0.0.1"), "addresses: '010.0.0.1'"),
        (goal("fe80::1%1", kind="AAAA"), "no IPv6 address"),
        (goal(NEW, expected=["x"]), "expected: 'x'"),
        (goal(NEW, ttl=-1), "ttl: -1"),
        (goal(NEW, ttl=2**31), "ttl: 2147483648"),
    ],
)
def test_goals_that_cannot_be(wanted, words):
    assert words in "; ".join(goal_problems(wanted))
    cloud = Cloud()
    assert words in refused(cloud, wanted) and cloud.requests == []


@pytest.mark.parametrize("name", ["*.ha.internal", "_sip.x.ha.internal.", "HA.internal", "a-1.ha.internal"])
def test_names_that_can_be(name):
    wanted = goal(NEW, name=name)
    assert goal_problems(wanted) == [] and observed(wanted).problems == []
    assert wanted.name.endswith("ha.internal.")


@pytest.mark.parametrize(
    ("wanted", "there", "zone", "words"),
    [
        (goal(NEW, name="db.ha.other"), [], {}, "name: db.ha.other. is not in the managed zone my-zone"),
        (goal(NEW, name="dbha.internal"), [], {}, "such as dbha.ha.internal."),
        (goal(NEW), [], {"forwardingConfig": {"x": 1}}, "it forwards queries"),
        (goal(NEW), [record("x.", kind="CNAME")], {}, "is another name's alias (CNAME)"),
        (goal(NEW), [record(routingPolicy={"geo": {}})], {}, "has a routing policy"),
        (goal(present=False), [record(routingPolicy={"geo": {}})], {}, "has a routing policy"),
        (goal(ttl=5), [], {}, "addresses: give them"),
        (goal(NEW, expected=[OLD]), [record(OTHER)], {}, f"has {OTHER}, and not {OLD}"),
        (goal(NEW, expected=[OLD]), [], {}, f"has no record, and not {OLD}"),
        (goal(NEW, expected=[]), [record(OLD)], {}, f"has {OLD}, and not no record"),
        (goal(ttl=5, expected=[OLD]), [record(OTHER)], {}, "expected: "),
        (goal(present=False, expected=[OLD]), [record(OTHER)], {}, "expected: "),
    ],
)
def test_what_forbids_to_go_on(wanted, there, zone, words):
    cloud = Cloud(*there)
    cloud.the_zone.update(zone)
    assert words in refused(cloud, wanted)


@pytest.mark.parametrize(
    ("wanted", "there"),
    [
        (goal(NEW, expected=[OLD]), [record(NEW)]),
        (goal(NEW, expected=[OLD], ttl=7), [record(NEW)]),
        (goal(present=False, expected=[OLD]), []),
        (goal(NEW, expected=["10.0.0.1"]), [record(OLD)]),
        (goal("fd00::2", expected=["FD00::1"], kind="AAAA"), [record("fd00:0::1", kind="AAAA")]),
        (goal(present=False), [record("x.", kind="CNAME")]),
    ],
)
def test_what_does_not(wanted, there):
    assert observed(wanted, *there).problems == []


def test_obstacles():
    assert obstacles(observed(goal(present=False), record(OLD))) == []
    assert obstacles(observed(goal(present=False))) == [f"{NAME} has no A record"]
    lonely = observed(goal(present=False), record(OLD), privateVisibilityConfig={})
    assert "no network sees my-zone" in obstacles(lonely)[0]
    assert obstacles(observed(goal(present=False), record(OLD), visibility="public", privateVisibilityConfig={})) == []
    assert "alias" in obstacles(observed(goal(present=False), record("x.", kind="CNAME")))[0]


# --- runs


def test_a_move():
    cloud = Cloud(record(OLD))
    cloud.never_without = True
    outcome = apply(cloud, goal(NEW, expected=[OLD]))
    assert outcome.changed and cloud.addresses == [NEW] and [step.name for step in outcome.steps] == ["change record"]
    assert cloud.clock.now >= 1001.0, "the run ends when the change is done"
    # The zone is read once, and the permissions are asked for once.
    assert cloud.requests.count("zone") == cloud.requests.count("permissions") == cloud.requests.count("change") == 1
    cloud.requests.clear()
    again = apply(cloud, goal(NEW))
    assert not again.changed and cloud.requests == ["zone", "records", "pending"]


def test_the_order_of_the_looks():
    """A change that made what is seen is in the list of changes by then."""
    cloud = Cloud(record(OLD))

    def fault(phase, verb):
        if (phase, verb) == ("before", "records"):
            cloud.fault = lambda *_: None
            cloud.put(NEW)

    cloud.fault = fault
    outcome = apply(cloud, goal(NEW))
    assert not outcome.changed and cloud.clock.now >= 1001.0


def test_a_change_that_never_ends():
    cloud = Cloud(record(OLD), latency=1e9)
    with pytest.raises(engine.Failed, match="change 0 of the managed zone my-zone is pending") as caught:
        apply(cloud, goal(NEW))
    assert caught.value.changed and cloud.mutations == ["change"]
    with pytest.raises(engine.Failed, match="nothing was changed"):
        apply(cloud, goal(NEW))
    assert not apply(cloud, goal(present=False, name="x.ha.internal")).changed


@pytest.mark.parametrize("wanted", [goal(NEW), goal(NEW, expected=[OLD]), goal(ttl=5), goal(present=False)])
@pytest.mark.parametrize("phase", ["before", "after"])
@pytest.mark.parametrize("error", [Lost("no answer"), Unavailable("not now", status=503), Unavailable("x", status=429)])
def test_any_request_fails_once(wanted, phase, error):
    verbs = ["zone", "records", "pending", "change", "permissions"]
    for verb in verbs:
        cloud = Cloud(record(OLD))
        cloud.never_without = wanted.present
        cloud.fault = once(phase, verb, error)
        outcome = apply(cloud, wanted)
        assert outcome.changed and len(cloud.changes) == 1, verb
        # What took effect is seen, and not asked for again.
        assert len(cloud.mutations) == 1 + ((phase, verb) == ("before", "change"))
        assert not apply(cloud, wanted).changed


@pytest.mark.parametrize("wanted", [goal(NEW), goal(NEW, expected=[OLD]), goal(present=False)])
@pytest.mark.parametrize("phase", ["before", "after"])
def test_killed_at_any_request(wanted, phase):
    total = len(_requests(wanted))
    assert total >= 7
    for number in range(total):
        cloud = Cloud(record(OLD))
        cloud.never_without = wanted.present
        cloud.fault = _crash(phase, number)
        with pytest.raises(runs.Crash):
            apply(cloud, wanted)
        cloud.fault = lambda *_: None
        apply(cloud, wanted)
        assert len(cloud.changes) == 1 and not apply(cloud, wanted).changed, number
        assert all(end <= cloud.clock.now for _change, end in cloud.changes), (
            "also the change of the killed run is done"
        )


def _crash(phase, number):
    """A fault that kills the run at its request of this number."""
    left = [number]

    def crash(at, _verb):
        left[0] -= at == phase
        if left[0] < 0:
            raise runs.Crash

    return crash


def _requests(wanted):
    cloud = Cloud(record(OLD))
    apply(cloud, wanted)
    return cloud.requests


def test_a_lost_answer_and_somebody_else():
    """The change took effect, nobody heard of it, and another one followed: with `expected` that is told."""
    for expected, addresses in ((None, [NEW]), ([OLD], [OTHER])):
        cloud = Cloud(record(OLD))

        def fault(phase, verb, cloud=cloud):
            if (phase, verb) == ("after", "change"):
                cloud.fault = lambda *_: None
                cloud.put(OTHER)
                raise Lost("no answer")

        cloud.fault = fault
        if expected:
            with pytest.raises(engine.Failed, match="may have taken effect all the same"):
                apply(cloud, goal(NEW, expected=expected))
        else:
            assert apply(cloud, goal(NEW)).changed
        assert cloud.addresses == addresses


# --- several at once


def _actor(cloud, wanted):
    return runs.Actor(dns_name.Procedure(), cloud, wanted, timeout=100)


def _every(first, second):
    counts = [_actor(Cloud(record(OLD)), wanted).end() for wanted in (first, second)]
    return itertools.product(*(range(count + 1) for count in counts))


def _race(first, second, alone, then):
    cloud = Cloud(record(OLD))
    cloud.never_without = first.present and second.present
    actors = _actor(cloud, first), _actor(cloud, second)
    runs.race(*actors, alone, then)
    return cloud, actors


def test_of_two_that_expect_the_same_one_wins():
    first, second = goal(NEW, expected=[OLD]), goal(OTHER, expected=[OLD])
    for alone, then in _every(first, second):
        cloud, actors = _race(first, second, alone, then)
        won = [each for each in actors if each.outcome and each.outcome.changed]
        assert len(won) == 1 and len(cloud.changes) == 1, (alone, then)
        (lost,) = [each for each in actors if each not in won]
        assert "expected: " in str(lost.error) and not lost.error.changed
        assert cloud.addresses == list((first, second)[actors.index(won[0])].addresses)


def test_two_that_want_the_same():
    for alone, then in _every(goal(NEW), goal(NEW)):
        cloud, actors = _race(goal(NEW), goal(NEW), alone, then)
        assert [each.error for each in actors] == [None, None] and len(cloud.changes) == 1, (alone, then)
        assert sum(each.outcome.changed for each in actors) == 1


def test_two_that_want_different_things():
    """The last one wins, and nobody loses the other's half."""
    for alone, then in _every(goal(NEW), goal(ttl=5)):
        cloud, actors = _race(goal(NEW), goal(ttl=5), alone, then)
        assert [each.error for each in actors] == [None, None], (alone, then)
        assert (cloud.addresses, cloud.sets[NAME, "A"]["ttl"]) == ([NEW], 5)
    for alone, then in _every(goal(NEW), goal(OTHER)):
        cloud, actors = _race(goal(NEW), goal(OTHER), alone, then)
        assert cloud.addresses in ([NEW], [OTHER]) and any(each.outcome for each in actors)


# --- who may


@pytest.mark.parametrize(
    ("wanted", "permission"),
    [(goal(NEW), "update"), (goal(present=False), "delete"), (goal("fd00::1", kind="AAAA"), "create")],
)
def test_a_permission_that_is_missing(wanted, permission):
    for missing in (f"dns.resourceRecordSets.{permission}", "dns.changes.create"):
        cloud = Cloud(record(OLD))
        cloud.missing = {missing}
        with pytest.raises(engine.Failed, match=missing):
            apply(cloud, wanted)
        assert cloud.mutations == []
        with pytest.raises(Denied, match=missing):
            engine.preview(dns_name.Procedure(), cloud, wanted)
    cloud = Cloud(record(OLD))
    cloud.missing = {each for each in dns_name.PERMISSIONS if each.startswith("dns.res")}
    cloud.missing.discard(f"dns.resourceRecordSets.{permission}")
    assert apply(cloud, wanted).changed


def test_a_question_without_an_answer():
    cloud = Cloud(record(OLD))
    cloud.fault = once("before", "permissions", Denied("no", status=403))
    procedure = dns_name.Procedure()
    engine.preview(procedure, cloud, goal(NEW))
    assert procedure.notes == ["the caller's permissions were not checked: no"]


def test_a_change_that_the_api_refuses():
    cloud = Cloud(record(OLD))
    cloud.fault = once("before", "change", Invalid("no such TTL", status=400))
    with pytest.raises(engine.Failed, match="no such TTL") as caught:
        apply(cloud, goal(NEW))
    assert not caught.value.changed and f"{NAME} has the A record {OLD}, with a TTL of 30 s" in str(caught.value)

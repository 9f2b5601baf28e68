# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which edits can begin, and what follows: every end of every edit, in any order, without an API."""

from __future__ import annotations

import random

import pytest

from ansible_collections.cloudha.vip.plugins.module_utils.base.errors import (
    AlreadyExists,
    Denied,
    Invalid,
    Lost,
    Unavailable,
)
from ansible_collections.cloudha.vip.plugins.module_utils.failover.alias_decide import decide
from ansible_collections.cloudha.vip.plugins.module_utils.failover.alias_edit import ADD, REMOVE, RESTORE, STOP, Edit
from ansible_collections.cloudha.vip.plugins.module_utils.failover.alias_look import Fleet
from ansible_collections.cloudha.vip.plugins.module_utils.failover.alias_moves import Moves
from ansible_collections.cloudha.vip.plugins.module_utils.failover.engine import TimedOut
from ansible_collections.cloudha.vip.plugins.module_utils.failover.parallel import Crashed, Unwanted
from ansible_collections.cloudha.vip.tests.unit.plugins.module_utils.failover.alias_cloud import (
    A,
    Aliases,
    B,
    C,
    X,
    Y,
    goal,
    want,
)

PA, PB, PC = (A, "nic0"), (B, "nic0"), (C, "nic0")
FREE = "10.0.9.3/32"


def moves_of(cloud, *wants, **keys):
    aim = goal(*wants, **keys)
    fleet = Fleet(*cloud.list_instances(), [cloud.subnetwork])
    decision = decide(fleet, aim)
    assert not decision.problems
    return Moves(fleet, decision, aim)


def told(parts):
    return [(part.name, part.place, sorted(part.add or part.remove)) for part in parts if isinstance(part, Edit)]


def begin(moves, number=0):
    part = moves.ready()[number]
    moves.begin(part)
    return part


def test_an_addition_waits_for_its_ranges_and_for_its_interface():
    moves = moves_of(Aliases().put(A, X).put(B, Y), want(X, [PB]), want(Y, [PC]), want(FREE, [PB]))
    removals = [(REMOVE, PA, [X]), (REMOVE, PB, [Y])]
    assert told(moves.ready()) == removals  # the interface that gets the free one has something to lose first
    one, two = moves.ready()
    moves.begin(one)
    moves.begin(two)
    assert moves.ready() == [] and one.known and not one.bound
    moves.settle(two, None, False)
    (partial, other) = moves.ready()
    assert told([partial, other]) == [(ADD, PB, [FREE]), (ADD, PC, [Y])]
    assert not partial.whole and other.whole
    assert other.bound and not partial.bound  # what was removed has to be somewhere
    moves.settle(one, None, False)
    assert told(moves.ready()) == [(ADD, PB, [X, FREE]), (ADD, PC, [Y])]
    add = begin(moves)
    assert add.whole and add.known is None  # it was changed since it was seen
    moves.settle(add, None, False)
    moves.settle(begin(moves), None, False)
    assert moves.ready() == [] and moves.errors == {}
    assert moves.where == {X: PB, Y: PC, FREE: PB}


@pytest.mark.parametrize("error", [Unwanted(), Crashed("oh")])
def test_nothing_follows_what_was_not_wanted_or_crashed(error):
    moves = moves_of(Aliases().put(A, X), want(X, [PB]), want(FREE, [PB]))
    moves.settle(begin(moves), error, False)
    assert told(moves.ready()) == [(ADD, PB, [FREE])]
    moves.settle(begin(moves), error, False)
    assert moves.ready() == [] and set(moves.errors.values()) == {error} and moves.where[X] == PA


def test_ranges_that_cannot_be_added_together_are_tried_alone_and_go_back():
    moves = moves_of(Aliases().put(A, X, Y), want(X, [PB]), want(Y, [PB]))
    moves.settle(begin(moves), None, False)
    moves.settle(begin(moves), Invalid("bad"), False)
    assert told(moves.ready()) == [(ADD, PB, [X])]  # one after the other: it is the same interface
    moves.settle(begin(moves), Invalid("bad"), False)
    assert told(moves.ready()) == [(RESTORE, PA, [X]), (ADD, PB, [Y])]  # first what ends an outage
    back, other = moves.ready()
    assert back.bound and other.bound
    moves.begin(back)
    moves.begin(other)
    moves.settle(other, None, False)
    moves.settle(back, Denied("no"), False)
    assert moves.ready() == [] and moves.where == {X: None, Y: PB}
    assert (
        str(moves.errors[X]) == f"it could not be added to {B} nic0: bad; and it could not be put back on {A} nic0: no"
    )


@pytest.mark.parametrize("error", [Denied("no"), Unavailable("busy"), Lost("lost"), TimedOut("late")])
def test_what_concerns_all_is_not_tried_one_by_one(error):
    moves = moves_of(Aliases().put(A, X, Y), want(X, [PB]), want(Y, [PB]))
    moves.settle(begin(moves), None, False)
    moves.settle(begin(moves), error, False)
    assert told(moves.ready()) == [(RESTORE, PA, [X, Y])]
    moves.settle(begin(moves), None, False)
    assert moves.ready() == [] and moves.where == {X: PA, Y: PA}
    assert moves.errors.keys() == {X, Y}
    assert [str(each) for each in moves.errors.values() if not str(each).endswith("it was put back")] == []


@pytest.mark.parametrize("error", [Unavailable("busy"), Lost("lost"), TimedOut("late")])
@pytest.mark.parametrize("unsure", [False, True])
def test_a_source_that_does_not_let_go(error, unsure):
    cloud = Aliases().put(A, X)
    moves = moves_of(cloud, want(X, [PB]))
    moves.settle(begin(moves), error, unsure)
    assert moves.ready() == [] and moves.where[X] == PA
    text = str(moves.errors[X])
    assert ("may yet take effect" in text) == unsure and "on_source_failure=stop" in text
    for stopped, removed, said in (
        (Denied("no"), None, "it could not be stopped either (no)"),
        (None, Unavailable("still busy"), "it was stopped, and then: still busy"),
        (None, None, ""),
    ):
        moves = moves_of(cloud, want(X, [PB]), stop_source=True)
        moves.settle(begin(moves), error, unsure)
        stop = begin(moves)
        assert (stop.name, stop.place, stop.bound) == (STOP, PA, False) and moves.errors == {}
        moves.settle(stop, stopped, False)
        if stopped is None:
            again = begin(moves)
            assert told([again]) == [(REMOVE, PA, [X])] and again.bound
            moves.settle(again, removed, False)
        assert told(moves.ready()) == ([] if said else [(ADD, PB, [X])])
        assert said in str(moves.errors.get(X, "")) and bool(moves.errors) == bool(said)


ENDS = [
    None,
    None,
    None,
    Invalid("bad"),
    Denied("no"),
    AlreadyExists("used"),
    Unavailable("busy"),
    Unwanted(),
    TimedOut("t"),
]


@pytest.mark.parametrize("stop", [False, True])
def test_every_move_ends_and_accounts_for_each_range(stop):
    """Whatever ends in whichever order: an interface has one edit at a time, and a range one place or an error."""
    for seed in range(400):
        rng = random.Random(seed)
        cloud, paths = Aliases(), [A, B, C]
        ranges = [f"10.0.9.{n + 1}/32" for n in range(rng.randint(1, 8))]
        on = {cidr: rng.choice([*paths, None]) for cidr in ranges}
        for cidr, path in on.items():
            if path:
                cloud.put(path, cidr)
        moves = moves_of(cloud, *(want(cidr, [(rng.choice(paths), "nic0")]) for cidr in ranges), stop_source=stop)
        running, begun = [], 0
        truth = dict(moves.where)
        while True:
            ready = moves.ready()
            places = [part.place for part in (*ready, *running)]
            assert len(places) == len(set(places)), seed
            if not ready and not running:
                break
            if ready and (not running or rng.random() < 0.6):
                part = rng.choice(ready)
                moves.begin(part)
                running.append(part)
                begun += 1
                assert begun < 100, seed
                continue
            part = running.pop(rng.randrange(len(running)))
            error = rng.choice([end for end in ENDS if not (part.bound and isinstance(end, Unwanted))])
            if error is None and isinstance(part, Edit):
                for cidr in (*part.add, *part.remove):
                    assert (truth[cidr] is None) == (cidr in part.add), (seed, cidr)
                    truth[cidr] = part.place if cidr in part.add else None
            moves.settle(part, error, False)
        assert moves.where == truth, seed
        for each in moves._goal.wants:
            assert (each.cidr in moves.errors) == (truth[each.cidr] != each.candidates[0]), (seed, each.cidr)
            if truth[each.cidr] is None and on[each.cidr]:
                assert "could not be put back" in str(moves.errors[each.cidr]), seed

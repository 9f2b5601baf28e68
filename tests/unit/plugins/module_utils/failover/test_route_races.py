# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Several runs at once, interleaved at random; operations that end late, fail, or outlive the run that began them."""

from __future__ import annotations

import random

import pytest

from ansible_collections.cloudha.vip.plugins.module_utils.failover import engine, route, route_decide, route_steps
from ansible_collections.cloudha.vip.tests.unit.plugins.module_utils.failover.cloud import (
    NAME,
    A,
    B,
    C,
    SlowCloud,
    apply,
    goal,
)
from ansible_collections.cloudha.vip.tests.unit.plugins.module_utils.failover.runs import Broken

LEASE = 20.0
SCHEDULES = 200


class Actor:
    def __init__(self, cloud, number, wanted):
        self.cloud = cloud
        self.wanted = wanted
        self.asleep_until = 0.0
        self.outcome = None
        self.killed = False
        rng = cloud.rng
        self.run = engine.run(
            route,
            cloud,
            wanted,
            timeout=1e9,
            clock=cloud.clock,
            memory=engine.Memory(f"run{number}x{rng.randrange(10**6)}"),
            chance=rng.random,
        )

    @property
    def ended(self):
        return self.killed or self.outcome is not None

    def turn(self):
        try:
            item = next(self.run)
        except StopIteration as end:
            self.outcome = end.value
            return
        if isinstance(item, engine.Pause):
            self.asleep_until = self.cloud.clock.now + item.seconds


def race(seed, hops, crashes=0.0, freezes=0.0, cloud_type=SlowCloud):
    """Run actors until all have ended; then one last run to the end, alone. What they did must hold all the time."""
    rng = random.Random(seed)
    cloud = cloud_type(rng, LEASE)
    if rng.random() < 0.8:
        cloud.put(NAME, rng.choice((A, B, C)))
    actors = [Actor(cloud, n, goal(hop, lease=LEASE)) for n, hop in enumerate(hops)]
    late = [rng.random() * 30 for _actor in actors]  # they begin at different times
    frozen = {}
    for _turn in range(20_000):
        at_work = [a for a in actors if not a.ended]
        if not at_work:
            break
        ready = [
            a
            for a in at_work
            if a.asleep_until <= cloud.clock.now
            and frozen.get(a, 0) <= cloud.clock.now
            and 1060 + late[actors.index(a)] <= cloud.clock.now
        ]
        if ready:
            actor = rng.choice(ready)
            if rng.random() < freezes:
                frozen[actor] = cloud.clock.now + rng.choice((5, LEASE, 5 * LEASE))
            elif rng.random() < crashes:
                actor.killed = True
            else:
                actor.turn()
        cloud.tick(rng.choice((0.01, 0.2, 1.0, 3.0)))
    else:
        raise AssertionError(f"seed {seed}: the runs do not end: {cloud.log[-40:]}")
    while cloud.pending:
        cloud.tick(1.0)
    # A run that has ended after all others has left what it wanted; anything else takes one more run.
    cloud.rng = _Calm()
    wanted = goal(rng.choice(hops), lease=LEASE)
    apply(cloud, wanted)
    assert cloud.names() == [NAME], f"seed {seed}"
    assert cloud.traffic() == {wanted.next_hop}
    return actors, cloud


class _Calm:
    """Chance, when nothing goes wrong any more."""

    def random(self):
        return 0.99


@pytest.mark.parametrize("first", range(0, SCHEDULES, 50))
def test_two_at_once_never_leave_none(first):
    for seed in range(first, first + 50):
        actors, _cloud = race(seed, [A, B])
        assert all(a.outcome.after.holder == a.wanted.next_hop for a in actors)


@pytest.mark.parametrize("first", range(0, SCHEDULES, 50))
def test_two_at_once_and_one_is_killed(first):
    for seed in range(first, first + 50):
        race(seed, [A, B], crashes=0.03)


def test_two_at_once_and_both_are_killed():
    for seed in range(100):
        race(seed, [A, B], crashes=0.15)


def test_two_with_the_same_next_hop():
    """The agent and the module, or an agent and its successor after a restart."""
    for seed in range(100):
        race(seed, [B, B], crashes=0.02)


@pytest.mark.parametrize("first", range(0, 100, 50))
def test_three_at_once(first):
    for seed in range(first, first + 50):
        race(seed, [A, B, C], crashes=0.01)


def test_runs_that_are_stuck_and_come_back():
    """Also for much longer than the lease: a deletion by id is right at any time, or hits nothing."""
    for seed in range(SCHEDULES):
        race(seed, [A, B], freezes=0.05)


def careless_by_name(original):
    def _deletion(found, wanted, memory):
        step = original(found, wanted, memory)
        name = found["name"]
        return engine.Step(
            step.name, name, lambda client, request_id: client.delete_route(name, request_id), found["id"]
        )

    return _deletion


def careless_about_age(original):
    return lambda newest, others: True


def careless_about_others(original):
    return lambda found, observed, history: (0.0, True, "never")


@pytest.mark.parametrize(
    ("file", "what", "careless", "hops"),
    [
        (route_steps, "_deletion", careless_by_name, [A, B]),
        (route_decide, "is_newest", careless_about_age, [A, B]),
        (route_decide, "_until_active", careless_about_others, [B, B]),
    ],
    ids=["deletes by name", "deletes what is newer", "relies on what may not be active"],
)
def test_each_rule_is_needed(monkeypatch, file, what, careless, hops):
    """The same races find the fault in a procedure without the rule: so they would find it in ours."""
    monkeypatch.setattr(file, what, careless(getattr(file, what)))
    for seed in range(1000):
        try:
            race(seed, hops, freezes=0.05, crashes=0.02)
        except Broken:
            return
        except (AssertionError, engine.Failed):
            continue
    pytest.fail(f"the races do not notice that {what} is careless")

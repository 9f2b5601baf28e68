# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Modules and agents at the same set of routes, at once: step by step, and at random with an API that is slow and
fails."""

from __future__ import annotations

import itertools
import random
from functools import partial

import pytest

from ansible_collections.cloudha.vip.plugins.module_utils.failover import (
    engine,
    route_set,
    route_set_decide,
    route_set_node,
)
from ansible_collections.cloudha.vip.plugins.module_utils.failover.route_set_goal import (
    RESERVE,
    Member,
    NodeGoal,
    SetGoal,
)
from ansible_collections.cloudha.vip.plugins.module_utils.failover.route_table import birth
from ansible_collections.cloudha.vip.tests.unit.plugins.module_utils.failover import runs
from ansible_collections.cloudha.vip.tests.unit.plugins.module_utils.failover.cloud import (
    DESTINATION,
    NETWORK,
    A,
    B,
    C,
    SlowCloud,
)
from ansible_collections.cloudha.vip.tests.unit.plugins.modules.gcp_run import Cloud

NAME = "vip"
LEASE = 20.0
EQUAL = [(A, 1000), (B, 1000)]
WANTED = {
    "equal": EQUAL,
    "first": [(A, 500), (B, 1000)],
    "second": [(A, 1000), (B, 500)],
    "without first": [(A, 1000, "absent"), (B, 1000)],
    "without second": [(A, 1000), (B, 1000, "absent")],
    "first drained": [(A, 1000, "drained"), (B, 1000)],
}


def declared(members, **keys):
    return route_set.Procedure(), SetGoal(NAME, DESTINATION, NETWORK, [Member(*each) for each in members], **keys)


def node(me, present, **keys):
    return route_set_node, NodeGoal(NAME, DESTINATION, NETWORK, me, (A, B, C), present=present, **keys)


def actor(cloud, wanted):
    return runs.Actor(*wanted[:1], cloud, wanted[1], timeout=2000)


def start():
    cloud = Cloud()
    actor(cloud, declared(EQUAL)).end()
    cloud.clock.now += 60
    return cloud


def every(first, second, step):
    counts = actor(start(), first()).end(), actor(start(), second()).end()
    return itertools.product(*(range(0, count + 1, step) for count in counts))


@pytest.mark.parametrize("second", WANTED)
@pytest.mark.parametrize("first", WANTED)
def test_two_declarations_step_by_step(first, second):
    """The cloud checks after each change that there is a route. What the one that ends last wants is there."""
    one, other = partial(declared, WANTED[first]), partial(declared, WANTED[second])
    for alone, then in every(one, other, 4):
        cloud = start()
        actors = actor(cloud, one()), actor(cloud, other())
        runs.race(*actors, alone, then)
        assert [each.error for each in actors] == [None, None], (alone, then)
        last = actor(cloud, other())
        last.end()
        assert last.error is None
        assert not last.outcome.after.items


@pytest.mark.parametrize("present", [True, False])
@pytest.mark.parametrize("path", [A, B])
@pytest.mark.parametrize("first", WANTED)
def test_a_declaration_and_an_agent_step_by_step(first, path, present):
    one, other = partial(declared, WANTED[first]), partial(node, path, present)
    for alone, then in every(one, other, 2):
        cloud = start()
        actors = actor(cloud, one()), actor(cloud, other())
        runs.race(*actors, alone, then)
        assert [each.error for each in actors] == [None, None], (alone, then)
        assert cloud.traffic()


class SlowSetCloud(SlowCloud):
    project = "p"

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.seen = []  # all reserves that there were

    def delete_route(self, name, request_id):
        """Rules 1 and 2, as they are written, for any number of runs and looks of any age."""
        found = next((r for r in self.routes if r["id"] == name), None)
        if not name.isdigit():
            raise runs.Broken("rule 1: deleted by its name")
        self.seen += [r for r in self.routes if r["priority"] == RESERVE and r["_active"]]
        if found and found["priority"] == RESERVE and all(birth(r) <= birth(found) for r in self.seen):
            raise runs.Broken("rule 2: the newest reserve is deleted")
        if not self.seen:
            raise runs.Broken("rule 2: there was no reserve")
        super().delete_route(name, request_id)

    def test_permissions(self, path, permissions):
        return set(permissions)

    def may_follow_operations(self):
        return True

    def put_set(self):
        for number, path in enumerate((A, B), 1):
            for end, priority in (("", 1000), ("-reserve", 65535)):
                self.put(f"{NAME}-node{number}{end}", path, priority)


class Slow:
    """An actor of a random schedule."""

    def __init__(self, cloud, make):
        self.cloud = cloud
        self.make = make
        self.asleep_until = 0.0
        self.ended = False
        self.begin()

    def begin(self):
        procedure, wanted = self.make()
        rng = self.cloud.rng
        self.run = engine.run(procedure, self.cloud, wanted, timeout=1e9, clock=self.cloud.clock, chance=rng.random)

    def turn(self):
        try:
            item = next(self.run)
        except (StopIteration, engine.Failed, engine.Refused):
            self.ended = True
            return
        if isinstance(item, engine.Pause):
            self.asleep_until = self.cloud.clock.now + item.seconds


def race(seed, kinds):
    """Actors until all have ended, or 600 turns are over; some are killed, some are stuck. Then one more, alone."""
    rng = random.Random(seed)
    cloud = SlowSetCloud(rng, LEASE)
    if rng.random() < 0.8:
        cloud.put_set()
    actors = [Slow(cloud, rng.choice(kinds)) for _number in range(rng.choice((2, 3, 4)))]
    frozen = {}
    for _turn in range(600):
        at_work = [a for a in actors if not a.ended]
        if not at_work:
            break
        now = cloud.clock.now
        ready = [a for a in at_work if a.asleep_until <= now and frozen.get(a, 0) <= now]
        if ready:
            actor = rng.choice(ready)
            if rng.random() < 0.02:
                frozen[actor] = now + rng.choice((5, LEASE, 5 * LEASE))
            elif rng.random() < 0.02:
                actor.ended = True
            else:
                actor.turn()
        cloud.tick(rng.choice((0.01, 0.2, 1.0, 3.0)))
    while cloud.pending:
        cloud.tick(1.0)
    cloud.rng = random.Random(seed)
    cloud.rng.random = lambda: 0.99  # nothing goes wrong any more
    procedure, wanted = declared(EQUAL)
    cloud.clock.now += LEASE
    outcome = engine.apply(
        procedure, cloud, wanted, timeout=600, sleep=cloud.clock.sleep, clock=cloud.clock, chance=lambda: 0.5
    )
    assert not outcome.after.items and cloud.traffic() == {A, B}, f"seed {seed}"
    assert len(cloud.routes) == 4, f"seed {seed}: {cloud.names()}"


DECLARATIONS = [lambda each=each: declared(each) for each in WANTED.values()]
AGENTS = [lambda path=path, on=on: node(path, on) for path in (A, B) for on in (True, False)]


@pytest.mark.parametrize("first", range(0, 60, 20))
@pytest.mark.parametrize("kinds", [DECLARATIONS, AGENTS, DECLARATIONS + AGENTS], ids=["modules", "agents", "both"])
def test_at_random_there_is_always_a_route(kinds, first):
    for seed in range(first, first + 20):
        race(seed, kinds)


def races(count, kinds):
    for seed in range(count):
        race(seed, kinds)


def careless_order(o, history):
    """Without rule 2: whatever is outdated goes, as soon as what is wanted is there."""
    missing = [place for place in o.places if not o.keeper(place)]
    if missing:
        return route_set_decide.insert(missing[0], o, history)
    outdated = o.outdated
    return route_set_decide.delete(o, outdated[0]) if outdated else None


def test_without_rule_2_the_races_find_what_breaks_it(monkeypatch):
    """So the races can tell."""
    monkeypatch.setattr(route_set, "decide", careless_order)
    with pytest.raises(runs.Broken, match="rule 2"):
        races(40, DECLARATIONS)

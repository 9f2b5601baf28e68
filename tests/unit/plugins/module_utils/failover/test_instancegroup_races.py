# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Two runs on one group, interleaved at every point: one VIP and one EIP, and nobody is told what is not so."""

from __future__ import annotations

import contextlib
import itertools

import pytest

from ansible_collections.cloudha.vip.plugins.module_utils.base.errors import CloudError, Lost
from ansible_collections.cloudha.vip.plugins.module_utils.failover import engine, instancegroup
from ansible_collections.cloudha.vip.plugins.module_utils.failover.instancegroup import Eip, GroupGoal, Vip
from ansible_collections.cloudha.vip.tests.unit.plugins.module_utils.failover.group_cloud import (
    VIP,
    Groups,
    apply,
    created,
    goal,
)


class Actor:
    """A run that goes on item by item."""

    def __init__(self, cloud, wanted):
        self.cloud = cloud
        self.items = engine.run(instancegroup, cloud, wanted, timeout=60, clock=cloud.clock, chance=lambda: 0.5)
        self.outcome = self.error = None

    @property
    def over(self):
        return self.outcome is not None or self.error is not None

    def go(self):
        """Its next item."""
        try:
            item = next(self.items)
        except StopIteration as end:
            self.outcome = end.value
        except (engine.Failed, engine.Refused) as error:
            self.error = error
        else:
            if isinstance(item, engine.Pause):
                self.cloud.clock.sleep(item.seconds)

    def run(self):
        while not self.over:
            self.go()


def race(cloud, first, second, alone, then):
    """The first goes `alone` items, then the second `then`, and then they take turns."""
    actors = Actor(cloud, first), Actor(cloud, second)
    for actor, count in ((actors[0], alone), (actors[1], then)):
        for _each in range(count):
            if not actor.over:
                actor.go()
    while not all(actor.over for actor in actors):
        for actor in actors:
            if not actor.over:
                actor.go()
    cloud.settle()
    return actors


def items_of(wanted, cloud):
    actor = Actor(cloud, wanted)
    count = 0
    while not actor.over:
        actor.go()
        count += 1
    return count


def every(wanted, make=Groups, step=1):
    count = items_of(wanted, make())
    return itertools.product(range(0, count + 1, step), range(0, count + 1, step))


def test_two_that_want_the_same():
    for wanted in (goal(), goal(vip=Vip()), goal([], Vip(network="net1")), goal(eip="e2")):
        for alone, then in every(wanted):
            cloud = Groups()
            actors = race(cloud, wanted, wanted, alone, then)
            # Who lost the address to the other one sees that it is there.
            assert [actor.error for actor in actors] == [None, None], (alone, then)
            members, vips, eip = cloud.has()
            assert len(vips) == 1 and len(members) in (0, 2) and cloud.leftovers == []
            assert eip == ("203.0.113.10" if wanted.eip else None)
            assert any(actor.outcome.changed for actor in actors)
            assert not apply(cloud, wanted).changed


def test_two_that_want_different_addresses():
    other = "192.168.1.78"
    for alone, then in every(goal()):
        cloud = Groups()
        actors = race(cloud, goal(), goal(vip=other), alone, then)
        (address,) = cloud.has()[1]
        winner, loser = actors if address == VIP else reversed(actors)
        assert winner.error is None and f"has VIP {address} on net1" in str(loser.error), (alone, then)


def test_two_that_each_want_a_new_eip():
    """The service takes the second request too. It is then that an EIP may be left over, and that is told."""
    wanted, collisions = goal(eip=created()), 0
    for alone, then in every(wanted):
        cloud = Groups()
        actors = race(cloud, wanted, wanted, alone, then)
        errors = [str(actor.error) for actor in actors if actor.error]
        assert len(cloud.has()[1]) == 1 and cloud.has()[2], (alone, then)
        if cloud.mutations.count("create_eip") == 1:
            assert errors == [] and cloud.leftovers == []
            continue
        collisions += 1
        (left,) = cloud.leftovers
        assert errors and all(left in error and "is left over" in error for error in errors)
        # The way out that is told.
        apply(cloud, goal(None, None, Eip(present=False, release=True)))
        assert list(cloud.eips) == ["e2-id"]
        apply(cloud, wanted)
        assert len(cloud.eips) == 2 and cloud.leftovers == []
    assert collisions


def test_one_that_builds_and_one_that_takes_down():
    wanted, gone = goal(eip="e2"), GroupGoal("web", present=False)
    for alone, then in every(wanted, step=2):
        cloud = Groups()
        race(cloud, wanted, gone, alone, then)
        for last, state in ((wanted, (["vm1", "vm2"], [VIP], "203.0.113.10")), (gone, None)):
            apply(cloud, last)
            cloud.settle()
            assert cloud.has() == state and cloud.leftovers == [] and list(cloud.eips) == ["e2-id"]


class Late:
    """A request is lost on its way, and arrives later all the same."""

    def __init__(self, cloud, verb, after):
        self.cloud, self.verb, self.after = cloud, verb, after
        self.original = getattr(cloud, verb)
        setattr(cloud, verb, self)

    def __call__(self, *arguments):
        setattr(self.cloud, self.verb, self.original)
        self.cloud.tasks.append((self.cloud.clock() + self.after, lambda: self.arrive(*arguments)))
        raise Lost("no answer in time")

    def arrive(self, *arguments):
        with contextlib.suppress(CloudError):  # which nobody hears
            self.original(*arguments)


@pytest.mark.parametrize("after", [0.0, 0.05, 0.3, 2.0])
@pytest.mark.parametrize(
    "verb", ["create_group", "bind_guests", "attach_network", "create_eip", "associate_eip", "dissociate_eip"]
)
@pytest.mark.parametrize("vip", [Vip(), Vip(VIP)])
def test_a_request_that_comes_late(verb, after, vip):
    """It is not done twice, where twice is not the same as once."""
    cloud = Groups()
    Late(cloud, verb, after)
    wanted = goal(vip=vip, eip="e2" if verb == "associate_eip" else created())
    if verb == "dissociate_eip":
        cloud.group(members=["vm1", "vm2"], vips=[VIP]).bind_eip()
        wanted = goal(None, None, Eip(present=False))
    assert apply(cloud, wanted).changed
    cloud.settle()
    assert cloud.leftovers == [] and len(cloud.has()[1]) == 1 and bool(cloud.has()[2]) == (verb != "dissociate_eip")
    assert cloud.mutations.count("create_eip") <= 1
    assert not apply(cloud, wanted).changed

# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Two runs on one group, interleaved at every point: one VIP and one EIP, and nobody is told what is not so."""

from __future__ import annotations

import contextlib
import itertools

import pytest

from ansible_collections.cloudha.vip.plugins.module_utils.base.errors import CloudError, Lost
from ansible_collections.cloudha.vip.plugins.module_utils.failover import instancegroup
from ansible_collections.cloudha.vip.plugins.module_utils.failover.instancegroup_goal import Eip, GroupGoal, Vip
from ansible_collections.cloudha.vip.tests.unit.plugins.module_utils.failover import runs
from ansible_collections.cloudha.vip.tests.unit.plugins.module_utils.failover.group_cloud import (
    VIP,
    Groups,
    apply,
    created,
    goal,
)


def actor(cloud, wanted):
    return runs.Actor(instancegroup, cloud, wanted, timeout=60)


def race(cloud, first, second, alone, then):
    """See runs.race."""
    actors = actor(cloud, first), actor(cloud, second)
    runs.race(*actors, alone, then)
    cloud.settle()
    return actors


def every(wanted, step=1):
    """Each moment of one, with each moment of the other one."""
    moments = range(0, actor(Groups(), wanted).end() + 1, step)
    return itertools.product(moments, moments)


def test_two_that_want_the_same():
    for wanted in (goal(), goal(vip=Vip()), goal([], Vip(network="net1")), goal(eip="e2")):
        for alone, then in every(wanted):
            cloud = Groups()
            actors = race(cloud, wanted, wanted, alone, then)
            # Who lost the address to the other one sees that it is there.
            assert [each.error for each in actors] == [None, None], (alone, then)
            members, vips, eip = cloud.has()
            assert len(vips) == 1 and len(members) in (0, 2) and cloud.leftovers == []
            assert eip == ("203.0.113.10" if wanted.eip else None)
            assert any(each.outcome.changed for each in actors)
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
        errors = [str(each.error) for each in actors if each.error]
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

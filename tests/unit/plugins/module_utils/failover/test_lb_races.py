# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Two runs at once, interleaved at every point: what each wants is there, and nothing that others added is lost."""

from __future__ import annotations

import itertools

import pytest

from ansible_collections.cloudha.vip.plugins.module_utils.failover import lb
from ansible_collections.cloudha.vip.plugins.module_utils.failover.lb_goal import Group
from ansible_collections.cloudha.vip.tests.unit.plugins.module_utils.failover import runs
from ansible_collections.cloudha.vip.tests.unit.plugins.module_utils.failover.lb_cloud import (
    GROUP_A,
    GROUP_B,
    GROUP_C,
    SERVICE,
    A,
    B,
    C,
    Cloud,
    apply,
    goal,
    gone,
    made,
)


def actor(cloud, wanted):
    return runs.Actor(lb.Procedure(), cloud, wanted, timeout=2000)


def race(cloud, first, second, alone, then):
    """See runs.race."""
    cloud.may_go_down = not (first.present and second.present)
    actors = actor(cloud, first), actor(cloud, second)
    runs.race(*actors, alone, then)
    cloud.may_go_down = False
    return actors


def items_of(cloud, wanted):
    cloud.may_go_down = not wanted.present
    return actor(cloud, wanted).end()


def every(start, first, second, step=3):
    counts = items_of(start(), first), items_of(start(), second)
    return itertools.product(*(range(0, count + 1, step) for count in counts))


def backends(cloud):
    return {each["group"].partition("v1/")[2] for each in cloud.resources[SERVICE].get("backends", ())}


def test_two_that_make_the_same():
    for alone, then in every(Cloud, goal(), goal()):
        cloud = Cloud()
        actors = race(cloud, goal(), goal(), alone, then)
        assert [each.error for each in actors] == [None, None], (alone, then)
        assert cloud.live() and any(each.outcome.changed for each in actors)
        assert not apply(cloud, goal()).changed


def test_two_that_add_different_backends():
    """Both are there in the end: the fingerprint of the list tells who was late."""
    one, other = (goal(groups=(group,)) for group in (Group(GROUP_A, (A,)), Group(GROUP_B, (B,), False)))
    for alone, then in every(Cloud, one, other):
        cloud = Cloud()
        actors = race(cloud, one, other, alone, then)
        assert [each.error for each in actors] == [None, None], (alone, then)
        assert backends(cloud) == {GROUP_A, GROUP_B}, (alone, then)


def test_two_that_add_different_members():
    one, other = (goal(groups=(Group(GROUP_A, members),)) for members in ((A,), (C,)))
    for alone, then in every(Cloud, one, other):
        cloud = Cloud()
        actors = race(cloud, one, other, alone, then)
        assert [each.error for each in actors] == [None, None], (alone, then)
        assert sorted(cloud.members[GROUP_A]) == [A, C]


def test_two_that_change_different_fields():
    one, other = goal(service={"session_affinity": "CLIENT_IP"}), goal(service={"draining_timeout_s": 30})
    for alone, then in every(made, one, other):
        cloud = made()
        actors = race(cloud, one, other, alone, then)
        assert [each.error for each in actors] == [None, None], (alone, then)
        service = cloud.resources[SERVICE]
        assert (service["sessionAffinity"], service["connectionDraining"]) == ("CLIENT_IP", {"drainingTimeoutSec": 30})


def test_one_that_makes_and_one_that_takes_away():
    """One of them may fail, and say why. Whoever runs last gets what it wants."""
    for start, alone, then in ((each, *pair) for each in (Cloud, made) for pair in every(each, goal(), gone(), step=5)):
        cloud = start()
        race(cloud, goal(), gone(), alone, then)
        cloud.served = {}
        apply(cloud, goal())
        assert cloud.live(), (alone, then)
        apply(cloud, gone())
        assert cloud.resources == {}, (alone, then)


class Careless(Cloud):
    """Takes any fingerprint."""

    def patch(self, path, body, request_id):
        current = self.resources[path].get("fingerprint")
        super().patch(path, {**body, "fingerprint": current} if current else body, request_id)


@pytest.mark.parametrize("cloud_type", [Cloud, Careless])
def test_a_list_is_never_overwritten_unseen(cloud_type):
    """The second run has looked, and then the first one adds its backend and ends. The fingerprint tells the second."""
    cloud = cloud_type()
    apply(cloud, goal(groups=(Group(GROUP_A, (A,)),)))
    cloud.put(GROUP_C, members=[C]).put(GROUP_B, members=[B])
    first, second = (actor(cloud, goal(groups=(Group(path),))) for path in (GROUP_B, GROUP_C))
    second.go(2)  # it is about to send
    assert cloud.requests[-1][0] not in ("patch", "insert")
    first.end()
    assert backends(cloud) == {GROUP_A, GROUP_B}
    second.end()
    lost = {GROUP_B} if cloud_type is Careless else set()
    assert backends(cloud) == {GROUP_A, GROUP_B, GROUP_C} - lost


@pytest.mark.parametrize("killed", [0, 1])
def test_one_of_two_is_killed(killed):
    wanted = goal(), goal(groups=(Group(GROUP_C, (C,)),))
    for alone, then in every(Cloud, *wanted):
        cloud = Cloud()
        actors = [actor(cloud, each) for each in wanted]
        actors[0].go(alone)
        actors[1].go(then)
        left = actors[1 - killed]
        left.end()
        assert left.error is None
        apply(cloud, wanted[killed])
        apply(cloud, wanted[1 - killed])
        assert backends(cloud) == {GROUP_A, GROUP_B, GROUP_C}

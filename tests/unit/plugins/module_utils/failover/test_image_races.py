# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Two controllers that make the same image, interleaved at every point. The cloud looks after each request whether an
image was changed, or made of a disk that nobody prepared."""

from __future__ import annotations

import itertools

import pytest

from ansible_collections.cloudha.vip.plugins.module_utils.failover import image
from ansible_collections.cloudha.vip.plugins.module_utils.failover.image_goal import BUILDING, PRESENT
from ansible_collections.cloudha.vip.tests.unit.plugins.module_utils.failover import runs
from ansible_collections.cloudha.vip.tests.unit.plugins.module_utils.failover.image_cloud import (
    BUILDER,
    IMAGE,
    Cloud,
    build,
    building,
    goal,
    gone,
    made,
)


class Play(runs.Turns):
    """What a playbook does: a builder, the roles on it, and the image; one item after the other."""

    def __init__(self, cloud, **keys):
        self.cloud, self.keys = cloud, keys
        self.run = self._actor(goal(BUILDING, **keys))
        self.builder = None
        self.unreachable = False

    @property
    def error(self):
        return self.run.error

    def _actor(self, wanted):
        return runs.Actor(image.Procedure(), self.cloud, wanted, timeout=3000)

    def _next(self):
        if not self.run.over:
            self.run.go()
            return
        seen = self.run.outcome and self.run.outcome.after.observed
        if seen is None or seen.goal.state == PRESENT:
            self.over = True
            return
        if not seen.is_ready:
            there = self.cloud.resources.get(BUILDER, {})
            self.unreachable = (there.get("id"), there.get("status")) != (seen.builder["id"], "RUNNING")
            if self.unreachable:
                self.over = True
                return
            self.builder = self.cloud.prepare()
        self.run = self._actor(goal(PRESENT, expected_builder=self.builder))


def every(start, first, second):
    counts = (Play(start(), **each).end() for each in (first, second))
    return itertools.product(*(range(count + 1) for count in counts))


OTHER = {"machine_type": "n1-standard-1"}


@pytest.mark.parametrize("second", [{}, OTHER], ids=["same builder", "another builder"])
@pytest.mark.parametrize("start", [Cloud, building, made])
def test_two_plays(start, second):
    """One of them makes the image. If each wants another builder, both may fail, and say why; the next run makes it."""

    def fresh():
        cloud = start()
        cloud.builders_may_go = bool(second)
        return cloud

    for alone, then in every(fresh, {}, second):
        cloud = fresh()
        plays = Play(cloud), Play(cloud, **second)
        runs.race(*plays, alone, then)
        done = [play for play in plays if not play.unreachable and not play.error]
        assert done or second, (alone, then)
        cloud.settle()
        assert not done or cloud.resources[IMAGE]["status"] == "READY"
        build(cloud)
        assert cloud.left() == {IMAGE: "READY"}, (alone, then)
        for play in plays:
            told = "somebody made it anew" in str(play.error) or "no builder" in str(play.error)
            assert not play.error or told, play.error


def test_two_runs_that_capture_the_same_builder():
    """Neither of them fails: the second one meets the image of the first one."""
    counts = range(12)
    for alone, then in itertools.product(counts, counts):
        cloud = building()
        cloud.prepare()
        actors = [runs.Actor(image.Procedure(), cloud, goal(PRESENT), timeout=3000) for _each in range(2)]
        runs.race(*actors, alone, then)
        assert [each.error for each in actors] == [None, None], (alone, then)
        assert cloud.left() == {IMAGE: "READY"}


def test_one_that_makes_and_one_that_takes_away():
    """Whoever runs last gets what it wants."""
    for alone, then in itertools.product(range(14), range(8)):
        cloud = Cloud()
        cloud.may_vanish = True
        play, remover = Play(cloud), runs.Actor(image.Procedure(), cloud, gone(), timeout=3000)
        runs.race(play, remover, alone, then)
        cloud.settle()
        build(cloud)
        assert cloud.left() == {IMAGE: "READY"}, (alone, then)
        remover = runs.Actor(image.Procedure(), cloud, gone(), timeout=3000)
        remover.end()
        assert cloud.left() == {}

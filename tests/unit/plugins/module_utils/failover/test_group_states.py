# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs for autohealing groups killed before and after each change, with lost answers, and two at once."""

from __future__ import annotations

import itertools

import pytest

from ansible_collections.cloudha.vip.plugins.module_utils.failover import group
from ansible_collections.cloudha.vip.plugins.module_utils.failover.group_goal import Member
from ansible_collections.cloudha.vip.tests.unit.plugins.module_utils.failover import runs
from ansible_collections.cloudha.vip.tests.unit.plugins.module_utils.failover.managed_cloud import (
    GROUP,
    NEW,
    PAIR,
    Cloud,
    apply,
    goal,
    gone,
    made,
    only,
)

OTHER_PAIR = (Member("node1", "10.0.0.21"), Member("node3"))
KILLED = {
    "made": (Cloud, goal()),
    "made, at any address": (Cloud, goal(members=(Member("node1"), Member("node2")))),
    "another image": (made, only(template={"image": NEW})),
    "another image later": (made, only(template={"image": NEW}, rolling=False)),
    "other instances": (made, only(members=OTHER_PAIR, exclusive=True)),
    "another type": (made, only(check_kind="TCP", check={"port": 6000})),
    "all of it": (
        made,
        only(members=OTHER_PAIR, template={"image": NEW, "metadata": {"a": "b"}}, initial_delay_s=60, exclusive=True),
    ),
    "a spare place": (Cloud, goal(empty=True)),
    "another image for a spare place": (made, goal(empty=True, template={"image": NEW})),
    "taken away": (made, gone()),
}


def there(cloud):
    """With how many instances were made: none once too often."""
    return cloud.snapshot(), cloud.made


@pytest.mark.parametrize("case", KILLED)
def test_killed_at_each_request_and_run_again(case):
    runs.killed_at_each_change(apply, *KILLED[case], there)


@pytest.mark.parametrize("case", KILLED)
def test_answers_that_are_lost(case):
    runs.answers_that_are_lost(apply, *KILLED[case], there)


# --- two at once


def actors(cloud, *goals):
    return [runs.Actor(group.Procedure(), cloud, wanted, timeout=5000) for wanted in goals]


def every(start, first, second, step=17):
    counts = [actors(start(), wanted)[0].end() for wanted in (first, second)]
    return itertools.product(*(range(0, count + 1, step) for count in counts))


@pytest.mark.parametrize("case", ["made", "another image", "other instances", "taken away"])
def test_two_that_want_the_same(case):
    """No instance is made twice, and with a pair one always serves."""
    start, wanted = KILLED[case]
    calm = start()
    apply(calm, wanted)
    for alone, then in every(start, wanted, wanted):
        cloud = start()
        both = actors(cloud, wanted, wanted)
        runs.race(*both, alone, then)
        assert [each.error for each in both] == [None, None], (alone, then)
        assert cloud.snapshot() == calm.snapshot() and cloud.made == calm.made, (alone, then)


def test_two_that_want_different_things_that_go_together():
    first, second = only(template={"image": NEW}), only(initial_delay_s=60, members=(*PAIR, Member("node3")))
    for alone, then in every(made, first, second):
        cloud = made()
        both = actors(cloud, first, second)
        runs.race(*both, alone, then)
        assert [each.error for each in both] == [None, None], (alone, then)
        assert cloud.resources[GROUP]["autoHealingPolicies"][0]["initialDelaySec"] == 60
        assert {cloud.image_of(name) for name in cloud.machines} == {NEW} and len(cloud.machines) == 3


def test_one_that_makes_and_one_that_takes_away():
    """Whoever comes last gets its way, or says why not; a run by itself then does the rest."""
    for alone, then in every(made, only(template={"image": NEW}), gone()):
        cloud = made()
        runs.race(*actors(cloud, goal(template={"image": NEW}), gone()), alone, then)
        apply(cloud, gone())
        assert not cloud.machines and all("/images/" in each for each in cloud.resources), (alone, then)

# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs for passthrough load balancers killed before and after each change, or with lost answers, and run again."""

from __future__ import annotations

import itertools

import pytest

from ansible_collections.cloudha.vip.plugins.module_utils.base.errors import Lost
from ansible_collections.cloudha.vip.plugins.module_utils.failover.lb_goal import Group
from ansible_collections.cloudha.vip.tests.unit.plugins.module_utils.failover.lb_cloud import (
    BOTH,
    EXTERNAL,
    GROUP_A,
    A,
    Cloud,
    apply,
    goal,
    gone,
    made,
    theirs,
)
from ansible_collections.cloudha.vip.tests.unit.plugins.module_utils.failover.runs import Crash

KILLED = {
    "made": (Cloud, goal()),
    "several protocols": (Cloud, goal(**BOTH)),
    "external": (Cloud, goal(**EXTERNAL)),
    "another port": (made, goal(check={"port": 6000})),
    "another scope": (made, goal(check_global=True)),
    "others go": (lambda: theirs(made()), goal(exclusive=True)),
    "no backend": (made, goal(groups=(), exclusive=True)),
    "other ports": (made, goal(ports=(81,), allow_replace=True)),
    "another address": (made, goal(address="10.0.0.10", allow_replace=True)),
    "another type": (made, goal(check_kind="TCP", allow_replace=True)),
    "a second protocol": (made, goal(**BOTH, allow_replace=True)),
    "a protocol less": (lambda: made(**BOTH), goal(protocols=("TCP",), allow_replace=True)),
    "taken away": (made, gone()),
    "taken away, with others' members": (lambda: theirs(made()), gone(groups=(Group(GROUP_A, (A,)),))),
}


def without_fingerprints(cloud):
    resources, members = cloud.snapshot()
    for body in resources.values():
        body.pop("fingerprint", None)
    return resources, members


WRITES = ("insert", "patch", "delete", "add", "remove", "set_target")


class Killer:
    """Kills a run before or after its change of a number, from 0."""

    def __init__(self, number, phase):
        self.left = number
        self.phase = phase

    def __call__(self, phase, verb, path):
        if phase == self.phase and verb in WRITES:
            self.left -= 1
            if self.left < 0:
                raise Crash


class Loser:
    """Loses the answer to each change once."""

    def __init__(self, phase):
        self.phase = phase
        self.lost = set()

    def __call__(self, phase, verb, path):
        if phase == self.phase and verb in WRITES and (verb, path) not in self.lost:
            self.lost.add((verb, path))
            raise Lost("the connection was lost", resource=path)


@pytest.mark.parametrize("case", KILLED)
def test_killed_at_each_request_and_run_again(case):
    start, wanted = KILLED[case]
    calm = start()
    changes = len(apply(calm, wanted).steps)
    assert changes > 1
    for number, phase in itertools.product(range(changes), ("before", "after")):
        cloud = start()
        cloud.fault = Killer(number, phase)
        with pytest.raises(Crash):
            apply(cloud, wanted)
        cloud.fault = lambda when, verb, path: None
        outcome = apply(cloud, wanted)
        same = outcome.before.to_diff() == outcome.after.to_diff()
        assert outcome.changed != same, "a change that no difference shows, or a difference without one"
        assert without_fingerprints(cloud) == without_fingerprints(calm)
        assert not apply(cloud, wanted).changed


@pytest.mark.parametrize("case", KILLED)
def test_answers_that_are_lost(case):
    """The request took effect, or did not; the run goes on, and nothing happens twice."""
    start, wanted = KILLED[case]
    for phase in ("before", "after"):
        cloud = start()
        cloud.fault = Loser(phase)
        outcome = apply(cloud, wanted)
        assert outcome.changed and not apply(cloud, wanted).changed

# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs for passthrough load balancers killed before and after each change, or with lost answers, and run again."""

from __future__ import annotations

import pytest

from ansible_collections.cloudha.vip.plugins.module_utils.failover.lb_goal import Group
from ansible_collections.cloudha.vip.tests.unit.plugins.module_utils.failover import runs
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


@pytest.mark.parametrize("case", KILLED)
def test_killed_at_each_request_and_run_again(case):
    runs.killed_at_each_change(apply, *KILLED[case], without_fingerprints)


@pytest.mark.parametrize("case", KILLED)
def test_answers_that_are_lost(case):
    runs.answers_that_are_lost(apply, *KILLED[case], without_fingerprints)

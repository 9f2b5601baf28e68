# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A route by its name: what is missing is read from what is there, inside the engine."""

from __future__ import annotations

import pytest

from ansible_collections.cloudha.vip.plugins.module_utils.base.errors import Unavailable
from ansible_collections.cloudha.vip.plugins.module_utils.failover import engine, named_route
from ansible_collections.cloudha.vip.tests.unit.plugins.module_utils.failover.cloud import (
    DESTINATION,
    NAME,
    NETWORK,
    A,
    B,
)
from ansible_collections.cloudha.vip.tests.unit.plugins.modules.gcp_run import Cloud


@pytest.fixture
def there():
    return Cloud().put(NAME, A, priority=700)


def apply(there, goal):
    return engine.apply(
        named_route.Procedure(), there, goal, sleep=there.clock.sleep, clock=there.clock, chance=lambda: 0.5
    )


def goal(destination=None, network=None, name=NAME, **more):
    return named_route.NamedGoal(name, destination, network, **more)


def asked(there, verb):
    return [request[0] for request in there.requests].count(verb)


@pytest.mark.parametrize("where", [(None, None), (DESTINATION, None), (None, NETWORK)])
def test_what_is_missing_is_found_once(there, where):
    outcome = apply(there, goal(*where, next_hop=B))
    assert (outcome.changed, outcome.before.holder, outcome.after.holder) == (True, A, B)
    assert asked(there, "all") == 1


def test_what_is_given_is_not_looked_for(there):
    assert apply(there, goal(DESTINATION, NETWORK, next_hop=B)).changed
    assert asked(there, "all") == 0


def test_the_engine_tries_again(there):
    errors = [Unavailable("not now", status=503)]

    def fault(phase, verb, _target):
        if (phase, verb) == ("before", "all") and errors:
            raise errors.pop()

    there.fault = fault
    assert apply(there, goal(next_hop=B)).after.holder == B
    assert asked(there, "all") == 2


def test_no_route_and_none_wanted(there):
    outcome = apply(there, goal(name="other", present=False))
    assert not outcome.changed and outcome.before.goal is None
    assert outcome.before.to_diff() == {"holder": None, "routes": []}


@pytest.mark.parametrize(
    ("where", "word"),
    [((None, None), "destination"), ((DESTINATION, None), "network"), ((None, NETWORK), "destination")],
)
def test_no_route_and_one_wanted(there, where, word):
    with pytest.raises(engine.Refused) as refused:
        apply(there, goal(*where, name="other", next_hop=B))
    assert refused.value.problems == [f"{word}: give it, as there is no route other in p that has one"]
    assert there.mutations == []


def test_a_caller_that_may_only_insert_changes_nothing(there):
    there.missing = {"compute.routes.delete"}
    with pytest.raises(engine.Failed, match=r"compute\.routes\.delete"):
        apply(there, goal(next_hop=B))
    assert there.mutations == []
    # Nothing to do, nothing to ask.
    assert not apply(there, goal(next_hop=A)).changed

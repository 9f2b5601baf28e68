# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs against a cloud in memory: how they end badly, and how two of them are interleaved."""

from __future__ import annotations

import itertools

import pytest

from ansible_collections.cloudha.vip.plugins.module_utils.base.errors import Lost
from ansible_collections.cloudha.vip.plugins.module_utils.failover import engine

# The verbs of Compute Engine's clouds in memory that change something.
WRITES = {
    "add",
    "config",
    "create",
    "delete",
    "insert",
    "patch",
    "recreate",
    "remove",
    "replace",
    "set_target",
    "start",
    "stop",
}


class Broken(AssertionError):
    """An invariant does not hold."""


class Crash(BaseException):
    """The process is killed here."""


def apply(procedure, cloud, wanted, timeout):
    """To its end, by the cloud's clock."""
    return engine.apply(
        procedure, cloud, wanted, timeout=timeout, sleep=cloud.clock.sleep, clock=cloud.clock, chance=lambda: 0.5
    )


class Fault:
    """Raises an error at the change of a number, from 0, in a phase."""

    def __init__(self, number, phase, error):
        self.left, self.phase, self.error = number, phase, error

    def __call__(self, phase, verb, _path):
        if phase == self.phase and verb in WRITES:
            self.left -= 1
            if self.left == -1:
                raise self.error


class Loser:
    """Loses the answer to each change once."""

    def __init__(self, phase):
        self.phase = phase
        self.lost = set()

    def __call__(self, phase, verb, path):
        if phase == self.phase and verb in WRITES and (verb, path) not in self.lost:
            self.lost.add((verb, path))
            raise Lost("the connection was lost", resource=path)


def killed_at_each_change(apply, start, wanted, there):
    """And run again, which completes it. there(cloud): what there is, for comparison."""
    calm = start()
    changes = len(apply(calm, wanted).steps)
    assert changes > 1
    for number, phase in itertools.product(range(changes), ("before", "after")):
        cloud = start()
        cloud.fault = Fault(number, phase, Crash())
        with pytest.raises(Crash):
            apply(cloud, wanted)
        cloud.fault = lambda when, verb, path: None
        outcome = apply(cloud, wanted)
        same = outcome.before.to_diff() == outcome.after.to_diff()
        assert outcome.changed != same, "a change that no difference shows, or a difference without one"
        assert there(cloud) == there(calm), (number, phase)
        assert not apply(cloud, wanted).changed, (number, phase)


def answers_that_are_lost(apply, start, wanted, there):
    """The request took effect, or did not; the run goes on, and nothing happens twice."""
    calm = start()
    apply(calm, wanted)
    for phase in ("before", "after"):
        cloud = start()
        cloud.fault = Loser(phase)
        assert apply(cloud, wanted).changed, phase
        assert there(cloud) == there(calm), phase
        assert not apply(cloud, wanted).changed, phase


class Turns:
    """Something that goes on item by item, until it is over."""

    over = False

    def _next(self):
        raise NotImplementedError

    def go(self, count=1):
        """Its next items, if there are as many."""
        for _each in range(count):
            if not self.over:
                self._next()

    def end(self):
        """All that are left; how many those were."""
        count = 0
        while not self.over:
            self._next()
            count += 1
        return count


class Actor(Turns):
    """A run."""

    def __init__(self, procedure, cloud, wanted, timeout):
        self.cloud = cloud
        self.items = engine.run(procedure, cloud, wanted, timeout=timeout, clock=cloud.clock, chance=lambda: 0.5)
        self.outcome = self.error = None

    @property
    def over(self):
        return self.outcome is not None or self.error is not None

    def _next(self):
        try:
            item = next(self.items)
        except StopIteration as end:
            self.outcome = end.value
        except (engine.Failed, engine.Refused) as error:
            self.error = error
        else:
            if isinstance(item, engine.Pause):
                self.cloud.clock.sleep(item.seconds)


def race(first, second, alone, then):
    """The first goes `alone` items, then the second `then`, and then they take turns."""
    first.go(alone)
    second.go(then)
    while not (first.over and second.over):
        first.go()
        second.go()

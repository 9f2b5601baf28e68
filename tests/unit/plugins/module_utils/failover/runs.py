# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs against a cloud in memory: how they end badly, and how two of them are interleaved."""

from __future__ import annotations

from ansible_collections.cloudha.vip.plugins.module_utils.failover import engine


class Broken(AssertionError):
    """An invariant does not hold."""


class Crash(BaseException):
    """The process is killed here."""


class Actor:
    """A run that goes on item by item."""

    def __init__(self, procedure, cloud, wanted, timeout):
        self.cloud = cloud
        self.items = engine.run(procedure, cloud, wanted, timeout=timeout, clock=cloud.clock, chance=lambda: 0.5)
        self.outcome = self.error = None

    @property
    def over(self):
        return self.outcome is not None or self.error is not None

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

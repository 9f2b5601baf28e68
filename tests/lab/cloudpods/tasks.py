# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What goes on after an action was answered."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

from lab.cloudpods.behaviour import Behaviour
from lab.emulation.behaviour import Fault
from lab.emulation.timeline import Timeline

Step = Callable[[], None]


class Tasks:
    """Those that run, and those that are held until `release`."""

    def __init__(self, behaviour: Behaviour) -> None:
        self._behaviour = behaviour
        self._lock = threading.Lock()
        self._held: list[Step] = []
        self._timeline = Timeline("tasks")

    def start(self, first: Step | None, last: Step, faults: Sequence[Fault]) -> None:
        """``first`` is done at once, but after the answer; ``last`` when the task's time is over."""
        now = time.monotonic()
        if first is not None:
            self._timeline.at(now, first)
        if any(fault.kind == "never-ends" for fault in faults):
            with self._lock:
                self._held.append(last)
            return
        seconds = self._behaviour.latency_s + sum(fault.seconds for fault in faults if fault.kind == "slow")
        self._timeline.at(now + seconds, last)

    def release(self) -> None:
        """Let those end that never would."""
        with self._lock:
            held, self._held = self._held, []
        for last in held:
            self._timeline.at(time.monotonic(), last)

    def catch_up(self) -> None:
        """Wait until everything is done whose time has come: what a request sees shall not depend on threads."""
        self._timeline.catch_up()

    def settled(self, timeout: float = 10.0) -> bool:
        """Wait until there is nothing to do; those that are held do not count."""
        return self._timeline.idle(timeout)

    def close(self) -> None:
        """Those that run stay as they are."""
        self._timeline.close()

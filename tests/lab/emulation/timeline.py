# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One thread that does things at their time."""

from __future__ import annotations

import heapq
import itertools
import sys
import threading
import time
import traceback
from collections.abc import Callable


class Timeline:
    """Jobs in the order of their times; those of one time in the order in which they came."""

    def __init__(self, name: str) -> None:
        self._jobs: list[tuple[float, int, Callable[[], None]]] = []
        self._number = itertools.count()
        self._changed = threading.Condition()
        self._busy = False
        self._ended = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def at(self, moment: float, job: Callable[[], None]) -> None:
        """Do ``job`` when the monotonic clock says ``moment``."""
        with self._changed:
            heapq.heappush(self._jobs, (moment, next(self._number), job))
            self._changed.notify_all()

    def idle(self, timeout: float) -> bool:
        """Wait until there is nothing to do, now or later."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._jobs and not self._busy, timeout)

    def close(self) -> None:
        """Do nothing any more."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()
        self._thread.join(5)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._busy = False
                self._changed.notify_all()
                while not self._ended and not (self._jobs and self._jobs[0][0] <= time.monotonic()):
                    self._changed.wait(max(0.0, self._jobs[0][0] - time.monotonic()) if self._jobs else None)
                if self._ended:
                    return
                job = heapq.heappop(self._jobs)[2]
                self._busy = True
            try:
                job()
            except Exception:
                # The next ones have to be done all the same.
                traceback.print_exc(file=sys.stderr)

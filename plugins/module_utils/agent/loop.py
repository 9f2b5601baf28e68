# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The agent's event loop: one thread, and generators that say what they wait for.

An attempt is a generator that yields ``(file descriptor, selector mask, what it is doing)`` and resumes when the
descriptor is ready. Written by hand because importing asyncio alone costs 8 MiB of resident memory.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import selectors
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from typing import Any

    Attempt = Generator[tuple[Any, int, str], None, None]

READ = selectors.EVENT_READ
WRITE = selectors.EVENT_WRITE


REASON_LIMIT = 200


def in_one_line(text: str, limit: int) -> str:
    """Text of others as a log and a terminal may have it: no newline, nothing that steers a terminal, and not long."""
    line = " ".join(text[: 2 * limit].split())
    line = "".join(letter if letter.isprintable() else "?" for letter in line)
    return line if len(line) <= limit and len(text) <= 2 * limit else line[: limit - 3] + "..."


class Failed(Exception):
    """An attempt came to an end without success; the message is the reason, short and in one line.

    It may quote a service, which may say anything.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(in_one_line(reason, REASON_LIMIT))


class Timeout(Failed):
    """An attempt did not end in time."""


class Loop:
    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()  # equal times stay in order, and functions are never compared

    def watch(self, fileobj: Any, mask: int, ready: Callable[[], None]) -> None:
        self._selector.register(fileobj, mask, ready)

    def unwatch(self, fileobj: Any) -> None:
        self._selector.unregister(fileobj)

    def at(self, when: float, call: Callable[[], None]) -> None:
        """Call a function once, at a time of the monotonic clock."""
        heapq.heappush(self._timers, (when, next(self._order), call))

    def turn(self) -> None:
        """Wait for the next thing that happens, and handle all that has."""
        timeout = max(0.0, self._timers[0][0] - time.monotonic()) if self._timers else None
        for key, _mask in self._selector.select(timeout):
            # A call before this one may have let go of the descriptor.
            if self._selector.get_map().get(key.fd) is key:
                key.data()
        now = time.monotonic()
        while self._timers and self._timers[0][0] <= now:
            heapq.heappop(self._timers)[2]()

    def run(self, attempt: Attempt, timeout: float, done: Callable[[Failed | None], None]) -> None:
        """Drive an attempt to its end; done is told why it failed, or None."""
        _Task(self, attempt, timeout, done)

    def close(self) -> None:
        self._selector.close()


class _Task:
    def __init__(self, loop: Loop, attempt: Attempt, timeout: float, done: Callable[[Failed | None], None]) -> None:
        self._loop = loop
        self._attempt = attempt
        self._done = done
        self._timeout = timeout
        self._waiting: Any = None
        self._doing = "starting"
        self._ended = False
        loop.at(time.monotonic() + timeout, self._expire)
        self._step()

    def _step(self) -> None:
        self._let_go()
        try:
            waiting, mask, self._doing = next(self._attempt)
            self._loop.watch(waiting, mask, self._step)
            self._waiting = waiting
        except StopIteration:
            self._end(None)
        except Failed as failed:
            self._end(failed)
        except Exception as error:  # whatever a service makes a library raise is its failure, and no end of the agent
            self._abandon()
            said = getattr(error, "strerror", None) or error
            kind = "" if isinstance(error, (OSError, ValueError)) else f"{type(error).__name__}: "
            self._end(Failed(f"{kind}{said} ({self._doing})"))

    def _expire(self) -> None:
        if not self._ended:
            self._let_go()
            self._abandon()
            self._end(Timeout(f"no end after {self._timeout * 1000:.0f} ms ({self._doing})"))

    def _abandon(self) -> None:
        with contextlib.suppress(Exception):
            self._attempt.close()

    def _let_go(self) -> None:
        if self._waiting is not None:
            self._loop.unwatch(self._waiting)
            self._waiting = None

    def _end(self, failed: Failed | None) -> None:
        self._ended = True
        self._done(failed)

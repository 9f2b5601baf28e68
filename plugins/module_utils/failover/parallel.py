# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Many changes at the same time: the engine carries out each part of a schedule by a run of its own, in threads."""

from __future__ import annotations

import contextlib
import threading
import time

from ..base.errors import CloudError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator
    from typing import Any, Protocol

    from .plan import Done, Memory, Step
else:
    Protocol = object

AT_ONCE = 32  # parts at the same time
LINGER = 0.03  # seconds that a part which is not whole waits for more
SHARE = 0.5  # of the time that is left, for each part: what follows from how it ends needs time, too


class Part(Protocol):
    """place: what it changes; no two parts do so at the same time. whole: whether waiting would add nothing to it.

    bound: whether it is carried out though no longer wanted, or when the time is over. It is a procedure of the engine.
    """

    place: Any
    whole: bool

    @property
    def bound(self) -> bool: ...


class Schedule(Protocol):
    """The parts that can be carried out, and the consequences of their results. Only one thread uses it."""

    def ready(self) -> list[Any]:
        """The parts that can begin now, each for another place; the most urgent first."""

    def begin(self, part: Any) -> None: ...

    def settle(self, part: Any, error: CloudError | None, unsure: bool) -> None:
        """It has ended. error: why it failed. unsure: it may have taken effect all the same, or may yet."""


class Together:
    """An item of a plan: a schedule, whose parts the engine carries out before it looks again. Plan it only once.

    key       Hashable      finds the schedule in Memory.done, as a result, when all parts have ended
    schedule  Schedule      the parts
    steps     list of Step  the changes as far as can be foreseen, for a preview

    A part takes at most half of the time that the run has left. The look behind them is taken, wanted or not.
    """

    __slots__ = ("key", "schedule", "steps")

    def __init__(self, key: Hashable, schedule: Schedule, steps: list[Step]) -> None:
        self.key = key
        self.schedule = schedule
        self.steps = steps

    def __repr__(self) -> str:
        return f"Together({self.steps})"


class Unwanted(CloudError):
    """A part did nothing, as it was no longer wanted."""

    def __init__(self) -> None:
        super().__init__("it is no longer wanted")


class Crashed(CloudError):
    """A part ended with an error that is none of the API's. It is raised when the other parts have ended."""


class Ended:
    """How a part ended.

    steps   list of Done        the changes that the API confirmed
    error   CloudError or None  why it failed
    unsure  bool                a request of it may have taken effect, of which nothing was heard
    """

    __slots__ = ("error", "steps", "unsure")

    def __init__(self, steps: list[Done], error: CloudError | None = None, unsure: bool = False) -> None:
        self.steps = steps
        self.error = error
        self.unsure = unsure


def carry_out(schedule: Schedule, run: Callable[[Any, Any], Ended], clients: Clients, memory: Memory) -> None:
    """Carry out all parts, each by run(part, client), and write their changes into the memory."""
    crash: BaseException | None = None

    def work(part: Any) -> Ended:
        with clients.lend() as client:
            return run(part, client)

    for part, ended in _each(schedule, work, clients.at_once):
        if isinstance(ended, BaseException):
            crash = crash or ended
            ended = Ended([], Crashed(str(ended)))
        memory.steps += ended.steps
        if ended.error:
            memory.unsure = memory.unsure or ended.unsure
        else:
            memory.unanswered = memory.unanswered or ended.unsure
        schedule.settle(part, ended.error, ended.unsure)
    if crash:
        raise crash


def _each(
    schedule: Schedule, work: Callable[[Any], Ended], at_once: int
) -> Iterator[tuple[Any, Ended | BaseException]]:
    """Yields each part when it has ended, with the result or the error of work(part); it has to be settled then.

    A single part is carried out by the caller's thread, and its error is raised.
    """
    changed = threading.Condition()
    ended: list[tuple[Any, Any]] = []
    since: dict[Any, float] = {}  # when parts became ready that are not whole
    running = 0

    def report(part: Any) -> None:
        result: Any
        try:
            result = work(part)
        except BaseException as error:
            result = error
        with changed:
            ended.append((part, result))
            changed.notify()

    while True:
        parts = schedule.ready()
        if not parts and not running:
            return
        if not running and (len(parts) == 1 or at_once == 1):
            schedule.begin(parts[0])
            yield parts[0], work(parts[0])
            continue
        wait: float | None = None
        for part in parts:
            if running == at_once:
                break
            if not part.whole:
                left = since.setdefault(part.place, time.monotonic()) + LINGER - time.monotonic()
                if left > 0:
                    wait = left if wait is None else min(wait, left)
                    continue
            since.pop(part.place, None)
            schedule.begin(part)
            threading.Thread(target=report, args=(part,), daemon=True).start()
            running += 1
        with changed:
            changed.wait_for(lambda: ended, wait)
            done, ended[:] = list(ended), []
        running -= len(done)
        yield from done


class Clients:
    """Clients that nobody else uses: the one that was used last comes first, as its connection is warm.

    make_client: makes another one; None: the first is the only one.
    """

    def __init__(self, client: Any, make_client: Callable[[], Any] | None = None) -> None:
        self.at_once = AT_ONCE if make_client else 1
        self._idle = [client]
        self._make_client = make_client or (lambda: client)
        self._turn = threading.Lock()

    @contextlib.contextmanager
    def lend(self) -> Iterator[Any]:
        with self._turn:
            client = self._idle.pop() if self._idle else None
        if client is None:
            client = self._make_client()
        try:
            yield client
        finally:
            with self._turn:
                self._idle.append(client)

# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The parts of a plan, and a run's memory for the next plan. engine.py says how a procedure uses it."""

from __future__ import annotations

import os

from ..base.errors import AlreadyExists, CloudError, NotFound, Stale

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Hashable
    from typing import Any


class Step:
    """One mutation. do(client, request_id) returns when the API says that it is done.

    key: two steps with one key are the same, so that a repetition has the same request id. note: plan() finds it
    again in Memory.done. conflicts: the errors which say that the state has changed since the look. Where the API has
    no request ids, Unavailable is one of them: the step is not repeated unseen, and counts as done if it is not planned
    again. contested: whether it may be repeated, within the budget, although the look behind it does not show it. That
    is right where a repetition makes nothing new, and somebody else can undo the step before that look.
    """

    __slots__ = ("conflicts", "contested", "do", "key", "name", "note", "resource")

    def __init__(
        self,
        name: str,
        resource: str,
        do: Callable[[Any, str], Any],
        key: Hashable = None,
        note: Any = None,
        conflicts: tuple[type[CloudError], ...] = (AlreadyExists, NotFound, Stale),
        contested: bool = False,
    ) -> None:
        self.name = name
        self.resource = resource
        self.do = do
        self.conflicts = conflicts
        self.contested = contested
        self.key = (name, resource, key)
        self.note = note

    def __repr__(self) -> str:
        return f"Step({self.name}: {self.resource})"


AT_WORK = "another run is at work"  # how the reason of a Pause begins that waits for somebody else


class Pause:
    __slots__ = ("reason", "seconds")

    def __init__(self, seconds: float, reason: str) -> None:
        self.seconds = seconds
        self.reason = reason

    def __repr__(self) -> str:
        return f"Pause({self.seconds:.3f}: {self.reason})"


class Look:
    """The event that a run yields before it reads; it changes nothing."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "Look()"


class Done:
    """A step that was carried out: in how many ms, from its first attempt until the API said that it was done."""

    __slots__ = ("attempts", "ms", "name", "resource")

    def __init__(self, name: str, resource: str, ms: float, attempts: int) -> None:
        self.name = name
        self.resource = resource
        self.ms = ms
        self.attempts = attempts

    def __repr__(self) -> str:
        return f"Done({self.name}: {self.resource}, {self.ms:.1f} ms, {self.attempts})"


class Fact:
    """A step of this run is done: the time by the run's clock, its note, and its result."""

    __slots__ = ("at", "note", "result")

    def __init__(self, at: float, note: Any = None, result: Any = None) -> None:
        self.at = at
        self.note = note
        self.result = result


class Memory:
    """A run's knowledge about itself. Only the run writes it, and observe() to `facts`."""

    __slots__ = ("conflicts", "done", "facts", "nonce", "now", "steps", "unanswered", "unsure")

    def __init__(self, nonce: str | None = None) -> None:
        self.nonce = nonce or os.urandom(4).hex()
        self.now = 0.0  # the run's clock, at the end of the last look
        self.steps: list[Done] = []
        self.done: dict[Hashable, Fact] = {}  # by the keys of steps
        # By the keys of steps: when they met which conflict, since they were last done.
        self.conflicts: dict[Hashable, list[tuple[float, CloudError]]] = {}
        self.facts: dict[str, Any] = {}
        self.unsure = False  # whether a request may have taken effect, of which nothing was heard
        self.unanswered = False  # whether a part reached its goal, perhaps by such a request

    def copy(self) -> Memory:
        other = Memory(self.nonce)
        other.now = self.now
        other.steps = list(self.steps)
        other.done = dict(self.done)
        other.conflicts = dict(self.conflicts)
        other.facts = dict(self.facts)
        return other

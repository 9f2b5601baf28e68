# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How a run of the engine ends: with an Outcome, or with Refused, Stopped or Failed."""

from __future__ import annotations

from ..base.errors import CloudError, Unavailable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .plan import Done, Step


class Outcome:
    """How a run that reached its goal went.

    before, after: the first and the last observation. steps: the changes that the API confirmed, in order. unsure:
    whether the answer to a request was lost, and no step shows the outcome.
    """

    __slots__ = ("after", "before", "elapsed_ms", "steps", "unsure")

    def __init__(self, before: Any, after: Any, steps: list[Done], elapsed_ms: float, unsure: bool = False) -> None:
        self.before = before
        self.after = after
        self.steps = steps
        self.elapsed_ms = elapsed_ms
        self.unsure = unsure

    @property
    def changed(self) -> bool:
        """Whether this run changed something: by a step, or by a request without an answer whose effect shows."""
        return bool(self.steps) or (self.unsure and self.before.to_diff() != self.after.to_diff())


class Refused(Exception):
    """It cannot or must not be done; nothing was changed.

    before, observed: what was seen; None if the goal itself is refused, and nothing was looked at.
    """

    changed = False

    def __init__(self, problems: list[str], observed: Any = None) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems
        self.before = self.observed = observed
        self.steps: list[Done] = []


class Stopped(Exception):
    """It was no longer wanted. The state that was reached is safe to leave."""

    def __init__(self, steps: list[Done]) -> None:
        done = ", ".join(f"{step.name} {step.resource}" for step in steps)
        super().__init__(f"stopped, as it is no longer wanted; done until then: {done or 'nothing'}")
        self.steps = steps


class Failed(Exception):
    """A final failure, or the end of the time: the reason, the current state, and the next thing to do.

    before, observed: the first and the last observation, or None.
    """

    def __init__(
        self,
        error: CloudError,
        steps: list[Done],
        step: Step | None,
        observed: Any,
        unsure: bool = False,
        before: Any = None,
    ) -> None:
        said = str(error).rstrip(".")
        parts = [f"{step.name} {step.resource}: {said}" if step else said]
        if observed is not None:
            parts.append(observed.state())
        done = ", ".join(f"{each.name} {each.resource}" for each in steps)
        if done:
            parts.append(f"done until then: {done}")
        if unsure:
            parts.append("the last request may have taken effect all the same")
        elif not done:
            parts.append("nothing was changed")
        if (done or isinstance(error, (Unavailable, TimedOut))) and not isinstance(error, (Unseen, Overspent)):
            parts.append("run it again: it goes on from whatever state it finds")
        super().__init__("; ".join(parts))
        self.error = error
        self.steps = steps
        self.step = step
        self.before = before
        self.observed = observed
        self.unsure = unsure

    @property
    def changed(self) -> bool:
        """Whether something was changed, or may have been: a request without an answer may have taken effect."""
        return bool(self.steps) or self.unsure


class TimedOut(CloudError):
    """The time that was given is over."""


class Unseen(CloudError):
    """The API said that a step is done, and two looks behind it do not show it."""

    def __init__(self, step: Step, result: Any) -> None:
        made = _made(result)
        super().__init__(
            f"the API said that it is done{f' ({made})' if made else ''}, and it cannot be seen. It was not repeated,"
            " as that could make another one. Find out whether these credentials may see it, or whether somebody undid"
            " it at once; remove what was made, if it is not wanted, and then run it again",
            resource=step.resource,
        )


class Overspent(CloudError):
    """The run made more changes than its plan explains."""

    def __init__(self, step: Step, sent: int, planned: int) -> None:
        super().__init__(
            f"it was not sent: {sent} changes were made, and {planned} planned at first. Somebody undoes them, or they"
            " cannot be seen: find out which of the two it is before you run it again",
            resource=step.resource,
        )


def _made(result: Any) -> str:
    """The result of a step, as far as it names a new resource."""
    if not isinstance(result, dict):
        return result if isinstance(result, str) else ""
    return ", ".join(f"{key} {result[key]}" for key in ("id", "VIPID", "name", "ip_addr") if result.get(key))

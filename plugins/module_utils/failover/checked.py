# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a procedure finds out before it changes anything: what is there, what is in the way, what is left to do, and
whether the caller may do it."""

from __future__ import annotations

from ..base.errors import Denied
from .facts import ask

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeVar

    from .facts import Facts
    from .plan import Memory

    F = TypeVar("F", bound=Facts)
    Missing = tuple[list[str], "Exception | None"]


class Checked:
    """observed: what is there; it has state() and to_diff(). problems: those that block. items: what is left to do, as
    far as can be foreseen. then: the state after that."""

    def __init__(self, observed: Any, problems: list[str], items: list[Any], then: Any) -> None:
        self.observed = observed
        self.problems = problems
        self.items = items
        self.then = then

    def state(self) -> str:
        """The current state, in a sentence."""
        return str(self.observed.state())

    def to_diff(self) -> dict[str, Any]:
        """The current state, for a person to compare with wanted_diff()."""
        diff: dict[str, Any] = self.observed.to_diff()
        return diff


def check(
    client: Any, observed: F, problems: Callable[[F], list[str]], foreseen: Callable[[F], tuple[list[Any], list[F]]]
) -> Checked:
    """With all that has to be read for it. foreseen: what is left to do, and the state before it and after each."""
    observed, found = ask(client, observed, problems)
    items: list[Any] = []
    states = [observed]
    if not found:
        observed, (items, states) = ask(client, observed, foreseen)
    return Checked(observed, found, items, states[-1])


def unchecked(error: Exception) -> str:
    """The note on a run that went on, although nobody answered the question for its permissions."""
    return f"the caller's permissions were not checked: {error}"


class CheckedProcedure:
    """A procedure that checks the caller's permissions before its first change.

    notes: the checks that were not possible.
    """

    def __init__(self) -> None:
        self.notes: list[str] = []

    def check_permissions(self, memory: Memory, name: str, missing_permissions: Callable[[], Missing]) -> None:
        """Once in a run: a caller that can do one half only would leave the other half.

        missing_permissions: those that the caller lacks, a sentence each, and why the rest was not answered. Without
        an answer the run goes on, with a note.
        """
        if "asked" in memory.facts:
            return
        missing, unanswered = missing_permissions()
        if unanswered:
            self.notes.append(unchecked(unanswered))
        if missing:
            raise Denied("; ".join(missing), resource=name, status=403)
        memory.facts["asked"] = True

    @staticmethod
    def wanted_diff(checked: Any) -> dict[str, Any]:
        """to_diff() of the wanted state."""
        diff: dict[str, Any] = checked.then.to_diff()
        return diff

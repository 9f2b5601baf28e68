# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The result of a procedure's observe: what is there, and what is in the way."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


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

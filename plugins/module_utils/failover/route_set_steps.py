# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The requests that change a set of routes, a run's memory of its own, and a forecast of their effects."""

from __future__ import annotations

from ..base.errors import AlreadyExists, Invalid
from .plan import Pause
from .route_action import WAIT
from .route_set_decide import INSERT, INSERT_RESERVE, History
from .route_set_look import Observed
from .route_steps import deletion, imagine, insertion

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from .plan import Fact, Memory, Step
    from .route_action import Action
    from .route_set_goal import SetGoal

    Decide = Callable[[Observed, History], "Action | None"]

_FORESEEN = 1000  # steps and pauses at most


def remember(memory: Memory) -> History:
    """Reads a run's memory."""
    done: list[tuple[tuple[str, str, Any], Fact]] = list(memory.done.items())  # type: ignore[arg-type]
    refused: list[tuple[tuple[str, str, Any], Any]] = list(memory.conflicts.items())  # type: ignore[arg-type]
    return History(
        memory.now,
        {key[1]: (fact.at, fact.result) for key, fact in done if key[0] in (INSERT, INSERT_RESERVE)},
        began=bool(done),
        taken=[
            key[1] for key, conflicts in refused if any(isinstance(error, AlreadyExists) for _at, error in conflicts)
        ],
    )


def foreseen(o: Observed, memory: Memory, decide: Decide) -> tuple[list[Step | Pause], list[Observed]]:
    """What is left to do, and the state before it and after each, if every step succeeds and no other actor changes
    anything."""
    items: list[Step | Pause] = []
    states = [o]
    memory = memory.copy()
    for number in range(_FORESEEN):
        try:
            action = decide(states[-1], remember(memory))
        except Invalid:
            if number == 0:
                raise
            break  # that will be the end of it
        if action is None:
            break
        items.append(to_item(action, o.goal, memory))
        before = states[-1]
        states.append(Observed(o.goal, *imagine(items[-1], before.all, before.at, memory), o.answers))
    return items, states


def to_item(action: Action, goal: SetGoal, memory: Memory) -> Step | Pause:
    """The step that carries out an action."""
    route = action.route
    if action.kind == WAIT or route is None:
        return Pause(action.seconds, action.reason)
    if action.kind in (INSERT, INSERT_RESERVE):
        return insertion(action.kind, route)
    return deletion(action.kind, route, goal.lease, memory)

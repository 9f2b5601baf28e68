# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Moves an address by a static route of a Google Cloud VPC: make before break, by any number of runs at once.

The API cannot change a route, it can only insert and delete. So a temporary route with a better priority moves the
traffic. Under its protection the original is deleted and inserted anew. Then the temporary is deleted.

Rules, which docs/route-procedure.md explains, and which the tests check after each request:

1. A route is deleted by its id, never by its name: a late request cannot hit another route that has the name by then.
2. A route is deleted only when there is a newer one to the wanted next hop, which is known to be active. "Newer" is by
   the immutable (creationTimestamp, id), so that all agree on it. Of all routes that were ever relied on, nobody can
   delete the newest. So there is one at every moment, however many runs there are, wherever they stop, and however
   old their looks are.
3. Known to be active: this run inserted it, and the operation ended without an error and without a warning of a dead
   next hop. Then `settle` seconds passed. A route that another run inserted counts after `lease` seconds.
4. Each temporary has a name of its own, never used again. A marker in its description names its owner and describes
   the original. It is needed if the run dies between the deletion and the insertion.
5. The first mutation waits for nothing, and moves the traffic. Later ones wait while a newer temporary of another run
   is younger than `lease`: its run is at work. This is politeness, so that runs end; safety does not depend on it.
6. A temporary that turns out to have a dead next hop is taken away again, and nothing else is.

| file              | does                                                                        |
|-------------------|-----------------------------------------------------------------------------|
| route_goal.py     | what can be wanted                                                          |
| route_table.py    | routes as the API lists them: which one wins, which one is newer            |
| route_look.py     | reads what is there                                                         |
| route_problems.py | from what is there and what is wanted to what forbids to go on              |
| route_decide.py   | from what is there and what is wanted to the next thing to do: rules 2 to 6 |
| route_steps.py    | the requests that do it: rules 1 and 4                                      |
"""

from __future__ import annotations

from ..base.errors import Invalid
from .facts import ask
from .outcome import Refused
from .route_decide import decide
from .route_goal import goal_problems
from .route_look import Observed, look
from .route_problems import problems
from .route_steps import foresee, remember, to_item

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from .plan import Memory, Pause, Step
    from .route_goal import RouteGoal
    from .route_look import RouteApi

_FORESEEN = 100  # steps and pauses at most


class Checked:
    """The current state, and the blocking problems."""

    __slots__ = ("observed", "problems")

    def __init__(self, observed: Observed, problems: list[str]) -> None:
        self.observed = observed
        self.problems = problems

    @property
    def goal(self) -> RouteGoal:
        return self.observed.goal

    @property
    def holder(self) -> str | None:
        return self.observed.holder

    def state(self) -> str:
        """The current state, in a sentence."""
        return self.observed.state()

    def to_diff(self) -> dict[str, Any]:
        """The current state, for a person to compare with wanted_diff()."""
        return self.observed.to_diff()


def observe(client: RouteApi, goal: RouteGoal, memory: Memory) -> Checked:
    wrong = goal_problems(goal)
    if wrong:
        raise Refused(wrong)
    history, first = remember(memory, goal), not memory.steps
    observed = look(client, goal, memory.facts.get("owners", {}))
    memory.facts["owners"] = observed.owners
    observed, (found, checked) = ask(client, observed, lambda o: problems(o, history, first))
    memory.facts.update(owners=observed.owners, checked=checked)
    return Checked(observed, found)


def plan(checked: Checked, goal: RouteGoal, memory: Memory) -> Iterator[Step | Pause]:
    """The remaining steps. Foreseen on the assumption that each step succeeds, and that no other run is at work."""
    memory, observed = memory.copy(), checked.observed
    for number in range(_FORESEEN):
        history = remember(memory, goal)
        try:
            action = decide(observed, history)
        except Invalid:
            if number == 0:
                raise
            return  # that will be the end of it
        if action is None:
            return
        item = to_item(action, observed, history, memory)
        yield item
        observed, memory = foresee(observed, memory, item)


def wanted_diff(checked: Checked) -> dict[str, Any]:
    """to_diff() of the wanted state."""
    o, goal = checked.observed, checked.observed.goal
    gone = [o.original, *o.leftovers, *(o.intruders if goal.exclusive else ())]
    routes = [r for r in o.routes if not any(r is g for g in gone)]
    if goal.present:
        routes.append({**o.wanted.body(goal), "id": "0", "creationTimestamp": o.at})
    return Observed(goal, routes, o.at, o.owners).to_diff()

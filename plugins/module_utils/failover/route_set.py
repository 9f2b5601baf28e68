# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Static routes of a Google Cloud VPC to one destination, as a set: one for each member, that serves, and a reserve.

Members of the same priority share the traffic (ECMP); of different priorities, the lowest number gets it. The network
takes no route whose next hop does not run. A member is drained by the deletion of its route. That takes one request,
and must never leave the destination without a route, although several nodes may be drained, or give up, at the same
moment. So each member has a second route, its reserve, of the worst priority there is: it gets traffic only while no
other route is alive.

Rules, which the tests check after each request:

1. A route is deleted by its id, never by its name: a late request cannot hit another route that has the name by then.
2. A route is deleted only when there is a live reserve route, known to be active. A reserve is deleted only when there
   is a newer one. "Newer" is by the immutable (creationTimestamp, id), so that all agree on it. Of all reserves that
   were ever relied on, nobody can delete the newest. So there is a route at every moment, however many actors there
   are, wherever they stop, and however old their looks are.
3. Known to be active: this run inserted it, and `settle` seconds passed since the operation ended. A route that
   another run inserted counts after `lease` seconds.
4. What is wrong with a route is mended by a new one with another name, and the deletion of the old one: first those
   that keep the traffic from where it belongs. A route is recognised by its next hop, whoever made it, whatever its
   name is. So there are no temporary routes, and each state between two steps is one that the next run goes on from.
5. A run that has changed something waits while a newer route of another run, which wants something else, is younger
   than `lease`: its run is at work. This is politeness, so that runs end; safety does not depend on it.
6. The last route that serves is not taken away: the run is refused before it changes anything.

| file                  | does                                                                              |
|-----------------------|-----------------------------------------------------------------------------------|
| route_set_goal.py     | what can be wanted                                                                |
| route_set_look.py     | reads what is there, and tells whose each route is                                |
| route_set_problems.py | from what is there and what is wanted to what forbids to go on: rule 6            |
| route_set_decide.py   | from what is there and what is wanted to the next thing to do: rules 2 to 5       |
| route_set_steps.py    | the requests that do it: rule 1                                                   |
| route_set_node.py     | the part of it that a node does itself                                            |
| route_set_inspect.py  | looks at a set for a person                                                       |
"""

from __future__ import annotations

from .checked import CheckedProcedure, check
from .facts import ask
from .gcp_preflight import INSTANCE_PERMISSIONS, ROUTE_PERMISSIONS
from .named_route import ask_permissions, route_path
from .outcome import Refused
from .plan import Step
from .route_set_decide import INSERT, INSERT_RESERVE, decide
from .route_set_goal import goal_problems
from .route_set_look import look
from .route_set_problems import problems
from .route_set_steps import foreseen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .checked import Checked, Missing
    from .named_route import NamedRouteApi
    from .plan import Memory, Pause
    from .route_set_goal import SetGoal
    from .route_set_look import Observed


class Procedure(CheckedProcedure):
    """For one run."""

    def observe(self, client: NamedRouteApi, goal: SetGoal, memory: Memory) -> Checked:
        wrong = goal_problems(goal)
        if wrong:
            raise Refused(wrong)
        seen = look(client, goal, memory.facts.get("answers", {}))
        checked = check(client, seen, lambda o: problems(o, not memory.steps), lambda o: foreseen(o, memory, decide))
        seen, _told = ask(client, checked.observed, lambda o: (o.state(), o.to_diff()))  # all that these need is read
        checked.observed, checked.then = seen, checked.then.with_answers(seen.answers)
        memory.facts["answers"] = seen.answers
        steps = [each for each in checked.items if isinstance(each, Step)]
        if steps:
            self.check_permissions(memory, goal.name, lambda: _missing_permissions(client, seen, steps))
        return checked

    def plan(self, checked: Checked, goal: SetGoal, memory: Memory) -> list[Step | Pause]:
        return checked.items


def _missing_permissions(client: NamedRouteApi, seen: Observed, steps: list[Step]) -> Missing:
    goal = seen.goal
    # The API can be asked only about what is there.
    wanted: dict[str, tuple[str, ...]] = {
        route_path(client.project, route["name"]): ROUTE_PERMISSIONS for route in seen.routes[:1]
    }
    if any(each.name in (INSERT, INSERT_RESERVE) for each in steps):
        # A route names an instance of another project by its address, which takes no permission to use it.
        wanted.update((m.instance, INSTANCE_PERMISSIONS) for m in goal.members if not goal.across(m))
    return ask_permissions(client, wanted)

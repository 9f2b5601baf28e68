# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The procedure for a passthrough load balancer of Google Cloud: its address, the firewall rule for the probes, health
check, instance groups, backend services and forwarding rules.

Rules, which the tests check after each request:

1. What cannot be changed in place is not changed, as the address would be down meanwhile. It is refused by name, unless
   it is asked for. Then all that needs it is deleted, and made anew. The options have to tell all that only the deleted
   objects told: a run that is killed in between leaves nothing else to go on from.
2. What is there with a name of the load balancer, and fits or can be changed in place, is used whoever made it.
   Backends and members that others added stay, unless they are to go.
3. What needs something is made after it, and goes before it. So each state between two steps is one that the API
   knows, and the next run goes on from there.
4. A change of a list has the fingerprint of the list that was read. If somebody else was faster, a new look merges
   both. What has no fingerprint is looked at again after each change.
5. Only what was made for this load balancer is deleted, by the mark in its description, and only when nothing else
   needs it.
6. The firewall rule lets the probes of the present health check in until those of the new one have begun.

| file              | does                                                                             |
|-------------------|----------------------------------------------------------------------------------|
| lb_goal.py        | what can be wanted                                                               |
| lb_fields.py      | the fields that options set, and what the API means by none                      |
| lb_look.py        | reads what is there                                                              |
| lb_wanted.py      | from what is there and what is wanted to the objects as they should be           |
| lb_problems.py    | from what is there and what is wanted to what forbids to go on: rule 1           |
| lb_decide.py      | from what is there and what is wanted to the next change: rules 2, 3 and 5       |
| lb_steps.py       | the requests that do it, and the permissions that they take: rule 4              |
| lb_state.py       | what is there in the words of the options, for a difference                      |
| lb_pool.py        | the pool of backends that gets new connections                                   |
| lb_inspect.py     | looks at a load balancer for a person                                            |

What any group of objects needs is in gcp_objects.py, gcp_fields.py, and for health checks in gcp_checks.py.
"""

from __future__ import annotations

from .checked import CheckedProcedure, check
from .gcp_objects import missing_permissions
from .lb_decide import kept
from .lb_goal import goal_problems
from .lb_look import look
from .lb_problems import problems
from .lb_steps import foreseen, permissions, to_step
from .outcome import Refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from .checked import Checked
    from .lb_goal import LbGoal
    from .lb_look import LbApi
    from .plan import Memory, Step


class Procedure(CheckedProcedure):
    """For one run."""

    def observe(self, client: LbApi, goal: LbGoal, memory: Memory) -> Checked:
        wrong = goal_problems(goal)
        if wrong:
            raise Refused(wrong)
        observed = look(client, goal, memory.facts.get("answers"))
        checked = check(client, observed, lambda o: problems(o, not memory.steps), foreseen)
        memory.facts["answers"] = checked.observed.answered("get_subnetwork")  # it holds for a run
        if checked.items:
            self.check_permissions(
                memory, goal.name, lambda: missing_permissions(client, permissions(checked.observed, checked.items))
            )
        return checked

    def plan(self, checked: Checked, goal: LbGoal, memory: Memory) -> Iterator[Step]:
        for change in checked.items:
            yield to_step(change, memory)

    @staticmethod
    def kept(checked: Checked) -> list[str]:
        """Why some of it is there still, when the load balancer is to be gone and nothing is left to do."""
        return [] if checked.observed.goal.present else kept(checked.then)

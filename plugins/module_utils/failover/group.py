# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The procedure for a managed instance group of Google Cloud that heals itself: its instances with fixed names and
addresses, the template that they are made of, its health check and the firewall rule for the probes.

Rules, which the tests check after each request:

1. What is there with a name of the group, and fits or can be changed in place, is used whoever made it. What cannot be
   changed in place is refused by name.
2. Each instance has a name and an internal address that it keeps when it is made anew: its address is reserved, and
   the group has a configuration of the instance that says so. A reservation that is there is used.
3. Instances are replaced one after the other: while one that is made as it should be does not serve, no other one is.
   The first to go is one that does not serve. So a broken image stops here, while the others serve. The only one of a
   group is replaced all the same, unless the caller does not want it.
4. An instance serves once it runs, the probes found it healthy, and the group has nothing more to do with it. Only that
   is waited for, as the API's operations are done before the instance is. The wait has a bound.
5. Only what was made for this group is deleted, by the mark in its description, and only when nothing else needs it.
   Groups of one name in several zones share their templates, health check and firewall rule.
6. The group repairs an instance as it was made: a new template reaches it only by rule 3.

| file              | does                                                                             |
|-------------------|----------------------------------------------------------------------------------|
| group_goal.py     | what can be wanted                                                               |
| group_fields.py   | the options for what instances are made of, and where a template has them        |
| group_look.py     | reads what is there                                                              |
| group_wanted.py   | from what is there and what is wanted to the objects as they should be           |
| group_problems.py | from what is there and what is wanted to what forbids to go on                   |
| group_decide.py   | from what is there and what is wanted to the next change: rules 2, 3 and 5       |
| group_steps.py    | the requests that do it, and the permissions that they take                      |
| group_state.py    | what is there in the words of the options, for a difference                      |
| group_inspect.py  | looks at a group for a person                                                    |

What any group of objects needs is in gcp_objects.py, gcp_fields.py, and for health checks in gcp_checks.py.
"""

from __future__ import annotations

from .checked import CheckedProcedure, check
from .gcp_objects import Change, missing_permissions
from .group_decide import Wait, kept
from .group_goal import goal_problems
from .group_look import look
from .group_problems import patience, problems, waiting_too_long
from .group_steps import foreseen, permissions, to_step
from .outcome import Refused
from .plan import Pause

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from .checked import Checked
    from .group_decide import Action
    from .group_goal import GroupGoal
    from .group_look import ManagedApi
    from .plan import Memory, Step

POLL = 2.0  # seconds between looks at what the group does


class Procedure(CheckedProcedure):
    """For one run. wait: whether to wait for instances; if not, the run ends where it would.

    waits: by the names of instances, for how many seconds they were waited for.
    """

    def __init__(self, wait: bool = True) -> None:
        super().__init__()
        self.wait = wait
        self.waits: dict[str, float] = {}

    def observe(self, client: ManagedApi, goal: GroupGoal, memory: Memory) -> Checked:
        wrong = goal_problems(goal)
        if wrong:
            raise Refused(wrong)
        observed = look(client, goal, memory.facts.get("answers"))
        checked = check(client, observed, lambda o: problems(o, not memory.steps), foreseen)
        memory.facts["answers"] = checked.observed.answered("get_subnetwork")  # it holds for a run
        changes = [each for each in checked.items if isinstance(each, Change)]
        if changes:
            self.check_permissions(
                memory, goal.name, lambda: missing_permissions(client, permissions(checked.observed, changes))
            )
        waited = self._wait(checked.items, memory) if self.wait else {}
        checked.problems = checked.problems or waiting_too_long(checked.observed, waited)
        return checked

    def plan(self, checked: Checked, goal: GroupGoal, memory: Memory) -> Iterator[Step | Pause]:
        for action in checked.items:
            if isinstance(action, Wait):
                if not self.wait:
                    return
                yield Pause(POLL, self._reason(checked, action))
            else:
                yield to_step(action, goal, memory)

    @staticmethod
    def kept(checked: Checked) -> list[str]:
        """Why some of it is there still, when the group is to be gone and nothing is left to do."""
        return [] if checked.observed.goal.present else kept(checked.then)

    def _wait(self, actions: list[Action], memory: Memory) -> dict[str, float]:
        """The instances that are waited for now, and for how long: since the end of the look that found out."""
        names = actions[0].names if actions and isinstance(actions[0], Wait) else ()
        begun: dict[str, float | None] = memory.facts.setdefault("begun", {})
        waited = {}
        for name in names:
            if name in begun and begun[name] is None:
                begun[name] = memory.now
            begin = begun.setdefault(name, None)
            waited[name] = 0.0 if begin is None else memory.now - begin
        memory.facts["begun"] = {name: begun[name] for name in names}
        self.waits.update(waited)
        return waited

    def _reason(self, checked: Checked, wait: Wait) -> str:
        """Who is waited for, what it does, and how long."""
        o = checked.observed
        bound = patience(o)
        parts = [
            f"{o.managed.get(name, name)} for {self.waits.get(name, 0.0):.0f} s of {bound:.0f} s" for name in wait.names
        ]
        return f"until it serves: {'; '.join(parts)}"

# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The virtual address (VIP) of a Cloudpods anti-affinity group: its members, its VIP, and the public address (EIP) of
the VIP.

The service contradicts its documents. It gives a group any number of VIPs, takes another address than the named one,
and cuts long names. It accepts a second EIP, which then fails and stays behind. Rules,
which docs/cloudpods.md explains, and which the tests check after each request:

1. Everything that can be checked is checked before the first change, and looked at again before each one.
2. A VIP is attached only while the group has none; an EIP is asked for only while the group has none, and a VIP.
3. No request is repeated unseen: after a lost answer, a new look decides. Nothing tells the service that
   two requests are the same one.
4. The order is the service's: EIP, then members, then VIP, then the group, when they go; and members, VIP, EIP when
   they come. A member that got another interface lets no VIP go. Members come before the VIP: the service tells the
   members' hosts only when the VIP is attached.
5. Two runs may each attach a VIP at the same moment; each of them then detaches all but the oldest.
6. An EIP whose association failed is dissociated by the run that asked for it, and released if the run created it.
7. An object that exists but cannot be seen is a reason to refuse, not to make it again.

| file                    | does                                                                                |
|-------------------------|-------------------------------------------------------------------------------------|
| instancegroup_goal.py   | what can be wanted                                                                  |
| instancegroup_look.py   | reads what is there                                                                 |
| instancegroup_decide.py | from what is there and what is wanted to what is to be done: group, members and VIP |
| instancegroup_eip.py    | the same for the EIP                                                                |
| instancegroup_steps.py  | the requests that do it, in order                                                   |
"""

from __future__ import annotations

from .facts import ask
from .instancegroup_decide import Decision, blocking, decide, member_problems, wanted_diff, warnings
from .instancegroup_eip import waiting
from .instancegroup_goal import GroupGoal, goal_problems
from .instancegroup_look import look
from .instancegroup_steps import hold_back, remember, steps
from .outcome import Refused
from .plan import Pause

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from .instancegroup_look import GroupApi, Observed
    from .plan import Memory, Step

__all__ = ["inspect", "observe", "plan", "wanted_diff"]

_POLL = 0.5  # seconds between looks at what the service does


def observe(client: GroupApi, goal: GroupGoal, memory: Memory) -> Decision:
    history = remember(memory)
    wrong = goal_problems(goal)
    if wrong:
        raise Refused(wrong)
    observed = look(client, goal.group, loose=history.created_eip)
    if not blocking(observed, goal):
        # Noted before the rest is read, which may fail.
        observed, wait = ask(client, observed, lambda o: waiting(o, goal, history))
        memory.facts["idle_since"] = wait.idle_since
    observed, decision = ask(client, observed, lambda o: decide(o, goal, history))
    if decision.failed is not None:
        memory.facts["failed"] = decision.failed
    if decision.before is not None:
        memory.facts["before"] = decision.before
    return decision


def plan(decision: Decision, goal: GroupGoal, memory: Memory) -> Iterator[Step | Pause]:
    """The remaining changes, in the order that the service demands."""
    if decision.waiting:
        yield Pause(_POLL, decision.waiting)
        return
    for number, step in enumerate(steps(decision, goal)):
        if number == 0:
            if decision.doubt:
                yield Pause(_POLL, decision.doubt)
            yield from hold_back(step, memory)
        yield step


def inspect(client: GroupApi, group: str) -> tuple[Observed, list[str]]:
    """Looks at a group for a person: the group, the interfaces of its members, and the problems."""
    o = look(client, group, loose=True)
    if o.group is None:
        return o, []
    problems = blocking(o, GroupGoal(group, present=False))
    if o.vips:
        o, misfits = ask(client, o, lambda o: member_problems(o, o.members, o.vips[0]))
        problems += misfits
    o, _interfaces = ask(client, o, lambda o: [o.interfaces(member) for member in o.members])
    return o, problems + warnings(o)

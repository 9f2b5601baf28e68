# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A cloud's highly available virtual IP: reserved, and bound to the members that may hold it.

The common part of the clouds is here: the order of the changes. Rules, which docs/havip.md explains, and which
the tests check after each request:

1. Everything that can be checked is checked before anything is changed.
2. A binding is merged into the existing ones. Other members' bindings are removed only on request. Bindings of other
   addresses are never touched.
3. Where the API compares revisions, a change applies to the state that was seen, or fails. Elsewhere the list is read
   immediately before it is written, as a part of that step. The run then reads it until it has stayed unchanged for a
   while.
4. External addresses are detached before members are unbound, and all members are before a virtual IP is deleted.
   Otherwise members would answer to an address that the cloud may give to somebody else.
5. A killed run needs no clean-up: the next run begins with its leftovers.

| file                   | does                                                                                    |
|------------------------|-----------------------------------------------------------------------------------------|
| havip_goal.py          | what can be wanted                                                                      |
| havip_look.py          | what is there                                                                           |
| havip_decide.py        | from what is there and what is wanted to what is to be done, as far as clouds share it  |
| havip_steps.py         | the names of the steps, and what a run remembers of them                                |
| havip_ports.py         | OpenStack, and what it shares with Huawei Cloud: the requests; havip_ports_look.py      |
|                        | reads, havip_ports_decide.py decides, havip_port_table.py knows ports                   |
| havip_huaweicloud.py   | Huawei Cloud, where it differs from OpenStack                                           |
| havip_ucloudstack.py   | UCloudStack: the requests; havip_ucloudstack_look.py reads and knows machines           |
"""

from __future__ import annotations

from . import havip_decide
from .facts import ask
from .havip_look import BUSY, FAILED, READY, Vip
from .havip_steps import remember
from .plan import Pause, Step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Any

    from .facts import Question
    from .havip_decide import Decision
    from .havip_goal import Goal
    from .havip_look import Member, Observed
    from .havip_steps import History
    from .plan import Memory

POLL = 1.0  # seconds between two looks at a virtual IP that the cloud is busy with


class Havip:
    """The procedure. Each cloud's own part is in its subclass: look(), decide(), and the steps."""

    def look(self, client: Any, goal: Goal, lasting: Mapping[Question, Any]) -> Observed:
        """Reads the facts that every goal needs. lasting: facts of an earlier look of this run that need not be read
        again."""
        raise NotImplementedError

    def decide(self, observed: Any, goal: Goal, history: History) -> Decision:
        """A pure function. Raises Unread where a fact is missing that few goals need."""
        raise NotImplementedError

    def create(self, d: Decision) -> Step:
        raise NotImplementedError

    def update(self, vip: Vip, name: str, remark: str | None) -> Step:
        raise NotImplementedError

    def delete(self, vip: Vip) -> Step:
        raise NotImplementedError

    def rebind(self, d: Decision, vip: Vip, target: Mapping[str, Member]) -> Iterator[Step]:
        """The changes after which these members are bound, and no others."""
        raise NotImplementedError

    def external(self, vip: Vip, external: Mapping[str, Any], attach: bool) -> Step:
        raise NotImplementedError

    def release(self, d: Decision) -> Iterator[Step]:
        """Unbind the members that allow an address that is no virtual IP any more."""
        return iter(())

    def complaints(self, observed: Any, vips: Sequence[Vip]) -> list[str]:
        """The problems of these virtual IPs, each with a remedy."""
        return havip_decide.complaints(vips)

    def observe(self, client: Any, goal: Goal, memory: Memory) -> Decision:
        history = remember(memory)
        observed = self.look(client, goal, memory.facts.get("lasting", {}))
        memory.facts["lasting"] = observed.lasting
        observed, decision = ask(client, observed, lambda o: self.decide(o, goal, history))
        if decision.vip and not goal.present:
            memory.facts["vip"] = (decision.vip.id, decision.vip.address)
        memory.facts["sight"] = history.then(decision.signature)
        return decision

    def plan(self, d: Decision, goal: Goal, memory: Memory) -> Iterator[Step | Pause]:
        history = remember(memory)
        return self._present(d, history) if goal.present else self._absent(d, history)

    @staticmethod
    def wanted_diff(d: Decision) -> dict[str, Any]:
        return havip_decide.wanted_diff(d)

    def _present(self, d: Decision, history: History) -> Iterator[Step | Pause]:
        vip, goal = d.vip, d.goal
        if vip is None:
            yield self.create(d)
            # As it will be, for a preview of all steps.
            address, name, remark = goal.address or "", goal.name or "", goal.remark or ""
            vip = Vip("", address, name, remark, d.network, "", goal.kind or "internal", READY, "", {}, {}, ())
        elif vip.status == BUSY:
            yield Pause(POLL, f"virtual IP {vip} is {vip.reason}")
        name = vip.name if goal.name is None else goal.name
        if name != vip.name or (goal.remark is not None and goal.remark != vip.remark):
            yield self.update(vip, name, goal.remark)
        yield from self.rebind(d, vip, d.target)
        for each in d.detach:
            yield self.external(vip, each, attach=False)
        if d.attach:
            yield self.external(vip, d.attach, attach=True)
        if history.bound:
            yield from self._settle(d, history)

    def _absent(self, d: Decision, history: History) -> Iterator[Step | Pause]:
        vip = d.vip
        if vip is None:
            yield from self.release(d)
            return
        if vip.status == BUSY:
            yield Pause(POLL, f"virtual IP {vip} is {vip.reason}")
        for each in d.detach:
            yield self.external(vip, each, attach=False)
        if vip.status != FAILED:  # then nobody is bound to anything that works, and deleting it unbinds them
            yield from self.rebind(d, vip, {})
            yield from self._settle(d, history)
        yield self.delete(vip)

    def _settle(self, d: Decision, history: History) -> Iterator[Pause]:
        """Wait until the observation has stayed the same for long enough."""
        if d.observed.locked:
            return
        since = history.sight[1] if history.sight else None
        left = d.goal.settle - (0.0 if since is None else history.now - since)
        if left > 0:
            yield Pause(left, f"whether somebody else changes the members of {d.vip} at the same time")

# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The procedure for a name in a managed zone of Cloud DNS: to whom clients go that ask for it.

One request replaces the record set. The API applies it as a whole, and only if the record set is still the one that was
read. So there is no moment without the name, and of two runs that saw the same state one loses and looks again. A
request that is sent twice changes nothing the second time. After a lost answer a look shows whether it took effect.

A change is pending until Google has told its name servers. A run ends only then, also one that finds the change of a
killed run. A name server may answer with the old record for some moments more, and a client for the TTL of that.

| file              | does                                                           |
|-------------------|----------------------------------------------------------------|
| dns_name_goal.py  | what can be wanted                                             |
| dns_name_look.py  | what is there, what is wrong with it, and what is left to do   |
"""

from __future__ import annotations

from ..base.errors import AlreadyExists, Denied, NotFound, Stale, Unavailable
from .checked import CheckedProcedure
from .dns_name_goal import goal_problems
from .dns_name_look import Observed, described
from .outcome import Refused
from .plan import Pause, Step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any, Protocol

    from .dns_name_goal import NameGoal
    from .dns_name_look import Change
    from .plan import Memory

    Resource = dict[str, Any]

    class DnsApi(Protocol):
        """The verbs that the procedure needs of a client."""

        def zone(self, zone: str) -> Resource: ...

        def records(self, zone: str, name: str) -> list[Resource]: ...

        def pending(self, zone: str) -> list[Resource]: ...

        def change_records(self, zone: str, deletions: list[Resource], additions: list[Resource]) -> Resource: ...

        def zone_permissions(self, zone: str, permissions: list[str]) -> set[str]: ...


POLL = 0.5  # seconds between two looks at a change that is pending
# All that a move can take.
PERMISSIONS = (
    "dns.changes.create",
    "dns.resourceRecordSets.create",
    "dns.resourceRecordSets.update",
    "dns.resourceRecordSets.delete",
)


class Procedure(CheckedProcedure):
    """For one run."""

    def observe(self, client: DnsApi, goal: NameGoal, memory: Memory) -> Observed:
        observed = look(client, goal, memory.facts.get("zone"))
        memory.facts["zone"] = observed.zone
        change = None if observed.problems else observed.change()
        if change:
            needed = change.permissions
            self.check_permissions(memory, goal.name, lambda: missing_permissions(client, goal.zone, needed))
        return observed

    def plan(self, o: Observed, goal: NameGoal, memory: Memory) -> Iterator[Step | Pause]:
        change = o.change()
        if change:
            yield _step(o, change)
        for each in o.pending:
            yield Pause(POLL, f"change {each.get('id')} of the managed zone {goal.zone} is pending")

    @staticmethod
    def wanted_diff(checked: Observed) -> dict[str, Any]:
        change = checked.change()
        return described(checked.goal, change.record) if change else checked.to_diff()


def look(client: DnsApi, goal: NameGoal, zone: Resource | None = None) -> Observed:
    """What is there. zone: as it was read before."""
    wrong = goal_problems(goal)
    if wrong:
        raise Refused(wrong)
    zone = zone or client.zone(goal.zone)
    # In this order: a change that made what is seen is in the list of changes by now.
    records = client.records(goal.zone, goal.name)
    return Observed(goal, zone, records, client.pending(goal.zone))


def missing_permissions(client: DnsApi, zone: str, needed: Iterable[str]) -> tuple[list[str], Exception | None]:
    """Those that the caller does not have, a sentence each; and why the question was not answered."""
    asked = list(needed)
    try:
        granted = client.zone_permissions(zone, asked)
    except (Denied, NotFound, Unavailable) as error:
        return [], error
    return [
        f"the caller does not have the permission {each} on the managed zone {zone}: give it a role that has it"
        for each in asked
        if each not in granted
    ], None


def _step(o: Observed, change: Change) -> Step:
    def do(client: DnsApi, request_id: str) -> Any:
        return client.change_records(o.goal.zone, change.deletions, change.additions)

    # There are no request ids: after a lost answer it is looked at, and not repeated unseen.
    conflicts = (AlreadyExists, NotFound, Stale, Unavailable)
    key = repr((change.deletions, change.additions))
    return Step(change.name, o.label, do, key=key, conflicts=conflicts, contested=True)

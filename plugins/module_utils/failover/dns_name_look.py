# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is there of a name, what is wrong with that, and what is left to do. Pure functions."""

from __future__ import annotations

from ..clouds.gce_names import last_part
from .dns_name_goal import DEFAULT_TTL, canonical

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .dns_name_goal import NameGoal

    Resource = dict[str, Any]

# A zone that has one of these asks somebody else, and has no records of its own.
_WITHOUT_RECORDS = {
    "forwardingConfig": "it forwards queries to other name servers",
    "peeringConfig": "it takes its answers from another network",
    "serviceDirectoryConfig": "Service Directory has its records",
    "reverseLookupConfig": "Google makes its records",
}
CREATE, CHANGE, DELETE = "create record", "change record", "delete record"
_PERMISSIONS = {CREATE: "create", CHANGE: "update", DELETE: "delete"}


class Change:
    """The one request that is left to do. record: as it will be, None if there will be none."""

    __slots__ = ("additions", "deletions", "name", "record")

    def __init__(self, old: Resource | None, new: Resource | None) -> None:
        self.name = CHANGE if old and new else CREATE if new else DELETE
        # All that was read has to match. Google's own fields are no part of a record.
        self.deletions = [{key: old[key] for key in ("name", "type", "ttl", "rrdatas")}] if old else []
        self.additions = [new] if new else []
        self.record = new

    @property
    def permissions(self) -> list[str]:
        return ["dns.changes.create", f"dns.resourceRecordSets.{_PERMISSIONS[self.name]}"]


class Observed:
    """A name in its zone. records: all record sets of the name. pending: changes of the zone that are under way.

    problems: the blocking ones.
    """

    def __init__(self, goal: NameGoal, zone: Resource, records: list[Resource], pending: list[Resource]) -> None:
        self.goal = goal
        self.zone = zone
        self.records = [each for each in records if str(each.get("name", "")).lower() == goal.name]
        self.pending = [each for each in pending if self._is_about_it(each)]
        self.problems = problems(self)

    @property
    def record(self) -> Resource | None:
        """The record set of the wanted type."""
        return next((each for each in self.records if each.get("type") == self.goal.kind), None)

    @property
    def addresses(self) -> list[str]:
        return addresses_of(self.record, self.goal.kind)

    @property
    def label(self) -> str:
        return f"{self.goal.name} {self.goal.kind}"

    def change(self) -> Change | None:
        """What is left to do."""
        goal, old = self.goal, self.record
        if not goal.present:
            return Change(old, None) if old else None
        addresses = self.addresses if goal.addresses is None else list(goal.addresses)
        ttl = goal.ttl
        if ttl is None:
            ttl = old["ttl"] if old else DEFAULT_TTL
        if old and set(self.addresses) == set(addresses) and old["ttl"] == ttl:
            return None
        return Change(old, {"name": goal.name, "type": goal.kind, "ttl": ttl, "rrdatas": addresses})

    def state(self) -> str:
        """The current state, in a sentence."""
        if not self.record:
            return f"{self.goal.name} has no {self.goal.kind} record"
        said = ", ".join(self.addresses) or "no plain address"
        return f"{self.goal.name} has the {self.goal.kind} record {said}, with a TTL of {self.record.get('ttl')} s"

    def to_diff(self) -> dict[str, Any]:
        return described(self.goal, self.record)

    def _is_about_it(self, change: Resource) -> bool:
        sets = [each for key in ("additions", "deletions") for each in change.get(key) or ()]
        return any(
            (str(each.get("name")).lower(), each.get("type")) == (self.goal.name, self.goal.kind) for each in sets
        )


def addresses_of(record: Resource | None, kind: str) -> list[str]:
    """Sorted; of a record set with a routing policy none."""
    return sorted(canonical(each, kind) or each for each in (record or {}).get("rrdatas") or ())


def described(goal: NameGoal, record: Resource | None) -> dict[str, Any]:
    """A record set for a person to compare."""
    return {
        "name": goal.name,
        "type": goal.kind,
        "addresses": addresses_of(record, goal.kind),
        "ttl": record.get("ttl") if record else None,
    }


def problems(o: Observed) -> list[str]:
    """What forbids to go on, a sentence each."""
    goal = o.goal
    found = zone_problems(goal, o.zone) + (record_problems(o) if goal.present or o.record else [])
    if goal.present and goal.addresses is None and not o.record:
        found.append(f"addresses: give them, as {goal.name} has no {goal.kind} record")
    reached = goal.addresses if goal.present else ()
    if goal.expected is not None and set(o.addresses) not in [set(each or ()) for each in (goal.expected, reached)]:
        there, asked = (", ".join(each) or "no record" for each in (o.addresses, goal.expected))
        found.append(f"expected: {goal.name} has {there}, and not {asked}: somebody else has changed it")
    return found


def record_problems(o: Observed) -> list[str]:
    """Why the name can have no addresses of its own."""
    goal, found = o.goal, []
    if any(each.get("type") == "CNAME" for each in o.records):
        found.append(
            f"name: {goal.name} is another name's alias (CNAME), and can have no {goal.kind} record beside that: delete"
            " the alias, or choose another name"
        )
    if o.record and o.record.get("routingPolicy"):
        found.append(
            f"name: the {goal.kind} record of {goal.name} has a routing policy, and its answers are not addresses of"
            " its own: change it with the tool that made it, or choose another name"
        )
    return found


def zone_problems(goal: NameGoal, zone: Resource) -> list[str]:
    """Why this zone cannot have the name."""
    found = [
        f"managed_zone: {goal.zone} has no records of its own: {why}"
        for field, why in _WITHOUT_RECORDS.items()
        if zone.get(field)
    ]
    inside = str(zone.get("dnsName", "")).lower()
    if goal.name != inside and not goal.name.endswith(f".{inside}"):
        found.append(
            f"name: {goal.name} is not in the managed zone {goal.zone}, whose names end with {inside}: write the whole"
            f" name, such as {goal.name.partition('.')[0]}.{inside}"
        )
    return found


def obstacles(o: Observed) -> list[str]:
    """What keeps clients from getting the name's addresses, beside what keeps it from having any."""
    found = zone_problems(o.goal, o.zone) + record_problems(o)
    if o.zone.get("visibility") == "private" and not networks_of(o.zone):
        found.append(f"managed_zone: no network sees {o.goal.zone}: bind it to the clients' networks")
    if not o.record:
        found.append(f"{o.goal.name} has no {o.goal.kind} record")
    return found


def networks_of(zone: Resource) -> list[str]:
    """The names of the networks that see a private zone."""
    bound = (zone.get("privateVisibilityConfig") or {}).get("networks") or ()
    return sorted(last_part(each.get("networkUrl")) for each in bound)

# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Cloud DNS: private zones, their records, and the changes of them.

A change applies as a whole, at once, or is refused. It is pending for a time, and some time after that the name servers
answer with it. The changes of a zone end in their order.
"""

from __future__ import annotations

import functools
import time
from collections import deque
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from lab.emulation.timeline import Timeline
from lab.gce.behaviour import Behaviour, Fault
from lab.gce.dns_records import APEX, Key, Records, check_whole, checked, dotted, invalid, key_of, missing, same
from lab.gce.errors import ApiError
from lab.gce.names import HOST, NAME, new_id
from lab.gce.projects import Projects
from lab.gce.resources import Resource

_NAME_SERVER = "ns-gcp-private.googledomains.com."
# As Google makes them. A change of a private zone does not raise the serial; who wants that says it in the change.
_AT_FIRST = {
    "SOA": f"{_NAME_SERVER} cloud-dns-hostmaster.google.com. 1 21600 3600 259200 300",
    "NS": _NAME_SERVER,
}
_APEX_TTL = 21600
_ONLY_PUBLIC = ("dnssecConfig", "nameServerSet")
_OTHER_KINDS = ("forwardingConfig", "peeringConfig", "reverseLookupConfig", "serviceDirectoryConfig")


class Zone:
    """A private zone. ``records``: what the API says; ``served``: what the name servers say. No record ever changes.

    ``changes``: all, oldest first.
    """

    def __init__(self, resource: Resource, project: str, networks: frozenset[str]) -> None:
        self.resource = resource
        self.project = project
        self.networks = networks
        self.dns_name: str = resource["dnsName"]
        self.records: Records = {}
        self.served: Records = {}
        self.changes: list[Resource] = []
        self.pending: deque[_Pending] = deque()

    @property
    def name(self) -> str:
        """By which the API calls it."""
        return str(self.resource["name"])

    def begin(self, deletions: Sequence[Resource], additions: Sequence[Resource], status: str) -> Resource:
        """Apply a change; it is in the list of changes now."""
        for record in deletions:
            del self.records[key_of(record)]
        self.records.update({key_of(record): record for record in additions})
        change: Resource = {
            "kind": "dns#change",
            "id": str(len(self.changes)),
            "startTime": _now(),
            "status": status,
            **({"additions": list(additions)} if additions else {}),
            **({"deletions": list(deletions)} if deletions else {}),
        }
        self.changes.append(change)
        return change


class _Pending:
    """A change that has not ended, and the records after it."""

    def __init__(self, change: Resource, records: Records, stuck: bool) -> None:
        self.change = change
        self.records = records
        self.stuck = stuck
        self.due = False


class Zones:
    """Those of all projects. Whoever calls has the lock of ``projects``."""

    def __init__(self, projects: Projects, behaviour: Behaviour, timeline: Timeline) -> None:
        self._projects = projects
        self._behaviour = behaviour
        self._timeline = timeline
        self._zones: list[Zone] = []
        for each in projects.world.managed_zones:
            networks = [{"networkUrl": f"{HOST}{projects.project}/global/networks/{name}"} for name in each.networks]
            body = {"name": each.name, "dnsName": each.dns_name, "description": "", "visibility": "private"}
            self.create({**body, "privateVisibilityConfig": {"networks": networks}}, projects.project)

    # --- zones

    def all(self) -> list[Zone]:
        """Those that there are."""
        return list(self._zones)

    def of(self, project: str) -> list[Zone]:
        """Those of a project, by name."""
        return sorted((each for each in self._zones if each.project == project), key=lambda each: each.name)

    def find(self, project: str, key: str) -> Zone:
        """By name, or by id."""
        for each in self.of(project):
            if key in (each.name, each.resource["id"]):
                return each
        raise absent("parameters.managedZone", key)

    def seen_from(self, network: str) -> list[Zone]:
        """Those that a network sees, by its name."""
        return [each for each in self._zones if network in each.networks]

    def networks_of(self, body: Resource, project: str) -> list[str]:
        """The names of the networks that a request binds a zone to."""
        bound = body.get("privateVisibilityConfig", {}).get("networks", [])
        return [self._projects.network(each.get("networkUrl", ""), project, shared=True) for each in bound]

    def create(self, body: Resource, project: str) -> Zone:
        """Make a zone, which the name servers know at once."""
        for field in ("name", "dnsName"):
            if not body.get(field):
                raise missing(f"entity.managedZone.{field}")
        if "description" not in body:
            raise missing("entity.managedZone.description")
        if not NAME.fullmatch(body["name"]):
            raise invalid("entity.managedZone.name", body["name"])
        dns_name = dotted(body["dnsName"])
        if dns_name is None:
            raise invalid("entity.managedZone.dnsName", body["dnsName"])
        if body.get("visibility", "public") != "private" or any(each in body for each in _ONLY_PUBLIC):
            raise ApiError(501, "notImplemented", "This lab has no public zones.")
        if any(each in body for each in _OTHER_KINDS):
            raise ApiError(501, "notImplemented", f"This lab has no {', '.join(_OTHER_KINDS)}.")
        names = self.networks_of(body, project)
        if any(each.name == body["name"] for each in self.of(project)):
            raise already("entity.managedZone", body["name"])
        taken = [name for each in self._zones if each.dns_name == dns_name for name in each.networks & {*names}]
        if taken:
            raise already("entity.managedZone.dnsName", dns_name)
        resource: Resource = {
            **body,
            "kind": "dns#managedZone",
            "id": new_id(),
            "dnsName": dns_name,
            "creationTime": _now(),
            "nameServers": [_NAME_SERVER],
            "visibility": "private",
        }
        if names:
            resource["privateVisibilityConfig"] = {
                "kind": "dns#managedZonePrivateVisibilityConfig",
                "networks": [_bound(self._projects.networks[name]["selfLink"]) for name in names],
            }
        zone = Zone(resource, project, frozenset(names))
        apex = [{"name": dns_name, "type": kind, "ttl": _APEX_TTL, "rrdatas": [_AT_FIRST[kind]]} for kind in APEX]
        zone.begin((), [checked(each, "entity.rrset", dns_name) for each in apex], "done")
        zone.served = dict(zone.records)
        self._zones.append(zone)
        return zone

    def delete(self, zone: Zone) -> None:
        """Take a zone away that has no records of its own."""
        if len(zone.records) > len(APEX):
            text = f"The resource named '{zone.name}' cannot be deleted because it contains one or more"
            raise ApiError(400, "containerNotEmpty", f"{text} 'resource records'.")
        self._zones.remove(zone)

    # --- records

    def change(
        self, zone: Zone, deletions: Sequence[Resource], additions: Sequence[Resource], faults: Sequence[Fault]
    ) -> Resource:
        """Apply a change as `changes.create` does."""
        if not deletions and not additions:
            raise missing("entity.change")
        where = "entity.change.{}[{}]"
        gone = [checked(each, where.format("deletions", n), zone.dns_name) for n, each in enumerate(deletions)]
        come = [checked(each, where.format("additions", n), zone.dns_name) for n, each in enumerate(additions)]
        after = dict(zone.records)
        for n, each in enumerate(gone):
            there = after.pop(key_of(each), None)
            if there is None:
                raise absent(where.format("deletions", n), _label(key_of(each)))
            if not same(there, each):
                raise ApiError(412, "conditionNotMet", f"Precondition not met for '{where.format('deletions', n)}'")
        for n, each in enumerate(come):
            if key_of(each) in after:
                raise already(where.format("additions", n), _label(key_of(each)))
            after[key_of(each)] = each
        return self._apply(zone, after, gone, come, faults)

    def create_record(self, zone: Zone, body: Resource, faults: Sequence[Fault]) -> Resource:
        """Make a record set."""
        record = checked(body, "entity.rrset", zone.dns_name)
        if key_of(record) in zone.records:
            raise already("entity.rrset", _label(key_of(record)))
        self._apply(zone, {**zone.records, key_of(record): record}, [], [record], faults)
        return record

    def patch_record(self, zone: Zone, key: Key, body: Resource, faults: Sequence[Fault]) -> Resource:
        """Put another record set in the place of one, whatever that is."""
        old = self.record(zone, key)
        record = checked({**old, **body}, "entity.rrset", zone.dns_name)
        after = {each: value for each, value in zone.records.items() if value is not old}
        if key_of(record) in after:
            raise already("entity.rrset", _label(key_of(record)))
        after[key_of(record)] = record
        self._apply(zone, after, [old], [record], faults)
        return record

    def delete_record(self, zone: Zone, key: Key, faults: Sequence[Fault]) -> None:
        """Take a record set away, whatever it is."""
        old = self.record(zone, key)
        after = {each: value for each, value in zone.records.items() if value is not old}
        self._apply(zone, after, [old], [], faults)

    @staticmethod
    def record(zone: Zone, key: Key) -> Resource:
        """A record set."""
        if key not in zone.records:
            raise absent("parameters.name", key[0])
        return zone.records[key]

    def _apply(
        self,
        zone: Zone,
        after: Records,
        deletions: Sequence[Resource],
        additions: Sequence[Resource],
        faults: Sequence[Fault],
    ) -> Resource:
        check_whole(after, zone.dns_name)
        change = zone.begin(deletions, additions, "pending")
        pending = _Pending(change, after, any(each.kind == "never-ends" for each in faults))
        zone.pending.append(pending)
        seconds = self._behaviour.dns_latency_s + sum(each.seconds for each in faults if each.kind == "slow")
        self._later(seconds, lambda: self._due(zone, pending))
        return dict(change)

    def _due(self, zone: Zone, pending: _Pending) -> None:
        with self._projects.lock:
            pending.due = True
            self._advance(zone)

    def _advance(self, zone: Zone) -> None:
        while zone.pending and zone.pending[0].due and not zone.pending[0].stuck:
            ended = zone.pending.popleft()
            ended.change["status"] = "done"
            self._later(self._behaviour.dns_propagation_s, functools.partial(self._serve, zone, ended.records))

    def _serve(self, zone: Zone, records: Records) -> None:
        with self._projects.lock:
            zone.served = records

    def _later(self, seconds: float, job: Callable[[], None]) -> None:
        if seconds > 0:
            self._timeline.at(time.monotonic() + seconds, job)
        else:
            job()

    def release(self) -> None:
        """Let those changes end that never would."""
        with self._projects.lock:
            for zone in self._zones:
                for each in zone.pending:
                    each.stuck = False
                self._advance(zone)


def absent(field: str, what: str) -> ApiError:
    """What a request names is not there."""
    return ApiError(404, "notFound", f"The '{field}' resource named '{what}' does not exist.")


def already(field: str, what: str) -> ApiError:
    """What a request makes is there."""
    return ApiError(409, "alreadyExists", f"The resource '{field}' named '{what}' already exists")


def _label(key: Key) -> str:
    return f"{key[0]} ({key[1]})"


def _bound(url: str) -> Resource:
    return {"kind": "dns#managedZonePrivateVisibilityConfigNetwork", "networkUrl": url}


def _now() -> str:
    """The moment as Cloud DNS writes it, which has another time zone than Compute Engine."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")

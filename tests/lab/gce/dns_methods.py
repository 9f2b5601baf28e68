# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The methods of Cloud DNS: what each needs and what it answers.

The permissions are those that Google's reference names for a method; see docs/gce-api.md for how sure that is.
"""

from __future__ import annotations

from lab.gce.calls import Call, Handlers, part
from lab.gce.discovery import DNS
from lab.gce.dns_records import dotted, invalid, key_of
from lab.gce.dns_zones import Zone, absent
from lab.gce.errors import ApiError
from lab.gce.resources import Resource

HANDLERS = Handlers(DNS)
_CREATE, _UPDATE, _DELETE = (f"dns.resourceRecordSets.{verb}" for verb in ("create", "update", "delete"))


def _need(call: Call, *permissions: str, project: str = "") -> None:
    """As the API says it: it does not tell which permission is missing."""
    for permission in permissions:
        if not call.cloud.identity.granted(call.caller, permission, project or call.project):
            raise ApiError(403, "forbidden", "Forbidden")


def _zone(call: Call) -> Zone:
    return call.cloud.dns.find(call.project, call.values["managedZone"])


def _page(call: Call, kind: str, field: str, items: list[Resource]) -> Resource:
    shown = part(call, items)
    more = {name: shown[name] for name in ("nextPageToken",) if name in shown}
    return {"kind": f"dns#{kind}ListResponse", field: shown.get("items", []), **more}


# --- zones


@HANDLERS.of("managedZones.create")
def _zones_create(call: Call) -> Resource:
    _need(call, "dns.managedZones.create")
    for name in call.cloud.dns.networks_of(call.body, call.project):
        owner = call.cloud.project_of(call.cloud.networks[name])
        _need(call, "dns.networks.bindPrivateDNSZone", project=f"projects/{owner['name']}")
    return call.cloud.dns.create(call.body, call.project).resource


@HANDLERS.of("managedZones.get")
def _zones_get(call: Call) -> Resource:
    _need(call, "dns.managedZones.get")
    return _zone(call).resource


@HANDLERS.of("managedZones.list")
def _zones_list(call: Call) -> Resource:
    _need(call, "dns.managedZones.list")
    name = call.query.get("dnsName")
    found = [each.resource for each in call.cloud.dns.of(call.project) if name in (None, each.dns_name)]
    return _page(call, "managedZones", "managedZones", found)


@HANDLERS.of("managedZones.delete")
def _zones_delete(call: Call) -> Resource:
    _need(call, "dns.managedZones.delete")
    call.cloud.dns.delete(_zone(call))
    return {}


@HANDLERS.of("managedZones.testIamPermissions")
def _zones_test(call: Call) -> Resource:
    asked = call.body.get("permissions", [])
    granted = [each for each in asked if call.cloud.identity.granted(call.caller, each, call.project)]
    return {"permissions": granted} if granted else {}


# --- changes


@HANDLERS.of("changes.create")
def _changes_create(call: Call) -> Resource:
    deletions, additions = call.body.get("deletions", []), call.body.get("additions", [])
    gone, come = set(map(key_of, deletions)), set(map(key_of, additions))
    verbs = [(_UPDATE, gone & come), (_DELETE, gone - come), (_CREATE, come - gone)]
    _need(call, "dns.changes.create", *(permission for permission, keys in verbs if keys))
    return call.cloud.dns.change(_zone(call), deletions, additions, call.faults)


@HANDLERS.of("changes.get")
def _changes_get(call: Call) -> Resource:
    _need(call, "dns.changes.get")
    for each in _zone(call).changes:
        if each["id"] == call.values["changeId"]:
            return each
    raise absent("parameters.changeId", call.values["changeId"])


@HANDLERS.of("changes.list")
def _changes_list(call: Call) -> Resource:
    _need(call, "dns.changes.list")
    order = call.query.get("sortOrder", "ascending")
    if order not in ("ascending", "descending"):
        raise invalid("parameters.sortOrder", order)
    found = list(_zone(call).changes)
    return _page(call, "changes", "changes", found if order == "ascending" else found[::-1])


# --- records


@HANDLERS.of("resourceRecordSets.list")
def _records_list(call: Call) -> Resource:
    _need(call, "dns.resourceRecordSets.list")
    zone, name, kind = _zone(call), call.query.get("name"), call.query.get("type")
    if "filter" in call.query:
        raise ApiError(501, "notImplemented", "This lab lists no records by a filter.")
    if kind is not None and name is None:
        raise invalid("parameters.name", "")
    owner = None if name is None else dotted(name)
    if name is not None and owner is None:
        raise invalid("parameters.name", name)
    keys = sorted(key for key in zone.records if owner in (None, key[0]) and kind in (None, key[1]))
    return _page(call, "resourceRecordSets", "rrsets", [zone.records[key] for key in keys])


@HANDLERS.of("resourceRecordSets.get")
def _records_get(call: Call) -> Resource:
    _need(call, "dns.resourceRecordSets.get")
    return call.cloud.dns.record(_zone(call), key_of(call.values))


@HANDLERS.of("resourceRecordSets.create")
def _records_create(call: Call) -> Resource:
    _need(call, "dns.changes.create", _CREATE)
    return call.cloud.dns.create_record(_zone(call), call.body, call.faults)


@HANDLERS.of("resourceRecordSets.patch")
def _records_patch(call: Call) -> Resource:
    _need(call, "dns.changes.create", _UPDATE)
    return call.cloud.dns.patch_record(_zone(call), key_of(call.values), call.body, call.faults)


@HANDLERS.of("resourceRecordSets.delete")
def _records_delete(call: Call) -> Resource:
    _need(call, "dns.changes.create", _DELETE)
    call.cloud.dns.delete_record(_zone(call), key_of(call.values), call.faults)
    return {}


@HANDLERS.of("projects.get")
def _projects_get(call: Call) -> Resource:
    _need(call, "dns.projects.get")
    project = call.cloud.projects[call.project]
    return {"kind": "dns#project", "id": project["name"], "number": project["id"]}

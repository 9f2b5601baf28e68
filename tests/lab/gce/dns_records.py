# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Resource record sets of Cloud DNS: what can be one, and when two are the same."""

from __future__ import annotations

from collections.abc import Mapping

from dns import exception, name, rdata, rdataclass, rdatatype

from lab.gce.errors import ApiError
from lab.gce.resources import Resource

Key = tuple[str, str]  # name and type
Records = dict[Key, Resource]

APEX = ("SOA", "NS")
# Of those that Google has, the ones that are the same in every zone.
TYPES = ("A", "AAAA", "CAA", "CNAME", "MX", "NS", "PTR", "SOA", "SRV", "TXT")
_ONE = ("CNAME", "SOA")
_LONGEST_TTL = 2**31 - 1


def dotted(text: str) -> str | None:
    """A name in small letters, with the dot at its end; None of what is no such name."""
    try:
        found = name.from_text(text, origin=None)
    except exception.DNSException:
        return None
    return found.to_text().lower() if found.is_absolute() and len(found) > 1 else None


def invalid(field: str, value: object) -> ApiError:
    """A value that cannot be."""
    return ApiError(400, "invalid", f"Invalid value for '{field}': '{value}'")


def missing(field: str) -> ApiError:
    """A value that is not there."""
    return ApiError(400, "required", f"The '{field}' parameter is required but was missing.")


def key_of(record: Mapping[str, object]) -> Key:
    """Of a record set that a request names, whatever else is wrong with it."""
    return str(record.get("name", "")).lower(), str(record.get("type", ""))


def checked(record: Resource, field: str, zone: str) -> Resource:
    """A record set as it is stored, in a zone; ``field``: where it is in the request."""
    if not record.get("name"):
        raise missing(f"{field}.name")
    owner = dotted(record["name"])
    if owner is None or not (owner == zone or owner.endswith(f".{zone}")):
        raise invalid(f"{field}.name", record["name"])
    kind = record.get("type")
    if not kind:
        raise missing(f"{field}.type")
    if kind not in TYPES or (kind == "SOA" and owner != zone):
        raise invalid(f"{field}.type", kind)
    if "routingPolicy" in record:
        raise ApiError(501, "notImplemented", "This lab has no routing policies.")
    ttl = record.get("ttl")
    if ttl is None:
        raise missing(f"{field}.ttl")
    if not 0 <= int(ttl) <= _LONGEST_TTL:
        raise invalid(f"{field}.ttl", ttl)
    given = record.get("rrdatas") or []
    if not given:
        raise missing(f"{field}.rrdatas")
    datas = []
    for n, text in enumerate(given):
        try:
            datas.append(rdata.from_text(rdataclass.IN, rdatatype.from_text(kind), text, relativize=False).to_text())
        except (exception.DNSException, ValueError):
            raise invalid(f"{field}.rrdata[{n}]", text) from None
    if len(set(datas)) < len(datas) or (kind in _ONE and len(datas) > 1):
        raise invalid(f"{field}.rrdatas", ", ".join(given))
    return {
        "kind": "dns#resourceRecordSet",
        "name": owner,
        "type": kind,
        "ttl": int(ttl),
        "rrdatas": datas,
        "signatureRrdatas": [],
    }


def same(one: Resource, other: Resource) -> bool:
    """Whether two stored record sets are the same; their data has no order."""
    return one["ttl"] == other["ttl"] and sorted(one["rrdatas"]) == sorted(other["rrdatas"])


def check_whole(records: Records, zone: str) -> None:
    """Refuse what no zone could be after a change."""
    for kind in APEX:
        if (zone, kind) not in records:
            text = f"A zone must have exactly one resource record set of the type {kind} at its apex, '{zone}'."
            raise ApiError(400, "invalidZoneApex", text)
    for owner in {owner for owner, kind in records if kind == "CNAME"}:
        if sum(each == owner for each, _kind in records) > 1:
            text = f"The DNS name '{owner}' may have either one CNAME resource record set or resource record sets of"
            raise ApiError(400, "cnameResourceRecordSetConflict", f"{text} other types, but not both.")

# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Firewall rules of VPC networks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from lab.gce import ranges
from lab.gce.errors import invalid, required
from lab.gce.kinds import Kind, number, one_of, unchanged
from lab.gce.names import NAME
from lab.gce.resources import Resource

_DEFAULT_NETWORK = "global/networks/default"
_PROTOCOLS = ("tcp", "udp", "icmp", "esp", "ah", "ipip", "sctp", "all")
_WITH_PORTS = ("tcp", "udp", "sctp", "6", "17", "132")
_TAGS, _ACCOUNTS = ("sourceTags", "targetTags"), ("sourceServiceAccounts", "targetServiceAccounts")
_SOURCES = ("sourceRanges", "sourceTags", "sourceServiceAccounts")
_LISTS = (*_TAGS, *_ACCOUNTS, "sourceRanges", "destinationRanges")


class Firewalls(Kind):
    """All are the host project's, as its networks are."""

    collection = "firewalls"
    kind = "firewall"
    title = "firewall"
    fields = frozenset(
        {"name", "description", "network", "priority", "direction", "disabled", "allowed", "denied", "logConfig"}
        | set(_LISTS)
    )

    def content(self, body: Resource, scope: str, old: Resource | None) -> Resource:
        """See `Kind`."""
        network = self.projects.network(body.get("network") or _DEFAULT_NETWORK, scope.removesuffix("/global"))
        direction = one_of(body, "direction", "INGRESS", ("INGRESS", "EGRESS"))
        verdicts = [name for name in ("allowed", "denied") if body.get(name)]
        if not verdicts:
            raise required("resource.allowed")
        if len(verdicts) > 1:
            raise invalid("resource.denied", "", "A rule either allows or denies.")
        rule: Resource = {
            "name": body["name"],
            "description": body.get("description", ""),
            "network": self.projects.networks[network]["selfLink"],
            "direction": direction,
            "priority": number(body, "priority", 1000, 0, 65535),
            "disabled": body.get("disabled", False),
            "logConfig": body.get("logConfig") or {"enable": False},
            verdicts[0]: [_traffic(verdicts[0], n, each) for n, each in enumerate(body[verdicts[0]])],
            **{name: _checked(name, body[name]) for name in _LISTS if body.get(name)},
        }
        if any(name in rule for name in _TAGS) and any(name in rule for name in _ACCOUNTS):
            raise invalid("resource.targetServiceAccounts", "", "Tags and service accounts exclude each other.")
        outward = direction == "EGRESS"
        for name in ("sourceTags", "sourceServiceAccounts") if outward else ():
            if name in rule:
                raise invalid(f"resource.{name}", rule[name][0], f"A rule for {direction} has no {name}.")
        if not any(name in rule for name in (("destinationRanges",) if outward else _SOURCES)):
            rule["destinationRanges" if outward else "sourceRanges"] = ["0.0.0.0/0"]
        unchanged(old, rule, "network", "direction")
        return rule

    def needs(self, body: Resource, scope: str, old: Resource | None) -> Iterator[tuple[str, str]]:
        """See `Kind`."""
        yield (old or body).get("network") or _DEFAULT_NETWORK, "compute.networks.updatePolicy"


def _traffic(field: str, index: int, item: dict[str, Any]) -> dict[str, Any]:
    """A protocol and ports."""
    where = f"resource.{field}[{index}]"
    protocol = str(item.get("IPProtocol", "")).lower()
    if protocol not in _PROTOCOLS and not (re.fullmatch(r"\d{1,3}", protocol) and int(protocol) <= 255):
        raise invalid(f"{where}.IPProtocol", protocol, "It is neither a protocol's name nor its number.")
    ports = item.get("ports") or []
    if ports and protocol not in _WITH_PORTS:
        raise invalid(f"{where}.ports[0]", ports[0], f"The protocol {protocol} has no ports.")
    for n, text in enumerate(ports):
        match = re.fullmatch(r"(\d{1,5})(?:-(\d{1,5}))?", str(text))
        if not match or not int(match[1]) <= int(match[2] or match[1]) <= 65535:
            raise invalid(f"{where}.ports[{n}]", text, "It is neither a port nor a range of ports.")
    return {"IPProtocol": protocol, **({"ports": list(ports)} if ports else {})}


def _checked(field: str, values: list[str]) -> list[str]:
    for n, value in enumerate(values):
        if field.endswith("Ranges"):
            ranges.parse(f"resource.{field}[{n}]", value, plain=True)
        elif field.endswith("Tags") and not NAME.fullmatch(value):
            raise invalid(f"resource.{field}[{n}]", value, f"Must be a match of regex '{NAME.pattern}'")
    return list(values)

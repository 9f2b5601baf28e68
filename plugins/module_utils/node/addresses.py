# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which addresses a node has, and on which interface."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Iterable
from typing import Any, NamedTuple


class Link(NamedTuple):
    mac: str
    addresses: list[str]  # ADDRESS/PREFIX, the primary ones first, as the kernel lists them
    passing: list[str] = []  # those of them which will not stay, or are not usable yet
    scopes: dict[str, str] = {}  # of those IPv4 ones whose scope is not global, without prefix length


def parse_links(text: str) -> dict[str, Link]:
    """The interfaces of a node, from the output of C(ip -json address show).

    An IPv6 address which another machine turned out to have is left out: the kernel does not use it.
    """
    links = {}
    for link in json.loads(text or "[]"):
        usable = [a for a in link.get("addr_info", []) if "local" in a and not a.get("dadfailed")]
        passing = [a for a in usable if any(a.get(flag) for flag in ("temporary", "deprecated", "tentative"))]
        links[link["ifname"]] = Link(link.get("address", ""), _texts(usable), _texts(passing), _scopes(usable))
    return links


def facts_of(links: dict[str, Link]) -> dict[str, Any]:
    """The modules' results about the interfaces."""
    return {
        "interfaces": {name: link.addresses for name, link in links.items()},
        "passing": [a.partition("/")[0] for link in links.values() for a in link.passing],
        "scopes": {a: scope for link in links.values() for a, scope in link.scopes.items()},
        "macs": {name: link.mac for name, link in links.items() if link.mac},
    }


def _texts(entries: list[dict[str, Any]]) -> list[str]:
    return [f"{entry['local']}/{entry['prefixlen']}" for entry in entries]


def _scopes(entries: list[dict[str, Any]]) -> dict[str, str]:
    found = ((entry["local"], entry.get("scope", "global")) for entry in entries if ":" not in entry["local"])
    return {address: scope for address, scope in found if scope != "global"}


def held(wanted: Iterable[str], links: dict[str, Link]) -> list[dict[str, Any]]:
    """For each wanted address (with or without prefix length) whether the node has it, and on which interface.

    Raises ValueError for a text that is no address.
    """
    where = {ipaddress.ip_interface(a).ip: name for name, link in links.items() for a in link.addresses}
    found = [(address, where.get(ipaddress.ip_interface(address).ip)) for address in wanted]
    return [{"address": address, "held": name is not None, "interface": name} for address, name in found]


def of_clients(links: dict[str, Link]) -> list[str]:
    """Every address by which the node can be reached: not those of a loopback or of one link only."""
    every = [a for link in links.values() for a in link.addresses]
    return [
        a for a in every if not (ipaddress.ip_interface(a).is_link_local or ipaddress.ip_interface(a).ip.is_loopback)
    ]

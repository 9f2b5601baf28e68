# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A VRRP instance of one node, as the role understands it: with its defaults."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple, Union

Address = Union[ipaddress.IPv4Address, ipaddress.IPv6Address]
Interface = Union[ipaddress.IPv4Interface, ipaddress.IPv6Interface]
# The role's variables of a host, and as far as they are known: interfaces (its addresses by interface), macs (hardware
# addresses by interface), passing (those addresses which will not stay), scopes (by address, where not global), before
# (its instances in force), sources (its source address by instance, where it cannot be asked), container (bool).
Node = Mapping[str, Any]

_DEFAULTS = {"version": 3, "unicast": True, "nopreempt": True}


def parse_number(value: Any) -> int | None:
    """A whole number, as keepalived reads it: int() would take 6.6, True and 1_00 too."""
    return int(value) if re.fullmatch(r"-?[0-9]{1,9}", str(value)) else None


def truth(value: Any) -> bool:
    """As Ansible reads a boolean."""
    return value.lower() in ("1", "on", "t", "true", "y", "yes") if isinstance(value, str) else bool(value)


def parse_seconds(value: Any) -> float | None:
    return float(value) if re.fullmatch(r"-?[0-9]{1,9}(\.[0-9]+)?", str(value)) else None


def parse_address(value: Any) -> Address | None:
    try:
        return ipaddress.ip_address(value) if isinstance(value, str) else None
    except ValueError:
        return None


def parse_interface(value: Any) -> Interface | None:
    """An address with or without its prefix length."""
    try:
        return ipaddress.ip_interface(value) if isinstance(value, str) else None
    except ValueError:
        return None


def canonical(given: Mapping[str, Any]) -> dict[str, Any]:
    """An instance with each address in its one usual spelling, by which texts can be compared."""

    def spelt(entry: Any) -> Any:
        if isinstance(entry, Mapping):
            return {**entry, "address": spelt(entry.get("address"))}
        parsed = parse_interface(entry)
        return (str(parsed) if "/" in entry else str(parsed.ip)) if parsed else entry

    lists = {o: [spelt(e) for e in given[o]] for o in ("addresses", "excluded_addresses", "peers") if given.get(o)}
    source = {"source_address": spelt(given["source_address"])} if given.get("source_address") else {}
    return {**given, **lists, **source}


def marker(virtual_router_id: Any) -> str:
    """The address that an instance without addresses announces, and that its holder has on lo.

    A VRRP packet needs an address, and the holder must be recognised. 112 is VRRP's protocol number.
    """
    return f"169.254.112.{virtual_router_id}/32"


def own_addresses(node: Node, interface: str | None = None) -> list[Address]:
    """The addresses of a node's interface, or of all its interfaces, as far as known."""
    known: Mapping[str, list[str]] = node.get("interfaces") or {}
    chosen = known.values() if interface is None else [known.get(interface) or []]
    parsed = (parse_interface(text) for addresses in chosen for text in addresses)
    return [p.ip for p in parsed if p]


class Instance(NamedTuple):
    host: str
    node: Node
    position: int  # of the host in the group, from 0
    given: Mapping[str, Any]  # as in keepalived_instances

    @property
    def name(self) -> str:
        return str(self.given.get("name"))

    def where(self, option: str) -> str:
        return f"keepalived_instances[{self.name}].{option}"

    def get(self, option: str) -> Any:
        value = self.given.get(option)
        if value is not None:
            return value
        if option == "priority":
            return max(254 - self.position, 1)
        if option == "detection_ms":
            return self.node.get("keepalived_detection_ms", 600)
        return _DEFAULTS.get(option)

    def number(self, option: str) -> int | None:
        return parse_number(self.get(option))

    def flag(self, option: str) -> bool:
        return truth(self.get(option))

    def entries(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """All virtual addresses: where each is written, and its dictionary."""
        for option in ("addresses", "excluded_addresses"):
            for entry in self.given.get(option) or []:
                yield self.where(option), entry if isinstance(entry, Mapping) else {"address": entry}

    def virtual(self, option: str = "") -> list[Interface]:
        """The virtual addresses which are well written: those of one option, or all."""
        wanted = (entry for where, entry in self.entries() if where.endswith(f".{option}") or not option)
        parsed = (parse_interface(entry.get("address")) for entry in wanted)
        return [p for p in parsed if p]

    @property
    def bare(self) -> bool:
        """Whether it is meant to have no address: something else moves them."""
        return self.given.get("addresses") == []

    @property
    def family(self) -> int | None:
        """4 or 6: the family of the first address is that of the packets."""
        addresses = self.virtual("addresses")
        if self.bare:
            return 4
        return addresses[0].version if addresses else None

    @property
    def source(self) -> Address | None:
        """The source address of its packets, as far as it can be known.

        An address that keepalived itself puts on the node is never one: the virtual addresses of all instances, as
        wanted and as in force. The one in force stays as long as the node has it, as the others know it by that.
        """
        given = self.given.get("source_address")
        if given is not None:
            return parse_address(given)
        if self.node.get("interfaces") is None or "sources" in self.node:
            return parse_address((self.node.get("sources") or {}).get(self.name))
        virtual = virtual_addresses(self.node)
        passing = {parse_address(text) for text in self.node.get("passing") or []}
        able = [
            own
            for own in own_addresses(self.node, self.given.get("interface"))
            if own.version == self.family and not own.is_link_local and own not in virtual
        ]
        stable = [own for own in able if own not in passing]
        for before in self.node.get("before") or []:
            known = parse_address(before.get("source_address"))
            if before.get("name") == self.name and known in stable:
                return known
        return next(iter(stable or able), None)


def unknown_peers(siblings: Iterable[Instance]) -> list[Instance]:
    """Those of a node's siblings that should be its peers, and have no address that anybody knows.

    One that this run does not change, and of which nobody knows anything, is left out while there are others.
    """
    every = list(siblings)
    known = [sibling for sibling in every if sibling.source or not sibling.node.get("absent")]
    return [sibling for sibling in known or every if not sibling.source]


def virtual_addresses(node: Node) -> set[Address]:
    """Everything that keepalived puts on a node: the virtual addresses of all instances, as wanted and as in force."""
    found: set[Address] = set()
    for given in [*(node.get("keepalived_instances") or []), *(node.get("before") or [])]:
        instance = Instance("", node, 0, given)
        found |= {virtual.ip for virtual in instance.virtual()}
        if instance.bare:
            parsed = parse_interface(marker(given.get("virtual_router_id")))
            found |= {parsed.ip} if parsed else set()
    return found


def extra(block: Mapping[str, Any], *keywords: str) -> list[str]:
    """The first value behind each of these keywords, or of words that begin like them, in the extra lines of a
    block."""
    lines = [str(line).split() or [""] for line in block.get("extra") or []]
    return [(words[1:] or [""])[0] for words in lines if words[0].startswith(keywords)]


def plain_addresses(instances: Iterable[Mapping[str, Any]]) -> list[str]:
    """All virtual addresses of these instances, each without prefix length."""
    entries = (entry for given in instances for _where, entry in Instance("", {}, 0, given).entries())
    return [str(entry.get("address")).partition("/")[0] for entry in entries]

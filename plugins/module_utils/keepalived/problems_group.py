# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The problems among the nodes of a group, each of which may be right by itself."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from itertools import permutations
from typing import Any

from .instance import Address, Instance, Node, own_addresses, parse_address, virtual_addresses

Problem = tuple[str, str]  # the host, and what is wrong there
_TWINS = "if one machine has two names, correct ansible_host or remove one of them, else give each its own address"


def group_problems(instances: list[Instance], by_name: Mapping[str, list[Instance]], twins: bool) -> Iterator[Problem]:
    """by_name: the same instances. twins: two hosts are one machine, which one_machine says."""
    yield from _names(instances)
    yield from _router_ids(instances)
    yield from _shared_addresses(instances)
    for members in by_name.values():
        if not twins:
            yield from _one_source(members)
        yield from _agreement(members)
        yield from _priorities(members)
        yield from _reciprocity(members)


def one_machine(nodes: Mapping[str, Node]) -> Iterator[Problem]:
    """Hosts that are one machine: their interfaces have the same hardware addresses, and an address in common.

    Hardware addresses alone do not tell: a container may have the one of its parent, and its own addresses.
    """
    # A holder's addresses are not its own.
    virtual = set().union(*map(virtual_addresses, nodes.values()))
    places = {host: (_macs(node), _places(node) - virtual) for host, node in nodes.items()}
    for (one, (macs, its)), (other, (others_macs, others)) in permutations(places.items(), 2):
        if macs and macs == others_macs and its & others:
            names, address = " and ".join(host for host in nodes if host in (one, other)), min(map(str, its & others))
            text = f"{names} are one machine, which has {address} and {', '.join(sorted(macs))}; {_TWINS}"
            yield one, text


def _macs(node: Node) -> frozenset[str]:
    return frozenset(mac for mac in (node.get("macs") or {}).values() if mac.strip("0:"))


def _places(node: Node) -> set[Address]:
    """The addresses at which the node can be found: not those that many nodes have on lo or on each link."""
    interfaces = (name for name in node.get("interfaces") or {} if name != "lo")
    return {a for name in interfaces for a in own_addresses(node, name) if not (a.is_link_local or a.is_loopback)}


def _one_source(members: list[Instance]) -> Iterator[Problem]:
    """Two nodes that send from one address take each other's packets for their own."""
    for one, other in permutations(members, 2):
        if one.source and one.source == other.source and one.host != other.host and not one.source.is_loopback:
            names = " and ".join(i.host for i in members if i.host in (one.host, other.host))
            yield one.host, f"{one.where('source_address')} is {one.source} on {names}; {_TWINS}"


def _names(instances: list[Instance]) -> Iterator[Problem]:
    for (host, name), count in Counter((i.host, i.name) for i in instances).items():
        if count > 1:
            yield host, f"keepalived_instances has {count} instances named {name}; give each its own name"
        if not re.fullmatch(r"[\w.:-]{1,100}", name):
            advice = "use at most 100 letters, digits and . : _ -"
            yield host, f"keepalived_instances[{name[:100]}].name breaks the syntax; {advice}"


def _router_ids(instances: list[Instance]) -> Iterator[Problem]:
    """On one segment, a number is one virtual router of each family. Under two names it would be two that fight."""
    routers: dict[tuple[str, int, int | None], list[Instance]] = {}
    for i in instances:
        number = i.number("virtual_router_id")
        if number is not None:
            # The marks of instances without addresses are all on lo.
            for interface in (str(i.given.get("interface")), *(["lo"] if i.bare else [])):
                routers.setdefault((interface, number, i.family), []).append(i)
    for (interface, number, _family), members in routers.items():
        names = sorted({i.name for i in members})
        for i in members if len(names) > 1 else []:
            text = f"virtual_router_id {number} on {interface} is used by {' and '.join(names)}; give each its own"
            yield i.host, f"keepalived_instances: {text}"


def _shared_addresses(instances: list[Instance]) -> Iterator[Problem]:
    holders: dict[Address, list[Instance]] = {}
    for i in instances:
        for virtual in i.virtual():
            holders.setdefault(virtual.ip, []).append(i)
    for address, members in holders.items():
        names = sorted({i.name for i in members})
        for i in members if len(names) > 1 else []:
            yield i.host, f"keepalived_instances: {address} is in {' and in '.join(names)}; leave it in one of them"
        for (host, name), count in Counter((i.host, i.name) for i in members).items():
            if count > 1:
                yield host, f"keepalived_instances[{name}]: {address} is listed {count} times; list it once"


def _agreement(members: list[Instance]) -> Iterator[Problem]:
    """The settings that the nodes of one virtual router must have in common."""
    values: dict[str, Callable[[Instance], Any]] = {
        "virtual_router_id": lambda i: i.number("virtual_router_id"),
        "version": lambda i: i.number("version"),
        "unicast": lambda i: i.flag("unicast"),
        "detection_ms": lambda i: i.number("detection_ms"),
        "addresses": lambda i: ", ".join(sorted(str(v) for v in i.virtual("addresses"))),
        "auth_pass": lambda i: i.given.get("auth_pass"),
    }
    for option, value in values.items():
        hosts: dict[Any, list[str]] = {}
        for i in members:
            hosts.setdefault(value(i), []).append(i.host)
        which = "; ".join(f"{v} on {', '.join(h)}" for v, h in hosts.items())
        for i in members if len(hosts) > 1 else []:
            shown = "" if option == "auth_pass" else f" ({which})"
            yield i.host, f"{i.where(option)} differs{shown}; make it the same on all nodes"


def _priorities(members: list[Instance]) -> Iterator[Problem]:
    for i in members:
        priority = i.number("priority")
        if priority is not None and any(o.number("priority") == priority and o.host != i.host for o in members):
            yield (
                i.host,
                f"{i.where('priority')} is {priority} on each of them; give every node its own, or leave it out",
            )


def _reciprocity(members: list[Instance]) -> Iterator[Problem]:
    """Two nodes which do not list each other both believe to be alone, and both hold the address."""
    for speaker, hearer in permutations(members, 2):
        peers = [parse_address(text) for text in speaker.given.get("peers") or []]
        if speaker.host == hearer.host or not peers or not hearer.source or not speaker.flag("unicast"):
            continue
        if hearer.source not in peers:
            where = speaker.where("peers")
            yield speaker.host, f"{where} lacks {hearer.source}, the source address of {hearer.host}; add it"

# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The members of a group: nodes that a run cannot reach, nodes that were taken out of it, and addresses of nobody.

A node that is off cannot be asked for its address, but the configuration in force on the others names it as a peer.
So does it name a node which is no longer in the inventory. If that node runs on, it hears nobody once it is no peer
any more, and becomes a second holder.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from .instance import Address, Instance, Node, canonical, parse_address, parse_interface, virtual_addresses


def members(nodes: Mapping[str, Node]) -> dict[str, Any]:
    """See the filter keepalived_members.

    nodes: for each host, in the order of the group, what find_problems expects, and reached (whether the node could be
    asked), why (if not), here (whether this run changes it), and readings (the variables of the configuration in force
    and of the written one; {} where there is none, False where it is not understood).
    """
    every = {host: {"reached": True, "here": True, **_read(node)} for host, node in nodes.items()}
    names = list(dict.fromkeys(str(i.get("name")) for node in every.values() for i in _wanted(node)))
    problems: list[str] = []
    told: set[Address] = set()
    removed: dict[str, list[dict[str, Any]]] = {}
    sources: dict[str, dict[str, str]] = {host: {} for host, node in every.items() if not node["reached"]}
    before: dict[str, list[dict[str, Any]]] = {host: [] for host in sources}
    for name in names:
        peers = _peers_in_force(every, name)
        known = _known(every, name)
        strange = [peer for peer in peers if peer not in known]
        missing = [
            host
            for host in sources
            if any(i.get("name") == name and not i.get("source_address") for i in _wanted(every[host]))
        ]
        for host in sources:
            given = [i.get("source_address") for i in _wanted(every[host]) if i.get("name") == name]
            if given and given[0]:
                sources[host][name] = str(given[0])
        if missing and len(strange) > len(missing):
            problems.append(
                f"{', '.join(missing)}: cannot be reached, and its address is one of {', '.join(map(str, strange))}, "
                f"the peers in force of {name}; set source_address in keepalived_instances there, or bring it back"
            )
        elif missing:
            # The role lists peers in the order of the group.
            sources_found = dict(zip(missing, strange))
            for host, address in sources_found.items():
                sources[host][name] = str(address)
        else:
            for address in strange:
                if address not in told:
                    told.add(address)
                    host, how = _seen_by(every, name, address)
                    removed.setdefault(host, []).append({"address": str(address), **how})
        for host in sources:
            if sources[host].get(name):
                before[host] += _assumed(every, name, sources[host][name])
    found = {
        host: {**node, "sources": sources[host], "before": before[host]} if host in sources else node
        for host, node in every.items()
    }
    found = {host: {**node, "absent": not node["here"]} for host, node in found.items()}
    return {
        "nodes": found,
        "problems": problems + _foreign(every),
        "removed": removed,
        "out_of_reach": _by_interface(found),
        "notes": [note for host in found if not found[host]["here"] for note in _notes(host, found[host])],
    }


def _read(node: Node) -> dict[str, Any]:
    """With before, its instances in force (None: not known), and written, those of which it may have addresses."""
    if "readings" not in node:
        return dict(node)
    readings = node["readings"]
    loaded: Any = next((variables for variables in readings if variables != {}), {})
    written = [i for variables in readings if variables for i in _instances(variables)]
    return {**node, "before": None if loaded is False else _instances(loaded), "written": written}


def _instances(variables: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [canonical(i) for i in variables.get("keepalived_instances") or []]


def _wanted(node: Node) -> list[Mapping[str, Any]]:
    return node.get("keepalived_instances") or []


def _in_force(node: Node, name: str) -> list[Mapping[str, Any]]:
    return [i for i in node.get("before") or [] if i.get("name") == name]


def _peers_in_force(nodes: Mapping[str, Node], name: str) -> list[Address]:
    texts = (peer for node in nodes.values() for i in _in_force(node, name) for peer in i.get("peers") or [])
    return list(dict.fromkeys(address for address in map(parse_address, texts) if address))


def _known(nodes: Mapping[str, Node], name: str) -> set[Address]:
    """The source addresses of this instance, as they are and as they will be; and those which it is told to talk to."""
    found: set[Address] = set()
    for host, node in nodes.items():
        texts = [i.get("source_address") for i in _in_force(node, name)]
        for position, given in enumerate(_wanted(node)):
            if given.get("name") == name:
                texts += [given.get("source_address"), *(given.get("peers") or [])]
                source = Instance(host, node, position, given).source if node["reached"] else None
                found |= {source} if source else set()
        found |= {address for address in map(parse_address, texts) if address}
        # It may have been known by another address of its own.
        if node["reached"]:
            own = (parse_interface(text) for texts in (node.get("interfaces") or {}).values() for text in texts)
            found |= {each.ip for each in own if each}
    return found


def _seen_by(nodes: Mapping[str, Node], name: str, address: Address) -> tuple[str, dict[str, Any]]:
    """The node to ask from, one that this run reaches and which has the address as a peer; and how it can ask."""
    for host, node in nodes.items():
        for i in _in_force(node, name):
            if node["here"] and address in [parse_address(peer) for peer in i.get("peers") or []]:
                interface = i.get("interface")
                own = [p for text in (node.get("interfaces") or {}).get(interface, []) if (p := parse_interface(text))]
                source = next((i["source_address"] for p in own if str(p.ip) == i.get("source_address")), None)
                # Beyond a router, ARP says nothing.
                near = any(address in p.network for p in own)
                return host, {"source": source, "interface": interface if near else None}
    return next(host for host, node in nodes.items() if node["here"]), {"source": None, "interface": None}


def _by_interface(nodes: Mapping[str, Node]) -> list[dict[str, Any]]:
    """On which of its interfaces the first node of this run asks for the addresses of nodes which cannot be reached."""
    asking: Node = next((node for node in nodes.values() if node["here"]), {})
    interfaces = {given.get("name"): given.get("interface") for given in _wanted(asking)}
    found: dict[str, list[str]] = {}
    for node in nodes.values():
        for given in _wanted(node) if not node["reached"] else []:
            address = node["sources"].get(str(given.get("name")))
            its = found.setdefault(str(interfaces.get(given.get("name")) or given.get("interface")), [])
            if address and address not in its:
                its.append(address)
    return [{"interface": interface, "addresses": its} for interface, its in found.items() if its]


def _assumed(nodes: Mapping[str, Node], name: str, source: str) -> list[dict[str, Any]]:
    """The instances of an unreachable node, now or when it is back: the same as the others', seen from its place."""
    for node in nodes.values():
        for i in _in_force(node, name):
            if source in (i.get("peers") or []):
                others = [i.get("source_address"), *(peer for peer in i["peers"] if peer != source)]
                return [{**i, "source_address": source, "peers": [peer for peer in others if peer]}]
    return []


def _foreign(nodes: Mapping[str, Node]) -> list[str]:
    """Wanted addresses which a node has though keepalived did not put them there: there would be a second holder."""
    messages = []
    wanted = {address for node in nodes.values() for address in virtual_addresses({**node, "before": []})}
    for host, node in nodes.items():
        if not node["reached"] or node.get("before") is None:
            continue
        explained = virtual_addresses({"keepalived_instances": [*node["before"], *(node.get("written") or [])]})
        for device, texts in (node.get("interfaces") or {}).items():
            for text in texts:
                parsed = parse_interface(text)
                if parsed and parsed.ip in wanted and parsed.ip not in explained:
                    messages.append(
                        f"{host}: {text} is on {device} already, and keepalived did not put it there, so that there "
                        f"would be two holders; remove it (ip address delete {text} dev {device}) and what sets it, or "
                        "if it is the node's own address, choose another one"
                    )
    return messages


def _notes(host: str, node: Node) -> Iterable[str]:
    if node["reached"]:
        why = "left out by --limit, or failed before"
        yield f"{host} is not part of this run ({why}): it stays as it is, and a peer of the others"
        return
    known = sorted(set(node["sources"].values()))
    why = f" ({' '.join(str(node['why']).split())})" if node.get("why") else ""
    if known:
        yield f"{host} cannot be reached{why}: it stays a peer of the others, at {' and '.join(known)}"
    else:
        yield f"{host} cannot be reached{why}, and nobody has it as a peer: it is left out until a run reaches it"

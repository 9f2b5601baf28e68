# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Neutron holds, as what the bridge has to do: from ports and security groups to a policy for each machine.

Pure: no API, no network. A port is a dictionary as Neutron's, a group too, with its rules.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from ipaddress import collapse_addresses, ip_network
from typing import Any

from lab.fabric import Allowed, Pair, Policy

Port = Mapping[str, Any]
Groups = Mapping[str, Mapping[str, Any]]
Translate = Callable[[Port, list[Port], Groups], Policy | None]

# The names that Neutron knows besides numbers; of IPv6, icmp is another protocol.
_PROTOCOLS = {
    "ah": 51,
    "dccp": 33,
    "egp": 8,
    "esp": 50,
    "gre": 47,
    "icmp": 1,
    "icmpv6": 58,
    "igmp": 2,
    "ipip": 4,
    "ipv6-encap": 41,
    "ipv6-frag": 44,
    "ipv6-icmp": 58,
    "ipv6-nonxt": 59,
    "ipv6-opts": 60,
    "ipv6-route": 43,
    "ospf": 89,
    "pgm": 113,
    "rsvp": 46,
    "sctp": 132,
    "tcp": 6,
    "udp": 17,
    "udplite": 136,
    "vrrp": 112,
}


def policy(port: Port, ports: Iterable[Port], groups: Groups) -> Policy | None:
    """What may pass at ``port``, which is one of ``ports``; None: no port security, so everything."""
    if not port["port_security_enabled"]:
        return None
    pairs = allowed_pairs(port)
    ingress, egress = conversations(port, ports, groups)
    return Policy(sends=pairs, claims=pairs, ingress=ingress, egress=egress)


def allowed_pairs(port: Port) -> tuple[Pair, ...]:
    """Its own addresses, and its allowed address pairs."""
    own = [Pair(port["mac_address"], each["ip_address"]) for each in port["fixed_ips"]]
    more = [Pair(each["mac_address"], network(each["ip_address"])) for each in port["allowed_address_pairs"]]
    return tuple(dict.fromkeys([*own, *more]))


def conversations(port: Port, ports: Iterable[Port], groups: Groups) -> tuple[tuple[Allowed, ...], tuple[Allowed, ...]]:
    """What its groups let in, and out. Members of a remote group are its ports, with their allowed address pairs."""
    members: dict[str, list[str]] = {}
    for each in ports:
        for group in each["security_groups"]:
            members.setdefault(group, []).extend(pair.address for pair in allowed_pairs(each))
    found: dict[str, list[Allowed]] = {"ingress": [], "egress": []}
    for group in port["security_groups"]:
        for rule in groups[group]["security_group_rules"]:
            found[rule["direction"]].append(_allowed(rule, members))
    return tuple(dict.fromkeys(found["ingress"])), tuple(dict.fromkeys(found["egress"]))


def network(address: str) -> str:
    """As nftables takes it: 1.1.1.1/0 is everything, and what has no prefix is one address."""
    found = ip_network(address, strict=False)
    return str(found) if found.prefixlen < found.max_prefixlen else str(found.network_address)


def _allowed(rule: Mapping[str, Any], members: Mapping[str, list[str]]) -> Allowed:
    version = 6 if rule["ethertype"] == "IPv6" else 4
    protocol = _number(rule["protocol"], version)
    ports = (rule["port_range_min"], rule["port_range_max"])
    peers: Iterable[str] | None = None
    if rule["remote_ip_prefix"]:
        peers = [network(rule["remote_ip_prefix"])]
    elif rule["remote_group_id"]:
        peers = members.get(rule["remote_group_id"], [])
    return Allowed(
        version,
        protocol,
        None if ports == (None, None) else ports,
        None if peers is None else _merged(peers, version),
    )


def _merged(addresses: Iterable[str], version: int) -> tuple[str, ...]:
    """Those of this version, without any that is in another."""
    networks = {found for found in map(ip_network, addresses) if found.version == version}
    return tuple(network(str(each)) for each in collapse_addresses(networks))  # type: ignore[type-var]


def _number(protocol: str | None, version: int) -> int | None:
    if protocol in (None, "any", "0"):
        return None
    number = int(protocol) if str(protocol).isdigit() else _PROTOCOLS[str(protocol)]
    return 58 if number == 1 and version == 6 else number

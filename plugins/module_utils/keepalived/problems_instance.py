# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The problems of one instance of one node, beside its siblings: the instances of this name on other nodes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from ipaddress import ip_network
from typing import Any

from .instance import (
    Address,
    Instance,
    extra,
    own_addresses,
    parse_address,
    parse_interface,
    parse_number,
    parse_seconds,
    unknown_peers,
    virtual_addresses,
)
from .problems_node import OWN_FILES, TRACKED, hint
from .timers import timers

_RANGES = {
    "virtual_router_id": (1, 255, "the packet has one byte for it"),
    "priority": (1, 254, "0 means giving up, and 255 is reserved for a router which owns the address for ever"),
    "preempt_delay": (0, 1000, "keepalived knows no other"),
}
_ADDRESS_KEYS = ("address", "device", "label", "scope")
_EXAMPLES = {4: "24", 6: "64"}


def instance_problems(instance: Instance, siblings: list[Instance], group_size: int) -> Iterator[str]:
    """group_size: how many hosts the group has."""
    yield from _numbers(instance)
    yield from _virtual_addresses(instance)
    yield from _interfaces(instance)
    yield from _unicast(instance, siblings, group_size)
    yield from _source(instance)
    yield from _silent_peers(instance, siblings)
    yield from _peers(instance)
    yield from _secret(instance)
    yield from _tracking(instance, siblings)
    yield from _objective(instance, siblings)


def _numbers(instance: Instance) -> Iterator[str]:
    for option, (least, most, reason) in _RANGES.items():
        value = instance.get(option)
        number = parse_seconds(value) if option == "preempt_delay" else parse_number(value)
        if value is not None and (number is None or not least <= number <= most):
            yield f"{instance.where(option)} is {value}; use {least} to {most} ({reason})"
    if instance.number("version") not in (2, 3):
        yield f"{instance.where('version')} is {instance.get('version')}; use 2 or 3"
    elif instance.number("version") == 2 and instance.family == 6:
        yield f"{instance.where('version')} is 2, which does not know IPv6; use 3"
    if parse_seconds(instance.get("preempt_delay")) and instance.flag("nopreempt"):
        where = instance.where("preempt_delay")
        yield f"{where} has no effect while nopreempt is true (the default); set nopreempt to false, or leave it out"


def _virtual_addresses(instance: Instance) -> Iterator[str]:
    if instance.given.get("addresses") is None:
        yield f"{instance.where('addresses')} is missing; list them, or write [] if something else moves them"
    for where, entry in instance.entries():
        text = entry.get("address")
        parsed = None if "%" in str(text) else parse_interface(text)
        for key in entry:
            if key not in _ADDRESS_KEYS:
                yield f"{where} has an unknown key {key}; {hint(key, _ADDRESS_KEYS)}"
        if not parsed:
            yield f"{where}: {text!r} is not an address; write ADDRESS/PREFIX, for example 192.0.2.10/24"
            continue
        network, (_ip, slash, prefix) = parsed.network, str(text).partition("/")
        if not slash:
            yield f"{where}: {text} has no prefix length; add it, for example {text}/{_EXAMPLES[parsed.version]}"
        elif not re.fullmatch("[0-9]{1,3}", prefix):
            yield f"{where}: {text} has a netmask in place of a prefix length; write {parsed}"
        elif not network.prefixlen:
            yield f"{where}: {text} would be in one network with all addresses; write its own network's prefix length"
        elif _unreachable(parsed.ip):
            yield f"{where}: {text} is not an address which clients can reach; choose one of their network"
        elif network.prefixlen < 31 and parsed.ip in (network[0], network[-1]) and parsed.version == 4:
            yield f"{where}: {text} is the network's own or its broadcast address; choose another one of {network}"
        if parsed.version != instance.family and where == instance.where("addresses"):
            yield (
                f"{where}: {text} is not of family IPv{instance.family}, as the first address is; "
                "put it into excluded_addresses, or into an instance of its own"
            )


def _unreachable(ip: Address) -> bool:
    special = ip.version == 4 and (ip.is_reserved or ip in ip_network("0.0.0.0/8"))
    return special or ip.is_multicast or ip.is_unspecified or ip.is_loopback


def _interfaces(instance: Instance) -> Iterator[str]:
    where = instance.where("interface")
    if instance.given.get("interface") == "lo":
        yield f"{where} is lo, over which keepalived does not speak VRRP; use the one which reaches the peers"
    used = [(where, instance.given.get("interface"))]
    used += [(where, entry["device"]) for where, entry in instance.entries() if entry.get("device")]
    used += [(instance.where("track_interfaces"), name) for name, _w in _references(instance, "track_interfaces")]
    known = instance.node.get("interfaces")  # empty: the node cannot be reached
    for where, name in used:
        if known and name not in known:
            yield f"{where} names {name}, which the node does not have; it has {', '.join(sorted(known)) or 'none'}"


def _unicast(instance: Instance, siblings: list[Instance], group_size: int) -> Iterator[str]:
    peers, given = instance.given.get("peers"), instance.given.get("source_address")
    where = instance.where("peers")
    if given is not None and (not parse_address(given) or "%" in given):
        yield f"{instance.where('source_address')}: {given!r} is not an address; write it without a prefix length"
    elif given is not None and instance.bare and ":" in given:
        yield f"{instance.where('source_address')} is {given}; without addresses the nodes talk IPv4, use that one"
    elif given is not None:
        own = own_addresses(instance.node)
        if own and parse_address(given) not in own:
            known = ", ".join(str(a) for a in own if not a.is_loopback)
            yield f"{instance.where('source_address')} is {given}, which the node does not have; it has {known}"
    if not instance.flag("unicast"):
        return
    if peers is None and not siblings and group_size > 1:
        yield f"{where} is not set, and no other host of the group has an instance {instance.name}; give it to one"
    elif not peers and (peers is not None or not siblings):
        yield f"{where} is empty; add a host to the group, list the peers, or set unicast to false to run alone"


def _source(instance: Instance) -> Iterator[str]:
    """Why the source address of the packets is not known, which the node itself and its peers need."""
    if instance.family is None or instance.given.get("source_address") is not None:
        return
    interface, family, where = instance.given.get("interface"), instance.family, instance.where("source_address")
    known = instance.node.get("interfaces")
    if not known or interface not in known or instance.source:
        return
    own = [a for a in own_addresses(instance.node, interface) if a.version == family]
    # With multicast, a link-local address will do, or one of another interface.
    able = set(own) - virtual_addresses(instance.node) or extra(instance.given, "mcast_src_ip")
    if able and not instance.flag("unicast"):
        return
    usable = [a for a in own if not a.is_link_local]
    if usable:
        yield (
            f"{where} is not known, as {' and '.join(map(str, usable))} is all that {interface} of {instance.host} "
            "has, and that is to be a virtual address; choose a virtual address that no node has as its own"
        )
    else:
        yield f"{where} is not known, as {interface} of {instance.host} has no IPv{family} address; give it one"


def _silent_peers(instance: Instance, siblings: list[Instance]) -> Iterator[str]:
    """A message for each sibling whose address this instance needs, but cannot learn."""
    if instance.given.get("peers") or not instance.flag("unicast") or instance.family is None:
        return
    for sibling in unknown_peers(siblings):
        known, interface = sibling.node.get("interfaces"), sibling.given.get("interface")
        if known is not None and (not known or sibling.node.get("absent")):
            why = f"its {interface} has no address to send from" if known else "it cannot be reached"
            yield (
                f"{instance.where('peers')}: the address of {sibling.host} is not known, as {why}; "
                f"{'repair it' if known else 'bring it back'}, or set source_address in its keepalived_instances"
            )


def _peers(instance: Instance) -> Iterator[str]:
    where, family = instance.where("peers"), instance.family
    virtual = {v.ip for v in instance.virtual()}
    own = {*own_addresses(instance.node), instance.source} - virtual
    seen: set[Address] = set()
    for text in instance.given.get("peers") or [] if instance.flag("unicast") else []:
        peer = parse_address(text)
        if not peer or "%" in text:
            yield f"{where}: {text!r} is not an address, and keepalived does not look names up; write the address"
            continue
        if peer in own:
            yield f"{where}: {text} is the node's own address; list the other nodes only"
        if peer in virtual:
            yield f"{where}: {text} is a virtual address of the instance; list the nodes' own addresses"
        if family and peer.version != family:
            yield f"{where}: {text} is not of family IPv{family}, as the virtual addresses are; use the IPv{family} one"
        if peer in seen:
            yield f"{where}: {text} is listed twice; list each peer once"
        seen.add(peer)


def _secret(instance: Instance) -> Iterator[str]:
    secret, where = instance.given.get("auth_pass"), instance.where("auth_pass")
    if not secret:
        return
    if instance.number("version") == 3:
        yield f"{where} is set, but VRRP version 3 has no passwords; leave it out, or set version to 2"
    elif len(str(secret)) > 8:
        yield f"{where} is longer than 8 characters, where it is cut; shorten it, or leave it out for a random one"
    elif re.search(r"[^A-Za-z0-9_.:/+=-]", str(secret)):
        yield f"{where} has characters which mean something else in keepalived.conf; use letters and digits only"
    elif str(secret) == "1111":
        yield f"{where} is the password of every example; leave it out for a random one"


def _tracking(instance: Instance, siblings: list[Instance]) -> Iterator[str]:
    for option, (variable, greatest) in TRACKED.items():
        defined = {str(d.get("name")): d for d in instance.node.get(variable) or []} if variable else {}
        for name, given_weight in _references(instance, option):
            own = option == "track_files" and name in OWN_FILES
            if variable and name not in defined and not own:
                where = instance.where(option)
                yield f"{where} names {name}, which is not in {variable}; {hint(name, defined)}"
                continue
            where = f"{instance.where(option)}[{name}].weight"
            weight = defined.get(name, {}).get("weight", 0) if given_weight is None else given_weight
            number = parse_number(weight)
            total = option == "track_files" and given_weight is None  # no limit to what multiplies the number in a file
            if number is None or (abs(number) > greatest and not total):
                yield f"{where} is {weight}; use -{greatest} to {greatest}, or 0 to give the address up on failure"
            elif number and option != "track_files":  # there, it multiplies a number which is not known here
                yield from _weight(instance, siblings, where, number)
    if instance.given.get("track_processes") and instance.node.get("container"):
        yield (
            f"{instance.where('track_processes')} cannot work in a container, as the kernel reports processes to the "
            "first network namespace only; use track_files with a resident check, or track_scripts"
        )


def _weight(instance: Instance, siblings: list[Instance], where: str, weight: int) -> Iterator[str]:
    priority = instance.number("priority") or 0
    lower = [p for p in (sibling.number("priority") for sibling in siblings) if p is not None and p < priority]
    gap = priority - max(lower, default=priority)
    if weight > 0 and priority + weight > 254:
        yield (
            f"{where} is {weight}, and would raise the priority {priority} above 254, where it is cut off; "
            "use 0 to give the address up on failure, or a negative weight"
        )
    elif siblings and instance.flag("nopreempt"):
        yield (
            f"{where} is {weight}, and no weight moves an address while nopreempt is true (the default); "
            "use 0 to give the address up on failure, or set nopreempt to false"
        )
    elif lower and abs(weight) <= gap:
        yield (
            f"{where} is {weight}, and the next node's priority is lower by {gap}, so that it would not take over; "
            f"use 0 to give the address up on failure, or more than {gap}"
        )


def _objective(instance: Instance, siblings: list[Instance]) -> Iterator[str]:
    where = instance.where("detection_ms") if "detection_ms" in instance.given else "keepalived_detection_ms"
    priorities = [p for p in (i.number("priority") for i in (instance, *siblings)) if p and 0 < p < 255]
    objective_ms, version = instance.number("detection_ms"), instance.number("version")
    if objective_ms is None:
        yield f"{where} is {instance.get('detection_ms')}; write milliseconds, for example 900"
    elif version in (2, 3):
        try:
            timers(objective_ms, priorities, version)
        except ValueError as e:
            yield f"{where}: {e}"


def _references(instance: Instance, option: str) -> Iterator[tuple[str, Any]]:
    """Names of the tracked objects, each with the weight given there, or None."""
    for item in instance.given.get(option) or []:
        if isinstance(item, Mapping):
            yield str(item.get("name")), item.get("weight")
        else:
            yield str(item), None

# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is wrong with the variables of a whole group, found before anything on a node is changed.

keepalived -t sees one file at a time, and accepts much which cannot work. Here all nodes are seen together.
"""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from ipaddress import ip_network
from itertools import permutations
from typing import Any

from .instance import (
    Address,
    Instance,
    Node,
    own_addresses,
    parse_address,
    parse_interface,
    parse_number,
    parse_seconds,
    truth,
    unknown_peers,
    virtual_addresses,
)
from .timers import timers
from .values import scalar_problems, structure_problems, syntax_problems

Problem = tuple[str, str]  # the host, and what is wrong there

# Kind of check: the variable which defines it (None: an interface of the node), and keepalived's greatest weight.
_TRACKED: dict[str, tuple[str | None, int]] = {
    "track_scripts": ("keepalived_track_scripts", 253),
    "track_files": ("keepalived_track_files", 254),
    "track_processes": ("keepalived_track_processes", 253),
    "track_interfaces": (None, 253),
}
# As /etc/iproute2/rt_scopes has them.
_SCOPES = {
    "0": "global",
    "200": "site",
    "253": "link",
    "254": "host",
    "255": "nowhere",
}
_OWN_FILES = ("drain",)  # the role defines it, and every instance tracks it
_RANGES = {
    "virtual_router_id": (1, 255, "the packet has one byte for it"),
    "priority": (1, 254, "0 means giving up, and 255 is reserved for a router which owns the address for ever"),
    "preempt_delay": (0, 1000, "keepalived knows no other"),
}
_TWINS = "if one machine has two names, correct ansible_host or remove one of them, else give each its own address"
_ADDRESS_KEYS = ("address", "device", "label", "scope")
_EXAMPLES = {4: "24", 6: "64"}


def find_problems(nodes: Mapping[str, Node], spec: Mapping[str, Any] | None = None) -> list[str]:
    """Everything that is wrong with the group, one message each; an empty list if nothing is.

    nodes: for each host, in the order of the group, the role's variables (keepalived_instances and so on, with or
    without their defaults), and what is known of the node: interfaces (for each interface the list of its addresses,
    with or without prefix length; left out: not checked), macs (the hardware address of each interface) and container
    (whether it has its own network namespace).
    spec: the options of the role's argument specification; with it, unknown keys are found too.
    A message names the hosts, the option, what is wrong and what to do. It never contains a secret.
    """
    found: dict[str, list[str]] = {}
    for host, text in _all_problems(nodes, spec):
        if nodes[host].get("absent"):  # not part of this run
            continue
        hosts = found.setdefault(text, [])
        if host not in hosts:
            hosts.append(host)
    return [f"{', '.join(hosts)}: {text}" for text, hosts in found.items()]


def _all_problems(nodes: Mapping[str, Node], spec: Mapping[str, Any] | None) -> Iterator[Problem]:
    broken = [(host, text) for host, node in nodes.items() if spec for text in structure_problems(node, spec)]
    if broken:
        yield from broken
        return
    twins = list(_one_machine(nodes))
    yield from twins
    instances = [
        Instance(host, node, position, given)
        for position, (host, node) in enumerate(nodes.items())
        for given in node.get("keepalived_instances") or []
    ]
    by_name: dict[str, list[Instance]] = {}
    for instance in instances:
        by_name.setdefault(instance.name, []).append(instance)

    for host, node in nodes.items():
        ours = {key: value for key, value in node.items() if key.startswith("keepalived_")}
        unknown = _unknown_keys(ours, spec, "") if spec else ()
        scalars = scalar_problems(node, spec) if spec else ()
        rules = (_definitions, _sync_groups, _virtual_servers, _shared_routes, _scopes, syntax_problems)
        absent_ok = _absent_ok(node, nodes)
        for text in (*unknown, *scalars, *absent_ok, *(text for rule in rules for text in rule(node))):
            yield host, text
    for instance in instances:
        siblings = [other for other in by_name[instance.name] if other.host != instance.host]
        for text in (
            *_numbers(instance),
            *_virtual_addresses(instance),
            *_interfaces(instance),
            *_unicast(instance, siblings, len(nodes)),
            *_source(instance),
            *_silent_peers(instance, siblings),
            *_peers(instance),
            *_secret(instance),
            *_tracking(instance, siblings),
            *_objective(instance, siblings),
        ):
            yield instance.host, text
    yield from _names(instances)
    yield from _router_ids(instances)
    yield from _shared_addresses(instances)
    for members in by_name.values():
        if not twins:
            yield from _one_source(members)
        yield from _agreement(members)
        yield from _priorities(members)
        yield from _reciprocity(members)


# One node


def _unknown_keys(given: Mapping[str, Any], options: Mapping[str, Any], where: str) -> Iterator[str]:
    for key, value in given.items():
        path = f"{where}{key}"
        if key in options:
            inner = options[key].get("options")
            for item in (value if isinstance(value, list) else [value]) if inner else []:
                if isinstance(item, Mapping):
                    label = f"[{item['name']}]" if "name" in item else ""
                    yield from _unknown_keys(item, inner, f"{path}{label}.")
        elif where:
            yield f"{path} is unknown; {_hint(key, options)}"
        else:
            # A variable of this name may be the user's own; only one that looks misspelt is a problem.
            for near in difflib.get_close_matches(key, options, 1, 0.85):
                yield f"{path} is unknown; did you mean {near}?"


def _definitions(node: Node) -> Iterator[str]:
    if not node.get("keepalived_instances") and not node.get("keepalived_virtual_servers"):
        yield "keepalived_instances is empty; describe at least one instance"
    for variable in filter(None, (variable for variable, _weight in _TRACKED.values())):
        names = [str(item.get("name")) for item in node.get(variable) or []]
        for name, count in Counter(names).items():
            if count > 1:
                yield f"{variable} defines {name} {count} times; give each its own name"
            if name in _OWN_FILES and variable == "keepalived_track_files":
                yield f"{variable} defines {name}, which is the role's own; choose another name"
    rt_priority = node.get("keepalived_rt_priority")
    if rt_priority is not None and parse_number(rt_priority) not in range(100):
        yield f"keepalived_rt_priority is {rt_priority}; use 1 to 99, or 0 for none"
    delay_s = node.get("keepalived_startup_delay_s", 0)
    seconds = parse_seconds(delay_s)
    if seconds is None or not 0 <= seconds < 60:
        yield f"keepalived_startup_delay_s is {delay_s}; use 0 to 59, of which keepalived does not warn"


def _absent_ok(node: Node, hosts: Iterable[str]) -> Iterator[str]:
    for name in node.get("keepalived_absent_ok") or []:
        if name not in hosts:
            yield f"keepalived_absent_ok names {name}, which is no host of the group; {_hint(name, hosts)}"


def _sync_groups(node: Node) -> Iterator[str]:
    known = [str(instance.get("name")) for instance in node.get("keepalived_instances") or []]
    taken: dict[str, str] = {}
    for group in node.get("keepalived_sync_groups") or []:
        where = f"keepalived_sync_groups[{group.get('name')}].instances"
        for name in group.get("instances") or []:
            if name not in known:
                yield f"{where} names {name}, which is no instance; {_hint(name, known)}"
            elif name in taken:
                yield f"{where} names {name}, which is already in {taken[name]}; an instance can be in one group only"
            taken.setdefault(name, str(group.get("name")))
        for option, (variable, _greatest) in _TRACKED.items():
            own = _OWN_FILES if option == "track_files" else ()
            defined = [str(d.get("name")) for d in node.get(variable) or []] if variable else node.get("interfaces")
            for entry in group.get(option) or []:
                name = str(entry.get("name") if isinstance(entry, Mapping) else entry)
                if defined is not None and name not in (*defined, *own):
                    where = f"keepalived_sync_groups[{group.get('name')}].{option}"
                    yield f"{where} names {name}, which is not in {variable or 'the node'}; {_hint(name, defined)}"


def _shared_routes(node: Node) -> Iterator[str]:
    """A route or rule of two instances is gone once one of them gives it up, though the other still holds it."""
    together = {
        str(name): str(group.get("name"))
        for group in node.get("keepalived_sync_groups") or []
        for name in group.get("instances") or []
    }
    owners: dict[tuple[str, ...], dict[str, str]] = {}  # the instances, each with what it wrote
    for instance in node.get("keepalived_instances") or []:
        name = str(instance.get("name"))
        for text in instance.get("routes") or []:
            owners.setdefault(("routes", *_route(str(text))), {})[name] = str(text)
        for text in instance.get("rules") or []:
            owners.setdefault(("rules", *str(text).split()), {})[name] = str(text)
    for (option, *_key), its in owners.items():
        if len(its) > 1 and len({together.get(name, name) for name in its}) > 1:
            names, text = " and in ".join(sorted(its)), sorted(its.values())[0]
            yield (
                f"keepalived_instances: of {option}, {text} is in {names}, and would be gone once one of them gives it "
                f"up; put these instances into one of keepalived_sync_groups, or write it as static_{option} in "
                "keepalived_extra_config"
            )


def _route(text: str) -> tuple[str, ...]:
    """What makes it another route to the kernel: destination, table, metric and type of service."""
    words, key = text.split(), []
    kinds = ("unicast", "local", "broadcast", "multicast", "throw", "unreachable", "prohibit", "blackhole", "nat")
    while words and (words[0] in kinds or words[0] in ("to", "src")):
        words = words[2:] if words[0] == "src" else words[1:]
    for name, value in zip(words, words[1:]):
        if name in ("table", "metric", "priority", "preference", "tos", "dsfield"):
            key.append(f"{'metric' if name in ('priority', 'preference') else name} {value}")
    return (*words[:1], *sorted(key))


def _virtual_servers(node: Node) -> Iterator[str]:
    plain = "is not an address; write it without a prefix length, for example 192.0.2.10"
    for server in node.get("keepalived_virtual_servers") or []:
        address, fwmark = server.get("address"), server.get("fwmark")
        where = f"keepalived_virtual_servers[{address or fwmark}]"
        if (address is None) == (fwmark is None):
            yield f"{where} needs either address and port, or fwmark"
        elif fwmark is None and (not parse_address(address) or "%" in address):
            yield f"{where}.address {plain}"
        elif fwmark is None and server.get("port") is None:
            yield f"{where}.port is missing; it is required with address"
        for real in server.get("real_servers") or []:
            inner = f"{where}.real_servers[{real.get('address')}]"
            if not parse_address(real.get("address")) or "%" in real["address"]:
                yield f"{inner}.address {plain}"
            check = real.get("check") or {}
            needed = {"http": "path", "ssl": "path", "misc": "command"}.get(str(check.get("type")))
            if needed and not check.get(needed):
                yield f"{inner}.check.{needed} is missing; it is required with type {check['type']}"
        yield from _balance(server, where)


def _extra(block: Mapping[str, Any], *keywords: str) -> list[str]:
    """The first value behind each of these keywords, or what begins like them, in the extra lines of a block."""
    lines = [str(line).split() or [""] for line in block.get("extra") or []]
    return [(words[1:] or [""])[0] for words in lines if words[0].startswith(keywords)]


def _balance(server: Mapping[str, Any], where: str) -> Iterator[str]:
    """What keepalived corrects by itself and, asked for a test, refuses without the name of an option."""
    reals, sorry = server.get("real_servers") or [], server.get("sorry_server")
    method, port = str(server.get("lvs_method") or "DR"), parse_number(server.get("port"))
    marked = server.get("fwmark") is not None
    if marked and truth(server.get("ha_suspend")):
        yield f"{where}.ha_suspend has no effect with fwmark, as keepalived knows no address; leave it out"
    places = [(str(r.get("address")), 0 if marked else parse_number(r.get("port"))) for r in reals]
    for place, count in Counter(places).items():
        if count > 1:
            yield f"{where}.real_servers has {count} of {place[0]}; list each server once"
    servers = [(f"real_servers[{r.get('address')}]", r, _extra(r, "lvs_method", "lb_kind")) for r in reals]
    if isinstance(sorry, Mapping):
        servers.append(("sorry_server", sorry, _extra(server, "sorry_server_lvs_method")))
    for inner, one, methods in servers:
        its, own = parse_number(one.get("port")), ([method, *_extra(server, "lvs_method", "lb_kind"), *methods])[-1]
        # 0 is the port of the virtual server.
        if not marked and own != "NAT" and port is not None and its not in (None, 0, port):
            yield (
                f"{where}.{inner}.port is {its}, and with lvs_method {own} the servers get the packets as they are; "
                f"write {port}, or use NAT"
            )
    for real in reals:
        check = real.get("check") or {}
        known = real.get("port") if check.get("connect_port") is None else check["connect_port"]
        if marked and check.get("type") not in (None, "misc") and parse_number(known) == 0:
            inner = f"{where}.real_servers[{real.get('address')}].check.connect_port"
            yield f"{inner} is missing; with fwmark, the check needs it, or a port of the server"
    weights = [parse_number(1 if r.get("weight") is None else r["weight"]) for r in reals if not _extra(r, "weight")]
    quorum = parse_number(1 if server.get("quorum") is None else server["quorum"])
    if reals and len(weights) == len(reals) and None not in weights and quorum and quorum > sum(filter(None, weights)):
        total = sum(filter(None, weights))
        yield (
            f"{where}.quorum is {quorum}, and all servers together have the weight {total}; "
            + (f"write at most {total}" if total else "give one of them a weight")
        )


# One instance


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
                yield f"{where} has an unknown key {key}; {_hint(key, _ADDRESS_KEYS)}"
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


def _scopes(node: Node) -> Iterator[str]:
    """The kernel refuses an address (EINVAL) whose scope is not that of its network's first one on the interface."""
    virtual, scopes = virtual_addresses(node), node.get("scopes") or {}
    first = {
        (interface, own.network): (own.ip, scopes.get(str(own.ip), "global"))
        for interface, texts in (node.get("interfaces") or {}).items()
        for own in map(parse_interface, texts)
        if own and own.ip not in virtual
    }
    for given in node.get("keepalived_instances") or []:
        instance = Instance("", node, 0, given)
        for where, entry in instance.entries():
            parsed = parse_interface(entry.get("address"))
            scope = str(entry.get("scope") or 0)
            scope = _SCOPES.get(scope, scope)
            # The kernel knows the scope of an IPv6 address by itself.
            if not parsed or parsed.version == 6 or scope not in _SCOPES.values():
                continue
            device = entry.get("device") or given.get("interface")
            if not entry.get("device") and _extra(given, "use_vmac", "use_ipvlan"):
                device = f"{device}, {instance.name}"  # a device of its own
            other, its = first.setdefault((str(device), parsed.network), (parsed.ip, scope))
            if scope != its:
                yield (
                    f"{where}: {parsed} has the scope {scope}, and the kernel refuses it beside {other} of the same "
                    f"network, which has the scope {its}; write the same scope, or {parsed.ip}/32"
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
    able = set(own) - virtual_addresses(instance.node) or _extra(instance.given, "mcast_src_ip")
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
    """Nodes whose address this one needs, and which cannot be told of it: what is wrong there is not reported there."""
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
    for option, (variable, greatest) in _TRACKED.items():
        defined = {str(d.get("name")): d for d in instance.node.get(variable) or []} if variable else {}
        for name, given_weight in _references(instance, option):
            own = option == "track_files" and name in _OWN_FILES
            if variable and name not in defined and not own:
                where = instance.where(option)
                yield f"{where} names {name}, which is not in {variable}; {_hint(name, defined)}"
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


# The group


def _one_machine(nodes: Mapping[str, Node]) -> Iterator[Problem]:
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
    """Where the node can be found: not what many nodes have on lo or on each link."""
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
    """What the nodes of one virtual router must have in common."""
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


def _references(instance: Instance, option: str) -> Iterator[tuple[str, Any]]:
    """Names of what is tracked, each with the weight given there, or None."""
    for item in instance.given.get(option) or []:
        if isinstance(item, Mapping):
            yield str(item.get("name")), item.get("weight")
        else:
            yield str(item), None


def _hint(wrong: Any, known: Iterable[str]) -> str:
    names = sorted(known)
    for near in difflib.get_close_matches(str(wrong), names, 1):
        return f"did you mean {near}?"
    return f"known are {', '.join(names)}" if names else "none is defined"

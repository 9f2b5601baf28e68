# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The problems in the variables of one node that concern no instance of another."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from .instance import (
    Instance,
    Node,
    extra,
    parse_address,
    parse_interface,
    parse_number,
    parse_seconds,
    truth,
    virtual_addresses,
)
from .values import scalar_problems, syntax_problems

# Kind of check: the variable which defines it (None: an interface of the node), and keepalived's greatest weight.
TRACKED: dict[str, tuple[str | None, int]] = {
    "track_scripts": ("keepalived_track_scripts", 253),
    "track_files": ("keepalived_track_files", 254),
    "track_processes": ("keepalived_track_processes", 253),
    "track_interfaces": (None, 253),
}
OWN_FILES = ("drain",)  # the role defines it, and every instance tracks it
# As /etc/iproute2/rt_scopes has them.
_SCOPES = {
    "0": "global",
    "200": "site",
    "253": "link",
    "254": "host",
    "255": "nowhere",
}


def node_problems(node: Node, hosts: Iterable[str], spec: Mapping[str, Any] | None) -> Iterator[str]:
    """hosts: the group. spec: as for find_problems."""
    if spec:
        ours = {key: value for key, value in node.items() if key.startswith("keepalived_")}
        yield from _unknown_keys(ours, spec, "")
        yield from scalar_problems(node, spec)
    yield from _absent_ok(node, hosts)
    for rule in (_definitions, _sync_groups, _virtual_servers, _shared_routes, _scopes, syntax_problems):
        yield from rule(node)


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
            yield f"{path} is unknown; {hint(key, options)}"
        else:
            # A variable of this name may be the user's own; only one that looks misspelt is a problem.
            for near in difflib.get_close_matches(key, options, 1, 0.85):
                yield f"{path} is unknown; did you mean {near}?"


def _definitions(node: Node) -> Iterator[str]:
    if not node.get("keepalived_instances") and not node.get("keepalived_virtual_servers"):
        yield "keepalived_instances is empty; describe at least one instance"
    for variable in filter(None, (variable for variable, _weight in TRACKED.values())):
        names = [str(item.get("name")) for item in node.get(variable) or []]
        for name, count in Counter(names).items():
            if count > 1:
                yield f"{variable} defines {name} {count} times; give each its own name"
            if name in OWN_FILES and variable == "keepalived_track_files":
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
            yield f"keepalived_absent_ok names {name}, which is no host of the group; {hint(name, hosts)}"


def _sync_groups(node: Node) -> Iterator[str]:
    known = [str(instance.get("name")) for instance in node.get("keepalived_instances") or []]
    taken: dict[str, str] = {}
    for group in node.get("keepalived_sync_groups") or []:
        where = f"keepalived_sync_groups[{group.get('name')}].instances"
        for name in group.get("instances") or []:
            if name not in known:
                yield f"{where} names {name}, which is no instance; {hint(name, known)}"
            elif name in taken:
                yield f"{where} names {name}, which is already in {taken[name]}; an instance can be in one group only"
            taken.setdefault(name, str(group.get("name")))
        for option, (variable, _greatest) in TRACKED.items():
            own = OWN_FILES if option == "track_files" else ()
            defined = [str(d.get("name")) for d in node.get(variable) or []] if variable else node.get("interfaces")
            for entry in group.get(option) or []:
                name = str(entry.get("name") if isinstance(entry, Mapping) else entry)
                if defined is not None and name not in (*defined, *own):
                    where = f"keepalived_sync_groups[{group.get('name')}].{option}"
                    yield f"{where} names {name}, which is not in {variable or 'the node'}; {hint(name, defined)}"


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
    """The kernel's key of a route: destination, table, metric and type of service."""
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


def _balance(server: Mapping[str, Any], where: str) -> Iterator[str]:
    """Values that keepalived corrects by itself, but that its test refuses without the name of an option."""
    reals, sorry = server.get("real_servers") or [], server.get("sorry_server")
    method, port = str(server.get("lvs_method") or "DR"), parse_number(server.get("port"))
    marked = server.get("fwmark") is not None
    if marked and truth(server.get("ha_suspend")):
        yield f"{where}.ha_suspend has no effect with fwmark, as keepalived knows no address; leave it out"
    places = [(str(r.get("address")), 0 if marked else parse_number(r.get("port"))) for r in reals]
    for place, count in Counter(places).items():
        if count > 1:
            yield f"{where}.real_servers has {count} of {place[0]}; list each server once"
    servers = [(f"real_servers[{r.get('address')}]", r, extra(r, "lvs_method", "lb_kind")) for r in reals]
    if isinstance(sorry, Mapping):
        servers.append(("sorry_server", sorry, extra(server, "sorry_server_lvs_method")))
    for inner, one, methods in servers:
        its, own = parse_number(one.get("port")), ([method, *extra(server, "lvs_method", "lb_kind"), *methods])[-1]
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
    weights = [parse_number(1 if r.get("weight") is None else r["weight"]) for r in reals if not extra(r, "weight")]
    quorum = parse_number(1 if server.get("quorum") is None else server["quorum"])
    if reals and len(weights) == len(reals) and None not in weights and quorum and quorum > sum(filter(None, weights)):
        total = sum(filter(None, weights))
        yield (
            f"{where}.quorum is {quorum}, and all servers together have the weight {total}; "
            + (f"write at most {total}" if total else "give one of them a weight")
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
            if not entry.get("device") and extra(given, "use_vmac", "use_ipvlan"):
                device = f"{device}, {instance.name}"  # a device of its own
            other, its = first.setdefault((str(device), parsed.network), (parsed.ip, scope))
            if scope != its:
                yield (
                    f"{where}: {parsed} has the scope {scope}, and the kernel refuses it beside {other} of the same "
                    f"network, which has the scope {its}; write the same scope, or {parsed.ip}/32"
                )


def hint(wrong: Any, known: Iterable[str]) -> str:
    names = sorted(known)
    for near in difflib.get_close_matches(str(wrong), names, 1):
        return f"did you mean {near}?"
    return f"known are {', '.join(names)}" if names else "none is defined"

# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The content of a node's keepalived.conf: its variables, with the omitted ones filled in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .instance import Instance, Node, canonical, marker, unknown_peers
from .timers import timers

_NO_PEER_MS = 600


def settings(
    nodes: Mapping[str, Node], host: str, spec: Mapping[str, Any], secrets: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """The role's variables of a host with the defaults of the argument specification, and its instances resolved.

    Each instance gains advert_int_s, worst_detection_ms, and worst_start_ms: how long after its start a node which
    hears nobody becomes the holder; with version 2, the secret of its name, if none is given. All of them together gain
    the greatest of these times, and
    worst_verdict_s: for how long a check that was good before goes on to count as passed when it fails now;
    restart_ms: after which a keepalived that was killed may start again, as its peer has taken over then;
    probes: on which interfaces to ask for which of the addresses, before they are used.
    Expects variables in which find_problems found nothing. Raises ValueError when the address of a peer is not known.
    """
    filled = _fill({k: v for k, v in nodes[host].items() if k in spec}, spec)
    filled.setdefault("keepalived_router_id", host)
    filled["keepalived_instances"] = [
        _resolved(nodes, host, given, (secrets or {}).get(given["name"]), filled["keepalived_startup_delay_s"])
        for given in filled["keepalived_instances"]
    ]
    for time in ("worst_detection_ms", "worst_start_ms"):
        filled[time] = max((i[time] for i in filled["keepalived_instances"]), default=0)
    filled["restart_ms"] = (filled["worst_detection_ms"] or _NO_PEER_MS) + 100
    filled["probes"] = _probes(filled["keepalived_instances"])
    # keepalived 2.2.7 takes a changed script for successful at a reload, and runs it at once.
    filled["worst_verdict_s"] = max(
        (int(s["interval"]) * int(s["fall"]) + int(s["timeout"]) for s in filled.get("keepalived_track_scripts") or ()),
        default=0,
    )
    return filled


def _fill(given: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    filled = {name: option["default"] for name, option in options.items() if "default" in option}
    for name, value in given.items():
        inner = options[name].get("options")
        if inner and isinstance(value, Mapping):
            value = _fill(value, inner)
        elif inner and value is not None:
            value = [_fill(item, inner) for item in value]
        if value is not None:
            filled[name] = value
    return filled


def _resolved(
    nodes: Mapping[str, Node], host: str, given: Mapping[str, Any], secret: str | None, delay_s: Any
) -> dict[str, Any]:
    members = [
        Instance(name, node, position, its)
        for position, (name, node) in enumerate(nodes.items())
        for its in node.get("keepalived_instances") or []
        if its["name"] == given["name"]
    ]
    own = next(m for m in members if m.host == host)
    resolved = {
        **given,
        "priority": int(own.get("priority")),
        "source_address": str(own.source or ""),
        "peers": (given.get("peers") or _sources(members, host)) if own.flag("unicast") else [],
        **timers(int(own.get("detection_ms")), [int(m.get("priority")) for m in members], int(own.get("version"))),
    }
    resolved["worst_start_ms"] = resolved["worst_detection_ms"] + round(float(delay_s) * 1000)
    if int(own.get("version")) == 2:
        resolved["auth_pass"] = given.get("auth_pass") or secret
    for option in ("addresses", "excluded_addresses"):
        entries = (entry if isinstance(entry, Mapping) else {"address": entry} for entry in given.get(option) or [])
        resolved[option] = [{"device": given["interface"], **entry} for entry in entries]
    if own.bare:
        resolved["addresses"] = [{"address": marker(given["virtual_router_id"]), "device": "lo", "scope": "host"}]
    return canonical(resolved)


def _sources(members: list[Instance], host: str) -> list[str]:
    others = [m for m in members if m.host != host]
    for m in unknown_peers(others):
        raise ValueError(f"{m.where('peers')}: the address of {m.host} is not known; list the peers, or bring it back")
    return [str(m.source) for m in others if m.source]


def _probes(instances: list[dict[str, Any]]) -> list[dict[str, Any]]:
    found: dict[str, list[str]] = {}
    for instance in instances:
        for entry in (*instance["addresses"], *instance["excluded_addresses"]):
            if entry["device"] != "lo":
                found.setdefault(entry["device"], []).append(entry["address"])
    return [{"interface": device, "addresses": addresses} for device, addresses in sorted(found.items())]


def secrets_of(nodes: Mapping[str, Node], known: Mapping[str, str], fresh: Callable[[], str]) -> dict[str, str]:
    """For each instance of VRRP version 2 its secret: the one in force on a node, else the known one, else a fresh one.

    nodes: as for settings, with before. known: the earlier result in the same run. fresh: gives a random secret.
    """
    wanted = (
        Instance(host, node, 0, its) for host, node in nodes.items() for its in node.get("keepalived_instances") or []
    )
    used: dict[str, str] = {}
    for its in (its for node in nodes.values() for its in node.get("before") or []):
        if its.get("auth_pass") and str(its["auth_pass"]) != "1111":  # the password of every example
            used.setdefault(str(its["name"]), str(its["auth_pass"]))
    names = dict.fromkeys(instance.name for instance in wanted if instance.number("version") == 2)
    return {name: used.get(name) or known.get(name) or fresh() for name in names}

# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""In which order the nodes of a group get a new configuration, so that no two of them hold an address.

The holder goes last, when the others have shown that the configuration works. But a node rejects the packets of another
one which does not have its router id, version, mode, secret and announced addresses (vrrp_skip_check_adv_addr does not
help a node which was just reloaded), and would become a second holder. So when one of these changes, the others are
stopped first, the holder is reloaded alone, and they start when the new configuration is in force.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from .instance import marker

Instance = Mapping[str, Any]


def rollout(nodes: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """What to do: stop are hosts to be stopped first, phases are groups of hosts to be started or reloaded in turn.

    nodes, in the order of the group: pending (there is something to do), active (keepalived runs), holds (it holds an
    address), before and after: its instances as they run, or None if that is not known, and as they are wanted.
    """
    pending = [host for host, node in nodes.items() if node["pending"]]
    holders = [host for host, node in nodes.items() if node["holds"]]
    others = [host for host in nodes if host not in holders]
    running = [host for host, node in nodes.items() if node["active"]]
    stop: list[str] = []
    if not pending:
        order = []
    elif not holders and not running:
        order = [others[:1], others[1:]]  # the first one gets the address before anyone can contest it
    elif any(_breaks(nodes[host]) for host in running):
        stop = [host for host in others if host in running] if holders else []
        order = [holders, others]
    else:
        order = [others, *([host] for host in holders)]
    groups = ([host for host in group if host in pending or host in stop] for group in order)
    return {"stop": stop, "phases": [group for group in groups if group]}


def _breaks(node: Mapping[str, Any]) -> bool:
    """Whether the node's new configuration and its running one would not believe each other."""
    return node["before"] is None or any(
        _related(old, new) and (*_speech(old), _listed(old)) != (*_speech(new), _announced(new))
        for old in node["before"]
        for new in node["after"]
    )


def _related(old: Instance, new: Instance) -> bool:
    return bool(old["name"] == new["name"] or set(_listed(old)) & set(_listed(new)))


def _speech(instance: Instance) -> tuple[Any, ...]:
    """What two nodes must have in common to hear each other; and the name, by which keepalived knows it at a reload."""
    given = {"version": 3, "unicast": True, "auth_pass": None, **instance}
    numbers = int(given["virtual_router_id"]), int(given["version"])
    return (*numbers, bool(given["unicast"]), given["auth_pass"], given["name"])


def _listed(instance: Instance) -> list[str]:
    """All addresses but the excluded ones: those which a configuration in force announces."""
    given = instance.get("addresses")
    if given == []:
        return [_plain(marker(instance["virtual_router_id"]))]
    # None: a configuration which is not the role's, and announces nothing.
    return sorted(_plain(entry) for entry in given or ())


def _announced(instance: Instance) -> list[str]:
    """Those which a configuration written by the role announces: the first."""
    return [_plain(instance["addresses"][0])]


def _plain(entry: Any) -> str:
    return str(entry["address"] if isinstance(entry, Mapping) else entry).partition("/")[0]


def unsettled(nodes: Mapping[str, Mapping[str, Any]], wanted: Iterable[str], gone: Iterable[str] = ()) -> list[str]:
    """Why the group is not at rest, one message each: every wanted address has one holder, and the gone ones none.

    nodes: for each host what cloudha.vip.vip_info returned about all these addresses.
    No holder is fine when no node may hold an address: keepalived is down, the node is drained, or a check fails.
    """
    holders: dict[str, list[str]] = {}
    for host, node in nodes.items():
        for entry in node["addresses"]:
            if entry["held"]:
                holders.setdefault(entry["address"], []).append(host)
    able = [
        host
        for host, node in nodes.items()
        if node["keepalived"]["active"] and not node["drain"] and all(node["checks"].values())
    ]
    messages = []
    for address in wanted:
        its = holders.get(address, [])
        if len(its) > 1:
            messages.append(f"{address} is held by {' and '.join(its)}")
        elif not its and able:
            messages.append(f"{address} is held by nobody, though {' and '.join(able)} could hold it")
    messages += [
        f"{address} is still held by {' and '.join(holders[address])}" for address in gone if address in holders
    ]
    return messages

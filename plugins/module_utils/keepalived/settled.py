# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether a keepalived group is at rest, and if it is not, why."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

Look = Mapping[str, Any]


def unsettled(
    nodes: Mapping[str, Look],
    wanted: Iterable[str],
    gone: Iterable[str] = (),
    running: Iterable[str] = (),
    ours: Collection[str] | None = None,
) -> list[str]:
    """The reasons why the group is not at rest, one message each. At rest, every wanted address has one holder, and
    the gone ones have none. Each keepalived of ours that runs sees its track files and hears on its interfaces.

    nodes: for each host what cloudha.vip.vip_info returned about all these addresses; and if it is known, vrrp: what
    cloudha.vip.vrrp_info returned (states, and what was heard), and voices: its instances as the role resolved them.
    running: hosts on which keepalived must run. ours: hosts which the caller can repair, by default all.
    No holder is fine only when all nodes that run keepalived are drained: somebody wished that.
    """
    holders: dict[str, list[str]] = {}
    for host, node in nodes.items():
        for entry in node["addresses"]:
            if entry["held"]:
                holders.setdefault(entry["address"], []).append(host)
    able = [host for host, node in nodes.items() if _able(node)]
    messages = []
    unheld = []
    for address in wanted:
        its = holders.get(address, [])
        if len(its) > 1:
            messages.append(f"{address} is held by {' and '.join(its)}")
        elif not its and able:
            messages.append(f"{address} is held by nobody, though {' and '.join(able)} could hold it")
        elif not its and not _drained(nodes):
            unheld.append(address)
    if unheld:
        reasons = "; ".join(f"{host} {reason}" for host, node in nodes.items() for reason in _reasons(node))
        messages.append(f"{', '.join(unheld)} is held by nobody: {reasons}")
    messages += [
        f"{host}: {problem}"
        for host, node in nodes.items()
        if ours is None or host in ours
        for problem in node["keepalived"].get("problems") or []
    ]
    messages += [
        f"{address} is still held by {' and '.join(holders[address])}" for address in gone if address in holders
    ]
    messages += [f"keepalived does not run on {host}" for host in running if not nodes[host]["keepalived"]["active"]]
    for hosts in {tuple(its) for address, its in holders.items() if len(its) > 1}:
        messages += _hearing({host: nodes[host] for host in hosts})
    return messages


def closer_looks(
    hosts: Iterable[str], hostvars: Mapping[str, Mapping[str, Any]], here: Collection[str]
) -> dict[str, dict[str, Any]]:
    """The arguments of unsettled() for these hosts, from the facts that the role keepalived has remembered of each.

    here: the hosts of the play. Earlier answers of other hosts, and their instances, say nothing about the present.
    """
    looks = {}
    for host in hosts:
        its = hostvars[host]
        more: dict[str, Any] = {"vrrp": {}, "voices": []}
        if host in here:
            more = {"vrrp": its.get("__keepalived_vrrp") or {}, "voices": its["__keepalived"]["keepalived_instances"]}
        looks[host] = {**its["__keepalived_look"], **more}
    return looks


def trial_problems(now: Mapping[str, Any], before: Mapping[str, Any], problems: Iterable[str] = ()) -> list[str]:
    """Why the configuration that a standby tries must not reach the holder, one message each.

    now, before: what cloudha.vip.vrrp_info returned about its instances with that configuration, and before it.
    problems: those that its guard reports. An instance that was in FAULT before proves nothing.
    """
    messages = []
    for name, instance in (now.get("instances") or {}).items():
        was = ((before.get("instances") or {}).get(name) or {}).get("state")
        if instance["state"] == "FAULT" and was not in (None, "FAULT"):
            as_of = f" as of {' and '.join(instance['failed'])}" if instance.get("failed") else ""
            messages.append(f"{name} is in FAULT{as_of}")
    return [*messages, *problems]


def _able(node: Look) -> bool:
    return not list(_reasons(node))


def _drained(nodes: Mapping[str, Look]) -> bool:
    running = [node for node in nodes.values() if node["keepalived"]["active"]]
    return bool(running) and all(node["drain"] for node in running)


def _reasons(node: Look) -> Iterator[str]:
    """Why a node may not hold an address."""
    if not node["keepalived"]["active"]:
        yield "does not run keepalived"
        return
    if node["drain"]:
        yield "is drained"
    failed = [name for name, verdict in node["checks"].items() if not verdict]
    if failed:
        yield f"fails the check {' and '.join(failed)}"
    deaf = node["keepalived"].get("deaf") or []
    if deaf:
        yield f"has lost {' and '.join(deaf)} since keepalived started"
    for name, instance in ((node.get("vrrp") or {}).get("instances") or {}).items():
        # The verdict of a resident check, and the drain, come by files, and were told already.
        told = ("file drain ", *(f"file {check} " for check in failed))
        new = [each for each in instance["failed"] if not f"{each} ".startswith(told)]
        if instance["state"] == "FAULT" and (new or not (failed or node["drain"])):
            yield f"has {name} in FAULT" + (f" as of {' and '.join(new)}" if new else "; see its journal")


def _hearing(holders: Mapping[str, Look]) -> Iterator[str]:
    """Which of several holders do not hear each other. Of two that do, one would have given the address up."""
    for listener, node in holders.items():
        heard = {
            (packets["virtual_router_id"], packet["source"])
            for packets in (node.get("vrrp") or {}).get("heard") or []
            for packet in packets["packets"]
        }
        numbers = {each["virtual_router_id"] for each in (node.get("vrrp") or {}).get("heard") or []}
        for speaker, other in holders.items():
            for voice in other.get("voices") or [] if speaker != listener else []:
                number, source = int(voice["virtual_router_id"]), voice.get("source_address")
                if source and number in numbers and (number, source) not in heard:
                    yield (
                        f"{listener} does not hear {speaker}: no VRRP packet (IP protocol 112) of router {number} "
                        f"comes from {source} on {voice['interface']}; let them pass between all nodes, both ways"
                    )

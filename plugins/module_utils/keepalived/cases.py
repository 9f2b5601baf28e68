# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The case of each node of a group, as a plan of a rollout wants it, from what the role keepalived has remembered."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from .instance import Node

Answer = Mapping[str, Any]


def cases(
    hosts: Iterable[str],
    hostvars: Mapping[str, Mapping[str, Any]],
    nodes: Mapping[str, Node],
    here: Collection[str],
    away: Collection[str],
    answers: Iterable[Answer] = (),
    absent_answers: Iterable[Answer] = (),
) -> dict[str, dict[str, Any]]:
    """For each host the dictionary that rollout() expects: see the filter keepalived_cases.

    nodes: those of members(). here: the hosts of the play. away: others that were looked at.
    answers, absent_answers: the machines that answer on the network for the addresses of the group, and for those of
    unreachable nodes.
    """
    found = {}
    for host in hosts:
        its = hostvars[host]
        if host in here:
            # A dry run knows nothing of a node without keepalived.
            if "__keepalived_begun" in its:
                found[host] = _of_this_play(its)
        elif host in nodes:
            found[host] = {
                "here": False,
                "pending": False,
                **(_seen(its) if host in away else _answering(nodes[host], list(answers), absent_answers)),
                "before": nodes[host]["before"],
                "after": nodes[host]["before"] or [],
            }
    return found


def _of_this_play(its: Mapping[str, Any]) -> dict[str, Any]:
    look, begun = its["__keepalived_look"], bool(its["__keepalived_begun"])
    seen = _seen(its)
    deaf = not begun and bool(look["keepalived"].get("deaf"))
    return {
        "here": True,
        # One that this run has started is not started again and again.
        "pending": bool(its["__keepalived_loads"]) or (not begun and not seen["active"]) or deaf,
        **seen,
        "deaf": deaf,
        "able": not look["drain"] and all(look["checks"].values()),
        "begun": begun,
        "before": its["__keepalived_in_force"],
        "after": its["__keepalived"]["keepalived_instances"],
    }


def _seen(its: Mapping[str, Any]) -> dict[str, Any]:
    look = its["__keepalived_look"]
    held = [entry["address"] for entry in look["addresses"] if entry["held"]]
    return {"active": bool(look["keepalived"]["active"]), "held": held}


def _answering(node: Node, answers: list[Answer], absent_answers: Iterable[Answer]) -> dict[str, Any]:
    """An unreachable node runs keepalived if it answers, and has the addresses for which it answers."""
    sources = list((node.get("sources") or {}).values())
    macs = [answer["mac"] for answer in absent_answers if answer["address"] in sources]
    return {"active": bool(macs), "held": [answer["address"] for answer in answers if answer["mac"] in macs]}

# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Static routes of a VPC network to one address, each to a node of its own, and the nodes that they lead to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .gcp import silent
from .status import unfit


def members(
    paths: Mapping[str, str], priorities: Mapping[str, Any], looks: Mapping[str, Mapping[str, Any]] | None = None
) -> list[dict[str, Any]]:
    """The option members of cloudha.vip.gcp_route_set.

    paths: each node's instance. looks: for each node the result of vip_info; then nodes that are not well have no
    route.
    """
    well = set(paths) if looks is None else {node for node, look in looks.items() if not unfit(look, elected=False)}
    return [{"instance": path, "priority": int(priorities[node])} for node, path in paths.items() if node in well]


def mistakes(paths: Mapping[str, str], priorities: Mapping[str, Any], shared: bool) -> list[str]:
    """What is wrong with the priorities of the nodes' routes, in sentences."""
    missing = [node for node in paths if not str(priorities.get(node, "")).isdigit() or int(priorities[node]) > 65535]
    if missing:
        return [f"the route of {' and '.join(missing)} has no priority; give each node one from 0 to 65535"]
    levels = {int(priorities[node]) for node in paths}
    if shared and len(levels) > 1:
        return ["routes have different priorities, and here all nodes serve; use the playbook gcp_route_priority"]
    if not shared and len(levels) < len(paths):
        return ["two routes have the same priority, and here one node serves; use the playbook gcp_route_ecmp"]
    return []


def holder(
    answer: Mapping[str, Any],
    paths: Mapping[str, str],
    name: str,
    looks: Sequence[Mapping[str, Any]],
    shared: bool,
) -> dict[str, list[str]]:
    """hosts: the nodes that get packets. notes: everything that is not at rest, in sentences. backups: the nodes whose
    routes count only while others are gone.

    answer: that of cloudha.vip.gcp_route_set_info. paths: each node's instance. looks: those of the role holder.
    """
    if "serving" not in answer:
        return {**silent(answer), "backups": []}
    nodes = {path: node for node, path in paths.items()}
    hosts = [node for path, node in nodes.items() if path in answer["serving"]]
    active = [nodes[each["instance"]] for each in answer["members"] if each["active"] and each["instance"] in nodes]
    notes = [] if answer["serving"] else [f"no route {name}-INSTANCE leads to a running instance"]
    strangers = [hop for hop in answer["serving"] if hop not in nodes]
    if strangers:
        notes.append(f"the traffic also goes to {', '.join(strangers)}, which is no node")
    if not shared:
        # Where all nodes serve, whoever does not is missing anyway.
        drained = [look["item"] for look in looks if (look.get("drain") or 0) < 0]
        notes += [f"no route leads to {node}" for node in paths if node not in [*active, *drained]]
    return {"hosts": hosts, "notes": notes, "backups": [node for node in active if node not in hosts]}

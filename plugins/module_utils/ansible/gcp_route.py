# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The modules for routes: from options to a goal, and from observations to results."""

from __future__ import annotations

from ..clouds.gce_names import normalise, project_of
from ..failover import named_route
from ..failover.route_inspect import Question, inspect
from ..failover.route_table import DEFAULT_PRIORITY, next_hop_of
from .gcp import check_projects, instance_path, resource_path
from .run import OptionError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from ..clouds.gce import Compute
    from .run import Report


def goal(params: Mapping[str, Any], client: Compute) -> named_route.NamedGoal:
    """The goal of gcp_route_failover, from its options. Asks the client nothing."""
    hop = params["next_hop_address"]
    if params["next_hop_instance"]:
        zone = params["next_hop_zone"]
        hop = instance_path("next_hop_instance", params["next_hop_instance"], client.project, zone)
    _set_instance_projects(params, client, hop, params["expected_holder"])
    return named_route.NamedGoal(
        params["name"],
        params["destination"],
        network(params, client),
        present=params["state"] == "present",
        next_hop=hop,
        priority=params["priority"],
        tags=params["tags"],
        description=params["description"],
        expected_holder=params["expected_holder"],
        exclusive=params["exclusive"],
        lease=params["lease"],
        settle=params["settle"],
    )


def describe(report: Report) -> dict[str, Any]:
    """The results of gcp_route_failover besides those of all modules."""
    wanted = report.before.goal
    return {
        "address": wanted and wanted.destination,
        "moved_ms": next((round(event["ms"], 1) for event in report.events if event["event"] == "done"), None),
        "notes": report.procedure.notes,
    }


def info(params: Mapping[str, Any], client: Compute) -> dict[str, Any]:
    """The results of gcp_route_info."""
    instances = [instance_path("instances", each, client.project) for each in params["instances"]]
    _set_instance_projects(params, client, *instances)
    asked = Question(
        params["name"],
        params["destination"],
        network(params, client),
        instances,
        params["preflight"],
        params["vrrp"],
    )
    seen, holder, problems = inspect(client, asked)
    return {
        "exists": seen is not None and seen.original is not None,
        "route": plain(seen.original if seen else None),
        "effective": plain(seen.effective if seen else None),
        "holder": holder,
        "leftovers": [each["name"] for each in seen.leftovers] if seen else [],
        "notes": seen.warnings if seen else [],
        "problems": list(problems),
    }


def _set_instance_projects(params: Mapping[str, Any], client: Compute, *paths: str | None) -> None:
    """Tells the client where to look for an address: as given, and in the projects of instances that are given."""
    named = filter(None, (project_of(normalise(path)) for path in paths))
    client.instance_projects = [*params["instance_projects"], *named]
    check_projects("instance_projects", client.instance_projects)


def network(params: Mapping[str, Any], client: Compute) -> str | None:
    """The path of the network that is given. It has to be the project's own."""
    if not params["network"]:
        return None
    path = resource_path("network", params["network"], "global/networks", client.project)
    host = project_of(path)
    if host != client.project:
        raise OptionError(
            f"project: {client.project} is not the project of the network {path}, and the API takes a route only"
            f" there; set project to {host}, and give instances of other projects by their paths"
        )
    return path


def plain(found: dict[str, Any] | None) -> dict[str, Any]:
    if not found:
        return {}
    return {
        "name": found["name"],
        "destination": found["destRange"],
        "network": normalise(found["network"]),
        "next_hop": next_hop_of(found),
        "priority": found.get("priority", DEFAULT_PRIORITY),
        "tags": sorted(found.get("tags", [])),
        "description": found.get("description", ""),
        "created": found.get("creationTimestamp", ""),
        "warnings": [warning.get("code", "") for warning in found.get("warnings", [])],
    }

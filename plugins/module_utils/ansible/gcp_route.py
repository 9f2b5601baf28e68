# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The modules for routes: from options to a goal, and from observations to results."""

from __future__ import annotations

from ..base.errors import Denied
from ..clouds.gce_names import normalise
from ..failover import engine, named_route, route
from ..failover.gcp_preflight import INSTANCE_PERMISSIONS, ROUTE_PERMISSIONS
from .gcp import check_projects, firewall_problems, instance_path, resource_path
from .run import OptionError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from ..clouds.gce import Compute
    from .run import Report


def goal(params: Mapping[str, Any], client: Compute) -> named_route.NamedGoal:
    """What gcp_route_failover shall do. Asks the client nothing."""
    hop = params["next_hop_address"]
    if params["next_hop_instance"]:
        zone = params["next_hop_zone"]
        hop = instance_path("next_hop_instance", params["next_hop_instance"], client.project, zone)
    _set_instance_projects(params, client, hop, params["expected_holder"])
    return named_route.NamedGoal(
        params["name"],
        params["destination"],
        _network(params, client),
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
    """What gcp_route_failover returns besides what all modules return."""
    wanted = report.before.goal
    return {
        "address": wanted and wanted.destination,
        "moved_ms": next((round(event["ms"], 1) for event in report.events if event["event"] == "done"), None),
        "notes": report.procedure.notes,
    }


def info(params: Mapping[str, Any], client: Compute) -> dict[str, Any]:
    """What is there, and what would keep a failover from working."""
    instances = [instance_path("instances", each, client.project) for each in params["instances"]]
    _set_instance_projects(params, client, *instances)
    name, destination, network = params["name"], params["destination"], _network(params, client)
    found = named_route.find(client, named_route.NamedGoal(name, destination, network, present=False))
    if isinstance(found, named_route.NoRoute):
        missing = "network" if destination else "destination"
        problems = found.problems or [
            f"there is no route {name} in {client.project}: make it, or give the option {missing}"
        ]
        return {**_seen(None), "problems": problems if params["preflight"] else []}
    destination, network = found.destination, found.network
    seen = route.Observed(route.RouteGoal(name, destination, network), *client.list_routes(destination))
    result = _seen(seen)
    if result["holder"] and "/" not in result["holder"]:
        instance = client.find_instance_by_address(network, result["holder"])
        result["holder"] = instance and normalise(instance["selfLink"])
    if not params["preflight"]:
        return {**result, "problems": []}
    problems = named_route.name_problems(client, seen)
    for hop in instances or (None,):
        problems += _refusals(client, route.RouteGoal(name, destination, network, hop))
    problems += _permission_problems(client, seen, instances)
    if params["vrrp"] and len(instances) > 1:
        problems += firewall_problems(client, instances, network)
    return {**result, "problems": list(dict.fromkeys(problems))}


def _set_instance_projects(params: Mapping[str, Any], client: Compute, *paths: str | None) -> None:
    """Tells the client where to look for an address: as given, and in the projects of instances that are given."""
    named = [path.split("/")[1] for path in map(normalise, filter(None, paths)) if path.startswith("projects/")]
    client.instance_projects = [*params["instance_projects"], *named]
    check_projects("instance_projects", client.instance_projects)


def _network(params: Mapping[str, Any], client: Compute) -> str | None:
    """The path of the network that is given. It has to be the project's own."""
    if not params["network"]:
        return None
    network = resource_path("network", params["network"], "global/networks", client.project)
    host = network.split("/")[1]
    if host != client.project and not host.isdigit() and not client.project.isdigit():
        raise OptionError(
            f"project: {client.project} is not the project of the network {network}, and the API takes a route only"
            f" there; set project to {host}, and give instances of other projects by their paths"
        )
    return network


def _refusals(client: Compute, goal: route.RouteGoal) -> list[str]:
    """What the procedure itself would refuse."""
    try:
        engine.preview(route, client, goal)
    except engine.Refused as e:
        return e.problems
    except Denied as e:
        return [str(e)]
    return []


def _permission_problems(client: Compute, seen: route.Observed, instances: list[str]) -> list[str]:
    # A route names an instance of another project by its address, which takes no permission to use the instance.
    wanted: dict[str, tuple[str, ...]] = {
        path: INSTANCE_PERMISSIONS if path.split("/")[1] == client.project else INSTANCE_PERMISSIONS[:1]
        for path in instances
    }
    if seen.original:
        wanted[named_route.route_path(client, seen.original["name"])] = ROUTE_PERMISSIONS
    return named_route.missing_permissions(client, wanted)


def _seen(seen: route.Observed | None) -> dict[str, Any]:
    return {
        "exists": seen is not None and seen.original is not None,
        "route": _plain(seen.original if seen else None),
        "effective": _plain(seen.effective if seen else None),
        "holder": seen.holder if seen else None,
        "leftovers": [each["name"] for each in seen.leftovers] if seen else [],
        "notes": seen.warnings if seen else [],
    }


def _plain(found: dict[str, Any] | None) -> dict[str, Any]:
    if not found:
        return {}
    return {
        "name": found["name"],
        "destination": found["destRange"],
        "network": normalise(found["network"]),
        "next_hop": route.next_hop_of(found),
        "priority": found.get("priority", route.DEFAULT_PRIORITY),
        "tags": sorted(found.get("tags", [])),
        "description": found.get("description", ""),
        "created": found.get("creationTimestamp", ""),
        "warnings": [warning.get("code", "") for warning in found.get("warnings", [])],
    }

# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the modules for routes have in common: from options to a goal, and what is there as a result."""

from __future__ import annotations

from ..clouds.gce_names import is_name, normalise
from ..failover import engine, route
from ..failover.errors import Denied, NotFound, Unavailable
from ..failover.gcp_preflight import INSTANCE_PERMISSIONS, ROUTE_PERMISSIONS
from .gcp import check_projects, firewall_problems, instance_path, resource_path
from .run import OptionError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from ..clouds.gce import Compute


class Elsewhere(OptionError):
    """The route of the wanted name is for something else."""


def know_projects(params: Mapping[str, Any], client: Compute, *paths: str | None) -> None:
    """Tells the client where to look for who has an address: as given, and the projects of instances that are given."""
    named = [path.split("/")[1] for path in map(normalise, filter(None, paths)) if path.startswith("projects/")]
    client.instance_projects = [*params["instance_projects"], *named]
    check_projects("instance_projects", client.instance_projects)


def whereabouts(params: Mapping[str, Any], client: Compute) -> tuple[str | None, str | None]:
    """Destination and network of the route: as given, else as the existing one has them, else None."""
    name, destination, network = params["name"], params["destination"], params["network"]
    if network:
        network = resource_path("network", network, "global/networks", client.project)
        host = network.split("/")[1]
        if host != client.project and not host.isdigit() and not client.project.isdigit():
            raise OptionError(
                f"project: {client.project} is not the project of the network {network}, and the API takes a route only"
                f" there; set project to {host}, and give instances of other projects by their paths"
            )
    if destination and network:
        return destination, network
    routes = client.all_routes()
    problem = elsewhere(next((found for found in routes if found["name"] == name), None), destination, network)
    if problem:
        raise Elsewhere(problem)
    candidates = [
        found
        for found in routes
        # A run that was killed may have left nothing but a temporary route.
        if (found["name"] == name or route.is_temporary(found, name))
        and destination in (None, found["destRange"])
        and network in (None, normalise(found["network"]))
    ]
    if candidates:
        best = min(candidates, key=lambda found: found["name"] != name)
        return best["destRange"], normalise(best["network"])
    return destination, network


def elsewhere(found: dict[str, Any] | None, destination: str | None, network: str | None) -> str:
    """Why the route of the wanted name is not the one that is meant, if it is not."""
    if not found:
        return ""
    is_for, on = found["destRange"], normalise(found["network"])
    if destination in (None, is_for) and network in (None, on):
        return ""
    return (
        f"name: the route {found['name']} is for {is_for} on {on}, and not for {destination or is_for} on"
        f" {network or on}: choose another name, or correct the options destination and network"
    )


def goal(params: Mapping[str, Any], client: Compute) -> route.RouteGoal | None:
    """What is wanted; None if it is so already, as there is no such route and none is wanted."""
    hop = params["next_hop_address"]
    if params["next_hop_instance"]:
        zone = params["next_hop_zone"]
        hop = instance_path("next_hop_instance", params["next_hop_instance"], client.project, zone)
    know_projects(params, client, hop, params["expected_holder"])
    destination, network = whereabouts(params, client)
    present = params["state"] == "present"
    if not destination or not network:
        if not present:
            return None
        missing = "network" if destination else "destination"
        raise OptionError(f"{missing}: give it, as there is no route {params['name']} in {client.project} that has one")
    return route.RouteGoal(
        params["name"],
        destination,
        network,
        hop,
        priority=params["priority"],
        tags=params["tags"],
        description=params["description"],
        present=present,
        expected_holder=params["expected_holder"],
        exclusive=params["exclusive"],
        lease=params["lease"],
        settle=params["settle"],
    )


def look(params: Mapping[str, Any], client: Compute) -> dict[str, Any]:
    """What is there, and what would keep a failover from working."""
    instances = [instance_path("instances", each, client.project) for each in params["instances"]]
    know_projects(params, client, *instances)
    try:
        destination, network = whereabouts(params, client)
    except Elsewhere as e:
        return {**_seen(None), "problems": [str(e)] if params["preflight"] else []}
    if not destination or not network:
        missing = "network" if destination else "destination"
        problems = [f"there is no route {params['name']} in {client.project}: make it, or give the option {missing}"]
        return {**_seen(None), "problems": problems if params["preflight"] else []}
    seen = route.Observed(route.RouteGoal(params["name"], destination, network), *client.list_routes(destination))
    result = _seen(seen)
    if result["holder"] and "/" not in result["holder"]:
        instance = client.find_instance_by_address(network, result["holder"])
        result["holder"] = instance and normalise(instance["selfLink"])
    if not params["preflight"]:
        return {**result, "problems": []}
    problems = _name_problems(client, seen)
    for hop in instances or (None,):
        problems += _refusals(client, route.RouteGoal(params["name"], destination, network, hop))
    problems += _permission_problems(client, seen, instances)
    if params["vrrp"] and len(instances) > 1:
        problems += firewall_problems(client, instances, network)
    return {**result, "problems": list(dict.fromkeys(problems))}


def _name_problems(client: Compute, seen: route.Observed) -> list[str]:
    """A route of the wanted name that is for something else: it is not in the list for the wanted destination."""
    goal = seen.goal
    if seen.original or not is_name(goal.name):
        return []
    problem = elsewhere(client.named_route(goal.name), goal.destination, goal.network)
    return [problem] if problem else []


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
        wanted[_route_path(client, seen.original["name"])] = ROUTE_PERMISSIONS
    return missing_permissions(client, wanted)


def missing_permissions(
    client: Compute, wanted: Mapping[str, tuple[str, ...]], unasked: list[str] | None = None
) -> list[str]:
    """What the caller may not do with resources, and whether it may learn what becomes of its changes.

    unasked: gets why something could not be asked, and then the rest is not asked; what the caller may not ask is no
    matter. Without it, the former is raised, and the latter is told.
    """
    missing = []
    try:
        for path, permissions in wanted.items():
            try:
                granted = client.test_permissions(path, list(permissions))
            except NotFound:
                continue  # Whoever needs it tells that it is not there.
            except Denied as e:
                missing += [str(e)] if unasked is None else []
                continue
            missing += [_lacking(permission, path) for permission in permissions if permission not in granted]
        if not client.may_follow_operations():
            missing.append(_lacking("compute.globalOperations.get", f"projects/{client.project}"))
    except Unavailable as e:
        if unasked is None:
            raise
        unasked.append(route.unchecked(e))
    return missing


def _lacking(permission: str, path: str) -> str:
    return f"the caller does not have the permission {permission} on {path}: give it a role that has it"


def _route_path(client: Compute, name: str) -> str:
    return f"projects/{client.project}/global/routes/{name}"


class Careful:
    """The procedure for routes, which asks before the first change whether the caller may do all that follows.

    Who may insert a route and not delete one would move the traffic, and leave it at that. The question is part of the
    look, not of a change: when it fails, nothing was changed. When there is no answer, the move goes on without.
    """

    plan = staticmethod(route.plan)
    wanted_diff = staticmethod(route.wanted_diff)

    def __init__(self) -> None:
        self.notes: list[str] = []
        self._named = self._asked = False

    def observe(self, client: Compute, goal: route.RouteGoal, memory: engine.Memory) -> route.Observed:
        observed = route.observe(client, goal, memory)
        if self._asked or observed.problems:
            return observed
        if not self._named:
            observed.problems = _name_problems(client, observed)
            self._named = True
        if not observed.problems and any(isinstance(item, engine.Step) for item in route.plan(observed, goal, memory)):
            self._ask(client, goal.name)
            self._asked = True
        return observed

    def _ask(self, client: Compute, name: str) -> None:
        missing = missing_permissions(client, {_route_path(client, name): ROUTE_PERMISSIONS}, self.notes)
        if missing:
            raise Denied("; ".join(missing), resource=name, status=403)


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

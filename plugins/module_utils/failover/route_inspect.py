# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Looks at a route for a person: its state, and the obstacles to a failover. Changes nothing."""

from __future__ import annotations

from typing import NamedTuple

from ..base.errors import Denied
from ..clouds.gce_names import normalise
from . import engine, named_route, route
from .facts import ask
from .gcp_preflight import INSTANCE_PERMISSIONS, ROUTE_PERMISSIONS, firewall_problems
from .route_goal import RouteGoal
from .route_look import look

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, Protocol

    from .gcp_preflight import FirewallApi
    from .named_route import NamedRouteApi
    from .route_look import Observed

    class InspectApi(NamedRouteApi, FirewallApi, Protocol):
        """The verbs that a client needs."""


class Question(NamedTuple):
    """Which route is looked at, and how closely.

    | field       | type        | meaning                                                                |
    |-------------|-------------|------------------------------------------------------------------------|
    | name        | str         | the route's name                                                       |
    | destination | str or None | None: that of the route                                                |
    | network     | str or None | its path; None: that of the route                                      |
    | instances   | list of str | the paths of those that the route may lead to                          |
    | preflight   | bool        | whether to look for what would keep a failover from working            |
    | vrrp        | bool        | whether that includes a firewall between the instances                 |
    """

    name: str
    destination: str | None
    network: str | None
    instances: Sequence[str]
    preflight: bool
    vrrp: bool


class Findings(NamedTuple):
    """seen: the routes; None if it is not known where to look. holder: the path of the instance that has the traffic,
    or None.
    """

    seen: Observed | None
    holder: str | None
    problems: Sequence[str]


def inspect(client: InspectApi, asked: Question) -> Findings:
    wanted = named_route.NamedGoal(asked.name, asked.destination, asked.network, present=False)
    known, found = ask(client, named_route.Known(), lambda known: named_route.resolve(known, wanted, client.project))
    if isinstance(found, named_route.NoRoute):
        missing = "network" if asked.destination else "destination"
        problems = found.problems or [
            f"there is no route {asked.name} in {client.project}: make it, or give the option {missing}"
        ]
        return Findings(None, None, problems if asked.preflight else ())
    goal = RouteGoal(asked.name, found.destination, found.network)
    seen = look(client, goal, {})
    holder = seen.holder
    if holder and "/" not in holder:
        instance = client.find_instance_by_address(goal.network, holder)
        holder = normalise(instance["selfLink"]) if instance else None
    if not asked.preflight:
        return Findings(seen, holder, ())
    _known, problems = ask(client, known, lambda known: named_route.name_problems(known, seen))
    for hop in asked.instances or (None,):
        problems += _refusals(client, RouteGoal(asked.name, goal.destination, goal.network, hop))
    problems += _permission_problems(client, seen, asked.instances)
    if asked.vrrp and len(asked.instances) > 1:
        problems += firewall_problems(client, asked.instances, goal.network)
    return Findings(seen, holder, list(dict.fromkeys(problems)))


def _refusals(client: Any, goal: RouteGoal) -> list[str]:
    """The problems that the procedure itself would refuse."""
    try:
        engine.preview(route, client, goal)
    except engine.Refused as e:
        return e.problems
    except Denied as e:
        return [str(e)]
    return []


def _permission_problems(client: InspectApi, seen: Observed, instances: Sequence[str]) -> list[str]:
    # A route names an instance of another project by its address, which takes no permission to use the instance.
    wanted: dict[str, tuple[str, ...]] = {
        path: INSTANCE_PERMISSIONS if path.split("/")[1] == client.project else INSTANCE_PERMISSIONS[:1]
        for path in instances
    }
    if seen.original:
        wanted[named_route.route_path(client.project, seen.original["name"])] = ROUTE_PERMISSIONS
    return named_route.ask_permissions(client, wanted, strict=True)[0]

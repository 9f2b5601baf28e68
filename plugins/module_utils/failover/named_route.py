# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The procedure for a route that is known by its name, as a person asks for it.

It adds to route.py three things that an operator needs and the agent does not. An omitted destination or network is
read from the existing route. The name must not belong to another route. The caller's permissions are checked before
the first change.
"""

from __future__ import annotations

from ..base.errors import Denied, NotFound, Unavailable
from ..clouds.gce_names import is_name, normalise
from . import engine, route
from .checked import CheckedProcedure
from .facts import Facts, ask
from .gcp_preflight import ROUTE_PERMISSIONS
from .route_goal import RouteGoal
from .route_look import RouteApi
from .route_table import is_temporary

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from typing import Any, Protocol

    from .route_look import Observed
    from .route_table import Route

    class NamedRouteApi(RouteApi, Protocol):
        """Further verbs that this procedure needs of a client."""

        project: str

        def all_routes(self) -> list[Route]: ...

        def named_route(self, name: str) -> Route | None: ...

        def test_permissions(self, path: str, permissions: list[str]) -> set[str]: ...

        def may_follow_operations(self) -> bool: ...


class Known(Facts):
    """Further facts that this procedure needs. Each raises Unread until somebody has read it."""

    def all_routes(self) -> list[Route]:
        return self.answer("all_routes")

    def named_route(self, name: str) -> Route | None:
        return self.answer("named_route", name)

    def granted(self, path: str, permissions: Iterable[str]) -> set[str]:
        """Those of the permissions on a resource which the caller has."""
        return self.answer("test_permissions", path, tuple(permissions))

    def may_follow_operations(self) -> bool:
        return self.answer("may_follow_operations")


class NamedGoal:
    """A route by its name. destination, network: None to take those of the existing route.

    more: the other arguments of RouteGoal.
    """

    __slots__ = ("destination", "more", "name", "network", "present")

    def __init__(
        self, name: str, destination: str | None, network: str | None, present: bool = True, **more: Any
    ) -> None:
        self.name = name
        self.destination = destination
        self.network = network
        self.present = present
        self.more = more


class NoRoute:
    """There is no route of this name, and where it would lead is not known. Nothing can be done, or has to be."""

    goal = None

    def __init__(self, name: str, problems: Iterable[str] = ()) -> None:
        self.name = name
        self.problems = list(problems)

    def state(self) -> str:
        return f"there is no route {self.name}"

    def to_diff(self) -> dict[str, Any]:
        return {"holder": None, "routes": []}


class Procedure(CheckedProcedure):
    """For one run."""

    def observe(self, client: NamedRouteApi, goal: NamedGoal, memory: engine.Memory) -> route.Checked | NoRoute:
        facts = memory.facts
        if "goal" not in facts:
            _known, found = ask(client, Known(), lambda known: resolve(known, goal, client.project))
            if isinstance(found, NoRoute):
                if found.problems:
                    raise engine.Refused(found.problems)
                return found
            facts["goal"] = found
        checked = route.observe(client, facts["goal"], memory)
        if checked.problems or "asked" in facts:
            return checked
        if "named" not in facts:
            _known, checked.problems = ask(client, Known(), lambda known: name_problems(known, checked.observed))
            facts["named"] = True
        if not checked.problems and any(isinstance(item, engine.Step) for item in self.plan(checked, goal, memory)):
            wanted = {route_path(client.project, goal.name): ROUTE_PERMISSIONS}
            self.check_permissions(memory, goal.name, lambda: ask_permissions(client, wanted))
        return checked

    def plan(
        self, checked: route.Checked | NoRoute, goal: NamedGoal, memory: engine.Memory
    ) -> Iterator[engine.Step | engine.Pause]:
        if isinstance(checked, NoRoute):
            return iter(())
        return route.plan(checked, checked.goal, memory)

    @staticmethod
    def wanted_diff(checked: route.Checked | NoRoute) -> dict[str, Any]:
        return checked.to_diff() if isinstance(checked, NoRoute) else route.wanted_diff(checked)


def resolve(known: Known, goal: NamedGoal, project: str) -> RouteGoal | NoRoute:
    """The goal with its destination and its network; or why there is none."""
    destination, network = goal.destination, goal.network
    if not destination or not network:
        routes = known.all_routes()
        problem = mismatch(next((each for each in routes if each["name"] == goal.name), None), destination, network)
        if problem:
            return NoRoute(goal.name, [problem])
        candidates = [
            each
            for each in routes
            # A killed run may have left nothing but a temporary route.
            if (each["name"] == goal.name or is_temporary(each, goal.name))
            and destination in (None, each["destRange"])
            and network in (None, normalise(each["network"]))
        ]
        if candidates:
            best = min(candidates, key=lambda each: each["name"] != goal.name)
            destination, network = best["destRange"], normalise(best["network"])
    if destination and network:
        return RouteGoal(goal.name, destination, network, present=goal.present, **goal.more)
    missing = "network" if destination else "destination"
    problem = f"{missing}: give it, as there is no route {goal.name} in {project} that has one"
    return NoRoute(goal.name, [problem] if goal.present else [])


def name_problems(known: Known, observed: Observed) -> list[str]:
    """A route of the wanted name that is for something else: it is not in the list for the wanted destination."""
    goal = observed.goal
    if observed.original or not is_name(goal.name):
        return []
    problem = mismatch(known.named_route(goal.name), goal.destination, goal.network)
    return [problem] if problem else []


def mismatch(found: dict[str, Any] | None, destination: str | None, network: str | None) -> str:
    """Why the route of the wanted name is not the one that is meant; empty if it is."""
    if not found:
        return ""
    is_for, on = found["destRange"], normalise(found["network"])
    if destination in (None, is_for) and network in (None, on):
        return ""
    return (
        f"name: the route {found['name']} is for {is_for} on {on}, and not for {destination or is_for} on"
        f" {network or on}: choose another name, or correct the options destination and network"
    )


def ask_permissions(
    client: NamedRouteApi, wanted: Mapping[str, tuple[str, ...]], strict: bool = False
) -> tuple[list[str], Unavailable | None]:
    """What missing_permissions() tells of a client's caller."""
    return ask(client, Known(), lambda known: missing_permissions(known, client.project, wanted, strict))[1]


def missing_permissions(
    known: Known, project: str, wanted: Mapping[str, tuple[str, ...]], strict: bool = False
) -> tuple[list[str], Unavailable | None]:
    """The caller's missing permissions on resources and on the outcome of its changes; and the reasons why the rest
    was not answered.

    strict: a refusal to answer is a problem, and no answer is raised.
    """
    missing = []
    try:
        for path, permissions in wanted.items():
            try:
                granted = known.granted(path, permissions)
            except NotFound:
                continue  # the procedure itself says that it is not there
            except Denied as error:
                missing += [str(error)] if strict else []
                continue
            missing += [_lacking(permission, path) for permission in permissions if permission not in granted]
        if not known.may_follow_operations():
            missing.append(_lacking("compute.globalOperations.get", f"projects/{project}"))
    except Unavailable as error:
        if strict:
            raise
        return missing, error
    return missing, None


def _lacking(permission: str, path: str) -> str:
    return f"the caller does not have the permission {permission} on {path}: give it a role that has it"


def route_path(project: str, name: str) -> str:
    return f"projects/{project}/global/routes/{name}"

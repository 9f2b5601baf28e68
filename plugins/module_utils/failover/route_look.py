# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Looks at the routes to one destination: facts, and their consequences for the wanted route."""

from __future__ import annotations

from ..base.errors import NotFound
from ..clouds.gce_names import normalise
from .facts import Facts
from .route_table import (
    birth,
    effective,
    hop_of,
    is_live,
    is_temporary,
    next_hop_of,
    overlaps,
    precedence,
    priority_of,
    remembered,
    shown,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any, Protocol

    from .facts import Question
    from .route_goal import RouteGoal
    from .route_table import Route
else:
    Protocol = object


class RouteApi(Protocol):
    """The verbs that this procedure needs of a client. Errors are those of base/errors.py."""

    def list_routes(self, destination: str) -> tuple[list[Route], float]:
        """All routes of the project with exactly this destination, and the server's clock in seconds since 1970."""

    def insert_route(self, body: Route, request_id: str) -> list[dict[str, Any]]:
        """Returns when the operation is done: its warnings."""

    def delete_route(self, name: str, request_id: str) -> None:
        """By name, or by the route's id. Returns when the operation is done."""

    def get_instance(self, path: str) -> dict[str, Any]: ...

    def get_network(self, path: str) -> dict[str, Any]: ...

    def list_subnetworks(self, network: str) -> list[dict[str, Any]]: ...

    def find_instance_by_address(self, network: str, address: str) -> dict[str, Any] | None:
        """The instance which has this as the primary address of an interface on this network."""


class Wanted:
    """The route as it should be. Values that the goal leaves open are as in the original, or as a temporary remembers
    them.

    hop: the field that names the next hop, and its value; two empty texts if nothing tells.
    """

    __slots__ = ("description", "hop", "priority", "tags")

    def __init__(self, goal: RouteGoal, original: Route | None, leftovers: Iterable[Route], owners: Mapping[str, str]):
        model: Route = original or {}
        newest = max(leftovers, key=birth, default=None)
        if not model and newest:
            model = remembered(newest, goal.name)
        self.hop = hop_of(model)
        if goal.next_hop:
            self.hop = ("nextHopInstance" if "/" in goal.next_hop else "nextHopIp", goal.next_hop)
            if goal.across:
                self.hop = next((("nextHopIp", ip) for ip, path in owners.items() if path == goal.next_hop), self.hop)
        self.priority = priority_of(model) if goal.priority is None else goal.priority
        self.tags: Sequence[str] = sorted(model.get("tags") or ()) if goal.tags is None else goal.tags
        self.description = str(model.get("description") or "") if goal.description is None else goal.description

    def body(self, goal: RouteGoal) -> Route:
        """For the API."""
        body: Route = {
            "name": goal.name,
            "network": goal.network,
            "destRange": goal.destination,
            "priority": self.priority,
        }
        if self.hop[0]:
            body[self.hop[0]] = self.hop[1]
        if self.tags:
            body["tags"] = self.tags
        if self.description:
            body["description"] = self.description
        return body


class Observed(Facts):
    """The routes to the destination that concern this route and its network.

    | field     | type           | meaning                                                                            |
    |-----------|----------------|------------------------------------------------------------------------------------|
    | goal      | RouteGoal      | the route that it was looked for                                                   |
    | at        | float          | the server's clock in seconds since 1970                                           |
    | owners    | dict           | instances that have addresses which may be next hops, by the address               |
    | all       | tuple of dicts | all routes to the destination                                                      |
    | routes    | tuple of dicts | those on the wanted network; the first one wins                                    |
    | original  | dict or None   | the route of the wanted name                                                       |
    | leftovers | tuple of dicts | temporaries for it, of this run or of any other                                    |
    | wanted    | Wanted         | the route as it should be                                                          |
    | intruders | tuple of dicts | other routes that would keep the traffic from it                                   |
    | effective | dict or None   | the live route that wins                                                           |
    | asked_hop | bool           | the next hop is of another project, and its address had to be asked for            |
    """

    goal: RouteGoal
    at: float
    owners: Mapping[str, str]
    all: Sequence[Route]
    routes: Sequence[Route]
    original: Route | None
    leftovers: Sequence[Route]
    wanted: Wanted
    intruders: Sequence[Route]
    effective: Route | None
    asked_hop: bool

    def __init__(
        self,
        goal: RouteGoal,
        routes: Iterable[Route] = (),
        at: float = 0.0,
        owners: Mapping[str, str] | None = None,
        answers: Mapping[Question, Any] | None = None,
        asked_hop: bool = False,
    ) -> None:
        every = tuple(routes)
        ours = tuple(sorted((r for r in every if normalise(r.get("network", "")) == goal.network), key=precedence))
        original = next((r for r in ours if r["name"] == goal.name), None)
        leftovers = tuple(r for r in ours if r["name"] != goal.name and is_temporary(r, goal.name))
        wanted = Wanted(goal, original, leftovers, owners or {})
        others = (r for r in ours if r is not original and r not in leftovers)
        super().__init__(
            goal=goal,
            at=at,
            owners=owners or {},
            all=every,
            routes=ours,
            original=original,
            leftovers=leftovers,
            wanted=wanted,
            intruders=tuple(r for r in others if overlaps(r, wanted.tags) and priority_of(r) <= wanted.priority),
            effective=effective(ours, wanted.tags),
            asked_hop=asked_hop,
            answers=answers or {},
        )

    def learn(self, question: Question, answer: Any) -> Observed:
        other = super().learn(question, answer)
        if question[0] == "find_instance_by_address" and isinstance(answer, dict):
            other.__dict__["owners"] = {**self.owners, question[2]: normalise(answer["selfLink"])}
        return other

    # --- facts that few goals need: each raises Unread until somebody has read it, and what its request raised

    def instance(self, path: str) -> dict[str, Any]:
        return self.answer("get_instance", path)

    def instance_at(self, address: str) -> dict[str, Any] | None:
        """The instance which has this as the primary address of an interface on the network."""
        return self.answer("find_instance_by_address", self.goal.network, address)

    def network(self) -> dict[str, Any]:
        return self.answer("get_network", self.goal.network)

    def subnetworks(self) -> list[dict[str, Any]]:
        return self.answer("list_subnetworks", self.goal.network)

    # --- what follows

    @property
    def holder(self) -> str | None:
        """Where the traffic goes: the path of an instance if it is known, else an address; None if nowhere."""
        hop = next_hop_of(self.effective)
        return self.owners.get(hop, hop) if hop else None

    def age(self, route: Route) -> float:
        """In seconds."""
        return self.at - birth(route)[0]

    @property
    def warnings(self) -> list[str]:
        """The problems of the present routes, a sentence each."""
        texts = []
        for route in self.routes:
            for warning in route.get("warnings") or ():
                texts.append(f"{route['name']}: {warning.get('code')}: {warning.get('message', '')}".rstrip(": "))
        winner = self.effective
        if not winner:
            return texts
        for route in self.routes:
            shares = is_live(route) and overlaps(route, self.wanted.tags) and priority_of(route) == priority_of(winner)
            if shares and next_hop_of(route) != next_hop_of(winner):
                texts.append(f"{route['name']} has the priority of {winner['name']}: they share the traffic")
        return texts

    def state(self) -> str:
        """The current state, in a sentence."""
        if not self.routes:
            return f"there is no route to {self.goal.destination} on {self.goal.network}"
        routes = ", ".join(
            f"{r['name']} (priority {priority_of(r)}, to {next_hop_of(r)}{'' if is_live(r) else ', which is dead'})"
            for r in self.routes
        )
        return f"{self.goal.destination} goes to {self.holder or 'nowhere'}; routes: {routes}"

    def to_diff(self) -> dict[str, Any]:
        """The current state, for a person to compare with the goal."""
        return {
            "holder": self.holder,
            "routes": shown(self.routes),
        }


def look(client: RouteApi, goal: RouteGoal, owners: Mapping[str, str]) -> Observed:
    """Reads the facts that every goal needs. owners: those that are known already."""
    owners = dict(owners)
    answers: dict[Question, Any] = {}
    if goal.next_hop and goal.address:
        owners[goal.address] = goal.next_hop
    if goal.present and goal.across and goal.next_hop and goal.next_hop not in owners.values():
        # A route can lead to an instance of another project by its address only.
        try:
            instance = client.get_instance(goal.next_hop)
            owners.update((address, goal.next_hop) for address in addresses(instance, goal.network)[:1])
            answers["get_instance", goal.next_hop] = instance
        except NotFound as error:
            answers["get_instance", goal.next_hop] = error
    routes, at = client.list_routes(goal.destination)
    return Observed(goal, routes, at, owners, answers, asked_hop=bool(answers))


def addresses(instance: dict[str, Any], network: str) -> list[str]:
    """The primary addresses of its interfaces on a network."""
    return [
        interface.get("networkIP", "")
        for interface in instance.get("networkInterfaces") or ()
        if normalise(interface.get("network", "")) == network
    ]

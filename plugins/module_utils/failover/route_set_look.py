# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Looks at the routes to one destination as those of a set: facts, and whose each route is."""

from __future__ import annotations

from functools import cached_property

from ..base.errors import NotFound
from ..clouds.gce_names import normalise
from .facts import Facts
from .route_look import addresses
from .route_set_goal import DRAINED, MARK, PRESENT, RESERVE, names
from .route_table import DEFAULT_PRIORITY, birth, hop_of, is_live, next_hop_of, overlaps, precedence, priority_of, shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any

    from .facts import Question
    from .route_look import RouteApi
    from .route_set_goal import Member, SetGoal
    from .route_table import Route


class Place:
    """One of the routes that a member shall have: the one that serves, or its reserve."""

    __slots__ = ("member", "reserve")

    def __init__(self, member: Member, reserve: bool) -> None:
        self.member = member
        self.reserve = reserve


class Observed(Facts):
    """The routes to the destination on the network of a set. What follows from them may raise Unread.

    | field   | type           | meaning                                         |
    |---------|----------------|-------------------------------------------------|
    | goal    | SetGoal        | what they were looked at for                    |
    | at      | float          | the server's clock in seconds since 1970        |
    | all     | tuple of dicts | all routes to the destination                   |
    | routes  | tuple of dicts | those on the wanted network, the best one first |
    """

    goal: SetGoal
    at: float
    all: Sequence[Route]
    routes: Sequence[Route]

    def __init__(
        self, goal: SetGoal, routes: Iterable[Route], at: float, answers: Mapping[Question, Any] | None = None
    ) -> None:
        every = tuple(routes)
        ours = sorted((r for r in every if normalise(r.get("network", "")) == goal.network), key=precedence)
        super().__init__(goal=goal, at=at, all=every, routes=tuple(ours), answers=answers or {})

    def with_answers(self, answers: Mapping[Question, Any]) -> Observed:
        return Observed(self.goal, self.all, self.at, answers)

    # --- facts that few goals need: each raises Unread until somebody has read it, and what its request raised

    def instance(self, path: str) -> dict[str, Any]:
        return self.answer("get_instance", path)

    def network(self) -> dict[str, Any]:
        return self.answer("get_network", self.goal.network)

    def subnetworks(self) -> list[dict[str, Any]]:
        return self.answer("list_subnetworks", self.goal.network)

    def address(self, member: Member) -> str:
        """Its primary address on the network; "" without one."""
        if member.address:
            return member.address
        try:
            return next(iter(addresses(self.instance(member.instance), self.goal.network)), "")
        except NotFound:
            return ""

    # --- whose the routes are

    def _leads_to(self, route: Route, member: Member) -> bool:
        hop, where = hop_of(route)
        if hop == "nextHopInstance":
            return where == member.instance
        return hop == "nextHopIp" and where == self.address(member)

    @cached_property
    def _targets(self) -> dict[str, Member | None]:
        """By a route's id, the member that it leads to."""
        members = self.goal.members
        return {r["id"]: next((m for m in members if self._leads_to(r, m)), None) for r in self.routes}

    def target(self, route: Route) -> Member | None:
        """The member that a route leads to."""
        return self._targets[route["id"]]

    def owner(self, route: Route) -> Member | None:
        """The member that a route leads to, or was made for."""
        said = str(route.get("description") or "")
        return self.target(route) or next((m for m in self.goal.members if said == self.goal.mark(m)), None)

    @property
    def foreign(self) -> list[Route]:
        """Those of nobody in the set."""
        return [r for r in self.routes if self.owner(r) is None]

    def of(self, member: Member, reserve: bool) -> list[Route]:
        """A member's routes of one kind that lead to it, the newest one first."""
        found = [r for r in self.routes if self.target(r) is member and is_reserve(r) == reserve]
        return sorted(found, key=birth, reverse=True)

    # --- what is wanted

    @cached_property
    def places(self) -> list[Place]:
        """The routes that there should be, the most urgent one first."""
        members = self.goal.members
        serving = sorted((m for m in members if m.state == PRESENT), key=self.priority)
        return [
            *(Place(each, False) for each in serving),
            *(Place(each, True) for each in members if each.state in (PRESENT, DRAINED)),
        ]

    def priority(self, member: Member) -> int:
        """That of its route that serves."""
        current = next((priority_of(r) for r in self.of(member, False)), DEFAULT_PRIORITY)
        return next((p for p in (member.priority, self.goal.priority) if p is not None), current)

    @cached_property
    def tags(self) -> Sequence[str]:
        """Of all routes of the set."""
        if self.goal.tags is not None:
            return self.goal.tags
        mine = [r for r in self.routes if self.owner(r)]
        newest = max(mine, key=birth, default=None)
        return sorted((newest or {}).get("tags") or ())

    def keeper(self, place: Place) -> Route | None:
        """The route that is as it should be; of several, the newest. Whoever made it, and whatever it is called."""
        member = place.member
        priority, tags = RESERVE if place.reserve else self.priority(member), self.tags
        return next(
            (
                r
                for r in self.of(member, place.reserve)
                if priority_of(r) == priority and sorted(r.get("tags") or ()) == tags
            ),
            None,
        )

    def body(self, place: Place, taken: Iterable[str] = ()) -> Route:
        """A new route, for the API. taken: names that routes to elsewhere have."""
        goal, member = self.goal, place.member
        used = {r["name"] for r in self.all}.union(taken)
        across = goal.across(member)
        body: Route = {
            "name": next(name for name in names(goal.name, member.name, place.reserve) if name not in used),
            "network": goal.network,
            "destRange": goal.destination,
            "priority": RESERVE if place.reserve else self.priority(member),
            "nextHopIp" if across else "nextHopInstance": self.address(member) if across else member.instance,
            "description": goal.mark(member),
        }
        if self.tags:
            body["tags"] = list(self.tags)
        return body

    @cached_property
    def kept(self) -> list[Route]:
        return [r for r in map(self.keeper, self.places) if r]

    @cached_property
    def outdated(self) -> list[Route]:
        """The routes that are to go: of members, and with `exclusive` of others."""
        goal = self.goal
        if not goal.present:
            ours = f"{MARK}{goal.name} "
            return [r for r in self.routes if self.owner(r) or str(r.get("description") or "").startswith(ours)]
        kept = {r["id"] for r in self.kept}
        return [
            r
            for r in self.routes
            if r["id"] not in kept and (self.owner(r) or (goal.exclusive and overlaps(r, self.tags)))
        ]

    # --- what follows

    @property
    def serving(self) -> list[str]:
        """Where the traffic goes: the paths of members, and other next hops as the routes name them."""
        live = [r for r in self.routes if is_live(r) and overlaps(r, self.tags)]
        best = [r for r in live if priority_of(r) == priority_of(live[0])]
        return sorted({self.where(r) for r in best})

    def where(self, route: Route) -> str:
        """Where a route leads to: the path of a member, or else as it names its next hop."""
        member = self.target(route)
        return member.instance if member else next_hop_of(route) or ""

    def age(self, route: Route) -> float:
        """In seconds."""
        return self.at - birth(route)[0]

    def state(self) -> str:
        """The current state, in a sentence."""
        if not self.routes:
            return f"there is no route to {self.goal.destination} on {self.goal.network}"
        routes = ", ".join(
            f"{r['name']} (priority {priority_of(r)}, to {self.where(r)}{'' if is_live(r) else ', which is dead'})"
            for r in self.routes
        )
        return f"{self.goal.destination} goes to {' and '.join(self.serving) or 'nowhere'}; routes: {routes}"

    def to_diff(self) -> dict[str, Any]:
        """The current state, for a person to compare with the goal."""
        return {
            "serving": self.serving,
            "routes": shown(self.routes),
        }


def is_reserve(route: Route) -> bool:
    return priority_of(route) >= RESERVE


def newest_reserve(routes: Iterable[Route]) -> Route | None:
    """Of some routes the newest reserve that is live: the one that nobody may delete."""
    return max((r for r in routes if is_reserve(r) and is_live(r)), key=birth, default=None)


def look(client: RouteApi, goal: SetGoal, answers: Mapping[Question, Any]) -> Observed:
    """answers: facts that are known already, and hold."""
    routes, at = client.list_routes(goal.destination)
    return Observed(goal, routes, at, answers)

# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The requests that change routes, a run's memory of its own, and a forecast of their effects."""

from __future__ import annotations

from ..base.errors import AlreadyExists, Invalid, NotFound, Stale
from ..clouds.gce_names import NAME_CHARACTERS, NAME_LENGTH
from . import route_decide
from .plan import Fact, Pause, Step
from .route_decide import History, Insertion
from .route_look import Observed
from .route_problems import TAKEN
from .route_table import BEST, birth, is_temporary, mark, overlaps, priority_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable
    from typing import Any

    from .plan import Memory
    from .route_action import Action
    from .route_goal import RouteGoal
    from .route_look import RouteApi
    from .route_table import Route

INSERT_TEMPORARY = "insert temporary route"
INSERT = "insert route"
DELETE = "delete route"
DELETE_TEMPORARY = "delete temporary route"
DELETE_OTHER = "delete other route"

_BY_NAME = "by name"  # the note of a deletion for which an id would not do


def remember(memory: Memory, goal: RouteGoal) -> History:
    """Reads a run's memory."""
    done: list[tuple[tuple[str, str, Any], Fact]] = list(memory.done.items())  # type: ignore[arg-type]
    return History(
        memory.now,
        _prefix(memory.nonce, goal.name),
        [
            Insertion(resource, fact.at, fact.result, fact.note if name == INSERT else None)
            for (name, resource, _key), fact in done
            if name in (INSERT, INSERT_TEMPORARY)
        ],
        names=[resource for (_name, resource, _key), _fact in done],
        insert_conflicts=[error for _at, error in memory.conflicts.get((INSERT, goal.name, None), ())],
        checked=bool(memory.facts.get("checked")),
    )


def _prefix(nonce: str, name: str) -> str:
    nonce = "".join(c for c in nonce.lower() if c in NAME_CHARACTERS)
    tail = f"-tmp-{nonce[:16]}-"
    return name[: NAME_LENGTH - len(tail) - 2] + tail


def to_item(action: Action, o: Observed, history: History, memory: Memory) -> Step | Pause:
    """The steps that carry out an action."""
    if action.kind == route_decide.INSERT:
        return insertion(INSERT, o.wanted.body(o.goal), frozenset(r["id"] for r in o.leftovers))
    if action.kind == route_decide.INSERT_TEMPORARY:
        return insertion(INSERT_TEMPORARY, _temporary(o, history))
    if action.route is not None:
        return _deletion(action.route, o.goal, memory)
    return Pause(action.seconds, action.reason)


def _temporary(o: Observed, history: History) -> Route:
    """The body of a temporary which is better than all routes that concern the wanted one."""
    wanted = o.wanted
    concerned = [priority_of(r) for r in o.routes if overlaps(r, wanted.tags)]
    # With 0 already taken there is none better: then they share the traffic until the other one is deleted.
    priority = max(min(concerned, default=wanted.priority) - 1, BEST)
    # Never a name that was used before: the next after all that were done, or are there whoever made them.
    used = history.names | {r["name"] for r in o.all}
    number = 1
    while f"{history.prefix}{number}" in used:
        number += 1
    return {
        **wanted.body(o.goal),
        "name": f"{history.prefix}{number}",
        "priority": priority,
        "description": mark(o.goal.name, wanted.priority, wanted.description),
    }


def insertion(name: str, body: Route, note: Any = None) -> Step:
    def do(client: RouteApi, request_id: str) -> Any:
        return client.insert_route(body, request_id)

    return Step(name, body["name"], do, note=note, conflicts=(AlreadyExists, Stale), contested=True)


def _deletion(route: Route, goal: RouteGoal, memory: Memory) -> Step:
    name = DELETE_TEMPORARY if is_temporary(route, goal.name) else DELETE_OTHER
    if route["name"] == goal.name:
        name = DELETE
    return deletion(name, route, goal.lease, memory)


def deletion(name: str, route: Route, lease: float, memory: Memory) -> Step:
    """By the route's id, unless the API does not know ids."""
    by_name = _takes_names_only((name, route["name"], route["id"]), lease, memory)
    target = route["name"] if by_name else route["id"]

    def do(client: RouteApi, request_id: str) -> None:
        client.delete_route(target, request_id)

    note, conflicts = (_BY_NAME, (NotFound, Stale)) if by_name else (None, (NotFound, Stale, Invalid))
    return Step(name, route["name"], do, key=route["id"], note=note, conflicts=conflicts, contested=True)


def _takes_names_only(key: Hashable, lease: float, memory: Memory) -> bool:
    """Whether this API does not know ids: one of it was refused, or not found for a whole lease although it is listed.

    The result of one deletion holds for all that follow.
    """
    if any(fact.note == _BY_NAME for fact in memory.done.values()):
        return True
    conflicts = memory.conflicts.get(key, ())
    missed = [at for at, error in conflicts if isinstance(error, NotFound)]
    unknown = len(missed) >= TAKEN and memory.now - missed[0] > lease
    return unknown or any(isinstance(error, Invalid) for _at, error in conflicts)


def foresee(o: Observed, memory: Memory, item: Step | Pause) -> tuple[Observed, Memory]:
    """The state after a step or a pause, if no other actor changes anything. Changes the memory."""
    routes, at = imagine(item, o.all, o.at, memory)
    return Observed(o.goal, routes, at, o.owners), memory


def imagine(item: Step | Pause, routes: Iterable[Route], at: float, memory: Memory) -> tuple[list[Route], float]:
    """The routes, and the server's clock, after a step or a pause. Changes the memory."""
    routes = list(routes)
    if isinstance(item, Pause):
        # Whoever is waited for goes on or does not; suppose the latter.
        memory.now += item.seconds
        return routes, at + item.seconds
    result = item.do(_Recorder(routes, at), "")
    memory.done[item.key] = Fact(memory.now, item.note, result)
    return routes, at


class _Recorder:
    """A client that knows only the observation, and carries out each request at once."""

    def __init__(self, routes: list[Route], at: float) -> None:
        self.routes = routes
        self.at = at

    def insert_route(self, body: Route, request_id: str) -> list[dict[str, Any]]:
        newest = max((birth(r) for r in self.routes), default=(0.0, 0))
        created = max(self.at, newest[0] + 1)
        self.routes.append({**body, "id": str(newest[1] + 1), "creationTimestamp": created})
        return []

    def delete_route(self, name: str, request_id: str) -> None:
        self.routes[:] = [r for r in self.routes if name not in (r["id"], r["name"])]

# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Decides the next step on the way to the wanted set of routes. Pure: from facts, a goal and a run's history.

The rules that are meant by numbers are those of route_set.py.
"""

from __future__ import annotations

from ..base.errors import Invalid
from .plan import AT_WORK
from .route_action import WAIT, Action
from .route_set_look import Place, is_reserve, newest_reserve
from .route_table import birth, dead_codes, is_live, precedence, priority_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

    from .route_set_look import Observed
    from .route_table import Route

_POLL = 1.0  # seconds between looks at what another run does
_MOMENT = 0.001  # less is no time to wait for: seconds since 1970 are not that exact

INSERT, INSERT_RESERVE = "insert route", "insert reserve route"
DELETE, DELETE_OTHER = "delete route", "delete other route"


class History:
    """This run's own changes, which no look can tell.

    | field    | type | meaning                                                                              |
    |----------|------|--------------------------------------------------------------------------------------|
    | now      | float | the run's clock in seconds, at the end of the last look                             |
    | inserted | dict | when it inserted a route by the run's clock, and the operation's warnings; by name   |
    | began    | bool | whether it has changed something                                                     |
    | taken    | set  | names of routes which the API refused, as there are others of that name              |
    """

    __slots__ = ("began", "inserted", "now", "taken")

    def __init__(
        self,
        now: float,
        inserted: Mapping[str, tuple[float, Any]] | None = None,
        began: bool = False,
        taken: Iterable[str] = (),
    ) -> None:
        self.now = now
        self.inserted = dict(inserted or {})
        self.began = began
        self.taken = set(taken)


def decide(o: Observed, history: History) -> Action | None:
    """The next thing to do; None if nothing is left. Raises Invalid where the only next hops are dead."""
    outdated = o.outdated
    if not o.goal.present:
        return delete(o, min(outdated, key=is_reserve)) if outdated else None
    refuse_dead(o, history)
    missing = [place for place in o.places if not o.keeper(place)]
    waiting = _give_way(outdated, o, history) if missing or outdated else None
    if waiting:
        return waiting
    if missing:
        return insert(missing[0], o, history)
    if not outdated:
        return None
    waiting = until_active(o.kept, o, history)
    if waiting:
        return waiting
    floor = newest_reserve(o.kept)
    if not floor:
        if any(is_live(r) for r in outdated):
            raise Invalid(f"no next hop of {o.goal.name} is alive: the routes that are to go are left as they are")
    elif any(is_reserve(r) and birth(r) > birth(floor) for r in outdated):
        # Rule 2: what is newer than all reserves that stay must not go before one of them is made anew.
        place = next(p for p in o.places if p.reserve and o.keeper(p) is floor)
        return insert(place, o, history)
    return delete(o, min(outdated, key=lambda each: _astray(each, o)))


def refuse_dead(o: Observed, history: History) -> None:
    """Raises Invalid where a route that this run inserted turned out to be dead: nothing can be built on it."""
    for route in o.routes:
        codes = dead_codes(history.inserted.get(route["name"], (0.0, ()))[1])
        if codes and not is_live(route):
            raise Invalid(
                f"{route['name']}: the API says that the next hop {o.where(route)} is dead: {', '.join(codes)}",
                resource=route["name"],
                code=codes[0],
            )


def insert(place: Place, o: Observed, history: History) -> Action:
    return Action(INSERT_RESERVE if place.reserve else INSERT, o.body(place, history.taken))


def delete(o: Observed, route: Route) -> Action:
    return Action(DELETE if o.owner(route) else DELETE_OTHER, route)


def until_active(routes: Iterable[Route], o: Observed, history: History) -> Action | None:
    """What to wait for until the routes count as active (rule 3); None if they do."""
    for route in routes:
        known = history.inserted.get(route["name"])
        if known:
            seconds, reason = o.goal.settle - (history.now - known[0]), f"until {route['name']} is active everywhere"
        else:
            seconds = min(o.goal.lease - o.age(route), _POLL)
            reason = f"until {route['name']}, whose insertion was not seen, is surely active"
        if seconds > _MOMENT:
            return Action(WAIT, seconds=seconds, reason=reason)
    return None


def _give_way(outdated: Iterable[Route], o: Observed, history: History) -> Action | None:
    """Wait for a run which wants something else and inserted a route after this one did (rule 5)."""
    theirs = [r for r in outdated if o.owner(r) and r["name"] not in history.inserted]
    newest = max(theirs, key=birth, default=None)
    mine = [r for r in o.routes if r["name"] in history.inserted]
    if not newest or not history.began or any(birth(r) > birth(newest) for r in mine):
        return None
    left = o.goal.lease - o.age(newest)
    return Action(WAIT, seconds=min(left, _POLL), reason=f"{AT_WORK}: {newest['name']}") if left > _MOMENT else None


def _astray(route: Route, o: Observed) -> tuple[Any, ...]:
    """Sorts first the routes that keep the traffic from where it belongs, the best of them first."""
    live = [r for r in o.kept if is_live(r)]
    best = min(map(priority_of, live), default=None)
    right = {o.where(r) for r in live if priority_of(r) == best}
    return (o.where(route) in right, precedence(route))

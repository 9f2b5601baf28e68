# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Decides the next step on the way to the wanted route. Pure: from facts, a goal and a run's history to an Action.

The rules that are meant by numbers are those of route.py.
"""

from __future__ import annotations

from ..base.errors import Invalid
from .plan import AT_WORK
from .route_action import WAIT, Action
from .route_table import birth, dead_codes, hop_of, is_live, is_newest, overlaps, precedence, priority_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any

    from ..base.errors import CloudError
    from .route_look import Observed
    from .route_table import Route

_POLL = 1.0  # seconds between looks at what another run does

INSERT = "insert route"
INSERT_TEMPORARY = "insert temporary route"
DELETE = "delete"


class Insertion:
    """A route that this run inserted: its name, when by the run's clock, and the operation's warnings.

    seen: the ids of the temporaries that were there before. None for a temporary.
    """

    __slots__ = ("at", "name", "seen", "warnings")

    def __init__(self, name: str, at: float, warnings: Any = (), seen: frozenset[str] | None = None) -> None:
        self.name = name
        self.at = at
        self.warnings = warnings
        self.seen = seen


class History:
    """This run's own changes, which no look can tell.

    | field            | type                | meaning                                                                |
    |------------------|---------------------|------------------------------------------------------------------------|
    | now              | float               | the run's clock in seconds, at the end of the last look                |
    | prefix           | str                 | how the names of this run's temporaries begin                          |
    | insertions       | list of Insertions  | what it inserted, in order                                             |
    | names            | set of str          | the names of all routes that it inserted or deleted                    |
    | insert_conflicts | list of CloudErrors | why the wanted route could not be inserted, since it was the last time |
    | checked          | bool                | whether network, destination and next hop were found fit               |
    """

    __slots__ = ("checked", "insert_conflicts", "insertions", "names", "now", "prefix")

    def __init__(
        self,
        now: float,
        prefix: str,
        insertions: Iterable[Insertion] = (),
        names: Iterable[str] = (),
        insert_conflicts: Iterable[CloudError] = (),
        checked: bool = False,
    ) -> None:
        self.now = now
        self.prefix = prefix
        self.insertions = list(insertions)
        self.names = {each.name for each in self.insertions}.union(names)
        self.insert_conflicts = list(insert_conflicts)
        self.checked = checked

    @property
    def inserted(self) -> Insertion | None:
        """The wanted route, if this run inserted it."""
        return next((each for each in self.insertions if each.seen is not None), None)

    @property
    def temporaries(self) -> list[Insertion]:
        return [each for each in self.insertions if each.seen is None]

    def temporary(self, name: str) -> Insertion | None:
        return next((each for each in self.temporaries if each.name == name), None)

    def is_mine(self, route: Route) -> bool:
        """Whether it is a temporary of this run, also if the answer to its insertion was lost."""
        return str(route["name"]).startswith(self.prefix)


def decide(o: Observed, history: History) -> Action | None:
    """The next thing to do; None if nothing is left. Raises Invalid where the next hop is dead."""
    goal, original = o.goal, o.original
    if not goal.present:
        rest = [*o.leftovers, *([original] if original else [])]
        return _delete(rest[0]) if rest else None
    undo = _undo_dead(o, history)
    if undo:
        return undo
    rest = [*o.leftovers, *(o.intruders if goal.exclusive else ())]
    if original and _is_wanted(original, o, history):
        if not rest and is_live(original):
            return None
        if not rest:
            raise Invalid(f"{goal.name} is in place, but the API says that its next hop is dead", resource=goal.name)
        cleaning = _clean_up(original, rest, o, history)
        if cleaning:
            return cleaning
    elif original is None and not any(_blocks(route, o, history) for route in rest):
        return Action(INSERT)
    # Rule 2: the original may go only while a temporary of this run, newer than all, has the traffic.
    protecting = _protect(rest, o, history)
    if protecting:
        return protecting
    return _delete(original) if original else Action(INSERT)


def _clean_up(original: Route, rest: Sequence[Route], o: Observed, history: History) -> Action | None:
    """The original is as wanted. Take away the rest, as soon as that is safe; None if it is not yet."""
    if not is_newest(original, rest):
        return None
    seconds, ours, reason = _until_active(original, o, history)
    if seconds <= 0:
        return _delete(_first_to_clean(rest, o, history))
    if ours or _traffic_is_right(o):
        return _wait(min(seconds, _POLL), reason)
    return None


def _protect(rest: Sequence[Route], o: Observed, history: History) -> Action | None:
    """Have the traffic on an active temporary of this run, which is newer than all others; None if it is so."""
    mine = _protection(o, history)
    giving_way = _give_way(mine, o, history)
    if giving_way:
        return giving_way
    if mine is None:
        return Action(INSERT_TEMPORARY)
    exposed = [each for each in [*rest, *([o.original] if o.original else [])] if not history.is_mine(each)]
    if not is_newest(mine, exposed):
        if _traffic_is_right(o) and max(birth(each)[0] for each in exposed) >= o.at:
            return _wait(_POLL, "until a new route is surely newer than those that are there")
        return Action(INSERT_TEMPORARY)
    seconds, ours, reason = _until_active(mine, o, history)
    if seconds > 0:
        return _wait(seconds if ours else min(seconds, _POLL), reason)
    rivals = [
        each
        for each in exposed
        if each is not o.original and priority_of(each) <= priority_of(mine) and overlaps(each, o.wanted.tags)
    ]
    return _delete(rivals[0]) if rivals else None


def _give_way(mine: Route | None, o: Observed, history: History) -> Action | None:
    """Wait for a run that began after this one did (rule 5).

    The first time, that may be a run that lost the address at the same moment, so the traffic is taken back at once.
    Two runs that both insist avoid each other from the second time on.
    """
    newest = max(o.leftovers, key=birth, default=None)
    began = bool(history.names) or mine is not None
    if not newest or not began or (mine is not None and birth(newest) <= birth(mine)):
        return None
    left = o.goal.lease - o.age(newest)
    if left > 0 and (_traffic_is_right(o) or len(history.temporaries) > 1):
        return _wait(min(left, _POLL), f"{AT_WORK}: {newest['name']}")
    return None


def _undo_dead(o: Observed, history: History) -> Action | None:
    """Delete this run's routes that turned out to have a dead next hop; then the run ends (rule 6)."""
    for each in history.insertions:
        codes = dead_codes(each.warnings)
        if not codes:
            continue
        route = next((route for route in o.routes if route["name"] == each.name), None)
        # An original is taken away only where there was none before, and only while it is dead for whoever looks.
        if route and (route is not o.original or (not is_live(route) and not _protection(o, history))):
            return _delete(route)
        raise Invalid(
            f"{each.name}: the API says that the next hop {o.wanted.hop[1] or None} is dead: {', '.join(codes)}",
            resource=each.name,
            code=codes[0],
        )
    return None


def _is_wanted(route: Route, o: Observed, history: History) -> bool:
    wanted = o.wanted
    return (
        hop_of(route) == wanted.hop
        and priority_of(route) == wanted.priority
        and sorted(route.get("tags") or ()) == wanted.tags
        and (o.goal.description is None or route.get("description", "") == o.goal.description)
        # Made anew, a route whose next hop was dead may live; but this run does so only once.
        and (is_live(route) or history.inserted is not None)
    )


def _traffic_is_right(o: Observed) -> bool:
    return o.effective is not None and hop_of(o.effective) == o.wanted.hop


def _until_active(route: Route, o: Observed, history: History) -> tuple[float, bool, str]:
    """Seconds until a route counts as active (rule 3); whether this run knows that it inserted it; what to wait for."""
    if route is o.original:
        insertion = history.inserted
        # The name does not tell whether it is the route that this run inserted. Another run has replaced that one only
        # if it has made a temporary since.
        seen = insertion.seen or () if insertion else ()
        if any(each["id"] not in seen and not history.is_mine(each) for each in o.leftovers):
            insertion = None
    else:
        insertion = history.temporary(route["name"])
    if insertion:
        left = o.goal.settle - (history.now - insertion.at)
        return left, True, f"until {route['name']} is active everywhere"
    left = o.goal.lease - o.age(route)
    return left, False, f"until {route['name']}, whose insertion was not seen, is surely active"


def _protection(o: Observed, history: History) -> Route | None:
    """The newest temporary of this run, if it is as wanted."""
    own = [
        each
        for each in o.leftovers
        if history.is_mine(each)
        and hop_of(each) == o.wanted.hop
        and sorted(each.get("tags") or ()) == o.wanted.tags
        and (is_live(each) or history.temporary(each["name"]))
    ]
    return max(own, key=birth, default=None)


def _blocks(route: Route, o: Observed, history: History) -> bool:
    """It would keep the traffic from the original, were that inserted now."""
    better = priority_of(route) <= o.wanted.priority and overlaps(route, o.wanted.tags)
    return better and hop_of(route) != o.wanted.hop and not history.is_mine(route)


def _first_to_clean(rest: Sequence[Route], o: Observed, history: History) -> Route:
    """Those that lead astray first, this run's own last: traffic that is right must stay so."""
    return min(rest, key=lambda each: (history.is_mine(each), hop_of(each) == o.wanted.hop, precedence(each)))


def _delete(route: Route) -> Action:
    return Action(DELETE, route)


def _wait(seconds: float, reason: str) -> Action:
    return Action(WAIT, seconds=seconds, reason=reason)

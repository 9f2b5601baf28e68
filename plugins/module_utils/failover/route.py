# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Moves an address by a static route of a Google Cloud VPC: make before break, by any number of runs at once.

The API cannot change a route, it can only insert and delete. So: a temporary route with a better priority moves the
traffic; under its protection the original is deleted and inserted anew; then the temporary is deleted.

Rules, which docs/route-procedure.md explains, and which the tests check after each request:

1. A route is deleted by its id, never by its name: a request that comes late cannot hit what has the name by then.
2. A route is deleted only when there is a newer one to the wanted next hop, which is known to be active. "Newer" is by
   the immutable (creationTimestamp, id), so that all agree on it. Of all routes that were ever relied on, nobody can
   delete the newest. So there is one at every moment, however many runs there are, wherever they stop, and however old
   what they have seen is.
3. Known to be active: this run inserted it, the operation ended without an error and without a warning that the next
   hop is dead, and `settle` seconds passed. What another run inserted counts after `lease` seconds.
4. Each temporary has a name of its own, never used again. A marker in its description tells whose it is, and what the
   original was like, should the run die between the deletion and the insertion.
5. The first mutation waits for nothing, and moves the traffic. Later ones wait while a newer temporary of another run
   is younger than `lease`: its run is at work. This is politeness, so that runs end; safety does not depend on it.
6. A temporary that turns out to have a dead next hop is taken away again, and nothing else is.
"""

from __future__ import annotations

import contextlib
import json

from ..base.errors import AlreadyExists, Denied, Invalid, NotFound, Stale, Unavailable
from ..clouds.gce_names import (
    NAME_CHARACTERS,
    NAME_LENGTH,
    is_name,
    is_path,
    normalise,
    parse_address,
    parse_cidr,
    parse_time,
    project_of,
)
from .engine import AT_WORK, Fact, Pause, Step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Iterator, Sequence
    from typing import Any, Protocol

    from .engine import Memory

    Route = dict[str, Any]
else:
    Protocol = object

DEFAULT_PRIORITY = 1000
BEST, WORST = 0, 65535  # priorities: the lowest number wins
DEAD = frozenset(
    (
        "NEXT_HOP_NOT_RUNNING",
        "NEXT_HOP_INSTANCE_NOT_FOUND",
        "NEXT_HOP_INSTANCE_HAS_NO_IPV6_INTERFACE",
        "NEXT_HOP_INSTANCE_NOT_ON_NETWORK",
        "NEXT_HOP_ADDRESS_NOT_ASSIGNED",
        "NEXT_HOP_CANNOT_IP_FORWARD",
    )
)
HOPS = ("nextHopInstance", "nextHopIp", "nextHopIlb", "nextHopGateway", "nextHopVpnTunnel")
UNDELETABLE = ("nextHopNetwork", "nextHopPeering", "nextHopHub")  # routes that the network makes itself

INSERT_TEMPORARY = "insert temporary route"
INSERT = "insert route"
DELETE = "delete route"
DELETE_TEMPORARY = "delete temporary route"
DELETE_OTHER = "delete other route"

_MARK = "cloudha.vip: temporary, for the route "
_LONGEST_DESCRIPTION = 2048
_POLL = 1.0  # seconds between looks at what another run does
_BY_NAME = "by name"  # the note of a deletion for which an id would not do
_TAKEN = 5  # conflicts in a row, before a name counts as taken by a route to somewhere else


class RouteApi(Protocol):
    """What this procedure needs of a client. Errors are those of base/errors.py."""

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


class RouteGoal:
    """What is wanted. None: keep what is there.

    next_hop: projects/P/zones/Z/instances/I, or an IPv4 address. address: that of this instance on the network, if it
    is known. network: projects/P/global/networks/N. An instance of another project can be a next hop only by address.
    expected_holder: refuse, unless the traffic goes there now, or to the next hop already; a path, a URL, an address,
    or the name of an instance. exclusive: delete other routes that would keep the traffic, instead of refusing.
    run: a part of the names of this run's temporaries; by default, each run makes its own.
    check: ask whether network, destination and next hop are fit for it, before anything is changed.
    """

    __slots__ = (
        "address",
        "check",
        "description",
        "destination",
        "exclusive",
        "expected_holder",
        "lease",
        "name",
        "network",
        "next_hop",
        "present",
        "priority",
        "run",
        "settle",
        "tags",
    )

    def __init__(
        self,
        name: str,
        destination: str,
        network: str,
        next_hop: str | None = None,
        priority: int | None = None,
        tags: Sequence[str] | None = None,
        description: str | None = None,
        present: bool = True,
        expected_holder: str | None = None,
        exclusive: bool = False,
        run: str | None = None,
        lease: float = 20.0,
        settle: float = 1.0,
        check: bool = True,
        address: str | None = None,
    ) -> None:
        self.address = address
        self.name = name
        self.destination = destination
        self.network = normalise(network)
        self.next_hop = normalise(next_hop, self.network) if next_hop else None
        self.priority = priority
        self.tags = None if tags is None else sorted(set(tags))
        self.description = description
        self.present = present
        self.expected_holder = normalise(expected_holder, self.network) if expected_holder else None
        self.exclusive = exclusive
        self.run = run
        self.lease = lease
        self.settle = settle
        self.check = check

    @property
    def across(self) -> bool:
        """Whether the next hop is an instance of another project than the route: a shared VPC."""
        hop, network = project_of(self.next_hop or ""), project_of(self.network)
        # A number may be that of the same project.
        return bool(hop and network) and hop != network and not hop.isdigit() and not network.isdigit()


class Observed:
    """What is there: of the routes to the destination, those that concern this route and its network.

    original: the route of this name. leftovers: temporaries, of this run or of any other. intruders: other routes that
    would keep the traffic. effective: the live route that wins. holder: its next hop, or None. previous: the next hop
    of the original: while a temporary wins, who had the traffic before. owners: the instances that are known to have
    addresses which may be next hops, by the address.
    """

    def __init__(
        self,
        goal: RouteGoal,
        routes: Iterable[Route] = (),
        at: float = 0.0,
        owners: dict[str, str] | None = None,
    ) -> None:
        self.goal = goal
        self.owners = {} if owners is None else owners
        self.at = at  # the server's clock
        self.all = list(routes)
        self.problems: list[str] = []
        self.routes = sorted((r for r in self.all if normalise(r.get("network", "")) == goal.network), key=_wins)
        self.original = next((r for r in self.routes if r["name"] == goal.name), None)
        self.leftovers = [r for r in self.routes if r["name"] != goal.name and is_temporary(r, goal.name)]
        self.wanted = _wanted(self, goal)
        others = (r for r in self.routes if r is not self.original and r not in self.leftovers)
        self.intruders = [r for r in others if _overlap(r, self.wanted) and _priority(r) <= self.wanted["priority"]]
        self.effective = effective(self.routes, self.wanted["tags"])

    @property
    def holder(self) -> str | None:
        return self._owner(self.effective)

    @property
    def previous(self) -> str | None:
        return self._owner(self.original)

    def _owner(self, route: Route | None) -> str | None:
        hop = next_hop_of(route)
        return self.owners.get(hop, hop) if hop else None

    @property
    def warnings(self) -> list[str]:
        """What is wrong with the routes that are there, a sentence each."""
        texts = []
        for route in self.routes:
            for warning in route.get("warnings") or ():
                texts.append(f"{route['name']}: {warning.get('code')}: {warning.get('message', '')}".rstrip(": "))
        winner = self.effective
        if not winner:
            return texts
        for route in self.routes:
            shares = _live(route) and _overlap(route, self.wanted) and _priority(route) == _priority(winner)
            if shares and next_hop_of(route) != next_hop_of(winner):
                texts.append(f"{route['name']} has the priority of {winner['name']}: they share the traffic")
        return texts

    def state(self) -> str:
        """In a sentence, what is there."""
        if not self.routes:
            return f"there is no route to {self.goal.destination} on {self.goal.network}"
        routes = ", ".join(
            f"{r['name']} (priority {_priority(r)}, to {next_hop_of(r)}{'' if _live(r) else ', which is dead'})"
            for r in self.routes
        )
        return f"{self.goal.destination} goes to {self.holder or 'nowhere'}; routes: {routes}"

    def to_diff(self) -> dict[str, Any]:
        """What is there, for a person to compare with what is wanted."""
        return {
            "holder": self.holder,
            "routes": [
                {
                    "name": r["name"],
                    "priority": _priority(r),
                    "next_hop": next_hop_of(r),
                    "tags": sorted(r.get("tags") or ()),
                    "description": r.get("description", ""),
                }
                for r in self.routes
            ],
        }


def wanted_diff(observed: Observed) -> dict[str, Any]:
    """to_diff() of the wanted state."""
    goal = observed.goal
    gone = [observed.original, *observed.leftovers, *(observed.intruders if goal.exclusive else ())]
    routes = [r for r in observed.routes if not any(r is g for g in gone)]
    if goal.present:
        routes.append({**_body(goal, observed.wanted), "id": "0", "creationTimestamp": observed.at})
    return Observed(goal, routes, observed.at, observed.owners).to_diff()


def observe(client: RouteApi, goal: RouteGoal, memory: Memory) -> Observed:
    problems = _goal_problems(goal)
    if problems:
        refused = Observed(goal)
        refused.problems = problems
        return refused
    owners: dict[str, str] = memory.facts.setdefault("owners", {})
    if goal.next_hop and goal.address:
        owners[goal.address] = goal.next_hop
    if goal.present and goal.across and goal.next_hop not in owners.values():
        problems = _find_address(client, goal, owners)
    routes, at = client.list_routes(goal.destination)
    observed = Observed(goal, routes, at, owners)
    observed.problems = problems + _route_problems(observed, goal, memory)
    if not memory.steps:
        if goal.check or goal.expected_holder:
            _find_owner(client, observed)
        if goal.expected_holder:
            observed.problems += _holder_problems(client, observed, goal)
        if goal.check and goal.present and "checked" not in memory.facts:
            problems = _fitness_problems(client, observed, goal)
            observed.problems += problems
            memory.facts["checked"] = not problems
    return observed


def plan(observed: Observed, goal: RouteGoal, memory: Memory) -> Iterator[Step | Pause]:
    """What is left to do. Foreseen by supposing that each step does what it should, and that nobody else is there."""
    memory = memory.copy()
    item = _next(observed, goal, memory)
    for _limit in range(100):
        if item is None:
            return
        yield item
        observed, memory = _foresee(observed, goal, memory, item)
        try:
            item = _next(observed, goal, memory)
        except Invalid:  # that will be the end of it
            return


def _next(o: Observed, goal: RouteGoal, memory: Memory) -> Step | Pause | None:
    original = o.original
    if not goal.present:
        rest = [*o.leftovers, *([original] if original else [])]
        return _delete(rest[0], goal, memory) if rest else None

    undo = _undo_dead(o, goal, memory)
    if undo:
        return undo

    rest = o.leftovers + (o.intruders if goal.exclusive else [])
    traffic_is_right = o.effective is not None and _hop(o.effective) == o.wanted["hop"]
    if original and _is_wanted(original, o, goal, memory):
        if not rest and not _live(original):
            raise Invalid(f"{goal.name} is in place, but the API says that its next hop is dead", resource=goal.name)
        if not rest:
            return None
        if _is_newest(original, rest):
            wait, ours, why = _until_active(original, o, goal, memory)
            if wait <= 0:
                return _delete(_first_to_clean(rest, o, goal, memory), goal, memory)
            if ours or traffic_is_right:
                return Pause(min(wait, _POLL), why)
    elif original is None and not any(_blocks(r, o, goal, memory) for r in rest):
        return _insert(o, goal)

    mine = _protection(o, goal, memory)
    newest = max(o.leftovers, key=_age_key, default=None)
    made = [key for key in memory.done if key[0] == INSERT_TEMPORARY]  # type: ignore[index]
    if newest and (memory.done or mine) and (mine is None or _age_key(newest) > _age_key(mine)):
        # Somebody began after this run did. The first time, that may be one who lost the address at the same moment, so
        # the traffic is taken back at once; two who both insist get out of each other's way from the second time on.
        left = goal.lease - _age(newest, o)
        if left > 0 and (traffic_is_right or len(made) > 1):
            return Pause(min(left, _POLL), f"{AT_WORK}: {newest['name']}")
    if mine is None:
        return _insert_temporary(o, goal, memory)
    exposed = [r for r in [*rest, *([original] if original else [])] if not _is_mine(r, goal, memory)]
    if not _is_newest(mine, exposed):
        if traffic_is_right and max(_age_key(r)[0] for r in exposed) >= o.at:
            return Pause(_POLL, "until a new route is surely newer than those that are there")
        return _insert_temporary(o, goal, memory)
    wait, ours, why = _until_active(mine, o, goal, memory)
    if wait > 0:
        return Pause(wait if ours else min(wait, _POLL), why)
    rivals = [r for r in exposed if r is not original and _priority(r) <= _priority(mine) and _overlap(r, o.wanted)]
    if rivals:
        return _delete(rivals[0], goal, memory)
    return _delete(original, goal, memory) if original else _insert(o, goal)


def _undo_dead(o: Observed, goal: RouteGoal, memory: Memory) -> Step | None:
    """Take away what this run inserted and what turned out to have a dead next hop; then it is over."""
    for key, fact in memory.done.items():
        codes = _dead_codes(fact.result)
        if not codes:
            continue
        name = key[1]  # type: ignore[index]
        route = next((r for r in o.routes if r["name"] == name), None)
        # An original is taken away only where there was none before, and only while it is dead for whoever looks.
        if route and (route is not o.original or (not _live(route) and not _protection(o, goal, memory))):
            return _delete(route, goal, memory)
        raise Invalid(
            f"{name}: the API says that the next hop {next_hop_of(o.wanted['body'])} is dead: {', '.join(codes)}",
            resource=name,
            code=codes[0],
        )
    return None


def _is_wanted(route: Route, o: Observed, goal: RouteGoal, memory: Memory) -> bool:
    wanted = o.wanted
    return (
        _hop(route) == wanted["hop"]
        and _priority(route) == wanted["priority"]
        and sorted(route.get("tags") or ()) == wanted["tags"]
        and (goal.description is None or route.get("description", "") == goal.description)
        # Made anew, a route whose next hop was dead may live; but this run does so only once.
        and (_live(route) or _inserted(memory) is not None)
    )


def _until_active(route: Route, o: Observed, goal: RouteGoal, memory: Memory) -> tuple[float, bool, str]:
    """Seconds until a route counts as active; whether this run knows that it inserted it; what to wait for."""
    if route is o.original:
        fact = _inserted(memory)
        # The name does not tell whether it is the route that this run inserted. Another run has replaced that one only
        # if it has made a temporary since.
        if fact and any(r["id"] not in fact.note and not _is_mine(r, goal, memory) for r in o.leftovers):
            fact = None
    else:
        fact = memory.done.get((INSERT_TEMPORARY, route["name"], None))
    if fact:
        return goal.settle - (memory.now - fact.at), True, f"until {route['name']} is active everywhere"
    return goal.lease - _age(route, o), False, f"until {route['name']}, whose insertion was not seen, is surely active"


def _inserted(memory: Memory) -> Any:
    return next((fact for key, fact in memory.done.items() if key[0] == INSERT), None)  # type: ignore[index]


def _protection(o: Observed, goal: RouteGoal, memory: Memory) -> Route | None:
    """The newest temporary of this run, if it is as wanted."""
    own = [
        r
        for r in o.leftovers
        if _is_mine(r, goal, memory)
        and _hop(r) == o.wanted["hop"]
        and sorted(r.get("tags") or ()) == o.wanted["tags"]
        and (_live(r) or (INSERT_TEMPORARY, r["name"], None) in memory.done)
    ]
    return max(own, key=_age_key, default=None)


def _is_mine(route: Route, goal: RouteGoal, memory: Memory) -> bool:
    """Whether it is a temporary of this run, also if the answer to its insertion was lost."""
    return str(route["name"]).startswith(_prefix(goal, memory))


def _blocks(route: Route, o: Observed, goal: RouteGoal, memory: Memory) -> bool:
    """It would keep the traffic from the original, were that inserted now."""
    better = _priority(route) <= o.wanted["priority"] and _overlap(route, o.wanted)
    return better and _hop(route) != o.wanted["hop"] and not _is_mine(route, goal, memory)


def _first_to_clean(rest: list[Route], o: Observed, goal: RouteGoal, memory: Memory) -> Route:
    """Those that lead astray first, this run's own last: traffic that is right must stay so."""
    return min(rest, key=lambda r: (_is_mine(r, goal, memory), _hop(r) == o.wanted["hop"], _wins(r)))


def _insert(o: Observed, goal: RouteGoal) -> Step:
    body = _body(goal, o.wanted)
    seen = frozenset(r["id"] for r in o.leftovers)
    return _insertion(INSERT, body, seen)


def _insert_temporary(o: Observed, goal: RouteGoal, memory: Memory) -> Step:
    wanted = o.wanted
    concerned = [_priority(r) for r in o.routes if _overlap(r, wanted)]
    # With 0 already taken there is none better: then they share the traffic until the other one is deleted.
    priority = max(min(concerned, default=wanted["priority"]) - 1, BEST)
    memory_of_original = {"priority": wanted["priority"], "description": wanted["description"]}
    mark = f"{_MARK}{goal.name} "
    text = mark + json.dumps(memory_of_original, separators=(",", ":"))
    if len(text) > _LONGEST_DESCRIPTION:
        text = mark + json.dumps({"priority": wanted["priority"]})
    # Never one that was used before: the next after all that were done, or are there whoever made them.
    prefix = _prefix(goal, memory)
    used = {key[1] for key in memory.done} | {r["name"] for r in o.all}  # type: ignore[index]
    number = 1
    while f"{prefix}{number}" in used:
        number += 1
    body = {**_body(goal, wanted), "name": f"{prefix}{number}", "priority": priority, "description": text}
    return _insertion(INSERT_TEMPORARY, body)


def _insertion(name: str, body: Route, note: Any = None) -> Step:
    def do(client: RouteApi, request_id: str) -> Any:
        return client.insert_route(body, request_id)

    return Step(name, body["name"], do, note=note, conflicts=(AlreadyExists, Stale), contested=True)


def _delete(route: Route, goal: RouteGoal, memory: Memory) -> Step:
    name = DELETE_TEMPORARY if is_temporary(route, goal.name) else DELETE_OTHER
    if route["name"] == goal.name:
        name = DELETE
    by_name = _takes_names_only((name, route["name"], route["id"]), goal, memory)
    target = route["name"] if by_name else route["id"]

    def do(client: RouteApi, request_id: str) -> None:
        client.delete_route(target, request_id)

    note, conflicts = (_BY_NAME, (NotFound, Stale)) if by_name else (None, (NotFound, Stale, Invalid))
    return Step(name, route["name"], do, key=route["id"], note=note, conflicts=conflicts, contested=True)


def _takes_names_only(key: Hashable, goal: RouteGoal, memory: Memory) -> bool:
    """Whether this API does not know ids: one of it was refused, or not found for a whole lease although it is listed.

    What one deletion has shown holds for all that follow.
    """
    if any(fact.note == _BY_NAME for fact in memory.done.values()):
        return True
    conflicts = memory.conflicts.get(key, ())
    missed = [at for at, error in conflicts if isinstance(error, NotFound)]
    unknown = len(missed) >= _TAKEN and memory.now - missed[0] > goal.lease
    return unknown or any(isinstance(error, Invalid) for _at, error in conflicts)


def _prefix(goal: RouteGoal, memory: Memory) -> str:
    nonce = "".join(c for c in memory.nonce.lower() if c in NAME_CHARACTERS)
    tail = f"-tmp-{nonce[:16]}-"
    return goal.name[: NAME_LENGTH - len(tail) - 2] + tail


def is_temporary(route: Route, name: str) -> bool:
    """Whether a run made it for the route of this name."""
    return str(route.get("description") or "").startswith(f"{_MARK}{name} ")


def _wanted(o: Observed, goal: RouteGoal) -> dict[str, Any]:
    """The route as it should be: what the goal leaves open is as in the original, or as a temporary remembers it."""
    model: Route = o.original or {}
    newest = max(o.leftovers, key=_age_key, default=None)
    if not model and newest:
        try:
            remembered = json.loads(newest["description"][len(_MARK) + len(goal.name) + 1 :])
        except ValueError:
            remembered = None
        model = {**newest, "description": "", "priority": DEFAULT_PRIORITY}
        if isinstance(remembered, dict):
            model.update({k: remembered[k] for k in ("priority", "description") if k in remembered})
    hop = _hop(model)
    if goal.next_hop:
        hop = ("nextHopInstance" if "/" in goal.next_hop else "nextHopIp", goal.next_hop)
        if goal.across:
            hop = next((("nextHopIp", ip) for ip, path in o.owners.items() if path == goal.next_hop), hop)
    priority = _priority(model) if goal.priority is None else goal.priority
    tags = sorted(model.get("tags") or ()) if goal.tags is None else goal.tags
    description = str(model.get("description") or "") if goal.description is None else goal.description
    body = {hop[0]: hop[1]} if hop[0] else {}
    return {"hop": hop, "priority": priority, "tags": tags, "description": description, "body": body}


def _body(goal: RouteGoal, wanted: dict[str, Any]) -> Route:
    body = {
        "name": goal.name,
        "network": goal.network,
        "destRange": goal.destination,
        "priority": wanted["priority"],
        **wanted["body"],
    }
    if wanted["tags"]:
        body["tags"] = wanted["tags"]
    if wanted["description"]:
        body["description"] = wanted["description"]
    return body


def _foresee(o: Observed, goal: RouteGoal, memory: Memory, item: Step | Pause) -> tuple[Observed, Memory]:
    """What will be there after a step or a pause, if nobody else does anything."""
    routes, at = list(o.all), o.at
    if isinstance(item, Pause):
        # Whoever is waited for goes on or does not; suppose the latter.
        memory.now += item.seconds
        at += item.seconds
    else:
        recorder = _Recorder(routes, at)
        result = item.do(recorder, "")
        memory.steps = [*memory.steps, None]  # type: ignore[list-item]
        memory.done[item.key] = Fact(memory.now, item.note, result)
    return Observed(goal, routes, at, o.owners), memory


class _Recorder:
    """A client that knows only what was observed, and does at once what it is told."""

    def __init__(self, routes: list[Route], at: float) -> None:
        self.routes = routes
        self.at = at

    def insert_route(self, body: Route, request_id: str) -> list[dict[str, Any]]:
        newest = max((_age_key(r) for r in self.routes), default=(0.0, 0))
        created = max(self.at, newest[0] + 1)
        self.routes.append({**body, "id": str(newest[1] + 1), "creationTimestamp": created})
        return []

    def delete_route(self, name: str, request_id: str) -> None:
        self.routes[:] = [r for r in self.routes if name not in (r["id"], r["name"])]


def unchecked(error: Exception) -> str:
    """The note on a move that went on, although nobody answered the question for its permissions."""
    return f"the caller's permissions were not checked: {error}"


def next_hop_of(route: Route | None) -> str | None:
    """Where a route leads: the path of an instance or another resource, or an address."""
    if not route:
        return None
    return _hop(route)[1] or next((normalise(route[key]) for key in UNDELETABLE if route.get(key)), None)


def effective(routes: Iterable[Route], tags: Iterable[str] = ()) -> Route | None:
    """Of the routes of one network to one destination, the one that wins for senders with these tags.

    If none is for them, the one that wins for any.
    """
    live = sorted((r for r in routes if _live(r)), key=_wins)
    tags = set(tags)
    for_them = [r for r in live if not r.get("tags") or not tags.isdisjoint(r["tags"])]
    return next(iter(for_them or live), None)


def holder_of(routes: Iterable[Route], network: str, tags: Iterable[str] = ()) -> str | None:
    """Who gets the traffic, by all routes with one destination, as list_routes() gives them."""
    network = normalise(network)
    return next_hop_of(effective((r for r in routes if normalise(r.get("network", "")) == network), tags))


def _hop(route: Route) -> tuple[str, str]:
    return next(((key, normalise(route[key], route.get("network", ""))) for key in HOPS if route.get(key)), ("", ""))


def _priority(route: Route) -> int:
    return int(route.get("priority", DEFAULT_PRIORITY))


def _live(route: Route) -> bool:
    return not _dead_codes(route.get("warnings"))


def _dead_codes(warnings: Any) -> list[str]:
    return [w["code"] for w in warnings or () if w.get("code") in DEAD]


def _overlap(route: Route, wanted: dict[str, Any]) -> bool:
    """Whether there can be senders for whom both apply: a route without tags is for all."""
    tags, others = route.get("tags") or (), wanted["tags"]
    return not tags or not others or any(tag in others for tag in tags)


def _wins(route: Route) -> tuple[int, tuple[float, int]]:
    """Sorts the winner first; of equals, which share the traffic, the newest."""
    created, number = _age_key(route)
    return _priority(route), (-created, -number)


def _age_key(route: Route) -> tuple[float, int]:
    """A total order of all routes by age, the same for whoever asks: the larger, the newer."""
    created = route.get("creationTimestamp", 0.0)
    return created if isinstance(created, float) else parse_time(created), int(route["id"])


def _is_newest(route: Route, others: Iterable[Route]) -> bool:
    """Only then may the others be deleted on its account."""
    return all(_age_key(other) < _age_key(route) for other in others)


def _age(route: Route, o: Observed) -> float:
    return o.at - _age_key(route)[0]


def _goal_problems(goal: RouteGoal) -> list[str]:
    """What can be said without asking anybody."""
    problems = []
    name = goal.name
    if not is_name(name):
        problems.append(
            f"name: {name!r} is no name of a route: use 1 to 63 of a-z, 0-9 and -, with a letter first and no - last"
        )
    try:
        parse_cidr(goal.destination)
    except ValueError as error:
        problems.append(f"destination: {error}")
    if not is_path(goal.network, "global/networks"):
        problems.append(f"network: {goal.network!r} is not of the form projects/P/global/networks/N")
    if goal.next_hop and parse_address(goal.next_hop) is None and not is_path(goal.next_hop, "zones/*/instances"):
        problems.append(
            f"next hop: {goal.next_hop!r} is neither of the form projects/P/zones/Z/instances/I nor an IPv4 address"
        )
    if goal.priority is not None and not BEST < goal.priority <= WORST:
        problems.append(
            f"priority: {goal.priority} is not from 1 to {WORST}"
            + (": 0 leaves no room for a temporary route that is better" if goal.priority == BEST else "")
        )
    problems += [
        f"tags: {tag!r} is no network tag: use 1 to 63 of a-z, 0-9 and -, with a letter first and no - last"
        for tag in goal.tags or ()
        if not is_name(tag)
    ]
    if goal.description is not None and len(goal.description) > _LONGEST_DESCRIPTION:
        problems.append(f"description: longer than {_LONGEST_DESCRIPTION} characters")
    elif goal.description is not None and goal.description.startswith(_MARK):
        problems.append(f"description: {_MARK!r} is the mark of temporary routes; begin with something else")
    return problems


def _route_problems(o: Observed, goal: RouteGoal, memory: Memory) -> list[str]:
    """What the routes that are there forbid."""
    problems = []
    named = next((r for r in o.all if r["name"] == goal.name), None)
    if named and named is not o.original:
        problems.append(
            f"the route {goal.name} is on another network, {normalise(named.get('network', ''))}: "
            "choose another name, or delete that route"
        )
    taken = [error for _at, error in memory.conflicts.get((INSERT, goal.name, None), ())]
    if not named and len(taken) >= _TAKEN and isinstance(taken[-1], AlreadyExists):
        problems.append(
            f"there is a route {goal.name} with another destination than {goal.destination} ({taken[-1]}): "
            "choose another name, or delete that route"
        )
    if not goal.present:
        return problems
    if not o.wanted["hop"][0]:
        problems.append("next hop: none is given, and there is no route that has one")
    if not BEST < o.wanted["priority"] <= WORST and goal.priority is None:
        problems.append(
            f"the route {goal.name} has priority {o.wanted['priority']}, which leaves no room for a better one: "
            f"give a priority from 1 to {WORST}"
        )
    for route in [*o.intruders, *([o.original] if o.original else [])]:
        if not _hop(route)[0]:
            problems.append(
                f"the route {route['name']} to {goal.destination} is made by the network: it cannot be moved"
            )
        elif route in o.intruders and not goal.exclusive:
            problems.append(
                f"the route {route['name']} (priority {_priority(route)}, to {next_hop_of(route)}) has the same "
                f"destination {goal.destination}, and would keep the traffic from a route with priority "
                f"{o.wanted['priority']}: delete it, give a better priority, or ask for it to be deleted (exclusive)"
            )
    return problems


def _holder_problems(client: RouteApi, o: Observed, goal: RouteGoal) -> list[str]:
    """The holder must be the expected one; or the wanted one already, so that a run can be repeated."""
    expected = goal.expected_holder
    holder = o.holder
    address = next_hop_of(o.effective)
    if not expected or not holder or not address:
        return []
    if o.effective and goal.present and _hop(o.effective) == o.wanted["hop"]:
        return []
    names = [holder, address]
    if parse_address(holder) is not None and parse_address(expected) is None:
        instance = client.find_instance_by_address(goal.network, holder)
        names.append(normalise(instance["selfLink"]) if instance else holder)
    elif parse_address(expected) is not None and parse_address(holder) is None and "/instances/" in holder:
        with contextlib.suppress(NotFound):
            names += _addresses(client.get_instance(holder), goal.network)
    if expected in names or ("/" not in expected and any(n.endswith(f"/{expected}") for n in names)):
        return []
    return [f"{goal.destination} goes to {holder}, and not to the expected holder {expected}"]


def _find_address(client: RouteApi, goal: RouteGoal, owners: dict[str, str]) -> list[str]:
    """By which address a route can lead to an instance of another project, and what is wrong with the instance."""
    path = goal.next_hop or ""
    try:
        instance = client.get_instance(path)
    except NotFound as error:
        return [f"next hop: the instance {path} does not exist ({error})"]
    for address in _addresses(instance, goal.network)[:1]:
        owners[address] = path
    return _instance_problems(instance, path, goal.network)


def _find_owner(client: RouteApi, o: Observed) -> None:
    """Whose the address is that the traffic goes to. It is for people: who may not see that is told the address."""
    holder = o.holder
    if holder and parse_address(holder) is not None:
        with contextlib.suppress(Denied, NotFound, Unavailable):
            instance = client.find_instance_by_address(o.goal.network, holder)
            if instance:
                o.owners[holder] = normalise(instance["selfLink"])


def _fitness_problems(client: RouteApi, o: Observed, goal: RouteGoal) -> list[str]:
    """What the API would accept, or refuse only after the first mutation, and what would not work."""
    try:
        client.get_network(goal.network)
    except NotFound as error:
        return [f"network: {goal.network} does not exist ({error})"]
    problems = []
    try:
        first, last = parse_cidr(goal.destination)
        for subnetwork in client.list_subnetworks(goal.network):
            secondary = (each.get("ipCidrRange") for each in subnetwork.get("secondaryIpRanges") or ())
            for cidr in (subnetwork.get("ipCidrRange"), *secondary):
                begin, end = parse_cidr(cidr) if cidr else (last, first - 1)
                if begin <= first and last <= end:
                    problems.append(
                        f"destination: {goal.destination} is inside the range {cidr} of the subnet "
                        f"{subnetwork.get('name')}: a route cannot take addresses of a subnet, choose one outside"
                    )
    except NotFound as error:
        problems.append(str(error))
    hop, where = o.wanted["hop"]
    if hop == "nextHopInstance":
        try:
            problems += _instance_problems(client.get_instance(where), where, goal.network)
        except NotFound as error:
            problems.append(f"next hop: the instance {where} does not exist ({error})")
    elif hop == "nextHopIp" and not goal.across:
        instance = client.find_instance_by_address(goal.network, where)
        if instance:
            o.owners[where] = normalise(instance["selfLink"])
            problems += _instance_problems(instance, where, goal.network)
        else:
            problems.append(
                f"next hop: no instance has {where} as the primary address of an interface on {goal.network}; "
                "an alias address will not do, and in other projects it is looked for only if they are given "
                "(instance_projects)"
            )
    return problems


def _instance_problems(instance: dict[str, Any], where: str, network: str) -> list[str]:
    problems = []
    if not instance.get("canIpForward"):
        problems.append(f"next hop: {where} may not forward packets: make it anew with canIpForward")
    if instance.get("status") != "RUNNING":
        problems.append(f"next hop: {where} is not RUNNING but {instance.get('status')}: start it")
    if not _addresses(instance, network):
        problems.append(f"next hop: {where} has no interface on {network}")
    return problems


def _addresses(instance: dict[str, Any], network: str) -> list[str]:
    """The primary addresses of its interfaces on a network."""
    return [
        interface.get("networkIP", "")
        for interface in instance.get("networkInterfaces") or ()
        if normalise(interface.get("network", "")) == network
    ]

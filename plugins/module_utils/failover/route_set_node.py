# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The part of a set of routes that a node sees to itself: its own route, and those of dead peers.

An agent carries it out about once a second, with a NodeGoal (route_set_goal.py) and the engine:

    goal = NodeGoal(name, destination, network, instance, peers, present=healthy and not drained, priority=500)
    engine.preview(route_set_node, client, goal)   # a look: (Checked, steps); changes nothing
    engine.apply(route_set_node, client, goal)     # does it: Outcome; its `before` and `after` are Checked

A look is one list of routes. With `drop` it is one GET more for each peer whose route is alive. The client has the
verbs of route_look.RouteApi, of which list_routes, insert_route, delete_route and get_instance are used. The
permissions are those of a node that moves a route of its own.

| option        | does                                                                                            |
|---------------|-------------------------------------------------------------------------------------------------|
| present=True  | puts the own route in, with one insertion; replaces one whose priority or tags differ           |
| present=False | takes the own route away, with one deletion; it stays while no other member's route is alive    |
| present=None  | leaves the own route as it is                                                                   |
| drop=True     | deletes a peer's route if its next hop is dead, as the API says, or if its instance was created |
|---------------|-------------------------------------------------------------------------------------------------|
| created       | when this instance was created, in seconds since 1970: an own route from before is replaced     |
| address       | the own address on the network; needed if the instance is in another project than the network   |

Checked has for the agent:

| field   | type        | meaning                                                                                    |
|---------|-------------|--------------------------------------------------------------------------------------------|
| serving | list of str | where the traffic goes, by the API: paths of members, other next hops as routes name them  |
| serves  | bool        | whether the traffic comes here                                                             |
| here    | bool        | whether the own route is there, and alive: the node serves, or stands by with its priority |
| others  | list of str | the other members whose routes are alive, and shall stay                                   |
| held    | list of str | names of routes that should go, and stay, as no other one is alive                         |
| dead    | dict        | why a peer's route should go, a sentence each; by the route's name                         |

Rules 1 to 3 of route_set.py hold. So two nodes that go at the same moment delete both routes, and the reserve routes
of both take over: whatever happens, no agent deletes a reserve route. A node that has none yet makes its own, before it
deletes anything.
"""

from __future__ import annotations

from ..base.errors import NotFound
from ..clouds.gce_names import parse_time
from .facts import ask
from .outcome import Refused
from .route_set_decide import delete, insert, refuse_dead, until_active
from .route_set_goal import goal_problems
from .route_set_look import Place, is_reserve, look
from .route_set_steps import foreseen
from .route_table import birth, dead_codes, is_live, overlaps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from .plan import Memory, Pause, Step
    from .route_action import Action
    from .route_look import RouteApi
    from .route_set_decide import History
    from .route_set_goal import NodeGoal
    from .route_set_look import Observed
    from .route_table import Route


class Checked:
    """What a node sees. items: what is left to do, as far as can be foreseen."""

    problems: Sequence[str] = ()

    def __init__(self, observed: Observed, goal: NodeGoal, items: list[Step | Pause]) -> None:
        self.observed = observed
        self.items = items
        self.dead = _dead(observed, goal)
        own, gone, staying = _sorted_out(observed, goal)
        self.serving = observed.serving
        self.serves = goal.me.instance in self.serving
        self.here = any(map(is_live, own))
        self.others = sorted({observed.where(r) for r in staying if r not in own})
        self.held = [] if staying else [r["name"] for r in gone]

    def state(self) -> str:
        return self.observed.state()

    def to_diff(self) -> dict[str, Any]:
        return self.observed.to_diff()


def observe(client: RouteApi, goal: NodeGoal, memory: Memory) -> Checked:
    wrong = goal_problems(goal)
    if wrong:
        raise Refused(wrong)
    seen = look(client, goal, memory.facts.get("answers", {}))
    seen, (items, _states) = ask(
        client, seen, lambda o: foreseen(o, memory, lambda facts, history: decide(facts, history, goal))
    )
    seen, checked = ask(client, seen, lambda o: Checked(o, goal, items))
    memory.facts["answers"] = seen.answers
    return checked


def plan(checked: Checked, goal: NodeGoal, memory: Memory) -> list[Step | Pause]:
    return checked.items


def decide(o: Observed, history: History, goal: NodeGoal) -> Action | None:
    """The next thing to do; None if nothing is left."""
    refuse_dead(o, history)
    kept, reserve = _kept(o, goal), Place(goal.me, True)
    if goal.own and not kept:
        return insert(Place(goal.me, False), o, history)
    _own, gone, staying = _sorted_out(o, goal)
    reserves = [r for r in o.routes if is_reserve(r) and is_live(r) and overlaps(r, o.tags)]
    due = bool(gone and staying)
    if due and reserves:
        # Rule 2: that of anybody will do.
        waits = [until_active([each, *([kept] if kept else [])], o, history) for each in reserves]
        return delete(o, min(gone, key=lambda r: not is_live(r))) if None in waits else waits[0]
    if (due or goal.own is not None) and not o.keeper(reserve):
        return insert(reserve, o, history)
    return None


def _sorted_out(o: Observed, goal: NodeGoal) -> tuple[list[Route], list[Route], list[Route]]:
    """The own routes; of all members' routes those that should go, and those that are alive and stay. No reserves."""
    own = o.of(goal.me, False)
    kept = _kept(o, goal)
    gone = own if goal.own is False else [r for r in own if goal.own and r is not kept]
    dead = _dead(o, goal)
    gone = [*gone, *(r for r in o.routes if r["name"] in dead and goal.drop)]
    staying = [r for r in o.routes if _serves(o, r) and r["name"] not in dead and r not in gone and is_live(r)]
    return own, gone, staying


def _kept(o: Observed, goal: NodeGoal) -> Route | None:
    """The own route as it is wanted. One from before this instance was created is not: peers delete it."""
    route = o.keeper(Place(goal.me, False)) if goal.own else None
    return route if route and birth(route)[0] >= goal.created else None


def _serves(o: Observed, route: Route) -> bool:
    return not is_reserve(route) and overlaps(route, o.tags) and o.target(route) is not None


def _dead(o: Observed, goal: NodeGoal) -> dict[str, str]:
    """Of the peers' routes, those that nothing should be sent by; and why."""
    found = {}
    for route in o.routes:
        peer = o.target(route)
        if peer is None or peer is goal.me or is_reserve(route):
            continue
        codes = dead_codes(route.get("warnings"))
        if codes:
            found[route["name"]] = f"{peer.instance} is dead: {', '.join(codes)}"
        elif goal.drop and _created(o, peer.instance) > birth(route)[0]:
            found[route["name"]] = f"{peer.instance} was created after the route"
    return found


def _created(o: Observed, path: str) -> float:
    """When an instance was created, in seconds since 1970; 0 without one."""
    try:
        said = o.instance(path).get("creationTimestamp")
    except NotFound:
        return 0.0
    return parse_time(said) if said else 0.0

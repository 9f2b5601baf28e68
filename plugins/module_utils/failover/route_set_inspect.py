# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Looks at a set of routes for a person: who serves, who does not and why, and the obstacles to a change."""

from __future__ import annotations

from typing import NamedTuple

from ..base.errors import Denied, NotFound
from ..clouds.gce_names import normalise
from .facts import ask
from .gcp_preflight import INSTANCE_PERMISSIONS, ROUTE_PERMISSIONS
from .named_route import ask_permissions, route_path
from .outcome import Refused
from .route_problems import destination_problems
from .route_set_goal import MARK, Member, SetGoal, goal_problems
from .route_set_look import Observed, look
from .route_set_problems import member_problems
from .route_table import dead_codes, hop_of, is_live, priority_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .named_route import NamedRouteApi
    from .route_table import Route


class State(NamedTuple):
    """A member's routes. why: the reasons for which it gets no traffic; empty if it does."""

    member: Member
    route: Route | None
    reserve: Route | None
    serving: bool
    why: list[str]


class Findings(NamedTuple):
    """leftovers: routes of members beside the one that serves and the reserve."""

    seen: Observed
    members: list[State]
    foreign: list[Route]
    leftovers: list[Route]
    problems: list[str]


def inspect(client: NamedRouteApi, goal: SetGoal, preflight: bool) -> Findings:
    """goal: without members, they are those that have routes of the set. Raises Refused."""
    wrong = goal_problems(goal)
    if wrong:
        raise Refused(wrong)
    seen = look(client, goal, {})
    if not goal.members:
        goal.members = tuple(Member(each) for each in sorted(_found(client, seen)))
    seen, (members, foreign, leftovers) = ask(client, seen, _survey)
    return Findings(seen, members, foreign, leftovers, _obstacles(client, seen) if preflight else [])


def _found(client: NamedRouteApi, seen: Observed) -> set[str]:
    """The paths of the instances that routes of the set lead to."""
    paths = set()
    for route in seen.routes:
        if str(route.get("description") or "").startswith(f"{MARK}{seen.goal.name} "):
            hop, where = hop_of(route)
            if hop == "nextHopInstance":
                paths.add(where)
            elif hop == "nextHopIp":
                instance = client.find_instance_by_address(seen.goal.network, where)
                paths.update([normalise(instance["selfLink"])] if instance else [])
    return paths


def _survey(o: Observed) -> tuple[list[State], list[Route], list[Route]]:
    members = [_state(o, each) for each in o.goal.members]
    kept = {r["id"] for each in members for r in (each.route, each.reserve) if r}
    leftovers = [r for r in o.routes if r["id"] not in kept and o.owner(r)]
    o.state()  # all that a sentence needs is read now
    return members, o.foreign, leftovers


def _state(o: Observed, member: Member) -> State:
    route, reserve = (
        # What gets traffic says more than what is newer.
        min(o.of(member, kind), key=lambda r: (not is_live(r), priority_of(r)), default=None)
        for kind in (False, True)
    )
    serving = member.instance in o.serving
    why: list[str] = []
    if route is None:
        why.append("there is no route that serves: it is drained, or waits until it is healthy")
    else:
        why += [f"{route['name']}: {code}" for code in dead_codes(route.get("warnings"))]
        best = next((r for r in o.routes if is_live(r)), None)
        if not why and not serving and best:
            why.append(f"{best['name']} has a better priority, {priority_of(best)}")
    return State(member, route, reserve, serving, [] if serving else why)


def _obstacles(client: NamedRouteApi, seen: Observed) -> list[str]:
    """What would keep a change from working, or the traffic from members."""
    goal = seen.goal
    try:
        client.get_network(goal.network)
        found = destination_problems(goal.destination, lambda: client.list_subnetworks(goal.network))
    except (NotFound, Denied) as error:
        found = [f"network: {error}"]
    for member in goal.members:
        try:
            seen, problems = ask(client, seen, lambda o, m=member: member_problems(o, m))  # type: ignore[misc]
        except Denied as error:
            problems = [str(error)]
        found += problems
    if not goal.members:
        found.append(f"there is no route of {goal.name} to {goal.destination}: make the set, or give its members")
    return list(dict.fromkeys([*found, *_permission_problems(client, seen)]))


def _permission_problems(client: NamedRouteApi, seen: Observed) -> list[str]:
    goal = seen.goal
    # A route names an instance of another project by its address, which takes no permission to use the instance.
    wanted: dict[str, tuple[str, ...]] = {
        m.instance: INSTANCE_PERMISSIONS[:1] if goal.across(m) else INSTANCE_PERMISSIONS for m in goal.members
    }
    for route in seen.routes[:1]:
        wanted[route_path(client.project, route["name"])] = ROUTE_PERMISSIONS
    return ask_permissions(client, wanted, strict=True)[0]


def notes(o: Observed) -> list[str]:
    """Oddities of the routes, a sentence each."""
    texts = [
        f"{r['name']}: {w.get('code')}: {w.get('message', '')}".rstrip(": ")
        for r in o.routes
        for w in r.get("warnings") or ()
    ]
    return texts + [
        f"{r['name']} (priority {priority_of(r)}, to {o.where(r)}) is no route of {o.goal.name}"
        + (", and gets traffic" if is_live(r) and o.where(r) in o.serving else "")
        for r in o.foreign
    ]

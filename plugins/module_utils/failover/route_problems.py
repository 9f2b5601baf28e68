# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Finds the problems that forbid to move a route. Pure: from facts, a goal and a run's history to sentences."""

from __future__ import annotations

import contextlib

from ..base.errors import AlreadyExists, Denied, NotFound, Unavailable
from ..clouds.gce_names import normalise, parse_address, parse_cidr
from .route_look import addresses
from .route_table import BEST, WORST, hop_of, next_hop_of, priority_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from .route_decide import History
    from .route_look import Observed

TAKEN = 5  # conflicts in a row, before a name counts as taken by a route to somewhere else


def problems(o: Observed, history: History, first: bool) -> tuple[list[str], bool]:
    """The blocking problems; and whether network, destination and next hop were found fit, by now or before.

    first: whether nothing was changed yet. Only then holder and fitness are looked at. Raises Unread.
    """
    goal = o.goal
    found = [*_hop_problems(o), *_route_problems(o, history)]
    if not first:
        return found, history.checked
    if goal.check or goal.expected_holder:
        _ask_for_owner(o)
    if goal.expected_holder:
        found += _holder_problems(o)
    if not goal.check or not goal.present or history.checked:
        return found, history.checked
    unfit = _fitness_problems(o)
    return found + unfit, not unfit


def _hop_problems(o: Observed) -> list[str]:
    """Of a next hop in another project, which was looked at before the routes were."""
    path = o.goal.next_hop or ""
    if not o.asked_hop:
        return []
    try:
        return instance_problems(o.instance(path), path, o.goal.network)
    except NotFound as error:
        return [f"next hop: the instance {path} does not exist ({error})"]


def _route_problems(o: Observed, history: History) -> list[str]:
    """The problems with the present routes."""
    goal, problems = o.goal, []
    named = next((r for r in o.all if r["name"] == goal.name), None)
    if named and named is not o.original:
        problems.append(
            f"the route {goal.name} is on another network, {normalise(named.get('network', ''))}: "
            "choose another name, or delete that route"
        )
    taken = history.insert_conflicts
    if not named and len(taken) >= TAKEN and isinstance(taken[-1], AlreadyExists):
        problems.append(
            f"there is a route {goal.name} with another destination than {goal.destination} ({taken[-1]}): "
            "choose another name, or delete that route"
        )
    if not goal.present:
        return problems
    if not o.wanted.hop[0]:
        problems.append("next hop: none is given, and there is no route that has one")
    if not BEST < o.wanted.priority <= WORST and goal.priority is None:
        problems.append(
            f"the route {goal.name} has priority {o.wanted.priority}, which leaves no room for a better one: "
            f"give a priority from 1 to {WORST}"
        )
    for route in [*o.intruders, *([o.original] if o.original else [])]:
        if not hop_of(route)[0]:
            problems.append(
                f"the route {route['name']} to {goal.destination} is made by the network: it cannot be moved"
            )
        elif route in o.intruders and not goal.exclusive:
            problems.append(
                f"the route {route['name']} (priority {priority_of(route)}, to {next_hop_of(route)}) has the same "
                f"destination {goal.destination}, and would keep the traffic from a route with priority "
                f"{o.wanted.priority}: delete it, give a better priority, or ask for it to be deleted (exclusive)"
            )
    return problems


def _holder_problems(o: Observed) -> list[str]:
    """The holder must be the expected one; or the wanted one already, so that a run can be repeated."""
    goal, expected = o.goal, o.goal.expected_holder
    holder = o.holder
    address = next_hop_of(o.effective)
    if not expected or not holder or not address:
        return []
    if o.effective and goal.present and hop_of(o.effective) == o.wanted.hop:
        return []
    names = [holder, address]
    if parse_address(holder) is not None and parse_address(expected) is None:
        instance = o.instance_at(holder)
        names.append(normalise(instance["selfLink"]) if instance else holder)
    elif parse_address(expected) is not None and parse_address(holder) is None and "/instances/" in holder:
        with contextlib.suppress(NotFound):
            names += addresses(o.instance(holder), goal.network)
    if expected in names or ("/" not in expected and any(n.endswith(f"/{expected}") for n in names)):
        return []
    return [f"{goal.destination} goes to {holder}, and not to the expected holder {expected}"]


def _ask_for_owner(o: Observed) -> None:
    """Whose the address is that the traffic goes to. It is for people: a caller without the permission to see it is
    told the address."""
    holder = o.holder
    if holder and parse_address(holder) is not None:
        with contextlib.suppress(Denied, NotFound, Unavailable):
            o.instance_at(holder)


def _fitness_problems(o: Observed) -> list[str]:
    """Settings that cannot work, but that the API would accept, or refuse only after the first mutation."""
    goal = o.goal
    try:
        o.network()
    except NotFound as error:
        return [f"network: {goal.network} does not exist ({error})"]
    problems = destination_problems(goal.destination, o.subnetworks)
    hop, where = o.wanted.hop
    if hop == "nextHopInstance":
        try:
            problems += instance_problems(o.instance(where), where, goal.network)
        except NotFound as error:
            problems.append(f"next hop: the instance {where} does not exist ({error})")
    elif hop == "nextHopIp" and not goal.across:
        instance = o.instance_at(where)
        if instance:
            problems += instance_problems(instance, where, goal.network)
        else:
            problems.append(
                f"next hop: no instance has {where} as the primary address of an interface on {goal.network}; "
                "an alias address will not do, and in other projects it is looked for only if they are given "
                "(instance_projects)"
            )
    return problems


def destination_problems(destination: str, subnetworks: Callable[[], list[dict[str, Any]]]) -> list[str]:
    """Why no route of the network can take the destination. subnetworks: reads those of the network."""
    problems: list[str] = []
    try:
        first, last = parse_cidr(destination)
        for subnetwork in subnetworks():
            secondary = (each.get("ipCidrRange") for each in subnetwork.get("secondaryIpRanges") or ())
            for cidr in (subnetwork.get("ipCidrRange"), *secondary):
                begin, end = parse_cidr(cidr) if cidr else (last, first - 1)
                if begin <= first and last <= end:
                    problems.append(
                        f"destination: {destination} is inside the range {cidr} of the subnet "
                        f"{subnetwork.get('name')}: a route cannot take addresses of a subnet, choose one outside"
                    )
    except NotFound as error:
        problems.append(str(error))
    return problems


def instance_problems(instance: dict[str, Any], where: str, network: str) -> list[str]:
    problems = []
    if not instance.get("canIpForward"):
        problems.append(f"next hop: {where} may not forward packets: make it anew with canIpForward")
    if instance.get("status") != "RUNNING":
        problems.append(f"next hop: {where} is not RUNNING but {instance.get('status')}: start it")
    if not addresses(instance, network):
        problems.append(f"next hop: {where} has no interface on {network}")
    return problems

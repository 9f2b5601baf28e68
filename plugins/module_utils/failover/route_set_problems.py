# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Finds the problems that forbid to change a set of routes. Pure: from facts and a goal to sentences."""

from __future__ import annotations

from ..base.errors import NotFound
from .route_problems import destination_problems, instance_problems
from .route_set_goal import PRESENT
from .route_set_look import Place, is_reserve
from .route_table import hop_of, is_live, overlaps, priority_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .route_set_goal import Member
    from .route_set_look import Observed


def problems(o: Observed, first: bool) -> list[str]:
    """The blocking problems. first: whether nothing was changed yet; only then is fitness looked at. Raises Unread."""
    if not o.goal.present:
        return []
    found = _network_made(o)
    if first:
        found += _unfit(o)
        found += _last_one(o) if not found else []
    return found


def _network_made(o: Observed) -> list[str]:
    if not o.goal.exclusive:
        return []
    return [
        f"the route {r['name']} to {o.goal.destination} is made by the network: it cannot be deleted (exclusive)"
        for r in o.outdated
        if not hop_of(r)[0]
    ]


def _unfit(o: Observed) -> list[str]:
    """What the API would accept, and could not work: of members that need a new route."""
    goal = o.goal
    members = list(dict.fromkeys(place.member for place in o.places if not o.keeper(place)))
    if not members:
        return []
    try:
        o.network()
    except NotFound as error:
        return [f"network: {goal.network} does not exist ({error})"]
    found = destination_problems(goal.destination, o.subnetworks)
    for member in members:
        found += member_problems(o, member)
    return found


def member_problems(o: Observed, member: Member) -> list[str]:
    """Why a member can be no next hop."""
    try:
        return instance_problems(o.instance(member.instance), member.instance, o.goal.network)
    except NotFound as error:
        return [f"next hop: the instance {member.instance} does not exist ({error})"]


def _last_one(o: Observed) -> list[str]:
    """Rule 6. All that need a new route are known to be fit by now."""
    keepers = [o.keeper(Place(m, False)) for m in o.goal.members if m.state == PRESENT]
    if any(route is None or is_live(route) for route in keepers):
        return []
    return [
        f"the route {r['name']} (priority {priority_of(r)}, to {o.where(r)}) is to go, and no other member is alive"
        f" that could serve {o.goal.destination}: it is the last active one. Have another member run first, or delete"
        " all routes (state=absent)"
        for r in o.outdated
        if o.owner(r) and is_live(r) and not is_reserve(r) and overlaps(r, o.tags)
    ]

# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Routes as the API lists them: where each leads, which one wins, which one is newer."""

from __future__ import annotations

import json

from ..clouds.gce_names import normalise, parse_time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    Route = dict[str, Any]

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
MARK = "cloudha.vip: temporary, for the route "  # how the description of a temporary begins; the route's name follows
LONGEST_DESCRIPTION = 2048


def is_temporary(route: Route, name: str) -> bool:
    """Whether a run made it for the route of this name."""
    return str(route.get("description") or "").startswith(f"{MARK}{name} ")


def mark(name: str, priority: int, description: str) -> str:
    """The description of a temporary for the route of this name. It keeps a description of the original."""
    text = f"{MARK}{name} {json.dumps({'priority': priority, 'description': description}, separators=(',', ':'))}"
    return text if len(text) <= LONGEST_DESCRIPTION else f"{MARK}{name} {json.dumps({'priority': priority})}"


def remembered(temporary: Route, name: str) -> Route:
    """The original as a temporary for it remembers it: next hop and tags, and the text of its mark."""
    original = {**temporary, "description": "", "priority": DEFAULT_PRIORITY}
    try:
        said = json.loads(temporary["description"][len(MARK) + len(name) + 1 :])
    except ValueError:
        said = None
    if isinstance(said, dict):
        original.update({key: said[key] for key in ("priority", "description") if key in said})
    return original


def next_hop_of(route: Route | None) -> str | None:
    """Where a route leads: the path of an instance or another resource, or an address."""
    if not route:
        return None
    return hop_of(route)[1] or next((normalise(route[key]) for key in UNDELETABLE if route.get(key)), None)


def effective(routes: Iterable[Route], tags: Iterable[str] = ()) -> Route | None:
    """Of the routes of one network to one destination, the one that wins for senders with these tags.

    If none is for them, the one that wins for any.
    """
    alive = sorted((r for r in routes if is_live(r)), key=precedence)
    tags = set(tags)
    for_them = [r for r in alive if not r.get("tags") or not tags.isdisjoint(r["tags"])]
    return next(iter(for_them or alive), None)


def holder_of(routes: Iterable[Route], network: str, tags: Iterable[str] = ()) -> str | None:
    """The next hop that gets the traffic, by all routes with one destination, as list_routes() gives them."""
    network = normalise(network)
    return next_hop_of(effective((r for r in routes if normalise(r.get("network", "")) == network), tags))


def hop_of(route: Route) -> tuple[str, str]:
    """The field that names a next hop which can be set, and its value as a path or an address; empty without one."""
    return next(((key, normalise(route[key], route.get("network", ""))) for key in HOPS if route.get(key)), ("", ""))


def priority_of(route: Route) -> int:
    return int(route.get("priority", DEFAULT_PRIORITY))


def is_live(route: Route) -> bool:
    return not dead_codes(route.get("warnings"))


def dead_codes(warnings: Any) -> list[str]:
    """Those of a route's or an operation's warnings which say that the next hop is dead."""
    return [w["code"] for w in warnings or () if w.get("code") in DEAD]


def overlaps(route: Route, tags: Iterable[str]) -> bool:
    """Whether there can be senders for whom both apply, this route and one with these tags. Without tags: for all."""
    own = route.get("tags") or ()
    return not own or not tags or not set(own).isdisjoint(tags)


def precedence(route: Route) -> tuple[int, tuple[float, int]]:
    """Sorts the winner first; of equals, which share the traffic, the newest."""
    created, number = birth(route)
    return priority_of(route), (-created, -number)


def birth(route: Route) -> tuple[float, int]:
    """A total order of all routes by age, the same for all callers: the larger, the newer."""
    created = route.get("creationTimestamp", 0.0)
    return created if isinstance(created, float) else parse_time(created), int(route["id"])


def is_newest(route: Route, others: Iterable[Route]) -> bool:
    """Only then may the others be deleted on its account."""
    return all(birth(other) < birth(route) for other in others)


def shown(routes: Iterable[Route]) -> list[dict[str, Any]]:
    """The routes for a person to compare with those that are wanted."""
    return [
        {
            "name": r["name"],
            "priority": priority_of(r),
            "next_hop": next_hop_of(r),
            "tags": sorted(r.get("tags") or ()),
            "description": r.get("description", ""),
        }
        for r in routes
    ]

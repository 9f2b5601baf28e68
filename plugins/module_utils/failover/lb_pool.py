# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The active pool of a passthrough load balancer: the backends that get new connections. Pure.

The API tells the health of each backend, and not which of them it uses.
"""

from __future__ import annotations

from typing import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

HEALTHY = "HEALTHY"
PRIMARY, FAILOVER, LAST_RESORT, NONE = "primary", "failover", "all_unhealthy_primaries", "none"


class Backend(NamedTuple):
    """instance, group: paths. failover: whether it is a backup. health: HEALTHY, UNHEALTHY, or UNKNOWN."""

    instance: str
    group: str
    failover: bool
    health: str


class Pool(NamedTuple):
    """name: PRIMARY, FAILOVER, LAST_RESORT or NONE. active: the backends that get new connections."""

    name: str
    active: Sequence[Backend]


def active_pool(backends: Iterable[Backend], ratio: float = 0.0, drop: bool = False) -> Pool:
    """ratio: the part of the primaries that has to be healthy; 0: at least one of them. drop: whether nobody gets the
    connections when nobody is healthy; else all primaries get them. That is never so without a backup.
    """
    every = list(backends)
    backups = [each for each in every if each.failover]
    primaries = [each for each in every if not each.failover]
    healthy = [each for each in primaries if each.health == HEALTHY]
    spare = [each for each in backups if each.health == HEALTHY]
    enough = healthy and len(healthy) / len(primaries) >= ratio
    if spare and not enough:
        return Pool(FAILOVER, spare)
    if healthy:
        return Pool(PRIMARY, healthy)
    if not primaries or (drop and backups):
        return Pool(NONE, ())
    return Pool(LAST_RESORT, primaries)

# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The fields of backend services, their options and where the API has them; and ports of forwarding rules."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    Resource = dict[str, Any]

# Of a forwarding rule: the protocol of its backend service, and the end of its name beside others.
PROTOCOLS = {"TCP": ("TCP", "tcp"), "UDP": ("UDP", "udp"), "L3_DEFAULT": ("UNSPECIFIED", "all")}
ALL_PORTS = ("all",)
SERVICE_FIELDS: dict[str, tuple[str, ...]] = {
    "ratio": ("failoverPolicy", "failoverRatio"),
    "drop_if_unhealthy": ("failoverPolicy", "dropTrafficIfUnhealthy"),
    "drain": ("failoverPolicy", "disableConnectionDrainOnFailover"),
    "draining_timeout_s": ("connectionDraining", "drainingTimeoutSec"),
    "session_affinity": ("sessionAffinity",),
    "tracking_mode": ("connectionTrackingPolicy", "trackingMode"),
    "persistence": ("connectionTrackingPolicy", "connectionPersistenceOnUnhealthyBackends"),
    "idle_timeout_s": ("connectionTrackingPolicy", "idleTimeoutSec"),
}
FAILOVER = ("ratio", "drop_if_unhealthy", "drain")
# The API asks the opposite.
OPPOSITE = frozenset(("drain",))
SERVICE_RANGES: dict[str, tuple[float, float]] = {
    "ratio": (0, 1),
    "draining_timeout_s": (0, 3600),
    "idle_timeout_s": (600, 57600),
}


def option_of(name: str) -> str:
    """How a user calls a field of a backend service."""
    return f"failover.{name}" if name in FAILOVER else name


def to_api(name: str, value: Any) -> Any:
    """The API's value of an option's."""
    if name in OPPOSITE:
        return not value
    return value.upper() if name in ("session_affinity", "tracking_mode", "persistence") else value


def to_option(name: str, value: Any) -> Any:
    """The option's value of the API's."""
    if name in OPPOSITE:
        return not value
    return value.lower() if name in ("session_affinity", "tracking_mode", "persistence") else value


def plain_rule(rule: Resource) -> Resource:
    """A forwarding rule whose ports are a list, or all: the API may say a range."""
    ports = rule.get("portRange")
    if not ports or rule.get("ports") or rule.get("allPorts"):
        return rule
    first, _dash, last = str(ports).partition("-")
    if (first, last) == ("1", "65535"):
        return {**rule, "allPorts": True}
    return {**rule, "ports": [str(port) for port in range(int(first), int(last or first) + 1)]}


def ports_of(rule: Mapping[str, Any]) -> tuple[Any, ...]:
    """The ports of a forwarding rule, as a goal has them."""
    return ALL_PORTS if rule.get("allPorts") else tuple(sorted(int(port) for port in rule.get("ports") or ()))

# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The fields of health checks and backend services: their options, where the API has them, what it means by none."""

from __future__ import annotations

from ..clouds.gce_names import normalise

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    Resource = dict[str, Any]

# Of a forwarding rule: the protocol of its backend service, and the end of its name beside others.
PROTOCOLS = {"TCP": ("TCP", "tcp"), "UDP": ("UDP", "udp"), "L3_DEFAULT": ("UNSPECIFIED", "all")}
ALL_PORTS = ("all",)
# Where probes come from, by the scheme of the load balancer.
PROBE_RANGES = {
    "EXTERNAL": ("209.85.152.0/22", "209.85.204.0/22", "35.191.0.0/16"),
    "INTERNAL": ("130.211.0.0/22", "35.191.0.0/16"),
}
# The part of a health check that depends on its type stands for itself.
PROBE = "PROBE"
PROBES = {"HTTP": "httpHealthCheck", "TCP": "tcpHealthCheck"}
CHECK_FIELDS: dict[str, tuple[str, ...]] = {
    "port": (PROBE, "port"),
    "path": (PROBE, "requestPath"),
    "host": (PROBE, "host"),
    "response": (PROBE, "response"),
    "interval_s": ("checkIntervalSec",),
    "timeout_s": ("timeoutSec",),
    "healthy_threshold": ("healthyThreshold",),
    "unhealthy_threshold": ("unhealthyThreshold",),
    "log": ("logConfig", "enable"),
}
HTTP_ONLY = ("path", "host", "response")
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
RANGES: dict[str, tuple[float, float]] = {
    "port": (1, 65535),
    "interval_s": (1, 300),
    "timeout_s": (1, 300),
    "healthy_threshold": (1, 10),
    "unhealthy_threshold": (1, 10),
    "ratio": (0, 1),
    "draining_timeout_s": (0, 3600),
    "idle_timeout_s": (600, 57600),
}
# What the API means when it says nothing.
DEFAULTS: dict[str, Any] = {
    "checkIntervalSec": 5,
    "connectionPersistenceOnUnhealthyBackends": "DEFAULT_FOR_PROTOCOL",
    "direction": "INGRESS",
    "drainingTimeoutSec": 0,
    "healthyThreshold": 2,
    "idleTimeoutSec": 600,
    "port": 80,
    "portSpecification": "USE_FIXED_PORT",
    "purpose": "GCE_ENDPOINT",
    "requestPath": "/",
    "sessionAffinity": "NONE",
    "timeoutSec": 5,
    "trackingMode": "PER_CONNECTION",
    "unhealthyThreshold": 2,
}
_URLS = frozenset(("backendService", "group", "healthChecks", "network", "subnetwork"))


def option_of(name: str) -> str:
    """How a user calls a field."""
    if name in CHECK_FIELDS:
        return f"health_check.{name}"
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


def read(body: Mapping[str, Any], path: Sequence[str]) -> Any:
    """The value at a path, or what the API means by none."""
    value: Any = body
    for part in path:
        value = value.get(part) if isinstance(value, dict) else None
    return DEFAULTS.get(path[-1]) if value is None else value


def write(body: Resource, path: Sequence[str], value: Any) -> None:
    """Set the value at a path; what is above it is copied, and not shared with anybody."""
    for part in path[:-1]:
        body[part] = dict(body.get(part) or {})
        body = body[part]
    body[path[-1]] = value


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


def differs(name: str, old: Any, new: Any) -> bool:
    """Whether a field is not as it should be. Of a field that has fields, only those are compared that are wanted."""
    if isinstance(new, dict):
        return any(differs(key, (old or {}).get(key), value) for key, value in new.items())
    return _comparable(name, old) != _comparable(name, new)


def _comparable(name: str, value: Any) -> Any:
    if value is None:
        value = DEFAULTS.get(name)
    if name == "backends":
        return sorted((normalise(each.get("group")), bool(each.get("failover"))) for each in value or ()) or None
    if isinstance(value, (list, tuple)):
        value = sorted((_comparable(name, each) for each in value), key=repr)
    elif isinstance(value, dict):
        value = {key: _comparable(key, each) for key, each in value.items() if each}
    elif name in _URLS:
        value = normalise(value)
    elif name == "IPProtocol":
        value = str(value).upper()
    # Nothing, none and no are the same to the API.
    return value or None

# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The fields of Compute Engine's resources: how to read, write and compare them, and what the API means by none."""

from __future__ import annotations

from ..clouds.gce_names import normalise

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    Resource = dict[str, Any]

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


def merged(old: Resource, patch: Resource) -> Resource:
    """A JSON merge patch, as the API carries it out."""
    new = dict(old)
    for name, value in patch.items():
        if isinstance(value, dict):
            value = merged(new.get(name) or {}, value)
        new[name] = value
    return {name: value for name, value in new.items() if value is not None}

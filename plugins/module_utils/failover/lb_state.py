# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The present state of a passthrough load balancer in the words of the modules' options."""

from __future__ import annotations

from ..clouds.gce_names import last_part, normalise, zone_of
from .gcp_checks import PROBE_RANGES, shown_check, shown_rule
from .gcp_fields import read
from .lb_fields import FAILOVER, PROTOCOLS, SERVICE_FIELDS, ports_of, to_option

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

    from .lb_look import Observed

    Resource = dict[str, Any]


def describe(o: Observed) -> dict[str, Any]:
    """All that there is. Where the forwarding rules or backend services of several protocols differ, by protocol."""
    rules, services = _rules(o), _services(o)
    shown = {
        "address": _common({name: each.get("IPAddress") for name, each in rules.items()})
        or (o.address[1] or {}).get("address"),
        "scheme": _common({name: str(each.get("loadBalancingScheme")).lower() for name, each in services.items()}),
        "network": _common({name: normalise(each.get("network")) or None for name, each in rules.items()}),
        "subnetwork": _common({name: normalise(each.get("subnetwork")) or None for name, each in rules.items()}),
        "protocols": list(rules),
        "ports": _common({name: list(ports_of(each)) for name, each in rules.items()}),
        "global_access": _common({name: bool(each.get("allowGlobalAccess")) for name, each in rules.items()}),
        "health_check": _check(o, services),
        "groups": _common({name: _groups(o, each) for name, each in services.items()}),
        "failover": _common({name: _failover(each) for name, each in services.items()}),
    }
    for name, path in SERVICE_FIELDS.items():
        if name not in FAILOVER:
            shown[name] = _common({key: to_option(name, read(each, path)) for key, each in services.items()})
    shown["firewall"] = _firewall(o, services) if o.goal.firewall else None
    shown["leftovers"] = leftovers(o)
    return shown


def _common(values: Mapping[str, Any]) -> Any:
    """The one value of all protocols; if they differ, all of them."""
    different = list(values.values())
    if not different:
        return None
    return different[0] if all(each == different[0] for each in different) else dict(values)


def _services(o: Observed) -> dict[str, Resource]:
    """The backend services by protocol."""
    words = dict(PROTOCOLS.values())
    found = {words.get(str(each.get("protocol"))): each for _path, each in o.named("backendServices")}
    return {word: found[word] for word in words.values() if word in found}


def _rules(o: Observed) -> dict[str, Resource]:
    """The forwarding rules by protocol, of those that lead to the load balancer's backend services."""
    services = [path for path, _each in o.named("backendServices")]
    found = {
        str(each.get("IPProtocol")): each
        for _path, each in o.named("forwardingRules")
        if normalise(each.get("backendService")) in services
    }
    return {word: found[name] for name, (_service, word) in PROTOCOLS.items() if name in found}


def _check(o: Observed, services: Mapping[str, Resource]) -> Any:
    """The health check in use; before there is a backend service, the one that is there."""
    if services:
        return _common({name: _one_check(o, each.get("healthChecks") or ()) for name, each in services.items()})
    return _one_check(o, [path for path in o.goal.check_paths if path in o.resources])


def _one_check(o: Observed, urls: Iterable[str]) -> dict[str, Any] | None:
    path = next(map(normalise, urls), None)
    body = o.resources.get(path or "")
    if path is None or body is None:
        return {"name": last_part(path)} if path else None
    return {**shown_check(body), "scope": "global" if "/global/" in path else "regional"}


def _groups(o: Observed, service: Resource) -> dict[str, Any]:
    """The backends, each by zone and name."""
    shown = {}
    for backend in service.get("backends") or ():
        path = normalise(backend.get("group"))
        members = o.members.get(path)
        shown[f"{zone_of(path)}/{last_part(path)}"] = {
            "failover": bool(backend.get("failover")),
            "instances": None if members is None else sorted(map(last_part, members)),
        }
    return shown


def _failover(service: Resource) -> dict[str, Any]:
    values = {name: to_option(name, read(service, SERVICE_FIELDS[name])) for name in FAILOVER}
    return {**values, "ratio": values["ratio"] or 0, "drop_if_unhealthy": bool(values["drop_if_unhealthy"])}


def _firewall(o: Observed, services: Mapping[str, Resource]) -> dict[str, Any] | None:
    schemes = [str(each.get("loadBalancingScheme")) for each in services.values()]
    # As it is, even if another one is wanted.
    ranges = PROBE_RANGES[next((each for each in schemes if each in PROBE_RANGES), o.scheme)]
    return shown_rule(o.resources.get(o.firewall_path), o.resources.get(o.present_check or ""), ranges)


def leftovers(o: Observed) -> list[str]:
    """What was made for the load balancer and is not a part of it: no forwarding rule leads there."""
    kinds = ("backendServices", "healthChecks", "instanceGroups")
    found = [path for kind in kinds for path, _body in o.collection(kind) if o.is_mine(path) and not o.users(path)]
    return [path for path in found if path != o.present_check]

# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a passthrough load balancer should consist of. Pure: from facts and a goal to bodies for the API.

A body has all that is wanted of an object. What an option leaves open is as it is, and a new object's as a default.
"""

from __future__ import annotations

from ..clouds.gce_names import full_url, normalise
from .gcp_checks import PROBE_RANGES, check_body, probed_port, rule_body
from .gcp_fields import DEFAULTS, read, write
from .gcp_objects import Item, item_of
from .lb_fields import ALL_PORTS, FAILOVER, PROTOCOLS, SERVICE_FIELDS, ports_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

    from .lb_goal import LbGoal
    from .lb_look import Observed

    Resource = dict[str, Any]

# Of an address, ports and a protocol: a session is then one connection.
FIVE_FIELDS = ("NONE", "CLIENT_IP_PORT_PROTO")
DEFAULT_IDLE = DEFAULTS["idleTimeoutSec"]
# A passthrough load balancer has no capacities; what the API says about them is not sent back.
_CAPACITIES = ("capacityScaler", "customMetrics", "max", "preference", "trafficDuration")


def wanted(o: Observed) -> list[Item]:
    """All objects, in the order in which the API takes them."""
    goal = o.goal
    items = [_item(o, o.address[0], _address(o))]
    if goal.firewall:
        items.append(_item(o, o.firewall_path, _firewall(o)))
    items.append(_item(o, o.check_path, _check(o)))
    items += (_group(o, group) for group in goal.groups or ())
    for protocol in o.protocols:
        path = o.place_of("backendServices", protocol)
        items.append(_item(o, path, _service(o, path, PROTOCOLS[protocol][0])))
    for protocol in o.protocols:
        path = o.place_of("forwardingRules", protocol)
        items.append(_item(o, path, _rule(o, path, protocol)))
    return items


def _item(o: Observed, path: str, body: Resource, **more: Any) -> Item:
    return item_of(path, o.resources.get(path), body, o.goal.mark, **more)


def _address(o: Observed) -> Resource:
    body: Resource = {"addressType": o.scheme}
    if o.ip:
        body["address"] = o.ip
    if o.scheme == "INTERNAL":
        if o.subnetwork:
            body["subnetwork"] = full_url(o.subnetwork)
        # One with room for several rules will do for a single one.
        if len(o.protocols) > 1:
            body["purpose"] = "SHARED_LOADBALANCER_VIP"
        elif o.address[1] is None:
            body["purpose"] = "GCE_ENDPOINT"
    return body


def _firewall(o: Observed) -> Resource:
    # Rule 6: the probes of the present health check pass until it has changed.
    check = o.resources.get(o.present_check or "")
    ports = [probed_port(o.goal.check.get("port"), check), *([probed_port(None, check)] if check else [])]
    return rule_body(ports, PROBE_RANGES[o.scheme], o.goal.targets, o.network)


def _check(o: Observed) -> Resource:
    present = o.resources.get(o.present_check or "") or {}
    return check_body(o.goal.check_kind, o.goal.check, present, o.check_path not in o.resources)


def _group(o: Observed, group: Any) -> Item:
    body = {"network": full_url(o.network)} if o.network and group.path not in o.resources else {}
    members = set(o.members.get(group.path, ()))
    added = tuple(each for each in group.instances or () if each not in members)
    others = members - set(group.instances or ())
    removed = tuple(sorted(others)) if o.goal.exclusive and group.instances is not None else ()
    return _item(o, group.path, body, added=added, removed=removed)


def backends(o: Observed, found: Resource) -> list[Resource]:
    """Of a backend service: those that are wanted, and others, unless these are taken away."""
    goal = o.goal
    declared = {group.path: group for group in goal.groups or ()}
    before = {normalise(each.get("group")): each for each in found.get("backends") or ()}
    kept = [path for path in before if path in declared or goal.groups is None or not goal.exclusive]
    result = []
    for path in dict.fromkeys([*kept, *declared]):
        backend = {name: value for name, value in before.get(path, {}).items() if not name.startswith(_CAPACITIES)} or {
            "group": full_url(path),
            "balancingMode": "CONNECTION",
        }
        failover = declared[path].failover if path in declared else None
        if failover is not None and failover != bool(backend.get("failover")):
            backend["failover"] = failover
        result.append(backend)
    return result


def _service(o: Observed, path: str, protocol: str) -> Resource:
    found = o.resources.get(path) or {}
    body: Resource = {
        "loadBalancingScheme": o.scheme,
        "protocol": protocol,
        "healthChecks": [full_url(o.check_path)],
        "backends": backends(o, found),
    }
    for name, value in o.goal.service.items():
        # Connections of UDP are none that could be drained, and the API takes no word about them.
        if name != "drain" or protocol != "UDP":
            write(body, SERVICE_FIELDS[name], value)
    if not has_sessions({**found, **body}, found) and read(found, SERVICE_FIELDS["idle_timeout_s"]) != DEFAULT_IDLE:
        write(body, SERVICE_FIELDS["idle_timeout_s"], None)
    if has_backup(found.get("backends")) and not has_backup(body["backends"]):
        # The API takes no policy for a failover without a backup.
        body["failoverPolicy"] = None
    return body


def has_sessions(service: Mapping[str, Any], before: Mapping[str, Any]) -> bool:
    """Whether a backend service tracks sessions of several connections; what it does not say is as before."""
    tracking = SERVICE_FIELDS["tracking_mode"]
    mode = (service.get(tracking[0]) or {}).get(tracking[1]) or read(before, tracking)
    return mode == "PER_SESSION" and read(service, SERVICE_FIELDS["session_affinity"]) not in FIVE_FIELDS


def has_backup(each: Iterable[Mapping[str, Any]] | None) -> bool:
    return any(backend.get("failover") for backend in each or ())


def wants_failover(goal: LbGoal) -> bool:
    """Whether a policy for a failover is asked for."""
    return any(name in goal.service for name in FAILOVER)


def _rule(o: Observed, path: str, protocol: str) -> Resource:
    goal, found = o.goal, o.resources.get(path)
    body: Resource = {
        "loadBalancingScheme": o.scheme,
        "IPProtocol": protocol,
        "backendService": full_url(o.place_of("backendServices", protocol)),
    }
    if o.ip:
        body["IPAddress"] = o.ip
    ports = goal.ports or _present_ports(o, found)
    if ports == ALL_PORTS or protocol == "L3_DEFAULT":
        body["allPorts"] = True
    else:
        body["ports"] = [str(port) for port in ports]
    if o.scheme == "INTERNAL":
        body["network"] = full_url(o.network or "")
        body["subnetwork"] = full_url(o.subnetwork or "")
    else:
        body["networkTier"] = (o.address[1] or {}).get("networkTier") or "PREMIUM"
    if goal.global_access is not None:
        body["allowGlobalAccess"] = goal.global_access
    elif found is None and any(rule.get("allowGlobalAccess") for _path, rule in o.named("forwardingRules")):
        body["allowGlobalAccess"] = True
    return body


def _present_ports(o: Observed, rule: Resource | None) -> tuple[Any, ...]:
    """Of the rule, or of another protocol's; by default 80."""
    for each in (rule, *(other for _path, other in o.named("forwardingRules"))):
        if each and ports_of(each):
            return ports_of(each)
    return (DEFAULTS["port"],)

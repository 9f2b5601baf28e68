# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a passthrough load balancer should consist of. Pure: from facts and a goal to bodies for the API.

A body has all that is wanted of an object. What an option leaves open is as it is, and a new object's as a default.
"""

from __future__ import annotations

from typing import NamedTuple

from ..clouds.gce_names import full_url, last_part, normalise
from .lb_fields import (
    ALL_PORTS,
    CHECK_FIELDS,
    DEFAULTS,
    FAILOVER,
    HTTP_ONLY,
    PROBE,
    PROBE_RANGES,
    PROBES,
    PROTOCOLS,
    SERVICE_FIELDS,
    differs,
    ports_of,
    read,
    write,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

    from .lb_goal import LbGoal
    from .lb_look import Observed

    Resource = dict[str, Any]

NOUNS = {
    "addresses": "address",
    "backendServices": "backend service",
    "firewalls": "firewall rule",
    "forwardingRules": "forwarding rule",
    "healthChecks": "health check",
    "instanceGroups": "instance group",
}
# What the API changes in place; a forwarding rule's backend service by a request of its own.
_IN_PLACE = {
    "addresses": frozenset(),
    "backendServices": frozenset(
        (
            "backends",
            "connectionDraining",
            "connectionTrackingPolicy",
            "failoverPolicy",
            "healthChecks",
            "sessionAffinity",
        )
    ),
    "firewalls": frozenset(("allowed", "disabled", "sourceRanges", "targetServiceAccounts", "targetTags")),
    "forwardingRules": frozenset(("allowGlobalAccess", "backendService")),
    "healthChecks": frozenset(
        ("checkIntervalSec", "healthyThreshold", "logConfig", "timeoutSec", "unhealthyThreshold", *PROBES.values())
    ),
    "instanceGroups": frozenset(),
}
# Of an address, ports and a protocol: a session is then one connection.
FIVE_FIELDS = ("NONE", "CLIENT_IP_PORT_PROTO")
DEFAULT_IDLE = DEFAULTS["idleTimeoutSec"]
# A passthrough load balancer has no capacities; what the API says about them is not sent back.
_CAPACITIES = ("capacityScaler", "customMetrics", "max", "preference", "trafficDuration")


class Item(NamedTuple):
    """An object that is wanted: its path, what is there, and what should be there.

    added, removed: instances of a group.
    """

    path: str
    found: Resource | None
    body: Resource
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        """Its collection, such as forwardingRules."""
        return self.path.split("/")[-2]

    @property
    def label(self) -> str:
        """How a person is told about it."""
        return f"the {NOUNS[self.kind]} {last_part(self.path)}"

    def _differing(self) -> list[str]:
        found = self.found
        return [] if found is None else [name for name in self.body if differs(name, found.get(name), self.body[name])]

    @property
    def update(self) -> Resource:
        """The fields that differ and can be changed in place, as they should be."""
        return {name: self.body[name] for name in self._differing() if name in _IN_PLACE[self.kind]}

    @property
    def frozen(self) -> dict[str, tuple[Any, Any]]:
        """The fields that differ and cannot be changed in place: what they are, and what they should be."""
        found = self.found or {}
        return {
            name: (plain(found.get(name, DEFAULTS.get(name))), plain(self.body[name]))
            for name in self._differing()
            if name not in _IN_PLACE[self.kind]
        }


def plain(value: Any) -> Any:
    """A value as a person reads it: a path instead of a URL."""
    return normalise(value) if isinstance(value, str) else value


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
    found = o.resources.get(path)
    new = {} if found else {"name": last_part(path), "description": o.goal.mark}
    return Item(path, found, {**new, **body}, **more)


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
    ports = {_port(o.goal, check), *((_port(None, check),) if check else ())}
    body: Resource = {
        "direction": "INGRESS",
        "disabled": False,
        "sourceRanges": list(PROBE_RANGES[o.scheme]),
        "allowed": [{"IPProtocol": "tcp", "ports": [str(port) for port in sorted(ports)]}],
        **{name: list(values) for name, values in o.goal.targets.items()},
    }
    if o.goal.targets:
        # A rule is for one kind of targets only.
        for name in {"targetTags", "targetServiceAccounts"} - set(o.goal.targets):
            body[name] = []
    if o.network:
        body["network"] = full_url(o.network)
    return body


def check_kind(goal: LbGoal | None, check: Resource | None) -> str:
    """The type of the health check, as it is wanted, or as it is."""
    found = str((check or {}).get("type"))
    return (goal and goal.check_kind) or (found if found in PROBES else "HTTP")


def _port(goal: LbGoal | None, check: Resource | None) -> int:
    """That the health check asks, as it is wanted, or as it is."""
    wanted_port = goal.check.get("port") if goal else None
    return wanted_port or read(check or {}, (PROBES.get(check_kind(None, check), ""), "port"))


def _check(o: Observed) -> Resource:
    present = o.resources.get(o.present_check or "") or {}
    kind = check_kind(o.goal, present)
    probe = PROBES[kind]
    body: Resource = {"type": kind, probe: {}}
    fields = dict(o.goal.check)
    if o.check_path not in o.resources:
        # A new one has all of them: those of the present one in another place, or the API's own.
        for name, path in CHECK_FIELDS.items():
            value = read(
                present, [PROBES.get(str(present.get("type")), "") if part == PROBE else part for part in path]
            )
            if value is not None and (kind == "HTTP" or name not in HTTP_ONLY):
                fields.setdefault(name, value)
    for name, value in fields.items():
        write(body, [probe if part == PROBE else part for part in CHECK_FIELDS[name]], value)
    write(body, (probe, "portSpecification"), "USE_FIXED_PORT")
    return body


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

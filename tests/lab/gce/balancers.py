# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Passthrough load balancers: what requests make of them, and what the network sees of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from lab.gce.addresses import Addresses
from lab.gce.checks import HealthChecks
from lab.gce.collection import Scopes
from lab.gce.firewalls import Firewalls
from lab.gce.forwarding import ForwardingRules, ports_of
from lab.gce.groups import InstanceGroups
from lab.gce.kinds import Kind
from lab.gce.names import HOST
from lab.gce.projects import Projects
from lab.gce.resources import Resource
from lab.gce.services import BackendServices

_IDLE_S = {"INTERNAL": 600, "EXTERNAL": 60}


@dataclass(frozen=True)
class Rule:
    """A forwarding rule. ``protocol``: TCP, UDP or L3_DEFAULT. ``ports``: None: all."""

    name: str
    address: str
    protocol: str
    ports: tuple[int, ...] | None
    global_access: bool
    region: str


@dataclass(frozen=True)
class Backend:
    """An instance, by name, that is in a group, at the group's path; ``failover``: of the backup pool."""

    instance: str
    group: str
    failover: bool = False


@dataclass(frozen=True)
class Check:
    """A health check. ``kind``: HTTP or TCP. Times are seconds; ``path``, ``host`` and ``response``: "" if not set."""

    kind: str
    port: int
    path: str
    host: str
    response: str
    interval_s: int
    timeout_s: int
    healthy: int
    unhealthy: int


@dataclass(frozen=True)
class Failover:
    """When the backup pool takes over. ``drop``: packets, if nobody is healthy; ``drain``: whether connections stay."""

    ratio: float = 0.0
    drop: bool = False
    drain: bool = True


@dataclass(frozen=True)
class Service:
    """A backend service with its rules and backends; an instance is a backend once. The defaults are Google's.

    ``scheme``: INTERNAL or EXTERNAL; ``network``: its name. ``affinity``, ``tracking``, ``persistence``: the API's
    words, such as NONE, PER_CONNECTION, DEFAULT_FOR_PROTOCOL.
    """

    name: str
    region: str
    scheme: str
    network: str
    rules: tuple[Rule, ...]
    backends: tuple[Backend, ...]
    health_check: Check | None
    failover: Failover | None = None
    affinity: str = "NONE"
    tracking: str = "PER_CONNECTION"
    persistence: str = "DEFAULT_FOR_PROTOCOL"
    idle_s: int = 600
    drain_s: int = 0


class Balancers:
    """The kinds of resources that load balancers are made of, and the firewall rules.

    ``health``: (backend service, instance) -> HEALTHY or UNHEALTHY, by their names; whoever probes writes it. A backend
    that was not probed yet has no entry.
    """

    def __init__(self, projects: Projects, scopes: Scopes) -> None:
        self.projects = projects
        self.health: dict[tuple[str, str], str] = {}
        self.addresses = Addresses(projects, scopes)
        self.checks = HealthChecks(projects, scopes)
        self.groups = InstanceGroups(projects, scopes)
        self.backend_services = BackendServices(projects, scopes, self.checks, self.groups)
        self.rules = ForwardingRules(projects, scopes, self.backend_services, self.addresses)
        kinds: tuple[Kind, ...] = (self.addresses, self.checks, self.groups, self.backend_services, self.rules)
        self.kinds = {each.collection: each for each in (*kinds, Firewalls(projects, scopes))}

    def members(self, group: str) -> tuple[str, ...]:
        """The names of the instances in the group at a path."""
        with self.projects.lock:
            return self.groups.members(HOST + group)

    def services(self) -> list[Service]:
        """Those in force, whether they have forwarding rules or not."""
        with self.projects.lock:
            return [self._service(each) for each in self.backend_services.in_force()]

    def quotas(self, region: str) -> list[Resource]:
        """The quotas of the region at a URL that the world has a limit for."""
        metrics = {name: limit for name, limit in self.projects.world.quotas.items() if not name.endswith("_NETWORK")}
        with self.projects.lock:
            return [
                {"metric": name, "limit": limit, "usage": sum(each.usage(name, region) for each in self.kinds.values())}
                for name, limit in metrics.items()
            ]

    def group_health(self, service: Resource, group: str) -> list[Resource]:
        """What getHealth answers of the group at a URL: of each instance that was probed, once for each rule."""
        with self.projects.lock:
            rules = [each for each in self.rules.in_force() if each["backendService"] == service["selfLink"]]
            states = {name: self.health.get((service["name"], name)) for name in self.groups.members(group)}
            return [
                {
                    "instance": self.projects.instances[name]["selfLink"],
                    "ipAddress": self.projects.instances[name]["networkInterfaces"][0]["networkIP"],
                    "port": 80,
                    "healthState": state,
                    "forwardingRule": rule["selfLink"],
                    "forwardingRuleIp": rule["IPAddress"],
                }
                for rule in rules
                for name, state in states.items()
                if state
            ]

    def _service(self, service: Resource) -> Service:
        policy, tracking = service.get("failoverPolicy"), service.get("connectionTrackingPolicy", {})
        rules = [each for each in self.rules.in_force() if each["backendService"] == service["selfLink"]]
        backends = tuple(
            Backend(name, self.projects.relative(each["group"]), each.get("failover", False))
            for each in service["backends"]
            for name in self.groups.members(each["group"])
        )
        return Service(
            name=service["name"],
            region=service["region"].rpartition("/")[2],
            scheme=service["loadBalancingScheme"],
            network=self.backend_services.network(service).rpartition("/")[2],
            rules=tuple(_rule(each) for each in rules),
            backends=backends,
            health_check=check_of(self.checks.in_force(), service["healthChecks"][0]),
            failover=_failover(policy or {}) if policy or any(each.failover for each in backends) else None,
            affinity=service["sessionAffinity"],
            tracking=tracking.get("trackingMode", "PER_CONNECTION"),
            persistence=tracking.get("connectionPersistenceOnUnhealthyBackends", "DEFAULT_FOR_PROTOCOL"),
            idle_s=tracking.get("idleTimeoutSec", _IDLE_S[service["loadBalancingScheme"]]),
            drain_s=service["connectionDraining"]["drainingTimeoutSec"],
        )


def check_of(checks: Iterable[Resource], url: str) -> Check:
    """The health check at a URL, as probers see it."""
    check = next(each for each in checks if each["selfLink"] == url)
    probe = check.get("httpHealthCheck") or check["tcpHealthCheck"]
    return Check(
        kind=check["type"],
        port=probe["port"],
        path=probe.get("requestPath", ""),
        host=probe.get("host", ""),
        response=probe.get("response", ""),
        interval_s=check["checkIntervalSec"],
        timeout_s=check["timeoutSec"],
        healthy=check["healthyThreshold"],
        unhealthy=check["unhealthyThreshold"],
    )


def _rule(rule: Resource) -> Rule:
    return Rule(
        name=rule["name"],
        address=rule["IPAddress"],
        protocol=rule["IPProtocol"],
        ports=ports_of(rule),
        global_access=rule.get("allowGlobalAccess", False),
        region=rule["region"].rpartition("/")[2],
    )


def _failover(policy: Resource) -> Failover:
    return Failover(
        ratio=policy.get("failoverRatio", 0.0),
        drop=policy.get("dropTrafficIfUnhealthy", False),
        drain=not policy.get("disableConnectionDrainOnFailover", False),
    )

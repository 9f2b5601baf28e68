# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Backend services of a region: those of passthrough load balancers."""

from __future__ import annotations

from collections.abc import Iterator

from lab.gce.checks import SERVING_PORT, HealthChecks
from lab.gce.collection import Scopes
from lab.gce.errors import ApiError, invalid, required
from lab.gce.groups import InstanceGroups
from lab.gce.kinds import Kind, number, one_of, region_of, unchanged
from lab.gce.names import HOST
from lab.gce.projects import CROSS_PROJECT, MALFORMED, Projects
from lab.gce.resources import Resource

SCHEMES = ("INTERNAL", "EXTERNAL")
UNSPECIFIED = "UNSPECIFIED"
_PROTOCOLS = ("TCP", "UDP", UNSPECIFIED)
_AFFINITIES = ("NONE", "CLIENT_IP", "CLIENT_IP_PROTO", "CLIENT_IP_PORT_PROTO")
_INTERNAL_AFFINITIES = (*_AFFINITIES, "CLIENT_IP_NO_DESTINATION")
_FIVE_TUPLE = ("NONE", "CLIENT_IP_PORT_PROTO")
_TRACKING = ("PER_CONNECTION", "PER_SESSION")
_PERSISTENCE = ("DEFAULT_FOR_PROTOCOL", "NEVER_PERSIST", "ALWAYS_PERSIST")
_FAILOVER = {"failoverRatio", "dropTrafficIfUnhealthy", "disableConnectionDrainOnFailover"}
_BACKEND = {"group", "balancingMode", "failover", "description"}


class BackendServices(Kind):
    """INTERNAL and EXTERNAL ones, with instance groups of their own project as backends."""

    collection = "backendServices"
    kind = "backendService"
    title = "backend_service"
    fields = frozenset(
        {"name", "description", "loadBalancingScheme", "protocol", "healthChecks", "backends", "network", "timeoutSec"}
        | {"sessionAffinity", "failoverPolicy", "connectionDraining", "connectionTrackingPolicy", "logConfig"}
    )
    fingerprinted = "required"

    def __init__(self, projects: Projects, scopes: Scopes, checks: HealthChecks, groups: InstanceGroups) -> None:
        super().__init__(projects, scopes)
        self.checks = checks
        self.groups = groups

    def content(self, body: Resource, scope: str, old: Resource | None) -> Resource:
        """See `Kind`."""
        scheme = body.get("loadBalancingScheme", "EXTERNAL")
        if scheme not in SCHEMES:
            raise ApiError(501, "notImplemented", f"This lab has no backend service of the scheme {scheme}.")
        unchanged(old, {"loadBalancingScheme": scheme}, "loadBalancingScheme")
        internal, project = scheme == "INTERNAL", scope.partition("/regions/")[0]
        protocol = one_of(body, "protocol", "TCP", _PROTOCOLS)
        service: Resource = {
            "name": body["name"],
            "description": body.get("description", ""),
            "loadBalancingScheme": scheme,
            "protocol": protocol,
            "timeoutSec": number(body, "timeoutSec", 30, 1, 2**31 - 1),
            "sessionAffinity": one_of(
                body, "sessionAffinity", "NONE", _INTERNAL_AFFINITIES if internal else _AFFINITIES
            ),
            "connectionDraining": {
                "drainingTimeoutSec": number(
                    body.get("connectionDraining", {}), "drainingTimeoutSec", 0, 0, 3600, "resource.connectionDraining"
                )
            },
            "healthChecks": [self._check(body, scope, internal)],
            **{name: body[name] for name in ("logConfig",) if name in body},
        }
        if body.get("network"):
            if not internal:
                raise invalid("resource.network", body["network"], "Only an INTERNAL backend service has a network.")
            name = self.projects.network(body["network"], project, shared=True)
            service["network"] = self.projects.networks[name]["selfLink"]
        unchanged(old, service, "network")
        if "failoverPolicy" in body:
            service["failoverPolicy"] = _failover(body["failoverPolicy"], protocol)
        if "connectionTrackingPolicy" in body:
            service["connectionTrackingPolicy"] = _tracking(body["connectionTrackingPolicy"], service)
        service["backends"] = [self._backend(n, each, scope, scheme) for n, each in enumerate(body.get("backends", ()))]
        self._check_backends(service)
        self._check_rules(old, service)
        return service

    def view(self, resource: Resource) -> Resource:
        """See `Kind`."""
        shown = {name: value for name, value in resource.items() if name != "backends" or value}
        users = [{"reference": url} for url in self.users(resource)]
        return {**shown, **({"usedBy": users} if users else {})}

    def users(self, resource: Resource) -> list[str]:
        """See `Kind`."""
        return [each["selfLink"] for each in self.rules(resource)]

    def rules(self, service: Resource) -> list[Resource]:
        """Its forwarding rules."""
        rules = self.scopes.everywhere("forwardingRules")
        return [each for each in rules if each["backendService"] == service["selfLink"]]

    def network(self, service: Resource) -> str:
        """The URL of the network that its backends are on; "" if it has none yet."""
        urls = (self._group(each["group"]).get("network", "") for each in service["backends"])
        return service.get("network") or next(filter(None, urls), "")

    def quota(self, resource: Resource) -> str:
        """See `Kind`."""
        internal = resource["loadBalancingScheme"] == "INTERNAL"
        return f"REGIONAL_{'INTERNAL_LB' if internal else 'EXTERNAL_NETWORK_LB'}_BACKEND_SERVICES"

    def needs(self, body: Resource, scope: str, old: Resource | None) -> Iterator[tuple[str, str]]:
        """See `Kind`."""
        for url in body.get("healthChecks") or ():
            regional = "/regions/" in f"/{url}"
            yield url, f"compute.{'regionHealthChecks' if regional else 'healthChecks'}.useReadOnly"
        for backend in body.get("backends") or ():
            yield backend.get("group", ""), "compute.instanceGroups.use"

    # --- parts

    def _check(self, body: Resource, scope: str, internal: bool) -> str:
        """The URL of its health check."""
        urls = body.get("healthChecks") or []
        if not urls:
            raise required("resource.healthChecks")
        if len(urls) > 1:
            raise invalid("resource.healthChecks", urls[1], "At most one health check can be specified.")
        project, field = scope.partition("/regions/")[0], "resource.healthChecks[0]"
        check = self.checks.find(urls[0], field, project)
        path = self.projects.relative(check["selfLink"])
        if not path.startswith(f"{project}/"):
            raise invalid(field, path, CROSS_PROJECT)
        # An internal one may have a global health check.
        if region_of(check) != HOST + scope and (region_of(check) or not internal):
            raise invalid(field, path, f"The health check must be in the region of the backend service, {scope}.")
        if "port" not in (check.get("httpHealthCheck") or check["tcpHealthCheck"]):
            raise invalid(field, path, SERVING_PORT)
        return str(check["selfLink"])

    def _backend(self, n: int, given: Resource, scope: str, scheme: str) -> Resource:
        """A backend as it is stored."""
        field = f"resource.backends[{n}]"
        more = sorted(name for name, value in given.items() if value and name not in _BACKEND)
        if more:
            raise invalid(f"{field}.{more[0]}", given[more[0]], f"It is not supported with the scheme {scheme}.")
        mode = given.get("balancingMode", "CONNECTION")
        if mode != "CONNECTION":
            why = f"Balancing mode must be CONNECTION for an {scheme} backend service."
            raise invalid(f"{field}.balancingMode", mode, why)
        url, project = given.get("group", ""), scope.partition("/regions/")[0]
        if not url.startswith(("https://", "http://")):  # gcloud names the endpoint that it was told to ask
            raise invalid(f"{field}.group", url, MALFORMED)
        path = self.projects.relative(url)
        if not path.startswith(f"{project}/"):
            raise invalid(f"{field}.group", url, CROSS_PROJECT)
        group = self.groups.find(url, f"{field}.group", project)
        if region_of(group) != HOST + scope:
            raise invalid(f"{field}.group", url, f"The group must be in the region of the backend service, {scope}.")
        if scheme == "INTERNAL" and "network" not in group:
            why = "An instance group without a network cannot be a backend of an INTERNAL backend service."
            raise invalid(f"{field}.group", url, why)
        if "balancingMode" not in given:  # It stands for UTILIZATION, with which an instance may be in one group only.
            self.groups.check_only(group["selfLink"])
        stored = {"description": given.get("description", ""), "group": group["selfLink"], "balancingMode": mode}
        return {**stored, **({"failover": given["failover"]} if "failover" in given else {})}

    def _check_backends(self, service: Resource) -> None:
        """Refuse backends that do not fit together."""
        urls = [each["group"] for each in service["backends"]]
        network = self.network(service)
        for n, url in enumerate(urls):
            field = f"resource.backends[{n}].group"
            if url in urls[:n]:
                raise invalid(field, url, "The group is a backend already.")
            if self._group(url).get("network", network) != network:
                where = self.projects.relative(network)
                raise invalid(field, url, f"The network of the group must be that of the backend service, {where}.")
        self.groups.check_alone(service["backends"])

    def _check_rules(self, old: Resource | None, service: Resource) -> None:
        """Refuse what its forwarding rules cannot have."""
        for rule in self.rules(old) if old else ():
            check_protocol("resource.protocol", service["protocol"], service["protocol"], rule["IPProtocol"])
            if rule.get("network") and self.network(service) not in ("", rule["network"]):
                field, url = "resource.backends[0].group", service["backends"][0]["group"]
                raise invalid(field, url, "The network of the group must be that of the forwarding rules.")

    def _group(self, url: str) -> Resource:
        return next((each for each in self.groups.all() if each["selfLink"] == url), {})


def check_protocol(field: str, value: str, service: str, rule: str) -> None:
    """Refuse a forwarding rule and a backend service whose protocols do not fit."""
    if service != UNSPECIFIED and service != rule:
        why = f"invalid backend service protocol {service} for forwarding rule with protocol {rule}"
        raise invalid(field, value, why)


def _failover(given: Resource, protocol: str) -> Resource:
    more = sorted(given.keys() - _FAILOVER)
    if more:
        raise ApiError(501, "notImplemented", f"This lab has no failoverPolicy with {', '.join(more)}.")
    if not 0 <= given.get("failoverRatio", 0) <= 1:
        raise invalid("resource.failoverPolicy.failoverRatio", given["failoverRatio"], "Must be from 0 to 1.")
    drain = "disableConnectionDrainOnFailover"
    if protocol == "UDP" and drain in given:
        raise invalid(f"resource.failoverPolicy.{drain}", given[drain], "It is not supported for the protocol UDP.")
    return given


def _tracking(given: Resource, service: Resource) -> Resource:
    where, affinity = "resource.connectionTrackingPolicy", service["sessionAffinity"]
    if given.get("enableStrongAffinity"):
        raise invalid(f"{where}.enableStrongAffinity", True, "It is not available publicly.")
    policy: Resource = {
        "trackingMode": one_of(given, "trackingMode", _TRACKING[0], _TRACKING, where),
        "connectionPersistenceOnUnhealthyBackends": one_of(
            given, "connectionPersistenceOnUnhealthyBackends", _PERSISTENCE[0], _PERSISTENCE, where
        ),
    }
    if given.get("idleTimeoutSec"):
        field, seconds = f"{where}.idleTimeoutSec", given["idleTimeoutSec"]
        if service["loadBalancingScheme"] != "INTERNAL":
            raise invalid(field, seconds, "It is not available publicly.")
        if policy["trackingMode"] != "PER_SESSION" or affinity in _FIVE_TUPLE:
            raise invalid(field, seconds, "It needs PER_SESSION, and a session affinity of less than five fields.")
        policy["idleTimeoutSec"] = number(given, "idleTimeoutSec", 600, 600, 16 * 3600, where)
    return policy

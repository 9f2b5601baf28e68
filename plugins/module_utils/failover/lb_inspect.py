# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Looks at a passthrough load balancer for a person: its backends and their health, and what keeps it from working."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from ..base.errors import Denied, NotFound
from ..clouds.gce_names import last_part, normalise
from .facts import ask
from .gcp_checks import PROBE_RANGES, PROBES
from .gcp_fields import read
from .gcp_objects import DELETE, INSERT, PATCH, Change, permission_problems, quota_problems
from .gcp_preflight import probe_problems
from .lb_decide import ADD, SET_TARGET
from .lb_fields import SERVICE_FIELDS
from .lb_goal import INTERNAL
from .lb_look import Observed, look
from .lb_pool import HEALTHY, Backend, active_pool
from .lb_steps import permissions

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, Protocol

    from .gcp_preflight import FirewallApi
    from .lb_goal import LbGoal
    from .lb_look import LbApi
    from .lb_pool import Pool

    class InspectApi(LbApi, FirewallApi, Protocol):
        """Further verbs that this needs of a client."""

        def get_health(self, service: str, group: str) -> list[dict[str, Any]]: ...

        def get_quotas(self, region: str) -> list[dict[str, Any]]: ...


# Of which a load balancer takes something, by its scheme.
_QUOTAS = ("BACKEND_SERVICES", "FIREWALLS", "FORWARDING_RULES", "HEALTH_CHECKS", "INSTANCE_GROUPS")
QUOTAS = {
    "EXTERNAL": (
        *_QUOTAS,
        "EXTERNAL_NETWORK_LB_FORWARDING_RULES",
        "REGIONAL_EXTERNAL_NETWORK_LB_BACKEND_SERVICES",
        "STATIC_ADDRESSES",
    ),
    "INTERNAL": (*_QUOTAS, "INTERNAL_ADDRESSES", "REGIONAL_INTERNAL_LB_BACKEND_SERVICES"),
}


class Findings(NamedTuple):
    """seen: what is there. backends: all of them. pool: those that get new connections. problems: what is amiss."""

    seen: Observed
    backends: list[Backend]
    pool: Pool
    problems: list[str]


def inspect(client: InspectApi, goal: LbGoal, preflight: bool = True, scheme: str = INTERNAL) -> Findings:
    """goal: names the load balancer. preflight: whether to look for what keeps it from working. scheme: of one that is
    yet to be made.
    """
    seen = look(client, goal)
    if not seen.named("forwardingRules"):
        seen = Observed(replace(goal, scheme=scheme), seen.resources, seen.members, seen.answers)
    backends, pool = health(client, seen)
    if not preflight:
        return Findings(seen, backends, pool, [])
    seen, network = ask(client, seen, lambda o: o.network)
    problems = [*_structure(seen, network), *_health_problems(seen, backends)]
    problems += _probe_problems(client, seen, network, backends)
    if not seen.named("forwardingRules"):
        problems += quota_problems(client, seen.goal.place, QUOTAS[seen.scheme])
    return Findings(seen, backends, pool, problems + _permission_problems(client, seen))


def health(client: InspectApi, o: Observed) -> tuple[list[Backend], Pool]:
    """The backends of all backend services, and the active pool. One question for each group."""
    asked: dict[str, list[Backend]] = {}
    policy: dict[str, Any] = {}
    for service, body in o.named("backendServices"):
        policy = policy or body
        for backend in body.get("backends") or ():
            group = normalise(backend.get("group"))
            if group not in asked:
                found: dict[str, str] = {}
                for each in client.get_health(service, group):
                    instance, state = normalise(each.get("instance")), str(each.get("healthState"))
                    # One forwarding rule may find it healthy, and another one not.
                    found[instance] = state if found.get(instance, HEALTHY) == HEALTHY else found[instance]
                members = dict.fromkeys([*o.members.get(group, ()), *found])
                failover = bool(backend.get("failover"))
                asked[group] = [Backend(each, group, failover, found.get(each, "UNKNOWN")) for each in members]
    backends = [each for group in asked.values() for each in group]
    ratio, drop = (read(policy, SERVICE_FIELDS[name]) for name in ("ratio", "drop_if_unhealthy"))
    return backends, active_pool(backends, ratio or 0.0, bool(drop))


def _structure(o: Observed, network: str | None) -> Iterator[str]:
    """What is missing, or leads elsewhere."""
    name, rules, services = o.goal.name, o.named("forwardingRules"), o.named("backendServices")
    if not rules:
        yield f"there is no forwarding rule of the load balancer {name} in {o.goal.region}: nothing answers"
    paths = [path for path, _service in services]
    for path, rule in rules:
        target = normalise(rule.get("backendService") or rule.get("target"))
        if target not in paths:
            yield f"the forwarding rule {last_part(path)} leads to {target}, which is not the load balancer's"
    for path, service in services:
        if not service.get("backends"):
            yield f"the backend service {last_part(path)} has no backend"
        for url in service.get("healthChecks") or ():
            check = o.resources.get(normalise(url))
            if check and check.get("type") not in PROBES:
                yield f"the health check {last_part(url)} has the type {check.get('type')}, which is not looked into"
        for backend in service.get("backends") or ():
            group = normalise(backend.get("group"))
            found = normalise((o.resources.get(group) or {}).get("network"))
            if not o.members.get(group, ("unknown",)):
                yield f"the group {last_part(group)} has no instance"
            elif network and found and found != network:
                yield f"the group {last_part(group)} is on {found}, and the address on {network}"


def _health_problems(o: Observed, backends: list[Backend]) -> Iterator[str]:
    ill = [each for each in backends if each.health != HEALTHY]
    for each in ill:
        words = "is not healthy" if each.health == "UNHEALTHY" else "has not been probed yet"
        yield f"{each.instance} {words}: its service has to answer at {o.ip}, at the port of the health check"
    probe = (o.resources.get(o.check_path) or {}).get("httpHealthCheck")
    if ill and probe is not None and not probe.get("host"):
        yield (
            f"the health check {last_part(o.check_path)} asks for the host {o.ip}: if the server answers to certain"
            " names only, set health_check.host to one of them"
        )


def _probe_problems(client: InspectApi, o: Observed, network: str | None, backends: list[Backend]) -> list[str]:
    check = o.resources.get(o.check_path)
    if not check or not network or not backends or check.get("type") not in PROBES:
        return []
    try:
        instances = {each.instance: client.get_instance(each.instance) for each in backends}
        rules = client.list_firewalls(network)
    except (Denied, NotFound) as error:
        return [str(error)]
    port = read(check, (PROBES[check["type"]], "port"))
    return probe_problems(instances, network, rules, port, PROBE_RANGES[o.scheme])


def _permission_problems(client: InspectApi, o: Observed) -> list[str]:
    """The caller's missing permissions to make, change and delete all of it."""
    place, network = o.goal.place, o.firewall_path
    zone = f"projects/{o.goal.project}/zones/{o.goal.region}-a/instanceGroups/{o.goal.name}"
    named = [f"{place}/{each}/{o.goal.name}" for each in ("addresses", "backendServices", "forwardingRules")]
    paths = [*named, o.goal.check_paths[0], network, zone]
    whole = {"healthChecks": [True], "backends": [True]}
    changes = [Change(verb, path, whole) for path in paths for verb in (INSERT, DELETE)]
    changes += [Change(PATCH, path, whole) for path in paths[1:5]]
    changes += [Change(SET_TARGET, paths[2]), Change(ADD, zone)]
    return permission_problems(client, permissions(o, changes))

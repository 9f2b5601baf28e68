# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The methods for load balancers and firewall rules: what each needs and what it answers.

Most are alike for every kind: see `lab.gce.kind_methods`. The permissions are named as for `lab.gce.methods`.
"""

from __future__ import annotations

from lab.gce import filters, kind_methods
from lab.gce.calls import Call, Handlers, part
from lab.gce.errors import invalid
from lab.gce.kind_methods import COLLECTIONS, found, key_of, kind_of, of_all_regions, scope_of
from lab.gce.names import HOST
from lab.gce.resources import Resource

HANDLERS = Handlers()
_CHANGED_WHOLE = ("firewalls", "healthChecks", *COLLECTIONS)
_ALL = ("addresses", "forwardingRules", "instanceGroups", *_CHANGED_WHOLE)


def _each(services: tuple[str, ...], method: str) -> tuple[str, ...]:
    return tuple(f"{service}.{method}" for service in services)


HANDLERS.of(*_each(_ALL, "get"))(kind_methods.get)
HANDLERS.of(*_each(_ALL, "list"))(kind_methods.listed)
HANDLERS.of(*_each(_ALL, "insert"))(kind_methods.insert)
HANDLERS.of(*_each(_ALL, "delete"))(kind_methods.delete)
HANDLERS.of(*_each((*_CHANGED_WHOLE, "forwardingRules"), "patch"))(kind_methods.change)
HANDLERS.of(*_each(_CHANGED_WHOLE, "update"))(kind_methods.change)
HANDLERS.of("forwardingRules.setLabels")(kind_methods.set_labels)
HANDLERS.of("instanceGroups.aggregatedList")(kind_methods.of_all_zones)


@HANDLERS.of("addresses.aggregatedList", "forwardingRules.aggregatedList", "backendServices.aggregatedList")
def _aggregated_list(call: Call) -> Resource:
    kind = kind_of(call)
    return of_all_regions(call, kind.kind)


@HANDLERS.of("healthChecks.aggregatedList")
def _health_checks_aggregated(call: Call) -> Resource:
    return of_all_regions(call, "healthChecks")


# --- what only forwarding rules have


@HANDLERS.of("forwardingRules.setTarget")
def _set_target(call: Call) -> Resource:
    call.need(f"{call.scope}/forwardingRules/{key_of(call)}", "compute.forwardingRules.setTarget")
    call.may_use(call.body.get("target", ""), "compute.regionBackendServices.use")
    return call.start(call.cloud.balancers.rules.set_target(scope_of(call), key_of(call), call.body))


# --- what only instance groups have


@HANDLERS.of("instanceGroups.addInstances")
def _add_instances(call: Call) -> Resource:
    call.need(f"{call.scope}/instanceGroups/{key_of(call)}", "compute.instanceGroups.update")
    for each in call.body.get("instances") or ():
        call.may_use(each.get("instance", ""), "compute.instances.use")
    return call.start(call.cloud.balancers.groups.add(scope_of(call), key_of(call), call.body))


@HANDLERS.of("instanceGroups.removeInstances")
def _remove_instances(call: Call) -> Resource:
    call.need(f"{call.scope}/instanceGroups/{key_of(call)}", "compute.instanceGroups.update")
    return call.start(call.cloud.balancers.groups.remove(scope_of(call), key_of(call), call.body))


@HANDLERS.of("instanceGroups.setNamedPorts")
def _set_named_ports(call: Call) -> Resource:
    call.need(f"{call.scope}/instanceGroups/{key_of(call)}", "compute.instanceGroups.update")
    return call.start(call.cloud.balancers.groups.name_ports(scope_of(call), key_of(call), call.body))


@HANDLERS.of("instanceGroups.listInstances")
def _list_instances(call: Call) -> Resource:
    path = f"{call.scope}/instanceGroups/{key_of(call)}"
    call.need(path, "compute.instanceGroups.list")
    with call.cloud.lock:
        running = call.body.get("instanceState") == "RUNNING"
        listed = call.cloud.balancers.groups.listed(found(call, call.cloud.shows_coming), running)
    chosen = list(filter(filters.parse(call.query.get("filter")), listed))
    where = f"{call.project}/{path}/listInstances"
    kind = "compute#instanceGroupsListInstances"
    return {"kind": kind, "id": where, "selfLink": HOST + where, **part(call, chosen)}


# --- what only backend services have


@HANDLERS.of("regionBackendServices.getHealth")
def _get_health(call: Call) -> Resource:
    call.need(f"{call.scope}/backendServices/{key_of(call)}", "compute.regionBackendServices.get")
    with call.cloud.lock:
        service, given = found(call, call.cloud.shows_coming), call.body.get("group", "")
        url = HOST + call.relative(given)
        if url not in (each["group"] for each in service["backends"]):
            raise invalid("resource.group", given, "It is no backend of the backend service.")
        health = call.cloud.balancers.group_health(service, url)
    return {"kind": "compute#backendServiceGroupHealth", **({"healthStatus": health} if health else {})}

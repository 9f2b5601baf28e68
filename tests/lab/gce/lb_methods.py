# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The methods for load balancers and firewall rules: what each needs and what it answers.

Most are alike for every kind. The permissions are named as for `lab.gce.methods`.
"""

from __future__ import annotations

from collections.abc import Mapping

from lab.gce import filters
from lab.gce.calls import Call, Handlers, aggregated, page, part
from lab.gce.errors import invalid
from lab.gce.kinds import Kind
from lab.gce.names import HOST
from lab.gce.resources import Resource

HANDLERS = Handlers()
# The API's name of the methods -> the name of the resources in paths, if that is another.
_COLLECTIONS = {"regionHealthChecks": "healthChecks", "regionBackendServices": "backendServices"}
_ALL = ("addresses", "firewalls", "forwardingRules", "healthChecks", "instanceGroups", *_COLLECTIONS)
_CHANGED_WHOLE = ("firewalls", "healthChecks", *_COLLECTIONS)


def _each(services: tuple[str, ...], method: str) -> tuple[str, ...]:
    return tuple(f"{service}.{method}" for service in services)


def _service(call: Call) -> str:
    return call.method.id.split(".")[1]


def _kind(call: Call) -> Kind:
    service = _service(call)
    return call.cloud.balancers.kinds[_COLLECTIONS.get(service, service)]


def _scope(call: Call) -> str:
    return f"{call.project}/{call.scope}"


def _key(call: Call) -> str:
    """The name, or id, of the resource that the path names: its last parameter."""
    return next(value for name, value in call.values.items() if name not in ("project", "zone", "region"))


def _found(call: Call, coming: bool = True) -> Resource:
    return _kind(call).within(_scope(call)).find(_key(call), coming)


# --- what every kind has


@HANDLERS.of(*_each(_ALL, "get"))
def _get(call: Call) -> Resource:
    kind = _kind(call)
    call.need(f"{call.scope}/{kind.collection}/{_key(call)}", f"compute.{_service(call)}.get")
    with call.cloud.lock:
        return kind.view(_found(call, call.cloud.shows_coming))


@HANDLERS.of(*_each(_ALL, "list"))
def _list(call: Call) -> Resource:
    call.need("", f"compute.{_service(call)}.list")
    kind = _kind(call)
    return page(call, kind.kind, _seen(call, kind, call.scope), f"{call.scope}/{kind.collection}")


def _seen(call: Call, kind: Kind, scope: str) -> list[Resource]:
    with call.cloud.lock:
        shown = kind.within(f"{call.project}/{scope}").shown(call.cloud.shows_coming)
        return [kind.view(each) for each in shown]


@HANDLERS.of("addresses.aggregatedList", "forwardingRules.aggregatedList", "backendServices.aggregatedList")
def _aggregated_list(call: Call) -> Resource:
    kind = _kind(call)
    return _of_all_regions(call, kind.kind)


@HANDLERS.of("healthChecks.aggregatedList")
def _health_checks_aggregated(call: Call) -> Resource:
    return _of_all_regions(call, "healthChecks")


def _of_all_regions(call: Call, name: str) -> Resource:
    call.need("", f"compute.{_service(call)}.list")
    kind = _kind(call)
    scopes = {scope: _seen(call, kind, scope) for scope in ("global", *_regions(call))}
    return aggregated(call, name, kind.collection, scopes)


def _regions(call: Call) -> list[str]:
    return [f"regions/{name}" for name in call.cloud.regions]


@HANDLERS.of("instanceGroups.aggregatedList")
def _groups_aggregated(call: Call) -> Resource:
    call.need("", "compute.instanceGroups.list")
    kind, down = _kind(call), call.cloud.behaviour.zone_outage
    scopes: Mapping[str, list[Resource] | None] = {
        **{scope: [] for scope in _regions(call)},
        **{f"zones/{zone}": None if zone in down else _seen(call, kind, f"zones/{zone}") for zone in call.cloud.zones},
    }
    return aggregated(call, kind.kind, kind.collection, scopes)


@HANDLERS.of(*_each(_ALL, "insert"))
def _insert(call: Call) -> Resource:
    with call.cloud.lock:
        kind = _kind(call)
        path = f"{call.scope}/{kind.collection}/{call.body.get('name', '')}"
        call.need(path, kind.permission(_service(call), "create", call.body))
        _may_use(call, call.body)
        change = kind.insertion(call.body, _scope(call))
    return call.start(change)


def _may_use(call: Call, body: Resource, old: Resource | None = None) -> None:
    for url, permission in _kind(call).needs(body, _scope(call), old):
        call.may_use(url, permission)


@HANDLERS.of(*_each(_ALL, "delete"))
def _delete(call: Call) -> Resource:
    with call.cloud.lock:
        kind, found = _kind(call), _found(call)
        path = f"{call.scope}/{kind.collection}/{found['name']}"
        call.need(path, kind.permission(_service(call), "delete", found))
        _may_use(call, {}, found)
        change = kind.deletion(_scope(call), _key(call))
    return call.start(change)


@HANDLERS.of(*_each((*_CHANGED_WHOLE, "forwardingRules"), "patch"), *_each(_CHANGED_WHOLE, "update"))
def _change(call: Call) -> Resource:
    with call.cloud.lock:
        kind, found = _kind(call), _found(call)
        call.need(f"{call.scope}/{kind.collection}/{found['name']}", f"compute.{_service(call)}.update")
        _may_use(call, call.body, found)
        method = kind.patch if call.method.verb == "PATCH" else kind.update
        change = method(_scope(call), _key(call), call.body)
    return call.start(change)


# --- what only forwarding rules have


@HANDLERS.of("forwardingRules.setTarget")
def _set_target(call: Call) -> Resource:
    call.need(f"{call.scope}/forwardingRules/{_key(call)}", "compute.forwardingRules.setTarget")
    call.may_use(call.body.get("target", ""), "compute.regionBackendServices.use")
    return call.start(call.cloud.balancers.rules.set_target(_scope(call), _key(call), call.body))


@HANDLERS.of("forwardingRules.setLabels")
def _set_labels(call: Call) -> Resource:
    call.need(f"{call.scope}/forwardingRules/{_key(call)}", "compute.forwardingRules.setLabels")
    return call.start(call.cloud.balancers.rules.set_labels(_scope(call), _key(call), call.body))


# --- what only instance groups have


@HANDLERS.of("instanceGroups.addInstances")
def _add_instances(call: Call) -> Resource:
    call.need(f"{call.scope}/instanceGroups/{_key(call)}", "compute.instanceGroups.update")
    for each in call.body.get("instances") or ():
        call.may_use(each.get("instance", ""), "compute.instances.use")
    return call.start(call.cloud.balancers.groups.add(_scope(call), _key(call), call.body))


@HANDLERS.of("instanceGroups.removeInstances")
def _remove_instances(call: Call) -> Resource:
    call.need(f"{call.scope}/instanceGroups/{_key(call)}", "compute.instanceGroups.update")
    return call.start(call.cloud.balancers.groups.remove(_scope(call), _key(call), call.body))


@HANDLERS.of("instanceGroups.setNamedPorts")
def _set_named_ports(call: Call) -> Resource:
    call.need(f"{call.scope}/instanceGroups/{_key(call)}", "compute.instanceGroups.update")
    return call.start(call.cloud.balancers.groups.name_ports(_scope(call), _key(call), call.body))


@HANDLERS.of("instanceGroups.listInstances")
def _list_instances(call: Call) -> Resource:
    path = f"{call.scope}/instanceGroups/{_key(call)}"
    call.need(path, "compute.instanceGroups.list")
    with call.cloud.lock:
        running = call.body.get("instanceState") == "RUNNING"
        listed = call.cloud.balancers.groups.listed(_found(call, call.cloud.shows_coming), running)
    chosen = list(filter(filters.parse(call.query.get("filter")), listed))
    where = f"{call.project}/{path}/listInstances"
    kind = "compute#instanceGroupsListInstances"
    return {"kind": kind, "id": where, "selfLink": HOST + where, **part(call, chosen)}


@HANDLERS.of("instanceGroupManagers.list")
def _managers_list(call: Call) -> Resource:
    """There are none. gcloud asks for them, to say which groups are unmanaged."""
    call.need("", "compute.instanceGroupManagers.list")
    return page(call, "instanceGroupManager", [], f"{call.scope}/instanceGroupManagers")


# --- what only backend services have


@HANDLERS.of("regionBackendServices.getHealth")
def _get_health(call: Call) -> Resource:
    call.need(f"{call.scope}/backendServices/{_key(call)}", "compute.regionBackendServices.get")
    with call.cloud.lock:
        service, given = _found(call, call.cloud.shows_coming), call.body.get("group", "")
        url = HOST + call.relative(given)
        if url not in (each["group"] for each in service["backends"]):
            raise invalid("resource.group", given, "It is no backend of the backend service.")
        health = call.cloud.balancers.group_health(service, url)
    return {"kind": "compute#backendServiceGroupHealth", **({"healthStatus": health} if health else {})}

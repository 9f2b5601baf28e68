# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The methods of the API that the lab has: what each needs and what it answers.

The permissions are those that Google's reference names for a method and for the resources that its body names; see
docs/gce-api.md for how sure that is.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from lab.gce import filters
from lab.gce.behaviour import Fault
from lab.gce.cloud import Cloud
from lab.gce.discovery import Method
from lab.gce.errors import ApiError, invalid, not_found
from lab.gce.names import HOST
from lab.gce.operations import Change
from lab.gce.resources import Resource

_MOST_RESULTS = 500
UPDATE_POLICY = "compute.networks.updatePolicy"


class Call(NamedTuple):
    """A request that is known to be in order."""

    cloud: Cloud
    method: Method
    caller: str
    values: Mapping[str, str]  # of the path
    query: Mapping[str, str]
    body: Resource
    request: str  # what is asked, for a repeated requestId
    faults: list[Fault]

    @property
    def project(self) -> str:
        """The project's path."""
        return self.cloud.relative(f"projects/{self.values['project']}")

    def relative(self, url: str) -> str:
        """The path of a URL, which may be a partial one."""
        return self.cloud.relative(url, self.project)

    def may_update(self, url: str, permission: str) -> None:
        """Refuse a caller who lacks a permission on what a body names, if that is of the project as it has to be."""
        path = self.relative(url)
        if path.startswith(f"{self.project}/"):
            self.cloud.identity.require(self.caller, path, permission)

    def of_network(self, path: str) -> None:
        """Refuse what only the project of a network has."""
        if self.project != self.cloud.project:
            raise not_found(f"{self.project}/{path}")

    def need(self, resource: str, *permissions: str) -> None:
        """Refuse a caller who lacks one of the permissions on what is at a path below the project's."""
        path = f"{self.project}/{resource}" if resource else self.project
        self.cloud.identity.require(self.caller, path, *permissions)

    def start(self, change: Change) -> Resource:
        """The operation that makes a change."""
        return self.cloud.operations.start(
            change,
            project=self.project,
            caller=self.caller,
            request=self.request,
            request_id=self.query.get("requestId"),
            zone=self.values.get("zone"),
            faults=self.faults,
        )


Handler = Callable[[Call], Resource]
HANDLERS: dict[str, Handler] = {}


def _handles(*ids: str) -> Callable[[Handler], Handler]:
    def register(handler: Handler) -> Handler:
        HANDLERS.update(dict.fromkeys((f"compute.{each}" for each in ids), handler))
        return handler

    return register


# --- lists


def _page(call: Call, kind: str, items: Iterable[Resource], collection: str) -> Resource:
    """The part of a list of what the project has that was asked for."""
    items = (each for each in items if each["selfLink"].startswith(f"{HOST}{call.project}/"))
    size = min(int(call.query.get("maxResults", _MOST_RESULTS)), _MOST_RESULTS)
    chosen = sorted(filter(filters.parse(call.query.get("filter")), items), key=lambda each: str(each["name"]))
    order = call.query.get("orderBy", "name")
    if order == "creationTimestamp desc":
        chosen.sort(key=lambda each: str(each["creationTimestamp"]), reverse=True)
    elif order != "name":
        raise invalid("orderBy", order, "It is neither name nor creationTimestamp desc.")
    try:
        begin = int(base64.urlsafe_b64decode(call.query.get("pageToken", "")) or 0)
    except ValueError:
        raise invalid("pageToken", call.query["pageToken"], "It is none that a list gave.") from None
    path = f"{call.project}/{collection}"
    page: Resource = {"kind": f"compute#{kind}List", "id": path, "selfLink": HOST + path}
    part = chosen[begin : begin + size] if size else []
    if part:
        page["items"] = part
    if part and begin + size < len(chosen):
        page["nextPageToken"] = base64.urlsafe_b64encode(str(begin + size).encode()).decode()
    return page


def _aggregated(call: Call, kind: str, collection: str, scopes: Mapping[str, list[Resource] | None]) -> Resource:
    """All that is in the scopes, which are paths such as zones/Z; None: the scope does not answer."""
    wanted = filters.parse(call.query.get("filter"))
    partial = call.query.get("returnPartialSuccess", "").lower() == "true"
    path = f"{call.project}/aggregated/{collection}"
    answer: Resource = {"kind": f"compute#{kind}AggregatedList", "id": path, "selfLink": HOST + path, "items": {}}
    for scope, resources in scopes.items():
        if resources is None:
            if not partial:
                raise ApiError(503, "backendError", f"The scope '{scope}' cannot be reached.")
            answer["items"][scope] = {"warning": _warning("UNREACHABLE", scope)}
            answer.setdefault("unreachables", []).append(f"{HOST}{call.project}/{scope}")
            continue
        chosen = sorted(filter(wanted, resources), key=lambda each: str(each["name"]))
        empty = {"warning": _warning("NO_RESULTS_ON_PAGE", scope)}
        answer["items"][scope] = {collection: chosen} if chosen else empty
    return answer


def _warning(code: str, scope: str) -> Resource:
    text = f"There are no results for scope '{scope}' on this page."
    if code == "UNREACHABLE":
        text = f"The scope '{scope}' cannot be reached."
    return {"code": code, "message": text, "data": [{"key": "scope", "value": scope}]}


# --- routes


@_handles("routes.insert")
def _routes_insert(call: Call) -> Resource:
    call.need(f"global/routes/{call.body['name']}", "compute.routes.create")
    call.may_update(call.body["network"], UPDATE_POLICY)
    call.may_update(call.body.get("nextHopInstance", ""), "compute.instances.use")
    return call.start(call.cloud.insert_route(call.body, call.project))


@_handles("routes.get")
def _routes_get(call: Call) -> Resource:
    call.need(f"global/routes/{call.values['route']}", "compute.routes.get")
    call.of_network(f"global/routes/{call.values['route']}")
    return call.cloud.route(call.values["route"])


@_handles("routes.list")
def _routes_list(call: Call) -> Resource:
    call.need("", "compute.routes.list")
    return _page(call, "route", call.cloud.all_routes(), "global/routes")


@_handles("routes.delete")
def _routes_delete(call: Call) -> Resource:
    route = call.values["route"]
    call.need(f"global/routes/{route}", "compute.routes.delete")
    call.of_network(f"global/routes/{route}")
    network = call.cloud.route(route)["network"]
    call.cloud.identity.require(call.caller, call.cloud.relative(network), UPDATE_POLICY)
    return call.start(call.cloud.delete_route(route))


@_handles("routes.testIamPermissions")
def _routes_test(call: Call) -> Resource:
    call.of_network(f"global/routes/{call.values['resource']}")
    call.cloud.route(call.values["resource"])
    return _granted(call)


def _granted(call: Call) -> Resource:
    asked = call.body.get("permissions", [])
    granted = [each for each in asked if call.cloud.identity.granted(call.caller, each, call.project)]
    return {"permissions": granted} if granted else {}


# --- instances


@_handles("instances.get")
def _instances_get(call: Call) -> Resource:
    zone, name = call.values["zone"], call.values["instance"]
    call.need(f"zones/{zone}/instances/{name}", "compute.instances.get")
    with call.cloud.lock:
        return call.cloud.instance(_instance(call, name)["name"])


def _instance(call: Call, name: str) -> Resource:
    return call.cloud.find_instance(call.project, call.values["zone"], name)


def _instances_of(call: Call, zone: str) -> list[Resource]:
    cloud, url = call.cloud, f"{HOST}{call.project}/zones/{zone}"
    with cloud.lock:
        return [cloud.instance(name) for name, each in cloud.instances.items() if each["zone"] == url]


@_handles("instances.list")
def _instances_list(call: Call) -> Resource:
    call.need("", "compute.instances.list")
    zone = call.values["zone"]
    return _page(call, "instance", _instances_of(call, zone), f"zones/{zone}/instances")


@_handles("instances.aggregatedList")
def _instances_aggregated(call: Call) -> Resource:
    call.need("", "compute.instances.list")
    down = call.cloud.behaviour.zone_outage
    scopes = {f"zones/{zone}": None if zone in down else _instances_of(call, zone) for zone in call.cloud.zones}
    return _aggregated(call, "instance", "instances", scopes)


@_handles("instances.start", "instances.stop", "instances.reset")
def _instances_power(call: Call) -> Resource:
    kind, zone, name = call.method.id.rpartition(".")[2], call.values["zone"], call.values["instance"]
    call.need(f"zones/{zone}/instances/{name}", f"compute.instances.{kind}")
    return call.start(call.cloud.set_power(kind, _instance(call, name)))


@_handles("instances.updateNetworkInterface")
def _instances_update(call: Call) -> Resource:
    zone, name = call.values["zone"], call.values["instance"]
    call.need(f"zones/{zone}/instances/{name}", "compute.instances.updateNetworkInterface")
    instance = _instance(call, name)
    subnetwork = call.cloud.relative(instance["networkInterfaces"][0]["subnetwork"])
    call.cloud.identity.require(call.caller, subnetwork, "compute.subnetworks.use")
    return call.start(call.cloud.update_interface(instance, call.query["networkInterface"], call.body))


@_handles("instances.testIamPermissions")
def _instances_test(call: Call) -> Resource:
    _instance(call, call.values["resource"])
    return _granted(call)


# --- networks, subnetworks, firewall rules


@_handles("networks.get")
def _networks_get(call: Call) -> Resource:
    name = call.values["network"]
    call.need(f"global/networks/{name}", "compute.networks.get")
    return _find(call, call.cloud.networks.values(), name, "global/networks")


@_handles("networks.list")
def _networks_list(call: Call) -> Resource:
    call.need("", "compute.networks.list")
    return _page(call, "network", call.cloud.networks.values(), "global/networks")


def _find(call: Call, there: Iterable[Resource], key: str, collection: str) -> Resource:
    for each in there:
        if key in (each["name"], each["id"]) and each["selfLink"].startswith(f"{HOST}{call.project}/"):
            return each
    raise not_found(f"{call.project}/{collection}/{key}")


def _subnetworks_of(call: Call, region: str) -> list[Resource]:
    url = f"{HOST}{call.project}/regions/{region}"
    return [each for each in call.cloud.subnetworks.values() if each["region"] == url]


@_handles("subnetworks.get")
def _subnetworks_get(call: Call) -> Resource:
    collection, name = f"regions/{call.values['region']}/subnetworks", call.values["subnetwork"]
    call.need(f"{collection}/{name}", "compute.subnetworks.get")
    return _find(call, _subnetworks_of(call, call.values["region"]), name, collection)


@_handles("subnetworks.list")
def _subnetworks_list(call: Call) -> Resource:
    call.need("", "compute.subnetworks.list")
    region = call.values["region"]
    return _page(call, "subnetwork", _subnetworks_of(call, region), f"regions/{region}/subnetworks")


@_handles("subnetworks.aggregatedList")
def _subnetworks_aggregated(call: Call) -> Resource:
    call.need("", "compute.subnetworks.list")
    regions = sorted({zone.rpartition("-")[0] for zone in call.cloud.zones})
    scopes = {f"regions/{region}": _subnetworks_of(call, region) for region in regions}
    return _aggregated(call, "subnetwork", "subnetworks", scopes)


@_handles("subnetworks.testIamPermissions")
def _subnetworks_test(call: Call) -> Resource:
    region, name = call.values["region"], call.values["resource"]
    _find(call, _subnetworks_of(call, region), name, f"regions/{region}/subnetworks")
    return _granted(call)


@_handles("firewalls.get")
def _firewalls_get(call: Call) -> Resource:
    name = call.values["firewall"]
    call.need(f"global/firewalls/{name}", "compute.firewalls.get")
    call.of_network(f"global/firewalls/{name}")
    with call.cloud.lock:
        return call.cloud.firewalls.find(name, call.cloud.shows_coming)


@_handles("firewalls.list")
def _firewalls_list(call: Call) -> Resource:
    call.need("", "compute.firewalls.list")
    with call.cloud.lock:
        rules = list(call.cloud.firewalls.shown(call.cloud.shows_coming))
    return _page(call, "firewall", rules, "global/firewalls")


@_handles("firewalls.insert")
def _firewalls_insert(call: Call) -> Resource:
    call.need(f"global/firewalls/{call.body['name']}", "compute.firewalls.create")
    call.may_update(call.body.get("network", "global/networks/default"), UPDATE_POLICY)
    return call.start(call.cloud.insert_firewall(call.body, call.project))


@_handles("firewalls.delete")
def _firewalls_delete(call: Call) -> Resource:
    name = call.values["firewall"]
    call.need(f"global/firewalls/{name}", "compute.firewalls.delete")
    call.of_network(f"global/firewalls/{name}")
    with call.cloud.lock:
        network = call.cloud.firewalls.find(name, coming=True)["network"]
    call.cloud.identity.require(call.caller, call.cloud.relative(network), UPDATE_POLICY)
    return call.start(call.cloud.delete_firewall(name))


# --- zones, the project, operations


def _zone(call: Call, name: str) -> Resource:
    down = name in call.cloud.behaviour.zone_outage
    return {**call.cloud.zones[name][call.project], "status": "DOWN" if down else "UP"}


@_handles("zones.get")
def _zones_get(call: Call) -> Resource:
    call.need(f"zones/{call.values['zone']}", "compute.zones.get")
    return _zone(call, call.values["zone"])


@_handles("zones.list")
def _zones_list(call: Call) -> Resource:
    call.need("", "compute.zones.list")
    return _page(call, "zone", [_zone(call, name) for name in call.cloud.zones], "zones")


@_handles("projects.get")
def _projects_get(call: Call) -> Resource:
    call.need("", "compute.projects.get")
    return call.cloud.projects[call.project]


def _scope(call: Call) -> str:
    """compute.globalOperations or compute.zoneOperations."""
    return call.method.id.rpartition(".")[0]


@_handles("globalOperations.get", "zoneOperations.get")
def _operations_get(call: Call) -> Resource:
    call.need("", f"{_scope(call)}.get")
    return call.cloud.operations.get(call.values["operation"], call.project, call.values.get("zone"))


@_handles("globalOperations.wait", "zoneOperations.wait")
def _operations_wait(call: Call) -> Resource:
    call.need("", f"{_scope(call)}.get")
    operation, zone = call.values["operation"], call.values.get("zone")
    return call.cloud.operations.wait(operation, call.project, zone, call.cloud.behaviour.wait_s)


@_handles("globalOperations.list", "zoneOperations.list")
def _operations_list(call: Call) -> Resource:
    call.need("", f"{_scope(call)}.list")
    zone = call.values.get("zone")
    found: list[dict[str, Any]] = call.cloud.operations.all(zone)
    return _page(call, "operation", found, f"{f'zones/{zone}' if zone else 'global'}/operations")

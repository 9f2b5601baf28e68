# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The methods for what moves no address by itself, and for routes: what each needs and what it answers.

The permissions are those that Google's reference names for a method and for the resources that its body names; see
docs/gce-api.md for how sure that is.
"""

from __future__ import annotations

from collections.abc import Iterable

from lab.gce.calls import Call, Handlers, aggregated, page
from lab.gce.errors import not_found
from lab.gce.names import HOST
from lab.gce.resources import Resource

HANDLERS = Handlers()
UPDATE_POLICY = "compute.networks.updatePolicy"


# --- routes


@HANDLERS.of("routes.insert")
def _routes_insert(call: Call) -> Resource:
    call.need(f"global/routes/{call.body['name']}", "compute.routes.create")
    call.may_update(call.body["network"], UPDATE_POLICY)
    call.may_update(call.body.get("nextHopInstance", ""), "compute.instances.use")
    return call.start(call.cloud.insert_route(call.body, call.project))


@HANDLERS.of("routes.get")
def _routes_get(call: Call) -> Resource:
    call.need(f"global/routes/{call.values['route']}", "compute.routes.get")
    call.of_network(f"global/routes/{call.values['route']}")
    return call.cloud.route(call.values["route"])


@HANDLERS.of("routes.list")
def _routes_list(call: Call) -> Resource:
    call.need("", "compute.routes.list")
    return page(call, "route", call.cloud.all_routes(), "global/routes")


@HANDLERS.of("routes.delete")
def _routes_delete(call: Call) -> Resource:
    route = call.values["route"]
    call.need(f"global/routes/{route}", "compute.routes.delete")
    call.of_network(f"global/routes/{route}")
    network = call.cloud.route(route)["network"]
    call.cloud.identity.require(call.caller, call.cloud.relative(network), UPDATE_POLICY)
    return call.start(call.cloud.delete_route(route))


@HANDLERS.of("routes.testIamPermissions")
def _routes_test(call: Call) -> Resource:
    call.of_network(f"global/routes/{call.values['resource']}")
    call.cloud.route(call.values["resource"])
    return _granted(call)


def _granted(call: Call) -> Resource:
    asked = call.body.get("permissions", [])
    granted = [each for each in asked if call.cloud.identity.granted(call.caller, each, call.project)]
    return {"permissions": granted} if granted else {}


# --- instances


@HANDLERS.of("instances.get")
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
        return [cloud.instance(name) for name, each in cloud.all_instances.items() if each["zone"] == url]


@HANDLERS.of("instances.list")
def _instances_list(call: Call) -> Resource:
    call.need("", "compute.instances.list")
    zone = call.values["zone"]
    return page(call, "instance", _instances_of(call, zone), f"zones/{zone}/instances")


@HANDLERS.of("instances.aggregatedList")
def _instances_aggregated(call: Call) -> Resource:
    call.need("", "compute.instances.list")
    down = call.cloud.behaviour.zone_outage
    scopes = {f"zones/{zone}": None if zone in down else _instances_of(call, zone) for zone in call.cloud.zones}
    return aggregated(call, "instance", "instances", scopes)


@HANDLERS.of("instances.start", "instances.stop", "instances.reset")
def _instances_power(call: Call) -> Resource:
    kind, zone, name = call.method.id.rpartition(".")[2], call.values["zone"], call.values["instance"]
    call.need(f"zones/{zone}/instances/{name}", f"compute.instances.{kind}")
    return call.start(call.cloud.machines.set_power(kind, _instance(call, name)))


@HANDLERS.of("instances.updateNetworkInterface")
def _instances_update(call: Call) -> Resource:
    zone, name = call.values["zone"], call.values["instance"]
    call.need(f"zones/{zone}/instances/{name}", "compute.instances.updateNetworkInterface")
    instance = _instance(call, name)
    subnetwork = call.cloud.relative(instance["networkInterfaces"][0]["subnetwork"])
    call.cloud.identity.require(call.caller, subnetwork, "compute.subnetworks.use")
    return call.start(call.cloud.update_interface(instance, call.query["networkInterface"], call.body))


@HANDLERS.of("instances.testIamPermissions")
def _instances_test(call: Call) -> Resource:
    _instance(call, call.values["resource"])
    return _granted(call)


# --- networks, subnetworks


@HANDLERS.of("networks.get")
def _networks_get(call: Call) -> Resource:
    name = call.values["network"]
    call.need(f"global/networks/{name}", "compute.networks.get")
    return _find(call, call.cloud.networks.values(), name, "global/networks")


@HANDLERS.of("networks.list")
def _networks_list(call: Call) -> Resource:
    call.need("", "compute.networks.list")
    return page(call, "network", call.cloud.networks.values(), "global/networks")


def _find(call: Call, there: Iterable[Resource], key: str, collection: str) -> Resource:
    for each in there:
        if key in (each["name"], each["id"]) and each["selfLink"].startswith(f"{HOST}{call.project}/"):
            return each
    raise not_found(f"{call.project}/{collection}/{key}")


def _subnetworks_of(call: Call, region: str) -> list[Resource]:
    url = f"{HOST}{call.project}/regions/{region}"
    return [each for each in call.cloud.subnetworks.values() if each["region"] == url]


@HANDLERS.of("subnetworks.get")
def _subnetworks_get(call: Call) -> Resource:
    collection, name = f"regions/{call.values['region']}/subnetworks", call.values["subnetwork"]
    call.need(f"{collection}/{name}", "compute.subnetworks.get")
    return _find(call, _subnetworks_of(call, call.values["region"]), name, collection)


@HANDLERS.of("subnetworks.list")
def _subnetworks_list(call: Call) -> Resource:
    call.need("", "compute.subnetworks.list")
    region = call.values["region"]
    return page(call, "subnetwork", _subnetworks_of(call, region), f"regions/{region}/subnetworks")


@HANDLERS.of("subnetworks.aggregatedList")
def _subnetworks_aggregated(call: Call) -> Resource:
    call.need("", "compute.subnetworks.list")
    scopes = {f"regions/{region}": _subnetworks_of(call, region) for region in call.cloud.regions}
    return aggregated(call, "subnetwork", "subnetworks", scopes)


@HANDLERS.of("subnetworks.testIamPermissions")
def _subnetworks_test(call: Call) -> Resource:
    region, name = call.values["region"], call.values["resource"]
    _find(call, _subnetworks_of(call, region), name, f"regions/{region}/subnetworks")
    return _granted(call)


# --- zones, regions, the project, operations


def _zone(call: Call, name: str) -> Resource:
    down = name in call.cloud.behaviour.zone_outage
    return {**call.cloud.zones[name][call.project], "status": "DOWN" if down else "UP"}


@HANDLERS.of("zones.get")
def _zones_get(call: Call) -> Resource:
    call.need(f"zones/{call.values['zone']}", "compute.zones.get")
    return _zone(call, call.values["zone"])


@HANDLERS.of("zones.list")
def _zones_list(call: Call) -> Resource:
    call.need("", "compute.zones.list")
    return page(call, "zone", [_zone(call, name) for name in call.cloud.zones], "zones")


@HANDLERS.of("projects.get")
def _projects_get(call: Call) -> Resource:
    call.need("", "compute.projects.get")
    return call.cloud.projects[call.project]


@HANDLERS.of("regions.get")
def _regions_get(call: Call) -> Resource:
    call.need(f"regions/{call.values['region']}", "compute.regions.get")
    return _region(call, call.values["region"])


@HANDLERS.of("regions.list")
def _regions_list(call: Call) -> Resource:
    call.need("", "compute.regions.list")
    return page(call, "region", [_region(call, name) for name in call.cloud.regions], "regions")


def _region(call: Call, name: str) -> Resource:
    region = call.cloud.regions[name][call.project]
    quotas = call.cloud.balancers.quotas(region["selfLink"])
    return {**region, **({"quotas": quotas} if quotas else {})}


def _service(call: Call) -> str:
    """compute.globalOperations, compute.zoneOperations or compute.regionOperations."""
    return call.method.id.rpartition(".")[0]


@HANDLERS.of("globalOperations.get", "zoneOperations.get", "regionOperations.get")
def _operations_get(call: Call) -> Resource:
    call.need("", f"{_service(call)}.get")
    return call.cloud.operations.get(call.values["operation"], call.project, call.scope)


@HANDLERS.of("globalOperations.wait", "zoneOperations.wait", "regionOperations.wait")
def _operations_wait(call: Call) -> Resource:
    call.need("", f"{_service(call)}.get")
    name, seconds = call.values["operation"], call.cloud.behaviour.wait_s
    return call.cloud.operations.wait(name, call.project, call.scope, seconds)


@HANDLERS.of("globalOperations.list", "zoneOperations.list", "regionOperations.list")
def _operations_list(call: Call) -> Resource:
    call.need("", f"{_service(call)}.list")
    found = call.cloud.operations.all(call.scope)
    return page(call, "operation", found, f"{call.scope}/operations")

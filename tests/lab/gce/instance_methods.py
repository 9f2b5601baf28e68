# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The methods that make instances, what they boot from and what they are made after.

The permissions are named as for `lab.gce.methods`.
"""

from __future__ import annotations

from collections.abc import Iterable

from lab.gce import kind_methods, shapes
from lab.gce.calls import Call, Handlers, page
from lab.gce.errors import ApiError, not_found
from lab.gce.images import PUBLIC
from lab.gce.resources import Resource

HANDLERS = Handlers()
HANDLERS.of("disks.get", "instanceTemplates.get")(kind_methods.get)
HANDLERS.of("disks.list", "instanceTemplates.list")(kind_methods.listed)
HANDLERS.of("instanceTemplates.insert")(kind_methods.insert)
HANDLERS.of("disks.delete", "images.delete", "instanceTemplates.delete")(kind_methods.delete)
HANDLERS.of("images.setLabels")(kind_methods.set_labels)
HANDLERS.of("disks.aggregatedList")(kind_methods.of_all_zones)


def may_make(call: Call, given: Resource) -> None:
    """Refuse a caller who may not make an instance like this, whose fields are an instance's or a template's."""
    named = {
        "metadata": "setMetadata",
        "tags": "setTags",
        "labels": "setLabels",
        "serviceAccounts": "setServiceAccount",
    }
    for field, verb in named.items():
        value = given.get(field)
        if value.get("items") if isinstance(value, dict) and field != "labels" else value:
            call.need("", f"compute.instances.{verb}")
    if given.get("serviceAccounts"):
        call.need("", "iam.serviceAccounts.actAs")
    for url, permission in shapes.needs(given):
        call.may_use(url, permission)


@HANDLERS.of("instances.insert")
def _instances_insert(call: Call) -> Resource:
    cloud, scope = call.cloud, f"{call.project}/{call.scope}"
    call.need(f"{call.scope}/instances/{call.body['name']}", "compute.instances.create")
    body, template = call.body, call.query.get("sourceInstanceTemplate")
    if call.query.get("sourceMachineImage"):
        raise ApiError(501, "notImplemented", "This lab has no machine images.")
    if template:
        call.may_use(template, "compute.instanceTemplates.useReadOnly")
        with cloud.lock:
            found = cloud.templates.find(template, "sourceInstanceTemplate", call.project)
        body = {**found["properties"], **body}
    may_make(call, body)
    if any(not disk.get("source") for disk in body.get("disks") or ()):
        call.need("", "compute.disks.create")
    return call.start(cloud.machines.insertion(body, scope))


@HANDLERS.of("instances.delete")
def _instances_delete(call: Call) -> Resource:
    zone, name = call.values["zone"], call.values["instance"]
    call.need(f"zones/{zone}/instances/{name}", "compute.instances.delete")
    with call.cloud.lock:
        change = call.cloud.machines.deletion(call.cloud.find_instance(call.project, zone, name))
    return call.start(change)


@HANDLERS.of("instanceTemplates.aggregatedList")
def _templates_aggregated(call: Call) -> Resource:
    return kind_methods.of_all_regions(call, "instanceTemplate")


@HANDLERS.of("disks.insert")
def _disks_insert(call: Call) -> Resource:
    image = call.query.get("sourceImage")
    return kind_methods.insert(call._replace(body={**call.body, "sourceImage": image}) if image else call)


# --- images: those of the public project are for everyone


@HANDLERS.of("images.get")
def _images_get(call: Call) -> Resource:
    key = call.values["image"]
    if call.project != PUBLIC:
        call.need(f"global/images/{key}", "compute.images.get")
    with call.cloud.lock:
        return call.cloud.images.within(f"{call.project}/global").find(key, call.cloud.shows_coming)


@HANDLERS.of("images.insert")
def _images_insert(call: Call) -> Resource:
    if call.query.get("forceCreate", "").lower() == "true":
        raise ApiError(501, "notImplemented", "This lab copies no disk of a machine with power.")
    return kind_methods.insert(call)


@HANDLERS.of("images.getFromFamily")
def _images_of_family(call: Call) -> Resource:
    if call.project != PUBLIC:
        call.need(f"global/images/family/{call.values['family']}", "compute.images.getFromFamily")
    with call.cloud.lock:
        return call.cloud.images.of_family(call.project, call.values["family"])


@HANDLERS.of("images.list")
def _images_list(call: Call) -> Resource:
    if call.project != PUBLIC:
        call.need("", "compute.images.list")
    with call.cloud.lock:
        shown = list(call.cloud.images.within(f"{call.project}/global").shown(call.cloud.shows_coming))
    return page(call, "image", shown, "global/images")


# --- what clients ask for besides


@HANDLERS.of("machineTypes.get")
def _machine_type(call: Call) -> Resource:
    call.need("", "compute.machineTypes.get")
    return _found(call, "machineType")


@HANDLERS.of("diskTypes.get")
def _disk_type(call: Call) -> Resource:
    call.need("", "compute.diskTypes.get")
    return _found(call, "diskType")


_KNOWN: dict[str, Iterable[str]] = {
    "machineType": ("e2-micro", "e2-small", "e2-medium", "e2-standard-2", "n1-standard-1"),
    "diskType": ("pd-standard", "pd-balanced", "pd-ssd"),
}


def _found(call: Call, kind: str) -> Resource:
    name, collection = call.values[kind], f"{call.scope}/{kind}s"
    if name not in _KNOWN[kind]:
        raise not_found(f"{call.project}/{collection}/{name}")
    return call.cloud.maker.stamp(kind, collection, {"name": name, "zone": call.values["zone"]}, call.project)

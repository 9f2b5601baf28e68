# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Instances that come, go, stop and start; the data plane has a machine for each.

An instance in `Projects.moving` has its name and its address, and the network does not know it.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from ipaddress import IPv4Network

from lab.gce import shapes
from lab.gce.addresses import SHARED, Addresses
from lab.gce.behaviour import Behaviour
from lab.gce.collection import Collection
from lab.gce.dataplane import DataPlane
from lab.gce.disks import stored_as
from lab.gce.errors import ApiError, invalid
from lab.gce.images import Images
from lab.gce.kinds import region_of
from lab.gce.names import HOST, now_text
from lab.gce.operations import Change
from lab.gce.projects import MALFORMED, Projects
from lab.gce.resources import Resource


class Machines:
    """``settle`` lets the network know of what has changed; ``forget`` takes an instance, at its URL, out of groups."""

    def __init__(
        self,
        projects: Projects,
        plane: DataPlane,
        behaviour: Behaviour,
        images: Images,
        addresses: Addresses,
        settle: Callable[[], None],
        forget: Callable[[str], None],
    ) -> None:
        self.projects = projects
        self.plane = plane
        self.behaviour = behaviour
        self.images = images
        self.addresses = addresses
        self._settle = settle
        self._forget = forget
        self._given: list[IPv4Network] = []

    # --- in and out

    def insertion(self, body: Resource, scope: str) -> Change:
        """The change that makes an instance and powers it; ``scope``: projects/P/zones/Z."""
        projects = self.projects
        with projects.lock:
            name = body["name"]
            if name in projects.all_instances:
                there = projects.relative(projects.all_instances[name]["selfLink"])
                if there != f"{scope}/instances/{name}":
                    raise ApiError(501, "notImplemented", f"This lab has no second instance of the name {name}.")
                raise ApiError(409, "alreadyExists", f"The resource '{there}' already exists")
            shapes.check(body, "resource", ("name", "zone"))
            instance = self._instance(body, scope)
            disk, made = self._boot(body, scope)
            instance["disks"] = [shapes.attached(shapes.boot_disk(body, "resource"), disk)]
            address = instance["networkInterfaces"][0]["networkIP"]
            taken = bool(self._others_with(instance))
            projects.moving[name], projects.transitional[name] = instance, "PROVISIONING"

        def work() -> None:
            with projects.lock:
                self._check_room(instance)
                if taken and self._others_with(instance):
                    message = f"IP '{address}' is already being used by another resource."
                    raise ApiError(400, "IP_IN_USE_BY_ANOTHER_RESOURCE", message)
                projects.transitional[name] = "STAGING"
            with contextlib.ExitStack() as undo:
                if made and made.work:
                    made.work()
                    undo.callback(self.plane.delete_disk, stored_as(disk))
                self.plane.create(name, address, stored_as(disk))
                undo.callback(self.plane.delete, name)
                self.plane.power(name, True, self.behaviour.boot_s)
                undo.pop_all()

        def effect() -> None:
            if made:
                made.effect()
            projects.instances[name] = {**projects.moving.pop(name), "lastStartTimestamp": now_text()}
            projects.transitional.pop(name)
            projects.power[name] = True

        def abandon() -> None:
            projects.moving.pop(name)
            projects.transitional.pop(name)
            if made:
                made.abandon()

        return Change("insert", instance, effect, abandon, work)

    def deletion(self, instance: Resource) -> Change:
        """The change that takes an instance away, and its disk if it goes with it."""
        projects, name = self.projects, instance["name"]
        with projects.lock:
            self._check_still(instance)
            if "disks" not in instance:
                raise ApiError(501, "notImplemented", f"This lab keeps {name}: it was not made by a request.")
            projects.transitional[name] = "STOPPING"
            attached = instance["disks"][0]
            disks = self._disks(instance)
            disk = next(each for each in disks.values() if each["selfLink"] == attached["source"])
            if attached["autoDelete"]:
                disks.going.add(disk["id"])

        def work() -> None:
            with projects.lock:
                projects.moving[name] = projects.instances.pop(name)
            self._settle()
            self.plane.delete(name)
            if attached["autoDelete"]:
                self.plane.delete_disk(stored_as(disk))

        def effect() -> None:
            projects.moving.pop(name)
            projects.transitional.pop(name)
            projects.power.pop(name, None)
            if attached["autoDelete"]:
                disks.going.discard(disk["id"])
                del disks[disk["name"]]
            self._forget(instance["selfLink"])

        def abandon() -> None:
            projects.transitional.pop(name)
            disks.going.discard(disk["id"])
            if name in projects.moving:
                projects.instances[name] = projects.moving.pop(name)

        return Change("delete", instance, effect, abandon, work)

    # --- power

    def set_power(self, kind: str, instance: Resource) -> Change:
        """The change that is a start, stop or reset."""
        projects, name = self.projects, instance["name"]
        with projects.lock:
            self._check_still(instance)
            on = projects.power.get(name, True)
            if kind == "reset" and not on:
                raise ApiError(400, "badRequest", f"Instance '{name}' is not running.")
            if kind != "reset":
                if on == (kind == "start"):
                    return Change(kind, instance, lambda: None, lambda: None)  # and nobody else has to wait for it
                projects.transitional[name] = "STAGING" if kind == "start" else "STOPPING"

        def work() -> None:
            if kind == "start":
                with projects.lock:
                    self._check_room(instance)
            if kind in ("stop", "reset"):
                self.plane.power(name, False)
            if kind in ("reset", "start"):
                self.plane.power(name, True, self.behaviour.boot_s)

        def effect() -> None:
            projects.transitional.pop(name, None)
            projects.power[name] = kind != "stop"

        return Change(kind, instance, effect, lambda: projects.transitional.pop(name, None), work)

    # --- parts

    def _check_still(self, instance: Resource) -> None:
        """Refuse an instance that something is happening to."""
        if instance["name"] in self.projects.transitional:
            path = self.projects.relative(instance["selfLink"])
            raise ApiError(400, "resourceNotReady", f"The resource '{path}' is not ready")

    def _check_room(self, instance: Resource) -> None:
        """Refuse what the zone, or a quota, has no room for."""
        zone = self.projects.relative(instance["zone"])
        if zone.rpartition("/")[2] in self.behaviour.zone_outage:
            raise ApiError(503, "INTERNAL_ERROR", f"The zone '{zone}' cannot be reached. Try again later.")
        if zone.rpartition("/")[2] in self.behaviour.zone_exhausted:
            text = f"The zone '{zone}' does not have enough resources available to fulfill the request.  "
            text += "Try a different zone, or try again later."
            raise ApiError(503, "ZONE_RESOURCE_POOL_EXHAUSTED", text)
        limit, region = self.projects.world.quotas.get("INSTANCES"), region_of(instance)
        there = [each for each in self.projects.instances.values() if region_of(each) == region]
        if limit is not None and instance["name"] in self.projects.moving and len(there) >= limit:
            text = f"Quota 'INSTANCES' exceeded.  Limit: {limit}.0 in region {region.rpartition('/')[2]}."
            raise ApiError(403, "QUOTA_EXCEEDED", text)

    def _disks(self, instance: Resource) -> Collection:
        return self.images.disks.within(self.projects.relative(instance["zone"]))

    def _others_with(self, instance: Resource) -> list[str]:
        """The URLs of those that have its address."""
        nic = instance["networkInterfaces"][0]
        holders = self.addresses.holders(nic["networkIP"], nic["network"])
        return [each for each in holders if each != instance["selfLink"]]

    def _instance(self, body: Resource, scope: str) -> Resource:
        """An instance as it is stored, but for its disk."""
        projects = self.projects
        project, _, zone = scope.partition("/zones/")
        nic = shapes.interface(body, "resource")
        field, region = "resource.networkInterfaces[0]", zone.rpartition("-")[0]
        subnetwork = shapes.subnetwork(projects, nic, field, project, region)
        address = self._address(nic.get("networkIP", ""), subnetwork, project, field)
        resource = shapes.stored(body, scope, subnetwork, address)
        if body.get("serviceAccounts"):
            resource["serviceAccounts"] = [self._account(body["serviceAccounts"][0])]
        return projects.maker.stamp("instance", f"zones/{zone}/instances", resource, project)

    def _account(self, given: Resource) -> Resource:
        known = {each.name for each in self.projects.world.principals}
        if given.get("email") not in known:
            raise invalid("resource.serviceAccounts[0].email", given.get("email"), "There is no such service account.")
        return {"email": given["email"], "scopes": list(given.get("scopes") or ())}

    def _boot(self, body: Resource, scope: str) -> tuple[Resource, Change | None]:
        """Its disk: one that is there, or one that comes with it, by this change."""
        given = shapes.boot_disk(body, "resource")
        kind, project = self.images.disks, scope.partition("/zones/")[0]
        field = "resource.disks[0].source"
        if given.get("source"):
            disk = kind.find(given["source"], field, project)
            if not disk["selfLink"].startswith(f"{HOST}{scope}/"):
                raise invalid(field, given["source"], f"It is not in {scope}.")
            for user in kind.users(disk):
                raise kind.in_use(disk, user)
            return disk, None
        params = given["initializeParams"]
        asked = {
            "name": params.get("diskName") or body["name"],
            "sourceImage": params["sourceImage"],
            "sizeGb": params.get("diskSizeGb") or given.get("diskSizeGb"),
            "type": params.get("diskType") and f"{scope}/diskTypes/{params['diskType'].rpartition('/')[2]}",
            **{name: params.get(name) for name in ("description", "labels")},
        }
        change = kind.insertion(asked, scope)
        return change.target, change

    def _pick(self, subnetwork: Resource) -> str:
        """A free address; one that an instance has had comes last."""
        try:
            address = self.addresses.pick(subnetwork, self._given)
        except ApiError:
            self._given.clear()
            address = self.addresses.pick(subnetwork)
        self._given.append(IPv4Network(address))
        return address

    def _address(self, given: str, subnetwork: Resource, project: str, where: str) -> str:
        """The address that was asked for, or a free one."""
        field = f"{where}.networkIP"
        if not given:
            return self._pick(subnetwork)
        if "/" in given:
            address = self.addresses.find(given, field, project)
            if address.get("subnetwork") != subnetwork["selfLink"]:
                raise invalid(field, given, f"It is not an address of the subnetwork '{subnetwork['name']}'.")
            given = address["address"]
        if not re.fullmatch(r"[0-9.]+", given):
            raise invalid(field, given, MALFORMED)
        self.addresses.check_inside(field, given, subnetwork)
        reserved = self.addresses.reservation(given, subnetwork)
        if reserved and reserved["purpose"] == SHARED:
            raise invalid(field, given, f"The address has the purpose {SHARED}.")
        return given

# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Persistent disks of a zone: those that instances boot from, and their copies."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from lab.gce import labels
from lab.gce.collection import Scopes
from lab.gce.dataplane import DataPlane
from lab.gce.errors import ApiError, invalid
from lab.gce.kinds import Kind
from lab.gce.names import HOST, fingerprint
from lab.gce.operations import Change
from lab.gce.projects import MALFORMED, Projects
from lab.gce.resources import Resource

if TYPE_CHECKING:
    from lab.gce.images import Images

_TYPE = "pd-standard"
_MOST_GB = 65536


class Disks(Kind):
    """Each is of an image; there are no empty ones."""

    collection = "disks"
    kind = "disk"
    title = "disk"
    fields = frozenset({"name", "description", "labels", "sizeGb", "sourceImage", "type"})

    def __init__(self, projects: Projects, scopes: Scopes, plane: DataPlane, images: Images) -> None:
        super().__init__(projects, scopes)
        self.plane = plane
        self.images = images

    def content(self, body: Resource, scope: str, old: Resource | None) -> Resource:
        """See `Kind`. Only a new one gets here."""
        if not body.get("sourceImage"):
            raise ApiError(501, "notImplemented", "This lab has no disk without an image.")
        labels.check(body.get("labels", {}))
        project = scope.partition("/zones/")[0]
        image = self.images.named(body["sourceImage"], "resource.sourceImage", project)
        least = int(image["diskSizeGb"])
        size = int(body.get("sizeGb") or least)
        if not least <= size <= _MOST_GB:
            why = f"Must be at least the size of the image, {least} GB, and at most {_MOST_GB} GB."
            raise invalid("resource.sizeGb", size, why)
        kind = self.projects.relative((body.get("type") or f"zones/-/diskTypes/{_TYPE}"), project)
        if "/diskTypes/" not in kind:
            raise invalid("resource.type", body["type"], MALFORMED)
        return {
            "name": body["name"],
            **{name: body[name] for name in ("description", "labels") if body.get(name)},
            "sizeGb": str(size),
            "sourceImage": image["selfLink"],
            "sourceImageId": image["id"],
            "status": "READY",
            "type": f"{HOST}{scope}/diskTypes/{kind.rpartition('/')[2]}",
            "physicalBlockSizeBytes": "4096",
            "labelFingerprint": fingerprint(),
        }

    def view(self, resource: Resource) -> Resource:
        """See `Kind`."""
        users = self.users(resource)
        return {**resource, **({"users": users} if users else {})}

    def users(self, resource: Resource) -> list[str]:
        """See `Kind`."""
        instances = self.projects.all_instances.values()
        return [
            each["selfLink"]
            for each in instances
            if resource["selfLink"] in (disk["source"] for disk in each.get("disks", ()))
        ]

    def in_use(self, disk: Resource, user: str) -> ApiError:
        """An instance has it."""
        names = self.projects.relative(disk["selfLink"]), self.projects.relative(user)
        message = "The disk resource '{}' is already being used by '{}'".format(*names)
        return ApiError(400, "resourceInUseByAnotherResource", message)

    def needs(self, body: Resource, scope: str, old: Resource | None) -> Iterator[tuple[str, str]]:
        """See `Kind`."""
        if body.get("sourceImage"):
            yield body["sourceImage"], "compute.images.useReadOnly"

    def insertion(self, body: Resource, scope: str) -> Change:
        """See `Kind`."""
        with self.projects.lock:
            change = super().insertion(body, scope)
            return change._replace(work=lambda: self.make(change.target))

    def deletion(self, scope: str, key: str) -> Change:
        """See `Kind`."""
        change = super().deletion(scope, key)
        return change._replace(work=lambda: self.plane.delete_disk(stored_as(change.target)))

    def make(self, disk: Resource) -> None:
        """Have the data plane make it."""
        with self.projects.lock:
            image = self.images.stored_as(disk["sourceImage"])
        self.plane.make_disk(stored_as(disk), image)


def stored_as(resource: Resource) -> str:
    """What the data plane calls a disk or an image: other ones may have its name elsewhere, or later."""
    return f"{resource['name']}-{resource['id']}"

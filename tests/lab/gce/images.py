# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Images: the lab's own Debian, which is public, and copies of disks."""

from __future__ import annotations

import re
from collections.abc import Iterator

from lab.gce import labels
from lab.gce.collection import Scopes
from lab.gce.dataplane import DataPlane
from lab.gce.disks import Disks, stored_as
from lab.gce.errors import ApiError, invalid, not_found, required
from lab.gce.kinds import Kind
from lab.gce.names import NAME, fingerprint
from lab.gce.operations import Change
from lab.gce.projects import MALFORMED, Projects
from lab.gce.resources import Resource

PUBLIC = "projects/debian-cloud"
"""Everyone may read its images, and it has nothing else."""
# gcloud names a family by its view from a zone.
_NAMED = re.compile(r"(projects/[^/]+)/(?:global/images/(family/)?|zones/[^/]+/(imageFamilyViews)/)([^/]+)")
BASE, BASE_FAMILY = "debian-12-bookworm-v20261110", "debian-12"


class Images(Kind):
    """Global ones. Of those with a family the one that came last stands for it."""

    collection = "images"
    kind = "image"
    title = "image"
    fields = frozenset({"name", "description", "family", "labels", "sourceDisk", "diskSizeGb", "sourceType"})

    def __init__(self, projects: Projects, scopes: Scopes, plane: DataPlane) -> None:
        super().__init__(projects, scopes)
        self.plane = plane
        self.disks = Disks(projects, scopes, plane, self)
        content = {"name": BASE, "family": BASE_FAMILY, "description": "Debian 12", "diskSizeGb": "10"}
        base = {**content, "status": "READY", "sourceType": "RAW", "labelFingerprint": fingerprint()}
        self.within(f"{PUBLIC}/global")[BASE] = projects.maker.stamp("image", "global/images", base, PUBLIC)

    def content(self, body: Resource, scope: str, old: Resource | None) -> Resource:
        """See `Kind`. Only a new one gets here."""
        if not body.get("sourceDisk"):
            raise required("resource.sourceDisk")
        labels.check(body.get("labels", {}))
        if body.get("family") and not NAME.fullmatch(body["family"]):
            raise invalid("resource.family", body["family"], f"Must be a match of regex '{NAME.pattern}'")
        disk = self.disks.find(body["sourceDisk"], "resource.sourceDisk", scope.removesuffix("/global"))
        for user in self.disks.users(disk):
            if self.projects.status(user.rpartition("/")[2]) != "TERMINATED":
                raise self.disks.in_use(disk, user)
        return {
            "name": body["name"],
            "description": body.get("description", ""),
            **{name: body[name] for name in ("family", "labels") if body.get(name)},
            "sourceType": "RAW",
            "sourceDisk": disk["selfLink"],
            "sourceDiskId": disk["id"],
            "diskSizeGb": disk["sizeGb"],
            "status": "PENDING",
            "labelFingerprint": fingerprint(),
        }

    def needs(self, body: Resource, scope: str, old: Resource | None) -> Iterator[tuple[str, str]]:
        """See `Kind`."""
        if body.get("sourceDisk"):
            yield body["sourceDisk"], "compute.disks.useReadOnly"

    def insertion(self, body: Resource, scope: str) -> Change:
        """The change that copies a disk; its machine has to be without power."""
        with self.projects.lock:
            change = super().insertion(body, scope)
            image, images = change.target, self.within(scope)
            disk = self.disks.find(image["sourceDisk"], "resource.sourceDisk", "")

            def effect() -> list[Resource] | None:
                images.coming[image["name"]] = {**image, "status": "READY"}
                return change.effect()

            return change._replace(effect=effect, work=lambda: self.plane.make_image(stored_as(image), stored_as(disk)))

    def deletion(self, scope: str, key: str) -> Change:
        """See `Kind`. The disks that were made of it stay."""
        change = super().deletion(scope, key)
        return change._replace(work=lambda: self.plane.delete_image(stored_as(change.target)))

    def of_family(self, project: str, family: str) -> Resource:
        """The newest one."""
        found = [each for each in self.within(f"{project}/global").values() if each.get("family") == family]
        if not found:
            raise not_found(f"{project}/global/images/family/{family}")
        return found[-1]

    def named(self, url: str, field: str, project: str) -> Resource:
        """What a body names: an image, or a family."""
        path = self.projects.relative(url, project)
        match = _NAMED.fullmatch(path)
        if not match:
            raise invalid(field, url, MALFORMED)
        if match[1] not in (*self.projects.projects, PUBLIC):
            raise ApiError(403, "forbidden", f"Required 'compute.images.useReadOnly' permission for '{path}'")
        if match[2] or match[3]:
            return self.of_family(match[1], match[4])
        return self.within(f"{match[1]}/global").ready(match[4])

    def stored_as(self, url: str) -> str:
        """What the data plane calls the image at a URL; "" for the lab's own Debian, or if there is no image."""
        return next(
            (stored_as(each) for each in self.in_force() if each["selfLink"] == url and "sourceDisk" in each), ""
        )

# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Instance templates: what instances are made after."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from lab.gce import shapes
from lab.gce.collection import Scopes
from lab.gce.errors import ApiError, invalid, required
from lab.gce.kinds import Kind
from lab.gce.projects import MALFORMED, Projects
from lab.gce.resources import Resource


class Templates(Kind):
    """Global ones. Nothing changes one."""

    collection = "instanceTemplates"
    kind = "instanceTemplate"
    title = "instance_template"
    fields = frozenset({"name", "description", "properties"})

    def __init__(self, projects: Projects, scopes: Scopes) -> None:
        super().__init__(projects, scopes)
        # The URLs of what makes instances after the template at a URL, or has one that was.
        self.using: Callable[[str], list[str]] = lambda url: []

    def content(self, body: Resource, scope: str, old: Resource | None) -> Resource:
        """See `Kind`."""
        if "properties" not in body:
            raise required("resource.properties")
        given, where = body["properties"], "resource.properties"
        shapes.check(given, where)
        if "/" in given["machineType"]:
            raise invalid(f"{where}.machineType", given["machineType"], "It must be a name, without a zone.")
        nic, field = shapes.interface(given, where), f"{where}.networkInterfaces[0]"
        project = scope.removesuffix("/global")
        path = self.projects.relative(nic.get("subnetwork") or "", project)
        if path and len(path.split("/")) != 6:
            raise invalid(f"{field}.subnetwork", nic["subnetwork"], MALFORMED)
        subnetwork = shapes.subnetwork(self.projects, nic, field, project, path.split("/")[3] if path else "")
        disk = shapes.boot_disk(given, where)
        if disk.get("source"):
            raise ApiError(501, "notImplemented", "This lab has no instance template with a disk that is there.")
        image = disk["initializeParams"]["sourceImage"]
        if not self.projects.relative(image, project):
            raise invalid(f"{where}.disks[0].initializeParams.sourceImage", image, MALFORMED)
        interface = {**nic, "network": subnetwork["network"], "subnetwork": subnetwork["selfLink"], "name": "nic0"}
        return {
            "name": body["name"],
            "description": body.get("description", ""),
            "properties": {**given, "networkInterfaces": [interface]},
        }

    def users(self, resource: Resource) -> list[str]:
        """See `Kind`."""
        return self.using(resource["selfLink"])

    def needs(self, body: Resource, scope: str, old: Resource | None) -> Iterator[tuple[str, str]]:
        """See `Kind`."""
        yield from shapes.needs(body.get("properties") or {})

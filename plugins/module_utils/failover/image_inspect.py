# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Looks at images for a person, and at the builders that are left over."""

from __future__ import annotations

from typing import NamedTuple

from ..clouds.gce_names import last_part, normalise, parse_time, zone_of
from .image_look import owner_of, template_users

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any, Protocol

    from .image_look import ImageApi

    Resource = dict[str, Any]

    class InspectApi(ImageApi, Protocol):
        """Further verbs that this needs of a client."""

        def list_instances(self) -> tuple[list[Resource], list[str]]:
            """The project's instances, and the zones that did not answer."""


class Findings(NamedTuple):
    """images: newest first. builders: of these images, or of some that are yet to be made. silent: zones that did not
    answer."""

    images: list[Resource]
    builders: list[Resource]
    silent: list[str]


def inspect(client: InspectApi, project: str, family: str | None = None, prefix: str = "") -> Findings:
    """The images of a family whose names begin with the prefix. A builder belongs to an image, and has no family."""
    there = [each for each in client.list_all(f"projects/{project}/global/images") if _fits(each, family, prefix)]
    users = template_users(client.list_all(f"projects/{project}/global/instanceTemplates")) if there else {}
    instances, silent = client.list_instances()
    others = [each for each in instances if (owner_of(each) or "").startswith(prefix) and owner_of(each)]
    newest = sorted(there, key=lambda each: parse_time(each["creationTimestamp"]), reverse=True)
    return Findings(
        [describe_image(each, users) for each in newest], [describe_builder(each) for each in others], silent
    )


def _fits(image: Resource, family: str | None, prefix: str) -> bool:
    return family in (None, image.get("family")) and str(image["name"]).startswith(prefix)


def describe_image(image: Resource, users: Mapping[str, Iterable[str]] | None = None) -> Resource:
    """users: the paths of templates by those of images."""
    path = normalise(image["selfLink"])
    found = {
        "name": image["name"],
        "path": path,
        "id": str(image.get("id")),
        "status": image.get("status"),
        "deprecated": (image.get("deprecated") or {}).get("state"),
        "family": image.get("family"),
        "labels": dict(image.get("labels") or {}),
        "created": image.get("creationTimestamp"),
        "made_here": owner_of(image) == image["name"],
    }
    return found if users is None else {**found, "used_by": list(users.get(path, ()))}


def describe_builder(instance: Resource) -> Resource:
    path = normalise(instance["selfLink"])
    interface = (instance.get("networkInterfaces") or [{}])[0]
    outside = (interface.get("accessConfigs") or [{}])[0]
    return {
        "name": last_part(path),
        "path": path,
        "zone": zone_of(path),
        "id": str(instance.get("id")),
        "status": instance.get("status"),
        "image": owner_of(instance),
        "address": interface.get("networkIP"),
        "external_address": outside.get("natIP"),
        "created": instance.get("creationTimestamp"),
    }

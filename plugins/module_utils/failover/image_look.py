# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Looks at an image, and at the builder that it is made from. Facts, no decision."""

from __future__ import annotations

from ..base.errors import Invalid, NotFound
from ..clouds.gce_names import normalise, zone_of
from .facts import Facts
from .image_goal import OWNER, RECIPE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any, Protocol

    from .facts import Question
    from .gcp_objects import ObjectsApi, PermissionsApi
    from .image_goal import ImageGoal

    Resource = dict[str, Any]

    class ImageApi(ObjectsApi, PermissionsApi, Protocol):
        """The verbs that this procedure needs of a client. Errors are those of base/errors.py; all is named by its
        path."""

        def get(self, path: str) -> Resource: ...

        def get_source(self, path: str) -> Resource:
            """An image by its path, or the newest one of a family."""

        def get_subnetwork(self, path: str) -> Resource: ...

        def list_all(self, path: str) -> list[Resource]: ...

        def start_instance(self, path: str, request_id: str) -> None:
            """Returns when it is done, as the others do."""

        def stop_instance(self, path: str, request_id: str) -> None: ...


READY = "READY"
RUNNING = "RUNNING"
STOPPED = ("TERMINATED", "STOPPED")
SUSPENDED = "SUSPENDED"
# What the API does by itself, and what becomes of it. Nobody has to do anything but wait.
BECOMES: dict[str, str | None] = {
    "PENDING": READY,  # an image
    "CREATING": READY,  # a disk
    "DELETING": None,
    "PROVISIONING": RUNNING,
    "STAGING": RUNNING,
    "REPAIRING": RUNNING,
    "PENDING_STOP": "TERMINATED",
    "STOPPING": "TERMINATED",
    "DEPROVISIONING": None,
    "SUSPENDING": SUSPENDED,
}


class Observed(Facts):
    """What there is. image, builder, disk: None if it is not there. disk: that of the builder, or one with its name."""

    goal: ImageGoal
    image: Resource | None
    builder: Resource | None
    disk: Resource | None

    def __init__(
        self,
        goal: ImageGoal,
        image: Resource | None = None,
        builder: Resource | None = None,
        disk: Resource | None = None,
        answers: Mapping[Question, Any] | None = None,
    ) -> None:
        super().__init__(goal=goal, image=image, builder=builder, disk=disk, answers=answers or {})

    def changed(self, **facts: Any) -> Observed:
        """The same, with other facts."""
        return Observed(**{**self.__dict__, **facts})

    # --- facts that few goals need: each raises Unread until somebody has read it, and what its request raised

    def source(self) -> Resource:
        """The image that the builder is made from."""
        return self.answer("get_source", self.goal.source)

    def users(self) -> list[str]:
        """The paths of the instance templates that make disks from the image."""
        return template_users(self.answer("list_all", f"projects/{self.goal.project}/global/instanceTemplates")).get(
            self.goal.path, []
        )

    # --- what follows

    def is_mine(self, resource: Resource | None) -> bool:
        """Whether it was made for this image."""
        return owner_of(resource) == self.goal.name

    @property
    def is_ready(self) -> bool:
        return bool(self.image) and (self.image or {}).get("status") == READY

    def is_as_wanted(self) -> bool:
        """Whether the builder was made as it would be made now. Raises Unread."""
        body = self.goal.builder_body(normalise(self.source()["selfLink"]))
        return ((self.builder or {}).get("labels") or {}).get(RECIPE) == body["labels"][RECIPE]

    # --- words

    def state(self) -> str:
        """The current state, in a sentence."""
        goal = self.goal
        words = [f"the image {goal.name} is {self.image['status']}" if self.image else f"there is no image {goal.name}"]
        if self.builder:
            words.append(f"its builder {goal.builder} in {goal.zone} is {self.builder['status']}")
        elif self.disk:
            words.append(f"a disk {goal.builder} is left in {goal.zone}")
        return " and ".join(words)

    def to_diff(self) -> dict[str, Any]:
        """The current state, for a person to compare with the goal."""
        image = self.image and {
            "name": self.goal.name,
            "status": self.image["status"],
            "family": self.image.get("family"),
            "labels": dict(self.image.get("labels") or {}),
        }
        builder = self.builder and {
            "name": self.goal.builder,
            "zone": self.goal.zone,
            "status": self.builder["status"],
        }
        return {"image": image, "builder": builder, "disk": self.goal.builder if self.disk else None}


def owner_of(resource: Resource | None) -> str | None:
    """The name of the image that a resource was made for."""
    return ((resource or {}).get("labels") or {}).get(OWNER)


def template_users(templates: Sequence[Resource]) -> dict[str, list[str]]:
    """By the paths of images, or of families: the paths of the instance templates that make disks from them."""
    found: dict[str, list[str]] = {}
    for template in templates:
        for disk in (template.get("properties") or {}).get("disks") or ():
            image = normalise((disk.get("initializeParams") or {}).get("sourceImage"))
            if image:
                found.setdefault(image, []).append(normalise(template["selfLink"]))
    return {image: sorted(set(users)) for image, users in found.items()}


def look(client: ImageApi, goal: ImageGoal, answers: Mapping[Question, Any] | None = None) -> Observed:
    """Reads the builder first. Whoever takes it away has made the image before, which is then seen."""
    builder = disk = None
    if goal.zone is not None:
        builder, disk = _find(client, goal.builder_path), _find(client, goal.disk_path)
    return Observed(goal, _find(client, goal.path), builder, disk, answers)


def _find(client: ImageApi, path: str) -> Resource | None:
    try:
        return client.get(path)
    except NotFound as error:
        if error.status == 400:
            raise Invalid(f"zone: {zone_of(path)} does not exist ({error})", resource=path, status=400) from None
        return None

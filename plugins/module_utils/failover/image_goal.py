# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The goals that a caller can set for an image, what they mean for the API, and the problems of a goal by itself."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field

from ..clouds.gce_names import NAME_LENGTH, full_url, is_name, parse_address
from .gcp_instances import disk_problems, is_account, label_problems, metadata_problems, tag_problems

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

BUILDING, PRESENT, ABSENT = "building", "present", "absent"
# Labels that tell what belongs to an image, and of a builder how it was made.
RESERVED = "cloudha-vip-"
OWNER, RECIPE = f"{RESERVED}image", f"{RESERVED}recipe"
MOST_LABELS = 60  # of the 64 that the API takes
BUILDER = "-builder"


@dataclass(frozen=True)
class ImageGoal:
    """What is wanted.

    | field            | meaning                                                                                   |
    |------------------|-------------------------------------------------------------------------------------------|
    | state            | BUILDING: a builder runs. PRESENT: the image is ready, and the builder is gone. ABSENT    |
    | zone             | where the builder is; None: only for ABSENT, and then no builder is looked for            |
    | builder          | its name                                                                                  |
    | expected_builder | the id of the builder that was made ready to become the image; None: any                  |
    | source           | projects/P/global/images/I, or .../images/family/F for the newest image of a family       |
    | family, labels   | of the image; builder and disk have the labels, too                                       |
    | machine_type     | of the builder, as all that follows                                                       |
    | network          | projects/P/global/networks/N                                                              |
    | subnetwork       | projects/P/regions/R/subnetworks/S                                                        |
    | address          | an internal IPv4 address; None: any                                                       |
    | external         | whether it has an external address, too                                                   |
    | service_account  | e-mail address; None: none, so that nothing on it gets a token                            |
    | metadata         | texts by their keys                                                                       |
    | disk_size_gb     | None: as large as the source image                                                        |
    """

    name: str
    project: str
    state: str = PRESENT
    zone: str | None = None
    builder: str = ""
    expected_builder: str | None = None
    source: str | None = None
    family: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    machine_type: str = "e2-small"
    network: str | None = None
    subnetwork: str | None = None
    address: str | None = None
    external: bool = False
    tags: tuple[str, ...] = ()
    service_account: str | None = None
    scopes: tuple[str, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)
    disk_size_gb: int | None = None

    @property
    def path(self) -> str:
        return f"projects/{self.project}/global/images/{self.name}"

    @property
    def builder_path(self) -> str:
        return f"projects/{self.project}/zones/{self.zone}/instances/{self.builder}"

    @property
    def disk_path(self) -> str:
        """Of the builder's disk."""
        return f"projects/{self.project}/zones/{self.zone}/disks/{self.builder}"

    @property
    def owned(self) -> dict[str, str]:
        """The labels of all that belongs to the image."""
        return {**self.labels, OWNER: self.name}

    def image_body(self) -> dict[str, Any]:
        found = {
            "name": self.name,
            "description": "made by cloudha.vip.gcp_image",
            "sourceDisk": full_url(self.disk_path),
            "labels": self.owned,
        }
        return {**found, "family": self.family} if self.family else found

    def builder_body(self, source: str) -> dict[str, Any]:
        """The builder with a disk from an image, by its path. It is labelled with a digest of all of it."""
        zone = f"projects/{self.project}/zones/{self.zone}"
        disk: dict[str, Any] = {"diskName": self.builder, "sourceImage": full_url(source), "labels": self.owned}
        if self.disk_size_gb:
            disk["diskSizeGb"] = str(self.disk_size_gb)
        body: dict[str, Any] = {
            "name": self.builder,
            "description": f"becomes the image {self.name}",
            "machineType": full_url(f"{zone}/machineTypes/{self.machine_type}"),
            "disks": [{"boot": True, "autoDelete": True, "initializeParams": disk}],
            "networkInterfaces": [self._interface()],
        }
        if self.tags:
            body["tags"] = {"items": list(self.tags)}
        if self.metadata:
            body["metadata"] = {"items": [{"key": key, "value": self.metadata[key]} for key in sorted(self.metadata)]}
        if self.service_account:
            body["serviceAccounts"] = [{"email": self.service_account, "scopes": list(self.scopes)}]
        recipe = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()[:32]
        return {**body, "labels": {**self.owned, RECIPE: recipe}}

    def _interface(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        if self.network:
            found["network"] = full_url(self.network)
        if self.subnetwork:
            found["subnetwork"] = full_url(self.subnetwork)
        if self.address:
            found["networkIP"] = self.address
        if self.external:
            found["accessConfigs"] = [{"type": "ONE_TO_ONE_NAT", "name": "External NAT"}]
        return found


def builder_name(image: str) -> str:
    """The name of a builder, if none is given."""
    return f"{image[: NAME_LENGTH - len(BUILDER)].rstrip('-')}{BUILDER}"


def goal_problems(goal: ImageGoal) -> list[str]:
    """The problems that can be found without a request."""
    found = [*_name_problems(goal), *_label_problems(goal.labels)]
    return found + list(_builder_problems(goal)) if goal.state == BUILDING else found


def _name_problems(goal: ImageGoal) -> Iterator[str]:
    rule = "use 1 to 63 of a-z, 0-9 and -, with a letter first and no - last"
    names = {"name": goal.name, "builder": goal.builder, "family": goal.family}
    for option, name in names.items():
        if name is not None and not is_name(name):
            yield f"{option}: {name!r} is no name: {rule}"
    if goal.expected_builder is not None and not re.fullmatch("[0-9]+", goal.expected_builder):
        yield f"expected_builder: {goal.expected_builder!r} is not the id of an instance, which is a number"


def _label_problems(labels: Mapping[str, str]) -> Iterator[str]:
    yield from label_problems(labels, MOST_LABELS)
    for key in labels:
        if key.startswith(RESERVED):
            yield f"labels: {key!r} is reserved: choose a key that does not begin with {RESERVED}"


def _builder_problems(goal: ImageGoal) -> Iterator[str]:
    if goal.source is None:
        yield "source_image: state=building needs it"
    if not goal.network and not goal.subnetwork:
        yield "subnetwork: state=building needs it, or network if that makes its subnetworks by itself"
    if not re.fullmatch("[a-z0-9-]+", goal.machine_type):
        yield f"machine_type: {goal.machine_type!r} is no machine type, such as e2-small"
    if goal.address is not None and parse_address(goal.address) is None:
        yield f"address: {goal.address!r} is not an IPv4 address"
    if goal.service_account is not None and not is_account(goal.service_account):
        yield f"service_account: {goal.service_account!r} is no e-mail address of a service account"
    if goal.service_account is not None and not goal.scopes:
        yield "service_account_scopes: give at least one, or leave service_account out"
    yield from disk_problems(goal.disk_size_gb)
    yield from tag_problems(goal.tags)
    yield from metadata_problems(goal.metadata)

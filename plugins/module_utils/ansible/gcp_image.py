# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The modules for images: from options to a goal, and from observations to results."""

from __future__ import annotations

from ..clouds.gce_images import Images
from ..failover.gcp_instances import expand_scope
from ..failover.image_goal import ABSENT, BUILDING, PRESENT, ImageGoal, builder_name
from ..failover.image_inspect import describe_builder, describe_image, inspect
from . import gcp, gcp_library
from .run import OptionError, hide_only_secrets

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from ansible.module_utils.basic import AnsibleModule

    from .run import Report

SPEC = dict(
    name=dict(type="str", required=True),
    state=dict(type="str", choices=[BUILDING, PRESENT, ABSENT], default=PRESENT),
    zone=dict(type="str"),
    builder=dict(type="str"),
    expected_builder=dict(type="str"),
    source_image=dict(type="str"),
    family=dict(type="str"),
    labels=dict(type="dict", default={}),
    machine_type=dict(type="str", default="e2-small"),
    network=dict(type="str"),
    subnetwork=dict(type="str"),
    address=dict(type="str"),
    external_address=dict(type="bool", default=False),
    tags=dict(type="list", elements="str", default=[]),
    service_account=dict(type="str"),
    service_account_scopes=dict(
        type="list", elements="str", default=["https://www.googleapis.com/auth/cloud-platform"]
    ),
    # Secret at first, so that nothing logs it; see goal().
    metadata=dict(type="dict", default={}, no_log=True),
    disk_size_gb=dict(type="int"),
    timeout=dict(type="float", default=900),
)


def client(module: AnsibleModule, timeout: float = 120.0) -> Images:
    """The client that the options ask for."""
    return gcp_library.connect(module, Images, timeout)


def goal(module: AnsibleModule, project: str) -> ImageGoal:
    """The goal of gcp_image, from its options."""
    params = module.params
    # Metadata have names of images and zones, too, which the results are to have.
    hide_only_secrets(module, params["metadata"])
    zone = params["zone"]
    if zone is None and params["state"] != ABSENT:
        raise OptionError(f"zone: state={params['state']} needs it, for the builder")
    region = gcp.zone_name(zone).rpartition("-")[0] if zone is not None else ""
    return ImageGoal(
        params["name"],
        project,
        params["state"],
        zone,
        params["builder"] or builder_name(params["name"]),
        params["expected_builder"],
        source_path(params["source_image"], project),
        params["family"],
        _texts("labels", params["labels"]),
        params["machine_type"],
        _path("network", params["network"], "global/networks", project),
        _path("subnetwork", params["subnetwork"] if zone else None, f"regions/{region}/subnetworks", project),
        params["address"],
        params["external_address"],
        tuple(sorted(set(params["tags"]))),
        params["service_account"],
        tuple(sorted(set(map(expand_scope, params["service_account_scopes"])))),
        _texts("metadata", params["metadata"]),
        params["disk_size_gb"],
    )


def source_path(value: str | None, project: str) -> str | None:
    """The path of an image, or of a family."""
    kind = "global/images/family" if "/family/" in f"/{value}" else "global/images"
    if value and value.startswith("family/"):
        value = f"global/images/{value}"
    return _path("source_image", value, kind, project)


def _path(option: str, value: str | None, kind: str, project: str) -> str | None:
    return gcp.resource_path(option, value, kind, project) if value else None


def _texts(option: str, given: Mapping[Any, Any]) -> dict[str, str]:
    """What the API takes as texts: numbers as they are written, and booleans as it understands them."""
    found = {}
    for key, value in given.items():
        if not isinstance(value, (str, int, float)):
            raise OptionError(f"{option}: the value of {key!r} is no text")
        found[str(key)] = str(value).lower() if isinstance(value, bool) else str(value)
    return found


def describe(report: Report) -> dict[str, Any]:
    """The results of gcp_image besides those of all modules."""
    seen = report.after.observed
    notes = list(report.procedure.notes)
    if seen.goal.state == BUILDING and seen.is_ready:
        notes.append(f"the image {seen.goal.name} exists: no builder is made")
        if seen.is_mine(seen.builder):
            notes.append(f"its builder {seen.goal.builder} is left over: state=present takes it away")
    return {
        "image": describe_image(seen.image) if seen.image else None,
        "builder": describe_builder(seen.builder) if seen.is_mine(seen.builder) else None,
        "notes": notes,
    }


def info(params: Mapping[str, Any], api: Images) -> dict[str, Any]:
    """The results of gcp_image_info."""
    found = inspect(api, api.project, params["family"], params["prefix"])
    source = source_path(params["source_image"], api.project)
    return {
        "images": found.images,
        "builders": found.builders,
        "source_image": describe_image(api.get_source(source)) if source else None,
        "notes": [f"the zone {zone} did not answer: builders in it are not in the list" for zone in found.silent],
    }

# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The client for images: the exact conversation."""

from __future__ import annotations

import pytest

from ansible_collections.cloudha.vip.plugins.module_utils.base.errors import Exhausted, NotFound, Quota
from ansible_collections.cloudha.vip.plugins.module_utils.clouds.gce_images import Images
from ansible_collections.cloudha.vip.plugins.module_utils.failover.image_goal import ImageGoal
from ansible_collections.cloudha.vip.tests.unit.plugins.module_utils.clock import Clock
from ansible_collections.cloudha.vip.tests.unit.plugins.module_utils.clouds.scripted import Script

pytest.importorskip("google.cloud.compute_v1")

API = "http://api.example:8080/compute/v1"
IMAGES, BUILDER = "projects/p/global/images", "projects/p/zones/r-a/instances/b"
DONE = {"name": "op-1", "status": "DONE"}


def images(*exchanges):
    session, clock = Script(*exchanges), Clock()
    return Images(session, "p", endpoint=API, clock=clock, sleep=clock.sleep), session


def test_a_source_by_name_and_by_family():
    body = {"name": "d-2", "id": "12345678901234567890", "status": "READY", "diskSizeGb": "10", "labels": {"a": "b"}}
    client, session = images(
        (f"GET {API}/projects/debian-cloud/global/images/d-2", None, body),
        (f"GET {API}/projects/debian-cloud/global/images/family/d", None, body),
    )
    assert client.get_source("projects/debian-cloud/global/images/d-2") == body
    assert client.get_source("projects/debian-cloud/global/images/family/d") == body
    assert session.exchanges == []


def test_a_family_that_is_not_there():
    error = {"error": {"code": 404, "message": "not found", "errors": [{"reason": "notFound"}]}}
    client, _session = images((f"GET {API}/{IMAGES}/family/none", None, (404, error)))
    with pytest.raises(NotFound, match="projects/p/global/images/family/none"):
        client.get_source(f"{IMAGES}/family/none")


def test_the_power_of_a_builder():
    client, session = images(
        (f"POST {API}/{BUILDER}/start?requestId=r-1", None, DONE),
        (f"POST {API}/{BUILDER}/stop?requestId=r-2", None, DONE),
    )
    client.start_instance(BUILDER, "r-1")
    client.stop_instance(BUILDER, "r-2")
    assert session.exchanges == []


def test_bodies_have_only_fields_that_there_are():
    goal = ImageGoal(
        "i",
        "p",
        zone="r-a",
        builder="b",
        source="x",
        family="f",
        network="projects/p/global/networks/n",
        subnetwork="projects/p/regions/r/subnetworks/s",
        address="10.0.0.9",
        external=True,
        tags=("t",),
        service_account="a@p",
        scopes=("s",),
        metadata={"k": "v"},
        disk_size_gb=20,
        labels={"a": "b"},
    )
    instance, image = goal.builder_body(f"{IMAGES}/x"), goal.image_body()
    client, session = images(
        (f"POST {API}/projects/p/zones/r-a/instances?requestId=r-1", instance, DONE),
        (f"POST {API}/{IMAGES}?requestId=r-2", image, DONE),
    )
    client.insert(BUILDER, instance, "r-1")
    client.insert(f"{IMAGES}/i", image, "r-2")
    assert session.exchanges == []


@pytest.mark.parametrize(
    ("status", "code", "kind", "advice"),
    [
        (503, "ZONE_RESOURCE_POOL_EXHAUSTED", Exhausted, "Choose another zone, or another type of machine"),
        (503, "ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS", Exhausted, "Choose another zone"),
        (403, "QUOTA_EXCEEDED", Quota, "Raise the quota"),
    ],
)
def test_no_room(status, code, kind, advice):
    """An operation that has failed. A zone that has no machine left says it as a failure of the service."""
    failed = {**DONE, "httpErrorStatusCode": status, "error": {"errors": [{"code": code, "message": "why"}]}}
    client, _session = images((f"POST {API}/{BUILDER}/start?requestId=r", None, failed))
    with pytest.raises(kind, match=f"{code}: .*why. {advice}"):
        client.start_instance(BUILDER, "r")

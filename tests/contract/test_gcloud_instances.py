# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Google's own client makes instances, images and managed groups against the lab's API."""

from __future__ import annotations

import pytest
from busy import until

from ansible_collections.cloudha.vip.tests.contract import test_gcloud
from ansible_collections.cloudha.vip.tests.contract.gce_machines import ADDRESS, OTHER
from ansible_collections.cloudha.vip.tests.contract.test_gce_emulator import AGENT
from ansible_collections.cloudha.vip.tests.contract.test_gcloud import Gcloud
from lab.gce.memory import MemoryPlane
from lab.gce.server import Local

pytestmark = test_gcloud.pytestmark
ZONE = "--zone=us-central1-c"
DEBIAN = ("--image-project=debian-cloud", "--image-family=debian-12")
LIKE = ("--machine-type=e2-small", "--subnet=ip-failover-subnet", "--no-address", "--tags=backend", "--can-ip-forward")
SILENT = "--no-user-output-enabled"  # what it says is no JSON
ACCOUNT = (f"--service-account={AGENT}", "--scopes=cloud-platform")
gcloud, server = test_gcloud.gcloud, test_gcloud.server  # fixtures


@pytest.fixture
def plane(gce: Local) -> MemoryPlane:
    assert isinstance(gce.cloud.plane, MemoryPlane)
    return gce.cloud.plane


def test_a_golden_image(plane: MemoryPlane, gcloud: Gcloud) -> None:
    more = (f"--private-network-ip={ADDRESS}", "--metadata=a=b", "--labels=x=y")
    (made,) = gcloud("instances", "create", "builder", ZONE, *DEBIAN, *LIKE, *ACCOUNT, *more)
    assert made["status"] == "RUNNING" and made["networkInterfaces"][0]["networkIP"] == ADDRESS
    assert made["serviceAccounts"][0]["email"] == AGENT and made["metadata"]["items"] == [{"key": "a", "value": "b"}]
    taken = gcloud(
        "instances", "create", "late", ZONE, *DEBIAN, *LIKE, f"--private-network-ip={ADDRESS}", succeeds=False
    )
    assert "is already being used by another resource" in taken
    source = ("--source-disk=builder", "--source-disk-zone=us-central1-c", "--family=gold")
    assert "already being used" in gcloud("images", "create", "gold-1", *source, succeeds=False)
    gcloud("instances", "stop", "builder", ZONE)
    (image,) = gcloud("images", "create", "gold-1", *source, "--labels=hash=abc")
    assert image["status"] == "READY"
    gcloud("images", "add-labels", "gold-1", "--labels=more=x")
    assert gcloud("images", "describe-from-family", "gold")["labels"] == {"hash": "abc", "more": "x"}
    gcloud("instances", "delete", "builder", ZONE)
    assert plane.machines == {} and gcloud("disks", "list") == []
    gcloud("images", "delete", "gold-1")
    assert gcloud("images", "list", "--no-standard-images") == [] and plane.images == {}


def test_a_managed_group(gce: Local, plane: MemoryPlane, gcloud: Gcloud) -> None:
    for name in ("first", "second"):
        gcloud("instance-templates", "create", name, "--region=us-central1", *DEBIAN, *LIKE, *ACCOUNT)
    assert [each["name"] for each in gcloud("instance-templates", "list")] == ["first", "second"]
    gcloud("health-checks", "create", "http", "alive", "--port=80", "--check-interval=1s", "--timeout=1s")
    group = ("instance-groups", "managed")
    healing = ("--health-check=alive", "--initial-delay=300")
    gcloud(*group, "create", "web", ZONE, "--size=0", "--template=first", *healing)
    plane.answers |= {"one": True, "two": True}
    for name, address in (("one", ADDRESS), ("two", OTHER)):
        kept = f"--stateful-internal-ip=address={address},interface-name=nic0,auto-delete=never"
        gcloud(*group, "create-instance", "web", ZONE, f"--instance={name}", kept)
    gcloud(*group, "wait-until", "web", ZONE, SILENT, "--stable")
    ids = {each["name"]: each["id"] for each in gcloud(*group, "list-instances", "web", ZONE)}
    assert ids.keys() == {"one", "two"}
    assert [each["name"] for each in gcloud(*group, "instance-configs", "list", "web", ZONE)] == ["one", "two"]
    gcloud(*group, "recreate-instances", "web", ZONE, "--instances=one")
    gcloud(*group, "wait-until", "web", ZONE, SILENT, "--stable")
    new = {each["name"]: each["id"] for each in gcloud(*group, "list-instances", "web", ZONE)}
    assert new["one"] != ids["one"] and new["two"] == ids["two"]
    how = ("--replacement-method=recreate", "--max-surge=0", "--max-unavailable=1")
    gcloud(*group, "rolling-action", "start-update", "web", ZONE, "--version=template=second", *how)
    gcloud(*group, "wait-until", "web", ZONE, SILENT, "--version-target-reached")
    templates = [each["version"]["instanceTemplate"] for each in gcloud(*group, "list-instances", "web", ZONE)]
    assert [each.rpartition("/")[2] for each in templates] == ["second"] * 2
    gcloud("instance-templates", "delete", "first")
    assert gcloud(*group, "describe", "web", ZONE)["updatePolicy"]["type"] == "PROACTIVE"
    gcloud(*group, "update", "web", ZONE, "--initial-delay=60")
    gcloud(*group, "delete-instances", "web", ZONE, "--instances=two")
    until(lambda: list(plane.machines) == ["one"])
    (listed,) = gcloud(*group, "list")
    assert (listed["name"], listed["targetSize"]) == ("web", 1)
    gcloud(*group, "delete", "web", ZONE)
    assert plane.machines == {} and gce.cloud.managers.groups == {}

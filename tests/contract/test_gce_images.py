# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's API of Compute Engine: images, disks and instance templates, as docs/gce-api.md says."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.cloudha.vip.tests.contract import gce_machines
from ansible_collections.cloudha.vip.tests.contract.gce_machines import (
    DEBIAN,
    DISKS,
    IMAGES,
    INSTANCES,
    TEMPLATES,
    Site,
    disk,
    instance,
    template,
)
from ansible_collections.cloudha.vip.tests.contract.lb_api import HOST, SUBNETWORK
from ansible_collections.cloudha.vip.tests.contract.test_gce_emulator import PROJECT
from ansible_collections.cloudha.vip.tests.contract.test_gce_recorded import refusal
from lab.gce.server import Local

PUBLIC = "/projects/debian-cloud/global/images"
BASE = f"{PUBLIC}/debian-12-bookworm-v20261110"
SOURCE = "zones/us-central1-c/disks/new"
api = gce_machines.api  # fixture


def image(name: str = "gold-1", **changes: Any) -> dict[str, Any]:
    return {"name": name, "family": "gold", "sourceDisk": SOURCE, "labels": {"hash": "abc"}, **changes}


@pytest.fixture
def stopped(api: Site) -> Site:
    """With an instance that is stopped: its disk can be copied."""
    api.made(INSTANCES, instance())
    api.done("POST", f"{INSTANCES}/new/stop")
    return api


def test_debian_is_for_everyone(gce: Local, api: Site) -> None:
    gce.cloud.permissions["nobody"] = frozenset()
    gce.cloud.tokens["nobodys"] = "nobody", None
    caller = Site(gce, "nobodys")
    found = caller.good("GET", f"{PUBLIC}/family/debian-12")
    assert found["selfLink"] == f"{HOST}{BASE}" and found["status"] == "READY"
    assert caller.good("GET", BASE) == found
    assert caller.good("GET", PUBLIC)["items"] == [found]
    assert caller.refused("GET", f"{PUBLIC}/family/debian-3") == (404, "notFound")
    # It has nothing else, and nobody changes it.
    for verb, path in (("DELETE", BASE), ("GET", "/projects/debian-cloud/global/networks")):
        assert api.refused(verb, path) == (404, "notFound")


def test_an_image_is_a_copy_of_a_disk(stopped: Site) -> None:
    api = stopped
    source = api.good("GET", f"{DISKS}/new")
    made = api.made(IMAGES, image())
    assert (made["status"], made["sourceDiskId"], made["diskSizeGb"]) == ("READY", source["id"], "10")
    assert (made["labels"], made["family"]) == ({"hash": "abc"}, "gold")
    stored = f"gold-1-{made['id']}"
    assert api.plane.images == {stored: f"new-{source['id']}"}
    api.done("DELETE", f"{INSTANCES}/new")
    for n, name in enumerate(("global/images/gold-1", "global/images/family/gold")):
        api.made(INSTANCES, instance(f"of-image-{n}", None, disks=[disk(name)]))
        assert api.plane.disks[api.plane.machines[f"of-image-{n}"][1]] == stored
    api.done("DELETE", f"{IMAGES}/gold-1")
    assert api.plane.images == {} and len(api.plane.disks) == 2
    assert api.refused("POST", INSTANCES, instance("late", None, disks=[disk("global/images/gold-1")])) == (
        404,
        "notFound",
    )


def test_the_disk_of_a_running_machine_is_not_copied(api: Site) -> None:
    api.made(INSTANCES, instance())
    said = refusal("disk in use", disk=f"{DISKS}/new"[1:], instance=f"{INSTANCES}/new"[1:])
    assert api("POST", IMAGES, image()) == said
    assert api.refused("POST", f"{IMAGES}?forceCreate=true", image()) == (501, "notImplemented")
    assert api.plane.images == {}


def test_an_image_on_its_way(stopped: Site) -> None:
    api = stopped
    with api.held():
        api.good("POST", IMAGES, image())
        assert api.good("GET", f"{IMAGES}/gold-1")["status"] == "PENDING"
        assert api.refused("GET", f"{IMAGES}/family/gold") == (404, "notFound")
        assert api.refused("POST", IMAGES, image()) == (409, "alreadyExists")
        assert api.refused("DELETE", f"{IMAGES}/gold-1") == (400, "resourceNotReady")
        body = instance("of-it", None, disks=[disk("global/images/gold-1")])
        assert api.refused("POST", INSTANCES, body) == (400, "resourceNotReady")
    api.until(lambda: api.good("GET", f"{IMAGES}/gold-1")["status"] == "READY")


def test_an_image_that_fails_is_none(stopped: Site) -> None:
    api = stopped
    api.behave(faults=[{"kind": "error-in-operation", "status": 500, "times": 1}])
    assert api.failed("POST", IMAGES, image()) == (500, "INTERNAL_ERROR")
    assert api.refused("GET", f"{IMAGES}/gold-1") == (404, "notFound") and api.plane.images == {}


def test_a_family_is_its_newest_image(stopped: Site) -> None:
    api = stopped
    for name in ("gold-2", "gold-1"):
        api.made(IMAGES, image(name))
    assert api.good("GET", f"{IMAGES}/family/gold")["name"] == "gold-1"
    api.done("DELETE", f"{IMAGES}/gold-1")
    assert api.good("GET", f"{IMAGES}/family/gold")["name"] == "gold-2"
    assert [each["name"] for each in api.good("GET", f"{IMAGES}?filter=labels.hash=abc")["items"]] == ["gold-2"]


def test_labels_of_an_image(stopped: Site) -> None:
    api = stopped
    made = api.made(IMAGES, image())
    body = {"labels": {"hash": "def"}, "labelFingerprint": made["labelFingerprint"]}
    operation = api.good("POST", f"{IMAGES}/gold-1/setLabels", body)
    assert operation["status"] == "DONE"
    changed = api.good("GET", f"{IMAGES}/gold-1")
    assert changed["labels"] == {"hash": "def"} and changed["labelFingerprint"] != made["labelFingerprint"]
    assert api.refused("POST", f"{IMAGES}/gold-1/setLabels", body) == (412, "conditionNotMet")


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"name": "Bad"}, 400),
        ({"family": "Bad"}, 400),
        ({"labels": {"Bad": ""}}, 400),
        ({"sourceDisk": None}, 400),
        ({"sourceDisk": "zones/us-central1-c/disks/none"}, 404),
        ({"sourceDisk": "zones/us-central1-c/instances/new"}, 400),
        ({"sourceImage": "global/images/other"}, 501),
        ({"storageLocations": ["us"]}, 501),
    ],
)
def test_a_bad_image_is_refused(stopped: Site, changes: Any, status: int) -> None:
    assert stopped("POST", IMAGES, image(**changes))[0] == status
    assert stopped.good("GET", IMAGES).get("items", []) == []


# --- disks


def test_disks_by_themselves(api: Site) -> None:
    made = api.made(DISKS, {"name": "spare", "sourceImage": DEBIAN, "sizeGb": "20", "labels": {"a": "b"}})
    assert (made["sizeGb"], made["status"], made["labels"]) == ("20", "READY", {"a": "b"})
    assert api.plane.disks == {f"spare-{made['id']}": ""}
    api.done("POST", f"{DISKS}?sourceImage={DEBIAN}", {"name": "by-query"})
    assert [each["name"] for each in api.good("GET", DISKS)["items"]] == ["by-query", "spare"]
    everywhere = api.good("GET", f"{PROJECT}/aggregated/disks")["items"]
    assert len(everywhere["zones/us-central1-c"]["disks"]) == 2
    api.made(IMAGES, image(sourceDisk="zones/us-central1-c/disks/spare"))
    for name in ("spare", "by-query"):
        api.done("DELETE", f"{DISKS}/{name}")
    assert api.plane.disks == {}


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 501),
        ({"sourceImage": DEBIAN, "sizeGb": "9"}, 400),
        ({"sourceImage": DEBIAN, "type": "what"}, 400),
        ({"sourceImage": "global/images/none"}, 404),
        ({"sourceImage": "what"}, 400),
        ({"sourceImage": DEBIAN, "sourceSnapshot": "x"}, 501),
    ],
)
def test_a_bad_disk_is_refused(api: Site, body: Any, status: int) -> None:
    assert api("POST", DISKS, {"name": "spare", **body})[0] == status


# --- instance templates


def test_templates_come_and_go(api: Site) -> None:
    made = api.made(TEMPLATES, template())
    (nic,) = made["properties"]["networkInterfaces"]
    assert (nic["subnetwork"], nic["network"]) == (SUBNETWORK, f"{HOST}{PROJECT}/global/networks/ip-failover")
    assert made["properties"]["machineType"] == "e2-small"
    assert [each["name"] for each in api.good("GET", TEMPLATES)["items"]] == ["first"]
    everywhere = api.good("GET", f"{PROJECT}/aggregated/instanceTemplates")["items"]
    assert len(everywhere["global"]["instanceTemplates"]) == 1
    assert api.refused("POST", TEMPLATES, template()) == (409, "alreadyExists")
    api.done("DELETE", f"{TEMPLATES}/first")
    assert api.refused("GET", f"{TEMPLATES}/first") == (404, "notFound")


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"machineType": None}, 400),
        ({"machineType": "zones/us-central1-c/machineTypes/e2-small"}, 400),
        ({"disks": [{"boot": True, "source": "spare"}]}, 501),
        ({"disks": [disk("what")]}, 400),
        ({"disks": []}, 400),
        ({"networkInterfaces": [{"network": "global/networks/ip-failover"}]}, 400),
        ({"networkInterfaces": [{"subnetwork": "what"}]}, 400),
        ({"networkInterfaces": [{"subnetwork": "regions/us-central1/subnetworks/none"}]}, 404),
        ({"guestAccelerators": [{"acceleratorCount": 1}]}, 501),
    ],
)
def test_a_bad_template_is_refused(api: Site, changes: Any, status: int) -> None:
    assert api("POST", TEMPLATES, template(**changes))[0] == status


def test_a_template_without_properties_is_refused(api: Site) -> None:
    assert api.refused("POST", TEMPLATES, {"name": "first"}) == (400, "required")

# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The modules for images against the lab's API of Compute Engine.

Runs that are killed or at work together are in test_image_killed.py.
"""

from __future__ import annotations

import re

import pytest

from ansible_collections.cloudha.vip.tests.contract import image_site
from ansible_collections.cloudha.vip.tests.contract.image_site import (
    ABSENT,
    BUILD,
    FAMILY,
    LEAST,
    NAME,
    PRESENT,
    SUBNET,
    ZONE,
    a_site,
)
from ansible_collections.cloudha.vip.tests.contract.test_gcp_modules import PASSING, PROJECT, token_without

site = image_site.site  # fixture

NOTHING = ({}, {}, [])
MADE = ({NAME: "READY"}, {}, [])
BUILDING = ({}, {f"{NAME}-builder": "RUNNING"}, [f"{NAME}-builder"])
# Without these the module does the same: nobody is asked for them, or the image is public.
NOT_NEEDED = {
    "compute.images.getFromFamily",
    "compute.images.useReadOnly",
    "compute.machineTypes.get",
    "compute.subnetworks.get",
}
# The lab does not ask for these; Google may.
UNPROVEN = {"compute.images.setLabels", "compute.disks.setLabels"}
ONLY_INFO = {"compute.images.list", "compute.instances.list"}
LATER = {
    "compute.disks.delete",
    "compute.images.delete",
    "compute.instanceTemplates.list",
    "compute.instances.start",
}


def test_it_is_made_once(site):
    preview = site.run(**BUILD, _ansible_check_mode=True)
    assert preview["changed"] and site.mutations() == []
    built = site.run(**BUILD, access_token="least-token")
    assert built["diff"] == preview["diff"] and built["notes"] == [] and site.there() == BUILDING
    builder = built["builder"]
    assert (builder["status"], builder["external_address"]) == ("RUNNING", None)
    assert re.fullmatch(r"10\.100\.\d+\.\d+", builder["address"])
    site.api.requests.clear()
    again = site.run(**BUILD, access_token="least-token")
    assert not again["changed"] and again["builder"] == builder and site.mutations() == []
    wanted = {**PRESENT, "family": "node", "labels": {"team": "a"}, "expected_builder": builder["id"]}
    preview = site.run(**wanted, _ansible_check_mode=True)
    assert site.mutations() == []
    made = site.run(**wanted, access_token="least-token")
    assert made["diff"] == preview["diff"] and site.there() == MADE
    names = ["stop instance", "create image", "delete instance"]
    assert [each["name"] for each in made["steps"]] == [each["name"] for each in preview["steps"]] == names
    assert (made["image"]["family"], made["image"]["labels"]["team"], made["image"]["status"]) == ("node", "a", "READY")
    site.api.requests.clear()
    for options in (BUILD, PRESENT, {**BUILD, "machine_type": "n1-standard-1"}):
        again = site.run(**options)
        assert not again["changed"] and again["image"] == made["image"]
        assert again["diff"]["before"] == again["diff"]["after"]
    assert site.mutations() == [] and site.there() == MADE
    preview = site.run(**ABSENT, _ansible_check_mode=True)
    gone = site.run(**ABSENT, access_token="least-token")
    assert gone["changed"] and gone["diff"] == preview["diff"] and site.there() == NOTHING
    assert not site.run(**ABSENT)["changed"]


def test_all_that_can_be_wanted_of_a_builder(site):
    site.behave(latency_s=0)
    wanted = {
        **BUILD,
        "builder": "its-builder",
        "labels": {"team": "a"},
        "machine_type": "n1-standard-1",
        "network": "ip-failover",
        "address": "10.100.7.7",
        "tags": ["ssh"],
        "metadata": {"ssh-keys": "me:key", "enable-oslogin": False},
        "disk_size_gb": 20,
    }
    result = site.run(**wanted)
    assert result["builder"]["address"] == "10.100.7.7"
    cloud = site.api.cloud
    made = cloud.all_instances["its-builder"]
    assert made["machineType"].endswith("n1-standard-1") and made["tags"]["items"] == ["ssh"]
    assert {each["key"]: each["value"] for each in made["metadata"]["items"]} == {
        "ssh-keys": "me:key",
        "enable-oslogin": "false",
    }
    assert made["labels"]["team"] == "a" and "serviceAccounts" not in made
    (disk,) = cloud.images.disks.all()
    assert (disk["sizeGb"], disk["labels"]) == ("20", {"team": "a", "cloudha-vip-image": NAME})
    assert not site.run(**wanted)["changed"]
    anew = site.run(**{**wanted, "tags": []})
    assert [each["name"] for each in anew["steps"]] == ["delete instance", "create instance"]
    assert anew["builder"]["id"] != result["builder"]["id"]
    refused = site.run(builder="its-builder", expected_builder=result["builder"]["id"])
    assert refused["failed"] and "somebody made it anew" in refused["msg"]
    assert site.run(builder="its-builder", expected_builder=anew["builder"]["id"])["changed"]
    assert site.there() == MADE


def test_a_builder_with_an_account(site):
    account = next(each.name for each in site.api.cloud.world.principals if "@" in each.name)
    assert site.run(**BUILD, service_account=account)["changed"]
    given = site.api.cloud.all_instances[f"{NAME}-builder"]["serviceAccounts"]
    assert given == [{"email": account, "scopes": ["https://www.googleapis.com/auth/cloud-platform"]}]


def test_an_image_that_a_template_names_stays(site):
    site.made()
    site.template("web-1", NAME)
    for check_mode in (True, False):
        result = site.run(**ABSENT, _ansible_check_mode=check_mode)
        assert result["failed"] and not result["changed"]
        assert result["problems"] == [f"name: the image {NAME} is used by the instance template web-1: delete it first"]
    assert site.there() == MADE
    (image,) = site.info()["images"]
    assert image["used_by"] == [f"projects/{PROJECT}/global/instanceTemplates/web-1"]


def test_what_others_made_stays(site):
    """An image and a builder with these names, and without the labels."""
    site.run(**BUILD)
    instance = site.api.cloud.all_instances[f"{NAME}-builder"]
    labels = instance.pop("labels")
    for options in (BUILD, PRESENT):
        result = site.run(**options)
        assert result["failed"] and "was not made for the image" in result["msg"]
    site.api.requests.clear()
    assert not site.run(**ABSENT)["changed"]
    instance["labels"] = labels
    site.run(**PRESENT)
    image = site.api.cloud.images.all()
    (mine,) = [each for each in image if each["name"] == NAME]
    mine.pop("labels")
    site.api.requests.clear()
    assert not site.run(**BUILD)["changed"] and not site.run(**PRESENT)["changed"]
    result = site.run(**ABSENT)
    assert result["failed"] and "was not made here, and it stays" in result["msg"] and site.mutations() == []


def test_info(site):
    assert site.info()["images"] == site.info()["builders"] == []
    site.made()
    site.run(**{**BUILD, "name": "web-xyz"})
    for name in ("node-def", "node-ghi"):
        site.run(**{**BUILD, "name": name})
        site.run(name=name, family="node")
    found = site.info(access_token="least-token", source_image=FAMILY)
    assert [each["name"] for each in found["images"]] == ["node-ghi", "node-def", NAME]
    assert all(each["made_here"] and each["used_by"] == [] for each in found["images"])
    assert [(each["name"], each["image"]) for each in found["builders"]] == [("web-xyz-builder", "web-xyz")]
    assert found["source_image"]["path"].startswith("projects/debian-cloud/global/images/debian-12-")
    assert [each["name"] for each in site.info(family="node")["images"]] == ["node-ghi", "node-def"]
    found = site.info(prefix="web")
    assert found["images"] == [] and len(found["builders"]) == 1 and site.info(prefix="node")["builders"] == []


def test_the_name_of_a_source(site):
    """A family is the image that it names now, and the builder is made of that one."""
    path = site.info(source_image=FAMILY)["source_image"]["path"]
    assert site.run(**BUILD)["changed"] and not site.run(**{**BUILD, "source_image": path})["changed"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "Node"}, "name: 'Node' is no name"),
        ({"zone": "nowhere"}, "zone: 'nowhere' is no name of a zone"),
        ({"zone": "mars-a", "subnetwork": "regions/mars/subnetworks/s"}, "mars-a"),
        ({"zone": None}, "zone: state=building needs it"),
        ({"source_image": None}, "source_image: state=building needs it"),
        ({"source_image": "none"}, "source_image: .*global/images/none"),
        ({"source_image": "family/none"}, "source_image: .*family/none"),
        ({"source_image": "projects/nobody/global/images/x"}, "projects/nobody"),
        ({"subnetwork": None}, "subnetwork: state=building needs it"),
        ({"subnetwork": "none"}, "subnetwork: .*/none does not exist"),
        ({"network": "none"}, "network: the subnetwork ip-failover-subnet is on .*ip-failover, and not on .*/none"),
        ({"machine_type": "Big"}, "machine_type: 'Big' is no machine type"),
        ({"machine_type": "e2-huge"}, "machine_type: there is no e2-huge in us-central1-a"),
        ({"address": "10.99.0.1"}, "address: 10.99.0.1 is outside of 10.100.0.0/16"),
        ({"address": "10.100.255.254"}, "address: 10.100.255.254 is one of the four that Google keeps"),
        ({"address": "10.100.2.²"}, "address: '10.100.2.²' is not an IPv4 address"),
        ({"zone": "us-central1"}, "zone: 'us-central1' is no name of a zone"),
        ({"zone": "us-central1-z"}, "zone: us-central1-z does not exist"),
        ({"tags": [f"t{n}" for n in range(65)]}, "tags: 65 are too many"),
        ({"metadata": {"k" * 128: "x"}}, "metadata: 'k+' is no key"),
        ({"metadata": {"k": "x" * 300000}}, "metadata: the value of k is longer than 256 KiB"),
        ({"service_account": "@"}, "service_account: '@' is no e-mail address"),
        ({"disk_size_gb": True}, "disk_size_gb: true is no number"),
        ({"address": "10.100.2.1"}, "address: the address 10.100.2.1 of .* is in use by .*/node1"),
        ({"labels": {"A": "b"}}, "labels: 'A' is no key"),
        ({"metadata": {"a": {"b": 1}}}, "metadata: the value of 'a' is no text"),
        ({"disk_size_gb": 5}, "disk_size_gb: 5 is too small for .*debian-12: give at least 10"),
        ({"service_account": "nobody@x"}, "nobody@x"),
        ({"project": "no-project"}, "no-project"),
        ({"timeout": -1}, "timeout: -1 is not from"),
    ],
)
def test_bad_input_changes_nothing(site, options, message):
    for check_mode in (True, False):
        result = site.run(**{**BUILD, **options}, _ansible_check_mode=check_mode)
        assert result["failed"] and re.search(message, result["msg"]), result["msg"]
    assert site.there() == NOTHING


def test_the_order_of_tags_and_scopes_makes_no_other_builder(site):
    first = site.run(**BUILD, tags=["b", "a", "b"])
    assert first["changed"] and not site.run(**BUILD, tags=["a", "b"])["changed"]
    account = next(each.name for each in site.api.cloud.world.principals if "@" in each.name)
    with_account = {**BUILD, "service_account": account}
    assert site.run(**with_account, service_account_scopes=["logging.write", "compute"])["changed"]
    url = "https://www.googleapis.com/auth/compute"
    assert not site.run(**with_account, service_account_scopes=[url, "logging.write"])["changed"]


def test_secret_metadata_are_told_to_nobody(site):
    """Although they are better kept elsewhere."""
    secret = "sesame-open-up"
    text = f"Invalid value '{secret}' of resource.metadata"
    for kind in ("status", "error-in-operation"):
        fault = {"kind": kind, "status": 400, "reason": "invalid", "message": text}
        site.behave(faults=[{"match": {"verb": "POST", "path": "/instances$"}, **fault}])
        result = site.run(**BUILD, metadata={"db-password": secret, "zone": ZONE}, timeout=20, _ansible_verbosity=3)
        assert result["failed"] and secret not in str(result)
        assert "resource.metadata" in result["msg"] and ZONE in result["msg"]


def test_nothing_of_a_builder_matters_without_its_zone(site):
    path = f"projects/{PROJECT}/regions/us-central1/subnetworks/{SUBNET}"
    assert not site.run(**{**BUILD, **ABSENT, "zone": None, "subnetwork": path})["changed"]


@pytest.mark.parametrize("permission", sorted(LEAST - UNPROVEN - ONLY_INFO - LATER - NOT_NEEDED))
def test_a_missing_permission_is_named_before_anything_is_made(site, permission):
    options = {**BUILD, "tags": ["ssh"], "metadata": {"ssh-keys": "me:key"}}
    result = site.run(**options, access_token=token_without(permission))
    assert result["failed"] and permission in result["msg"], result["msg"]
    assert site.there() == NOTHING and site.mutations() == []


@pytest.mark.parametrize("permission", sorted(LATER))
def test_a_missing_permission_for_later(site, permission):
    site.run(**BUILD)
    if permission == "compute.instances.start":
        site.stop_builder()
        options = BUILD
    elif permission == "compute.disks.delete":
        site.api.cloud.all_instances[f"{NAME}-builder"]["disks"][0]["autoDelete"] = False
        options = ABSENT
    else:
        site.run(**PRESENT)
        options = ABSENT
    before = site.there()
    site.api.requests.clear()
    result = site.run(**options, access_token=token_without(permission))
    assert result["failed"] and permission in result["msg"], result["msg"]
    if permission != "compute.disks.delete":  # only then it is seen that the disk is left
        assert site.there() == before and site.mutations() == []
    assert not site.run(**options).get("failed")


def test_the_disk_goes_also_if_it_would_stay(site):
    site.run(**BUILD)
    site.api.cloud.all_instances[f"{NAME}-builder"]["disks"][0]["autoDelete"] = False
    result = site.run(**PRESENT)
    assert [each["name"] for each in result["steps"]][-2:] == ["delete instance", "delete disk"]
    assert site.there() == MADE


@pytest.mark.parametrize("fault", PASSING)
def test_passing_failures(site, fault):
    site.behave(faults=[{**fault, "times": 2}])
    for options in (BUILD, PRESENT):
        result = site.run(**options)
        assert result["changed"] and not result.get("failed"), result
    assert site.there() == MADE


def test_a_zone_without_room(site):
    site.behave(zone_exhausted=[ZONE])
    result = site.run(**BUILD)
    assert result["failed"] and not result["changed"] and result["error"]["code"] == "ZONE_RESOURCE_POOL_EXHAUSTED"
    assert "Choose another zone, or another type of machine" in result["msg"] and site.there() == NOTHING
    assert [status for _verb, _path, status in site.mutations()] == [200]
    assert site.run(**{**BUILD, "zone": "us-central1-b"})["changed"]


def test_a_quota_that_is_used_up(monkeypatch):
    with a_site(quotas={"INSTANCES": 1}) as site:
        result = site.run(**BUILD)
        assert result["failed"] and result["error"]["code"] == "QUOTA_EXCEEDED" and site.there() == NOTHING
        assert "Raise the quota" in result["msg"] and len(site.mutations()) == 1


def test_a_builder_that_another_user_stops_is_started(site):
    site.run(**BUILD)
    site.stop_builder()
    result = site.run(**BUILD)
    assert [each["name"] for each in result["steps"]] == ["start instance"] and site.there() == BUILDING
    assert SUBNET in site.api.cloud.all_instances[f"{NAME}-builder"]["networkInterfaces"][0]["subnetwork"]

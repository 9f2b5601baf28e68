# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import re

import pytest
import yaml

from ansible_collections.cloudha.vip.plugins.module_utils.ansible import gcp_image
from ansible_collections.cloudha.vip.plugins.modules import gcp_image as module
from ansible_collections.cloudha.vip.plugins.modules import gcp_image_info
from ansible_collections.cloudha.vip.tests.unit.plugins.module_utils.failover.image_cloud import (
    BASE,
    BUILDER,
    DISK,
    FAMILY,
    IMAGE,
    NAME,
    SUBNET,
    ZONE,
    Cloud,
)
from ansible_collections.cloudha.vip.tests.unit.plugins.modules import gcp_run

BUILD = {"state": "building", "zone": ZONE, "source_image": FAMILY, "subnetwork": "subnet"}
MAKE = {"zone": ZONE}


@pytest.fixture
def there():
    return Cloud()


@pytest.fixture
def run(there, monkeypatch, capsys):
    return gcp_run.runner(module, there, monkeypatch, capsys, (gcp_image, "client"), name=NAME)


@pytest.fixture
def info(there, monkeypatch, capsys):
    found = gcp_run.runner(gcp_image_info, there, monkeypatch, capsys, (gcp_image, "client"))
    return lambda **options: found(name=None, **options)


def test_all_of_it(run, there):
    preview = run(**BUILD, _ansible_check_mode=True)
    assert (preview["changed"], preview["image"], preview["builder"], there.mutations) == (True, None, None, [])
    built = run(**BUILD)
    assert built["changed"] and built["diff"] == preview["diff"] and built["notes"] == []
    assert built["image"] is None
    assert built["builder"] == {
        "name": f"{NAME}-builder",
        "path": BUILDER,
        "zone": ZONE,
        "id": there.resources[BUILDER]["id"],
        "status": "RUNNING",
        "image": NAME,
        "address": "10.0.0.7",
        "external_address": None,
        "created": there.resources[BUILDER]["creationTimestamp"],
    }
    assert there.resources[BUILDER]["networkInterfaces"][0]["subnetwork"].endswith(SUBNET)
    there.prepare()
    made = run(**MAKE, family="node", labels={"a": 1}, expected_builder=built["builder"]["id"])
    assert [step["name"] for step in made["steps"]] == ["stop instance", "create image", "delete instance"]
    assert all(step["ms"] == 20000 and step["attempts"] == 1 for step in made["steps"])
    assert made["image"] == {
        "name": NAME,
        "path": IMAGE,
        "id": there.resources[IMAGE]["id"],
        "status": "READY",
        "deprecated": None,
        "family": "node",
        "labels": {"a": "1", "cloudha-vip-image": NAME},
        "created": there.resources[IMAGE]["creationTimestamp"],
        "made_here": True,
    }
    assert made["builder"] is None
    again = run(**BUILD)
    assert (again["changed"], again["steps"], again["builder"]) == (False, [], None)
    assert again["image"] == made["image"] and again["notes"] == [f"the image {NAME} exists: no builder is made"]
    there.may_vanish = True
    # Without a zone, whatever else a play gives.
    assert run(state="absent", subnetwork="subnet")["steps"][0]["name"] == "delete image"


def test_a_builder_that_is_left_over_is_told_of(run, there):
    run(**BUILD)
    there.prepare()
    disk = there.resources[DISK]["id"]
    there.put(IMAGE, status="READY", labels={"cloudha-vip-image": NAME}, sourceDiskId=disk)
    found = run(**BUILD)
    assert not found["changed"] and found["builder"]["status"] == "RUNNING"
    assert found["notes"][1] == f"its builder {NAME}-builder is left over: state=present takes it away"


def test_values_become_texts(run, there):
    run(**BUILD, metadata={"enable-oslogin": True, "n": 5, "ssh-keys": "me:key"}, labels={"a": 7})
    items = there.resources[BUILDER]["metadata"]["items"]
    assert {each["key"]: each["value"] for each in items} == {"enable-oslogin": "true", "n": "5", "ssh-keys": "me:key"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"zone": "A/b"}, "zone: 'A/b' is no name of a zone"),
        ({"zone": "here"}, "zone: 'here' is no name of a zone"),
        ({"zone": None}, "zone: state=building needs it"),
        ({"source_image": "x y"}, "source_image: 'x y' is no name"),
        ({"source_image": "projects/p/zones/z/images/i"}, "source_image: .* is no name"),
        ({"subnetwork": "projects/p/regions/europe-west1/subnetworks/s"}, "subnetwork: "),
        ({"network": "a/b"}, "network: 'a/b' is no name"),
        ({"labels": {"a": ["b"]}}, "labels: the value of 'a' is no text"),
        ({"metadata": {"a": None}}, "metadata: the value of 'a' is no text"),
        ({"name": "Node"}, "nothing was changed: name: 'Node' is no name"),
        ({"state": "here"}, "value of state must be one of"),
    ],
)
def test_refused(run, there, options, message):
    found = run(**{**BUILD, **options})
    assert found["failed"] and re.search(message, found["msg"]) and there.requests == []


@pytest.mark.parametrize(
    ("given", "path"),
    [
        ("img", "projects/p/global/images/img"),
        ("family/f", "projects/p/global/images/family/f"),
        ("global/images/family/f", "projects/p/global/images/family/f"),
        ("projects/q/global/images/img", "projects/q/global/images/img"),
        (
            "https://www.googleapis.com/compute/v1/projects/q/global/images/family/f",
            "projects/q/global/images/family/f",
        ),
        (None, None),
    ],
)
def test_the_ways_to_name_a_source(given, path):
    assert gcp_image.source_path(given, "p") == path


def test_a_failure_tells_what_there_is(run, there):
    there.put(BUILDER, status="RUNNING", labels={})
    found = run(**BUILD)
    assert found["failed"] and not found["changed"] and found["image"] is None and found["builder"] is None
    assert found["problems"] == [
        f"builder: the instance {NAME}-builder in {ZONE} was not made for the image {NAME}: choose another name for the"
        " builder"
    ]


def test_info(run, info, there):
    there.put("projects/p/global/images/old", status="READY", family="node", labels={"cloudha-vip-image": "old"})
    there.put("projects/p/global/images/theirs", status="FAILED", labels={})
    there.put("projects/p/global/images/new", status="READY", family="node", deprecated={"state": "DEPRECATED"})
    there.template("t", "projects/p/global/images/old")
    run(**BUILD)
    there.requests.clear()
    there.silent = ["us-central1-f"]
    found = info(source_image=FAMILY)
    assert not found["changed"] and there.mutations == []
    assert [each["name"] for each in found["images"]] == ["new", "theirs", "old"]
    old = found["images"][2]
    assert (old["made_here"], old["used_by"]) == (True, ["projects/p/global/instanceTemplates/t"])
    new = found["images"][0]
    assert (new["made_here"], new["used_by"], new["deprecated"]) == (False, [], "DEPRECATED")
    assert [(each["name"], each["image"]) for each in found["builders"]] == [(f"{NAME}-builder", NAME)]
    assert (found["source_image"]["path"], found["source_image"]["id"]) == (BASE, there.resources[BASE]["id"])
    assert found["notes"] == ["the zone us-central1-f did not answer: builders in it are not in the list"]
    found = info(family="node", prefix="ne")
    assert [each["name"] for each in found["images"]] == ["new"] and found["builders"] == []
    assert found["source_image"] is None
    assert [each["name"] for each in info(prefix="node-")["builders"]] == [f"{NAME}-builder"]


def test_info_of_a_source_that_is_not_there(info):
    found = info(source_image="family/none")
    assert found["failed"] and "projects/p/global/images/family/none" in found["msg"]


@pytest.mark.parametrize("which", [module, gcp_image_info])
def test_the_documentation_says_what_the_code_does(which):
    documented = yaml.safe_load(which.DOCUMENTATION)["options"]
    spec = gcp_image.SPEC if which is module else None
    for name, option in documented.items():
        if spec:
            for key in ("type", "default", "choices", "required"):
                assert option.get(key) == spec[name].get(key), (name, key)
    assert not spec or set(documented) == set(spec)
    assert json.dumps(yaml.safe_load(which.RETURN))

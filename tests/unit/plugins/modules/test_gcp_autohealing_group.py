# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The modules for autohealing groups, in front of one in memory."""

from __future__ import annotations

import pytest
import yaml

from ansible_collections.cloudha.vip.plugins.module_utils.ansible import gcp_group
from ansible_collections.cloudha.vip.plugins.modules import gcp_autohealing_group, gcp_autohealing_group_info
from ansible_collections.cloudha.vip.tests.unit.plugins.module_utils.failover import managed_cloud
from ansible_collections.cloudha.vip.tests.unit.plugins.module_utils.failover.managed_cloud import IP_A, IP_B, Cloud
from ansible_collections.cloudha.vip.tests.unit.plugins.modules import gcp_run

OPTIONS = {**gcp_run.OPTIONS, "name": managed_cloud.NAME, "zone": managed_cloud.ZONE}
WHOLE = {
    "image": "one",
    "subnetwork": "subnet",
    "instances": [{"name": "node1", "address": IP_A}, {"name": "node2", "address": IP_B}],
}


@pytest.fixture
def there():
    return Cloud()


@pytest.fixture
def run(there, monkeypatch, capsys):
    where = (gcp_group, "client")
    return gcp_run.runner(gcp_autohealing_group, there, monkeypatch, capsys, where, **OPTIONS)


@pytest.fixture
def info(there, monkeypatch, capsys):
    where = (gcp_group, "client")
    return gcp_run.runner(gcp_autohealing_group_info, there, monkeypatch, capsys, where, **OPTIONS)


def test_every_option_is_documented():
    documented = yaml.safe_load(gcp_autohealing_group.DOCUMENTATION)["options"]
    assert set(documented) == set(gcp_group.SPEC)
    for name, spec in gcp_group.SPEC.items():
        assert set(documented[name].get("suboptions", ())) == set(spec.get("options", ())), name
        for key in ("choices", "default"):
            assert documented[name].get(key) == spec.get(key), name


def test_every_result_is_documented(run, info, there):
    documented = yaml.safe_load(gcp_autohealing_group.RETURN)
    result = run(**WHOLE)
    usual = {"changed", "diff", "invocation"}
    assert set(result) - usual == set(documented) - {"problems", "error"}
    assert set(result["instances"][0]) == set(documented["instances"]["contains"])
    documented = yaml.safe_load(gcp_autohealing_group_info.RETURN)
    found = info()
    assert set(found) - usual == set(documented) - {"groups"}
    assert set(found["instances"][0]) == set(documented["instances"]["contains"])
    for each in documented["groups"]["sample"]:
        assert set(each) in ({"name", "zone", "msg", "image"}, {"name", "zone", *documented} - {"groups"})


def test_a_run_waits_and_says_for_whom(run, there):
    result = run(**WHOLE)
    assert [(each["name"], each["address"], each["serves"]) for each in result["instances"]] == [
        ("node1", IP_A, True),
        ("node2", IP_B, True),
    ]
    assert {each["instance"] for each in result["waits"]} == {"node1", "node2"}
    assert all(15 < each["seconds"] < 40 for each in result["waits"])
    result = run(image="two", _ansible_verbosity=2)
    reasons = [each["reason"] for each in result["events"] if each["event"] == "wait"]
    assert any("until it serves: node1 (not there yet, health UNKNOWN, RECREATING) for" in each for each in reasons)


def test_whoever_need_not_wait_ends_when_the_instances_are_being_made(run, there):
    preview = run(**WHOLE, wait=False, _ansible_check_mode=True)
    result = run(**WHOLE, wait=False)
    assert [each["name"] for each in result["steps"]] == [each["name"] for each in preview["steps"]]
    assert [each["serves"] for each in result["instances"]] == [False, False] and result["waits"] == []
    assert not run(wait=False)["changed"]
    assert all(each["serves"] for each in run()["instances"])
    assert [each["name"] for each in run(image="two", wait=False)["steps"]][-1] == "replace instance"
    # The other one goes on serving until somebody waits for the first.
    assert not run(wait=False)["changed"] and there.serving() == ["node2"]
    assert run()["changed"] and len(there.serving()) == 2


def test_several_groups(run, info, there):
    run(**WHOLE)
    alone = info()
    several = {"name": None, "zone": None}
    here = {"name": managed_cloud.NAME, "zone": managed_cloud.ZONE}
    other, mars = {**here, "name": "other"}, {**here, "zone": "us-central1-x"}
    found = info(**several, groups=[other, here])["groups"]
    assert (found[0]["name"], found[0]["exists"], found[0]["instances"], found[0]["image"]) == (
        "other",
        False,
        [],
        None,
    )
    assert found[1] == {**here, **{key: alone[key] for key in alone if key not in ("changed", "invocation")}}
    assert found[1]["image"] == found[1]["instances"][0]["image"] == managed_cloud.IMAGE
    # The others, and the image of the group that is lost, are known all the same.
    there.silent = [managed_cloud.ZONE]
    lost, elsewhere = info(**several, groups=[here, mars])["groups"]
    assert f"no answer for the zone {managed_cloud.ZONE}" in lost.pop("msg")
    assert lost == {**here, "image": managed_cloud.IMAGE} and elsewhere["exists"] is False
    assert info()["failed"]
    assert info(**several, groups=[])["groups"] == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"name": None, "zone": None}, "one of the following is required: name, groups"),
        ({"zone": None}, "parameters are required together: name, zone"),
        ({"groups": [{"name": "web", "zone": "us-central1-a"}]}, "parameters are mutually exclusive: name|groups"),
        ({"name": None, "zone": None, "groups": [{"name": "web"}]}, "missing required arguments: zone found in groups"),
        (
            {"name": None, "zone": None, "groups": [{"name": "web", "zone": "mars"}]},
            "zone: 'mars' is no name of a zone",
        ),
        ({"name": None, "zone": None, "groups": "web"}, "groups: dictionary requested"),
    ],
)
def test_which_groups(info, there, options, words):
    result = info(**options)
    assert result["failed"] and words in result["msg"] and there.requests == []


def test_a_failure_tells_what_there_is(run, there):
    run(**WHOLE)
    result = run(image="broken")
    assert result["failed"] and result["changed"] and "node2 serves" in result["msg"]
    assert [each["serves"] for each in result["instances"]] == [False, True]
    assert result["error"]["status"] == 0 and "does not serve" in result["error"]["message"]


def test_metadata(run, there):
    result = run(**WHOLE, metadata={"a-token": "sekret-1", "count": 3, "on": True})
    assert result["diff"]["after"]["metadata"] == dict.fromkeys(
        ("a-token", "count", "on"), "(the value in the options)"
    )
    (body,) = (each for path, each in there.resources.items() if "/instanceTemplates/" in path)
    assert {each["key"]: each["value"] for each in body["properties"]["metadata"]["items"]} == {
        "a-token": "sekret-1",
        "count": "3",
        "on": "true",
    }
    result = run(metadata={"a-token": "sekret-2"}, _ansible_check_mode=True)
    assert result["changed"] and result["diff"]["before"]["metadata"]["a-token"] == "(another value)"


@pytest.mark.parametrize("zone", ["", "A", "nodash", "us-"])
def test_bad_zones(run, there, zone):
    result = run(zone=zone)
    assert result["failed"] and "is no name of a zone" in result["msg"] and there.requests == []

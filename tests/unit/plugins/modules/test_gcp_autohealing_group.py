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
    assert set(found) - usual == set(documented)
    assert set(found["instances"][0]) == set(documented["instances"]["contains"])


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

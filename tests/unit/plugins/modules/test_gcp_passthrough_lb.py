# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import importlib
import json
import re

import pytest
import yaml
from ansible.module_utils.testing import patch_module_args

from ansible_collections.cloudha.vip.plugins.module_utils.ansible import gcp, gcp_lb
from ansible_collections.cloudha.vip.plugins.module_utils.base.errors import Unavailable
from ansible_collections.cloudha.vip.plugins.module_utils.clouds import gce_library
from ansible_collections.cloudha.vip.plugins.modules import gcp_passthrough_lb
from ansible_collections.cloudha.vip.tests.unit.plugins.module_utils.failover.lb_cloud import (
    CHECK,
    FIREWALL,
    GROUP_A,
    GROUP_B,
    IP,
    REGION,
    RULE,
    SERVICE,
    SUBNET,
    A,
    B,
    Cloud,
)
from ansible_collections.cloudha.vip.tests.unit.plugins.modules.lb_run import OPTIONS, WHOLE, runner


@pytest.fixture
def there():
    return Cloud()


@pytest.fixture
def run(there, monkeypatch, capsys):
    return runner(gcp_passthrough_lb, there, monkeypatch, capsys)


@pytest.fixture
def made(run, there):
    result = run(**WHOLE)
    there.requests.clear()
    there.health = {A: "HEALTHY", B: "HEALTHY"}
    return result


def test_makes_it(run, there):
    there.health = {A: "HEALTHY", B: "UNHEALTHY"}
    result = run(**WHOLE)
    assert (result["changed"], result["address"]) == (True, IP)
    assert [step["name"] for step in result["steps"]][-2:] == ["create backend service", "create forwarding rule"]
    assert all(step["ms"] == 2000 and step["attempts"] == 1 for step in result["steps"])
    assert (result["holders"], result["active_pool"], result["unanswered_ms"]) == ([A], "primary", None)
    assert result["backends"] == [
        {
            "instance": A,
            "zone": f"{REGION}-a",
            "group": GROUP_A,
            "failover": False,
            "health": "HEALTHY",
            "active": True,
        },
        {
            "instance": B,
            "zone": f"{REGION}-b",
            "group": GROUP_B,
            "failover": True,
            "health": "UNHEALTHY",
            "active": False,
        },
    ]
    assert result["diff"]["before"]["protocols"] == [] and result["diff"]["after"]["protocols"] == ["tcp"]
    assert result["elapsed_ms"] >= 18000 and result["notes"] == []
    assert there.resources[RULE]["subnetwork"].endswith(SUBNET)


def test_a_second_run_changes_nothing(run, there, made):
    for options in (WHOLE, {}):
        result = run(**options)
        assert (result["changed"], result["steps"], there.mutations) == (False, [], [])
        assert result["diff"]["before"] == result["diff"]["after"]


def test_check_mode(run, there):
    result = run(**WHOLE, _ansible_check_mode=True)
    assert there.mutations == [] and there.resources == {}
    really = run(**WHOLE)
    assert result["changed"]
    assert [step["name"] for step in result["steps"]] == [step["name"] for step in really["steps"]]
    assert (result["address"], result["diff"]) == (really["address"], really["diff"])
    assert not run(**WHOLE, _ansible_check_mode=True)["changed"]


def changed(before, after):
    """The parts that differ, of the first two levels."""
    found = []
    for name in before:
        one, other = before[name], after[name]
        if isinstance(one, dict) and isinstance(other, dict):
            found += [(name, part) for part in {**one, **other} if one.get(part) != other.get(part)]
        elif one != other:
            found.append((name, None))
    return found


def test_every_option_is_documented():
    documented = yaml.safe_load(gcp_passthrough_lb.DOCUMENTATION)["options"]
    assert set(documented) == set(gcp_lb.SPEC)
    for name, spec in gcp_lb.SPEC.items():
        assert set(documented[name].get("suboptions", ())) == set(spec.get("options", ())), name


def test_one_option_makes_one_difference(run, there, made):
    """Of all options: tests/contract/test_lb_fields.py."""
    preview = run(failover={"ratio": 0.25}, _ansible_check_mode=True)
    assert there.mutations == []
    result = run(failover={"ratio": 0.25})
    assert preview["diff"] == result["diff"] and changed(**result["diff"]) == [("failover", "ratio")]
    assert not run(**WHOLE)["changed"], "an omitted option keeps it"


def test_what_takes_the_address_down_is_asked_for(run, there, made):
    for check_mode in (True, False):
        result = run(ports=["81"], _ansible_check_mode=check_mode)
        assert result["failed"] and not result["changed"] and there.mutations == []
        (problem,) = result["problems"]
        assert problem.startswith("ports: the forwarding rule web has ports 80, and 81 is wanted")
    result = run(ports=["81"], allow_replace=True)
    assert result["changed"] and 4000 <= result["unanswered_ms"] <= result["elapsed_ms"]
    assert changed(**result["diff"]) == [("ports", None)]


def test_an_idle_timeout_of_sessions(run, there, made):
    sessions = {"session_affinity": "client_ip", "tracking_mode": "per_session"}
    assert "idle_timeout_s: only with tracking_mode=per_session" in run(idle_timeout_s=1200)["msg"]
    run(**sessions)
    assert changed(**run(idle_timeout_s=1200)["diff"]) == [("idle_timeout_s", None)]


def test_a_group_more(run, there, made):
    group = {"name": "theirs", "zone": f"{REGION}-a", "instances": ["zones/us-central1-a/instances/node3"]}
    result = run(groups=[group])
    assert changed(**result["diff"]) == [("groups", f"{REGION}-a/theirs")]
    result = run(groups=[group], exclusive=True, failover=None)
    assert [name for name, _part in changed(**result["diff"])] == ["groups", "groups"]
    assert set(there.members) == {"projects/p/zones/us-central1-a/instanceGroups/theirs"}


def test_absent(run, there, made):
    preview = run(state="absent", _ansible_check_mode=True)
    assert there.mutations == []
    result = run(state="absent")
    assert result["changed"] and preview["diff"] == result["diff"] and there.resources == {}
    assert (result["address"], result["holders"], result["active_pool"], result["notes"]) == (None, [], "none", [])
    assert not run(state="absent")["changed"]


def test_absent_says_what_stays_and_why(run, there, made):
    there.resources[FIREWALL]["description"] = "made by hand"
    for check_mode in (True, False):
        notes = run(state="absent", _ansible_check_mode=check_mode)["notes"]
        assert notes == ["the firewall rule web-probes stays: it was not made for this load balancer"]
    assert list(there.resources) == [FIREWALL]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"ports": ["80", "all"]}, "ports: all is for all ports"),
        ({"ports": ["http"]}, "ports: .http.: no number"),
        ({"ports": list("123456")}, "ports: 6 are too many"),
        ({"network": "a/b"}, "network: 'a/b' is no name"),
        (
            {"subnetwork": "regions/other/subnetworks/s"},
            "subnetwork: .* no path or URL that ends with regions/us-central1",
        ),
        ({"groups": [{"name": "A", "zone": "us-central1-a"}]}, "groups: 'A' in the zone 'us-central1-a' is no name"),
        ({"groups": [{"name": "a", "zone": "us-central1-a", "instances": ["b/c"]}]}, "groups: 'b/c' is no path or URL"),
        ({"firewall": {"manage": False, "target_tags": ["web"]}}, "firewall: with manage=false there are no targets"),
        ({"firewall": {"target_tags": ["a"], "target_service_accounts": ["b"]}}, "mutually exclusive"),
        ({"protocols": ["sctp"]}, "value of protocols must be one or more of: tcp, udp, all"),
        ({"timeout": 0.0}, "timeout: 0 is not from 0.001"),
    ],
)
def test_options_that_cannot_be_used(run, there, made, options, words, monkeypatch):
    monkeypatch.setattr(gcp_lb, "client", checked_client(there))
    result = run(**options)
    assert result["failed"] and not result.get("changed") and there.mutations == []
    assert re.search(words, result["msg"]), result["msg"]


def checked_client(there):
    """As the real one, without a library."""

    def client(module, *_timeout):
        gcp._check(module.params)
        return there

    return client


def test_all_protocols(run, there):
    run(**{**WHOLE, "protocols": ["all"], "ports": ["all"]})
    assert there.resources[RULE]["allPorts"] is True and there.resources[SERVICE]["protocol"] == "UNSPECIFIED"


def test_instances_and_networks_by_url(run, there):
    url = "https://compute.googleapis.com/compute/v1/"
    groups = [{"name": "web-a", "zone": f"{REGION}-a", "instances": [url + A]}]
    run(**{**WHOLE, "groups": groups, "subnetwork": url + SUBNET, "network": "net"})
    assert there.members == {GROUP_A: [A]}
    assert not run(**{**WHOLE, "groups": groups[:1]})["changed"] or there.members[GROUP_B] == [B]


def test_no_health_is_no_failure(run, there):
    def fault(when, verb, path):
        if verb == "get_health":
            raise Unavailable("not now", status=503)

    there.fault = fault
    result = run(**WHOLE)
    assert result["changed"] and "backends" not in result
    assert result["notes"] == ["the health of the backends is not known: not now"]


def test_a_failure_tells_what_there_is(run, there):
    there.missing = {"compute.regionBackendServices.create"}
    result = run(**WHOLE)
    assert result["failed"] and not result["changed"] and there.resources == {}
    assert "compute.regionBackendServices.create" in result["msg"] and result["error"]["status"] == 403
    assert CHECK not in there.resources


def test_a_library_that_is_missing(monkeypatch, capsys):
    real = importlib.import_module

    def missing(name, *more):
        if name.startswith("google.cloud"):
            raise ImportError(name)
        return real(name, *more)

    monkeypatch.setattr(gce_library.importlib, "import_module", missing)
    with patch_module_args(OPTIONS), pytest.raises(SystemExit):
        gcp_passthrough_lb.main()
    result = json.loads(capsys.readouterr().out)
    assert result["failed"] and "google-cloud-compute" in result["msg"]

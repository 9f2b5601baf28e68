# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.cloudha.vip.plugins.module_utils.base.errors import Denied, NotFound, Unavailable
from ansible_collections.cloudha.vip.plugins.modules import gcp_route_info
from ansible_collections.cloudha.vip.tests.unit.plugins.module_utils.failover.cloud import (
    DESTINATION,
    NAME,
    NETWORK,
    URL,
    A,
    B,
)
from ansible_collections.cloudha.vip.tests.unit.plugins.modules.gcp_run import Cloud, runner

WHERE = {"destination": DESTINATION, "network": "ip-failover"}
NODES = {"instances": ["zones/us-central1-a/instances/node1", URL + B]}


@pytest.fixture
def there():
    return Cloud().put(NAME, A, description="the floating address", tags=["client"], priority=700)


@pytest.fixture
def run(there, monkeypatch, capsys):
    run = runner(gcp_route_info, there, monkeypatch, capsys)

    def look(**options):
        result = run(**options)
        assert not result.get("changed") and there.mutations == []
        if not result.get("failed") and not options.get("_ansible_check_mode"):
            assert run(**options, _ansible_check_mode=True) == {
                **result,
                "invocation": {"module_args": result["invocation"]["module_args"]},
            }
        return result

    return look


@pytest.mark.parametrize("options", [{}, WHERE, {"destination": DESTINATION}, NODES, {**WHERE, **NODES}])
def test_tells(run, options):
    result = run(**options)
    assert (result["exists"], result["holder"], result["problems"], result["leftovers"]) == (True, A, [], [])
    created = result["route"].pop("created")
    assert created.startswith("2026-11-21T")
    assert result["route"] == {
        "name": NAME,
        "destination": DESTINATION,
        "network": NETWORK,
        "next_hop": A,
        "priority": 700,
        "tags": ["client"],
        "description": "the floating address",
        "warnings": [],
    }
    assert result["effective"]["name"] == NAME


def test_what_traffic_really_follows(run, there):
    name = f"{NAME}-tmp-dead-1"
    there.put(name, B, 699, description=f"cloudha.vip: temporary, for the route {NAME} {{}}")
    result = run()
    assert (result["holder"], result["effective"]["name"], result["leftovers"]) == (B, name, [name])
    assert result["route"]["next_hop"] == A


def test_dead_next_hop(run, there):
    there.kill(A)
    result = run()
    assert (result["holder"], result["effective"]) == (None, {})
    assert result["route"]["warnings"] == ["NEXT_HOP_NOT_RUNNING"]
    assert any("NEXT_HOP_NOT_RUNNING" in note for note in result["notes"])


def test_holder_by_address(run, there):
    there.routes.clear()
    there.put(NAME, "10.100.2.2")
    result = run()
    assert (result["holder"], result["route"]["next_hop"]) == (B, "10.100.2.2")


@pytest.mark.parametrize("options", [{}, {"destination": DESTINATION}])
def test_no_route(run, there, options):
    there.routes.clear()
    result = run(**options)
    assert (result["exists"], result["route"], result["holder"]) == (False, {}, None)
    assert any(f"no route {NAME}" in problem for problem in result["problems"])


@pytest.mark.parametrize(
    "where",
    [
        {"destination": "10.200.1.9/32", "network": "ip-failover"},
        {"destination": "10.200.1.9/32"},
        {"network": "other"},
    ],
)
def test_a_name_that_is_for_something_else(run, where):
    result = run(**where)
    assert (result["exists"], result["route"]) == (False, {})
    assert f"name: the route {NAME} is for {DESTINATION} on {NETWORK}, and not for" in result["problems"][0]
    assert run(**where, preflight=False)["problems"] == []


def test_no_route_yet_and_all_is_ready(run, there):
    there.routes.clear()
    assert run(**WHERE, **NODES)["problems"] == []


def broken(there, what):
    node2 = there.instances[B]
    if what == "forward":
        node2["canIpForward"] = False
    elif what == "off":
        node2["status"] = "TERMINATED"
    elif what == "instance":
        del there.instances[B]
    elif what == "vrrp":
        there.firewalls.clear()
    elif what == "subnet":
        there.subnetworks.append({"name": "taken", "ipCidrRange": "10.200.0.0/16"})
    elif what == "permission":
        there.missing.add("compute.routes.delete")
    elif what == "priority":
        there.named(NAME)["priority"] = 0


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("forward", [B, "canIpForward"]),
        ("off", [B, "TERMINATED", "start"]),
        ("instance", [B, "does not exist"]),
        ("vrrp", ["VRRP (protocol 112)", "add a firewall rule", A, B]),
        ("subnet", ["destination", "10.200.0.0/16", "taken"]),
        ("permission", ["compute.routes.delete", NAME, "give it a role"]),
        ("priority", ["priority 0", "no room"]),
    ],
)
def test_problems(run, there, what, words):
    broken(there, what)
    problems = run(**WHERE, **NODES)["problems"]
    assert len(problems) == (2 if what == "vrrp" else 1)
    for word in words:
        assert word in problems[0]


def test_only_looks(run, there):
    broken(there, "forward")
    assert run(**WHERE, **NODES, preflight=False)["problems"] == []
    # In both of the runs, with and without check mode.
    assert [verb for verb, _target in there.requests] == ["list", "list"]


def test_another_network(run, there):
    there.instances[B]["networkInterfaces"][0]["network"] += "2"
    result = run(**WHERE, **NODES)
    assert any(f"{B} has no interface on {NETWORK}" in problem for problem in result["problems"])


def test_all_problems_at_once(run, there):
    kinds = ("forward", "vrrp", "subnet", "permission", "priority")
    for what in kinds:
        broken(there, what)
    assert len(run(**WHERE, **NODES)["problems"]) == len(kinds) + 1


def test_vrrp_can_be_left_out(run, there):
    there.firewalls.clear()
    assert run(**NODES, vrrp=False)["problems"] == []


@pytest.mark.parametrize("verb", ["network", "instance", "subnetworks", "firewalls", "permissions"])
def test_what_may_not_be_read_is_a_problem(run, there, verb):
    def fault(_phase, this, target):
        if this == verb:
            raise Denied(f"Required permission for {target}", status=403)

    there.fault = fault
    assert any("Required permission" in problem for problem in run(**NODES)["problems"])


def test_what_passes_is_tried_again(run, there):
    errors = [Unavailable("rate limit"), Unavailable("rate limit")]

    def fault(*_):
        if errors:
            raise errors.pop()

    there.fault = fault
    assert run(**NODES)["problems"] == []
    assert errors == []


def test_unknown_project(run, there):
    def fault(*_):
        raise NotFound("Cannot list the routes of project p: 404", resource="projects/p/global/routes", status=404)

    there.fault = fault
    result = run()
    assert result["failed"] and "project p" in result["msg"] and result["error"]["status"] == 404


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"instances": ["node1"]}, ["instances", "node1", "zones/ZONE/instances/NAME"]),
        ({"network": "a/b"}, ["network", "global/networks/NAME"]),
    ],
)
def test_bad_input(run, options, words):
    result = run(**options)
    assert result["failed"]
    for word in words:
        assert word in result["msg"]

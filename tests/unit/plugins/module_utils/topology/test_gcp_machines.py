# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Machines that start from an image: the image's name, the options of their groups, and mistakes of inventories."""

from __future__ import annotations

import pytest

from ansible_collections.cloudha.vip.plugins.module_utils.topology import gcp_machines

PATHS = {f"node{n}": f"projects/p/zones/us-central1-{z}/instances/node{n}" for n, z in ((1, "c"), (2, "f"))}
ADDRESSES = {"node1": "10.100.2.1", "node2": "10.100.2.2"}
GIVEN = {
    "name": "web",
    "image": "projects/p/global/images/web-1",
    "check_url": "http://127.0.0.1/healthz",
    "objective_s": 10,
    "health_check": {},
    "can_ip_forward": True,
    "service_account": "",
    "tags": ["backend"],
    "disk_size_gb": "",
}
VARIABLES = {
    "vip_address": "10.200.1.1/32",
    "vip_interface": "eth0",
    "gcp_project": "p",
    "gcp_zone": "us-central1-c",
    "gcp_network": "n",
    "gcp_subnetwork": "s",
    "gcp_image_source": "i",
    "gcp_image_disk_size_gb": "",
    "gcp_dns_name": "",
    "gcp_dns_zone": "",
    "gcp_autohealing_single": False,
    "vip_agent_actions": [],
}
MEMBER = {"type": "gcp_route_member", "name": "r"}
NAMED = {"gcp_autohealing_single": True, "gcp_dns_name": "web.ha.internal", "gcp_dns_zone": "ha"}


def test_each_node_is_the_only_one_of_its_group():
    found = gcp_machines.groups(GIVEN, PATHS, ADDRESSES)
    assert found["node2"] == {
        "name": "web-node2",
        "zone": "us-central1-f",
        "instances": [{"name": "node2", "address": "10.100.2.2"}],
        "image": "projects/p/global/images/web-1",
        "can_ip_forward": True,
        "tags": ["backend"],
        "firewall": {"target_tags": ["backend"]},
        "health_check": {
            "type": "http",
            "path": "/healthz",
            "port": 80,
            "interval_s": 3,
            "timeout_s": 3,
            "healthy_threshold": 2,
            "unhealthy_threshold": 2,
        },
    }


def test_a_health_check_may_be_given_in_parts():
    given = {**GIVEN, "check_url": "tcp://127.0.0.1:5432", "health_check": {"unhealthy_threshold": 5}}
    check = gcp_machines.groups(given, PATHS, ADDRESSES)["node1"]["health_check"]
    assert (
        check["type"] == "tcp" and check["port"] == 5432 and "path" not in check and check["unhealthy_threshold"] == 5
    )


def test_a_complete_inventory_has_no_mistakes():
    assert gcp_machines.mistakes(GIVEN, VARIABLES, PATHS, ADDRESSES) == []


@pytest.mark.parametrize(
    ("given", "paths", "addresses", "words"),
    [
        ({"objective_s": 1}, {}, {}, "gcp_autohealing_objective_s is 1"),
        ({"check_url": "healthz"}, {}, {}, "gcp_autohealing_check_url is 'healthz'"),
        ({"name": "Web"}, {}, {}, "gcp_autohealing_name is 'Web'"),
        ({}, {"node2": PATHS["node2"].replace("node2", "web2")}, {}, "gcp_instance of node2 is web2"),
        ({}, {}, {"node2": "10.100.2.1"}, "two nodes have the same gcp_address"),
        ({}, {}, {"node2": "node2"}, "gcp_address of node2 is node2"),
    ],
)
def test_mistakes_are_told(given, paths, addresses, words):
    found = gcp_machines.mistakes({**GIVEN, **given}, VARIABLES, {**PATHS, **paths}, {**ADDRESSES, **addresses})
    assert [each for each in found if each.startswith(words)] == found != []


@pytest.mark.parametrize(
    ("given", "variables", "words"),
    [
        ({}, {"vip_agent_actions": [MEMBER]}, "gcp_autohealing_service_account is not set, and the agent of each"),
        ({}, {"gcp_dns_name": "web.ha.internal", "gcp_dns_zone": "ha"}, "gcp_dns_name is web.ha.internal, and here"),
        ({}, {**NAMED, "gcp_dns_zone": ""}, "gcp_dns_zone is not set; set it to the managed zone"),
        ({}, {**NAMED, "gcp_dns_name": ""}, "gcp_dns_name is not set; set it to a name in the managed zone ha"),
        ({"disk_size_gb": 10}, {"gcp_image_disk_size_gb": 20}, "gcp_autohealing_disk_size_gb is 10, and the image has"),
    ],
)
def test_contradictions_of_variables_are_told(given, variables, words):
    (found,) = gcp_machines.mistakes({**GIVEN, **given}, {**VARIABLES, **variables}, PATHS, ADDRESSES)
    assert found.startswith(words)


@pytest.mark.parametrize(
    ("given", "variables"),
    [
        ({"service_account": "a@p.iam.gserviceaccount.com"}, {"vip_agent_actions": [MEMBER]}),
        ({}, {"vip_agent_actions": [{"type": "health_port", "name": "p"}]}),
        ({}, NAMED),
        ({"disk_size_gb": 20}, {"gcp_image_disk_size_gb": 20}),
    ],
)
def test_variables_that_go_together(given, variables):
    assert gcp_machines.mistakes({**GIVEN, **given}, {**VARIABLES, **variables}, PATHS, ADDRESSES) == []


def test_what_is_missing_is_told_first():
    found = gcp_machines.mistakes({**GIVEN, "objective_s": 1}, {**VARIABLES, "gcp_image_source": ""}, PATHS, ADDRESSES)
    assert len(found) == 1 and found[0].startswith("gcp_image_source is not set")


def test_a_node_that_is_or_will_be_made_anew_is_no_rest():
    well = {"action": "NONE", "health": "HEALTHY", "serves": True}
    answers = {
        "node1": {"exists": True, "instances": [{**well, "action": "RECREATING", "serves": False}]},
        "node2": {"exists": True, "instances": [well]},
        "node3": {"exists": False, "instances": []},
        "node4": {"exists": True, "instances": [{**well, "health": "TIMEOUT", "serves": False}]},
        "node5": {"msg": "503"},
        "node6": {"exists": True, "instances": []},
    }
    assert gcp_machines.settling(answers) == [
        "its instance group has node1 in the state RECREATING",
        "node3 has no instance group",
        "node4 does not pass the health check of its instance group (TIMEOUT)",
        "the instance group of node6 has no instance",
    ]


HERE = {"exists": True, "instances": [{"action": "NONE", "health": "HEALTHY", "serves": True}]}
MAKING = {"exists": True, "instances": [{"action": "RECREATING", "health": "UNKNOWN", "serves": False}]}
NOWHERE = {"exists": False, "instances": []}
SPARE = {"exists": True, "instances": []}


@pytest.mark.parametrize(
    ("answers", "name", "hosts", "words"),
    [
        ([HERE, NOWHERE], None, ["node1"], []),
        ([NOWHERE, HERE], None, ["node2"], []),
        ([SPARE, HERE], None, ["node2"], []),
        (
            [SPARE, HERE],
            {"addresses": ["10.100.2.1"]},
            [],
            ["the name leads to node1, which is", "node2 is there, too"],
        ),
        ([SPARE, SPARE], None, [], ["there is no node"]),
        ([MAKING, NOWHERE], None, [], ["its instance group has node1 in the state RECREATING"]),
        ([NOWHERE, NOWHERE], None, [], ["there is no node"]),
        ([HERE, NOWHERE], {"addresses": ["10.100.2.1"]}, ["node1"], []),
        ([HERE, HERE], {"addresses": ["10.100.2.2"]}, ["node2"], ["node1 is there, too"]),
        (
            [NOWHERE, HERE],
            {"addresses": ["10.100.2.1"]},
            [],
            ["the name leads to node1, which is not there", "node2 is there, too"],
        ),
        ([HERE, NOWHERE], {"addresses": []}, [], ["the name leads to nothing", "node1 is there, too"]),
        ([HERE, NOWHERE], {"msg": "503"}, [], ["Cloud DNS does not tell: 503", "node1 is there, too"]),
        ([{"msg": "503"}, NOWHERE], None, [], ["the API does not tell of node1: 503"]),
        ([{"msg": "503"}, NOWHERE], {"addresses": ["10.100.2.1"]}, [], ["the API does not tell of node1: 503"]),
    ],
)
def test_one_node_serves_at_a_time(answers, name, hosts, words):
    told = {node: answers[index] for index, node in enumerate(ADDRESSES)}
    found = gcp_machines.holder(told, ADDRESSES, name)
    assert found["hosts"] == hosts
    assert len(found["notes"]) == len(words)
    assert all(note.startswith(words[index]) for index, note in enumerate(found["notes"]))


def test_a_lost_zone_where_no_client_is_led_disturbs_nobody():
    lost, there = {"msg": "The zone cannot be reached"}, HERE
    name = {"addresses": [ADDRESSES["node2"]]}
    found = gcp_machines.holder({"node1": lost, "node2": there}, ADDRESSES, name)
    assert (found["hosts"], found["notes"], found["led"]) == (["node2"], [], ["node2"])
    # Without a name nobody knows where clients are led.
    assert gcp_machines.holder({"node1": lost, "node2": there}, ADDRESSES)["notes"] != []
    led_there = gcp_machines.holder(
        {"node1": lost, "node2": {"exists": False}}, ADDRESSES, {"addresses": [ADDRESSES["node1"]]}
    )
    assert (led_there["hosts"], led_there["led"], led_there["home"]) == ([], ["node1"], ["node1"])
    assert [note.partition(":")[0] for note in led_there["notes"]] == ["the API does not tell of node1"]


def test_the_image_of_the_single_node_is_known_when_its_zone_is_lost():
    there = {"exists": True, "image": "i/next", "instances": [{"image": "i/served"}]}
    lost, spare = {"msg": "no answer", "image": "i/lost"}, {"exists": True, "image": "i/spare", "instances": []}
    assert gcp_machines.image({"node1": spare, "node2": there}) == "i/served"
    # The spare place may be behind.
    assert gcp_machines.image({"node1": spare, "node2": lost}) == "i/lost"
    assert gcp_machines.image({"node1": {**lost, "image": None}, "node2": spare}) == "i/spare"
    assert gcp_machines.image({"node1": {"msg": "no answer"}, "node2": {"exists": False, "image": None}}) == ""


def test_nodes_that_exist_are_asked_but_none_in_a_lost_zone():
    nodes, lost, empty = ["node1", "node2"], {"msg": "The zone cannot be reached"}, {"exists": False}
    assert gcp_machines.existing(nodes, {"node1": HERE, "node2": empty}) == ["node1"]
    assert gcp_machines.existing(nodes, {"node1": SPARE, "node2": HERE}) == ["node2"]
    assert gcp_machines.existing(nodes, {"node1": lost, "node2": empty}) == []
    assert gcp_machines.existing(nodes, {"node1": lost, "node2": HERE}) == ["node2"]
    # Nobody knows.
    assert gcp_machines.existing(nodes, {"node1": lost, "node2": lost}) == nodes
    assert gcp_machines.existing(nodes, {}) == nodes
    # A drill asks some of them only.
    assert gcp_machines.existing(["node2", "node3"], {"node1": HERE, "node2": MAKING, "node3": NOWHERE}) == ["node2"]


def test_nodes_that_do_not_serve_come_first():
    serving, booting = (
        {"exists": True, "instances": [{"serves": True}]},
        {"exists": True, "instances": [{"serves": False}]},
    )
    answers = {"a": serving, "b": {"exists": False}, "c": serving, "d": booting, "e": {"msg": "no answer"}}
    assert gcp_machines.order(answers) == ["b", "d", "e", "a", "c"]

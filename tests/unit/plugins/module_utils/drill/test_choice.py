# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from ansible_collections.cloudha.vip.plugins.module_utils.drill import choice

ROLES = Path(__file__).resolve().parents[5] / "roles"
OURS = yaml.safe_load((ROLES / "drill/vars/main.yml").read_text())["drill_catalog"]
CATALOG = {
    "service_kill": {"own_service": True},
    "real_server_kill": {"pool": True},
    "api_slow": {"api": True, "hooked": True},
    "agent_kill": {"api": True},
    "node_power_off": {},
    "partition": {},
}
HOOK = {"inject": "a", "undo": "b"}
BY_HAND = {"operations": 0, "elected": False, "fails_over": False, "on_interface": True}
CONTAINER = {"node2": {"node_power_off": "it is a container"}}


def choose(wanted=(), operations=0, pool=False, hooks=None, lacking=None):
    pair = {"operations": operations, "elected": True, "fails_over": True, "on_interface": not operations}
    return choice.choose(CATALOG, wanted, pair, pool, hooks or {"node1": {}, "node2": {}}, lacking or {})


def possible(pool=False, **topology):
    """Of the role's catalog, where hooks can do everything."""
    topology = {"operations": 0, "elected": True, "fails_over": True, "on_interface": True, **topology}
    return choice.choose(OURS, [], topology, pool, {"node1": dict.fromkeys(OURS, HOOK)}, {})["faults"]


def test_all_that_is_possible_is_the_default():
    assert choose() == {"faults": ["service_kill", "node_power_off", "partition"], "problems": [], "left_out": {}}
    assert choose(operations=1)["faults"] == ["service_kill", "agent_kill", "node_power_off", "partition"]
    assert choose(pool=True)["faults"] == ["real_server_kill", "node_power_off", "partition"]


def test_keepalived_is_left_alone_where_it_elects_nobody():
    """It may not be there, so stopping it fails, and so does the undo."""
    needs = {"keepalived_stop", "keepalived_kill", "agent_kill", "partition_peers"}
    for operations in (0, 1):
        all_of_them, without = (
            possible(operations=operations, on_interface=False, elected=elected) for elected in (True, False)
        )
        assert set(without) == set(all_of_them) - needs
    commands = {
        fault: " ".join(str(what.get(word, "")) for word in ("prepare", "others", "inject", "undo"))
        for fault, what in OURS.items()
    }
    assert {fault for fault in commands if re.search(r"systemctl .*\bkeepalived", commands[fault])} <= needs


def test_nodes_are_cut_from_each_other_only_where_something_else_leads_clients_to_them():
    """Where each of them would take the address, that is a split brain by all means."""
    for traits in ({"operations": 1}, {"probes_from": ["35.191.0.0/16"]}):
        assert "partition_peers" in possible(on_interface=False, **traits)
    assert "partition_peers" not in possible(on_interface=True)


def test_nobody_breaks_the_holder_where_no_other_node_takes_over():
    assert possible(fails_over=False, elected=False) == ["planned_switchover"]
    behind = ["planned_switchover", "real_server_drain", "real_server_kill", "real_server_hang"]
    assert possible(fails_over=False, elected=False, pool=True) == behind
    refused = choice.choose(OURS, ["service_kill", "keepalived_stop"], BY_HAND, False, {}, {})["problems"]
    assert refused == [
        "drill_faults: service_kill cannot be injected here: it is for topologies whose address moves by itself when "
        "its holder fails",
        "drill_faults: keepalived_stop cannot be injected here: it is for topologies whose holder keepalived elects",
        "Possible are planned_switchover",
    ]


@pytest.mark.parametrize(
    ("topology", "added"),
    [
        ({}, set()),
        ({"probes_from": ["35.191.0.0/16"]}, {"all_backends_unhealthy", "probe_firewall_removed"}),
        (
            {"probes_from": ["35.191.0.0/16"], "moves": True},
            {"all_backends_unhealthy", "probe_firewall_removed", "backend_drained"},
        ),
        ({"moves": True}, set()),
    ],
)
def test_a_mechanism_that_asks_nodes_for_their_health_has_faults_of_its_own(topology, added):
    assert set(possible(**topology)) - set(possible()) == added
    without = choice.choose(OURS, [], {**BY_HAND, "fails_over": True, **topology}, False, {"node1": {}}, {})["faults"]
    assert added - set(without) == added & {"probe_firewall_removed"}, "that one needs a hook"


@pytest.mark.parametrize(
    ("fault", "operations", "own", "objective"),
    [
        ("service_kill", 0, {}, 1000),
        ("service_kill", 2, {}, 1000),
        ("service_kill", 2, {"service_kill": "700"}, 700),
        ("keepalived_stop", 0, {}, 1000),
        ("keepalived_stop", 1, {}, 400),
        ("keepalived_stop", 1, {"service_kill": 700}, 400),
        ("real_server_drain", 0, {}, 100),
        ("backend_drained", 0, {}, 100),
        ("api_down", 1, {}, 100),
        ("health_endpoint_broken", 0, {}, 1000),
        ("health_endpoint_broken", 1, {}, 400),
        ("node_lost", 1, {}, 7000),
    ],
)
def test_the_objective_of_a_fault(fault, operations, own, objective):
    what = {**OURS, "node_lost": {"slack_ms": "6000"}}[fault]
    assert choice.objective_ms(fault, what, own, 1000, 100, operations, 300) == objective


@pytest.mark.parametrize("fault", ["planned_switchover", "health_endpoint_broken", "api_down", "service_kill"])
def test_of_nodes_that_serve_at_once_one_that_still_serves_costs_nothing(fault):
    objective = choice.objective_ms(fault, OURS[fault], {}, 3000, 100, 0, 0, gradual=True)
    assert objective == (3000 if fault == "service_kill" else 100)


def test_an_api_that_is_fast_gives_no_more_time_than_the_topology_has():
    assert choice.objective_ms("keepalived_stop", OURS["keepalived_stop"], {}, 1000, 100, 2, 4000) == 1000


def test_what_cannot_be_done_to_a_machine_is_left_out_and_said():
    chosen = choose(lacking=CONTAINER)
    assert chosen["faults"] == ["service_kill", "partition"] and chosen["problems"] == []
    assert chosen["left_out"] == {"node_power_off": "node2: it is a container; or set drill_hooks"}


def test_what_cannot_be_done_to_a_machine_is_refused_if_it_is_named():
    chosen = choose(["node_power_off"], lacking=CONTAINER)
    assert chosen["problems"] == [
        "drill_faults: node_power_off cannot be injected here: node2: it is a container; or set drill_hooks",
        "Possible are service_kill, partition",
    ]


def test_a_hook_takes_the_place_of_what_a_machine_lacks():
    hooks = {"node1": {}, "node2": {"node_power_off": HOOK}}
    assert choose(["node_power_off"], hooks=hooks, lacking=CONTAINER)["problems"] == []


def test_a_hook_without_an_undo_is_refused_before_anything_is_broken():
    chosen = choose(hooks={"node1": {"partition": {"inject": "a"}}, "node2": {}})
    assert chosen["problems"][0] == "drill_hooks of node1: partition has no undo"


def test_what_nodes_said_of_themselves():
    answers = [
        {"item": "node1", "stdout_lines": ["cannot partition: there is no nft; install nftables", "Python 3"]},
        {"item": "node2"},
    ]
    assert choice.lacks(answers) == {"node1": {"partition": "there is no nft; install nftables"}, "node2": {}}


PRINTED = """\
Keepalived v2.2.7 (01/16,2022)

Running on Linux 6.1.0-18-amd64 #1 SMP (built for Linux 6.1.20)
nginx version: nginx/1.22.1
Python 3.11.2
Linux 6.1.0-18-amd64
"""


def test_a_report_names_the_versions_of_what_was_drilled():
    wanted = {"keepalived": "2.2.7", "nginx": "1.22.1", "python": "3.11.2", "kernel": "6.1.0-18-amd64"}
    assert choice.versions(PRINTED) == wanted
    assert choice.versions("sh: keepalived: not found\nPython 3.13.5\n") == {"python": "3.13.5"}


def test_every_address_is_asked_for_by_every_client_that_has_no_way_of_its_own():
    probes = choice.probes(["a", "b"], {"b": "http://198.51.100.1/"}, ["http://192.0.2.1/", "http://[2001:db8::1]/"], 4)
    assert [(each["client"], each["name"]) for each in probes] == [
        ("a, 192.0.2.1", "a.0"),
        ("a, [2001:db8::1]", "a.1"),
        ("b", "b"),
    ]
    assert {each["interval_ms"] for each in probes} == {4}


def test_many_addresses_share_the_requests_of_a_client():
    probes = choice.probes(["a"], {}, ["http://192.0.2.%d/" % i for i in range(9)], 4)
    assert {each["interval_ms"] for each in probes} == {12}


def test_who_asks_for_the_health_of_a_node_hears_nothing():
    rules = choice.deaf_rules(["35.191.0.0/16", "2600:2d00:1:b029::/64"])
    assert rules == ["ip saddr 35.191.0.0/16 drop", "ip6 saddr 2600:2d00:1:b029::/64 drop"]


def test_the_api_alone_is_taken_away_by_hooks_only():
    assert (
        "api_down" in possible()
        and "api_down"
        not in choice.choose(
            OURS,
            [],
            {"operations": 1, "elected": True, "fails_over": True, "on_interface": False},
            False,
            {"node1": {}},
            {},
        )["faults"]
    )


def test_an_isolated_node_says_nothing_about_the_addresses():
    rules = choice.silent_rules(["192.0.2.1/24", "2001:db8::1"])
    assert "arp saddr ip 192.0.2.1 drop" in rules and "ip saddr 192.0.2.1 drop" in rules
    assert any("@th,64,128 0x20010db8000000000000000000000001 drop" in rule for rule in rules)


ANEW = {"elected": False, "on_interface": False, "probes_from": ["192.0.2.0/24"], "moves": True, "recreates": True}


def test_instances_are_deleted_only_where_the_cloud_makes_them_anew():
    anew = {"instance_deleted", "instance_stopped", "autohealing_stuck"}
    assert anew <= set(possible(operations=1, **ANEW))
    assert not anew & set(possible(operations=1, **{**ANEW, "recreates": False}))


def test_the_cloud_is_not_led_to_make_all_nodes_anew_at_once():
    all_at_once = {"all_backends_unhealthy", "probe_firewall_removed"}
    assert not all_at_once & set(possible(operations=1, **ANEW))
    assert all_at_once <= set(possible(operations=1, **{**ANEW, "recreates": False}))


def test_nobody_takes_over_where_one_node_exists_at_a_time():
    alone = possible(single=True, **ANEW)
    assert not {"planned_switchover", "backend_drained"} & set(alone)
    assert {"service_kill", "instance_deleted", "zone_outage"} <= set(alone)

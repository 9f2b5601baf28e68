# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from ansible_collections.cloudha.vip.plugins.module_utils.drill import choice

CATALOG = {
    "service_kill": {"own_service": True},
    "real_server_kill": {"pool": True},
    "api_slow": {"api": True, "hooked": True},
    "agent_kill": {"api": True},
    "node_power_off": {},
    "partition": {},
}
HOOK = {"inject": "a", "undo": "b"}
CONTAINER = {"node2": {"node_power_off": "it is a container"}}


def choose(wanted=(), operations=0, pool=False, hooks=None, lacking=None):
    return choice.choose(CATALOG, wanted, operations, pool, hooks or {"node1": {}, "node2": {}}, lacking or {})


def test_all_that_is_possible_is_the_default():
    assert choose() == {"faults": ["service_kill", "node_power_off", "partition"], "problems": [], "left_out": {}}
    assert choose(operations=1)["faults"] == ["service_kill", "agent_kill", "node_power_off", "partition"]
    assert choose(pool=True)["faults"] == ["real_server_kill", "node_power_off", "partition"]


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


def test_an_isolated_node_says_nothing_about_the_addresses():
    rules = choice.silent_rules(["192.0.2.1/24", "2001:db8::1"])
    assert "arp saddr ip 192.0.2.1 drop" in rules and "ip saddr 192.0.2.1 drop" in rules
    assert any("@th,64,128 0x20010db8000000000000000000000001 drop" in rule for rule in rules)

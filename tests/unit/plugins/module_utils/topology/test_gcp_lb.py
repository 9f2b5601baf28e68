# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A passthrough load balancer from an inventory, and the nodes that it sends connections to."""

from __future__ import annotations

import pytest

from ansible_collections.cloudha.vip.plugins.module_utils.topology.gcp_lb import holder, mistakes, options, timers

N1, N2, ELSE = (f"projects/p/zones/r-{zone}/instances/{name}" for zone, name in (("a", "n1"), ("b", "i2"), ("c", "x")))
PATHS = {"n1": N1, "n2": N2}
GIVEN = {
    "name": "web",
    "region": "r",
    "network": "net",
    "subnetwork": "sub",
    "address": "10.0.0.9",
    "address_name": "",
    "scheme": "internal",
    "protocols": ["tcp"],
    "ports": [80],
    "global_access": "",
    "objective_s": 3,
    "check_url": "http://127.0.0.1:8080/lb-check",
    "health_check": {},
    "backups": [],
    "failover_ratio": 0,
    "drop_if_unhealthy": False,
    "draining_timeout_s": 300,
    "session_affinity": "",
    "tracking_mode": "",
    "persistence": "",
    "idle_timeout_s": "",
    "target_tags": [],
    "allow_replace": False,
}
VARIABLES = {
    "vip_address": "10.0.0.9/32",
    "vip_interface": "eth0",
    "gcp_project": "p",
    "gcp_zone": "r-a",
    "gcp_network": "net",
    "gcp_subnetwork": "sub",
    "gcp_lb_name": "web",
}


@pytest.mark.parametrize("objective", [*range(2, 30), 900, 902, "3"])
def test_a_lost_node_is_noticed_in_time(objective):
    found = timers(objective)
    # A node that is lost just after a good probe.
    noticed = found["unhealthy_threshold"] * found["interval_s"] + found["timeout_s"]
    assert noticed <= int(objective)
    # What the API takes.
    assert 1 <= found["timeout_s"] <= found["interval_s"] <= 300
    assert 1 <= found["unhealthy_threshold"] == found["healthy_threshold"] <= 10


def test_two_bad_probes_are_needed_wherever_there_is_time_for_them():
    assert {seconds: timers(seconds)["unhealthy_threshold"] for seconds in (2, 3, 15)} == {2: 1, 3: 2, 15: 2}
    # Google's own default notices as late.
    assert timers(15) == {"interval_s": 5, "timeout_s": 5, "unhealthy_threshold": 2, "healthy_threshold": 2}


@pytest.mark.parametrize("objective", [0, 1, -3, 2.5, "soon", "", None, 903])
def test_a_time_that_the_api_cannot_do_is_refused(objective):
    with pytest.raises(ValueError, match=r"^gcp_lb_objective_s is .*; (it must be|the longest interval)"):
        timers(objective)


def test_options_for_nodes_that_all_serve():
    assert options(GIVEN, PATHS) == {
        "name": "web",
        "region": "r",
        "network": "net",
        "subnetwork": "sub",
        "address": "10.0.0.9",
        "scheme": "internal",
        "protocols": ["tcp"],
        "ports": [80],
        "draining_timeout_s": 300,
        "allow_replace": False,
        "health_check": {
            "type": "http",
            "port": 8080,
            "path": "/lb-check",
            "interval_s": 1,
            "timeout_s": 1,
            "unhealthy_threshold": 2,
            "healthy_threshold": 2,
        },
        "groups": [
            {"name": "web-n1", "zone": "r-a", "instances": [N1]},
            {"name": "web-i2", "zone": "r-b", "instances": [N2]},
        ],
    }


def test_options_for_a_node_that_waits():
    found = options({**GIVEN, "backups": ["n2"], "drop_if_unhealthy": True, "failover_ratio": 0.5}, PATHS)
    assert [group["failover"] for group in found["groups"]] == [False, True]
    assert found["failover"] == {"ratio": 0.5, "drop_if_unhealthy": True, "drain": True}
    for protocols in (["udp"], "udp"):
        found = options({**GIVEN, "backups": ["n2"], "protocols": protocols}, PATHS)
        assert found["failover"] == {"ratio": 0, "drop_if_unhealthy": False}


def test_a_list_may_be_one_text_as_it_may_be_in_an_option():
    wanted = {**GIVEN, "backups": " n2"}
    assert mistakes(wanted, VARIABLES, PATHS) == []
    assert options(wanted, PATHS) == options({**GIVEN, "backups": ["n2"]}, PATHS)


@pytest.mark.parametrize(
    ("check_url", "probe"),
    [
        ("tcp://127.0.0.1:6000", {"type": "tcp", "port": 6000}),
        ("http://127.0.0.1", {"type": "http", "port": 80, "path": "/"}),
        ("https://127.0.0.1/healthz", {"type": "tcp", "port": 443}),
    ],
)
def test_the_probe_asks_as_the_url_says(check_url, probe):
    found = options({**GIVEN, "check_url": check_url}, PATHS)["health_check"]
    assert {name: value for name, value in found.items() if name in ("type", "port", "path")} == probe


def test_what_the_inventory_says_of_the_probe_counts_more():
    found = options({**GIVEN, "health_check": {"interval_s": 5, "host": "web.example"}}, PATHS)["health_check"]
    assert (found["interval_s"], found["timeout_s"], found["host"]) == (5, 1, "web.example")


def test_optional_variables_are_passed_on():
    more = {"address_name": "mine", "global_access": True}
    more |= {"session_affinity": "client_ip", "idle_timeout_s": 600, "target_tags": ["web"]}
    found = options({**GIVEN, **more}, PATHS)
    assert found["firewall"] == {"target_tags": ["web"]}
    assert {name: found[name] for name in more if name != "target_tags"} == {
        name: value for name, value in more.items() if name != "target_tags"
    }


def test_a_good_inventory_has_no_mistake():
    assert mistakes(GIVEN, VARIABLES, PATHS) == []
    assert mistakes({**GIVEN, "backups": ["n2"], "drop_if_unhealthy": True}, VARIABLES, PATHS) == []
    # An external address is in no subnetwork.
    assert mistakes({**GIVEN, "scheme": "external"}, {**VARIABLES, "gcp_subnetwork": ""}, PATHS) == []


@pytest.mark.parametrize(
    ("given", "variables", "words"),
    [
        ({}, {"gcp_lb_name": ""}, "gcp_lb_name is not set"),
        ({}, {"gcp_subnetwork": ""}, "gcp_subnetwork is not set"),
        ({}, {"vip_address": ""}, "in the primary range of gcp_subnetwork"),
        ({"scheme": "external"}, {"vip_address": ""}, "the external IPv4 address that is reserved"),
        ({"name": "Web"}, {}, "gcp_lb_name is 'Web'; a name has a-z"),
        ({"check_url": 8080}, {}, "gcp_lb_check_url is 8080; write it like http://"),
        ({"region": "q"}, {}, "gcp_region is q, and the nodes are in r"),
        ({"region": ""}, {}, "gcp_region is not set, and the nodes are in r"),
        ({"backups": ["n3"]}, {}, "gcp_lb_backups has n3, which the group vip_nodes does not have"),
        ({"backups": ["n1", "n2"]}, {}, "gcp_lb_backups has all nodes"),
        ({"drop_if_unhealthy": True}, {}, "a node in gcp_lb_backups: see the playbook gcp_lb_failover"),
        ({"name": "w" * 61}, {}, "is too long: the group of n1 would be called"),
        ({"objective_s": 1}, {}, "gcp_lb_objective_s is 1"),
        ({"check_url": "127.0.0.1"}, {}, "gcp_lb_check_url is '127.0.0.1'"),
    ],
)
def test_a_mistake_is_named(given, variables, words):
    found = mistakes({**GIVEN, **given}, {**VARIABLES, **variables}, PATHS)
    assert any(words in sentence for sentence in found), found


def test_an_instance_with_a_strange_name_is_named_with_its_node():
    found = mistakes(GIVEN, VARIABLES, {**PATHS, "n2": N2.replace("i2", "I2")})
    assert found == ["gcp_instance of n2 is 'I2'; a name has a-z, 0-9 and -, with a letter first and no - last"]


def backend(path, health="HEALTHY", failover=False, active=True):
    return {"instance": path, "health": health, "failover": failover, "active": active}


def answer(*backends, pool="primary", exists=True):
    holders = [each["instance"] for each in backends if each["active"]]
    return {"exists": exists, "active_pool": pool, "holders": holders, "backends": list(backends)}


FAILOVER = {"elected": False, "shared": False}
SHARED = {"elected": False, "shared": True}
HEARTBEAT = {"elected": True, "shared": False}
LOOKS = [
    {"item": "n1", "keepalived": {"active": True}, "instances": {"VI_1": "MASTER"}},
    {"item": "n2", "keepalived": {"active": True}, "instances": {"VI_1": "BACKUP"}},
]
WAITS = backend(N2, failover=True, active=False)


@pytest.mark.parametrize(
    ("told", "topology", "looks", "hosts", "notes"),
    [
        ({"msg": "503"}, SHARED, [], [], ["the API does not tell: 503"]),
        (answer(pool="none", exists=False), SHARED, [], [], ["there is no load balancer web"]),
        (answer(backend(N1), backend(N2)), SHARED, [], ["n1", "n2"], []),
        (answer(backend(N1), backend(N2, "UNHEALTHY", active=False)), SHARED, [], ["n1"], []),
        # Others' backends are no concern of nodes that share the address with them.
        (answer(backend(N1), backend(N2), backend(ELSE)), SHARED, [], ["n1", "n2"], []),
        (
            answer(backend(N1), WAITS, backend(ELSE)),
            FAILOVER,
            [],
            ["n1"],
            [f"it also sends connections to {ELSE}, which is no node"],
        ),
        (answer(backend(N1), WAITS), FAILOVER, [], ["n1"], []),
        (
            answer(backend(N1), {**WAITS, "health": "UNHEALTHY"}),
            FAILOVER,
            [],
            ["n1"],
            ["n2 does not pass its health check"],
        ),
        (
            answer(backend(N1, "UNHEALTHY", active=False), backend(N2, failover=True), pool="failover"),
            FAILOVER,
            [{"item": "n1", "drain": -254}],
            ["n2"],
            [],
        ),
        (
            answer(backend(N1, "UNHEALTHY"), backend(N2, "UNHEALTHY", True, False), pool="all_unhealthy_primaries"),
            FAILOVER,
            [],
            ["n1"],
            ["no node passes its health check, so all primary nodes get connections as a last resort"],
        ),
        # The ports of the others are closed.
        (answer(backend(N1), backend(N2, "UNHEALTHY", active=False)), HEARTBEAT, LOOKS, ["n1"], []),
        (
            answer(backend(N1, "UNHEALTHY", active=False), backend(N2)),
            HEARTBEAT,
            LOOKS,
            ["n2"],
            ["the load balancer sends connections to n2, and keepalived is MASTER on n1"],
        ),
        (
            answer(backend(N1), backend(N2)),
            HEARTBEAT,
            LOOKS,
            ["n1", "n2"],
            ["the load balancer sends connections to n1 and n2, and keepalived is MASTER on n1"],
        ),
    ],
)
def test_the_nodes_that_get_connections(told, topology, looks, hosts, notes):
    found = holder(told, PATHS, "web", looks, topology)
    assert (found["hosts"], found["notes"]) == (hosts, notes)


def test_the_nodes_that_wait_for_others_to_fail():
    assert holder(answer(backend(N1), WAITS), PATHS, "web", [], FAILOVER)["backups"] == ["n2"]
    assert holder({"msg": "503"}, PATHS, "web", [], FAILOVER)["backups"] == []

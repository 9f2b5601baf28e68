# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The nodes that static routes lead to."""

from __future__ import annotations

import pytest

from ansible_collections.cloudha.vip.plugins.module_utils.topology import gcp_route_set

PATHS = {f"node{n}": f"projects/p/zones/z/instances/node{n}" for n in (1, 2)}
WELL = {"keepalived": {"active": False}, "agent": True, "checks": {"nginx": True}, "drain": None}


def look(node, **more):
    return {"item": node, **WELL, **more}


def test_each_node_has_a_route_with_its_priority():
    found = gcp_route_set.members(PATHS, {"node1": 500, "node2": "1000"})
    assert found == [
        {"instance": PATHS["node1"], "priority": 500},
        {"instance": PATHS["node2"], "priority": 1000},
    ]


@pytest.mark.parametrize(
    "its", [{"unreachable": True, "msg": "no"}, {**WELL, "checks": {"nginx": False}}, {**WELL, "drain": -254}]
)
def test_a_node_that_is_not_well_is_given_no_route(its):
    found = gcp_route_set.members(PATHS, {"node1": 500, "node2": 1000}, {"node1": its, "node2": WELL})
    assert [each["instance"] for each in found] == [PATHS["node2"]]


@pytest.mark.parametrize(
    ("priorities", "shared", "words"),
    [
        ({"node1": 500}, False, "the route of node2 has no priority"),
        ({"node1": 500, "node2": 70000}, False, "the route of node2 has no priority"),
        ({"node1": 500, "node2": 500}, False, "two routes have the same priority"),
        ({"node1": 500, "node2": 1000}, True, "routes have different priorities"),
    ],
)
def test_priorities_that_contradict_the_topology_are_told(priorities, shared, words):
    assert gcp_route_set.mistakes(PATHS, priorities, shared)[0].startswith(words)


def test_priorities_that_fit_are_no_mistake():
    assert gcp_route_set.mistakes(PATHS, {"node1": 500, "node2": 1000}, False) == []
    assert gcp_route_set.mistakes(PATHS, {"node1": 1000, "node2": 1000}, True) == []


def answer(*serving, active=()):
    members = [{"instance": path, "active": path in (*serving, *active)} for path in PATHS.values()]
    return {"serving": list(serving), "members": members}


def holder(told, *looks, shared=False):
    return gcp_route_set.holder(told, PATHS, "web", looks, shared)


def test_the_better_route_has_the_packets_and_the_other_one_waits():
    one, two = PATHS.values()
    assert holder(answer(one, active=[two])) == {"hosts": ["node1"], "notes": [], "backups": ["node2"]}


def test_all_nodes_with_a_route_serve_at_once():
    assert holder(answer(*PATHS.values()), shared=True) == {"hosts": ["node1", "node2"], "notes": [], "backups": []}
    assert holder(answer(PATHS["node1"]), shared=True) == {"hosts": ["node1"], "notes": [], "backups": []}


def test_a_node_that_could_not_take_over_is_no_rest_unless_somebody_wished_it():
    told = answer(PATHS["node1"])
    assert holder(told)["notes"] == ["no route leads to node2"]
    assert holder(told, look("node2", drain=-254))["notes"] == []


def test_traffic_that_goes_elsewhere_or_nowhere_is_told():
    assert holder(answer())["notes"][0] == "no route web-INSTANCE leads to a running instance"
    assert "goes to 10.0.0.9, which is no node" in holder(answer(PATHS["node1"], "10.0.0.9"), shared=True)["notes"][0]


def test_an_api_that_is_silent_knows_no_holder():
    assert holder({"msg": "503"}) == {"hosts": [], "notes": ["the API does not tell: 503"], "backups": []}

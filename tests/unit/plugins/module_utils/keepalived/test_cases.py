# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a plan of a rollout is told of each node."""

from __future__ import annotations

import pytest

from ansible_collections.cloudha.vip.plugins.module_utils.keepalived.cases import cases
from ansible_collections.cloudha.vip.plugins.module_utils.keepalived.rollout import rollout

VIP = "192.168.7.246"
BEFORE = [{"name": "web", "virtual_router_id": 66, "addresses": [VIP], "source_address": "192.168.7.247"}]
AFTER = [{"name": "web", "virtual_router_id": 66, "addresses": [VIP], "priority": 254}]


def look(held=False, active=True, deaf=(), drain=0, checks=()):
    return {
        "addresses": [{"address": VIP, "held": held}, {"address": "192.168.7.245", "held": False}],
        "keepalived": {"active": active, "deaf": list(deaf)},
        "drain": drain,
        "checks": dict(checks),
    }


def of_play(seen, loads=False, begun=False):
    return {
        "__keepalived_look": seen,
        "__keepalived_loads": loads,
        "__keepalived_begun": begun,
        "__keepalived_in_force": BEFORE,
        "__keepalived": {"keepalived_instances": AFTER},
    }


def case(**its):
    return cases(["node1"], {"node1": of_play(**its)}, {}, ["node1"], [])["node1"]


def test_a_node_that_runs_what_is_wanted_has_nothing_to_do():
    assert case(seen=look(held=True)) == {
        "here": True,
        "pending": False,
        "active": True,
        "held": [VIP],
        "deaf": False,
        "able": True,
        "begun": False,
        "before": BEFORE,
        "after": AFTER,
    }


@pytest.mark.parametrize(
    ("its", "pending", "deaf"),
    [
        ({"seen": look(), "loads": True}, True, False),
        ({"seen": look(), "loads": True, "begun": True}, True, False),
        ({"seen": look(active=False)}, True, False),
        # One that this run has started is not started again and again.
        ({"seen": look(active=False), "begun": True}, False, False),
        ({"seen": look(deaf=["eth0"])}, True, True),
        ({"seen": look(deaf=["eth0"]), "begun": True}, False, False),
    ],
)
def test_which_node_has_something_to_do(its, pending, deaf):
    found = case(**its)
    assert (found["pending"], found["deaf"]) == (pending, deaf)


@pytest.mark.parametrize(
    ("seen", "able"),
    [
        (look(drain=None), True),
        (look(drain=-10), False),
        (look(checks={"app": True}), True),
        (look(checks={"app": True, "db": False}), False),
    ],
)
def test_which_node_may_hold_an_address(seen, able):
    assert case(seen=seen)["able"] is able


def test_a_dry_run_knows_nothing_of_a_node_without_keepalived():
    hostvars = {"node1": of_play(look()), "node2": {}}
    assert list(cases(["node1", "node2"], hostvars, {}, ["node1", "node2"], [])) == ["node1"]


def test_a_node_of_another_run_is_what_was_seen_of_it():
    hostvars = {"node1": of_play(look()), "node2": {"__keepalived_look": look(held=True)}}
    nodes = {"node1": {}, "node2": {"before": None}}
    found = cases(["node1", "node2"], hostvars, nodes, ["node1"], ["node2"])["node2"]
    assert found == {"here": False, "pending": False, "active": True, "held": [VIP], "before": None, "after": []}


@pytest.mark.parametrize(
    ("absent_answers", "active", "held"),
    [
        ([], False, []),
        ([{"address": "192.168.7.9", "mac": "52:54:00:00:00:02"}], False, []),
        ([{"address": "192.168.7.248", "mac": "52:54:00:00:00:02"}], True, [VIP]),
        ([{"address": "192.168.7.248", "mac": "52:54:00:00:00:03"}], True, []),
    ],
)
def test_a_node_out_of_reach_is_what_answers_on_the_network(absent_answers, active, held):
    # What was seen of it earlier says nothing of now.
    hostvars = {"node1": of_play(look()), "node2": {"__keepalived_look": look(held=True)}}
    nodes = {"node1": {}, "node2": {"before": BEFORE, "sources": {"web": "192.168.7.248"}}}
    answers = [{"address": VIP, "mac": "52:54:00:00:00:02"}]
    found = cases(["node1", "node2"], hostvars, nodes, ["node1"], [], answers, absent_answers)["node2"]
    assert found == {
        "here": False,
        "pending": False,
        "active": active,
        "held": held,
        "before": BEFORE,
        "after": BEFORE,
    }


def test_a_plan_is_made_of_cases():
    hostvars = {"node1": of_play(look(held=True), loads=True), "node2": of_play(look(), loads=True)}
    found = cases(["node1", "node2"], hostvars, {}, ["node1", "node2"], [])
    assert rollout(found)["phases"] == [["node2"], ["node1"]]

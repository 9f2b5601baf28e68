# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.cloudha.vip.plugins.module_utils.topology.switchover import plan

NODES = ["web1", "web2", "web3"]


def look(node, **more):
    return {
        "item": node,
        "keepalived": {"active": True},
        "checks": {"nginx": True},
        "instances": {},
        "drain": 0,
        **more,
    }


WELL = [look(node) for node in NODES]


def moved(giver="", taker="", looks=WELL, holders=("web1",), shared=False):
    its = plan(NODES, looks, list(holders), giver, taker, True, shared)
    return its["source"], its["target"], its["after"], its["problem"]


@pytest.mark.parametrize(
    ("giver", "taker", "target"),
    [
        ("", "", "web2"),
        ("", "web3", "web3"),
        ("web1", "", "web2"),
        ("web1", "web3", "web3"),
        # There is nothing to do.
        ("", "web1", "web1"),
        ("web2", "", "web1"),
        ("web2", "web1", "web1"),
    ],
)
def test_the_address_goes_to_another_node(giver, taker, target):
    assert moved(giver, taker) == ("web1", target, [target], "")


def test_one_that_was_drained_gets_it_back_where_keepalived_elects_nobody():
    looks = [look("web1"), look("web2", drain=-254), look("web3", drain=-254)]
    assert plan(NODES, looks, ["web1"], elected=False)["target"] == "web2"
    # With an election somebody is moving the address just now.
    assert "is drained (-254)" in plan(NODES, looks, ["web1"], elected=True)["problem"]


def test_the_first_fit_node_gets_it():
    ill = [look("web1"), look("web2", checks={"nginx": False}), look("web3")]
    assert moved(looks=ill)[:2] == ("web1", "web3")
    nobody = [look("web1"), look("web2", checks={"nginx": False}), look("web3", drain=-254)]
    reasons = "web2: check nginx FAILED; web3: is drained (-254)"
    why = f"take over from web1. Nothing was changed. {reasons}"
    assert moved(looks=nobody)[3] == f"No other node can {why}"
    assert moved(taker="web3", looks=nobody)[3] == f"web3 cannot {why}"
    assert moved("web1", looks=nobody)[3] == f"No other node can {why}"
    alone = plan(["web1"], WELL[:1], ["web1"])["problem"]
    assert alone == "No other node can take over from web1. Nothing was changed. there is no other node"


def test_wishes_that_contradict_the_holder_are_refused():
    assert moved("web2", "web3")[3] == "web1 holds the addresses, and not web2. Nothing was changed"
    assert moved("web1", "web1")[3] == "web1 is to give the addresses up, and to get them. Nothing was changed"


@pytest.mark.parametrize(
    ("giver", "taker", "holders", "wanted"),
    [
        ("web1", "", NODES, ("web1", "", ["web2", "web3"])),
        ("", "web1", ["web2", "web3"], ("", "web1", NODES)),
        # In turn: the next one may go when the last one is back.
        ("web2", "web1", ["web2", "web3"], ("web2", "web1", ["web1", "web3"])),
        ("web2", "web1", ["web2"], ("web2", "web1", ["web1"])),
        # There is nothing to do.
        ("web1", "", ["web2"], ("", "", ["web2"])),
        ("", "web2", ["web2", "web3"], ("", "", ["web2", "web3"])),
    ],
)
def test_of_nodes_that_serve_at_once_one_goes_or_comes_back(giver, taker, holders, wanted):
    assert moved(giver, taker, holders=holders, shared=True) == (*wanted, "")


def test_one_that_was_drained_comes_back_also_if_that_was_interrupted():
    drained = [look("web1", drain=-254), *WELL[1:]]
    for holders in (["web2"], ["web1", "web2"]):
        assert moved("", "web1", drained, holders, shared=True) == ("", "web1", ["web1", "web2"], "")


@pytest.mark.parametrize(
    ("giver", "taker", "looks", "holders", "says"),
    [
        ("", "", WELL, NODES, "Several nodes serve at once: set switchover_from to the one that is to stop, or"),
        ("web1", "web1", WELL, NODES, "web1 is to stop, and to serve again"),
        ("web1", "", WELL, ["web1"], "Nobody would serve without web1: no other node serves"),
        (
            "web1",
            "",
            [look("web1"), look("web2", checks={"nginx": False})],
            ["web1", "web2"],
            "Nobody would serve without web1: web2: check nginx FAILED; web3: was not asked (--limit?)",
        ),
        ("", "web2", [look("web1"), look("web2", checks={"nginx": False})], ["web1"], "web2 cannot serve: check nginx"),
        ("", "web3", WELL[:2], ["web1", "web2"], "web3 cannot serve: was not asked (--limit?)"),
    ],
)
def test_of_nodes_that_serve_at_once_the_last_one_stays(giver, taker, looks, holders, says):
    problem = moved(giver, taker, looks, holders, shared=True)[3]
    assert problem.startswith(says) and problem.endswith(". Nothing was changed")


@pytest.mark.parametrize(
    ("giver", "taker", "holders", "source", "target"),
    [
        ("", "", ("web1",), "web1", "web2"),
        ("", "web2", ("web1",), "web1", "web2"),
        ("", "web1", ("web1",), "web1", "web1"),
        # The one that served is lost.
        ("", "web2", (), "", "web2"),
        ("web1", "", (), "web1", "web2"),
    ],
)
def test_where_one_node_exists_at_a_time_the_next_one_is_made(giver, taker, holders, source, target):
    found = plan(["web1", "web2"], [look("web1")], holders, giver, taker, elected=False, single=True)
    assert found == {"source": source, "target": target, "after": [target], "problem": ""}


@pytest.mark.parametrize(
    ("giver", "taker", "holders", "says"),
    [
        ("", "", (), "No node serves: set switchover_to"),
        ("web2", "", ("web1",), "web1 holds the addresses, and not web2"),
        ("web1", "web1", ("web1",), "web1 is to give the addresses up, and to get them"),
    ],
)
def test_where_one_node_exists_at_a_time_wishes_that_contradict_it_are_refused(giver, taker, holders, says):
    nodes = ["web1", "web2"]
    assert plan(nodes, [], holders, giver, taker, False, single=True)["problem"].startswith(says)

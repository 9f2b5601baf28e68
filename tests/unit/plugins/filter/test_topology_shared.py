# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The verdicts on nodes that serve an address at once."""

from __future__ import annotations

import pytest

from ansible_collections.cloudha.vip.plugins.filter import (
    topology_at_rest,
    topology_status,
    topology_trouble,
    topology_unserved,
)

at_rest = topology_at_rest.FilterModule().filters()["topology_at_rest"]
status = topology_status.FilterModule().filters()["topology_status"]
trouble = topology_trouble.FilterModule().filters()["topology_trouble"]
unserved = topology_unserved.FilterModule().filters()["topology_unserved"]

NODES = ["web1", "web2", "web3"]
WELL = {"keepalived": {"active": False}, "checks": {"nginx": True}, "instances": {}, "drain": None}
ILL = {**WELL, "checks": {"nginx": False}}
DRAINED = {**WELL, "drain": -254}
SILENT = {"unreachable": True, "msg": "timed out"}
ABSENT = {"skipped": True, "changed": False}
ASKED = {"item": "client1", "answers": [{"url": "http://10.0.0.9/", "ok": True, "error": ""}]}
SHARED = {"elected": False, "shared": True}


def looks(*each):
    return {NODES[number]: look for number, look in enumerate(each)}


def asked(*each):
    return [{"item": node, **look} for node, look in looks(*each).items()]


def test_all_serve():
    said = status(NODES, looks(WELL, WELL, WELL), NODES, by_node=False, **SHARED)
    assert said["problems"] == said["redundancy"] == []
    assert [line.split()[:3] for line in said["lines"][1:]] == [[node, "serves", "-"] for node in NODES]


@pytest.mark.parametrize(
    ("third", "why"),
    [
        (WELL, "web3: does not serve"),
        (ILL, "web3: check nginx FAILED"),
        (DRAINED, "web3: is drained (-254)"),
        (SILENT, "web3: does not answer (timed out)"),
    ],
)
def test_a_node_that_does_not_serve_is_missing_and_clients_are_served(third, why):
    said = status(NODES, looks(WELL, WELL, third), NODES[:2], by_node=False, **SHARED)
    assert said["problems"] == [] and said["redundancy"] == [why]
    assert said["lines"][3].split()[:2] == ["web3", "-" if "keepalived" in third else "does"]
    # A drill does not begin, and a deployment waits in vain, but ends well.
    assert trouble(asked(WELL, WELL, third), NODES[:2], **SHARED) == [why]
    assert not at_rest(asked(WELL, WELL, third), NODES[:2], [], **SHARED)
    served = "web1 and web2 serve the address without web3: client1 asked http://10.0.0.9/, and got an answer"
    assert unserved([ASKED], NODES, looks(WELL, WELL, third), NODES[:2], **SHARED)["served"] == served


def test_nobody_serves():
    said = status(NODES, looks(ILL, WELL, SILENT), [], by_node=False, **SHARED)
    assert said["problems"] == [
        "served by no node",
        "web1: check nginx FAILED",
        "web3: does not answer (timed out)",
    ]
    assert trouble(asked(WELL, WELL, WELL), [], [], ["10.0.0.9"], **SHARED) == ["10.0.0.9: served by no node"]
    (told, *_nodes) = unserved([ASKED], NODES, looks(WELL, WELL, WELL), [], **SHARED)["problems"]
    assert told == "the address is served by no node"


def test_a_node_that_serves_and_should_not_is_a_problem():
    (problem,) = status(NODES, looks(WELL, WELL, ILL), NODES, by_node=False, **SHARED)["problems"]
    assert problem == "web3 serves, though check nginx FAILED"


def test_one_that_serves_alone_is_told_in_the_singular():
    said = unserved([ASKED], NODES, looks(WELL, WELL, WELL), ["web2"], **SHARED)["served"]
    assert said.startswith("web2 serves the address without web1 and web3: ")
    assert unserved([ASKED], NODES[:1], looks(WELL), ["web1"], **SHARED)["served"].startswith(
        "web1 serves the address: "
    )


@pytest.mark.parametrize(
    ("holders", "away", "notes", "wanted"),
    [
        (["web1", "web2"], [], [], []),
        (["web2"], ["web1"], [], []),
        (["web1", "web2"], ["web1"], [], ["web1 still serves"]),
        # What else is not at rest does not matter during a fault, as long as somebody serves.
        (["web2"], ["web1"], ["the API does not answer"], []),
        ([], ["web1"], ["the API does not answer"], ["the API does not answer", "10.0.0.9: served by no node"]),
    ],
)
def test_during_a_fault_one_node_is_enough_but_the_lost_one_may_not_serve(holders, away, notes, wanted):
    seen = asked(WELL, ILL)
    assert trouble(seen, holders, notes, ["10.0.0.9"], False, away=away, **SHARED) == wanted


@pytest.mark.parametrize(
    ("holders", "notes", "wanted", "without", "rest"),
    [
        (NODES, [], "", "", True),
        (NODES, ["an operation goes on"], "", "", False),
        (NODES[1:], [], "", "", False),
        (NODES[1:], [], "", "web1", True),
        (NODES, [], "", "web1", False),
        ([], [], "", "web1", False),
        (NODES, [], "web1", "", True),
        (NODES[:1], [], "web1", "", True),
        (NODES[1:], [], "web1", "", False),
        (NODES[:2], [], "web1", "web3", True),
    ],
)
def test_who_waits_knows_when_to_go_on(holders, notes, wanted, without, rest):
    assert at_rest(asked(WELL, WELL, WELL), holders, notes, wanted, without, **SHARED) is rest


@pytest.mark.parametrize(
    ("holders", "notes", "wanted", "rest"),
    [
        (["web1"], [], "", True),
        (["web1"], [], "web1", True),
        (["web1"], [], "web2", False),
        (["web1"], ["temporary routes: a"], "", False),
        (["web1", "web2"], [], "", False),
        (["web1", "web2"], [], "web1", False),
        ([], [], "", False),
    ],
)
def test_one_holder_is_rest_however_the_others_are(holders, notes, wanted, rest):
    assert at_rest(asked(WELL, ILL, SILENT), holders, notes, wanted) is rest


def test_where_one_node_exists_at_a_time_no_other_one_is_missing():
    nodes = NODES[:2]
    found = status(nodes, looks(WELL, ABSENT), ["web1"], elected=False, single=True, by_node=False)
    assert found["lines"][2].split(maxsplit=1) == ["web2", "does not exist now"]
    assert (found["problems"], found["redundancy"]) == ([], [])
    assert status(nodes, looks(WELL, SILENT), ["web1"], elected=False, by_node=False)["redundancy"] == [
        "web2: does not answer (timed out)"
    ]

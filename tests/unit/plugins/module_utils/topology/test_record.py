# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The record of a topology on its nodes."""

from __future__ import annotations

import os
import stat

import pytest

from ansible_collections.cloudha.vip.plugins.module_utils.node.record import Record
from ansible_collections.cloudha.vip.plugins.module_utils.topology import record

PAIR = {"topology": "pair", "mechanism": "vrrp", "parts": ["nginx", "vip_agent", "vrrp"]}
ROUTE = {"topology": "route", "mechanism": "gcp_route", "parts": ["nginx", "gcp_route"]}
KNOWN = ["vrrp", "gcp_route"]


def look(node, its):
    return {"item": node, "topology": its}


@pytest.fixture
def node(tmp_path):
    home = tmp_path / "before"
    (tmp_path / "etc").mkdir()
    return tmp_path / "etc/ansible/facts.d/cloudha_vip.fact", lambda: Record("topology", home)


def test_what_was_written_is_read_and_goes_with_the_directories_that_it_made(node):
    fact, memory = node
    before = os.umask(0o077)
    try:
        record.write(fact, PAIR, memory())
    finally:
        os.umask(before)
    assert record.read(fact) == PAIR
    assert stat.S_IMODE(fact.stat().st_mode) == 0o644 and stat.S_IMODE(fact.parent.stat().st_mode) == 0o755
    record.write(fact, None, memory())
    assert record.read(fact) is None and list(fact.parents[2].iterdir()) == []
    assert not memory().directory.exists()
    record.write(fact, None, memory())


def test_directories_that_were_there_or_are_in_use_stay(node):
    fact, memory = node
    fact.parents[1].mkdir()
    record.write(fact, PAIR, memory())
    (fact.parent / "mine.fact").write_text("{}")
    record.write(fact, None, memory())
    assert [path.name for path in fact.parent.iterdir()] == ["mine.fact"]
    (fact.parent / "mine.fact").unlink()
    fact.parent.rmdir()
    record.write(fact, PAIR, memory())
    record.write(fact, None, memory())
    assert list(fact.parents[1].iterdir()) == []


DAMAGED = [
    (b"", "is no JSON"),
    (b"{", "is no JSON"),
    (b"\xff\xfe{", "is no JSON"),
    (b"[" * 100_000, "is no JSON"),
    (b"[]", "is no dictionary"),
    (b'{"topology": "pair"}', "has mechanism None"),
    (b'{"topology": 1, "mechanism": "vrrp"}', "has topology 1"),
    (b'{"topology": "../x", "mechanism": "vrrp"}', "has topology '../x'"),
    (b'{"topology": "pair", "mechanism": ["vrrp"]}', "has mechanism"),
    (b'{"topology": "pair", "mechanism": "vrrp", "parts": "nginx"}', "has parts 'nginx', which is no list"),
    (b'{"topology": "pair", "mechanism": "vrrp", "parts": [1]}', "has parts"),
    (b'{"topology": "pair", "mechanism": "vrrp", "standby_asks": "no"}', "has standby_asks 'no'"),
]


@pytest.mark.parametrize(("text", "says"), DAMAGED)
def test_a_damaged_record_is_an_error_that_names_the_file_and_what_to_do(tmp_path, text, says):
    fact = tmp_path / "fact"
    fact.write_bytes(text)
    with pytest.raises(
        ValueError, match="deploy the topology again, or remove the file and set vip_mechanism"
    ) as raised:
        record.read(fact)
    assert str(raised.value).startswith(f"{fact} {says}") and len(str(raised.value)) < 400


def test_a_record_that_cannot_be_read_is_an_error(tmp_path):
    with pytest.raises(ValueError, match=r"cannot be read \(Is a directory\): deploy the topology again"):
        record.read(tmp_path)


def test_a_node_tells_nothing_of_a_mechanism_but_whether_a_standby_asks():
    boast = {**PAIR, "standby_asks": False, "operations": 99, "moves": True, "on_interface": False}
    assert record.checked(boast) == {**PAIR, "standby_asks": False} == record.agreed([look("n1", boast)], "", KNOWN)


def test_parts_of_an_earlier_deployment_are_taken_away_too():
    both = record.merged(PAIR, ROUTE)
    assert both == {**ROUTE, "parts": ["vip_agent", "vrrp", "nginx", "gcp_route"]}
    assert record.removal(both) == ["gcp_route", "nginx", "vrrp", "vip_agent"]
    assert record.merged(None, PAIR) == PAIR == record.merged(PAIR, PAIR)


def test_the_mechanism_goes_first_where_it_is_a_part():
    assert record.removal(PAIR) == ["vrrp", "vip_agent", "nginx"]
    assert record.removal({**PAIR, "parts": ["nginx", "lvs_real_server"]}) == ["lvs_real_server", "nginx"]
    with pytest.raises(ValueError, match="is no name of a part"):
        record.removal({**PAIR, "parts": ["../x"]})


def test_one_node_that_answers_is_enough_and_so_is_what_was_said_before():
    looks = [{"item": "n1", "unreachable": True}, look("n2", PAIR), look("n3", None)]
    assert record.agreed(looks, "", KNOWN) == PAIR
    assert record.agreed(looks[:1], "", KNOWN, PAIR) == PAIR
    assert record.agreed([look("n2", ROUTE)], "", KNOWN, PAIR) == ROUTE


def test_a_mechanism_by_hand_counts():
    assert record.agreed([], "vrrp", KNOWN) == {"topology": "vrrp", "mechanism": "vrrp", "parts": []}
    assert record.agreed([look("n1", PAIR)], "vrrp", KNOWN) == PAIR
    assert record.agreed([look("n1", PAIR)], "gcp_route", KNOWN)["topology"] == "gcp_route"
    hopeless = [
        {**look("n1", None), "topology_error": "is damaged"},
        look("n2", ["x"]),
        look("n3", ROUTE),
        look("n4", PAIR),
    ]
    assert record.agreed(hopeless, "vrrp", KNOWN) == PAIR
    assert record.unclear(hopeless, "vrrp") == "" and record.unclear([]) == "" == record.unclear([look("n1", PAIR)])


@pytest.mark.parametrize(
    ("looks", "by_hand", "message"),
    [
        ([look("n1", None)], "", "deploy the topology first; .* set vip_mechanism, which is one of gcp_route, vrrp"),
        ([], "anything", "vip_mechanism is 'anything'; there are gcp_route, vrrp"),
        (
            [look("n1", PAIR), look("n2", ROUTE), look("n3", PAIR)],
            "",
            r"different topologies, n1, n3 of pair \(vrrp\) and n2 of route \(gcp_route\): deploy",
        ),
        (
            [look("n1", PAIR), look("n2", {**PAIR, "mechanism": "gcp_route"})],
            "",
            r"n1 of pair \(vrrp\) and n2 of pair \(gcp_route\): deploy the one that you want on all of them",
        ),
        ([look("n1", {**PAIR, "topology": "../../x"})], "", "n1: .*facts.d/cloudha_vip.fact has topology .*: deploy"),
        ([look("n1", PAIR), look("n2", [])], "", "n2: /etc/ansible/facts.d/cloudha_vip.fact is no dictionary: deploy"),
        (
            [look("n1", PAIR), {"item": "n2", "topology": None, "topology_error": "F is no JSON"}],
            "",
            "n2: F is no JSON",
        ),
        ([look("n1", {**PAIR, "mechanism": "other"})], "", "mechanism other is not one of gcp_route, vrrp"),
    ],
)
def test_what_cannot_be_known_is_an_error(looks, by_hand, message):
    with pytest.raises(ValueError, match=message):
        record.agreed(looks, by_hand, KNOWN)


def test_what_was_said_before_has_to_name_a_mechanism():
    with pytest.raises(ValueError, match="deploy the topology first"):
        record.agreed([], "", KNOWN, {"on_interface": True})


SAID = {"operations": 0, "shared": False}


def test_a_mechanism_may_be_another_in_a_topology():
    said = {**SAID, "of_topology": {"many": {"shared": True}, "one": {"fails_back": True}}}
    without = {"fails_back": False, "recreates": False, "single": False, "detection_s": 0, "drops_unhealthy": False}
    assert record.traits(said, "many", {}) == {"operations": 0, "shared": True, **without}
    assert record.traits(said, "one", {})["fails_back"] and not record.traits(said, "one", {})["shared"]
    assert record.traits(said, "other", {}) == record.traits(SAID, "other", {})


def test_the_inventory_says_how_soon_a_mechanism_notices():
    said = {**SAID, "detection": {"variable": "soon_s", "default": 3}}
    assert [record.traits(said, "one", it)["detection_s"] for it in ({}, {"soon_s": 15}, {"soon_s": "9"})] == [3, 15, 9]
    assert "detection" not in record.traits(said, "one", {})
    with pytest.raises(ValueError, match=r"^soon_s is 'soon'; it must be a whole number of seconds"):
        record.traits(said, "one", {"soon_s": "soon"})


@pytest.mark.parametrize(
    ("given", "drops"), [({}, False), ({"drop": True}, True), ({"drop": "yes"}, True), ({"drop": "no"}, False)]
)
def test_the_inventory_says_what_becomes_of_clients_without_a_healthy_node(given, drops):
    said = {**SAID, "drops_unhealthy": {"variable": "drop", "default": False}}
    assert record.traits(said, "one", given)["drops_unhealthy"] is drops

# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who holds an address that Google's API moves, and what an inventory lacks."""

from __future__ import annotations

import pytest

from ansible_collections.cloudha.vip.plugins.module_utils.topology.gcp import alias_holder, lacks, route_holder
from ansible_collections.cloudha.vip.plugins.module_utils.topology.status import masters

PATHS = {"n1": "projects/p/zones/a/instances/n1", "n2": "projects/p/zones/b/instances/n2"}
ROUTE = {"exists": True, "holder": PATHS["n1"], "leftovers": [], "effective": {"name": "r"}}
RANGES = {"ranges": [{"address": "10.0.0.9/32", "holder": PATHS["n1"]}], "silent_zones": []}


@pytest.mark.parametrize(
    ("answer", "masters", "hosts", "notes"),
    [
        (ROUTE, ["n1"], ["n1"], []),
        ({"msg": "503"}, ["n1"], [], ["the API does not tell: 503"]),
        ({}, [], [], ["the API does not tell: no answer"]),
        ({**ROUTE, "exists": False, "holder": None, "effective": None}, [], [], ["there is no route r"]),
        ({**ROUTE, "holder": "x"}, ["n1"], [], ["the route leads to x, which is no node"]),
        ({**ROUTE, "effective": {"name": "q"}}, ["n1"], ["n1"], ["the traffic follows another route, q"]),
        (
            {**ROUTE, "effective": {"name": "r-tmp"}, "leftovers": ["r-tmp"]},
            ["n1"],
            ["n1"],
            ["temporary routes: r-tmp"],
        ),
        (ROUTE, ["n2"], ["n1"], ["the route leads to n1, and keepalived is MASTER on n2"]),
        (ROUTE, [], ["n1"], ["the route leads to n1, and keepalived is MASTER on no node"]),
    ],
)
def test_where_a_route_leads(answer, masters, hosts, notes):
    assert route_holder(answer, PATHS, "r", masters) == {"hosts": hosts, "notes": notes}


@pytest.mark.parametrize(
    ("answer", "masters", "hosts", "notes"),
    [
        (RANGES, ["n1"], ["n1"], []),
        ({"msg": "503"}, ["n1"], [], ["the API does not tell: 503"]),
        ({"ranges": [{"address": "a", "holder": None}]}, ["n1"], [], ["a is on no instance"]),
        ({"ranges": [{"address": "a", "holder": "x"}]}, ["n1"], [], ["a is on x, which is no node"]),
        ({**RANGES, "silent_zones": ["b"]}, ["n1"], ["n1"], ["no answer from b"]),
        (RANGES, ["n1", "n2"], ["n1"], ["the range is on n1, and keepalived is MASTER on n1 and n2"]),
        (
            {"ranges": [{"address": "a", "holder": path} for path in PATHS.values()]},
            ["n1"],
            ["n1", "n2"],
            [],
        ),
    ],
)
def test_who_has_a_range(answer, masters, hosts, notes):
    assert alias_holder(answer, PATHS, masters) == {"hosts": hosts, "notes": notes}


GIVEN = {"vip_address": "10.0.0.9/32", "vip_interface": "eth0", "gcp_project": "p", "gcp_zone": "a", "name": ""}


@pytest.mark.parametrize(
    ("change", "paths", "problems"),
    [
        ({"name": "x"}, PATHS, []),
        ({}, PATHS, ["name is not set; set it, such as range1 for the group vip_nodes"]),
        ({"name": "x", "gcp_zone": ""}, PATHS, ["gcp_zone is not set; set it, such as us-central1-a for each node"]),
        ({"name": "x", "vip_address": "10.0.0.9/24"}, PATHS, ["vip_address is 10.0.0.9/24; set an address"]),
        ({"name": "x", "vip_address": ""}, PATHS, ["vip_address is not set; set an address"]),
        ({"name": "x", "vip_address": "10.0.0.9"}, PATHS, []),
        ({"name": "x", "vip_address": "127.0.0.1/32"}, PATHS, ["vip_address is 127.0.0.1/32; set an address"]),
        ({"name": "x", "vip_address": "999.1.1.1"}, PATHS, ["vip_address is 999.1.1.1; set an address"]),
        ({"name": "x", "vip_address": "10.0.0.09/32"}, PATHS, ["vip_address is 10.0.0.09/32; set an address"]),
        ({"name": "x", "vip_address": "10.0.0.9/32/"}, PATHS, ["vip_address is 10.0.0.9/32/; set an address"]),
        ({"name": "x", "vip_address": "fd00::9"}, PATHS, ["vip_address is fd00::9; set an address"]),
        ({"name": "x"}, {"n1": "a"}, ["the group vip_nodes has 1 host; nobody could take over"]),
        (
            {"name": "x"},
            {"n1": "a", "n2": "a"},
            ["two nodes are the same instance; gcp_instance is its name, by default the host's"],
        ),
    ],
)
def test_what_an_inventory_lacks(change, paths, problems):
    assert lacks({**GIVEN, **change}, paths, {"name": "range1"}, "an address") == problems


def test_an_empty_text_may_say_something():
    assert lacks(GIVEN, PATHS, {"name": "range1"}, "an address", ["name"]) == []
    (problem,) = lacks({**GIVEN, "name": None}, PATHS, {"name": "range1"}, "an address", ["name"])
    assert problem.startswith("name is not set")


def test_the_masters():
    master = {"item": "n1", "keepalived": {"active": True}, "instances": {"VI_1": "MASTER"}}
    stopped = {"item": "n2", "keepalived": {"active": False}, "instances": {"VI_1": "MASTER"}}
    assert masters([master, stopped, {"item": "n3", "unreachable": True}]) == ["n1"]
    assert masters([stopped, {**master, "item": "other"}], ["a", "b"]) == ["b"]

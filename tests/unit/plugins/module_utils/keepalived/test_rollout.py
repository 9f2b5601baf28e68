# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.cloudha.vip.plugins.module_utils.keepalived.rollout import rollout
from ansible_collections.cloudha.vip.plugins.module_utils.keepalived.settled import unsettled


def instance(**changes):
    return {"name": "web", "virtual_router_id": 66, "addresses": ["192.0.2.1/24"], **changes}


def node(before=(), after=(), **changes):
    return {
        "pending": True,
        "active": True,
        "holds": False,
        "before": [instance(**dict(before))],
        "after": [instance(addresses=[{"address": "192.0.2.1/24", "device": "eth0"}], **dict(after))],
        **changes,
    }


def order(**nodes):
    plan = rollout(nodes)
    return plan["stop"], plan["phases"]


def test_nothing_is_done_when_nothing_is_pending():
    assert order(a=node(pending=False, holds=True), b=node(pending=False)) == ([], [])


def test_the_first_node_of_a_new_group_starts_alone():
    fresh = {"active": False, "before": []}
    assert order(a=node(**fresh), b=node(**fresh), c=node(**fresh)) == ([], [["a"], ["b", "c"]])


def test_the_holder_goes_last():
    assert order(a=node(holds=True), b=node(), c=node()) == ([], [["b", "c"], ["a"]])


def test_holders_of_different_addresses_go_one_by_one():
    assert order(a=node(holds=True), b=node(holds=True)) == ([], [["a"], ["b"]])


def test_only_pending_nodes_are_touched():
    assert order(a=node(holds=True, pending=False), b=node(active=False), c=node(pending=False)) == ([], [["b"]])


@pytest.mark.parametrize(
    "change",
    [
        {"after": {"virtual_router_id": 67}},
        {"after": {"version": 2}},
        {"after": {"unicast": False}},
        {"after": {"name": "VI_1"}},  # keepalived ends the old instance, and the new one begins as a backup
        {"before": {"version": 2, "auth_pass": "x"}, "after": {"version": 2, "auth_pass": "y"}},
        {"before": {"addresses": ["192.0.2.2/24"]}},
        {"before": {"addresses": ["192.0.2.1/24", "192.0.2.2/24"]}},  # written by hand: both are announced
        {"before": None},
    ],
    ids=str,
)
def test_nodes_which_would_not_believe_each_other_never_run_together(change):
    nodes = {host: node(holds=host == "a") for host in "abc"}
    for its in nodes.values():
        its.update(node(**{**change, "before": change.get("before") or {}}, holds=its["holds"]))
        if change.get("before", ()) is None:
            its["before"] = None
    assert order(**nodes) == (["b", "c"], [["a"], ["b", "c"]])


def test_a_run_which_was_killed_after_stopping_goes_on():
    changed = {"after": {"virtual_router_id": 67}}
    assert order(a=node(**changed, holds=True), b=node(**changed, active=False)) == ([], [["a"], ["b"]])


def test_without_a_holder_nobody_is_stopped():
    changed = {"after": {"virtual_router_id": 67}}
    assert order(a=node(**changed), b=node(**changed)) == ([], [["a", "b"]])


def test_new_excluded_addresses_are_no_reason_to_stop():
    more = {"after": {"excluded_addresses": ["192.0.2.9/24"]}}
    assert order(a=node(**more, holds=True), b=node(**more)) == ([], [["b"], ["a"]])


def bare(**changes):
    mark = {"address": "169.254.112.66/32", "device": "lo", "scope": "host"}
    return {"before": [instance(addresses=[])], "after": [instance(addresses=[mark])], **changes}


def test_the_mark_of_an_instance_without_addresses_is_what_it_announced_before():
    assert order(a=node(holds=True) | bare(), b=node() | bare()) == ([], [["b"], ["a"]])


@pytest.mark.parametrize("before", [instance(), {"name": "web", "virtual_router_id": 66}], ids=["addresses", "nothing"])
def test_whoever_announced_something_else_does_not_believe_the_mark(before):
    nodes = {host: node(holds=host == "a") | bare(before=[before]) for host in "ab"}
    assert order(**nodes) == (["b"], [["a"], ["b"]])


def look(*held, active=True, drain=0, **checks):
    every = ("192.0.2.1", "192.0.2.2")
    addresses = [{"address": address, "held": address in held} for address in every]
    return {"addresses": addresses, "keepalived": {"active": active}, "drain": drain, "checks": checks}


def test_one_holder_is_rest():
    assert unsettled({"a": look("192.0.2.1"), "b": look()}, ["192.0.2.1"], ["192.0.2.2"]) == []


def test_two_holders_are_not():
    nodes = {"a": look("192.0.2.1"), "b": look("192.0.2.1")}
    assert unsettled(nodes, ["192.0.2.1"]) == ["192.0.2.1 is held by a and b"]


def test_no_holder_is_not_as_long_as_a_node_could_hold_it():
    nodes = {"a": look(), "b": look(drain=-254)}
    assert unsettled(nodes, ["192.0.2.1"]) == ["192.0.2.1 is held by nobody, though a could hold it"]


@pytest.mark.parametrize("down", [look(active=False), look(drain=-254), look(nginx=False)])
def test_no_holder_is_rest_when_no_node_could_hold_it(down):
    assert unsettled({"a": down, "b": down}, ["192.0.2.1"]) == []


def test_an_address_which_was_given_up_has_no_holder():
    nodes = {"a": look("192.0.2.1", "192.0.2.2"), "b": look()}
    assert unsettled(nodes, ["192.0.2.1"], ["192.0.2.2"]) == ["192.0.2.2 is still held by a"]

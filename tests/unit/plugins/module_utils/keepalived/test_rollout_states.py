# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every state that a group can be in when a run begins, and every change: never two holders, and one at the end."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

import pytest

from ansible_collections.cloudha.vip.tests.unit.plugins.module_utils.keepalived.made_up_group import VIP, Group, Machine

HOSTS = "abcdef"


def source(host: str) -> str:
    return f"192.0.2.{HOSTS.index(host) + 1}"


def instance(host: str, members: str, number: int = 66, first: str = VIP, own: str | None = None) -> dict[str, Any]:
    return {
        "name": "web",
        "virtual_router_id": number,
        "priority": 254 - HOSTS.index(host),
        "addresses": [f"{first}/24"],
        "source_address": own or source(host),
        "peers": [source(m) for m in members if m != host],
    }


def configurations(change: str, members: str) -> dict[str, tuple[dict[str, Any] | None, dict[str, Any]]]:
    """For each host the configuration it had before the change, if it had one, and the wanted one."""
    wanted = {host: instance(host, members) for host in members}
    old: dict[str, dict[str, Any] | None] = dict(wanted)
    if change == "router id":
        old = {host: instance(host, members, number=67) for host in members}
    elif change == "first address":  # both addresses are there before and after
        old = {host: {**instance(host, members, first="192.0.2.99"), "excluded_addresses": [VIP]} for host in members}
    elif change == "add":
        old = {host: instance(host, members[:-1]) for host in members[:-1]} | {members[-1]: None}
    elif change == "remove":
        old = {host: instance(host, members + HOSTS[len(members)]) for host in members}
    elif change == "source":  # the last one had another address
        last = members[-1]
        old = {
            host: {**wanted[host], "peers": [p for p in wanted[host]["peers"] if p != source(last)] + ["192.0.2.77"]}
            for host in members[:-1]
        } | {last: instance(last, members, own="192.0.2.77")}
    elif change == "replace":  # the last one is new, and the one that was there is gone
        old = {
            host: {**wanted[host], "peers": [*instance(host, members[:-1])["peers"], "192.0.2.77"]}
            for host in members[:-1]
        } | {members[-1]: None}
    elif change == "extra address":
        old = {host: {**wanted[host], "excluded_addresses": []} for host in members}
        wanted = {host: {**wanted[host], "excluded_addresses": ["192.0.2.98/24"]} for host in members}
    return {host: (old[host], wanted[host]) for host in members}


CHANGES = ["none", "router id", "first address", "add", "remove", "source", "replace", "extra address"]
EVERY = ["off", "old", "new", "old in fault", "new in fault", "unable", "away", "away and off"]


def _each(hosts: str, states: tuple[str, ...]) -> dict[str, str]:
    """(zip() has no strict in Python 3.9.)"""
    return {hosts[n]: state for n, state in enumerate(states)}


def groups(change: str, members: str, states: list[str]) -> Iterator[tuple[tuple[str, ...], Group]]:
    known = configurations(change, members)
    for combination in product(states, repeat=len(members)):
        machines = []
        for host, state in _each(members, combination).items():
            old, wanted = known[host]
            m = Machine(host, wanted)
            if state.startswith(("old", "away")):
                m.runs = old
            elif state.startswith("new"):
                m.runs = wanted
            m.able = "fault" not in state and state != "unable"
            if state.startswith("away"):
                m.here = False
                if state.endswith("off"):
                    m.runs, m.off_with = None, old
            machines.append(m)
        yield combination, Group(machines)


def check(combination: tuple[str, ...], group: Group) -> None:
    before = group.holders
    group.run()
    if group.refused:
        assert group.holders == before, "a refused run changes nothing"
        assert any(not m.here for m in group.machines.values()), group.refused
        return
    here = [m for m in group.machines.values() if m.here]
    assert not any(m.pending for m in here), f"{combination}: not done; {group.history}"
    somebody = any(m.able and m.runs for m in group.machines.values())
    assert len(group.holders) == (1 if somebody else 0), f"{combination}: {group.holders}; {group.history}"


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("size", [2, 3])
def test_from_every_state_of_a_small_group(change: str, size: int) -> None:
    for combination, group in groups(change, HOSTS[:size], EVERY):
        check(combination, group)


@pytest.mark.parametrize("change", CHANGES)
def test_from_every_state_of_five_nodes(change: str) -> None:
    for combination, group in groups(change, HOSTS[:5], ["off", "old", "new", "old in fault"]):
        check(combination, group)


@pytest.mark.parametrize("size", [2, 3])
def test_where_no_node_hears_another_one_nobody_becomes_a_second_holder(size: int) -> None:
    for combination in product(["off", "runs"], repeat=size):
        known = configurations("none", HOSTS[:size])
        states = _each(HOSTS, combination)
        machines = [Machine(h, known[h][1], known[h][1] if s == "runs" else None) for h, s in states.items()]
        group = Group(machines, deaf_links=True)
        group.run()
        assert len(group.holders) == 1, f"{combination}: {group.history}"
        assert group.deaf, "and the run fails, as it must say so"


@pytest.mark.parametrize("change", ["none", "extra address", "remove"])
def test_one_node_out_of_reach_is_no_reason_to_refuse_what_it_understands(change: str) -> None:
    for size in (2, 3):
        for away in ("away", "away and off"):
            for combination, group in groups(change, HOSTS[:size], ["off", "old", "new", away]):
                if combination.count(away) == 1:
                    check(combination, group)
                    assert not group.refused, combination


def test_an_unchanged_group_at_rest_is_left_alone() -> None:
    for _state, group in groups("none", "abc", ["new", "new in fault"]):
        group.run()
        assert group.history == []

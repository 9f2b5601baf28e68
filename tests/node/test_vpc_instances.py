# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The lab's router as instances come and go: what of their packets and of themselves is left."""

from __future__ import annotations

import contextlib
import re
from collections import Counter
from collections.abc import Iterator

import pytest

from ansible_collections.cloudha.vip.tests.node import vpc_stage
from ansible_collections.cloudha.vip.tests.node.vpc_stage import ADDRESSES, SILENCE_S, VIP, Stage, again
from lab import LabError
from lab.places import NUMBERS, Place, Places
from lab.process import run

# As long as Google lets a name be, and longer than a link's.
LONG = "web-" + "a" * 59
ADDRESS = "10.100.2.9"


@pytest.fixture(scope="module")
def _whole_stage() -> Iterator[Stage]:
    with vpc_stage.stage() as made:
        yield made


@pytest.fixture
def stage(_whole_stage: Stage) -> Stage:
    for name in [each for each in _whole_stage.nodes if each not in ADDRESSES]:
        _whole_stage.go(name)
    _whole_stage.reset()
    lead(_whole_stage)
    return _whole_stage


def lead(stage: Stage, *hops: str) -> None:
    """Everybody knows the way to everybody; the floating address leads to these, which may forward."""
    for hop in hops:
        stage.do(stage.vpc.permit, hop, None)
    for name in stage.do(Places().now):
        stage.do(stage.vpc.program, name, stage.table(*hops))


def shares(stage: Stage, count: int = 48) -> Counter[str]:
    return Counter(stage.who(address=VIP) for _each in range(count))


# Of what the router prints: numbers, and what it has heard lately.
PASSING = re.compile(r"^\d+: |link-netnsid \d+|@\w+:|\(id: \d+\)| state \w+| REACHABLE| STALE")


def everything() -> list[str]:
    """All that the router has."""
    said = [run("ip", "-oneline", "link"), run("ip", "rule"), run("ip", "route", "show", "table", "all")]
    said += [run("ip", "neighbour"), run("ip", "netns"), run("nft", "list", "ruleset")]
    return sorted(PASSING.sub("", line) for line in "\n".join(said).splitlines())


@pytest.mark.parametrize("name", ["node4", LONG, "void", "vm9"])
def test_an_instance_with_any_name_serves_and_leaves_nothing(stage: Stage, name: str) -> None:
    before = stage.do(everything)
    stage.come(name, ADDRESS)
    assert stage.lost(address=ADDRESS), "nobody knows the way"
    lead(stage)
    assert stage.who(address=ADDRESS) == stage.who("client2", ADDRESS) == name
    stage.do(stage.vpc.permit, name, ())
    assert stage.lost(address=ADDRESS), "it may not send"
    stage.do(stage.vpc.cut, name, ["client1", "node1"], True)
    assert stage.do(everything) != before
    stage.go(name)
    lead(stage)
    stage.allow({})
    assert stage.do(everything) == before
    assert stage.lost(address=ADDRESS) and stage.who(address=ADDRESSES["node1"]) == "node1"


def test_what_is_said_of_one_that_is_no_more_does_nothing(stage: Stage) -> None:
    stage.come(LONG, ADDRESS)
    stage.go(LONG)
    stage.allow({})
    before = stage.do(everything)
    stage.do(stage.vpc.program, LONG, stage.table())
    stage.do(stage.vpc.permit, LONG, None)
    stage.do(stage.vpc.firewall, {LONG: (), "node1": ()})
    stage.allow({})
    assert stage.do(everything) == before
    lead(stage, LONG)
    assert stage.lost(address=VIP)


def test_two_next_hops_share_by_connection_and_a_deleted_one_takes_only_its_own_share_along(stage: Stage) -> None:
    stage.come(LONG, ADDRESS)
    lead(stage, "node1", LONG)
    found = shares(stage)
    assert set(found) == {"node1", LONG} and min(found.values()) >= 8, found
    with contextlib.ExitStack() as stack:
        connections = [stack.enter_context(stage.connect()) for _each in range(12)]
        first = [again(each) for each in connections]
        assert set(first) == {"node1", LONG}
        staying = [each for each, who in zip(connections, first, strict=True) if who == "node1"]
        stage.go(LONG)
        assert any(stage.lost(address=VIP) for _each in range(24)), "until the API takes the route away"
        assert {again(each) for each in staying} == {"node1"}
        lead(stage, "node1")
        assert {again(each) for each in staying} == {"node1"}
    assert shares(stage) == {"node1": 48}


def test_the_way_to_a_deleted_one_is_not_one_to_the_next(stage: Stage) -> None:
    stage.come(LONG, ADDRESS)
    lead(stage, LONG)
    assert stage.who(address=VIP) == LONG
    stage.go(LONG)
    assert stage.lost(address=VIP)
    stage.come("node4", ADDRESS)
    assert stage.lost(address=VIP), "whatever address it has"
    lead(stage, "node4")
    assert stage.who(address=VIP) == "node4"


def test_a_partition_ends_with_the_instance(stage: Stage) -> None:
    others = [each for each in ADDRESSES if each != "controller"]
    stage.come("node4", ADDRESS)
    lead(stage)
    stage.do(stage.vpc.cut, "node4", others, True)
    assert stage.lost(address=ADDRESS) and stage.who("controller", ADDRESS) == "node4"
    stage.go("node4")
    stage.come("node4", ADDRESS)
    lead(stage)
    assert stage.who(address=ADDRESS) == "node4"


def test_one_that_is_not_awake_hears_nothing(stage: Stage) -> None:
    stage.come(LONG, ADDRESS)
    lead(stage)
    assert stage.pings("client1", ADDRESS)
    stage.do(stage.vpc.detach, LONG)
    wake = stage.do(stage.vpc.attach_asleep, LONG, (ADDRESS,))
    assert stage.lost(address=ADDRESS) and not stage.pings("client1", ADDRESS, SILENCE_S)
    stage.do(run, "sh", "-ec", wake)
    assert stage.pings("client1", ADDRESS)


def test_a_number_is_not_used_again_as_long_as_there_are_others(tmp_path) -> None:
    places = Places(tmp_path / "places.json")
    places.add("a", "10.0.0.1", "disk")
    assert dict(places) == {"a": Place("10.0.0.1", "a", 1, "disk")} == Places(tmp_path / "places.json").now()
    seen = set()
    for _each in range(NUMBERS - 1):
        places.add(LONG, ADDRESS, "")
        seen.add(places[LONG].number)
        assert places[LONG].port == f"vm{places[LONG].number}"
        places.remove(LONG)
    assert seen == set(range(2, NUMBERS + 1))
    places.add(LONG, ADDRESS, "")
    assert places[LONG].number == 2
    with pytest.raises(LabError, match="already"):
        places.add(LONG, ADDRESS, "")
    for each in range(NUMBERS - 2):
        places.add(f"n{each}", ADDRESS, "")
    with pytest.raises(LabError, match="no room for 'b'"):
        places.add("b", ADDRESS, "")
    assert len(places) == NUMBERS

# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Parts of a schedule: which run at the same time, with which client, and what a crash of one does to the others."""

from __future__ import annotations

import threading

import pytest

from ansible_collections.cloudha.vip.plugins.module_utils.base.errors import Denied
from ansible_collections.cloudha.vip.plugins.module_utils.failover import parallel
from ansible_collections.cloudha.vip.plugins.module_utils.failover.engine import Memory
from ansible_collections.cloudha.vip.plugins.module_utils.failover.parallel import Clients, Crashed, Ended


class Part:
    bound = False

    def __init__(self, place, whole=True):
        self.place = place
        self.whole = whole


class Schedule:
    """Parts that need nothing of each other."""

    def __init__(self, *parts):
        self.left = list(parts)
        self.begun = []
        self.settled = {}

    def ready(self):
        return list(self.left)

    def begin(self, part):
        self.left.remove(part)
        self.begun.append(part.place)

    def settle(self, part, error, unsure):
        self.settled[part.place] = error


def many(count):
    return Schedule(*map(Part, range(count)))


def test_parts_run_at_the_same_time_each_with_a_client_of_its_own():
    meeting = threading.Barrier(5)
    made = []
    used = []

    def run(part, client):
        meeting.wait(20)  # breaks, unless all five are there
        used.append(client)
        return Ended([part.place])

    memory, schedule = Memory(), many(5)
    parallel.carry_out(schedule, run, Clients("first", lambda: made.append(1) or f"made {len(made)}"), memory)
    assert schedule.settled == dict.fromkeys(range(5))
    assert len(set(used)) == 5 and "first" in used and len(made) == 4
    assert sorted(memory.steps) == [0, 1, 2, 3, 4] and not memory.unsure


def test_with_one_client_they_run_one_after_the_other_in_order_and_in_this_thread():
    schedule, threads = many(4), []
    parallel.carry_out(
        schedule, lambda part, client: threads.append(threading.current_thread()) or Ended([]), Clients(1), Memory()
    )
    assert schedule.begun == [0, 1, 2, 3] and set(threads) == {threading.current_thread()}


def test_a_part_that_is_alone_needs_no_thread():
    threads = []
    parallel.carry_out(
        many(1), lambda part, client: threads.append(threading.current_thread()) or Ended([]), Clients(1, int), Memory()
    )
    assert threads == [threading.current_thread()]


def test_no_more_than_so_many_at_the_same_time():
    turn = threading.Lock()
    now = most = 0

    def run(part, client):
        nonlocal now, most
        with turn:
            now += 1
            most = max(most, now)
        threading.Event().wait(0.01)
        with turn:
            now -= 1
        return Ended([])

    schedule = many(3 * parallel.AT_ONCE)
    parallel.carry_out(schedule, run, Clients(0, int), Memory())
    assert 1 < most <= parallel.AT_ONCE and len(schedule.settled) == 3 * parallel.AT_ONCE


def test_a_part_that_is_not_whole_waits_for_more_but_not_for_long():
    release = threading.Event()

    def run(part, client):
        if part.place == "slow":
            assert release.wait(20)
        if part.place == "partial":
            release.set()  # the slow one ends only after it: it did not wait for that
        return Ended([])

    schedule = Schedule(Part("slow"), Part("partial", whole=False))
    parallel.carry_out(schedule, run, Clients(0, int), Memory())
    assert schedule.begun == ["slow", "partial"] and set(schedule.settled) == {"slow", "partial"}


@pytest.mark.parametrize("make_client", [None, int])
def test_a_crash_is_raised_when_the_others_have_ended(make_client):
    def run(part, client):
        if part.place == 0:
            raise ZeroDivisionError("a mistake")
        return Ended([part.place])

    schedule, memory = many(4), Memory()
    with pytest.raises(ZeroDivisionError, match="a mistake"):
        parallel.carry_out(schedule, run, Clients(0, make_client), memory)
    if make_client:
        assert isinstance(schedule.settled.pop(0), Crashed)
        assert schedule.settled == dict.fromkeys((1, 2, 3)) and sorted(memory.steps) == [1, 2, 3]
    else:
        assert schedule.settled == {}  # nothing was under way


@pytest.mark.parametrize(
    ("ended", "unsure", "unanswered"),
    [
        (Ended([], Denied("no"), True), True, False),
        (Ended([], Denied("no"), False), False, False),
        (Ended([], None, True), False, True),
    ],
)
def test_what_is_not_known_of_a_part(ended, unsure, unanswered):
    memory = Memory()
    parallel.carry_out(many(1), lambda part, client: ended, Clients(0), memory)
    assert (memory.unsure, memory.unanswered) == (unsure, unanswered)


def test_the_client_that_was_used_last_comes_first():
    clients = Clients("first", lambda: "second")
    with clients.lend() as one, clients.lend() as two:
        assert (one, two) == ("first", "second")
    with clients.lend() as again:
        assert again == "first"

# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A worker with a made-up action and a clock that only moves when it is told to."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import pytest

from ansible_collections.cloudha.vip.plugins.module_utils.agent.actions import Worker
from ansible_collections.cloudha.vip.plugins.module_utils.agent.kinds import Seen
from ansible_collections.cloudha.vip.plugins.module_utils.agent.mastership import Mastership
from ansible_collections.cloudha.vip.plugins.module_utils.base.errors import Denied, Unavailable
from ansible_collections.cloudha.vip.plugins.module_utils.failover.engine import Done, Failed, Outcome, Refused, Stopped

HERE, PEER = "instances/node1", "instances/node2"


class Route:
    """The action: one route, which needs one step to lead here."""

    name, type, instance, check_interval = "route", "gcp_route", "VI_1", 10.0
    machine = Mastership

    def __init__(self):
        self.holder = PEER
        self.age = 0.0  # of what leads to the holder
        self.leftovers = []
        self.fails = []  # what the next calls raise
        self.runs = self.looks = self.warmed = self.preflights = 0
        self.problems = []
        self.during = lambda: None  # what happens in the middle of a run
        self.waits = ""  # for what, meanwhile
        self.mixed = False  # whether a part of it is to be repaired while the peer has the rest
        self.took = []  # what the runs were told

    def _fail(self):
        if self.fails:
            raise self.fails.pop(0)

    def prepare(self):
        self._fail()

    def preflight(self):
        self.preflights += 1
        return self.problems

    def warm(self):
        self.warmed += 1

    def look(self):
        self._fail()
        self.looks += 1
        elsewhere = f"the address is with {self.holder}, which is alive" if self.holder == PEER else ""
        todo = ["insert"] * (self.holder is None or self.mixed) + self.leftovers
        return Seen(self.holder, self.holder == HERE, todo, "the reason", self.age, elsewhere)

    def reach(self, take, still_wanted, notify, sleep):
        self.runs += 1
        self.took.append(take)
        self._fail()
        if self.waits:
            notify({"event": "wait", "reason": self.waits})
        self.during()
        if not still_wanted():
            raise Stopped([])
        steps = []
        if self.holder != HERE or self.leftovers:
            notify({"event": "step", "name": "insert", "resource": "tmp", "ms": 1.0, "attempts": 1})
            notify({"event": "mutation"})
            notify({"event": "moved", "resource": "tmp"})
            notify({"event": "done", "name": "insert", "resource": "tmp", "ms": 2.0, "attempts": 1})
            steps = [Done("insert", "tmp", 2.0, 1)]
        if take or not self.mixed:
            self.holder = HERE
        self.leftovers, self.mixed = [], False
        return Outcome(None, SimpleNamespace(holder=HERE), steps, 2.0)

    def status(self):
        return {"self": HERE}


class Bench:
    def __init__(self):
        self.now = 1000.0
        self.route = Route()
        self.events = []
        self.problems = {}
        self.seq = 0
        self.worker = Worker(self.route, self.record, self.tell, lambda: None, lambda: self.now)

    def record(self, event, **fields):
        self.events.append({"event": event, **fields})

    def tell(self, what, text):
        self.problems = {**self.problems, what: text}
        if not text:
            del self.problems[what]

    def keepalived(self, state, name="VI_1", kind="INSTANCE"):
        self.seq += 1
        self.worker.transition({"kind": kind, "name": name, "state": state, "mono_ns": 0, "seq": self.seq})

    def settle(self, seconds=0.0):
        """Turn until nothing is due for as long as that."""
        end = self.now + seconds
        for _turn in range(1000):
            pause = self.worker.turn()
            if self.now + pause > end:
                self.now = end
                return
            self.now += pause
        raise AssertionError("it never comes to rest")

    def names(self):
        return [event["event"] for event in self.events if event["event"] != "action_step"]

    def last(self, event):
        return [each for each in self.events if each["event"] == event][-1]


@pytest.fixture
def bench():
    bench = Bench()
    bench.worker.begin(None, None)
    return bench


def begun(state="MASTER", transition=None, asserted=None, holder=PEER):
    bench = Bench()
    bench.route.holder = holder
    bench.worker.begin({"state": state, "mono": 0, "transition": transition}, asserted)
    return bench


def test_a_standby_looks_and_keeps_warm_and_changes_nothing(bench):
    bench.settle(100)
    assert (bench.route.runs, bench.events, bench.problems) == (0, [], {})
    assert bench.route.looks == 11
    assert bench.route.preflights == 1
    status = bench.worker.status()
    assert (status["doing"], status["holder"], status["here"]) == ("standing by", PEER, False)


def test_a_transition_is_followed_at_once_and_once(bench):
    bench.settle()
    bench.keepalived("BACKUP")
    bench.keepalived("MASTER")
    bench.settle(60)
    assert bench.route.runs == 1
    assert bench.names() == ["address_moved", "action_done"]
    done = bench.last("action_done")
    assert (done["why"], done["transition"], done["changed"], done["holder"]) == ("transition", 2, True, HERE)
    assert done["first_mutation_ms"] <= done["moved_ms"] <= done["from_transition_ms"]
    assert done["steps"] == [{"name": "insert", "resource": "tmp", "ms": 2.0, "attempts": 1}]
    status = bench.worker.status()
    assert (status["asserted"], status["here"], status["last"]["result"]) == (2, True, "done")


def test_of_other_instances_and_groups_nothing_is_taken(bench):
    bench.keepalived("MASTER", name="VI_2")
    bench.keepalived("MASTER", kind="GROUP")
    bench.settle(60)
    assert bench.route.runs == 0


@pytest.mark.parametrize("state", ["BACKUP", "FAULT", "STOP", "DELETED"])
def test_a_run_ends_when_mastership_does(bench, state):
    bench.route.during = lambda: bench.keepalived(state)
    bench.keepalived("MASTER")
    bench.settle(60)
    assert bench.names() == ["action_stopped"]
    assert bench.last("action_stopped")["reason"] == "no longer master"
    assert bench.route.holder == PEER


def test_a_run_ends_when_keepalived_does(bench):
    bench.route.during = bench.worker.keepalived_ended
    bench.keepalived("MASTER")
    bench.settle(60)
    assert bench.names() == ["action_stopped"]


def test_a_priority_that_changes_is_no_transition(bench):
    bench.route.during = lambda: bench.keepalived("MASTER_PRIORITY")
    bench.keepalived("MASTER")
    bench.settle(60)
    assert bench.names() == ["address_moved", "action_done"]


def test_a_new_transition_starts_anew(bench):
    def flap():
        bench.route.during = lambda: None
        bench.keepalived("BACKUP")
        bench.keepalived("MASTER")

    bench.route.during = flap
    bench.keepalived("MASTER")
    bench.settle(60)
    assert bench.names() == ["action_stopped", "address_moved", "action_done"]
    assert bench.last("action_stopped")["reason"] == "a new transition"
    assert bench.last("action_done")["transition"] == 3


def test_after_a_healed_split_it_asserts_again(bench):
    bench.keepalived("MASTER")
    bench.settle(5)
    bench.route.holder = PEER  # it was the last to move it, before it understood
    bench.keepalived("MASTER_RX_LOWER_PRI")
    bench.settle(5)
    assert bench.route.holder == HERE
    assert bench.last("action_done")["why"] == "lower_priority"
    bench.keepalived("BACKUP")
    bench.keepalived("MASTER_RX_LOWER_PRI")  # of a master only
    bench.settle(5)
    assert bench.route.runs == 2


@pytest.mark.parametrize("state", ["MASTER", "MASTER_RX_LOWER_PRI"])
def test_what_a_peer_had_under_way_does_not_last(bench, state):
    bench.keepalived("MASTER")
    bench.settle(100)
    bench.keepalived(state)
    bench.settle(3)
    assert bench.route.holder == HERE
    bench.route.holder, bench.route.age = PEER, 4.0  # what it asked for before it knew has taken effect
    bench.settle(3)
    assert bench.route.holder == HERE
    assert bench.last("action_done")["why"] == "overtaken"
    assert bench.problems == {}


def test_a_peer_that_became_master_later_keeps_it(bench):
    bench.keepalived("MASTER")
    bench.settle(20)
    runs = bench.route.runs
    bench.route.holder = PEER  # the nodes do not see each other, and the peer took over just now
    bench.settle(30)
    assert bench.route.holder == PEER and bench.route.runs == runs
    assert "elsewhere" in str(bench.problems)


@pytest.mark.parametrize(
    ("waits", "seconds", "stops"),
    [
        ("another run is at work: tmp-1", 2, True),
        ("another run is at work: tmp-1", 0.5, False),  # the peer says so with every advertisement
        ("until tmp-1 is active everywhere", 2, False),
    ],
)
def test_a_healed_split_ends_the_wait_for_the_peer(bench, waits, seconds, stops):
    def heal():
        bench.route.during, bench.route.waits = lambda: None, ""
        bench.now += seconds
        bench.keepalived("MASTER_RX_LOWER_PRI")

    bench.route.during, bench.route.waits = heal, waits
    bench.keepalived("MASTER")
    bench.settle(3)
    assert ("action_stopped" in bench.names()) == stops
    assert bench.route.holder == HERE


def test_two_masters_do_not_go_on_taking_it_from_each_other(bench):
    bench.keepalived("MASTER")
    bench.settle(1)
    for _time in range(10):
        bench.route.holder, bench.route.age = PEER, 3.0
        bench.settle(10)
    assert bench.route.runs == 2  # once for what may have been under way
    assert (bench.route.holder, list(bench.problems)) == (PEER, ["elsewhere"])


def test_long_after_a_transition_it_is_the_peers(bench):
    bench.keepalived("MASTER")
    bench.settle(61)
    bench.route.holder = PEER
    bench.settle(60)
    assert bench.route.runs == 1


def test_a_peer_that_does_not_stop_is_answered_once_a_second(bench):
    bench.keepalived("MASTER")
    bench.settle()
    for _advertisement in range(100):
        bench.keepalived("MASTER_RX_LOWER_PRI")
        bench.settle(0.1)
    assert 10 <= bench.route.runs <= 12
    assert bench.worker.status()["asserted"] >= 90


def test_news_in_the_middle_of_a_run_are_followed_after_it(bench):
    def news():
        bench.route.during = lambda: None
        bench.keepalived("MASTER_RX_LOWER_PRI")

    bench.route.during = news
    bench.keepalived("MASTER")
    bench.settle(5)
    assert bench.names() == ["address_moved", "action_done", "action_done"]
    assert [event["why"] for event in bench.events if event["event"] == "action_done"] == [
        "transition",
        "lower_priority",
    ]


@pytest.mark.parametrize(
    "error",
    [
        Denied("Cannot list: 403."),
        Unavailable("Cannot list: 503."),
        Refused(["Cannot list: another route"]),
        Failed(Unavailable("Cannot list: 503."), [], None, None),
        ZeroDivisionError("a mistake"),
    ],
)
def test_a_run_that_fails_is_repeated_with_pauses_that_grow(bench, error):
    bench.settle()
    bench.route.fails = [error] * 8
    started = bench.now
    bench.keepalived("MASTER")
    bench.settle(500)
    assert [event["again_in_s"] for event in bench.events if event["event"] == "action_failed"] == [
        1, 2, 4, 8, 16, 30, 30, 30,
    ]  # fmt: skip
    assert bench.names()[-1] == "action_done"
    assert bench.route.holder == HERE
    assert bench.now - started < 700
    assert bench.problems == {}


def test_a_failure_is_a_problem_for_as_long_as_it_matters(bench):
    bench.settle()
    bench.route.fails = [Denied("Cannot list: 403.")] * 100
    bench.keepalived("MASTER")
    bench.settle(20)
    assert "Cannot list" in bench.problems["run"]
    bench.route.fails = []
    bench.keepalived("BACKUP")
    bench.settle(20)
    assert bench.problems == {}


def test_the_api_asks_for_a_longer_pause(bench):
    bench.settle()
    bench.route.fails = [Failed(Unavailable("429", retry_after=17.0), [], None, None)]
    bench.keepalived("MASTER")
    bench.settle()
    assert bench.last("action_failed")["again_in_s"] == 17.0


def test_news_of_a_peer_do_not_shorten_the_pause_after_a_failure(bench):
    bench.settle()
    bench.route.fails = [Denied("403")] * 1000
    bench.keepalived("MASTER")
    for _advertisement in range(300):
        bench.keepalived("MASTER_RX_LOWER_PRI")
        bench.settle(0.1)
    assert bench.route.runs <= 6


def test_a_master_that_was_one_already_takes_nothing_from_a_live_peer():
    bench = begun()
    bench.settle(60)
    assert (bench.route.runs, bench.route.holder) == (0, PEER)
    assert PEER in bench.problems["elsewhere"]
    bench.route.holder = HERE
    bench.settle(60)
    assert bench.problems == {}


@pytest.mark.parametrize(("holder", "leftovers"), [(None, []), (HERE, ["delete"])])
def test_a_master_repairs_what_leads_nowhere_and_cleans(holder, leftovers):
    bench = begun(holder=HERE)
    bench.settle(15)
    bench.route.holder, bench.route.leftovers = holder, leftovers
    bench.settle(15)
    assert bench.names() == ["action_repair", "address_moved", "action_done"]
    assert bench.last("action_repair")["reason"] == "the reason"
    assert bench.last("action_done")["why"] == "repair"
    assert (bench.route.holder, bench.route.leftovers) == (HERE, [])


def test_what_a_live_peer_has_does_not_keep_the_rest_from_being_repaired():
    bench = begun()
    bench.route.mixed = True
    bench.settle()
    assert bench.names() == ["action_repair", "address_moved", "action_done"]
    assert (bench.route.took, bench.route.holder) == ([False], PEER)
    assert PEER in bench.problems["elsewhere"]
    status = bench.worker.status()
    assert (status["holder"], status["here"]) == (PEER, False)
    bench.settle(60)
    assert bench.route.runs == 1
    bench.keepalived("MASTER")
    bench.settle()
    assert (bench.route.took[1:], bench.route.holder, bench.problems) == ([True], HERE, {})


def test_what_a_peer_had_under_way_comes_back_with_the_rest(bench):
    bench.keepalived("MASTER")
    bench.settle(1)
    bench.route.holder, bench.route.age, bench.route.mixed = PEER, 3.0, True
    bench.settle(3)
    assert (bench.route.took, bench.route.holder) == ([True, True], HERE)
    assert bench.last("action_done")["why"] == "overtaken"


def test_a_standby_repairs_nothing(bench):
    bench.route.holder = None
    bench.settle(60)
    assert bench.route.runs == 0


def test_a_repair_that_fails_is_repeated_less_and_less_often():
    bench = begun(holder=HERE)
    bench.settle(15)
    bench.route.holder = None
    bench.route.during = lambda: bench.route.fails.append(Denied("403")) or bench.route._fail()
    bench.settle(1000)
    assert [event["again_in_s"] for event in bench.events if event["event"] == "action_failed"][:6] == [
        10, 20, 40, 80, 160, 300,
    ]  # fmt: skip
    bench.route.during = lambda: None
    bench.settle(400)
    assert bench.route.holder == HERE
    assert bench.problems == {}


def test_what_was_begun_is_brought_to_its_end_after_a_restart():
    bench = begun(transition=7, asserted=3)
    bench.settle()
    assert bench.route.holder == HERE
    done = bench.last("action_done")
    assert (done["why"], done["transition"], bench.worker.status()["asserted"]) == ("resumed", 7, 7)


def test_what_was_done_is_not_done_again_after_a_restart():
    bench = begun(transition=7, asserted=7)
    bench.settle(60)
    assert bench.route.runs == 0


def test_lines_that_were_read_before_the_start_count_as_the_log_says():
    bench = Bench()
    bench.keepalived("MASTER")  # and then keepalived was killed
    bench.worker.begin(None, None)
    bench.settle(60)
    assert bench.route.runs == 0


def test_who_this_node_is_is_asked_until_it_is_known(bench):
    bench.route.fails = [Unavailable("The metadata server: no answer")] * 5
    bench.settle(3)
    assert "metadata" in bench.problems["identity"]
    bench.keepalived("MASTER")
    bench.settle(3)
    assert bench.route.holder == HERE
    assert bench.problems == {}


def test_a_preflight_is_repeated_while_there_is_something_wrong(bench):
    bench.route.problems = ["it may not forward"]
    bench.settle(150)
    assert bench.problems == {"preflight": "it may not forward"}
    assert bench.route.preflights == 3
    bench.route.problems = []
    bench.settle(300)
    assert bench.problems == {}
    assert bench.route.preflights == 4


def test_the_api_is_away_for_a_standby(bench):
    bench.settle()
    bench.route.fails = [Unavailable("once in a while")]
    bench.settle(10.5)
    assert (bench.problems, bench.route.fails) == ({}, [])
    bench.settle(15)
    bench.route.fails = [Unavailable("no connection")] * 2
    bench.settle(11)
    assert bench.problems == {"api": "no connection"}
    bench.settle(30)
    assert bench.problems == {}


def test_the_loop_is_not_kept_waiting():
    """The thread itself, with the real clock: an order wakes it, and giving one never waits for it."""
    bench = Bench()
    bench.worker = Worker(bench.route, bench.record, bench.tell, lambda: None)
    in_run, go_on = threading.Event(), threading.Event()

    def slow():
        in_run.set()
        assert go_on.wait(20)

    bench.route.during = slow
    bench.worker.begin(None, None)
    bench.worker.start()
    bench.keepalived("MASTER")
    assert in_run.wait(20)
    for _time in range(100):
        bench.keepalived("BACKUP")
        bench.keepalived("MASTER")
        bench.worker.status()
    bench.route.during = lambda: None
    go_on.set()
    bench.worker.stop()
    bench.worker.join(20)
    assert not bench.worker._thread.is_alive()
    assert bench.names()[0] == "action_stopped"


@pytest.mark.parametrize("place", ["prepare", "look", "preflight", "warm", "record"])
def test_a_mistake_does_not_end_the_thread(place):
    bench = Bench()
    told, done = threading.Event(), threading.Event()
    mistakes = [ZeroDivisionError("a mistake")]

    def once(then):
        def call(*details, **fields):
            if mistakes:
                raise mistakes.pop()
            return then(*details, **fields)

        return call

    def record(event, **_fields):
        if event == "action_done":
            done.set()

    def tell(what, _text):
        if what == "thread":
            told.set()

    if place == "record":
        bench.route.holder = None  # which a look writes about, before a repair
        record = once(record)
    else:
        setattr(bench.route, place, once(getattr(bench.route, place)))
    bench.worker = Worker(bench.route, record, tell, lambda: None)
    bench.worker.begin(None if place != "record" else {"mono": 0, "transition": None}, None)
    if place == "warm":  # which a look does along with it
        bench.worker._machine.check_due = float("inf")
    bench.worker.start()
    assert told.wait(20)
    bench.keepalived("MASTER")  # wakes it up
    assert done.wait(20)
    bench.worker.stop()
    bench.worker.join(20)
    assert not bench.worker._thread.is_alive()

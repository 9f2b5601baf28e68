# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The state machine of a worker: state by state in tables, and every order of a few events. No time passes here."""

from __future__ import annotations

import copy
import math
from types import SimpleNamespace

import pytest

from ansible_collections.cloudha.vip.plugins.module_utils.agent.kinds import Seen
from ansible_collections.cloudha.vip.plugins.module_utils.agent.machine import (
    CANCEL,
    LOOK,
    NEWS,
    PREFLIGHT,
    PREPARE,
    PROBLEM,
    RUN,
    WAIT,
    WARM,
    WRITE,
    Moment,
    Order,
)
from ansible_collections.cloudha.vip.plugins.module_utils.agent.mastership import Mastership
from ansible_collections.cloudha.vip.plugins.module_utils.base.errors import Unavailable
from ansible_collections.cloudha.vip.plugins.module_utils.failover.engine import Outcome, Refused, Stopped

NOW = Moment(1000.0, 5)
HERE, PEER = "instances/node1", "instances/node2"
AT_PEER = Seen(PEER, False, [], "", 4.0, f"the address is with {PEER}, which is alive")
MINE, NOWHERE = Seen(HERE, True, [], ""), Seen(None, False, ["insert"], "there is no route")
MIXED = Seen(PEER, False, ["insert"], "a part is nowhere", 4.0, "the rest is with a peer, which is alive")
DONE = Outcome(None, SimpleNamespace(holder=HERE), [], 2.0)
DOWN = Unavailable("503")
ACTIONS = (PREPARE, LOOK, PREFLIGHT, WARM, RUN)


def machine(**state):
    """One that was started a while ago, and has nothing to do for ten seconds."""
    made = Mastership(10.0, NOW)
    quiet = {"prepared": True, "check_due": 1010.0, "warm_due": 1010.0, "preflight_due": math.inf}
    for name, value in {**quiet, **state}.items():
        assert hasattr(made, name)
        setattr(made, name, value)
    return made


def running(why="transition", transition=7, **state):
    run = state.pop("run", None) or Order(why, 999.0, transition)
    return machine(**{"master": True, "action": RUN, "wanted": True, "began_at": 999.0, "run": run, **state})


def words(commands):
    return [do for do, *_details in commands]


def problems(commands):
    return {details[0]: details[1] for do, *details in commands if do == PROBLEM}


def written(commands):
    return [details[0] for do, *details in commands if do == WRITE]


def order(made):
    """The one that waits: why, its transition, and in how many seconds it is due."""
    return made.order and (made.order.why, made.order.transition, max(0.0, made.run_due - 1000.0))


WAITING = Order("transition", 999.0, 7)


@pytest.mark.parametrize(
    ("state", "last"),
    [
        ({"prepared": False}, (PREPARE,)),
        ({"prepared": False, "prepare_due": 1003.0}, (WAIT, 3.0)),
        ({"prepared": False, "order": WAITING}, (PREPARE,)),
        ({"order": WAITING}, (RUN, True)),
        ({"order": WAITING, "check_due": 0.0}, (RUN, True)),
        ({"order": WAITING, "run_due": 1004.0, "check_due": 0.0}, (WAIT, 4.0)),
        ({"check_due": 1000.0, "preflight_due": 0.0, "warm_due": 0.0}, (LOOK,)),
        ({"preflight_due": 1000.0, "warm_due": 0.0}, (PREFLIGHT,)),
        ({"warm_due": 1000.0}, (WARM,)),
        ({}, (WAIT, 10.0)),
        ({"warm_due": 1002.0}, (WAIT, 2.0)),
    ],
)
def test_a_tick_begins_the_most_urgent_thing_or_waits_for_it(state, last):
    made = machine(**copy.deepcopy(state))
    assert made.tick(NOW)[-1] == last
    assert made.action == (last[0] if last[0] in ACTIONS else None)


@pytest.mark.parametrize("state", [{"stopping": True}, *({"action": action} for action in ACTIONS)])
def test_a_tick_begins_nothing_beside_an_action_and_nothing_at_the_end(state):
    made = machine(order=Order("transition", 999.0, 7), check_due=0.0, **state)
    assert made.tick(NOW) == []


@pytest.mark.parametrize("master", [False, True])
def test_people_are_told_once_that_there_is_nothing_to_do(master):
    made = machine(master=master)
    assert words(made.tick(NOW)) == [NEWS, WAIT]
    assert made.status()["doing"] == ("watching" if master else "standing by")
    assert words(made.tick(NOW)) == [WAIT]


@pytest.mark.parametrize(
    ("state", "word", "commands", "master", "waits"),
    [
        (machine(), "MASTER", [], True, ("transition", 8, 0)),
        (machine(master=True, order=WAITING, run_due=1009.0), "MASTER", [], True, ("transition", 8, 0)),
        (running(), "MASTER", [(CANCEL,)], True, ("transition", 8, 0)),
        (running("repair", None), "MASTER", [(CANCEL,)], True, ("transition", 8, 0)),
        (running(wanted=False), "MASTER", [], True, ("transition", 8, 0)),
        (machine(), "MASTER_RX_LOWER_PRI", [], False, None),
        (machine(master=True), "MASTER_RX_LOWER_PRI", [], True, ("lower_priority", 8, 0)),
        (machine(master=True, ended_at=999.75), "MASTER_RX_LOWER_PRI", [], True, ("lower_priority", 8, 0.75)),
        # What waits already only gets the number, so that news of a peer shorten no pause.
        (
            machine(master=True, order=WAITING, run_due=1009.0),
            "MASTER_RX_LOWER_PRI",
            [],
            True,
            ("transition", 8, 9.0),
        ),
        (running(), "MASTER_RX_LOWER_PRI", [], True, ("lower_priority", 8, 0)),
        (running(waits_for_peer=True), "MASTER_RX_LOWER_PRI", [(CANCEL,)], True, ("lower_priority", 8, 0)),
        (
            running(waits_for_peer=True, began_at=999.5),
            "MASTER_RX_LOWER_PRI",
            [],
            True,
            ("lower_priority", 8, 0),
        ),
        (
            running("repair", None, ended_at=999.75),
            "MASTER_RX_LOWER_PRI",
            [],
            True,
            ("lower_priority", 8, 0.75),
        ),
        (running(), "MASTER_PRIORITY", [], True, None),
        *(
            (state, word, commands, False, None)
            for word in ("BACKUP", "FAULT", "STOP", "DELETED")
            for state, commands in (
                (machine(), []),
                (machine(master=True, order=WAITING), []),
                (running(), [(CANCEL,)]),
                (running(wanted=False), []),
                (machine(master=True, action=LOOK, wanted=True), []),
            )
        ),
    ],
)
def test_what_keepalived_says(state, word, commands, master, waits):
    made = copy.deepcopy(state)
    assert made.transition(NOW, word, 8, 999.5) == commands
    assert (made.master, order(made)) == (master, waits)
    if commands:
        assert not made.wanted


def test_a_transition_does_not_wait_for_the_next_attempt_to_find_out_who_this_is():
    made = machine(prepared=False, prepare_due=1005.0, prepare_failures=5)
    made.transition(NOW, "MASTER", 8, 999.5)
    assert made.tick(NOW)[-1] == (PREPARE,)
    made.prepare_ended(NOW, "no answer")
    assert made.tick(NOW)[-1] == (WAIT, 1.0)


@pytest.mark.parametrize(("state", "commands"), [(machine(), []), (machine(master=True), []), (running(), [(CANCEL,)])])
def test_keepalived_ends(state, commands):
    made = copy.deepcopy(state)
    assert made.keepalived_ended(NOW) == commands
    assert not made.master


@pytest.mark.parametrize(
    ("master", "asserted", "after"),
    [
        (None, 3, None),
        ({"mono": 0, "transition": 7}, None, ("resumed", 7, 0)),
        ({"mono": 0, "transition": 7}, 3, ("resumed", 7, 0)),
        ({"mono": 0, "transition": 7}, 7, None),
        ({"mono": 0, "transition": None}, None, None),
    ],
)
def test_a_start(master, asserted, after):
    made = machine(order=Order("transition", 0.0, 2))  # of a line that was read before
    assert made.begin(NOW, master, asserted) == []
    assert (made.master, order(made), made.asserted) == (master is not None, after, asserted)


LOOKING = {"action": LOOK, "wanted": True}
CONTESTED = {"contests": 1, "contested_since": 995.0, "contested_until": 1050.0}
CLEAR = {"api": None, "run": None, "elsewhere": None}


@pytest.mark.parametrize(
    ("state", "seen", "told", "last"),
    [
        ({}, MINE, CLEAR, None),
        ({}, AT_PEER, CLEAR, None),
        ({}, NOWHERE, CLEAR, None),
        ({"master": True}, MINE, CLEAR, None),
        ({"master": True}, AT_PEER, {"api": None, "elsewhere": PEER}, None),
        ({"master": True}, NOWHERE, {"api": None, "elsewhere": None}, (RUN, False)),
        ({"master": True}, MIXED, {"api": None, "elsewhere": "peer"}, (RUN, False)),
        ({"master": True, "repair_due": 1001.0}, NOWHERE, {"api": None, "elsewhere": None}, None),
        ({"master": True, **CONTESTED}, AT_PEER, {"api": None}, (RUN, True)),
        ({"master": True, **CONTESTED}, MIXED, {"api": None}, (RUN, True)),
        ({"master": True, **CONTESTED, "contests": 0}, AT_PEER, {"api": None, "elsewhere": PEER}, None),
        ({"master": True, **CONTESTED, "contested_until": 999.0}, AT_PEER, {"api": None, "elsewhere": PEER}, None),
        ({"master": True, **CONTESTED, "contested_since": 990.0}, AT_PEER, {"api": None, "elsewhere": PEER}, None),
        # Mastership came or went during the look: nothing follows from it.
        ({"wanted": False}, NOWHERE, CLEAR, None),
        ({"master": True, "wanted": False}, NOWHERE, CLEAR, None),
        ({"master": True, "wanted": False, **CONTESTED}, AT_PEER, CLEAR, None),
    ],
)
def test_a_look_and_what_follows_from_it(state, seen, told, last):
    made = machine(**{**LOOKING, "looks_failed": 3, "repair_failures": 3, **state})
    commands = made.looked(NOW, seen)
    found = problems(commands)
    assert set(found) == set(told)
    assert all(text in found[what] if text else found[what] is None for what, text in told.items())
    assert made.action == (RUN if last else None)
    assert written(commands) == (["action_repair"] if last else [])
    assert not last or commands[-1] == last
    assert (made.holder, made.here, made.seen) == (seen.holder, seen.mine, NOW.wall_ns)
    assert made.contests == state.get("contests", 0) - (last == (RUN, True))
    assert (made.looks_failed, made.repair_failures) == (0, 0 if made.master and seen is MINE else 3)


def test_of_looks_that_fail_the_second_is_told():
    made = machine(**LOOKING, looks_failed=0)
    assert (made.look_failed(NOW, "503"), made.check_due) == ([], 1001.0)
    assert problems(made.look_failed(NOW, "503")) == {"api": "503"}
    assert problems(made.look_refused(NOW, "another route")) == {"api": None, "run": "another route"}
    assert (made.looks_failed, made.action) == (0, None)


MEANWHILE = {
    "nothing": lambda made: [],
    "lost": lambda made: made.transition(NOW, "BACKUP", 8, 1000.0),
    "lost and won": lambda made: made.transition(NOW, "BACKUP", 8, 1000.0) + made.transition(NOW, "MASTER", 9, 1000.0),
    "won again": lambda made: made.transition(NOW, "MASTER", 9, 1000.0),
    "a peer": lambda made: made.transition(NOW, "MASTER_RX_LOWER_PRI", 9, 1000.0),
    "keepalived ended": lambda made: made.keepalived_ended(NOW),
    "stop": lambda made: made.stop(NOW),
}
NEW, AGAIN = ("transition", 9, 0), ("lower_priority", 9, 0)


@pytest.mark.parametrize(
    ("run", "meanwhile", "done", "failed"),
    [
        # The run, what happens meanwhile, and the order that waits after it was done, and after it failed.
        (("transition", 7), "nothing", None, ("transition", 7, 1.0)),
        (("transition", 7), "lost", None, None),
        (("transition", 7), "lost and won", NEW, NEW),
        (("transition", 7), "won again", NEW, NEW),
        (("transition", 7), "a peer", AGAIN, ("lower_priority", 9, 1.0)),
        (("transition", 7), "keepalived ended", None, None),
        (("transition", 7), "stop", None, None),
        (("repair", None), "nothing", None, None),
        (("repair", None), "lost", None, None),
        (("repair", None), "won again", NEW, NEW),
        (("repair", None), "a peer", AGAIN, AGAIN),
        (("overtaken", None), "nothing", None, None),
    ],
)
def test_what_waits_after_a_run(run, meanwhile, done, failed):
    made = running(*run)
    cancelled = MEANWHILE[meanwhile](made) == [(CANCEL,)]
    assert cancelled == (meanwhile not in ("nothing", "a peer"))

    after = copy.deepcopy(made)
    assert written(after.run_done(NOW, DONE)) == ["action_done"]
    assert (order(after), after.action, after.run) == (done, None, None)
    assert (after.asserted, after.ended_at) == (run[1], 1000.0)

    after = copy.deepcopy(made)
    assert written(after.run_failed(NOW, DOWN, "503")) == ["action_failed"]
    assert (order(after), after.action, after.run) == (failed, None, None)
    assert after.repair_due == (1010.0 if run[1] is None else 0.0)
    assert after.check_due == (1010.0 if after.master else 0.0)
    assert not after.order or after.order.failures == (after.run_due == 1001.0)

    if cancelled:
        assert written(made.run_stopped(NOW, Stopped([]))) == ["action_stopped"]
        assert (order(made), made.check_due) == (done, 0.0)
        reasons = {"lost": "no longer master", "keepalived ended": "no longer master", "stop": "the agent stops"}
        assert made.last["reason"] == reasons.get(meanwhile, "a new transition")


@pytest.mark.parametrize(
    ("error", "observed", "pause"),
    [
        (DOWN, None, 1.0),
        (Unavailable("429", retry_after=17.0), None, 17.0),
        (SimpleNamespace(error=Unavailable("429", retry_after=17.0)), None, 17.0),
        (Refused(["another route"], SimpleNamespace(holder=PEER)), PEER, 1.0),
    ],
)
def test_what_an_error_tells(error, observed, pause):
    made = running()
    commands = made.run_failed(NOW, error, "why")
    assert problems(commands) == {"run": "why"}
    assert (made.last["again_in_s"], made.last["failures"], made.run_due) == (pause, 1, 1000.0 + pause)
    assert made.holder == observed


def test_after_a_success_nothing_is_left_of_the_failures():
    made = running(repair_failures=3, asserted=9)
    assert problems(made.run_done(NOW, DONE)) == CLEAR
    assert (made.repair_failures, made.asserted, made.here) == (0, 9, True)
    assert (made.contested_since, made.contested_until, made.check_due) == (999.0, 1060.0, 1002.0)


def test_a_repair_leaves_to_a_live_peer_what_it_has():
    made = machine(master=True, **LOOKING)
    assert "keepalived is MASTER here" in problems(made.looked(NOW, MIXED))["elsewhere"]
    commands = made.run_done(NOW, DONE)
    assert "elsewhere" not in problems(commands)
    assert (made.holder, made.here) == (PEER, False)


@pytest.mark.parametrize(
    ("event", "events", "doing", "waits"),
    [
        ({"event": "step", "name": "insert", "resource": "r"}, ["action_step"], "insert r", False),
        ({"event": "done", "name": "insert", "resource": "r"}, ["action_step"], "before", False),
        ({"event": "wait", "reason": "until r is active"}, ["action_step"], "waiting until r is active", False),
        ({"event": "wait", "reason": "before"}, [], "waiting before", False),
        ({"event": "wait", "reason": "another run is at work: r"}, ["action_step"], None, True),
        ({"event": "mutation"}, [], "before", False),
        ({"event": "moved", "resource": "r"}, ["address_moved"], "before", False),
    ],
)
def test_progress_of_a_run(event, events, doing, waits):
    before = "waiting before" if event.get("reason") == "before" else "before"
    made = running(doing=before, waits_for_peer=True)
    kept = dict(event)
    assert written(made.progress(NOW, event)) == events
    assert event == kept
    assert doing in (None, made.doing)
    assert made.waits_for_peer == waits
    if event["event"] in ("mutation", "moved"):
        assert made.progress(NOW, event) == []
        assert made.run.first_mutation_ms == (1000.0 if event["event"] == "mutation" else None)


@pytest.mark.parametrize("action", ACTIONS)
def test_a_mistake_ends_what_was_under_way_and_keeps_the_order(action):
    made = running() if action == RUN else machine(action=action, wanted=True, prepared=action != PREPARE)
    assert list(problems(made.mistake(NOW, ZeroDivisionError("a mistake")))) == ["thread"]
    assert made.action is None
    assert order(made) == (("transition", 7, 1.0) if action == RUN else None)
    assert made.tick(NOW)[-1][0] == WAIT


# --- every order of a few events


class World:
    """A machine, with what a worker around it would know: what is under way, and whether it was cancelled."""

    def __init__(self, **state):
        self.machine = machine(**state)
        self.at = 1000.0
        self.number = 7
        self.action = None
        self.cancelled = False
        self.pause = 0.0
        self.history = ()

    def take(self, name):
        """Another world, after an event. Whatever comes: what must hold holds."""
        after = copy.deepcopy(self)
        after.history = (*self.history, name)
        after.do(name)
        return after

    def do(self, name):
        now = Moment(self.at, 0)
        if name in ("MASTER", "MASTER_RX_LOWER_PRI", "BACKUP"):
            self.number += 1
            self.carry_out(self.machine.transition(now, name, self.number, self.at))
        elif name in ("keepalived_ended", "stop"):
            self.carry_out(getattr(self.machine, name)(now))
        elif name == "tick":
            self.at += self.pause
            self.pause = 0.0
            self.carry_out(self.machine.tick(Moment(self.at, 0)))
        elif name == "waits":
            self.carry_out(self.machine.progress(now, {"event": "wait", "reason": "another run is at work: r"}))
        else:
            self.action = None
            result = {
                "prepared": lambda: self.machine.prepare_ended(now, None),
                "not prepared": lambda: self.machine.prepare_ended(now, "no answer"),
                "warm": lambda: self.machine.warm_ended(now, None),
                "fit": lambda: self.machine.preflight_ended(now, []),
                "mine": lambda: self.machine.looked(now, MINE),
                "peer's": lambda: self.machine.looked(now, AT_PEER),
                "nowhere": lambda: self.machine.looked(now, NOWHERE),
                "no look": lambda: self.machine.look_failed(now, "503"),
                "done": lambda: self.machine.run_done(now, DONE),
                "failed": lambda: self.machine.run_failed(now, DOWN, "503"),
                "stopped": lambda: self.machine.run_stopped(now, Stopped([])),
                "mistake": lambda: self.machine.mistake(now, ZeroDivisionError()),
            }[name]
            self.carry_out(result())

    def carry_out(self, commands):
        did = words(commands)
        last = [number for number, do in enumerate(did) if do in (*ACTIONS, WAIT)]
        assert last in ([], [len(did) - 1]), self.history
        for do, *details in commands:
            if do in ACTIONS:
                assert self.action is None, f"two things at a time: {self.history}"
                assert not self.machine.stopping, self.history
                assert do != RUN or self.machine.master, f"a standby moves the address: {self.history}"
                self.action, self.cancelled = do, False
            elif do == CANCEL:
                assert self.action == RUN and not self.cancelled, self.history
                self.cancelled = True
            elif do == WAIT:
                assert details[0] > 0, f"it would not rest: {self.history}"
                self.pause = details[0]
        assert self.machine.action == self.action, self.history
        if self.action == RUN:
            assert self.machine.run, self.history
            # What is not cancelled is wanted: nobody else may have become the master.
            assert self.cancelled or (self.machine.master and not self.machine.stopping), self.history

    def events(self):
        """What can happen next."""
        yield from ("MASTER", "MASTER_RX_LOWER_PRI", "BACKUP", "keepalived_ended")
        yield from {
            None: ("tick",),
            PREPARE: ("prepared", "not prepared"),
            WARM: ("warm",),
            PREFLIGHT: ("fit",),
            LOOK: ("mine", "peer's", "nowhere", "no look"),
            RUN: ("done", "failed", "mistake", "waits", *(["stopped"] if self.cancelled else [])),
        }[self.action]

    def goes_well(self):
        """The rest of the story, if nothing else happens."""
        if self.action == RUN:
            return "stopped" if self.cancelled else "done"
        return {None: "tick", PREPARE: "prepared", WARM: "warm", PREFLIGHT: "fit", LOOK: "mine"}[self.action]

    def key(self):
        """All that decides what comes next. Times count from now; those that are long over are alike."""
        state = {**vars(self.machine), "at": None}
        for name in ("doing", "since", "seen", "last", "holder", "here"):
            del state[name]
        for name, value in state.items():
            if name.endswith(("_due", "_at", "_since", "_until")):
                state[name] = max(-10.0, value - self.at)
            elif isinstance(value, Order):
                state[name] = (value.why, value.failures, value.transition == self.number, value.seen is None)
        state["asserted"] = state["asserted"] == self.number
        return (self.action, self.cancelled, self.pause, *state.values())


@pytest.mark.parametrize(
    "state",
    [
        {"prepared": False},
        {},
        {"master": True, "check_due": 0.0},
        {"master": True, "order": Order("resumed", 999.0, 7)},
        {"master": True, **CONTESTED, "check_due": 0.0, "ended_at": 999.5},
    ],
)
def test_in_every_order_of_events_a_master_gets_there_and_a_standby_does_nothing(state):
    start = World(**copy.deepcopy(state))
    known, worlds = {start.key()}, [start]
    for _depth in range(7):
        new = []
        for world in worlds:
            for event in world.events():
                after = world.take(event)
                if after.key() not in known:
                    known.add(after.key())
                    new.append(after)
        worlds = new
        for world in worlds:
            gets_there(world)
    assert len(known) > 80


def gets_there(world):
    """From here on nothing happens but what the machine has done."""
    stopped = world.take("stop")
    assert stopped.action != RUN or stopped.cancelled, stopped.history
    if not stopped.action:
        stopped.pause = 1000.0
        assert stopped.take("tick").action is None, stopped.history

    world = copy.deepcopy(world)
    first = world.machine.run
    wanted = world.machine.order or (None if world.cancelled else first)
    runs = set()
    for _event in range(20):
        world.do(world.goes_well())
        runs.add(world.machine.run)
    assert world.machine.order is None and world.action != RUN, world.history
    if not world.machine.master:
        assert wanted is None and runs <= {None, first}, world.history
    else:
        assert runs <= {None, first, wanted}, world.history
        assert not wanted or wanted.transition in (None, world.machine.asserted), world.history

# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The state machine of a worker that follows the node's own health. No time passes here."""

from __future__ import annotations

import itertools
import math
from types import SimpleNamespace

import pytest

from ansible_collections.cloudha.vip.plugins.module_utils.agent.machine import (
    CANCEL,
    LOOK,
    PROBLEM,
    RUN,
    WAIT,
    WRITE,
    Moment,
)
from ansible_collections.cloudha.vip.plugins.module_utils.agent.membership import WELL, WITHDRAWN, Membership, Share
from ansible_collections.cloudha.vip.plugins.module_utils.base.errors import Unavailable
from ansible_collections.cloudha.vip.plugins.module_utils.failover.engine import Stopped

NOW = Moment(1000.0, 5)
FINE, LAST, TODO = Share([]), Share([], last=True), Share(["delete route r"], "r is dead")
DONE = SimpleNamespace(changed=True, steps=[])
DOWN = Unavailable("503")
ILL = "the verdict of web is failed"


def at(seconds):
    return Moment(1000.0 + seconds, 5)


def machine(serves=True):
    """One that was started a while ago, and has nothing to do for a second."""
    made = Membership(1.0, NOW)
    made.prepared, made.serves, made.why = True, serves, "" if serves else ILL
    made.check_due, made.warm_due, made.preflight_due = 1001.0, 1010.0, math.inf
    return made


def running(serves=True):
    made = machine(not serves)
    made.follow(NOW, serves, "" if serves else ILL)
    assert made.tick(NOW)[-1] == (RUN, serves, True)
    return made


def problems(commands):
    return {details[0]: details[1] for do, *details in commands if do == PROBLEM}


def written(commands):
    return [details[0] for do, *details in commands if do == WRITE]


@pytest.mark.parametrize("serves", [True, False])
def test_a_change_is_followed_at_once_and_once(serves):
    made = machine(not serves)
    assert made.follow(NOW, serves, "" if serves else ILL) == []
    assert made.tick(NOW)[-1] == (RUN, serves, True)
    done = made.run_done(at(0.5), DONE)
    (event,) = [details for do, *details in done if do == WRITE]
    assert event[0] == "action_done"
    assert (event[1]["why"], event[1]["from_transition_ms"]) == (WELL if serves else ILL, 500.0)
    # Whether it lasts is seen at once, and then nothing is left to do.
    assert made.tick(at(0.5))[-1] == (LOOK, serves)
    made.looked(at(0.6), FINE)
    assert made.tick(at(0.6))[-1][0] == WAIT


def test_what_is_not_known_or_known_already_changes_nothing():
    made = machine()
    assert made.follow(NOW, None, "the checks have not ended yet") == []
    assert made.order is None
    assert made.status()["wanted"] is None
    # It was well before nobody knew. That is the beginning of an agent, and a look is no harm.
    made.follow(NOW, True, "")
    assert made.order
    made = machine(False)
    made.follow(NOW, False, "the node is drained (-254)")
    assert made.order is None
    assert made.status()["why"] == "the node is drained (-254)"


def test_it_goes_on_when_it_is_known_who_this_is():
    made = machine()
    made.prepared, made.prepare_due = False, 1005.0
    made.follow(NOW, False, ILL)
    made.tick(NOW)
    made.prepare_ended(at(0.1), "no answer")
    assert made.tick(at(0.1))[-1] == (WAIT, 1.0)
    made.tick(at(1.2))
    made.prepare_ended(at(1.3), None)
    assert made.tick(at(1.3))[-1] == (RUN, False, True)


def test_another_change_ends_a_run_and_the_next_one_follows():
    made = running(False)
    assert made.follow(at(0.1), True, "") == [(CANCEL,)]
    stopped = made.run_stopped(at(0.2), Stopped([]))
    assert [details[1]["reason"] for do, *details in stopped if do == WRITE] == [WELL]
    assert made.tick(at(0.2))[-1] == (RUN, True, True)


def test_a_look_from_before_a_change_repairs_nothing():
    made = machine()
    made.check_due = 0.0
    assert made.tick(NOW)[-1] == (LOOK, True)
    made.follow(NOW, False, ILL)
    assert written(made.looked(NOW, TODO)) == []
    assert made.tick(NOW)[-1] == (RUN, False, True)


def test_a_repair_that_does_not_last_is_no_reason_to_be_busy():
    made = machine()
    made.check_due = 0.0
    made.tick(NOW)
    commands = made.looked(NOW, TODO)
    assert written(commands) == ["action_repair"]
    assert commands[-1] == (RUN, True, False)
    made.run_done(NOW, DONE)
    assert made.tick(NOW)[-1] == (WAIT, 1.0)


def test_a_repair_that_fails_is_tried_again_more_and_more_seldom():
    made = machine()
    now, begun = 0.0, []
    for _second in range(40):
        made.check_due = 0.0
        assert made.tick(at(now))[-1] == (LOOK, True)
        if made.looked(at(now), TODO)[-1][0] == RUN:
            begun.append(now)
            assert problems(made.run_failed(at(now), DOWN, "503")) == {"run": "503"}
        now += 1
    assert begun == [0.0, 1.0, 3.0, 7.0, 15.0, 31.0]


def test_what_is_wanted_is_tried_again():
    made = running(False)
    made.run_failed(at(1), DOWN, "503")
    assert made.tick(at(1))[-1] == (WAIT, 1.0)
    assert made.tick(at(2))[-1] == (RUN, False, True)
    made.run_failed(at(3), DOWN, "503")
    assert made.tick(at(3))[-1] == (WAIT, 2.0)
    # But at once if something else is wanted.
    made.follow(at(3.1), True, "")
    assert made.tick(at(3.1))[-1] == (RUN, True, True)


def test_an_error_in_the_agent_ends_nothing():
    made = running(False)
    assert "ZeroDivisionError" in problems(made.mistake(NOW, ZeroDivisionError()))["thread"]
    assert made.tick(at(1))[-1] == (RUN, False, True)


def test_the_last_one_is_told_once():
    made = machine(False)
    told = []
    for seconds, share in enumerate((LAST, LAST, FINE, LAST)):
        made.check_due = 0.0
        made.tick(at(seconds))
        commands = made.looked(at(seconds), share)
        told.append((written(commands), bool(problems(commands)["last"])))
        assert made.status()["last_one"] is share.last
    assert told == [(["last_member"], True), ([], True), ([], False), (["last_member"], True)]


def test_the_progress_of_a_run():
    made = running(False)
    assert made.progress(at(0.1), {"event": "mutation"}) == []
    assert made.progress(at(0.1), {"event": "moved", "resource": "r"}) == []
    (told,) = made.progress(at(0.2), {"event": WITHDRAWN, "resource": "r"})
    assert told == (WRITE, WITHDRAWN, {"why": ILL, "from_transition_ms": 200.0, "resource": "r"})
    retry = {"event": "retry", "name": "look", "error": "503", "attempts": 1, "wait_s": 0.1}
    assert problems(made.progress(at(0.3), retry)) == {"api": "503"}
    ended = made.run_done(at(0.5), DONE)
    assert problems(ended) == {"run": None, "api": None}
    assert (made.last["first_mutation_ms"], made.last["moved_ms"]) == (100.0, 200.0)
    assert made.progress(at(0.6), {"event": WITHDRAWN, "resource": "r"}) == []


def test_at_the_end_nothing_begins():
    made = running()
    assert made.stop(NOW) == [(CANCEL,)]
    assert [details[1]["reason"] for do, *details in made.run_stopped(NOW, Stopped([])) if do == WRITE] == [
        "the agent stops"
    ]
    assert made.tick(NOW) == []


EVENTS = {
    "well": lambda made, now: made.follow(now, True, ""),
    "ill": lambda made, now: made.follow(now, False, ILL),
    "in doubt": lambda made, now: made.follow(now, None, "?"),
    "mistake": lambda made, now: made.mistake(now, ZeroDivisionError()),
    "down": lambda made, now: made.run_failed(now, DOWN, "503") if made.run else made.look_failed(now, "503"),
}


class World:
    """A machine with a worker around it, which carries out one action at a time, and a cloud that does what it is
    told."""

    def __init__(self):
        self.machine, self.at, self.is_in, self.action = machine(), 0.0, True, None

    def carry_out(self, commands):
        for command in commands:
            if command[0] in (LOOK, RUN):
                assert self.action is None
                self.action = command

    def turn(self, seconds):
        self.carry_out(self.machine.tick(at(self.at)))
        if self.action:
            (do, serves, *_how), self.action = self.action, None
            if do == LOOK:
                seen = FINE if serves in (None, self.is_in) else TODO
                self.carry_out(self.machine.looked(at(self.at), seen))
            else:
                self.is_in = self.is_in if serves is None else serves
                self.carry_out(self.machine.run_done(at(self.at), DONE))
        self.at += seconds

    def happens(self, event):
        """In the middle of what is due."""
        self.carry_out(self.machine.tick(at(self.at)))
        if event in ("mistake", "down"):
            if not self.action:
                return
            self.action = None
        self.carry_out(EVENTS[event](self.machine, at(self.at)))
        self.at += 0.1


def test_in_every_order_of_events_the_last_word_is_followed():
    for order in itertools.product(EVENTS, repeat=4):
        world = World()
        for event in order:
            world.happens(event)
        for _turn in range(100):
            world.turn(0.5)
        assert world.machine.serves in (None, world.is_in), order
        assert world.machine.order is None, order

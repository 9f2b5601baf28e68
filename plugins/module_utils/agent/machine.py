# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The decisions of a worker: a state machine without a clock, a thread, or a request.

A ``Machine`` is a state. Each of its methods that take a ``Moment`` is an event: it changes the state, and returns the
commands that follow, in order. ``actions.Worker`` carries them out, and tells the machine how they ended.

This is what all kinds have in common. What an action wants, and when, is in a subclass: ``mastership.py`` for those
that follow a VRRP instance, ``membership.py`` for those that follow the node's own health.
"""

from __future__ import annotations

import collections

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Command = tuple[Any, ...]

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0
LONGEST_REPAIR_PAUSE = 300.0
WARM_EVERY = 10.0
PREFLIGHT_AGAIN = 60.0

# A command is one of these words and its details. An action is the last command of its list.
PREPARE, LOOK, PREFLIGHT, WARM = "prepare", "look", "preflight", "warm"  # actions of the same name
RUN = "run"  # an action: reach what is wanted; its details say how
WAIT = "wait"  # how many seconds, unless something happens before
CANCEL = "cancel"  # the run under way is not wanted any more
WRITE = "write"  # to the event log: an event, its fields
PROBLEM = "problem"  # what there is a problem with; the problem, or None
NEWS = "news"  # the status file is out of date

# at: seconds of a clock that never jumps; wall_ns: for people.
Moment = collections.namedtuple("Moment", "at wall_ns")


class Order:
    """To reach what is wanted: because of a transition, its number in the event log, of the node's health, or of a
    look."""

    def __init__(self, why: str, asked: float, transition: int | None = None, seen: Any = None) -> None:
        self.why = why
        self.asked = asked
        self.transition = transition
        self.seen = seen
        self.first_mutation_ms: float | None = None
        self.moved_ms: float | None = None
        self.failures = 0

    def age_ms(self, now: Moment) -> float:
        return milliseconds(now.at - self.asked)


class Machine:
    """The state of a worker.

    action    what is under way, a command; one thing at a time
    run       the order that is being carried out, if the action is RUN
    order     the order that waits
    wanted    whether the action's term goes on; what was begun in a term is not wanted after its end
    *_due     when which action is due
    """

    usual_check_interval_s = 10

    def __init__(self, check_interval: float, started: Moment) -> None:
        self.check_interval = check_interval
        self.stopping = self.prepared = self.wanted = False
        self.action: str | None = None
        self.run: Order | None = None
        self.order: Order | None = None
        self.prepare_due = self.run_due = self.check_due = self.preflight_due = self.warm_due = 0.0
        self.repair_due = self.began_at = self.ended_at = 0.0
        self.prepare_failures = self.repair_failures = self.looks_failed = 0
        # For people.
        self.doing, self.since = "starting", started.wall_ns
        self.seen: int | None = None
        self.last: dict[str, Any] | None = None

    def status(self) -> dict[str, Any]:
        return {key: getattr(self, key) for key in ("doing", "since", "seen", "last")}

    # --- the agent's loop has news

    def begin(self, _now: Moment, _master: dict[str, Any] | None, _asserted: int | None) -> list[Command]:
        """The worker is about to start; see Mastership."""
        return []

    def transition(self, _now: Moment, _state: str, _number: int, _at: float) -> list[Command]:
        """keepalived said so at a time; number: of that event."""
        return []

    def keepalived_ended(self, _now: Moment) -> list[Command]:
        return []

    def follow(self, _now: Moment, _serves: bool | None, _why: str) -> list[Command]:
        """The node's own health is another one; see Membership."""
        return []

    def stop(self, _now: Moment) -> list[Command]:
        self.stopping = True
        return self._end_term()

    def _end_term(self) -> list[Command]:
        cancels = self.wanted and self.action == RUN
        self.wanted = False
        return [(CANCEL,)] if cancels else []

    # --- the worker's thread has nothing to do

    def tick(self, now: Moment) -> list[Command]:
        """The most urgent thing that is due, or how long nothing is."""
        if self.stopping or self.action:
            return []
        if not self.prepared:
            if now.at < self.prepare_due:
                return [(WAIT, self.prepare_due - now.at)]
            return [*self._do(now, "finding out who this node is"), self._begin(PREPARE)]
        if self.order:
            if now.at < self.run_due:
                return [(WAIT, self.run_due - now.at)]
            order, self.order = self.order, None
            return self._carry_out(now, order)
        if now.at >= self.check_due:
            self.check_due = now.at + self._look_interval(now)
            self.warm_due = now.at + WARM_EVERY
            return [self._begin_look()]
        if now.at >= self.preflight_due:
            self.preflight_due = now.at + max(PREFLIGHT_AGAIN, self.check_interval)
            return [*self._do(now, "preflight"), self._begin(PREFLIGHT)]
        if now.at >= self.warm_due:
            self.warm_due = now.at + WARM_EVERY
            return [self._begin(WARM)]
        due = min(self.check_due, self.preflight_due, self.warm_due)
        return [*self._do(now, self._idle()), (WAIT, due - now.at)]

    def _idle(self) -> str:
        """What it does while it does nothing, in words."""
        return "watching"

    def _begin(self, action: str, *details: Any) -> Command:
        self.action, self.wanted = action, True
        return (action, *details)

    def _begin_look(self) -> Command:
        return self._begin(LOOK)

    def _carry_out(self, now: Moment, order: Order) -> list[Command]:
        """Begin to."""
        raise NotImplementedError

    def _begin_run(self, now: Moment, order: Order, doing: str, *how: Any) -> list[Command]:
        self.run, self.began_at = order, now.at
        return [*self._do(now, doing), self._begin(RUN, *how)]

    # --- an action has ended

    def prepare_ended(self, now: Moment, problem: str | None) -> list[Command]:
        self.action = None
        if problem is None:
            self.prepared = True
        else:
            self.prepare_failures += 1
            self.prepare_due = now.at + min(pause_after(self.prepare_failures), self._longest_identity_pause())
        return [(PROBLEM, "identity", problem)]

    def _longest_identity_pause(self) -> float:
        return FIRST_PAUSE

    def warm_ended(self, _now: Moment, problem: str | None) -> list[Command]:
        self.action = None
        return [(PROBLEM, "api", problem)] if problem else []

    def preflight_ended(self, _now: Moment, problems: list[str]) -> list[Command]:
        self.action = None
        if not problems:
            self.preflight_due = float("inf")
        return [(PROBLEM, "preflight", "; ".join(problems) or None)]

    def look_refused(self, _now: Moment, reason: str) -> list[Command]:
        """The API has answered, with things as they must not be."""
        self.action = None
        self.looks_failed = 0
        return [(PROBLEM, "api", None), (PROBLEM, "run", reason)]

    def look_failed(self, now: Moment, reason: str) -> list[Command]:
        self.action = None
        self.looks_failed += 1
        if self.looks_failed == 1:
            self.check_due = now.at + FIRST_PAUSE  # every API says no once in a while
            return []
        return [(PROBLEM, "api", reason)]

    def looked(self, now: Moment, seen: Any) -> list[Command]:
        """seen: what the kind's look returned."""
        raise NotImplementedError

    def progress(self, now: Moment, event: dict[str, Any]) -> list[Command]:
        """Take in the events that the engine and the client report of the run under way."""
        run = self.run
        if not run:
            return []
        fields = dict(event)
        kind = fields.pop("event")
        if kind == "mutation":
            if run.first_mutation_ms is None:
                run.first_mutation_ms = run.age_ms(now)
            return []
        if kind == "moved":
            if run.moved_ms is not None:
                return []
            run.moved_ms = run.age_ms(now)
            return [(WRITE, "address_moved", {"from_transition_ms": run.moved_ms, **fields})]
        doing = self.doing
        if kind == "step":
            doing = f"{fields['name']} {fields['resource']}"
        elif kind == "wait":
            doing = f"waiting {fields['reason']}"
            if doing == self.doing:
                return []  # said a second ago
        phase = "begin" if kind == "step" else kind
        told = {"phase": phase, "from_transition_ms": run.age_ms(now), **fields}
        return [*self._do(now, doing), (WRITE, "action_step", told)]

    def run_done(self, now: Moment, outcome: Any) -> list[Command]:
        """outcome: the engine's."""
        raise NotImplementedError

    def run_stopped(self, now: Moment, stopped: Any) -> list[Command]:
        """The run saw that it was cancelled."""
        run = self._end_run(now)
        self.check_due = 0.0
        reason = "the agent stops" if self.stopping else self._stopped_because()
        return self._tell_end(now, "action_stopped", run, reason=reason, ended=stopped)

    def run_failed(self, now: Moment, error: Exception, reason: str) -> list[Command]:
        run = self._end_run(now)
        asked = getattr(getattr(error, "error", error), "retry_after", None) or 0.0
        if self._is_repair(run):
            # Each attempt changes something, and what keeps it from lasting may stay for days.
            self.repair_failures += 1
            run.failures = self.repair_failures
            pause = max(min(self.check_interval * pause_after(run.failures), LONGEST_REPAIR_PAUSE), asked)
            self.repair_due = now.at + pause
        else:
            run.failures += 1
            pause = max(min(pause_after(run.failures), LONGEST_PAUSE), asked)
            self._try_again(run, now.at + pause)
        observed = getattr(error, "observed", None)
        if observed is not None:
            self._take_in(now, observed)
        commands = [(PROBLEM, "run", reason)]
        commands += self._tell_end(
            now, "action_failed", run, reason=reason, ended=error, failures=run.failures, again_in_s=pause
        )
        return commands + self._do(now, f"waiting {pause:.0f} s to try again")

    def mistake(self, now: Moment, error: BaseException) -> list[Command]:
        """An error in the agent itself: what was under way has come to no end, and is tried again after a pause."""
        self.action = None
        self.prepare_due = max(self.prepare_due, now.at + FIRST_PAUSE)
        if self.run:
            run = self._end_run(now)
            if not self._is_repair(run):
                self._try_again(run, now.at + FIRST_PAUSE)
        return [(PROBLEM, "thread", f"an error in the agent itself, see its journal: {error!r}")]

    # --- what a subclass decides

    def _is_repair(self, run: Order) -> bool:
        """Whether it was only a look that found something to do: the next look will find it again."""
        raise NotImplementedError

    def _stopped_because(self) -> str:
        raise NotImplementedError

    def _look_interval(self, _now: Moment) -> float:
        return self.check_interval

    def _take_in(self, now: Moment, observed: Any) -> None:
        """What a run that failed has seen."""
        raise NotImplementedError

    def _try_again(self, run: Order, due: float) -> None:
        """Unless something else is wanted by now."""
        if self.order is None and self.wanted:
            self.order, self.run_due = run, due

    # --- small parts

    def _end_run(self, now: Moment) -> Order:
        run = self.run
        if not run:
            raise RuntimeError("no run is under way")
        self.action = self.run = None
        self.ended_at = now.at
        return run

    def _do(self, now: Moment, what: str) -> list[Command]:
        if what == self.doing:
            return []
        self.doing, self.since = what, now.wall_ns
        return [(NEWS,)]

    def _tell_end(self, now: Moment, event: str, run: Order, ended: Any, **result: Any) -> list[Command]:
        """ended: what has the steps, an outcome or an error."""
        fields = {
            "why": run.why,
            "transition": run.transition,
            **result,
            "steps": [
                {"name": step.name, "resource": step.resource, "ms": round(step.ms, 3), "attempts": step.attempts}
                for step in getattr(ended, "steps", None) or ()
            ],
            "first_mutation_ms": run.first_mutation_ms,
            "moved_ms": run.moved_ms,
            "from_transition_ms": run.age_ms(now),
            "elapsed_ms": milliseconds(now.at - self.began_at),
        }
        self.last = {"result": event.partition("_")[2], "time": now.wall_ns, **fields}
        return [(WRITE, event, fields), (NEWS,)]


def milliseconds(seconds: float) -> float:
    return round(seconds * 1000, 3)


def pause_after(failures: int) -> float:
    """Doubled with each failure."""
    return float(FIRST_PAUSE * 2 ** min(failures - 1, 10))

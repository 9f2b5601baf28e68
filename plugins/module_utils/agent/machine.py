# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The decisions of a worker: a state machine without a clock, a thread, or a request.

A ``Machine`` is a state. Each of its methods that take a ``Moment`` is an event: it changes the state, and returns the
commands that follow, in order. ``actions.Worker`` carries them out, and tells the machine how they ended.
"""

from __future__ import annotations

import collections

from ..failover.plan import AT_WORK

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .kinds import Seen

    Command = tuple[Any, ...]

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0
LONGEST_IDENTITY_PAUSE, LONGEST_REPAIR_PAUSE = 5.0, 300.0
WARM_EVERY = 10.0
AGAIN_EVERY = 1.0
PREFLIGHT_AGAIN = 60.0
# What a peer had under way when it lost mastership may take effect after all was done here, and take the address away.
# That is what it asked for until REQUESTED seconds after this node began; later it had a reason of its own.
CONTESTED, CONTESTED_LOOK, CONTESTS = 60.0, 2.0, 2
REQUESTED = 3.0
NOT_MASTER = ("BACKUP", "FAULT", "STOP", "DELETED")

# A command is one of these words and its details. An action is the last command of its list.
PREPARE, LOOK, PREFLIGHT, WARM = "prepare", "look", "preflight", "warm"  # actions of the same name
RUN = "run"  # an action: bring the address here; whether also from a live peer
WAIT = "wait"  # how many seconds, unless something happens before
CANCEL = "cancel"  # the run under way is not wanted any more
WRITE = "write"  # to the event log: an event, its fields
PROBLEM = "problem"  # what there is a problem with; the problem, or None
NEWS = "news"  # the status file is out of date

# at: seconds of a clock that never jumps; wall_ns: for people.
Moment = collections.namedtuple("Moment", "at wall_ns")


class Order:
    """To bring the address here: because of a transition, its number in the event log, or of a look."""

    def __init__(self, why: str, asked: float, transition: int | None = None, seen: Seen | None = None) -> None:
        self.why = why
        self.asked = asked
        self.transition = transition
        self.seen = seen
        self.first_mutation_ms: float | None = None
        self.moved_ms: float | None = None
        self.failures = 0

    def age_ms(self, now: Moment) -> float:
        return _ms(now.at - self.asked)


class Machine:
    """The state of a worker.

    action    what is under way, a command; one thing at a time
    run       the order that is being carried out, if the action is RUN
    order     the order that waits
    wanted    whether the action's term goes on; any transition ends a term, and what was begun in it is not wanted then
    *_due     when which action is due
    """

    def __init__(self, check_interval: float, started: Moment) -> None:
        self.check_interval = check_interval
        self.master = self.stopping = self.prepared = self.wanted = False
        self.action: str | None = None
        self.run: Order | None = None
        self.order: Order | None = None
        self.waits_for_peer = False
        self.prepare_due = self.run_due = self.check_due = self.preflight_due = self.warm_due = 0.0
        self.repair_due = self.began_at = self.ended_at = 0.0
        self.contested_since = self.contested_until = 0.0
        self.contests = 0
        self.prepare_failures = self.repair_failures = self.looks_failed = 0
        # For people.
        self.doing, self.since = "starting", started.wall_ns
        self.holder: str | None = None
        self.here: bool | None = None
        self.seen: int | None = None
        self.last: dict[str, Any] | None = None
        self.asserted: int | None = None

    def status(self) -> dict[str, Any]:
        keys = ("master", "doing", "since", "holder", "here", "seen", "asserted", "last")
        return {key: getattr(self, key) for key in keys}

    # --- the agent's loop has news

    def begin(self, now: Moment, master: dict[str, Any] | None, asserted: int | None) -> list[Command]:
        """master: what the log says about this node's mastership, if it has it; asserted: the last transition that was
        followed to the end.

        A node that was master already only finishes begun work: only a transition may take the address from a peer.
        """
        self.asserted = asserted
        commands = self._lose()
        if master:
            self.master = True
            transition = master.get("transition")
            if transition is not None and transition > (asserted or 0):
                self.order = Order("resumed", min(now.at, master["mono"] / 1e9), transition)
        return commands

    def transition(self, now: Moment, state: str, number: int, at: float) -> list[Command]:
        """keepalived said so at a time; number: of that event."""
        if state == "MASTER":
            self.master = True
            self.order = Order("transition", at, number)
            self.prepare_due = self.run_due = 0.0
            return self._end_term()
        if state == "MASTER_RX_LOWER_PRI" and self.master:
            return self._assert_again(now, Order("lower_priority", at, number))
        return self._lose() if state in NOT_MASTER else []

    def keepalived_ended(self, _now: Moment) -> list[Command]:
        """Nobody says any more that this node is the master, and its peer will soon be."""
        return self._lose() if self.master else []

    def stop(self, _now: Moment) -> list[Command]:
        self.stopping = True
        return self._end_term()

    def _assert_again(self, now: Moment, order: Order) -> list[Command]:
        """A split has healed, or a peer has not understood yet: it may have been the last to move the address.

        As long as the peer goes on, keepalived says so with each of its advertisements.
        """
        if self.order:
            self.order.transition = order.transition
            return []
        self.order = order
        if not self.run or self.run.transition is None:
            self.run_due = max(now.at, self.ended_at + AGAIN_EVERY)
        elif self.waits_for_peer and now.at >= self.began_at + AGAIN_EVERY:
            # For a peer that is no master any more. A new run waits for nothing before it moves the address.
            return self._end_term()
        return []

    def _lose(self) -> list[Command]:
        self.master = False
        self.order = None
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
            return [self._begin(LOOK)]
        if now.at >= self.preflight_due:
            self.preflight_due = now.at + max(PREFLIGHT_AGAIN, self.check_interval)
            return [*self._do(now, "preflight"), self._begin(PREFLIGHT)]
        if now.at >= self.warm_due:
            self.warm_due = now.at + WARM_EVERY
            return [self._begin(WARM)]
        due = min(self.check_due, self.preflight_due, self.warm_due)
        return [*self._do(now, "watching" if self.master else "standing by"), (WAIT, due - now.at)]

    def _begin(self, action: str, *details: Any) -> Command:
        self.action, self.wanted = action, True
        return (action, *details)

    def _carry_out(self, now: Moment, order: Order) -> list[Command]:
        self.run, self.began_at, self.waits_for_peer = order, now.at, False
        return [*self._do(now, "bringing the address here"), self._begin(RUN, order.why != "repair")]

    # --- an action has ended

    def prepare_ended(self, now: Moment, problem: str | None) -> list[Command]:
        self.action = None
        if problem is None:
            self.prepared = True
        else:
            self.prepare_failures += 1
            longest = FIRST_PAUSE if self.order else LONGEST_IDENTITY_PAUSE
            self.prepare_due = now.at + min(_pause(self.prepare_failures), longest)
        return [(PROBLEM, "identity", problem)]

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

    def looked(self, now: Moment, seen: Seen) -> list[Command]:
        self.action = None
        self.looks_failed = 0
        self._saw(now, seen.holder, seen.mine)
        commands: list[Command] = [(PROBLEM, "api", None)]
        if not (self.master and self.wanted):
            return [*commands, (PROBLEM, "run", None), (PROBLEM, "elsewhere", None)]
        if seen.elsewhere and self.contests and self._was_under_way(now, seen.age):
            # Not more often: if both nodes are masters, they must not go on taking it from each other.
            self.contests -= 1
            reason = f"{seen.holder} got it when this node had it"
            commands.append((WRITE, "action_repair", {"reason": reason, "todo": seen.todo}))
            return [*commands, *self._carry_out(now, Order("overtaken", now.at))]
        elsewhere = None
        if seen.elsewhere:
            elsewhere = (
                f"keepalived is MASTER here, and {seen.elsewhere}. The agent takes it only after a transition: let "
                "keepalived hand over, or see what moved the address"
            )
        elif not seen.todo:
            self.repair_failures = 0
            commands.append((PROBLEM, "run", None))
        commands.append((PROBLEM, "elsewhere", elsewhere))
        if seen.todo and now.at >= self.repair_due:
            commands.append((WRITE, "action_repair", {"reason": seen.why, "todo": seen.todo}))
            commands += self._carry_out(now, Order("repair", now.at, seen=seen))
        return commands

    def progress(self, now: Moment, event: dict[str, Any]) -> list[Command]:
        """Take in the events that the engine and the client report of the run under way."""
        run = self.run
        if not run:
            return []
        fields = dict(event)
        kind = fields.pop("event")
        self.waits_for_peer = kind == "wait" and fields["reason"].startswith(AT_WORK)
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
        run = self._end_run(now)
        if run.transition is not None:
            self.asserted = max(run.transition, self.asserted or 0)
            self.contested_since = self.began_at
            self.contested_until, self.contests = now.at + CONTESTED, CONTESTS
        self.repair_failures = 0
        self.check_due = now.at + self._look_interval(now)
        holder = getattr(outcome.after, "holder", None)
        self._saw(now, holder, True)
        commands = [(PROBLEM, "run", None), (PROBLEM, "api", None)]
        if run.why != "repair":  # a repair leaves alone what a live peer has
            commands.append((PROBLEM, "elsewhere", None))
        return commands + self._tell_end(now, "action_done", run, changed=outcome.changed, holder=holder, ended=outcome)

    def run_stopped(self, now: Moment, stopped: Any) -> list[Command]:
        """The run saw that it was cancelled."""
        run = self._end_run(now)
        self.check_due = 0.0
        reason = "a new transition" if self.master else "no longer master"
        if self.stopping:
            reason = "the agent stops"
        return self._tell_end(now, "action_stopped", run, reason=reason, ended=stopped)

    def run_failed(self, now: Moment, error: Exception, reason: str) -> list[Command]:
        run = self._end_run(now)
        asked = getattr(getattr(error, "error", error), "retry_after", None) or 0.0
        if run.transition is None:
            # Each attempt changes something, and what keeps it from lasting may stay for days.
            self.repair_failures += 1
            run.failures = self.repair_failures
            pause = max(min(self.check_interval * _pause(run.failures), LONGEST_REPAIR_PAUSE), asked)
            self.repair_due = now.at + pause
        else:
            run.failures += 1
            pause = max(min(_pause(run.failures), LONGEST_PAUSE), asked)
            self._try_again(run, now.at + pause)
        if not self.master:
            self.check_due = 0.0
        observed = getattr(error, "observed", None)
        if observed is not None:
            self._saw(now, observed.holder, None)
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
            if run.transition is not None:
                self._try_again(run, now.at + FIRST_PAUSE)
        return [(PROBLEM, "thread", f"an error in the agent itself, see its journal: {error!r}")]

    # --- small parts

    def _end_run(self, now: Moment) -> Order:
        run = self.run
        if not run:
            raise RuntimeError("no run is under way")
        self.action = self.run = None
        self.ended_at = now.at
        return run

    def _try_again(self, run: Order, due: float) -> None:
        """Unless a transition has come meanwhile: that is followed at once, and a loss of mastership ends it all."""
        if self.order is None and self.wanted:
            self.order, self.run_due = run, due
        elif self.order and self.order.why != "transition":
            self.order.failures = run.failures
            self.run_due = due

    def _was_under_way(self, now: Moment, age: float) -> bool:
        return bool(now.at < self.contested_until and now.at - age <= self.contested_since + REQUESTED)

    def _look_interval(self, now: Moment) -> float:
        contested = self.master and now.at < self.contested_until
        return min(CONTESTED_LOOK, self.check_interval) if contested else self.check_interval

    def _do(self, now: Moment, what: str) -> list[Command]:
        if what == self.doing:
            return []
        self.doing, self.since = what, now.wall_ns
        return [(NEWS,)]

    def _saw(self, now: Moment, holder: str | None, mine: bool | None) -> None:
        self.holder, self.here, self.seen = holder, mine, now.wall_ns

    def _tell_end(self, now: Moment, event: str, run: Order, ended: Any, **result: Any) -> list[Command]:
        """ended: what has the steps, an outcome or an error."""
        if run.seen and run.seen.elsewhere:
            self._saw(now, run.seen.holder, False)
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
            "elapsed_ms": _ms(now.at - self.began_at),
        }
        self.last = {"result": event.partition("_")[2], "time": now.wall_ns, **fields}
        return [(WRITE, event, fields), (NEWS,)]


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 3)


def _pause(failures: int) -> float:
    """Doubled with each failure."""
    return float(FIRST_PAUSE * 2 ** min(failures - 1, 10))

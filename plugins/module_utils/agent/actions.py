# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the agent does to the cloud when keepalived makes this node the master, and what it keeps doing afterwards.

Each action has a thread of its own, so that a slow API delays no health check. The thread does one thing at a time
(``Worker.turn``); keepalived's news come from the agent's loop and only leave an order for it.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import time
import traceback

from ..base.errors import CloudError
from ..failover.engine import AT_WORK, Failed, Refused, Stopped

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from .kinds import Kind

WARM_EVERY = 10.0
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0
AGAIN_EVERY = 1.0
# What a peer had under way when it lost mastership may take effect after all was done here, and take the address away.
# That is what it asked for until REQUESTED seconds after this node began; later it had a reason of its own.
CONTESTED, CONTESTED_LOOK, CONTESTS = 60.0, 2.0, 2
REQUESTED = 3.0
LONGEST_IDENTITY_PAUSE, LONGEST_REPAIR_PAUSE = 5.0, 300.0
PREFLIGHT_AGAIN = 60.0
NOT_MASTER = ("BACKUP", "FAULT", "STOP", "DELETED")


class Seen:
    """What a look has found. holder: None if the address leads nowhere alive. todo: what a repair would do, and why.

    elsewhere: in words, what a live peer has. age: how many seconds ago it was asked for that the peer have it.
    """

    def __init__(
        self, holder: str | None, mine: bool, todo: list[str], why: str, age: float = 0.0, elsewhere: str = ""
    ) -> None:
        self.holder = holder
        self.mine = mine
        self.todo = todo
        self.why = why
        self.age = age
        self.elsewhere = elsewhere


class Order:
    """To bring the address here, because of a transition (its number in the event log) or for a repair."""

    def __init__(self, why: str, mono_ns: int, transition: int | None = None) -> None:
        self.why = why
        self.mono_ns = mono_ns
        self.transition = transition
        self.first_mutation_ms: float | None = None
        self.moved_ms: float | None = None
        self.failures = 0

    def age_ms(self) -> float:
        return round((time.monotonic_ns() - self.mono_ns) / 1e6, 3)


class Worker:
    """``record`` writes an event, ``tell`` says or takes back a problem, ``news`` asks for a new status file.

    All three are called from the worker's thread.
    """

    def __init__(
        self,
        kind: Kind,
        record: Callable[..., None],
        tell: Callable[[str, str | None], None],
        news: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.kind = kind
        self._record = record
        self._tell = tell
        self._news = news
        self._clock = clock
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        # What keepalived says. A term ends with any transition, and then what was begun in it is not wanted any more.
        self.master = False
        self._term = 0
        self._order: Order | None = None
        self._stopping = False
        # What is due when.
        self._prepared = False
        self._prepare_due = self._run_due = self._check_due = self._preflight_due = self._warm_due = 0.0
        self._repair_due = self._began_at = self._ended_at = 0.0
        self._waits = False
        self._contested_since = self._contested_until = 0.0
        self._contests = 0
        self._running: Order | None = None
        self._prepare_failures = self._repair_failures = self._looks_failed = 0
        # For people.
        self._doing, self._since = "starting", time.time_ns()
        self._holder: str | None = None
        self._here: bool | None = None
        self._seen: int | None = None
        self._last: dict[str, Any] | None = None
        self._asserted: int | None = None

    # --- called by the agent's loop

    def begin(self, master: dict[str, Any] | None, asserted: int | None) -> None:
        """Start. master: what the log says about this node's mastership, if it has it; asserted: the last transition
        that was followed to the end.

        Of a master that was one already, only what was begun is brought to its end: to take the address from a peer
        takes a transition.
        """
        self._asserted = asserted
        with self._changed:
            self._lose()
            if master:
                self.master = True
                transition = master.get("transition")
                if transition is not None and transition > (asserted or 0):
                    self._order = Order("resumed", min(time.monotonic_ns(), master["mono"]), transition)

    def start(self) -> None:
        self._thread = threading.Thread(target=self._work, name=self.kind.name, daemon=True)
        self._thread.start()

    def transition(self, record: dict[str, Any]) -> None:
        if record["kind"] != "INSTANCE" or record["name"] != self.kind.instance:
            return
        state = record["state"]
        with self._changed:
            if state == "MASTER":
                self.master = True
                self._term += 1
                self._give(Order("transition", record["mono_ns"], record["seq"]))
            elif state == "MASTER_RX_LOWER_PRI" and self.master:
                self._assert_again(Order("lower_priority", record["mono_ns"], record["seq"]))
            elif state in NOT_MASTER:
                self._lose()

    def keepalived_ended(self) -> None:
        """Nobody says any more that this node is the master, and its peer will soon be."""
        with self._changed:
            if self.master:
                self._lose()

    def stop(self, patience: float = 1.0) -> None:
        with self._changed:
            self._stopping = True
            self._changed.notify()
        if self._thread:
            self._thread.join(patience)

    def _give(self, order: Order) -> None:
        self._order = order
        self._prepare_due = self._run_due = 0.0
        self._changed.notify()

    def _assert_again(self, order: Order) -> None:
        """A split has healed, or a peer has not understood yet: it may have been the last to move the address.

        As long as the peer goes on, keepalived says so with each of its advertisements.
        """
        waiting = self._order if self._order is not self._running else None
        if waiting:
            waiting.transition = order.transition
            return
        if not self._order:
            self._run_due = max(self._clock(), self._ended_at + AGAIN_EVERY)
        elif self._waits and self._clock() >= self._began_at + AGAIN_EVERY:
            # For a peer that is no master any more. A new run waits for nothing before it moves the address.
            self._term += 1
        self._order = order
        self._changed.notify()

    def _lose(self) -> None:
        self.master = False
        self._term += 1
        self._order = None
        self._changed.notify()

    def status(self) -> dict[str, Any]:
        return {
            "type": self.kind.type,
            "instance": self.kind.instance,
            "master": self.master,
            "doing": self._doing,
            "since": self._since,
            "holder": self._holder,
            "here": self._here,
            "seen": self._seen,
            "asserted": self._asserted,
            "last": self._last,
            **self.kind.status(),
        }

    # --- the thread

    def _work(self) -> None:
        pause = 0.0
        while not self._stopping:
            if pause > 0:
                with self._changed:
                    order = self._order
                    # An order that was given since the last turn has made something due.
                    if not self._stopping and not (order and self._clock() >= self._due_of_order()):
                        self._changed.wait(pause)
            try:
                pause = self.turn()
            except Exception:  # a mistake in here must not end what keeps the address alive
                with contextlib.suppress(OSError):  # the journal may be gone
                    traceback.print_exc()
                self._tell("thread", f"an error in the agent itself, see its journal: {sys.exc_info()[1]!r}")
                pause = FIRST_PAUSE

    def _due_of_order(self) -> float:
        return self._run_due if self._prepared else self._prepare_due

    def turn(self) -> float:
        """Do the most urgent thing that is due. The seconds until the next one is."""
        with self._changed:
            order, term = self._order, self._term
        now = self._clock()
        if not self._prepared:
            if now >= self._prepare_due:
                self._prepare()
            return max(0.0, self._prepare_due - self._clock()) if not self._prepared else 0.0
        if order:
            if now >= self._run_due:
                self._run(order, term)
                return 0.0
            return self._run_due - now
        for due, act in (
            (self._check_due, self._check),
            (self._preflight_due, self._preflight),
            (self._warm_due, self._warm),
        ):
            if now >= due:
                act()
                return 0.0
        self._do("watching" if self.master else "standing by")
        return min(self._check_due, self._preflight_due, self._warm_due) - now

    def _prepare(self) -> None:
        self._do("finding out who this node is")
        try:
            self.kind.prepare()
        except CloudError as error:
            self._problem("identity", str(error))
            self._prepare_failures += 1
            longest = FIRST_PAUSE if self._order else LONGEST_IDENTITY_PAUSE
            self._prepare_due = self._clock() + min(_pause(self._prepare_failures), longest)
        else:
            self._problem("identity", None)
            self._prepared = True

    def _warm(self) -> None:
        self._warm_due = self._clock() + WARM_EVERY
        try:
            self.kind.warm()
        except CloudError as error:
            self._problem("api", str(error))

    def _preflight(self) -> None:
        self._do("preflight")
        self._preflight_due = self._clock() + max(PREFLIGHT_AGAIN, self.kind.check_interval)
        try:
            problems = self.kind.preflight()
        except CloudError as error:
            problems = [str(error)]
        self._problem("preflight", "; ".join(problems) or None)
        if not problems:
            self._preflight_due = float("inf")

    def _check(self) -> None:
        self._check_due = self._clock() + self._look_interval()
        self._warm_due = self._clock() + WARM_EVERY
        term = self._term
        try:
            seen = self.kind.look()
        except CloudError as error:
            self._looks_failed += 1
            if self._looks_failed == 1:
                self._check_due = self._clock() + FIRST_PAUSE  # every API says no once in a while
            else:
                self._problem("api", str(error))
            return
        except Refused as refused:
            self._looks_failed = 0
            self._problem("api", None)
            self._problem("run", str(refused))
            return
        self._looks_failed = 0
        self._problem("api", None)
        self._saw(seen.holder, seen.mine)
        elsewhere = None
        if self.master and self._term == term:
            if seen.elsewhere and self._contests and self._was_under_way(seen.age):
                # Not more often: if both nodes are masters, they must not go on taking it from each other.
                self._contests -= 1
                self._log("action_repair", reason=f"{seen.holder} got it when this node had it", todo=seen.todo)
                self._run(Order("overtaken", time.monotonic_ns()), term)
                return
            if seen.elsewhere:
                elsewhere = (
                    f"keepalived is MASTER here, and {seen.elsewhere}. The agent takes it only after a transition: let "
                    "keepalived hand over, or see what moved the address"
                )
            if seen.todo:
                if self._clock() >= self._repair_due:
                    self._log("action_repair", reason=seen.why, todo=seen.todo)
                    self._run(Order("repair", time.monotonic_ns()), term)
                    if elsewhere:
                        self._saw(seen.holder, False)
            elif not elsewhere:
                self._repair_failures = 0
                self._problem("run", None)
        else:
            self._problem("run", None)
        self._problem("elsewhere", elsewhere)

    def _run(self, order: Order, term: int) -> None:
        self._do("bringing the address here")
        self._running, self._began_at, self._waits = order, self._clock(), False
        try:
            self._carry_out(order, term)
        finally:
            self._running, self._waits = None, False
            self._ended_at = self._clock()

    def _carry_out(self, order: Order, term: int) -> None:
        started = time.monotonic_ns()
        result: dict[str, Any] = {"why": order.why, "transition": order.transition}

        def wanted() -> bool:
            return self._term == term and not self._stopping

        def sleep(seconds: float) -> None:
            end = self._clock() + seconds
            with self._changed:
                while wanted() and self._clock() < end:
                    self._changed.wait(end - self._clock())

        def notify(event: dict[str, Any]) -> None:
            self._progress(order, event)

        try:
            outcome = self.kind.assert_here(order.why != "repair", wanted, notify, sleep)
        except Stopped as stopped:
            self._ended("action_stopped", order, started, {**result, "reason": self._why_stopped(), **_steps(stopped)})
            self._check_due = 0.0
            return
        except (Refused, Failed, CloudError) as error:
            self._fail(order, started, {**result, "reason": str(error), **_steps(error)}, error)
            return
        except Exception as error:
            traceback.print_exc()
            self._fail(order, started, {**result, "reason": f"an error in the agent itself: {error!r}"}, error)
            return
        with self._changed:
            if self._order is order:
                self._order = None
            if order.transition is not None:
                self._asserted = max(order.transition, self._asserted or 0)
                self._contested_since = self._began_at
                self._contested_until, self._contests = self._clock() + CONTESTED, CONTESTS
        holder = getattr(outcome.after, "holder", None)
        self._repair_failures = 0
        self._saw(holder, True)
        self._problem("run", None)
        self._problem("api", None)
        self._problem("elsewhere", None)
        self._ended(
            "action_done", order, started, {**result, "changed": outcome.changed, "holder": holder, **_steps(outcome)}
        )
        self._check_due = self._clock() + self._look_interval()

    def _was_under_way(self, age: float) -> bool:
        now = self._clock()
        return now < self._contested_until and now - age <= self._contested_since + REQUESTED

    def _look_interval(self) -> float:
        contested = self.master and self._clock() < self._contested_until
        return min(CONTESTED_LOOK, self.kind.check_interval) if contested else self.kind.check_interval

    def _why_stopped(self) -> str:
        if self._stopping:
            return "the agent stops"
        return "a new transition" if self.master else "no longer master"

    def _fail(self, order: Order, started: int, result: dict[str, Any], error: Exception) -> None:
        asked = getattr(getattr(error, "error", error), "retry_after", None) or 0.0
        if order.transition is None:
            # Each attempt changes something, and what keeps it from lasting may stay for days.
            self._repair_failures += 1
            order.failures = self._repair_failures
            pause = max(min(self.kind.check_interval * _pause(order.failures), LONGEST_REPAIR_PAUSE), asked)
            self._repair_due = self._clock() + pause
        else:
            order.failures += 1
            pause = max(min(_pause(order.failures), LONGEST_PAUSE), asked)
            with self._changed:
                if self._order and self._order.why != "transition":
                    self._order.failures = order.failures
                if self._order and (self._order is order or self._order.why != "transition"):
                    self._run_due = self._clock() + pause
        if not self.master:
            self._check_due = 0.0
        observed = getattr(error, "observed", None)
        if observed is not None:
            self._saw(observed.holder, None)
        self._problem("run", result["reason"])
        self._ended("action_failed", order, started, {**result, "failures": order.failures, "again_in_s": pause})
        self._do(f"waiting {pause:.0f} s to try again")

    def _progress(self, order: Order, event: dict[str, Any]) -> None:
        """Write what the engine and the client tell into the log."""
        kind = event.pop("event")
        self._waits = kind == "wait" and event["reason"].startswith(AT_WORK)
        if kind == "mutation":
            if order.first_mutation_ms is None:
                order.first_mutation_ms = order.age_ms()
            return
        if kind == "moved":
            if order.moved_ms is None:
                order.moved_ms = order.age_ms()
                self._log("address_moved", from_transition_ms=order.moved_ms, **event)
            return
        if kind == "step":
            self._do(f"{event['name']} {event['resource']}")
        elif kind == "wait":
            if self._doing == f"waiting {event['reason']}":
                return  # said a second ago
            self._do(f"waiting {event['reason']}")
        self._log("action_step", phase="begin" if kind == "step" else kind, from_transition_ms=order.age_ms(), **event)

    # --- small parts

    def _do(self, what: str) -> None:
        if what != self._doing:
            self._doing, self._since = what, time.time_ns()
            self._news()

    def _saw(self, holder: str | None, mine: bool | None) -> None:
        self._holder, self._here, self._seen = holder, mine, time.time_ns()

    def _problem(self, what: str, text: str | None) -> None:
        self._tell(what, text)

    def _log(self, event: str, **fields: Any) -> None:
        self._record(event, action=self.kind.name, instance=self.kind.instance, **fields)

    def _ended(self, event: str, order: Order, started: int, fields: dict[str, Any]) -> None:
        fields = {
            **fields,
            "first_mutation_ms": order.first_mutation_ms,
            "moved_ms": order.moved_ms,
            "from_transition_ms": order.age_ms(),
            "elapsed_ms": round((time.monotonic_ns() - started) / 1e6, 3),
        }
        self._log(event, **fields)
        self._last = {"result": event.partition("_")[2], "time": time.time_ns(), **fields}
        self._news()


def _steps(ended: Any) -> dict[str, Any]:
    steps = getattr(ended, "steps", None) or ()
    return {
        "steps": [
            {"name": step.name, "resource": step.resource, "ms": round(step.ms, 3), "attempts": step.attempts}
            for step in steps
        ]
    }


def _pause(failures: int) -> float:
    """Doubled with each failure."""
    return float(FIRST_PAUSE * 2 ** min(failures - 1, 10))

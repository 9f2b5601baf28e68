# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The decisions of a worker whose action follows the node's own health: a member of a set serves while it is well.

The node's part of the set is looked at in each interval, and at once when the node's health changes. A change that is
under way goes on when the health changes again: to leave a request to itself would only delay the next one.
"""

from __future__ import annotations

from .machine import LOOK, PROBLEM, WRITE, Machine, Order

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .machine import Command, Moment

WELL = "the node is well"
# The events of a kind that say what it has changed.
CHANGES = PUT_BACK, WITHDRAWN, DROPPED = "route_put_back", "route_withdrawn", "peer_route_deleted"


class Share:
    """A node's part of a set, as a look found it.

    todo: what a repair would do. why: the reason. last: whether the node goes on although it should not serve, because
    nobody else is left.
    """

    def __init__(self, todo: list[str], why: str = "", last: bool = False) -> None:
        self.todo = todo
        self.why = why
        self.last = last


class Membership(Machine):
    """serves: whether this node may get traffic; None: nobody knows yet. why: why not. last: as Share's."""

    usual_check_interval_s = 1

    def __init__(self, check_interval: float, started: Moment) -> None:
        super().__init__(check_interval, started)
        self.serves: bool | None = None
        self.why = "the agent starts"
        self.last_one = False

    def status(self) -> dict[str, Any]:
        return {**super().status(), "wanted": self.serves, "why": self.why, "last_one": self.last_one}

    def follow(self, now: Moment, serves: bool | None, why: str) -> list[Command]:
        known, self.serves, self.why = self.serves, serves, why
        if serves is None or serves == known:
            return []
        self.order = Order(why or WELL, now.at)
        self.prepare_due = self.run_due = self.repair_due = 0.0
        return self._end_term()

    # --- the worker's thread

    def _begin_look(self) -> Command:
        return self._begin(LOOK, self.serves)

    def _carry_out(self, now: Moment, order: Order) -> list[Command]:
        repairs = self._is_repair(order)
        doing = "repairing" if repairs else "coming back" if self.serves else "withdrawing"
        return self._begin_run(now, order, doing, self.serves, not repairs)

    def looked(self, now: Moment, seen: Share) -> list[Command]:
        self.action = None
        self.looks_failed = 0
        self.seen = now.wall_ns
        commands: list[Command] = [(PROBLEM, "api", None)]
        if not self.wanted:  # its health was another one
            return commands
        commands += self._stays(seen.last)
        if not seen.todo:
            self.repair_failures = 0
            commands.append((PROBLEM, "run", None))
        elif now.at >= self.repair_due:
            commands.append((WRITE, "action_repair", {"reason": seen.why, "todo": seen.todo}))
            commands += self._carry_out(now, Order("repair", now.at, seen=seen))
        return commands

    def _stays(self, last: bool) -> list[Command]:
        before, self.last_one = self.last_one, last
        text = f"{self.why}, and this node goes on: nobody else is left" if last else None
        commands: list[Command] = [(PROBLEM, "last", text)]
        if last and not before:
            commands.append((WRITE, "last_member", {"reason": self.why}))
        return commands

    def progress(self, now: Moment, event: dict[str, Any]) -> list[Command]:
        run = self.run
        if run and event["event"] in CHANGES:
            if run.moved_ms is None:
                run.moved_ms = run.age_ms(now)
            told = {"why": run.why, "from_transition_ms": run.age_ms(now)}
            return [(WRITE, event["event"], {**told, **{k: v for k, v in event.items() if k != "event"}})]
        if event["event"] == "moved":  # which of several routes that was is in the kind's own events
            return []
        commands = super().progress(now, event)
        if event["event"] == "retry":  # a run goes on as long as it may take
            commands.append((PROBLEM, "api", event["error"]))
        return commands

    def run_done(self, now: Moment, outcome: Any) -> list[Command]:
        run = self._end_run(now)
        self.repair_failures = 0
        # A repair that does not last is no reason to be busy.
        self.check_due = now.at + self.check_interval if self._is_repair(run) else 0.0
        self.seen = now.wall_ns
        commands: list[Command] = [(PROBLEM, "run", None), (PROBLEM, "api", None)]
        return commands + self._tell_end(now, "action_done", run, changed=outcome.changed, ended=outcome)

    # --- small parts

    def _is_repair(self, run: Order) -> bool:
        return run.seen is not None

    def _stopped_because(self) -> str:
        return self.why or WELL

    def _take_in(self, now: Moment, _observed: Any) -> None:
        self.seen = now.wall_ns

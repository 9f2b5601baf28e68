# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The decisions of a worker whose action follows a VRRP instance: the address is wanted here while this node is the
master.

Only a transition may take the address from a live peer. A repair leaves alone what such a peer has.
"""

from __future__ import annotations

from ..failover.plan import AT_WORK
from .machine import FIRST_PAUSE, PROBLEM, WRITE, Machine, Moment, Order

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .kinds import Seen
    from .machine import Command

LONGEST_IDENTITY_PAUSE = 5.0
AGAIN_EVERY = 1.0
# What a peer had under way when it lost mastership may take effect after all was done here, and take the address away.
# That is what it asked for until REQUESTED seconds after this node began; later it had a reason of its own.
CONTESTED, CONTESTED_LOOK, CONTESTS = 60.0, 2.0, 2
REQUESTED = 3.0
NOT_MASTER = ("BACKUP", "FAULT", "STOP", "DELETED")


class Mastership(Machine):
    """A transition ends a term, and what was begun in it is not wanted then."""

    def __init__(self, check_interval: float, started: Moment) -> None:
        super().__init__(check_interval, started)
        self.master = self.waits_for_peer = False
        self.contested_since = self.contested_until = 0.0
        self.contests = 0
        # For people.
        self.holder: str | None = None
        self.here: bool | None = None
        self.asserted: int | None = None

    def status(self) -> dict[str, Any]:
        keys = ("master", "holder", "here", "asserted")
        return {**super().status(), **{key: getattr(self, key) for key in keys}}

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

    # --- the worker's thread

    def _idle(self) -> str:
        return "watching" if self.master else "standing by"

    def _longest_identity_pause(self) -> float:
        return FIRST_PAUSE if self.order else LONGEST_IDENTITY_PAUSE

    def _carry_out(self, now: Moment, order: Order) -> list[Command]:
        self.waits_for_peer = False
        return self._begin_run(now, order, "bringing the address here", order.why != "repair")

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
        if self.run:
            self.waits_for_peer = event["event"] == "wait" and event["reason"].startswith(AT_WORK)
        return super().progress(now, event)

    def run_done(self, now: Moment, outcome: Any) -> list[Command]:
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

    def run_failed(self, now: Moment, error: Exception, reason: str) -> list[Command]:
        commands = super().run_failed(now, error, reason)
        if not self.master:
            self.check_due = 0.0
        return commands

    # --- small parts

    def _is_repair(self, run: Order) -> bool:
        return run.transition is None

    def _stopped_because(self) -> str:
        return "a new transition" if self.master else "no longer master"

    def _take_in(self, now: Moment, observed: Any) -> None:
        self._saw(now, observed.holder, None)

    def _try_again(self, run: Order, due: float) -> None:
        """A transition that has come meanwhile is followed at once, and a loss of mastership ends it all."""
        if self.order and self.order.why != "transition":
            self.order.failures = run.failures
            self.run_due = due
        else:
            super()._try_again(run, due)

    def _was_under_way(self, now: Moment, age: float) -> bool:
        return bool(now.at < self.contested_until and now.at - age <= self.contested_since + REQUESTED)

    def _look_interval(self, now: Moment) -> float:
        contested = self.master and now.at < self.contested_until
        return min(CONTESTED_LOOK, self.check_interval) if contested else self.check_interval

    def _saw(self, now: Moment, holder: str | None, mine: bool | None) -> None:
        self.holder, self.here, self.seen = holder, mine, now.wall_ns

    def _tell_end(self, now: Moment, event: str, run: Order, ended: Any, **result: Any) -> list[Command]:
        if run.seen and run.seen.elsewhere:
            self._saw(now, run.seen.holder, False)
        return super()._tell_end(now, event, run, ended, **result)

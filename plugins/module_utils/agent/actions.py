# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The agent's changes to the cloud, and its repairs afterwards.

Each action has a thread of its own, so that a slow API delays no health check. A machine (``machine.py``) decides what
the thread does and when. The news of keepalived and of the health checks come from the agent's loop, and are no more to
it than a change of the machine's state.
"""

from __future__ import annotations

import contextlib
import threading
import time
import traceback

from ..base.errors import CloudError
from ..failover.engine import Failed, Refused, Stopped
from . import machine
from .machine import FIRST_PAUSE, Moment

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from .kinds import Mover
    from .machine import Command


class Worker:
    """``record`` writes an event, ``tell`` says or takes back a problem, ``news`` asks for a new status file.

    All three are called from the worker's thread.
    """

    def __init__(
        self,
        kind: Mover,
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
        self._whose = {"action": kind.name, **({"instance": kind.instance} if kind.instance else {})}
        self._followed: tuple[bool | None, str] | None = None  # the node's health, as the machine knows it
        self._machine = kind.machine(kind.check_interval, self._now())
        self._turn = threading.Lock()  # of the machine: it is held for no longer than the machine decides
        self._happened = threading.Event()  # something in the agent's loop, since the last turn
        self._cancelled = threading.Event()  # the run under way
        self._thread: threading.Thread | None = None
        self._actions: dict[str, Callable[..., list[Command]]] = {
            machine.PREPARE: self._prepare,
            machine.LOOK: self._look,
            machine.PREFLIGHT: self._preflight,
            machine.WARM: self._warm,
            machine.RUN: self._run,
        }

    # --- called by the agent's loop

    def begin(self, master: dict[str, Any] | None, asserted: int | None) -> None:
        """Before the start; see Mastership.begin."""
        self._decide(self._machine.begin, master, asserted)

    def start(self) -> None:
        self._thread = threading.Thread(target=self._work, name=self.kind.name, daemon=True)
        self._thread.start()

    def transition(self, record: dict[str, Any]) -> None:
        if record["kind"] == "INSTANCE" and record["name"] == self.kind.instance:
            self._happens(self._machine.transition, record["state"], record["seq"], record["mono_ns"] / 1e9)

    def keepalived_ended(self) -> None:
        self._happens(self._machine.keepalived_ended)

    def follow(self, serves: bool | None, why: str) -> None:
        """Whether this node may get traffic, and why not; None: nobody knows yet."""
        if self._followed != (serves, why):
            self._followed = serves, why
            self._happens(self._machine.follow, serves, why)

    def stop(self) -> None:
        self._happens(self._machine.stop)

    def join(self, patience: float) -> None:
        """Wait for the thread's end, so many seconds at most."""
        if self._thread:
            self._thread.join(patience)

    def status(self) -> dict[str, Any]:
        with self._turn:
            state = self._machine.status()
        return {"type": self.kind.type, "instance": self.kind.instance or None, **state, **self.kind.status()}

    def _happens(self, event: Callable[..., list[Command]], *details: Any) -> None:
        self._decide(event, *details)
        self._happened.set()

    # --- the machine

    def _now(self) -> Moment:
        return Moment(self._clock(), time.time_ns())

    def _decide(self, event: Callable[..., list[Command]], *details: Any) -> list[Command]:
        """Tell the machine of an event. The commands that follow from it."""
        with self._turn:
            commands = event(self._now(), *details)
            # At once: a moment later it could be another run that is cancelled.
            for do, *_details in commands:
                if do == machine.CANCEL:
                    self._cancelled.set()
                elif do == machine.RUN:
                    self._cancelled.clear()
        return commands

    def _carry_out(self, commands: list[Command]) -> Command:
        """Write and tell. The last command, which may be left to do."""
        for do, *details in commands:
            if do == machine.WRITE:
                event, fields = details
                self._record(event, **self._whose, **fields)
            elif do == machine.PROBLEM:
                self._tell(*details)
            elif do == machine.NEWS:
                self._news()
        return commands[-1] if commands else (machine.WAIT, 0.0)

    # --- the thread

    def _work(self) -> None:
        while not self._machine.stopping:
            self._happened.clear()
            try:
                pause = self.turn()
            except Exception as error:  # a mistake in here must not end what keeps the address alive
                _print_traceback()
                self._carry_out(self._decide(self._machine.mistake, error))
                pause = FIRST_PAUSE
            self._happened.wait(pause)

    def turn(self) -> float:
        """Do the most urgent thing that is due. The seconds until the next one is."""
        do, *details = self._carry_out(self._decide(self._machine.tick))
        while do in self._actions:
            do, *details = self._carry_out(self._actions[do](*details))
        return details[0] if do == machine.WAIT else 0.0

    def _prepare(self) -> list[Command]:
        try:
            self.kind.prepare()
        except CloudError as error:
            return self._decide(self._machine.prepare_ended, str(error))
        return self._decide(self._machine.prepare_ended, None)

    def _warm(self) -> list[Command]:
        try:
            self.kind.warm()
        except CloudError as error:
            return self._decide(self._machine.warm_ended, str(error))
        return self._decide(self._machine.warm_ended, None)

    def _preflight(self) -> list[Command]:
        try:
            problems = self.kind.preflight()
        except CloudError as error:
            problems = [str(error)]
        return self._decide(self._machine.preflight_ended, problems)

    def _look(self, *how: Any) -> list[Command]:
        try:
            seen = self.kind.look(*how)
        except CloudError as error:
            return self._decide(self._machine.look_failed, str(error))
        except Refused as refused:
            return self._decide(self._machine.look_refused, str(refused))
        return self._decide(self._machine.looked, seen)

    def _run(self, *how: Any) -> list[Command]:
        def notify(event: dict[str, Any]) -> None:
            self._carry_out(self._decide(self._machine.progress, event))

        def wanted() -> bool:
            return not self._cancelled.is_set()

        def sleep(seconds: float) -> None:
            self._cancelled.wait(seconds)

        try:
            outcome = self.kind.reach(*how, wanted, notify, sleep)
        except Stopped as stopped:
            return self._decide(self._machine.run_stopped, stopped)
        except (Refused, Failed, CloudError) as error:
            return self._decide(self._machine.run_failed, error, str(error))
        except Exception as error:
            _print_traceback()
            return self._decide(self._machine.run_failed, error, f"an error in the agent itself: {error!r}")
        return self._decide(self._machine.run_done, outcome)


def _print_traceback() -> None:
    with contextlib.suppress(OSError):  # the journal may be gone
        traceback.print_exc()

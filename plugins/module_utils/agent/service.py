# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The service: reads keepalived's FIFO, runs the checks, writes verdicts, keeps the event log and the status file.

Where a node has no keepalived, the agent does all the rest.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import resource
import signal
import socket
import sys
import time
from collections import deque

from . import checks, guard, keepalived, kinds, lock, systemd, verdict
from .drain import Drain
from .events import EventLog
from .fifo import Fifo, Spool, parse_line
from .loop import READ, Loop, in_one_line
from .netlink import Addresses
from .runner import Runner, failed_verdicts
from .states import apply_transition, last_states

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from .actions import Worker
    from .config import Config

    Listener = Callable[[dict[str, Any]], None]

TICK = 0.25
STATUS_EVERY = 1.0
PATIENCE = 1.0  # at the end, with all actions that are under way; the unit's TimeoutStopSec is longer
PROBLEM_LIMIT = 2000
RENEWED = "renewed"


class Agent:
    """``listeners`` are called with each transition, in order, after it is in the event log."""

    def __init__(self, config: Config, listeners: tuple[Listener, ...] = ()) -> None:
        self.config = config
        self.listeners = listeners
        self.loop = Loop()
        self.stopping = False
        self.started = time.time_ns(), time.monotonic_ns()
        self.lock = lock.take(config.state_dir)
        self.log = EventLog(config.event_log, config.node, config.event_log_max_mb << 20)
        self.spool = Spool(os.path.join(config.state_dir, "spool"), self.log.spool_read)
        self.fifo = Fifo(config.fifo)
        self.fifo_watched: int | None = None
        self.states, self.asserted = last_states(config)
        self.addresses = Addresses()
        self.watched = {address: instance.name for instance in config.instances for address in instance.addresses}
        self.held: dict[str, str] = {}
        self.keepalived: keepalived.Process | None = None
        self.runners = [Runner(self, check) for check in config.checks]
        self.drain = Drain(config.drain_file)
        self.workers: list[Worker] = []
        self.followers: list[Any] = []
        for action in config.actions:
            kind: Any = kinds.find(action.type)
            if issubclass(kind, kinds.Follower):
                self.followers.append(kind(action, self))
            else:
                self.workers.append(_worker(self, kind(action)))
        self.calls: deque[Callable[[], None]] = deque()  # of other threads
        self.problems: dict[str, str] = {}
        self.news = False  # something that the status file does not tell yet
        self.status_due = 0.0
        self.guard_heard = time.monotonic()

    def run(self) -> None:
        """Until SIGTERM."""
        self._catch_signals()
        self._remove_old_verdicts()
        # Says where in the spool this agent begins, before anything more gets into it.
        self.log.append(
            "agent_start",
            spool=self.spool.read,
            pid=os.getpid(),
            checks={runner.check.name: bool(runner.verdict.healthy) for runner in self.runners},
        )
        self._consume(backlog=True)
        self._reopen_fifo()
        self._find_keepalived()
        self._observe()
        self.loop.watch(self.addresses.socket, READ, self._addresses_changed)
        self._ask_for_time()
        for runner in self.runners:
            runner.begin()
        self._tick()
        for worker in self.workers:
            worker.begin(self.mastership(worker.kind.instance), self.asserted.get(worker.kind.name))
            worker.start()
        systemd.tell("READY=1")
        while not self.stopping:
            self.loop.turn()
            if self.news:
                self._follow()
                self._write_status()
        for follower in self.followers:
            follower.stop()
        self._read_fifo()
        for worker in self.workers:
            worker.stop()
        deadline = time.monotonic() + PATIENCE
        for worker in self.workers:
            worker.join(max(0.0, deadline - time.monotonic()))
        self.log.append("agent_stop", pid=os.getpid())
        self.log.sync()
        self._write_status()

    # --- keepalived's FIFO

    def _reopen_fifo(self) -> None:
        if not self.config.keepalived:
            return
        if not self.fifo.replaced():
            if self.fifo.fd is None:
                self.problem("fifo", f"{self.config.fifo} is not there: systemd-tmpfiles or keepalived makes it")
            return
        if self.fifo.fd is not None:
            self._read_fifo()  # what keepalived wrote before it removed this one
            self._watch_fifo(False)
        try:
            self.fifo.open()
        except OSError as error:
            self.problem("fifo", f"{self.config.fifo}: {error.strerror}")
            return
        self.problem("fifo", None)
        # Lines that were waiting have the time when they were read, not when keepalived wrote them.
        self._read_fifo(backlog=True)

    def _read_fifo(self, backlog: bool = False) -> None:
        # The spool is filled again only when the log has all of it (fifo.MOVE_LIMIT); till then lines wait in the FIFO.
        logged = self._consume(backlog)
        while logged and self.fifo.fd is not None and self.spool.fill(self.fifo.fd):
            logged = self._consume(backlog)
        self._watch_fifo(logged)

    def _watch_fifo(self, wanted: bool) -> None:
        fd = self.fifo.fd if wanted else None
        if fd != self.fifo_watched:
            if self.fifo_watched is not None:
                self.loop.unwatch(self.fifo_watched)
            if fd is not None:
                self.loop.watch(fd, READ, self._read_fifo)
            self.fifo_watched = fd

    def _consume(self, backlog: bool = False) -> bool:
        """Log the lines in the spool; false when the log cannot be written."""
        for line, end in self.spool.lines():
            event, fields = parse_line(line)
            if backlog:
                fields["backlog"] = True
            record = self.record(event, spool=end, **fields)
            if not record:
                return False
            self.spool.read = end
            if event == "transition":
                self._transition(record)
        return True

    def _transition(self, record: dict[str, Any]) -> None:
        apply_transition(self.states, record)
        for worker in self.workers:
            worker.transition(record)
        for listener in self.listeners:
            listener(record)
        self.news = True

    # --- what is really there

    def _observe(self) -> None:
        """After a start: what was missed while nobody read the FIFO shows in the addresses."""
        held = self.addresses.held
        self.held = {address: held[address] for address in self.watched if address in held}
        instances = {}
        for instance in self.config.instances:
            logged = self.states.get(f"INSTANCE {instance.name}")
            holds = bool(instance.addresses) and all(address in self.held for address in instance.addresses)
            instances[instance.name] = {
                "holds": holds,
                "logged": logged["state"] if logged else None,
                "agrees": logged is None or not instance.addresses or (logged["state"] == "MASTER") == holds,
            }
        self.record(
            "observed",
            keepalived=self.keepalived.pid if self.keepalived else None,
            addresses={address: self.held.get(address) for address in self.watched},
            instances=instances,
        )

    def _addresses_changed(self) -> None:
        self.addresses.update()
        for address in self.watched:
            before, now = self.held.get(address), self.addresses.held.get(address)
            if before == now:
                continue
            self.record("address", address=address, held=now is not None, interface=now or before)
            if now is None:
                del self.held[address]
            else:
                self.held[address] = now
            self.news = True

    def _find_keepalived(self) -> bool:
        """Watch keepalived's process, if there is one that is not watched; true if there was."""
        if self.keepalived or not self.config.keepalived:
            return False
        self.keepalived = keepalived.find(self.config.keepalived_pid_file)
        if self.keepalived:
            self.loop.watch(self.keepalived.descriptor, READ, self._keepalived_ended)
        return self.keepalived is not None

    def _keepalived_ended(self) -> None:
        if self.keepalived is None:
            return
        pid, descriptor = self.keepalived.pid, self.keepalived.descriptor
        self.loop.unwatch(descriptor)
        os.close(descriptor)
        self.keepalived = None
        self._read_fifo()  # its last words come before its end
        for worker in self.workers:
            worker.keepalived_ended()
        self.record("keepalived", running=False, pid=pid)
        self.news = True

    def mastership(self, instance: str) -> dict[str, Any] | None:
        """What the log knows of it, if the keepalived that runs now is the one that said so."""
        state = self.states.get(f"INSTANCE {instance}", {})
        if state.get("state") != "MASTER" or not self.keepalived:
            return None
        started = self.keepalived.started_ns()
        return state if started is not None and started <= state.get("mono", 0) + 1_000_000_000 else None

    def keepalived_stopped(self) -> bool:
        """Whether it cannot say anything, as somebody has stopped it: the others have another master soon."""
        return self.keepalived is not None and self.keepalived.stopped()

    def _follow(self) -> None:
        for follower in self.followers:
            follower.look()
        for worker in self.workers:
            worker.follow(*self.serves())

    def serves(self) -> tuple[bool | None, str]:
        """Whether this node may get traffic, and why not; None: nobody knows yet."""
        if self.drain.why:
            return False, self.drain.why
        if not all(runner.settled for runner in self.runners):
            return None, "the checks have not ended yet"
        failed = failed_verdicts(self.runners)
        return not failed, failed

    def _read_drain(self) -> None:
        if self.drain.read():
            self.record("drain", number=self.drain.number)
            self.news = True

    # --- every quarter of a second

    def _tick(self) -> None:
        now = time.monotonic()
        self.loop.at(now + TICK, self._tick)
        systemd.tell("WATCHDOG=1")
        self._reopen_fifo()
        if self.fifo.fd is not None and self.fifo_watched is None:
            self._read_fifo()  # the log could not be written a moment ago
        if self._find_keepalived() and self.keepalived:
            self.record("keepalived", running=True, pid=self.keepalived.pid)
        checks.reap()
        self.drain.watch()
        self._read_drain()
        self._follow()
        renewed = self.renew()
        if now >= self.status_due:
            self.status_due = now + STATUS_EVERY
            for runner in self.runners:
                if renewed:  # otherwise the watch may be right
                    runner.repair()
            self._ask_guard()
            self._forget_removed()
            self._write_status()

    def _longest(self) -> int:
        """Seconds that an attempt may take."""
        return math.ceil(max((runner.check.timeout for runner in self.runners), default=0.0))

    def _ask_for_time(self) -> None:
        """Have the watch wait for this agent's first attempts, which may take longer than its predecessor's.

        That renews nothing: what was renewed last stays, so that agents which die one after the other get no more time.
        """
        path = os.path.join(self.config.state_dir, RENEWED)
        with contextlib.suppress(OSError, ValueError):
            with open(path, encoding="ascii") as file:
                renewed, longest = map(int, file.read(64).split())
            verdict.write(path, f"{renewed} {max(longest, self._longest())}\n")

    def renew(self) -> bool:
        """Tell the watch (the role's file watch), which outlives this agent, that the verdicts are of now.

        Not before each check has come to an end: an agent that dies of its first attempts renews nothing.
        """
        if not all(runner.last for runner in self.runners):
            return False
        # The agent after this one takes as long until it knows.
        try:
            verdict.write(os.path.join(self.config.state_dir, RENEWED), f"{time.monotonic_ns()} {self._longest()}\n")
        except OSError as error:
            self.problem(
                "renewed",
                f"{error.filename}: {error.strerror}, so that the verdicts count as failed soon: make room in /run, or "
                "restart the agent",
            )
            return False
        self.problem("renewed", None)
        return True

    def _ask_guard(self) -> None:
        """Some facts of keepalived only root can see: its guard tells them, where the role keepalived has laid
        one."""
        now = time.monotonic()
        age, problems = guard.last_word(self.config.keepalived_health, self.config.keepalived_guard)
        # One that starts with keepalived, or with this agent, has as much time as one that is silent.
        heard = now if age is None or not self.keepalived else now - age
        self.guard_heard = max(self.guard_heard, heard)
        if now - self.guard_heard > guard.SILENT:
            problems = [guard.PROBLEM]
        self.problem("keepalived", "; ".join(problems) if self.keepalived else None)

    def _forget_removed(self) -> None:
        """Of an instance that a reload removes, keepalived 2.2 says FAULT, and nothing more."""
        known = guard.in_force(self.config.keepalived_health)
        if not known:
            return
        since, members = known
        wanted = {*members, *(f"INSTANCE {instance.name}" for instance in self.config.instances)}
        for name in [name for name, state in self.states.items() if name not in wanted and state["since"] < since]:
            del self.states[name]
            self.news = True

    def _write_status(self) -> None:
        self.news = False
        status = {
            "time": time.time_ns(),
            "mono": time.monotonic_ns(),
            "pid": os.getpid(),
            "started": self.started[0],
            "started_mono": self.started[1],
            "rss_kib": _resident_kib(),
            "rss_peak_kib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
            "node": self.config.node,
            "seq": self.log.seq,
            "keepalived": self.keepalived.pid if self.keepalived else None,
            "states": self.states,
            "addresses": {address: self.held.get(address) for address in self.watched},
            "checks": {runner.check.name: runner.status() for runner in self.runners},
            "actions": {
                **{worker.kind.name: worker.status() for worker in self.workers},
                **{
                    each.name: {"type": each.type, "instance": each.instance, **each.status()}
                    for each in self.followers
                },
            },
            "drain": self.drain.number,
            "problems": self.problems,
        }
        try:
            verdict.write(os.path.join(self.config.state_dir, "status.json"), json.dumps(status) + "\n")
        except OSError as error:
            self.problem("status", f"{error.filename}: {error.strerror}")
        else:
            self.problem("status", None)

    # --- small parts

    def record(self, event: str, **fields: Any) -> dict[str, Any] | None:
        """Log an event. A full disk must not stop the checks: transitions wait in the spool, others are lost."""
        try:
            record = self.log.append(event, **fields)
        except OSError as error:
            self.problem("event_log", f"{self.config.event_log}: {error.strerror}")
            return None
        self.problem("event_log", None)
        return record

    def problem(self, what: str, text: str | None) -> None:
        """Remember the problem, and tell the journal once."""
        text = in_one_line(text, PROBLEM_LIMIT) if text else None
        if text and self.problems.get(what) != text:
            self.problems[what] = text
            _say(f"{what}: {text}")
        elif not text and what in self.problems:
            del self.problems[what]
            _say(f"{what}: good again")

    def call(self, function: Callable[[], None]) -> None:
        """Have a function called by the loop; for other threads."""
        self.calls.append(function)
        with contextlib.suppress(BlockingIOError):  # full of wake-up calls: it wakes up
            self._wake[1].send(b"\0")

    def record_of_thread(self, event: str, **fields: Any) -> None:
        """As record, for other threads: at once, so that the time is right and a kill loses nothing."""
        try:
            self.log.append(event, **fields)
        except OSError as error:
            text = f"{self.config.event_log}: {error.strerror}"
            self.call(lambda: self.problem("event_log", text))

    def _has_news(self) -> None:
        self.news = True

    def _remove_old_verdicts(self) -> None:
        """Of checks that are configured no more."""
        names = {runner.check.name for runner in self.runners}
        for name in os.listdir(self.config.check_dir):
            if name not in names:
                with contextlib.suppress(OSError):
                    os.unlink(os.path.join(self.config.check_dir, name))

    def _catch_signals(self) -> None:
        def stop(_number: int, _frame: Any) -> None:
            self.stopping = True

        def woken() -> None:
            receiver.recv(64)
            while self.calls:
                self.calls.popleft()()
            self._read_drain()  # one of the signals

        receiver, sender = socket.socketpair()
        for end in (receiver, sender):
            end.setblocking(False)
        signal.set_wakeup_fd(sender.fileno())
        self._wake = receiver, sender
        self.loop.watch(receiver, READ, woken)
        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGINT, stop)


def _worker(agent: Agent, kind: kinds.Mover) -> Worker:
    # Imported only for who has such an action: HTTP and TLS cost 8 MiB.
    from .actions import Worker

    def tell(what: str, text: str | None) -> None:
        agent.call(lambda: agent.problem(f"{kind.name}: {what}", text))

    return Worker(kind, agent.record_of_thread, tell, lambda: agent.call(agent._has_news))


def _say(text: str) -> None:
    """To the journal, which may be gone."""
    with contextlib.suppress(OSError):
        sys.stderr.write(text + "\n")
        sys.stderr.flush()


def _resident_kib() -> int:
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * resource.getpagesize() // 1024

# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs one check again and again, and writes its verdict."""

from __future__ import annotations

import os
import time

from . import checks, verdict
from .loop import Failed, Timeout

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from .config import Check
    from .service import Agent

ATTEMPTS: dict[str, Any] = {"http": checks.http, "tcp": checks.tcp, "command": checks.command}


def failed_verdicts(runners: Iterable[Runner]) -> str:
    """Which are failed, in words; empty if none is."""
    failed = [runner.check.name for runner in runners if not runner.verdict.healthy]
    return f"the verdict of {', '.join(failed)} is failed" if failed else ""


class Runner:
    """One check, again and again.

    settled: whether its attempts have confirmed or changed the verdict that it began with. That may be one of the agent
    before this one, or of the watch, which fails the verdicts of an agent that is away.
    """

    def __init__(self, agent: Agent, check: Check) -> None:
        self.agent = agent
        self.check = check
        self.path = os.path.join(agent.config.check_dir, check.name)
        # The verdict of the agent before this one stands until the attempts say otherwise: an upgrade changes nothing.
        self.verdict = verdict.Verdict(check.fall, check.rise, verdict.read(self.path))
        self.since = time.time_ns() if self.verdict.healthy is None else os.stat(self.path).st_mtime_ns
        self.attempt_started = 0.0
        self.last: dict[str, Any] | None = None
        self.settled = False

    def begin(self) -> None:
        self.repair()
        self._attempt()

    def repair(self) -> None:
        """Write the verdict if its file says something else: it was removed, or could not be written."""
        if verdict.read(self.path) is not bool(self.verdict.healthy):
            self._write_verdict()

    def _attempt(self) -> None:
        self.attempt_started = time.monotonic()
        self.agent.loop.run(ATTEMPTS[self.check.type](self.check), self.check.timeout, self._done)

    def _done(self, failed: Failed | None) -> None:
        now = time.monotonic()
        reason = str(failed) if failed else "ok"
        duration_ms = round((now - self.attempt_started) * 1000, 3)
        changed = self.verdict.add(failed is None)
        if not self.verdict.streak:
            self.settled = True
        if changed:
            self._write_verdict()
            self.since = time.time_ns()
            self.agent.record(
                "check",
                check=self.check.name,
                healthy=self.verdict.healthy,
                reason=reason,
                duration_ms=duration_ms,
            )
            self.agent.news = True
        first = self.last is None
        self.last = {"ok": failed is None, "reason": reason, "duration_ms": duration_ms, "time": time.time_ns()}
        if first:
            self.agent.renew()
        # A time-out has used up its interval: try again at once, unless the verdict has fallen already.
        again_at_once = isinstance(failed, Timeout) and self.verdict.healthy
        due = now if again_at_once else max(now, self.attempt_started + self.check.interval)
        self.agent.loop.at(due, self._attempt)

    def _write_verdict(self) -> None:
        try:
            verdict.write(self.path, verdict.HEALTHY if self.verdict.healthy else verdict.FAILED)
        except OSError as error:
            self.agent.problem(f"check {self.check.name}", f"{error.filename}: {error.strerror}")
        else:
            self.agent.problem(f"check {self.check.name}", None)

    def status(self) -> dict[str, Any]:
        return {"healthy": bool(self.verdict.healthy), "since": self.since, "type": self.check.type, "last": self.last}

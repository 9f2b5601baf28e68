# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping
from typing import Any

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: demo_progress
type: aggregate
short_description: Tell in a line per fault how far a drill is
description:
  - Prints lines that begin with C(PROGRESS), which tests/demo shows while the rest goes to its log.
  - C(PROGRESS now) is what is being done at the moment, C(PROGRESS done) is worth keeping.
requirements:
  - enable it in E(ANSIBLE_CALLBACKS_ENABLED)
"""

# How long a fault takes, until the first one is over and it is known.
USUAL_S = 20
# Tasks of the role drill, up to the colon -> what they are to somebody who watches.
PHASES = {
    "Inject": "breaking it",
    "Wait for another node to answer": "waiting for another node to answer",
    "Audit": "counting who holds the address",
    "Repair": "repairing it",
    "Fail back": "moving the address back",
    "Move the address back": "moving the address back",
    "Wait for the end": "waiting until clients are served as before",
    "Repair all the same": "repairing it, as something went wrong",
}
EACH_FAULT = "Break, measure, mend"
BEGIN, END = "Begin", "Keep the record"
ANSWERS = "Wait until clients get good answers"


def duration(seconds: float) -> str:
    """As one says it."""
    seconds = round(seconds)
    return f"{seconds} s" if seconds < 100 else f"{seconds // 60} min {seconds % 60:02d} s"


class Progress:
    """What to tell of a drill, from the names of its tasks and a few results."""

    def __init__(self, tell: Callable[[str], object], clock: Callable[[], float] = time.monotonic) -> None:
        self._tell = tell
        self._clock = clock
        self._began = clock()
        self._spent = 0.0  # on the faults that are done
        self.total = self._done = 0
        self._fault = self._phase = self._answered = ""
        self._injected = 0
        self._failed = False

    def task(self, name: str) -> None:
        """A task begins."""
        what, _colon, where = name.rpartition(" : ")[2].partition(": ")
        if what == BEGIN:
            self._fault, self._answered, self._injected, self._failed = where, "", 0, False
            self._began = self._clock()
            self._phase = "beginning"
            self._tell(f"begin {self._line()}")
        elif what == END and self._fault:
            self._done += 1
            took = self._clock() - self._began
            self._spent += took
            self._phase = ""
            said = "FAILED" if self._failed else self._answered or "done"
            self._tell(f"done {self._place(self._done)}{self._fault}: {said} ({duration(took)}{self._left()})")
            self._fault = ""
        elif what in PHASES and self._fault:
            self._phase = PHASES[what]
            self._fault = where or self._fault
            self._failed = self._failed or what == "Repair all the same"
            self._tell(f"now {self._line()}")

    def included(self) -> None:
        """One more fault is to come."""
        self.total += 1

    def result(self, name: str, result: Mapping[str, Any]) -> None:
        """A task has ended well."""
        stdout = str(result.get("stdout") or "")
        stamps = [line for line in stdout.splitlines() if re.fullmatch(r"\d{19}", line)]
        if stamps and not self._injected:
            self._injected = int(stamps[-1])
        if ANSWERS in name and self._phase == PHASES["Wait for another node to answer"] and self._injected:
            try:
                found = json.loads(stdout)
                after = (found["first"] - self._injected) / 1e6
                lost = found["lost"]
                by = found["by"] or "another node"
            except (ValueError, KeyError, TypeError):
                return
            self._answered = f"{by} answers after {max(after, 0):,.0f} ms, {lost} of {found['requests']} requests lost"

    def _place(self, number: int) -> str:
        return f"{number} of {self.total}: " if self.total else ""

    def _line(self) -> str:
        return f"{self._place(self._done + 1)}{self._fault}: {self._phase}{self._left()}"

    def _left(self) -> str:
        if not self.total or self._done >= self.total:
            return ""
        one = self._spent / self._done if self._done else USUAL_S
        running = self._clock() - self._began if self._phase else 0
        return f"; about {duration(max(one * (self.total - self._done) - running, 1))} to go"


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "demo_progress"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self) -> None:
        super().__init__()
        self._progress: Progress | None = None

    @property
    def progress(self) -> Progress:
        """Begins with the first task."""
        self._progress = self._progress or Progress(lambda text: self._display.display(f"PROGRESS {text}"))
        return self._progress

    def v2_playbook_on_task_start(self, task: Any, is_conditional: bool) -> None:
        self.progress.task(task.get_name())

    def v2_playbook_on_include(self, included_file: Any) -> None:
        if EACH_FAULT in included_file._task.get_name():
            self.progress.included()

    def v2_runner_on_ok(self, result: Any) -> None:
        self._seen(result)

    def v2_runner_item_on_ok(self, result: Any) -> None:
        self._seen(result)

    def _seen(self, result: Any) -> None:
        # Public since ansible-core 2.19.
        task = getattr(result, "task", None) or result._task
        values = getattr(result, "result", None) or result._result
        self.progress.result(task.get_name(), values)

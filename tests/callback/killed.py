# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
import os
import signal
import threading
from pathlib import Path
from typing import Any, NoReturn

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: killed
type: aggregate
short_description: Kill a run at one of its tasks
description:
  - As AWX does it when a job is cancelled. Nothing of the run gets to say or do anything more.
  - Writes a line for each task that begins, with its number and its name, and for each that changes something.
requirements:
  - enable it in E(ANSIBLE_CALLBACKS_ENABLED)
  - E(KILLED_LOG), the file for the lines
  - E(KILLED_AT), the number of the task, from 1 on, or its name; without it the run goes to its end
  - E(KILLED_AFTER_MS), how long after the task has begun; by default before anything of it is done
"""


def children(parent: int) -> list[int]:
    """Processes below this one, the workers of Ansible, which have sessions of their own, and what they run."""
    below: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # has just ended
            # Behind the name, which may hold anything.
            below.setdefault(int((entry / "stat").read_text().rpartition(")")[2].split()[1]), []).append(
                int(entry.name)
            )
    found, todo = [], [parent]
    while todo:
        new = below.get(todo.pop(), [])
        found += new
        todo += new
    return found


def kill_everything() -> NoReturn:
    for pid in children(os.getpid()):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("unreachable")


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "killed"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self) -> None:
        super().__init__()
        self._log = Path(os.environ["KILLED_LOG"])
        self._at = os.environ.get("KILLED_AT", "0")
        self._after_s = int(os.environ.get("KILLED_AFTER_MS", "0")) / 1000
        self._number = 0

    def _write(self, line: str) -> None:
        with self._log.open("a") as file:
            file.write(line + "\n")

    def v2_playbook_on_task_start(self, task: Any, is_conditional: bool) -> None:
        self._number += 1
        self._write(f"{self._number} {task.get_name()}")
        if self._at in (str(self._number), task.get_name()):
            if self._after_s:
                threading.Timer(self._after_s, kill_everything).start()
            else:
                kill_everything()

    def v2_playbook_on_handler_task_start(self, task: Any) -> None:
        self.v2_playbook_on_task_start(task, False)

    def v2_runner_on_ok(self, result: Any) -> None:
        # Public since ansible-core 2.19.
        values = getattr(result, "result", None) or result._result
        if values.get("changed"):
            self._write(f"changed {self._number}")

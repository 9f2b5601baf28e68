# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs of a playbook that are killed at one of their tasks."""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from pair import Pair


@dataclass
class Run:
    """What a run did, until its end or until it was killed."""

    done: subprocess.CompletedProcess[str]
    # In their order; the first task has the number 1.
    tasks: list[str]
    # Numbers of those that changed something.
    changed: list[int]


def run(pair: Pair, playbook: str, *words: str, at: int | str = 0, after_ms: int = 0, **variables: object) -> Run:
    """at: number or name of the task at which the run is killed, or 0. after_ms: how long after the task has begun."""
    log: Path = pair.scratch / "killed.log"
    log.unlink(missing_ok=True)
    done = subprocess.run(
        pair.command(playbook, *words, **variables),
        cwd=pair.scratch,
        env={
            **os.environ,
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_CALLBACKS_ENABLED": "killed",
            "KILLED_LOG": str(log),
            "KILLED_AT": str(at),
            "KILLED_AFTER_MS": str(after_ms),
        },
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    lines = log.read_text().splitlines()
    tasks = [line.partition(" ")[2] for line in lines if re.match(r"\d", line)]
    assert isinstance(at, int) or at in tasks, f"no task has the name {at!r}: {tasks}"
    changed = sorted({int(line.split()[1]) for line in lines if line.startswith("changed ")})
    return Run(done, tasks, changed)

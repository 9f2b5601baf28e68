# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The owners of locks: the name of this run of Ansible, and whether the run with another name has ended.

A process ID may be taken again, and each container counts its own. So a name also has the start of the process, in the
kernel's ticks since boot, and a digest of the boot and of the PID namespace. Only in the same one can a run be judged.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import re
from pathlib import Path
from typing import NamedTuple

PROC = Path("/proc")
_OWNER = re.compile(
    r"(?P<who>.*) \(since [^ ,]+, (?:process (?P<process>\d+), run (?P<start>\d+)-(?P<place>[0-9a-f]+)"
    r"|AWX job (?P<job>\d+) of template (?P<template>\d+))\)"
)


class Verdict(NamedTuple):
    """Whether the run has ended; and what its owner may do if not."""

    ended: bool
    advice: str = ""


def name(since: str, job: int | None = None, template: int | None = None) -> str:
    """How the name of an owner ends."""
    if job is None:
        # Filters run in workers, which Ansible forks for each task.
        parent = multiprocessing.parent_process()
        process = os.getpid() if parent is None else parent.pid or 0
        said = f"process {process}, run {(_look(process) or ('', '0'))[1]}-{_place()}"
    else:
        said = f"AWX job {job}" + ("" if template is None else f" of template {template}")
    return f"(since {since}, {said})"


def judge(held: str, own: str) -> Verdict:
    """The run whose lock is named held, as the run with the name own sees it. What cannot be known is not ended."""
    found, mine = _OWNER.fullmatch(held), _OWNER.fullmatch(own)
    if not (found and mine and found["who"] == mine["who"]):
        return Verdict(False)
    if found["job"]:
        # AWX starts a job of a template when the one before has ended, unless told otherwise.
        return Verdict(found["template"] == mine["template"])
    if found["place"] != mine["place"]:
        return Verdict(False)
    process = int(found["process"])
    if process == int(mine["process"]) or not _lives(process, found["start"]):
        return Verdict(True)
    ways = f"wait for its end, or end it (kill {process}); then run this again"
    return Verdict(False, f"It runs as process {process} on this host: {ways}")


def _lives(process: int, start: str) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        pass  # another user's
    seen = _look(process)
    return seen is None or (seen[0] not in "XZ" and seen[1] == start)


def _look(process: int) -> tuple[str, str] | None:
    """The state of a process and its start; unknown where there is no /proc, or another user's are hidden."""
    try:
        # The name, in parentheses, may contain anything.
        fields = (PROC / str(process) / "stat").read_bytes().rpartition(b") ")[2].decode().split()
        return fields[0], fields[19]
    except (OSError, IndexError):
        return None


def _place() -> str:
    said = []
    for ask in (
        lambda: (PROC / "sys/kernel/random/boot_id").read_text(encoding="ascii"),
        lambda: os.readlink(PROC / "self/ns/pid"),
    ):
        try:
            said.append(ask())
        except OSError:
            said.append("")
    return hashlib.sha256("\n".join(said).encode()).hexdigest()[:8]

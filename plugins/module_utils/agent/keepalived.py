# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""keepalived's process, as far as a user without privilege sees it."""

from __future__ import annotations

import os

NAME = b"keepalived"


class Process:
    """The first one, which is the parent of the one that speaks VRRP. descriptor: readable as soon as it has ended."""

    def __init__(self, pid: int, descriptor: int) -> None:
        self.pid = pid
        self.descriptor = descriptor

    def started_ns(self) -> int | None:
        """When, in ns of the clock that counts from the boot; None if it has ended."""
        fields = _stat(self.pid)
        return int(fields[19]) * 1_000_000_000 // os.sysconf("SC_CLK_TCK") if fields else None

    def stopped(self) -> bool:
        """Whether somebody has stopped it, or a child of it: SIGSTOP, not a debugger's breakpoint."""
        return any(_stat(pid)[:1] == [b"T"] for pid in (self.pid, *_children(self.pid)))


def find(pid_file: str) -> Process | None:
    """The one that the file names, if it runs."""
    try:
        with open(pid_file, encoding="ascii") as file:
            pid = int(file.read(64))
        descriptor = os.pidfd_open(pid)
    except (OSError, ValueError, OverflowError):
        return None
    try:
        # A killed keepalived leaves its file, and its id is used again.
        with open(f"/proc/{pid}/comm", "rb") as comm:
            if comm.read() == NAME + b"\n":
                return Process(pid, descriptor)
    except OSError:
        pass
    os.close(descriptor)
    return None


def _stat(pid: int) -> list[bytes]:
    """The fields after the name, which may have any letter in it; none if the process has ended."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()
    except OSError:
        return []


def _children(pid: int) -> list[int]:
    """Of its first thread, which makes them all; none if it has ended, or the kernel does not tell."""
    try:
        with open(f"/proc/{pid}/task/{pid}/children", "rb") as file:
            return [int(child) for child in file.read().split()]
    except OSError:
        return []

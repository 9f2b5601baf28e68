# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A check's verdict: when to change it, and how keepalived is told."""

from __future__ import annotations

import os

HEALTHY = "0\n"
FAILED = "1\n"


class Verdict:
    """Changes after ``fall`` failures or ``rise`` successes in a row.

    ``healthy`` is None while nothing has ever been decided. That counts as failed, and one success is enough to end
    it. So a node which boots serves as soon as it can.
    """

    def __init__(self, fall: int, rise: int, healthy: bool | None) -> None:
        self.fall = fall
        self.rise = rise
        self.healthy = healthy
        self.streak = 0  # attempts in a row that contradict the verdict

    def add(self, success: bool) -> bool:
        """Count an attempt; true when the verdict changed."""
        if success == bool(self.healthy):
            self.streak = 0
            return False
        self.streak += 1
        needed = 1 if self.healthy is None else self.rise if success else self.fall
        if self.streak < needed:
            return False
        self.healthy = success
        self.streak = 0
        return True


def read(path: str) -> bool | None:
    """The verdict in a file; None if there is none of the agent's own.

    keepalived, if it starts first, makes the file itself, and only root can read that one.
    """
    try:
        with open(path, encoding="ascii") as file:
            return {HEALTHY: True, FAILED: False}.get(file.read(16))
    except (OSError, UnicodeDecodeError):
        return None


def write(path: str, text: str, mode: int = 0o644) -> None:
    """Replace a file by renaming: a reader sees the old or the new text, never an empty file.

    keepalived reads a track file on IN_CLOSE_WRITE and IN_MOVED_TO, and takes an empty one for 0, which is healthy.
    """
    directory, name = os.path.split(path)
    temporary = os.path.join(directory, f".{name}.new")
    file = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, mode)
    try:
        os.fchmod(file, mode)
        os.write(file, text.encode())
    finally:
        os.close(file)
    os.rename(temporary, path)

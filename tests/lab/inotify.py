# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The inotify instances that all machines share: a keepalived that gets none does not see its track files."""

from __future__ import annotations

import contextlib
import ctypes
import os
from pathlib import Path

from lab import LabError

LIMIT = Path("/proc/sys/fs/inotify/max_user_instances")
FOUND = Path("/run/cloudha-lab-inotify")  # what the limit was before a lab raised it
EACH = 12  # a machine takes about 8, and more while something is installed


def reserve(machines: int) -> None:
    """See to it that so many machines find their instances; refuse to start where that cannot be."""
    wanted = machines * EACH
    left = _left(wanted)
    if left == wanted:
        return
    limit = int(LIMIT.read_text())
    enough = max(512, limit + wanted - left)
    # Each lab that starts counts only what is taken by then: room for several.
    with contextlib.suppress(OSError):
        if not FOUND.exists():
            FOUND.write_text(f"{limit}\n")
        LIMIT.write_text(f"{enough}\n")
    left = _left(wanted)
    if left < wanted:
        release()
        raise LabError(
            f"{machines} machines need {wanted} inotify instances, and {left} are left of "
            f"fs.inotify.max_user_instances={limit}: end other labs or containers, or "
            f"`sysctl fs.inotify.max_user_instances={enough}`"
        )


def release() -> None:
    """The limit as it was found."""
    with contextlib.suppress(OSError):
        LIMIT.write_text(FOUND.read_text())
    FOUND.unlink(missing_ok=True)


def _left(wanted: int) -> int:
    """How many instances can be had, up to the number wanted."""
    libc = ctypes.CDLL(None, use_errno=True)
    taken: list[int] = []
    try:
        while len(taken) < wanted and (descriptor := libc.inotify_init1(os.O_CLOEXEC)) >= 0:
            taken.append(descriptor)
        return len(taken)
    finally:
        for descriptor in taken:
            os.close(descriptor)

# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether a keepalived that starts now would get the inotify instance by which it watches its track files."""

from __future__ import annotations

import ctypes
import os

LIMIT = "/proc/sys/fs/inotify/max_user_instances"
NEEDED = 2  # its process for VRRP takes one; another one may be taken in between


def inotify_problem(needed: int = NEEDED) -> str | None:
    """Why it would be blind, or None.

    Takes so many instances for a moment, as nobody can count those outside a container.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    taken: list[int] = []
    try:
        while len(taken) < needed and (descriptor := libc.inotify_init1(os.O_CLOEXEC)) >= 0:
            taken.append(descriptor)
    finally:
        for descriptor in taken:
            os.close(descriptor)
    if len(taken) == needed:
        return None
    with open(LIMIT, encoding="ascii") as f:
        limit = f.read().strip()
    return (
        f"{len(taken)} of {needed} inotify instances are left: keepalived would not see its track files, and neither "
        "a drain nor a failed check would move the address. Raise fs.inotify.max_user_instances "
        f"(now {limit}; containers share it with their host)"
    )

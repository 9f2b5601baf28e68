# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One agent at a time, and whether it runs."""

from __future__ import annotations

import fcntl
import os
import time


def running(state_dir: str) -> bool | None:
    """Does an agent hold the lock? None where there is none: its directory is made at each boot."""
    try:
        file = os.open(os.path.join(state_dir, "lock"), os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False if os.path.isdir(state_dir) else None
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(file)
    return False


def take(state_dir: str) -> int:
    """Held until the process ends: two agents would share out the events between them."""
    file = os.open(os.path.join(state_dir, "lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    deadline = time.monotonic() + 2
    while True:  # `status` holds it for an instant, and a killed agent's commands may still be ending
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return file
        except BlockingIOError:
            if time.monotonic() > deadline:
                os.close(file)
                raise SystemExit(f"vip-agent: another agent runs: it holds {state_dir}/lock") from None
            time.sleep(0.02)

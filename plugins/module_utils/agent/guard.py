# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The last word of keepalived's guard, which the role keepalived lays on a node. Needs no privilege."""

from __future__ import annotations

import json
import os
import time

UNIT = "/etc/systemd/system/cloudha-vip-guard.service"
SIZE_LIMIT = 64 * 1024
SILENT = 10.0  # seconds; it writes every 2 s
PROBLEM = (
    "the guard of keepalived is silent, so that nobody knows whether keepalived sees and hears. Look at "
    "systemctl status cloudha-vip-guard, and restart it"
)


def in_force(file: str) -> tuple[int, list[str]] | None:
    """The instances and groups of the configuration that keepalived runs, and when it had read that (ns since 1970).

    They are named as in the FIFO, ``INSTANCE VI_1``. None if the guard does not know them.
    """
    try:
        with open(file, encoding="utf-8") as stream:
            said = json.loads(stream.read(SIZE_LIMIT))["in_force"]
        return int(said["since"]), [str(member) for member in said["members"]]
    except Exception:  # as below
        return None


def last_word(file: str, unit: str) -> tuple[float | None, list[str]]:
    """How many seconds old it is, and what was amiss. None: this node has no guard; infinity: it has never spoken."""
    try:
        with open(file, encoding="utf-8") as stream:
            said = json.loads(stream.read(SIZE_LIMIT))
        # The time since the boot is the same for all processes, and nobody sets that clock.
        return (time.monotonic_ns() - said["mono"]) / 1e9, [str(problem) for problem in said["problems"]]
    except Exception:  # whatever is in the file, it must not end the agent
        return float("inf") if os.path.exists(unit) else None, []

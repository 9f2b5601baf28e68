# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run a command; a failure says which, and what it printed."""

from __future__ import annotations

import shlex
import subprocess

from lab import LabError


def run(*command: str, stdin: str | None = None) -> str:
    """Run ``command`` to its end and return what it printed."""
    try:
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise LabError(f"'{command[0]}' is not installed: run `make setup`") from error
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip()
        raise LabError(f"`{shlex.join(command)}` failed ({done.returncode}): {said}")
    return done.stdout

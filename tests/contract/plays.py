# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plays of a test, run by the real ansible-playbook, with this process's Python on this machine as every host."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


def run(
    scratch: Path,
    groups: Mapping[str, Any],
    plays: Sequence[Mapping[str, Any]],
    variables: Mapping[str, Any] | None = None,
    timeout: float = 300,
    check: bool = False,
    **environment: str,
) -> subprocess.CompletedProcess[str]:
    """groups: as in an inventory. variables: of all hosts. timeout: seconds. check: a dry run."""
    common = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable, **(variables or {})}
    (scratch / "inventory.json").write_text(json.dumps({"all": {"children": groups, "vars": common}}))
    (scratch / "plays.json").write_text(json.dumps(plays))
    return subprocess.run(
        [
            "ansible-playbook",
            f"--inventory={scratch}/inventory.json",
            str(scratch / "plays.json"),
            *(["--check"] if check else []),
        ],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        env={**os.environ, "ANSIBLE_NOCOLOR": "1", **environment},
    )


MADE: dict[str, list[str]] = {"users": [], "groups": [], "programs": [], "directories": []}
# What a node says on which there is nothing.
EMPTY = {
    "changed": False,
    "rc": 0,
    "stdout": "",
    "stdout_lines": [],
    "stderr": "",
    "content": "",
    "msg": "",
    "stat": {"exists": False},
    "matched": 0,
    "files": [],
    "restart": [],
    "changed_files": [],
    "known": False,
    "unfinished": False,
    "strangers": [],
    "made": MADE,
    "installed": [],
    "units": {},
    "x_vip_node": "any",
    "ansible_facts": {"os_family": "Debian", "python": {"executable": "/usr/bin/python3"}},
}


def canned(scratch: Path, answer: Mapping[str, Any]) -> dict[str, str]:
    """Variables of a host on which each module answers this, whatever it is asked."""
    script = scratch / f"python-{len(list(scratch.iterdir()))}"
    script.write_text(f"#!/bin/sh\ncat <<'END'\n{json.dumps(answer)}\nEND\n")
    script.chmod(0o755)
    return {"ansible_python_interpreter": str(script)}

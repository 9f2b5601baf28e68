# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a lab says of a test that failed, kept in build/logs until the next run."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from commands import TESTS

from lab import LabError
from lab.lab import Lab
from lab.topology import CONTROLLER

LOGS = TESTS.parent / "build" / "logs"
SHOWN = """
journalctl --sync
for each in 'journalctl --output=short-precise --no-pager' 'cat /etc/keepalived/keepalived.conf' 'ip address' \
    'ip route show table all' 'nft list ruleset' 'vip-agent status' 'tail -n 500 /var/lib/vip-agent/events.jsonl' \
    'systemctl --failed --no-pager'; do
    echo; echo "==> $each"; $each 2>&1
done
"""


def directory(test: str) -> Path:
    """Of the test with this node ID."""
    return LOGS / re.sub(r"[^\w.-]+", "-", test.removeprefix("tests/")).strip("-")


def collect(lab: Lab, test: str) -> str:
    """Keep what the machines of a running lab and its cloud's API say; return a sentence with the place."""
    target = directory(test) / lab.name
    target.mkdir(parents=True, exist_ok=True)
    for console in lab.state.glob("*.console"):
        shutil.copy(console, target)
    with contextlib.suppress(LabError, OSError):
        for machine in lab.places.keys() - {CONTROLLER}:
            (target / f"{machine}.log").write_text(_asked(lab, machine))
        if lab.topology.world is not None:
            (target / "api.jsonl").write_text("".join(f"{json.dumps(each)}\n" for each in lab.api.log()))
    return f"what the lab {lab.name} says: {target}"


def _asked(lab: Lab, machine: str) -> str:
    command = ["ssh", "-F", str(lab.state / "ssh_config"), "-o", "ConnectTimeout=3", "-o", "BatchMode=yes"]
    try:
        done = subprocess.run(
            [*command, machine, "sh -s"],
            input=SHOWN,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=60,
            check=False,
        )
    except subprocess.TimeoutExpired as late:
        return f"no end after {late.timeout} s"
    return done.stdout


@contextlib.contextmanager
def kept(lab: Lab) -> Iterator[Lab]:
    """The lab ends with the block; if that fails, what it says is kept first."""
    try:
        yield lab
    except BaseException:
        test = os.environ.get("PYTEST_CURRENT_TEST", "unknown").partition(" (")[0]
        print(collect(lab, test))
        raise
    finally:
        lab.down()

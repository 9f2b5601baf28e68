# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The benchmarks take hours, so no test runs them. Here each begins, at least."""

import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = re.findall(r"python bench/(\w+)\.py", (ROOT / "Makefile").read_text())


@pytest.mark.parametrize("name", sorted(set(SCRIPTS) - {"killed", "nodes"}))
def test_a_benchmark_says_its_options(name: str) -> None:
    done = subprocess.run(
        [sys.executable, f"bench/{name}.py", "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"usage: {name}.py") and "--trials" in done.stdout


def test_the_commands_of_the_drill_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "bench")
    failover = importlib.import_module("failover")
    commands = {
        (fault, part): failover.command(fault, part)
        for fault in failover.FAULTS
        for part in ("prepare", "inject", "undo")
        if fault not in failover.MACHINE_FAULTS
    }
    kill = "systemctl kill --kill-who=all --signal={} keepalived"  # stopped first: no part of it sees another one die
    assert commands["keepalived_kill", "inject"] == f"{kill.format('STOP')} && {kill.format('KILL')}"
    assert commands["service_hang", "inject"] == "systemctl kill --kill-who=all --signal=STOP nginx.service"
    assert not [text for text in commands.values() if "{{" in text]

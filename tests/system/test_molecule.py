# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The molecule scenarios, run as their user runs them; each is a class, so that two of them can run at once."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from busy import Inconclusive, passed
from commands import TESTS
from logs import kept
from releases import ALL

from lab.lab import Lab

ROOT = TESTS.parent
# CI leaves these to make versions: tests of whole topologies run the same playbooks, and ask more.
LEFT_OUT = {
    "onprem_active_standby",
    "gcp_route_heartbeat",
    "gcp_alias_ip",
    "gcp_lb_active_active",
    "gcp_lb_failover",
    "gcp_lb_heartbeat",
    "gcp_autohealing",
    "gcp_route_ecmp",
    "gcp_route_priority",
}
# Its directors have kernels that are processes, so it takes the longest.
LVS = "huawei_lvs_dr"
# On a busy machine; others need half of what LVS does.
TIMEOUT_S = 1800
SCENARIOS = sorted(
    {path.parent.name for path in (ROOT / "extensions/molecule").glob("*/molecule.yml")} - (set() if ALL else LEFT_OUT),
    key=lambda name: (name != LVS, name),  # the longest first, so that no other one waits for it at the end
)


def lab_of(scenario: str) -> Lab:
    """As extensions/molecule/lab.yml names it."""
    clone = hashlib.sha256(str(ROOT).encode()).hexdigest()[:4]
    return Lab(f"m-{clone}-{scenario.replace('_', '-')}")


def _test(scenario: str) -> Callable[[object, Path], None]:
    def test(self: object, tmp_path: Path) -> None:
        with kept(lab_of(scenario)) as lab:
            lab.down()
            # A lab whose scenario failed is looked at before it goes.
            done = molecule("test", "--destroy=never", scenario=scenario, scratch=tmp_path)
            if done.returncode != 0:
                print(done.stdout[-8000:])
                report = tmp_path / "drill/report.json"
                if report.exists():
                    passed(json.loads(report.read_text()))  # maybe that says it better
                if inconclusive := re.search(r"INCONCLUSIVE: .*", done.stdout):
                    raise Inconclusive(inconclusive.group())
                raise AssertionError("molecule failed; its output is above")
            done = molecule("destroy", scenario=scenario, scratch=tmp_path)
            assert done.returncode == 0, done.stdout[-8000:]
            assert not lab.state.exists()

    return test


def molecule(*words: str, scenario: str, scratch: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["molecule", *words, "-s", scenario],
        cwd=ROOT,
        env={**os.environ, "MOLECULE_EPHEMERAL_DIRECTORY": str(scratch)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )


for _scenario in SCENARIOS:
    _name = "Test" + _scenario.title().replace("_", "")
    _marks = {"pytestmark": [pytest.mark.timeout(TIMEOUT_S + 200)]}
    if _scenario in LEFT_OUT:
        _marks["pytestmark"].append(pytest.mark.left_out)
    globals()[_name] = type(_name, (), {**_marks, "test_scenario": _test(_scenario)})

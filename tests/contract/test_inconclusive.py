# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A test that cannot tell a busy machine from a fault is tried once more, by tests/again; by pytest itself."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import busy
import pytest

SYSTEM = Path(__file__).resolve().parents[1] / "system"
CONFTEST = """
import pytest
from again import judge, pytest_report_teststatus, pytest_terminal_summary

@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    judge(item, call, report)
    return report
"""
TESTS = """
import pytest
from busy import short_enough

def test_well(): short_enough(100, 5000, 0)
def test_busy(): short_enough(6000, 5000, 1500)
@pytest.mark.in_order
def test_busy_too(): short_enough(6000, 5000, 6000)
"""


@pytest.mark.parametrize(
    ("gap", "waited", "verdict"),
    [
        (4999, 0, None),
        (4999, 4999, None),
        (5000, 0, AssertionError),
        (9000, 4000, AssertionError),  # also an idle machine would have been late
        (9000, 4001, busy.Inconclusive),
    ],
)
def test_a_gap_that_the_machine_may_have_made_is_inconclusive(
    gap: float, waited: float, verdict: type[Exception] | None
) -> None:
    if verdict is None:
        busy.short_enough(gap, 5000, waited)
        return
    with pytest.raises(verdict):
        busy.short_enough(gap, 5000, waited)


def test_of_a_drill_a_failed_fault_counts_more_than_an_inconclusive_one() -> None:
    faults = [{"fault": name, "verdict": name, "reason": "why"} for name in ("passed", "inconclusive", "failed")]
    busy.passed({"faults": faults[:1]})
    with pytest.raises(busy.Inconclusive, match="why"):
        busy.passed({"faults": faults[:2]})
    with pytest.raises(AssertionError):
        busy.passed({"faults": faults})


def test_it_is_noted_shown_and_a_failure_the_next_time(tmp_path: Path) -> None:
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = in_order\n")
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "test_it.py").write_text(TESTS)

    def run(**environment: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "pytest", "-q", "-n", "2", "-p", "no:cacheprovider", "test_it.py"]
        paths = {"PYTHONPATH": f"{SYSTEM}:{os.environ.get('PYTHONPATH', '')}"}
        mine = {**os.environ, **paths, **environment}
        return subprocess.run(command, cwd=tmp_path, env=mine, capture_output=True, text=True, timeout=120, check=False)

    first = run()
    assert first.returncode == 0 and "1 passed, 2 inconclusive" in first.stdout, first.stdout + first.stderr
    assert "test_it.py::test_busy: Inconclusive: a gap of 6000 ms" in first.stdout
    noted = (tmp_path / "build/again").read_text().split()
    assert sorted(noted) == ["test_it.py", "test_it.py::test_busy"]
    again = run(CLOUDHA_TEST_AGAIN="yes")
    assert again.returncode == 1 and "2 failed, 1 passed" in again.stdout, again.stdout

# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A test that cannot tell a busy machine from a fault is tried once more, by tests/again; by pytest itself."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import busy
import pytest

SYSTEM = Path(__file__).resolve().parents[1] / "system"
CONFTEST = """
import again, busy

def pytest_configure(config):
    again.register(config)

def lost_s():  # as if something waited all along, or never
    return busy.time.monotonic() * LOST

busy.lost_s, busy.SUMMED_UP_S = lost_s, 0.1
"""
TESTS = """
import subprocess

import pytest
from busy import short_enough, until, Watch

def test_well(): short_enough(100, 5000, 0)
def test_busy(): short_enough(6000, 5000, 1500)
@pytest.mark.in_order
def test_busy_too(): short_enough(6000, 5000, 6000)
def test_waits(): until(lambda: False, 0.2)
def test_hangs(): subprocess.run(["sleep", "5"], timeout=0.2)
def test_takes_long():
    watch = Watch()
    watch.at_most(1, 1.5)
def test_is_wrong(): assert 1 == 2
"""

IN_ORDER = """
import pytest
from busy import short_enough

pytestmark = pytest.mark.in_order

@pytest.fixture(scope="module")
def lab(): yield print("a lab")
def test_first(lab): pass
@pytest.mark.parametrize("gap_ms", [0, 6000])
def test_breaks(lab, gap_ms): FAILS
def test_needs_it(lab): raise AssertionError("it misleads")
def test_needs_it_too(lab): pass
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


@pytest.fixture
def lost(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Let this share of the time be lost, by a clock that goes on only while somebody sleeps."""
    now = [100.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    def share(of_the_time: float) -> None:
        monkeypatch.setattr(busy, "lost_s", lambda: now[0] * of_the_time)

    monkeypatch.setattr(busy, "time", SimpleNamespace(monotonic=lambda: now[0], sleep=sleep))
    monkeypatch.setattr(busy, "SUMMED_UP_S", 0)
    share(0)
    return share


def test_how_long_something_took_is_judged_by_how_busy_the_machine_was(lost: Callable[[float], None]) -> None:
    lost(0.4)
    watch = busy.Watch()
    busy.time.sleep(3)
    watch.at_most(1, 0.999)
    with pytest.raises(busy.Inconclusive, match="40%"):
        watch.at_most(1, 1.5)
    with pytest.raises(AssertionError, match=r"3.000 s, not below 1 s"):
        watch.at_most(1)
    with pytest.raises(AssertionError):
        watch.holds(False, "no")
    lost(0.6)
    watch = busy.Watch()
    busy.time.sleep(3)
    watch.holds(True, "no")
    with pytest.raises(busy.Inconclusive, match="no; something waited"):
        watch.holds(False, "no")


def test_a_wait_gives_what_it_waited_for_and_is_judged_once_it_was_in_vain(lost: Callable[[float], None]) -> None:
    values = iter([0, "", "there"])
    assert busy.until(lambda: next(values)) == "there"
    with pytest.raises(AssertionError, match=r"not there within 0.1 s"):
        busy.until(lambda: False, 0.1, "not there")
    lost(0.9)
    with pytest.raises(busy.Inconclusive, match=r"not there within 0.1 s"):
        busy.until(lambda: False, 0.1, "not there")


def test_the_kernel_says_how_long_something_has_waited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = busy.lost_s()
    assert 0 <= before <= busy.lost_s()
    monkeypatch.setattr(busy, "PRESSURE", tmp_path / "pressure")
    assert busy.lost_s() == 0, "a kernel that does not count"
    (tmp_path / "pressure").write_text("some avg10=0.00 avg60=0.00 avg300=0.00 total=2500000\nfull total=1\n")
    monkeypatch.setattr(busy, "STAT", tmp_path / "stat")
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    (tmp_path / "stat").write_text(f"cpu  1 2 3 4 5 6 7 {3 * os.sysconf('SC_CLK_TCK')} 0 0\ncpu0 1\n")
    assert busy.lost_s() == 4, "2.5 s here, and 3 s of two processors elsewhere"


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """pytest on the files there, where this share of the time is lost."""
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = in_order\n")

    def run(lost: str, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        (tmp_path / "conftest.py").write_text(CONFTEST.replace("LOST", lost))
        command = [sys.executable, "-m", "pytest", "-q", "-n", "2", "-p", "no:cacheprovider", *words]
        paths = {"PYTHONPATH": f"{SYSTEM}:{os.environ.get('PYTHONPATH', '')}"}
        mine = {**os.environ, **paths, **environment}
        return subprocess.run(command, cwd=tmp_path, env=mine, capture_output=True, text=True, timeout=120, check=False)

    return run


def test_it_is_noted_shown_and_a_failure_the_next_time(
    tmp_path: Path, run: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    (tmp_path / "test_it.py").write_text(TESTS)
    idle = run("0")
    assert idle.returncode == 1 and "4 failed, 1 passed, 2 inconclusive" in idle.stdout, idle.stdout + idle.stderr
    (tmp_path / "build/again").unlink()
    first = run("0.9")
    assert first.returncode == 1 and "1 failed, 1 passed, 5 inconclusive" in first.stdout, first.stdout + first.stderr
    assert "test_it.py::test_busy: Inconclusive: a gap of 6000 ms" in first.stdout
    noted = (tmp_path / "build/again").read_text().split()
    others = ("test_busy", "test_waits", "test_hangs", "test_takes_long")
    assert sorted(noted) == sorted(["test_it.py", *(f"test_it.py::{name}" for name in others)])
    again = run("0.9", CLOUDHA_TEST_AGAIN="yes")
    assert again.returncode == 1 and "6 failed, 1 passed" in again.stdout, again.stdout


def test_what_needs_a_test_that_did_not_pass_is_not_run_and_says_which_one_it_was(
    tmp_path: Path, run: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    (tmp_path / "test_fails.py").write_text(IN_ORDER.replace("FAILS", "assert gap_ms == 0"))
    (tmp_path / "test_waits.py").write_text(IN_ORDER.replace("FAILS", "short_enough(gap_ms, 5000, gap_ms)"))
    (tmp_path / "test_well.py").write_text("def test_well(): pass")
    done = run("0", "--dist=loadscope")
    assert done.returncode == 1, done.stdout
    assert "1 failed, 5 passed, 2 errors, 3 inconclusive" in done.stdout, done.stdout
    assert done.stdout.count("not run: test_breaks[6000] failed before it") >= 2 and "misleads" not in done.stdout
    assert done.stdout.count("not run: test_breaks[6000] was inconclusive before it") == 2
    assert set((tmp_path / "build/again").read_text().split()) == {"test_waits.py"}
    done = run("0", "--dist=loadscope", "test_waits.py", CLOUDHA_TEST_AGAIN="yes")
    assert done.returncode == 1 and "1 failed, 2 passed, 2 errors" in done.stdout, done.stdout

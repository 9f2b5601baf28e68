# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A test that is inconclusive is neither passed nor failed: tests/again tries it once more, and then it has to pass.

One that is marked in_order needs those before it, and fails at once where one of them has failed.

A plugin of pytest, which the conftest.py of each directory of tests with bounds in seconds registers.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Generator
from typing import Any

import pytest
from busy import BUSY, Inconclusive, Watch

LAST = bool(os.environ.get("CLOUDHA_TEST_AGAIN"))
WATCH = pytest.StashKey[Watch]()
# Of a file: which of its tests in order was the first that did not pass, and whether it was inconclusive.
BROKEN = pytest.StashKey[tuple[str, bool]]()
# Of a test: that it was not run for this reason.
NOT_RUN = pytest.StashKey[bool]()


def register(config: pytest.Config) -> None:
    """Once, however many directories ask for it."""
    if not config.pluginmanager.has_plugin(__name__):
        config.pluginmanager.register(sys.modules[__name__], __name__)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    item.stash[WATCH] = Watch()
    return (yield)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """What a failed test has left proves nothing, and what fails there hides the cause."""
    broken = _file(item).stash.get(BROKEN, None)
    if broken is not None and item.get_closest_marker("in_order"):
        item.stash[NOT_RUN] = True
        name, inconclusive = broken
        if inconclusive:
            raise Inconclusive(f"not run: {name} was inconclusive before it")
        pytest.fail(f"not run: {name} failed before it", pytrace=False)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    said = "" if LAST or call.excinfo is None else _inconclusive(item, call.excinfo.value)
    if said:
        _note(item, report, said)
    if (said or report.failed) and item.get_closest_marker("in_order"):
        _file(item).stash.setdefault(BROKEN, (item.name, bool(said)))
    return report


def _file(item: pytest.Item) -> pytest.Item | pytest.Collector:
    return item.getparent(pytest.File) or item


def _inconclusive(item: pytest.Item, error: BaseException) -> str:
    """Why the test is that, if it is."""
    if isinstance(error, subprocess.TimeoutExpired):
        share = item.stash[WATCH].share()
        if share > BUSY:
            return f"{error}; something waited for a processor for {share:.0%} of the time"
    return str(error) if isinstance(error, Inconclusive) else ""


def _note(item: pytest.Item, report: pytest.TestReport, said: str) -> None:
    """In build/again, with the tests before it if it needs them."""
    file, line, _name = item.location
    note = item.config.rootpath / "build" / "again"
    note.parent.mkdir(exist_ok=True)
    with note.open("a") as again:
        again.write(f"{file if item.get_closest_marker('in_order') else item.nodeid}\n")
    report.outcome = "skipped"
    report.longrepr = (file, line or 0, f"Inconclusive: {said}")
    report.sections.append(("inconclusive", said))


def pytest_report_teststatus(report: pytest.TestReport) -> tuple[str, str, str] | None:
    if any(name == "inconclusive" for name, _text in report.sections):
        return "inconclusive", "I", "INCONCLUSIVE"
    return None


def pytest_terminal_summary(terminalreporter: Any) -> None:
    for report in terminalreporter.stats.get("inconclusive", ()):
        terminalreporter.write_line(f"INCONCLUSIVE, to be tried again alone: {report.nodeid}: {report.longrepr[2]}")

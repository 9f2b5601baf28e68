# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A test that is inconclusive is neither passed nor failed: tests/again tries it once more, and then it has to pass."""

from __future__ import annotations

import os
from typing import Any

import pytest
from busy import Inconclusive

LAST = bool(os.environ.get("CLOUDHA_TEST_AGAIN"))


def judge(item: pytest.Item, call: pytest.CallInfo[None], report: pytest.TestReport) -> None:
    """Note an inconclusive test in build/again, with those before it if it needs them."""
    if LAST or call.excinfo is None or not call.excinfo.errisinstance(Inconclusive):
        return
    file, line, _name = item.location
    note = item.config.rootpath / "build" / "again"
    note.parent.mkdir(exist_ok=True)
    with note.open("a") as again:
        again.write(f"{file if item.get_closest_marker('in_order') else item.nodeid}\n")
    report.outcome = "skipped"
    report.longrepr = (file, line or 0, f"Inconclusive: {call.excinfo.value}")
    report.sections.append(("inconclusive", str(call.excinfo.value)))


def pytest_report_teststatus(report: pytest.TestReport) -> tuple[str, str, str] | None:
    if any(name == "inconclusive" for name, _text in report.sections):
        return "inconclusive", "I", "INCONCLUSIVE"
    return None


def pytest_terminal_summary(terminalreporter: Any) -> None:
    for report in terminalreporter.stats.get("inconclusive", ()):
        terminalreporter.write_line(f"INCONCLUSIVE, to be tried again alone: {report.nodeid}: {report.longrepr[2]}")

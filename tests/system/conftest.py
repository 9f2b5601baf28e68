# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every test on real machines needs: a lab, and its command line."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import again  # noqa: E402
from logs import LOGS, collect, kept  # noqa: E402

from lab import image  # noqa: E402
from lab.lab import Lab, labs  # noqa: E402


def pytest_configure(config: pytest.Config) -> None:
    again.register(config)


def pytest_sessionstart(session: pytest.Session) -> None:
    if not hasattr(session.config, "workerinput"):
        shutil.rmtree(LOGS, ignore_errors=True)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    ran = not item.stash.get(again.NOT_RUN, False)
    if ran and call.excinfo is not None and not call.excinfo.errisinstance(pytest.skip.Exception):
        for this in labs():
            if this.name.startswith(f"t{os.getpid()}-"):
                report.sections.append(("logs", collect(this, item.nodeid)))
    return report


@pytest.fixture(scope="session", autouse=True)
def cached_image() -> Path:
    """The image is built before the first test, so that no test's bound includes its building."""
    return image.ensure()


@pytest.fixture(scope="session")
def lab_name() -> Callable[[str], str]:
    """Names for labs that no other run on this machine uses."""
    return lambda suffix: f"t{os.getpid()}-{suffix}"


@pytest.fixture(scope="module")
def lab(lab_name: Callable[[str], str]) -> Iterator[Lab]:
    """A running lab with two nodes and a client."""
    with kept(Lab(lab_name("shared"))) as this:
        this.up("onprem_active_standby")
        yield this

# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host that is down ends no play that means to go on without it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted([*ROOT.glob("roles/*/tasks/**/*.yml"), *ROOT.glob("playbooks/**/*.yml")])
INHERITED = ("run_once", "any_errors_fatal", "ignore_errors", "ignore_unreachable")


def tasks(entries: list[dict[str, Any]], above: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each task with what it has of its plays and blocks."""
    for entry in entries:
        has = {key: entry.get(key, above.get(key)) for key in INHERITED}
        inner = [key for key in ("block", "rescue", "always", "pre_tasks", "tasks", "post_tasks") if key in entry]
        if not inner:
            yield entry.get("name", ""), has
        for key in inner:
            yield from tasks(entry[key], has)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_an_ignored_host_does_not_end_the_play(path: Path) -> None:
    """ansible-core ends a play, and says nothing, if a task with run_once meets a host that cannot be reached; it looks
    at ignore_errors there, and not at ignore_unreachable (plugins/strategy/linear.py)."""
    entries = yaml.safe_load(path.read_text())
    for name, has in tasks(entries, {}) if isinstance(entries, list) else ():
        if has["ignore_unreachable"] and (has["run_once"] or has["any_errors_fatal"]):
            assert has["ignore_errors"], name

# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An interrupted run has lost its handlers: each role with handlers notes when it begins and when it is done."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

ROLES = Path(__file__).parents[3] / "roles"


def tasks(role):
    return yaml.safe_load((ROLES / role / "tasks/main.yml").read_text())


@pytest.mark.parametrize("role", sorted(path.parents[1].name for path in ROLES.glob("*/handlers/main.yml")))
def test_a_role_with_handlers_goes_on_where_it_was_interrupted(role):
    text = (ROLES / role / "tasks/main.yml").read_text()
    assert f"{role}_begun.unfinished" in text
    assert tasks(role)[-1]["cloudha.vip.node_record"] == {"part": role, "state": "finished"}


def test_all_handlers_of_a_role_are_flushed_in_it():
    for path in ROLES.glob("*/tasks/main.yml"):
        text = path.read_text()
        assert text.rfind("notify:") <= text.rfind("flush_handlers"), path

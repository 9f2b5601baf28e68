# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role keepalived knows the same of nodes in its play and of those which are not."""

from __future__ import annotations

from pathlib import Path

import pytest

yaml = pytest.importorskip("yaml")

CHECK = Path(__file__).resolve().parents[3] / "roles/keepalived/tasks/problems.yml"


def test_the_check_knows_where_each_node_is():
    facts = [
        task["vars"]["__keepalived_facts"]
        for task in yaml.safe_load(CHECK.read_text())
        if "__keepalived_facts" in task.get("vars", {})
    ]
    assert len(facts) == 2
    for its in facts:
        assert {"here", "reached", "interfaces", "macs", "passing", "scopes", "readings"} <= set(its)
        for name in ("interfaces", "macs", "passing", "scopes"):
            assert f"__keepalived_look.{name}" in its[name]

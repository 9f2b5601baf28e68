# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role keepalived knows the same of nodes in its play and of those which are not."""

from __future__ import annotations

from pathlib import Path

import pytest

yaml = pytest.importorskip("yaml")

TASKS = Path(__file__).resolve().parents[3] / "roles/keepalived/tasks"
CHECK = TASKS / "problems.yml"


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


def test_a_run_looks_at_no_file_twice():
    tasks = [task for name in ("family", "problems", "install", "configure", "rollout") for task in tasks_of(name)]
    asked = []
    for task in tasks:
        options = task.get("ansible.builtin.stat") or task.get("cloudha.vip.keepalived_info")
        if options and "delegate_to" not in task:
            asked += task.get("loop", [options["path"]])
    assert len(asked) == len(set(asked)) == 3


def tasks_of(name):
    for task in yaml.safe_load((TASKS / f"{name}.yml").read_text()):
        yield from task.get("block", [task])

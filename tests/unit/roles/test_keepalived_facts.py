# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role keepalived knows the same of nodes in its play and of those which are not."""

from __future__ import annotations

from pathlib import Path

import pytest

yaml = pytest.importorskip("yaml")

TASKS = Path(__file__).resolve().parents[3] / "roles/keepalived/tasks"


def test_the_check_knows_where_each_node_is():
    facts = [
        (task["vars"]["__keepalived_facts"], source)
        for name, source in (("problems", "__keepalived_read"), ("absentees", "__keepalived_its"))
        for task in tasks_of(name)
        if "__keepalived_facts" in task.get("vars", {})
    ]
    assert len(facts) == 2
    for its, source in facts:
        assert {"here", "reached", "interfaces", "macs", "passing", "scopes", "readings"} <= set(its)
        for name in ("interfaces", "macs", "passing", "scopes"):
            assert f"{source}.{name}" in its[name]


def test_a_run_looks_at_no_file_twice():
    names = ("main", "check", "problems", "install", "configure", "rollout", "phase", "plan", "look")
    tasks = [task for name in names for task in tasks_of(name)]
    assert [task for task in tasks if "ansible.builtin.stat" in task or "cloudha.vip.keepalived_info" in task] == []
    (looking,) = [task for task in tasks if "cloudha.vip.keepalived_node_info" in task]
    paths = looking["cloudha.vip.keepalived_node_info"]["paths"]
    assert paths == ["{{ __keepalived_loaded }}", "{{ __keepalived_config }}"]


def tasks_of(name):
    for task in yaml.safe_load((TASKS / f"{name}.yml").read_text()):
        yield from task.get("block", [task])

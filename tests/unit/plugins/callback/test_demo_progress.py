# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path

import pytest

pytest.importorskip("ansible.plugins.callback")

ROOT = Path(__file__).resolve().parents[4]
_SPEC = importlib.util.spec_from_file_location("demo_progress", ROOT / "tests/callback/demo_progress.py")
assert _SPEC and _SPEC.loader
demo_progress = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(demo_progress)

ROLE = "cloudha.vip.drill : "
SINCE = 1_800_000_000_000_000_000


def one_fault(progress, clock, fault, first_ms):
    where = f"{fault} on node1"
    progress.task(f"{ROLE}Begin: {fault}")
    progress.task(f"{ROLE}Inject: {where}")
    progress.result(
        f"{ROLE}Break it by the inventory's hook, which also arms the undo: {where}", {"stdout": f"{SINCE}\n"}
    )
    progress.task(f"{ROLE}Wait for another node to answer: {where}")
    answer = {"ok": True, "first": SINCE + first_ms * 10**6, "by": "node2", "requests": 90, "lost": 7}
    progress.result(f"{ROLE}Wait until clients get good answers not-by node1", {"stdout": json.dumps(answer)})
    clock[0] += 10
    progress.task(f"{ROLE}Repair: {where}")
    clock[0] += 20
    progress.task(f"{ROLE}Keep the record: {where}")


def test_a_drill_is_told_fault_by_fault_with_what_is_left():
    told, clock = [], [0.0]
    progress = demo_progress.Progress(told.append, lambda: clock[0])
    for _turn in range(3):
        progress.included()
    clock[0] += 100  # what the drill begins with is no measure of what is left
    one_fault(progress, clock, "service_kill", 12)
    one_fault(progress, clock, "partition", 512)
    assert told[0] == "begin 1 of 3: service_kill: beginning; about 60 s to go"
    done = [each for each in told if each.startswith("done")]
    assert done == [
        "done 1 of 3: service_kill on node1: node2 answers after 12 ms, 7 of 90 requests lost (30 s; about 60 s to go)",
        "done 2 of 3: partition on node1: node2 answers after 512 ms, 7 of 90 requests lost (30 s; about 30 s to go)",
    ]
    assert "now 2 of 3: partition on node1: repairing it; about 50 s to go" in told


def test_a_fault_that_failed_is_told_so():
    told = []
    progress = demo_progress.Progress(told.append, lambda: 0.0)
    progress.task(f"{ROLE}Begin: partition")
    progress.task(f"{ROLE}Repair all the same: partition on node1")
    progress.task(f"{ROLE}Keep the record: partition on node1")
    assert told[-1].startswith("done partition on node1: FAILED")


@pytest.mark.parametrize(
    "name",
    [*demo_progress.PHASES, demo_progress.BEGIN, demo_progress.END, demo_progress.EACH_FAULT, demo_progress.ANSWERS],
)
def test_the_role_has_the_tasks_that_are_looked_for(name):
    tasks = "".join(path.read_text() for path in (ROOT / "roles/drill/tasks").glob("*.yml"))
    assert re.search(rf'- name: "?{name}\b', tasks)

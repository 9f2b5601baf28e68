# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What tests and bench/killed.py kill a run with: it ends at that task, with all that it has started."""

from __future__ import annotations

import time
from pathlib import Path

import plays
import pytest


@pytest.mark.parametrize(
    ("at", "after_ms", "begun"), [(1, 0, []), (2, 0, ["1"]), (2, 1500, ["1", "2"]), (0, 0, ["1", "2", "3"])]
)
def test_a_run_is_killed_at_a_task(tmp_path: Path, at: int, after_ms: int, begun: list[str]) -> None:
    command = f"touch {tmp_path}/begun-%d; sleep %d; touch {tmp_path}/end-%d"
    tasks = [{"name": f"Touch {n}", "ansible.builtin.shell": command % (n, 4 * (n == 2), n)} for n in (1, 2, 3)]
    log = tmp_path / "log"
    killing = {"KILLED_LOG": str(log), "KILLED_AT": str(at), "KILLED_AFTER_MS": str(after_ms)}
    play = {"hosts": "vip_nodes", "gather_facts": False, "tasks": tasks}
    groups = {"vip_nodes": {"hosts": {"node1": {}}}}
    done = plays.run(tmp_path, groups, [play], ANSIBLE_CALLBACKS_ENABLED="killed", **killing)
    assert done.returncode == (-9 if at else 0), done.stdout + done.stderr
    lines = log.read_text().splitlines()
    assert [line for line in lines if line[0].isdigit()] == [f"{n} Touch {n}" for n in range(1, (at or 3) + 1)]
    assert [line for line in lines if line.startswith("changed")] == [f"changed {n}" for n in range(1, at or 4)]
    if at == 2 and after_ms:
        time.sleep(4)  # the command would go on
        (tmp_path / "begun-2").touch()  # it may have been killed before
    assert sorted(path.name[6:] for path in tmp_path.glob("begun-*")) == begun
    assert not at or not (tmp_path / "end-2").exists()

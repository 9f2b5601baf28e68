# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the roles take for the time of day, by the real Ansible, wherever the controller is."""

from __future__ import annotations

import json
import time
from pathlib import Path

import plays
import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("zone", ["UTC", "Asia/Kolkata", "America/Los_Angeles"])
def test_moments_do_not_depend_on_the_time_zone(tmp_path: Path, zone: str) -> None:
    say = {
        "drill": "{{ drill_now | int / 1e9 }}",
        "keepalived": "{{ __keepalived_now }}",
        "holder": "{{ holder_begun }}",
    }
    (deadline,) = ROOT.glob("roles/holder/tasks/wait.yml")
    tasks = [
        {"ansible.builtin.set_fact": {"holder_begun": _template(deadline.read_text(), "holder_begun")}},
        {
            "ansible.builtin.copy": {"content": "{{ say | to_json }}", "dest": str(tmp_path / "said")},
            "vars": {"say": say},
        },
    ]
    files = [str(ROOT / f"roles/{role}/vars/main.yml") for role in ("drill", "keepalived")]
    play = {"hosts": "vip_nodes", "gather_facts": False, "vars_files": files, "tasks": tasks}
    before = time.time()
    done = plays.run(tmp_path, {"vip_nodes": {"hosts": {"node1": {}}}}, [play], {"holder_timeout": 0}, TZ=zone)
    assert done.returncode == 0, done.stdout
    said = {name: float(value) for name, value in json.loads((tmp_path / "said").read_text()).items()}
    # Deadlines are whole seconds.
    assert said.keys() == say.keys() and all(before - 2 < each < time.time() + 2 for each in said.values()), said


def _template(text: str, name: str) -> str:
    (line,) = (line for line in text.splitlines() if line.strip().startswith(f"{name}:"))
    return line.partition(":")[2].strip().strip('"')

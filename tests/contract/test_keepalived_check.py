# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role keepalived refuses before it looks at a node, by the real Ansible."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path


def test_two_groups_in_one_play_are_refused(tmp_path: Path) -> None:
    groups = {
        name: {"hosts": {host: {} for host in hosts}, "vars": {"keepalived_group": name}}
        for name, hosts in {"a_lb": ("a1", "a2"), "b_lb": ("b1", "b2")}.items()
    }
    common = {
        "ansible_connection": "local",
        "ansible_python_interpreter": sys.executable,
        "keepalived_instances": [
            {"name": "web", "interface": "lo", "virtual_router_id": 66, "addresses": ["192.0.2.1/24"]}
        ],
    }
    (tmp_path / "inventory.json").write_text(json.dumps({"all": {"children": groups, "vars": common}}))
    check = {"ansible.builtin.include_role": {"name": "cloudha.vip.keepalived", "tasks_from": "check"}}
    play = {"hosts": "a_lb:b_lb", "gather_facts": False, "tasks": [check]}
    (tmp_path / "plays.json").write_text(json.dumps([play]))
    done = subprocess.run(
        ["ansible-playbook", f"--inventory={tmp_path}/inventory.json", str(tmp_path / "plays.json")],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env={**os.environ, "ANSIBLE_NOCOLOR": "1"},
    )
    assert done.returncode != 0
    assert "keepalived_group is a_lb, and b1 is not in it, and b2 is not in it;" in done.stdout, done.stdout
    assert "keepalived_group is b_lb, and a1 is not in it, and a2 is not in it;" in done.stdout, done.stdout
    assert "Find out which Python" not in done.stdout, done.stdout

# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbook status, by the real Ansible, where no node says how its address moves."""

from __future__ import annotations

from pathlib import Path

import plays

STATUS = Path(__file__).resolve().parents[2] / "playbooks/status.yml"
OFF = {"ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": 1}


def test_all_nodes_are_told_of_where_none_answers(tmp_path: Path) -> None:
    groups = {"vip_nodes": {"hosts": {"node1": OFF, "node2": OFF}}}
    play = {"ansible.builtin.import_playbook": str(STATUS)}
    done = plays.run(tmp_path, groups, [play], {"vip_address": "192.0.2.1/24"}, ANSIBLE_TIMEOUT="3")
    assert done.returncode != 0 and "held by no node; node1: does not answer" in done.stdout, done.stdout
    assert "no node that answers says how its address moves" in done.stdout and "is undefined" not in done.stdout

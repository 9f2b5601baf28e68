# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the playbooks refuse before they change anything, by the real Ansible."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(("addresses", "shown"), [([], "empty"), ("192.168.7.246/22", "192.168.7.246/22")])
def test_no_list_of_addresses_is_refused(tmp_path: Path, addresses: Any, shown: str) -> None:
    variables = {
        "ansible_connection": "local",
        "ansible_python_interpreter": sys.executable,
        "vip_interface": "eth0",
        "vip_addresses": addresses,
    }
    groups = {"vip_nodes": {"hosts": {"node1": {}, "node2": {}}, "vars": variables}}
    (tmp_path / "inventory.json").write_text(json.dumps({"all": {"children": groups}}))
    play = {
        "hosts": "vip_nodes",
        "gather_facts": False,
        "vars_files": [f"{ROOT}/playbooks/vars/service.yml", f"{ROOT}/playbooks/vars/vrrp.yml"],
        "tasks": [{"ansible.builtin.include_tasks": f"{ROOT}/playbooks/tasks/vrrp_checks.yml"}],
    }
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
    assert f"vip_addresses, or vip_address in its place, is {shown};" in done.stdout, done.stdout
    assert "changed=0" in done.stdout and "changed=1" not in done.stdout, done.stdout

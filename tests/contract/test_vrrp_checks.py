# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the playbooks refuse before they change anything, by the real Ansible."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import plays
import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(("addresses", "shown"), [([], "empty"), ("192.168.7.246/22", "192.168.7.246/22")])
def test_no_list_of_addresses_is_refused(tmp_path: Path, addresses: Any, shown: str) -> None:
    groups = {"vip_nodes": {"hosts": {"node1": {}, "node2": {}}}}
    play = {
        "ansible.builtin.import_playbook": f"{ROOT}/playbooks/plays/check.yml",
        "vars": {"topology": "onprem_active_standby", "topology_shared": "vrrp", "topology_group": "vip_nodes"},
    }
    done = plays.run(tmp_path, groups, [play], {"vip_interface": "eth0", "vip_addresses": addresses})
    assert done.returncode != 0
    assert f"vip_addresses, or vip_address in its place, is {shown};" in done.stdout, done.stdout
    assert "changed=0" in done.stdout and "changed=1" not in done.stdout, done.stdout

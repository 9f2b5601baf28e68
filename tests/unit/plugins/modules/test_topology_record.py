# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The record of the topology: written, read, and what tells of one that is damaged."""

from __future__ import annotations

import functools
import json

import pytest
from ansible.module_utils.testing import patch_module_args

from ansible_collections.cloudha.vip.plugins.module_utils.topology import record
from ansible_collections.cloudha.vip.plugins.modules import topology_record, vip_info

PAIR = {"topology": "pair", "mechanism": "vrrp", "parts": ["nginx", "vrrp"]}


@pytest.fixture
def fact(tmp_path, monkeypatch):
    path = tmp_path / "etc/ansible/facts.d/cloudha_vip.fact"
    path.parent.mkdir(parents=True)
    monkeypatch.setattr(record, "FACT", path)
    monkeypatch.setattr(record.read, "__defaults__", (path,))
    monkeypatch.setattr(topology_record, "Record", functools.partial(topology_record.Record, home=tmp_path / "before"))
    return path


def run(module, capsys, **options):
    with patch_module_args(options), pytest.raises(SystemExit):
        module.main()
    return json.loads(capsys.readouterr().out)


def test_a_deployment_mends_a_damaged_record_and_nothing_else_does(fact, capsys):
    fact.write_text("{")
    for state in ("read", "absent"):
        done = run(topology_record, capsys, state=state)
        assert done["failed"] and f"{fact} is no JSON" in done["msg"] and fact.read_text() == "{"
    assert run(topology_record, capsys, **PAIR)["changed"]
    assert run(topology_record, capsys, state="read")["record"] == PAIR == json.loads(fact.read_text())
    assert not run(topology_record, capsys, **PAIR)["changed"]


def test_a_node_with_a_damaged_record_says_so_and_all_the_rest(fact, capsys, tmp_path):
    fact.write_text("[]")
    done = run(vip_info, capsys, addresses=["192.0.2.1"], runtime_dir=str(tmp_path), event_log=str(tmp_path / "events"))
    assert done["topology"] is None and done["topology_error"].startswith(f"{fact} is no dictionary: deploy")
    assert done["addresses"] and "keepalived" in done
    fact.unlink()
    done = run(vip_info, capsys, addresses=["192.0.2.1"], runtime_dir=str(tmp_path), event_log=str(tmp_path / "events"))
    assert done["topology"] is None and "topology_error" not in done

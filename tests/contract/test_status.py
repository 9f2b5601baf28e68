# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbook status, by the real Ansible, where the nodes do not say how their address moves."""

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


def test_nodes_that_contradict_each_other_are_told_in_place_of_a_holder(tmp_path: Path) -> None:
    nodes = {}
    for node, topology, mechanism in (("node1", "pair", "vrrp"), ("node2", "route", "gcp_route")):
        record = {"topology": topology, "mechanism": mechanism, "parts": [mechanism]}
        nodes[node] = plays.canned(tmp_path, {"topology": record, "keepalived": {"active": True}, "holds_all": False})
    play = {"ansible.builtin.import_playbook": str(STATUS)}
    done = plays.run(tmp_path, {"vip_nodes": {"hosts": nodes}}, [play], {"vip_address": "192.0.2.1/24"})
    said = "the nodes are parts of different topologies, node1 of pair (vrrp) and node2 of route (gcp_route): deploy"
    assert done.returncode != 0 and f"192.0.2.1/24: {said}" in done.stdout, done.stdout
    (message,) = [line for line in done.stdout.splitlines() if f"192.0.2.1/24: {said}" in line]
    assert message.count(said) == 1 and "no node" not in message

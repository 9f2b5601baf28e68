# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The order in which parts are deployed and taken away, by the real Ansible, on nodes whose modules have one answer."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import plays
import pytest

ROOT = Path(__file__).resolve().parents[2]
NOWHERE = {
    "ansible_become": False,
    "vip_address": "192.168.7.246/22",
    "vip_interface": "eth0",
    "nginx_node_name": "any",
}


def node(scratch: Path, removal: list[str] | None = None, **variables: Any) -> dict[str, Any]:
    """removal: of its record; none if it has no record."""
    record = {"topology": "some", "mechanism": removal[0], "parts": removal[::-1]} if removal else None
    answer = {**plays.EMPTY, "record": record, "removal": removal or []}
    return {**plays.canned(scratch, answer), **variables}


def begun(output: str, name: str) -> list[str]:
    """The parts whose own tasks have run on this node, in order."""
    each = re.findall(r"^TASK \[cloudha\.vip\.(\w+) : Validating [^\n]*\n(.*?)\n\n", output, re.MULTILINE | re.DOTALL)
    return [part for part, hosts in each if f"[{name}]" in hosts and part not in ("holder", "switchover", "drill")]


def teardown(scratch: Path, nodes: dict[str, Any], **variables: Any) -> tuple[int, str]:
    play = {"ansible.builtin.import_playbook": f"{ROOT}/playbooks/teardown.yml"}
    # One after the other, the first node gives the order.
    done = plays.run(scratch, {"vip_nodes": {"hosts": nodes}}, [play], {**NOWHERE, **variables}, ANSIBLE_FORKS="1")
    return done.returncode, done.stdout + done.stderr


def test_each_node_takes_away_its_parts_in_its_own_order(tmp_path: Path) -> None:
    # The first one was reached by a second deployment, of another topology; its mechanism now is another one.
    orders = {
        "node1": ["lvs_director", "no_forwarding", "health_check", "nginx"],
        "node2": ["nginx", "health_check", "no_forwarding"],
        "node3": [],
    }
    code, output = teardown(tmp_path, {name: node(tmp_path, order) for name, order in orders.items()})
    assert code == 0, output
    assert {name: begun(output, name) for name in orders} == orders


@pytest.mark.parametrize("by_hand", [False, True])
def test_a_part_that_is_not_there_keeps_no_other_node_from_being_cleaned(tmp_path: Path, by_hand: bool) -> None:
    first = node(tmp_path, vip_mechanism="carp") if by_hand else node(tmp_path, ["nginx", "carp", "no_forwarding"])
    code, output = teardown(tmp_path, {"node1": first, "node2": node(tmp_path, ["nginx", "no_forwarding"])})
    assert code != 0
    source = "vip_mechanism" if by_hand else "the record"
    assert f"node1: this version of the collection has no part carp, which {source} names." in " ".join(output.split())
    assert begun(output, "node1") == [] and begun(output, "node2") == ["nginx", "no_forwarding"], output


def test_a_cloud_that_the_inventory_no_longer_names_is_told_truly(tmp_path: Path) -> None:
    """It is left by an earlier deployment, of another topology, and the parts before it are removed by then."""
    says = {
        "gcp_route": "The route was not removed",
        "gcp_alias_ip": "The range was not removed",
        "havip": "It was not deleted",
        "cloudpods": "It was not changed",
    }
    nodes = {part: node(tmp_path, ["no_forwarding", part, "nginx"]) for part in says}
    code, output = teardown(tmp_path, nodes)
    assert code != 0
    told = " ".join(output.split())
    assert [words for words in says.values() if words not in told] == [] and "Nothing was changed" not in told, output
    assert {name: begun(output, name) for name in says} == {part: ["no_forwarding", part] for part in says}


def test_all_nodes_deploy_in_one_order_though_a_part_is_on_some_of_them(tmp_path: Path) -> None:
    """keepalived refuses to watch by a script that is not there yet."""
    play = {
        "ansible.builtin.import_playbook": f"{ROOT}/playbooks/plays/parts.yml",
        "vars": {
            "topology": "onprem_active_standby",
            "topology_shared": "vrrp",
            "topology_group": "vip_nodes",
            "switchover_work_name": "this test",
        },
    }
    nodes = {"node1": node(tmp_path), "node2": node(tmp_path, health_check_kind="script")}
    done = plays.run(tmp_path, {"vip_nodes": {"hosts": nodes}}, [play], NOWHERE, ANSIBLE_FORKS="1")
    assert begun(done.stdout, "node1")[:2] == ["nginx", "vip_agent"], done.stdout
    assert begun(done.stdout, "node2")[:3] == ["nginx", "health_check", "vip_agent"], done.stdout

# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role keepalived from its check to its last task, by the real Ansible, on nodes that are only described."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import plays
import pytest

VIP = "192.168.7.246"
WEB = {"name": "web", "interface": "eth0", "virtual_router_id": 66, "addresses": [f"{VIP}/22"]}
WANTED = "{{ inventory_hostname }} wants {{ __keepalived_content | default('') | hash('sha1') }}."
ROLE = {"name": "cloudha.vip.keepalived"}
TASKS = [
    {"ansible.builtin.include_role": {**ROLE, "tasks_from": "check"}},
    {"ansible.builtin.include_role": {**ROLE, "public": True}},
    {"ansible.builtin.debug": {"msg": WANTED}},
]


def node(scratch: Path, number: int, holds: bool, written: str = "other", **more: Any) -> dict[str, Any]:
    """It answers every module with all that it is. written: the checksum of its configuration."""
    own, other = f"192.168.7.{246 + number}", f"192.168.7.{249 - number}"
    running = {**WEB, "source_address": own, "peers": [other], "priority": 255 - number}
    configuration = {"variables": {"keepalived_instances": [running]}, "checksum": written, "secret": False}
    says = {
        "changed": False,
        "rc": 0,
        "stdout": "",
        "installed": True,
        "unfinished": False,
        "configurations": [configuration, configuration],
        "problems": [],
        "interfaces": {"eth0": [f"{own}/22", *([f"{VIP}/22"] if holds else [])]},
        "macs": {"eth0": f"52:54:00:00:00:0{number}"},
        "passing": [],
        "scopes": {},
        "answers": [],
        "restart": [],
        "changed_files": [],
        "version": "2.2.7",
        "stat": {"exists": True, "isdir": False, "islnk": False, "checksum": written},
        "checksum": written,
        "addresses": [{"address": VIP, "held": holds}],
        "holds_any": holds,
        "keepalived": {"active": True},
        "drain": 0,
        "checks": {},
        "instances": {},
        "heard": [],
        "ansible_facts": {
            "os_family": "Debian",
            "virtualization_tech_guest": ["container"],
            "python": {"executable": "/usr/bin/python3", "version_info": [3, 11, 2]},
        },
    }
    return plays.canned(scratch, {**says, **more})


def run(scratch: Path, hosts: dict[str, Any], only: str = "vip_nodes", check: bool = False) -> tuple[int, str]:
    play = {"hosts": only, "gather_facts": True, "tasks": TASKS}
    variables = {"keepalived_instances": [WEB], "keepalived_settle_timeout": 2}
    done = plays.run(scratch, {"vip_nodes": {"hosts": hosts}}, [play], variables, check=check)
    return done.returncode, done.stdout


def turns(output: str) -> list[str]:
    """The hosts which take their new configuration, in their order."""
    return re.findall(
        r"TASK \[cloudha\.vip\.keepalived : Reload keepalived\].*?\n(?:skipping: .*\n)?ok: \[(\w+)\]", output
    )


def test_a_group_that_has_nothing_to_do_is_looked_at_once(tmp_path: Path) -> None:
    code, output = run(tmp_path, {"node1": node(tmp_path, 1, True), "node2": node(tmp_path, 2, False)})
    assert code == 0 and turns(output) == ["node2", "node1"], output
    sums = dict(re.findall(r"(node\d) wants (\w+)\.", output))
    nodes = {name: node(tmp_path, n, n == 1, sums[name]) for n, name in enumerate(sorted(sums), 1)}
    code, output = run(tmp_path, nodes)
    assert code == 0 and turns(output) == [], output
    assert output.count(": Look at the node]") == 1 and "Refuse a phase" not in output, output
    code, dry = run(tmp_path, nodes, check=True)
    assert code == 0 and turns(dry) == [], dry
    # Each of them costs the controller a process.
    assert len(re.findall(r"^(?:ok|skipping): \[\w+\](?! => \(item)", output, re.MULTILINE)) < 75, output


@pytest.mark.parametrize("installed", ["node1", "node2"])
def test_a_dry_run_knows_nothing_of_a_node_without_keepalived(tmp_path: Path, installed: str) -> None:
    nodes = {f"node{n}": node(tmp_path, n, installed == f"node{n}", installed=installed == f"node{n}") for n in (1, 2)}
    code, output = run(tmp_path, nodes, check=True)
    assert code == 0 and turns(output) == [installed], output


def test_two_holders_that_do_not_become_one_end_the_run(tmp_path: Path) -> None:
    code, output = run(tmp_path, {f"node{n}": node(tmp_path, n, True) for n in (1, 2)})
    said = " ".join(output.split())
    assert code != 0 and f"{VIP} is held by node1 and node2. Keepalived was stopped on node2, so that" in said, output


def test_nodes_outside_of_a_run_are_asked_and_told(tmp_path: Path) -> None:
    gone = {"ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": 9}
    gone["keepalived_instances"] = [{**WEB, "source_address": "192.168.7.249"}]
    nodes = {"node1": node(tmp_path, 1, True), "node2": node(tmp_path, 2, False)}
    nodes["node1"]["keepalived_absent_ok"] = ["node3"]
    code, output = run(tmp_path, {**nodes, "node3": gone}, only="node1")
    said = " ".join(output.split())
    assert code == 0 and turns(output) == ["node1"], output
    assert "node2 is not part of this run (left out by --limit, or failed before)" in said
    assert re.search(
        r"node3 cannot be reached \([^)]*127\.0\.0\.1.*?\): it stays a peer of the others, at 192\.168\.7\.249", said
    )
    # node3 is not asked again: each question would wait for the time-out of the connection.
    assert output.count("UNREACHABLE") == 1, output

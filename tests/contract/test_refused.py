# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Inventories that the playbooks of topologies refuse before anything changes, by the real Ansible.

Every node is this machine, in check mode, so that what is not refused does no harm. On the lab's machines
tests/system has one case of each kind; what an API refuses is in the tests of its modules.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lab import topology

ROOT = Path(__file__).resolve().parents[2]
VIP, SECOND = "127.0.7.246", "127.0.7.245"
INSTANCE = {"name": "VI_1", "interface": "lo", "virtual_router_id": 66, "addresses": [f"{VIP}/8"]}
ON_PREMISES = {"vip_address": f"{VIP}/8", "vip_interface": "lo"}


def refused(
    scratch: Path,
    playbook: str,
    common: dict[str, Any],
    variables: dict[str, Any],
    says: list[str],
    nodes: dict[str, Any],
) -> None:
    """Each of ``says`` is in what one run prints, for none of the mistakes hides another one."""
    here = {
        "ansible_connection": "local",
        "ansible_python_interpreter": sys.executable,
        "ansible_become": False,
        # Who answers for an address is for the lab to show: it takes seconds.
        "keepalived_stranger_check": False,
    }
    groups = {"vip_nodes": {"hosts": nodes, "vars": common}, "vip_clients": {"hosts": {"client1": {}}}}
    inventory = scratch / "inventory.json"
    inventory.write_text(json.dumps({"all": {"children": groups, "vars": here}}))
    done = subprocess.run(
        [
            "ansible-playbook",
            "--check",
            f"--inventory={inventory}",
            f"--extra-vars={json.dumps(variables)}",
            f"{ROOT}/playbooks/{playbook}.yml",
        ],
        cwd=scratch,
        env={**os.environ, "ANSIBLE_NOCOLOR": "1", "COLUMNS": "1000"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode != 0, "this must be refused"
    assert [each for each in says if each not in done.stdout] == [], done.stdout[-3000:] + done.stderr
    changed = re.findall(r"^\S+\s+: ok=\d+\s+changed=(\d+)", done.stdout, re.MULTILINE)
    assert changed and set(changed) == {"0"}, done.stdout[-3000:]


@pytest.mark.parametrize(
    ("variables", "says"),
    [
        (
            {
                "vip_address": "192.168.99.10/24",
                "nginx_listen_addresses": ["127.0.0.1"],
                "vip_port": 8080,
                "nginx_port": 8081,
            },
            [
                "vip_address_offlink",
                "without 192.168.99.10: nobody would answer",
                "nginx_port of node2 is 8081, and the service's port is 8080: nobody would answer",
            ],
        ),
        ({"vip_interface": "eth9x"}, ["vip_interface is eth9x, which the node does not have"]),
        ({"vip_service": "haproxy"}, ["vip_check_url"]),
        ({"keepalived_group": "vip_clients"}, ["keepalived_group is vip_clients, and node1 is not in it"]),
        ({"keepalived_instances": [{**INSTANCE, "adresses": []}]}, ["keepalived_instances.adresses"]),
        (
            {
                "vip_router_id": 256,
                "vip_address": "127.0.7.300/8",
                "keepalived_detection_ms": 10,
            },
            [
                "[VI_1].virtual_router_id is 256; use 1 to 255",
                "127.0.7.300/8",
                "keepalived_detection_ms: 10 ms is less",
            ],
        ),
        (
            {
                "keepalived_instances": [
                    {**INSTANCE, "peers": [], "priority": 200},
                    {**INSTANCE, "name": "VI_2", "addresses": [f"{SECOND}/8"]},
                ]
            },
            [
                "[VI_1].peers is empty",
                "[VI_1].priority is 200 on each of them",
                "virtual_router_id 66 on lo is used by VI_1 and VI_2",
            ],
        ),
    ],
)
def test_on_premises(tmp_path: Path, variables: dict[str, Any], says: list[str]) -> None:
    refused(tmp_path, "onprem_active_standby", ON_PREMISES, variables, says, {"node1": {}, "node2": {}})


# What keepalived's part refuses, where no part asks the API before it does.
ONE_PRIORITY: tuple[dict[str, Any], list[str]] = (
    {
        "topology_wanted": ["nginx", "local_address", "keepalived"],
        "keepalived_instances": [{**INSTANCE, "addresses": [], "priority": 200}],
    },
    ["[VI_1].priority is 200 on each of them"],
)


def in_google_cloud(
    scratch: Path,
    playbook: str,
    variables: dict[str, Any],
    says: list[str],
    more: dict[str, dict[str, str]] | None = None,
) -> None:
    """Before the API is asked: it is at no address that anybody has. more: nodes besides those of the lab."""
    plan = topology.get(playbook)
    common = {**plan.variables, "vip_interface": "lo"}
    nodes = {each.name: each.variables for each in plan.machines if each.group == "vip_nodes"}
    refused(scratch, playbook, common, variables, says, {**nodes, **(more or {})})


@pytest.mark.parametrize(
    ("variables", "says"),
    [
        (
            {"vip_address": "10.200.1.0/24", "gcp_instance": "node1", "gcp_zone": "us-central1-a"},
            ["vip_address is 10.200.1.0/24", "two nodes are the same instance"],
        ),
        ({"gcp_zone": ""}, ["gcp_zone is not set"]),
        ONE_PRIORITY,
    ],
)
def test_a_route(tmp_path: Path, variables: dict[str, Any], says: list[str]) -> None:
    in_google_cloud(tmp_path, "gcp_route_heartbeat", variables, says)


@pytest.mark.parametrize(
    ("variables", "says"),
    [
        ({"vip_address": "10.10.0.0/24", "gcp_zone": ""}, ["vip_address is 10.10.0.0/24", "gcp_zone is not set"]),
        ONE_PRIORITY,
    ],
)
def test_an_alias_range(tmp_path: Path, variables: dict[str, Any], says: list[str]) -> None:
    in_google_cloud(tmp_path, "gcp_alias_ip", variables, says)


@pytest.mark.parametrize(
    ("playbook", "variables", "says"),
    [
        ("gcp_lb_failover", {"vip_address": "fd00::1/128"}, ["vip_address is fd00::1/128; set an IPv4 address"]),
        ("gcp_lb_heartbeat", {"vip_address": "fd00::1/128"}, ["vip_address is fd00::1/128; set an IPv4 address"]),
        ("gcp_lb_failover", {"gcp_lb_backups": []}, ["gcp_lb_backups is empty, and here one node waits"]),
        ("gcp_lb_active_active", {"gcp_lb_backups": ["node2"]}, ["gcp_lb_backups names nodes that wait"]),
        (
            "gcp_lb_failover",
            {"gcp_lb_name": "", "gcp_subnetwork": "", "gcp_zone": "", "vip_address": "10.100.3.0/24"},
            [
                "gcp_lb_name is not set",
                "gcp_subnetwork is not set",
                "gcp_zone is not set",
                "vip_address is 10.100.3.0/24",
            ],
        ),
        (
            "gcp_lb_failover",
            {"gcp_lb_backups": ["node1", "node2"], "gcp_region": "europe-west1"},
            ["gcp_lb_backups has all nodes", "gcp_region is europe-west1, and the nodes are in us-central1"],
        ),
        ("gcp_lb_heartbeat", {"gcp_lb_backups": ["node2"]}, ["gcp_lb_backups names nodes that wait"]),
        (
            "gcp_lb_heartbeat",
            {"gcp_lb_objective_s": 1, "gcp_lb_check_url": "ftp://127.0.0.1/", "gcp_lb_name": "w" * 58},
            [
                "gcp_lb_objective_s is 1; it must be a whole number of seconds, and 2 or more",
                "gcp_lb_check_url is 'ftp://127.0.0.1/'",
                "too long: the group of node1 would be called",
            ],
        ),
    ],
)
def test_a_load_balancer(tmp_path: Path, playbook: str, variables: dict[str, Any], says: list[str]) -> None:
    in_google_cloud(tmp_path, playbook, variables, says)


def test_a_load_balancer_with_one_node_too_many(tmp_path: Path) -> None:
    third = {"node3": {"gcp_instance": "node3", "gcp_zone": "us-central1-c"}}
    says = ["the group vip_nodes has 3 hosts; for more, use the playbook gcp_lb_active_active or gcp_lb_heartbeat"]
    in_google_cloud(tmp_path, "gcp_lb_failover", {}, says, third)

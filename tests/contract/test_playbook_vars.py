# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the playbooks make of an inventory, by the real Ansible, on no machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOLD = [
    "vip_agent_checks",
    "keepalived_track_files",
    "keepalived_track_scripts",
    "keepalived_instances",
    "keepalived_notify_fifo",
    "topology_urls",
    "asked_by_drill",
]
GCP = {
    "vip_address": "10.200.1.1",
    "gcp_project": "p",
    "gcp_zone": "z",
    "topology_action": {"type": "gcp_route", "name": "r"},
    "topology_given": {"project": "p"},
}


def told(scratch: Path, topology: str, more: list[str], **inventory: Any) -> dict[str, Any]:
    """The variables of node1 in a playbook of this topology."""
    local = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    variables = {**local, "vip_address": "192.168.7.246/22", "vip_interface": "eth0", **inventory}
    hosts = {"vip_nodes": {"hosts": {"node1": {}, "node2": {}}}, "vip_real_servers": {"hosts": {"real1": {}}}}
    (scratch / "inventory.json").write_text(json.dumps({"all": {"children": hosts, "vars": variables}}))
    defaults = f"{ROOT}/roles/drill/defaults/main.yml"
    play = {
        "hosts": "node1",
        "gather_facts": False,
        "vars_files": [f"{ROOT}/playbooks/vars/service.yml", f"{ROOT}/playbooks/vars/{topology}.yml"],
        "roles": [{"role": "cloudha.vip.health_check", "when": False}],
        "post_tasks": [
            {"ansible.builtin.include_vars": {"file": defaults, "name": "drill_defaults"}},
            {
                "ansible.builtin.copy": {
                    "content": "{{ dict(names | zip(names | map('extract', all))) | to_json }}",
                    "dest": f"{scratch}/told.json",
                    "mode": "0600",
                },
                "vars": {
                    "names": [*TOLD, *more],
                    "drill_plain": "{{ vip_addresses | default([vip_address]) | map('regex_replace', '/.*', '') }}",
                    "asked_by_drill": "{{ drill_defaults.drill_url | trim }}",
                    "all": {name: f"{{{{ {name} | default('undefined') }}}}" for name in [*TOLD, *more]},
                },
            },
        ],
    }
    (scratch / "play.json").write_text(json.dumps([play]))
    done = subprocess.run(
        ["ansible-playbook", f"--inventory={scratch}/inventory.json", str(scratch / "play.json")],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "ANSIBLE_NOCOLOR": "1"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, Any] = json.loads((scratch / "told.json").read_text())
    return found


def tracked(found: dict[str, Any]) -> list[str]:
    return [entry["file"] for entry in found["keepalived_track_files"]]


@pytest.mark.parametrize(
    ("topology", "inventory", "asked"),
    [
        ("vrrp", {}, "127.0.0.1"),
        ("gcp", GCP, "10.200.1.1"),
    ],
)
def test_the_port_and_the_path_of_nginx_reach_checks_drill_and_last_request(
    tmp_path: Path, topology: str, inventory: dict[str, Any], asked: str
) -> None:
    found = told(tmp_path, topology, [], nginx_port=8080, nginx_health_path="/ready", **inventory)
    assert [check["url"] for check in found["vip_agent_checks"]] == [f"http://{asked}:8080/ready"]
    address = inventory.get("vip_address", "192.168.7.246")
    assert found["topology_urls"] == [f"http://{address}:8080/ready"] == [found["asked_by_drill"]]


def test_without_a_wish_all_is_as_it_was(tmp_path: Path) -> None:
    found = told(tmp_path, "vrrp", [])
    assert found["vip_agent_checks"] == [{"name": "nginx", "type": "http", "url": "http://127.0.0.1/healthz"}]
    assert found["keepalived_track_files"] == [{"name": "nginx", "file": "/run/cloudha-vip/check/nginx", "init": 1}]
    (instance,) = found["keepalived_instances"]
    assert instance["track_files"] == ["nginx"] and instance["track_scripts"] == []
    assert found["keepalived_notify_fifo"] == "/run/cloudha-vip/notify"
    assert found["topology_urls"] == ["http://192.168.7.246/healthz"] == [found["asked_by_drill"]]


def test_the_script_asks_the_port_and_the_path_too(tmp_path: Path) -> None:
    found = told(tmp_path, "vrrp", [], health_check_kind="script", nginx_port=8080, nginx_health_path="/ready")
    (script,) = found["keepalived_track_scripts"]
    assert "url=http://127.0.0.1:8080/ready" in script["script"] and found["vip_agent_checks"] == []


@pytest.mark.parametrize(("topology", "inventory"), [("vrrp", {}), ("gcp", GCP)])
def test_the_inventorys_checks_count_and_are_watched(
    tmp_path: Path, topology: str, inventory: dict[str, Any]
) -> None:
    checks = [{"name": "app", "type": "tcp", "port": 8443}, {"name": "disk", "type": "command", "command": ["/bin/true"]}]
    more = [{"name": "mine", "file": "/run/mine"}, {"name": "disk", "file": "/run/other"}]
    found = told(tmp_path, topology, [], vip_agent_checks=checks, keepalived_track_files=more, **inventory)
    assert found["vip_agent_checks"] == checks
    assert tracked(found) == ["/run/cloudha-vip/check/app", "/run/mine", "/run/other"]
    (instance,) = found["keepalived_instances"]
    assert instance["track_files"] == ["app", "mine", "disk"]


@pytest.mark.parametrize(("topology", "inventory"), [("vrrp", {}), ("gcp", GCP), ("lvs", {})])
def test_the_inventorys_instances_count(tmp_path: Path, topology: str, inventory: dict[str, Any]) -> None:
    mine = [{"name": "MINE", "interface": "eth9", "virtual_router_id": 9, "addresses": ["192.168.7.9/22"]}]
    found = told(tmp_path, topology, [], keepalived_instances=mine, vip_agent_fifo="/run/mine", **inventory)
    assert found["keepalived_instances"] == mine and found["keepalived_notify_fifo"] == "/run/mine"


def test_more_actions_and_addresses_of_the_inventory_are_more(tmp_path: Path) -> None:
    given = {"vip_agent_actions": [{"type": "x", "name": "mine"}], "local_address_addresses": ["10.9.9.9/32"]}
    found = told(tmp_path, "gcp", [*given], **GCP, **given)
    assert [action["name"] for action in found["vip_agent_actions"]] == ["r", "mine"]
    assert found["local_address_addresses"] == ["10.200.1.1/32", "10.9.9.9/32"]


def test_a_service_of_ones_own_takes_the_place_of_nginx(tmp_path: Path) -> None:
    found = told(
        tmp_path,
        "vrrp",
        [],
        vip_service="haproxy",
        vip_check_url="tcp://127.0.0.1:5432",
        vip_addresses=["192.168.7.246/22", "fd00:7::246/64"],
    )
    assert [(check["name"], check["type"]) for check in found["vip_agent_checks"]] == [("haproxy", "tcp")]
    assert tracked(found) == ["/run/cloudha-vip/check/haproxy"]
    assert found["topology_urls"] == ["tcp://192.168.7.246:5432", "tcp://[fd00:7::246]:5432"]


def test_the_directors_and_the_real_servers_have_one_port(tmp_path: Path) -> None:
    found = told(tmp_path, "lvs", ["keepalived_virtual_servers"], lvs_port=8080)
    (server,) = found["keepalived_virtual_servers"]
    assert int(server["port"]) == 8080 and int(server["real_servers"][0]["port"]) == 8080
    assert found["topology_urls"] == ["http://192.168.7.246:8080/healthz"] == [found["asked_by_drill"]]

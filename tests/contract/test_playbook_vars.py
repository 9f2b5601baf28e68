# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the playbooks make of an inventory, by the real Ansible, on no machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import plays
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
DRILL = f"{ROOT}/roles/drill/vars/main.yml"
TOLD = [
    "vip_agent_checks",
    "keepalived_track_files",
    "keepalived_track_scripts",
    "keepalived_instances",
    "keepalived_notify_fifo",
    "topology_urls",
    "asked_by_drill",
    "vip_agent_actions",
    "local_address_addresses",
    "keepalived_virtual_servers",
    "health_check_late",
    "health_check_checks",
    "nginx_port",
    "topology_mistakes",
]
GCP = {
    "vip_address": "10.200.1.1",
    "gcp_project": "p",
    "gcp_zone": "z",
    "gcp_network": "n",
    "gcp_route_name": "r",
    "topology": "gcp_route_heartbeat",
}


CHECKS = [
    {"name": "app", "type": "tcp", "port": 8443},
    {"name": "disk", "type": "command", "command": ["/bin/true"]},
]
FILES = [{"name": "mine", "file": "/run/mine"}, {"name": "disk", "file": "/run/other"}]
INSTANCES = [{"name": "MINE", "interface": "eth9", "virtual_router_id": 9, "addresses": ["192.168.7.9/22"]}]
MORE = {"vip_agent_actions": [{"type": "x", "name": "mine"}], "local_address_addresses": ["10.9.9.9/32"]}
ELSEWHERE = {"nginx_port": 8080, "nginx_health_path": "/ready"}
LVS = {"topology": "huawei_lvs_dr"}
REAL2 = {"lvs_real_server_drain_file": "/run/mine"}
OWN = {"vip_service": "haproxy", "vip_check_url": "tcp://127.0.0.1:5432"}
SCRIPTS = [
    {"name": "late", "url": "http://127.0.0.1/", "timeout_ms": 1000},
    {"name": "longer", "tcp": "127.0.0.1:80", "timeout_ms": 1500, "timeout": 2},
    {"name": "default", "url": "http://127.0.0.1/"},
    {"name": "process", "process": "nginx", "timeout_ms": 9000},
]
# A host for each: the variables file that its playbook shares with others, and its inventory.
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "plain": ("vrrp", {}),
    "elsewhere": ("vrrp", ELSEWHERE),
    "elsewhere_gcp": ("gcp", {**GCP, **ELSEWHERE}),
    "script": ("vrrp", {"health_check_kind": "script", **ELSEWHERE}),
    "scripts": ("vrrp", {"health_check_kind": "script", "health_check_checks": SCRIPTS}),
    "checks": ("vrrp", {"vip_agent_checks": CHECKS, "keepalived_track_files": FILES}),
    "checks_gcp": ("gcp", {**GCP, "vip_agent_checks": CHECKS, "keepalived_track_files": FILES}),
    "instances": ("vrrp", {"keepalived_instances": INSTANCES, "vip_agent_fifo": "/run/mine"}),
    "instances_gcp": ("gcp", {**GCP, "keepalived_instances": INSTANCES, "vip_agent_fifo": "/run/mine"}),
    "instances_lvs": ("vrrp", {**LVS, "keepalived_instances": INSTANCES, "vip_agent_fifo": "/run/mine"}),
    "more_gcp": ("gcp", {**GCP, **MORE}),
    "own": ("vrrp", {**OWN, "vip_addresses": ["192.168.7.246/22", "fd00:7::246/64"]}),
    "port": ("vrrp", {"health_check_kind": "script", "vip_port": 8080}),
    "port_lvs": ("vrrp", {**LVS, "vip_port": 8080}),
}


@pytest.fixture(scope="session")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """For each case the variables of its host in a playbook of its topology: one run for all."""
    scratch = tmp_path_factory.mktemp("told")
    common = {"vip_address": "192.168.7.246/22", "vip_interface": "eth0"}
    nodes = {case: inventory for case, (_file, inventory) in CASES.items()}
    groups = {"vip_nodes": {"hosts": nodes}, "vip_real_servers": {"hosts": {"real1": {}, "real2": REAL2}}}
    each = [_play(scratch, case, file) for case, (file, _inventory) in CASES.items()]
    done = plays.run(scratch, groups, each, common, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    return {case: json.loads((scratch / case).read_text()) for case in CASES}


def _play(scratch: Path, case: str, file: str) -> dict[str, Any]:
    topology = CASES[case][1].get("topology", "onprem_active_standby")
    values = {name: f"{{{{ {name} | default('undefined') }}}}" for name in TOLD}
    return {
        "hosts": case,
        "gather_facts": False,
        "vars_files": [f"{ROOT}/playbooks/vars/{name}.yml" for name in ("service", file, topology)],
        "roles": [{"role": f"cloudha.vip.{role}", "when": False} for role in ("nginx", "health_check")],
        "post_tasks": [
            {"ansible.builtin.include_vars": {"file": DRILL, "name": "of_the_drill"}},
            {
                "ansible.builtin.copy": {
                    "content": "{{ values | to_json }}",
                    "dest": f"{scratch}/{case}",
                    "mode": "0600",
                },
                "vars": {
                    "drill_addresses": "{{ vip_addresses | default([vip_address]) }}",
                    "asked_by_drill": "{{ of_the_drill.drill_urls }}",
                    "values": values,
                },
            },
        ],
    }


def tracked(found: dict[str, Any]) -> list[str]:
    return [entry["file"] for entry in found["keepalived_track_files"]]


Told = dict[str, dict[str, Any]]


@pytest.mark.parametrize(
    ("case", "asked", "address"),
    [("elsewhere", "127.0.0.1", "192.168.7.246"), ("elsewhere_gcp", "10.200.1.1", "10.200.1.1")],
)
def test_the_port_and_the_path_of_nginx_reach_checks_drill_and_last_request(
    told: Told, case: str, asked: str, address: str
) -> None:
    found = told[case]
    assert [check["url"] for check in found["vip_agent_checks"]] == [f"http://{asked}:8080/ready"]
    assert found["topology_urls"] == [f"http://{address}:8080/ready"] == found["asked_by_drill"]


def test_without_a_wish_all_is_as_it_was(told: Told) -> None:
    found = told["plain"]
    assert found["vip_agent_checks"] == [{"name": "nginx", "type": "http", "url": "http://127.0.0.1/healthz"}]
    assert found["keepalived_track_files"] == [{"name": "nginx", "file": "/run/cloudha-vip/check/nginx", "init": 1}]
    (instance,) = found["keepalived_instances"]
    assert instance["track_files"] == ["nginx"] and instance["track_scripts"] == []
    assert found["keepalived_notify_fifo"] == "/run/cloudha-vip/notify"
    assert found["topology_urls"] == ["http://192.168.7.246/healthz"] == found["asked_by_drill"]


def test_the_script_asks_the_port_and_the_path_too(told: Told) -> None:
    (script,) = told["script"]["keepalived_track_scripts"]
    assert "url=http://127.0.0.1:8080/ready" in script["script"] and told["script"]["vip_agent_checks"] == []


def test_a_script_that_keepalived_would_kill_before_it_has_asked_for_a_restart_is_refused(told: Told) -> None:
    assert told["scripts"]["health_check_late"] == ["late"] and told["script"]["health_check_late"] == []


@pytest.mark.parametrize("case", ["checks", "checks_gcp"])
def test_the_inventorys_checks_count_and_are_watched(told: Told, case: str) -> None:
    found = told[case]
    assert found["vip_agent_checks"] == CHECKS
    assert tracked(found) == ["/run/cloudha-vip/check/app", "/run/mine", "/run/other"]
    (instance,) = found["keepalived_instances"]
    assert instance["track_files"] == ["app", "mine", "disk"]


@pytest.mark.parametrize("case", ["instances", "instances_gcp", "instances_lvs"])
def test_the_inventorys_instances_count(told: Told, case: str) -> None:
    assert told[case]["keepalived_instances"] == INSTANCES
    assert told[case]["keepalived_notify_fifo"] == "/run/mine"


def test_more_actions_and_addresses_of_the_inventory_are_more(told: Told) -> None:
    found = told["more_gcp"]
    assert [action["name"] for action in found["vip_agent_actions"]] == ["r", "mine"]
    assert found["local_address_addresses"] == ["10.200.1.1/32", "10.9.9.9/32"]


def test_a_service_of_ones_own_takes_the_place_of_nginx(told: Told) -> None:
    found = told["own"]
    assert [(check["name"], check["type"]) for check in found["vip_agent_checks"]] == [("haproxy", "tcp")]
    assert tracked(found) == ["/run/cloudha-vip/check/haproxy"]
    assert found["topology_urls"] == ["tcp://192.168.7.246:5432", "tcp://[fd00:7::246]:5432"] == found["asked_by_drill"]


def test_the_directors_and_the_real_servers_have_one_port(told: Told) -> None:
    found = told["port_lvs"]
    (server,) = found["keepalived_virtual_servers"]
    assert int(server["port"]) == 8080 and int(server["real_servers"][0]["port"]) == 8080
    assert found["topology_urls"] == ["http://192.168.7.246:8080/healthz"] == found["asked_by_drill"]


def test_a_drill_keeps_nodes_and_clients_for_as_long_as_one_fault_may_take(tmp_path: Path) -> None:
    """It looks three times for a good state of each client, and three times for a good state of the group."""
    given = {"drill_recover_s": 100, "drill_probes": [{}, {}], "drill_healthy_s": 600, "drill_undo_after_s": 45}
    of_the_drill = {"ansible.builtin.include_vars": {"file": DRILL, "name": "of_the_drill"}}
    lease = {"ansible.builtin.debug": {"msg": "lease {{ of_the_drill.drill_lease_s }} s"}}
    for operations, probed, more in ((0, False, 80), (2, False, 240), (0, True, 240)):
        tell = {**lease, "vars": {**given, "drill_operations": operations, "drill_probed": probed}}
        play = {"hosts": "vip_nodes", "gather_facts": False, "tasks": [of_the_drill, tell]}
        done = plays.run(tmp_path, {"vip_nodes": {"hosts": {"node1": {}}}}, [play], {})
        assert f"lease {120 + 3 * 100 * 2 + 3 * 600 + 45 + more} s" in done.stdout, done.stdout


def test_a_drill_keeps_the_users_own_settings_of_ssh(tmp_path: Path) -> None:
    """A jump host, for example; also when two drills run in one play."""
    tasks = yaml.safe_load((ROOT / "roles/drill/tasks/main.yml").read_text())
    (careful,) = [task for task in tasks if task["name"] == "Limit the waiting for hosts that hang or lost their power"]
    tell = {"ansible.builtin.debug": {"msg": "args: {{ hostvars.node1.ansible_ssh_extra_args }}"}}
    given = {"drill_nodes": ["node1"], "drill_clients": [], "drill_pool": []}
    play = {"hosts": "vip_nodes", "gather_facts": False, "vars": given, "tasks": [careful, careful, tell]}
    hosts = {"node1": {"ansible_ssh_extra_args": "-o ProxyJump=jump.example"}}
    done = plays.run(tmp_path, {"vip_nodes": {"hosts": hosts}}, [play], {})
    wanted = "args: -o ProxyJump=jump.example -o ServerAliveInterval=2 -o ServerAliveCountMax=2"
    assert wanted in done.stdout and done.stdout.count("ServerAliveInterval") == 1, done.stdout


@pytest.mark.parametrize(
    ("there", "where"),
    [(None, ""), ("192.0.2.1", ""), ("192.0.2.2", "-192.0.2.1")],
    ids=["the first", "its own", "another pair's"],
)
def test_a_drill_does_not_replace_the_report_of_another_pair(tmp_path: Path, there: str | None, where: str) -> None:
    tasks = yaml.safe_load((ROOT / "roles/drill/tasks/main.yml").read_text())
    (name,) = [task for task in tasks if task["name"] == "Name this drill"]
    usual = tmp_path / "build/drills/pair"
    if there:
        usual.mkdir(parents=True)
        (usual / "report.json").write_text(json.dumps({"addresses": [there]}))
    tell = {"ansible.builtin.debug": {"msg": "to: {{ drill_dir }}."}}
    given = {
        "drill_topology": "pair",
        "drill_nodes_group": "vip_nodes",
        "drill_report_dir": "",
        "drill_addresses": ["192.0.2.1/24"],
        "drill_now": 0,
    }
    play = {"hosts": "vip_nodes", "gather_facts": False, "vars_files": DRILL, "vars": given, "tasks": [name, tell]}
    done = plays.run(tmp_path, {"vip_nodes": {"hosts": {"node1": {}}}}, [play], {}, PWD=str(tmp_path))
    assert f"to: {usual}{where}." in done.stdout, done.stdout


def test_the_port_of_the_service_is_nginx_s_and_that_of_each_check(told: Told) -> None:
    found = told["port"]
    assert int(found["nginx_port"]) == 8080
    assert [check["url"] for check in found["health_check_checks"]] == ["http://127.0.0.1:8080/healthz"]
    assert found["topology_urls"] == ["http://192.168.7.246:8080/healthz"] == found["asked_by_drill"]


def test_a_drain_file_that_neither_the_directors_check_nor_drills_know_is_a_mistake(told: Told) -> None:
    (mistake,) = told["port_lvs"]["topology_mistakes"]
    assert mistake.startswith("real2 has lvs_real_server_drain_file; call it vip_drain_file")

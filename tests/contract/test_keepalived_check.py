# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role keepalived refuses before it changes anything, by the real Ansible."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import plays
import pytest
import yaml

from ansible_collections.cloudha.vip.plugins.module_utils.keepalived.reading import has_line

ROOT = Path(__file__).resolve().parents[2]
ROLE = ROOT / "roles/keepalived"


def test_two_groups_in_one_play_are_refused(tmp_path: Path) -> None:
    groups = {
        name: {"hosts": {host: {} for host in hosts}, "vars": {"keepalived_group": name}}
        for name, hosts in {"a_lb": ("a1", "a2"), "b_lb": ("b1", "b2")}.items()
    }
    web = {"name": "web", "interface": "lo", "virtual_router_id": 66, "addresses": ["192.0.2.1/24"]}
    check = {"ansible.builtin.include_role": {"name": "cloudha.vip.keepalived", "tasks_from": "check"}}
    play = {"hosts": "a_lb:b_lb", "gather_facts": False, "tasks": [check]}
    done = plays.run(tmp_path, groups, [play], {"keepalived_instances": [web]})
    assert done.returncode != 0
    assert "keepalived_group is a_lb, and b1 is not in it, and b2 is not in it;" in done.stdout, done.stdout
    assert "keepalived_group is b_lb, and a1 is not in it, and a2 is not in it;" in done.stdout, done.stdout
    assert "Collect the variables of this node" not in done.stdout, done.stdout


def test_a_play_that_takes_the_nodes_in_turns_is_refused(tmp_path: Path) -> None:
    web = {"name": "web", "interface": "lo", "virtual_router_id": 66, "addresses": ["192.0.2.1/24"]}
    check = {"ansible.builtin.include_role": {"name": "cloudha.vip.keepalived", "tasks_from": "check"}}
    play = {"hosts": "vip_nodes", "gather_facts": False, "serial": 1, "tasks": [check]}
    nodes = {"vip_nodes": {"hosts": {"n1": {}, "n2": {}}}}
    done = plays.run(tmp_path, nodes, [play], {"keepalived_instances": [web]})
    assert done.returncode != 0
    assert "this play has serial, and the nodes of vip_nodes have to be deployed together" in done.stdout, done.stdout
    assert "Collect the variables of this node" not in done.stdout, done.stdout


@pytest.mark.parametrize("where", ["loaded", "config"])
def test_only_a_configuration_that_was_read_may_be_one_that_is_not_understood(tmp_path: Path, where: str) -> None:
    """Else nothing is known of what runs, and the rollout would stop the other nodes for it."""
    tasks = [t for t in tasks_of("problems") if t["name"].startswith(("Look at the node,", "Refuse nodes that"))]
    assert len(tasks) == 2
    (tmp_path / "damaged").write_text("vrrp_instance web {\n")
    (tmp_path / "directory").mkdir()
    facts = {"gather_facts": True, "gather_subset": ["!all", "!min", "distribution", "python"]}
    play = {"hosts": "vip_nodes", **facts, "vars_files": [str(ROLE / "vars/main.yml")]}
    for name, refused in (("none", ""), ("damaged", ""), ("directory", "Is a directory")):
        paths = {"__keepalived_loaded": "/nonexistent", "__keepalived_config": "/nonexistent"}
        paths[f"__keepalived_{where}"] = str(tmp_path / name)
        given = {"keepalived_group": "vip_nodes", "keepalived_python": "{{ ansible_facts.python.executable }}"}
        play["tasks"] = [{"block": tasks, "vars": {**given, **paths}}]
        done = plays.run(tmp_path, {"vip_nodes": {"hosts": {"n1": {}}}}, [play], {})
        assert (done.returncode != 0) is bool(refused), done.stdout
        if refused:
            assert refused in done.stdout and "Nothing was changed" in done.stdout, done.stdout


UNREADABLE = "vrrp_instance ~SEQ(a, 1, 2) {"


def test_what_is_in_force_is_compared_without_another_look(tmp_path: Path) -> None:
    # What is written, what is in force, what is wanted, and whether keepalived has to load it.
    cases = [
        ("wanted", "wanted", "wanted", False),
        ("wanted", "other", "wanted", True),
        ("other", "wanted", "wanted", True),
        ("other", "other", "wanted", True),
        ("wanted", None, "wanted", True),
        (None, None, "wanted", True),
        # The role can write more than it can read: that is known by its checksum all the same.
        (UNREADABLE, UNREADABLE, UNREADABLE, False),
    ]
    hosts, says = {}, []
    for number, (written, loaded, wanted, loads) in enumerate(cases):
        for name, text in (("written", written), ("loaded", loaded)):
            if text is not None:
                (tmp_path / f"{name}{number}").write_text(f"{text}\n")
                (tmp_path / f"{name}{number}").chmod(0o600)
        hosts[f"n{number}"] = {
            "__keepalived_loaded": str(tmp_path / f"loaded{number}"),
            "__keepalived_config": str(tmp_path / f"written{number}"),
            "__keepalived_content": f"{wanted}\n",
        }
        says.append(f"n{number} loads: {loads}")
    (compare,) = [t for t in tasks_of("configure") if t["name"] == "Compare the configuration"]
    options = {key: value for key, value in compare["ansible.builtin.copy"].items() if key not in ("owner", "group")}
    tasks = [
        *[t for t in tasks_of("problems") if t["name"].startswith("Look at the node,")],
        {**compare, "ansible.builtin.copy": options, "diff": False, "no_log": False},
        *[t for t in tasks_of("rollout") if t["name"] == "Determine the changes on this node"],
        {"ansible.builtin.debug": {"msg": "{{ inventory_hostname }} loads: {{ __keepalived_loads }}"}},
    ]
    assert len(tasks) == 4
    variables = {
        "__keepalived_nodes": {host: {"before": []} for host in hosts},
        "__keepalived": {"keepalived_instances": []},
        "__keepalived_secret_words": "passw",
        "keepalived_python": "python3",
    }
    play = {"hosts": "vip_nodes", "gather_facts": True, "gather_subset": ["!all", "!min", "python"], "tasks": tasks}
    done = plays.run(tmp_path, {"vip_nodes": {"hosts": hosts}}, [play], variables)
    assert [each for each in says if each not in done.stdout] == [], done.stdout


def tasks_of(name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = yaml.safe_load((ROLE / f"tasks/{name}.yml").read_text())
    return found


def test_a_director_that_is_a_real_server_too_is_refused(tmp_path: Path) -> None:
    play = {
        "ansible.builtin.import_playbook": f"{ROOT}/playbooks/plays/check.yml",
        "vars": {"topology": "huawei_lvs_dr", "topology_shared": "vrrp", "topology_group": "vip_nodes"},
    }
    groups = {
        "vip_nodes": {"hosts": {"n1": {}, "n2": {}}},
        "vip_real_servers": {"hosts": {"n2": {}, "r1": {}}},
    }
    done = plays.run(tmp_path, groups, [play], {"vip_address": "192.0.2.1/24", "vip_interface": "eth0"})
    assert done.returncode != 0
    assert "n2 is in vip_nodes and in vip_real_servers; take it out of one of them" in done.stdout
    assert "n1 is in vip_nodes and in" not in done.stdout


@pytest.mark.parametrize(
    ("line", "secret"),
    [
        ("auth_pass 1234", True),
        ('script "/usr/bin/curl -u monitor:x http://127.0.0.1/"', True),
        ('script "/usr/bin/curl http://monitor:x@127.0.0.1/"', True),
        ('script "/usr/bin/curl --user monitor:x http://127.0.0.1/"', True),
        ('script "/usr/bin/curl --proxy-user=monitor:x http://127.0.0.1/"', True),
        ('script "/usr/bin/curl -fsSumonitor:x http://127.0.0.1/"', True),
        ('script "/usr/bin/redis-cli redis://:x@127.0.0.1"', True),
        ('script "/usr/bin/curl -H X-API-Key:1 http://127.0.0.1/"', True),
        ('script "/opt/check --APIKEY=1"', True),
        ('script "/opt/check --pwd 1"', True),
        ('script "/usr/bin/curl --header Authorization:1"', True),
        ('script "/usr/bin/curl http://127.0.0.1:8080/healthz"', False),
        ("unicast_src_ip fd00:7::247", False),
        ("virtual_router_id 66", False),
    ],
)
def test_a_diff_is_not_shown_where_a_secret_may_be(tmp_path: Path, line: str, secret: bool) -> None:
    """In the file on the node, and in the new one."""
    words = yaml.safe_load((ROLE / "vars/main.yml").read_text())["__keepalived_secret_words"]
    assert bool(re.search("(?i)" + words, line)) is secret
    (tmp_path / "there").write_text(f"global_defs {{\n    {line}\n}}\n")
    assert has_line(str(tmp_path / "there"), words) is secret
    task = next(t for t in tasks_of("configure") if t["name"] == "Compare the configuration")
    assert task["no_log"] == "{{ __keepalived_has_secret }}" and "not __keepalived_has_secret" in task["diff"]

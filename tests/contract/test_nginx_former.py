# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where nginx answers while its port or path changes, by the real Ansible and the real record, without nginx."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import plays
import pytest
import yaml

from ansible_collections.cloudha.vip.plugins.module_utils.node import record

ROLE = Path(__file__).resolve().parents[2] / "roles/nginx"
MARKER = yaml.safe_load((ROLE / "vars/main.yml").read_text())["nginx_marker"]
MOVED = {"nginx_port": 8080, "nginx_health_path": "/ready", "nginx_ipv6": False}
KEEP = {"nginx_keep_former": True}
BEFORE = {"ports": [80], "paths": {"/healthz": ""}}
BOTH = {"ports": [8080, 80], "paths": {"/ready": "", "/healthz": ""}}
# By host: what it wrote last, what it deploys, and the ports and paths that it then answers at.
CASES: dict[str, tuple[dict[str, Any], dict[str, Any], list[str], list[str]]] = {
    "fresh": ({}, KEEP, ["*:80 default_server", "[::]:80 default_server"], ["/healthz"]),
    "same": (BEFORE, KEEP, ["*:80 default_server", "[::]:80 default_server"], ["/healthz"]),
    "changed": (BEFORE, {**KEEP, **MOVED}, ["*:8080 default_server", "*:80"], ["/ready", "/healthz"]),
    "alone": (BEFORE, MOVED, ["*:8080 default_server"], ["/ready"]),
    # Killed before its end, and run again with the same settings; with the former ones; to its end.
    "again": (BOTH, {**KEEP, **MOVED}, ["*:8080 default_server", "*:80"], ["/ready", "/healthz"]),
    "back": (BOTH, {**KEEP, "nginx_ipv6": False}, ["*:80 default_server", "*:8080"], ["/healthz", "/ready"]),
    "ended": (BOTH, MOVED, ["*:8080 default_server"], ["/ready"]),
    "drained": (
        {"ports": [80], "paths": {"/healthz": "", "/lvs-check": "/run/drained"}},
        {**KEEP, "nginx_drain_path": "/new", "nginx_listen_addresses": ["127.0.0.1", "fd00::1"]},
        ["127.0.0.1:80 default_server", "[fd00::1]:80 default_server"],
        ["/healthz", "/new", "/lvs-check"],
    ),
}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """By host its configuration: one run for all."""
    scratch = tmp_path_factory.mktemp("former")
    hosts = {
        host: {**settings, "notes": {"/etc/nginx/nginx.conf": note}}
        for host, (note, settings, _ports, _paths) in CASES.items()
    }
    write = {
        "content": "{{ lookup('ansible.builtin.template', template) }}",
        "dest": f"{scratch}/{{{{ inventory_hostname }}}}",
        "mode": "0600",
    }
    # The role, which is skipped here, registers that.
    begin = {"nginx_begun": {"notes": "{{ notes }}"}}
    play = {
        "hosts": "vip_nodes",
        "gather_facts": False,
        "vars": {"template": f"{ROLE}/templates/nginx.conf.j2"},
        "roles": [{"role": "cloudha.vip.nginx", "when": False}],
        "post_tasks": [
            {"ansible.builtin.set_fact": begin},
            {"ansible.builtin.copy": write, "vars": {"ansible_facts": {"os_family": "Debian"}}},
        ],
    }
    done = plays.run(scratch, {"vip_nodes": {"hosts": hosts}}, [play], timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    return {host: (scratch / host).read_text() for host in CASES}


@pytest.mark.parametrize("host", CASES)
def test_nginx_answers_where_checks_ask_until_all_of_them_are_told(
    written: dict[str, str], tmp_path: Path, host: str
) -> None:
    _note, _settings, ports, paths = CASES[host]
    text = written[host]
    assert re.findall(r"^ *listen (.*);$", text, re.MULTILINE) == ports
    assert re.findall(r"^ *location = \"?([^\" ]*)\"? \{$", text, re.MULTILINE) == paths
    # The next run knows it.
    (tmp_path / "conf").write_text(text)
    note = record.Record("nginx", tmp_path / "home", tmp_path).notes(["/conf"], MARKER)["/conf"]
    assert list(note["paths"]) == paths and note["ports"][0] == (8080 if "8080 default" in ports[0] else 80)


def test_a_path_answers_503_while_its_own_file_exists(written: dict[str, str]) -> None:
    files = re.findall(r"if \(-f (\S+)\) \{ return 503; \}", written["drained"])
    assert files == ["/run/cloudha-vip-drained", "/run/drained"]


def test_a_line_that_somebody_has_spoilt_is_no_note(tmp_path: Path) -> None:
    mine = record.Record("nginx", tmp_path / "home", tmp_path)
    for text in ("", f"# {MARKER}: \n", f"# {MARKER}: [80]\n", f"# {MARKER}: {{\n", f"x # {MARKER}: {{}}\n"):
        (tmp_path / "conf").write_text(text)
        assert mine.notes(["/conf", "/none"], MARKER) == {"/conf": {}, "/none": {}}

# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The end of each deployment, by the real Ansible: who asks the address, and when nobody could."""

from __future__ import annotations

import http.server
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import plays
import pytest

ROOT = Path(__file__).resolve().parents[2]
OFF = {"ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": 1}
HELD, HELD_BY_NOBODY = "127.0.0.1/8", "192.0.2.1/32"


class Well(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_args: Any) -> None:
        pass


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with http.server.HTTPServer(("127.0.0.1", 0), Well) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


End = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def end(tmp_path: Path, url: str) -> End:
    def run(address: str, clients: dict[str, Any], nodes: dict[str, Any] | None = None, **more: Any) -> Any:
        variables = {
            "vip_address": address,
            "drill_url": url,
            "keepalived_settle_timeout": 1,
            "vip_mechanism": "vrrp",
            **more,
        }
        groups = {
            "vip_nodes": {"hosts": nodes or {"node1": {}}},
            "vip_clients": {"hosts": clients},
        }
        play = {
            "ansible.builtin.import_playbook": f"{ROOT}/playbooks/plays/served.yml",
            "vars": {"topology": "onprem_active_standby"},
        }
        return plays.run(tmp_path, groups, [play], variables, ANSIBLE_TIMEOUT="3")

    return run


def test_a_client_that_is_off_is_noted_and_fails_nothing(end: End) -> None:
    done = end(HELD, {"client1": {}, "off1": OFF})
    assert done.returncode == 0, done.stdout
    assert "off1 cannot ask" in done.stdout
    assert "node1 holds the address: client1 asked http://127.0.0.1:" in done.stdout, "the run ends with it"


def test_where_no_client_could_ask_the_run_fails(end: End) -> None:
    done = end(HELD, {"off1": OFF})
    assert done.returncode != 0 and "Clients are not served. off1 cannot ask" in done.stdout, done.stdout


@pytest.mark.parametrize(("mechanism", "asks"), [("vrrp", True), ("gcp_route", False)])
def test_a_standby_asks_unless_it_would_answer_itself(end: End, mechanism: str, asks: bool) -> None:
    done = end(HELD_BY_NOBODY, {}, vip_mechanism=mechanism, gcp_route_name="r")
    assert done.returncode != 0 and "held by no node" in done.stdout, done.stdout
    assert ("Nobody has asked the address" in done.stdout) is not asks, done.stdout


def test_nodes_that_contradict_each_other_are_told_in_place_of_a_holder(end: End, tmp_path: Path) -> None:
    nodes = {}
    for node, topology, mechanism in (("node1", "pair", "vrrp"), ("node2", "route", "gcp_route")):
        record = {"topology": topology, "mechanism": mechanism, "parts": [mechanism]}
        nodes[node] = plays.canned(tmp_path, {"topology": record, "keepalived": {"active": True}, "holds_all": False})
    done = end(HELD, {"client1": {}}, nodes, vip_mechanism="")
    said = (
        "Clients are not served. the nodes are parts of different topologies, node1 of pair (vrrp) and node2 of route"
    )
    assert done.returncode != 0 and said in done.stdout and "held by no node" not in done.stdout, done.stdout

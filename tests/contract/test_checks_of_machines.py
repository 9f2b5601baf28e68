# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever is wrong with any node that is to start from an image is found before the image is made, by the real
Ansible."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import plays
import pytest

from lab import topology
from lab.gce.server import Local, local

ROOT = Path(__file__).resolve().parents[2]
NODE1 = {"gcp_zone": "us-central1-c", "gcp_address": "10.100.2.1"}
NODE2 = {"gcp_zone": "us-central1-f", "gcp_address": "10.100.2.2"}
NODES = {"node1": NODE1, "node2": NODE2}
COMMON = {
    "vip_address": "10.100.2.1/32",
    "vip_interface": "eth0",
    "gcp_project": "lab-project",
    "gcp_auth_kind": "accesstoken",
    "gcp_access_token": topology.CONTROLLER_TOKEN,
    "gcp_network": "ip-failover",
    "gcp_subnetwork": "ip-failover-subnet",
    "gcp_image_source": "projects/debian-cloud/global/images/family/debian-12",
}
NAMED = {"gcp_dns_name": "web.ha.internal", "gcp_dns_zone": "ha"}
ROUTED = {
    "vip_address": "10.200.1.1/32",
    "gcp_route_name": "floating-ip-route",
    "gcp_autohealing_service_account": "vip-agent@lab-project.iam.gserviceaccount.com",
}


@pytest.fixture
def api() -> Iterator[Local]:
    """Before the nodes are there."""
    world = topology.get("gcp_autohealing").world
    assert world is not None
    with local(world) as emulator:
        yield emulator
        assert emulator.violations == []


def check(scratch: Path, api: Local, name: str, nodes: Any, variables: dict[str, Any]) -> tuple[int, str]:
    """The exit code, and what is said, of the first play of a deployment."""
    play = {
        "ansible.builtin.import_playbook": f"{ROOT}/playbooks/plays/machines_check.yml",
        "vars": {"topology": name, "topology_shared": "gcp_machines"},
    }
    given = {**COMMON, "gcp_endpoint": api.endpoint, "ansible_become": False, **variables}
    done = plays.run(scratch, {"vip_nodes": {"hosts": nodes}}, [play], given, timeout=900)
    return done.returncode, " ".join((done.stdout + done.stderr).split())


@pytest.mark.parametrize(
    ("name", "nodes", "variables", "says"),
    [
        (
            "gcp_autohealing",
            {"node1": {**NODE1, "gcp_address": "10.100.3.10"}, "node2": {**NODE2, "gcp_zone": "us-central1-zz"}},
            {},
            ["the address 10.100.3.10 of node1 is in use by", "zone: us-central1-zz does not exist"],
        ),
        ("gcp_autohealing", NODES, {**NAMED, "gcp_dns_name": "web.example.org"}, ["is not in the managed zone ha"]),
        (
            "gcp_route_priority",
            NODES,
            {**ROUTED, **NAMED, "gcp_autohealing_service_account": ""},
            ["gcp_autohealing_service_account is not set", "gcp_dns_name is web.ha.internal, and here clients ask"],
        ),
    ],
)
def test_what_is_wrong_is_told_before_the_image_is_made(
    tmp_path: Path, api: Local, name: str, nodes: Any, variables: dict[str, Any], says: list[str]
) -> None:
    code, said = check(tmp_path, api, name, nodes, variables)
    assert code != 0 and all(each in said for each in says), said
    assert [each for each in api.requests if each["mutation"]] == []


def test_what_is_right_passes_and_nothing_is_changed(tmp_path: Path, api: Local) -> None:
    code, said = check(tmp_path, api, "gcp_autohealing", NODES, NAMED)
    assert code == 0, said
    assert [each for each in api.requests if each["mutation"]] == []

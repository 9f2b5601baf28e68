# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The parts that bind an address in a cloud find what is wrong before anything is changed, by the real Ansible."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import plays
import pytest

from lab.cloudpods.region import PASSWORD, PROJECT, USER
from lab.cloudpods.server import Local as Cloudpods
from lab.ucloudstack import world as ucloud
from lab.ucloudstack.server import Local as Stack
from lab.ucloudstack.server import local

ROOT = Path(__file__).resolve().parents[2]
NODES = {"vip_nodes": {"hosts": {"node1": {}, "node2": {}}}}
NOBODY = "http://127.0.0.1:1"
OWNER = ucloud.Key("owner", "public-owner", "private-owner")
READER = ucloud.Key("reader", "public-reader", "private-reader", frozenset({"DescribeVIP"}))
WORLD = ucloud.World(
    region="cn",
    company=200000001,
    project="org-1",
    keys=(OWNER, READER),
    vpcs=(ucloud.Vpc("vpc-1", "prod", "10.0.0.0/16"),),
    subnets=(ucloud.Subnet("subnet-a", "web", "vpc-1", "10.0.0.0/24"),),
    segments=(),
    vms=tuple(ucloud.Vm(f"vm-{n}", f"node{n}", "subnet-a", f"10.0.0.1{n}", f"52:54:00:00:00:0{n}") for n in (1, 2)),
)


@pytest.fixture
def stack() -> Iterator[Stack]:
    with local(WORLD) as emulator:
        yield emulator
        assert emulator.violations == []


def in_stack(api: Stack, **other: Any) -> dict[str, Any]:
    return {
        "vip_address": "10.0.0.100/24",
        "havip_provider": "ucloudstack",
        "havip_endpoint": api.endpoint,
        "havip_public_key": OWNER.public,
        "havip_private_key": OWNER.private,
        "havip_region_name": "cn",
        "havip_company_id": WORLD.company,
        "havip_network": "vpc-1",
        "havip_subnet": "subnet-a",
        "havip_name": "web",
        **other,
    }


def in_cloudpods(api: Cloudpods, **other: Any) -> dict[str, Any]:
    return {
        "vip_address": "192.168.7.246/22",
        "cloudpods_auth_url": api.auth_url,
        "cloudpods_username": USER,
        "cloudpods_password": PASSWORD,
        "cloudpods_project": PROJECT,
        "cloudpods_group": "web",
        "cloudpods_eip": "nginx-eip",
        **other,
    }


def changes(api: Stack | Cloudpods) -> list[str]:
    return [
        each["name"]
        for each in api.requests
        if each["mutation"] or (isinstance(api, Stack) and not each["name"].startswith("Describe"))
    ]


def run(scratch: Path, variables: dict[str, Any], *roles: tuple[str, str], check: bool = False) -> tuple[int, str]:
    """The exit code, and what is said, of a play with these entry points of roles."""
    tasks = [{"ansible.builtin.include_role": {"name": f"cloudha.vip.{name}", "tasks_from": e}} for name, e in roles]
    play = {"hosts": "vip_nodes", "gather_facts": False, "tasks": tasks}
    done = plays.run(scratch, NODES, [play], {**variables, "ansible_become": False}, check=check)
    return done.returncode, done.stdout + done.stderr


def refused(scratch: Path, api: Stack | Cloudpods, role: str, variables: dict[str, Any], says: str) -> None:
    code, said = run(scratch, variables, (role, "check"))
    assert code != 0 and says in said, said
    assert changes(api) == []


@pytest.mark.parametrize(
    ("other", "says"),
    [
        ({"havip_private_key": "not-the-key"}, "Check the keys"),
        ({"havip_endpoint": f"{NOBODY}/api", "havip_timeout": 1}, "Connection refused"),
        ({"havip_validate_certs": "maybe"}, "validate_certs"),
        ({"havip_cloud": "nosuch"}, "cloud: not with provider=ucloudstack"),
        ({"havip_network": "vpc-9"}, "vpc-9"),
        ({"havip_member": "stranger"}, "there is no machine, elastic NIC or address"),
        ({"vip_address": "10.9.0.1/24"}, "10.9.0.1 is outside subnet-a"),
    ],
)
def test_a_virtual_ip_is_refused(tmp_path: Path, stack: Stack, other: dict[str, Any], says: str) -> None:
    refused(tmp_path, stack, "havip", in_stack(stack, **other), says)


@pytest.mark.parametrize(
    ("other", "says"),
    [
        ({"cloudpods_password": "not-the-password"}, "401"),
        ({"cloudpods_auth_url": f"{NOBODY}/v3", "cloudpods_timeout": 1}, "Connection refused"),
        ({"cloudpods_validate_certs": "maybe"}, "validate_certs"),
        ({"cloudpods_guest": "stranger"}, "stranger"),
        ({"cloudpods_network_id": "nowhere"}, "nowhere"),
        ({"cloudpods_eip": "no-eip"}, "no-eip"),
    ],
)
def test_a_group_is_refused(tmp_path: Path, cloudpods: Cloudpods, other: dict[str, Any], says: str) -> None:
    refused(tmp_path, cloudpods, "cloudpods", in_cloudpods(cloudpods, **other), says)


def deployed(scratch: Path, api: Stack | Cloudpods, role: str, variables: dict[str, Any]) -> None:
    """The check looks for what main would do, once in a deployment, and changes nothing."""
    entries = (role, "check"), (role, "main")
    code, said = run(scratch, variables, *entries, check=True)
    assert code == 0 and changes(api) == [], said
    assert re.findall(r"changed=(\d+)", said) == ["1", "0"], said
    code, said = run(scratch, variables, entries[0])
    assert code == 0 and changes(api) == [], said
    assert re.findall(r"changed=(\d+)", said) == ["0", "0"], said
    code, said = run(scratch, variables, entries[1])
    assert code == 0 and changes(api), said
    assert said.count("in check mode") == 1, said  # it checks by itself, unless that was done
    api.requests.clear()
    code, said = run(scratch, variables, *entries)
    assert code == 0 and changes(api) == [], said
    assert re.findall(r"changed=(\d+)", said) == ["0", "0"] and said.count("in check mode") == 1, said


def test_a_virtual_ip_is_deployed(tmp_path: Path, stack: Stack) -> None:
    deployed(tmp_path, stack, "havip", in_stack(stack))


def test_a_group_is_deployed(tmp_path: Path, cloudpods: Cloudpods) -> None:
    deployed(tmp_path, cloudpods, "cloudpods", in_cloudpods(cloudpods))


def test_a_deployment_ends_before_it_changes_any_node(tmp_path: Path, stack: Stack) -> None:
    """The whole playbook, on nodes whose modules have one answer."""
    looked = {**plays.EMPTY, "interfaces": {"lo": [], "eth0": ["10.0.0.11/24"]}}
    nodes = {name: plays.canned(tmp_path, looked) for name in ("node1", "node2")}
    playbook = {"ansible.builtin.import_playbook": f"{ROOT}/playbooks/ucloudstack_internal.yml"}
    variables = in_stack(stack, havip_private_key="not-the-key", vip_interface="eth0", ansible_become=False)
    done = plays.run(tmp_path, {"vip_nodes": {"hosts": nodes}}, [playbook], variables)
    assert done.returncode != 0 and "Check the keys" in done.stdout, done.stdout + done.stderr
    assert "Deploy the parts" not in done.stdout and changes(stack) == []

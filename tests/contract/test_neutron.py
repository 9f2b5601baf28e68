# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's OpenStack and Huawei Cloud, with OpenStack's own client: what docs/openstack-api.md says of them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import openstack
import pytest
from busy import until
from keystoneauth1.exceptions import ConnectFailure
from openstack import exceptions
from openstack.connection import Connection

from lab.fabric import Allowed, Pair, Policy
from lab.huaweicloud import security as huawei_security
from lab.huaweicloud.server import REGION as HUAWEI
from lab.huaweicloud.vpc import VIP
from lab.openstack import security
from lab.openstack.client import Client, Refused
from lab.openstack.follower import Follower, MemoryPlane
from lab.openstack.front import KINDS
from lab.openstack.server import ADMIN, OPERATOR, REGION, Cloud, Ids
from lab.openstack.world import SSH, VRRP, Network, SecurityGroup, Server, World

ADDRESS = "10.0.0.100"
WORLD = World(
    networks=(Network("lan", "10.0.0.0/24"), Network("public", "203.0.113.0/24", external=True)),
    groups=(SecurityGroup("vip", (SSH, VRRP, {"protocol": "tcp", "remote_group_id": "vip"})),),
    servers=(
        Server("node1", "lan", "10.0.0.11", groups=("vip",)),
        Server("node2", "lan", "10.0.0.12", groups=("vip",)),
        Server("client1", "lan", "10.0.0.21", port_security=False),
    ),
    floating=("203.0.113.10", "203.0.113.11"),
)
PAIRS = [{"ip_address": ADDRESS}]


@pytest.fixture
def cloud(openstack_cloud: Cloud) -> Cloud:
    return openstack_cloud


@pytest.fixture
def ids(cloud: Cloud) -> Ids:
    return cloud.seed(WORLD)


def connect(cloud: Cloud, user: str = OPERATOR, region: str = REGION) -> Connection:
    return openstack.connect(auth=cloud.auth(user), region_name=region)


# Logging in costs more than most tests do.
@pytest.fixture(scope="module")
def connection(_openstack: Cloud) -> Iterator[Connection]:
    with connect(_openstack) as connection:
        yield connection


def pairs(cloud: Cloud, port: str) -> list[str]:
    found = cloud.network.call("GET", f"/ports/{port}")["port"]["allowed_address_pairs"]
    return [each["ip_address"] for each in found]


# --- OpenStack's client, and what is relied on


def test_the_client_finds_everything_in_the_catalogue(cloud: Cloud, ids: Ids) -> None:
    with connect(cloud) as connection:
        assert {
            each.name: each.id for each in connection.network.ports(network_id=ids.networks["lan"]) if each.name
        } == ids.ports
        assert connection.current_project_id == cloud.project_id
        port = connection.network.create_port(
            network_id=ids.networks["lan"],
            name="vip",
            device_owner=VIP,
            fixed_ips=[{"ip_address": ADDRESS, "subnet_id": ids.subnets["lan"]}],
        )
        assert port.fixed_ips[0]["ip_address"] == ADDRESS and port.status == "DOWN"
        with pytest.raises(exceptions.ConflictException):
            connection.network.create_port(network_id=ids.networks["lan"], fixed_ips=[{"ip_address": ADDRESS}])
    with connect(cloud, ADMIN) as admin:
        assert admin.network.find_port(port.id).project_id == cloud.project_id
    asked = {(each["service"], each["caller"]) for each in cloud.front.requests if each["method"] == "POST"}
    assert asked == {("identity", ""), ("network", OPERATOR)}


def test_a_revision_is_compared_and_set(ids: Ids, connection: Connection) -> None:
    port = connection.network.get_port(ids.ports["node1"])
    seen = port.revision_number
    changed = connection.network.update_port(port.id, if_revision=seen, allowed_address_pairs=PAIRS)
    assert changed.revision_number > seen
    for wish in ([], PAIRS):
        with pytest.raises(exceptions.PreconditionFailedException):
            connection.network.update_port(port.id, if_revision=seen, allowed_address_pairs=wish)
    assert connection.network.get_port(port.id).allowed_address_pairs == changed.allowed_address_pairs
    connection.network.update_port(port.id, if_revision=changed.revision_number, allowed_address_pairs=[])


def test_who_compares_revisions_loses_no_change(ids: Ids, cloud: Cloud) -> None:
    port, conflicts = ids.ports["node1"], 0

    def add(address: str) -> None:
        nonlocal conflicts
        with connect(cloud) as connection:
            for _each in range(50):
                seen = connection.network.get_port(port)
                wish = [*seen.allowed_address_pairs, {"ip_address": address}]
                try:
                    connection.network.update_port(port, if_revision=seen.revision_number, allowed_address_pairs=wish)
                    return
                except exceptions.PreconditionFailedException:
                    conflicts += 1

    addresses = [f"10.0.0.{number}" for number in range(100, 103)]
    together(*(lambda each=each: add(each) for each in addresses))  # type: ignore[misc]
    assert sorted(pairs(cloud, port)) == addresses


def together(*work: Callable[[], None]) -> None:
    threads = [threading.Thread(target=each) for each in work]
    for each in threads:
        each.start()
    for each in threads:
        each.join()


def test_a_world_is_made_once_and_comes_again_as_it_was(cloud: Cloud, connection: Connection) -> None:
    ids = cloud.seed(WORLD)
    before = cloud.network.call("GET", f"/ports/{ids.ports['node1']}")
    connection.network.update_port(ids.ports["node1"], allowed_address_pairs=PAIRS)
    cloud.network.call("DELETE", f"/ports/{ids.ports['node2']}")
    cloud.clear()
    assert list(connection.network.ports()) == [] and list(connection.compute.servers()) == []
    assert cloud.seed(WORLD) == ids
    assert cloud.network.call("GET", f"/ports/{ids.ports['node1']}") == before
    assert connection.network.get_port(ids.ports["node2"]).name == "node2"
    changed = connection.network.update_port(ids.ports["node1"], allowed_address_pairs=PAIRS)
    assert changed.revision_number == before["port"]["revision_number"] + 1


# --- server names


def test_servers_are_found_by_name_and_lead_to_their_ports(ids: Ids, connection: Connection) -> None:
    assert {each.name: each.id for each in connection.compute.servers(details=False)} == ids.servers
    server = connection.compute.find_server("node1", ignore_missing=False)
    assert server.id == ids.servers["node1"] and server.status == "ACTIVE"
    assert [each["addr"] for each in next(iter(server.addresses.values()))] == ["10.0.0.11"]
    (interface,) = connection.compute.server_interfaces(server)
    assert interface.port_id == ids.ports["node1"]
    assert connection.compute.find_server("node") is None, "a name is whole"
    (port,) = connection.network.ports(device_id=server.id)
    assert port.id == interface.port_id


def test_servers_come_in_pages(ids: Ids, cloud: Cloud, connection: Connection) -> None:
    pages = [[each.name for each in connection.compute.servers(details=False, limit=2, paginated=True)]]
    assert pages == [["node1", "node2", "client1"]]
    assert sum("limit=2" in each["path"] for each in cloud.front.requests) > 1


def test_servers_are_the_projects(ids: Ids, cloud: Cloud) -> None:
    with connect(cloud, ADMIN) as admin, pytest.raises(exceptions.ForbiddenException):
        list(admin.compute.servers())
    with pytest.raises(Refused) as refused:
        Client(cloud.compute_url).call("GET", "/servers")
    assert refused.value.status == 401


# --- faults


def test_a_refusal_changes_nothing(ids: Ids, cloud: Cloud, connection: Connection) -> None:
    port = ids.ports["node1"]
    cloud.front.fault("status", verb="PUT", path="/v2.0/ports/", caller=OPERATOR, status=409, reason="Busy", times=1)
    with pytest.raises(exceptions.ConflictException, match="The lab was told to answer 409"):
        connection.network.update_port(port, allowed_address_pairs=PAIRS)
    assert pairs(cloud, port) == []
    connection.network.update_port(port, allowed_address_pairs=PAIRS)
    assert pairs(cloud, port) == [ADDRESS]
    answered = [
        (each["caller"], each["mutation"], each["status"]) for each in cloud.front.requests if each["method"] == "PUT"
    ]
    assert answered == [(OPERATOR, True, 409), (OPERATOR, True, 200)]


@pytest.mark.parametrize(("kind", "effect"), [("lose-before", []), ("lose-after", [ADDRESS])])
def test_a_connection_is_lost(kind: str, effect: list[str], ids: Ids, cloud: Cloud, connection: Connection) -> None:
    port = ids.ports["node1"]
    cloud.front.fault(kind, verb="PUT", times=1)
    with pytest.raises(ConnectFailure):
        connection.network.put(f"/ports/{port}", json={"port": {"allowed_address_pairs": PAIRS}}, connect_retries=0)
    assert pairs(cloud, port) == effect
    assert [each["status"] for each in cloud.front.requests if each["method"] == "PUT"] == [0]


def test_an_api_is_slow(ids: Ids, cloud: Cloud, connection: Connection) -> None:
    cloud.front.fault("slow", verb="GET", path="/ports", seconds=0.3, times=1)
    connection.network.get_port(ids.ports["node1"])
    entry = next(each for each in cloud.front.requests if "/ports" in each["path"])
    assert entry["end_mono_ns"] - entry["mono_ns"] >= 300_000_000


def test_neutron_asks_keystone_past_the_faults(ids: Ids, cloud: Cloud) -> None:
    with connect(cloud) as connection:
        connection.authorize()
        cloud.front.fault("status", path="/v3/", status=503)
        assert connection.network.get_port(ids.ports["node1"]).name == "node1"


def test_what_is_no_fault_is_refused(cloud: Cloud) -> None:
    for wrong in ({"faults": [{"kind": "never-ends"}]}, {"token_lifetime_s": 1}, {"nonsense": 1}):
        with pytest.raises(ValueError, match=r"kind must be one of|Keystone|has no nonsense"):
            cloud.front.behaviour.change(wrong)
    assert "never-ends" not in KINDS and cloud.front.behaviour.faults == []


def test_hooks_see_each_request_before_and_after(ids: Ids, cloud: Cloud, connection: Connection) -> None:
    port, seen = ids.ports["node1"], []
    connection.network.get_port(port)
    cloud.front.hooks.append(lambda moment, entry: seen.append((moment, entry["method"], pairs(cloud, port))))
    connection.network.update_port(port, allowed_address_pairs=PAIRS)
    assert seen == [("before", "PUT", []), ("after", "PUT", [ADDRESS])]


# --- the data plane


def mac(cloud: Cloud, port: str) -> str:
    return cloud.network.call("GET", f"/ports/{port}")["port"]["mac_address"]


@pytest.fixture
def plane(cloud: Cloud, ids: Ids) -> Iterator[MemoryPlane]:
    plane = MemoryPlane()
    follower = Follower(cloud, plane, security.policy)
    plane.settled = follower.settled  # type: ignore[attr-defined]
    yield plane
    follower.close()


def sends(plane: MemoryPlane, machine: str) -> list[str]:
    assert plane.settled()  # type: ignore[attr-defined]
    policy = plane.policies[machine]
    assert policy is not None
    return [each.address for each in policy.sends]


def test_the_network_follows_the_pairs(cloud: Cloud, ids: Ids, connection: Connection, plane: MemoryPlane) -> None:
    port = ids.ports["node1"]
    assert plane.policies.keys() == ids.servers.keys() and plane.policies["client1"] is None
    assert sends(plane, "node1") == ["10.0.0.11"]
    plane.history.clear()
    connection.network.update_port(port, allowed_address_pairs=[*PAIRS, {"ip_address": "10.0.0.64/26"}])
    assert sends(plane, "node1") == ["10.0.0.11", ADDRESS, "10.0.0.64/26"]
    # node2 lets in who is in its group, with all addresses.
    assert {machine for machine, _table in plane.history} == {"node1", "node2"}
    cloud.front.fault("lose-after", verb="PUT", times=1)
    with pytest.raises(ConnectFailure):
        connection.network.put(f"/ports/{port}", json={"port": {"allowed_address_pairs": []}}, connect_retries=0)
    assert sends(plane, "node1") == ["10.0.0.11"]
    connection.network.update_port(port, port_security_enabled=False, security_groups=[])
    assert plane.settled() and plane.policies["node1"] is None  # type: ignore[attr-defined]


def vrrp(plane: MemoryPlane, machine: str) -> bool:
    assert plane.settled()  # type: ignore[attr-defined]
    policy = plane.policies[machine]
    assert policy is not None and policy.ingress is not None
    return any(each.protocol in (None, 112) and each.version == 4 and each.peers is None for each in policy.ingress)


def test_the_network_follows_the_groups(ids: Ids, connection: Connection, plane: MemoryPlane) -> None:
    assert vrrp(plane, "node1") and vrrp(plane, "node2")
    (rule,) = connection.network.security_group_rules(protocol="112")
    connection.network.delete_security_group_rule(rule)
    assert not vrrp(plane, "node1") and not vrrp(plane, "node2")
    connection.network.create_security_group_rule(
        security_group_id=ids.groups["vip"], direction="ingress", ethertype="IPv4", protocol="vrrp"
    )
    assert vrrp(plane, "node1")
    other = connection.network.create_security_group(name="other")
    connection.network.update_port(ids.ports["node1"], security_groups=[other.id])
    assert not vrrp(plane, "node1") and vrrp(plane, "node2")


def test_the_network_takes_its_time(cloud: Cloud, ids: Ids, connection: Connection, plane: MemoryPlane) -> None:
    cloud.front.behaviour.change({"propagation_s": 0.3})
    begin = time.monotonic()
    connection.network.update_port(ids.ports["node1"], allowed_address_pairs=PAIRS)
    assert sends(plane, "node1") == ["10.0.0.11", ADDRESS]
    assert time.monotonic() - begin >= 0.3


def port(address: str, *allowed: str, **more: Any) -> dict[str, Any]:
    return {
        "mac_address": "fa:16:3e:00:00:01",
        "fixed_ips": [{"ip_address": address}],
        "allowed_address_pairs": [{"ip_address": each, "mac_address": "fa:16:3e:00:00:01"} for each in allowed],
        "security_groups": ["a"],
        "port_security_enabled": True,
        "device_owner": "compute:nova",
        **more,
    }


def rule(**more: Any) -> dict[str, Any]:
    names = ("protocol", "port_range_min", "port_range_max", "remote_ip_prefix", "remote_group_id")
    return {**dict.fromkeys(names), "direction": "ingress", "ethertype": "IPv4", **more}


@pytest.mark.parametrize(
    ("given", "allowed"),
    [
        ({}, Allowed(4)),
        ({"protocol": "vrrp"}, Allowed(4, 112)),
        ({"protocol": "112"}, Allowed(4, 112)),
        ({"protocol": "tcp", "port_range_min": 80, "port_range_max": 90}, Allowed(4, 6, (80, 90))),
        ({"protocol": "icmp", "port_range_min": 8}, Allowed(4, 1, (8, None))),
        ({"protocol": "icmp", "ethertype": "IPv6"}, Allowed(6, 58)),
        ({"remote_ip_prefix": "10.0.0.7/24"}, Allowed(4, peers=("10.0.0.0/24",))),
        ({"remote_ip_prefix": "10.0.0.7/32"}, Allowed(4, peers=("10.0.0.7",))),
        ({"remote_group_id": "a"}, Allowed(4, peers=("10.0.0.1", "10.0.0.64/26"))),
        ({"remote_group_id": "a", "ethertype": "IPv6"}, Allowed(6, peers=("fd00::1",))),
        ({"remote_group_id": "empty"}, Allowed(4, peers=())),
    ],
)
def test_a_rule_is_translated(given: dict[str, Any], allowed: Allowed) -> None:
    ours = port("10.0.0.1", "10.0.0.64/26", "10.0.0.70", "fd00::1")
    groups = {"a": {"security_group_rules": [rule(**given), rule(direction="egress")]}}
    policy = security.policy(ours, [ours], groups)
    assert policy is not None and policy.ingress == (allowed,) and policy.egress == (Allowed(4),)


def test_huawei_needs_a_binding_on_both_sides() -> None:
    groups = {"a": {"security_group_rules": []}}
    mac = "fa:16:3e:00:00:01"

    def claims(*allowed: str, members: tuple[str, ...] = ()) -> tuple[list[str], list[str], tuple[str, ...] | None]:
        ours, vip = port("10.0.0.1", *allowed), port(ADDRESS, *members, device_owner=VIP)
        policy = huawei_security.policy(ours, [ours, vip], groups)
        assert all(each.mac == mac for each in (*policy.sends, *policy.claims))
        return [each.address for each in policy.sends], [each.address for each in policy.claims], policy.receives

    own, anything = ["10.0.0.1"], ["0.0.0.0/0", "::/0"]
    assert claims() == (own, own, ("10.0.0.1",))
    assert claims(members=("10.0.0.1",)) == (own, own, ("10.0.0.1",))
    assert claims("1.1.1.1/0") == (anything, own, None)
    assert claims("1.1.1.1/0", members=("10.0.0.2",)) == (anything, own, None)
    assert claims("1.1.1.1/0", members=("10.0.0.2", "10.0.0.1/32")) == (anything, [*own, ADDRESS], None)


def test_a_port_may_use_other_macs() -> None:
    ours = port("10.0.0.1")
    ours["allowed_address_pairs"] = [{"ip_address": ADDRESS, "mac_address": "00:00:5e:00:01:07"}]
    policy = security.policy(ours, [ours], {"a": {"security_group_rules": []}})
    both = (Pair("fa:16:3e:00:00:01", "10.0.0.1"), Pair("00:00:5e:00:01:07", ADDRESS))
    assert policy == Policy(sends=both, claims=both, ingress=(), egress=())


# --- Huawei Cloud


@pytest.fixture(scope="module")
def huawei(_openstack: Cloud) -> Iterator[Connection]:
    with connect(_openstack, region=HUAWEI) as connection:
        yield connection


def vpc_url(connection: Connection) -> str:
    return connection.endpoint_for("network")


def put(connection: Connection, number: str, **wish: Any) -> Any:
    return connection.network.put(f"/ports/{number}", json={"port": wish})


def refusal(answer: Any) -> tuple[int, str]:
    said = answer.json()
    return answer.status_code, said.get("code") or said["NeutronError"]["type"]


def test_huawei_has_no_revisions(ids: Ids, huawei: Connection) -> None:
    number = ids.ports["node1"]
    for path in ("/networks", "/subnets", "/ports", f"/ports/{number}", "/security-groups"):
        answer = huawei.network.get(path)
        assert answer.status_code == 200 and "revision_number" not in answer.text
    for _each in range(2):
        answer = huawei.network.put(
            f"/ports/{number}",
            json={"port": {"allowed_address_pairs": [{"ip_address": "1.1.1.1/0"}]}},
            headers={"If-Match": "revision_number=0"},
        )
        assert answer.status_code == 200, "nothing is compared"
    assert huawei.network.get_port(number).allowed_address_pairs[0]["ip_address"] == "1.1.1.1/0"


def test_huawei_refuses_to_change(ids: Ids, cloud: Cloud, huawei: Connection) -> None:
    number = ids.ports["node1"]
    before = cloud.network.call("GET", f"/ports/{number}")
    for wish in (
        {"allowed_address_pairs": [{"ip_address": "0.0.0.0/0"}]},
        {"allowed_address_pairs": [{"ip_address": "0.0.0.0"}]},
        {"device_owner": VIP},
        {"device_id": ""},
        {"fixed_ips": []},
        {"security_groups": []},
    ):
        assert refusal(put(huawei, number, **wish)) == (400, "InvalidInput"), wish
    assert cloud.network.call("GET", f"/ports/{number}") == before


def make_vip(connection: Connection, ids: Ids, **more: Any) -> Any:
    wish = {
        "network_id": ids.networks["lan"],
        "device_owner": VIP,
        "fixed_ips": [{"subnet_id": ids.subnets["lan"], "ip_address": ADDRESS}],
        **more,
    }
    return connection.network.post("/ports", json={"port": wish})


def test_huawei_makes_virtual_ips_and_deletes_unbound_ones(cloud: Cloud, ids: Ids, huawei: Connection) -> None:
    assert refusal(make_vip(huawei, ids, device_owner="compute:nova")) == (400, "InvalidInput")
    assert refusal(make_vip(huawei, ids, fixed_ips=[{}, {}])) == (400, "InvalidInput")
    vip = make_vip(huawei, ids).json()["port"]
    assert vip["status"] == "DOWN" and vip["fixed_ips"][0]["ip_address"] == ADDRESS
    put(huawei, vip["id"], allowed_address_pairs=[{"ip_address": "10.0.0.11"}])
    assert refusal(huawei.network.delete(f"/ports/{vip['id']}")) == (409, "PortInUse")
    put(huawei, vip["id"], allowed_address_pairs=[])
    assert huawei.network.delete(f"/ports/{vip['id']}").status_code == 204
    assert refusal(huawei.network.delete(f"/ports/{ids.ports['node1']}")) == (409, "PortInUse")
    # The same by Huawei's own path, with its own shape of errors.
    base = f"{vpc_url(huawei)}/v1/{cloud.project_id}/ports"
    listed = {each["id"] for each in huawei.network.get(base).json()["ports"]}
    assert listed >= set(ids.ports.values()) and vip["id"] not in listed
    wrong = {"port": {"network_id": ids.networks["lan"], "fixed_ips": [{"ip_address": "10.9.9.9"}]}}
    assert refusal(huawei.network.post(base, json=wrong)) == (400, "VPC.0514")


def test_the_routers_own_address_is_none_of_the_worlds(cloud: Cloud) -> None:
    """Neutron draws it; here one of five is left for it."""
    floating = tuple(f"203.0.113.{last}" for last in (2, 3, 4, 5))
    world = World(networks=(Network("public", "203.0.113.0/29", external=True),), floating=floating)
    cloud.seed(world)
    (router,) = cloud.network.call("GET", "/routers")["routers"]
    (fixed,) = router["external_gateway_info"]["external_fixed_ips"]
    assert fixed["ip_address"] == "203.0.113.6"


def test_elastic_ips_are_bound_to_one_port_each(cloud: Cloud, ids: Ids, huawei: Connection) -> None:
    base = f"{vpc_url(huawei)}/v1/{cloud.project_id}/publicips"
    one, two = (ids.floating[each] for each in WORLD.floating)
    vip = make_vip(huawei, ids).json()["port"]["id"]

    def bind(number: str, port: str | None) -> Any:
        return huawei.network.put(f"{base}/{number}", json={"publicip": {"port_id": port} if port else {}})

    listed = huawei.network.get(base).json()["publicips"]
    assert {each["public_ip_address"]: each["status"] for each in listed} == dict.fromkeys(WORLD.floating, "DOWN")
    bound = bind(one, vip).json()["publicip"]
    assert (bound["status"], bound["port_id"], bound["private_ip_address"]) == ("ACTIVE", vip, ADDRESS)
    assert huawei.network.get(f"{base}/{one}").json()["publicip"] == bound
    assert refusal(bind(one, ids.ports["node1"])) == (409, "VPC.0510")
    assert refusal(bind(two, vip)) == (409, "VPC.0511")
    assert refusal(bind(two, "00000000-0000-0000-0000-000000000000")) == (500, "VPC.0508")
    assert refusal(bind("00000000-0000-0000-0000-000000000000", vip)) == (404, "VPC.0504")
    assert refusal(huawei.network.delete(f"/ports/{vip}")) == (409, "PortInUse")
    assert "port_id" not in bind(one, None).json()["publicip"]
    assert bind(one, None).status_code == 200
    assert bind(two, vip).status_code == 200
    pages = [
        huawei.network.get(f"{base}?limit=1{more}").json()["publicips"] for more in ("", f"&marker={listed[0]['id']}")
    ]
    assert [each["id"] for page in pages for each in page] == [each["id"] for each in listed]


def test_huawei_knows_its_projects(cloud: Cloud, huawei: Connection) -> None:
    root = vpc_url(huawei)
    assert refusal(huawei.network.get(f"{root}/v1/another/publicips")) == (400, "VPC.0007")
    with pytest.raises(Refused, match=r"401.*VPC\.0008"):
        Client(root).call("GET", f"/v1/{cloud.project_id}/publicips")
    assert huawei.network.get(f"{root}/v2.0/floatingips").status_code == 404


# --- processes


def test_the_servers_end_with_who_started_them(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from lab.openstack.processes import running\n"
        "with running({'http://identity.invalid/v3': 'http://127.0.0.1:9/v3'}) as servers:\n"
        "    children = Path(f'/proc/{os.getpid()}/task/{os.getpid()}/children').read_text()\n"
        f"    Path({str(tmp_path / 'seen')!r}).write_text(f'{{servers.database.parent}} {{children}}')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], env=os.environ, timeout=120, check=False)
    assert done.returncode == -signal.SIGKILL
    state, *children = (tmp_path / "seen").read_text().split()
    assert len(children) == 2
    left = [state, *(f"/proc/{each}" for each in children)]
    until(lambda: not any(Path(each).exists() for each in left), 20, f"one of {left} is still there")

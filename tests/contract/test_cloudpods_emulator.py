# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's Cloudpods: it answers as the real one was recorded, and does what docs/cloudpods-api.md says."""

from __future__ import annotations

import dataclasses
import functools
import http.client
import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from busy import Watch, until

from lab.cloudpods import region
from lab.cloudpods.dataplane import MemoryPlane
from lab.cloudpods.server import Local, local, serve
from lab.cloudpods.world import Eip, Group, Network, Nic, Project, Server, User, Vpc, World
from lab.emulation.behaviour import KINDS

RECORDINGS = Path(__file__).parent.parent / "unit/plugins/module_utils/clouds"
EXCHANGES, SECOND = (
    [json.loads(line) for line in (RECORDINGS / name).read_text().splitlines()]
    for name in ("cloudpods.jsonl", "cloudpods-2.jsonl")
)


class Api:
    """What a client says, on connections of its own; with a token of the lab's operator."""

    def __init__(self, cloudpods: Local, user: str = "", password: str = "", project: str = "") -> None:
        self.services = {"keystone": cloudpods.auth_url.removesuffix("/v3"), "compute_v2": cloudpods.endpoint}
        self.headers: Any = None
        self.token = ""
        if user:
            identity = {"methods": ["password"], "password": {"user": {"name": user, "password": password}}}
            body = {"auth": {"identity": identity, "scope": {"project": {"name": project}}}}
            assert self("POST", "/v3/auth/tokens", body, "keystone")[0] == 200
            self.token = self.headers["X-Subject-Token"]

    def __call__(self, verb: str, path: str, body: object = None, service: str = "compute_v2") -> tuple[int, Any]:
        split = urlsplit(self.services[service])
        assert split.hostname
        connection = http.client.HTTPConnection(split.hostname, split.port, timeout=20)
        text = None if body is None else json.dumps(body)
        connection.request(verb, path, text, {"X-Auth-Token": self.token} if self.token else {})
        response = connection.getresponse()
        self.headers = response.headers
        answer = json.loads(response.read())
        connection.close()
        return response.status, answer

    def get(self, path: str) -> Any:
        status, answer = self("GET", path)
        assert status == 200, answer
        return next(value for key, value in answer.items() if key not in ("limit", "total", "offset"))

    def act(self, action: str, group: str = "nginx", **body: object) -> Any:
        status, answer = self("POST", f"/instancegroups/{group}/{action}", {"instancegroup": body})
        assert status == 200, answer
        return answer["instancegroup"]

    def refused(self, verb: str, path: str, body: object = None) -> tuple[int, str, str]:
        status, answer = self(verb, path, body)
        assert status >= 400 and set(answer) == {"class", "code", "details", "time"} and answer["code"] == status
        return status, answer["class"], answer["details"]

    def denied(self, action: str, group: str = "nginx", **body: object) -> tuple[int, str, str]:
        return self.refused("POST", f"/instancegroups/{group}/{action}", {"instancegroup": body})


@pytest.fixture
def api(cloudpods: Local) -> Api:
    return Api(cloudpods, region.USER, region.PASSWORD, region.PROJECT)


@pytest.fixture
def group(api: Api) -> Api:
    """With the group of the lab's pair: it has two members, and no VIP."""
    assert api("POST", "/instancegroups", {"instancegroup": {"name": "nginx"}})[0] == 200
    api.act("bind-guests", **{"guest.0": "node1", "guest.1": "node2"})
    return api


@pytest.fixture
def vip(group: Api) -> Api:
    """With the VIP, too."""
    group.act("attachnetwork", ip_addr=region.VIP, require_designated_ip=True)
    return group


# --- the recording


def _recorded_world() -> World:
    """What there was when the exchanges were recorded, as far as the answers show it."""
    net1, net2 = "89021154-1748-440b-8b0c-beca7bf677aa", "e1dba43d-1a95-47ec-873f-d4751fa42020"

    def server(name: str, *nics: tuple[str, str, int], status: str = "running", first: bool = False) -> Server:
        mac = "00:22:aa:00:00:{:02x}"
        made = tuple(Nic(network, address, mac.format(number), first) for network, address, number in nics)
        return Server(name, made, "system", status, f"vm-id-{name[-1]}")

    return World(
        projects=(Project("system", "0284539c410e4e3d825164ed5dd89a9b"),),
        users=(User("sysadmin", "PASSWORD", ("system",), "3d9042dfc24645848ead2469be7a976d"),),
        networks=(
            Network(
                "eipnet",
                "203.0.113.10",
                "203.0.113.50",
                24,
                "203.0.113.1",
                "Default",
                "wire-ext",
                "eip",
                "BGP",
                id="5b675095-68a6-4342-8912-ad597c9fa82b",
            ),
            Network("net1", "192.168.1.2", "192.168.1.253", 24, "192.168.1.1", "vpc1", "vpc-vpc1", id=net1),
            Network("net2", "192.168.2.2", "192.168.2.253", 24, "192.168.2.1", "vpc1", "vpc-vpc1", id=net2),
            Network(
                "cnet",
                "172.16.5.10",
                "172.16.5.50",
                24,
                "172.16.5.1",
                "Default",
                "wire-ext",
                id="b768ac7f-dc58-409c-8271-a511c901a782",
            ),
        ),
        servers=(
            server("vm1", ("net1", "192.168.1.11", 1), status="sync_config", first=True),
            server("vm2", ("net1", "192.168.1.12", 2), status="sync_config", first=True),
            server("vm3", ("net2", "192.168.2.13", 3)),
            server("vm4", ("net1", "192.168.1.14", 4), ("net2", "192.168.2.14", 5)),
        ),
        eips=(
            Eip("eip-for-grp-g2-1", "203.0.113.11", "eipnet", "system", 10, "6f6e7f21-5e93-4111-846e-6b316fc01bdd"),
            Eip("e2", "203.0.113.10", "eipnet", "system", 5, "94236e1a-0b2a-4fe9-8421-056762993a0c"),
            Eip("e3", "203.0.113.12", "eipnet", "system", 5, "7e7c9269-dbc1-48ad-85f0-b0886ac8ffe3"),
        ),
        groups=(
            Group("g1", "system", ("vm1",), "net1", ("192.168.1.60",)),
            Group("g2", "system", ("vm2",), "net1", ("192.168.1.101",)),
        ),
        identity_utc_offset_h=0,
    )


def _second_world() -> World:
    """What there was when the second recording was made: its scenario "fixtures" shows it."""
    system, shop, other = "system", "shop", "other"
    vpc1 = {"vpc": "vpc1", "wire": "vpc-vpc1"}
    # Each project has the same guests: (last byte, network) of each interface, and the host.
    guests = (
        (((1, "net1"),), "host1"),
        (((2, "net1"),), "host2"),
        (((3, "net2"),), "host1"),
        (((4, "net1"), (4, "net2")), "host1"),
        (((5, "net1"),), "host2"),
        (((6, "cnet"),), "host1"),
        (((7, "net1"),), ""),
    )
    prefixes = {"net1": "192.168.1", "net2": "192.168.2", "cnet": "172.16.5"}
    numbers = iter(range(1, 100))

    def server(letter: str, project: str, tens: int, number: int) -> Server:
        interfaces, host = guests[number - 1]
        nics = tuple(
            Nic(network, f"{prefixes[network]}.{tens + last}", f"00:22:aa:00:00:{next(numbers):02x}", not index)
            for index, (last, network) in enumerate(interfaces)
        )
        return Server(f"{letter}-vm{number}", nics, project, host=host, id=f"vm-{letter}-vm{number}")

    reserved = ("192.168.1.200", "192.168.1.202", "192.168.1.201")
    return World(
        projects=(
            Project(system, "0f02baebc98b4b9c89e692608a3ce3fb"),
            Project(shop, "4b42ee23cc8f49488e38f5e8de101d4c"),
            Project(other, "b76452756a7b439a82f31d1ccaf2b96c"),
        ),
        users=(
            User("sysadmin", "PASSWORD", (system,), "aa4f6218665549678be5609ee9a38c61"),
            User("operator", "PASSWORD", (shop,), "d19520ddfbdd43078d621c3449bcc0f9", "project_owner"),
            User("stranger", "PASSWORD", (other,), role="project_owner"),
            User("editor", "PASSWORD", (shop,), role="project_editor"),
            User("viewer", "PASSWORD", (shop,), role="project_viewer"),
        ),
        vpcs=(
            Vpc("Default", id="default"),
            Vpc("vpc1", cidr="192.168.0.0/16", id="9f7ddd01-f2f0-4c02-8cae-2304ba467783"),
            Vpc("vpcnone", "none", "10.0.0.0/8", "7aed8df9-8a51-4b03-8913-baea4b084b0d"),
        ),
        networks=(
            Network(
                "cnet",
                "172.16.5.10",
                "172.16.5.50",
                24,
                "172.16.5.1",
                wire="wire-ext",
                id="93621db1-1b41-44af-89b5-bd0400ed1597",
            ),
            Network(
                "eipnet",
                "203.0.113.10",
                "203.0.113.50",
                24,
                "203.0.113.1",
                wire="wire-ext",
                server_type="eip",
                bgp_type="BGP",
                id="61645f2a-5e1a-44b2-8934-c34a8d052aab",
            ),
            Network(
                "eipnet-empty",
                "198.51.100.10",
                "198.51.100.11",
                24,
                "198.51.100.1",
                wire="wire-ext",
                server_type="eip",
                id="3dff2a38-aaf9-45a3-8b96-0586c08beb93",
            ),
            Network(
                "net2",
                "192.168.2.2",
                "192.168.2.253",
                24,
                "192.168.2.1",
                **vpc1,
                id="353c4e31-2da0-47e0-8068-a2eb9e21e819",
            ),
            Network(
                "net1",
                "192.168.1.2",
                "192.168.1.253",
                24,
                "192.168.1.1",
                **vpc1,
                reserved=reserved,
                id="d8b3e004-b062-47cd-8ab4-c31ad25aab5d",
            ),
            Network(
                "nonet",
                "10.1.1.2",
                "10.1.1.253",
                24,
                "10.1.1.1",
                "vpcnone",
                "vpc-vpcnone",
                alloc_policy="stepdown",
                id="826bdeb3-7366-43a4-828b-3b36ec56c370",
            ),
        ),
        servers=tuple(
            server(letter, project, tens, number)
            for letter, project, tens in (("a", system, 10), ("s", shop, 20), ("x", other, 30))
            for number in range(1, 8)
        ),
    )


# Every difference between a recorded answer and the emulator's that is let pass, by where it is: the last names of the
# path to the value. A value of which nothing is said here is equal.
_ID = re.compile(r"[0-9a-f]{8}-?([0-9a-f]{4}-?){3}[0-9a-f]{12}|TOKEN|[\w-]{64}")
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?(Z|\+08:00)")
TOLERATED: dict[str, tuple[str, str]] = {
    "id": ("another, the same one each time", "ids and tokens are made up by whoever answers"),
    "group_id": ("another, the same one each time", "the same"),
    "eip_id": ("another, the same one each time", "the same"),
    "associate_id": ("another, the same one each time", "the same"),
    "wire_id": ("another, the same one each time", "the same; the world names wires, and has no ids for them"),
    "row_id": ("another, the same one each time", "a counter of the database, which had been used before"),
    "created_at": ("another moment", "time passes"),
    "updated_at": ("another moment", "time passes"),
    "deleted_at": ("another moment", "time passes"),
    "pending_deleted_at": ("another moment", "time passes"),
    "imported_at": ("another moment", "time passes"),
    "issued_at": ("another moment", "time passes"),
    "expires_at": ("another moment", "time passes"),
    "time": ("another moment", "time passes"),
    "guestnetworks.update_version": ("another number", "what had happened to the interfaces before is not known"),
    "eips.update_version": ("another number", "an EIP's task writes to its row more often than the emulator does"),
    "eip.update_version": ("another number", "the same"),
    "endpoints": ("another order", "it is that of their ids"),
    "catalog": ("another order", "each recording has its own"),
    "endpoints.url": ("another text", "the services are somewhere else"),
    "token.policies": ("anything", "the first recording left them out"),
    "audit_ids": ("another, the same one each time", "that of a token from a token is the old token"),
    "context.ip": ("another text", "the client is somewhere else"),
    "server.update_version": ("another number", "what had happened to it before is not known"),
    "network.update_version": ("another number", "the same"),
    "reservedips.notes": ("another text", "the world has none"),
    "guestnetworks.mapped_ip_addr": ("another text", "a counter of the VPC, which had been used before"),
    "guestnetworks.mapped_ip6_addr": ("another text", "the same"),
}
# What the real one shows of a thing and the emulator does not: nothing of it has to do with addresses.
NOT_SHOWN = {
    "server": (
        "account_read_only auto_renew backup_guest_status billing_type boot_order brand can_recycle cdrom_support "
        "cloud_env cloudregion cloudregion_id cpu_sockets disable_delete disk disk_count disks_snapshotpolicy_count "
        "extra_cpu_count floppy_support health_status host_access_ip host_billing_type host_enabled host_id "
        "host_resource_type host_service_status host_status host_type hostname hypervisor internet_max_bandwidth_out "
        "is_daemon is_gpu is_prepaid_recycle macs monitor_url networks nics os_name os_type power_states progress "
        "progress_mbps provider qga_status region region_id rescue_mode shutdown_behavior shutdown_mode "
        "snapshotpolicy_count src_ip_check src_mac_check sshable_last_state throughput vcpu_count vmem_size zone "
        "zone_id"
    ),
    "network": (
        "account_read_only alloc_timout_seconds bm_reused_vnics bm_vnics brand cloud_env cloudregion cloudregion_id "
        "eip_vnics exit group_vnics guest_ip6_mask ifname_hint imported_at is_classic is_default_vpc lb_vnics "
        "nat_vnics networkinterface_vnics ports ports6_used ports_used progress provider rds_vnics region region_id "
        "reserve_vnics4 reserve_vnics6 source total total6 vlan_id vnics vnics4 vnics6 zone zone_id"
    ),
}


class Comparison:
    """Compares answers with recorded ones; ``ours``: the emulator's name for what was recorded under another one."""

    def __init__(self) -> None:
        self.ours: dict[Any, Any] = {}
        self.used: set[str] = set()
        self.hidden: set[tuple[str, str]] = set()

    def check(self, recorded: Any, answered: Any, path: tuple[str, ...]) -> None:
        """Fails at what differs and is not tolerated."""
        if isinstance(recorded, dict) and isinstance(answered, dict) and path[-1] != "policies":
            hidden = set(NOT_SHOWN.get(path[-1], "").split()) & set(recorded)
            self.hidden |= {(path[-1], key) for key in hidden}
            assert set(recorded) - hidden == set(answered), f"{path}: {(set(recorded) - hidden) ^ set(answered)}"
            for key in answered:
                self.check(recorded[key], answered[key], (*path, key))
            return
        if isinstance(recorded, list) and isinstance(answered, list):
            assert len(recorded) == len(answered), f"{path}: {recorded} {answered}"
            if TOLERATED.get(path[-1], ("",))[0] == "another order":
                self.used.add(path[-1])
                key = "interface" if path[-1] == "endpoints" else "type"
                recorded, answered = (sorted(each, key=lambda row: row[key]) for each in (recorded, answered))
            for one, other in zip(recorded, answered, strict=True):
                self.check(one, other, path)
            return
        expected = self.translated(recorded) if path[-1] == "details" else recorded
        if expected == answered and type(recorded) is type(answered):
            return
        where = next((each for each in (".".join(path[-2:]), path[-1]) if each in TOLERATED), None)
        assert where is not None, f"{path}: {answered!r}, and not {recorded!r}"
        self.used.add(where)
        how = TOLERATED[where][0]
        if how == "another moment":
            assert _MOMENT.fullmatch(answered) and len(answered) == len(recorded), f"{path}: {recorded} {answered}"
        elif how == "another, the same one each time":
            if not isinstance(recorded, int):
                assert _ID.fullmatch(recorded) and _ID.fullmatch(answered), f"{path}: {recorded} {answered}"
            if recorded == "TOKEN":
                # All tokens are called so.
                self.ours[recorded] = answered
                return
            assert self.ours.setdefault(recorded, answered) == answered, f"{path}: {recorded} was another one"
            assert sum(each == answered for each in self.ours.values()) == 1, (
                f"{path}: two things are called {answered}"
            )
        elif how != "anything":
            assert type(recorded) is type(answered), f"{path}: {recorded} {answered}"

    def translated(self, text: str) -> str:
        """A recorded request with the emulator's ids."""
        return _ID.sub(lambda match: self.ours.get(match[0], match[0]), text)


def _exchange(emulator: Local, comparison: Comparison, exchange: dict[str, Any], token: str) -> None:
    """Sends a recorded request; fails at an answer that is another one."""
    request, response = exchange["request"], exchange["response"]
    where = (exchange["scenario"], exchange["step"])
    # A task goes on only when the recording shows what came after it.
    if "right after" not in exchange["step"]:
        emulator.admin("PATCH", "/behaviour", {"faults": []})
        assert emulator.settled()
    emulator.admin("PATCH", "/behaviour", {"faults": [{"kind": "never-ends"}]})
    api = Api(emulator)
    api.token = token
    body = request["body"] and json.loads(comparison.translated(json.dumps(request["body"])))
    status, answer = api(request["method"], comparison.translated(request["path"]), body, request["service"])
    assert status == response["status"], (where, answer)
    comparison.check(response["body"], answer, where)
    told = {name: api.headers[name] for name in ("Content-Type", "Location") if name in api.headers}
    recorded = dict(response["headers"])
    assert ("X-Subject-Token" in recorded) == ("X-Subject-Token" in api.headers)
    if recorded.pop("X-Subject-Token", None):
        assert api.headers["X-Subject-Token"] == answer["id"]
    assert told == recorded, where


def _replay(emulator: Local, exchanges: list[dict[str, Any]]) -> Comparison:
    """Sends every request of the first recording: one user's, from nothing to nothing."""
    comparison = Comparison()
    for exchange in exchanges:
        bad = exchange["step"].startswith("invalid token")
        _exchange(emulator, comparison, exchange, "made-up" if bad else comparison.ours.get("TOKEN", ""))
    return comparison


def _owners_group(emulator: Local) -> None:
    cloud = emulator.cloud
    # The reservation of .200 had been used up before.
    cloud.find(cloud.networks, "network", "net1")["~reserved"].remove("192.168.1.200")
    group = cloud.create_group(cloud.identity.projects["shop"], {"name": "sm"}, "f15b1c6a-4a56-4a1e-86e3-a85a3cc60f3e")
    cloud.bind(group, {"guest.0": "s-vm1"})
    cloud.attach(group, {"ip_addr": "192.168.1.141"})


def _attaches_that_were_left_out(emulator: Local) -> None:
    for _each in range(231):
        emulator.cloud.attach(emulator.cloud.groups[0], {})


def _second_interface(emulator: Local) -> None:
    nic = next(each for each in emulator.cloud.nics if each["mac_addr"] == "00:22:aa:00:00:05")
    nic["guest_id"] = "vm-a-vm1"


def _bind_order(emulator: Local) -> None:
    order = ("a-vm5", "a-vm1", "a-vm2", "a-vm3")
    emulator.cloud.bind_order = lambda guests: sorted(guests, key=lambda each: order.index(each["name"]))


def _usual_bind_order(emulator: Local) -> None:
    emulator.cloud.bind_order = list


def _ids_of_two_eips(emulator: Local) -> None:
    ids = ("420d12e2-6cbb-411a-84e5-2986b9164ee1", "bd82ec6b-703a-4e68-8a42-7e08c3555f97")
    emulator.cloud.new_id = iter((*ids, "76cdbc02-4fc3-4b6c-8caf-0f87ca7e5fea")).__next__


def _shop_eip(emulator: Local) -> None:
    eip = Eip("shop-eip", "203.0.113.10", "eipnet", "system", 5, "f82730ea-13c8-4e2c-8112-0fc5101b88fa")
    emulator.cloud.add_eip(eip)


def _no_alloc_policy(emulator: Local) -> None:
    emulator.cloud.find(emulator.cloud.networks, "network", "nonet").pop("alloc_policy")


def _no_access_mode(emulator: Local) -> None:
    emulator.cloud.find(emulator.cloud.vpcs, "vpc", "Default")["external_access_mode"] = ""


# (Scenario's beginning, step) -> what the second recording leaves out before it, or what was done in the database.
MEANWHILE: dict[tuple[str, str], Callable[[Local], None]] = {
    ("VIP after VIP", "sysadmin: group"): _owners_group,
    ("VIP after VIP", "sysadmin: attach, the 234th time"): _attaches_that_were_left_out,
    ("a member gets a second interface", "sysadmin: interfaces of a-vm1, now two"): _second_interface,
    ("bind of several guests", "sysadmin: bind, one on another network, third of four"): _bind_order,
    ("bind of several guests", "sysadmin: bind, one on another network, first of two"): _usual_bind_order,
    ("two EIPs", "sysadmin: create-eip"): _ids_of_two_eips,
    ("associate-eip of an existing EIP", "sysadmin: the EIP by name, with field"): _shop_eip,
    ("VPC with external_access_mode none", "sysadmin: network"): _no_alloc_policy,
    (
        "EIP on a classic network",
        "sysadmin: create-eip, the Default VPC has no external_access_mode (so until the service's first restart)",
    ): _no_access_mode,
}
SCENARIOS = dict.fromkeys(exchange["scenario"] for exchange in SECOND)


@functools.cache
def _replay_second(scenario: str) -> Comparison:
    """Sends the requests of one scenario of the second recording, each as the user that its step begins with."""
    comparison = Comparison()
    with local(_second_world()) as emulator:
        tokens = {"a bad token": "made-up", "no token": ""}
        for user in emulator.cloud.world.users:
            tokens[user.name] = Api(emulator, user.name, "PASSWORD", user.projects[0]).token
        for exchange in SECOND:
            if exchange["scenario"] != scenario:
                continue
            for (beginning, step), happens in MEANWHILE.items():
                if scenario.startswith(beginning) and step == exchange["step"]:
                    assert emulator.settled()
                    happens(emulator)
                    comparison.used.add(f"{beginning}: {step}")
            who = exchange["step"].partition(":")[0]
            if exchange["request"]["service"] == "keystone":
                comparison.ours["TOKEN"] = tokens.get(who, "")
                who = "no token"
            _exchange(emulator, comparison, exchange, tokens[who])
        assert emulator.violations == []
    return comparison


@pytest.fixture
def recorded() -> Iterator[Local]:
    with local(_recorded_world()) as emulator:
        yield emulator
        assert emulator.violations == []


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_scenario_of_the_second_recording(scenario: str) -> None:
    assert _replay_second(scenario).used


def test_the_whole_recordings(recorded: Local) -> None:
    """Every exchange is replayed; and what is not needed is neither tolerated nor listed."""
    assert (len(EXCHANGES), len(SECOND), len(SCENARIOS)) == (75, 220, 31)
    comparisons = [_replay(recorded, EXCHANGES), *map(_replay_second, SCENARIOS)]
    needed = set().union(*(each.used for each in comparisons))
    assert needed == TOLERATED.keys() | {": ".join(key) for key in MEANWHILE}
    hidden = set().union(*(each.hidden for each in comparisons))
    assert hidden == {(name, key) for name, keys in NOT_SHOWN.items() for key in keys.split()}


@pytest.mark.parametrize(
    ("step", "where", "value"),
    [
        ("show by name", ("instancegroup", "status"), "ready"),
        ("show by name", ("instancegroup", "extra"), 1),
        ("show by name", ("instancegroup", "created_at"), "2026-11-21T01:43:09Z"),
        ("show by name", ("instancegroup", "id"), "0284539c-410e-4e3d-8251-64ed5dd89a9b"),
        ("show by name", ("instancegroup", "enabled"), 1),
        ("show missing", ("details",), "instancegroup absent is not there"),
        ("show missing", ("time",), "yesterday"),
        ("groupguests", ("groupguests",), []),
    ],
)
def test_the_comparison_finds_what_differs(recorded: Local, step: str, where: tuple[str, ...], value: object) -> None:
    exchanges = json.loads(json.dumps(EXCHANGES))
    body = next(each for each in exchanges if each["step"] == step)["response"]["body"]
    for name in where[:-1]:
        body = body[name]
    body[where[-1]] = value
    with pytest.raises(AssertionError, match=f"'{step}'"):
        _replay(recorded, exchanges)


# --- what the recording does not show


def test_the_catalog_says_where_compute_is(cloudpods: Local) -> None:
    by_name = {"user": {"name": "operator", "password": region.PASSWORD}}
    identity = {"methods": ["password"], "password": by_name}
    body = {"auth": {"identity": identity, "scope": {"project": {"name": region.PROJECT}}}}
    api = Api(cloudpods)
    token = api("POST", "/v3/auth/tokens", body, "keystone")[1]["token"]
    urls = {service["type"]: {each["url"] for each in service["endpoints"]} for service in token["catalog"]}
    assert urls == {"compute_v2": {cloudpods.endpoint}, "identity": {cloudpods.auth_url}}
    by_id = {"user": {"id": token["user"]["id"], "password": region.PASSWORD}}
    body["auth"] = {
        "identity": {"methods": ["password"], "password": by_id},
        "scope": {"project": {"id": token["project"]["id"]}},
    }
    assert api("POST", "/v3/auth/tokens", body, "keystone")[0] == 200
    assert cloudpods.requests[-1]["caller"] == "operator" and region.PASSWORD not in json.dumps(cloudpods.requests)


@pytest.mark.parametrize(
    ("methods", "user", "project", "domain", "said"),
    [
        (["password"], "nobody", region.PROJECT, "Default", (404, "UserNotFound")),
        (["password"], "operator", "another-project", "Default", (401, "UnauthorizedError")),
        (["password"], "operator", region.PROJECT, "Elsewhere", (404, "UserNotFound")),
        (["token"], "operator", region.PROJECT, "Default", (401, "UnauthorizedError")),
        (["magic"], "operator", region.PROJECT, "Default", (401, "UnauthorizedError")),
    ],
)
def test_who_gets_no_token(
    cloudpods: Local, methods: list[str], user: str, project: str, domain: str, said: tuple[int, str]
) -> None:
    given = {"name": user, "password": region.PASSWORD, "domain": {"name": domain}}
    identity = {"methods": methods, "password": {"user": given}}
    body = {"auth": {"identity": identity, "scope": {"project": {"name": project}}}}
    status, answer = Api(cloudpods)("POST", "/v3/auth/tokens", body, "keystone")
    assert (status, answer["class"]) == said and answer["time"].endswith("+08:00")


def test_a_token_for_no_project(cloudpods: Local, api: Api) -> None:
    """It is one, and nothing but another token is to be had with it."""
    identity = {"methods": ["token"], "token": {"id": api.token}}
    assert api("POST", "/v3/auth/tokens", {"auth": {"identity": identity}}, "keystone")[0] == 200
    api.token = identity["token"] = api.headers["X-Subject-Token"]
    assert api("GET", "/servers")[0] == 403
    body = {"auth": {"identity": {"methods": ["token"], "token": {"id": api.token}}}}
    scope: Any = {"scope": {"project": {"name": region.PROJECT}}}
    assert api("POST", "/v3/auth/tokens", {"auth": {**body["auth"], **scope}}, "keystone")[0] == 200
    api.token = api.headers["X-Subject-Token"]
    assert api("GET", "/servers")[0] == 200 and cloudpods.requests[-1]["caller"] == "operator"


def test_a_service_knows_only_its_own_paths(cloudpods: Local, api: Api) -> None:
    assert api("GET", "/instancegroups", service="keystone")[0] == 404
    assert api("POST", "/v3/auth/tokens", {})[0] == 404
    assert api("POST", "/v3/auth/tokens", {}, "keystone")[0] == 400
    assert api("GET", "/v3/users", None, "keystone")[0] == 501


@pytest.mark.parametrize(
    ("verb", "path"),
    [
        ("GET", "/secgroups"),
        ("GET", "/groupguests/1"),
        ("GET", "/instancegroups/nginx/secgroups"),
        ("GET", "/instancegroups?colour=red"),
        ("GET", "/instancegroups?scope=galaxy"),
        ("GET", "/instancegroups?filter=name"),
        ("GET", "/instancegroups?filter=name.sounds(like)"),
        ("POST", "/servers"),
        ("PUT", "/eips/nginx-eip"),
        ("POST", "/instancegroups/nginx/purge"),
        ("DELETE", "/instancegroups/nginx/enable"),
    ],
)
def test_what_the_lab_does_not_have_is_named(group: Api, verb: str, path: str) -> None:
    assert group.refused(verb, path)[:2] == (501, "NotImplementedError")


def test_a_token_that_is_none(cloudpods: Local, api: Api) -> None:
    assert cloudpods.admin("POST", "/tokens/expire", {"principal": "operator"}) == {"expired": 1}
    for verb, path in (("GET", "/instancegroups"), ("GET", "/servers/node1/networks"), ("POST", "/instancegroups")):
        status, kind, details = api.refused(verb, path, {} if verb == "POST" else None)
        assert (status, kind) == (403, "ForbiddenError") and "require:project,allow:none" in details
    for verb, path in (("GET", "/servers/node1"), ("DELETE", "/eips/nginx-eip")):
        status, kind, details = api.refused(verb, path)
        assert (status, kind) == (403, "ForbiddenError") and "require:none,allow:none" in details
    assert api.refused("POST", "/instancegroups/nope/attachnetwork", {})[0] == 404, "that is told to everybody"
    with pytest.raises(ValueError, match="nobody"):
        cloudpods.admin("POST", "/tokens/expire", {"principal": "nobody"})
    cloudpods.admin("PATCH", "/behaviour", {"token_lifetime_s": 0.05})
    short = Api(cloudpods, region.USER, region.PASSWORD, region.PROJECT)
    until(lambda: short("GET", "/servers")[0] == 403)


def test_projects_are_apart(cloudpods: Local, group: Api) -> None:
    stranger = Api(cloudpods, "stranger", "lab-stranger-password", "another-project")
    assert stranger.get("/instancegroups") == [] and stranger.get("/servers") == [] and stranger.get("/eips") == []
    assert stranger.refused("GET", "/instancegroups/nginx")[:2] == (403, "ForbiddenError")
    assert stranger.refused("DELETE", "/instancegroups/nginx")[0] == 403
    assert stranger.get(f"/groupguests?group_id={group.get('/instancegroups/nginx')['id']}") == []
    assert stranger.get("/groupguests?server_id=node1") == stranger.get("/servers/node1/networks") == []
    assert stranger("POST", "/instancegroups", {"instancegroup": {"name": "NGINX"}})[0] == 409, "all have one list"
    assert stranger("POST", "/instancegroups", {"instancegroup": {"name": "theirs"}})[0] == 200
    said = stranger.denied("bind-guests", "theirs", **{"guest.0": "node1"})
    assert said == (403, "ForbiddenError", "guest and instance group should belong to same project")
    stranger.act("attachnetwork", "theirs", network_id=region.NETWORK)
    assert stranger.denied("associate-eip", "theirs", eip_id="nginx-eip")[0] == 403
    assert stranger.refused("GET", "/eips?scope=domain")[0] == stranger.refused("GET", "/eips?scope=system")[0] == 403
    assert [each["name"] for each in stranger.get("/networks")] == [each["name"] for each in group.get("/networks")]


def test_lists(vip: Api) -> None:
    vip("POST", "/instancegroups", {"instancegroup": {"name": "other", "force_dispersion": False}})

    def names(query: str) -> list[str]:
        return [each["name"] for each in vip.get(f"/instancegroups?{query}")]

    assert names("") == ["other", "nginx"], "the newest first"
    assert names("limit=1") == ["other"] and names("limit=1&offset=1") == ["nginx"]
    assert vip("GET", "/instancegroups?limit=1&offset=1")[1] | {"instancegroups": 0} == {
        "instancegroups": 0,
        "limit": 1,
        "total": 2,
        "offset": 1,
    }
    assert names("name=nginx") == names("server_id=node1") == names("filter=name.in(nginx,x)") == ["nginx"]
    assert names("filter.0=name.startswith(o)&filter.1=enabled.equals(true)") == ["other"]
    assert names("enabled=false") == [] and names("filter=name.contains(in)") == ["nginx"]
    assert names("filter=name.notequals(nginx)") == ["other"] and names("filter=name.endswith(x)") == ["nginx"]
    assert [each["guest"] for each in vip.get("/instancegroups/nginx/servers")] == ["node2", "node1"]
    assert [each["group_id"] for each in vip.get("/groupguests?server_id=node1")] == [
        vip.get("/instancegroups/nginx")["id"]
    ]
    assert [each["ip_addr"] for each in vip.get("/instancegroups/nginx/networks")] == [region.VIP]
    assert vip.get("/groupnetworks?group_id=nginx&ip_addr=192.168.7.1") == []
    assert vip.get("/groupnetworks") == vip.get(f"/groupnetworks?ip_addr={region.VIP}")
    assert vip.get("/servers?name=NODE1&field=vip&field=ips") == [{"vip": region.VIP, "ips": "192.168.7.247"}]
    assert vip.get("/servers/Node1?field=vip").keys() == vip.get("/servers/node1").keys() - {
        "project",
        "project_domain",
        "tenant",
    }, "fields are for lists"
    assert [each["name"] for each in vip.get("/vpcs")] == ["vpc1", "Default"]
    assert vip.get("/vpcs/vpc1")["external_access_mode"] == "eip-distgw"
    assert [each["guest"] for each in vip.get("/guestnetworks?server_id=node2")] == ["node2"]
    assert vip.refused("GET", "/groupnetworks?group_id=nope")[0] == 404
    assert vip.refused("GET", "/instancegroups?limit=many")[0] == 400
    assert vip.get("/eips?associate_id=x") == []
    assert vip.get("/networks/vip-subnet")["guest_ip_mask"] == 22


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"instancegroup": {}}, (400, "MissingParameterError")),
        ({"instancegroup": {"name": "x", "granularity": "many"}}, (400, "InputParameterError")),
        ({"instancegroup": {"name": "a\tb"}}, (400, "InvalidFormatError")),
        ({"instancegroup": {"name": "x", "zone_id": "z"}}, (501, "NotImplementedError")),
        ({"group": {"name": "x"}}, (400, "InputParameterError")),
        ([], (400, "InputParameterError")),
    ],
)
def test_groups_that_cannot_be(api: Api, body: object, said: tuple[int, str]) -> None:
    assert api.refused("POST", "/instancegroups", body)[:2] == said
    assert api.get("/instancegroups") == []


def test_unknown_keys_are_ignored(api: Api) -> None:
    assert api("POST", "/instancegroups", {"instancegroup": {"name": "x", "colour": "red"}})[0] == 200
    assert "colour" not in api.get("/instancegroups/x")


def test_names_that_are_changed(api: Api) -> None:
    long = 130 * "n"
    for _each in range(2):
        assert api("POST", "/instancegroups", {"instancegroup": {"name": long}})[0] == 200
    assert api.denied("attachnetwork", long[:128])[:2] == (500, "duplicate entry"), "of which of them?"
    ids = [each["id"] for each in api.get("/instancegroups")]
    assert api("PUT", f"/instancegroups/{ids[0]}", {"instancegroup": {"name": " nginx "}})[0] == 200
    assert api.get(f"/instancegroups/{long[:128]}")["id"] == ids[1]
    assert api.get("/instancegroups/Nginx")["name"] == "nginx"
    assert api("PUT", f"/instancegroups/{ids[1]}", {"instancegroup": {"name": "NGINX"}})[0] == 409
    assert api("PUT", f"/instancegroups/{ids[0]}", {"instancegroup": {"name": "NGINX"}})[0] == 200
    assert [each["id"] for each in api.get("/instancegroups?filter.0=name.equals(nginx)")] == [ids[0]]


@pytest.mark.parametrize(
    ("user", "refused"),
    [("editor", {"create", "delete"}), ("viewer", {"create", "delete", "update", "disable", "attachnetwork"})],
)
def test_roles(cloudpods: Local, vip: Api, user: str, refused: set[str]) -> None:
    other = Api(cloudpods, user, f"lab-{user}-password", region.PROJECT)
    assert other.get("/instancegroups/nginx")["vips"] == [region.VIP] and other.get("/groupnetworks")
    doing = {
        "create": ("POST", "/instancegroups"),
        "delete": ("DELETE", "/instancegroups/nginx"),
        "update": ("PUT", "/instancegroups/nginx"),
        "disable": ("POST", "/instancegroups/nginx/disable"),
        "attachnetwork": ("POST", "/instancegroups/nginx/attachnetwork"),
    }
    said = {name: other(*line, {"instancegroup": {}}) for name, line in doing.items()}
    assert {name for name, (status, _answer) in said.items() if status == 403} == refused
    assert all("allow:none" in answer["details"] for status, answer in said.values() if status == 403)


def test_an_unknown_role() -> None:
    with pytest.raises(ValueError, match="there is no role king"):
        local(World((Project("p"),), (User("u", "w", ("p",), role="king"),))).__enter__()


# --- members and VIPs


def test_members_are_bound_until_one_does_not_fit() -> None:
    nic = Nic("second-subnet", "192.168.8.9", "02:00:00:00:08:09")
    elsewhere = Server("elsewhere", (nic,), region.PROJECT)
    with local(dataclasses.replace(region.WORLD, servers=(*region.WORLD.servers, elsewhere))) as other:
        api = Api(other, region.USER, region.PASSWORD, region.PROJECT)
        api("POST", "/instancegroups", {"instancegroup": {"name": "nginx"}})
        api.act("attachnetwork", network_id=region.NETWORK)
        said = api.denied("bind-guests", **{"guest.0": "node1", "guest.1": "elsewhere", "guest.2": "node2"})
        assert said[0] == 409 and [each["guest"] for each in api.get("/groupguests?group_id=nginx")] == ["node1"]
        assert other.settled() and other.plane.permitted["node1"] != ()  # type: ignore[attr-defined]


def test_members_that_come_and_go(group: Api) -> None:
    assert group.denied("bind-guests", **{"guest.0": "client1", "guest.1": "nope"})[0] == 400
    assert group.get("/instancegroups/nginx")["guest_count"] == 2, "those are looked up first"
    group.act("unbind-guests", **{"guest.0": "node1", "guest.1": "client1"})
    assert [each["guest"] for each in group.get("/groupguests?group_id=nginx")] == ["node2"]
    group.act("disable")
    assert group.denied("unbind-guests", **{"guest.0": "node2"})[0] == 403


def test_where_an_address_comes_from(group: Api) -> None:
    assert group.act("attachnetwork")["vips"] == ["192.168.7.254"], "the last one"
    assert group.act("attachnetwork", alloc_dir="stepup")["vips"][-1] == "192.168.4.3"
    assert group.act("attachnetwork", ip_addr="192.168.7.254")["vips"][-1] == "192.168.7.253"
    assert group.act("attachnetwork", alloc_dir="nonsense")["vips"][-1] == "192.168.4.4"
    assert group.denied("attachnetwork", ip_addr="192.168.7.300")[0] == 400
    assert group.denied("attachnetwork", require_ipv6=True)[2] == "network is not ipv6 enabled"
    seen = group.act("attachnetwork", alloc_dir="random")["vips"]
    assert len(set(seen)) == 5
    assert "vips" not in group.act("detachnetwork"), "all of them"


def test_an_address_that_is_reserved() -> None:
    networks = tuple(
        dataclasses.replace(each, reserved=(region.VIP,)) if each.name == region.NETWORK else each
        for each in region.WORLD.networks
    )
    with local(dataclasses.replace(region.WORLD, networks=networks)) as cloudpods:
        api = Api(cloudpods, region.USER, region.PASSWORD, region.PROJECT)
        api("POST", "/instancegroups", {"instancegroup": {"name": "nginx"}})
        wanted = {"network_id": region.NETWORK, "ip_addr": region.VIP, "require_designated_ip": True}
        assert api.denied("attachnetwork", **wanted)[0] == 409
        query = f"/reservedips?network_id={region.NETWORK_ID}&ip_addr={region.VIP}"
        assert [each["network"] for each in api.get(query)] == [region.NETWORK]
        assert api.act("attachnetwork", **wanted, reserved=True)["vips"] == [region.VIP]
        assert api.get(query) == []
        api.act("detachnetwork")
        assert api.act("attachnetwork", **wanted)["vips"] == [region.VIP], "the reservation is used up"


def test_a_network_that_is_full() -> None:
    networks = (Network("small", "10.0.0.1", "10.0.0.1", 29, vpc="vpc1"),)
    with local(World((Project("p"),), (User("u", "w", ("p",)),), networks)) as cloudpods:
        api = Api(cloudpods, "u", "w", "p")
        api("POST", "/instancegroups", {"instancegroup": {"name": "nginx"}})
        api.act("attachnetwork", network_id="small")
        assert api.denied("attachnetwork")[0] == 400


def test_members_that_no_vip_fits() -> None:
    nic = Nic("second-subnet", "192.168.8.9", "02:00:00:00:08:09")
    two = Server("two", (nic, Nic(region.NETWORK, "192.168.4.9", "02:00:00:00:07:09")), region.PROJECT)
    elsewhere = Server("elsewhere", (dataclasses.replace(nic, address="192.168.8.8"),), region.PROJECT)
    world = dataclasses.replace(region.WORLD, servers=(*region.WORLD.servers, two, elsewhere))
    with local(world) as other:
        api = Api(other, region.USER, region.PASSWORD, region.PROJECT)
        api("POST", "/instancegroups", {"instancegroup": {"name": "nginx"}})
        api.act("bind-guests", **{"guest.0": "node1", "guest.1": "elsewhere"})
        assert "inconsistent networkId" in api.denied("attachnetwork")[2]
        api.act("unbind-guests", **{"guest.0": "elsewhere"})
        api.act("bind-guests", **{"guest.0": "two"})
        said = "getAttachedNetwork: guest (two) has 2 networks: InvalidStatusError"
        assert api.denied("attachnetwork")[2] == api.denied("detachnetwork")[2] == said


# --- EIPs


def test_an_eip_is_for_a_vip_in_a_vpc(group: Api) -> None:
    assert group.denied("associate-eip", eip_id="nginx-eip")[2] == "grp.isEipAssociable: group no vips"
    group.act("attachnetwork")
    assert group.denied("associate-eip")[:2] == (400, "MissingParameterError")
    group("POST", "/instancegroups", {"instancegroup": {"name": "classic"}})
    group.act("attachnetwork", "classic", network_id="classic-subnet")
    said = group.denied("associate-eip", "classic", eip_id="nginx-eip")
    assert said[:2] == (400, "InvalidStatusError") and "group network is not a VPC network" in said[2]


def test_an_eip_for_no_vip_fails_later(vip: Api) -> None:
    vip.act("associate-eip", eip_id="nginx-eip", ip_addr="192.168.7.1")
    assert vip.get("/instancegroups/nginx")["status"] == "associate_eip_failed"
    assert vip.get("/eips/nginx-eip")["status"] == "associate_fail"


def test_an_address_for_a_new_eip_is_its_own(vip: Api) -> None:
    vip.act("create-eip", bandwidth=10, bgp_type="BGP", ip_addr="203.0.113.30")
    assert vip.get("/groupnetworks?group_id=nginx")[0]["eip_addr"] == "203.0.113.30"


@pytest.mark.parametrize("how", ["the VIP as its address", "told to"])
def test_a_new_eip_without_an_address(cloudpods: Local, vip: Api, how: str) -> None:
    """The group stays as it is; such an EIP can be associated, and leads nowhere; and it can be deleted."""
    if how == "told to":
        fault = {"kind": "error-in-operation", "reason": "allocate_fail", "times": 1}
        cloudpods.admin("PATCH", "/behaviour", {"faults": [fault]})
    vip.act("create-eip", bandwidth=10, bgp_type="BGP", **({} if how == "told to" else {"ip_addr": region.VIP}))
    assert vip.get("/instancegroups/nginx")["status"] == "associate_eip"
    eip = vip.get("/eips/eip-for-grp-nginx")
    assert eip["status"] == "allocate_fail" and not eip.keys() & {"ip_addr", "associate_id"}
    vip.act("associate-eip", eip_id="eip-for-grp-nginx")
    group = vip.get("/instancegroups/nginx")
    assert group["status"] == "init" and "vip_eip" not in group and cloudpods.plane.eips == {}  # type: ignore[attr-defined]
    eip = vip.get("/eips/eip-for-grp-nginx")
    assert eip["status"] == "ready" and eip["associate_name"] == "nginx" and "ip_addr" not in eip
    row = vip.get("/groupnetworks?group_id=nginx")[0]
    assert row["eip_id"] == eip["id"] and "eip_addr" not in row
    assert vip.refused("DELETE", "/eips/eip-for-grp-nginx")[:2] == (406, "NotEmptyError")
    vip.act("dissociate-eip")
    cloudpods.admin("PATCH", "/behaviour", {"faults": [{"kind": "never-ends"}]})
    assert vip("DELETE", "/eips/eip-for-grp-nginx")[1]["eip"]["status"] == "deallocate"
    cloudpods.admin("PATCH", "/behaviour", {"faults": []})
    assert vip.refused("GET", "/eips/eip-for-grp-nginx")[0] == 404


def test_an_eip_that_is_made_for_nobody(api: Api) -> None:
    wanted = {"name": "mine", "bandwidth": 5, "bgp_type": "BGP"}
    assert api("POST", "/eips", {"eip": wanted})[1]["eip"]["status"] == "allocate"
    assert (api.get("/eips/mine")["status"], api.get("/eips/mine")["ip_addr"]) == ("ready", "203.0.113.11")
    assert api.refused("POST", "/eips", {"eip": {**wanted, "name": "Mine"}})[0] == 409
    assert api.refused("POST", "/eips", {"eip": {**wanted, "name": ""}})[0] == 400


@pytest.mark.parametrize("bound_first", [False, True])
def test_a_second_eip_is_accepted_and_fails_later(cloudpods: Local, vip: Api, bound_first: bool) -> None:
    """Which one the group shows, and lets go first, is the one with the smaller id."""
    order = ["0", "f"] if bound_first else ["f", "0"]
    bound, other = (f"{each}0000000-0000-4000-8000-000000000000" for each in order)
    cloudpods.cloud.find(cloudpods.cloud.eips, "eip", "nginx-eip")["id"] = bound
    cloudpods.cloud.new_id = lambda: other
    shown = [region.EIP, "203.0.113.11"][:: 1 if bound_first else -1]
    vip.act("associate-eip", eip_id="nginx-eip")
    assert vip.act("create-eip", bandwidth=10, bgp_type="BGP")["status"] == "associate_eip"
    seen = vip.get("/instancegroups/nginx")
    assert seen["status"] == "associate_eip_failed"
    assert seen["vip_eip"] == shown[0]
    assert [each["eip_addr"] for each in vip.get("/groupnetworks?group_id=nginx")] == [region.EIP], "the right one"
    left = vip.get(f"/eips?associate_id={seen['id']}")
    assert [(each["ip_addr"], each["status"]) for each in left] == [
        ("203.0.113.11", "associate_fail"),
        (region.EIP, "ready"),
    ]
    vip.act("dissociate-eip", auto_delete=not bound_first)
    assert vip.get("/instancegroups/nginx")["vip_eip"] == shown[1]
    assert ("eip_addr" in vip.get("/groupnetworks?group_id=nginx")[0]) != bound_first
    vip.act("dissociate-eip", auto_delete=bound_first)
    seen = vip.get("/instancegroups/nginx")
    assert seen["status"] == "init" and "vip_eip" not in seen
    assert [each["name"] for each in vip.get("/eips")] == ["nginx-eip"]


def test_an_eip_that_goes_with_its_group(vip: Api) -> None:
    vip.act("create-eip", bandwidth=10, bgp_type="BGP", auto_dellocate=True)
    assert vip.get("/eips/eip-for-grp-nginx")["auto_dellocate"] is True
    (listed,) = vip.get("/eips?filter=name.equals(eip-for-grp-nginx)&field=auto_dellocate&field=name")
    assert listed == {"name": "eip-for-grp-nginx"}, "that is for admins"
    vip.act("dissociate-eip")
    assert vip.refused("GET", "/eips/eip-for-grp-nginx")[0] == 404


def test_told_to_fail_after_it_was_accepted(cloudpods: Local, vip: Api) -> None:
    fault = {"kind": "error-in-operation", "times": 1, "match": {"path": "eip$"}}
    cloudpods.admin("PATCH", "/behaviour", {"faults": [fault]})
    vip.act("associate-eip", eip_id="nginx-eip")
    seen = vip.get("/instancegroups/nginx")
    assert seen["status"] == "associate_eip_failed" and seen["vip_eip"] == region.EIP
    assert "eip_id" not in vip.get("/groupnetworks?group_id=nginx")[0]
    assert vip.get("/eips/nginx-eip")["status"] == "associate_fail"
    vip.act("dissociate-eip")
    vip.act("associate-eip", eip_id="nginx-eip")
    assert vip.get("/groupnetworks?group_id=nginx")[0]["eip_addr"] == region.EIP
    cloudpods.admin("PATCH", "/behaviour", {"faults": [fault]})
    vip.act("dissociate-eip")
    assert vip.get("/instancegroups/nginx")["status"] == "dissociate_eip_failed"
    assert vip.get("/groupnetworks?group_id=nginx")[0]["eip_addr"] == region.EIP
    assert cloudpods.settled() and cloudpods.plane.eips == {region.EIP: region.VIP}  # type: ignore[attr-defined]


def test_what_happens_to_a_task_meanwhile(cloudpods: Local, vip: Api) -> None:
    cloudpods.admin("PATCH", "/behaviour", {"faults": [{"kind": "never-ends", "times": 1}]})
    vip.act("associate-eip", eip_id="nginx-eip")
    assert vip.denied("associate-eip", eip_id="nginx-eip")[:2] == (400, "InvalidStatusError")
    vip.act("detachnetwork")
    cloudpods.admin("PATCH", "/behaviour", {"faults": []})
    assert vip.get("/instancegroups/nginx")["status"] == "associate_eip_failed", "there is no VIP any more"


# --- what goes wrong when told


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ({"status": 503}, (503, "ServerError")),
        ({"status": 409}, (409, "ConflictError")),
        ({"status": 401}, (401, "UnauthorizedError")),
        ({"status": 429, "retry_after": 7}, (429, "TooManyRequests")),
        ({"status": 400, "reason": "InputParameterError", "message": "no"}, (400, "InputParameterError")),
    ],
)
def test_told_to_refuse(cloudpods: Local, group: Api, fault: dict[str, Any], said: tuple[int, str]) -> None:
    match = {"verb": "POST", "path": "/attachnetwork$", "caller": "operator"}
    cloudpods.admin("PATCH", "/behaviour", {"faults": [{"kind": "status", "times": 1, "match": match, **fault}]})
    assert group.get("/instancegroups/nginx")
    assert group.denied("attachnetwork")[:2] == said
    assert group.headers.get("Retry-After") == ("7" if "retry_after" in fault else None)
    assert len(group.act("attachnetwork")["vips"]) == 1, "only once, and nothing was done the first time"


def test_told_to_refuse_for_some_time(cloudpods: Local, api: Api) -> None:
    cloudpods.admin("PATCH", "/behaviour", {"faults": [{"kind": "status", "for_s": 0.1}]})
    body = {"auth": {"identity": {"methods": ["password"], "password": {"user": {"name": "operator"}}}}}
    assert api("POST", "/v3/auth/tokens", body, "keystone")[0] == 503, "the identity service, too"
    assert api("GET", "/servers")[0] == 503
    until(lambda: api("GET", "/servers")[0] == 200)


@pytest.mark.parametrize(("kind", "happened"), [("lose-before", False), ("lose-after", True)])
def test_told_to_lose_the_connection(cloudpods: Local, group: Api, kind: str, happened: bool) -> None:
    cloudpods.admin("PATCH", "/behaviour", {"faults": [{"kind": kind, "times": 1}]})
    with pytest.raises((http.client.HTTPException, OSError)):
        group("POST", "/instancegroups/nginx/attachnetwork", {"instancegroup": {}})
    assert cloudpods.requests[-1]["status"] == 0
    assert ("vips" in group.get("/instancegroups/nginx")) == happened


def test_told_to_be_slow(cloudpods: Local, vip: Api) -> None:
    """A task takes longer; anything else is answered later."""
    cloudpods.admin("PATCH", "/behaviour", {"faults": [{"kind": "slow", "seconds": 0.2}]})
    begin = time.monotonic()
    vip.act("associate-eip", eip_id="nginx-eip")
    cloudpods.admin("PATCH", "/behaviour", {"faults": []})
    assert vip.get("/instancegroups/nginx")["status"] == "associate_eip"
    until(lambda: vip.get("/instancegroups/nginx")["status"] == "init")
    assert time.monotonic() - begin >= 0.2
    cloudpods.admin("PATCH", "/behaviour", {"faults": [{"kind": "slow", "seconds": 0.2}]})
    begin = time.monotonic()
    vip.get("/servers")
    assert time.monotonic() - begin >= 0.2


def test_the_admin_socket(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as other:
        identity, compute = one.getsockname(), other.getsockname()
    admin = tmp_path / "api.sock"
    threading.Thread(
        target=serve,
        args=(region.WORLD, MemoryPlane()),
        kwargs={"identity": identity, "compute": compute, "admin": admin},
        daemon=True,
    ).start()
    until(admin.exists)

    def ask(request: str) -> Any:
        with socket.socket(socket.AF_UNIX) as told:
            until(lambda: told.connect_ex(str(admin)) == 0)
            told.sendall(f"{request} HTTP/1.0\r\n\r\n".encode())
            return json.loads(told.makefile().read().partition("\n\n")[2])

    assert ask("GET /behaviour")["latency_s"] == 0.4
    assert "there is no" in ask("GET /nonsense")["error"]
    state = ask("GET /state")
    assert state["violations"] == [] and state["in_force"] == {
        "ports": {"client1": [], "node1": [], "node2": []},
        "eips": {},
    }
    assert ask("GET /log") == ask("GET /programmed")[3:] == []


def test_the_admin_socket_refuses_nonsense(cloudpods: Local) -> None:
    before = cloudpods.admin("GET", "/behaviour")
    for told in (
        {"latency": 1},
        {"latency_s": 9, "faults": [{"kind": "odd"}]},
        {"faults": [{"kind": KINDS[0], "x": 1}]},
    ):
        with pytest.raises((ValueError, TypeError)):
            cloudpods.admin("PATCH", "/behaviour", told)
    assert cloudpods.admin("GET", "/behaviour") == before


def test_a_bug_of_its_own_is_found(cloudpods: Local, api: Api) -> None:
    cloudpods.cloud.nics[0]["network_id"] = "lost"
    assert api("GET", "/servers/node1/networks")[0] == 500
    assert "StopIteration" in cloudpods.violations.pop()


def test_the_log(cloudpods: Local, vip: Api) -> None:
    vip.act("associate-eip", eip_id="nginx-eip")
    entries = [(each["name"], each["caller"], each["mutation"]) for each in cloudpods.admin("GET", "/log")]
    assert entries == [
        ("tokens:create", "operator", False),
        ("instancegroups:create", "operator", True),
        ("instancegroups:bind-guests", "operator", True),
        ("instancegroups:attachnetwork", "operator", True),
        ("instancegroups:associate-eip", "operator", True),
    ]
    assert cloudpods.requests[-1]["operation"] == "associate_eip"
    vip.denied("attachnetwork", ip_addr="one")
    changes = ("create", "bind-guests", "attachnetwork", "associate-eip")
    counted = {f"instancegroups:{name}": 1 + (name == "attachnetwork") for name in changes}
    assert cloudpods.mutations() == cloudpods.admin("GET", "/mutations") == counted, "those that are refused, too"
    cloudpods.admin("DELETE", "/log")
    assert cloudpods.requests == [] and not cloudpods.mutations()


# --- what the network is told


def test_the_network_follows(cloudpods: Local, group: Api) -> None:
    plane = cloudpods.plane
    assert isinstance(plane, MemoryPlane)

    def force() -> tuple[dict[str, tuple[str, ...]], dict[str, str]]:
        assert cloudpods.settled()
        return plane.permitted, plane.eips

    none: tuple[str, ...] = ()
    assert force() == ({"client1": none, "node1": none, "node2": none}, {})
    group.act("attachnetwork", ip_addr=region.VIP, require_designated_ip=True)
    both = {"client1": none, "node1": (region.VIP,), "node2": (region.VIP,)}
    assert force() == (both, {})
    group.act("associate-eip", eip_id="nginx-eip")
    assert force() == (both, {region.EIP: region.VIP})
    group.act("unbind-guests", **{"guest.0": "node2"})
    assert force() == ({**both, "node2": none}, {region.EIP: region.VIP})
    group.act("dissociate-eip")
    assert force() == ({**both, "node2": none}, {})
    group.act("bind-guests", **{"guest.0": "node2"})
    assert force() == (both, {})
    group.act("detachnetwork")
    assert force() == ({"client1": none, "node1": none, "node2": none}, {})
    changes = cloudpods.admin("GET", "/programmed")
    assert changes[-1].keys() == {"mono_ns", "wall_ns", "server", "vips"}


def test_the_network_is_later_than_the_answer(cloudpods: Local, group: Api) -> None:
    cloudpods.admin("PATCH", "/behaviour", {"propagation_s": 2})
    watch = Watch()
    group.act("attachnetwork", ip_addr=region.VIP, require_designated_ip=True)
    before = cloudpods.admin("GET", "/state")["in_force"]["ports"]["node1"]
    watch.at_most(2)  # else it may be there already
    assert before == []
    until(lambda: cloudpods.admin("GET", "/state")["in_force"]["ports"]["node1"] == [region.VIP])


def test_a_world_may_have_groups_already() -> None:
    group = Group("nginx", region.PROJECT, ("node1",), region.NETWORK, (region.VIP,))
    with local(dataclasses.replace(region.WORLD, groups=(group,))) as cloudpods:
        assert cloudpods.plane.permitted["node1"] == (region.VIP,)  # type: ignore[attr-defined]
        api = Api(cloudpods, region.USER, region.PASSWORD, region.PROJECT)
        assert api.get("/servers/node1")["vip"] == region.VIP

# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""UCloudStack's client, and the vendor's own one, against the lab's API; and what that API is held to."""

from __future__ import annotations

import dataclasses
import json
import socket
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from busy import until
from ucloud.client import Client
from ucloud.core import exc
from ucloud.services.ucloudstack.client import UCloudStackClient

from ansible_collections.cloudha.vip.plugins.module_utils.base.errors import (
    AlreadyExists,
    CloudError,
    Denied,
    Invalid,
    Lost,
    NotFound,
    Quota,
    Stale,
    Unavailable,
)
from ansible_collections.cloudha.vip.plugins.module_utils.clouds.session import Response, StdlibSession
from ansible_collections.cloudha.vip.plugins.module_utils.clouds.ucloudstack import UCloudStack
from ansible_collections.cloudha.vip.plugins.module_utils.failover import engine, havip_steps, havip_ucloudstack
from ansible_collections.cloudha.vip.plugins.module_utils.failover.havip_goal import Goal
from lab.ucloudstack.dataplane import MemoryPlane
from lab.ucloudstack.emulator import signature
from lab.ucloudstack.server import Local, local, serve
from lab.ucloudstack.world import Key, Nic, Segment, Subnet, Vm, Vpc, World

OWNER = Key("owner", "public+owner==", "private/owner")
READER = Key("reader", "public-reader", "private-reader", frozenset({"DescribeVIP"}))


def vm(number: int, subnet: str = "subnet-a", prefix: str = "10.0.0", **more: Any) -> Vm:
    return Vm(
        f"vm-{number}", f"node{number}", subnet, f"{prefix}.{10 + number}", f"52:54:00:00:00:{number:02x}", **more
    )


def nic(number: int, **place: str) -> Nic:
    prefix = "192.168.177" if "segment" in place else "10.0.0"
    return Nic(
        f"nic-{number}", f"vm-{number}", "eth1", f"{prefix}.{20 + number}", f"52:54:00:00:01:{number:02x}", **place
    )


WORLD = World(
    region="cn",
    company=200000001,
    project="org-1",
    keys=(OWNER, READER),
    vpcs=(Vpc("vpc-1", "prod", "10.0.0.0/16"), Vpc("vpc-2", "test", "10.8.0.0/16")),
    subnets=(
        Subnet("subnet-a", "web", "vpc-1", "10.0.0.0/24"),
        Subnet("subnet-b", "data", "vpc-1", "10.0.1.0/24"),
        Subnet("subnet-c", "tiny", "vpc-2", "10.8.0.0/30"),
    ),
    segments=(Segment("segment-1", "bgp", "192.168.177.0/24", "192.168.177.1"),),
    vms=(
        *(vm(number) for number in (1, 2, 3, 4)),
        vm(5, "subnet-b", "10.0.1"),
        vm(6, "subnet-c", "10.8.0", nat_eip=False),
        vm(7, nat_eip=True),
    ),
    nics=(nic(1, segment="segment-1"), nic(2, segment="segment-1"), nic(3, subnet="subnet-a")),
)
LAN = {"Name": "web", "VIPType": "LAN", "VPCID": "vpc-1", "SubnetID": "subnet-a"}
WAN = {
    "Name": "out",
    "VIPType": "WAN",
    "VPCID": "vpc-1",
    "SegmentID": "segment-1",
    "Bandwidth": 10,
    "ChargeType": "Month",
}


@pytest.fixture
def api() -> Iterator[Local]:
    with local(WORLD) as emulator:
        yield emulator
        assert emulator.violations == []


@pytest.fixture
def cloud(api: Local) -> UCloudStack:
    return client(api)


def client(api: Local, key: Key = OWNER, **keys: Any) -> UCloudStack:
    keys = {"region": "cn", "company_id": WORLD.company, **keys}
    return UCloudStack(StdlibSession(api.endpoint), key.public, key.private, endpoint=api.endpoint, **keys)


def behave(api: Local, **told: Any) -> None:
    api.admin("PATCH", "/behaviour", told)


def fail(api: Local, action: str, **fault: Any) -> None:
    behave(api, faults=[{"match": {"path": f"/{action}$"}, **fault}])


def asked(api: Local) -> list[str]:
    return [entry["name"] for entry in api.admin("GET", "/log")]


def the(cloud: UCloudStack, vip_id: str) -> dict[str, Any]:
    (vip,) = [each for each in cloud.describe_vips() if each["VIPID"] == vip_id]
    return vip


def bound(cloud: UCloudStack, vip_id: str) -> list[str]:
    return [each["ResourceID"] for each in the(cloud, vip_id)["AssociatedResources"]]


def permitted(api: Local) -> dict[str, list[str]]:
    """What interfaces may send from besides their own addresses."""
    return {each: more[1:] for each, more in api.admin("GET", "/state")["permitted"].items() if more[1:]}


# --- virtual IPs


def test_an_internal_one_comes_and_goes(api: Local, cloud: UCloudStack) -> None:
    vip_id = cloud.allocate_vip({**LAN, "IP": "10.0.0.200", "Remark": "of the shop"})
    vip = the(cloud, vip_id)
    assert {key: vip[key] for key in ("VIPType", "Name", "Remark", "IP", "Status", "SubnetNetwork", "ProjectID")} == {
        "VIPType": "LAN",
        "Name": "web",
        "Remark": "of the shop",
        "IP": "10.0.0.200",
        "Status": "Available",
        "SubnetNetwork": "10.0.0.0/24",
        "ProjectID": "org-1",
    }
    assert vip["AssociatedResources"] == []
    assert "SegmentID" not in vip
    cloud.update_vip_bind_resource(vip_id, "VM", ["vm-1", "vm-2"])
    assert the(cloud, vip_id)["AssociatedResources"] == [
        {"ResourceID": "vm-1", "ResourceName": "node1"},
        {"ResourceID": "vm-2", "ResourceName": "node2"},
    ]
    assert permitted(api) == {"node1 eth0": ["10.0.0.200"], "node2 eth0": ["10.0.0.200"]}
    cloud.release_vip(vip_id)
    assert cloud.describe_vips() == []
    assert permitted(api) == {}


def test_an_external_one_is_on_the_external_interfaces(api: Local, cloud: UCloudStack) -> None:
    """A VM without such an interface may be bound all the same; nothing comes of it."""
    vip_id = cloud.allocate_vip({**WAN, "IP": "192.168.177.204", "Quantity": 3})
    cloud.update_vip_bind_resource(vip_id, "VM", ["vm-1", "vm-2", "vm-4"])
    vip = the(cloud, vip_id)
    assert (vip["SegmentID"], vip["SegmentNetwork"], vip["Bandwidth"], vip["ChargeType"]) == (
        "segment-1",
        "192.168.177.0/24",
        10,
        "Month",
    )
    assert "SubnetID" not in vip
    assert permitted(api) == {"node1 eth1": ["192.168.177.204"], "node2 eth1": ["192.168.177.204"]}


@pytest.mark.parametrize(
    ("parameters", "name", "interface"), [(LAN, "nic-3", "node3 eth1"), (WAN, "nic-1", "node1 eth1")]
)
def test_elastic_nics(api: Local, cloud: UCloudStack, parameters: dict[str, Any], name: str, interface: str) -> None:
    vip_id = cloud.allocate_vip(parameters)
    cloud.update_vip_bind_resource(vip_id, "ELASTIC_NIC", [name])
    vip = the(cloud, vip_id)
    assert (vip["AssociatedResourceType"], bound(cloud, vip_id)) == ("ELASTIC_NIC", [name])
    assert permitted(api) == {interface: [vip["IP"]]}


def test_the_whole_list_is_replaced(api: Local, cloud: UCloudStack) -> None:
    vip_id = cloud.allocate_vip(LAN)
    for wanted in (["vm-1", "vm-2"], ["vm-2", "vm-3"], ["vm-3"], []):
        cloud.update_vip_bind_resource(vip_id, "VM", wanted)
        assert bound(cloud, vip_id) == wanted
    assert permitted(api) == {}


def test_of_two_writers_the_second_one_wins(cloud: UCloudStack) -> None:
    """The API compares nothing: whoever wrote what he had read before takes away what came in between."""
    vip_id = cloud.allocate_vip(LAN)
    seen = bound(cloud, vip_id)
    cloud.update_vip_bind_resource(vip_id, "VM", ["vm-1"])
    cloud.update_vip_bind_resource(vip_id, "VM", [*seen, "vm-2"])
    assert bound(cloud, vip_id) == ["vm-2"]


def test_rename(cloud: UCloudStack) -> None:
    vip_id = cloud.allocate_vip({**LAN, "Name": "n" * 128, "Remark": "first"})
    cloud.modify_name_and_remark(vip_id, "主备_1", None)
    assert (the(cloud, vip_id)["Name"], the(cloud, vip_id)["Remark"]) == ("主备_1", "first")
    cloud.modify_name_and_remark(vip_id, "web", "二 & 2")
    assert (the(cloud, vip_id)["Name"], the(cloud, vip_id)["Remark"]) == ("web", "二 & 2")
    cloud.modify_name_and_remark(vip_id, "web", "")
    assert the(cloud, vip_id)["Remark"] == ""


def test_a_remark_that_is_not_sent_is_gone_here(api: Local, cloud: UCloudStack) -> None:
    """It is not known what the real API does: this is the harder of both."""
    vip_id = cloud.allocate_vip({**LAN, "Remark": "first"})
    assert post(api, form("ModifyNameAndRemark", ResourceID=vip_id, Name="web"))["RetCode"] == 0
    assert the(cloud, vip_id)["Remark"] == ""


def test_an_address_is_free_or_refused(cloud: UCloudStack) -> None:
    """Not that of a gateway, a VM, a NIC, or another virtual IP."""
    first, second = (the(cloud, cloud.allocate_vip(LAN))["IP"] for _each in range(2))
    assert (first, second) == ("10.0.0.2", "10.0.0.3")
    for address in (first, "10.0.0.1", "10.0.0.11", "10.0.0.23"):
        with pytest.raises(AlreadyExists, match=address):
            cloud.allocate_vip({**LAN, "IP": address})
    assert the(cloud, cloud.allocate_vip({**LAN, "SubnetID": "subnet-b"}))["IP"] == "10.0.1.2"
    assert the(cloud, cloud.allocate_vip({**LAN, "VPCID": "vpc-2", "SubnetID": "subnet-c"}))["IP"] == "10.8.0.2"
    with pytest.raises(Quota, match="RetCode 3011"):
        cloud.allocate_vip({**LAN, "VPCID": "vpc-2", "SubnetID": "subnet-c"})


@pytest.mark.parametrize(
    ("base", "change", "kind", "words"),
    [
        (LAN, {"Name": ""}, Invalid, "RetCode 3: .*Name"),
        (LAN, {"Name": "a b"}, Invalid, "RetCode 4: .*Name"),
        (LAN, {"Name": "n" * 129}, Invalid, "1 to 128"),
        (LAN, {"Remark": "r" * 101}, Invalid, "Remark"),
        (LAN, {"Remark": "<script>"}, Invalid, "Remark"),
        (LAN, {"VIPType": "lan"}, Invalid, "VIPType"),
        (LAN, {"IPVersion": "IPv6"}, Invalid, "IPVersion"),
        (LAN, {"VPCID": "vpc-9"}, NotFound, "vpc-9"),
        (LAN, {"SubnetID": "subnet-9"}, NotFound, "subnet-9"),
        (LAN, {"SubnetID": None}, Invalid, "SubnetID"),
        (LAN, {"VPCID": "vpc-2"}, Invalid, "subnet-a is not in vpc-2"),
        (LAN, {"IP": "10.0.0"}, Invalid, "IP 10.0.0"),
        (LAN, {"IP": "10.0.1.9"}, Invalid, "RetCode 8006"),
        (LAN, {"IP": "10.0.0.255"}, Invalid, "RetCode 8006"),
        (LAN, {"IP": "fd00::1"}, Invalid, "RetCode 8006"),
        (LAN, {"ProjectID": "org-9"}, NotFound, "org-9"),
        (LAN, {"Quantity": "many"}, Invalid, "Quantity"),
        (WAN, {"SegmentID": None}, Invalid, "SegmentID"),
        (WAN, {"SegmentID": "segment-9"}, NotFound, "segment-9"),
        (WAN, {"Bandwidth": None, "ChargeType": None}, Invalid, "Bandwidth, ChargeType"),
        (WAN, {"Bandwidth": 20001}, Invalid, "RetCode 8000"),
        (WAN, {"ChargeType": "Weekly"}, Invalid, "Weekly"),
        (WAN, {"SubnetID": "subnet-a"}, Invalid, "SubnetID"),
        (WAN, {"IP": "192.168.177.1"}, AlreadyExists, "192.168.177.1"),
        (LAN, {"AssociatedResourceIDs": ["vm-5"]}, Invalid, "another subnet"),
    ],
)
def test_what_cannot_be_made(
    cloud: UCloudStack, base: dict[str, Any], change: dict[str, Any], kind: type[CloudError], words: str
) -> None:
    with pytest.raises(CloudError, match=words) as caught:
        cloud.allocate_vip({**base, **change})
    assert caught.type is kind
    assert cloud.describe_vips() == []


@pytest.mark.parametrize(
    ("base", "resource_type", "resources", "kind", "words"),
    [
        (LAN, "VM", ["vm-9"], NotFound, "vm-9"),
        (LAN, "VM", ["vm-1", "vm-1"], Invalid, "twice"),
        (LAN, "VM", ["vm-1", "vm-5"], Invalid, "vm-5 is in another subnet"),
        (LAN, "VM", ["vm-1", "vm-2", "vm-3", "vm-4"], Quota, "a VIP has at most 3"),
        (LAN, "ELASTIC_NIC", ["nic-9"], NotFound, "nic-9"),
        (LAN, "ELASTIC_NIC", ["nic-1"], Invalid, "nic-1 is in another network"),
        (LAN, "LB", ["lb-1"], Invalid, "AssociatedResourceType LB"),
        (WAN, "VM", ["vm-6"], Invalid, "vm-6 is in another VPC"),
        (WAN, "VM", ["vm-7"], Invalid, "vm-7 has an EIP of NAT mode"),
        (WAN, "ELASTIC_NIC", ["nic-3"], Invalid, "nic-3 is in another network"),
    ],
)
def test_what_cannot_be_bound(
    cloud: UCloudStack,
    base: dict[str, Any],
    resource_type: str,
    resources: list[str],
    kind: type[CloudError],
    words: str,
) -> None:
    vip_id = cloud.allocate_vip(base)
    cloud.update_vip_bind_resource(vip_id, "VM", ["vm-2"])
    with pytest.raises(CloudError, match=words) as caught:
        cloud.update_vip_bind_resource(vip_id, resource_type, resources)
    assert caught.type is kind
    assert bound(cloud, vip_id) == ["vm-2"]


def test_a_vm_has_five_at_most(cloud: UCloudStack) -> None:
    """Those of its NICs count."""
    vips = [cloud.allocate_vip(LAN) for _each in range(6)]
    for vip_id in vips[:4]:
        cloud.update_vip_bind_resource(vip_id, "VM", ["vm-3"])
    cloud.update_vip_bind_resource(vips[4], "ELASTIC_NIC", ["nic-3"])
    with pytest.raises(Quota, match="vm-3 has 5 VIPs"):
        cloud.update_vip_bind_resource(vips[5], "VM", ["vm-1", "vm-3"])
    cloud.update_vip_bind_resource(vips[0], "VM", ["vm-3", "vm-1"])
    cloud.release_vip(vips[0])
    cloud.update_vip_bind_resource(vips[5], "VM", ["vm-1", "vm-3"])


def test_limits_are_the_clouds() -> None:
    with local(dataclasses.replace(WORLD, vms_per_vip=1)) as api:
        cloud = client(api)
        vip_id = cloud.allocate_vip(LAN)
        with pytest.raises(Quota, match="at most 1"):
            cloud.update_vip_bind_resource(vip_id, "VM", ["vm-1", "vm-2"])


@pytest.mark.parametrize(
    "change",
    [
        lambda cloud: cloud.update_vip_bind_resource("vip-9", "VM", []),
        lambda cloud: cloud.modify_name_and_remark("vip-9", "web", ""),
        lambda cloud: cloud.modify_name_and_remark("vip-9", "web", None),
        lambda cloud: cloud.release_vip("vip-9"),
    ],
)
def test_what_is_not_there(cloud: UCloudStack, change: Callable[[UCloudStack], None]) -> None:
    with pytest.raises(NotFound, match="vip-9"):
        change(cloud)


# --- states


def test_while_it_is_made(api: Local, cloud: UCloudStack) -> None:
    fail(api, "AllocateVIP", kind="never-ends")
    vip_id = cloud.allocate_vip({**LAN, "AssociatedResourceIDs": ["vm-1"]})
    assert (the(cloud, vip_id)["Status"], bound(cloud, vip_id)) == ("Allocating", [])
    with pytest.raises(Stale, match="is Allocating"):
        cloud.update_vip_bind_resource(vip_id, "VM", ["vm-1"])
    with pytest.raises(Stale, match="is Allocating"):
        cloud.release_vip(vip_id)
    cloud.modify_name_and_remark(vip_id, "renamed", None)
    with pytest.raises(AlreadyExists):
        cloud.allocate_vip({**LAN, "IP": the(cloud, vip_id)["IP"]})
    behave(api, faults=[])
    assert (the(cloud, vip_id)["Status"], bound(cloud, vip_id)) == ("Available", ["vm-1"])
    assert the(cloud, vip_id)["Name"] == "renamed"


def test_one_that_failed_can_only_be_renamed_and_released(api: Local, cloud: UCloudStack) -> None:
    fail(api, "AllocateVIP", kind="error-in-operation", times=1)
    vip_id = cloud.allocate_vip({**LAN, "AssociatedResourceIDs": ["vm-1"]})
    vip = the(cloud, vip_id)
    assert (vip["Status"], vip["Reason"], bound(cloud, vip_id)) == ("Failed", "told to fail", [])
    with pytest.raises(Stale, match="is Failed"):
        cloud.update_vip_bind_resource(vip_id, "VM", ["vm-1"])
    cloud.modify_name_and_remark(vip_id, "broken", None)
    cloud.release_vip(vip_id)
    assert cloud.describe_vips() == []


def test_while_it_is_bound_and_released(api: Local, cloud: UCloudStack) -> None:
    """The old list is in force until the new one is."""
    vip_id = cloud.allocate_vip({**LAN, "AssociatedResourceIDs": ["vm-1"], "IP": "10.0.0.200"})
    fail(api, "(UpdateVIPBindResource|ReleaseVIP)", kind="never-ends")
    cloud.update_vip_bind_resource(vip_id, "VM", ["vm-2"])
    assert (the(cloud, vip_id)["Status"], bound(cloud, vip_id)) == ("Updating", ["vm-1"])
    assert permitted(api) == {"node1 eth0": ["10.0.0.200"]}
    with pytest.raises(Stale, match="is Updating"):
        cloud.release_vip(vip_id)
    behave(api, faults=[])
    assert bound(cloud, vip_id) == ["vm-2"]
    fail(api, "ReleaseVIP", kind="never-ends")
    cloud.release_vip(vip_id)
    assert the(cloud, vip_id)["Status"] == "Deleting"
    cloud.modify_name_and_remark(vip_id, "going", None)
    with pytest.raises(Stale, match="is Deleting"):
        cloud.release_vip(vip_id)
    behave(api, faults=[])
    assert cloud.describe_vips() == []


@pytest.mark.parametrize("action", ["UpdateVIPBindResource", "ReleaseVIP"])
def test_a_change_that_fails_has_no_effect(api: Local, cloud: UCloudStack, action: str) -> None:
    vip_id = cloud.allocate_vip({**LAN, "AssociatedResourceIDs": ["vm-1"]})
    fail(api, action, kind="error-in-operation")
    if action == "ReleaseVIP":
        cloud.release_vip(vip_id)
    else:
        cloud.update_vip_bind_resource(vip_id, "VM", ["vm-2"])
    assert (the(cloud, vip_id)["Status"], bound(cloud, vip_id)) == ("Available", ["vm-1"])


def test_a_change_takes_its_time(api: Local, cloud: UCloudStack) -> None:
    behave(api, latency_s=0.2, propagation_s=0.2)
    began = time.monotonic()
    vip_id = cloud.allocate_vip({**LAN, "AssociatedResourceIDs": ["vm-1"]})
    until(lambda: the(cloud, vip_id)["Status"] == "Available")
    assert time.monotonic() - began >= 0.2
    until(lambda: permitted(api) == {"node1 eth0": [the(cloud, vip_id)["IP"]]})
    assert time.monotonic() - began >= 0.4


def test_one_that_is_available_may_not_say_so(api: Local, cloud: UCloudStack) -> None:
    cloud.allocate_vip(LAN)
    behave(api, says_available=False)
    (said,) = post(api, form("DescribeVIP"))["Infos"]
    assert "Status" not in said
    assert [each["Status"] for each in cloud.describe_vips()] == ["Available"]


# --- what else there is


def test_machines(cloud: UCloudStack) -> None:
    vip_id = cloud.allocate_vip({**LAN, "AssociatedResourceIDs": ["vm-1"]})
    machines = {each["VMID"]: each for each in cloud.describe_vms()}
    assert sorted(machines) == [f"vm-{number}" for number in range(1, 8)]
    first = machines["vm-1"]
    assert (first["Name"], first["State"], first["VPCID"], first["SubnetID"]) == (
        "node1",
        "Running",
        "vpc-1",
        "subnet-a",
    )
    assert [(each["IP"], each["NicType"], each["IsElastic"], each["IsVIP"]) for each in first["IPInfos"]] == [
        ("10.0.0.11", "LAN", "N", "N"),
        ("192.168.177.21", "WAN", "Y", "N"),
        (the(cloud, vip_id)["IP"], "LAN", "N", "Y"),
    ]


def test_elastic_nics_of_machines(cloud: UCloudStack) -> None:
    nics = {each["NICID"]: each for each in cloud.describe_nics()}
    assert {name: (each["NICType"], each["BindResourceID"], each["IP"]) for name, each in nics.items()} == {
        "nic-1": ("WAN", "vm-1", "192.168.177.21"),
        "nic-2": ("WAN", "vm-2", "192.168.177.22"),
        "nic-3": ("LAN", "vm-3", "10.0.0.23"),
    }
    assert (nics["nic-1"]["SegmentID"], nics["nic-3"]["SubnetID"]) == ("segment-1", "subnet-a")


def test_subnets(cloud: UCloudStack) -> None:
    assert {each["SubnetID"]: each["Network"] for each in cloud.describe_subnets("vpc-1")} == {
        "subnet-a": "10.0.0.0/24",
        "subnet-b": "10.0.1.0/24",
    }
    with pytest.raises(NotFound, match="vpc-9"):
        cloud.describe_subnets("vpc-9")


def test_lists_have_pages(api: Local, cloud: UCloudStack) -> None:
    made = [cloud.allocate_vip(LAN) for _each in range(101)]
    assert [each["VIPID"] for each in cloud.describe_vips()] == made
    assert asked(api)[-2:] == ["DescribeVIP", "DescribeVIP"]
    page = post(api, form("DescribeVIP", Offset=90))
    assert ([each["VIPID"] for each in page["Infos"]], page["TotalCount"]) == (made[90:], 101)
    assert len(post(api, form("DescribeVIP"))["Infos"]) == 20
    assert len(post(api, form("DescribeVIP", Limit=1000))["Infos"]) == 100


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({}, ["web", "Shop", "out"]),
        ({"VIPType": "WAN"}, ["out"]),
        ({"Keyword": "shop"}, ["Shop"]),
        ({"Keyword": "10.0.0.2"}, ["web"]),
        ({"Status.0": "Failed", "Status.1": "Deleting"}, ["Shop"]),
        ({"ProjectIDs.0": "org-1"}, ["web", "Shop", "out"]),
        ({"ProjectIDs.0": "org-2"}, []),
        ({"VIPIDs.0": "vip-9"}, []),
    ],
)
def test_filters_of_the_list(api: Local, cloud: UCloudStack, filters: dict[str, str], found: list[str]) -> None:
    cloud.allocate_vip(LAN)
    fail(api, "AllocateVIP", kind="error-in-operation", times=1)
    cloud.allocate_vip({**LAN, "Name": "Shop"})
    cloud.allocate_vip(WAN)
    assert [each["Name"] for each in post(api, form("DescribeVIP", **filters))["Infos"]] == found


def test_a_project_and_its_resources(api: Local) -> None:
    mine, other = client(api, project_id="org-1"), client(api, project_id="org-2")
    mine.allocate_vip(LAN)
    assert (len(mine.describe_vips()), len(mine.describe_vms())) == (1, 7)
    assert (other.describe_vips(), other.describe_vms(), other.describe_nics()) == ([], [], [])
    with pytest.raises(NotFound, match="org-2"):
        other.allocate_vip(LAN)


# --- who asks, and how


def form(action: str, key: Key = OWNER, **more: Any) -> dict[str, str]:
    """A signed form."""
    fields = {"Action": action, "Region": "cn", "PublicKey": key.public, **{k: str(v) for k, v in more.items()}}
    return {**fields, "Signature": signature(fields, key.private)}


def post(api: Local, fields: dict[str, str]) -> dict[str, Any]:
    request = urllib.request.Request(api.endpoint, urlencode(fields).encode(), method="POST")
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.loads(answer.read())


def test_the_emulator_signs_as_the_vendor_does() -> None:
    """With code of its own: the client's is held to the same vectors elsewhere."""
    fields = {
        "Action": "DescribeVMInstance",
        "Offset": "0",
        "Limit": "20",
        "PublicKey": "1UxDcqTHEGGGviQFqlt870EbLuaSJPZOB8hZ74tL",
        "Signature": "of no account",
    }
    private = "tcgX3Xi_mAKpQayggnVLWzerkWB_fH1KXuk05hUrus8KSziLVyjWXwKZ80FOOldC"
    assert signature(fields, private) == "2d86e5b4186ac6e42b628f258a7037c7636c9a81"
    batch = {"Action": "AllocateBackendBatch", "PublicKey": "ucloudsomeone@example.com1296235120854146120"}
    batch |= {f"Backends.{number}": ("foo", "bar", "42")[number % 3] for number in range(12)}
    assert signature(batch, "46f09bb9fab4f12dfc160dae12273d5332b5debe") == "6bc32642779f8cb0bb3d3f128b1c0688abf9a1a3"


def test_three_ways_to_ask(api: Local) -> None:
    """The manual has a form, an object and a query; numbers of an object are signed as they are written."""
    fields = form("DescribeVMInstance", Limit=2)
    assert [each["VMID"] for each in post(api, fields)["Infos"]] == ["vm-1", "vm-2"]
    with urllib.request.urlopen(f"{api.endpoint}?{urlencode(fields)}", timeout=10) as answer:
        assert len(json.loads(answer.read())["Infos"]) == 2
    signed = form("DescribeVMInstance", Limit=2, **{"VMIDs.0": "vm-3", "VMIDs.1": "vm-4"})
    body = {key: value for key, value in signed.items() if not key.startswith("VMIDs")}
    text = json.dumps({**body, "Limit": 2, "VMIDs": ["vm-3", "vm-4"]}).encode()
    request = urllib.request.Request(api.endpoint, text, {"Content-Type": "application/json"}, method="POST")
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert [each["VMID"] for each in json.loads(answer.read())["Infos"]] == ["vm-3", "vm-4"]


def without(fields: dict[str, str], *names: str) -> dict[str, str]:
    return {key: value for key, value in fields.items() if key not in names}


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        (without(form("DescribeVIP"), "Action"), 101),
        (without(form("DescribeVIP"), "PublicKey"), 103),
        (without(form("DescribeVIP"), "Signature"), 104),
        ({**form("DescribeVIP"), "Region": "elsewhere"}, 109),
        ({**form("DescribeVIP"), "PublicKey": "nobody"}, 109),
        ({**form("DescribeVIP"), "Limit": "20"}, 109),
        ({**form("DescribeVIP"), "Signature": form("DescribeVIP", READER)["Signature"]}, 109),
        (form("DescribeVIP", Region=""), 102),
        (form("DescribeVIP", Region="elsewhere"), 12000),
        (form("DescribeVIP", CompanyID=1), 27001),
        (form("DescribeVIP", VipID="vip-1"), 113),
        (form("DescribeVIP", Limit="all"), 4),
        (form("DescribeVIP", **{"VIPIDs.1": "vip-1"}), 4),
        (form("CreateVIP"), 110),
        (form("ReleaseVIP"), 3),
        (form("ReleaseVIP", READER, VIPID="vip-1"), 114),
        (form("UpdateVIPBindResource", VIPID="vip-1"), 3),
    ],
)
def test_requests_that_are_refused(api: Local, fields: dict[str, str], code: int) -> None:
    answer = post(api, fields)
    assert answer["RetCode"] == code
    assert answer["Message"]
    assert answer["Action"] == f"{fields.get('Action', '')}Response"


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"key": dataclasses.replace(OWNER, private="wrong")}, "RetCode 109"),
        ({"key": dataclasses.replace(OWNER, public="wrong")}, "RetCode 109"),
        ({"key": READER}, "RetCode 114"),
    ],
)
def test_who_may_not(api: Local, keys: dict[str, Any], words: str) -> None:
    with pytest.raises(Denied, match=words):
        client(api, **keys).release_vip("vip-1")


def test_another_path_is_not_the_api(api: Local) -> None:
    made = client(api)
    made.endpoint = api.endpoint + "s"
    with pytest.raises(Invalid, match="status 404"):
        made.describe_vips()


# --- what goes wrong


def test_refused_for_a_while(api: Local, cloud: UCloudStack) -> None:
    fail(api, "DescribeVIP", kind="status", status=503, retry_after=2, times=1)
    with pytest.raises(Unavailable, match="status 503") as caught:
        cloud.describe_vips()
    assert caught.value.retry_after == 2
    assert cloud.describe_vips() == []
    fail(api, "DescribeVIP", kind="status", for_s=600)
    with pytest.raises(Unavailable):
        cloud.describe_vips()
    assert cloud.describe_vms()
    fail(api, "DescribeVIP", kind="status", for_s=0.1)
    until(lambda: api.admin("GET", "/behaviour")["faults"] == [])
    assert cloud.describe_vips() == []


def test_refused_with_a_retcode(api: Local, cloud: UCloudStack) -> None:
    fail(api, "ReleaseVIP", kind="status", reason="165", message="操作过于频繁请稍后再试", times=1)
    with pytest.raises(Unavailable, match="RetCode 165: 操作过于频繁请稍后再试"):
        cloud.release_vip("vip-1")
    with pytest.raises(ValueError, match="RetCode"):
        fail(api, "ReleaseVIP", kind="status", reason="busy")


def test_only_who_is_meant(api: Local, cloud: UCloudStack) -> None:
    behave(api, faults=[{"kind": "status", "match": {"caller": "reader"}}])
    assert cloud.describe_vips() == []
    with pytest.raises(Unavailable):
        client(api, READER).describe_vips()


@pytest.mark.parametrize(("kind", "there"), [("lose-before", 0), ("lose-after", 1)])
def test_a_connection_that_is_lost(api: Local, cloud: UCloudStack, kind: str, there: int) -> None:
    """The client does not know, and does not ask twice."""
    fail(api, "AllocateVIP", kind=kind)
    with pytest.raises(Lost, match="allocate VIP web"):
        cloud.allocate_vip(LAN)
    assert len(cloud.describe_vips()) == there
    log = api.admin("GET", "/log")
    assert [(entry["name"], entry["status"], entry["code"]) for entry in log] == [
        ("AllocateVIP", 0, None),
        ("DescribeVIP", 200, 0),
    ]


def test_slow(api: Local, cloud: UCloudStack) -> None:
    """A list is answered later than the client waits; a change is accepted at once."""
    behave(api, faults=[{"kind": "slow", "seconds": 600}])
    vip_id = cloud.allocate_vip(LAN)
    assert [(each["id"], each["status"]) for each in api.admin("GET", "/state")["vips"]] == [(vip_id, "Allocating")]
    cloud.timeout = 0.2
    with pytest.raises(Lost, match="no answer in time"):
        cloud.describe_vips()


def test_the_log_says_who_asked_what(api: Local, cloud: UCloudStack) -> None:
    seen: list[str] = []
    api.hooks.append(lambda moment, entry: seen.append(f"{moment} {entry['name']}"))
    cloud.describe_vips()
    with pytest.raises(Denied):
        client(api, READER).release_vip("vip-1")
    entries = api.admin("GET", "/log")
    assert [(each["caller"], each["name"], each["mutation"], each["code"]) for each in entries] == [
        ("owner", "DescribeVIP", False, 0),
        ("reader", "ReleaseVIP", True, 114),
    ]
    assert all(each["mono_ns"] <= each["end_mono_ns"] and each["method"] == "POST" for each in entries)
    assert not [each for each in entries if OWNER.private in str(each)]
    assert seen == ["before ", "after DescribeVIP", "before ", "after ReleaseVIP"]
    api.admin("DELETE", "/log")
    assert api.admin("GET", "/log") == []


def test_it_serves_and_is_told_on_a_socket(tmp_path: Path) -> None:
    """As in a lab."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    plane, admin = MemoryPlane(), tmp_path / "api.sock"
    arguments = {"api": ("127.0.0.1", port), "admin": admin}
    threading.Thread(target=serve, args=(WORLD, plane), kwargs=arguments, daemon=True).start()
    until(admin.exists)
    assert plane.permitted["node1", "eth1"] == ("192.168.177.21",)
    told = tell(admin, "PATCH", "/behaviour", {"latency_s": 0, "propagation_s": 0})
    assert (told["latency_s"], told["faults"]) == (0, [])
    endpoint = f"http://127.0.0.1:{port}/api"
    cloud = UCloudStack(
        StdlibSession(endpoint), OWNER.public, OWNER.private, endpoint=endpoint, region="cn", company_id=WORLD.company
    )
    vip_id = cloud.allocate_vip({**LAN, "AssociatedResourceIDs": ["vm-1"]})
    assert plane.permitted["node1", "eth0"] == ("10.0.0.11", "10.0.0.2")
    state = tell(admin, "GET", "/state")
    assert ([each["id"] for each in state["vips"]], state["violations"]) == ([vip_id], [])
    assert [entry["name"] for entry in tell(admin, "GET", "/log")] == ["AllocateVIP"]
    assert "there is no GET /nothing" in tell(admin, "GET", "/nothing")["error"]
    assert "the behaviour has no speed" in tell(admin, "PATCH", "/behaviour", {"speed": 1})["error"]


def tell(path: Path, verb: str, what: str, body: object = None) -> Any:
    connection = HTTPConnection("lab", timeout=10)
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(str(path))
    connection.request(verb, what, None if body is None else json.dumps(body))
    with connection.getresponse() as answer:
        return json.loads(answer.read())


# --- the procedure, over this client


class Killed(BaseException):
    """The run is no more."""


class Mortal:
    """A session that kills its run at a request: before it, or after it was answered."""

    def __init__(self, api: Local, at: int = 0, moment: str = "") -> None:
        self.requests = 0
        self._session = StdlibSession(api.endpoint)
        self._at, self._moment = at, moment

    def request(self, *arguments: Any, **keys: Any) -> Response:
        self.requests += 1
        if (self.requests, "before") == (self._at, self._moment):
            raise Killed
        answer = self._session.request(*arguments, **keys)
        if (self.requests, "after") == (self._at, self._moment):
            raise Killed
        return answer


def run(api: Local, goal: Goal, session: Any = None) -> engine.Outcome:
    session = session or StdlibSession(api.endpoint)
    keys = {"endpoint": api.endpoint, "region": "cn", "company_id": WORLD.company}
    cloud = UCloudStack(session, OWNER.public, OWNER.private, **keys)
    return engine.apply(havip_ucloudstack.UCloudStack(), cloud, goal, timeout=60, sleep=lambda seconds: None)


def wanted(**more: Any) -> Goal:
    given = {"network": "vpc-1", "subnet": "subnet-a", "name": "web", "remark": "new", "members": ["node1", "vm-2"]}
    return Goal(**{**given, "limits": (3, 5), "settle": 0.0, **more})


def scene(api: Local, goal: Goal) -> None:
    """Something to change: another remark, and somebody who is bound."""
    client(api).allocate_vip({**LAN, "Remark": "old", "AssociatedResourceIDs": ["vm-3"]})


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize(
    ("goal", "prepare", "members"),
    [
        (wanted(), None, ["vm-1", "vm-2"]),
        (wanted(), scene, ["vm-1", "vm-2", "vm-3"]),
        (wanted(exclusive=True), scene, ["vm-1", "vm-2"]),
        (wanted(present=False), scene, None),
        (
            Goal(
                name="out",
                network="vpc-1",
                kind="external",
                members=["node1"],
                settle=0.0,
                creation={"SegmentID": "segment-1", "Bandwidth": 10, "ChargeType": "Month"},
            ),
            None,
            ["vm-1"],
        ),
    ],
    ids=["create", "add", "exclusive", "delete", "external"],
)
def test_killed_at_any_request_and_run_again(
    goal: Goal, prepare: Callable[..., None] | None, members: list[str] | None, moment: str
) -> None:
    at = 0
    finished = False
    while not finished:
        at += 1
        with local(WORLD) as api:
            if prepare:
                prepare(api, goal)
            try:
                run(api, goal, Mortal(api, at, moment))
                finished = True
            except Killed:
                run(api, goal)
            vips = client(api).describe_vips()
            assert [sorted(one["ResourceID"] for one in each["AssociatedResources"]) for each in vips] == (
                [] if members is None else [members]
            )
            assert not run(api, goal).changed
            assert api.violations == []
    assert at > 4


def test_what_another_one_wrote_meanwhile_is_mended(api: Local, cloud: UCloudStack) -> None:
    """His list was older than ours, so it takes our members away; ours is looked at until it stays."""
    vip_id = cloud.allocate_vip(LAN)
    seen = bound(cloud, vip_id)
    wrote: list[str] = []

    def meddle(moment: str, entry: dict[str, Any]) -> None:
        if (moment, entry["name"], wrote) == ("after", "UpdateVIPBindResource", []):
            wrote.append("vm-3")
            client(api).update_vip_bind_resource(vip_id, "VM", [*seen, "vm-3"])

    api.hooks.append(meddle)
    outcome = run(api, wanted())
    assert sorted(bound(cloud, vip_id)) == ["vm-1", "vm-2", "vm-3"]
    assert [step.name for step in outcome.steps].count(havip_steps.MEMBERS) == 2


@pytest.mark.parametrize("kind", ["lose-before", "lose-after"])
@pytest.mark.parametrize("action", ["AllocateVIP", "UpdateVIPBindResource", "ModifyNameAndRemark", "DescribeVIP"])
def test_lost_connections_make_nothing_twice(api: Local, cloud: UCloudStack, action: str, kind: str) -> None:
    if action == "ModifyNameAndRemark":
        cloud.allocate_vip({**LAN, "Remark": "old"})
    fail(api, action, kind=kind, times=2)
    run(api, wanted())
    assert (action, 0) in [(entry["name"], entry["status"]) for entry in api.admin("GET", "/log")]
    (vip,) = cloud.describe_vips()
    assert (vip["Remark"], [each["ResourceID"] for each in vip["AssociatedResources"]]) == ("new", ["vm-1", "vm-2"])


def test_it_waits_while_the_cloud_is_at_work(api: Local, cloud: UCloudStack) -> None:
    behave(api, latency_s=0.05)
    run(api, wanted())
    (vip,) = cloud.describe_vips()
    assert (vip["Status"], [each["ResourceID"] for each in vip["AssociatedResources"]]) == (
        "Available",
        ["vm-1", "vm-2"],
    )
    run(api, wanted(present=False))
    assert cloud.describe_vips() == []


# --- the vendor's own client


def vendors(api: Local, kind: type[Client] = Client, **more: Any) -> Any:
    keys = {"public_key": OWNER.public, "private_key": OWNER.private}
    return kind({**keys, "region": "cn", "base_url": api.endpoint, **more})


def test_the_vendors_generic_call(api: Local, cloud: UCloudStack) -> None:
    sdk = vendors(api, project_id="org-1")
    company = {"CompanyID": WORLD.company}
    made = sdk.invoke("AllocateVIP", {**LAN, **company, "Quantity": 1, "AssociatedResourceIDs": ["vm-1"]})
    assert (made["RetCode"], made["Action"]) == (0, "AllocateVIPResponse")
    vip = {"VIPID": made["VIPID"]}
    sdk.invoke("UpdateVIPBindResource", {**vip, **company, "AssociatedResourceIDs": ["vm-2", "vm-3"]})
    sdk.invoke("ModifyNameAndRemark", {"ResourceID": made["VIPID"], "Name": "主备", "Remark": "a=b&c"})
    listed = sdk.invoke("DescribeVIP", {"VIPIDs": [made["VIPID"]], "Limit": 10, "Offset": 0})
    assert listed["TotalCount"] == 1
    assert listed["Infos"] == cloud.describe_vips()
    assert (listed["Infos"][0]["Name"], listed["Infos"][0]["Remark"]) == ("主备", "a=b&c")
    assert bound(cloud, made["VIPID"]) == ["vm-2", "vm-3"]
    sdk.invoke("UpdateVIPBindResource", {**vip, **company, "AssociatedResourceIDs": []})
    assert bound(cloud, made["VIPID"]) == []
    sdk.invoke("ReleaseVIP", vip)
    assert cloud.describe_vips() == []


def test_the_vendors_client_reads_our_refusals(api: Local) -> None:
    with pytest.raises(exc.RetCodeException) as refused:
        vendors(api).invoke("ReleaseVIP", {"VIPID": "vip-9"})
    assert (refused.value.code, refused.value.message) == (200, "资源不存在: vip-9")
    with pytest.raises(exc.RetCodeException) as denied:
        vendors(api, private_key="wrong").invoke("DescribeVIP", {})
    assert denied.value.code == 109
    fail(api, "DescribeVIP", kind="status", status=403)
    with pytest.raises(exc.HTTPStatusException):
        vendors(api).invoke("DescribeVIP", {})


def test_the_vendors_typed_calls(api: Local, cloud: UCloudStack) -> None:
    """Of those that the emulator has: the vendor's package has none for virtual IPs."""
    sdk = vendors(api, UCloudStackClient)
    place = {"Region": "cn", "Zone": "cn-1"}
    assert [each["VMID"] for each in sdk.describe_vm_instance(place)["Infos"]] == [f"vm-{n}" for n in range(1, 8)]
    assert [each["NICID"] for each in sdk.describe_nic(place)["Infos"]] == ["nic-1", "nic-2", "nic-3"]
    (vpc,) = sdk.describe_vpc({**place, "VPCIDs": ["vpc-1"]})["Infos"]
    assert [each["SubnetID"] for each in vpc["SubnetInfos"]] == ["subnet-a", "subnet-b"]
    vip_id = cloud.allocate_vip(LAN)
    sdk.modify_name_and_remark({**place, "ResourceID": vip_id, "Name": "shop", "Remark": "of the vendor"})
    assert the(cloud, vip_id)["Remark"] == "of the vendor"

# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The modules for virtual IPs, as processes of their own, against real Neutron, the lab's Huawei Cloud in front of it,
and the lab's UCloudStack.
"""

from __future__ import annotations

import json
import os
import signal
import threading

import pytest

from ansible_collections.cloudha.vip.tests.contract.forked import Module
from ansible_collections.cloudha.vip.tests.contract.proxy import Proxy
from lab.openstack.world import Network, Server, World
from lab.ucloudstack import world as ucloud
from lab.ucloudstack.server import local

X, Y = "10.0.0.100", "10.0.0.101"
WORLD = World(
    networks=(Network("web", "10.0.0.0/24"), Network("back", "10.0.1.0/24"), Network("out", "203.0.113.0/24", True)),
    servers=(
        *(Server(f"node{n}", "web", f"10.0.0.1{n}") for n in (1, 2, 3)),
        Server("bare", "web", "10.0.0.19", port_security=False),
        Server("far", "back", "10.0.1.11"),
    ),
    floating=("203.0.113.7", "203.0.113.8"),
)
OWNER = ucloud.Key("owner", "public-owner", "private-owner")
STACK = ucloud.World(
    region="cn",
    company=200000001,
    project="org-1",
    keys=(OWNER,),
    vpcs=(ucloud.Vpc("vpc-1", "prod", "10.0.0.0/16"),),
    subnets=(
        ucloud.Subnet("subnet-a", "web", "vpc-1", "10.0.0.0/24"),
        ucloud.Subnet("subnet-b", "data", "vpc-1", "10.0.1.0/24"),
    ),
    segments=(ucloud.Segment("segment-1", "bgp", "192.168.177.0/24", "192.168.177.1"),),
    vms=(
        *(ucloud.Vm(f"vm-{n}", f"node{n}", "subnet-a", f"10.0.0.1{n}", f"52:54:00:00:00:0{n}") for n in range(1, 9)),
        ucloud.Vm("vm-9", "far", "subnet-b", "10.0.1.11", "52:54:00:00:00:09"),
    ),
)
SECRET = "not-the-password"


class Site:
    """An API, what is behind it, and the modules in front. hook(number, moment): see Proxy."""

    options: dict
    secrets: tuple[str, ...]

    def __init__(self):
        self.hook = lambda number, moment: None

    def start(self, module="havip_bind", **options):
        settle = {"settle": 0.5} if module == "havip_bind" else {}
        arguments = {**self.options, **settle, **options}
        arguments = {key: value for key, value in arguments.items() if value is not None}
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith(("OS_", "HW_", "UCLOUD_"))
        }
        return Module(module, arguments, environment)

    def result(self, process):
        out, err = process.communicate(timeout=400)
        assert out, err
        result = json.loads(out)
        assert bool(result.get("failed")) == bool(process.returncode)
        for secret in (*self.secrets, SECRET):
            assert secret not in out + err
        return result

    def bind(self, **options):
        return self.result(self.start(**options))

    def info(self, **options):
        return self.result(self.start("havip_info", **options))


class OpenStack(Site):
    def __init__(self, cloud, provider, region):
        super().__init__()
        self.cloud = cloud
        self.ids = cloud.seed(WORLD)
        auth = cloud.auth()
        self.secrets = (auth["password"],)
        self.options = {"provider": provider, "auth": auth, "region_name": region, "network": "web", "name": "web"}
        self.wrong = {"auth": {**auth, "password": SECRET}}
        self.number = 0
        cloud.front.requests.clear()
        cloud.front.hooks.append(self._hook)

    def _hook(self, moment, entry):
        if entry["mutation"]:
            self.number += moment == "before"
            self.hook(self.number, moment)

    def close(self):
        pass

    def mutations(self):
        return [(each["method"], each["path"]) for each in self.cloud.front.requests if each["mutation"]]

    def moments(self):
        """Of the last run: before and after each request that changes something, as the hook is told of it."""
        return [(number + 1, moment) for number in range(len(self.mutations())) for moment in ("before", "after")]

    def forget(self):
        self.cloud.front.requests.clear()
        self.number = 0

    def fail(self, **fault):
        self.cloud.front.fault(fault.pop("kind"), path="/ports|/publicips|/floatingips", **fault)

    def ports(self):
        """By name; a server's is called as that."""
        found = self.cloud.network.call("GET", f"/ports?project_id={self.cloud.project_id}")["ports"]
        return {each["name"]: each for each in found}

    def port(self, name):
        return self.ports()[name]

    def pairs(self, name):
        return {each["ip_address"] for each in self.port(name)["allowed_address_pairs"]}

    def vip(self, address=X):
        found = self.cloud.network.call("GET", f"/ports?fixed_ips=ip_address%3D{address}")["ports"]
        return found[0] if found else None

    def floating(self):
        found = self.cloud.network.call("GET", "/floatingips")["floatingips"]
        return {each["floating_ip_address"]: each["port_id"] for each in found}


class Generic(OpenStack):
    def __init__(self, cloud):
        super().__init__(cloud, "openstack", "RegionOne")

    def bound(self, address=X):
        return {
            name
            for name, port in self.ports().items()
            if address in [each["ip_address"] for each in port["allowed_address_pairs"]]
        }


class Huawei(OpenStack):
    def __init__(self, cloud):
        super().__init__(cloud, "huaweicloud", "lab-1")

    def bound(self, address=X):
        ports = self.ports()
        vip = next((each for each in ports.values() if each["fixed_ips"][0]["ip_address"] == address), None)
        listed = [each["ip_address"] for each in vip["allowed_address_pairs"]] if vip else []
        return {
            name
            for name, port in ports.items()
            if port["fixed_ips"][0]["ip_address"] in listed
            and "1.1.1.1/0" in [each["ip_address"] for each in port["allowed_address_pairs"]]
        }


class Stack(Site):
    def __init__(self, api):
        super().__init__()
        self.api = api
        host, _colon, port = api.endpoint.split("/")[2].partition(":")
        self.proxy = Proxy((host, int(port)))
        self.proxy.hook = self._hooked
        self.secrets = (OWNER.private,)
        self.options = {
            "provider": "ucloudstack",
            "endpoint": f"{self.proxy.url}/{api.endpoint.split('/', 3)[3]}",
            "public_key": OWNER.public,
            "private_key": OWNER.private,
            "region_name": "cn",
            "company_id": STACK.company,
            "network": "vpc-1",
            "subnet": "subnet-a",
            "name": "web",
        }
        self.wrong = {"private_key": SECRET}

    def _hooked(self, number, moment):
        """The hook of the moment: tests set another one while the proxy runs."""
        return self.hook(number, moment)

    def close(self):
        self.proxy.close()

    def mutations(self):
        return [each["name"] for each in self.api.requests if not each["name"].startswith("Describe")]

    def moments(self):
        """See OpenStack."""
        changing = [
            number for number, each in enumerate(self.api.requests, 1) if not each["name"].startswith("Describe")
        ]
        return [(number, moment) for number in changing for moment in ("before", "after")]

    def forget(self):
        self.api.requests.clear()
        self.proxy.requests.clear()

    def fail(self, **fault):
        self.api.admin("PATCH", "/behaviour", {"faults": [fault]})

    def vip(self, address=X):
        return next((vip for vip in self.api.cloud.vips.values() if vip.address == address), None)

    def bound(self, address=X):
        vip = self.vip(address)
        return {self.api.cloud.vms[each].name for each in vip.resources} if vip else set()


@pytest.fixture(params=[Generic, Huawei, Stack])
def site(request):
    if request.param is Stack:
        with local(STACK) as api:
            made = Stack(api)
            yield made
            made.close()
            assert api.violations == []
    else:
        yield request.param(request.getfixturevalue("openstack_cloud"))


@pytest.fixture
def generic(openstack_cloud):
    return Generic(openstack_cloud)


def names(result):
    return [step["name"] for step in result["steps"]]


def test_from_creation_to_deletion(site):
    preview = site.bind(address=X, members=["node1", "node2"], _ansible_check_mode=True, _ansible_diff=True)
    assert site.mutations() == [] and preview["changed"] and preview["diff"]["before"] == {}
    made = site.bind(address=X, members=["node1", "10.0.0.12"])
    assert made["changed"] and (made["address"], len(made["members"])) == (X, 2) and names(made) == names(preview)
    assert made["locking"] == ("revision" if isinstance(site, Generic) else "verify")
    assert site.bound() == {"node1", "node2"}
    site.forget()
    again = site.bind(address=X, members=["node2", "node1"])
    assert (again["changed"], again["steps"]) == (False, [])
    assert not site.bind(address=X)["changed"] and site.mutations() == []
    assert site.bind(address=X, members=["node3"])["changed"]
    assert site.bound() == {"node1", "node2", "node3"}
    renamed = site.bind(vip_id=made["vip_id"], name="new", members=["node3", "node1"], exclusive=True)
    assert renamed["changed"] and site.bound() == {"node1", "node3"}
    told = site.info(name="new")
    assert told["problems"] == [] and [each["address"] for each in told["vips"]] == [X]
    assert {each["name"] for each in told["vips"][0]["members"]} == {"node1", "node3"}
    gone = site.bind(vip_id=made["vip_id"], name=None, state="absent")
    assert gone["changed"] and names(gone)[-1] == "delete virtual IP" and site.vip() is None
    assert not site.bind(address=X, state="absent")["changed"]
    chosen = site.bind(subnet=site.options.get("subnet") or "web", members=["node1"])
    assert chosen["changed"] and site.bound(chosen["address"]) == {"node1"}
    assert site.bind(state="absent")["address"] == chosen["address"]


BAD_INPUT = [
    ((Generic, Huawei, Stack), {"members": ["node1", "nosuch"]}, ["'nosuch'"]),
    ((Generic, Huawei, Stack), {"members": ["vm-9", "10.0.1.11"]}, ["10.0.1.11"]),
    ((Generic, Huawei, Stack), {"address": "10.9.0.1"}, ["10.9.0.1 is outside"]),
    ((Generic, Huawei, Stack), {"address": "10.0.0.11"}, ["10.0.0.11 belongs to", "node1"]),
    ((Generic, Huawei, Stack), {"address": "nonsense"}, ["address: 'nonsense'"]),
    ((Generic, Huawei, Stack), {"address": "127.0.0.1"}, ["address: '127.0.0.1' is in 127.0.0.0/8"]),
    ((Generic, Huawei, Stack), {"address": "ff02::12"}, ["address: 'ff02::12' is in ff00::/8 (multicast)"]),
    ((Generic, Huawei, Stack), {"network": "nosuch"}, ["nosuch"]),
    ((Generic, Huawei, Stack), {"address": None, "name": None}, ["name: say which"]),
    ((Generic, Huawei, Stack), {"exclusive": True}, ["exclusive: give members"]),
    (
        (Generic, Huawei, Stack),
        {"members": ["node1", "node2"], "max_members": 1, "enforce_limits": True},
        ["2 members"],
    ),
    ((Generic, Huawei), {"members": ["bare"]}, ["port security is off", "bare"]),
    ((Generic, Huawei), {"external": "203.0.113.99"}, ["no external address 203.0.113.99", "203.0.113.7"]),
    ((Generic, Huawei), {"vip_type": "external"}, ["vip_type: not with provider"]),
    ((Generic, Huawei), {"region_name": "nowhere"}, ["nowhere"]),
    ((Huawei,), {"remark": "x"}, ["remark: not with provider=huaweicloud"]),
    ((Huawei,), {"source_check_off": ["nosuch"]}, ["source_check_off:", "'nosuch'"]),
    ((Huawei,), {"source_check_off": ["bare"]}, ["source_check_off: port security is off"]),
    ((Generic,), {"source_check_off": ["node3"]}, ["source_check_off: not with provider=openstack"]),
    ((Generic,), {"restore_source_check": True}, ["restore_source_check: not with provider=openstack"]),
    ((Stack,), {"members": ["node1", "node2", "node3", "node4"]}, ["4 members, and may have 3"]),
    ((Stack,), {"external": "203.0.113.7"}, ["external: not with provider=ucloudstack"]),
    ((Stack,), {"subnet": None, "vip_type": "external"}, ["segment, bandwidth, charge_type"]),
    ((Stack,), {"subnet": "subnet-a", "vip_type": "external"}, ["subnet: an external virtual IP is on a segment"]),
    ((Stack,), {"endpoint": "nonsense"}, ["endpoint: 'nonsense'"]),
    ((Stack,), {"private_key": None}, ["private_key: provider=ucloudstack needs it"]),
]


def test_bad_input(site):
    for kinds, options, words in BAD_INPUT:
        if type(site) in kinds:
            result = site.bind(**{"address": X, **options})
            assert result["failed"] and not result.get("changed"), (options, result)
            for word in words:
                assert word in result["msg"], (options, result["msg"])
    result = site.bind(address=X, **site.wrong)
    assert result["failed"] and "Check the" in result["msg"] and "nothing was changed" in result["msg"]
    assert site.mutations() == [] and site.vip() is None


def test_external_addresses(request):
    for kind in (Generic, Huawei):
        site = kind(request.getfixturevalue("openstack_cloud"))
        first = site.bind(address=X, members=["node1"], external="203.0.113.7")
        assert first["external"] == ["203.0.113.7"] and site.floating()["203.0.113.7"] == first["vip_id"]
        other = site.bind(address=Y, name="other", external="203.0.113.7")
        assert other["failed"] and f"is on port {first['vip_id']}" in other["msg"] and site.vip(Y) is None
        assert "can have only one" in site.bind(address=X, external="203.0.113.8")["msg"]
        assert site.bind(address=X, external="203.0.113.8", exclusive=True)["external"] == ["203.0.113.8"]
        assert site.info()["vips"][0]["external"] == ["203.0.113.8"]
        assert site.bind(address=X, external="")["external"] == []
        site.bind(address=X, external="203.0.113.7")
        gone = site.bind(address=X, state="absent")
        assert names(gone)[0] == "detach external address" and set(site.floating().values()) == {None}
        assert site.bound() == set()
        site.cloud.clear()


def test_pairs_of_others_stay(generic):
    port = generic.ids.ports["node1"]
    theirs = [{"ip_address": "10.7.0.0/16"}, {"ip_address": "10.0.0.77", "mac_address": "00:00:5e:00:01:33"}]
    generic.cloud.network.call("PUT", f"/ports/{port}", {"port": {"allowed_address_pairs": theirs}})
    before = generic.port("node1")["allowed_address_pairs"]
    generic.bind(address=X, members=["node1"])
    assert generic.pairs("node1") == {"10.7.0.0/16", "10.0.0.77", X}
    generic.bind(address=X, state="absent")
    after = generic.port("node1")["allowed_address_pairs"]
    assert sorted(before, key=str) == sorted(after, key=str)


def test_the_port_was_deleted_by_somebody_else(generic):
    generic.bind(address=X, members=["node1", "node2"])
    generic.cloud.network.call("DELETE", f"/ports/{generic.vip()['id']}")
    (problem,) = generic.info()["problems"]
    assert f"{X} may be used by node1 (10.0.0.11), node2 (10.0.0.12)" in problem
    assert generic.bind(address=X, state="absent")["changed"] and generic.bound() == set()
    assert generic.info()["problems"] == []


def test_errors_of_the_api_pass(site):
    for fault in (
        {"kind": "lose-before", "times": 2},
        {"kind": "lose-after", "times": 2},
        *([] if isinstance(site, Stack) else [{"kind": "status", "status": 503, "times": 2}]),
    ):
        for state in ("present", "absent"):
            site.fail(**fault)
            result = site.bind(address=X, members=["node1"], state=state)
            assert result.get("changed") and not result.get("failed"), (fault, result)
            assert site.bound() == ({"node1"} if state == "present" else set())


class Kill:
    """Kills the module at one of its requests, before or after it was obeyed."""

    def __init__(self, number, moment):
        self.number = number
        self.moment = moment
        self.victim = None
        self.armed = threading.Event()

    def __call__(self, number, moment):
        if (number, moment) == (self.number, self.moment):
            assert self.armed.wait(30)
            self.victim.send_signal(signal.SIGKILL)
            self.victim.wait(10)


def test_killed_at_every_request(site):
    """That changes something: between two of them nothing happens."""
    present, absent = {"address": X, "members": ["node1", "node2"]}, {"address": X, "state": "absent"}
    if isinstance(site, Huawei):
        present["source_check_off"] = absent["source_check_off"] = ["node3"]
        absent["restore_source_check"] = True
    for before, wanted, members in ((absent, present, {"node1", "node2"}), (present, absent, set())):
        site.bind(**before)
        site.forget()
        site.bind(**wanted)
        moments = site.moments()
        assert len(moments) >= 4
        for number, moment in moments:
            site.bind(**before)
            site.forget()
            kill = site.hook = Kill(number, moment)
            kill.victim = site.start(**wanted)
            kill.armed.set()
            kill.victim.communicate(timeout=60)
            site.hook = lambda number, moment: None
            assert kill.victim.returncode == -signal.SIGKILL, number
            result = site.bind(**wanted)
            assert not result.get("failed"), (number, result)
            assert site.bound() == members and bool(site.vip()) == bool(members), number
            if isinstance(site, Huawei):
                assert site.pairs("node3") == ({"1.1.1.1/0"} if members else set()), number


def test_writers_at_once(site):
    """Of one list: a member's port in Neutron, elsewhere that of the virtual IP."""
    if isinstance(site, Generic):
        addresses = [f"10.0.0.{110 + n}" for n in range(8)]
        runs = [site.start(address=each, name=each, members=["node1"], timeout=300) for each in addresses]
        results = [site.result(run) for run in runs]
        assert not any(result.get("failed") for result in results), results
        assert site.pairs("node1") >= set(addresses)
    else:
        site.bind(address=X)
        # Starting takes the time of a processor, which others need between reading and writing.
        runs = [site.start(address=X, members=[f"node{n}"], settle=3, timeout=300) for n in (1, 2, 3)]
        results = [site.result(run) for run in runs]
        assert not any(result.get("failed") for result in results), results
        assert site.bound() == {"node1", "node2", "node3"}


def test_a_cloud_as_a_dictionary(generic):
    cloud = {"auth": generic.options["auth"], "region_name": "RegionOne"}
    result = generic.bind(address=X, members=["node1"], auth=None, region_name=None, cloud=cloud)
    assert result["changed"] and result["invocation"]["module_args"]["cloud"]["auth"]["password"] != SECRET


def test_ucloudstack_external():
    with local(STACK) as api:
        site = Stack(api)
        wan = {"vip_type": "external", "segment": "segment-1", "bandwidth": 10, "charge_type": "Month", "subnet": None}
        result = site.bind(members=["node1", "far"], **wan)
        assert result["changed"] and result["address"].startswith("192.168.177.")
        assert not site.bind(members=["node1", "far"], **wan)["changed"]
        assert site.info(subnet=None)["vips"][0]["vip_type"] == "external"
        assert "is external, and that cannot be changed" in site.bind(vip_type="internal", subnet=None)["msg"]
        assert site.bind(remark="for the web", name=None, vip_id=result["vip_id"], subnet=None)["changed"]
        assert site.bind(state="absent", subnet=None)["changed"] and api.cloud.vips == {}
        site.close()
        assert api.violations == []

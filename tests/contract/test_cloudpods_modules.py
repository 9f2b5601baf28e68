# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The modules for Cloudpods' groups, as processes of their own, against the lab's Cloudpods."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
from urllib.parse import urlsplit

import pytest

from ansible_collections.cloudha.vip.tests.contract import forked
from ansible_collections.cloudha.vip.tests.contract.proxy import Proxy, certificate
from ansible_collections.cloudha.vip.tests.contract.test_gcp_modules import Kill
from lab.cloudpods.region import (
    ADMIN,
    ADMIN_PASSWORD,
    ADMIN_PROJECT,
    EIP,
    GROUP,
    NETWORK,
    PASSWORD,
    PROJECT,
    USER,
    VIP,
    WORLD,
)
from lab.cloudpods.server import local
from lab.cloudpods.world import Group, Network, Nic, Server, Vpc

MEMBERS = ["node1", "node2"]
ADMINISTRATOR = {"username": ADMIN, "password": ADMIN_PASSWORD, "project_name": ADMIN_PROJECT}
EDITOR = {"username": "editor", "password": "lab-editor-password"}
STRANGER = {"username": "stranger", "password": "lab-stranger-password", "project_name": "another-project"}
NEW = {"bandwidth": 30, "bgp_type": "BGP"}


class Module:
    """A module as a process, started as Ansible starts it."""

    def __init__(self, module, environment, options):
        given = {key: value for key, value in options.items() if value is not None}
        clean = {key: value for key, value in os.environ.items() if not key.startswith(("OS_", "YUNION_"))}
        self.process = forked.Module(module, given, {**clean, **environment})

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(10)

    def result(self):
        out, err = self.process.communicate(timeout=60)
        assert out, err
        result = json.loads(out)
        assert bool(result.get("failed")) == bool(self.process.returncode)
        # The arguments are told, without what is secret.
        assert PASSWORD not in out + err and "X-Auth-Token" not in out + err
        return result


class Site:
    """The services, and the modules in front. ``environment``: what the modules' processes have."""

    def __init__(self, api, proxy):
        self.api = api
        self.proxy = proxy
        self.environment = {}

    def start(self, module="cloudpods_instancegroup_vip", **options):
        login = {
            "auth_url": f"{self.proxy.url}/v3",
            "compute_endpoint": self.proxy.url,
            "username": USER,
            "password": PASSWORD,
            "domain_name": "Default",
            "project_name": PROJECT,
            "project_domain": "Default",
        }
        return Module(module, self.environment, {**login, "group": GROUP, **options})

    def run(self, **options):
        return self.start(**{"timeout": 20, **options}).result()

    def present(self, **options):
        return self.run(**{"members": MEMBERS, "vip": {"ip_addr": VIP}, **options})

    def info(self, **options):
        return self.start("cloudpods_instancegroup_info", **options).result()

    def behave(self, **told):
        self.api.admin("PATCH", "/behaviour", told)

    def mutations(self):
        return [entry["name"] for entry in self.api.requests if entry["mutation"]]

    def settle(self):
        assert self.api.settled()

    def has(self, group=GROUP):
        """(members, VIPs, EIP) of a group; None if there is none."""
        cloud = self.api.cloud
        with cloud.lock:
            row = next((each for each in cloud.groups if each["name"] == group), None)
            if row is None:
                return None
            addresses = {each["id"]: each["ip_addr"] for each in cloud.eips}
            vips = cloud.vips_of(row)
            bound = [addresses[each["eip_id"]] for each in vips if "eip_id" in each]
            members = sorted(each["name"] for each in cloud.members_of(row))
            return members, [each["ip_addr"] for each in vips], bound[0] if bound else None

    def eips(self):
        return sorted((each["name"], each["status"]) for each in self.api.cloud.eips)


EXISTING = ("nginx-eip", "ready")


@pytest.fixture
def site():
    yield from make_site()


def make_site(world=WORLD, tls=None):
    def port(url):
        return "127.0.0.1", urlsplit(url).port

    with local(world) as api:
        identity, compute = port(api.auth_url), port(api.endpoint)
        proxy = Proxy(lambda path: identity if path.startswith("/v3") else compute, tls)
        try:
            yield Site(api, proxy)
        finally:
            proxy.close()
        assert api.violations == []


def test_all_from_nothing_and_all_goes(site):
    result = site.present(eip=NEW, granularity=2)
    assert result["changed"] and [step["name"] for step in result["steps"]] == [
        "create group",
        "bind guests",
        "attach VIP",
        "create EIP",
    ]
    assert site.has() == (MEMBERS, [VIP], result["eip"]) and result["address"] == VIP and result["members"] == MEMBERS
    assert (result["holder"], result["previous_holder"]) == (GROUP, None)
    assert result["diff"]["before"]["group"] is None and result["diff"]["after"]["group"]["granularity"] == 2
    mutations = site.mutations()
    again = site.present(eip=NEW, granularity=2)
    assert not again["changed"] and again["steps"] == [] and site.mutations() == mutations
    assert again["previous_holder"] == GROUP and again["eip"] == result["eip"]
    gone = site.run(state="absent", eip={"state": "absent", "release": True})
    assert [step["name"] for step in gone["steps"]] == ["dissociate EIP", "unbind guests", "detach VIP", "delete group"]
    assert site.has() is None and site.eips() == [EXISTING]
    assert not site.run(state="absent")["changed"]


def test_part_by_part(site):
    for options, steps, state in (
        ({}, ["create group"], ([], [], None)),
        ({"members": ["node1"]}, ["bind guests"], (["node1"], [], None)),
        ({"vip": {}}, ["attach VIP"], (["node1"], ["192.168.7.254"], None)),
        ({"eip": {"eip_id": "nginx-eip"}}, ["associate EIP"], (["node1"], ["192.168.7.254"], EIP)),
        ({"members": ["node2"]}, ["bind guests"], (MEMBERS, ["192.168.7.254"], EIP)),
        (
            {"members": ["node2"], "exclusive": True, "granularity": 3},
            ["update group", "unbind guests"],
            (["node2"], ["192.168.7.254"], EIP),
        ),
        (
            {"vip": {"ip_addr": VIP}, "eip": {"eip_id": "nginx-eip"}, "exclusive": True},
            ["dissociate EIP", "detach VIP", "attach VIP", "associate EIP"],
            (["node2"], [VIP], EIP),
        ),
        ({"eip": {"state": "absent"}}, ["dissociate EIP"], (["node2"], [VIP], None)),
        ({"vip": {"state": "absent"}}, ["detach VIP"], (["node2"], [], None)),
        ({"members": ["node2"], "members_state": "absent"}, ["unbind guests"], ([], [], None)),
        ({"vip": {"network_id": NETWORK, "alloc_dir": "stepup"}}, ["attach VIP"], ([], ["192.168.4.3"], None)),
        ({"state": "absent"}, ["detach VIP", "delete group"], None),
    ):
        site.proxy.requests.clear()
        preview = site.run(_ansible_check_mode=True, **options)
        assert all(verb == "GET" or path.startswith("/v3/") for verb, path in site.proxy.requests)
        assert preview["changed"] and [step["name"] for step in preview["steps"]] == steps
        result = site.run(**options)
        assert [step["name"] for step in result["steps"]] == steps and site.has() == state, result
        if None not in (*preview["diff"]["after"]["vips"], *([] if state else [0])):
            assert preview["diff"]["after"] == result["diff"]["after"]
        assert not site.run(**options)["changed"]
    assert site.eips() == [EXISTING]


@pytest.mark.parametrize("ids", [("0", "f"), ("f", "0")], ids=["the bound EIP first", "the other EIP first"])
def test_info(site, ids):
    assert site.info() | {"invocation": 0} == {
        "changed": False,
        "exists": False,
        "group": {},
        "members": [],
        "vips": [],
        "eips": [],
        "problems": [],
        "invocation": 0,
    }
    site.present(eip={"eip_id": EXISTING[0]})
    told = site.info()
    assert told["exists"] and told["group"]["name"] == GROUP and told["problems"] == []
    assert [each["name"] for each in told["members"]] == MEMBERS
    assert told["members"][0]["interfaces"][0]["network"] == NETWORK
    assert [(each["ip_addr"], each["eip_addr"]) for each in told["vips"]] == [(VIP, EIP)]
    assert [(each["name"], each["bound"]) for each in told["eips"]] == [(EXISTING[0], True)]
    # What climc lets happen: a second VIP, and a second EIP. The service's summary then names the wrong EIP.
    with site.api.cloud.lock:
        cloud, group = site.api.cloud, site.api.cloud.groups[0]
        cloud.attach(group, {"ip_addr": VIP})
        # The one with the smaller id is the one that is shown, and dissociated first.
        bound, other = (8 * each + "-0000-4000-8000-000000000000" for each in ids)
        cloud.eips[0]["id"] = cloud.vips[0]["eip_id"] = bound
        cloud.new_id = lambda: other
        cloud.create_eip(group, NEW, ())
    site.settle()
    told = site.info()
    assert [each["eip_addr"] for each in told["vips"]] == [EIP, None]
    assert len(told["problems"]) == 3 and "several VIPs" in told["problems"][0]
    assert "leads to no VIP: it is associate_fail" in told["problems"][1]
    assert "associate_eip_failed" in told["problems"][2]
    result = site.present(eip={"eip_id": EXISTING[0]})
    assert result["failed"] and "one VIP only" in result["msg"]
    assert site.present(exclusive=True)["changed"] and site.has() == (MEMBERS, [VIP], EIP)


def more_world():
    """Guests, networks and groups that do not fit."""
    other = "192.168.8.9"
    return dataclasses.replace(
        WORLD,
        networks=tuple(
            dataclasses.replace(each, reserved=("192.168.7.60",)) if each.name == NETWORK else each
            for each in WORLD.networks
        ),
        servers=(
            *WORLD.servers,
            Server("elsewhere", (Nic("second-subnet", other, "02:00:00:00:07:20"),), PROJECT),
            Server(
                "both",
                (
                    Nic(NETWORK, "192.168.7.30", "02:00:00:00:07:30"),
                    Nic("second-subnet", "192.168.8.30", "02:00:00:00:07:31"),
                ),
                PROJECT,
            ),
            Server("plain", (Nic("classic-subnet", "172.16.5.40", "02:00:00:00:07:40"),), PROJECT),
            Server("theirs", (Nic(NETWORK, "192.168.7.50", "02:00:00:00:07:50"),), "another-project"),
        ),
        groups=(
            *WORLD.groups,
            Group("foreign", "another-project"),
            Group("taken", PROJECT, (), NETWORK, ("192.168.7.245",)),
            Group("off", PROJECT, ("node1",)),
        ),
    )


@pytest.fixture(scope="module")
def crowded():
    yield from make_site(more_world())


BAD_INPUT = [
    ({"members": ["node1", "elsewhere"]}, ["on one network", "the guest elsewhere on second-subnet"]),
    ({"members": ["node1", "both"]}, ["the guest both has 2 network interfaces"]),
    ({"members": ["node1", "nosuch"]}, ["there is no guest nosuch"]),
    ({"members": ["node1", "theirs"]}, ["theirs", "403"]),
    ({"vip": {"ip_addr": "10.0.0.1"}}, ["10.0.0.1 is not in the range of network", NETWORK]),
    ({"vip": {"ip_addr": "192.168.7.247"}}, ["192.168.7.247", "in use by the guest node1"]),
    ({"vip": {"ip_addr": "192.168.7.245"}}, ["192.168.7.245", "in use by the group taken"]),
    ({"vip": {"ip_addr": "192.168.7.60"}}, ["192.168.7.60", "is reserved", "reserved=true"]),
    ({"vip": {"ip_addr": "0.0.0.0"}}, ["vip: ip_addr: '0.0.0.0' is in 0.0.0.0/8"]),
    ({"vip": {"ip_addr": "one"}}, ["'one' is not an IPv4 address"]),
    ({"vip": {"ip_addr": VIP, "network_id": "second-subnet"}}, ["on one network"]),
    ({"vip": {"network_id": "nosuch"}}, ["there is no network nosuch"]),
    ({"vip": {"alloc_dir": "bogus"}}, ["alloc_dir", "stepdown"]),
    ({"members": None}, ["give network_id"]),
    ({"members": ["plain"], "vip": {}, "eip": NEW}, ["classic", "VPC"]),
    ({"vip": None, "eip": NEW}, ["has no VIP"]),
    ({"eip": {**NEW, "bgp_type": "NOPE"}}, ["no line of type 'NOPE'", "BGP"]),
    ({"eip": {"bandwidth": 30}}, ["bgp_type", "BGP"]),
    ({"eip": {"bgp_type": "BGP"}}, ["or bandwidth"]),
    ({"eip": {**NEW, "charge_type": "traffic"}}, ["charge_type"]),
    ({"eip": {**NEW, "eip_id": "nginx-eip"}}, ["not with eip_id"]),
    ({"eip": {"eip_id": "nosuch"}}, ["there is no EIP nosuch"]),
    ({"vip": {"state": "absent"}, "eip": NEW}, ["eip: it needs a VIP"]),
    ({"granularity": 0}, ["granularity: 0"]),
    ({"group": "foreign"}, ["foreign", "403", "privilege", "choose another name", "all projects together"]),
    ({"group": "n" * 200}, ["group: the name has 200 characters, and the service keeps 128"]),
    ({"group": " nginx"}, ["group: the name ' nginx'", "blank"]),
    ({"group": "a/b"}, ["group: the name 'a/b'", "refuses"]),
    ({"group": "\U0001f600"}, ["group: the service does not keep"]),
    ({"group": "12345678-1234-1234-1234-123456789012"}, ["group: there is no group with the id 12345678-"]),
    ({"username": "nobody"}, ["404 UserNotFound", "Check username and domain_name", "nothing was changed"]),
    ({"domain_name": "Nope"}, ["404 UserNotFound", "Check username and domain_name"]),
    (
        {**ADMINISTRATOR, "members": ["theirs"]},
        ["the guest theirs is of another project", "a group has guests of its own"],
    ),
    ({"group": "off"}, ["the group off is disabled", "enable it first"]),
    ({"state": "absent"}, ["state: absent takes away all"]),
    ({"members_state": "absent", "members": []}, ["members_state"]),
    ({"password": "wrong"}, ["401 WrongPassword", "nothing was changed"]),
    ({"project_name": "nosuch"}, ["401 UnauthorizedError", "project_name"]),
    ({"username": None}, ["username", "OS_USERNAME"]),
    ({"password": None}, ["password", "OS_PASSWORD"]),
    ({"auth_url": "keystone"}, ["auth_url: 'keystone'"]),
    ({"auth_url": "http://me:secret@keystone/v3"}, ["auth_url", "***@keystone"]),
    ({"compute_endpoint": "http://127.0.0.1:1", "timeout": 0.5}, ["cannot connect"]),
    ({"compute_endpoint": None, "region_name": "nosuch"}, ["'nosuch'", "region_name", "region0"]),
]


@pytest.mark.parametrize(("options", "words"), BAD_INPUT)
def test_bad_input(crowded, options, words):
    with crowded.api.cloud.lock:
        cloud = crowded.api.cloud
        cloud.enable(next(each for each in cloud.groups if each["name"] == "off"), False)
    groups = crowded.api.cloud.groups[:]
    result = crowded.present(**options)
    assert result["failed"] and not result.get("changed"), result
    for word in words:
        assert word in result["msg"], result["msg"]
    assert crowded.mutations() == [] and crowded.api.cloud.groups == groups and crowded.api.cloud.members != []


def test_a_reserved_address():
    """Whoever asks for it gets it, and the reservation is used up."""
    for site in make_site(more_world()):
        vip = {"ip_addr": "192.168.7.60", "reserved": True}
        assert site.run(vip={**vip, "network_id": NETWORK})["address"] == "192.168.7.60"
        assert not site.run(vip=vip)["changed"]
        assert site.run(state="absent")["changed"]
        assert site.run(vip={"ip_addr": "192.168.7.60", "network_id": NETWORK})["changed"]


def test_climcs_variables(site, tmp_path):
    """Whoever has climc's rc file needs nothing else; and the options come first."""
    site.environment = {
        "OS_AUTH_URL": f"{site.proxy.url}/v3",
        "OS_USERNAME": USER,
        "OS_PASSWORD": PASSWORD,
        "OS_DOMAIN_NAME": "Default",
        "OS_PROJECT_NAME": PROJECT,
        "OS_PROJECT_DOMAIN": "Default",
        "OS_REGION_NAME": "region0",
        "OS_ENDPOINT_TYPE": "publicURL",
    }
    nothing = dict.fromkeys(
        ("auth_url", "compute_endpoint", "username", "password", "domain_name", "project_name", "project_domain")
    )
    assert site.present(**nothing)["changed"]
    assert not site.present(**nothing)["changed"]
    site.environment["OS_ENDPOINT_TYPE"] = "nonsense"
    assert "endpoint_type" in site.present(**nothing)["msg"]


def test_tls(tmp_path):
    files = certificate(tmp_path)
    for site in make_site(tls=files):
        refused = site.present(timeout=1)
        assert refused["failed"] and "certificate is refused" in refused["msg"] and "ca" in refused["msg"].lower()
        assert site.present(ca_cert=str(files[0]))["changed"]
        assert not site.present(validate_certs=False)["changed"]
        site.environment = {"YUNION_INSECURE": "true"}
        assert not site.present()["changed"]
        site.environment = {"YUNION_INSECURE": "false"}
        assert site.present(timeout=1)["failed"]


def test_a_token_that_expires(site):
    def hook(number, moment):
        if (number, moment) == (6, "before"):
            site.api.cloud.identity.expire(USER)

    site.proxy.hook = hook
    assert site.present()["changed"] and site.has() == (MEMBERS, [VIP], None)
    assert [path for _verb, path in site.proxy.requests].count("/v3/auth/tokens") == 2


FAULTS = [
    {"kind": "status", "status": 503},
    {"kind": "status", "status": 429, "retry_after": 0},
    {"kind": "lose-before"},
    {"kind": "lose-after"},
]


@pytest.mark.parametrize("fault", FAULTS)
def test_errors_of_the_service_pass(site, fault):
    """Each once, at a read and at each kind of change; what took effect is not done again."""
    paths = ("/instancegroups$", "bind-guests", "attachnetwork", "create-eip")
    faults = [{"match": {"verb": "POST", "path": path}, "times": 1, **fault} for path in paths]
    site.behave(faults=[{"match": {"verb": "GET", "path": "/groupnetworks"}, "times": 1, **fault}, *faults])
    result = site.present(eip=NEW, timeout=60)
    assert not result.get("failed"), result
    site.settle()
    assert [step["name"] for step in result["steps"]] == ["create group", "bind guests", "attach VIP", "create EIP"]
    assert site.has() == (MEMBERS, [VIP], result["eip"]) and len(site.eips()) == 2


def test_an_eip_that_fails_later(site):
    site.behave(faults=[{"match": {"path": "create-eip|associate-eip"}, "kind": "error-in-operation"}])
    result = site.present(eip=NEW)
    assert result["failed"] and result["changed"] and "associate_fail" in result["msg"]
    assert [step["name"] for step in result["steps"]][-2:] == ["create EIP", "dissociate EIP"]
    assert site.has() == (MEMBERS, [VIP], None) and site.eips() == [EXISTING]
    result = site.present(eip={"eip_id": "nginx-eip"})
    assert result["failed"] and "nginx-eip" in result["msg"] and site.eips() == [EXISTING]
    site.behave(faults=[])
    assert site.present(eip={"eip_id": "nginx-eip"})["eip"] == EIP
    site.behave(faults=[{"match": {"path": "dissociate-eip"}, "kind": "error-in-operation"}])
    result = site.run(state="absent")
    assert result["failed"] and "could not be dissociated" in result["msg"] and site.has() == (MEMBERS, [VIP], EIP)
    site.behave(faults=[])
    assert site.run(state="absent")["changed"] and site.has() is None and site.eips() == [EXISTING]


def test_an_eip_that_never_comes(site):
    site.behave(faults=[{"match": {"path": "create-eip"}, "kind": "never-ends", "times": 1}])
    result = site.present(eip=NEW, timeout=2)
    assert result["failed"] and "not done within 2 s" in result["msg"] and "associate_eip" in result["msg"]
    preview = site.present(eip=NEW, timeout=1, _ansible_check_mode=True)
    assert preview["failed"] and "associate_eip" in preview["msg"]
    site.api.cloud.tasks.release()
    assert site.present(eip=NEW)["eip"] and len(site.eips()) == 2


def test_a_second_eip_is_refused_before_it_is_asked_for(site):
    site.present(eip=NEW)
    mutations = site.mutations()
    result = site.present(eip={"eip_id": "nginx-eip"})
    assert result["failed"] and "may have one EIP only" in result["msg"] and site.mutations() == mutations
    result = site.present(eip={**NEW, "bandwidth": 50})
    assert result["failed"] and "bandwidth" in result["msg"] and site.mutations() == mutations


def test_a_group_whose_eip_could_not_be_allocated(site):
    """The service leaves it as it is. Another run goes on from there, and so does whoever wants it gone."""
    for options, state in (
        ({"eip": NEW}, (MEMBERS, [VIP], True)),
        ({"eip": {"eip_id": EXISTING[0]}}, (MEMBERS, [VIP], True)),
        ({"members": None, "vip": None, "state": "absent"}, None),
    ):
        site.present()
        with site.api.cloud.lock:
            # As climc's --ip-addr does it.
            site.api.cloud.create_eip(site.api.cloud.groups[0], {**NEW, "ip_addr": VIP}, ())
        site.settle()
        told = site.info()
        assert told["group"]["status"] == "associate_eip" and "no EIP is on its way" in told["problems"][-1]
        assert "eip-for-grp-nginx, which was created for" in told["problems"][0]
        preview = site.present(_ansible_check_mode=True, **options)
        result = site.present(**options)
        assert [step["name"] for step in preview["steps"]] == [step["name"] for step in result["steps"]], result
        has = site.has()
        assert (has and (*has[:2], bool(has[2]))) == state
        assert not site.present(**options)["changed"]
        site.run(state="absent", timeout=30)
        site.api.cloud.eips[:] = [each for each in site.api.cloud.eips if each["name"] == EXISTING[0]]
    site.behave(faults=[{"match": {"path": "create-eip"}, "kind": "error-in-operation", "reason": "allocate_fail"}])
    result = site.present(eip=NEW)
    assert result["failed"] and "eip-for-grp-nginx could not be allocated" in result["msg"]
    assert [step["name"] for step in result["steps"]][-2:] == ["create EIP", "release EIP"]
    site.settle()
    assert site.eips() == [EXISTING]
    site.behave(faults=[])
    assert [step["name"] for step in site.present(eip=NEW)["steps"]] == ["create EIP"]


def test_another_projects_group_for_an_administrator(site):
    """By id; all that it has is seen, and nothing is made twice."""
    made = site.present(eip=NEW)
    group = site.api.cloud.groups[0]["id"]
    site.api.requests.clear()
    told = site.info(group=group, **ADMINISTRATOR)
    assert [each["ip_addr"] for each in told["vips"]] == [VIP] and [each["name"] for each in told["members"]] == MEMBERS
    assert [each["bound"] for each in told["eips"]] == [True] and told["problems"] == []
    for vip in ({}, {"network_id": NETWORK}, {"ip_addr": VIP}):
        result = site.present(group=group, vip=vip, eip=NEW, **ADMINISTRATOR)
        assert not result["changed"] and (result["address"], result["eip"]) == (VIP, made["eip"])
    assert site.mutations() == []
    by_name = site.present(**ADMINISTRATOR)
    assert by_name["failed"] and "is of another project" in by_name["msg"] and site.mutations() == []
    gone = site.run(group=group, state="absent", **ADMINISTRATOR)
    assert [step["name"] for step in gone["steps"]] == ["dissociate EIP", "unbind guests", "detach VIP", "delete group"]
    assert site.has() is None


def test_another_projects_eip(site):
    """An administrator may bind it to a group whose own users then do not see it."""
    site.present()
    with site.api.cloud.lock:
        site.api.cloud.eips[0]["tenant_id"] = site.api.cloud.identity.projects["another-project"]
    group = site.api.cloud.groups[0]["id"]
    assert site.run(group=group, eip={"eip_id": EXISTING[0]}, **ADMINISTRATOR)["eip"] == EIP
    site.api.requests.clear()
    assert any("an EIP of another project" in each for each in site.info()["problems"])
    for options in ({"state": "absent"}, {"eip": {"state": "absent"}}, {"eip": NEW, "exclusive": True}):
        result = site.run(**options)
        assert "another project" in result.get("msg", "") or not result["changed"], result
    assert "another project" in site.run(state="absent")["msg"] and site.mutations() == []
    assert site.run(group=group, state="absent", **ADMINISTRATOR)["changed"] and site.eips() == [EXISTING]


def test_an_eip_that_releases_itself_is_not_lost(site):
    """Lists do not tell an ordinary user that it would be."""
    made = site.present(eip={**NEW, "auto_dellocate": True})
    name = next(each["name"] for each in site.api.cloud.eips if each["name"] != EXISTING[0])
    site.api.requests.clear()
    for options in (
        {"eip": {"eip_id": EXISTING[0]}},
        {"vip": {"ip_addr": "192.168.7.10"}, "eip": {"eip_id": name}},
    ):
        for check in (True, False):
            result = site.present(exclusive=True, _ansible_check_mode=check, **options)
            assert result["failed"] and "would be lost" in result["msg"], result
    assert site.mutations() == [] and site.has() == (MEMBERS, [VIP], made["eip"])
    assert site.run(eip={"state": "absent"})["changed"] and site.eips() == [EXISTING]


def test_a_member_that_got_another_interface(site):
    site.present()
    cloud = site.api.cloud
    with cloud.lock:
        nic = next(each for each in cloud.nics if each["ip_addr"] == "192.168.7.248")
        second = next(each for each in cloud.networks if each["name"] == "second-subnet")
        cloud.nics.append(
            {**nic, "network_id": second["id"], "ip_addr": "192.168.8.77", "mac_addr": "02:00:00:00:08:77"}
        )
    site.api.requests.clear()
    words = "the guest node2 has 2 network interfaces"
    assert any(words in each for each in site.info()["problems"])
    for options in (
        {"vip": {"state": "absent"}},
        {"vip": {"ip_addr": "192.168.7.10"}, "exclusive": True},
        {"eip": NEW},
    ):
        for check in (True, False):
            assert words in site.run(_ansible_check_mode=check, **options)["msg"]
    assert site.mutations() == []
    result = site.run(members=["node1"], vip={"ip_addr": "192.168.7.10"}, exclusive=True)
    assert [step["name"] for step in result["steps"]] == ["unbind guests", "detach VIP", "attach VIP"], result
    with cloud.lock:
        group = cloud.groups[0]
        cloud.members.append({**next(iter(cloud.members)), "guest_id": nic["guest_id"]})
    assert site.run(state="absent")["changed"] and group not in cloud.groups


def test_a_name_of_other_letters(site):
    """The service calls the EIP something else. One that fails is put away all the same."""
    for group in ("双网", "Café Ω"):
        site.behave(faults=[{"match": {"path": "create-eip"}, "kind": "error-in-operation"}])
        result = site.present(group=group, eip=NEW)
        assert result["failed"] and "associate_fail" in result["msg"] and site.eips() == [EXISTING]
        site.behave(faults=[])
        assert site.present(group=group, eip=NEW)["changed"]
        assert not site.present(group=group, eip=NEW)["changed"]
        site.run(group=group, state="absent", eip={"state": "absent", "release": True})


def test_a_vpc_without_eips():
    world = dataclasses.replace(
        WORLD,
        vpcs=(Vpc("inner", "none"),),
        networks=(*WORLD.networks, Network("inner-subnet", "10.1.1.2", "10.1.1.253", 24, "10.1.1.1", "inner", "wire9")),
    )
    for site in make_site(world):
        result = site.run(vip={"network_id": "inner-subnet"}, eip=NEW)
        assert "whose external_access_mode is none" in result["msg"] and site.mutations() == []
        assert site.run(vip={"network_id": "inner-subnet"})["changed"]
        assert "whose external_access_mode is none" in site.run(eip={"eip_id": EXISTING[0]})["msg"]


def test_a_privilege_that_is_lacking(site):
    """The change is sent once, and nothing is said of tokens."""
    result = site.present(**EDITOR)
    assert "no role in the project that allows it" in result["msg"] and "token" not in result["msg"]
    assert site.mutations() == ["instancegroups:create"]
    site.present()
    site.api.requests.clear()
    result = site.run(state="absent", **EDITOR)
    assert result["failed"] and site.mutations().count("instancegroups:delete") == 1
    assert [path for _verb, path in site.proxy.requests if path == "/v3/auth/tokens"]


def test_names_are_unique_in_all_projects(site):
    site.present()
    site.api.requests.clear()
    result = site.run(**STRANGER)
    assert "choose another name" in result["msg"] and site.mutations() == []
    assert not site.present(group=GROUP.upper())["changed"] and len(site.api.cloud.groups) == 1


def test_a_disabled_group(site):
    """Its members stay as they are; all else may be changed."""
    site.present()
    site.api.cloud.enable(site.api.cloud.groups[0], False)
    assert [step["name"] for step in site.present(granularity=3, eip=NEW)["steps"]] == ["update group", "create EIP"]
    assert site.run(eip={"state": "absent", "release": True}, vip={"state": "absent"})["changed"]
    assert "is disabled" in site.run(members=["client1"])["msg"]
    assert "is disabled" in site.run(state="absent")["msg"] and site.has() == (MEMBERS, [], None)


def test_a_slow_service_is_waited_for(site):
    site.behave(latency_s=0.7)
    result = site.present(eip=NEW)
    assert result["eip"] and result["elapsed_ms"] >= 700
    assert site.run(state="absent")["changed"] and site.has() is None


BUILT = {"members": MEMBERS, "vip": {"ip_addr": VIP}, "eip": NEW}
EXCHANGED = {
    "members": ["node2"],
    "vip": {"ip_addr": "192.168.7.10"},
    "eip": {"eip_id": EXISTING[0]},
    "exclusive": True,
}
GONE = {"state": "absent"}


def begin(site, options):
    """Nothing is there, or what is to be exchanged, or to be taken down."""
    cloud = site.api.cloud
    with cloud.lock:
        for rows in (cloud.groups, cloud.vips, cloud.members):
            rows.clear()
        cloud.eips[:] = [row for row in cloud.eips if row["name"] == EXISTING[0]]
        cloud.eips[0].pop("associate_id", None)
        if options is not BUILT:
            group = cloud.create_group(cloud.identity.projects[PROJECT], {"name": GROUP})
            cloud.bind(group, {"guest.0": "node1", "guest.1": "node2"})
            cloud.attach(group, {"ip_addr": VIP})
            cloud.associate_eip(group, {"eip_id": EXISTING[0]}, ())
    site.settle()
    site.proxy.requests.clear()


def killed(site, options, number, moment):
    """It may come to its end before this request, as it had to look less often than the first one."""
    site.proxy.hook = Kill(number, moment)
    victim = site.proxy.hook.victim = site.start(**options)
    site.proxy.hook.armed.set()
    victim.process.wait(30)
    ended = victim.process.returncode == 0 and len(site.proxy.requests) < number
    assert ended or victim.process.returncode == -signal.SIGKILL, number
    site.proxy.hook = lambda *_: None


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("options", [BUILT, EXCHANGED, GONE], ids=["built", "exchanged", "gone"])
def test_killed_at_every_request(site, options, moment):
    """The next run ends where an unharmed one does.

    What is there before a request is what is there after the last one: only changes are worth both.
    """
    site.behave(latency_s=0.05)
    begin(site, options)
    assert site.run(**options)["changed"]
    verbs = [verb for verb, _path in site.proxy.requests]
    state, count = site.has() and site.has()[:2], len(site.eips())
    all_of_them = options is BUILT and moment == "after"
    numbers = [number for number, verb in enumerate(verbs, 1) if all_of_them or verb != "GET"]
    assert len(verbs) > len(numbers) > 4 or (all_of_them and len(numbers) > 30)
    for number in numbers:
        begin(site, options)
        killed(site, options, number, moment)
        result = site.run(**options)
        assert not result.get("failed"), (number, result)
        site.settle()
        assert (site.has() and site.has()[:2]) == state, number
        assert len(site.eips()) == count and {status for _name, status in site.eips()} == {"ready"}, number
        assert state is None or site.has()[2], number


def test_two_at_once(site):
    """What two runs want together is there once; and who wanted something else is told."""
    for _round in range(2):
        runs = [site.start(members=MEMBERS, vip={}, eip={"eip_id": "nginx-eip"}) for _each in range(2)]
        results = [run.result() for run in runs]
        assert [result["msg"] for result in results if result.get("failed")] == []
        site.settle()
        members, vips, eip = site.has()
        assert members == MEMBERS and len(vips) == 1 and eip == EIP
        assert site.run(state="absent")["changed"]
    runs = [site.start(members=MEMBERS, vip={"ip_addr": address}) for address in (VIP, "192.168.7.10")]
    results = [run.result() for run in runs]
    (address,) = site.has()[1]
    assert sorted(bool(result.get("failed")) for result in results) == [False, True]
    assert next(result for result in results if not result.get("failed"))["address"] == address
    assert address in next(result for result in results if result.get("failed"))["msg"]

# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The modules for alias ranges, as processes of their own, against the lab's API of Compute Engine."""

from __future__ import annotations

import copy
import dataclasses
import json
import os
import shutil
import signal
import subprocess

import pytest
from busy import Watch, until

from ansible_collections.cloudha.vip.tests.contract.proxy import Proxy
from ansible_collections.cloudha.vip.tests.contract.test_gcp_modules import (
    PASSING,
    Kill,
    Module,
    token_without,
)
from lab import topology
from lab.gce.server import MemoryPlane, local
from lab.gce.world import Instance, Principal, Subnetwork

PROJECT = "lab-project"
ZONES = ("us-central1-a", "us-central1-b", "us-central1-c")
X, Y = "10.100.9.1/32", "10.100.9.2/32"
MINE, THEIRS = "10.100.8.1/32", "10.100.8.2/32"
# What docs/gcp.md says that is needed.
LEAST = frozenset(
    {
        "compute.instances.get",
        "compute.instances.list",
        "compute.instances.updateNetworkInterface",
        "compute.subnetworks.list",
        "compute.subnetworks.use",
        "compute.zoneOperations.get",
    }
)


def path(name, zone=ZONES[0]):
    return f"projects/{PROJECT}/zones/{zone}/instances/{name}"


A, B, C = path("a"), path("b", ZONES[1]), path("c", ZONES[2])


def world(count=0):
    """The network of the lab; a, b and c in a zone each, and any number of more."""
    lab = topology.get("gcp_route_heartbeat").world
    network = lab.networks[0].name

    def instance(name, zone, address, *aliases):
        return Instance(name, zone, network, "aliases", address, aliases=aliases)

    return dataclasses.replace(
        lab,
        subnetworks=(Subnetwork("aliases", network, "us-central1", "10.100.0.0/16", {"pods": "172.16.0.0/16"}),),
        instances=(
            instance("a", ZONES[0], "10.100.2.1", X, MINE),
            instance("b", ZONES[1], "10.100.2.2", THEIRS),
            instance("c", ZONES[2], "10.100.2.3"),
            instance("off", ZONES[0], "10.100.2.4"),
            *(
                instance(f"n{n}", ZONES[n % 3], f"10.100.3.{n}", *(f"10.100.{100 + n}.{r}/32" for r in range(5)))
                for n in range(count)
            ),
        ),
        routes=(),
        principals=(
            *lab.principals,
            Principal("least", ("least-token",), LEAST),
            *(Principal(f"no-{each}", (token_without(each),), LEAST - {each}) for each in sorted(LEAST)),
        ),
    )


class Site:
    """The API, what is behind it, and the modules in front."""

    def __init__(self, api, proxy):
        self.api = api
        self.proxy = proxy

    def start(self, module="alias_ip_move", **options):
        return Module(module, f"{self.proxy.url}/compute/v1", **{"project": PROJECT, "timeout": 20, **options})

    def move(self, **options):
        given = {"ranges": [X], "target_instance": B, **options}
        return self.start(**{key: value for key, value in given.items() if value is not None}).result()

    def info(self, **options):
        return self.start("alias_ip_info", **options).result()

    def behave(self, **told):
        self.api.admin("PATCH", "/behaviour", told)

    def mutations(self):
        return [(entry["method"], entry["status"]) for entry in self.api.requests if entry["mutation"]]

    def on(self, name):
        interface = self.api.cloud.instances[name]["networkInterfaces"][0]
        return {each["ipCidrRange"] for each in interface.get("aliasIpRanges", [])}

    def holders(self, cidr):
        return [name for name in self.api.cloud.instances if cidr in self.on(name)]


@pytest.fixture
def site():
    yield from make_site(world())


def make_site(made):
    with local(made, MemoryPlane()) as api:
        if "off" in api.cloud.instances:
            api.cloud.plane.power("off", False)
        api.admin("PATCH", "/behaviour", {"latency_s": 0.02})
        proxy = Proxy(("127.0.0.1", int(api.root.rpartition(":")[2])))
        try:
            yield Site(api, proxy)
        finally:
            proxy.close()
        assert api.violations == []


def test_moves(site):
    result = site.move(access_token="least-token")
    assert (result["changed"], result["address"], result["previous_holder"], result["holder"]) == (True, X, A, B)
    assert [step["name"] for step in result["steps"]] == ["remove alias ranges", "add alias ranges"]
    assert site.on("a") == {MINE} and site.on("b") == {THEIRS, X}
    assert 40 <= result["gap_ms"] < result["elapsed_ms"]
    # Nothing is asked for between the two requests but whether they are done.
    lines = [line for line in site.proxy.requests if "/wait" not in line[1]]
    assert [verb for verb, _path in lines[-3:]] == ["PATCH", "PATCH", "GET"]
    again = site.move()
    assert (again["changed"], again["steps"], again["gap_ms"]) == (False, [], None)


def test_check_mode_and_diff(site):
    preview = site.move(_ansible_check_mode=True, _ansible_diff=True)
    assert site.mutations() == []
    assert preview["changed"] and preview["holder"] == B and preview["ranges"][0]["previous_holder"] == A
    assert preview["diff"]["before"]["ranges"] == {X: f"{A} nic0"}
    assert preview["diff"]["after"]["ranges"] == {X: f"{B} nic0"}
    assert len(preview["steps"]) == 2


def test_ranges_of_all_kinds(site):
    ranges = ["10.100.9.16/28", "10.100.9.7"]
    result = site.move(ranges=ranges, target_instance="a", target_zone=ZONES[0])
    assert result["address"] is None and result["holder"] == A and len(result["steps"]) == 1
    result = site.move(ranges=["172.16.4.0/24"], range_name="pods", target_instance=A)
    aliases = site.api.cloud.instances["a"]["networkInterfaces"][0]["aliasIpRanges"]
    assert {"ipCidrRange": "172.16.4.0/24", "subnetworkRangeName": "pods"} in aliases
    site.move(ranges=[*ranges, "172.16.4.0/24", X, MINE], source_instance=A)
    assert site.on("a") == set()
    assert site.on("b") == {"10.100.9.16/28", "10.100.9.7/32", "172.16.4.0/24", X, MINE, THEIRS}
    result = site.move(state="absent", target_instance=None, ranges=[MINE, X])
    assert result["changed"] and result["holder"] is None and result["previous_holder"] == B
    assert not site.move(state="absent", target_instance=None, ranges=[MINE, X])["changed"]


def test_another_interface(site):
    interface = copy.deepcopy(site.api.cloud.instances["c"]["networkInterfaces"][0])
    interface |= {"name": "nic1", "networkIP": "10.100.2.33", "fingerprint": "AAAAAAAAAAA="}
    site.api.cloud.instances["c"]["networkInterfaces"].append(interface)
    result = site.move(target_instance=C, target_interface="nic1")
    assert result["ranges"][0]["interface"] == "nic1" and site.holders(X) == []
    assert interface["aliasIpRanges"] == [{"ipCidrRange": X}]
    assert site.move(source_instance=C, source_interface="nic1")["previous_holder"] == C


BAD_INPUT = [
    ({"project": "nosuch"}, ["nosuch"]),
    ({"ranges": ["10.99.0.1"]}, ["10.99.0.1/32", "outside the ranges of the subnet", "10.100.0.0/16"]),
    ({"ranges": ["10.100.8.0/24"]}, ["10.100.8.0/24 overlaps", MINE, A]),
    ({"ranges": ["10.100.2.3"]}, ["overlaps the primary address", C]),
    ({"ranges": ["169.254.1.1"]}, ["'169.254.1.1' is in 169.254.0.0/16 (link-local)"]),
    ({"ranges": [X, "10.100.9.0/24"]}, ["overlap"]),
    ({"ranges": [X, "10.100.9.1"]}, ["twice"]),
    ({"ranges": ["10.100.9.1/24"]}, ["10.100.9.1/24", "bits beyond"]),
    ({"ranges": ["nonsense"]}, ["nonsense", "not an IPv4"]),
    ({"ranges": None}, ["ranges"]),
    ({"range_name": "nosuch"}, ["no secondary range nosuch", "pods"]),
    ({"ranges": ["172.16.0.1", "10.100.9.9"], "range_name": "pods"}, ["outside the secondary range pods"]),
    ({"source_instance": C}, [f"{X} is held by {A} nic0", "not by the source"]),
    ({"source_instance": B}, ["source", "same"]),
    ({"target_interface": "nic3"}, ["nic3", "nic0"]),
    ({"ranges": [Y], "source_instance": A, "source_interface": "nic3"}, ["nic3", "nic0"]),
    ({"ranges": [Y], "source_instance": A + "9"}, ["source", "a9 does not exist"]),
    ({"target_instance": B + "9"}, ["b9 does not exist"]),
    ({"target_instance": path("b", "us-central1-x")}, ["us-central1-x/instances/b does not exist"]),
    ({"ranges": [Y], "source_instance": path("a", "us-central1-x")}, ["us-central1-x/instances/a does not exist"]),
    ({"target_instance": "zones/us-central1-b/instances/B"}, ["target_instance", "instances/B' is no path"]),
    ({"target_instance": None}, ["target_instance"]),
    ({"target_instance": "b"}, ["target_instance", "zone"]),
    ({"target_instance": path("off")}, ["off", "not RUNNING"]),
    ({"ranges": [X, Y], "limit": 2}, ["limit", "3", "2"]),
    ({"limit": 1000}, ["limit", "150"]),
    ({"expected_holder": "c"}, [A, "expected holder c"]),
    ({"state": "absent"}, ["target_instance"]),
    ({"access_token": "wrong"}, ["401", "credentials"]),
    ({"timeout": -1}, ["timeout: -1 is not from"]),
    ({"timeout": "nan"}, ["timeout: nan is not from"]),
    *(({"access_token": token_without(each)}, [each]) for each in sorted(LEAST - {"compute.instances.get"})),
    ({"endpoint": "http://127.0.0.1:1/compute/v1", "timeout": 0.5}, ["cannot connect", "Connection refused"]),
    ({"ranges": None, "assignment": [{"ranges": [X], "instances": []}], "target_instance": None}, ["none may hold"]),
    ({"ranges": None, "assignment": [{"ranges": [X], "instances": ["b"]}], "target_instance": None}, ["zones/ZONE"]),
    (
        {"ranges": None, "assignment": [{"ranges": [X], "instances": [B]}], "target_instance": None, "avoid": ["z"]},
        ["avoid", "'z'"],
    ),
]


@pytest.mark.parametrize(("options", "words"), BAD_INPUT)
def test_bad_input(site, options, words):
    result = site.move(**options)
    assert result["failed"] and not result.get("changed"), result
    for word in words:
        assert word in result["msg"], result["msg"]
    assert site.mutations() == [] and site.holders(X) == ["a"]


def test_errors_of_the_api_pass(site):
    for fault in PASSING:
        site.behave(faults=[{"match": {"verb": verb, "path": "/instances"}, **fault} for verb in ("GET", "PATCH")])
        target = {"a": B, "b": A}[site.holders(X)[0]]
        assert site.move(target_instance=target)["holder"] == target, fault
    assert site.on("a") == {MINE, X} and site.on("b") == {THEIRS}


def test_an_addition_that_fails_goes_back(site):
    add = {"match": {"verb": "PATCH", "path": "/instances/b/"}}
    site.behave(faults=[{**add, "kind": "error-in-operation", "status": 403, "reason": "QUOTA_EXCEEDED"}])
    result = site.move()
    assert result["failed"] and result["error"]["code"] == "QUOTA_EXCEEDED"
    assert "it was put back" in result["msg"] and f"{X} is on {A} nic0" in result["msg"]
    assert site.on("a") == {MINE, X} and site.on("b") == {THEIRS}
    # And where that fails, too, it is said.
    back = {"match": {"verb": "PATCH", "path": "/instances/a/"}, "kind": "status", "status": 403, "reason": "forbidden"}
    site.behave(faults=[{**add, "kind": "status", "status": 400, "reason": "invalid"}])
    original = site.proxy.hook

    def hook(number, moment):
        if site.holders(X) == []:
            site.behave(faults=[back, {**add, "kind": "status", "status": 400, "reason": "invalid"}])

    site.proxy.hook = hook
    result = site.move()
    site.proxy.hook = original
    assert result["failed"] and result["changed"] and f"{X} is on no instance" in result["msg"]
    site.behave(faults=[])
    assert site.move()["holder"] == B and site.on("a") == {MINE}


def test_a_zone_that_fails(site):
    """Bounded in time, says who has it and what there is to decide, and changes nothing; later it goes on."""
    site.behave(zone_outage=[ZONES[0]])
    watch = Watch()
    result = site.move(source_instance=A, timeout=2)
    watch.at_most(8)
    assert result["failed"] and not result["changed"]
    for words in (f"still on {A} nic0", "The choices", "Run it again when us-central1-a answers", "on_source_failure"):
        assert words in result["msg"], result["msg"]
    result = site.move(source_instance=A, timeout=2, on_source_failure="stop")
    assert "could not be stopped either" in result["msg"]
    result = site.move(timeout=2)
    assert "an instance that cannot be seen may have it" in result["msg"] and "us-central1-a" in result["msg"]
    assert site.holders(X) == ["a"]
    assert site.info(ranges=[X], instances=[A, B])["silent_zones"] == [ZONES[0]]
    site.behave(zone_outage=[])
    assert site.move(source_instance=A)["holder"] == B


def test_a_removal_that_never_ends(site):
    site.behave(faults=[{"match": {"verb": "PATCH", "path": "/instances/a/"}, "kind": "never-ends"}])
    watch = Watch()
    result = site.move(timeout=2)
    watch.at_most(8)
    assert result["failed"]
    assert f"still on {A} nic0" in result["msg"] and "may yet take effect" in result["msg"]
    assert site.holders(X) == ["a"]


def test_a_source_that_has_to_be_stopped(site):
    remove = {"match": {"verb": "PATCH", "path": "/instances/a/"}, "kind": "status", "status": 503}
    site.behave(faults=[remove])

    def hook(number, moment):
        if moment == "after" and "/instances/a/stop" in site.proxy.requests[number - 1][1]:
            site.behave(faults=[])

    site.proxy.hook = hook
    result = site.move(timeout=1.5, on_source_failure="stop")
    assert [step["name"] for step in result["steps"]] == ["stop instance", "remove alias ranges", "add alias ranges"]
    assert site.holders(X) == ["b"] and not site.api.cloud.plane.running("a")


@pytest.mark.parametrize("moment", ["before", "after"])
def test_killed_at_every_request(site, moment):
    site.move(ranges=[X, MINE])
    total = len(site.proxy.requests)
    assert total >= 7
    for number in range(1, total + 1):
        target = A if "b" in site.holders(X) else B
        site.proxy.requests.clear()
        site.proxy.hook = Kill(number, moment)
        victim = site.proxy.hook.victim = site.start(ranges=[X, MINE], target_instance=target)
        site.proxy.hook.armed.set()
        victim.process.wait(30)
        if victim.process.returncode == 0 and number > 7:  # it had to wait for an operation less often than the first
            break
        assert victim.process.returncode == -signal.SIGKILL, number
        site.proxy.hook = lambda *_: None
        result = site.move(ranges=[X, MINE], target_instance=target)
        assert result["holder"] == target, (number, result)
        assert site.holders(X) == site.holders(MINE) == [target[-1]] and site.holders(THEIRS) == ["b"]


def test_two_at_once(site):
    for _round in range(3):
        runs = [site.start(ranges=[X], target_instance=target) for target in (A, B, C)]
        results = [run.result() for run in runs]
        holders = site.holders(X)
        assert len(holders) == 1
        for result in results:
            assert not result.get("failed") or X in result["msg"], result
        assert MINE in site.on("a") and THEIRS in site.on("b")


@pytest.mark.parametrize("status", [503, 400])
def test_a_question_for_permissions_that_fails(site, status):
    fault = {"kind": "status", "status": status, "reason": "odd", "times": 1000}
    site.behave(faults=[{"match": {"verb": "POST", "path": "testIamPermissions"}, **fault}])
    result = site.move()
    if status == 400:
        assert result["failed"] and not result["changed"] and "nothing was changed" in result["msg"]
        assert site.mutations() == []
    else:
        assert result["holder"] == B and "were not checked" in result["notes"][0]


def test_info(site):
    nodes = [A, B, path("off")]
    result = site.info(ranges=["10.100.9.1", Y], instances=nodes, access_token="least-token")
    first, second = result["ranges"]
    assert (first["address"], first["holder"], first["target"], first["standby"]) == (X, A, A, B)
    assert (second["holder"], second["target"]) == (None, A)
    assert [each["fit"] for each in first["candidates"]] == [True, True, False]
    assert "not RUNNING" in first["candidates"][2]["reason"] and result["problems"] == []
    assert {"address": MINE, "range_name": "", "instance": A, "interface": "nic0"} in result["held"]
    lonely = site.info(ranges=[X], instances=[A, path("off")])
    assert "there is no standby" in lonely["problems"][0] and "not RUNNING" in lonely["problems"][0]
    (found,) = site.info(ranges=[X])["ranges"]
    assert found["holder"] == A and {each["instance"] for each in found["candidates"]} == {A, B, C}
    assert {each["address"] for each in site.info()["held"]} == {X, MINE, THEIRS}
    assert (
        PERMISSION_WORD
        in site.info(ranges=[X], instances=nodes, access_token=token_without(PERMISSION_WORD))["problems"][0]
    )
    assert "outside" in site.info(ranges=["10.99.1.1"], instances=nodes)["problems"][0]
    (vrrp, *_others) = site.info(ranges=[X], instances=nodes, vrrp=True)["problems"]
    assert "VRRP (protocol 112) does not pass" in vrrp and "no rule allows it" in vrrp
    quiet = site.info(ranges=[X], instances=[A, path("off")], vrrp=True, preflight=False)
    assert quiet["problems"] == [] and quiet["ranges"][0]["holder"] == A
    assert site.mutations() == []


def test_info_of_a_range_that_nobody_has(site):
    """The target is no standby for itself."""
    (pair,) = site.info(ranges=[Y], instances=[A, B])["ranges"]
    assert (pair["holder"], pair["target"], pair["standby"]) == (None, A, B)
    alone = site.info(ranges=[Y], instances=[A, path("off")])
    assert (alone["ranges"][0]["target"], alone["ranges"][0]["standby"]) == (A, None)
    assert f"{Y}: there is no standby, should {A} fail" in alone["problems"][0]
    none = site.info(ranges=[Y], instances=[path("off")])
    assert (none["ranges"][0]["target"], none["ranges"][0]["standby"]) == (None, None)
    assert not any("no standby" in problem for problem in none["problems"])


def test_info_with_a_zone_that_there_is_not(site):
    """One wrong entry is no candidate; the others are told of all the same."""
    wrong = path("b", "us-central1-x")
    result = site.info(ranges=[X], instances=[A, wrong, C], vrrp=True)
    (found,) = result["ranges"]
    assert (found["holder"], found["standby"]) == (A, C)
    assert [each["fit"] for each in found["candidates"]] == [True, False, True]
    assert f"{wrong} does not exist" in found["candidates"][1]["reason"]


PERMISSION_WORD = "compute.instances.updateNetworkInterface"


def test_an_assignment(site):
    assignment = [
        {"ranges": [X, MINE], "instances": [A, C]},
        {"ranges": [THEIRS], "instances": [B, C]},
        {"ranges": [Y], "instances": [path("off"), B, A]},
    ]
    options = {"ranges": None, "target_instance": None, "assignment": assignment}
    told = site.info(assignment=assignment)
    assert [each["target"] for each in told["ranges"]] == [A, A, B, B] and told["problems"] == []
    result = site.move(**options)
    assert len(result["steps"]) == 1 and site.holders(Y) == ["b"]
    assert not site.move(**options)["changed"]
    site.api.cloud.plane.power("a", False)
    until(lambda: site.info(assignment=assignment)["ranges"][0]["target"] == C)
    assert site.move(**options)["changed"]
    assert site.on("c") == {X, MINE} and site.on("b") == {THEIRS, Y} and site.on("a") == set()
    assert "there is no instance for it" in site.move(**options, avoid=["b"])["msg"]
    assert THEIRS in site.on("c") and site.holders(Y) == ["b"]  # nobody else is fit for that


def test_a_hundred_ranges_on_twenty_instances():
    """As long as those of one, give or take; and in two requests for each instance."""
    for site in make_site(world(20)):
        names = [f"n{n}" for n in range(20)]
        paths = [path(name, ZONES[n % 3]) for n, name in enumerate(names)]
        ranges = [sorted(site.on(name)) for name in names]
        site.behave(latency_s=1.0)
        direct = {"endpoint": site.api.endpoint}  # the proxy takes few connections at once
        one = site.move(ranges=ranges[0], target_instance=paths[1], **direct)
        site.move(ranges=ranges[0], target_instance=paths[0])
        assignment = [{"ranges": each, "instances": [paths[(n + 1) % 20], paths[n]]} for n, each in enumerate(ranges)]
        site.api.requests.clear()
        every = site.move(ranges=None, target_instance=None, assignment=assignment, preempt=True, **direct)
        assert every["changed"], every
        for n, each in enumerate(ranges):
            assert site.on(names[(n + 1) % 20]) == set(each)
        assert len(site.mutations()) == 40
        assert every["elapsed_ms"] <= 3 * one["elapsed_ms"], (one["elapsed_ms"], every["elapsed_ms"])
        # One range after the other, each with the time that Ansible takes for a task, would be a hundred times two
        # operations.
        assert every["elapsed_ms"] * 20 <= 100 * 2 * 1000


@pytest.mark.skipif(not shutil.which("gcloud"), reason="gcloud is missing")
def test_gcloud_writes_at_the_same_time(site, tmp_path):
    """What gcloud's own update adds stays, and what it adds can be moved."""
    token = tmp_path / "token"
    token.write_text("lab-controller-token")
    environment = {
        **os.environ,
        "CLOUDSDK_CONFIG": str(tmp_path),
        "CLOUDSDK_API_ENDPOINT_OVERRIDES_COMPUTE": f"{site.api.endpoint}/",
        "CLOUDSDK_AUTH_ACCESS_TOKEN_FILE": str(token),
        "CLOUDSDK_CORE_DISABLE_PROMPTS": "1",
        "CLOUDSDK_CORE_PROJECT": PROJECT,
    }
    command = ["gcloud", "compute", "instances", "network-interfaces", "update", "c", "--zone", ZONES[2]]
    command += ["--aliases", f"{Y};pods:172.16.7.0/24", "--format", "json"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    json.loads(done.stdout)
    assert site.move(target_instance=C)["changed"] and site.on("c") == {X, Y, "172.16.7.0/24"}
    site.move(ranges=["172.16.7.0/24", Y], source_instance=C)
    assert site.on("b") == {THEIRS, Y, "172.16.7.0/24"} and site.on("c") == {X}

# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The modules for routes, as processes of their own, against the lab's API of Compute Engine."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import re
import signal
import threading
from pathlib import Path

import pytest
from busy import until

from ansible_collections.cloudha.vip.tests.contract import forked
from ansible_collections.cloudha.vip.tests.contract.proxy import Proxy
from lab import topology
from lab.gce.server import MemoryPlane, local
from lab.gce.world import Instance, Network, Principal, Subnetwork

ROOT = Path(__file__).resolve().parents[2]
NAME = "floating-ip-route"
DESTINATION = "10.200.1.1/32"
PROJECT = "lab-project"
NODE1 = f"projects/{PROJECT}/zones/us-central1-a/instances/node1"
NODE2 = f"projects/{PROJECT}/zones/us-central1-b/instances/node2"
WHERE = {"name": NAME, "project": PROJECT, "network": "ip-failover", "destination": DESTINATION}
# What docs/gcp.md says that a controller needs.
LEAST = frozenset(
    re.findall(
        r"^  - (compute\.\w+\.\w+)$",
        (ROOT / "docs/gcp.md").read_text().partition("Floating address, controller")[2].partition("```")[0],
        re.M,
    )
)
# Not needed for a next hop that is given by its name.
ONLY_SOMETIMES = {"compute.firewalls.list", "compute.instances.list"}
# No API tells beforehand, but the first request that changes something is refused.
ONLY_AT_THE_REQUEST = {"compute.networks.updatePolicy", "compute.instances.use"}
# Faults of the API that a run outlives.
PASSING = (
    {"kind": "status", "status": 403, "reason": "rateLimitExceeded", "times": 2},
    {"kind": "status", "status": 503, "reason": "backendError", "times": 2},
    {"kind": "lose-before", "times": 2},
    {"kind": "lose-after", "times": 2},
)
QUICK = {"lease": 0.3, "settle": 0.05, "timeout": 20}


def token_without(permission):
    """Of who has all permissions but this one. Nothing of its name is in it, as all that has a part of it is hidden."""
    return hashlib.sha256(permission.encode()).hexdigest()


class Module:
    """A module as a process, started as Ansible starts it. first: a program that its process runs before it."""

    def __init__(self, module, endpoint, /, *, first="", **options):
        arguments = {
            "auth_kind": "accesstoken",
            "access_token": "lab-controller-token",
            "endpoint": endpoint,
            **options,
        }
        arguments = {key: value for key, value in arguments.items() if value is not None}
        environment = {key: value for key, value in os.environ.items() if not key.startswith(("GCP_", "GOOGLE_"))}
        environment |= {"NO_GCE_CHECK": "true", "CLOUDSDK_CONFIG": "/nonexistent"}
        self.process = forked.Module(module, arguments, environment, first=first)

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(10)

    def result(self):
        out, err = self.process.communicate(timeout=60)
        assert out, err
        result = json.loads(out)
        assert bool(result.get("failed")) == bool(self.process.returncode)
        assert "lab-controller-token" not in out + err
        return result


class Plane(MemoryPlane):
    """Remembers where client1's packets to the address went, and since when."""

    def __init__(self):
        super().__init__()
        self.trail = []

    def program(self, sender, table):
        super().program(sender, table)
        hops = table.get(DESTINATION, ())
        if sender == "client1" and (not self.trail or self.trail[-1] != hops):
            self.trail.append(hops)


class Api:
    """The API, and what is behind it."""

    def __init__(self, api, proxy):
        self.api = api
        self.proxy = proxy

    def behave(self, **told):
        self.api.admin("PATCH", "/behaviour", told)

    def mutations(self):
        return [(entry["method"], entry["path"], entry["status"]) for entry in self.api.requests if entry["mutation"]]


class Site(Api):
    """With the modules in front."""

    def start(self, module="gcp_route_failover", **options):
        return Module(module, f"{self.proxy.url}/compute/v1", **{**WHERE, **QUICK, **options})

    def move(self, **options):
        return self.start(**options).result()

    def info(self, **options):
        return Module("gcp_route_info", f"{self.proxy.url}/compute/v1", **{**WHERE, **options}).result()

    def routes(self):
        return {name: route["nextHopInstance"].partition("v1/")[2] for name, route in self.api.cloud.routes.items()}

    def gaps(self):
        """How many times there was no route, once there was one."""
        trail = self.api.cloud.plane.trail
        return [hops for hops in trail[next((n for n, hops in enumerate(trail) if hops), 0) :] if not hops]


def world():
    """That of the lab, and what may be wrong in one."""
    lab = topology.get("gcp_route_heartbeat").world

    def instance(name, address, network="ip-failover", subnetwork="ip-failover-subnet", forward=True):
        return Instance(name, "us-central1-a", network, subnetwork, address, can_ip_forward=forward)

    readers = {"compute.routes.list", "compute.networks.get", "compute.subnetworks.list", "compute.instances.get"}
    return dataclasses.replace(
        lab,
        networks=(*lab.networks, Network("other")),
        subnetworks=(*lab.subnetworks, Subnetwork("other-subnet", "other", "us-central1", "10.101.0.0/16")),
        instances=(
            *lab.instances,
            instance("plain", "10.100.4.1", forward=False),
            instance("off", "10.100.4.2"),
            instance("elsewhere", "10.101.4.3", "other", "other-subnet"),
        ),
        principals=(
            *lab.principals,
            Principal("reader", ("reader-token",), frozenset(readers)),
            Principal("node", ("node-token",), topology.ROUTE_PERMISSIONS),
            Principal("least", ("least-token",), LEAST),
            *(Principal(f"all but {each}", (token_without(each),), LEAST - {each}) for each in LEAST),
            Principal("nobody", ("nobody-token",), frozenset()),
        ),
    )


@contextlib.contextmanager
def serving(site_of, its_world, plane):
    """A site of this class as long as the block lasts."""
    with local(its_world, plane) as api:
        api.cloud.plane.power("off", False)
        api.admin("PATCH", "/behaviour", {"latency_s": 0.02})
        proxy = Proxy(("127.0.0.1", int(api.root.rpartition(":")[2])))
        try:
            yield site_of(api, proxy)
        finally:
            proxy.close()
        assert api.violations == []


@pytest.fixture
def site():
    with serving(Site, world(), Plane()) as found:
        yield found


def converged(site, holder):
    assert site.routes() == {NAME: holder}
    assert site.api.cloud.routes[NAME]["priority"] == 1000


def test_moves(site):
    assert site.move(next_hop_instance="node1", next_hop_zone="us-central1-a")["holder"] == NODE1
    site.api.requests.clear()
    result = site.move(next_hop_instance=NODE2, access_token="least-token")
    assert (result["changed"], result["previous_holder"], result["holder"]) == (True, NODE1, NODE2)
    assert [step["name"] for step in result["steps"]] == [
        "insert temporary route",
        "delete route",
        "insert route",
        "delete temporary route",
    ]
    converged(site, NODE2)
    assert 20 <= result["moved_ms"] < result["elapsed_ms"]
    # Traffic followed the first of four requests, and nothing was asked for in vain.
    assert site.api.cloud.plane.trail == [(), ("node1",), ("node2",)]
    assert [(method, status) for method, _path, status in site.mutations()] == [
        ("POST", 200),
        ("DELETE", 200),
        ("POST", 200),
        ("DELETE", 200),
    ]


@pytest.mark.parametrize("permission", sorted(LEAST))
def test_each_permission_is_needed(site, permission):
    site.move(next_hop_instance=NODE1)
    options = {"access_token": token_without(permission), "timeout": 2}
    preview = site.move(next_hop_instance=NODE2, _ansible_check_mode=True, **options)
    by_name = site.move(next_hop_instance=NODE2, **options)
    if permission not in ONLY_SOMETIMES:
        # Who may do a part of it does nothing, and is told so in check mode too, where that can be known.
        assert by_name["failed"] and not by_name["changed"] and site.routes() == {NAME: NODE1}
        assert preview.get("failed") or permission in ONLY_AT_THE_REQUEST
    results = [
        by_name,
        site.move(next_hop_address="10.100.2.2", **options),
        site.info(instances=[NODE1, NODE2], **options),
    ]
    said = [result.get("msg", "") + "\n".join(result.get("problems", [])) for result in results]
    assert any(permission in words for words in said), said
    assert site.gaps() == []


def test_idempotent_and_check_mode(site):
    site.move(next_hop_instance=NODE1)
    site.api.requests.clear()
    again = site.move(next_hop_instance=NODE1)
    preview = site.move(next_hop_instance=NODE2, _ansible_check_mode=True, _ansible_diff=True)
    assert site.mutations() == []
    assert (again["changed"], again["steps"]) == (False, [])
    assert preview["changed"] and preview["diff"]["after"]["holder"] == NODE2
    site.info(instances=[NODE1, NODE2])
    assert site.mutations() == []


def test_what_gcloud_made_is_adopted(site):
    """Full URLs of another host and version, and a next hop by address."""
    site.move(next_hop_address="10.100.2.1", tags=["client"], description="made by hand", priority=900)
    result = site.move(network=None, destination=None, next_hop_instance=f"zones/{NODE2.partition('zones/')[2]}")
    assert (result["holder"], result["previous_holder"]) == (NODE2, NODE1)
    route = site.api.cloud.routes[NAME]
    assert (route["tags"], route["description"], route["priority"]) == (["client"], "made by hand", 900)


def test_absent(site):
    site.move(next_hop_instance=NODE1)
    assert site.move(state="absent", network=None, destination=None)["changed"]
    assert site.routes() == {}
    assert not site.move(state="absent")["changed"]


def test_a_name_that_is_for_something_else(site):
    site.move(next_hop_instance=NODE1)
    site.api.requests.clear()
    for options in ({"next_hop_instance": NODE2}, {"state": "absent"}):
        for check_mode in (True, False):
            result = site.move(destination="10.200.2.2/32", **options, _ansible_check_mode=check_mode)
            assert result["failed"] and not result.get("changed")
            assert f"the route {NAME} is for {DESTINATION} on" in result["msg"] and "10.200.2.2/32" in result["msg"]
    info = site.info(destination="10.200.2.2/32", access_token="least-token")
    assert not info["exists"] and f"is for {DESTINATION}" in info["problems"][0]
    assert site.mutations() == []
    converged(site, NODE1)


def test_errors_of_the_api_pass(site):
    site.move(next_hop_instance=NODE1)
    for fault in PASSING:
        site.behave(
            faults=[{"match": {"verb": verb, "path": "/routes"}, **fault} for verb in ("GET", "POST", "DELETE")]
        )
        holder = NODE2 if site.routes()[NAME] == NODE1 else NODE1
        assert site.move(next_hop_instance=holder)["holder"] == holder, fault
        converged(site, holder)


@pytest.mark.parametrize("status", [503, 501, 400, "lose-before"])
def test_a_question_for_permissions_that_fails(site, status):
    site.move(next_hop_instance=NODE1)
    kind = {"kind": "status", "status": status, "reason": "odd"} if isinstance(status, int) else {"kind": status}
    site.behave(faults=[{"match": {"verb": "POST", "path": "testIamPermissions"}, **kind, "times": 1000}])
    site.api.requests.clear()
    result = site.move(next_hop_instance=NODE2)
    if status == 400:
        assert result["failed"] and not result["changed"] and "nothing was changed" in result["msg"]
        assert site.mutations() == []
    else:
        assert result["holder"] == NODE2 and "were not checked" in result["notes"][0]
    converged(site, NODE1 if status == 400 else NODE2)


def test_an_operation_that_fails_or_never_ends(site):
    site.move(next_hop_instance=NODE1)
    inserts = {"match": {"verb": "POST", "path": "/routes$"}}
    site.behave(faults=[{**inserts, "kind": "error-in-operation", "status": 403, "reason": "QUOTA_EXCEEDED"}])
    result = site.move(next_hop_instance=NODE2)
    assert result["failed"] and not result["changed"] and result["error"]["code"] == "QUOTA_EXCEEDED"
    assert "Raise the quota" in result["msg"] and f"goes to {NODE1}" in result["msg"]
    converged(site, NODE1)
    site.behave(faults=[{**inserts, "kind": "never-ends", "times": 1}])
    result = site.move(next_hop_instance=NODE2, timeout=1.5)
    assert result["failed"] and "not done" in result["msg"]
    assert site.routes() == {NAME: NODE1}
    site.behave(faults=[])
    assert site.move(next_hop_instance=NODE2)["holder"] == NODE2
    converged(site, NODE2)


def test_two_at_once(site):
    site.move(next_hop_instance=NODE1)
    site.behave(latency_s=0.1)
    for _round in range(3):
        runs = [site.start(next_hop_instance=holder) for holder in (NODE1, NODE2)]
        results = [run.result() for run in runs]
        assert all(not result.get("failed") for result in results), results
        assert list(site.routes()) == [NAME]
    assert site.gaps() == []


def test_info(site):
    nodes = [NODE1, NODE2]
    before = site.info(instances=nodes, access_token="least-token")
    assert (before["exists"], before["problems"]) == (False, [])
    site.move(next_hop_instance=NODE1)
    result = site.info(instances=nodes, network=None, destination=None, access_token="least-token")
    assert (result["exists"], result["holder"], result["problems"], result["notes"]) == (True, NODE1, [], [])
    assert result["route"]["next_hop"] == NODE1 and result["effective"] == result["route"]
    # What a killed run leaves, and what is wrong with every kind of instance.
    site.api.cloud.behaviour.latency_s = 0
    site.proxy.hook = Kill(len(site.proxy.requests) + 12, "after")
    victim = site.proxy.hook.victim = site.start(next_hop_instance=NODE2)
    site.proxy.hook.armed.set()
    victim.process.wait(30)
    site.proxy.hook = lambda *_: None
    zone = f"projects/{PROJECT}/zones/us-central1-a/instances"
    result = site.info(instances=[f"{zone}/{name}" for name in ("plain", "off", "elsewhere", "nosuch")])
    assert len(result["leftovers"]) == 1 and result["holder"] == NODE2
    problems = "\n".join(result["problems"])
    for words in ("plain may not forward", "off is not RUNNING", "elsewhere has no interface", "nosuch does not exist"):
        assert words in problems
    site.api.cloud.plane.power("node2", False)
    until(lambda: site.info(vrrp=False)["holder"] != NODE2)


def test_info_with_a_zone_that_there_is_not(site):
    """One wrong entry is a problem; the others are told of all the same."""
    site.move(next_hop_instance=NODE1)
    wrong = NODE2.replace("us-central1-b", "us-central1-x")
    result = site.info(instances=[NODE1, wrong])
    assert result["holder"] == NODE1
    (problem,) = result["problems"]
    assert f"the instance {wrong} does not exist" in problem and "Unknown zone" in problem


def test_info_tells_what_is_not_allowed(site):
    site.move(next_hop_instance=NODE1)
    result = site.info(instances=[NODE1, NODE2], access_token="reader-token")
    problems = "\n".join(result["problems"])
    for permission in ("routes.create", "routes.delete", "firewalls.list", "instances.use"):
        assert f"compute.{permission}" in problems
    assert "compute.instances.get" not in problems
    site.api.cloud.firewalls.clear()
    result = site.info(instances=[NODE1, NODE2])
    assert len(result["problems"]) == 2
    assert all("VRRP (protocol 112) does not pass" in problem for problem in result["problems"])


BAD_INPUT = [
    ({"project": "nosuch"}, ["project nosuch", "404", "check the option project"]),
    ({"network": "nosuch"}, ["network", "nosuch", "does not exist"]),
    ({"next_hop_instance": NODE2 + "9"}, ["next hop", "node29", "does not exist"]),
    ({"next_hop_instance": NODE2.replace("-b/", "-x/")}, ["next hop", "us-central1-x/instances/node2 does not exist"]),
    (
        {"next_hop_instance": "zones/us-central1-b/instances/Node2"},
        ["next_hop_instance", "instances/Node2' is no path"],
    ),
    (
        {"next_hop_instance": "node2", "next_hop_zone": "B"},
        ["next_hop_instance", "'zones/B/instances/node2' is no path"],
    ),
    ({"network": "IP-failover"}, ["network", "'IP-failover' is no name"]),
    ({"next_hop_instance": "zones/us-central1-a/instances/plain"}, ["next hop", "plain", "canIpForward"]),
    ({"next_hop_instance": "zones/us-central1-a/instances/off"}, ["next hop", "off", "not RUNNING"]),
    ({"destination": "10.100.7.7/32"}, ["destination", "inside", "10.100.0.0/16"]),
    ({"destination": "10.100.0.0/16"}, ["destination", "inside", "10.100.0.0/16"]),
    ({"destination": "10.200.1.1"}, ["destination", "10.200.1.1/32"]),
    ({"destination": "127.0.0.0/8"}, ["destination: '127.0.0.0/8' is in 127.0.0.0/8", "choose another one"]),
    ({"destination": "0.0.0.0/0"}, ["destination: '0.0.0.0/0' has addresses of 0.0.0.0/8"]),
    ({"priority": 65536}, ["priority", "65536"]),
    ({"priority": 0}, ["priority", "no room"]),
    ({"access_token": "wrong"}, ["401", "credentials"]),
    ({"lease": -1}, ["lease: -1 is not from"]),
    ({"settle": -5}, ["settle: -5 is not from 0 to 60"]),
    ({"timeout": "inf"}, ["timeout: inf is not from"]),
    ({"tags": ["Bad Tag"]}, ["tags: 'Bad Tag' is no network tag"]),
    ({"access_token": "reader-token"}, ["compute.routes.create"]),
    ({"access_token": "nobody-token"}, ["compute.routes.list"]),
    ({"access_token": None}, ["access_token"]),
    ({"access_token": None, "auth_kind": "application"}, ["auth_kind", "GOOGLE_APPLICATION_CREDENTIALS"]),
    ({"access_token": "two words"}, ["access_token"]),
    ({"expected_holder": "client1"}, [NODE1, "expected holder client1"]),
    ({"next_hop_instance": "zones/us-central1-a/instances/elsewhere"}, ["elsewhere", "no interface on", "ip-failover"]),
    ({"next_hop_instance": None, "next_hop_address": "10.100.9.9"}, ["10.100.9.9", "primary"]),
    ({"endpoint": "http://127.0.0.1:1/compute/v1", "timeout": 0.5}, ["cannot connect", "Connection refused"]),
    ({"endpoint": "http://127.0.0.1:1"}, ["endpoint", "compute/v1"]),
]


@pytest.mark.parametrize(("options", "words"), BAD_INPUT)
def test_bad_input(site, options, words):
    site.move(next_hop_instance=NODE1)
    before = site.routes()
    site.api.requests.clear()
    options = {"next_hop_instance": NODE2, **options}
    result = site.move(**options)
    assert result["failed"] and not result.get("changed"), result
    for word in words:
        assert word in result["msg"], result["msg"]
    # What was refused for want of a permission was asked for, but did not happen.
    assert all(status == 403 for _verb, _path, status in site.mutations())
    assert site.routes() == before


class Kill:
    """A hook of the proxy that kills a module before or after its request of this number."""

    def __init__(self, number, moment):
        self.at = (number, moment)
        self.armed = threading.Event()
        self.victim = None

    def __call__(self, number, moment):
        if (number, moment) == self.at and self.armed.wait(10):
            self.victim.kill()


def requests_of_a_move(site):
    """How many requests a move makes."""
    site.move(next_hop_instance=NODE1)
    site.proxy.requests.clear()
    site.move(next_hop_instance=NODE2)
    return len(site.proxy.requests)


@pytest.mark.parametrize("moment", ["before", "after"])
def test_killed_at_every_request(site, moment):
    total = requests_of_a_move(site)
    assert total >= 13
    for number in range(1, total + 1):
        holder = NODE2 if site.routes()[NAME] == NODE1 else NODE1
        site.proxy.requests.clear()
        site.proxy.hook = Kill(number, moment)
        victim = site.proxy.hook.victim = site.start(next_hop_instance=holder)
        site.proxy.hook.armed.set()
        victim.process.wait(30)
        if victim.process.returncode == 0 and number > 13:  # it had to wait for an operation less often than the first
            break
        assert victim.process.returncode == -signal.SIGKILL, number
        site.proxy.hook = lambda *_: None
        result = site.move(next_hop_instance=holder)
        assert result["holder"] == holder, (number, result)
        converged(site, holder)
        assert site.gaps() == [], number

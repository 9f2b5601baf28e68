# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The modules for names against the lab's Cloud DNS: in this process, and as processes that are killed or race."""

from __future__ import annotations

import dataclasses
import itertools
import re
import signal

import pytest
from busy import until
from dns import message, query, rcode

from ansible_collections.cloudha.vip.tests.contract.gcp_site import forget_environment, run_here
from ansible_collections.cloudha.vip.tests.contract.proxy import Hangup, Proxy
from ansible_collections.cloudha.vip.tests.contract.test_gcp_modules import (
    PASSING,
    PROJECT,
    ROOT,
    Kill,
    Module,
    token_without,
)
from lab import topology
from lab.gce.server import local
from lab.gce.world import ManagedZone, Network, Principal

ZONE, NAME = "my-zone", "db.ha.internal."
OLD, NEW = "10.100.2.1", "10.100.2.2"
WHERE = {"project": PROJECT, "managed_zone": ZONE, "name": "db.ha.internal", "timeout": 20}
# What docs/gcp.md says that a controller needs.
LEAST = frozenset(
    re.findall(
        r"^  - (dns\.\w+\.\w+)$",
        (ROOT / "docs/gcp.md").read_text().partition("Names, controller")[2].partition("```")[0],
        re.M,
    )
)
READS = {"dns.managedZones.get", "dns.resourceRecordSets.list", "dns.changes.list"}


def world():
    lab = topology.get("gcp_route_heartbeat").world
    return dataclasses.replace(
        lab,
        networks=(*lab.networks, Network("other")),
        managed_zones=(ManagedZone(ZONE, "ha.internal.", ("ip-failover",)), ManagedZone("lonely", "lonely.", ())),
        principals=(
            *lab.principals,
            Principal("least", ("least-token",), LEAST),
            Principal("reader", ("reader-token",), LEAST & READS),
            *(Principal(f"all but {each}", (token_without(each),), LEAST - {each}) for each in LEAST),
            Principal("nobody", ("nobody-token",), frozenset()),
        ),
    )


class Site:
    """The API, and the modules in front of it."""

    def __init__(self, api, proxy):
        self.api = api
        self.proxy = proxy
        self.zone = api.cloud.dns.find(f"projects/{PROJECT}", ZONE)

    def start(self, module="gcp_dns_name", **options):
        """A process of its own."""
        return Module(module, f"{self.proxy.url}/compute/v1", **{**WHERE, **options})

    def run(self, module="gcp_dns_name", **options):
        """What the module says, in this process."""
        login = {"auth_kind": "accesstoken", "access_token": "lab-controller-token"}
        given = {**login, "endpoint": f"{self.proxy.url}/compute/v1", **WHERE, **options}
        return run_here(module, {key: value for key, value in given.items() if value is not None})

    def info(self, **options):
        return self.run("gcp_dns_name_info", **options)

    def behave(self, **told):
        self.api.admin("PATCH", "/behaviour", told)

    def mutations(self):
        return [(entry["method"], entry["path"], entry["status"]) for entry in self.api.requests if entry["mutation"]]

    def records(self, name=NAME):
        """Addresses and TTL by type."""
        return {
            kind: (record["rrdatas"], record["ttl"])
            for (owner, kind), record in self.zone.records.items()
            if owner == name
        }

    def put(self, *addresses, ttl=30, kind="A", name=NAME):
        """Somebody else gives the name addresses."""
        with self.api.cloud.lock:
            old = self.zone.records.get((name, kind))
            record = {"name": name, "type": kind, "ttl": ttl, "rrdatas": list(addresses)}
            if old or addresses:
                self.api.cloud.dns.change(self.zone, [old] if old else [], [record] if addresses else [], [])

    def served(self, kind="A"):
        """What a client in the network gets."""
        host, port = self.api.resolver("client1")
        response = query.udp(message.make_query(NAME, kind), host, port=port, timeout=10)
        assert response.rcode() in (rcode.NOERROR, rcode.NXDOMAIN)
        return sorted(data.to_text() for each in response.answer for data in each)


@pytest.fixture
def site(monkeypatch):
    forget_environment(monkeypatch)
    with local(world()) as api:
        proxy = Proxy(("127.0.0.1", int(api.root.rpartition(":")[2])))
        try:
            yield Site(api, proxy)
        finally:
            proxy.close()
        assert api.violations == []


def steps(result):
    return [step["name"] for step in result["steps"]]


def test_makes_moves_and_removes_it(site):
    for options, expected, step in (
        ({"addresses": [OLD]}, {"A": ([OLD], 30)}, "create record"),
        ({"addresses": [NEW], "expected": [OLD]}, {"A": ([NEW], 30)}, "change record"),
        ({"ttl": 5}, {"A": ([NEW], 5)}, "change record"),
        ({"addresses": [NEW, OLD], "name": NAME.upper()}, {"A": ([NEW, OLD], 5)}, "change record"),
        ({"state": "absent"}, {}, "delete record"),
    ):
        options = {**options, "access_token": "least-token"}
        before = site.records()
        preview = site.run(**options, _ansible_check_mode=True)
        assert site.records() == before
        result = site.run(**options)
        assert site.records() == expected and result["changed"] and preview["changed"]
        assert steps(result) == steps(preview) == [step] and result["diff"] == preview["diff"]
        assert result["steps"][0]["resource"] == f"{NAME} A"
        addresses, ttl = expected.get("A", ([], None))
        assert (result["address"], result["addresses"], result["ttl"]) == (NAME, sorted(addresses), ttl)
        previous, previous_ttl = before.get("A", ([], None))
        assert (result["previous_addresses"], result["previous_ttl"]) == (sorted(previous), previous_ttl)
        assert result["diff"]["before"] == {
            "name": NAME,
            "type": "A",
            "addresses": sorted(previous),
            "ttl": previous_ttl,
        }
        assert result["notes"] == [] and site.served() == sorted(addresses)
        site.api.requests.clear()
        again = site.run(**options)
        assert (again["changed"], again["steps"], site.mutations()) == (False, [], [])
        assert again["diff"]["before"] == again["diff"]["after"]


def test_only_the_order_is_no_change(site):
    site.put(OLD, NEW)
    assert not site.run(addresses=[NEW, OLD, NEW])["changed"]


def test_ipv6(site):
    site.put(OLD)
    result = site.run(type="AAAA", addresses=["FD00:0::1"], expected=[])
    assert result["addresses"] == ["fd00::1"] and site.served("AAAA") == ["fd00::1"] and site.served() == [OLD]
    assert not site.run(type="AAAA", addresses=["fd00::1"], expected=["fd00::2"])["changed"]
    assert site.run(type="AAAA", addresses=["fd00::2"], expected=["fd00:0:0::1"])["changed"]
    assert site.run(type="AAAA", state="absent")["changed"] and site.records() == {"A": ([OLD], 30)}


# --- compare and swap


@pytest.mark.parametrize(
    ("there", "options", "allowed"),
    [
        ([OLD], {"addresses": [NEW], "expected": [OLD]}, True),
        ([NEW], {"addresses": [NEW], "expected": [OLD]}, True),
        ([NEW], {"addresses": [NEW], "expected": [OLD], "ttl": 7}, True),
        (["10.9.9.9"], {"addresses": [NEW], "expected": [OLD]}, False),
        ([OLD, NEW], {"addresses": [NEW], "expected": [OLD]}, False),
        ([], {"addresses": [NEW], "expected": [OLD]}, False),
        ([], {"addresses": [NEW], "expected": []}, True),
        ([OLD], {"addresses": [NEW], "expected": []}, False),
        ([OLD], {"state": "absent", "expected": [OLD]}, True),
        ([], {"state": "absent", "expected": [OLD]}, True),
        ([NEW], {"state": "absent", "expected": [OLD]}, False),
        ([OLD], {"ttl": 7, "expected": [OLD]}, True),
        ([NEW], {"ttl": 7, "expected": [OLD]}, False),
    ],
)
def test_expected(site, there, options, allowed):
    if there:
        site.put(*there)
    before = site.records()
    site.api.requests.clear()
    for check_mode in (True, False):
        result = site.run(**options, _ansible_check_mode=check_mode)
        assert bool(result.get("failed")) != allowed, result
    if not allowed:
        assert site.records() == before and site.mutations() == [] and not result["changed"]
        assert "expected: " in result["msg"] and result["addresses"] == sorted(there)
        assert (result["diff"]["before"], result["diff"]["after"]) == (result["diff"]["before"],) * 2


@pytest.mark.parametrize(("expected", "wins"), [(None, True), ([OLD], False)])
def test_somebody_is_faster(site, expected, wins):
    """Between the look and the change: the API refuses what does not match, and a new look decides."""
    site.put(OLD)

    def hook(number, moment):
        if moment == "before" and site.proxy.requests[number - 1] == ("POST", CHANGES):
            site.proxy.hook = lambda *_: None
            site.put("10.9.9.9", ttl=60)

    site.proxy.hook = hook
    result = site.run(addresses=[NEW], expected=expected)
    assert [status for _verb, _path, status in site.mutations()] == ([412, 200] if wins else [412])
    if wins:
        # Nobody asked to change the TTL.
        assert site.records() == {"A": ([NEW], 60)} and result["previous_addresses"] == [OLD]
    else:
        assert result["failed"] and not result["changed"] and "10.9.9.9, and not" in result["msg"]
        assert site.records() == {"A": (["10.9.9.9"], 60)}


CHANGES = f"/dns/v1/projects/{PROJECT}/managedZones/{ZONE}/changes"


@pytest.mark.parametrize("effect", ["before", "after"])
def test_a_lost_answer_is_looked_for_and_not_repeated(site, effect):
    site.put(OLD)
    lost = []

    def hook(number, moment):
        if moment == effect and not lost and site.proxy.requests[number - 1] == ("POST", CHANGES):
            lost.append(number)
            raise Hangup

    site.proxy.hook = hook
    result = site.run(addresses=[NEW], expected=[OLD])
    assert lost and result["changed"] and site.records() == {"A": ([NEW], 30)}, result
    assert [status for _verb, _path, status in site.mutations()] == [200] and steps(result) == ["change record"]


def test_errors_of_the_api_pass(site):
    for number, fault in enumerate(PASSING):
        site.behave(faults=[{"match": {"verb": verb, "path": "/dns/"}, **fault} for verb in ("GET", "POST")])
        address = (OLD, NEW)[number % 2]
        result = site.run(addresses=[address])
        assert not result.get("failed") and site.records()["A"][0] == [address], (fault, result)
        assert len([status for _verb, _path, status in site.mutations() if status == 200]) <= number + 1
    site.behave(faults=[{"kind": "status", "status": 503}])
    result = site.run(addresses=["10.9.9.9"], timeout=1)
    assert result["failed"] and not result["changed"] and "503" in result["msg"] and result["error"]["status"] == 503


# --- pending changes


def test_a_run_ends_when_the_change_is_done(site):
    site.put(OLD)
    site.behave(dns_latency_s=0.3)
    result = site.run(addresses=[NEW])
    assert site.served() == [NEW] and result["elapsed_ms"] >= 300 and steps(result) == ["change record"]


def test_a_change_that_does_not_end(site):
    """Also that of another run, which was killed: this one made no change, and is not green."""
    site.put(OLD)
    site.behave(faults=[{"kind": "never-ends", "match": {"path": "/changes"}}])
    result = site.run(addresses=[NEW], timeout=1.5)
    assert (
        result["failed"] and result["changed"] and "is pending" in result["msg"] and steps(result) == ["change record"]
    )
    again = site.run(addresses=[NEW], timeout=1.5)
    assert (
        again["failed"] and not again["changed"] and "change 2 of the managed zone my-zone is pending" in again["msg"]
    )
    assert site.info()["pending"] and site.served() == [OLD]
    site.put("10.9.9.9", name="other.ha.internal.")
    assert not site.run(name="third.ha.internal", state="absent")["changed"], "others' changes are nobody's business"
    site.behave(faults=[])
    assert not site.run(addresses=[NEW])["changed"] and not site.info()["pending"] and site.served() == [NEW]


# --- killed, and at work at once


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize(
    ("begin", "wanted"),
    [
        ([], {"addresses": [NEW]}),
        ([OLD], {"addresses": [NEW], "expected": [OLD], "ttl": 5}),
        ([OLD], {"state": "absent"}),
    ],
    ids=["made", "moved", "removed"],
)
def test_killed_at_every_request(site, begin, wanted, moment):
    def start():
        site.proxy.hook = lambda *_: None
        until(lambda: not site.zone.pending)
        site.put(*begin)
        site.proxy.requests.clear()

    start()
    site.behave(dns_latency_s=0.1)
    assert site.run(**wanted)["changed"]
    expected, total = site.records(), len(site.proxy.requests)
    assert total >= 7, site.proxy.requests
    for number in range(1, total + 1):
        start()
        site.api.requests.clear()
        site.proxy.hook = Kill(number, moment)
        victim = site.proxy.hook.victim = site.start(**wanted)
        site.proxy.hook.armed.set()
        victim.process.wait(30)
        if victim.process.returncode == 0 and number > 6:  # it had to wait for the change less often than the first
            break
        assert victim.process.returncode == -signal.SIGKILL, number
        site.proxy.hook = lambda *_: None
        result = site.run(**wanted)
        assert not result.get("failed") and site.records() == expected, (number, result)
        assert site.served() == expected.get("A", ([], 0))[0]
        assert [status for _verb, _path, status in site.mutations()] == [200], number
        assert not site.run(**wanted)["changed"]


def test_two_at_once(site):
    site.put(OLD)
    for _round in range(3):
        runs = [site.start(addresses=[address]) for address in (OLD, NEW)]
        results = [run.result() for run in runs]
        assert all(not result.get("failed") for result in results), results
        assert site.records()["A"][0] in ([OLD], [NEW])


def test_of_two_that_expect_the_same_one_wins(site):
    site.put(OLD)
    for first, second in itertools.pairwise([OLD, "10.0.0.1", "10.0.0.2"]):
        wanted = [f"{second[:-1]}{n}" for n in (7, 8)]
        site.put(first)
        runs = [site.start(addresses=[address], expected=[first]) for address in wanted]
        results = [run.result() for run in runs]
        (won,) = [result for result in results if not result.get("failed")]
        (lost,) = [result for result in results if result.get("failed")]
        assert won["changed"] and site.records()["A"][0] == won["addresses"]
        assert not lost["changed"] and "expected: " in lost["msg"]


def test_the_modules_as_ansible_starts_them(site):
    assert site.start(addresses=[OLD]).result()["changed"]
    assert site.start("gcp_dns_name_info").result()["addresses"] == [OLD]


# --- who may, and what is wrong


@pytest.mark.parametrize("permission", sorted(LEAST))
def test_each_permission_is_needed(site, permission):
    site.put(OLD)
    before = site.records()
    options = {"access_token": token_without(permission), "timeout": 2}
    runs = [{"addresses": [NEW]}, {"state": "absent"}, {"name": "new.ha.internal", "addresses": [NEW]}]
    said = []
    for wanted in runs:
        preview = site.run(**wanted, **options, _ansible_check_mode=True)
        result = site.run(**wanted, **options)
        assert bool(preview.get("failed")) == bool(result.get("failed"))
        if result.get("failed"):
            assert not result["changed"] and permission in preview["msg"] and permission in result["msg"]
            said.append(result["msg"])
        elif wanted == runs[0]:
            site.put(OLD)
    info = site.info(**options)
    assert said and permission in info.get("msg", "") + "\n".join(info.get("problems", []))
    if permission in READS:
        assert site.records() == before and len(said) == len(runs)


@pytest.mark.parametrize("status", [503, 501, 400])
def test_a_question_for_permissions_that_fails(site, status):
    site.put(OLD)
    fault = {"kind": "status", "status": status, "reason": "odd", "times": 1000}
    site.behave(faults=[{**fault, "match": {"path": "testIamPermissions"}}])
    result = site.run(addresses=[NEW])
    if status == 400:
        assert result["failed"] and not result["changed"] and site.records()["A"][0] == [OLD]
    else:
        assert result["addresses"] == [NEW] and "were not checked" in result["notes"][0]


BAD_INPUT = [
    ({"project": "nosuch"}, ["managed zone my-zone of project nosuch", "404"]),
    ({"managed_zone": "nosuch"}, ["managed zone nosuch", "404", "does not exist"]),
    ({"managed_zone": "ha.internal."}, ["managed_zone: 'ha.internal.' is not the name of a managed zone"]),
    ({"name": "db"}, ["name: db. is not in the managed zone my-zone", "such as db.ha.internal."]),
    ({"name": "db.example.com"}, ["name: db.example.com. is not in the managed zone"]),
    ({"name": "dbha.internal"}, ["name: dbha.internal. is not in the managed zone"]),
    ({"name": "a..ha.internal"}, ["name: 'a..ha.internal.' is not a DNS name"]),
    ({"name": "db.ha.internal.."}, ["name: 'db.ha.internal..' is not a DNS name"]),
    ({"ttl": True}, ["ttl: true is no number"]),
    ({"name": "a b.ha.internal"}, ["name: ", "is not a DNS name"]),
    ({"name": "a/b.ha.internal"}, ["name: ", "is not a DNS name"]),
    ({"name": "a?x=1.ha.internal"}, ["name: ", "is not a DNS name"]),
    ({"name": ""}, ["name: '.' is not a DNS name"]),
    ({"addresses": ["10.100.2.300"]}, ["addresses: '10.100.2.300': no IPv4 address"]),
    ({"addresses": ["fd00::1"]}, ["addresses: 'fd00::1': no IPv4 address, and a record of the type A has no other"]),
    ({"type": "AAAA"}, [f"addresses: '{NEW}': no IPv6 address"]),
    ({"type": "AAAA", "addresses": ["fe80::1%eth0"]}, ["addresses: 'fe80::1%eth0': no IPv6 address"]),
    ({"addresses": ["10.0.0.0/24"]}, ["addresses: '10.0.0.0/24'"]),
    ({"addresses": []}, ["addresses: give at least one; state=absent takes the record away"]),
    ({"expected": ["db1"]}, ["expected: 'db1': no IPv4 address"]),
    ({"name": "new.ha.internal", "addresses": None}, ["addresses: give them, as new.ha.internal. has no A record"]),
    ({"ttl": -1}, ["ttl: -1 is not from 0"]),
    ({"ttl": 2**31}, ["ttl: 2147483648 is not from 0 to 2147483647"]),
    ({"timeout": 0}, ["timeout: 0 is not from"]),
    ({"name": "alias.ha.internal"}, ["name: alias.ha.internal. is another name's alias (CNAME)"]),
    ({"access_token": "wrong"}, ["401", "credentials"]),
    (
        {"access_token": "nobody-token"},
        ["403", "It takes dns.managedZones.get on projects/lab-project/managedZones/my-zone"],
    ),
    ({"access_token": "reader-token"}, ["dns.changes.create", "dns.resourceRecordSets.update"]),
    ({"dns_endpoint": "http://127.0.0.1:1"}, ["dns_endpoint", "is not the URL", "https://dns.googleapis.com/dns/v1"]),
    ({"dns_endpoint": "http://127.0.0.1:1/dns/v1", "timeout": 0.5}, ["cannot connect", "Connection refused"]),
    ({"dns_endpoint": "http://u:sesame-pass@h/dns/v1"}, ["dns_endpoint"]),
]


@pytest.mark.parametrize(("options", "words"), BAD_INPUT)
def test_bad_input(site, options, words):
    site.put(OLD)
    site.put("db.ha.internal.", kind="CNAME", name="alias.ha.internal.")
    before = dict(site.zone.records)
    site.api.requests.clear()
    for check_mode in (True, False):
        result = site.run(**{"addresses": [NEW], **options}, _ansible_check_mode=check_mode)
        assert result["failed"] and not result["changed"], result
        for word in words:
            assert word in result["msg"], result["msg"]
        assert "sesame-pass" not in str(result)
    assert site.mutations() == [] and site.zone.records == before


def test_zones_and_records_that_are_not_for_this_module(site):
    site.put(OLD)
    with site.api.cloud.lock:
        site.zone.resource["peeringConfig"] = {"targetNetwork": {"networkUrl": "x"}}
    for result in (site.run(addresses=[NEW]), site.run(state="absent")):
        assert "my-zone has no records of its own: it takes its answers from another network" in result["msg"]
    assert "has no records of its own" in site.info()["problems"][0]
    del site.zone.resource["peeringConfig"]
    with site.api.cloud.lock:
        site.zone.records[NAME, "A"] = {"name": NAME, "type": "A", "ttl": 5, "routingPolicy": {"wrr": {"items": []}}}
    for result in (site.run(addresses=[NEW]), site.run(state="absent")):
        assert "has a routing policy" in result["msg"] and result["addresses"] == []
    assert "has a routing policy" in site.info()["problems"][0] and site.mutations() == []


# --- the info module


def test_info(site):
    result = site.info(access_token="least-token")
    zone = {"name": ZONE, "dns_name": "ha.internal.", "visibility": "private", "networks": ["ip-failover"]}
    assert (result["exists"], result["addresses"], result["ttl"], result["zone"]) == (False, [], None, zone)
    assert result["problems"] == [f"{NAME} has no A record"] and not result["changed"]
    site.put(OLD)
    result = site.info(access_token="least-token")
    assert (result["exists"], result["address"], result["addresses"], result["ttl"]) == (True, NAME, [OLD], 30)
    assert result["problems"] == [] and not result["pending"] and site.mutations() == []
    assert site.info(access_token="reader-token", preflight=False)["problems"] == []
    problems = site.info(access_token="reader-token")["problems"]
    assert sorted(re.findall(r"dns\.\w+\.\w+", "\n".join(problems))) == sorted(LEAST - READS)
    problems = site.info(managed_zone="lonely", name="a.lonely")["problems"]
    assert problems[0] == "managed_zone: no network sees lonely: bind it to the clients' networks"
    site.put("db.ha.internal.", kind="CNAME", name="alias.ha.internal.")
    assert "another name's alias" in site.info(name="alias.ha.internal")["problems"][0]
    result = site.info(name="a b")
    assert result["failed"] and "is not a DNS name" in result["msg"]


def test_the_endpoint_of_cloud_dns(site, monkeypatch):
    """It goes with that of Compute Engine, or is given, or is in a variable."""
    site.put(OLD)
    ours = f"{site.proxy.url}/dns/v1"
    assert site.info()["exists"]
    assert site.info(endpoint="http://127.0.0.1:1/compute/v1", dns_endpoint=ours)["exists"]
    monkeypatch.setenv("GCP_DNS_ENDPOINT", ours)
    assert site.info(endpoint="http://127.0.0.1:1/compute/v1")["exists"]

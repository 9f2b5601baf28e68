# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's Cloud DNS and its resolver: what docs/gce-api.md says of them."""

from __future__ import annotations

import dataclasses
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from busy import until
from dns import flags, message, opcode, query, rcode, rdatatype

from ansible_collections.cloudha.vip.tests.contract.test_gce_emulator import PROJECT, Api
from ansible_collections.cloudha.vip.tests.contract.test_gce_recorded import refusal
from lab import topology
from lab.gce import discovery
from lab.gce.dns_methods import HANDLERS
from lab.gce.server import Local, local
from lab.gce.world import Instance, ManagedZone, Network, Principal, ServiceProject, Subnetwork, World

ZONES = f"{PROJECT}/managedZones"
ZONE = f"{ZONES}/ha"
CHANGES, RECORDS = f"{ZONE}/changes", f"{ZONE}/rrsets"
NAME = "web.ha.internal."
NETWORK = "https://www.googleapis.com/compute/v1/projects/lab-project/global/networks/ip-failover"
SOA = "ns-gcp-private.googledomains.com. cloud-dns-hostmaster.google.com. 1 21600 3600 259200 300"


def world() -> World:
    base = topology.get("gcp_route_heartbeat").world
    assert isinstance(base, World)
    return dataclasses.replace(
        base,
        networks=(*base.networks, Network("other")),
        subnetworks=(*base.subnetworks, Subnetwork("others", "other", "us-central1", "10.101.0.0/16")),
        instances=(*base.instances, Instance("stranger", "us-central1-a", "other", "others", "10.101.2.1")),
        managed_zones=(ManagedZone("ha", "ha.internal.", ("ip-failover",)),),
        principals=(*base.principals, Principal("nobody", ("nobodys",), frozenset())),
        service_projects=(ServiceProject("service-project", 419080500002),),
    )


@pytest.fixture
def gce() -> Iterator[Local]:
    with local(world()) as emulator:
        yield emulator
        assert emulator.violations == []


@pytest.fixture
def api(gce: Local) -> Api:
    return Dns(gce)


class Dns(Api):
    def __init__(self, gce: Local, token: str = topology.CONTROLLER_TOKEN) -> None:
        super().__init__(gce, token)
        self.base = "/dns/v1"

    def says(self, verb: str, path: str, body: object = None) -> tuple[int, str, str]:
        """Status, reason and message of a refusal."""
        status, answer = self(verb, path, body)
        assert status >= 400, answer
        return status, answer["error"]["errors"][0]["reason"], answer["error"]["message"]


def record(*datas: str, **changes: Any) -> dict[str, Any]:
    body = {"name": NAME, "type": "A", "ttl": 30, "rrdatas": list(datas or ("10.100.2.1",)), **changes}
    return {key: value for key, value in body.items() if value is not None}


def ask(gce: Local, name: str = NAME, kind: str = "A", instance: str = "client1", tcp: bool = False) -> message.Message:
    """What the resolver says to an instance."""
    host, port = gce.resolver(instance)
    asked = query.tcp if tcp else query.udp
    return asked(message.make_query(name, kind), host, port=port, timeout=10)


def answers(gce: Local, name: str = NAME, kind: str = "A", **more: Any) -> list[str]:
    response = ask(gce, name, kind, **more)
    assert response.rcode() == rcode.NOERROR, response
    return sorted(data.to_text() for each in response.answer for data in each)


# --- requests


def test_every_answer_is_what_the_discovery_document_says(api: Dns) -> None:
    change = api.good("POST", CHANGES, {"additions": [record()]})
    for path, schema in {
        ZONES: "ManagedZonesListResponse",
        ZONE: "ManagedZone",
        CHANGES: "ChangesListResponse",
        f"{CHANGES}/{change['id']}": "Change",
        RECORDS: "ResourceRecordSetsListResponse",
        f"{RECORDS}/{NAME}/A": "ResourceRecordSet",
        PROJECT: "Project",
    }.items():
        assert list(discovery.problems_of(f"dns:{schema}", api.good("GET", path))) == [], path
    assert discovery.problems_of("dns:Change", {"status": "maybe", "added": []})


@pytest.mark.parametrize(
    ("verb", "path", "body", "status"),
    [
        ("GET", f"{PROJECT}/managedZone", None, 404),
        ("GET", f"{ZONES}?color=red", None, 400),
        ("POST", CHANGES, {"adds": []}, 400),
        ("POST", CHANGES, {"additions": [{"ttl": "soon"}]}, 400),
        ("GET", f"{CHANGES}?sortOrder=up", None, 400),
        ("GET", f"{RECORDS}?type=A", None, 400),
        ("GET", f"{RECORDS}?name=nodot", None, 400),
        ("GET", "/projects/nowhere/managedZones", None, 404),
        ("GET", f"{PROJECT}/policies", None, 501),
    ],
)
def test_what_the_document_does_not_know_is_refused(api: Dns, verb: str, path: str, body: Any, status: int) -> None:
    assert api(verb, path, body)[0] == status


def test_a_zone_begins_with_its_apex(api: Dns) -> None:
    zone = api.good("GET", ZONE)
    assert (zone["dnsName"], zone["visibility"]) == ("ha.internal.", "private")
    assert zone["nameServers"] == ["ns-gcp-private.googledomains.com."]
    assert [each["networkUrl"] for each in zone["privateVisibilityConfig"]["networks"]] == [NETWORK]
    assert api.good("GET", f"{ZONES}/{zone['id']}") == zone
    found = {each["type"]: each for each in api.good("GET", RECORDS)["rrsets"]}
    assert {kind: (each["ttl"], each["rrdatas"]) for kind, each in found.items()} == {
        "SOA": (21600, [SOA]),
        "NS": (21600, ["ns-gcp-private.googledomains.com."]),
    }
    (first,) = api.good("GET", CHANGES)["changes"]
    assert (first["id"], first["status"], len(first["additions"])) == ("0", "done", 2)


def test_zones_come_and_go(gce: Local, api: Dns) -> None:
    body = {"name": "db", "dnsName": "DB.internal.", "description": "", "visibility": "private"}
    body |= {"privateVisibilityConfig": {"networks": [{"networkUrl": NETWORK}]}}
    assert api.good("POST", ZONES, body)["dnsName"] == "db.internal."
    assert [each["name"] for each in api.good("GET", ZONES)["managedZones"]] == ["db", "ha"]
    assert [each["name"] for each in api.good("GET", f"{ZONES}?dnsName=db.internal.")["managedZones"]] == ["db"]
    page = api.good("GET", f"{ZONES}?maxResults=1")
    (other,) = api.good("GET", f"{ZONES}?maxResults=1&pageToken={page['nextPageToken']}")["managedZones"]
    assert other["name"] == "ha"
    assert api.refused("POST", ZONES, body) == (409, "alreadyExists")
    assert api.refused("POST", ZONES, {**body, "name": "again"}) == (409, "alreadyExists")
    for wrong, answer in (
        ({"name": "No"}, (400, "invalid")),
        ({"dnsName": "nodot"}, (400, "invalid")),
        ({"dnsName": None}, (400, "required")),
        ({"description": None}, (400, "required")),
        ({"visibility": "public"}, (501, "notImplemented")),
        ({"forwardingConfig": {}}, (501, "notImplemented")),
        ({"privateVisibilityConfig": {"networks": [{"networkUrl": f"{NETWORK}x"}]}}, (404, "notFound")),
    ):
        wanted = {**body, "name": "next", "dnsName": "next.internal.", **wrong}
        assert api.refused("POST", ZONES, {k: v for k, v in wanted.items() if v is not None}) == answer, wrong
    api.good("POST", f"{ZONES}/db/changes", {"additions": [record(name="a.db.internal.")]})
    assert answers(gce, "a.db.internal.") == ["10.100.2.1"]
    assert api.refused("DELETE", f"{ZONES}/db") == (400, "containerNotEmpty")
    api.good("DELETE", f"{ZONES}/db/rrsets/a.db.internal./A")
    api.good("DELETE", f"{ZONES}/db")
    message = "The 'parameters.managedZone' resource named 'db' does not exist."
    assert api.says("GET", f"{ZONES}/db") == (404, "notFound", message)
    assert ask(gce, "a.db.internal.").rcode() == rcode.NXDOMAIN


# --- changes


def test_a_change_is_all_or_nothing(gce: Local, api: Dns) -> None:
    old, other = record(), record("10.0.0.9", name="other.ha.internal.")
    api.good("POST", CHANGES, {"additions": [old, other]})
    before, count = api.good("GET", RECORDS), len(api.good("GET", CHANGES)["changes"])
    new = record("10.100.2.2")
    named = f"named '{NAME} (A)'"
    for body, expected in (
        (
            {"additions": [new]},
            (409, "alreadyExists", f"The resource 'entity.change.additions[0]' {named} already exists"),
        ),
        *(
            (
                {"deletions": [other, {**old, **wrong}], "additions": [new]},
                (412, "conditionNotMet", "Precondition not met for 'entity.change.deletions[1]'"),
            )
            for wrong in ({"ttl": 31}, {"rrdatas": ["10.100.2.2"]}, {"rrdatas": ["10.100.2.1", "10.100.2.2"]})
        ),
        (
            {"deletions": [{**old, "type": "AAAA", "rrdatas": ["fd00::1"]}]},
            (404, "notFound", f"The 'entity.change.deletions[0]' resource named '{NAME} (AAAA)' does not exist."),
        ),
        ({}, (400, "required", "The 'entity.change' parameter is required but was missing.")),
    ):
        assert api.says("POST", CHANGES, body) == expected
        assert api.good("GET", RECORDS) == before, body
    assert len(api.good("GET", CHANGES)["changes"]) == count
    change = api.good("POST", CHANGES, {"deletions": [{**old, "name": NAME.upper()}], "additions": [new]})
    assert (change["id"], answers(gce)) == ("2", ["10.100.2.2"])
    assert api.refused("POST", CHANGES, {"deletions": [old], "additions": [new]}) == (412, "conditionNotMet")


def test_refusals_are_as_they_were_recorded(gce: Local, api: Dns) -> None:
    """recorded_gce.json says by whom."""
    api.good("POST", CHANGES, {"additions": [record()]})
    there = {"owner": NAME, "type": "A"}
    assert api("POST", RECORDS, record()) == refusal("dns: record set that is there", **there)
    new = record(name="new.ha.internal.")
    again = {"additions": [new, record()]}
    assert api("POST", CHANGES, again) == refusal("dns: addition that is there", index="1", **there)
    wrong = {"deletions": [record(ttl=5)]}
    assert api("POST", CHANGES, wrong) == refusal("dns: deletion that does not match", index="0")
    assert api("POST", CHANGES, {}) == refusal("dns: empty change")
    bare = {"additions": [new, record(name="bare")]}
    assert api("POST", CHANGES, bare) == refusal("dns: name of an addition", index="1", owner="bare")
    assert api("GET", f"{ZONES}/no") == refusal("dns: no such zone", zone="no")
    assert Dns(gce, "nobodys")("GET", ZONES) == refusal("dns: permission is missing")


def test_the_data_of_a_deletion_has_no_order(api: Dns) -> None:
    api.good("POST", CHANGES, {"additions": [record("10.100.2.1", "10.100.2.2")]})
    api.good("POST", CHANGES, {"deletions": [record("10.100.2.2", "10.100.2.1")]})
    assert len(api.good("GET", RECORDS)["rrsets"]) == 2


@pytest.mark.parametrize(
    ("wrong", "where"),
    [
        ({"name": "web.example.com."}, "name"),
        ({"name": "web.ha.internal"}, "name"),
        ({"name": "evilha.internal."}, "name"),
        ({"name": f"{64 * 'a'}.ha.internal."}, "name"),
        ({"type": "B"}, "type"),
        ({"type": "SOA"}, "type"),
        ({"ttl": -1}, "ttl"),
        ({"rrdatas": ["10.100.2.300"]}, "rrdata[0]"),
        ({"rrdatas": ["10.0.0.1", "fd00::1"]}, "rrdata[1]"),
        ({"rrdatas": ["10.0.0.1", "10.0.0.1"]}, "rrdatas"),
        ({"type": "CNAME", "rrdatas": ["a.ha.internal.", "b.ha.internal."]}, "rrdatas"),
    ],
)
def test_a_record_that_cannot_be(api: Dns, wrong: dict[str, Any], where: str) -> None:
    status, reason, said = api.says("POST", CHANGES, {"additions": [record(**wrong)]})
    assert (status, reason) == (400, "invalid") and f"'entity.change.additions[0].{where}'" in said
    status, reason, said = api.says("POST", RECORDS, record(**wrong))
    assert (status, reason) == (400, "invalid") and f"'entity.rrset.{where}'" in said


@pytest.mark.parametrize("gone", ["name", "type", "ttl", "rrdatas"])
def test_a_record_that_lacks_something(api: Dns, gone: str) -> None:
    assert api.refused("POST", CHANGES, {"additions": [record(**{gone: None})]}) == (400, "required")


def test_what_no_zone_can_be(api: Dns) -> None:
    apex = {each["type"]: each for each in api.good("GET", RECORDS)["rrsets"]}
    for kind in ("SOA", "NS"):
        assert api.refused("POST", CHANGES, {"deletions": [apex[kind]]}) == (400, "invalidZoneApex")
    alias = record("other.ha.internal.", type="CNAME")
    both = {"additions": [record(), alias]}
    assert api.refused("POST", CHANGES, both) == (400, "cnameResourceRecordSetConflict")
    api.good("POST", CHANGES, {"additions": [record()]})
    api.good("POST", CHANGES, {"deletions": [record()], "additions": [alias]})


def test_the_serial_is_raised_by_a_change_that_says_so(gce: Local, api: Dns) -> None:
    """As gcloud's transactions do: then they conflict with each other."""
    api.good("POST", CHANGES, {"additions": [record()]})
    soa = api.good("GET", f"{RECORDS}/ha.internal./SOA")
    assert soa["rrdatas"] == [SOA]
    raised = {**soa, "rrdatas": [SOA.replace(" 1 ", " 2 ")]}
    api.good("POST", CHANGES, {"deletions": [soa], "additions": [raised]})
    assert answers(gce, "ha.internal.", "SOA") == raised["rrdatas"]
    assert api.refused("POST", CHANGES, {"deletions": [soa], "additions": [raised]}) == (412, "conditionNotMet")


def test_single_record_sets(gce: Local, api: Dns) -> None:
    made = api.good("POST", RECORDS, record("FD00::1", type="AAAA"))
    assert made["rrdatas"] == ["fd00::1"] and api.good("GET", f"{RECORDS}/{NAME}/AAAA") == made
    already = f"The resource 'entity.rrset' named '{NAME} (AAAA)' already exists"
    assert api.says("POST", RECORDS, record("fd00::2", type="AAAA")) == (409, "alreadyExists", already)
    assert api.good("PATCH", f"{RECORDS}/{NAME}/AAAA", {"ttl": 5, "rrdatas": ["fd00::2"]})["ttl"] == 5
    assert answers(gce, kind="AAAA") == ["fd00::2"]
    assert [each["type"] for each in api.good("GET", f"{RECORDS}?name={NAME}")["rrsets"]] == ["AAAA"]
    assert api.good("GET", f"{RECORDS}?name={NAME}&type=A")["rrsets"] == []
    api.good("DELETE", f"{RECORDS}/{NAME}/AAAA")
    assert [api.refused(verb, f"{RECORDS}/{NAME}/AAAA") for verb in ("GET", "DELETE")] == [(404, "notFound")] * 2
    assert api.refused("PATCH", f"{RECORDS}/{NAME}/AAAA", {"ttl": 5}) == (404, "notFound")
    found = api.good("GET", f"{CHANGES}?sortOrder=descending")["changes"]
    assert [each["id"] for each in found] == ["3", "2", "1", "0"] and found[0]["deletions"][0]["ttl"] == 5


def test_a_change_is_pending_and_then_served(gce: Local, api: Dns) -> None:
    """However slow the machine is: the change ends when it is told to."""
    gce.admin("PATCH", "/behaviour", {"faults": [{"kind": "never-ends"}]})
    first = api.good("POST", CHANGES, {"additions": [record()]})
    gce.admin("PATCH", "/behaviour", {"faults": [{"kind": "never-ends", "times": 0}]})
    second = api.good("POST", CHANGES, {"deletions": [record()], "additions": [record("10.100.2.2")]})
    assert (first["status"], second["status"]) == ("pending", "pending")
    # The records are those of all changes; the name servers do not know them yet.
    assert api.good("GET", f"{RECORDS}/{NAME}/A")["rrdatas"] == ["10.100.2.2"]
    assert ask(gce).rcode() == rcode.NXDOMAIN
    gce.admin("PATCH", "/behaviour", {"faults": [], "dns_propagation_s": 3600})
    assert {each["status"] for each in api.good("GET", CHANGES)["changes"]} == {"done"}
    assert ask(gce).rcode() == rcode.NXDOMAIN, "done is not served"
    gce.admin("PATCH", "/behaviour", {"dns_latency_s": 0.05, "dns_propagation_s": 0.05})
    api.good("POST", RECORDS, record("10.100.2.2", name="x.ha.internal."))
    until(lambda: ask(gce).answer)
    assert answers(gce) == ["10.100.2.2"]


def test_faults(gce: Local, api: Dns) -> None:
    gce.admin("PATCH", "/behaviour", {"faults": [{"kind": "slow", "seconds": 0.3, "match": {"verb": "POST"}}]})
    change = api.good("POST", CHANGES, {"additions": [record()]})
    assert change["status"] == "pending"
    until(lambda: api.good("GET", f"{CHANGES}/{change['id']}")["status"] == "done")
    gce.admin("PATCH", "/behaviour", {"faults": [{"kind": "status", "status": 503, "times": 1}]})
    assert api("GET", RECORDS)[0] == 503 and api("GET", RECORDS)[0] == 200
    log = gce.admin("GET", "/log")
    assert [(each["name"], each["mutation"]) for each in log if each["method"] == "POST"] == [
        ("dns.changes.create", True)
    ]
    state = gce.admin("GET", "/state")["dns"]
    assert [each["zone"]["name"] for each in state] == ["ha"] and len(state[0]["served"]) == 3


# --- who may


_BODIES = {"dns.changes.create": {"additions": [record()]}, "dns.managedZones.create": {"name": "x"}}


@pytest.mark.parametrize("method", sorted(each for each in HANDLERS if not each.endswith("testIamPermissions")))
def test_every_method_needs_a_permission(gce: Local, method: str) -> None:
    verb, path = next((each.verb, path) for each, path in discovery.methods("dns") if each.id == method)
    values = {"project": "lab-project", "managedZone": "ha", "changeId": "0", "name": NAME, "type": "A"}
    body = _BODIES.get(method, {} if verb in ("POST", "PATCH") else None)
    refusal = Dns(gce, "nobodys").says(verb, "/" + path.format_map(values), body)
    assert refusal == (403, "forbidden", "Forbidden")


@pytest.mark.parametrize(
    ("body", "needs"),
    [
        ({"additions": [record(name="new.ha.internal.")]}, "create"),
        ({"deletions": [record()]}, "delete"),
        ({"deletions": [record()], "additions": [record("10.0.0.2")]}, "update"),
    ],
)
def test_a_change_needs_the_permissions_of_what_it_does(gce: Local, api: Dns, body: Any, needs: str) -> None:
    api.good("POST", CHANGES, {"additions": [record()]})
    needed = {"dns.changes.create", f"dns.resourceRecordSets.{needs}"}
    caller = Dns(gce, "nobodys")
    for each in needed:
        gce.cloud.permissions["nobody"] = frozenset(needed - {each})
        assert caller.refused("POST", CHANGES, body) == (403, "forbidden")
    gce.cloud.permissions["nobody"] = frozenset(needed)
    assert caller.good("POST", f"{ZONE}:testIamPermissions", {"permissions": [*needed, "dns.changes.get"]}) == {
        "permissions": list(needed)
    }
    caller.good("POST", CHANGES, body)


def test_a_zone_of_a_service_project_on_the_hosts_network(gce: Local, api: Dns) -> None:
    path = "/projects/service-project/managedZones"
    body = {"name": "ha", "dnsName": "svc.internal.", "description": "", "visibility": "private"}
    body |= {"privateVisibilityConfig": {"networks": [{"networkUrl": NETWORK}]}}
    gce.cloud.permissions["nobody"] = frozenset({"dns.managedZones.create"})
    assert Dns(gce, "nobodys").refused("POST", path, body) == (403, "forbidden")
    api.good("POST", path, body)
    api.good("POST", f"{path}/ha/changes", {"additions": [record(name="a.svc.internal.")]})
    assert answers(gce, "a.svc.internal.") == ["10.100.2.1"]


# --- the resolver


@pytest.fixture
def served(gce: Local, api: Dns) -> Local:
    records = [
        record("10.100.2.1", "10.100.2.2"),
        record("fd00::1", type="AAAA"),
        record("web", name="alias.ha.internal.", type="CNAME", rrdatas=["WEB.ha.internal."], ttl=60),
        record("x", name="away.ha.internal.", type="CNAME", rrdatas=["www.example.com."]),
        record("x", name="loop.ha.internal.", type="CNAME", rrdatas=["loop.ha.internal."]),
        record("10.9.9.9", name="*.wild.ha.internal."),
        record("10.9.9.8", name="a.deep.ha.internal."),
        record(*(f"10.7.{n // 250}.{n % 250}" for n in range(100)), name="many.ha.internal."),
    ]
    api.good("POST", CHANGES, {"additions": records})
    return gce


def test_an_answer(served: Local) -> None:
    for tcp in (False, True):
        response = ask(served, NAME.upper(), tcp=tcp)
        assert {each.to_text() for each in response.answer[0]} == {"10.100.2.1", "10.100.2.2"}
        assert (response.answer[0].ttl, response.flags & flags.RA != 0) == (30, True)
    assert answers(served, kind="AAAA") == ["fd00::1"]
    entries = served.admin("GET", "/log/dns")
    assert [(each["caller"], each["method"], each["udp"], each["status"]) for each in entries] == [
        ("client1", "A", True, "NOERROR"),
        ("client1", "A", False, "NOERROR"),
        ("client1", "AAAA", True, "NOERROR"),
    ]
    served.admin("DELETE", "/log")
    assert served.admin("GET", "/log/dns") == []


def test_names_that_lead_elsewhere(served: Local) -> None:
    response = ask(served, "alias.ha.internal.")
    assert [(each.name.to_text().lower(), each.rdtype, each.ttl) for each in response.answer] == [
        ("alias.ha.internal.", rdatatype.CNAME, 60),
        (NAME, rdatatype.A, 30),
    ]
    assert answers(served, "alias.ha.internal.", "CNAME") == ["WEB.ha.internal."]
    response = ask(served, "away.ha.internal.")
    assert response.rcode() == rcode.NXDOMAIN and response.answer[0].rdtype == rdatatype.CNAME
    assert ask(served, "loop.ha.internal.").rcode() == rcode.SERVFAIL
    assert answers(served, "any.wild.ha.internal.") == answers(served, "a.b.wild.ha.internal.") == ["10.9.9.9"]


def test_what_there_is_not(served: Local) -> None:
    for name in ("no.ha.internal.", "b.deep.ha.internal.", "xha.internal."):
        response = ask(served, name)
        assert (response.rcode(), response.answer) == (rcode.NXDOMAIN, [])
    # How long that may be remembered: the SOA says so.
    authority = ask(served, "no.ha.internal.").authority[0]
    assert (authority.rdtype, authority.ttl) == (rdatatype.SOA, 300)
    for name, kind in ((NAME, "TXT"), ("deep.ha.internal.", "A")):
        response = ask(served, name, kind)
        assert (response.rcode(), response.answer, len(response.authority)) == (rcode.NOERROR, [], 1)
    assert not ask(served, "www.example.com.").authority


def test_only_the_network_of_the_zone_sees_it(served: Local) -> None:
    assert ask(served, instance="stranger").rcode() == rcode.NXDOMAIN
    assert answers(served, instance="node1")


def test_a_long_answer_comes_by_tcp(served: Local) -> None:
    host, port = served.resolver("client1")
    asked = message.make_query("many.ha.internal.", "A")
    response, by_tcp = query.udp_with_fallback(asked, host, port=port, timeout=10)
    assert by_tcp and len(response.answer[0]) == 100
    # With EDNS there is more room, and less than for all of these.
    asked = message.make_query("many.ha.internal.", "A", use_edns=0, payload=4096)
    assert query.udp(asked, host, port=port, timeout=10).flags & flags.TC


def test_hostile_queries(served: Local) -> None:
    address = served.resolver("client1")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for text in (b"", b"\0" * 11, b"\xff" * 500, ask(served).to_wire()):
            sock.sendto(text, address)
    with socket.create_connection(address, timeout=10) as sock:
        sock.sendall(b"\0\5hello")
        assert sock.recv(1) == b""
    notification = message.make_query(NAME, "A")
    notification.set_opcode(opcode.NOTIFY)
    assert query.udp(notification, address[0], port=address[1], timeout=10).rcode() == rcode.NOTIMP
    assert answers(served)


def test_who_asks_is_known_by_the_address(served: Local) -> None:
    from lab.gce.dns_resolver import Resolver

    resolver = Resolver(served.cloud, served.dns_queries, served.cloud.instance_at, ("127.0.0.1", 0))
    host, port = resolver.address
    asked = message.make_query(NAME, "A")
    assert query.udp(asked, host, port=port, timeout=10).rcode() == rcode.REFUSED
    served.cloud.instances["client1"]["networkInterfaces"][0]["networkIP"] = "127.0.0.1"
    assert query.udp(asked, host, port=port, timeout=10).answer
    resolver.close()

# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's API of Compute Engine: backend services and forwarding rules, as docs/gce-api.md says."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.cloudha.vip.tests.contract import lb_api
from ansible_collections.cloudha.vip.tests.contract.lb_api import (
    ADDRESS,
    ADDRESSES,
    CHECKS,
    GLOBAL_CHECKS,
    GROUP1,
    HOST,
    NETWORK,
    REGION,
    RESERVED,
    RULES,
    SERVICES,
    SUBNETWORK,
    Balancer,
    backend,
    check,
    groups,
    instance,
    other_places,
    rule,
    service,
)
from ansible_collections.cloudha.vip.tests.contract.test_gce_emulator import NODE1, PROJECT
from ansible_collections.cloudha.vip.tests.contract.test_gce_recorded import RECORDED, refusal
from lab.gce.server import Local, local

api, lb = lb_api.api, lb_api.lb  # fixtures


# --- backend services


def test_a_backend_service_as_stored(lb: Balancer) -> None:
    made = lb.made(SERVICES, service())
    assert (
        made.items()
        >= {
            "kind": "compute#backendService",
            "loadBalancingScheme": "INTERNAL",
            "protocol": "TCP",
            "sessionAffinity": "NONE",
            "timeoutSec": 30,
            "description": "",
            "connectionDraining": {"drainingTimeoutSec": 0},
            "healthChecks": [f"{HOST}{CHECKS}/web"],
            "region": f"{HOST}{REGION}",
        }.items()
    )
    assert made["backends"] == [{**backend("node1"), "description": ""}, {**backend("node2"), "description": ""}]
    assert "usedBy" not in made and "port" not in made and "failoverPolicy" not in made
    lb.made(RULES, rule())
    assert lb.good("GET", f"{SERVICES}/web")["usedBy"] == [{"reference": f"{HOST}{RULES}/web"}]


def test_a_backend_service_is_changed_in_place(lb: Balancer) -> None:
    made = lb.made(SERVICES, service(description="ours", sessionAffinity="CLIENT_IP"))
    path = f"{SERVICES}/web"
    policy = {"failoverRatio": 0.0, "dropTrafficIfUnhealthy": False}
    patched = lb.change(path, failoverPolicy=policy, backends=[backend("node1"), backend("node2", failover=True)])
    assert patched["failoverPolicy"] == policy and patched["backends"][1]["failover"] is True
    assert (patched["description"], patched["sessionAffinity"]) == ("ours", "CLIENT_IP")
    assert patched["fingerprint"] != made["fingerprint"] and patched["id"] == made["id"]
    assert lb.change(path, failoverPolicy={"failoverRatio": 0.5})["failoverPolicy"] == {**policy, "failoverRatio": 0.5}
    assert "failoverPolicy" not in lb.change(path, failoverPolicy=None)
    assert "backends" not in lb.change(path, backends=[]), "the last one is taken away"
    lb.made(GLOBAL_CHECKS, check(name="other"))
    updated = lb.change(path, "PUT", healthChecks=["global/healthChecks/other"], backends=[backend("node2")])
    assert updated["healthChecks"] == [f"{HOST}{GLOBAL_CHECKS}/other"] and len(updated["backends"]) == 1
    body = {"fingerprint": updated["fingerprint"], "loadBalancingScheme": "INTERNAL"}
    lb.done("PUT", path, {**body, "healthChecks": updated["healthChecks"]})
    bare = lb.good("GET", path)
    assert (bare["description"], bare["sessionAffinity"]) == ("", "NONE") and "backends" not in bare
    now = bare["fingerprint"]
    for field, value in (
        ("loadBalancingScheme", "EXTERNAL"),
        ("name", "other"),
        ("network", NETWORK),
        ("healthChecks", None),
    ):
        status, answer = lb("PATCH", path, {"fingerprint": now, field: value})
        assert status == 400 and f"resource.{field}" in answer["error"]["message"]


def test_the_fingerprint_of_a_backend_service(lb: Balancer) -> None:
    made = lb.made(SERVICES, service())
    path = f"{SERVICES}/web"
    for verb in ("PATCH", "PUT"):
        assert lb(verb, path, service()) == refusal("no fingerprint of a backend service")
        assert lb.refused(verb, path, service(fingerprint="AAAAAAAAAAA=")) == (412, "conditionNotMet")
    other_alphabet = made["fingerprint"].translate(str.maketrans("-_", "+/"))
    lb.done("PATCH", path, {"fingerprint": other_alphabet, "description": "new"})
    assert lb.refused("PATCH", path, {"fingerprint": made["fingerprint"]}) == (412, "conditionNotMet")


def test_the_network_of_a_backend_service_stays(lb: Balancer) -> None:
    made = lb.made(SERVICES, service(network=NETWORK))
    assert made["network"] == NETWORK
    with local(other_places()) as gce:
        api = Balancer(gce)
        api.parts()
        made = api.made(SERVICES, service(network=NETWORK, backends=None))
        other = NETWORK.replace("ip-failover", "other")
        said = refusal("network of a backend service", network=other.removeprefix(f"{HOST}/"))
        assert api("PATCH", f"{SERVICES}/web", {"fingerprint": made["fingerprint"], "network": other}) == said
        theirs = service(name="x", network=other)
        assert api.refused("POST", SERVICES, theirs) == (400, "invalid"), "the groups are on the first one"
        assert gce.violations == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"name": None}, (400, "required")),
        ({"healthChecks": None}, (400, "required")),
        ({"healthChecks": ["global/healthChecks/no"]}, (404, "notFound")),
        ({"healthChecks": [f"{CHECKS[1:]}/web"] * 2}, (400, "invalid")),
        ({"healthChecks": ["web"]}, (400, "invalid")),
        ({"loadBalancingScheme": "INTERNAL_MANAGED"}, (501, "notImplemented")),
        ({"protocol": "HTTP"}, (400, "invalid")),
        ({"timeoutSec": 0}, (400, "invalid")),
        ({"portName": "http"}, (501, "notImplemented")),
        ({"haPolicy": {"fastIPMove": "GARP_RA"}}, (501, "notImplemented")),
        ({"sessionAffinity": "GENERATED_COOKIE"}, (400, "invalid")),
        ({"connectionDraining": {"drainingTimeoutSec": 3601}}, (400, "invalid")),
        ({"failoverPolicy": {"failoverRatio": 1.1}}, (400, "invalid")),
        ({"connectionTrackingPolicy": {"idleTimeoutSec": 600}}, (400, "invalid")),
        ({"connectionTrackingPolicy": {"trackingMode": "INVALID_TRACKING_MODE"}}, (400, "invalid")),
        ({"connectionTrackingPolicy": {"enableStrongAffinity": True}}, (400, "invalid")),
        ({"backends": [backend("node1", group=f"{GROUP1[1:]}")]}, (400, "invalid")),
        ({"backends": [backend("node1", group=f"{HOST}{GROUP1}x")]}, (404, "notFound")),
        ({"backends": [backend("node1", group=f"{HOST}{NODE1}")]}, (400, "invalid")),
        ({"backends": [backend("node1"), backend("node1")]}, (400, "invalid")),
        ({"backends": [backend("node1", maxConnections=5)]}, (400, "invalid")),
        ({"backends": [backend("node1", capacityScaler=0.5)]}, (400, "invalid")),
        ({"network": "global/networks/no"}, (404, "notFound")),
    ],
)
def test_backend_services_that_cannot_be(lb: Balancer, changes: dict[str, Any], said: tuple[int, str]) -> None:
    assert lb.refused("POST", SERVICES, service(**changes)) == said
    assert "items" not in lb.good("GET", SERVICES)


def test_what_else_a_backend_service_refuses(lb: Balancer) -> None:
    utilization = service(backends=[backend("node1", balancingMode="UTILIZATION")])
    assert lb("POST", SERVICES, utilization) == refusal("balancing mode")
    lb.group("client1", members=())
    empty = service(backends=[backend("node1", group=f"{HOST}{groups('client1')}/of-client1")])
    assert lb.refused("POST", SERVICES, empty) == (400, "invalid"), "a group without a network"
    serving = {"portSpecification": "USE_SERVING_PORT"}
    lb.made(CHECKS, check(name="serving", tcpHealthCheck=serving))
    body = service(healthChecks=[f"{CHECKS[1:]}/serving"])
    assert lb.refused("POST", SERVICES, body) == (400, "invalid")
    lb.made(SERVICES, service())
    patch = {"tcpHealthCheck": {**serving, "port": None}}
    assert lb.refused("PATCH", f"{CHECKS}/web", patch) == (400, "invalid"), "a backend service has it"
    # The flag is refused for UDP, even as false; see terraform-provider-google#13529.
    for protocol, good in (("UDP", False), ("UNSPECIFIED", True)):
        body = service(name=protocol.lower(), protocol=protocol)
        body["failoverPolicy"] = {"disableConnectionDrainOnFailover": False}
        assert (lb("POST", SERVICES, body)[0] == 200) == good
    session = {"trackingMode": "PER_SESSION", "idleTimeoutSec": 599}
    body = service(name="x", sessionAffinity="CLIENT_IP", connectionTrackingPolicy=session)
    assert lb.refused("POST", SERVICES, body) == (400, "invalid")


def test_places_of_a_backend_service() -> None:
    with local(other_places()) as gce:
        api = Balancer(gce)
        api.parts()
        east = f"{PROJECT}/zones/us-east1-b/instanceGroups"
        api.made(east, {"name": "far", "network": NETWORK})
        body = service(backends=[backend("node1", group=f"{HOST}{east}/far")])
        assert api.refused("POST", SERVICES, body) == (400, "invalid")
        elsewhere = SERVICES.replace("us-central1", "us-east1")
        assert api.refused("POST", elsewhere, service(backends=None)) == (400, "invalid"), "the check is elsewhere"
        # The same name in another region is another one.
        api.made(CHECKS.replace("us-central1", "us-east1"), check())
        body = service(backends=None, healthChecks=[f"{HOST}{CHECKS}/web".replace("us-central1", "us-east1")])
        api.made(elsewhere, body)
        api.made(SERVICES, service())
        assert sorted(each.region for each in gce.cloud.balancers.services()) == ["us-central1", "us-east1"]
        body = rule(backendService=f"{HOST}{elsewhere}/web")
        assert api.refused("POST", RULES, body) == (400, "invalid")
        other = NETWORK.replace("ip-failover", "other")
        there = SUBNETWORK.replace("ip-failover-subnet", "others")
        url = f"{HOST}{SERVICES}/web"
        said = refusal(
            "networks that do not fit",
            url=url,
            rule=other.removeprefix(f"{HOST}/"),
            service=NETWORK.removeprefix(f"{HOST}/"),
        )
        assert api("POST", RULES, rule(network=other, subnetwork=there)) == said
        assert api.refused("POST", RULES, rule(network=other)) == (400, "invalid"), "the subnetwork is in the first"
        api.made(RULES, rule(subnetwork=SUBNETWORK.replace("ip-failover-subnet", "second"), IPAddress="10.101.9.1"))
        assert gce.violations == []


def test_health(gce: Local, api: Balancer) -> None:
    api.whole()
    path, body = f"{SERVICES}/web/getHealth", {"group": f"{HOST}{GROUP1}"}
    assert api.good("POST", path, body) == {"kind": "compute#backendServiceGroupHealth"}, "nobody has probed yet"
    gce.cloud.balancers.health["web", "node1"] = "UNHEALTHY"
    gce.cloud.balancers.health["web", "node2"] = "HEALTHY"
    (found,) = api.good("POST", path, body)["healthStatus"]
    stored = RECORDED["health of a backend"]
    assert sorted(found) == sorted(stored["fields"]) and found.items() >= stored["values"].items()
    assert (found["instance"], found["healthState"]) == (instance("node1"), "UNHEALTHY")
    assert (found["ipAddress"], found["forwardingRuleIp"]) == ("10.100.2.1", ADDRESS)
    states = {each["instance"]: each["state"] for each in gce.admin("GET", "/state")["health"]}
    assert states == {"node1": "UNHEALTHY", "node2": "HEALTHY"}
    api.made(RULES, rule(name="more", IPAddress="10.100.9.2"))
    health = api.good("POST", path, {"group": GROUP1[1:]})["healthStatus"]
    assert [each["forwardingRuleIp"] for each in health] == [ADDRESS, "10.100.9.2"]
    api.done("POST", f"{GROUP1}/removeInstances", {"instances": [{"instance": instance("node1")}]})
    assert "healthStatus" not in api.good("POST", path, body)
    for group in (f"{HOST}{GROUP1}x", ""):
        assert api.refused("POST", path, {"group": group}) == (400, "invalid")


# --- forwarding rules


def test_an_internal_forwarding_rule_as_stored(api: Balancer) -> None:
    made, stored = api.whole(), RECORDED["internal forwarding rule as stored"]
    assert sorted(made) == sorted([*stored["fields"], "description"])
    assert made.items() >= stored["values"].items()
    assert made["selfLinkWithId"] == f"{HOST}{RULES}/{made['id']}"
    assert (made["IPAddress"], made["ports"], made["network"]) == (ADDRESS, ["80"], NETWORK)


@pytest.mark.parametrize("form", ["{host}{path}", "{path}", "regions/us-central1/addresses/web", "web", ADDRESS])
def test_the_address_of_a_rule_is_a_number_whatever_it_was_given_as(api: Balancer, form: str) -> None:
    api.made(ADDRESSES, RESERVED)
    made = api.whole(IPAddress=form.format(host=HOST, path=f"{ADDRESSES}/web").lstrip("/"))
    assert made["IPAddress"] == ADDRESS
    assert api.good("GET", f"{ADDRESSES}/web")["status"] == "IN_USE"
    api.done("DELETE", f"{RULES}/web")
    assert api.good("GET", f"{ADDRESSES}/web")["status"] == "RESERVED"


def test_an_ephemeral_address_can_be_kept(api: Balancer) -> None:
    made = api.whole(IPAddress=None)
    assert made["IPAddress"] == "10.100.0.3"
    kept = api.made(ADDRESSES, {**RESERVED, "address": made["IPAddress"]})
    assert (kept["status"], kept["users"]) == ("IN_USE", [f"{HOST}{RULES}/web"])
    api.done("DELETE", f"{RULES}/web")
    assert api.made(RULES, rule(IPAddress=None))["IPAddress"] == "10.100.0.4", "the other one is reserved"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"name": None}, (400, "required")),
        ({"backendService": None}, (400, "required")),
        ({"backendService": f"{SERVICES[1:]}/no"}, (404, "notFound")),
        ({"backendService": "web"}, (400, "invalid")),
        ({"backendService": f"{PROJECT[1:]}/zones/us-central1-a/targetInstances/x"}, (501, "notImplemented")),
        ({"loadBalancingScheme": "INTERNAL_MANAGED"}, (501, "notImplemented")),
        ({"loadBalancingScheme": "EXTERNAL", "network": None, "subnetwork": None}, (400, "invalid")),
        ({"loadBalancingScheme": None}, (400, "invalid")),
        ({"target": "x"}, (501, "notImplemented")),
        ({"ports": ["1", "2", "3", "4", "5", "6"]}, (400, "invalid")),
        ({"ports": ["80", "80"]}, (400, "invalid")),
        ({"ports": ["0"]}, (400, "invalid")),
        ({"ports": ["80-90"]}, (400, "invalid")),
        ({"ports": None, "portRange": "80-90"}, (400, "invalid")),
        ({"allPorts": True}, (400, "invalid")),
        ({"IPProtocol": "L3_DEFAULT"}, (400, "invalid")),
        ({"IPProtocol": "L3_DEFAULT", "ports": None}, (400, "invalid")),
        ({"IPProtocol": "L3_DEFAULT", "ports": None, "allPorts": True}, (400, "invalid")),
        ({"IPProtocol": "ESP"}, (400, "invalid")),
        ({"subnetwork": None}, (400, "invalid")),
        ({"subnetwork": SUBNETWORK.replace("-subnet", "-no")}, (404, "notFound")),
        ({"network": NETWORK.replace("ip-failover", "no")}, (404, "notFound")),
        ({"networkTier": "STANDARD"}, (400, "invalid")),
        ({"IPAddress": "10.101.0.5"}, (400, "invalid")),
        ({"IPAddress": "10.100.0.1"}, (400, "invalid")),
        ({"IPAddress": "missing"}, (404, "notFound")),
        ({"IPAddress": "global/addresses/web"}, (400, "invalid")),
        ({"serviceLabel": "No"}, (400, "invalid")),
        ({"labels": {"a": "No!"}}, (400, "invalid")),
        ({"isMirroringCollector": True}, (501, "notImplemented")),
    ],
)
def test_forwarding_rules_that_cannot_be(lb: Balancer, changes: dict[str, Any], said: tuple[int, str]) -> None:
    lb.made(SERVICES, service())
    assert lb.refused("POST", RULES, rule(**changes)) == said
    assert "items" not in lb.good("GET", RULES)


def test_a_rule_needs_ports_and_a_protocol_that_fits(lb: Balancer) -> None:
    lb.made(SERVICES, service())
    assert lb("POST", RULES, rule(ports=None)) == refusal("no ports")
    said = refusal("protocols that do not fit", rule="UDP", service="TCP")
    assert lb("POST", RULES, rule(IPProtocol="UDP")) == said
    lb.made(RULES, rule())
    now = lb.good("GET", f"{SERVICES}/web")["fingerprint"]
    status, answer = lb("PATCH", f"{SERVICES}/web", {"fingerprint": now, "protocol": "UDP"})
    assert status == 400 and "resource.protocol" in answer["error"]["message"], "its rule is TCP's"
    assert lb.change(f"{SERVICES}/web", protocol="UNSPECIFIED")["protocol"] == "UNSPECIFIED", "which goes with TCP"


def test_rules_share_an_address(gce: Local, lb: Balancer) -> None:
    lb.made(ADDRESSES, {**RESERVED, "purpose": "SHARED_LOADBALANCER_VIP"})
    for name, protocol in (("web", "TCP"), ("udp", "UDP"), ("all", "UNSPECIFIED")):
        lb.made(SERVICES, service(name=name, protocol=protocol))
    udp = {"backendService": f"{SERVICES[1:]}/udp", "IPProtocol": "UDP"}
    rest = {"backendService": f"{SERVICES[1:]}/all", "IPProtocol": "L3_DEFAULT", "ports": None, "allPorts": True}
    in_use = refusal("internal address in use", address=ADDRESS)
    assert lb.refused("POST", RULES, rule(serviceLabel="web")) == (400, "invalid"), "not with a shared address"
    lb.made(RULES, rule())
    assert lb("POST", RULES, rule(name="same", ports=["443", "80"])) == in_use
    assert lb("POST", RULES, rule(name="same", ports=None, allPorts=True)) == in_use
    lb.made(RULES, rule(name="more", ports=["443"]))
    lb.made(RULES, rule(name="udp", ports=None, allPorts=True, **udp))
    assert lb("POST", RULES, rule(name="same", **udp)) == in_use
    lb.made(RULES, rule(name="rest", **rest))
    assert lb("POST", RULES, rule(name="same", **rest)) == in_use, "one of all protocols"
    for number in range(6):
        lb.made(RULES, rule(name=f"r{number}", ports=[str(8000 + number)]))
    status, answer = lb("POST", RULES, rule(name="eleventh", ports=["9000"]))
    assert status == 400 and "At most 10" in answer["error"]["message"]
    assert len(lb.good("GET", f"{ADDRESSES}/web")["users"]) == 10
    seen = {each.name: [(r.protocol, r.ports) for r in each.rules] for each in gce.cloud.balancers.services()}
    assert seen["udp"] == [("UDP", None)] and seen["all"] == [("L3_DEFAULT", None)] and len(seen["web"]) == 8


def test_a_forwarding_rule_is_changed_in_place(lb: Balancer) -> None:
    lb.made(SERVICES, service())
    made = lb.made(RULES, rule(serviceLabel="www"))
    assert made["serviceName"] == "www.web.il4.us-central1.lb.lab-project.internal"
    path = f"{RULES}/web"
    assert lb.done("PATCH", path, {"allowGlobalAccess": True})["operationType"] == "patch"
    patched = lb.good("GET", path)
    assert patched == {**made, "allowGlobalAccess": True, "fingerprint": patched["fingerprint"]}
    assert patched["fingerprint"] != made["fingerprint"]
    stale = {"allowGlobalAccess": False, "fingerprint": made["fingerprint"]}
    assert lb.refused("PATCH", path, stale) == (412, "conditionNotMet")
    assert lb.change(path, allowGlobalAccess=False)["allowGlobalAccess"] is False
    lb.done("PATCH", path, {**lb.good("GET", path), "allowGlobalAccess": True})
    for field, value in (
        ("IPAddress", "10.100.9.2"),
        ("ports", ["81"]),
        ("IPProtocol", "UDP"),
        ("allPorts", True),
        ("backendService", f"{HOST}{SERVICES}/other"),
        ("subnetwork", SUBNETWORK + "x"),
        ("serviceLabel", "other"),
        ("networkTier", "STANDARD"),
        ("labels", {"a": "1"}),
    ):
        status, answer = lb("PATCH", path, {field: value})
        assert status == 400 and f"'resource.{field}'" in answer["error"]["message"]


def test_a_rule_is_set_to_another_backend_service(gce: Local, api: Balancer) -> None:
    api.whole()
    api.made(SERVICES, service(name="other", backends=[backend("node2")]))
    api.made(SERVICES, service(name="udp", protocol="UDP", backends=None))
    path, other = f"{RULES}/web/setTarget", f"{HOST}{SERVICES}/other"
    operation = api.done("POST", path, {"target": other})
    assert operation["operationType"] == "SetTarget"
    now = api.good("GET", f"{RULES}/web")
    assert (now["backendService"], now["IPAddress"]) == (other, ADDRESS) and "target" not in now
    assert {each.name: len(each.rules) for each in gce.cloud.balancers.services()} == {"web": 0, "other": 1, "udp": 0}
    said = refusal("protocols that do not fit", rule="TCP", service="UDP")
    assert api("POST", path, {"target": f"{SERVICES[1:]}/udp"}) == said
    assert api.refused("POST", path, {}) == (400, "required")
    assert api.refused("POST", path, {"target": f"{SERVICES[1:]}/no"}) == (404, "notFound")


def test_an_external_load_balancer(gce: Local, lb: Balancer) -> None:
    lb.made(ADDRESSES, {"name": "web"})
    external = {"loadBalancingScheme": "EXTERNAL"}
    lb.made(GLOBAL_CHECKS, check())
    body = service(**external, healthChecks=["global/healthChecks/web"])
    assert lb.refused("POST", SERVICES, body) == (400, "invalid"), "its health check is regional"
    assert lb.refused("POST", SERVICES, service(**external, network=NETWORK)) == (400, "invalid")
    assert lb.refused("POST", SERVICES, service(**external, sessionAffinity="CLIENT_IP_NO_DESTINATION"))[0] == 400
    lb.made(SERVICES, service(**external))
    bare = {**external, "network": None, "subnetwork": None}
    for name, value in (("network", NETWORK), ("allowGlobalAccess", True), ("serviceLabel", "x")):
        assert lb.refused("POST", RULES, rule(**{**bare, name: value}, IPAddress="web")) == (400, "invalid")
    for address in ("203.0.113.9", "10.100.9.1"):
        assert lb.refused("POST", RULES, rule(**bare, IPAddress=address)) == (400, "invalid")
    made = lb.made(RULES, rule(**bare, IPAddress="web", ports=None, portRange="80"))
    assert (made["IPAddress"], made["portRange"]) == ("203.0.113.2", "80-80") and "network" not in made
    conflict = rule(**bare, name="more", IPAddress=made["IPAddress"], ports=["79", "80"])
    assert lb("POST", RULES, conflict) == refusal("external address in use", address=made["IPAddress"])
    lb.made(RULES, rule(**bare, name="more", IPAddress=made["IPAddress"], ports=["81", "82"]))
    assert len(lb.good("GET", f"{ADDRESSES}/web")["users"]) == 2
    standard = rule(**bare, name="cheap", networkTier="STANDARD", IPAddress="web", ports=["90"])
    assert lb.refused("POST", RULES, standard) == (400, "invalid"), "the address is of the other tier"
    ephemeral = lb.made(RULES, rule(**bare, name="any", IPAddress=None, networkTier="STANDARD", ports=["1"]))
    assert ephemeral["IPAddress"] == "203.0.113.3"
    kept = lb.made(ADDRESSES, {"name": "kept", "address": "203.0.113.3", "networkTier": "STANDARD"})
    assert kept["status"] == "IN_USE"
    lb.made(RULES, rule(**bare, name="range", IPAddress=None, ports=None, portRange="1000-1002"))
    (seen,) = gce.cloud.balancers.services()
    assert (seen.scheme, seen.network, seen.idle_s) == ("EXTERNAL", "ip-failover", 60)
    assert {each.name: each.ports for each in seen.rules}["range"] == (1000, 1001, 1002)
    for text in ("0-80", "90-80", "80-", "x"):
        assert lb.refused("POST", RULES, rule(**bare, IPAddress=None, ports=None, portRange=text))[0] == 400
    internal = rule(backendService=f"{SERVICES[1:]}/web", name="inside")
    assert lb.refused("POST", RULES, internal) == (400, "invalid"), "its backend service is external"

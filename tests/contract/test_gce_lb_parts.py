# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's API of Compute Engine: addresses, health checks, instance groups, firewall rules; see docs/gce-api.md."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.cloudha.vip.tests.contract import lb_api
from ansible_collections.cloudha.vip.tests.contract.lb_api import (
    ADDRESS,
    ADDRESSES,
    CHECKS,
    FIREWALLS,
    GLOBAL_CHECKS,
    GROUP1,
    HOST,
    NETWORK,
    PROBES,
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


# --- addresses


def test_an_internal_address(api: Balancer) -> None:
    made = api.made(ADDRESSES, {**RESERVED, "description": "ours"})
    assert (
        made.items()
        >= {
            "address": ADDRESS,
            "addressType": "INTERNAL",
            "purpose": "GCE_ENDPOINT",
            "status": "RESERVED",
            "subnetwork": SUBNETWORK,
            "networkTier": "PREMIUM",
            "description": "ours",
            "region": f"{HOST}{REGION}",
        }.items()
    )
    assert "users" not in made
    picked = [api.made(ADDRESSES, {**RESERVED, "name": n, "address": None})["address"] for n in ("a", "b")]
    assert picked == ["10.100.0.3", "10.100.0.4"], "neither what is kept nor what an instance has"
    api.whole()
    used = api.good("GET", f"{ADDRESSES}/web")
    assert (used["status"], used["users"]) == ("IN_USE", [f"{HOST}{RULES}/web"])


def test_an_address_that_an_instance_has_can_be_kept(api: Balancer) -> None:
    made = api.made(ADDRESSES, {**RESERVED, "address": "10.100.2.1"})
    assert (made["status"], made["users"]) == ("IN_USE", [instance("node1")])
    assert api.refused("DELETE", f"{ADDRESSES}/web") == (400, "resourceInUseByAnotherResource")
    assert api("POST", RULES, rule(IPAddress="10.100.2.1"))[0] == 404, "there is no backend service"


def test_an_external_address(api: Balancer) -> None:
    made = api.made(ADDRESSES, {"name": "web"})
    assert (made["address"], made["addressType"], made["networkTier"]) == ("203.0.113.2", "EXTERNAL", "PREMIUM")
    assert "purpose" not in made and "subnetwork" not in made
    standard = api.made(ADDRESSES, {"name": "cheap", "networkTier": "STANDARD", "addressType": "EXTERNAL"})
    assert (standard["address"], standard["networkTier"]) == ("203.0.113.3", "STANDARD")


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"address": "10.101.0.1"}, "address"),
        ({"address": "10.100.0.1"}, "address"),
        ({"address": "10.100.255.254"}, "address"),
        ({"address": "10.100.9.0/24"}, "address"),
        ({"address": "web"}, "address"),
        ({"subnetwork": "ip-failover-subnet"}, "subnetwork"),
        ({"subnetwork": SUBNETWORK.replace("us-central1", "us-east1")}, "subnetwork"),
        ({"purpose": "VPC_PEERING"}, "purpose"),
        ({"networkTier": "STANDARD"}, "networkTier"),
        ({"addressType": "EXTERNAL"}, "purpose"),
        ({"addressType": "EXTERNAL", "purpose": None}, "subnetwork"),
        ({"addressType": "EXTERNAL", "purpose": None, "subnetwork": None}, "address"),
    ],
)
def test_addresses_that_cannot_be(gce: Local, api: Balancer, changes: dict[str, Any], field: str) -> None:
    body = {**RESERVED, "purpose": "GCE_ENDPOINT", **changes}
    status, answer = api("POST", ADDRESSES, body)
    assert status == 400 and f"'resource.{field}'" in answer["error"]["message"]
    assert "items" not in api.good("GET", ADDRESSES)


def test_an_address_needs_a_subnetwork(api: Balancer) -> None:
    body = {**RESERVED, "subnetwork": None}
    assert api("POST", ADDRESSES, body) == refusal("no subnetwork of an internal address")


def test_an_address_in_use(api: Balancer) -> None:
    said = refusal("internal address in use", address=ADDRESS)
    api.made(ADDRESSES, RESERVED)
    for purpose in ("GCE_ENDPOINT", "SHARED_LOADBALANCER_VIP"):
        assert api("POST", ADDRESSES, {**RESERVED, "name": "again", "purpose": purpose}) == said
    api.whole()
    assert api("POST", RULES, rule(name="more", ports=["81"])) == said, "its purpose is not to be shared"
    vip = refusal("internal address in use", address="10.100.2.1")
    assert api("POST", RULES, rule(name="more", IPAddress="10.100.2.1")) == vip, "an instance's"
    shared = {**RESERVED, "name": "shared", "address": "10.100.2.1", "purpose": "SHARED_LOADBALANCER_VIP"}
    assert api("POST", ADDRESSES, shared) == vip


def test_an_alias_range_has_no_address_of_a_load_balancer(api: Balancer) -> None:
    api.made(ADDRESSES, RESERVED)
    api.whole()
    api.made(RULES, rule(name="ephemeral", IPAddress="10.100.9.2", ports=["81"]))
    path = f"{NODE1}/updateNetworkInterface?networkInterface=nic0"
    for address in (ADDRESS, "10.100.9.2"):
        body = {
            "fingerprint": api.good("GET", NODE1)["networkInterfaces"][0]["fingerprint"],
            "aliasIpRanges": [{"ipCidrRange": address}],
        }
        assert api.failed("PATCH", path, body) == (400, "IP_IN_USE_BY_ANOTHER_RESOURCE")
    body["aliasIpRanges"] = [{"ipCidrRange": "10.100.9.3"}]
    api.done("PATCH", path, body)
    said = refusal("internal address in use", address="10.100.9.3")
    assert api("POST", RULES, rule(name="x", IPAddress="10.100.9.3")) == said
    assert api("POST", ADDRESSES, {**RESERVED, "name": "x", "address": "10.100.9.3"}) == said


# --- health checks


def test_a_health_check_as_stored(api: Balancer) -> None:
    stored = RECORDED["health check as stored"]
    made = api.made(CHECKS, check(tcpHealthCheck={}))
    assert sorted(made) == sorted([*stored["values"], *stored["fields"]])
    assert made.items() >= stored["values"].items()
    assert made["tcpHealthCheck"] == {"port": 80, "proxyHeader": "NONE"}
    assert "region" not in api.made(GLOBAL_CHECKS, check())
    http = api.made(
        CHECKS, {"name": "http", "type": "HTTP", "httpHealthCheck": {"portSpecification": "USE_FIXED_PORT"}}
    )
    assert http["httpHealthCheck"] == {
        "port": 80,
        "portSpecification": "USE_FIXED_PORT",
        "proxyHeader": "NONE",
        "requestPath": "/",
    }


@pytest.mark.parametrize("checks", [CHECKS, GLOBAL_CHECKS])
def test_a_health_check_is_changed_in_place(api: Balancer, checks: str) -> None:
    made = api.made(checks, check(description="ours", logConfig={"enable": True}))
    assert api.done("PATCH", f"{checks}/web", {"checkIntervalSec": 3, "timeoutSec": 2})["operationType"] == "patch"
    patched = api.good("GET", f"{checks}/web")
    assert patched == {**made, "checkIntervalSec": 3, "timeoutSec": 2}
    api.done("PATCH", f"{checks}/web", {"tcpHealthCheck": {"port": 81}, "logConfig": None})
    expected = {**patched, "tcpHealthCheck": {"port": 81, "proxyHeader": "NONE"}}
    assert api.good("GET", f"{checks}/web") == {name: value for name, value in expected.items() if name != "logConfig"}
    body = {"type": "HTTP", "httpHealthCheck": {"port": 8080}, "tcpHealthCheck": None}
    api.done("PATCH", f"{checks}/web", body)
    assert api.good("GET", f"{checks}/web")["httpHealthCheck"]["port"] == 8080
    api.done("PUT", f"{checks}/web", check())
    updated = api.good("GET", f"{checks}/web")
    assert (updated["description"], updated["checkIntervalSec"], updated["type"]) == ("", 5, "TCP")
    assert updated["id"] == made["id"] and "httpHealthCheck" not in updated
    assert api.refused("PATCH", f"{checks}/web", {"timeoutSec": 6}) == (400, "invalid")
    assert api.refused("PATCH", f"{checks}/web", {"name": "other"}) == (400, "invalid")
    assert api.refused("PATCH", f"{checks}/no", {}) == (404, "notFound")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"name": None}, (400, "required")),
        ({"type": None}, (400, "required")),
        ({"type": "HTTP"}, (400, "invalid")),
        ({"httpHealthCheck": {}}, (400, "invalid")),
        ({"tcpHealthCheck": None}, (400, "invalid")),
        ({"type": "SSL", "tcpHealthCheck": None, "sslHealthCheck": {}}, (501, "notImplemented")),
        ({"checkIntervalSec": 0}, (400, "invalid")),
        ({"checkIntervalSec": 301}, (400, "invalid")),
        ({"timeoutSec": 0}, (400, "invalid")),
        ({"healthyThreshold": 11}, (400, "invalid")),
        ({"unhealthyThreshold": 0}, (400, "invalid")),
        ({"tcpHealthCheck": {"port": 0}}, (400, "invalid")),
        ({"tcpHealthCheck": {"port": 65536}}, (400, "invalid")),
        ({"tcpHealthCheck": {"portName": "http"}}, (400, "invalid")),
        ({"tcpHealthCheck": {"portSpecification": "USE_NAMED_PORT"}}, (400, "invalid")),
        ({"tcpHealthCheck": {"portSpecification": "USE_SERVING_PORT", "port": 80}}, (400, "invalid")),
        ({"tcpHealthCheck": {"proxyHeader": "PROXY_V1"}}, (501, "notImplemented")),
        ({"tcpHealthCheck": {"request": "x"}}, (501, "notImplemented")),
        ({"sourceRegions": ["us-central1"] * 3}, (501, "notImplemented")),
        ({"type": "HTTP", "tcpHealthCheck": None, "httpHealthCheck": {"requestPath": "up"}}, (400, "invalid")),
        ({"type": "HTTP", "tcpHealthCheck": None, "httpHealthCheck": {"response": "x" * 1025}}, (400, "invalid")),
    ],
)
def test_health_checks_that_cannot_be(api: Balancer, changes: dict[str, Any], said: tuple[int, str]) -> None:
    assert api.refused("POST", CHECKS, check(**changes)) == said
    assert "items" not in api.good("GET", CHECKS)


def test_a_timeout_is_no_longer_than_the_interval(api: Balancer) -> None:
    said = refusal("timeout longer than interval", timeout="6")
    assert api("POST", CHECKS, check(timeoutSec=6)) == said
    api.made(CHECKS, check())
    assert api("PATCH", f"{CHECKS}/web", {"timeoutSec": 6}) == said


# --- instance groups


def test_an_instance_group(gce: Local, api: Balancer) -> None:
    ports = [{"name": "http", "port": 80}]
    made = api.made(groups("node1"), {"name": "web", "namedPorts": ports})
    assert made["size"] == 0 and "network" not in made and "instances" not in made
    path = f"{groups('node1')}/web"
    assert "items" not in api.good("POST", f"{path}/listInstances", {})
    operation = api.done("POST", f"{path}/addInstances", {"instances": [{"instance": instance("node1")}]})
    assert operation["operationType"] == "compute.instanceGroups.addInstances"
    now = api.good("GET", path)
    assert (now["size"], now["network"], now["subnetwork"]) == (1, NETWORK, SUBNETWORK)
    assert now["fingerprint"] == made["fingerprint"], "it is of the named ports"
    (member,) = api.good("POST", f"{path}/listInstances", {"instanceState": "ALL"})["items"]
    assert member == {"instance": instance("node1"), "status": "RUNNING", "namedPorts": ports}
    api.done("POST", f"{NODE1}/stop")
    assert api.good("POST", f"{path}/listInstances")["items"][0]["status"] == "TERMINATED"
    assert "items" not in api.good("POST", f"{path}/listInstances", {"instanceState": "RUNNING"})
    body = {"instances": [{"instance": NODE1[1:]}]}
    assert api("POST", f"{path}/addInstances", body) == refusal("member already", instance=NODE1[1:], group=path[1:])
    api.done("POST", f"{path}/removeInstances", body)
    assert api.refused("POST", f"{path}/removeInstances", body) == (400, "memberNotFound")
    emptied = api.good("GET", path)
    assert (emptied["size"], emptied["network"]) == (0, NETWORK)
    api.done("DELETE", path)


def test_named_ports(api: Balancer) -> None:
    made = api.group("node1")
    path, ports = f"{GROUP1}/setNamedPorts", [{"name": "http", "port": 80}, {"name": "http", "port": 81}]
    operation = api.done("POST", path, {"namedPorts": ports, "fingerprint": made["fingerprint"]})
    assert operation["operationType"] == "compute.instanceGroups.setNamedPorts"
    now = api.good("GET", GROUP1)
    assert now["namedPorts"] == ports and now["fingerprint"] != made["fingerprint"] and now["size"] == 1
    assert api.refused("POST", path, {"fingerprint": made["fingerprint"]}) == (412, "conditionNotMet")
    api.done("POST", path, {"namedPorts": []})
    assert "namedPorts" not in api.good("GET", GROUP1)
    for port in ({"name": "Http", "port": 80}, {"name": "http"}, {"name": "http", "port": 65536}):
        assert api.refused("POST", path, {"namedPorts": [port]}) == (400, "invalid")


def test_instances_that_cannot_be_members() -> None:
    with local(other_places()) as gce:
        api = Balancer(gce)
        api.group("node1")
        for name, said in {
            "stranger": (400, "invalid"),
            "neighbour": (400, "invalid"),
            "nobody": (404, "notFound"),
        }.items():
            body = {"instances": [{"instance": f"{PROJECT[1:]}/zones/us-central1-a/instances/{name}"}]}
            assert api.refused("POST", f"{GROUP1}/addInstances", body) == said
        for url in (instance("node2"), "node1", ""):
            body = {"instances": [{"instance": url}]}
            assert api.refused("POST", f"{GROUP1}/addInstances", body) == (400, "invalid")
        assert api.refused("POST", f"{GROUP1}/addInstances", {}) == (400, "required")
        both = {"instances": [{"instance": instance("node1")}, {"instance": instance("node1")}]}
        api.done("POST", f"{GROUP1}/removeInstances", {"instances": both["instances"][:1]})
        assert api.refused("POST", f"{GROUP1}/addInstances", both) == (400, "memberAlreadyExists")
        assert api.good("GET", GROUP1)["size"] == 0, "all or none"
        network = NETWORK.replace("ip-failover", "other")
        api.made(groups("node1"), {"name": "theirs", "network": network})
        one = {"instances": both["instances"][:1]}
        assert api.refused("POST", f"{groups('node1')}/theirs/addInstances", one) == (400, "invalid")
        assert gce.violations == []


def test_an_instance_is_in_one_load_balanced_group(lb: Balancer) -> None:
    lb.group("node1", "again")
    again = f"{HOST}{groups('node1')}/again"
    said = refusal("in two load-balanced groups", instance=NODE1[1:])
    two = [backend("node1"), backend("node1", group=again)]
    assert lb("POST", SERVICES, service(backends=two)) == said, "of one service, whatever the balancing mode"
    lb.made(SERVICES, service())
    lb.made(SERVICES, service(name="other", backends=[backend("node1", group=again)]))
    # Without a balancing mode it is UTILIZATION's rule that counts.
    assert lb("POST", SERVICES, service(name="third", backends=[{"group": again}])) == said
    lb.group("node1", "empty", ())
    now = lb.good("GET", f"{SERVICES}/other")["fingerprint"]
    lb.done("POST", f"{groups('node1')}/empty/addInstances", {"instances": [{"instance": instance("node1")}]})
    three = {"fingerprint": now, "backends": [*two[1:], backend("node1", group=again.replace("again", "empty"))]}
    assert lb("PATCH", f"{SERVICES}/other", three) == said
    lb.done("POST", f"{groups('node1')}/empty/removeInstances", {"instances": [{"instance": instance("node1")}]})
    lb.done("PATCH", f"{SERVICES}/other", three)
    body = {"instances": [{"instance": instance("node1")}]}
    assert lb("POST", f"{groups('node1')}/empty/addInstances", body) == said


# --- firewall rules


def test_a_firewall_rule_is_changed_in_place(gce: Local, api: Balancer) -> None:
    made = api.made(FIREWALLS, PROBES)
    assert made["allowed"] == [{"IPProtocol": "tcp", "ports": ["80", "6000-6001"]}]
    assert (made["direction"], made["priority"], made["description"]) == ("INGRESS", 1000, "")
    path = f"{FIREWALLS}/probes"
    patch = {"name": "probes", "sourceRanges": ["1.1.1.1"], "disabled": True}
    operation = api.done("PATCH", path, patch)
    assert operation["operationType"] == "patch" and "/global/operations/" in operation["selfLink"]
    patched = api.good("GET", path)
    assert patched == {**made, "sourceRanges": ["1.1.1.1"], "disabled": True}, "as it was written"
    assert patched in gce.cloud.firewall_rules()
    api.done("PATCH", path, {"name": "probes", "targetTags": None, "sourceRanges": [], "priority": 5})
    now = api.good("GET", path)
    assert "targetTags" not in now and (now["sourceRanges"], now["priority"]) == (["0.0.0.0/0"], 5)
    api.done("PUT", path, {**PROBES, "denied": PROBES["allowed"], "allowed": []})
    updated = api.good("GET", path)
    assert (
        "allowed" not in updated and updated["denied"] and (updated["disabled"], updated["priority"]) == (False, 1000)
    )
    assert api.refused("PATCH", path, {"sourceRanges": ["1.1.1.1"]}) == (400, "required"), "the document wants a name"
    assert api.refused("PATCH", path, {"name": "other"}) == (400, "invalid")
    assert api.refused("PATCH", path, {"name": "probes", "direction": "EGRESS", "sourceRanges": []}) == (400, "invalid")
    assert api.refused("PATCH", f"{path}x", {"name": "probesx"}) == (404, "notFound")
    api.done("DELETE", path)
    assert "probes" not in [each["name"] for each in gce.cloud.firewall_rules()]


def test_where_a_firewall_rule_is_for(api: Balancer) -> None:
    inward = api.made(FIREWALLS, {**PROBES, "sourceRanges": None, "destinationRanges": ["10.100.9.1/32"]})
    assert (inward["sourceRanges"], inward["destinationRanges"]) == (["0.0.0.0/0"], ["10.100.9.1/32"])
    outward = api.made(FIREWALLS, {**PROBES, "name": "out", "direction": "EGRESS", "sourceRanges": None})
    assert outward["destinationRanges"] == ["0.0.0.0/0"] and "sourceRanges" not in outward
    tagged = api.made(FIREWALLS, {**PROBES, "name": "tagged", "sourceRanges": None, "sourceTags": ["client"]})
    assert "sourceRanges" not in tagged


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"allowed": [{"IPProtocol": "tcp", "ports": ["80-"]}]}, (400, "invalid")),
        ({"allowed": [{"IPProtocol": "tcp", "ports": ["90-80"]}]}, (400, "invalid")),
        ({"allowed": [{"IPProtocol": "tcp", "ports": ["65536"]}]}, (400, "invalid")),
        ({"allowed": [{"IPProtocol": "112", "ports": ["80"]}]}, (400, "invalid")),
        ({"allowed": [{"IPProtocol": "vrrp"}]}, (400, "invalid")),
        ({"allowed": [{"IPProtocol": "256"}]}, (400, "invalid")),
        ({"denied": [{"IPProtocol": "tcp"}]}, (400, "invalid")),
        ({"priority": 65536}, (400, "invalid")),
        ({"sourceRanges": ["35.191.0.0/8"]}, (400, "invalid")),
        ({"sourceRanges": ["fd00::/64"]}, (501, "notImplemented")),
        ({"targetTags": ["No"]}, (400, "invalid")),
        ({"targetServiceAccounts": ["a@b.c"]}, (400, "invalid")),
        ({"direction": "EGRESS", "sourceTags": ["client"]}, (400, "invalid")),
        ({"destinationRanges": ["10.0.0.0/4"]}, (400, "invalid")),
        ({"network": None}, (404, "notFound")),
    ],
)
def test_firewall_rules_that_cannot_be(api: Balancer, changes: dict[str, Any], said: tuple[int, str]) -> None:
    before = api.good("GET", FIREWALLS)["items"]
    assert api.refused("POST", FIREWALLS, {**PROBES, **changes}) == said
    assert api.good("GET", FIREWALLS)["items"] == before

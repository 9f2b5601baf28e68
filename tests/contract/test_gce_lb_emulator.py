# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's API of Compute Engine: load balancers as a whole, as docs/gce-api.md says."""

from __future__ import annotations

import dataclasses
import json
from typing import Any
from urllib.parse import quote

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
    rule,
    service,
    world,
)
from ansible_collections.cloudha.vip.tests.contract.test_gce_emulator import NODE1, PROJECT, SERVICE, shared_world
from ansible_collections.cloudha.vip.tests.contract.test_gce_recorded import refusal
from lab.gce import balancers, discovery
from lab.gce.lb_methods import HANDLERS
from lab.gce.server import Local, local

NOWHERE = f"{PROJECT}/regions/mars"


api, lb = lb_api.api, lb_api.lb  # fixtures


# --- the whole


def test_a_load_balancer_as_the_network_sees_it(gce: Local, api: Balancer) -> None:
    api.whole(allowGlobalAccess=True)
    assert gce.cloud.balancers.services() == [
        balancers.Service(
            name="web",
            region="us-central1",
            scheme="INTERNAL",
            network="ip-failover",
            rules=(balancers.Rule("web", ADDRESS, "TCP", (80,), True, "us-central1"),),
            backends=(
                balancers.Backend("node1", GROUP1[1:], False),
                balancers.Backend("node2", f"{groups('node2')[1:]}/of-node2", False),
            ),
            health_check=balancers.Check("TCP", 80, "", "", "", 5, 5, 2, 2),
            failover=None,
            affinity="NONE",
            tracking="PER_CONNECTION",
            persistence="DEFAULT_FOR_PROTOCOL",
            idle_s=600,
            drain_s=0,
        )
    ]
    assert gce.cloud.balancers.members(GROUP1[1:]) == ("node1",)
    assert gce.cloud.balancers.members(f"{GROUP1[1:]}-x") == ()
    assert gce.admin("GET", "/state")["services"][0]["rules"][0]["address"] == ADDRESS


def test_everything_that_the_network_can_see(gce: Local, api: Balancer) -> None:
    api.parts()
    http = {"port": 8080, "requestPath": "/up", "host": "web.test", "response": "ok"}
    api.made(
        GLOBAL_CHECKS,
        check(name="http", type="HTTP", tcpHealthCheck=None, httpHealthCheck=http, checkIntervalSec=3, timeoutSec=1)
        | {"healthyThreshold": 1, "unhealthyThreshold": 4},
    )
    api.made(
        SERVICES,
        service(
            protocol="UNSPECIFIED",
            healthChecks=["global/healthChecks/http"],
            backends=[backend("node1"), backend("node2", failover=True)],
            failoverPolicy={
                "failoverRatio": 0.5,
                "dropTrafficIfUnhealthy": True,
                "disableConnectionDrainOnFailover": True,
            },
            sessionAffinity="CLIENT_IP",
            connectionTrackingPolicy={
                "trackingMode": "PER_SESSION",
                "connectionPersistenceOnUnhealthyBackends": "NEVER_PERSIST",
                "idleTimeoutSec": 1200,
            },
            connectionDraining={"drainingTimeoutSec": 60},
        ),
    )
    api.made(RULES, rule(IPProtocol="L3_DEFAULT", ports=None, allPorts=True))
    (seen,) = gce.cloud.balancers.services()
    assert seen.health_check == balancers.Check("HTTP", 8080, "/up", "web.test", "ok", 3, 1, 1, 4)
    assert seen.failover == balancers.Failover(0.5, drop=True, drain=False)
    assert [each.failover for each in seen.backends] == [False, True]
    assert seen.rules == (balancers.Rule("web", ADDRESS, "L3_DEFAULT", None, False, "us-central1"),)
    assert (seen.affinity, seen.tracking, seen.persistence) == ("CLIENT_IP", "PER_SESSION", "NEVER_PERSIST")
    assert (seen.idle_s, seen.drain_s) == (1200, 60)


def test_a_backup_without_a_policy_has_the_default_one(gce: Local, lb: Balancer) -> None:
    lb.made(SERVICES, service(backends=[backend("node1"), backend("node2", failover=True)]))
    (seen,) = gce.cloud.balancers.services()
    assert seen.failover == balancers.Failover(0.0, drop=False, drain=True)
    assert seen.rules == ()


def test_a_policy_may_come_before_the_backup(gce: Local, lb: Balancer) -> None:
    """As in Google's guide, which makes the backend service first."""
    lb.made(SERVICES, service(backends=None, failoverPolicy={"failoverRatio": 1.0}))
    lb.change(f"{SERVICES}/web", backends=[backend("node1")])
    lb.change(f"{SERVICES}/web", backends=[backend("node1"), backend("node2", failover=True)])
    (seen,) = gce.cloud.balancers.services()
    assert [each.instance for each in seen.backends] == ["node1", "node2"] and seen.failover


def test_a_change_takes_effect_when_its_operation_ends(gce: Local, api: Balancer) -> None:
    api.whole()

    def seen() -> tuple[list[str], list[str]]:
        (service,) = gce.cloud.balancers.services()
        return [each.name for each in service.rules], [each.instance for each in service.backends]

    with api.held():
        api.good("POST", RULES, rule(name="more", IPAddress="10.100.9.2", ports=["81"]))
        api.good("POST", f"{GROUP1}/removeInstances", {"instances": [{"instance": instance("node1")}]})
        api.good("DELETE", f"{RULES}/web")
        assert seen() == (["web"], ["node1", "node2"])
    assert seen() == (["more"], ["node2"])


def test_the_order_of_deletion(api: Balancer) -> None:
    api.made(ADDRESSES, RESERVED)
    api.whole()
    for path in (f"{ADDRESSES}/web", f"{CHECKS}/web", GROUP1, f"{SERVICES}/web"):
        assert api.refused("DELETE", path) == (400, "resourceInUseByAnotherResource")
    order = (f"{RULES}/web", f"{SERVICES}/web", f"{CHECKS}/web", GROUP1, f"{ADDRESSES}/web")
    for path in order:
        assert api.done("DELETE", path)["operationType"] == "delete"
        assert api.refused("GET", path) == (404, "notFound")


def test_what_is_in_use_is_called_as_recorded(gce: Local, api: Balancer) -> None:
    api.made(ADDRESSES, RESERVED)
    api.whole()
    names = {"region": "us-central1", "number": str(gce.cloud.world.number), "check": "web", "service": "web"}
    assert api("DELETE", f"{CHECKS}/web") == refusal("health check in use", **names)
    api.made(GLOBAL_CHECKS, check(name="everywhere"))
    api.made(SERVICES, service(name="other", healthChecks=[f"{HOST}{GLOBAL_CHECKS}/everywhere"], backends=None))
    for title, path, user in (
        ("health_check", f"{GLOBAL_CHECKS}/everywhere", f"{SERVICES}/other"),
        ("backend_service", f"{SERVICES}/web", f"{RULES}/web"),
        ("instance_group", GROUP1, f"{SERVICES}/web"),
        ("address", f"{ADDRESSES}/web", f"{RULES}/web"),
    ):
        assert api("DELETE", path) == refusal("resource in use", title=title, path=path[1:], user=user[1:])


def test_what_is_on_its_way_cannot_be_used(lb: Balancer) -> None:
    with lb.held():
        lb.good("POST", SERVICES, service())
        assert lb.refused("POST", RULES, rule()) == (400, "resourceNotReady")
        assert lb.refused("DELETE", f"{SERVICES}/web") == (400, "resourceNotReady")
        assert lb.refused("PATCH", f"{SERVICES}/web", {"fingerprint": "AAAA"}) == (400, "resourceNotReady")
        assert lb.refused("POST", SERVICES, service()) == (409, "alreadyExists")
        assert lb.refused("DELETE", f"{CHECKS}/web") == (400, "resourceInUseByAnotherResource"), "it will be"
    now = lb.good("GET", f"{SERVICES}/web")["fingerprint"]
    with lb.held():
        lb.good("DELETE", f"{SERVICES}/web")
        assert lb.refused("POST", RULES, rule()) == (400, "resourceNotReady")
        assert lb.refused("PATCH", f"{SERVICES}/web", {"fingerprint": now}) == (400, "resourceNotReady")
    assert lb.refused("POST", RULES, rule()) == (404, "notFound")


def test_what_became_impossible_meanwhile_fails_in_the_operation(lb: Balancer) -> None:
    lb.made(SERVICES, service(backends=[backend("node1")]))
    path = f"{SERVICES}/web"
    now = lb.good("GET", path)["fingerprint"]
    with lb.held():
        one = lb.good("PATCH", path, {"fingerprint": now, "backends": [backend("node2")]})
        other = lb.good("PATCH", path, {"fingerprint": now, "description": "late"})
    assert "error" not in lb.wait(one)
    ended = lb.wait(other)
    assert (ended["httpErrorStatusCode"], ended["error"]["errors"][0]["code"]) == (412, "CONDITION_NOT_MET")
    now = lb.good("GET", path)["fingerprint"]
    with lb.held():
        lb.good("DELETE", GROUP1)
        late = lb.good("PATCH", f"{CHECKS}/web", {"timeoutSec": 4})
        lb.good("PATCH", f"{CHECKS}/web", {"checkIntervalSec": 3, "timeoutSec": 3})
        too_late = lb.good("PATCH", f"{CHECKS}/web", {"timeoutSec": 5})
    assert "error" not in lb.wait(late)
    ended = lb.wait(too_late)
    assert (ended["httpErrorStatusCode"], ended["error"]["errors"][0]["code"]) == (400, "INVALID_FIELD_VALUE")
    with lb.held():
        late = lb.good("PATCH", path, {"fingerprint": now, "description": "late"})
        lb.good("DELETE", path)
    assert "error" not in lb.wait(late)
    lb.made(SERVICES, service(backends=None))
    now = lb.good("GET", path)["fingerprint"]
    with lb.held():
        lb.gce.admin("PATCH", "/behaviour", {"faults": [{"kind": "never-ends", "match": {"verb": "PATCH"}}]})
        late = lb.good("PATCH", path, {"fingerprint": now, "description": "late"})
        lb.done("DELETE", path)
        lb.made(SERVICES, service(backends=None))
    ended = lb.wait(late)
    assert (ended["httpErrorStatusCode"], ended["error"]["errors"][0]["code"]) == (404, "RESOURCE_NOT_FOUND")


# --- operations and regions


def test_regional_operations(api: Balancer) -> None:
    with api.held():
        operation = api.good("POST", CHECKS, check())
        assert operation["region"] == f"{HOST}{REGION}" and "zone" not in operation
        assert operation["selfLink"] == f"{HOST}{REGION}/operations/{operation['name']}"
        assert api.good("GET", f"{REGION}/operations/{operation['name']}")["status"] == "RUNNING"
    ended = api.good("POST", f"{REGION}/operations/{operation['name']}/wait")
    assert (ended["status"], ended["targetLink"]) == ("DONE", f"{HOST}{CHECKS}/web")
    assert [each["name"] for each in api.good("GET", f"{REGION}/operations")["items"]] == [operation["name"]]
    assert "items" not in api.good("GET", f"{PROJECT}/global/operations")
    assert api.refused("GET", f"{PROJECT}/global/operations/{operation['name']}") == (404, "notFound")
    zonal = api.good("POST", groups("node1"), {"name": "g"})
    assert "/zones/us-central1-a/operations/" in zonal["selfLink"]


def test_labels_are_set_in_the_answer(gce: Local, api: Balancer) -> None:
    made = api.whole(labels={"a": "1"})
    gce.admin("PATCH", "/behaviour", {"latency_s": 60})
    path = f"{RULES}/web/setLabels"
    operation = api.good("POST", path, {"labels": {"b": "2"}, "labelFingerprint": made["labelFingerprint"]})
    assert (operation["status"], operation["progress"]) == ("DONE", 100) and operation["endTime"]
    now = api.good("GET", f"{RULES}/web")
    assert now["labels"] == {"b": "2"} and now["labelFingerprint"] != made["labelFingerprint"]
    assert now["fingerprint"] == made["fingerprint"]
    for old in ({"labelFingerprint": made["labelFingerprint"]}, {}):
        assert api("POST", path, {"labels": {}, **old}) == refusal("old fingerprint of labels")
    bad = {"labels": {"No": "x"}, "labelFingerprint": now["labelFingerprint"]}
    assert api.refused("POST", path, bad) == (400, "invalid")
    api.good("POST", path, {"labelFingerprint": now["labelFingerprint"]})
    assert "labels" not in api.good("GET", f"{RULES}/web")


def test_regions(api: Balancer) -> None:
    found = api.good("GET", f"{PROJECT}/regions")["items"]
    assert [each["name"] for each in found] == ["us-central1"]
    region = api.good("GET", REGION)
    assert region["status"] == "UP" and f"{HOST}{PROJECT}/zones/us-central1-a" in region["zones"]
    api.made(ADDRESSES, RESERVED)
    usage = {each["metric"]: (each["usage"], each["limit"]) for each in api.good("GET", REGION)["quotas"]}
    assert usage == {"INTERNAL_ADDRESSES": (1, 200), "STATIC_ADDRESSES": (0, 8)}
    assert api.refused("GET", NOWHERE) == (404, "notFound")


@pytest.mark.parametrize("kind", ["addresses", "healthChecks", "backendServices", "forwardingRules", "operations"])
def test_an_unknown_region(api: Balancer, kind: str) -> None:
    paths = [f"{NOWHERE}/{kind}", f"{NOWHERE}/{kind}/x"]
    for path in paths:
        assert api("GET", path) == refusal("unknown region", region="mars")


def test_quotas(gce: Local) -> None:
    limits = {
        "STATIC_ADDRESSES": 1,
        "INTERNAL_ADDRESSES": 1,
        "INSTANCE_GROUPS": 2,
        "REGIONAL_INTERNAL_LB_BACKEND_SERVICES": 1,
        "INTERNAL_FORWARDING_RULES_PER_NETWORK": 1,
    }
    with local(dataclasses.replace(world(), quotas=limits)) as small:
        api = Balancer(small)
        api.whole()
        api.made(ADDRESSES, RESERVED)
        api.made(ADDRESSES, {"name": "outside"})
        over = (403, "QUOTA_EXCEEDED")
        assert api.failed("POST", ADDRESSES, {**RESERVED, "name": "x", "address": "10.100.9.8"}) == over
        assert api.failed("POST", ADDRESSES, {"name": "x"}) == over
        assert api.failed("POST", groups("client1"), {"name": "x"}) == over
        assert api.failed("POST", SERVICES, service(name="x", backends=None)) == over
        assert api.failed("POST", RULES, rule(name="x", IPAddress="10.100.9.8")) == over
        usage = {each["metric"]: each["usage"] for each in api.good("GET", REGION)["quotas"]}
        assert usage == {
            "STATIC_ADDRESSES": 1,
            "INTERNAL_ADDRESSES": 1,
            "INSTANCE_GROUPS": 2,
            "REGIONAL_INTERNAL_LB_BACKEND_SERVICES": 1,
        }
        assert api.refused("GET", f"{ADDRESSES}/x") == (404, "notFound")
        assert small.violations == []


def test_lists(gce: Local, api: Balancer) -> None:
    api.made(ADDRESSES, RESERVED)
    api.whole()
    api.made(GLOBAL_CHECKS, check())
    for path, schema, kind in (
        (ADDRESSES, "AddressList", "address"),
        (CHECKS, "HealthCheckList", "healthCheck"),
        (GLOBAL_CHECKS, "HealthCheckList", "healthCheck"),
        (groups("node1"), "InstanceGroupList", "instanceGroup"),
        (SERVICES, "BackendServiceList", "backendService"),
        (RULES, "ForwardingRuleList", "forwardingRule"),
    ):
        answer = api.good("GET", f"{path}?filter={quote('name:*')}&maxResults=5")
        assert answer["kind"] == f"compute#{kind}List" and len(answer["items"]) == 1
        assert discovery.problems_of(schema, answer) == []
        (found,) = answer["items"]
        assert api.good("GET", f"{path}/{found['name']}") == api.good("GET", f"{path}/{found['id']}") == found
    for name, scopes in {
        "addresses": {"regions/us-central1"},
        "healthChecks": {"global", "regions/us-central1"},
        "backendServices": {"regions/us-central1"},
        "forwardingRules": {"regions/us-central1"},
        "instanceGroups": {"zones/us-central1-a", "zones/us-central1-b"},
    }.items():
        items = api.good("GET", f"{PROJECT}/aggregated/{name}")["items"]
        assert {scope for scope, part in items.items() if name in part} == scopes
        assert "regions/us-central1" in items
        assert all(part["warning"]["code"] == "NO_RESULTS_ON_PAGE" for part in items.values() if name not in part)
    assert "items" not in api.good("GET", f"{PROJECT}/zones/us-central1-a/instanceGroupManagers")
    gce.admin("PATCH", "/behaviour", {"zone_outage": ["us-central1-a"]})
    assert api.refused("GET", GROUP1) == (503, "backendError")
    partial = api.good("GET", f"{PROJECT}/aggregated/instanceGroups?returnPartialSuccess=true")["items"]
    assert partial["zones/us-central1-a"]["warning"]["code"] == "UNREACHABLE"


# --- who may


BODIES: dict[str, Any] = {
    "compute.addresses.insert": RESERVED,
    "compute.firewalls.insert": PROBES,
    "compute.firewalls.patch": {"name": "http"},
    "compute.forwardingRules.insert": rule(name="new", IPAddress="10.100.9.2"),
    "compute.healthChecks.insert": check(name="new"),
    "compute.regionHealthChecks.insert": check(name="new"),
    "compute.instanceGroups.insert": {"name": "new"},
    "compute.regionBackendServices.insert": service(name="new"),
}
SAMPLE = {
    "project": "lab-project",
    "zone": "us-central1-a",
    "region": "us-central1",
    "address": "web",
    "firewall": "http",
    "forwardingRule": "web",
    "healthCheck": "web",
    "instanceGroup": "of-node1",
    "backendService": "web",
    "resource": "web",
}


def path_of(method: str) -> tuple[str, str]:
    verb, path = next((each.verb, path) for each, path in discovery.methods() if each.id == method)
    return verb, "/" + path.format_map(SAMPLE)


@pytest.mark.parametrize("method", sorted(HANDLERS))
def test_every_method_needs_a_permission(gce: Local, api: Balancer, method: str) -> None:
    api.made(ADDRESSES, RESERVED)
    api.made(GLOBAL_CHECKS, check())
    api.whole()
    gce.cloud.permissions["nobody"] = frozenset()
    gce.cloud.tokens["nobodys"] = "nobody", None
    verb, path = path_of(method)
    status, answer = Balancer(gce, "nobodys")(verb, path, BODIES.get(method, {} if verb in ("PATCH", "PUT") else None))
    assert (status, answer["error"]["errors"][0]["reason"]) == (403, "forbidden")
    assert answer["error"]["message"].startswith("Required 'compute.")


@pytest.mark.parametrize(
    ("method", "body", "needed"),
    [
        ("addresses.insert", {**RESERVED, "name": "x", "address": None}, "addresses.createInternal subnetworks.use"),
        ("addresses.insert", {"name": "x"}, "addresses.create"),
        ("addresses.delete", None, "addresses.deleteInternal"),
        ("healthChecks.insert", check(name="x"), "healthChecks.create"),
        ("regionHealthChecks.patch", {}, "regionHealthChecks.update"),
        ("instanceGroups.insert", {"name": "x"}, "instanceGroups.create"),
        (
            "instanceGroups.addInstances",
            {"instances": [{"instance": instance("node1")}]},
            "instanceGroups.update instances.use",
        ),
        ("instanceGroups.removeInstances", {"instances": [{"instance": NODE1[1:]}]}, "instanceGroups.update"),
        ("instanceGroups.setNamedPorts", {}, "instanceGroups.update"),
        ("instanceGroups.listInstances", {}, "instanceGroups.list"),
        (
            "regionBackendServices.insert",
            service(name="x"),
            "regionBackendServices.create regionHealthChecks.useReadOnly instanceGroups.use",
        ),
        (
            "regionBackendServices.insert",
            service(name="x", healthChecks=["global/healthChecks/web"], backends=None),
            "regionBackendServices.create healthChecks.useReadOnly",
        ),
        (
            "regionBackendServices.patch",
            {"backends": [backend("node1")]},
            "regionBackendServices.update instanceGroups.use",
        ),
        ("regionBackendServices.getHealth", {"group": f"{HOST}{GROUP1}"}, "regionBackendServices.get"),
        (
            "forwardingRules.insert",
            rule(name="x", IPAddress="spare"),
            "forwardingRules.create regionBackendServices.use subnetworks.use addresses.useInternal",
        ),
        (
            "forwardingRules.insert",
            rule(name="x", IPAddress="10.100.9.7"),
            "forwardingRules.create regionBackendServices.use subnetworks.use addresses.useInternal",
        ),
        ("forwardingRules.patch", {"allowGlobalAccess": True}, "forwardingRules.update"),
        (
            "forwardingRules.setTarget",
            {"target": f"{HOST}{SERVICES}/web"},
            "forwardingRules.setTarget regionBackendServices.use",
        ),
        ("forwardingRules.setLabels", {}, "forwardingRules.setLabels"),
        ("forwardingRules.delete", None, "forwardingRules.delete"),
        ("firewalls.insert", PROBES, "firewalls.create networks.updatePolicy"),
        ("firewalls.patch", {"name": "http", "priority": 5}, "firewalls.update networks.updatePolicy"),
        ("firewalls.delete", None, "firewalls.delete networks.updatePolicy"),
    ],
)
def test_permissions(gce: Local, api: Balancer, method: str, body: Any, needed: str) -> None:
    """Each is needed, and together they are enough."""
    used = method not in ("addresses.delete", "instanceGroups.addInstances")
    api.made(ADDRESSES, {**RESERVED, "name": "spare", "address": "10.100.9.7"})
    api.made(ADDRESSES, RESERVED)
    api.made(GLOBAL_CHECKS, check())
    if used:
        api.whole()
    else:
        api.group("node1", members=())
    verb, path = path_of(f"compute.{method}")
    gce.cloud.tokens["limited"] = "limited", None
    limited, names = Balancer(gce, "limited"), [f"compute.{each}" for each in needed.split()]
    if method in ("regionBackendServices.patch", "forwardingRules.setLabels"):
        field = "labelFingerprint" if "Labels" in method else "fingerprint"
        body = {**body, field: api.good("GET", path.removesuffix("/setLabels"))[field]}
    for missing in names:
        gce.cloud.permissions["limited"] = frozenset(names) - {missing}
        status, answer = limited(verb, path, body)
        assert status == 403 and f"'{missing}'" in answer["error"]["message"]
    gce.cloud.permissions["limited"] = frozenset(names)
    limited.good(verb, path, body)


# --- several projects


def test_a_load_balancer_of_a_service_project() -> None:
    """The subnetwork is the host's, all else its own; node2 is there."""
    region = f"{SERVICE}/regions/us-central1"
    there = f"{SERVICE}/zones/us-central1-b/instanceGroups"
    with local(shared_world()) as gce:
        api = Balancer(gce)
        api.made(f"{region}/healthChecks", check())
        api.made(there, {"name": "g"})
        body = {"instances": [{"instance": f"{SERVICE[1:]}/zones/us-central1-b/instances/node2"}]}
        api.done("POST", f"{there}/g/addInstances", body)
        own = {
            "healthChecks": ["regions/us-central1/healthChecks/web"],
            "backends": [backend("node2", group=f"{HOST}{there}/g")],
        }
        api.made(f"{region}/backendServices", service(**own))
        body = {**RESERVED, "subnetwork": SUBNETWORK.removeprefix(f"{HOST}/")}
        api.made(f"{region}/addresses", body)
        made = api.made(
            f"{region}/forwardingRules", rule(backendService="regions/us-central1/backendServices/web", IPAddress="web")
        )
        assert made["network"] == NETWORK and made["selfLink"].startswith(f"{HOST}{SERVICE}/")
        (seen,) = gce.cloud.balancers.services()
        assert [each.instance for each in seen.backends] == ["node2"] and seen.rules[0].address == ADDRESS
        # The host project's are others, but the network, and what is taken there, is the same.
        assert "items" not in api.good("GET", RULES) and "items" not in api.good("GET", ADDRESSES)
        said = refusal("internal address in use", address=ADDRESS)
        assert api("POST", ADDRESSES, RESERVED) == said
        api.made(CHECKS, check())
        for field, value in (
            ("backends", [backend("node2", group=f"{HOST}{there}/g")]),
            ("healthChecks", [f"{HOST}{region}/healthChecks/web"]),
        ):
            status, answer = api("POST", SERVICES, service(**{"backends": None, field: value}))
            assert status == 400 and "Cross project referencing" in answer["error"]["message"]
        api.made(SERVICES, service(backends=None))
        body = rule(backendService=f"{HOST}{region}/backendServices/web", IPAddress=None)
        assert "Cross project" in api("POST", RULES, body)[1]["error"]["message"]
        subnetwork = "regions/us-central1/subnetworks/ip-failover-subnet"
        assert api.refused("POST", f"{region}/addresses", {**RESERVED, "subnetwork": subnetwork}) == (404, "notFound")
        assert gce.violations == []


def test_nothing_is_kept_of_a_refused_change(gce: Local, api: Balancer) -> None:
    before = json.dumps(gce.admin("GET", "/state"), default=str)
    faults = [{"kind": "error-in-operation", "status": 409, "match": {"verb": "POST"}}]
    gce.admin("PATCH", "/behaviour", {"faults": faults})
    assert api.failed("POST", CHECKS, check()) == (409, "RESOURCE_ALREADY_EXISTS")
    assert api.failed("POST", ADDRESSES, RESERVED)[0] == 409
    gce.admin("PATCH", "/behaviour", {"faults": []})
    assert json.dumps(gce.admin("GET", "/state"), default=str) == before
    api.made(ADDRESSES, RESERVED)

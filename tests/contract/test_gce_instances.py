# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's API of Compute Engine: instances that come and go, as docs/gce-api.md says."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any

import pytest

from ansible_collections.cloudha.vip.tests.contract import gce_machines
from ansible_collections.cloudha.vip.tests.contract.gce_machines import (
    ADDRESS,
    DISKS,
    IMAGES,
    INSTANCES,
    OTHER,
    TEMPLATES,
    ZONE,
    Site,
    disk,
    instance,
    template,
    url,
)
from ansible_collections.cloudha.vip.tests.contract.lb_api import (
    ADDRESSES,
    CHECKS,
    HOST,
    RESERVED,
    SERVICES,
    SUBNETWORK,
    backend,
    check,
    service,
)
from ansible_collections.cloudha.vip.tests.contract.test_gce_emulator import AGENT, DESTINATION, PROJECT, ROUTES, hops
from ansible_collections.cloudha.vip.tests.contract.test_gce_recorded import RECORDED, recorded, refusal
from lab.gce.server import Local

NEW = f"{INSTANCES}/new"
OF_NEW = f"{ZONE}/instanceGroups/of-new"
api = gce_machines.api  # fixture


def route(name: str = "floating", **changes: Any) -> dict[str, Any]:
    body = {"name": name, "network": "global/networks/ip-failover", "destRange": DESTINATION, "priority": 1000}
    changes = changes or {"nextHopInstance": NEW[1:]}
    return {**body, **changes}


def nic(**changes: Any) -> list[dict[str, Any]]:
    return [{"subnetwork": SUBNETWORK, "networkIP": ADDRESS, **changes}]


# --- in and out


def test_an_instance_comes_with_its_disk_and_boots(gce: Local, api: Site) -> None:
    api.behave(boot_s=7)
    made = api.made(INSTANCES, instance(canIpForward=True, labels={"a": "b"}))
    (attached,) = made["disks"]
    assert made["status"] == "RUNNING" and made["networkInterfaces"][0]["networkIP"] == ADDRESS
    assert (made["canIpForward"], made["labels"], made["tags"]["items"]) == (True, {"a": "b"}, ["backend"])
    found = api.good("GET", f"{DISKS}/new")
    assert (found["selfLink"], found["users"]) == (attached["source"], [made["selfLink"]])
    assert found["sourceImage"].endswith("debian-cloud/global/images/debian-12-bookworm-v20261110")
    stored = f"new-{found['id']}"
    assert api.plane.machines == {"new": (ADDRESS, stored)} and api.plane.disks == {stored: ""}
    assert api.plane.boots == [("new", 7.0)]
    assert gce.settled()
    assert hops(gce, "node1", f"{ADDRESS}/32") == ("new",)
    assert api.plane.sources["new"] is None and "new" in api.plane.filters
    assert {"new"} == {each["name"] for each in api.good("GET", INSTANCES)["items"]}


def test_an_instance_goes_with_its_disk(gce: Local, api: Site) -> None:
    api.made(INSTANCES, instance())
    assert gce.settled()
    api.done("DELETE", NEW)
    assert api.refused("GET", NEW) == api.refused("GET", f"{DISKS}/new") == (404, "notFound")
    assert api.plane.machines == {} and api.plane.disks == {}
    assert gce.settled() and hops(gce, "node1", f"{ADDRESS}/32") is None
    assert "new" not in api.plane.filters


def test_a_disk_may_outlive_its_instance_and_serve_another_one(api: Site) -> None:
    api.made(INSTANCES, instance(disks=[disk(autoDelete=False)]))
    api.done("DELETE", NEW)
    kept = api.good("GET", f"{DISKS}/new")
    assert "users" not in kept
    assert api.refused("POST", INSTANCES, instance()) == (409, "alreadyExists")  # the disk would have its name
    given = {"boot": True, "source": "zones/us-central1-c/disks/new"}
    api.made(INSTANCES, instance("second", disks=[given]))
    assert api.plane.machines["second"] == (ADDRESS, f"new-{kept['id']}")
    said = refusal("disk in use", disk=f"{DISKS}/new"[1:], instance=f"{INSTANCES}/second"[1:])
    assert api("POST", INSTANCES, instance("third", OTHER, disks=[given])) == said
    assert api("DELETE", f"{DISKS}/new") == said
    api.done("DELETE", f"{INSTANCES}/second")
    api.done("DELETE", f"{DISKS}/new")
    assert api.plane.disks == {}


def test_what_is_on_its_way(gce: Local, api: Site) -> None:
    with api.held():
        api.good("POST", INSTANCES, instance())
        assert api.good("GET", NEW)["status"] == "PROVISIONING"
        assert api.refused("POST", INSTANCES, instance()) == (409, "alreadyExists")
        for verb, path in (("DELETE", NEW), ("POST", f"{NEW}/stop"), ("DELETE", f"{DISKS}/new")):
            assert api.refused(verb, path) == (400, "resourceNotReady")
        assert hops(gce, "node1", f"{ADDRESS}/32") is None and api.plane.machines == {}
    api.until(lambda: api.good("GET", NEW)["status"] == "RUNNING")
    with api.held():
        api.good("DELETE", NEW)
        assert api.good("GET", NEW)["status"] == "STOPPING"
        assert api.refused("DELETE", NEW) == (400, "resourceNotReady")
        assert "new" in api.plane.machines
    api.until(lambda: "new" not in api.plane.machines)


def test_a_creation_that_fails_leaves_nothing(api: Site) -> None:
    api.behave(faults=[{"kind": "error-in-operation", "status": 500, "times": 1}])
    assert api.failed("POST", INSTANCES, instance()) == (500, "INTERNAL_ERROR")
    assert api.refused("GET", NEW) == api.refused("GET", f"{DISKS}/new") == (404, "notFound")
    api.made(INSTANCES, instance())


def test_a_machine_that_cannot_be_made_leaves_nothing(api: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def create(*_given: str) -> None:
        raise RuntimeError("no")

    monkeypatch.setattr(api.plane, "create", create)
    assert api.failed("POST", INSTANCES, instance()) == (500, "INTERNAL_ERROR")
    assert api.plane.disks == {} and api.refused("GET", NEW) == (404, "notFound")


def test_a_deletion_that_fails_leaves_the_instance(api: Site) -> None:
    api.made(INSTANCES, instance())
    api.behave(faults=[{"kind": "error-in-operation", "status": 500, "times": 1}])
    assert api.failed("DELETE", NEW) == (500, "INTERNAL_ERROR")
    assert api.good("GET", NEW)["status"] == "RUNNING" and "new" in api.plane.machines
    api.done("DELETE", NEW)


def test_a_zone_without_room(api: Site) -> None:
    api.behave(zone_exhausted=["us-central1-c"])
    operation = api.wait(api.good("POST", INSTANCES, instance()))
    assert operation.items() >= RECORDED["zone without room"]["values"].items()
    assert operation["error"]["errors"] == [recorded("zone without room", "failure", zone=ZONE[1:])]
    assert api.refused("GET", NEW) == (404, "notFound") and api.plane.machines == {}
    api.behave(zone_exhausted=[])
    api.made(INSTANCES, instance())
    api.done("POST", f"{NEW}/stop")
    api.behave(zone_exhausted=["us-central1-c"])
    assert api.failed("POST", f"{NEW}/start") == (503, "ZONE_RESOURCE_POOL_EXHAUSTED")
    assert api.good("GET", NEW)["status"] == "TERMINATED"


def test_the_instances_that_were_there_first_stay(gce: Local, api: Site) -> None:
    assert api.refused("DELETE", f"{PROJECT}/zones/us-central1-a/instances/node1") == (501, "notImplemented")
    assert api.refused("POST", INSTANCES, instance("node1")) == (501, "notImplemented")


def test_a_quota(gce: Local, api: Site) -> None:
    gce.cloud.world.quotas["INSTANCES"] = len(gce.cloud.instances)  # type: ignore[index]
    try:
        assert api.failed("POST", INSTANCES, instance()) == (403, "QUOTA_EXCEEDED")
    finally:
        del gce.cloud.world.quotas["INSTANCES"]  # type: ignore[attr-defined]


# --- power


@pytest.mark.parametrize(("verb", "boots"), [("stop", 0), ("start", 0), ("reset", 1)])
def test_power_of_one_that_runs(api: Site, verb: str, boots: int) -> None:
    api.behave(boot_s=3)
    api.made(INSTANCES, instance())
    api.plane.boots.clear()
    api.done("POST", f"{NEW}/{verb}")
    assert api.plane.boots == [("new", 3.0)] * boots
    assert api.good("GET", NEW)["status"] == ("TERMINATED" if verb == "stop" else "RUNNING")
    assert api.plane.running("new") == (verb != "stop")


def test_one_that_was_stopped_boots_again(api: Site) -> None:
    api.behave(boot_s=3)
    api.made(INSTANCES, instance())
    api.done("POST", f"{NEW}/stop")
    assert api.refused("POST", f"{NEW}/reset") == (400, "badRequest")
    api.plane.boots.clear()
    api.done("POST", f"{NEW}/start")
    assert api.plane.boots == [("new", 3.0)] and api.good("GET", NEW)["status"] == "RUNNING"
    api.done("POST", f"{NEW}/stop")
    api.done("DELETE", NEW)
    assert api.plane.machines == {}


def test_an_outage_takes_the_power_of_its_zone(api: Site) -> None:
    api.made(INSTANCES, instance())
    api.behave(zone_outage=["us-central1-c"])
    assert not api.plane.running("new")
    assert api.refused("POST", INSTANCES, instance("second", OTHER)) == (503, "backendError")
    api.behave(zone_outage=[])
    assert api.plane.running("new") and api.good("GET", NEW)["status"] == "RUNNING"


def test_an_outage_while_an_instance_is_made(api: Site) -> None:
    with api.held():
        operation = api.good("POST", INSTANCES, instance())
        api.behave(zone_outage=["us-central1-c"])
    api.until(lambda: not api.gce.cloud.moving)
    api.behave(zone_outage=[])
    assert api.wait(operation)["httpErrorStatusCode"] == 503
    assert api.plane.machines == {} and api.refused("GET", NEW) == (404, "notFound")


# --- addresses


def test_an_address_in_use(api: Site) -> None:
    for address in ("10.100.2.1", RESERVED["address"]):
        body = instance(address=str(address))
        if address == RESERVED["address"]:
            api.made(INSTANCES, instance("first", str(address)))
        operation = api.wait(api.good("POST", INSTANCES, body))
        assert operation["error"]["errors"] == [recorded("instance's address in use", "failure", address=str(address))]
        assert api.refused("GET", NEW) == (404, "notFound")


def test_of_two_that_want_an_address_the_first_gets_it(gce: Local, api: Site) -> None:
    with api.held():
        one = api.good("POST", INSTANCES, instance("one"))
        two = api.good("POST", INSTANCES, instance("two"))
    assert "error" not in api.wait(one)
    assert api.wait(two)["error"]["errors"][0]["code"] == "IP_IN_USE_BY_ANOTHER_RESOURCE"


def test_an_address_that_becomes_free_meanwhile(api: Site) -> None:
    api.made(INSTANCES, instance("first"))
    with api.held():
        api.good("DELETE", f"{INSTANCES}/first")
        operation = api.good("POST", INSTANCES, instance())
    assert "error" not in api.wait(operation)


def test_a_reserved_address(api: Site) -> None:
    reserved = api.made(ADDRESSES, {**RESERVED, "purpose": "GCE_ENDPOINT"})
    api.made(INSTANCES, instance(networkInterfaces=nic(networkIP=reserved["selfLink"])))
    assert api.good("GET", NEW)["networkInterfaces"][0]["networkIP"] == reserved["address"]
    assert api.good("GET", f"{ADDRESSES}/web")["users"] == [url("new")]
    shared = {**RESERVED, "name": "shared", "address": "10.100.9.3", "purpose": "SHARED_LOADBALANCER_VIP"}
    api.made(ADDRESSES, shared)
    assert api.refused("POST", INSTANCES, instance("second", "10.100.9.3")) == (400, "invalid")


def test_a_free_address_is_one_that_nobody_had(api: Site) -> None:
    seen = set()
    for _each in range(3):
        seen.add(api.made(INSTANCES, instance(address=None))["networkInterfaces"][0]["networkIP"])
        api.done("DELETE", NEW)
    assert len(seen) == 3


# --- what it is asked


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"name": "Bad"}, 400),
        ({"machineType": ""}, 400),
        ({"machineType": "small"}, 400),
        ({"disks": []}, 400),
        ({"disks": [disk(boot=False)]}, 400),
        ({"disks": [disk(), disk()]}, 501),
        ({"disks": [{"boot": True}]}, 400),
        ({"disks": [disk(source="zones/us-central1-c/disks/x")]}, 400),
        ({"disks": [{"boot": True, "source": "zones/us-central1-c/disks/none"}]}, 404),
        ({"disks": [disk("global/images/none")]}, 404),
        ({"disks": [disk("projects/elsewhere/global/images/none")]}, 403),
        ({"disks": [disk("family/none")]}, 400),
        ({"disks": [disk(mode="READ_ONLY")]}, 501),
        ({"disks": [disk(initializeParams={"sourceImage": gce_machines.DEBIAN, "diskSizeGb": "5"})]}, 400),
        ({"disks": [disk(initializeParams={"diskSizeGb": "10"})]}, 501),
        ({"networkInterfaces": []}, 400),
        ({"networkInterfaces": [{"network": "global/networks/ip-failover"}]}, 400),
        ({"networkInterfaces": nic(networkIP="10.200.0.1")}, 400),
        ({"networkInterfaces": nic(networkIP="10.100.0.1")}, 400),
        ({"networkInterfaces": nic(networkIP="what")}, 400),
        ({"networkInterfaces": nic(networkIP="regions/us-central1/addresses/none")}, 404),
        ({"networkInterfaces": nic(subnetwork="regions/us-central1/subnetworks/none")}, 404),
        ({"networkInterfaces": nic(subnetwork="regions/europe-west1/subnetworks/ip-failover-subnet")}, 400),
        ({"networkInterfaces": nic(accessConfigs=[{"type": "ONE_TO_ONE_NAT"}])}, 501),
        ({"networkInterfaces": nic() + nic(networkIP=OTHER)}, 501),
        ({"tags": {"items": ["Bad"]}}, 400),
        ({"labels": {"Bad": "x"}}, 400),
        ({"metadata": {"items": [{"key": "a", "value": "1"}, {"key": "a", "value": "2"}]}}, 400),
        ({"serviceAccounts": [{"email": "nobody@x.iam.gserviceaccount.com"}]}, 400),
        ({"guestAccelerators": [{"acceleratorCount": 1}]}, 501),
        ({"hostname": "new.test"}, 501),
        ({"unknown": 1}, 400),
    ],
)
def test_a_bad_instance_is_refused_and_claims_nothing(gce: Local, api: Site, changes: Any, status: int) -> None:
    assert api("POST", INSTANCES, {**instance(), **changes})[0] == status
    assert gce.cloud.moving == {} and gce.cloud.transitional == {} and api.plane.disks == {}
    api.made(INSTANCES, instance())


def test_from_a_template(api: Site) -> None:
    api.made(TEMPLATES, template(canIpForward=True, metadata={"items": [{"key": "a", "value": "b"}]}))
    path = f"{INSTANCES}?sourceInstanceTemplate={HOST}{TEMPLATES}/first"
    api.done("POST", path, {"name": "new", "networkInterfaces": nic()})
    made = api.good("GET", NEW)
    assert made["canIpForward"] and made["networkInterfaces"][0]["networkIP"] == ADDRESS
    assert made["metadata"]["items"] == [{"key": "a", "value": "b"}]
    assert made["machineType"] == f"{HOST}{ZONE}/machineTypes/e2-small"


# --- the metadata server


def test_a_new_instance_knows_who_it_is(gce: Local, api: Site) -> None:
    account = [{"email": AGENT, "scopes": ["https://www.googleapis.com/auth/cloud-platform"]}]
    metadata = {"items": [{"key": "peers", "value": "node1 node2"}]}
    made = api.made(INSTANCES, instance(serviceAccounts=account, metadata=metadata))
    gce.serve_metadata("new")

    def ask(path: str) -> str:
        request = urllib.request.Request(
            f"{gce.metadata_url['new']}/computeMetadata/v1/{path}", headers={"Metadata-Flavor": "Google"}
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            return str(answer.read().decode())

    assert ask("instance/name") == "new" and ask("instance/id") == made["id"]
    assert ask("instance/zone").endswith("/zones/us-central1-c")
    assert ask("instance/network-interfaces/0/ip") == ADDRESS
    assert ask("instance/attributes/peers") == "node1 node2"
    token = json.loads(ask("instance/service-accounts/default/token"))["access_token"]
    assert gce.cloud.identity.caller(token) == AGENT
    api.done("DELETE", NEW)
    with pytest.raises(urllib.error.HTTPError):
        ask("instance/name")


# --- routes, firewall rules, load balancers


def test_a_route_waits_for_its_instance(gce: Local, api: Site) -> None:
    found = api.made(ROUTES, route())
    assert found["warnings"][0]["code"] == "NEXT_HOP_INSTANCE_NOT_FOUND"

    def warnings() -> list[str]:
        assert gce.settled()
        return [each["code"] for each in api.good("GET", f"{ROUTES}/floating").get("warnings", ())]

    api.done("POST", INSTANCES, instance(canIpForward=True))
    assert warnings() == [] and hops(gce) == ("new",)
    api.done("POST", f"{NEW}/stop")
    assert warnings() == ["NEXT_HOP_NOT_RUNNING"] and hops(gce) == ()
    api.done("POST", f"{NEW}/start")
    assert warnings() == [] and hops(gce) == ("new",)
    with api.held():
        api.good("DELETE", NEW)
        assert warnings() == ["NEXT_HOP_NOT_RUNNING"]
    api.until(lambda: warnings() == ["NEXT_HOP_INSTANCE_NOT_FOUND"])
    assert hops(gce) == ()
    with api.held():
        api.good("POST", INSTANCES, instance(canIpForward=True))
        assert warnings() == ["NEXT_HOP_NOT_RUNNING"]
    api.until(lambda: warnings() == [])
    assert gce.settled() and hops(gce) == ("new",)


def test_a_route_to_an_address_waits_for_who_has_it(gce: Local, api: Site) -> None:
    found = api.made(ROUTES, route(nextHopIp=ADDRESS))
    assert found["warnings"][0]["code"] == "NEXT_HOP_ADDRESS_NOT_ASSIGNED"
    api.made(INSTANCES, instance(canIpForward=True))
    assert gce.settled() and hops(gce) == ("new",)
    api.done("DELETE", NEW)
    assert gce.settled() and hops(gce) == ()
    api.made(INSTANCES, instance("other", canIpForward=True))
    assert gce.settled() and hops(gce) == ("other",)


def test_live_hops_of_the_lowest_priority_share(gce: Local, api: Site) -> None:
    for name, address in (("new", ADDRESS), ("other", OTHER)):
        api.made(INSTANCES, instance(name, address, canIpForward=True))
    api.made(ROUTES, route("one"))
    api.made(ROUTES, route("two", nextHopIp=OTHER))
    api.made(ROUTES, route("three", nextHopInstance="zones/us-central1-a/instances/node1", priority=2000))
    assert gce.settled() and hops(gce) == ("new", "other")
    api.done("DELETE", NEW)
    assert gce.settled() and hops(gce) == ("other",)
    api.done("DELETE", f"{INSTANCES}/other")
    assert gce.settled() and hops(gce) == ("node1",)
    api.made(INSTANCES, instance(canIpForward=True))
    assert gce.settled() and hops(gce) == ("new",)


def test_one_that_is_made_anew_is_told_everything_again(gce: Local, api: Site) -> None:
    for _each in range(2):
        api.made(INSTANCES, instance())
        assert gce.settled()
        told = [name for name, _table in api.plane.programmed if name == "new"]
        assert told and api.plane.sources["new"] == (f"{ADDRESS}/32",)
        api.plane.programmed.clear()
        api.plane.sources.clear()
        api.done("DELETE", NEW)


def test_a_member_of_a_load_balancer_goes(gce: Local, api: Site) -> None:
    api.made(INSTANCES, instance())
    api.made(CHECKS, check())
    api.made(OF_NEW.rpartition("/")[0], {"name": "of-new"})
    api.done("POST", f"{OF_NEW}/addInstances", {"instances": [{"instance": url("new")}]})
    api.made(SERVICES, service(backends=[backend("node1", group=f"{HOST}{OF_NEW}")]))
    assert [each.instance for each in gce.cloud.balancers.services()[0].backends] == ["new"]
    api.done("DELETE", NEW)
    assert gce.cloud.balancers.services()[0].backends == () and api.good("GET", OF_NEW)["size"] == 0


# --- who may


@pytest.mark.parametrize(
    ("method", "body", "needed"),
    [
        ("POST instances", instance(tags=None), "instances.create disks.create images.useReadOnly subnetworks.use"),
        (
            "POST instances",
            instance(
                metadata={"items": [{"key": "a", "value": "b"}]}, labels={"a": "b"}, serviceAccounts=[{"email": AGENT}]
            ),
            "instances.create disks.create images.useReadOnly subnetworks.use instances.setMetadata instances.setTags "
            "instances.setLabels instances.setServiceAccount iam.serviceAccounts.actAs",
        ),
        (
            "POST instances",
            instance(
                tags=None,
                disks=[{"boot": True, "source": "zones/us-central1-c/disks/spare"}],
                networkInterfaces=nic(networkIP="regions/us-central1/addresses/web"),
            ),
            "instances.create disks.use addresses.useInternal subnetworks.use",
        ),
        ("DELETE instances/old", None, "instances.delete"),
        ("POST disks", {"name": "x", "sourceImage": "global/images/gold"}, "disks.create images.useReadOnly"),
        ("DELETE disks/spare", None, "disks.delete"),
        ("GET disks/spare", None, "disks.get"),
        (
            "POST images",
            {"name": "x", "sourceDisk": "zones/us-central1-c/disks/spare"},
            "images.create disks.useReadOnly",
        ),
        ("GET images/gold", None, "images.get"),
        ("GET images/family/gold", None, "images.getFromFamily"),
        ("DELETE images/gold", None, "images.delete"),
        ("POST templates", template("x"), "instanceTemplates.create images.useReadOnly subnetworks.use"),
        ("DELETE templates/first", None, "instanceTemplates.delete"),
    ],
)
def test_exactly_these_permissions(gce: Local, api: Site, method: str, body: Any, needed: str) -> None:
    api.made(DISKS, {"name": "spare", "sourceImage": gce_machines.DEBIAN})
    api.made(IMAGES, {"name": "gold", "family": "gold", "sourceDisk": "zones/us-central1-c/disks/spare"})
    api.made(ADDRESSES, {**RESERVED, "purpose": "GCE_ENDPOINT"})
    api.made(TEMPLATES, template())
    api.made(INSTANCES, instance("old", OTHER))
    verb, path = method.split(" ")
    kind, rest = path.split("/", 1) if "/" in path else (path, "")
    where = {"instances": INSTANCES, "disks": DISKS, "images": IMAGES, "templates": TEMPLATES}[
        kind
    ] + f"/{rest}" * bool(rest)
    names = {each if each.startswith("iam.") else f"compute.{each}" for each in needed.split()}
    # Everything of Debian's is for everyone.
    public = "images.useReadOnly" in needed and "global/images/gold" not in json.dumps(body)
    gce.cloud.tokens["limited"] = "limited", None
    caller = Site(gce, "limited")
    for lacking in sorted(names - ({"compute.images.useReadOnly"} if public else set())):
        gce.cloud.permissions["limited"] = frozenset(names - {lacking})
        status, answer = caller(verb, where, body)
        assert (status, answer["error"]["errors"][0]["reason"]) == (403, "forbidden")
        assert answer["error"]["message"].startswith(f"Required '{lacking}' permission")
    gce.cloud.permissions["limited"] = frozenset(names)
    caller.good(verb, where, body)

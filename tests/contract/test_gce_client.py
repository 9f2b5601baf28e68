# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The client of Compute Engine against the lab's API, which is held to Google's discovery document."""

from __future__ import annotations

import dataclasses
import time
import uuid
from typing import Any

import pytest
from busy import Watch

from ansible_collections.cloudha.vip.plugins.module_utils.base.errors import (
    AlreadyExists,
    CloudError,
    Denied,
    Invalid,
    Lost,
    NotFound,
    Quota,
    Stale,
    Unavailable,
)
from ansible_collections.cloudha.vip.plugins.module_utils.clouds.gce import Compute
from ansible_collections.cloudha.vip.plugins.module_utils.clouds.gce_names import normalise
from ansible_collections.cloudha.vip.plugins.module_utils.clouds.session import StdlibSession
from ansible_collections.cloudha.vip.plugins.module_utils.clouds.tokens import FixedToken, Metadata, MetadataToken
from lab import topology
from lab.gce.server import Local, local

PROJECT = "lab-project"
NETWORK = f"projects/{PROJECT}/global/networks/ip-failover"
NODE1 = f"projects/{PROJECT}/zones/us-central1-a/instances/node1"
NODE2 = f"projects/{PROJECT}/zones/us-central1-b/instances/node2"
DESTINATION = "10.200.1.1/32"


def route(name: str = "vip", **more: Any) -> dict[str, Any]:
    body = {"name": name, "network": NETWORK, "destRange": DESTINATION, "priority": 1000, "nextHopInstance": NODE1}
    return {**body, **more}


def new() -> str:
    return str(uuid.uuid4())


def client(gce: Local, project: str = PROJECT, token: str = topology.CONTROLLER_TOKEN, **keys: Any) -> Compute:
    keys = {"tokens": FixedToken(token), **keys}
    return Compute(StdlibSession(gce.endpoint), project, endpoint=gce.endpoint, **keys)


def behave(gce: Local, **told: Any) -> None:
    gce.admin("PATCH", "/behaviour", told)


def fail(gce: Local, verb: str = "POST", path: str = "/routes$", **fault: Any) -> None:
    behave(gce, faults=[{"match": {"verb": verb, "path": path}, **fault}])


def asked(gce: Local) -> list[str]:
    """What the API was asked to do, without the words that differ."""
    lines = [f"{entry['method']} {entry['path'].partition('?')[0]}" for entry in gce.admin("GET", "/log")]
    return [line.replace("/compute/v1/projects/lab-project/", "") for line in lines]


@pytest.fixture
def compute(gce: Local) -> Compute:
    return client(gce)


# --- routes


def test_a_route_comes_and_goes(compute: Compute) -> None:
    assert compute.insert_route(route(), new()) == []
    routes, now = compute.list_routes(DESTINATION)
    assert [(each["name"], normalise(each["nextHopInstance"])) for each in routes] == [("vip", NODE1)]
    assert abs(now - time.time()) < 3
    compute.delete_route("vip", new())
    assert compute.list_routes(DESTINATION)[0] == []


def test_a_route_goes_by_its_id(compute: Compute) -> None:
    compute.insert_route(route(), new())
    compute.delete_route(compute.list_routes(DESTINATION)[0][0]["id"], new())
    assert compute.list_routes(DESTINATION)[0] == []


def test_only_the_routes_of_this_destination(compute: Compute) -> None:
    """The API's own filter may take a prefix for a match."""
    for name, destination in (("a", DESTINATION), ("b", "10.200.1.10/32"), ("c", DESTINATION), ("d", "10.200.0.0/16")):
        compute.insert_route(route(name, destRange=destination), new())
    assert sorted(each["name"] for each in compute.list_routes(DESTINATION)[0]) == ["a", "c"]
    assert {"a", "b", "c", "d"} <= {each["name"] for each in compute.all_routes()}


def test_done_means_done(gce: Local, compute: Compute) -> None:
    behave(gce, latency_s=0.3)
    watch = Watch()
    compute.insert_route(route(), new())
    assert watch.took_s >= 0.3
    watch.at_most(2)
    assert [line.rpartition("/")[2] for line in asked(gce)] == ["routes", "wait"]


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"nextHopInstance": NODE1.replace("node1", "nobody")}, "NEXT_HOP_INSTANCE_NOT_FOUND"),
        ({"nextHopInstance": f"projects/{PROJECT}/zones/us-central1-f/instances/{topology.CONTROLLER}"}, "IP_FORWARD"),
        ({"nextHopInstance": None, "nextHopIp": "10.100.9.9"}, "NEXT_HOP_ADDRESS_NOT_ASSIGNED"),
    ],
)
def test_a_next_hop_that_does_not_answer_is_a_warning(compute: Compute, more: dict[str, Any], code: str) -> None:
    body = {key: value for key, value in route(**more).items() if value is not None}
    (warning,) = compute.insert_route(body, new())
    assert code in warning["code"]


# --- what goes wrong


def test_refused_as_it_is(compute: Compute) -> None:
    compute.insert_route(route(), new())
    with pytest.raises(AlreadyExists, match=r"Cannot create route vip: 409 alreadyExists: .*vip"):
        compute.insert_route(route(), new())
    with pytest.raises(NotFound, match=r"Cannot delete route other: 404 notFound: .*other"):
        compute.delete_route("other", new())
    with pytest.raises(Invalid, match="Cannot create route inside: 400 "):
        compute.insert_route(route("inside", destRange="10.100.2.1/32"), new())
    with pytest.raises(Invalid):
        compute.insert_route(route("a name"), new())
    assert [each["name"] for each in compute.list_routes(DESTINATION)[0]] == ["vip"]


def test_what_is_not_there(gce: Local, compute: Compute) -> None:
    with pytest.raises(NotFound, match="nobody"):
        compute.get_instance(NODE1.replace("node1", "nobody"))
    with pytest.raises(NotFound, match="nothing"):
        compute.get_network(NETWORK.replace("ip-failover", "nothing"))
    with pytest.raises(NotFound, match="list the routes of project another: 404"):
        client(gce, "another").list_routes(DESTINATION)


def test_a_quota() -> None:
    world = topology.get("gcp_route_heartbeat").world
    assert world is not None
    with local(dataclasses.replace(world, quotas={"STATIC_ROUTES_PER_NETWORK": 1})) as gce:
        compute = client(gce)
        compute.insert_route(route("one"), new())
        with pytest.raises(Quota, match=r"Cannot create route two: 403 .*Raise the quota"):
            compute.insert_route(route("two"), new())


@pytest.mark.parametrize(
    ("status", "reason", "kind"),
    [
        (400, "resourceNotReady", Unavailable),
        (400, "invalid", Invalid),
        (403, "rateLimitExceeded", Unavailable),
        (403, "userRateLimitExceeded", Unavailable),
        (403, "quotaExceeded", Quota),
        (403, "forbidden", Denied),
        (409, "alreadyExists", AlreadyExists),
        (412, "conditionNotMet", Stale),
        (429, "rateLimitExceeded", Unavailable),
        (500, "internalError", Unavailable),
        (503, "backendError", Unavailable),
    ],
)
@pytest.mark.parametrize("when", ["status", "error-in-operation"])
def test_told_to_fail(gce: Local, compute: Compute, when: str, status: int, reason: str, kind: type) -> None:
    fail(gce, kind=when, status=status, reason=reason, times=1)
    with pytest.raises(CloudError) as failure:
        compute.insert_route(route(), new())
    error = failure.value
    assert (type(error), error.status, error.code, error.resource) == (kind, status, reason, "vip")
    assert str(error).startswith(f"Cannot create route vip: {status} {reason}: ")
    assert compute.list_routes(DESTINATION)[0] == []
    compute.insert_route(route(), new())


def test_a_peering_operation_in_progress(gce: Local, compute: Compute) -> None:
    message = "There is a peering operation in progress on the local or peer network. Try again later."
    fail(gce, kind="status", status=400, reason="badRequest", message=message, times=1)
    with pytest.raises(Unavailable, match="peering operation in progress"):
        compute.insert_route(route(), new())


def test_asked_to_wait(gce: Local, compute: Compute) -> None:
    fail(gce, kind="status", status=429, reason="rateLimitExceeded", retry_after=7, times=1)
    with pytest.raises(Unavailable) as failure:
        compute.insert_route(route(), new())
    assert failure.value.retry_after == 7


# --- connections that are lost


@pytest.mark.parametrize("kind", ["lose-before", "lose-after"])
def test_lost_on_a_warm_connection_is_repeated_with_the_same_id(gce: Local, compute: Compute, kind: str) -> None:
    compute.list_routes(DESTINATION)
    fail(gce, kind=kind, times=1)
    compute.insert_route(route(), new())
    assert asked(gce)[1:3] == ["POST global/routes"] * 2
    assert [each["name"] for each in compute.list_routes(DESTINATION)[0]] == ["vip"]


@pytest.mark.parametrize("kind", ["lose-before", "lose-after"])
def test_lost_and_repeated_by_the_caller(gce: Local, compute: Compute, kind: str) -> None:
    fail(gce, kind=kind, times=1)
    request_id = new()
    with pytest.raises(Lost, match="Cannot create route vip: "):
        compute.insert_route(route(), request_id)
    # It joins the operation that there may be: no AlreadyExists.
    compute.insert_route(route(), request_id)
    fail(gce, "DELETE", "/routes/vip$", kind=kind, times=2)
    with pytest.raises(Lost, match="Cannot delete route vip: "):
        compute.delete_route("vip", request_id := new())
    compute.delete_route("vip", request_id)


def test_a_wait_that_is_lost_is_taken_up_again(gce: Local, compute: Compute) -> None:
    behave(gce, latency_s=0.3)
    fail(gce, path="/wait$", kind="lose-before", times=3)
    compute.insert_route(route(), new())
    assert len(compute.list_routes(DESTINATION)[0]) == 1


def test_an_operation_that_never_ends(gce: Local) -> None:
    compute = client(gce, operation_timeout=0.3)
    fail(gce, kind="never-ends", times=1)
    watch = Watch()
    with pytest.raises(Unavailable, match=r"create route vip: operation \S+ is not done after 0.3 s"):
        compute.insert_route(route(), new())
    watch.at_most(5)


# --- who may


def test_the_agents_account_may_do_what_it_needs(gce: Local) -> None:
    compute = client(gce, tokens=MetadataToken(gce.metadata_url["node1"]))
    compute.insert_route(route(), new())
    assert len(compute.list_routes(DESTINATION)[0]) == 1
    compute.delete_route("vip", new())
    compute.get_instance(NODE1)
    with pytest.raises(Denied, match=r"list the firewall rules of project lab-project: 403 .*compute.firewalls.list"):
        compute.list_firewalls(NETWORK)
    instances = ["compute.instances.get", "compute.instances.stop"]
    assert compute.test_permissions(NODE1, instances) == {"compute.instances.get"}


def test_a_token_that_is_refused(gce: Local) -> None:
    compute = client(gce, tokens=MetadataToken(gce.metadata_url["node1"]))
    compute.insert_route(route(), new())
    assert gce.admin("POST", "/tokens/expire", {"principal": topology.AGENT}) == {"expired": 1}
    compute.delete_route("vip", new())
    with pytest.raises(Denied, match="Cannot create route vip: 401 ") as failure:
        client(gce, token="not-a-token").insert_route(route(), new())
    assert "not-a-token" not in str(failure.value)
    with pytest.raises(Denied, match="401 "):
        client(gce, tokens=None).list_routes(DESTINATION)


def test_a_machine_without_a_service_account(gce: Local) -> None:
    compute = client(gce, tokens=MetadataToken(gce.metadata_url["client1"]))
    with pytest.raises(Denied, match="has no service account"):
        compute.list_routes(DESTINATION)


# --- what is there


def test_instances(compute: Compute) -> None:
    node = compute.get_instance(NODE2)
    assert (node["name"], node["status"], node["canIpForward"]) == ("node2", "RUNNING", True)
    found = compute.find_instance_by_address(NETWORK, "10.100.2.2")
    assert found is not None and normalise(found["selfLink"]) == NODE2
    assert compute.find_instance_by_address(NETWORK, "10.100.2.20") is None
    assert compute.find_instance_by_address(f"{NETWORK}-2", "10.100.2.2") is None


def test_a_zone_that_is_down_is_not_an_empty_one(gce: Local, compute: Compute) -> None:
    behave(gce, zone_outage=["us-central1-b"])
    assert compute.find_instance_by_address(NETWORK, "10.100.2.1") is not None
    with pytest.raises(Unavailable, match="no answer for us-central1-b"):
        compute.find_instance_by_address(NETWORK, "10.100.2.2")
    with pytest.raises(Unavailable, match=r"get instance .*node2: 503"):
        compute.get_instance(NODE2)


def test_the_network(compute: Compute) -> None:
    assert normalise(compute.get_network(NETWORK)["selfLink"]) == NETWORK
    assert [each["ipCidrRange"] for each in compute.list_subnetworks(NETWORK)] == ["10.100.0.0/16"]
    assert {each["name"] for each in compute.list_firewalls(NETWORK)} >= {"vrrp"}
    assert compute.list_subnetworks(f"{NETWORK}-2") == compute.list_firewalls(f"{NETWORK}-2") == []


def test_what_a_machine_knows_of_itself(gce: Local) -> None:
    metadata = Metadata(gce.metadata_url["node2"])
    said = metadata.project(), metadata.zone(), metadata.instance(), metadata.address(NETWORK.rpartition("/")[2])
    assert said == (PROJECT, "us-central1-b", "node2", "10.100.2.2")
    with pytest.raises(NotFound):
        metadata.get("instance/nothing")
    with pytest.raises(NotFound, match="no interface on a network other"):
        metadata.address("other")

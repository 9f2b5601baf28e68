# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's API of Compute Engine: what docs/gce-api.md says of it."""

from __future__ import annotations

import contextlib
import dataclasses
import http.client
import json
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
from busy import Watch, until

from lab import topology
from lab.gce import discovery
from lab.gce.behaviour import KINDS
from lab.gce.memory import MemoryPlane
from lab.gce.methods import HANDLERS
from lab.gce.server import Local, local, serve
from lab.gce.world import Instance, Network, Principal, Route, ServiceProject, Subnetwork, World

PROJECT = "/projects/lab-project"
ROUTES = f"{PROJECT}/global/routes"
NODE1 = f"{PROJECT}/zones/us-central1-a/instances/node1"
NODE2 = f"{PROJECT}/zones/us-central1-b/instances/node2"
DESTINATION = "10.200.1.1/32"
AGENT = topology.AGENT


class Api:
    """One connection to the API, as one caller."""

    def __init__(self, gce: Local, token: str = topology.CONTROLLER_TOKEN) -> None:
        split = urlsplit(gce.endpoint)
        assert split.hostname
        self.connection = http.client.HTTPConnection(split.hostname, split.port, timeout=20)
        self.base = split.path
        self.token = token
        self.headers: Any = None

    def __call__(self, verb: str, path: str, body: object = None) -> tuple[int, Any]:
        text = None if body is None else json.dumps(body)
        self.connection.request(verb, self.base + path, text, {"Authorization": f"Bearer {self.token}"})
        response = self.connection.getresponse()
        self.headers = response.headers
        return response.status, json.loads(response.read())

    def good(self, verb: str, path: str, body: object = None) -> Any:
        status, answer = self(verb, path, body)
        assert status == 200, answer
        return answer

    def refused(self, verb: str, path: str, body: object = None) -> tuple[int, str]:
        status, answer = self(verb, path, body)
        assert status >= 400, answer
        assert set(answer["error"]) == {"code", "message", "errors"} and answer["error"]["code"] == status
        return status, answer["error"]["errors"][0]["reason"]

    def wait(self, operation: dict[str, Any]) -> Any:
        path = operation["selfLink"].partition("/compute/v1")[2]
        return self.good("POST", f"{path}/wait")


@pytest.fixture
def api(gce: Local) -> Api:
    return Api(gce)


def route(**changes: Any) -> dict[str, Any]:
    body = {
        "name": "floating",
        "network": "projects/lab-project/global/networks/ip-failover",
        "destRange": DESTINATION,
        "priority": 1000,
        "nextHopInstance": NODE1[1:],
        **changes,
    }
    return {key: value for key, value in body.items() if value is not None}


@contextlib.contextmanager
def held(gce: Local) -> Iterator[None]:
    """Operations that begin meanwhile end with it, in their order: however slow the machine is."""
    gce.admin("PATCH", "/behaviour", {"faults": [{"kind": "never-ends"}]})
    yield
    gce.admin("PATCH", "/behaviour", {"faults": []})


def hops(gce: Local, sender: str = "client1", destination: str = DESTINATION) -> tuple[str, ...] | None:
    """Where the data plane was told to send packets to the destination."""
    return gce.cloud.plane.tables[sender].get(destination)  # type: ignore[attr-defined]


# --- requests


def test_every_answer_is_what_the_discovery_document_says(gce: Local, api: Api) -> None:
    api.good("POST", ROUTES, route())
    for path, schema in {
        ROUTES: "RouteList",
        f"{ROUTES}/floating": "Route",
        NODE1: "Instance",
        f"{PROJECT}/zones/us-central1-a/instances": "InstanceList",
        f"{PROJECT}/aggregated/instances": "InstanceAggregatedList",
        f"{PROJECT}/global/networks": "NetworkList",
        f"{PROJECT}/global/networks/ip-failover": "Network",
        f"{PROJECT}/regions/us-central1/subnetworks": "SubnetworkList",
        f"{PROJECT}/regions/us-central1/subnetworks/ip-failover-subnet": "Subnetwork",
        f"{PROJECT}/aggregated/subnetworks": "SubnetworkAggregatedList",
        f"{PROJECT}/global/firewalls": "FirewallList",
        f"{PROJECT}/global/firewalls/vrrp": "Firewall",
        f"{PROJECT}/zones": "ZoneList",
        f"{PROJECT}/zones/us-central1-a": "Zone",
        f"{PROJECT}/global/operations": "OperationList",
        PROJECT: "Project",
    }.items():
        assert list(discovery.problems_of(schema, api.good("GET", path))) == [], path
    # The check itself can fail.
    assert list(discovery.problems_of("Route", {"priority": "high", "nextHopIP": 1}))


def test_a_wrong_answer_of_its_own_is_found(gce: Local, api: Api) -> None:
    gce.cloud.instances["node1"]["canIpForward"] = "yes"
    assert api("GET", NODE1)[0] == 500
    assert "canIpForward" in gce.violations.pop()


@pytest.mark.parametrize(
    ("verb", "path", "body", "said"),
    [
        ("GET", "/projects/lab-project/global/rotes", None, (404, "notFound")),
        ("GET", f"{PROJECT}/global/snapshots", None, (501, "notImplemented")),
        ("GET", "/projects/another/global/routes", None, (404, "notFound")),
        ("GET", f"{ROUTES}/missing", None, (404, "notFound")),
        ("GET", f"{ROUTES}/Name", None, (400, "invalid")),
        ("GET", f"{ROUTES}?colour=red", None, (400, "badRequest")),
        ("GET", f"{ROUTES}?maxResults=-1", None, (400, "invalid")),
        ("GET", f"{ROUTES}?orderBy=colour", None, (400, "invalid")),
        ("GET", f"{ROUTES}?pageToken=x", None, (400, "invalid")),
        ("POST", ROUTES, [], (400, "parseError")),
        ("GET", f"{ROUTES}?filter=blah", None, (400, "invalid")),
        ("POST", ROUTES, route(name=None), (400, "required")),
        ("POST", ROUTES, route(destRange=None), (400, "required")),
        ("POST", ROUTES, route(name="9"), (400, "invalid")),
        ("POST", ROUTES, route(priority="high"), (400, "invalid")),
        ("POST", ROUTES, route(priority=65536), (400, "invalid")),
        ("POST", ROUTES, route(nextHop="x"), (400, "invalid")),
        ("POST", ROUTES, route(nextHopInstance=None), (400, "invalid")),
        ("POST", ROUTES, route(nextHopIp="10.100.2.1"), (400, "invalid")),
        ("POST", ROUTES, route(nextHopInstance=None, nextHopIp="10.99.2.1"), (400, "invalid")),
        ("POST", ROUTES, route(destRange="10.200.1.1"), (400, "invalid")),
        ("POST", ROUTES, route(destRange="10.200.1.1/24"), (400, "invalid")),
        ("POST", ROUTES, route(destRange="10.100.0.0/16"), (400, "invalid")),
        ("POST", ROUTES, route(destRange="10.100.7.0/24"), (400, "invalid")),
        ("POST", ROUTES, route(network="projects/lab-project/global/networks/no"), (404, "notFound")),
        ("POST", ROUTES, route(network="networks:no"), (400, "invalid")),
        ("POST", ROUTES, route(priority=-1), (400, "invalid")),
        ("POST", ROUTES, route(tags=["No"]), (400, "invalid")),
        ("POST", ROUTES, route(nextHopInstance="node1"), (400, "invalid")),
        ("POST", ROUTES, route(nextHopInstance=None, nextHopIp="10.100.2"), (400, "invalid")),
        ("POST", ROUTES, route(nextHopInstance=None, nextHopIlb="10.100.2.9"), (501, "notImplemented")),
        ("POST", ROUTES, route(destRange="fd00::/64"), (501, "notImplemented")),
        ("POST", f"{ROUTES}?requestId=1", route(), (400, "invalid")),
        ("POST", f"{ROUTES}?requestId={uuid.UUID(int=0)}", route(), (400, "invalid")),
        ("PATCH", f"{NODE1}/updateNetworkInterface", {"fingerprint": "AA=="}, (400, "required")),
        ("PATCH", f"{NODE1}/updateNetworkInterface?networkInterface=nic0", {}, (400, "required")),
        (
            "PATCH",
            f"{NODE1}/updateNetworkInterface?networkInterface=nic0",
            {"fingerprint": "AAAA"},
            (412, "conditionNotMet"),
        ),
        ("GET", f"{PROJECT}/zones/mars-a/instances", None, (400, "invalid")),
        ("GET", f"{PROJECT}/zones/mars-a/instances/node1", None, (400, "invalid")),
        (
            "PATCH",
            f"{PROJECT}/zones/mars-a/instances/node1/updateNetworkInterface?networkInterface=nic0",
            {},
            (400, "invalid"),
        ),
        ("GET", f"{PROJECT}/zones/mars-a/operations/operation-1", None, (400, "invalid")),
        ("GET", f"{PROJECT}/zones/mars-a", None, (404, "notFound")),
        ("GET", f"{PROJECT}/regions/mars/subnetworks/ip-failover-subnet", None, (400, "invalid")),
        ("GET", f"{PROJECT}/zones/us-central1-b/instances/node1", None, (404, "notFound")),
    ],
)
def test_bad_requests_are_refused_and_change_nothing(
    gce: Local, api: Api, verb: str, path: str, body: object, said: tuple[int, str]
) -> None:
    assert api.refused(verb, path, body) == said
    assert gce.cloud.routes == {} and gce.cloud.operations.all("global") == []


def test_a_name_that_is_taken(api: Api) -> None:
    api.good("POST", ROUTES, route())
    assert api.refused("POST", ROUTES, route(priority=5)) == (409, "alreadyExists")


def test_a_method_that_the_lab_does_not_have_is_named(api: Api) -> None:
    status, answer = api("POST", f"{PROJECT}/zones/us-central1-a/instances/node1/suspend")
    assert status == 501 and "compute.instances.suspend" in answer["error"]["message"]


def test_what_is_read_leniently(gce: Local, api: Api) -> None:
    """Numbers as text, nulls, what only the API says, no priority; URLs of any host and version, partial ones."""
    api.good("POST", ROUTES, route(priority="7", description=None, id="5", kind="x", creationTimestamp="never"))
    assert gce.cloud.routes["floating"]["priority"] == 7 and gce.cloud.routes["floating"]["id"] != "5"
    urls = {
        "https://compute.googleapis.com/compute/v1/projects/lab-project/global/networks/ip-failover": NODE1[1:],
        "http://127.0.0.1:1/compute/beta/projects/lab-project/global/networks/ip-failover": f"http://x/compute/v1{NODE1}",
        "global/networks/ip-failover": "zones/us-central1-a/instances/node1",
    }
    for number, (network, hop) in enumerate(urls.items()):
        api.good("POST", ROUTES, route(name=f"r{number}", network=network, nextHopInstance=hop, priority=None))
        made = api.good("GET", f"{ROUTES}/r{number}")
        assert made["network"] == "https://www.googleapis.com/compute/v1/" + route()["network"]
        assert made["nextHopInstance"] == f"https://www.googleapis.com/compute/v1{NODE1}"
        assert made["priority"] == 1000 and "warnings" not in made


def test_a_read_takes_no_time(api: Api) -> None:
    api.good("POST", ROUTES, route())
    times, watch = [], Watch()
    for _turn in range(50):
        begin = time.perf_counter()
        api.good("GET", ROUTES)
        times.append(time.perf_counter() - begin)
    watch.at_most(0.003, sorted(times)[25])


# --- operations


def test_a_repeated_request_id_is_the_same_operation(gce: Local, api: Api) -> None:
    path = f"{ROUTES}?requestId={uuid.uuid4()}"
    with held(gce):
        first, second = api.good("POST", path, route()), api.good("POST", path, route())
    assert first["name"] == second["name"] and first["status"] != "DONE"
    assert api.wait(first)["status"] == "DONE"
    assert api.good("POST", path, route())["name"] == first["name"]
    assert api.refused("POST", path, route(name="another")) == (400, "invalid"), "the id of another request"
    assert api.refused("POST", f"{ROUTES}?requestId={uuid.uuid4()}", route()) == (409, "alreadyExists")


def test_a_request_whose_answer_was_lost_can_be_repeated(gce: Local, api: Api) -> None:
    api.good("POST", ROUTES, route())
    gce.admin("PATCH", "/behaviour", {"faults": [{"kind": "lose-after", "times": 1}]})
    path = f"{ROUTES}/floating?requestId={uuid.uuid4()}"
    with pytest.raises((http.client.HTTPException, OSError)):
        api("DELETE", path)
    assert api.wait(api.good("DELETE", path))["operationType"] == "delete"
    assert api.refused("DELETE", f"{ROUTES}/floating") == (404, "notFound")


def test_an_operation_takes_effect_when_it_ends(gce: Local, api: Api) -> None:
    with held(gce):
        operation = api.good("POST", ROUTES, route())
        assert (operation["status"], operation["progress"]) == ("RUNNING", 0) and "endTime" not in operation
        assert gce.admin("GET", "/state")["operations"][0]["name"] == operation["name"]
        assert gce.cloud.routes == {}
        assert api.refused("POST", ROUTES, route()) == (409, "alreadyExists")
        assert api.refused("DELETE", f"{ROUTES}/floating") == (400, "resourceNotReady")
    ended = api.wait(operation)
    assert (ended["status"], ended["progress"]) == ("DONE", 100)
    assert ended["insertTime"] <= ended["startTime"] <= ended["endTime"]
    made = api.good("GET", f"{ROUTES}/floating")
    assert (ended["targetId"], ended["targetLink"]) == (made["id"], made["selfLink"])
    until(lambda: hops(gce) == ("node1",))
    # By its id, too, as the document's pattern for it allows.
    with held(gce):
        operation = api.good("DELETE", f"{ROUTES}/{made['id']}")
        assert api.good("GET", f"{ROUTES}/{made['id']}")["name"] == "floating"
        assert hops(gce) == ("node1",), "until it ends"
        assert api.refused("DELETE", f"{ROUTES}/floating") == (400, "resourceNotReady")
        assert api.refused("POST", ROUTES, route()) == (409, "alreadyExists")
    api.wait(operation)
    assert api("GET", f"{ROUTES}/floating")[0] == 404
    api.good("POST", ROUTES, route())
    assert api("GET", f"{ROUTES}/{made['id']}")[0] == 404, "the new one is another one"


@pytest.mark.parametrize("visible", ["request", "done"])
def test_when_a_new_route_is_seen(gce: Local, api: Api, visible: str) -> None:
    gce.admin("PATCH", "/behaviour", {"visible": visible})
    with held(gce):
        operation = api.good("POST", ROUTES, route())
        seen = api("GET", f"{ROUTES}/floating")[0] == 200
        listed = [each["name"] for each in api.good("GET", f"{ROUTES}?filter=name=floating").get("items", [])]
        assert (seen, listed) == ((True, ["floating"]) if visible == "request" else (False, []))
        assert hops(gce) is None, "seen or not, it moves no packet yet"
    api.wait(operation)
    assert api("GET", f"{ROUTES}/floating")[0] == 200
    until(lambda: hops(gce) == ("node1",))


def test_a_wait_may_end_before_the_operation(gce: Local, api: Api) -> None:
    gce.admin("PATCH", "/behaviour", {"latency_s": 60, "wait_s": 0.05})
    watch = Watch()
    assert api.wait(api.good("POST", ROUTES, route()))["status"] == "RUNNING"
    assert watch.took_s >= 0.05
    watch.at_most(5)


def test_an_operation_has_its_scope(gce: Local, api: Api) -> None:
    zonal = api.good("POST", f"{NODE1}/stop")
    assert api.refused("GET", f"{PROJECT}/global/operations/{zonal['name']}") == (404, "notFound")
    assert api.good("GET", f"{PROJECT}/zones/us-central1-a/operations/{zonal['name']}")["zone"] == zonal["zone"]
    assert "items" not in api.good("GET", f"{PROJECT}/global/operations")
    assert len(api.good("GET", f"{PROJECT}/zones/us-central1-a/operations")["items"]) == 1


# --- lists


def test_lists_have_pages_and_filters(api: Api) -> None:
    for number in range(5):
        api.good("POST", ROUTES, route(name=f"r{number}", destRange=f"10.200.1.{number}/32"))
    page = api.good("GET", f"{ROUTES}?maxResults=3&filter=name=r*")
    rest = api.good("GET", f"{ROUTES}?maxResults=3&filter=name=r*&pageToken={page['nextPageToken']}")
    assert [each["name"] for each in page["items"] + rest["items"]] == [f"r{number}" for number in range(5)]
    assert "nextPageToken" not in rest
    latest = api.good("GET", f"{ROUTES}?orderBy={quote('creationTimestamp desc')}&maxResults=1")["items"][0]
    assert latest["creationTimestamp"] == max(each["creationTimestamp"] for each in api.good("GET", ROUTES)["items"])


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", ["default", "r1", "r10", "r2"]),
        ('destRange = "10.200.1.1/32"', ["r1"]),
        ('destRange = "10.200.1.1*"', ["r1", "r10"]),
        # As gcloud writes it, and Debian's resource agents.
        (r'destRange eq ".*\b10\.200\.1\.1/32\b.*"', ["r1"]),
        ('(destRange = "10.200.1.1*") AND (network = "NETWORK") AND (name != "r1")', ["r10"]),
        ("(network=NETWORK)(name != r1)", ["default", "r10", "r2"]),
        ("name eq r.", ["r1", "r2"]),
        ("name ne r.", ["default", "r10"]),
        ("(name eq r.*) (destRange ne .*1/32)", ["r10", "r2"]),
        ("name = r1 OR name = r2", ["r1", "r2"]),
        ("priority > 1000 AND NOT name:r10", ["r2"]),
        ("tags:client", ["r2"]),
        ("tags:*", ["r2"]),
        ("nextHopIp:*", []),
    ],
)
def test_filters(api: Api, text: str, names: list[str]) -> None:
    for number, more in {1: {}, 10: {"priority": 1001}, 2: {"priority": 2000, "tags": ["x", "client"]}}.items():
        api.good("POST", ROUTES, route(**{"name": f"r{number}", "destRange": f"10.200.1.{number}/32", **more}))
    network = api.good("GET", f"{PROJECT}/global/networks/ip-failover")["selfLink"]
    found = api.good("GET", f"{ROUTES}?filter={quote(text.replace('NETWORK', network))}").get("items", [])
    assert [each["name"].partition("-")[0] for each in found] == names


@pytest.mark.parametrize("text", ["name", "name =", "= x", "(name = x", "name = x AND name eq y", "name eq (", "a b c"])
def test_filters_that_are_none(api: Api, text: str) -> None:
    assert api.refused("GET", f"{ROUTES}?filter={quote(text)}") == (400, "invalid")


def test_a_subnetwork_has_a_route_that_stays(api: Api) -> None:
    (local,) = api.good("GET", ROUTES)["items"]
    assert (local["destRange"], local["priority"]) == ("10.100.0.0/16", 0) and "nextHopNetwork" in local
    assert api.good("GET", f"{ROUTES}/{local['id']}") == local
    assert api.refused("DELETE", f"{ROUTES}/{local['name']}") == (400, "badRequest")


def test_a_quota(api: Api) -> None:
    world = topology.get("gcp_route_heartbeat").world
    assert world is not None
    with local(dataclasses.replace(world, quotas={"STATIC_ROUTES_PER_NETWORK": 1})) as small:
        narrow = Api(small)
        narrow.good("POST", ROUTES, route())
        ended = narrow.wait(narrow.good("POST", ROUTES, route(name="more")))
        assert ended["error"]["errors"][0]["code"] == "QUOTA_EXCEEDED" and ended["httpErrorStatusCode"] == 403
        assert list(small.cloud.routes) == ["floating"]
        narrow.good("DELETE", f"{ROUTES}/floating")
        assert "error" not in narrow.wait(narrow.good("POST", ROUTES, route(name="more"))), "the name is free"


def test_a_world_may_have_routes_already() -> None:
    world = topology.get("gcp_route_heartbeat").world
    assert world is not None
    routes = (
        Route("by-name", "ip-failover", DESTINATION, "node2", 500),
        Route("by-address", "ip-failover", "10.200.1.2/32", "10.100.2.1", tags=("client",)),
    )
    with local(dataclasses.replace(world, routes=routes)) as gce:
        assert hops(gce) == ("node2",) and hops(gce, destination="10.200.1.2/32") == ("node1",)
        assert hops(gce, "node1", "10.200.1.2/32") is None
        assert gce.violations == []


def test_firewall_rules(gce: Local, api: Api) -> None:
    rules = f"{PROJECT}/global/firewalls"
    body = {"name": "extra", "network": "global/networks/ip-failover", "allowed": [{"IPProtocol": "tcp"}]}
    assert api.refused("POST", rules, {**body, "allowed": None}) == (400, "required")
    assert api.refused("POST", rules, {**body, "network": None}) == (404, "notFound"), "there is no network default"
    api.wait(api.good("POST", rules, body))
    made = api.good("GET", f"{rules}/extra")
    assert (made["direction"], made["priority"], made["disabled"]) == ("INGRESS", 1000, False)
    assert api.refused("POST", rules, body) == (409, "alreadyExists")
    api.wait(api.good("DELETE", f"{rules}/extra"))
    assert api.refused("GET", f"{rules}/extra") == (404, "notFound")


# --- who may


def test_callers_need_tokens_and_permissions(gce: Local, api: Api) -> None:
    assert Api(gce, "").refused("GET", ROUTES) == (401, "required")
    assert Api(gce, "made-up").refused("GET", ROUTES) == (401, "authError")
    token, seconds = gce.cloud.mint(AGENT)
    agent = Api(gce, token)
    assert seconds > 3000
    agent.wait(agent.good("POST", ROUTES, route()))
    assert agent.refused("POST", f"{NODE1}/stop") == (403, "forbidden")
    asked = {"permissions": ["compute.routes.create", "compute.instances.stop"]}
    answer = agent.good("POST", f"{ROUTES}/floating/testIamPermissions", asked)
    assert answer["permissions"] == ["compute.routes.create"]
    assert gce.admin("POST", "/tokens/expire", {"principal": AGENT}) == {"expired": 1}
    assert agent.refused("GET", ROUTES) == (401, "authError")
    assert api.good("GET", ROUTES)["items"]


@pytest.mark.parametrize("missing", ["compute.routes.create", "compute.networks.updatePolicy", "compute.instances.use"])
def test_a_route_needs_each_of_its_permissions(gce: Local, missing: str) -> None:
    permissions = gce.cloud.permissions[AGENT]
    assert permissions is not None
    gce.cloud.permissions[AGENT] = permissions - {missing}
    token = gce.cloud.mint(AGENT)[0]
    status, answer = Api(gce, token)("POST", ROUTES, route())
    assert status == 403 and f"'{missing}'" in answer["error"]["message"]
    assert gce.cloud.routes == {}


_SAMPLE = {
    "project": "lab-project",
    "zone": "us-central1-a",
    "region": "us-central1",
    "instance": "node1",
    "network": "ip-failover",
    "subnetwork": "ip-failover-subnet",
    "route": "floating",
    "operation": "operation-1",
}


@pytest.mark.parametrize("method", sorted(each for each in HANDLERS if not each.endswith("testIamPermissions")))
def test_every_method_needs_a_permission(gce: Local, api: Api, method: str) -> None:
    api.good("POST", ROUTES, route())
    gce.cloud.permissions["nobody"] = frozenset()
    gce.cloud.tokens["nobodys"] = "nobody", None
    verb, path = next((each.verb, path) for each, path in discovery.methods() if each.id == method)
    path = "/" + path.format_map(_SAMPLE)
    if method.endswith("updateNetworkInterface"):
        path += "?networkInterface=nic0"
    body = route() if method == "compute.routes.insert" else {} if "Interface" in method else None
    status, answer = Api(gce, "nobodys")(verb, path, body)
    assert (status, answer["error"]["errors"][0]["reason"]) == (403, "forbidden")
    assert answer["error"]["message"].startswith("Required 'compute.")


def test_what_may_be_asked_of_permissions(gce: Local, api: Api) -> None:
    token = gce.cloud.mint(AGENT)[0]
    agent, asked = Api(gce, token), {"permissions": ["compute.instances.get", "compute.instances.stop"]}
    assert agent.good("POST", f"{NODE1}/testIamPermissions", asked) == {"permissions": ["compute.instances.get"]}
    assert agent.refused("POST", f"{NODE1}9/testIamPermissions", asked) == (404, "notFound")
    assert agent.refused("POST", f"{ROUTES}/no/testIamPermissions", asked) == (404, "notFound")
    agent.base = ""  # another API, with a host of its own
    path = "/v1/projects/lab-project:testIamPermissions"
    assert agent.good("POST", path, asked) == {"permissions": ["compute.instances.get"]}


# --- the metadata server


class Metadata:
    """What an instance can ask."""

    def __init__(self, url: str, source: str = "") -> None:
        self.server = urlsplit(url).netloc
        self.source = (source, 0) if source else None
        self.headers = {"Metadata-Flavor": "Google"}

    def __call__(self, path: str, **headers: str) -> tuple[int, str]:
        connection = http.client.HTTPConnection(self.server, timeout=5, source_address=self.source)
        connection.request("GET", f"/computeMetadata/v1/{path}", headers=headers or self.headers)
        response = connection.getresponse()
        assert response.headers["Metadata-Flavor"] == "Google"
        return response.status, response.read().decode()

    def json(self, path: str) -> Any:
        status, text = self(path)
        assert status == 200, text
        return json.loads(text)


def test_the_metadata_server_in_detail(gce: Local) -> None:
    ask = Metadata(gce.metadata_url["node1"])
    assert ask("instance/name", **{"metadata-flavor": "Google"})[0] == 200, "the names of headers have no case"
    assert ask("instance/name", **ask.headers, **{"X-Forwarded-For": "10.0.0.1"})[0] == 403
    assert ask("project/numeric-project-id") == (200, str(gce.cloud.world.number))
    assert ask("instance/id") == (200, gce.cloud.instances["node1"]["id"])
    assert ask("instance/hostname") == (200, "node1.us-central1-a.c.lab-project.internal")
    assert ask("instance/tags") == (200, "backend")
    assert ask.json("instance/tags?alt=json") == ["backend"]
    assert ask("instance/network-interfaces/") == (200, "0/\n")
    assert "network\n" in ask("instance/network-interfaces/0/")[1]
    assert ask("instance/service-accounts") == (200, f"default/\n{AGENT}/\n")
    assert ask("instance/service-accounts/default/scopes")[1].startswith("https://")
    assert ask.json("instance/network-interfaces/0/?recursive=true")["gateway"] == "10.100.0.1"
    assert ask.json("?recursive=true")["project"]["projectId"] == "lab-project"
    assert ask("instance/network-interfaces/1/ip")[0] == 404
    assert ask("project")[1] == "attributes/\nnumeric-project-id\nproject-id\n"
    client = Metadata(gce.metadata_url["client1"])
    assert client("instance/service-accounts/default/token")[0] == 404, "it has no account"
    assert [each["status"] for each in gce.admin("GET", "/log/metadata")][-1] == 404
    assert gce.admin("GET", "/log") == []


def test_tokens_of_the_metadata_server(gce: Local, api: Api) -> None:
    ask = Metadata(gce.metadata_url["node1"])
    path = "instance/service-accounts/default/token"
    first, again = ask.json(path), ask.json(path)
    assert first["access_token"] == again["access_token"] and 3500 < first["expires_in"] <= 3600
    gce.admin("POST", "/tokens/expire", {"principal": AGENT})
    assert Api(gce, first["access_token"]).refused("GET", ROUTES) == (401, "authError")
    second = ask.json(path)
    assert second["access_token"] != first["access_token"]
    assert Api(gce, second["access_token"])("GET", ROUTES)[0] == 200
    gce.admin("POST", "/tokens/expire", {"principal": AGENT})
    gce.admin("PATCH", "/behaviour", {"token_lifetime_s": 0.1})
    short = Api(gce, ask.json(path)["access_token"])
    until(lambda: short("GET", ROUTES)[0] == 401)
    with pytest.raises(ValueError, match="nobody"):
        gce.admin("POST", "/tokens/expire", {"principal": "nobody"})


def test_the_metadata_server_knows_who_asks_by_the_address(tmp_path: Path) -> None:
    """As the lab serves it, with the socket on which it is told what to do."""
    networks = (Network("n"),), (Subnetwork("s", "n", "moon-central1", "127.0.0.0/8"),)
    machines = tuple(Instance(f"m{n}", "moon-central1-a", "n", "s", f"127.0.1.{n}") for n in (1, 2))
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _each in range(3)]
        addresses = [each.getsockname() for each in servers]
    admin = tmp_path / "api.sock"
    world = World("p", *networks, machines, principals=(Principal("me", ("mine",)),))
    arguments = {"api": addresses[0], "metadata": addresses[1], "resolver": addresses[2], "admin": admin}
    threading.Thread(target=serve, args=(world, MemoryPlane()), kwargs=arguments, daemon=True).start()
    until(admin.exists)

    def ask(request: str) -> Any:
        with socket.socket(socket.AF_UNIX) as told:
            until(lambda: told.connect_ex(str(admin)) == 0)
            told.sendall(f"{request} HTTP/1.0\r\n\r\n".encode())
            return json.loads(told.makefile().read().partition("\n\n")[2])

    assert ask("GET /behaviour")["latency_s"] == 2.0
    assert "there is no" in ask("GET /nonsense")["error"]
    url = "http://{}:{}".format(*addresses[1])
    assert Metadata(url, "127.0.1.2")("instance/name") == (200, "m2")
    assert Metadata(url, "127.0.1.1")("instance/name") == (200, "m1")
    assert Metadata(url, "127.0.1.3")("instance/name")[0] == 404
    assert ask("GET /state")["violations"] == []


def test_the_metadata_server(gce: Local) -> None:
    flavor = {"Metadata-Flavor": "Google"}
    get = Metadata(gce.metadata_url["node2"])
    assert get("instance/name", Accept="*/*")[0] == 403
    assert get("instance/name", **flavor) == (200, "node2")
    assert get("instance/zone", **flavor) == (200, f"projects/{gce.cloud.world.number}/zones/us-central1-b")
    assert get("project/project-id", **flavor) == (200, "lab-project")
    assert get("instance/network-interfaces/0/ip", **flavor) == (200, "10.100.2.2")
    assert get("instance/service-accounts/default/email", **flavor) == (200, AGENT)
    assert get("instance/nothing", **flavor)[0] == 404
    everything = json.loads(get("instance/?recursive=true", **flavor)[1])
    assert everything["networkInterfaces"][0]["ip"] == "10.100.2.2"
    token = json.loads(get("instance/service-accounts/default/token", **flavor)[1])
    assert token["token_type"] == "Bearer" and gce.cloud.identity.caller(token["access_token"]) == AGENT


# --- what goes wrong when told


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ({"status": 403, "reason": "rateLimitExceeded"}, (403, "rateLimitExceeded")),
        ({"status": 429, "reason": "rateLimitExceeded", "retry_after": 7}, (429, "rateLimitExceeded")),
        ({"status": 503}, (503, "backendError")),
        ({"status": 409, "reason": "conflict"}, (409, "conflict")),
        ({"status": 412}, (412, "conditionNotMet")),
        ({"status": 500}, (500, "internalError")),
        ({"status": 403}, (403, "rateLimitExceeded")),
        (
            {"status": 400, "reason": "badRequest", "message": "There is a peering operation in progress"},
            (400, "badRequest"),
        ),
    ],
)
def test_told_to_refuse(gce: Local, api: Api, fault: dict[str, Any], said: tuple[int, str]) -> None:
    match = {"verb": "POST", "path": "/global/routes$", "caller": "controller"}
    gce.admin("PATCH", "/behaviour", {"faults": [{"kind": "status", "times": 1, "match": match, **fault}]})
    assert api.good("GET", ROUTES)
    assert api.refused("POST", ROUTES, route()) == said
    assert api.headers.get("Retry-After") == ("7" if "retry_after" in fault else None)
    assert api.good("POST", ROUTES, route()), "only once"


def test_told_to_fail_after_it_was_accepted(gce: Local, api: Api) -> None:
    fault = {"kind": "error-in-operation", "status": 409, "reason": "RESOURCE_ALREADY_EXISTS", "times": 1}
    gce.admin("PATCH", "/behaviour", {"faults": [fault]})
    ended = api.wait(api.good("POST", ROUTES, route()))
    assert ended["httpErrorStatusCode"] == 409 and ended["error"]["errors"][0]["code"] == "RESOURCE_ALREADY_EXISTS"
    assert gce.cloud.routes == {}
    api.good("POST", ROUTES, route())
    assert "floating" in gce.cloud.routes


@pytest.mark.parametrize(("kind", "happened"), [("lose-before", False), ("lose-after", True)])
def test_told_to_lose_the_connection(gce: Local, api: Api, kind: str, happened: bool) -> None:
    gce.admin("PATCH", "/behaviour", {"faults": [{"kind": kind, "times": 1}]})
    with pytest.raises((http.client.HTTPException, OSError)):
        api("POST", ROUTES, route())
    assert ("floating" in gce.cloud.routes) == happened


def test_told_to_be_slow_or_never_to_end(gce: Local, api: Api) -> None:
    gce.admin("PATCH", "/behaviour", {"faults": [{"kind": "slow", "seconds": 0.2, "times": 1}]})
    begin = time.monotonic()
    api.wait(api.good("POST", ROUTES, route()))
    assert time.monotonic() - begin >= 0.2
    gce.admin("PATCH", "/behaviour", {"faults": [{"kind": "never-ends", "times": 1}]})
    operation = api.good("DELETE", f"{ROUTES}/floating")
    assert gce.cloud.operations.wait(operation["name"], PROJECT[1:], "global", 0.1)["status"] != "DONE"
    assert "floating" in gce.cloud.routes
    gce.admin("PATCH", "/behaviour", {"faults": []})
    assert api.wait(operation)["status"] == "DONE", "whoever heals the API ends it"


def test_what_a_status_says_by_itself(gce: Local, api: Api) -> None:
    gce.admin("PATCH", "/behaviour", {"faults": [{"kind": "status", "status": 400, "times": 1}]})
    answer = api("POST", ROUTES, route())[1]
    assert "peering operation in progress" in answer["error"]["message"]
    gce.admin("PATCH", "/behaviour", {"faults": [{"kind": "status", "status": 429, "times": 1}]})
    assert api.refused("POST", ROUTES, route())[0] == 429 and api.headers["Retry-After"] == "1"


def test_a_fault_is_told_as_it_was_asked(gce: Local, api: Api) -> None:
    """So that whoever adds one can send back those that there are."""
    match = {"verb": "POST", "path": "/routes"}
    first = {"kind": "status", "match": match, "status": 429, "times": 3}
    gce.admin("PATCH", "/behaviour", {"faults": [first, {"kind": "slow", "seconds": 0, "for_s": 60}]})
    api("POST", ROUTES, route())
    told = gce.admin("GET", "/behaviour")["faults"]
    assert (told[0]["times"], told[0]["match"]) == (2, match) and 50 < told[1]["for_s"] <= 60
    assert gce.admin("PATCH", "/behaviour", {"faults": told})["faults"][0]["times"] == 2


def test_a_change_of_behaviour_is_all_or_nothing(gce: Local) -> None:
    before = gce.admin("GET", "/behaviour")
    with pytest.raises(ValueError, match="kind"):
        gce.admin("PATCH", "/behaviour", {"latency_s": 9, "faults": [{"kind": "odd"}]})
    assert gce.admin("GET", "/behaviour") == before


def test_a_fault_ends_by_itself(gce: Local, api: Api) -> None:
    gce.admin("PATCH", "/behaviour", {"faults": [{"kind": "status", "for_s": 0.1}]})
    assert api("GET", ROUTES)[0] == 503
    until(lambda: api("GET", ROUTES)[0] == 200)


def test_the_admin_socket_refuses_nonsense(gce: Local) -> None:
    for told in (
        {"latency": 1},
        {"faults": [{"kind": "odd"}]},
        {"faults": [{"kind": KINDS[0], "x": 1}]},
        {"zone_outage": ["mars"]},
        {"sender_propagation_s": {"mars": 1}},
        {"visible": "never"},
    ):
        with pytest.raises((ValueError, TypeError)):
            gce.admin("PATCH", "/behaviour", told)
    assert gce.admin("GET", "/behaviour")["faults"] == []


def test_a_zone_that_is_lost(gce: Local, api: Api) -> None:
    gce.admin("PATCH", "/behaviour", {"zone_outage": ["us-central1-a"]})
    assert api.refused("GET", NODE1) == (503, "backendError")
    assert not gce.cloud.plane.running("node1") and gce.cloud.plane.running("node2")
    assert api.good("GET", f"{PROJECT}/zones/us-central1-a")["status"] == "DOWN"
    assert api.refused("GET", f"{PROJECT}/zones/us-central1-a/instances") == (503, "backendError")
    assert api.refused("GET", f"{PROJECT}/aggregated/instances") == (503, "backendError")
    partial = api.good("GET", f"{PROJECT}/aggregated/instances?returnPartialSuccess=true")
    assert partial["items"]["zones/us-central1-a"]["warning"]["code"] == "UNREACHABLE"
    assert [each["name"] for each in partial["items"]["zones/us-central1-b"]["instances"]] == ["node2"]
    warnings = api.wait(api.good("POST", ROUTES, route()))["warnings"]
    assert warnings[0]["code"] == "NEXT_HOP_NOT_RUNNING", "routes are global"
    gce.cloud.plane.power("client1", True)
    gce.cloud.plane.power("node2", False)
    gce.admin("PATCH", "/behaviour", {"zone_outage": ["us-central1-b"]})
    gce.admin("PATCH", "/behaviour", {"zone_outage": []})
    assert gce.cloud.plane.running("node1")
    assert not gce.cloud.plane.running("node2"), "it was off before"
    until(lambda: api.good("GET", NODE1)["status"] == "RUNNING")


# --- what the network is told


def test_the_best_live_route_wins(gce: Local, api: Api) -> None:
    until(lambda: hops(gce) is None)
    api.good("POST", ROUTES, route(priority=1000))
    until(lambda: hops(gce) == ("node1",))
    api.good("POST", ROUTES, route(name="better", priority=900, nextHopInstance=NODE2[1:]))
    until(lambda: hops(gce) == ("node2",))
    api.good("POST", ROUTES, route(name="equal", priority=900, nextHopInstance=None, nextHopIp="10.100.2.1"))
    until(lambda: hops(gce) == ("node1", "node2"))
    for name in ("equal", "better", "floating"):
        api.good("DELETE", f"{ROUTES}/{name}")
    until(lambda: hops(gce) is None)


def test_a_machine_without_power_is_no_next_hop(gce: Local, api: Api) -> None:
    api.good("POST", ROUTES, route(priority=900))
    api.good("POST", ROUTES, route(name="standby", nextHopInstance=NODE2[1:]))
    gce.cloud.plane.power("node1", False)
    until(lambda: hops(gce) == ("node2",))
    assert api.good("GET", NODE1)["status"] == "TERMINATED"
    assert api.good("GET", f"{ROUTES}/floating")["warnings"][0]["code"] == "NEXT_HOP_NOT_RUNNING"
    api.good("POST", f"{NODE1}/start")
    until(lambda: hops(gce) == ("node1",))
    for node in (NODE1, NODE2):
        api.good("POST", f"{node}/stop")
    until(lambda: hops(gce) == ())


@pytest.mark.parametrize(
    ("hop", "code"),
    [
        ({"nextHopInstance": f"{NODE1[1:]}9"}, "NEXT_HOP_INSTANCE_NOT_FOUND"),
        ({"nextHopInstance": f"{PROJECT[1:]}/zones/us-central1-f/instances/client1"}, "NEXT_HOP_CANNOT_IP_FORWARD"),
        ({"nextHopInstance": None, "nextHopIp": "10.100.77.77"}, "NEXT_HOP_ADDRESS_NOT_ASSIGNED"),
        ({"nextHopInstance": None, "nextHopIp": "10.100.3.10"}, "NEXT_HOP_CANNOT_IP_FORWARD"),
        ({"nextHopInstance": NODE2[1:]}, "NEXT_HOP_NOT_RUNNING"),
    ],
)
def test_a_bad_next_hop_is_only_warned_of(gce: Local, api: Api, hop: dict[str, Any], code: str) -> None:
    gce.cloud.plane.power("node2", False)
    until(lambda: api.good("GET", NODE2)["status"] == "TERMINATED")
    ended = api.wait(api.good("POST", ROUTES, route(**hop)))
    assert "error" not in ended and [each["code"] for each in ended["warnings"]] == [code]
    assert api.good("GET", f"{ROUTES}/floating")["warnings"][0]["code"] == code
    until(lambda: hops(gce) == ())


def test_tags_choose_the_senders(gce: Local, api: Api) -> None:
    api.good("POST", ROUTES, route(tags=["client"]))
    until(lambda: hops(gce, "client1") == ("node1",))
    assert hops(gce, "node2") is None


def test_a_change_arrives_after_its_delay_and_in_order(gce: Local, api: Api) -> None:
    gce.admin("PATCH", "/behaviour", {"propagation_s": 0.0, "sender_propagation_s": {"client1": 2}})
    begun, watch = time.monotonic(), Watch()
    api.good("POST", ROUTES, route())
    until(lambda: hops(gce, "node2") == ("node1",))
    tables = gce.admin("GET", "/state")["tables"]
    late = hops(gce, "client1") is None and DESTINATION not in tables["client1"]
    watch.at_most(2)  # else all may have it already
    assert late and DESTINATION in tables["node2"], "those that are in force"
    until(lambda: hops(gce, "client1") == ("node1",))
    assert time.monotonic() - begun >= 2
    # The next one is quicker, but must not overtake.
    api.good("POST", ROUTES, route(name="better", priority=1, nextHopInstance=NODE2[1:]))
    gce.admin("PATCH", "/behaviour", {"sender_propagation_s": {}})
    api.good("DELETE", f"{ROUTES}/better")

    def told() -> list[Any]:
        programmed = gce.cloud.plane.programmed  # type: ignore[attr-defined]
        return [table.get(DESTINATION) for sender, table in programmed if sender == "client1"]

    until(lambda: told() == [None, ("node1",), ("node2",), ("node1",)])


def test_what_an_instance_may_send_from(gce: Local, api: Api) -> None:
    sources = gce.cloud.plane.sources  # type: ignore[attr-defined]
    assert sources["node1"] is None, "canIpForward"
    assert sources["client1"] == ("10.100.3.10/32",)


def test_alias_ranges(gce: Local, api: Api) -> None:
    client = f"{PROJECT}/zones/us-central1-f/instances/client1"

    def update(instance: str, *ranges: str) -> Any:
        interface = api.good("GET", instance)["networkInterfaces"][0]
        body = {"fingerprint": interface["fingerprint"], "aliasIpRanges": [{"ipCidrRange": each} for each in ranges]}
        return api("PATCH", f"{instance}/updateNetworkInterface?networkInterface=nic0", body)

    status, operation = update(client, "10.100.9.9", "10.100.9.16/28")
    assert status == 200 and api.wait(operation)["zone"].endswith("/us-central1-f")
    until(lambda: hops(gce, "node1", "10.100.9.9/32") == ("client1",))
    assert gce.cloud.plane.sources["client1"] == ("10.100.3.10/32", "10.100.9.9/32", "10.100.9.16/28")  # type: ignore[attr-defined]
    operation = update(NODE1, "10.100.9.17")[1]
    assert api.wait(operation)["error"]["errors"][0]["code"] == "IP_IN_USE_BY_ANOTHER_RESOURCE"
    assert update(NODE1, "10.7.7.7")[0] == 400
    assert update(client, *(f"10.100.10.{n}" for n in range(151)))[0] == 400
    assert update(client)[0] == 200
    until(lambda: hops(gce, "node1", "10.100.9.9/32") is None)


def interface_of(api: Api, instance: str) -> dict[str, Any]:
    found: dict[str, Any] = api.good("GET", instance)["networkInterfaces"][0]
    return found


def test_a_fingerprint_is_good_once(gce: Local, api: Api) -> None:
    path = f"{NODE1}/updateNetworkInterface?networkInterface=nic0"
    old = interface_of(api, NODE1)["fingerprint"]
    with held(gce):
        one, other = (
            api.good("PATCH", path, {"fingerprint": old, "aliasIpRanges": [{"ipCidrRange": text}]})
            for text in ("10.100.9.1", "10.100.9.2")
        )
    assert "error" not in api.wait(one)
    ended = api.wait(other)
    assert (ended["error"]["errors"][0]["code"], ended["httpErrorStatusCode"]) == ("CONDITION_NOT_MET", 412)
    assert ended["httpErrorMessage"] == "PRECONDITION FAILED"
    assert interface_of(api, NODE1)["aliasIpRanges"] == [{"ipCidrRange": "10.100.9.1/32"}]
    assert api.refused("PATCH", path, {"fingerprint": old}) == (412, "conditionNotMet")
    # It is a PATCH: what is not there stays. Some clients write base64 in the other alphabet.
    new = interface_of(api, NODE1)["fingerprint"].translate(str.maketrans("-_", "+/"))
    assert "error" not in api.wait(api.good("PATCH", path, {"fingerprint": new}))
    assert interface_of(api, NODE1)["aliasIpRanges"] == [{"ipCidrRange": "10.100.9.1/32"}]
    assert api.refused("PATCH", path.replace("nic0", "nic1"), {"fingerprint": new}) == (400, "invalid")


def test_an_alias_range_of_a_size_and_of_a_secondary_range() -> None:
    world = topology.get("gcp_route_heartbeat").world
    assert world is not None
    more = (dataclasses.replace(world.subnetworks[0], secondary={"pods": "10.111.0.0/24"}),)
    with local(dataclasses.replace(world, subnetworks=more)) as gce:
        api = Api(gce)
        path = f"{NODE1}/updateNetworkInterface?networkInterface=nic0"
        asked: list[dict[str, str]] = [
            {"ipCidrRange": "/30", "subnetworkRangeName": "pods"},
            {"ipCidrRange": "10.111.0.8/29", "subnetworkRangeName": "pods"},
        ]
        body: dict[str, Any] = {"fingerprint": interface_of(api, NODE1)["fingerprint"], "aliasIpRanges": asked}
        assert "error" not in api.wait(api.good("PATCH", path, body))
        ranges = interface_of(api, NODE1)["aliasIpRanges"]
        assert [each["ipCidrRange"] for each in ranges] == ["10.111.0.4/30", "10.111.0.8/29"]
        body["fingerprint"] = interface_of(api, NODE1)["fingerprint"]
        body["aliasIpRanges"] = [{"ipCidrRange": "10.111.0.8/29", "subnetworkRangeName": "no"}]
        assert api.refused("PATCH", path, body) == (400, "invalid")
        # Such an address is accepted as a next hop, but is nobody's; its range is one of the network's.
        assert api.wait(api.good("POST", ROUTES, route(nextHopInstance=None, nextHopIp="10.111.0.9")))["warnings"]
        assert api.refused("POST", ROUTES, route(name="x", destRange="10.111.0.9/32")) == (400, "invalid")


def test_another_network_is_another_world() -> None:
    world = topology.get("gcp_route_heartbeat").world
    assert world is not None
    other = dataclasses.replace(
        world,
        networks=(*world.networks, Network("other")),
        subnetworks=(*world.subnetworks, Subnetwork("others", "other", "us-central1", "10.100.0.0/16")),
        instances=(
            *world.instances,
            Instance("stranger", "us-central1-a", "other", "others", "10.100.2.1", True),
        ),
    )
    with local(other) as gce:
        api = Api(gce)
        stranger = f"{PROJECT[1:]}/zones/us-central1-a/instances/stranger"
        ended = api.wait(api.good("POST", ROUTES, route(nextHopInstance=stranger)))
        assert ended["warnings"][0]["code"] == "NEXT_HOP_INSTANCE_NOT_ON_NETWORK"
        api.good("POST", ROUTES, route(name="by-address", nextHopInstance=None, nextHopIp="10.100.2.1"))
        until(lambda: hops(gce) == ("node1",))
        assert hops(gce, "stranger") is None
        assert hops(gce, "stranger", "10.100.2.1/32") == ("stranger",)


def shared_world() -> World:
    """The lab's network, node2 and a caller of its own in a service project."""
    world = topology.get("gcp_route_heartbeat").world
    assert world is not None
    instances = tuple(
        dataclasses.replace(each, project="service") if each.name == "node2" else each for each in world.instances
    )
    reader = Principal("reader", ("reader-token",), frozenset(), {"service": frozenset({"compute.instances.get"})})
    return dataclasses.replace(
        world,
        instances=instances,
        service_projects=(ServiceProject("service", 419080500002),),
        principals=(*world.principals, reader),
    )


SERVICE = "/projects/service"
THERE = f"{SERVICE}/zones/us-central1-b/instances/node2"


def test_a_shared_vpc() -> None:
    """The service project has its instances, and their operations; the network and its routes are the host's."""
    with local(shared_world()) as gce:
        api = Api(gce)
        found = api.good("GET", THERE)
        assert found["selfLink"].endswith(THERE) and found["zone"].endswith(f"{SERVICE}/zones/us-central1-b")
        assert found["networkInterfaces"][0]["network"].endswith(f"{PROJECT}/global/networks/ip-failover")
        assert api.good("GET", THERE.replace("service", "419080500002")) == found
        assert api.refused("GET", NODE2) == (404, "notFound"), "it is not in the host project"
        for project, names in ((PROJECT, ["client1", "controller", "node1"]), (SERVICE, ["node2"])):
            scopes = api.good("GET", f"{project}/aggregated/instances")["items"].values()
            assert sorted(each["name"] for part in scopes for each in part.get("instances", [])) == names
            assert api.good("GET", f"{project}/zones/us-central1-a")["selfLink"].endswith(
                f"{project}/zones/us-central1-a"
            )
            assert api.good("GET", project)["name"] == project.rpartition("/")[2]
        operation = api.good("POST", f"{THERE}/stop")
        assert f"{SERVICE}/zones/us-central1-b/operations/" in operation["selfLink"]
        assert api.wait(operation)["status"] == "DONE"
        assert api("GET", f"{PROJECT}/zones/us-central1-b/operations/{operation['name']}")[0] == 404
        for collection in ("routes", "networks", "firewalls"):
            assert "items" not in api.good("GET", f"{SERVICE}/global/{collection}")
        assert api.refused("GET", f"{SERVICE}/global/networks/ip-failover") == (404, "notFound")
        assert api.refused("GET", f"{SERVICE}/regions/us-central1/subnetworks/ip-failover-subnet") == (404, "notFound")
        ask = Metadata(gce.metadata_url["node2"])
        assert ask("project/project-id") == (200, "service")
        assert ask("project/numeric-project-id") == (200, "419080500002")
        assert ask("instance/network-interfaces/0/network") == (
            200,
            f"projects/{gce.cloud.world.number}/networks/ip-failover",
        )
        assert gce.violations == []


def test_no_resource_refers_to_another_project() -> None:
    with local(shared_world()) as gce:
        api = Api(gce)
        for body in (route(nextHopInstance=THERE[1:]), route(nextHopInstance="projects/nobodys" + NODE1[21:])):
            assert api("POST", ROUTES, body) == cross_project("resource.nextHopInstance", body["nextHopInstance"])
        routes, network = f"{SERVICE}/global/routes", route()["network"]
        assert api("POST", routes, route(nextHopInstance=THERE[1:])) == cross_project("resource.network", network)
        rule = {"name": "rule", "network": network, "allowed": [{"IPProtocol": "112"}]}
        assert api("POST", f"{SERVICE}/global/firewalls", rule) == cross_project("resource.network", network)
        here = route(network="global/networks/ip-failover")
        assert api.refused("POST", routes, here) == (404, "notFound"), "it has no network"
        for verb, path in (("GET", ""), ("DELETE", ""), ("POST", "/testIamPermissions")):
            api.wait(api.good("POST", ROUTES, route(name="r")))
            assert api.refused(verb, f"{routes}/r{path}", {} if verb == "POST" else None) == (404, "notFound")
            api.wait(api.good("DELETE", f"{ROUTES}/r"))
        # By its address it can be a next hop.
        assert "warnings" not in api.wait(api.good("POST", ROUTES, route(nextHopInstance=None, nextHopIp="10.100.2.2")))
        until(lambda: hops(gce) == ("node2",))
        gce.cloud.plane.power("node2", False)
        until(lambda: hops(gce) == ())
        assert api.good("GET", f"{ROUTES}/floating")["warnings"][0]["code"] == "NEXT_HOP_NOT_RUNNING"


def cross_project(field: str, value: str) -> tuple[int, Any]:
    recorded = json.loads((Path(__file__).parent / "recorded_gce.json").read_text())
    (found,) = (each for each in recorded if each["name"] == "reference to another project")
    message = found["message"].replace("{field}", field).replace("{value}", value)
    errors = [{"message": message, "domain": "global", "reason": found["reason"]}]
    return found["status"], {"error": {"code": found["status"], "message": message, "errors": errors}}


def test_permissions_are_those_in_the_project() -> None:
    with local(shared_world()) as gce:
        api = Api(gce, "reader-token")
        asked = {"permissions": ["compute.instances.get"]}
        assert api.good("POST", f"{THERE}/testIamPermissions", asked) == asked and api.good("GET", THERE)
        assert api.good("POST", f"{NODE1}/testIamPermissions", asked) == {}
        assert api.refused("GET", NODE1) == (403, "forbidden")
        assert api.refused("GET", f"{SERVICE}/aggregated/instances") == (403, "forbidden")


# --- machines


def test_starts_and_stops(gce: Local, api: Api) -> None:
    with held(gce):
        operation = api.good("POST", f"{NODE1}/stop")
        assert api.good("GET", NODE1)["status"] == "STOPPING" and gce.cloud.plane.running("node1")
        assert api.refused("POST", f"{NODE1}/start") == (400, "resourceNotReady")
    api.wait(operation)
    assert api.good("GET", NODE1)["status"] == "TERMINATED" and not gce.cloud.plane.running("node1")
    assert api.refused("POST", f"{NODE1}/reset") == (400, "badRequest")
    assert "error" not in api.wait(api.good("POST", f"{NODE1}/stop")), "it is off already"
    with held(gce):
        operation = api.good("POST", f"{NODE1}/start")
        assert api.good("GET", NODE1)["status"] == "STAGING"
    api.wait(operation)
    assert api.good("GET", NODE1)["status"] == "RUNNING" and gce.cloud.plane.running("node1")
    assert "error" not in api.wait(api.good("POST", f"{NODE1}/reset"))


def test_a_machine_that_does_not_obey(gce: Local, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(instance: str, on: bool) -> None:
        raise RuntimeError("no power")

    monkeypatch.setattr(gce.cloud.plane, "power", refuse)
    ended = api.wait(api.good("POST", f"{NODE1}/stop"))
    assert ended["error"]["errors"][0]["code"] == "INTERNAL_ERROR"
    assert api.good("GET", NODE1)["status"] == "RUNNING"


def test_what_was_active_when(gce: Local, api: Api) -> None:
    api.good("POST", ROUTES, route())
    api.good("DELETE", f"{ROUTES}/floating")
    history = gce.admin("GET", "/history")
    assert [each["next_hops"] for each in history] == [["node1"], []]
    assert gce.settled()
    to_client = [
        each["table"].get(DESTINATION) for each in gce.admin("GET", "/programmed") if each["sender"] == "client1"
    ]
    assert to_client == [None, ("node1",), None]
    log = gce.admin("GET", "/log")
    assert [each["name"] for each in log] == ["compute.routes.insert", "compute.routes.delete"]
    assert all(each["caller"] == "controller" and each["operation"] for each in log)
    assert all(each["mono_ns"] < each["end_mono_ns"] for each in log)
    assert [(each["method"], each["mutation"], each["status"]) for each in log] == [
        ("POST", True, 200),
        ("DELETE", True, 200),
    ]
    gce.admin("DELETE", "/log")
    assert gce.admin("GET", "/log") == []

# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The modules for sets of routes, and a node's part, against the lab's API of Compute Engine.

The API itself remembers which live next hops the destination had, all the time.
"""

from __future__ import annotations

import signal
import threading

import pytest
from busy import until

from ansible_collections.cloudha.vip.plugins.module_utils.clouds.gce import Compute
from ansible_collections.cloudha.vip.plugins.module_utils.clouds.session import StdlibSession
from ansible_collections.cloudha.vip.plugins.module_utils.clouds.tokens import FixedToken
from ansible_collections.cloudha.vip.plugins.module_utils.failover import engine, route_set_node
from ansible_collections.cloudha.vip.plugins.module_utils.failover.route_set_goal import NodeGoal
from ansible_collections.cloudha.vip.tests.contract import test_gcp_modules
from ansible_collections.cloudha.vip.tests.contract.test_gcp_modules import (
    DESTINATION,
    LEAST,
    NODE1,
    NODE2,
    ONLY_AT_THE_REQUEST,
    ONLY_SOMETIMES,
    PASSING,
    PROJECT,
    QUICK,
    Kill,
    Module,
    token_without,
    world,
)
from lab.gce.server import MemoryPlane

NETWORK = f"projects/{PROJECT}/global/networks/ip-failover"
ZONE_A = f"projects/{PROJECT}/zones/us-central1-a/instances"
WHERE = {"name": "vip", "project": PROJECT, "network": "ip-failover", "destination": DESTINATION}
MADE = ["vip-node1", "vip-node1-reserve", "vip-node2", "vip-node2-reserve"]


def members(first=None, second=None):
    """Of both nodes, with what they have besides."""
    return [{"instance": NODE1, **(first or {})}, {"instance": NODE2, **(second or {})}]


EQUAL = members({"priority": 1000}, {"priority": 1000})
FIRST = members({"priority": 500}, {"priority": 1000})
SECOND = members({"priority": 1000}, {"priority": 500})
DRAINED = members({"state": "drained"})
REMOVED = members(None, {"state": "absent"})


class Site(test_gcp_modules.Api):
    """With the modules in front."""

    def __init__(self, api, proxy):
        super().__init__(api, proxy)
        self.cloud = api.cloud

    def start(self, wanted=None, module="gcp_route_set", **options):
        options = {**({"members": wanted} if wanted is not None else {}), **options}
        return Module(module, f"{self.proxy.url}/compute/v1", **{**WHERE, **QUICK, **options})

    def run(self, wanted=None, **options):
        return self.start(wanted, **options).result()

    def info(self, **options):
        options = {"members": [NODE1, NODE2], **options}
        return Module("gcp_route_set_info", f"{self.proxy.url}/compute/v1", **{**WHERE, **options}).result()

    def client(self, token):
        session, endpoint = StdlibSession(self.api.root), f"{self.api.root}/compute/v1"
        return Compute(session, PROJECT, tokens=FixedToken(token), endpoint=endpoint)

    def node(self, me, present):
        """What an agent does once, with the permissions of a node."""
        wanted = NodeGoal("vip", DESTINATION, NETWORK, me, [NODE1, NODE2], present=present, lease=0.3, settle=0.05)
        return engine.apply(route_set_node, self.client("node-token"), wanted, timeout=20)

    def names(self):
        return sorted(self.cloud.routes)

    def forget(self):
        with self.cloud.lock:
            self.cloud.routes.clear()
            self.cloud.history.clear()

    def hops(self):
        """The live next hops that the destination had, one after the other."""
        return [each["next_hops"] for each in self.cloud.history if each["destination"] == DESTINATION]

    def gaps(self):
        """How many times there was no live next hop, once there was one."""
        hops = self.hops()
        first = next((n for n, each in enumerate(hops) if each), len(hops))
        return hops[first:].count([])


@pytest.fixture
def site():
    with test_gcp_modules.serving(Site, world(), MemoryPlane()) as found:
        yield found


@pytest.fixture
def made(site):
    assert not site.run(EQUAL).get("failed")
    site.api.requests.clear()
    return site


def steps(result):
    return [f"{step['name']} {step['resource']}" for step in result["steps"]]


def test_made_changed_and_taken_away(site):
    result = site.run(EQUAL, access_token="least-token")
    assert (result["changed"], result["previous_serving"], result["serving"]) == (True, [], [NODE1, NODE2])
    assert site.names() == MADE and len(result["steps"]) == 4
    again = site.run(EQUAL)
    assert (again["changed"], again["steps"]) == (False, [])
    result = site.run(FIRST, access_token="least-token")
    assert steps(result) == ["insert route vip-node1-2", "delete route vip-node1"]
    assert result["serving"] == [NODE1]
    assert site.run(FIRST)["changed"] is False
    assert site.hops() == [["node1"], ["node1", "node2"], ["node1"]]
    assert all(status == 200 for _verb, _path, status in site.mutations())
    assert site.run(state="absent")["serving"] == []
    assert site.names() == [] and not site.run(state="absent")["changed"]


def test_the_primary_and_the_secondary_change_places(site):
    site.run(FIRST)
    result = site.run(SECOND)
    assert (result["previous_serving"], result["serving"]) == ([NODE1], [NODE2])
    assert site.hops() == [["node1"], ["node1", "node2"], ["node2"]]


@pytest.mark.parametrize(
    "options",
    [
        {"wanted": EQUAL},
        {"wanted": FIRST},
        {"wanted": DRAINED},
        {"wanted": REMOVED},
        {"wanted": EQUAL[:1], "exclusive": True},
        {"wanted": EQUAL, "tags": ["client"]},
        {"state": "absent"},
    ],
)
def test_check_mode_and_difference_are_true(made, options):
    before = made.names()
    preview = made.run(**options, _ansible_check_mode=True, _ansible_diff=True)
    assert made.mutations() == [] and made.names() == before
    result = made.run(**options, _ansible_diff=True)
    assert steps(preview) == steps(result)
    for key in ("changed", "diff", "serving", "previous_serving", "foreign", "address"):
        assert preview[key] == result[key], key
    # And what it says is what there is.
    told = {each["name"]: each for each in result["diff"]["after"]["routes"]}
    there = made.cloud.routes
    assert told.keys() == there.keys()
    for name, each in told.items():
        assert each["priority"] == there[name]["priority"]
        assert there[name]["nextHopInstance"].endswith(each["next_hop"])
        assert each["tags"] == there[name].get("tags", [])
        assert each["description"] == there[name]["description"]
    assert made.gaps() == 0 or options.get("state") == "absent"
    assert not made.run(**options)["changed"]


def test_what_googles_sample_made_is_adopted(site):
    client = site.client("lab-controller-token")
    for number in (1, 2):
        body = {"name": f"floating-route-{number}", "network": f"global/networks/{WHERE['network']}"}
        client.insert_route(
            {**body, "destRange": DESTINATION, "priority": 1000 + number, "nextHopIp": f"10.100.2.{number}"}, ""
        )
    site.cloud.history.clear()
    result = site.run(members())
    assert steps(result) == [f"insert reserve route vip-node{number}-reserve" for number in (1, 2)]
    assert not site.run(members())["changed"]
    result = site.run(EQUAL)
    assert site.names() == MADE and result["serving"] == [NODE1, NODE2]
    assert site.gaps() == 0


def test_foreign_routes(made):
    other = f"projects/{PROJECT}/zones/us-central1-f/instances/client1"
    made.cloud.instances["client1"]["canIpForward"] = True
    body = {"name": "other", "network": "global/networks/ip-failover", "destRange": DESTINATION, "priority": 100}
    made.client("lab-controller-token").insert_route({**body, "nextHopInstance": other}, "")
    result = made.run(EQUAL)
    assert (result["changed"], result["foreign"], result["serving"]) == (False, ["other"], [other])
    assert any("other (priority 100" in note and "gets traffic" in note for note in result["notes"])
    info = made.info()
    assert [each["name"] for each in info["foreign"]] == ["other"]
    assert info["members"][0]["why"] == ["other has a better priority, 100"]
    result = made.run(EQUAL, exclusive=True)
    assert steps(result) == ["delete other route other"] and result["foreign"] == []
    assert made.gaps() == 0


def test_the_last_active_route_stays(made):
    made.cloud.plane.power("node2", False)
    until(lambda: made.info(preflight=False)["serving"] == [NODE1])
    for wanted in (DRAINED, members({"state": "absent"})):
        result = made.run(wanted)
        assert result["failed"] and not result["changed"]
        assert "vip-node1" in result["msg"] and "last active" in result["msg"]
    assert made.names() == MADE and made.gaps() == 0


@pytest.mark.parametrize("permission", sorted(LEAST - ONLY_SOMETIMES))
def test_each_permission_is_needed(made, permission):
    options = {"access_token": token_without(permission), "timeout": 2}
    preview = made.run(FIRST, _ansible_check_mode=True, **options)
    result = made.run(FIRST, **options)
    assert result["failed"] and not result["changed"] and made.names() == MADE
    assert permission in result["msg"], result["msg"]
    assert preview.get("failed") or permission in ONLY_AT_THE_REQUEST


def test_errors_of_the_api_pass(made):
    for number, fault in enumerate(PASSING):
        made.behave(
            faults=[{"match": {"verb": verb, "path": "/routes"}, **fault} for verb in ("GET", "POST", "DELETE")]
        )
        wanted = (FIRST, SECOND)[number % 2]
        assert made.run(wanted)["serving"] == [(NODE1, NODE2)[number % 2]], fault
    assert made.gaps() == 0


BAD_INPUT = [
    ({"project": "nosuch"}, ["project", "nosuch"]),
    ({"network": "nosuch"}, ["network", "nosuch", "does not exist"]),
    ({"network": "IP-failover"}, ["network", "'IP-failover' is no name"]),
    ({"name": "Bad"}, ["name: 'Bad' is no name"]),
    ({"destination": "10.200.1.1"}, ["destination", "10.200.1.1/32"]),
    ({"destination": "10.100.7.7/32"}, ["destination", "inside", "10.100.0.0/16"]),
    ({"members": []}, ["members: give at least one"]),
    ({"members": [{"instance": "node1"}]}, ["members", "in which zone"]),
    ({"members": [{"instance": "Node1", "zone": "a"}]}, ["members", "is no path"]),
    ({"members": [{"instance": NODE1}, {"instance": NODE1}]}, ["is there twice"]),
    ({"members": [{"instance": NODE1 + "9"}]}, ["node19", "does not exist"]),
    ({"members": [{"instance": f"{ZONE_A}/plain"}]}, ["plain", "canIpForward"]),
    ({"members": [{"instance": f"{ZONE_A}/off"}]}, ["off", "not RUNNING"]),
    ({"members": [{"instance": f"{ZONE_A}/elsewhere"}]}, ["elsewhere", "no interface on"]),
    ({"members": [{"instance": NODE1, "priority": 65535}]}, ["65535", "reserve"]),
    ({"members": [{"instance": NODE1, "state": "gone"}]}, ["state"]),
    ({"priority": -1}, ["priority: -1"]),
    ({"priority": True}, ["priority: true is no number"]),
    ({"members": [{"instance": NODE1, "priority": True}]}, ["members.priority: true is no number"]),
    ({"destination": "224.0.0.0/4"}, ["destination: '224.0.0.0/4' is in 224.0.0.0/4 (multicast)"]),
    ({"destination": "0.0.0.0/0"}, ["destination: '0.0.0.0/0' has addresses of 0.0.0.0/8"]),
    ({"destination": "10.200.1.1/²"}, ["destination: ", "prefix length must be a number"]),
    ({"destination": "10.200.1.²/32"}, ["destination: ", "is not an IPv4 network"]),
    ({"tags": ["Bad Tag"]}, ["tags: 'Bad Tag' is no network tag"]),
    ({"lease": -1}, ["lease: -1 is not from"]),
    ({"settle": 61}, ["settle: 61 is not from"]),
    ({"timeout": "inf"}, ["timeout: inf is not from"]),
    ({"access_token": "wrong"}, ["401", "credentials"]),
    ({"access_token": "reader-token"}, ["compute.routes.create"]),
    ({"access_token": "nobody-token"}, ["compute.routes.list"]),
    ({"endpoint": "http://127.0.0.1:1/compute/v1", "timeout": 0.5}, ["cannot connect"]),
]


@pytest.mark.parametrize(("options", "words"), BAD_INPUT)
def test_bad_input(made, options, words):
    result = made.run(**{"wanted": FIRST, **options})
    assert result["failed"] and not result.get("changed"), result
    for word in words:
        assert word in result["msg"], result["msg"]
    assert all(status == 403 for _verb, _path, status in made.mutations())
    assert made.names() == MADE


@pytest.mark.parametrize("moment", ["before", "after"])
def test_killed_at_every_request(made, moment):
    """There and back again, so that each run has as much to do."""
    made.run(FIRST)
    made.proxy.requests.clear()
    made.run(SECOND)
    total, serving = len(made.proxy.requests), NODE2
    assert total >= 13
    for number in range(1, total + 1):
        wanted, serving = (FIRST, NODE1) if serving == NODE2 else (SECOND, NODE2)
        made.proxy.requests.clear()
        hook = made.proxy.hook = Kill(number, moment)
        victim = hook.victim = made.start(wanted)
        hook.armed.set()
        victim.process.wait(60)
        made.proxy.hook = lambda *_: None
        # It may have had to wait for an operation less often than the first one.
        assert victim.process.returncode == -signal.SIGKILL or number > 13, number
        result = made.run(wanted)
        assert result["serving"] == [serving], (number, result)
        assert len(made.names()) == 4, (number, made.names())
        assert made.gaps() == 0, number
    assert not made.run(wanted)["changed"]


@pytest.mark.parametrize("moment", ["before", "after"])
def test_killed_at_every_request_of_a_set_that_is_made(site, moment):
    site.run(EQUAL)
    total = len(site.proxy.requests)
    for number in range(1, total + 1):
        site.forget()
        site.proxy.requests.clear()
        hook = site.proxy.hook = Kill(number, moment)
        victim = hook.victim = site.start(EQUAL)
        hook.armed.set()
        victim.process.wait(60)
        site.proxy.hook = lambda *_: None
        assert not site.run(EQUAL).get("failed"), number
        assert len(site.names()) == 4 and site.gaps() == 0, (number, site.names())


def test_two_declarations_at_once(made):
    made.behave(latency_s=0.1)
    for _round in range(2):
        runs = [made.start(wanted, timeout=60) for wanted in (FIRST, SECOND)]
        results = [run.result() for run in runs]
        assert all(not result.get("failed") for result in results), results
    assert made.gaps() == 0
    assert made.run(EQUAL)["serving"] == [NODE1, NODE2] and len(made.names()) == 4


# --- the nodes


def test_a_node_goes_and_comes_with_the_permissions_of_a_node(made):
    assert [each.name for each in made.node(NODE1, False).steps] == ["delete route"]
    assert made.hops()[-1] == ["node2"]
    assert made.node(NODE2, False).steps == [], "the last one stays"
    assert [each.name for each in made.node(NODE1, True).steps] == ["insert route"]
    assert made.node(NODE1, True).steps == []
    assert made.names() == MADE and made.gaps() == 0


def test_the_route_of_a_peer_without_power_goes(made):
    made.cloud.plane.power("node2", False)
    until(lambda: made.info(preflight=False)["serving"] == [NODE1])
    assert [each.resource for each in made.node(NODE1, True).steps] == ["vip-node2"]
    assert made.info()["members"][1]["why"][0].startswith("there is no route that serves")
    made.cloud.plane.power("node2", True)
    until(lambda: made.cloud.power["node2"])
    assert made.info()["serving"] == [NODE1], "what is up again gets no packets"
    assert made.node(NODE2, True).after.serves
    assert made.gaps() == 0


def test_nodes_that_all_go_at_once_beside_a_declaration(made):
    """What nobody may ever see is a moment without a live next hop."""

    def go(me, errors):
        try:
            made.node(me, False)
        except engine.Failed as error:
            errors.append(error)

    for wanted in (FIRST, EQUAL):
        errors: list[engine.Failed] = []
        threads = [threading.Thread(target=go, args=(me, errors)) for me in (NODE1, NODE2)]
        run = made.start(wanted)
        for each in threads:
            each.start()
        for each in threads:
            each.join(60)
        result = run.result()
        assert errors == [] and (not result.get("failed") or "at work" in result["msg"]), (errors, result)
        assert made.gaps() == 0
        for me in (NODE1, NODE2):
            made.node(me, True)


# --- the other module


def test_info(site):
    before = site.info(access_token="least-token")
    assert (before["problems"], before["serving"]) == ([], [])
    assert all(not each["active"] and each["route"] == {} and each["why"] for each in before["members"])
    site.run(FIRST)
    result = site.info(access_token="least-token")
    first, second = result["members"]
    assert (result["problems"], result["serving"], result["leftovers"]) == ([], [NODE1], [])
    assert (first["instance"], first["active"], first["serving"], first["why"]) == (NODE1, True, True, [])
    assert (second["active"], second["serving"]) == (True, False)
    assert second["why"] == ["vip-node1 has a better priority, 500"]
    assert (first["route"]["name"], first["route"]["priority"], first["route"]["next_hop"]) == ("vip-node1", 500, NODE1)
    assert second["reserve"]["name"] == "vip-node2-reserve"
    assert site.info(members=[]) == {**result, "invocation": site.info(members=[])["invocation"]}, "by their marks"
    site.cloud.plane.power("node1", False)
    until(lambda: site.info(preflight=False)["serving"] == [NODE2])
    result = site.info()
    assert result["members"][0]["why"] == ["vip-node1: NEXT_HOP_NOT_RUNNING"]
    assert any("node1 is not RUNNING" in problem for problem in result["problems"])


def test_info_tells_the_obstacles(made):
    wrong = [f"{ZONE_A}/{name}" for name in ("plain", "off", "elsewhere", "nosuch")]
    problems = "\n".join(made.info(members=wrong)["problems"])
    for words in ("plain may not forward", "off is not RUNNING", "elsewhere has no interface", "nosuch does not exist"):
        assert words in problems
    problems = "\n".join(made.info(access_token="reader-token")["problems"])
    for permission in ("routes.create", "routes.delete", "instances.use"):
        assert f"compute.{permission}" in problems
    assert "compute.instances.get" not in problems
    result = made.info(destination="10.200.1.1")
    assert result["failed"] and "10.200.1.1/32" in result["msg"]
    assert made.mutations() == []

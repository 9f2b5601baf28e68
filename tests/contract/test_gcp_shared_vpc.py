# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A shared VPC: the network and its routes in the host project, the nodes in two service projects."""

from __future__ import annotations

import dataclasses
import re

import pytest

from ansible_collections.cloudha.vip.tests.contract.agent_node import agent_nodes
from ansible_collections.cloudha.vip.tests.contract.proxy import Proxy
from ansible_collections.cloudha.vip.tests.contract.test_gcp_modules import NAME as ROUTE
from ansible_collections.cloudha.vip.tests.contract.test_gcp_modules import ROOT, Plane, Site, token_without
from lab import topology
from lab.gce.server import local
from lab.gce.world import Principal, ServiceProject, Subnetwork

HOST, PROJECTS = "lab-project", {"node1": "web-prod", "node2": "web-spare"}
NETWORK = f"projects/{HOST}/global/networks/ip-failover"
NODE1 = "projects/web-prod/zones/us-central1-a/instances/node1"
NODE2 = "projects/web-spare/zones/us-central1-b/instances/node2"
ADDRESSES = {"10.100.2.1": NODE1, "10.100.2.2": NODE2}
AGENT = topology.AGENT
GUIDE = (ROOT / "docs/gcp.md").read_text()


def documented(who):
    """The permissions that docs/gcp.md gives somebody in the host project, and in a service project."""
    (row,) = re.findall(rf"^\| {who} \| (.*) \| (.*) \|$", GUIDE.partition("### Shared VPC")[2], re.M)
    return [frozenset(re.findall(r"compute\.\w+\.\w+", cell)) for cell in row]


def world():
    lab = topology.get("gcp_route_heartbeat").world
    host, service = documented("controller")
    node_host, node_service = documented("node")

    def principal(name, token, there, elsewhere):
        return Principal(name, (token,), there, dict.fromkeys(PROJECTS.values(), elsewhere))

    return dataclasses.replace(
        lab,
        subnetworks=(
            *lab.subnetworks,
            Subnetwork("second", "ip-failover", "us-central1", "10.101.0.0/16"),
        ),
        instances=tuple(dataclasses.replace(each, project=PROJECTS.get(each.name)) for each in lab.instances),
        service_projects=(ServiceProject("web-prod", 419080500002), ServiceProject("web-spare", 419080500003)),
        principals=(
            *(each for each in lab.principals if each.name != AGENT),
            principal(AGENT, "agent-token", node_host, node_service),
            principal("least", "least-token", host, service),
            *(principal(f"host-{each}", token_without(f"host-{each}"), host - {each}, service) for each in host),
            *(
                principal(f"service-{each}", token_without(f"service-{each}"), host, service - {each})
                for each in service
            ),
        ),
    )


class Shared(Site):
    def start(self, module="gcp_route_failover", **options):
        return super().start(module, **{"access_token": "least-token", **options})

    def info(self, **options):
        return super().info(**{"access_token": "least-token", **options})

    def routes(self):
        return {name: each.get("nextHopIp") for name, each in self.api.cloud.routes.items()}


@pytest.fixture
def site():
    with local(world(), Plane()) as api:
        api.admin("PATCH", "/behaviour", {"latency_s": 0.02})
        proxy = Proxy(("127.0.0.1", int(api.root.rpartition(":")[2])))
        try:
            yield Shared(api, proxy)
        finally:
            proxy.close()
        assert api.violations == []


def test_moves_between_service_projects(site):
    preview = site.move(next_hop_instance=NODE1, _ansible_check_mode=True)
    assert [step["name"] for step in preview["steps"]] == ["insert route"] and preview["holder"] == NODE1
    assert site.move(next_hop_instance=NODE1)["holder"] == NODE1
    options = {"next_hop_instance": NODE2, "expected_holder": "node1", "instance_projects": ["web-prod"]}
    result = site.move(**options)
    assert (result["previous_holder"], result["holder"], len(result["steps"])) == (NODE1, NODE2, 4)
    assert site.routes() == {ROUTE: "10.100.2.2"} and site.gaps() == []
    assert site.api.cloud.plane.trail[-1] == ("node2",)
    assert not site.move(**options)["changed"]
    # The expected one by its path, whose project then needs no option; by the address; and another.
    assert site.move(next_hop_instance=NODE1, expected_holder=NODE2)["previous_holder"] == NODE2
    assert site.move(next_hop_instance=NODE2, expected_holder="10.100.2.1")["holder"] == NODE2
    refused = site.move(next_hop_instance=NODE1, expected_holder="node1", instance_projects=["web-spare"])
    assert refused["failed"] and f"goes to {NODE2}, and not to the expected holder node1" in refused["msg"]


def test_moves_by_address(site):
    projects = list(PROJECTS.values())
    for address, holder in ADDRESSES.items():
        result = site.move(next_hop_address=address, instance_projects=projects)
        assert (result["holder"], site.routes()) == (holder, {ROUTE: address})
    # Without a word where to look, nobody is found; nor is one who has the address of nobody.
    for options in (
        {"next_hop_address": "10.100.2.1"},
        {"next_hop_address": "10.100.9.9", "instance_projects": projects},
    ):
        for check in (False, True):
            refused = site.move(**options, access_token="lab-controller-token", _ansible_check_mode=check)
            assert refused["failed"] and "as the primary address" in refused["msg"], refused
            assert "instance_projects" in refused["msg"]
    assert site.routes() == {ROUTE: "10.100.2.2"}


@pytest.mark.parametrize("check", [False, True])
@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            {"next_hop_instance": NODE2.replace("-b/", "-x/")},
            ["next hop", "us-central1-x/instances/node2 does not exist"],
        ),
        ({"next_hop_instance": NODE2.replace("web-spare", "web-prod")}, ["web-prod", "does not exist"]),
        ({"next_hop_instance": NODE2.replace("web-spare", "nosuch")}, ["nosuch", "does not exist"]),
        ({"next_hop_instance": NODE2.replace("node2", "client1").replace("-b/", "-f/")}, ["does not exist"]),
        ({"project": "web-prod", "network": NETWORK}, ["project", "web-prod", f"set project to {HOST}"]),
        ({"project": "web-prod"}, ["network", "does not exist"]),
        ({"instance_projects": ["Web"]}, ["instance_projects", "'Web'"]),
    ],
)
def test_what_the_api_would_refuse(site, options, words, check):
    """Told before anything is changed, in check mode as well."""
    site.move(next_hop_instance=NODE1)
    site.api.requests.clear()
    given = {"next_hop_instance": NODE2, "access_token": "lab-controller-token", **options}
    result = site.move(**given, _ansible_check_mode=check)
    assert result["failed"] and not result.get("changed"), result
    for word in words:
        assert word in result["msg"], result["msg"]
    assert site.mutations() == [] and site.routes() == {ROUTE: "10.100.2.1"}


def test_an_instance_that_will_not_do(site):
    site.move(next_hop_instance=NODE1)
    site.api.cloud.instances["node2"]["canIpForward"] = False
    site.api.cloud.plane.power("node2", False)
    result = site.move(next_hop_instance=NODE2, _ansible_check_mode=True)
    assert result["failed"] and f"{NODE2} may not forward" in result["msg"]
    assert site.mutations()[-1][0] == "POST" and site.routes() == {ROUTE: "10.100.2.1"}


def test_info(site):
    nodes = [NODE1, NODE2]
    assert site.info(instances=nodes)["problems"] == []
    site.move(next_hop_instance=NODE1)
    for options in (
        {"instances": nodes},
        {"instances": nodes, "preflight": False},
        {"instance_projects": ["web-prod"]},
    ):
        result = site.info(**options)
        assert (result["holder"], result["problems"], result["notes"]) == (NODE1, [], [])
        assert result["route"]["next_hop"] == "10.100.2.1"
    site.api.cloud.firewalls.clear()
    problems = site.info(instances=[*nodes, NODE1.replace("-a/", "-x/")])["problems"]
    assert any("us-central1-x/instances/node1 does not exist" in problem for problem in problems)
    assert "VRRP" in "".join(site.info(instances=nodes)["problems"])
    site.api.cloud.plane.power("node1", False)
    site.api.router.look()
    result = site.info(instances=nodes)
    assert result["holder"] is None and "NEXT_HOP_NOT_RUNNING" in "".join(result["notes"])


@pytest.mark.parametrize(
    ("where", "permission"),
    [
        (where, each)
        for where, kind in zip(("host", "service"), documented("controller"), strict=True)
        for each in sorted(kind)
    ],
)
def test_each_permission_is_needed_where_it_is_said(site, where, permission):
    projects = list(PROJECTS.values())
    site.move(next_hop_instance=NODE1)
    options = {"access_token": token_without(f"{where}-{permission}"), "timeout": 2}
    results = [
        site.move(next_hop_instance=NODE2, **options),
        site.move(next_hop_address="10.100.2.2", instance_projects=projects, **options),
        site.info(instances=[NODE1, NODE2], **options),
    ]
    said = [result.get("msg", "") + "\n".join(result.get("problems", [])) for result in results]
    assert any(permission in words for words in said), said


# --- the agent


@pytest.fixture
def make_node(site):
    action = {
        "type": "gcp_route",
        "instance": "VI_1",
        "name": ROUTE,
        "destination": "10.200.1.1/32",
        "network": NETWORK,
        "endpoint": site.api.endpoint,
        "check_interval_s": 1,
        "lease_s": 2,
        "settle_ms": 50,
    }
    with agent_nodes() as make:
        yield lambda name, **more: make({**action, "metadata_url": site.api.metadata_url[name], **more})


@pytest.mark.parametrize("network", [{}, {"project": HOST, "network": "ip-failover"}])
def test_the_agent_leads_the_route_to_its_address(site, make_node, network):
    """With the permissions that the guide gives a node, and none in the host project that is about instances."""
    site.move(next_hop_instance=NODE2)
    node = make_node("node1", **network)
    node.start()
    seq = node.state("MASTER")
    done = node.event("action_done", after=seq)
    assert (done["holder"], len(done["steps"])) == (NODE1, 4)
    assert site.routes() == {ROUTE: "10.100.2.1"} and site.gaps() == []
    node.seen_again()
    assert (node.status()["problems"], node.status()["holder"]) == ({}, NODE1)
    assert node.vip_agent("status").returncode == 0
    # What the controller sees and does is the same.
    assert site.info(instances=[NODE1, NODE2])["holder"] == NODE1
    site.api.requests.clear()
    assert not site.move(next_hop_instance=NODE1)["changed"] and site.mutations() == []


def test_the_agent_repairs_and_takes_nothing_from_a_live_peer(site, make_node):
    site.move(next_hop_instance=NODE1)
    node = make_node("node1")
    node.start()
    node.event("action_done", after=node.state("MASTER"))
    node.stop()
    seq = node.start()  # the transition is long ago
    site.move(next_hop_instance=NODE2)
    node.seen_again()
    node.seen_again()
    assert site.routes() == {ROUTE: "10.100.2.2"}
    assert "the address is with 10.100.2.2, which is alive" in "".join(node.status()["problems"].values())
    site.api.cloud.plane.power("node2", False)
    assert node.event("action_repair", after=seq)["reason"] == "its next hop is not alive"
    node.event("action_done", after=seq, why="repair")
    assert site.routes() == {ROUTE: "10.100.2.1"}


def test_a_set_of_routes_leads_to_service_projects(site):
    members = [{"instance": NODE1, "priority": 500}, {"instance": NODE2, "priority": 1000}]
    result = site.start("gcp_route_set", members=members).result()
    assert result["serving"] == [NODE1] and set(site.routes().values()) == set(ADDRESSES)
    assert not site.start("gcp_route_set", members=members).result()["changed"]
    info = site.start("gcp_route_set_info", lease=None, settle=None, instance_projects=list(PROJECTS.values())).result()
    assert [each["instance"] for each in info["members"]] == [NODE1, NODE2]
    assert (info["serving"], info["problems"]) == ([NODE1], [])
    members[0]["state"] = "drained"
    assert site.start("gcp_route_set", members=members).result()["serving"] == [NODE2]
    assert site.gaps() == []

# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The agent with the action for alias ranges, as a process of its own, against the lab's API. It runs on node1."""

from __future__ import annotations

import dataclasses
import shutil
import threading
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from busy import Watch, until

from ansible_collections.cloudha.vip.tests.contract.agent_node import agent_nodes
from ansible_collections.cloudha.vip.tests.contract.proxy import Hangup, Proxy, certificate
from lab import topology
from lab.gce.server import local
from lab.gce.world import Instance, Principal, Subnetwork

PROJECT = "lab-project"
ZONES = {"node1": "us-central1-a", "node2": "us-central1-b", "node3": "us-central1-c", "other": "us-central1-a"}
PEERS = [f"projects/{PROJECT}/zones/{ZONES[name]}/instances/{name}" for name in ("node1", "node2", "node3")]
NODE1, NODE2, _NODE3 = PEERS
X, Y = "10.100.9.1/32", "10.100.9.2/32"
MINE, THEIRS = "10.100.8.1/32", "10.100.8.2/32"  # of others, on node1 and node2
AGENT = topology.AGENT
STOP = "compute.instances.stop"
REMOVE = {"verb": "PATCH", "path": "/instances/node2/"}


def documented():
    """The permissions that docs/gcp.md gives the agent for this action."""
    guide = (Path(__file__).resolve().parents[2] / "docs/gcp.md").read_text()
    role = guide.partition("title: Alias IP ranges, agent")[2].partition("```")[0]
    return frozenset(line.partition("- ")[2] for line in role.splitlines() if "- compute." in line)


def world():
    lab = topology.get("gcp_route_heartbeat").world
    network = lab.networks[0].name

    def instance(name, number, *aliases):
        address = f"10.100.2.{number}"
        return Instance(name, ZONES[name], network, "aliases", address, service_account=AGENT, aliases=aliases)

    return dataclasses.replace(
        lab,
        subnetworks=(Subnetwork("aliases", network, "us-central1", "10.100.0.0/16", {"pods": "172.16.0.0/16"}),),
        instances=(
            instance("node1", 1, MINE),
            instance("node2", 2, THEIRS, X),
            instance("node3", 3),
            instance("other", 4, "10.100.7.7/32"),
        ),
        routes=(),
        principals=(Principal(AGENT, permissions=documented()),),
    )


class Cloud:
    """The API, and what others do with it."""

    def __init__(self, api):
        self.api = api
        self.endpoint = api.endpoint
        self.metadata = api.metadata_url
        self.behave(latency_s=0.05)

    def behave(self, **told):
        self.api.admin("PATCH", "/behaviour", told)

    def interface(self, name):
        return self.api.cloud.instances[name]["networkInterfaces"][0]

    def on(self, name):
        return {each["ipCidrRange"] for each in self.interface(name).get("aliasIpRanges", [])}

    def holders(self, cidr):
        with self.api.cloud.lock:
            return [name for name in self.api.cloud.instances if cidr in self.on(name)]

    def put(self, cidr, name):
        """Somebody else makes the range be there; None: nowhere. Then the log begins anew."""
        with self.api.cloud.lock:
            for each in self.api.cloud.instances:
                ranges = [{"ipCidrRange": other} for other in sorted(self.on(each) - {cidr})]
                if each == name:
                    ranges.append({"ipCidrRange": cidr})
                if {other["ipCidrRange"] for other in ranges} != self.on(each):
                    interface = self.interface(each)
                    change = self.api.cloud.update_interface(
                        self.api.cloud.instances[each],
                        "nic0",
                        {"fingerprint": interface["fingerprint"], "aliasIpRanges": ranges},
                    )
                    change.effect()
        self.api.admin("DELETE", "/log", None)

    def is_at(self, name, *ranges):
        """The end of each procedure; and the ranges of others are where they were."""
        assert [self.holders(cidr) for cidr in ranges or (X,)] == [[name]] * len(ranges or (X,))
        assert MINE in self.on("node1") and THEIRS in self.on("node2")

    def mutations(self):
        return [entry for entry in self.api.requests if entry["mutation"]]

    def allow(self, permissions):
        self.api.cloud.permissions[AGENT] = frozenset(permissions)


@pytest.fixture
def cloud():
    with local(world()) as api:
        yield Cloud(api)
        assert api.violations == []


@pytest.fixture
def make_node(cloud):
    whole = {
        "type": "gcp_alias_ip",
        "instance": "VI_1",
        "name": "database",
        "ranges": [X],
        "peers": PEERS,
        "endpoint": cloud.endpoint,
        "metadata_url": cloud.metadata["node1"],
        "check_interval_s": 1,
        "timeout_s": 5,
    }
    with agent_nodes() as make:
        yield lambda **action: make({**whole, **action})


@pytest.fixture
def node(make_node):
    return make_node()


@pytest.fixture
def proxy(cloud):
    parts = urlsplit(cloud.endpoint)
    proxy = Proxy((parts.hostname, parts.port))
    yield proxy
    proxy.close()


def done(node, seq, **fields):
    return node.event("action_done", after=seq, **fields)


# --- at a transition


def test_a_transition_moves_the_range(make_node, cloud, proxy):
    node = make_node(endpoint=f"{proxy.url}/compute/v1", check_interval_s=3600)
    node.start()
    until(lambda: node.status()["doing"] == "standing by")
    for _round in range(3):
        cloud.put(X, "node2")
        proxy.requests.clear()
        seq = node.state("BACKUP")
        seq = node.event("transition", after=seq, state="BACKUP")["seq"]
        node.state("MASTER")
        moved = node.event("address_moved", after=seq)
        ended = done(node, seq, why="transition")
        cloud.is_at("node1")
        assert (ended["holder"], ended["changed"], moved["resource"]) == (NODE1, True, X)
        assert [step["name"] for step in ended["steps"]] == ["remove alias ranges", "add alias ranges"]
        assert ended["first_mutation_ms"] < ended["moved_ms"] < ended["from_transition_ms"]
        # Three instances are read by name, at the same time, and after that nothing before the addition is done.
        lines = [(verb, path.partition("?")[0].rpartition("/v1/")[2]) for verb, path in proxy.requests]
        lines = [line for line in lines if not line[1].endswith("/wait")]
        assert sorted(lines[:3]) == [("GET", path) for path in PEERS]
        assert lines[3:5] == [("PATCH", f"{path}/updateNetworkInterface") for path in (NODE2, NODE1)]
        assert sorted(lines[5:8]) == [("GET", path) for path in PEERS]
    status = node.vip_agent("status")
    assert status.returncode == 0 and f"{X} here, seen" in status.stdout


def test_from_several_and_what_is_on_none(make_node, cloud):
    cloud.put(Y, "node3")
    node = make_node(ranges=[X, Y, "10.100.9.16/28"], range_name="", interface="nic0")
    node.start()
    done(node, node.state("MASTER"))
    cloud.is_at("node1", X, Y, "10.100.9.16/28")


def test_loss_of_mastership_in_the_middle(node, cloud):
    """What was removed is put somewhere, and nothing else is begun."""
    cloud.behave(latency_s=0.5)
    node.start()
    seq = node.state("MASTER")
    node.event("action_step", after=seq, phase="begin")
    node.state("BACKUP")
    done(node, seq)
    cloud.is_at("node1")
    mutations = len(cloud.mutations())
    node.seen_again()
    assert len(cloud.mutations()) == mutations == 2


def test_two_masters_and_the_healing(node, make_node, cloud):
    """Both nodes believe it for a while, and both reach the API."""
    peer = make_node(metadata_url=cloud.metadata["node3"])
    for each in (node, peer):
        each.start()
    seqs = {each: each.state("MASTER") for each in (peer, node)}
    for each, seq in seqs.items():
        until(lambda each=each, seq=seq: each.find("action_done", seq) or each.find("action_failed", seq))
    peer.state("BACKUP")
    done(node, node.state("MASTER_RX_LOWER_PRI"))
    until(lambda: cloud.holders(X) == ["node1"])
    node.seen_again()
    for each in (node, peer):
        until(lambda each=each: each.status()["problems"] == {})
    cloud.is_at("node1")


# --- while it is the master


def test_it_repairs_and_takes_nothing_from_a_live_peer(make_node, cloud):
    node = make_node(ranges=[X, Y])
    node.start()
    done(node, node.state("MASTER"))
    cloud.is_at("node1", X, Y)
    node.stop()
    seq = node.start()  # the transition is long ago
    cloud.put(X, None)
    assert node.event("action_repair", after=seq)["reason"] == f"{X} is on no instance"
    done(node, seq, why="repair")
    cloud.is_at("node1", X, Y)
    cloud.put(X, "node2")
    cloud.put(Y, None)
    done(node, seq, why="repair", holder=None)
    until(lambda: "elsewhere" in "".join(node.status()["problems"]))
    cloud.is_at("node2", X)
    cloud.is_at("node1", Y)
    status = node.vip_agent("status")
    assert status.returncode == 1 and f"{X} is on {NODE2} nic0, which is alive" in status.stdout
    assert f"{X} on node2 nic0; {Y} here, seen" in status.stdout
    cloud.api.cloud.plane.power("node2", False)
    done(node, node.last(), why="repair")
    cloud.is_at("node1", X, Y)
    until(lambda: node.status()["problems"] == {})


def test_what_a_peer_had_under_way_does_not_last(node, cloud):
    """It asked before it knew that it is not the master any more, and the API did it afterwards."""
    node.start()
    done(node, node.state("MASTER"))
    seq = node.last()
    cloud.put(X, "node2")
    done(node, seq, why="overtaken")
    cloud.is_at("node1")


@pytest.mark.parametrize("wrong", ["zones/us-central1-x/instances/node3", "zones/us-central1-c/instances/node33"])
def test_a_mistyped_peer_keeps_nobody_from_failing_over(make_node, cloud, wrong):
    node = make_node(peers=[NODE1, NODE2, f"projects/{PROJECT}/{wrong}"])
    node.start()
    done(node, node.state("MASTER"))
    cloud.is_at("node1")
    node.seen_again()
    assert node.status()["problems"] == {}


def test_a_standby_changes_nothing(node, cloud):
    cloud.put(X, None)
    node.start()
    node.state("BACKUP")
    node.seen_again()
    assert cloud.mutations() == [] and node.status()["doing"] == "standing by"


# --- when the API is not well


def test_a_zone_that_fails(node, cloud):
    node.start()
    cloud.behave(zone_outage=[ZONES["node2"]])
    seq = node.state("MASTER")
    failed = node.event("action_failed", after=seq)
    assert not failed["steps"] and failed["again_in_s"] == 1
    status = node.vip_agent("status")
    assert status.returncode == 1
    for words in (f"it is still on {NODE2} nic0", "The choices", f"Run it again when {ZONES['node2']} answers"):
        assert words in status.stdout
    assert f"{X} on node2 nic0, seen" in status.stdout
    cloud.is_at("node2")
    cloud.behave(zone_outage=[])
    done(node, seq)
    cloud.is_at("node1")
    until(lambda: node.status()["problems"] == {})


def test_a_source_that_has_to_be_stopped(make_node, cloud):
    """And the permission for that is the only one more."""
    cloud.allow(documented() | {STOP})
    node = make_node(on_source_failure="stop")
    node.start()
    refused = {"match": REMOVE, "kind": "status", "status": 503}
    cloud.behave(faults=[refused])
    seq = node.state("MASTER")
    node.event("action_step", after=seq, name="stop instance", phase="begin")
    cloud.behave(faults=[])
    assert [step["name"] for step in done(node, seq)["steps"]] == [
        "stop instance",
        "remove alias ranges",
        "add alias ranges",
    ]
    cloud.is_at("node1")
    assert not cloud.api.cloud.plane.running("node2")


def test_a_token_that_is_refused_is_replaced_and_not_told(node, cloud):
    node.start()
    assert cloud.api.cloud.expire(AGENT)
    watch = Watch()
    ended = done(node, node.state("MASTER"))
    watch.at_most(1, ended["first_mutation_ms"] / 1000)
    cloud.is_at("node1")
    node.stop()
    tokens = [token for token, (principal, _end) in cloud.api.cloud.tokens.items() if principal == AGENT]
    told = node.all_it_tells()
    assert tokens and not [token for token in tokens if token in told]


def test_each_permission_is_needed_and_no_other(node, cloud):
    everything = documented()
    assert len(everything) == 5
    node.start()
    for permission in sorted(everything):
        cloud.put(X, "node2")
        cloud.allow(everything - {permission})
        if permission == "compute.subnetworks.get":  # read once, at the start
            node.stop()
            node.start(ready=False)
        seq = node.state("MASTER")
        failed = node.event("action_failed", after=seq)
        assert f"'{permission}'" in failed["reason"]
        until(lambda permission=permission: permission in "".join(node.status()["problems"].values()))
        cloud.allow(everything)
        done(node, seq)
        cloud.is_at("node1")


def test_the_preflight_names_what_is_missing(make_node, cloud):
    cloud.allow(documented() - {"compute.instances.updateNetworkInterface", "compute.zoneOperations.get"})
    node = make_node()
    node.start()
    until(lambda: "preflight" in "".join(node.status()["problems"]))
    problem = node.status()["problems"]["database: preflight"]
    assert f"compute.instances.updateNetworkInterface on {NODE1}" in problem
    assert "compute.zoneOperations.get" in problem
    assert cloud.mutations() == []


# --- killed


@pytest.mark.parametrize("moment", ["before", "after"])
def test_killed_at_each_request(cloud, make_node, proxy, moment):
    """By SIGKILL while a request is on its way: before it arrives, so that it never does, or after it was obeyed."""
    node = make_node(endpoint=f"{proxy.url}/compute/v1", check_interval_s=3600)
    node.start()
    killed = 0
    for number in range(1, 100):
        until(lambda: node.status()["doing"] in ("standing by", "watching"))
        seq = node.state("BACKUP")
        seq = node.event("transition", after=seq, state="BACKUP")["seq"]
        cloud.put(X, "node2")
        proxy.requests.clear()
        dead = threading.Event()
        turn = threading.Lock()

        def hook(_number, when, number=number, dead=dead, turn=turn):
            assert len(cloud.holders(X)) <= 1
            with turn:
                due = len(proxy.requests) >= number and when == moment
                if due and not dead.is_set():
                    node.process.kill()
                    node.process.wait()
                    dead.set()
            if due:
                raise Hangup

        proxy.hook = hook
        node.state("MASTER")
        until(lambda dead=dead, seq=seq: dead.is_set() or node.find("action_done", seq))
        proxy.hook = lambda *_: None
        if not dead.is_set():
            break
        killed += 1
        assert not node.find("action_done", seq)
        seq = node.start(ready=False)
        assert done(node, seq)["why"] == "resumed", number
        cloud.is_at("node1")
    assert killed >= 9, "a procedure has at least that many requests"


# --- what it costs


def test_memory(cloud, make_node, tmp_path):
    """With TLS, and a connection for each of three instances."""
    parts = urlsplit(cloud.endpoint)
    proxy = Proxy((parts.hostname, parts.port), certificate(tmp_path))
    node = make_node(endpoint=f"{proxy.url}/compute/v1")
    shutil.copy(tmp_path / "certificate.pem", node.path)
    node.act(ca_file=str(node.path / "certificate.pem"))
    node.start()
    for _round in range(3):
        cloud.put(X, "node2")
        done(node, node.state("MASTER"))
    resident = node.resident_mib()
    print(f"resident with TLS: {resident:.1f} MiB")
    assert resident < 30
    assert node.runs_without_privilege()
    proxy.close()

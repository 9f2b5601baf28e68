# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The agent itself, as a process of a user without privilege, against the lab's API. Tests write keepalived's lines."""

from __future__ import annotations

import itertools
import shutil
import signal
import socket
import statistics
import threading
import time
from pathlib import Path

import pytest
from busy import Watch, until

from ansible_collections.cloudha.vip.plugins.module_utils.failover import engine, route
from ansible_collections.cloudha.vip.plugins.module_utils.failover.route_goal import RouteGoal
from ansible_collections.cloudha.vip.tests.contract.agent_cloud import (
    DELETE,
    DESTINATION,
    INSERT,
    LIST,
    NETWORK,
    NODE1,
    NODE2,
    Cloud,
)
from ansible_collections.cloudha.vip.tests.contract.agent_node import agent_nodes
from ansible_collections.cloudha.vip.tests.contract.proxy import Hangup, Proxy, certificate
from lab import topology

NAME = "floating-ip-route"


class RouteCloud(Cloud):
    """With one route."""

    def move(self, holder):
        """As somebody else does, without a moment's gap; then the log begins anew."""
        latency = self.latency
        self.behave(latency_s=0)
        goal = RouteGoal(NAME, DESTINATION, NETWORK, holder, priority=1000, settle=0, lease=0, check=False)
        engine.apply(route, self.compute, goal)
        self.behave(latency_s=latency)
        self.clear_log()

    def remove(self):
        goal = RouteGoal(NAME, DESTINATION, NETWORK, present=False, check=False)
        engine.apply(route, self.compute, goal)
        self.clear_log()

    def is_at(self, holder):
        """The end of each procedure: one route, as it was, and nothing else."""
        assert self.routes() == {NAME: holder}
        assert self.api.cloud.routes[NAME]["priority"] == 1000


@pytest.fixture
def cloud(gce):
    cloud = RouteCloud(gce)
    cloud.move(NODE1)
    return cloud


@pytest.fixture
def make_node(cloud):
    whole = {
        "type": "gcp_route",
        "instance": "VI_1",
        "name": NAME,
        "destination": DESTINATION,
        "network": "ip-failover",
        "endpoint": cloud.endpoint,
        "metadata_url": cloud.metadata,
        "check_interval_s": 1,
        "lease_s": 2,
        "settle_ms": 50,
    }
    with agent_nodes() as make:
        yield lambda **action: make({**whole, **action})


@pytest.fixture
def node(make_node):
    return make_node()


@pytest.fixture
def master(node, cloud):
    """A node that has become the master and has the route."""
    node.start()
    seq = node.last()
    node.state("MASTER")
    node.event("action_done", after=seq)
    cloud.clear_log()
    return node


# --- at a transition


def test_from_the_transition_to_the_first_request(node, cloud, record_property):
    node.start()
    asked = []
    for _round in range(10):
        cloud.move(NODE2)
        cloud.clear_log()
        seq = node.last()
        node.state("BACKUP")
        seq = node.event("transition", after=seq, state="BACKUP")["seq"]
        node.state("MASTER")
        told = node.event("transition", after=seq, state="MASTER")
        done = node.event("action_done", after=seq)
        assert done["first_mutation_ms"] < done["moved_ms"] < done["from_transition_ms"]
        assert done["moved_ms"] >= 1000 * cloud.latency
        asked.append((done["first_mutation_ms"], cloud.mutations()[0]["mono_ns"] / 1e6 - told["mono_ns"] / 1e6))
        assert [step["name"] for step in done["steps"]] == [
            "insert temporary route",
            "delete route",
            "insert route",
            "delete temporary route",
        ]
        cloud.is_at(NODE1)
    by_agent, by_api = (statistics.median(column) for column in zip(*asked, strict=True))
    record_property("first_mutation_ms", by_agent)
    record_property("first_mutation_at_api_ms", by_api)
    print(f"median ms from the transition to the first mutation: {by_agent:.1f} by the agent, {by_api:.1f} by the API")
    assert by_api < 250  # of any machine; docs have what was measured


def test_loss_of_mastership_ends_it(node, cloud):
    cloud.behave(latency_s=0.5)
    cloud.move(NODE2)
    node.start()
    seq = node.last()
    node.state("MASTER")
    node.event("action_step", after=seq, phase="begin")
    node.state("BACKUP")
    stopped = node.event("action_stopped", after=seq)
    assert stopped["reason"] == "no longer master"
    # What was asked for before that may be done; nothing is asked for afterwards, however long it takes to settle.
    mutations = len(cloud.mutations())
    assert mutations <= 1
    node.seen_again()
    node.seen_again()
    assert len(cloud.mutations()) == mutations
    assert NAME in cloud.routes()


def test_keepalived_that_dies_ends_it(node, cloud):
    cloud.behave(latency_s=0.5)
    cloud.move(NODE2)
    node.start()
    seq = node.last()
    node.state("MASTER")
    node.event("action_step", after=seq, phase="begin")
    node.keepalived.kill()
    assert node.event("action_stopped", after=seq)["reason"] == "no longer master"


def test_a_split_that_heals(node, cloud):
    cloud.move(NODE2)
    node.start()
    seq = node.last()
    node.state("MASTER")
    node.event("action_done", after=seq)
    cloud.move(NODE2)  # the peer thought that it was the master, too
    seq = node.last()
    node.state("MASTER_RX_LOWER_PRI")
    done = node.event("action_done", after=seq, why="lower_priority")
    assert done["changed"]
    cloud.is_at(NODE1)


def test_two_masters_and_the_healing(node, make_node, cloud):
    """Both nodes believe it for a while, and both reach the API."""
    peer = make_node(metadata_url=cloud.api.metadata_url["node2"])
    for each in (node, peer):
        each.start()
    seqs = {each: each.last() for each in (node, peer)}
    for each in (peer, node):
        each.state("MASTER")
    for each in (node, peer):
        each.event("action_done", after=seqs[each])
    assert set(cloud.routes().values()) <= {NODE1, NODE2}
    seqs = {each: each.last() for each in (node, peer)}
    peer.state("BACKUP")
    node.state("MASTER_RX_LOWER_PRI")
    node.event("action_done", after=seqs[node], why="lower_priority")
    cloud.is_at(NODE1)
    for each in (node, peer):
        each.seen_again()
        assert each.status()["problems"] == {}
    cloud.is_at(NODE1)
    assert cloud.gaps() == []


# --- while it is the master


def test_a_route_that_was_deleted_is_repaired(master, cloud):
    seq = master.last()
    cloud.remove()
    repair = master.event("action_repair", after=seq)
    assert repair["reason"] == "there is no route"
    assert master.event("action_done", after=seq)["why"] == "repair"
    cloud.is_at(NODE1)


def test_what_a_peer_had_under_way_does_not_last(master, cloud):
    """It asked before it knew that it is not the master any more, and the API did it afterwards."""
    seq = master.last()
    mark = f'cloudha.vip: temporary, for the route {NAME} {{"priority":1000}}'
    cloud.insert(f"{NAME}-tmp-0badcafe-1", NODE2, priority=999, description=mark)
    master.event("action_done", after=seq, why="overtaken")
    cloud.is_at(NODE1)


def test_a_live_peer_keeps_the_route_and_a_dead_one_does_not(master, cloud):
    master.stop()
    master.start()  # the transition is long ago
    cloud.move(NODE2)
    seq = master.last()
    until(lambda: "elsewhere" in "".join(master.status()["problems"]))
    master.seen_again()
    master.seen_again()
    assert cloud.mutations() == []
    assert cloud.routes()[NAME] == NODE2
    assert master.vip_agent("status").returncode == 1
    assert NODE2 in master.vip_agent("status").stdout
    cloud.power("node2", False)
    repair = master.event("action_repair", after=seq)
    assert repair["reason"] == "its next hop is not alive"
    master.event("action_done", after=seq)
    cloud.is_at(NODE1)
    until(lambda: master.status()["problems"] == {})
    assert master.vip_agent("status").returncode == 0


def test_what_a_dead_run_left_is_cleared(master, cloud):
    seq = master.last()
    mark = f'cloudha.vip: temporary, for the route {NAME} {{"priority":1000}}'
    cloud.insert(f"{NAME}-tmp-0badcafe-1", NODE1, priority=999, description=mark)
    assert master.event("action_repair", after=seq)["todo"]
    master.event("action_done", after=seq)
    cloud.is_at(NODE1)


def test_a_standby_changes_nothing(node, cloud):
    cloud.remove()
    node.start()
    node.state("BACKUP")
    for _look in range(3):
        node.seen_again()
    assert cloud.mutations() == []
    status = node.status()
    assert (status["doing"], status["holder"], status["master"]) == ("standing by", None, False)


# --- when the API is not well


def test_a_token_that_is_refused_is_replaced(master, cloud):
    cloud.move(NODE2)
    cloud.expire()
    seq = master.last()
    watch = Watch()
    master.state("MASTER")
    done = master.event("action_done", after=seq)
    watch.at_most(1, done["first_mutation_ms"] / 1000)
    cloud.is_at(NODE1)


def test_an_api_that_refuses_for_a_while(node, cloud):
    cloud.move(NODE2)
    node.start()
    cloud.behave(
        faults=[{"match": {"path": ".*"}, "kind": "status", "status": 503, "reason": "backendError", "for_s": 3}]
    )
    seq = node.last()
    node.state("MASTER")
    retry = node.event("action_step", after=seq, phase="retry")
    assert "503" in retry["error"]
    node.event("action_done", after=seq)
    cloud.is_at(NODE1)


def test_a_permission_that_is_missing_and_then_given(node, cloud):
    cloud.move(NODE2)
    node.start()
    cloud.behave(faults=[{"match": INSERT, "kind": "status", "status": 403, "reason": "forbidden"}])
    seq = node.last()
    node.state("MASTER")
    node.event("action_failed", after=seq, failures=2)
    assert "403" in "".join(node.status()["problems"].values())
    assert node.vip_agent("status").returncode == 1
    cloud.behave(faults=[])
    node.event("action_done", after=seq)
    cloud.is_at(NODE1)
    until(lambda: node.status()["problems"] == {})


def test_each_permission_is_needed_and_no_other(node, cloud):
    guide = (Path(__file__).resolve().parents[2] / "docs/gcp.md").read_text()
    role = guide.partition("title: Floating address, agent")[2].partition("```")[0]
    documented = {line.partition("- ")[2] for line in role.splitlines() if "- compute." in line}
    assert documented == topology.ROUTE_PERMISSIONS
    node.start()
    for permission in sorted(documented):
        cloud.allow(documented - {permission})
        cloud.move(NODE2)
        seq = node.last()
        node.state("MASTER")
        if permission == "compute.instances.get":  # for the preflight, at the start
            node.event("action_done", after=seq)
            node.stop()
            node.start()
            until(lambda permission=permission: permission in "".join(node.status()["problems"].values()))
            continue
        failed = node.event("action_failed", after=seq)
        assert f"'{permission}'" in failed["reason"]
        cloud.allow(documented)
        node.event("action_done", after=seq)
        cloud.is_at(NODE1)


@pytest.mark.parametrize("kind", ["lose-before", "lose-after"])
def test_connections_that_are_lost(node, cloud, kind):
    cloud.move(NODE2)
    node.start()
    cloud.behave(faults=[{"match": match, "kind": kind, "times": 2} for match in (INSERT, DELETE, LIST)])
    seq = node.last()
    node.state("MASTER")
    node.event("action_done", after=seq)
    cloud.is_at(NODE1)


def test_a_slow_api_delays_no_health_check(cloud, make_node):
    answered = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve():
            while True:
                try:
                    connection, _peer = listener.accept()
                except OSError:
                    return
                answered.append(time.monotonic())
                connection.close()

        threading.Thread(target=serve, daemon=True).start()
        proxy = Proxy(cloud.upstream)
        node = make_node(endpoint=f"{proxy.url}/compute/v1", timeout_s=10)
        node.act(
            checks=[{"name": "web", "type": "tcp", "port": listener.getsockname()[1]}],
            endpoint=f"{proxy.url}/compute/v1",
        )
        cloud.move(NODE2)
        node.start()
        proxy.hook = lambda number, moment: time.sleep(0.4)
        seq = node.last()
        watch = Watch()
        started = time.monotonic()
        node.state("MASTER")
        node.event("action_done", after=seq)
        ended = time.monotonic()
        listener.shutdown(socket.SHUT_RDWR)
        proxy.close()
    assert ended - started > 3
    within = [when for when in answered if started <= when <= ended]
    gaps = [later - earlier for earlier, later in itertools.pairwise(within)]
    watch.at_most(0.11, statistics.median(gaps))
    watch.holds(len(within) > 0.6 * (ended - started) / 0.1, f"{len(within)} checks")


def test_a_metadata_server_that_comes_late(cloud, make_node):
    proxy = Proxy(cloud.metadata_upstream)

    def away(_number, _moment):
        raise Hangup

    proxy.hook = away
    cloud.move(NODE2)
    node = make_node(metadata_url=proxy.url)
    node.start(ready=False)
    node.state("MASTER")
    until(lambda: "identity" in "".join(node.status()["problems"]))
    assert cloud.routes()[NAME] == NODE2
    proxy.hook = lambda *_: None
    node.event("action_done")
    cloud.is_at(NODE1)
    proxy.close()


# --- killed


@pytest.mark.parametrize("moment", ["before", "instead", "after"])
def test_killed_at_each_request(cloud, make_node, moment):
    """By SIGKILL while a request is on its way: before it arrives, so that it never does, after it was answered."""
    proxy = Proxy(cloud.upstream)
    node = make_node(endpoint=f"{proxy.url}/compute/v1", check_interval_s=3600)
    number, killed = 0, 0
    while True:
        number += 1
        cloud.move(NODE2)
        node.start()
        proxy.requests.clear()
        done = threading.Event()

        def hook(this, when, number=number, done=done):
            if this == number and when == ("after" if moment == "after" else "before"):
                node.process.kill()
                node.process.wait()
                done.set()
                if moment == "instead":
                    raise Hangup

        proxy.hook = hook
        seq = node.last()
        node.state("MASTER")
        until(lambda done=done, seq=seq: done.is_set() or node.find("action_done", seq))
        proxy.hook = lambda *_: None
        if not done.is_set():
            break
        killed += 1
        assert not node.find("action_done", seq)
        seq = node.start(ready=False)
        resumed = node.event("action_done", after=seq)
        assert resumed["why"] == "resumed", number
        cloud.is_at(NODE1)
        assert cloud.gaps() == [], number
        node.stop(signal.SIGKILL)
    assert killed >= 9, "a procedure has at least that many requests"
    proxy.close()


def test_what_is_done_is_not_done_again_after_a_restart(master, cloud):
    for number in (signal.SIGTERM, signal.SIGKILL):
        master.stop(number)
        cloud.move(NODE2)
        cloud.clear_log()
        master.start()
        master.seen_again()
        assert cloud.mutations() == []


def test_stopped_in_the_middle_it_says_so(node, cloud):
    cloud.behave(latency_s=0.3)
    cloud.move(NODE2)
    node.start()
    seq = node.last()
    node.state("MASTER")
    node.event("action_step", after=seq, phase="begin")
    assert node.stop() == 0
    assert node.find("action_stopped", seq)["reason"] == "the agent stops"
    seq = node.start(ready=False)
    assert node.event("action_done", after=seq)["why"] == "resumed"
    cloud.is_at(NODE1)


# --- what it costs, and what it tells


@pytest.mark.parametrize("tls", [False, True])
def test_memory(cloud, make_node, tls, tmp_path):
    proxy = Proxy(cloud.upstream, certificate(tmp_path) if tls else None)
    shared = {"ca_file": str(tmp_path / "certificate.pem")} if tls else {}
    node = make_node(endpoint=f"{proxy.url}/compute/v1", **shared)
    if tls:
        shutil.copy(tmp_path / "certificate.pem", node.path)
        node.act(endpoint=f"{proxy.url}/compute/v1", ca_file=str(node.path / "certificate.pem"))
    node.start()
    for _round in range(3):
        cloud.move(NODE2)
        seq = node.last()
        node.state("MASTER")
        node.event("action_done", after=seq)
    resident = node.resident_mib()
    print(f"resident with {'TLS' if tls else 'HTTP'}: {resident:.1f} MiB")
    assert resident <= 30
    assert node.runs_without_privilege()
    proxy.close()


def test_no_secret_is_told(master, cloud):
    cloud.expire()
    cloud.move(NODE2)
    cloud.behave(faults=[{"match": INSERT, "kind": "status", "status": 401, "reason": "authError", "times": 1}])
    seq = master.last()
    master.state("MASTER")
    master.event("action_done", after=seq)
    master.stop()
    tokens = cloud.tokens()
    assert tokens
    told = master.all_it_tells()
    for token in tokens:
        assert token not in told

# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Nodes that start from an image: two with a route of their own to a floating address, or a single one with a name.

Each topology is a class with a lab of its own, so that several can run at once.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import pytest
from busy import Watch, until
from logs import kept
from pair import Pair, answered, changes
from releases import ALL

from lab import machine, topology
from lab.lab import Lab

NODES = ("node1", "node2")
VIP, NAME = "10.200.1.1", "web.ha.internal"
# Whatever starts from this image has no service.
BROKEN = """
- name: Let nginx never start
  ansible.builtin.command: systemctl mask nginx
"""
# They make several machines anew, which takes minutes.
ONLY_VERSIONS = pytest.mark.skipif(not ALL, reason="make versions runs this")
# An operation of the API: where nothing depends on it, and as the real one takes.
FAST_S, REAL_S = 0.2, 2.0
# A node that does not serve is given up soon.
NOTICED_S = 6
SOON: dict[str, object] = {"gcp_autohealing_objective_s": NOTICED_S, "gcp_autohealing_initial_delay_s": 60}
# What a drill does to a machine, on it or from outside. Only a machine that is made anew mends it.
ON_NODE = {
    "service_kill": "systemctl --quiet mask --runtime nginx; systemctl kill --kill-who=all --signal=KILL nginx",
    "service_hang": "systemctl kill --kill-who=all --signal=STOP nginx",
}
BY_LAB = ("node_power_off", "node_hang", "link_down", "instance_deleted", "instance_stopped", "autohealing_stuck")
# So long after a fault others must serve all clients: the check has noticed, the instance is deleted, and 1 s.
SERVED_NS = int((NOTICED_S + REAL_S + 1) * 1e9)
# In ns since 1970: when a fault came, others had served the clients, the node's route was back, and all was well.
Times = tuple[int, int, int, int]


class Machines(Pair):
    def command(self, playbook: str, *words: str, **variables: object) -> list[str]:
        return super().command(playbook, *words, **{**SOON, **variables})

    def changing_requests(self) -> list[str]:
        """Since the log was begun anew."""
        return [f"{each['method']} {each['path']}" for each in self.lab.api.log() if each["mutation"]]

    def boot(self, node: str) -> str:
        """A machine that was made anew has another one."""
        return self.ssh(node, "cat /proc/sys/kernel/random/boot_id").strip()

    def boots(self) -> dict[str, str]:
        return {node: self.boot(node) for node in NODES}

    def running(self) -> list[str]:
        return [str(each["name"]) for each in self.lab.api.state()["instances"] if each["status"] == "RUNNING"]

    def made(self, node: str) -> str:
        """The id of its instance, another one when it was made anew; empty while there is none."""
        found = [str(each["id"]) for each in self.lab.api.state()["instances"] if each["name"] == node]
        return found[0] if found else ""

    def own_routes(self) -> dict[str, dict[str, Any]]:
        """The route of each node, but not its reserve."""
        routes: list[dict[str, Any]] = self.lab.api.state()["routes"]
        ours = [each for each in routes if each["destRange"] == f"{VIP}/32" and "reserve" not in each["name"]]
        return {each["nextHopInstance"].rpartition("/")[2]: each for each in ours}

    def healthy(self, node: str, since: int) -> bool:
        """Whether Google's health check has found it healthy again since then."""
        found = [each for each in self.lab.api.call("GET", "/health") if each["instance"] == node]
        return any(each["health"] == "HEALTHY" and each["wall_ns"] > since for each in found)

    def reaches(self, name: str) -> bool:
        """Whether the controller does, by SSH."""
        return self.lab.execute(["true"], name) == 0

    def run_on(self, name: str, script: str) -> None:
        """As root of a machine, past SSH and the network."""
        groups = self.lab.groups
        self.lab.keeper.run(lambda: print(machine.execute(groups, name, "sh", "-c", script)))

    @contextlib.contextmanager
    def without_controller(self) -> Iterator[None]:
        """Nothing that the controller sends arrives, and nothing comes to it."""
        site = self.lab.site()

        def plug(up: bool) -> None:
            self.lab.keeper.run(lambda: site.fabric.set_carrier(topology.CONTROLLER, up=up))

        plug(False)
        try:
            yield
        finally:
            plug(True)


def asks(url: str) -> str:
    """A command that shows what is there."""
    return (
        f"python3 -c 'import urllib.request as u; print(u.urlopen(\"{url}\", timeout=1).read().decode())' 2>/dev/null"
    )


@pytest.fixture(scope="class")
def nodes(
    request: pytest.FixtureRequest, lab_name: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Machines]:
    this = request.cls
    with kept(Lab(lab_name(this.name.removeprefix("gcp_").replace("_", "")))) as lab:
        lab.up(this.name)
        lab.api.behave(latency_s=FAST_S, boot_s=5.0)
        nodes = Machines(lab, tmp_path_factory.mktemp("nodes"), this.name, this.address)
        nodes.deploy("--check")
        assert nodes.changing_requests() == []
        nodes.deploy()
        yield nodes


class Topology:
    name: ClassVar[str]
    address: ClassVar[str] = VIP
    there: ClassVar[tuple[str, ...]] = NODES
    serving: ClassVar[set[str]]

    def test_clients_are_served_and_a_second_run_changes_nothing(self, nodes: Machines) -> None:
        with nodes.client() as seen:
            assert nodes.play("status").returncode == 0
        assert seen.answered_by == self.serving and not seen.lost
        boots = [nodes.boot(node) for node in self.there]
        nodes.lab.api.forget()
        assert set(changes(nodes.deploy()).values()) == {0}
        assert nodes.changing_requests() == [] and [nodes.boot(node) for node in self.there] == boots


class Routes(Topology):
    def test_a_switchover_and_back_loses_no_request_but_those_under_way(self, nodes: Machines) -> None:
        for words, serving in (({"switchover_from": "node1"}, {"node2"}), ({"switchover_to": "node1"}, self.serving)):
            with nodes.client() as seen:
                done = nodes.play("switchover", **words)
                assert done.returncode == 0, done.stdout[-3000:]
            assert seen.lost == seen.in_flight
            with nodes.client() as seen:
                pass
            assert seen.answered_by == serving

    def test_a_node_that_is_made_anew_serves_without_a_controller_and_its_return_costs_nothing(
        self, nodes: Machines
    ) -> None:
        before, former = nodes.boots(), nodes.made("node1")
        nodes.lab.fault("instance_deleted", "node1", undo_after=60)
        until(lambda: nodes.made("node1") != former, 30, "node1 is still there")
        with nodes.client() as seen, nodes.without_controller():
            until(lambda: self.well(nodes), 120, "node1 does not come back")
        assert seen.lost == seen.in_flight and seen.answered_by == {*self.serving, "node2"}
        assert nodes.boots()["node1"] != before["node1"]

    @pytest.mark.left_out
    @ONLY_VERSIONS
    def test_what_a_drill_does_to_machines_is_survived_without_a_controller(self, nodes: Machines) -> None:
        """In time others serve the node's clients, and only they do until it is back, which costs nothing."""
        times: dict[str, Times] = {}
        watch = Watch()
        nodes.lab.api.behave(latency_s=REAL_S)
        with nodes.client(), nodes.without_controller():
            assert not nodes.reaches("client1")
            for fault in (*ON_NODE, *BY_LAB):
                times[fault] = self.lose(nodes, fault)
            assert not nodes.reaches("client1")
        nodes.lab.api.behave(latency_s=FAST_S)
        for fault, (begun, moved, returned, ended) in times.items():
            whole, late = nodes.seen(begun, ended), nodes.seen(min(moved, begun + SERVED_NS), ended)
            print(f"{fault}, {(ended - begun) / 1e9:.1f} s: {whole}")
            watch.holds(late.lost == late.in_flight, f"{fault}: clients lost requests later: {late}")
            assert nodes.seen(moved, returned).answered_by == set(NODES) - {"node1"}, fault
            assert whole.answered_by == {*self.serving, "node2"}, fault

    def lose(self, nodes: Machines, fault: str) -> Times:
        """Do it to node1, and wait until all is as before."""
        made, route = nodes.made("node1"), nodes.own_routes()["node1"]["id"]
        begun = time.time_ns()
        if fault in ON_NODE:
            nodes.run_on("node1", ON_NODE[fault])
        else:
            nodes.lab.fault(fault, "node1")
        nodes.run_on("client1", answered(begun, "--not-by node1", 60))
        moved = time.time_ns()
        until(lambda: nodes.own_routes().get("node1", {"id": route})["id"] != route, 60, f"{fault}: no route is back")
        returned = time.time_ns()
        nodes.run_on("client1", answered(returned, f"--each-by {','.join(sorted(self.serving))}"))
        until(lambda: self.well(nodes) and nodes.healthy("node1", begun), 60, f"{fault}: the node is not well")
        assert nodes.made("node1") != made, f"{fault}: its machine is the former one"
        return begun, moved, returned, time.time_ns()

    @pytest.mark.left_out
    @ONLY_VERSIONS
    def test_a_new_image_is_rolled_over_the_nodes_and_no_request_is_lost(self, nodes: Machines) -> None:
        before = nodes.boots()
        with nodes.client() as seen:
            nodes.deploy(nginx_page="another page")
        assert seen.lost == seen.in_flight and seen.answered_by == set(NODES)
        assert all(nodes.boots()[node] != before[node] for node in NODES)
        assert nodes.ssh("client1", asks(f"http://{VIP}/")).strip() == "another page"

    @pytest.mark.left_out
    @ONLY_VERSIONS
    def test_a_broken_image_stops_the_roll_while_a_node_serves(self, nodes: Machines) -> None:
        tasks = nodes.scratch / "broken.yml"
        tasks.write_text(BROKEN)
        before = nodes.boots()
        with nodes.client() as seen:
            done = nodes.play(nodes.topology, nginx_page="another page", vip_image_tasks=str(tasks))
        assert done.returncode != 0, done.stdout[-3000:]
        assert seen.lost == seen.in_flight
        assert nodes.boots()["node2"] == before["node2"]
        nodes.deploy(nginx_page="another page")
        nodes.until_well()

    def test_teardown_takes_everything_away(self, nodes: Machines) -> None:
        done = nodes.play("teardown")
        assert done.returncode == 0, done.stdout[-3000:]
        assert not set(nodes.running()) & set(NODES)
        left = nodes.lab.api.state()
        assert [each["name"] for each in left["routes"] if each["destRange"] == f"{VIP}/32"] == []

    @staticmethod
    def well(nodes: Machines) -> bool:
        ours = nodes.own_routes()
        return len(ours) == len(NODES) and not any(each.get("warnings") for each in ours.values())


@pytest.mark.left_out
@ONLY_VERSIONS
class TestEcmp(Routes):
    name = "gcp_route_ecmp"
    serving: ClassVar[set[str]] = set(NODES)


class TestPriority(Routes):
    name = "gcp_route_priority"
    serving: ClassVar[set[str]] = {"node1"}


class TestAutohealing(Topology):
    name = "gcp_autohealing"
    address = NAME
    there = ("node1",)
    serving: ClassVar[set[str]] = {"node1"}

    def test_a_node_that_is_made_anew_serves_without_a_controller(self, nodes: Machines) -> None:
        before, former = nodes.boot("node1"), nodes.made("node1")
        with nodes.client() as seen, nodes.without_controller():
            nodes.lab.fault("instance_deleted", "node1", undo_after=60)
            until(lambda: nodes.made("node1") != former, 30, "node1 is still there")
            until(lambda: "node1" in nodes.running(), 60, "node1 does not come back")
        assert seen.lost > 0 and seen.answered_by == {"node1"}
        assert nodes.boot("node1") != before

    def test_in_a_lost_zone_the_switchover_makes_the_node_elsewhere_and_the_former_one_never_serves_again(
        self, nodes: Machines
    ) -> None:
        zone = self.zone(nodes, "node1")
        with nodes.client() as seen:
            nodes.lab.api.behave(zone_outage=[zone])
            begun = time.time_ns()
            done = nodes.play("switchover", switchover_to="node2")
            print(f"the switchover took {(time.time_ns() - begun) / 1e9:.1f} s\n{done.stdout[-3000:]}")
            assert done.returncode == 0
        assert seen.answered_by == {"node1", "node2"} and seen.split_brain_ms == 0
        # The zone comes back, and the former node with it.
        with nodes.client() as seen:
            nodes.lab.api.behave(zone_outage=[])
            former = nodes.lab.topology.machine("node1").address
            nodes.until("client1", asks(f"http://{former}/healthz"))
        assert seen.answered_by == {"node2"} and not seen.lost
        with nodes.client() as seen:
            nodes.deploy()
        assert seen.answered_by == {"node2"} and not seen.lost
        assert "node1" not in nodes.running()

    def test_teardown_takes_everything_away(self, nodes: Machines) -> None:
        done = nodes.play("teardown")
        assert done.returncode == 0, done.stdout[-3000:]
        left = nodes.lab.api.state()
        assert not {each["name"] for each in left["instances"]} & set(NODES)

    @staticmethod
    def zone(nodes: Machines, node: str) -> str:
        (its,) = [each["zone"] for each in nodes.lab.api.state()["instances"] if each["name"] == node]
        return str(its.rpartition("/")[2])

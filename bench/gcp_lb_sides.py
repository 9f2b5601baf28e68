# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The contestants of `gcp_lb`: pairs of nodes behind a load balancer, each in a lab of its own, and their trials."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import contest
from contest import HERE, ROOT, Stage, Unfit
from failover import MACHINE_FAULTS, command

from ansible_collections.cloudha.vip.plugins.module_utils.drill import analysis, records
from lab import topology
from lab.image import cache_directory
from lab.keeper import enter_network
from lab.lab import Lab
from lab.process import run

OBJECTIVE_S = 3
GOOGLE = {"interval_s": 5, "timeout_s": 5, "healthy_threshold": 2, "unhealthy_threshold": 2}

NODES = ("node1", "node2")
INTERVAL_MS = 10  # of the client's requests
CALM_MS = 3000  # so long without a loss, and it is over
GIVE_UP_S = 30.0  # twice as long as the slowest health check needs
SETTLE_S = 120.0
PROBE_SOURCES = (bytes([35, 191]), bytes([130, 211]))  # how their addresses begin


class Pattern(NamedTuple):
    title: str
    faults: tuple[str, ...]


# What an objective was promised for, and what else tells the contestants apart.
PROMISED = ("node_power_off", "service_kill", "service_hang")
ACTIVE_ACTIVE, FAILOVER, HEARTBEAT = "active_active", "failover", "heartbeat"
PATTERNS = {
    ACTIVE_ACTIVE: Pattern("All nodes serve", PROMISED),
    FAILOVER: Pattern("One node serves, one waits", PROMISED),
    HEARTBEAT: Pattern("keepalived elects the node that serves", (*PROMISED, "node_hang")),
}


class Measured(NamedTuple):
    """One trial of one contestant."""

    until_ms: float
    gap_ms: float
    lost: int
    share: float
    more: int  # 1: clients were still losing when the bench gave up


class Side(Stage):
    """A contestant in one pattern, with its lab."""

    name: str
    ours = False
    patterns: Sequence[str] = tuple(PATTERNS)
    home: Sequence[str] = NODES  # where the address stays, if keepalived elects
    well: str  # succeeds on a node that could take over, if keepalived elects
    broken = NODES

    def __init__(self, pattern: str, number: int) -> None:
        plan = topology.get(f"gcp_lb_{pattern}")
        super().__init__(Lab(f"bench-lb{os.getpid()}-{number}"), plan, HERE / "gcp_lb")
        self.pattern = pattern
        self._suffers: tuple[str, str] | None = None
        self._region = self.zone(NODES[0]).rpartition("-")[0]

    def versions(self) -> dict[str, str]:
        """Of what is on its nodes."""
        found = self.ssh(NODES[0], "dpkg-query -Wf '${Package} ${Version}\n' nginx keepalived", check=False)
        return dict(each.split(" ", 1) for each in found.splitlines() if not each.endswith(" "))

    # --- the load balancer

    def health_check(self) -> dict[str, Any]:
        """As the API has it."""
        return self.compute("GET", f"regions/{self._region}/healthChecks/{self.variables['gcp_lb_name']}")

    def _healthy(self, node: str) -> bool:
        name = self.variables["gcp_lb_name"]
        group = (
            f"https://www.googleapis.com/compute/v1/{self.project}/zones/{self.zone(node)}/instanceGroups/{name}-{node}"
        )
        path = f"regions/{self._region}/backendServices/{name}/getHealth"
        told = self.compute("POST", path, {"group": group}).get("healthStatus", ())
        return [each["healthState"] for each in told] == ["HEALTHY"]

    # --- a trial

    def put_back(self) -> None:
        """Mend what the last trial has broken."""
        if self._suffers is None:
            return
        fault, node = self._suffers
        if fault in MACHINE_FAULTS:
            self.lab.repair(fault, node, wait=True)
        else:
            self.ssh(node, command(fault, "undo"))
        self._suffers = None

    def settle(self) -> str:
        """Wait until nothing changes any more; return the node that is to fail."""
        deadline, before = time.monotonic() + SETTLE_S, None
        while time.monotonic() < deadline:
            now = self._at_rest()
            if now and now == before:
                return now
            before = now
            time.sleep(1)
        raise Unfit(f"{self.name}: not at rest after {SETTLE_S:.0f} s")

    def _at_rest(self) -> str | None:
        healthy = [node for node in NODES if self._healthy(node)]
        if self.pattern != HEARTBEAT:
            return NODES[0] if healthy == [*NODES] else None
        well = all(self.ssh(node, f"({self.well}) >/dev/null && echo well", check=False) for node in NODES)
        return healthy[0] if well and len(healthy) == 1 and healthy[0] in self.home else None

    def trial(self, fault: str, phase: float) -> Measured:
        """Break a node so long after one of its probes, as a share of the interval; what the client lost."""
        node = self.settle()
        self.probe(
            f"--each-by {','.join(NODES)}" if self.pattern == ACTIVE_ACTIVE else f"--by {node}",
            f"--interval-ms {INTERVAL_MS}",
        )
        self._suffers = fault, node
        if fault not in MACHINE_FAULTS:
            self.ssh(node, command(fault, "prepare"))
        interval_s = self.health_check()["checkIntervalSec"]
        with self._armed(fault, node) as inject:
            self._await_probe(node)
            time.sleep(phase * interval_s)
            injected = inject()
        return measure(self.probed(injected, "", CALM_MS, GIVE_UP_S), injected)

    def _await_probe(self, node: str) -> None:
        """Return when a probe has just reached the node."""
        port = self._port()
        # A network namespace is a thread's own.
        with ThreadPoolExecutor(1) as inside:
            inside.submit(see_probe, self.lab.keeper.network(node), port).result()

    def _port(self) -> int:
        check = self.health_check()
        return next(check[kind]["port"] for kind in ("httpHealthCheck", "tcpHealthCheck") if kind in check)

    @contextlib.contextmanager
    def _armed(self, fault: str, node: str) -> Iterator[Callable[[], int]]:
        """Without delay: what does the fault, and returns the wall clock just before, in ns."""
        if fault in MACHINE_FAULTS:
            yield lambda: self._break(fault, node)
            return
        script = f"echo ready; read -r go || exit; date +%s%N\n{command(fault, 'inject')}"
        with subprocess.Popen(
            self.ssh_command(node, script), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as waiting:
            assert waiting.stdin and waiting.stdout
            waiting.stdout.readline()
            yield lambda: int(waiting.communicate("go\n")[0].split()[0])

    def _break(self, fault: str, node: str) -> int:
        told = self.lab.state / "injected"
        self.lab.fault(fault, node, tell=lambda now: told.write_text(str(now)))
        return int(told.read_text())


class Ours(Side):
    """The collection's playbook."""

    name = f"cloudha.vip, {OBJECTIVE_S} s"
    ours = True
    well = "vip-agent status"
    asked: dict[str, Any] = {"gcp_lb_objective_s": OBJECTIVE_S}

    def deployment(self) -> Sequence[str | Path]:
        return [ROOT / "playbooks" / f"{self.plan.name}.yml", "--extra-vars", json.dumps(self.asked)]


class GoogleTimers(Ours):
    """The same, with what Google takes if nothing is asked for."""

    name = "cloudha.vip, Google's timers"
    asked = {"gcp_lb_health_check": GOOGLE}


class Sample(Side):
    """Google's sample: keepalived, which starts and stops a unit that opens the port."""

    name = "Google's sample, nc"
    patterns = (HEARTBEAT,)
    home = NODES[:1]  # it goes back
    well = "systemctl --quiet is-active nginx && systemctl --quiet is-active keepalived"
    unit = "nc"
    packages = ("netcat-openbsd", "resource-agents", "socat")
    package = "netcat-openbsd"
    directory = cache_directory() / "bench-gcp-lb"

    @classmethod
    def missing(cls) -> str | None:
        if cls.directory.exists():
            return None
        scratch = cls.directory.with_suffix(".new")
        if reason := contest.download(cls.packages, scratch):
            return reason
        scratch.rename(cls.directory)
        return None

    @classmethod
    def version(cls) -> dict[str, str]:
        (package,) = cls.directory.glob(f"{cls.package}_*.deb")
        return {cls.package: run("dpkg-deb", "--field", str(package), "Version").strip()}

    def deployment(self) -> Sequence[str | Path]:
        asked = {
            "bench_unit": self.unit,
            "bench_packages": str(self.directory),
            "bench_health_check": GOOGLE,
        }
        return [self.parts / "heartbeat.yml", "--extra-vars", json.dumps(asked)]


class ResourceAgent(Sample):
    """The same keepalived with Debian's gcp-ilb."""

    name = "Debian's gcp-ilb"
    unit = "gcp-ilb"
    package = "resource-agents"


SIDES: tuple[type[Side], ...] = (Ours, GoogleTimers, Sample, ResourceAgent)
# What a user has who asks for nothing: by pattern.
DEFAULTS = {ACTIVE_ACTIVE: GoogleTimers.name, FAILOVER: GoogleTimers.name, HEARTBEAT: Sample.name}


def see_probe(network: Path, port: int) -> None:
    """Wait in this network namespace until a connection from Google's range begins."""
    enter_network(network)
    with socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM) as wire:
        wire.bind(("eth0", 0x0800))
        deadline = time.monotonic() + 30
        while (left := deadline - time.monotonic()) > 0:
            wire.settimeout(left)
            try:
                packet = wire.recv(128)
            except TimeoutError:
                break
            tcp = packet[(packet[0] & 15) * 4 :]
            probes = packet[9] == socket.IPPROTO_TCP and packet[12:14] in PROBE_SOURCES
            # A connection begins with SYN and no ACK.
            if probes and int.from_bytes(tcp[2:4], "big") == port and tcp[13] & 0x12 == 2:
                return
    raise Unfit(f"no probe has come to port {port}")


def measure(recording: records.Recording, injected: int) -> Measured:
    """The numbers of one trial. injected: the wall clock at the fault."""
    points = analysis.place(recording.requests, analysis.Clock(injected, {}), recording.client)
    lost = [each for each in points if each.ended >= 0 and not each.ok]
    end = points[-1].sent
    last = lost[-1].sent if lost else 0.0
    again = next((each.sent for each in points if each.sent > last), end)
    sent = sum(0 <= each.sent <= last for each in points)
    return Measured(
        until_ms=round(again, 1) if lost else 0.0,
        gap_ms=round(analysis.longest_gap(analysis.good_ends(points), 0.0, end).ms, 1),
        lost=len(lost),
        share=round(100 * len(lost) / sent, 1) if sent else 0.0,
        more=int(bool(lost) and end - again < CALM_MS),
    )

#!/usr/bin/env python3
# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Side by side: what moves a route of a Google Cloud network when a node becomes master.

One lab, one stage: node1 serves the floating address, and the route leads to it. Then, in the same instant, a
contestant is told that node2 is master now, and node1 loses its power (or, in the planned variant, stays as it is).
The API's log says what each did and when; a client's prober says what it was worth. After each trial everything is
put back. The contestants take turns, so that whatever else the machine does hits all.

The contestants: the agent (a line in its FIFO, as keepalived writes it), the module (ansible-playbook on the
controller), a notify_master script with gcloud (the same four steps), and Debian's resource agent
gcp-vpc-move-route. All but the module are on node2. What is not on this machine is left out.

Writes gcp_route.json, gcp_route.md and gcp_route.svg into results/ beside this file.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import contest
from contest import GIVE_UP_S, HERE, NEW, OLD, Contest, Contestant, Unfit, ms, until

from ansible_collections.cloudha.vip.plugins.module_utils.drill import analysis, records
from lab import topology
from lab.lab import Lab

POWER_CUT, PLANNED = "power_cut", "planned"
STAGES = {POWER_CUT: "node1's power is cut", PLANNED: "planned: node1 stays up"}


class Measured(NamedTuple):
    """One trial of one contestant."""

    first_mutation_ms: float
    mutations_before_move: int
    gap_ms: float
    lost: int
    no_route_ms: float
    no_route_at_most_ms: float
    done_ms: float
    cpu_s: float
    idle_ms_per_s: float
    peak_mib: float
    requests: int


COLUMNS = {
    "first_mutation_ms": "transition to first change, ms",
    "mutations_before_move": "changes until traffic moves",
    "gap_ms": "client gap, ms",
    "lost": "requests lost",
    "no_route_ms": "no route at all, ms",
    "no_route_at_most_ms": "no route at most, ms",
    "done_ms": "all done after, ms",
    "cpu_s": "CPU, s",
    "idle_ms_per_s": "CPU before it, ms a second",
    "peak_mib": "memory, MiB",
    "requests": "requests",
}


DIGITS = {"cpu_s": 3, "first_mutation_ms": 1, "idle_ms_per_s": 1, "peak_mib": 1}


class Stage(contest.Stage):
    """With a route to node1."""

    def __init__(self, lab: Lab) -> None:
        super().__init__(lab, topology.get("gcp_route_heartbeat"), HERE / "gcp_route")
        self.route = self.variables["gcp_route_name"]

    def routes(self) -> list[dict[str, Any]]:
        """Those to the floating address."""
        there = self.compute("GET", "global/routes").get("items", [])
        return [route for route in there if route["destRange"] == self.variables["vip_address"]]

    def put_back(self) -> None:
        """One route, to node1, and node1 there and serving. What a trial that failed has left may come in late."""
        self.lab.api.behave(latency_s=0.0, propagation_s=0.0)
        self.lab.repair("node_power_off", OLD)
        until(self._empty, 30, "the routes of the last trial to go")
        until(self._restored, 30, f"the API to take the route to {OLD}")

    def _empty(self) -> bool:
        there = self.routes()
        for route in there:
            with contextlib.suppress(Unfit):
                self.compute("DELETE", f"global/routes/{route['name']}")
        return not there and not self.lab.api.state()["operations"]

    def _restored(self) -> bool:
        """Whether the route is there and alive: an instance that boots is no next hop yet."""
        there = self.routes()
        if not there:
            host = "https://www.googleapis.com/compute/v1/"
            network = f"{self.project}/global/networks/{self.variables['gcp_network']}"
            body = {
                "name": self.route,
                "destRange": self.variables["vip_address"],
                "network": host + network,
                "nextHopInstance": f"{host}{self.project}/{self.instance(OLD)}",
                "priority": 1000,
            }
            self.compute("POST", "global/routes", body)
            return False
        return not there[0].get("warnings")

    def dead_ms(self) -> float:
        """For how long the address has had no live next hop since the log was begun, as the network has it."""
        history = [
            each
            for each in self.lab.api.call("GET", "/history")
            if each["destination"] == self.variables["vip_address"]
        ]
        return ms(
            sum(after["mono_ns"] - one["mono_ns"] for one, after in itertools.pairwise(history) if not one["next_hops"])
        )

    # --- the client

    def cut_power(self, tell: Callable[[], None]) -> None:
        """``tell`` somebody, and in the same instant node1 is gone."""
        heard, said = os.pipe()

        def listen() -> None:
            if os.read(heard, 1):
                tell()

        listener = threading.Thread(target=listen)
        listener.start()
        site = self.lab.site()

        def work() -> None:
            os.write(said, b"!")
            site.power_off(OLD)

        try:
            self.lab.keeper.run(work)
        finally:
            os.close(said)
            listener.join(10)
            os.close(heard)


class Gcloud(contest.Gcloud):
    script = "notify_master.sh"
    harmless = ("routes", "list")

    def environment(self) -> dict[str, str]:
        return {
            **super().environment(),
            "ROUTE": self.stage.route,
            "NETWORK": self.stage.variables["gcp_network"],
            "DESTINATION": self.stage.variables["vip_address"],
            "INSTANCE": NEW,
            "ZONE": self.stage.zone(NEW),
        }


class ResourceAgent(contest.ResourceAgent):
    agent = "gcp-vpc-move-route"

    @property
    def keeper(self) -> str:
        return f"cloudha-vip-address-keeper@{self.stage.address}"

    def environment(self) -> dict[str, str]:
        return {
            **super().environment(),
            "OCF_RESKEY_ip": self.stage.address,
            "OCF_RESKEY_vpc_network": self.stage.variables["gcp_network"],
            "OCF_RESKEY_route_name": self.stage.route,
            "OCF_RESKEY_interface": "eth0",
        }

    def get_ready(self) -> None:
        # It gives the node the address by itself, when the route is there; the keeper would be before it.
        self.stage.ssh(NEW, f"systemctl stop {self.keeper}; ip address delete {self.stage.address}/32 dev lo")
        super().get_ready()

    def clean_up(self) -> None:
        super().clean_up()
        address = f"{self.stage.address}/32"
        back = f"ip address replace {address} dev lo; systemctl start {self.keeper}"
        self.stage.ssh(NEW, f"ip address delete {address} dev eth0; {back}", check=False)


class Agent(Contestant):
    """The service on node2, in the lab's machine."""

    name = "cloudha.vip agent"
    ours = True
    pid = _inside = 0  # on the host, and as the machine sees it
    _before = 0.0
    _ready = (0.0, 0.0)

    @property
    def _root(self) -> Path:
        return Path(f"/proc/{self.pid}/root")

    def get_ready(self) -> None:
        self.stage.ssh(NEW, "systemctl start vip-agent")
        inside = int(self.stage.ssh(NEW, "systemctl show --property=MainPID --value vip-agent"))
        self.pid, self._inside = _host_pid(self.stage.lab.groups.directories[0] / NEW, inside), inside
        until(lambda: self._doing() == "standing by", 20, "the agent to stand by")
        self._ready = _cpu_seconds(self.pid), time.monotonic()

    def _doing(self) -> str:
        with contextlib.suppress(OSError):
            status = json.loads((self._root / "run/cloudha-vip/agent/status.json").read_text())
            if status["pid"] == self._inside:
                return next(iter(status["actions"].values()))["doing"]
        return "starting"

    def tell(self) -> None:
        self._before = _cpu_seconds(self.pid)
        cpu, since = self._ready
        self.idle = (self._before - cpu) / (time.monotonic() - since)
        with open(self._root / "run/cloudha-vip/notify", "wb", buffering=0) as fifo:
            self.told = time.monotonic_ns()
            fifo.write(b'INSTANCE "VI_1" MASTER 100\n')

    def wait(self) -> None:
        def done() -> bool:
            lines = (self._root / "var/lib/vip-agent/events.jsonl").read_text().splitlines()
            events = [event for event in map(json.loads, lines) if event["mono_ns"] >= self.told]
            failed = [event for event in events if event["event"] == "action_failed"]
            if failed:
                raise Unfit(f"{self.name}: {failed}")
            return any(event["event"] == "action_done" for event in events)

        until(done, GIVE_UP_S, "the agent to be done", 0.1)
        status = dict(line.split(":", 1) for line in Path(f"/proc/{self.pid}/status").read_text().splitlines())
        self.cpu_s, self.peak_mib = _cpu_seconds(self.pid) - self._before, int(status["VmHWM"].split()[0]) / 1024

    def clean_up(self) -> None:
        script = """echo 'INSTANCE "VI_1" BACKUP 100' > /run/cloudha-vip/notify; systemctl stop vip-agent"""
        self.stage.ssh(NEW, f"systemctl is-active --quiet vip-agent || exit 0; {script}", check=False)


def trial(contestant: Contestant, latency: float, kind: str) -> Measured:
    """Put everything in its place, let the contestant do its work, and measure it."""
    stage = contestant.stage
    stage.put_back()
    try:
        contestant.get_ready()
        stage.probe()
        stage.lab.api.behave(latency_s=latency)
        stage.lab.api.forget()
        wall, contestant.told = time.time_ns(), 0
        if kind == POWER_CUT:
            stage.cut_power(contestant.tell)
        else:
            contestant.tell()
        if not contestant.told:
            raise Unfit(f"{contestant.name}: could not be told")
        contestant.wait()
        recording = stage.probed(wall)
        calls = stage.calls(contestant.told)
        there = stage.routes()
        if len(there) != 1 or not there[0]["nextHopInstance"].endswith(stage.instance(NEW)):
            raise Unfit(f"{contestant.name}: left {there}")
        got = measure(contestant, latency, calls, recording)
        if kind == PLANNED and abs(got.no_route_ms - stage.dead_ms()) > 100:
            raise Unfit(
                f"{contestant.name}: no route for {got.no_route_ms} ms, and for {stage.dead_ms()} in the network"
            )
        return got
    finally:
        contestant.clean_up()


def measure(
    contestant: Contestant, latency: float, calls: list[dict[str, Any]], recording: records.Recording
) -> Measured:
    """The numbers of one trial. All clocks are the machine's monotonic one."""
    told = contestant.told
    changes = [call for call in calls if call["mutation"] and call["status"] == 200]
    if not changes:
        raise Unfit(f"{contestant.name}: changed no route")
    moved = min((r.mono for r in recording.requests if r.ok and r.by == NEW and r.mono >= told), default=None)
    if moved is None:
        raise Unfit(f"{contestant.name}: the traffic has not moved")
    ends = sorted(r.ended for r in recording.requests if r.ok)
    operation = round(latency * 1e9)
    return Measured(
        first_mutation_ms=ms(changes[0]["mono_ns"] - told),
        mutations_before_move=sum(call["mono_ns"] < moved for call in changes),
        gap_ms=ms(analysis.longest_gap(ends, told, ends[-1]).ms),
        lost=sum(not r.ok for r in recording.requests if r.mono >= told),
        no_route_ms=ms(no_route(changes, operation, operation)),
        no_route_at_most_ms=ms(no_route(changes, operation, 0)),
        done_ms=ms(changes[-1]["mono_ns"] + operation - told),
        cpu_s=round(contestant.cpu_s, 4),
        idle_ms_per_s=round(contestant.idle * 1000, 2),
        peak_mib=round(contestant.peak_mib, 1),
        requests=len(calls),
    )


def _inserts(call: dict[str, Any]) -> bool:
    return "POST" in (call["method"], call.get("verb"))


def no_route(changes: list[dict[str, Any]], insertion: int, deletion: int) -> int:
    """For how long the network had no route to the address, dead or alive, if they take so long; all in ns.

    There was one at first. The lab's API does what it is asked for when the operation ends; Google does not say when
    within it.
    """
    steps = sorted(
        (call["mono_ns"] + insertion, 1) if _inserts(call) else (call["mono_ns"] + deletion, -1) for call in changes
    )
    routes, since, without = 1, 0, 0
    for at, step in steps:
        if routes == 0:
            without += at - since
        routes, since = routes + step, at
    return without


def _cpu_seconds(pid: int) -> float:
    """Of all its threads, those that have ended too: the kernel's own clock of a process."""
    return time.clock_gettime((~pid << 3) | 2)


def _host_pid(group: Path, inside: int) -> int:
    """The host's number for what is process ``inside`` in a machine."""
    for path in (group, *group.rglob("*/")):
        with contextlib.suppress(OSError):
            for pid in map(int, (path / "cgroup.procs").read_text().split()):
                status = Path(f"/proc/{pid}/status").read_text()
                numbers = next(line for line in status.splitlines() if line.startswith("NSpid:")).split()
                if int(numbers[-1]) == inside:
                    return pid
    raise Unfit(f"no process {inside} in {group.name}")


def main() -> None:
    parser = contest.options(__doc__ or "", CONTESTANTS)
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=list(STAGES))
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    stage = Stage(Lab(f"bench-route{os.getpid()}"))
    try:
        stage.up()
        match = Contest(CONTESTANTS, stage, options.only)
        cases = [(latency, kind) for latency in options.latencies for kind in options.stages]
        # After each round, so that a run which is stopped leaves what it measured.
        for done in match.rounds(options.trials, cases, trial, _line):
            record = document(match, done)
            contest.write(options.results, "gcp_route", record, tables(record), bars(record))
    finally:
        stage.down()
    print((options.results / "gcp_route.md").read_text())
    match.complain()


def _line(got: Measured) -> str:
    return (
        f"first change {got.first_mutation_ms:7.1f} ms  gap {got.gap_ms:7.1f} ms  lost {got.lost:4d}  "
        f"no route {got.no_route_ms:5.0f} to {got.no_route_at_most_ms:5.0f} ms  {got.cpu_s:.3f} s CPU  "
        f"{got.peak_mib:.0f} MiB  {got.requests} requests"
    )


def document(match: Contest, trials: int) -> dict[str, Any]:
    """All of the run, for the files."""
    runs = [{"latency_s": latency, "stage": stage, "values": values} for (latency, stage), values in match.cases()]
    return {
        **match.document("Moving a route of a Google Cloud network when a node becomes master", trials),
        "runs": runs,
        "objectives": objectives(runs),
    }


def objectives(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What was promised, and what came out. The worst of all runs counts."""

    def worst(name: str, column: str, of: str = "median") -> float | None:
        return max((run["values"][name][column][of] for run in runs if name in run["values"]), default=None)

    def best(name: str, column: str) -> float | None:
        return min((run["values"][name][column]["median"] for run in runs if name in run["values"]), default=None)

    ours, found = Agent.name, []

    first = worst(ours, "first_mutation_ms")
    script = best(Gcloud.name, "first_mutation_ms")
    contest.objective(
        found, f"{ours}: transition to first change, median, ms", "at most 30", first, lambda value: value <= 30
    )
    if first and script:
        ratio = script / first
        contest.objective(
            found, f"{Gcloud.name}: the same, times the agent's", "at least 10", ratio, lambda value: value >= 10
        )
    for name in (ours, contest.Module.name):
        longest = worst(name, "no_route_at_most_ms", "max")
        contest.objective(found, f"{name}: no route, the longest, ms", "0", longest, lambda value: value == 0)
    contest.objective(
        found, f"{ours}: memory, the most, MiB", "at most 30", worst(ours, "peak_mib", "max"), lambda value: value <= 30
    )
    return found


EXPLAINED = f"""Medians of {{trials}} trials (least to most). node2 is told that it is master; until then
node1 had the route.

- *{Agent.name}*: the service on node2 gets a line in its FIFO. *{contest.Module.name}*: `ansible-playbook` begins on
  the controller. *{Gcloud.name}*: `notify_master` with four steps of gcloud begins on node2. *{ResourceAgent.name}*:
  `gcp-vpc-move-route start` begins on node2.
- *Changes until traffic moves*: requests that change a route, sent before node2 got its first request of the client.
- *No route at all*: to the address, dead or alive. The lab's API deletes a route when the operation ends; Google does
  not say when within it. *No route at most*: if at its beginning.
- *CPU* from the word on, with all children; *memory* of the largest process. The agent also runs before: *CPU before
  it*.
- The lab's API is plain HTTP, next door. Over the Internet, who connects anew for each step pays for TLS each time."""


def tables(record: dict[str, Any]) -> str:
    names = record["contestants"]
    lines = [f"# {record['title']} ({record['date']})", "", EXPLAINED.format(trials=record["trials"])]
    for one in record["runs"]:
        lines += ["", f"## An operation takes {one['latency_s']:g} s; {STAGES[one['stage']]}", ""]
        there = [name for name in names if name in one["values"]]
        lines += contest.head(there)
        for key, title in COLUMNS.items():
            cells = (contest.cell(one["values"][name][key], DIGITS.get(key, 0)) for name in there)
            lines.append(f"| {title} | {' | '.join(cells)} |")
        if Agent.name in there:
            lines += [
                f"| {title}, times the agent's | {' | '.join(cells)} |"
                for title, cells in _ratios(one["values"], there, one["stage"])
            ]
    return "\n".join(lines + contest.ending(record)) + "\n"


def _ratios(values: dict[str, Any], names: list[str], stage: str) -> Iterator[tuple[str, list[str]]]:
    # Where nothing is broken, the agent's gap is the client's noise.
    for key in ("first_mutation_ms", *(["gap_ms"] if stage == POWER_CUT else []), "cpu_s", "peak_mib"):
        ours = values[Agent.name][key]["median"]
        if ours:
            yield COLUMNS[key].partition(",")[0], [f"{values[name][key]['median'] / ours:.1f}" for name in names]


def bars(record: dict[str, Any]) -> dict[str, Any]:
    """For the picture: the times that count."""
    shown = {
        POWER_CUT: {
            "first_mutation_ms": "first change",
            "gap_ms": "client gap",
            "no_route_at_most_ms": "no route at most",
        },
        PLANNED: {"gap_ms": "gap, planned"},  # the rest is the same again
    }
    rows = [
        {
            "fault": f"{title}, {one['latency_s']:g} s",
            "values": [one["values"].get(name, {}).get(key) for name in record["contestants"]],
        }
        for one in record["runs"]
        for key, title in shown[one["stage"]].items()
    ]
    note = f"Medians of {record['trials']} trials; the line spans least and most. Seconds: what an operation takes."
    return {"title": record["title"], "note": note, "series": record["contestants"], "faults": rows}


CONTESTANTS: tuple[type[Contestant], ...] = (Agent, contest.Module, Gcloud, ResourceAgent)


if __name__ == "__main__":
    main()

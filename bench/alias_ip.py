#!/usr/bin/env python3
# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Side by side: what moves alias IP ranges of Google Cloud from instance to instance, and what many of them cost.

Part 1, on the lab. node1 serves the floating address, which is an alias range of its interface. A contestant is told to
move it to node2; node1 stays as it is. Both nodes have another range, which is nobody's business here. The API's log
says what each did and when; a client's prober says what it was worth. After each trial everything is put back. The
contestants take turns, so that whatever else the machine does hits all.

The contestants: the procedure in a process that waits for it, as in the node's agent, on node2; the module
(ansible-playbook on the controller); a script with gcloud's two commands, on the controller; and Debian's resource
agent gcp-vpc-move-vip, on node2. What is not on this machine is left out.

Part 2, on the lab's API alone. Instances in a ring, five ranges on each, and each instance's go to the next: one call
of the module, beside a task for each range in a loop. Everything is timed, nothing is extrapolated.

Writes alias_ip.json, alias_ip.md and alias_ip.svg into results/ beside this file.
"""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import contest
from contest import HERE, NEW, OLD, Contest, Contestant, Unfit, ms, say, until

from ansible_collections.cloudha.vip.plugins.module_utils.drill import analysis, records
from lab import topology
from lab.gce.server import Local, local
from lab.gce.world import Instance, World
from lab.lab import Lab

PARTS = HERE / "alias_ip"
PLAN = topology.get("gcp_alias_ip")
RANGE, RANGE_NAME = str(PLAN.variables["vip_address"]), str(PLAN.variables["gcp_alias_range_name"])
# Ranges that others have on the interfaces, and want to keep.
OTHERS = {OLD: "10.10.0.9/32", NEW: "10.10.0.10/32"}


# --- one range, on the lab


class Measured(NamedTuple):
    """One trial of one contestant."""

    first_change_ms: float
    gap_ms: float
    lost: int
    nobody_at_most_ms: float
    done_ms: float
    others_lost: int
    requests: int
    reads: int
    changes: int
    waits: int


COLUMNS = {
    "first_change_ms": "start to first change, ms",
    "gap_ms": "client gap, ms",
    "lost": "requests of the client lost",
    "nobody_at_most_ms": "on no interface at most, ms",
    "done_ms": "start to end, ms",
    "others_lost": "ranges of others lost, of 2",
    "requests": "requests",
    "reads": "of them to look and check",
    "changes": "of them to change something",
    "waits": "of them to wait for it",
}


class Stage(contest.Stage):
    """With the range on node1."""

    def __init__(self, lab: Lab) -> None:
        super().__init__(lab, PLAN, PARTS)

    def aliases(self, node: str) -> list[str]:
        """The ranges that the node's interface has."""
        return [each["ipCidrRange"] for each in self._interface(node).get("aliasIpRanges", [])]

    def _interface(self, node: str) -> dict[str, Any]:
        return self.compute("GET", self.instance(node))["networkInterfaces"][0]

    def put_back(self) -> None:
        """The range on node1, and those of others where they were. What a trial that failed has left may come late."""
        self.lab.api.behave(latency_s=0.0, propagation_s=0.0)
        until(lambda: not self.lab.api.state()["operations"], 30, "the operations of the last trial to end")
        # First where it has to go away.
        for node, cidrs in ((NEW, [OTHERS[NEW]]), (OLD, [RANGE, OTHERS[OLD]])):
            until(lambda node=node, cidrs=cidrs: self._has(node, cidrs), 30, f"{node} to have its ranges")

    def _has(self, node: str, cidrs: list[str]) -> bool:
        interface = self._interface(node)
        if sorted(self.aliases(node)) == sorted(cidrs):
            return True
        ranges = [{"ipCidrRange": cidr, "subnetworkRangeName": RANGE_NAME} for cidr in cidrs]
        body = {"aliasIpRanges": ranges, "fingerprint": interface["fingerprint"]}
        self.compute("PATCH", f"{self.instance(node)}/updateNetworkInterface?networkInterface=nic0", body)
        return False


class Warm(contest.Command):
    """The procedure in a process that waits for the word."""

    name = "cloudha.vip, warm"
    ours = True
    listens = True

    def command(self) -> list[str]:
        return [sys.executable, str(PARTS / "warm.py")]

    def environment(self) -> dict[str, str]:
        variables = self.stage.variables
        move = {
            "endpoint": variables["gcp_endpoint"],
            "project": variables["gcp_project"],
            "token": variables["gcp_access_token"],
            "range": RANGE,
            "range_name": RANGE_NAME,
            "instance": f"{self.stage.project}/{self.stage.instance(NEW)}",
        }
        return {**os.environ, "BENCH_MOVE": json.dumps(move)}

    def get_ready(self) -> None:
        super().get_ready()
        until(lambda: self.output.read_text() == "ready\n", 20, "the procedure to be ready")


class Gcloud(contest.Gcloud):
    script = "move.sh"
    namespace = topology.CONTROLLER
    harmless = ("instances", "list")

    def environment(self) -> dict[str, str]:
        return {
            **super().environment(),
            "OLD": OLD,
            "OLD_ZONE": self.stage.zone(OLD),
            "NEW": NEW,
            "NEW_ZONE": self.stage.zone(NEW),
            "RANGE": RANGE,
            "RANGE_NAME": RANGE_NAME,
        }


class ResourceAgent(contest.ResourceAgent):
    agent = "gcp-vpc-move-vip"

    def environment(self) -> dict[str, str]:
        return {
            **super().environment(),
            "OCF_RESKEY_alias_ip": RANGE,
            "OCF_RESKEY_alias_range_name": RANGE_NAME,
            # Without it, it asks twice for each instance of the project.
            "OCF_RESKEY_hostlist": f"{OLD} {NEW}",
        }


CONTESTANTS: tuple[type[Contestant], ...] = (contest.Module, Warm, Gcloud, ResourceAgent)


def trial(contestant: Contestant, latency: float) -> Measured:
    """Put everything in its place, let the contestant do its work, and measure it."""
    stage = contestant.stage
    stage.put_back()
    try:
        contestant.get_ready()
        stage.probe()
        stage.lab.api.behave(latency_s=latency)
        stage.lab.api.forget()
        wall = time.time_ns()
        contestant.tell()
        contestant.wait()
        recording = stage.probed(wall)
        calls = stage.calls(contestant.told)
        there = {node: stage.aliases(node) for node in OTHERS}
        if RANGE not in there[NEW]:
            raise Unfit(f"{contestant.name}: left {there}")
        others_lost = sum(cidr not in there[node] for node, cidr in OTHERS.items())
        return measure(contestant, latency, calls, recording, others_lost)
    finally:
        contestant.clean_up()


def measure(
    contestant: Contestant,
    latency: float,
    calls: list[dict[str, Any]],
    recording: records.Recording,
    others_lost: int,
) -> Measured:
    """The numbers of one trial. All clocks are the machine's monotonic one."""
    told = contestant.told
    changes = [call["mono_ns"] for call in calls if call["mutation"] and call["status"] == 200]
    if len(changes) < 2:
        raise Unfit(f"{contestant.name}: made {len(changes)} changes")
    ends = sorted(each.ended for each in recording.requests if each.ok)
    kinds = count(calls)
    return Measured(
        first_change_ms=ms(changes[0] - told),
        gap_ms=ms(analysis.longest_gap(ends, told, ends[-1]).ms),
        lost=sum(not each.ok for each in recording.requests if each.mono >= told),
        nobody_at_most_ms=ms(changes[-1] + latency * 1e9 - changes[0]),
        done_ms=ms(contestant.ended - told),
        others_lost=others_lost,
        requests=sum(kinds.values()),
        **kinds,
    )


def count(calls: list[dict[str, Any]]) -> dict[str, int]:
    """The requests by what they are for. Who asks for an operation that does not exist asks for a permission."""
    changes = sum(bool(call.get("mutation")) for call in calls)
    waits = sum("/operations/" in call["path"] and call["status"] == 200 for call in calls)
    return {"reads": len(calls) - changes - waits, "changes": changes, "waits": waits}


def line(got: Measured) -> str:
    return (
        f"first change {got.first_change_ms:7.1f} ms  gap {got.gap_ms:7.1f} ms  lost {got.lost:4d}  "
        f"end {got.done_ms:7.1f} ms  {got.requests} requests  {got.others_lost} ranges of others lost"
    )


# --- many ranges, on the API alone

SIZES = (1, 5, 10, 100)
PER_INSTANCE = 5
INSTANCES = 20
ONE_CALL, LOOP = "one_call", "task_loop"


class Cost(NamedTuple):
    """Of a playbook that moves ranges."""

    s: float
    requests: int
    reads: int
    changes: int
    waits: int


def _name(number: int) -> str:
    return f"vm{number % INSTANCES + 1}"


def ring() -> tuple[World, dict[str, list[str]]]:
    """Instances in three zones, and the ranges that each has at first."""
    base = PLAN.world
    assert base is not None
    subnetwork = base.subnetworks[0]
    zones = sorted({each.zone for each in base.instances})[:3]
    held = {_name(n): [f"10.100.{100 + n}.{k + 1}/32" for k in range(PER_INSTANCE)] for n in range(INSTANCES)}
    instances = tuple(
        Instance(
            name, zones[n % 3], subnetwork.network, subnetwork.name, f"10.100.4.{n + 1}", aliases=tuple(held[name])
        )
        for n, name in enumerate(held)
    )
    return dataclasses.replace(base, instances=instances), held


def wanted(world: World, held: dict[str, list[str]], number: int) -> list[dict[str, Any]]:
    """The first ranges, so many: each shall be on the instance that follows in the ring."""
    zones = {each.name: each.zone for each in world.instances}
    assignment = []
    for n, ranges in enumerate(held.values()):
        moving = ranges[: max(0, number - n * PER_INSTANCE)]
        if moving:
            target = _name(n + 1)
            assignment.append({"ranges": moving, "instances": [f"zones/{zones[target]}/instances/{target}"]})
    return assignment


def cost(playbook: str, number: int, latency: float) -> Cost:
    """Of moving so many ranges, in a world of its own."""
    world, held = ring()
    with local(world) as api, tempfile.TemporaryDirectory() as directory:
        api.admin("PATCH", "/behaviour", {"latency_s": latency})
        given = {
            "assignment": wanted(world, held, number),
            "gcp_project": world.project,
            "gcp_endpoint": api.endpoint,
            "gcp_access_token": topology.CONTROLLER_TOKEN,
        }
        variables = Path(directory) / "variables.json"
        variables.write_text(json.dumps(given))
        command = ["ansible-playbook", "-e", f"@{variables}", str(PARTS / f"{playbook}.yml")]
        begin = time.monotonic()
        done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
        seconds = time.monotonic() - begin
        if done.returncode != 0:
            raise Unfit(f"{playbook}, {number} ranges: {done.stdout}{done.stderr}")
        _check(api, given["assignment"], number)
        kinds = count(api.requests)
        return Cost(round(seconds, 2), sum(kinds.values()), **kinds)


def _check(api: Local, assignment: list[dict[str, Any]], number: int) -> None:
    """All is where it was wanted, and nothing else was moved."""
    there = {
        each["ipCidrRange"]: name
        for name, instance in api.cloud.instances.items()
        for each in instance["networkInterfaces"][0].get("aliasIpRanges", [])
    }
    _world, held = ring()
    before = {cidr: name for name, ranges in held.items() for cidr in ranges}
    after = {cidr: each["instances"][0].rpartition("/")[2] for each in assignment for cidr in each["ranges"]}
    if len(after) != number or there != {**before, **after} or api.violations:
        raise Unfit(f"{number} ranges: left {there}; {api.violations}")


def many(sizes: Sequence[int], latency: float, trials: int) -> Iterator[list[dict[str, Any]]]:
    """What so many ranges cost with one call, and with a loop, which is run once. Yields what there is so far."""
    calls: dict[int, list[Cost]] = {number: [] for number in sizes}
    loops: dict[int, Cost] = {}
    for turn in range(trials):
        for number in sizes:
            calls[number].append(cost(ONE_CALL, number, latency))
            say(f"{turn + 1}/{trials}  {number:3d} ranges  one call   {calls[number][-1]}")
    for number in sizes:
        loops[number] = cost(LOOP, number, latency)
        say(f"1/1  {number:3d} ranges  task loop  {loops[number]}")
        yield [
            {
                "ranges": number,
                "instances": -(-number // PER_INSTANCE),
                ONE_CALL: contest.spread(calls[number]),
                LOOP: contest.spread([loops[number]]),
                "times": round(loops[number].s / contest.spread(calls[number])["s"]["median"], 1),
            }
            for number in loops
        ]


# --- the files


def document(match: Contest, trials: int, growth: dict[str, Any]) -> dict[str, Any]:
    """All of the run, for the files."""
    runs = [{"latency_s": latency, "values": values} for (latency,), values in match.cases()]
    return {
        **match.document("Moving alias IP ranges of Google Cloud between running instances", trials),
        "runs": runs,
        "many": growth,
        "objectives": objectives(runs, growth["runs"]),
    }


def objectives(runs: list[dict[str, Any]], growth: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What was promised, and what came out."""
    found: list[dict[str, Any]] = []
    for kind in CONTESTANTS:
        if kind.ours:
            lost = [run["values"][kind.name]["others_lost"]["max"] for run in runs if kind.name in run["values"]]
            what = f"{kind.name}: ranges of others lost"
            contest.objective(found, what, "0", max(lost, default=None), lambda value: value == 0)
    by_size = {each["ranges"]: each for each in growth}
    one, all_ = by_size.get(PER_INSTANCE), by_size.get(max(SIZES))
    if one and all_:
        times = all_[ONE_CALL]["s"]["max"] / one[ONE_CALL]["s"]["min"]
        what = f"{max(SIZES)} ranges over {INSTANCES} instances: longest, times the shortest of one instance's worth"
        contest.objective(found, what, "at most 3", times, lambda value: value <= 3)
        times = all_[LOOP]["s"]["min"] / all_[ONE_CALL]["s"]["max"]
        contest.objective(found, "the same in a task loop, times the one call", "at least 20", times, lambda v: v >= 20)
    return found


EXPLAINED = f"""Medians of {{trials}} trials (least to most).

## One range, from node1 to node2

The move is planned: node1 stays up. node1 and node2 have another range each, which shall stay.

- *{contest.Module.name}*: `ansible-playbook` begins on the controller. *{Warm.name}*: the same procedure begins in a
  process on node2 that has its connections and its token. *{Gcloud.name}*: two commands, `--aliases ""` on node1 and
  `--aliases {RANGE_NAME}:{RANGE}` on node2, begin on the controller. *{ResourceAgent.name}*:
  `gcp-vpc-move-vip start` begins on node2, with a `hostlist`.
- *On no interface at most*: from the first removal to the end of the last addition. The lab's API does what it is asked
  for when the operation ends; Google does not say when within it.
- *Ranges of others lost*: gcloud replaces the whole list of an interface. Who names all ranges that shall stay in
  `--aliases` keeps them, unless somebody else changes them meanwhile.
- *Requests* are those to the API. The resource agent also asks its metadata server.
- The module and the warm process look for the range on all instances of the project, and check permissions, before they
  remove it. They look once more at the end.
- The lab's API is plain HTTP, next door. Over the Internet, who connects anew for each step pays for TLS each time."""

MANY_EXPLAINED = """## Many ranges

A ring of {instances} instances with {per_instance} ranges each. The first so many ranges go to the next instance each.

- *One call*: one task, with an `assignment`. *Task loop*: the same module with a `loop`, one task for each range; run
  once. Both by `ansible-playbook`, from its start to its end.
- An operation takes {latency_s:g} s. Only the API runs, no machine and no client.
"""


def tables(record: dict[str, Any]) -> str:
    names = record["contestants"]
    lines = [f"# {record['title']} ({record['date']})", "", EXPLAINED.format(trials=record["trials"])]
    for one in record["runs"]:
        there = [name for name in names if name in one["values"]]
        lines += ["", f"### An operation takes {one['latency_s']:g} s", "", *contest.head(there)]
        for key, title in COLUMNS.items():
            digits = 1 if key == "first_change_ms" else 0
            cells = (contest.cell(one["values"][name][key], digits) for name in there)
            lines.append(f"| {title} | {' | '.join(cells)} |")
    growth = record["many"]
    if growth["runs"]:
        lines += ["", MANY_EXPLAINED.format(**growth), *_growth(growth["runs"])]
    return "\n".join(lines + contest.ending(record)) + "\n"


def _growth(runs: list[dict[str, Any]]) -> Iterator[str]:
    titles = ["ranges", "on instances"]
    titles += [f"{how}{of}" for how in ("one call", "task loop") for of in (", s", ": requests", ": changes")]
    yield f"| {' | '.join([*titles, 'loop, times the call'])} |"
    yield "|" + "---:|" * 9
    for each in runs:
        cells = [
            contest.cell(each[how][key], digits)
            for how in (ONE_CALL, LOOP)
            for key, digits in (("s", 1), ("requests", 0), ("changes", 0))
        ]
        yield f"| {each['ranges']} | {each['instances']} | {' | '.join(cells)} | {each['times']:g} |"


def bars(record: dict[str, Any]) -> dict[str, Any]:
    """For the picture: the times that count."""
    shown = {"first_change_ms": "first change", "gap_ms": "client gap", "done_ms": "end"}
    rows = [
        {
            "fault": f"{title}, {one['latency_s']:g} s",
            "values": [one["values"].get(name, {}).get(key) for name in record["contestants"]],
        }
        for one in record["runs"]
        for key, title in shown.items()
    ]
    note = f"Medians of {record['trials']} trials; the line spans least and most. Seconds: what an operation takes."
    return {"title": record["title"], "note": note, "series": record["contestants"], "faults": rows}


def main() -> None:
    parser = contest.options(__doc__ or "", CONTESTANTS)
    parser.add_argument("--sizes", type=int, nargs="*", choices=range(1, 101), default=SIZES, help="ranges (1 to 100)")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    latency = max(options.latencies)
    growth = {"latency_s": latency, "instances": INSTANCES, "per_instance": PER_INSTANCE, "runs": []}

    def write(rounds: int) -> None:
        record = document(match, rounds, growth)
        contest.write(options.results, "alias_ip", record, tables(record), bars(record))

    stage = Stage(Lab(f"bench-alias{os.getpid()}"))
    try:
        stage.up()
        match = Contest(CONTESTANTS, stage, options.only)
        # After each part, so that a run which is stopped leaves what it measured.
        for done in match.rounds(options.trials, [(each,) for each in options.latencies], trial, line):
            write(done)
    finally:
        stage.down()
    for growth["runs"] in many(options.sizes, latency, options.trials):
        write(options.trials)
    print((options.results / "alias_ip.md").read_text())
    match.complain()


if __name__ == "__main__":
    main()

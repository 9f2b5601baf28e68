#!/usr/bin/env python3
# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Side by side: what clients lose when Google makes a node anew, whose route comes back before its service does.

A static route to an instance is dead while the instance is gone, and lives again as soon as there is an instance of
that name, long before that has booted. The contestants: the collection's playbook, whose agents hold the route back,
and the same nodes whose agents only make a route that is missing, which leaves static routes to themselves. Each has a
lab of its own, and both lose their first node at the same moment.

Writes gcp_machines.json, gcp_machines.md and gcp_machines.svg into results/ beside this file.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import contest
from contest import NEW, OLD, ROOT, Abreast, Stage
from gcp_lb_sides import CALM_MS, GIVE_UP_S, INTERVAL_MS, NODES

from ansible_collections.cloudha.vip.plugins.module_utils.drill import analysis, records
from lab import topology
from lab.lab import Lab

ECMP, PRIORITY = "ecmp", "priority"
PATTERNS = {ECMP: "All nodes serve, by routes of one priority", PRIORITY: "The first node serves, by the better route"}
FAULT = "instance_deleted"
BOOT_S = 20.0
ANEW_S = 120.0
COLUMNS = {
    "lost": "requests lost",
    "share": "of those sent until the node was well again, %",
    "back": "of them lost from its return on",
    "gap_ms": "longest time without an answer, ms",
}


class Measured(NamedTuple):
    """One trial of one contestant."""

    lost: int
    share: float
    back: int
    gap_ms: float


class Side(Stage):
    """The collection's playbook."""

    name = "cloudha.vip"
    ours = True
    patterns: Sequence[str] = tuple(PATTERNS)
    broken = NODES

    def __init__(self, pattern: str, number: int) -> None:
        plan = topology.get(f"gcp_route_{pattern}")
        super().__init__(Lab(f"bench-anew{os.getpid()}-{number}"), plan, ROOT / "playbooks")
        self.pattern = pattern
        self._serving = f"--each-by {','.join(NODES)}" if pattern == ECMP else f"--by {OLD}"

    def asked(self) -> dict[str, Any]:
        """Variables of the playbook."""
        return {}

    def deployment(self) -> Sequence[str | Path]:
        self.lab.api.behave(boot_s=BOOT_S)
        return [self.parts / f"{self.plan.name}.yml", "--extra-vars", json.dumps(self.asked())]

    def put_back(self) -> None:
        """Google has made the node anew."""
        contest.until(self._well, ANEW_S, f"{OLD} with its route", 0.5)

    def trial(self, fault: str, phase: float) -> Measured:
        """Delete the node's instance; what the client lost until that served again."""
        self.probe(self._serving, f"--interval-ms {INTERVAL_MS}")
        former = self._instance().get("id")
        injected = time.time_ns()
        self.lab.fault(fault, OLD)

        def is_back() -> bool:
            now = self._instance()
            return now.get("status") == "RUNNING" and now["id"] != former

        contest.until(is_back, ANEW_S, f"{OLD} to come back")
        back = time.time_ns()
        contest.until(self._well, ANEW_S, f"{OLD} with its route", 0.5)
        return measure(self.probed(time.time_ns(), self._serving, CALM_MS, GIVE_UP_S), injected, back)

    def _instance(self) -> dict[str, Any]:
        return next((each for each in self.lab.api.state()["instances"] if each["name"] == OLD), {})

    def _well(self) -> bool:
        """Each node has a live route of its own, and the first one answers."""
        route, ours = f"{self.variables['gcp_route_name']}-", f"{self.address}/32"
        live = {
            each["name"]
            for each in self.lab.api.state()["routes"]
            if each["destRange"] == ours and not each.get("warnings")
        }
        url = f"http://{self.plan.machine(OLD).address}/healthz"
        asks = f"python3 -c 'import urllib.request as u; u.urlopen(\"{url}\", timeout=1)' && echo up"
        return {f"{route}{OLD}", f"{route}{NEW}"} <= live and "up" in self.ssh("client1", asks, check=False)


class Static(Side):
    """The same nodes, whose routes are left to themselves."""

    name = "static routes"
    ours = False

    def asked(self) -> dict[str, Any]:
        project = self.variables["gcp_project"]
        members = [
            {
                "instance": f"projects/{project}/{self.instance(node)}",
                "priority": 1000 if self.pattern == ECMP else place,
            }
            for node, place in zip(NODES, (500, 1000), strict=True)
        ]
        action = {
            "type": "gcp_route_member",
            "name": self.variables["gcp_route_name"],
            "network": self.variables["gcp_network"],
            "destination": f"{self.address}/32",
            "members": members,
            "project": project,
            "endpoint": self.variables["gcp_endpoint"],
            "hold_back": False,
        }
        return {"vip_agent_actions": [action]}


SIDES: tuple[type[Side], ...] = (Side, Static)


def measure(recording: records.Recording, injected: int, back: int) -> Measured:
    """The numbers of one trial. injected, back: the wall clock when the instance went, and when it was there again."""
    points = analysis.place(recording.requests, analysis.Clock(injected, {}), recording.client)
    since = [each for each in points if each.sent >= 0]
    lost = [each for each in since if each.ended >= 0 and not each.ok]
    return Measured(
        lost=len(lost),
        share=round(100 * len(lost) / len(since), 1),
        back=sum(each.sent >= (back - injected) / 1e6 for each in lost),
        gap_ms=round(analysis.longest_gap(analysis.good_ends(points), 0.0, points[-1].sent).ms, 1),
    )


def line(got: Measured) -> str:
    return f"lost {got.lost:5d} ({got.share:.1f} %), {got.back} of them from its return on, gap {got.gap_ms:.0f} ms"


# --- the files


def document(match: Abreast, trials: dict[str, int]) -> dict[str, Any]:
    """All of the run. trials: by pattern."""
    runs = [
        {"pattern": pattern, "trials": trials[pattern], "values": values}
        for (pattern, _fault), values in match.cases()
        if pattern in trials
    ]
    found: list[dict[str, Any]] = []
    for one in runs:
        ours, static = (one["values"].get(kind.name) for kind in SIDES)
        if ours:
            what = f"{Side.name}: {one['pattern']}, requests lost from the node's return on"
            contest.objective(found, what, "none", ours["back"]["max"], lambda value: value == 0)
        if ours and static:
            ratio = static["lost"]["median"] / max(1, ours["lost"]["median"])
            what = f"{Static.name}: {one['pattern']}, requests lost, times ours, median"
            contest.objective(found, what, "at least 10", ratio, lambda value: value >= 10)
    title = "Nodes of Google Cloud that are made anew: what clients lose"
    return {**match.document(title, max(trials.values())), "runs": runs, "objectives": found}


EXPLAINED = f"""Medians (least to most). A client sends a request, a connection of its own, every {INTERVAL_MS} ms;
one that has no answer after 250 ms is lost. Somebody deletes the instance of the first node, and its managed group
makes it anew, which needs {BOOT_S:.0f} s to boot.

- *{Side.name}*: the collection's playbook. The agent of the other node deletes the dead route, and the agent of the
  node puts it back when its service answers.
- *{Static.name}*: the same nodes and routes; their agents have `hold_back: false`. Google lets a route live as soon
  as there is an instance again.
- What is lost before the node's return are requests under way when its instance went, and those until the network
  has taken away its route.
"""


def tables(record: dict[str, Any]) -> str:
    lines = [f"# {record['title']} ({record['date']})", "", EXPLAINED]
    for one in record["runs"]:
        heads = contest.head([*one["values"]])
        lines += [
            "",
            f"## {PATTERNS[one['pattern']]} (`gcp_route_{one['pattern']}`), {one['trials']} trials",
            "",
            *heads,
        ]
        lines += [
            f"| {what} | {' | '.join(contest.cell(values[key]) for values in one['values'].values())} |"
            for key, what in COLUMNS.items()
        ]
    return "\n".join(lines + contest.ending(record)) + "\n"


def bars(record: dict[str, Any]) -> dict[str, Any]:
    """For the picture: the longest time without an answer."""
    rows = [
        {
            "fault": f"{one['pattern']}, {FAULT}",
            "values": [
                one["values"][name]["gap_ms"] if name in one["values"] else None for name in record["contestants"]
            ],
        }
        for one in record["runs"]
    ]
    note = f"Longest time without an answer. Medians of {record['trials']} trials; the line spans least and most."
    return {"title": record["title"], "note": note, "series": record["contestants"], "faults": rows}


def main() -> None:
    parser = contest.options(__doc__ or "", SIDES, latencies=False)
    parser.add_argument("--patterns", nargs="+", choices=PATTERNS, default=list(PATTERNS))
    parser.set_defaults(trials=3)
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    match = Abreast(SIDES, options.only)
    trials: dict[str, int] = {}
    for pattern in options.patterns:
        # After each round, so that a run which is stopped leaves what it measured.
        for done in match.rounds(pattern, (FAULT,), options.trials, line, lambda side: None):
            trials[pattern] = done
            record = document(match, trials)
            contest.write(options.results, "gcp_machines", record, tables(record), bars(record))
    print((options.results / "gcp_machines.md").read_text())
    match.complain()


if __name__ == "__main__":
    main()

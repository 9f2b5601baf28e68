#!/usr/bin/env python3
# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Side by side: what clients lose behind a passthrough load balancer of Google Cloud when a node fails.

Three patterns: all nodes serve; one serves and one waits; keepalived elects the one that serves. Each contestant has a
lab of its own, and all of a pattern suffer the same fault at the same time, so that whatever else the machine does hits
all. The gap depends on how long after a good probe a node fails. So each trial's fault comes at another moment between
two probes; these moments are spread evenly, and are the same share of the interval for all.

The contestants: the collection's playbooks with an objective of 3 s, and the same with Google's default timers. With
the heartbeat also Google's sample, in which keepalived starts and stops a unit with nc, and the same keepalived with
Debian's resource agent gcp-ilb. What is not on this machine is left out.

Writes gcp_lb.json, gcp_lb.md and gcp_lb.svg into results/ beside this file.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import contest
from contest import Abreast
from gcp_lb_sides import (
    ACTIVE_ACTIVE,
    DEFAULTS,
    FAILOVER,
    GIVE_UP_S,
    HEARTBEAT,
    INTERVAL_MS,
    OBJECTIVE_S,
    PATTERNS,
    PROMISED,
    SIDES,
    GoogleTimers,
    Measured,
    Ours,
    ResourceAgent,
    Sample,
    Side,
)

SLACK_MS = 300
RATIO = 4

COLUMNS = {
    "until_ms": "no request lost after, ms",
    "gap_ms": "longest time without an answer, ms",
    "lost": "requests lost",
    "share": "of those sent until then, %",
}
SHOWN = {
    ACTIVE_ACTIVE: ("until_ms", "lost", "share", "gap_ms"),
    FAILOVER: ("until_ms", "gap_ms", "lost"),
    HEARTBEAT: ("until_ms", "gap_ms", "lost"),
}


class Match(Abreast):
    """health_checks: each contestant's."""

    def __init__(self, only: Sequence[str] | None) -> None:
        super().__init__(SIDES, only)
        self.health_checks: dict[str, str] = {}

    def know(self, side: Side) -> None:
        check = side.health_check()
        keys = ("checkIntervalSec", "timeoutSec", "healthyThreshold", "unhealthyThreshold")
        self.health_checks[side.name] = "interval {} s, timeout {} s, thresholds {} and {}".format(
            *map(check.get, keys)
        )
        self.versions |= side.versions()


def line(got: Measured) -> str:
    until = f"{'more than ' if got.more else ''}{got.until_ms:.0f} ms"
    return f"none lost after {until:<18}  gap {got.gap_ms:6.0f} ms  lost {got.lost:4d} ({got.share:.0f} %)"


# --- the files


def document(match: Match, trials: dict[str, int]) -> dict[str, Any]:
    """All of the run. trials: by pattern."""
    runs = [
        {"pattern": pattern, "fault": fault, "trials": trials[pattern], "values": values}
        for (pattern, fault), values in match.cases()
        if pattern in trials
    ]
    return {
        **match.document("Passthrough load balancers of Google Cloud: what clients lose", max(trials.values())),
        "health_checks": match.health_checks,
        "runs": runs,
        "objectives": objectives(runs),
    }


def objectives(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What was promised, and what came out. The worst of all runs counts, of shares and ratios that of medians."""
    found: list[dict[str, Any]] = []
    limit = OBJECTIVE_S * 1000 + SLACK_MS
    for pattern, default in DEFAULTS.items():
        these = [one["values"] for one in runs if one["pattern"] == pattern and one["fault"] in PROMISED]
        mine = [values[Ours.name] for values in these if Ours.name in values]
        both = [(values[Ours.name], values[default]) for values in these if {Ours.name, default} <= values.keys()]
        longest = max((each["until_ms"]["max"] for each in mine), default=None)
        what = f"{Ours.name}: {pattern}, no request lost after, ms"
        contest.objective(found, what, f"at most {limit}", longest, lambda value: value <= limit)
        if pattern == ACTIVE_ACTIVE:
            # The connections of one node of two, as chance divides them.
            share = max((each["share"]["median"] for each in mine), default=None)
            what = f"{Ours.name}: {pattern}, of the requests until then lost, median, %"
            contest.objective(found, what, "50, give or take 10", share, lambda value: abs(value - 50) <= 10)
        ratio = min((its["until_ms"]["median"] / our["until_ms"]["median"] for our, its in both), default=None)
        what = f"{default}: {pattern}, times ours, median, the least"
        contest.objective(found, what, f"at least {RATIO}", ratio, lambda value: value >= RATIO)
    return found


EXPLAINED = f"""Medians (least to most). A client sends a request, a connection of its own, every {INTERVAL_MS} ms;
one that has no answer after 250 ms is lost.

- *No request lost after*: from the fault on, until clients are served for good. *Longest time without an answer*:
  shorter, where the load balancer uses both nodes for a while.
- *{Ours.name}*: the collection's playbook with `gcp_lb_objective_s: {OBJECTIVE_S}`. *{GoogleTimers.name}*: the same
  with the health check that one gets from Google who asks for nothing, and that Google's samples have.
- *{Sample.name}*: the [sample of the pattern with
  keepalived](https://github.com/GoogleCloudPlatform/solutions-floating-ip-patterns-terraform). `notify_master` starts
  a unit with `nc -k -l`, `notify_backup` and `notify_fault` stop it. keepalived looks for a process of nginx, and one
  that hangs is a process. On a node that stands still the kernel accepts for nc as many connections as its backlog
  allows. keepalived 2.2.7 cannot run the sample's `/bin/pidof`, a symbolic link; here a shell runs it.
- *{ResourceAgent.name}*: the same keepalived, and instead of nc the resource agent, which runs socat with a longer
  backlog. There is no Pacemaker: keepalived starts and stops a unit that calls the agent's `start`, its `monitor` every
  30 s, as it advises, and its `stop`.
- Where keepalived elects, a hung service or node is noticed within 0.6 s, whatever the timers of the probes are. Both
  pay this time, so *{GoogleTimers.name}* costs less than 5 times ours there.
- The moments of the faults are spread evenly over the interval between two probes, alike for all. A pattern's
  contestants suffer each fault at the same time, each in a lab of its own.
- *more than*: clients were losing requests still when the fault was mended, {GIVE_UP_S:.0f} s after it.
- The lab has one prober for each backend, and Google several.
- What was promised is for {", ".join(PROMISED)}.

Health checks, as the API has them:
"""


def tables(record: dict[str, Any]) -> str:
    lines = [f"# {record['title']} ({record['date']})", "", EXPLAINED]
    lines += [f"- {name}: {what}" for name, what in record["health_checks"].items()]
    for pattern, (title, _faults) in PATTERNS.items():
        these = [one for one in record["runs"] if one["pattern"] == pattern]
        names = [name for name in record["contestants"] if any(name in one["values"] for one in these)]
        if these:
            heads = contest.head(names)
            lines += ["", f"## {title} (`gcp_lb_{pattern}`), {these[0]['trials']} trials", ""]
            lines += [f"| fault {heads[0]}", f"|---{heads[1]}"]
            lines += [row for one in these for row in _rows(one, names)]
    return "\n".join(lines + contest.ending(record)) + "\n"


def _rows(one: dict[str, Any], names: Sequence[str]) -> Iterator[str]:
    """Of a table: what one fault cost."""
    there = one["values"]
    fault = one["fault"]
    for key in SHOWN[one["pattern"]]:
        cells = [_cell(there[name], key) if name in there else "–" for name in names]
        yield f"| {fault} | {COLUMNS[key]} | {' | '.join(cells)} |"
        fault = ""
    ours = there[Ours.name]["until_ms"]["median"] if Ours.name in there else 0
    if ours:
        cells = [f"{there[name]['until_ms']['median'] / ours:.1f}" if name in there else "–" for name in names]
        yield f"| | {COLUMNS['until_ms'].partition(',')[0]}, times ours | {' | '.join(cells)} |"


def _cell(values: dict[str, Any], key: str) -> str:
    more = "more than " if key == "until_ms" and values["more"]["median"] else ""
    return more + contest.cell(values[key])


def bars(record: dict[str, Any]) -> dict[str, Any]:
    """For the picture: until when clients lose."""

    def value(values: dict[str, Any]) -> dict[str, Any]:
        return {**values["until_ms"], "more": bool(values["more"]["median"])}

    rows = [
        {
            "fault": f"{one['pattern']}, {one['fault']}",
            "values": [value(one["values"][name]) if name in one["values"] else None for name in record["contestants"]],
        }
        for one in record["runs"]
    ]
    note = f"Until the last request is lost. Medians of {record['trials']} trials; the line spans least and most."
    return {"title": record["title"], "note": note, "series": record["contestants"], "faults": rows}


def main() -> None:
    parser = contest.options(__doc__ or "", SIDES, latencies=False)
    parser.add_argument("--patterns", nargs="+", choices=PATTERNS, default=list(PATTERNS))
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    match = Match(options.only)
    trials: dict[str, int] = {}
    for pattern in options.patterns:
        # After each round, so that a run which is stopped leaves what it measured.
        for done in match.rounds(pattern, PATTERNS[pattern].faults, options.trials, line, match.know):
            trials[pattern] = done
            record = document(match, trials)
            contest.write(options.results, "gcp_lb", record, tables(record), bars(record))
    print((options.results / "gcp_lb.md").read_text())
    match.complain()


if __name__ == "__main__":
    main()

# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The content of report.json, fault by fault: the clients' losses, the nodes' events, and the verdict.

Pure functions from records, events and phases. Every time is in ms after the fault was injected.
"""

from __future__ import annotations

import statistics
import typing as t
from datetime import datetime, timezone

from .analysis import UNKNOWN, Clock, best_recording, measure, ms
from .events import detection, events_of_phase
from .records import Recording
from .verdict import Objectives, good_news, shortcomings, verdict_of

# The fields of a client's measurement that the fault takes over.
MEASURED = (
    "client", "gap_ms", "gap_from_ms", "gap_to_ms", "recovered", "first_good_ms", "holder_before", "holder_after",
    "requests_sent", "requests_lost", "requests_slow", "requests_broken", "requests_in_flight", "errors", "served",
    "split_brain_ms", "failback_gap_ms", "failback_lost", "failback_in_flight", "failback_holder",
)  # fmt: skip
# And those where several nodes serve at once.
SHARED = ("share", "share_requests")


def analyse(
    params: t.Mapping[str, t.Any],
    recordings: t.Sequence[Recording],
    events: t.Sequence[t.Mapping[str, t.Any]],
) -> dict[str, t.Any]:
    """The whole report, but for the history. params: the options of the module drill_report."""

    def or_objective(name: str, objective: float) -> float:
        return objective if params.get(name) is None else params[name]

    faults = []
    for phase in params["phases"]:
        objective = phase.get("objective_ms") or params["objective_ms"]
        objectives = Objectives(
            objective,
            or_objective("failback_objective_ms", objective),
            or_objective("split_brain_objective_ms", objective),
            params["slow_ms"],
            params["spread"],
        )
        offsets_ms, pool = params["clock_offsets_ms"], params["pool"]
        probes = params.get("probes") or ()
        shared_by = params["nodes"] if params.get("shared") else ()
        faults.append(analyse_phase(phase, recordings, events, objectives, offsets_ms, pool, probes, shared_by))
    named = [by for f in faults for client in f["clients"] for by in client["served"] if by != UNKNOWN]
    nodes = list(dict.fromkeys([*params["nodes"], *(e["node"] for e in events), *named]))
    clients: dict[str, dict[str, t.Any]] = {}
    for r in recordings:
        one = clients.setdefault(
            r.client,
            {
                "client": r.client,
                "url": r.url,
                "interval_ms": r.interval_ms,
                "timeout_ms": r.timeout_ms,
                "requests_sent": 0,
                "requests_lost": 0,
                "requests_skipped": 0,
            },
        )
        one["requests_sent"] += len(r.requests)
        one["requests_lost"] += sum(not request.ok for request in r.requests)
        one["requests_skipped"] += r.skipped
    return {
        "schema_version": 1,
        "topology": params["topology"],
        "drill_id": params["drill_id"],
        "addresses": list(params.get("addresses") or ()),
        **({"shared": True} if params.get("shared") else {}),
        "started": iso(min(p["started_at"] for p in params["phases"])) if faults else None,
        "ended": iso(max(p["ended_at"] for p in params["phases"])) if faults else None,
        "objective_ms": params["objective_ms"],
        "failback_objective_ms": or_objective("failback_objective_ms", params["objective_ms"]),
        "split_brain_objective_ms": or_objective("split_brain_objective_ms", params["objective_ms"]),
        "slow_ms": params["slow_ms"],
        "verdict": verdict_of(faults),
        "reasons": [
            "%s, trial %d: %s" % (f["fault"], f["trial"], f["reason"]) for f in faults if f["verdict"] != "passed"
        ]
        or ([] if faults else ["Nothing was drilled."]),
        "versions": {name: str(value) for name, value in params["versions"].items()},
        "clients": sorted(clients.values(), key=lambda c: str(c["client"])),
        "nodes": nodes,
        "summary": summarize(faults),
        "faults": faults,
    }


def analyse_phase(
    phase: t.Mapping[str, t.Any],
    recordings: t.Sequence[Recording],
    events: t.Sequence[t.Mapping[str, t.Any]],
    objectives: Objectives,
    offsets_ms: t.Mapping[str, float],
    pool: t.Sequence[str] = (),
    probes: t.Sequence[str] = (),
    shared_by: t.Sequence[str] = (),
) -> dict[str, t.Any]:
    """One entry of the report's ``faults``. probes: the clients that should have recorded. shared_by: the nodes, if all
    of them serve at once."""
    found: list[str] = []
    unknown: list[str] = []
    if phase.get("error"):
        found.append("The drill did not go as planned: %s." % str(phase["error"]).rstrip("."))
    injected = phase.get("injected_at")
    # Nothing was injected: the start is as good a zero as any.
    clock = Clock.of(phase, offsets_ms) if injected else Clock(phase["started_at"], offsets_ms)
    if not injected and not found:
        found.append("The fault was never injected.")
    fault: dict[str, t.Any] = {
        "fault": phase["fault"],
        "trial": phase["trial"],
        "target": phase["target"],
        "verdict": "failed",
        "reason": "",
        "objective_ms": objectives.gap_ms,
        "injected_at": iso(clock.injected) if injected else None,
        "started_ms": ms(clock.of_wall(phase["started_at"])),
        "repaired_ms": ms(clock.of_wall(phase["repaired_at"])) if phase.get("repaired_at") else None,
        "failback_ms": ms(clock.of_wall(phase["failback_at"])) if phase.get("failback_at") else None,
        "ended_ms": ms(clock.of_wall(phase["ended_at"])),
        "rolled_back": phase["rolled_back"],
        **({"undecided": phase["undecided"]} if phase.get("undecided") else {}),
        "audit": [{k: v for k, v in entry.items() if v is not None} for entry in phase.get("audit") or []],
    }
    fault["events"] = events_of_phase(events, clock, fault["started_ms"], fault["ended_ms"])
    seen = []
    for client in sorted({*probes, *(r.client for r in recordings)}) if injected else []:
        best = best_recording(
            (r for r in recordings if r.client == client), clock, fault["started_ms"], fault["ended_ms"]
        )
        if best:
            seen.append(measure(best, clock, phase, objectives.slow_ms, shared_by or pool, bool(shared_by)))
        else:
            unknown.append("%s recorded nothing during this phase." % client)
    if injected and not recordings:
        unknown.append("No client recorded anything.")

    fault.update(worst_of(seen, (*MEASURED, *SHARED) if shared_by else MEASURED))
    if {one["share"] for one in seen if shared_by} == {0}:
        unknown.append("%s answered no client before the fault, so its loss cost none of them." % phase["target"])
    if pool:
        # Answers do not tell who has the address, but the nodes were asked.
        for moment, name in (("before", "holder_before"), ("during", "holder_after")):
            audits = [entry["holders"] for entry in fault["audit"] if entry["when"] == moment and entry["ok"]]
            fault[name] = audits[-1][0] if audits and audits[-1] else None
    until = fault["ended_ms"] if fault["failback_ms"] is None else fault["failback_ms"]
    fault["detected_ms"], fault["moved_ms"] = detection(fault["events"], phase["target"], fault["holder_before"], until)
    fault["clients"] = seen

    for one in seen:
        findings = shortcomings(fault, one, objectives, pool)
        found += findings.wrong
        unknown += findings.unknown
    for entry in fault["audit"]:
        if not entry["ok"]:
            holders = " and ".join(entry["holders"]) or "nobody"
            problem = str(entry.get("problem") or "held by %s" % holders).rstrip(".")
            found.append("Audit %s: %s." % (entry["when"], problem))
    if not phase["rolled_back"]:
        found.append("The fault was not undone, or the topology was not healthy at the end.")
    if found or unknown:
        # What is wrong for certain counts, whatever else is not known.
        fault["verdict"] = "failed" if found else "inconclusive"
        fault["reason"] = " ".join(found + unknown)
    else:
        fault["verdict"] = "passed"
        fault["reason"] = good_news(fault, objectives)
        lost = sum(one["baseline"]["requests_lost"] for one in seen)
        if lost:
            fault["reason"] += " (%d requests were lost before the fault already.)" % lost
    return fault


def worst_of(seen: t.Sequence[t.Mapping[str, t.Any]], fields: t.Sequence[str] = MEASURED) -> dict[str, t.Any]:
    """The numbers of the fault in the report: the client with the worst gap; the worst fail-back and split brain of
    any."""
    if not seen:
        return dict.fromkeys(fields)
    worst = max(seen, key=lambda one: (not one["recovered"], one["gap_ms"]))
    back = max(seen, key=lambda one: (one["failback_recovered"] is False, one["failback_gap_ms"] or 0.0))
    result = {name: (back if name.startswith("failback") else worst)[name] for name in fields}
    result["split_brain_ms"] = max(one["split_brain_ms"] for one in seen)
    return result


def summarize(faults: t.Sequence[t.Mapping[str, t.Any]]) -> list[dict[str, t.Any]]:
    """The trials of each fault taken together, in the order in which the faults came."""
    result = []
    for name in dict.fromkeys(f["fault"] for f in faults):
        trials = [f for f in faults if f["fault"] == name]
        gaps = [f["gap_ms"] for f in trials if f["gap_ms"] is not None]
        back = [f["failback_gap_ms"] for f in trials if f["failback_gap_ms"] is not None]
        result.append(
            {
                "fault": name,
                "trials": len(trials),
                "gap_ms": ms(statistics.median(gaps)) if gaps else None,
                "gap_ms_max": max(gaps, default=None),
                "failback_gap_ms": ms(statistics.median(back)) if back else None,
                "failback_gap_ms_max": max(back, default=None),
                "requests_lost": sum(f["requests_lost"] or 0 for f in trials),
                "objective_ms": trials[0]["objective_ms"],
                "verdict": verdict_of(trials),
            }
        )
    return result


def iso(wall: int) -> str:
    return datetime.fromtimestamp(wall // 1000 / 1e6, timezone.utc).isoformat(timespec="microseconds")[:-6] + "Z"

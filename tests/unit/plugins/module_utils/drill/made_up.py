# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Drills that never happened, with numbers known by hand. All times in ms after the injection."""

from __future__ import annotations

import json

from ansible_collections.cloudha.vip.plugins.module_utils.drill.records import Recording, Request

INJECTED = 1795230000000000000
MONO = 5_000_000_000_000
TOOK = {"timeout": 250.0, "refused": 0.5, "reset": 2.0}


def wall(at):
    return INJECTED + round(at * 1e6)


def between(values):
    """The distances between neighbours (itertools.pairwise is not in Python 3.9)."""
    return [values[i + 1] - values[i] for i in range(len(values) - 1)]


def lost(err):
    """The outcome of a request that gets no good answer."""
    return (None, err)


def recording(outcome, start=-1000, end=4000, interval=4, client="client1", took=1.0, clock=lambda at: at, skip=()):
    """What the prober would write if outcome(at) is the node that answers at that time, or lost(reason).

    took: ms that an answer takes. clock: what the client's wall clock shows at a time. skip: (from, to) without sends.
    """
    requests = []
    at = float(start)
    while at < end:
        if not (skip and skip[0] <= at < skip[1]):
            result = outcome(at)
            by, err = result if isinstance(result, tuple) else (result, None)
            duration = TOOK.get(err, took)
            requests.append(
                Request(wall(clock(at)), MONO + round(at * 1e6), round(duration * 1e6), err is None, by, err)
            )
        at += interval
    return Recording(client, "http://192.0.2.1/healthz", interval, 250, 0, requests)


def write_recording(made, path):
    head = {"prober": 1, "client": made.client, "url": made.url, "t": 0, "m": 0, "python": "3.9.2"}
    head.update(interval_ms=made.interval_ms, timeout_ms=made.timeout_ms)
    lines = [head]
    for r in sorted(made.requests, key=lambda r: r.ended):
        lines.append({"t": r.wall, "m": r.mono, "d": r.took // 1000, "ok": r.ok, "by": r.by, "err": r.err})
    lines.append({"summary": {"skipped": 0}})
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return str(path)


def event(at, node, what, **more):
    return {"seq": round(at * 10) + 10_000_000, "wall_ns": wall(at), "mono_ns": 0, "node": node, "event": what, **more}


def transition(at, node, state):
    return event(at, node, "transition", kind="INSTANCE", name="vip", state=state, priority=254)


def check(at, node, healthy, reason=""):
    return event(at, node, "check", check="nginx", healthy=healthy, reason=reason, duration_ms=1.0)


def phase(fault="service_kill", target="node1", started=-1000, repaired=2000, failback=3000, ended=4000, **more):
    """An entry of the module's phases, as the module hands it over."""
    result = {
        "fault": fault,
        "trial": 1,
        "target": target,
        "started_at": wall(started),
        "injected_at": INJECTED,
        "injected_on": None,
        "repaired_at": wall(repaired) if repaired is not None else None,
        "failback_at": wall(failback) if failback is not None else None,
        "ended_at": wall(ended),
        "objective_ms": None,
        "rolled_back": True,
        "audit": [],
        "error": None,
    }
    result.update(more)
    return result


def params(phases, **more):
    """The options of the module, as the module hands them over."""
    result = {
        "topology": "onprem_active_standby",
        "drill_id": "drill-1",
        "objective_ms": 1000,
        "failback_objective_ms": None,
        "split_brain_objective_ms": None,
        "slow_ms": 100,
        "addresses": ["192.0.2.1"],
        "probes": [],
        "pool": [],
        "spread": 1.5,
        "nodes": ["node1", "node2"],
        "phases": phases,
        "records": [],
        "events": [],
        "clock_offsets_ms": {},
        "versions": {},
        "output_dir": "",
        "history_dir": None,
        "history_length": 20,
    }
    result.update(more)
    return result

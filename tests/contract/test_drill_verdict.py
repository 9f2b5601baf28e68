# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a drill ends, by the real Ansible: with what the role does once it has the records, and records made by hand."""

from __future__ import annotations

import json
from pathlib import Path

import plays
import pytest
import yaml

from ansible_collections.cloudha.vip.tests.unit.plugins.module_utils.drill.made_up import lost, phase, recording

ROOT = Path(__file__).resolve().parents[2]
MONO = 5_000_000_000_000


def record(path: Path, outage_ms: int, busy: float) -> Path:
    """What a prober wrote while nobody answered for outage_ms, on a host where something waited for a processor for
    this share of the time."""
    made = recording(lambda at: lost("timeout") if 0 <= at < outage_ms else "node1" if at < 0 else "node2")
    lines = [{"prober": 1, "client": "client1", "url": made.url, "interval_ms": 4, "timeout_ms": 250, "t": 0, "m": 0}]
    lines += [
        {"t": one.wall, "m": one.mono, "d": one.took // 1000, "ok": one.ok, "by": one.by, "err": one.err}
        for one in sorted(made.requests, key=lambda one: one.ended)
    ]
    lines += [
        {"m": MONO + at * 10**6, "late": 0, "busy": 50_000_000 + round(at * 1000 * busy)}
        for at in range(-1000, 4000, 500)
    ]
    lines.append({"summary": {"skipped": 0}})
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


@pytest.mark.parametrize(
    ("outage_ms", "busy", "says"),
    [
        (300, 0.0, None),
        (1500, 0.0, "failed: service_kill"),
        (1500, 0.9, "inconclusive: nothing is known to be wrong, but what clients lost could not be measured"),
    ],
    ids=["passed", "failed", "inconclusive"],
)
def test_the_play_fails_unless_the_objective_was_met_and_says_why(
    tmp_path: Path, outage_ms: int, busy: float, says: str | None
) -> None:
    tasks = yaml.safe_load((ROOT / "roles/drill/tasks/report.yml").read_text())
    names = [task["name"] for task in tasks]
    ending = tasks[names.index("Work out what clients lost") :]
    its = {name: value for name, value in phase(failback=None).items() if value is not None}
    given = {
        "drill_topology": "pair",
        "drill_id": "drill-1",
        "drill_rto_ms": 1000,
        "drill_operations": 0,
        "drill_probed": False,
        "drill_plain": ["192.0.2.1"],
        "drill_probes": [{"client": "client1"}],
        "drill_nodes": ["node1", "node2"],
        "drill_pool": [],
        "drill_spread": 1.5,
        "drill_phases": [its],
        "drill_records": {"results": [{"dest": str(record(tmp_path / "client1.jsonl", outage_ms, busy))}]},
        "drill_events": {"results": []},
        "drill_versions": {},
        "drill_galaxy": {"version": "1.0.0"},
        "drill_dir": str(tmp_path / "report"),
        "drill_history_dir": "",
    }
    play = {"hosts": "vip_nodes", "gather_facts": False, "vars": given, "tasks": ending}
    done = plays.run(tmp_path, {"vip_nodes": {"hosts": {"node1": {}}}}, [play], {})
    report = json.loads((tmp_path / "report/report.json").read_text())
    if says is None:
        assert (done.returncode, report["verdict"]) == (0, "passed"), done.stdout
        return
    told = " ".join(done.stdout.split())
    assert done.returncode == 2 and says in told, done.stdout
    assert report["verdict"] == says.partition(":")[0]
    # What is inconclusive says how to run again what was not measured, and nothing else does.
    assert ("""--extra-vars '{"drill_faults": ["service_kill"]}'""" in told) == (says.startswith("inconclusive")), told

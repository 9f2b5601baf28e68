#!/usr/bin/env python3
# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Side by side: the collection's defaults and the documented pair, the same faults, what a client lost.

Two labs on one machine, in one run; both pairs suffer each fault at the same time, so that whatever else the machine
does hits both. The gap is the longest time without a good answer after the fault and before its repair, as the
drill's prober and analysis measure it; a pair that never answers again by itself is counted with the time that it
was given.

Writes results/failover.json, failover.md and failover.svg beside this file.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shlex
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import jinja2
import yaml

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path.insert(0, str(ROOT / "tests"))
from ansible_collections.cloudha.vip.plugins.module_utils.drill import analysis, picture, records  # noqa: E402
from lab.faults import FAULTS as MACHINE_FAULTS  # noqa: E402
from lab.lab import Lab  # noqa: E402
from lab.process import run  # noqa: E402

PROBER = ROOT / "roles/drill/files/prober.py"
SERVICE = "nginx"
# The faults are the drill's own: those that both pairs can suffer.
FAULTS = (
    "planned_switchover", "keepalived_stop", "keepalived_kill", "service_kill", "service_hang", "node_power_off",
    "node_hang", "partition", "link_down",
)  # fmt: skip
DRILL = yaml.safe_load((ROOT / "roles/drill/vars/main.yml").read_text())
RECORDS = "/run/bench-records"
NODES = ("node1", "node2")
GOOD_MS = 4000  # longer than anything that either pair lets pass unnoticed and then still moves the address for
GIVE_UP_S = 15.0


@dataclass
class Side:
    """One pair, its lab, and what was measured on it."""

    name: str
    playbook: Path
    switchover: str
    switchover_undo: str
    healthy: str
    home: tuple[str, ...]
    lab: Lab
    gaps: dict[str, list[float]] = field(default_factory=dict)
    unnoticed: dict[str, int] = field(default_factory=dict)
    keepalived: str = ""

    def ssh(self, machine: str, script: str, check: bool = True) -> str:
        command = ["ssh", "-F", str(self.lab.state / "ssh_config"), machine, script]
        if machine == "client1":  # never broken: one connection serves all
            command[1:1] = ["-oControlMaster=auto", f"-oControlPath={self.lab.state}/mux/%C", "-oControlPersist=60"]
        if check:
            return run(*command)
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout

    def deploy(self) -> None:
        self.lab.up("onprem_active_standby", progress=say)
        begin = time.monotonic()
        done = subprocess.run(
            ["ansible-playbook", "-i", self.lab.inventory, self.playbook], capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            sys.exit(f"{self.name}: {self.playbook.name} failed\n{done.stdout}{done.stderr}")
        say(f"{self.name}: deployed in {time.monotonic() - begin:.0f} s")
        self.ssh("client1", f"cat > /root/prober.py <<'PROBER'\n{PROBER.read_text()}\nPROBER")

        self.keepalived = self.ssh("node1", "dpkg-query -Wf '${Version}' keepalived")

    def value(self, fault: str) -> dict[str, float | bool]:
        """The trials of ``fault`` in one line of the results, in ms."""
        gaps = self.gaps[fault]
        more = 2 * self.unnoticed.get(fault, 0) > len(gaps)
        return {"median": statistics.median(gaps), "min": min(gaps), "max": max(gaps), "more": more}

    def look(self) -> tuple[list[str], bool]:
        """Who holds the address, and whether both nodes are well."""
        address = str(self.lab.topology.variables["vip_address"]).partition("/")[0]
        said = {
            node: self.ssh(node, f"ip -4 -oneline address; {self.healthy} && echo well", check=False) for node in NODES
        }
        return [node for node in NODES if f"inet {address}/" in said[node]], all(
            words.endswith("well\n") for words in said.values()
        )

    def settle(self, timeout: float = 60.0) -> str:
        """Wait for two healthy nodes and one holder where it stays, twice in a row; return the holder."""
        deadline, before = time.monotonic() + timeout, None
        while time.monotonic() < deadline:
            holders, well = self.look()
            # The documented pair goes back by itself, seconds later: only then is it at rest.
            now = holders[0] if len(holders) == 1 and holders[0] in self.home and well else None
            if now is not None and now == before:
                return now
            before = now
            time.sleep(0.5)
        sys.exit(f"{self.name}: not healthy after {timeout:.0f} s: {holders} hold the address")

    def trial(self, fault: str) -> float:
        """Break the holder, mend it, and note the client's gap in ms."""
        target = self.settle()
        wait = f"python3 /root/prober.py wait --input {RECORDS}"
        url = f"http://{str(self.lab.topology.variables['vip_address']).partition('/')[0]}/"
        self.ssh(
            "client1",
            # A healed partition may have left the client astray: each trial begins afresh.
            f"ip neigh flush dev eth0; rm -f {RECORDS}; systemd-run --quiet --collect --unit=bench-prober "
            f"python3 /root/prober.py run --url {url} --output {RECORDS} --max-seconds 60 && {wait} --good-ms 500",
        )
        injected = self.inject(fault, target)
        found = self.ssh("client1", f"{wait} --since {injected} --good-ms {GOOD_MS} --timeout {GIVE_UP_S}; true")
        ended = time.time_ns()
        self.ssh("client1", "systemctl stop bench-prober")
        self.repair(fault, target)
        recording = self.lab.state / "records"
        recording.write_text(self.ssh("client1", f"cat {RECORDS}"))
        recorded = records.read_recording(str(recording))
        clock = analysis.Clock(injected, {})
        points = analysis.place(recorded.requests, clock, recorded.client)
        gap = analysis.longest_gap(analysis.good_ends(points), 0.0, (ended - injected) / 1e6).ms
        self.gaps.setdefault(fault, []).append(round(gap, 1))
        if '"ok": false' in found:
            self.unnoticed[fault] = self.unnoticed.get(fault, 0) + 1
        return gap

    def inject(self, fault: str, target: str) -> int:
        """Do the fault; return the wall clock just before, in ns."""
        if fault in MACHINE_FAULTS:
            now = time.time_ns()
            self.lab.fault(fault, target, undo_after=60)
            return now
        if fault == "planned_switchover":
            script = self.switchover
        else:
            self.ssh(target, command(fault, "prepare"))
            script = command(fault, "inject")
        return int(self.ssh(target, f"date +%s%N\n{script}").split()[0])

    def repair(self, fault: str, target: str) -> None:
        """Undo the fault."""
        if fault in MACHINE_FAULTS:
            self.lab.repair(fault, target, wait=True)
        elif fault == "planned_switchover":
            self.ssh(target, self.switchover_undo)
        else:
            self.ssh(target, command(fault, "undo"))


def command(fault: str, part: str) -> str:
    """The drill's own command of the fault; an error if it needs a variable that is none of these."""
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined)
    environment.filters["quote"] = shlex.quote  # Ansible's
    unit = f"{SERVICE}.service"
    return environment.from_string(DRILL["drill_catalog"][fault].get(part, "true")).render(
        drill_unit=unit, drill_unit_dir=f"/run/systemd/system/{unit}.d", drill_continue=DRILL["drill_continue"]
    )


def say(text: str) -> None:
    print(text, flush=True)


def main() -> None:
    options = _options()
    ours = Side(
        "cloudha.vip", ROOT / "playbooks/onprem_active_standby.yml",
        "echo -254 > /run/cloudha-vip/drain", "echo 0 > /run/cloudha-vip/drain",
        "vip-agent status", NODES, Lab("bench-ours"),
    )  # fmt: skip
    seed = Side(
        "documented pair", HERE / "seed_pair.yml",
        "systemctl stop keepalived", "systemctl start keepalived",
        "systemctl is-active keepalived nginx", NODES[:1], Lab("bench-seed"),
    )  # fmt: skip
    sides = (ours, seed)
    try:
        for side in sides:
            side.deploy()
        with ThreadPoolExecutor(len(sides)) as both:
            for trial in range(1, options.trials + 1):
                for fault in options.faults:
                    gaps = list(both.map(lambda side, fault=fault: side.trial(fault), sides))
                    shown = "".join(f"  {side.name} {gap:8.1f} ms" for side, gap in zip(sides, gaps, strict=True))
                    say(f"trial {trial}/{options.trials}  {fault:<20}{shown}")
                # After each round, so that a run which is stopped leaves what it measured.
                write(sides, trial)
    finally:
        for side in sides:
            side.lab.down()
    print((HERE / "results/failover.md").read_text())


def write(sides: tuple[Side, ...], trials: int) -> None:
    """Record the run: numbers, table, picture."""
    document = {
        "title": "How long a client was without an answer",
        "note": f"Median of {trials} trials; the line spans the shortest and the longest.",
        "date": datetime.now(UTC).date().isoformat(),
        "trials": trials,
        "give_up_s": GIVE_UP_S,
        "versions": {
            "python": platform.python_version(),
            "kernel": platform.release(),
            "cores": os.cpu_count(),
            "keepalived": sides[0].keepalived,
        },
        "series": [side.name for side in sides],
        "faults": [
            {"fault": fault, "values": [side.value(fault) for side in sides]}
            for fault in FAULTS
            if fault in sides[0].gaps
        ],
    }
    results = HERE / "results"
    results.mkdir(exist_ok=True)
    (results / "failover.json").write_text(json.dumps(document, indent=2) + "\n")
    (results / "failover.svg").write_text(picture.alone(picture.comparison(document)))
    (results / "failover.md").write_text(_table(document))


def _table(document: dict) -> str:
    lines = [
        f"# Failover, side by side ({document['date']})",
        "",
        f"Client-seen gap in ms: median of {document['trials']} trials (shortest to longest).",
        "",
        f"| fault | {' | '.join(document['series'])} | times smaller |",
        "|---|---|---|---|",
    ]
    for row in document["faults"]:
        ours, other = row["values"]
        cells = [
            f"{'more than ' if value['more'] else ''}{value['median']:.0f} ({value['min']:.0f} to {value['max']:.0f})"
            for value in row["values"]
        ]
        lines.append(f"| {row['fault']} | {' | '.join(cells)} | {other['median'] / ours['median']:.1f} |")
    versions = ", ".join(f"{name} {value}" for name, value in document["versions"].items())
    lines += [
        "",
        f'"more than": no answer until the fault was mended, after {document["give_up_s"]:.0f} s. {versions}.',
    ]
    return "\n".join(lines) + "\n"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--trials", type=int, default=7)
    parser.add_argument("--faults", nargs="+", choices=FAULTS, default=FAULTS)
    return parser.parse_args()


if __name__ == "__main__":
    main()

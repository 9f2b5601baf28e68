# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A pair of nodes in its lab, as its operator and its client know it."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from busy import Watch, until
from commands import TESTS

from ansible_collections.cloudha.vip.plugins.module_utils.drill import analysis, records
from lab.lab import Lab

ROOT = TESTS.parent
PROBER, RECORD = "/run/test-prober.py", "/run/test-record"


@dataclass
class Seen:
    """What a client saw while something was done."""

    gap_ms: float
    split_brain_ms: float
    answered_by: set[str]
    lost: int = 0
    in_flight: int = 0
    waited_ms: float = 0  # for how much of the gap the client's host may be the reason


class Pair:
    """The pair in its lab, as its operator and its client know it."""

    def __init__(self, lab: Lab, scratch: Path, topology: str, address: str) -> None:
        self.lab = lab
        self.scratch = scratch
        self.topology = topology
        self.address = address
        self._record = scratch / "record"

    def command(self, playbook: str, *words: str, **variables: object) -> list[str]:
        return [
            "ansible-playbook",
            f"--inventory={self.lab.inventory}",
            # One of the collection by its name, one of a test by its path.
            playbook if "/" in playbook else f"{ROOT}/playbooks/{playbook}.yml",
            f"--extra-vars={json.dumps(variables)}",
            *words,
        ]

    def play(self, playbook: str, *words: str, **variables: object) -> subprocess.CompletedProcess[str]:
        """Run a playbook to its end, whatever that is."""
        return subprocess.run(
            self.command(playbook, *words, **variables),
            cwd=self.scratch,
            env={**os.environ, "ANSIBLE_NOCOLOR": "1", "COLUMNS": "1000"},
            capture_output=True,
            text=True,
            timeout=900,
            check=False,
        )

    def deploy(self, *words: str, **variables: object) -> str:
        done = self.play(self.topology, *words, **variables)
        assert done.returncode == 0, done.stdout[-6000:] + done.stderr
        return done.stdout

    def ssh(self, machine: str, script: str) -> str:
        done = self._ask(machine, script)
        assert done.returncode == 0, f"{machine}: {script}\n{done.stdout}{done.stderr}"
        return done.stdout

    def _ask(self, machine: str, script: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        """As the lab's exec does it, hundreds of times in a test, without one more Python each time."""
        return subprocess.run(
            ["ssh", "-F", self.lab.state / "ssh_config", machine, "--", script],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def module(self, machine: str, name: str, **options: object) -> dict[str, Any]:
        """What a module returns on a machine, as root."""
        words = [f"--inventory={self.lab.inventory}", machine, f"--module-name={name}", "--become"]
        if options:
            words.append(f"--args={json.dumps(options)}")
        done = subprocess.run(
            ["ansible", *words],
            cwd=self.scratch,
            env={**os.environ, "ANSIBLE_NOCOLOR": "1"},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout.partition("=>")[2])

    def status(self) -> subprocess.CompletedProcess[str]:
        return self.play("status")

    @contextlib.contextmanager
    def killed_drill(self, fault: str) -> Iterator[None]:
        """A drill of ``fault`` that is killed, with all that it started, at the end of the block."""
        drill = subprocess.Popen(
            self.command("drill", drill_faults=[fault], drill_undo_after_s=8),
            cwd=self.scratch,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            yield
        finally:
            os.killpg(drill.pid, signal.SIGKILL)
            drill.wait()

    def until(self, machine: str, condition: str, seconds: int = 60) -> None:
        """Wait until a shell of the machine says that it is true."""
        script = f"end=$(($(date +%s) + {seconds}))\nuntil {{ {condition}; }}; do\n"
        script += "[ $(date +%s) -lt $end ] || exit 111\nsleep 0.1\ndone"
        watch = Watch()
        done = self._ask(machine, script, timeout=seconds + 60)
        assert done.returncode in (0, 111), f"{machine}: {script}\n{done.stdout}{done.stderr}"
        watch.holds(done.returncode == 0, f"not true on {machine} within {seconds} s: {condition}")

    def until_well(self, seconds: float = 60) -> None:
        """Until status has nothing to say."""

        def well() -> bool:
            told = self.status()
            print(told.stdout[-3000:])
            return told.returncode == 0

        until(well, seconds, "the topology is not well")

    def until_state(self, state: str, seconds: float = 60) -> None:
        """Until one of the machines is in it."""
        until(lambda: any(row["state"] == state for row in self.lab.status()), seconds, f"no machine is {state}")

    @contextlib.contextmanager
    def client(self, port_and_path: str = "/healthz") -> Iterator[Seen]:
        """A client that asks all the time; the values are there when the block has ended."""
        seen = Seen(0, 0, set())
        prober = (ROOT / "roles/drill/files/prober.py").read_text()
        self.ssh("client1", f"cat > {PROBER} <<'PROBER'\n{prober}\nPROBER\nrm -f {RECORD}")
        self.ssh(
            "client1",
            f"systemd-run --quiet --collect --unit=test-prober python3 {PROBER} run "
            f"--url http://{self.address}{port_and_path} --output {RECORD} --max-seconds 900 && {answered(0)}",
        )
        try:
            begin = time.time_ns()
            yield seen
            self.ssh("client1", answered(time.time_ns()))
        finally:
            self.ssh("client1", "systemctl stop test-prober")
        self._record.write_text(self.ssh("client1", f"cat {RECORD}"))
        vars(seen).update(vars(self.seen(begin)))
        print(f"client: {seen}")

    def seen(self, begin: int, end: int | None = None) -> Seen:
        """What the last client saw; with ``end`` only by what it sent from ``begin`` to then, in ns since 1970."""
        recording = records.read_recording(str(self._record))
        requests = [each for each in recording.requests if end is None or begin <= each.wall < end]
        clock = analysis.Clock(begin, {})
        points = analysis.place(requests, clock, recording.client)
        ends = analysis.good_ends(points)
        gap = analysis.longest_gap(ends, 0.0, ends[-1])
        split = analysis.split_brain(points)
        return Seen(
            gap_ms=gap.ms,
            split_brain_ms=split.ms if split else 0.0,
            answered_by={point.by for point in points if point.ok and point.by},
            lost=sum(not point.ok for point in points),
            in_flight=analysis.in_flight(points),
            waited_ms=analysis.host_waits_ms(recording, analysis.zero_of(requests, clock, recording.client), gap),
        )


def answered(since: int, who: str = "", timeout: int = 30) -> str:
    """A command for the client's shell: wait until the requests sent since then have good answers; by ``who``, too."""
    return f"python3 {PROBER} wait --input {RECORD} --since {since} --good-ms 300 --timeout {timeout} {who}".rstrip()


def changes(output: str) -> dict[str, int]:
    """From the recap: how many tasks changed something on each host."""
    return {host: int(count) for host, count in re.findall(r"^(\S+)\s+: ok=\d+\s+changed=(\d+)", output, re.MULTILINE)}

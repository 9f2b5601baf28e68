# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The demo: a lab, a deployment, a drill, and the end of the lab, told in about ten lines a minute.

How long the rest will take is estimated from how long each part took before, which is kept in the cache.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import shutil
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from ansible_collections.cloudha.vip.plugins.module_utils.drill import choice
from ansible_collections.cloudha.vip.plugins.module_utils.topology import record

ROOT = Path(__file__).resolve().parents[1]
# Seconds that parts take, until they are known: measured with two processors, with the lab's image in the cache.
USUAL_S = {"lab up": 3.0, "deploy": 60.0, "status": 3.0, "drill begins": 10.0, "drill ends": 6.0, "lab down": 1.0}
USUAL_FAULT_S = 15.0
USUAL_FAULTS = 9
FAULT = "fault "  # how the part of a fault begins
KEPT = 5  # durations of each part
CALM_S = 6  # no line about a detail follows another one sooner
STILL_S = 12  # without a word for so long, somebody wonders


def duration(seconds: float) -> str:
    """As one says it."""
    seconds = round(seconds)
    return f"{seconds} s" if seconds < 100 else f"{seconds // 60} min {seconds % 60:02d} s"


class Durations:
    """How long the parts of a topology's demo took, in a file."""

    def __init__(self, path: Path, topology: str) -> None:
        self._path, self._topology = path, topology
        self._known: dict[str, dict[str, list[float]]] = {}
        # Whatever is in the cache, the demo goes on.
        with contextlib.suppress(OSError, ValueError, AttributeError, TypeError):
            self._known = {
                str(name): {str(part): [float(each) for each in times] for part, times in parts.items() if times}
                for name, parts in json.loads(path.read_text(encoding="utf-8")).items()
            }

    def expect(self, part: str) -> float:
        """Seconds: the median of the last times, of another topology if this one was never seen, or what is usual."""
        usual = USUAL_FAULT_S if part.startswith(FAULT) else USUAL_S[part]
        for parts in (self._known.get(self._topology, {}), *self._known.values()):
            if part in parts:
                return statistics.median(parts[part])
        return usual

    def note(self, part: str, seconds: float) -> None:
        """Keep it for the next time."""
        its = self._known.setdefault(self._topology, {})
        its[part] = [*its.get(part, []), round(seconds, 1)][-KEPT:]
        with contextlib.suppress(OSError):
            new = self._path.with_suffix(".new")
            new.write_text(json.dumps(self._known, indent=1) + "\n", encoding="utf-8")
            new.replace(self._path)

    def faults(self) -> list[str]:
        """The parts of a drill whose faults are not known yet."""
        known = [part for part in self._known.get(self._topology, {}) if part.startswith(FAULT)]
        return known if len(known) >= USUAL_FAULTS else [*known, *[f"{FAULT}?"] * (USUAL_FAULTS - len(known))]


class Teller:
    """Says what is being done and how long the rest will take."""

    def __init__(
        self,
        say: Callable[[str], object],
        durations: Durations,
        parts: Iterable[str],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._say, self._durations, self._clock = say, durations, clock
        self._to_come = list(parts)
        self._guessed = True  # the faults of the drill
        self._part = self._doing = ""
        self._shown: dict[str, float] = {}  # in this part, and when
        self._began = self._since = self._said = self._start = clock()

    def begin(self, part: str, text: str = "") -> None:
        """A part begins, and the one before has ended well."""
        self._end()
        self._part, self._began, self._shown = part, self._clock(), {}
        if part in self._to_come:
            del self._to_come[: self._to_come.index(part) + 1]
        if text:
            self._line(text)

    def finish(self) -> None:
        """The last part has ended well."""
        self._end()

    def forget(self) -> None:
        """This part has failed: how long it took says nothing."""
        self._part = ""

    def event(self, event: Mapping[str, Any]) -> None:
        """Of the callback demo_progress."""
        kind, text, part = event["kind"], str(event.get("text", "")), FAULT + str(event.get("fault"))
        if kind == "now":
            self.now(text)
        elif kind == "to come":
            if self._guessed:
                self._to_come = [each for each in self._to_come if not each.startswith(FAULT)]
                self._guessed = False
            end = self._to_come.index("drill ends") if "drill ends" in self._to_come else 0
            self._to_come.insert(end, part)
        elif kind == "fault":
            self.begin(part, text)
        elif kind == "over":
            took = self._clock() - self._began
            # The next fault begins at once; after the last one, the drill ends.
            if any(each.startswith(FAULT) for each in self._to_come):
                self._end()
            else:
                self.begin("drill ends")
            self._line(f"{text} ({duration(took)})")
        elif kind == "error":
            self.error(text)

    def now(self, text: str) -> None:
        """A detail, which is left out if there was a line just now."""
        if text in self._shown:
            # Of a wait that looks again and again.
            self._doing, self._since = text, self._shown[text]
        elif text != self._doing:
            self._doing, self._since = text, self._clock()
            if self._clock() - self._said >= CALM_S:
                self._line(text)

    def tick(self) -> None:
        """Nothing new has happened."""
        if self._clock() - self._said >= STILL_S and self._doing:
            self._line(f"still {self._doing}, for {duration(self._clock() - self._since)}")

    def shown(self) -> None:
        """Something else was shown just now: nobody wonders, and a detail would be lost in it."""
        self._said = self._clock()

    def error(self, text: str) -> None:
        self._say(f"{self._time()}  ERROR: {text}")
        self._said = self._clock()

    def remaining(self) -> float:
        """Seconds."""
        now = max(0.0, self._durations.expect(self._part) - (self._clock() - self._began)) if self._part else 0.0
        return now + sum(self._durations.expect(each) for each in self._to_come)

    def _end(self) -> None:
        if self._part:
            self._durations.note(self._part, self._clock() - self._began)
        self._part = ""

    def _time(self) -> str:
        minutes, seconds = divmod(round(self._clock() - self._start), 60)
        return f"{minutes:3d}:{seconds:02d}"

    def _line(self, text: str) -> None:
        if not text.startswith("still "):
            self._doing, self._since = text, self._clock()
            self._shown[text] = self._since
        left = self.remaining()
        self._say(f"{self._time()}  {text}{f'; about {duration(left)} to go' if left >= 1 else ''}")
        self._said = self._clock()


def lines_of(
    command: list[str], environment: Mapping[str, str], tick: Callable[[], object]
) -> Generator[str, None, None]:
    """What a command prints, line by line, without the line ends; tick is called each second without a line.

    Raises subprocess.CalledProcessError if it fails. It is ended if the reader goes.
    """
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        cwd=ROOT,
        env={**os.environ, **environment},
    )
    assert process.stdout
    found: queue.Queue[str | None] = queue.Queue()

    def read(stream: Iterable[str]) -> None:
        for line in stream:
            found.put(line.rstrip("\n"))
        found.put(None)

    reader = threading.Thread(target=read, args=(process.stdout,), daemon=True)
    reader.start()
    try:
        while True:
            try:
                line = found.get(timeout=1)
            except queue.Empty:
                tick()
                continue
            if line is None:
                break
            yield line
        if process.wait():
            raise subprocess.CalledProcessError(process.returncode, command)
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


class Demo:
    def __init__(self, topology: str, faults: list[str], verbose: bool, cache: Path) -> None:
        self.topology, self.faults, self.verbose = topology, faults, verbose
        self.report = ROOT / "build/drills" / topology
        self.name = f"demo{os.getpid()}"
        durations = Durations(cache / "demo-durations.json", topology)
        drilled = [FAULT + each for each in faults] or durations.faults()
        parts = ["lab up", "deploy", "status", "drill begins", *drilled, "drill ends", "lab down"]
        self.teller = Teller(lambda text: print(text, flush=True), durations, parts)

    def lab(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "lab", *arguments, "--name", self.name]

    def step(self, part: str, text: str, command: list[str], log: str) -> None:
        """Carry out a part. If it fails, all that it has said about that is printed."""
        self.teller.begin(part, text)
        path = self.report / "logs" / f"{log}.log"
        told = False
        said = []
        try:
            with path.open("w", encoding="utf-8") as stream:
                enabled = {"ANSIBLE_CALLBACKS_ENABLED": "demo_progress", "PYTHONUNBUFFERED": "1"}
                lines = lines_of(command, enabled, self.teller.tick)
                with contextlib.closing(lines):
                    for line in lines:
                        self.teller.tick()
                        if line.startswith("PROGRESS "):
                            event = json.loads(line.partition(" ")[2])
                            told |= event["kind"] == "error"
                            self.teller.event(event)
                            continue
                        stream.write(line + "\n")
                        said.append(line)
                        if self.verbose:
                            print(line, flush=True)
                            self.teller.shown()
                        elif line.startswith("lab: "):
                            self.teller.now(line.removeprefix("lab: "))
        except BaseException as error:
            self.teller.forget()
            if not isinstance(error, subprocess.CalledProcessError):
                raise
            # Ansible's own errors, such as a wrong option, are no task's.
            if not told and not self.verbose:
                self.teller.error("\n".join(said))
            print(f"\n{text}: failed ({error.returncode}); all that was said is in {path}\n", flush=True)
            raise

    def play(self, part: str, text: str, playbook: str, *options: str) -> None:
        inventory = f"/run/cloudha-lab/{self.name}/inventory.yml"
        command = ["ansible-playbook", "--inventory", inventory, f"playbooks/{playbook}.yml", *options]
        self.step(part, text, [*self.lab("exec"), "--", *command], playbook)

    def run(self) -> int:
        """Exit status: 0 if the objective was met."""
        shutil.rmtree(self.report, ignore_errors=True)
        (self.report / "logs").mkdir(parents=True)
        verdict = 0
        try:
            self.step(
                "lab up",
                f"starting the machines and the network of {self.topology}",
                self.lab("up", self.topology),
                "lab-up",
            )
            self.play("deploy", f"deploying {self.topology} with one ansible-playbook", self.topology)
            self.play("status", "looking which node holds the address", "status")
            chosen = ["--extra-vars", json.dumps({"drill_faults": self.faults})] if self.faults else []
            try:
                self.play("drill begins", f"drilling: {', '.join(self.faults) or 'every fault'}", "drill", *chosen)
            except subprocess.CalledProcessError as error:
                # A missed objective fails the drill, and then the report is what one wants to see.
                verdict = error.returncode
        except subprocess.CalledProcessError as error:
            return error.returncode
        finally:
            # Whatever signal comes now, the machine is left as it was.
            for each in (signal.SIGINT, signal.SIGTERM):
                signal.signal(each, signal.SIG_IGN)
            with contextlib.suppress(subprocess.CalledProcessError):  # which was told
                self.step("lab down", "removing the machines and the network", self.lab("down"), "lab-down")
                self.teller.finish()
        self.show()
        return verdict

    def show(self) -> None:
        """The table of what clients lost, and where the page is."""
        if (self.report / "report.md").exists():
            print()
            print("\n".join(table((self.report / "report.md").read_text(encoding="utf-8"))))
            print(f"\nThe timeline of every fault: {(self.report / 'report.html').as_uri()}", flush=True)


def table(markdown: str) -> list[str]:
    """The table of a text, in columns; numbers to the right."""
    lines = [line for line in markdown.splitlines() if line.startswith("| ")]
    rows = [[cell.strip(" *") for cell in line.strip("| \n").split("|")] for line in lines]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if 1 < number < len(row) - 1 else cell.ljust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def refusal(topology: str, faults: list[str]) -> str:
    """Why the drill will not inject these faults into this topology, before any machine is there to ask."""
    said = yaml.safe_load((ROOT / f"playbooks/vars/{topology}.yml").read_text(encoding="utf-8"))
    role = ROOT / "roles" / said["topology_mechanism"]
    mechanism = yaml.safe_load((role / "meta/mechanism.yml").read_text(encoding="utf-8"))
    traits = record.traits(mechanism, topology, {})
    catalog = yaml.safe_load((ROOT / "roles/drill/vars/main.yml").read_text(encoding="utf-8"))["drill_catalog"]
    chosen = choice.choose(catalog, faults, traits, "vip_real_servers" in said["topology_parts"], {}, {})
    return ". ".join(chosen["problems"]).replace("drill_faults", "FAULTS")


def main(topology: str, faults: str) -> int:
    def leave(number: int, _frame: object) -> None:
        sys.exit(128 + number)

    signal.signal(signal.SIGINT, leave)
    signal.signal(signal.SIGTERM, leave)
    verbose = os.environ.get("VERBOSE", "") not in ("", "0", "no")
    chosen = [each for each in faults.split(",") if each]
    if why_not := refusal(topology, chosen):
        print(f"demo: {why_not}", file=sys.stderr)
        return 1
    return Demo(topology, chosen, verbose, Path(os.environ["CLOUDHA_CACHE"])).run()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the comparisons on the lab's VPC share: the stage, contestants that are commands, the rounds, and the tables."""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import operator
import os
import platform
import select
import shutil
import signal
import statistics
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path.insert(0, str(ROOT / "tests"))
from ansible_collections.cloudha.vip.plugins.module_utils.drill import picture, records  # noqa: E402
from lab import LabError, topology, vpc  # noqa: E402
from lab.image import cache_directory  # noqa: E402
from lab.keeper import enter_network  # noqa: E402
from lab.lab import Lab  # noqa: E402
from lab.process import run  # noqa: E402

PROBER = ROOT / "roles/drill/files/prober.py"
RECORDS = "/run/bench-records"
OLD, NEW = "node1", "node2"
GIVE_UP_S = 90.0
GOOD_MS = 500


class Unfit(Exception):
    """A trial that has no result; the message says why."""


class Stage(ABC):
    """The lab, its API, and the client. parts: the directory with deploy.yml."""

    broken: Sequence[str] = (OLD,)  # the machines that trials break

    def __init__(self, lab: Lab, plan: topology.Topology, parts: Path) -> None:
        self.lab = lab
        self.plan = plan
        self.parts = parts
        self.variables: dict[str, Any] = {key: str(value) for key, value in plan.variables.items()}
        self.address = self.variables["vip_address"].partition("/")[0]
        self._controller = ThreadPoolExecutor(1)

    @classmethod
    def missing(cls) -> str | None:
        """Why it cannot take part, if so."""
        return None

    @classmethod
    def version(cls) -> dict[str, str]:
        return {}

    def up(self) -> None:
        self.lab.up(self.plan.name, progress=say)
        # A network namespace is a thread's own: this one sends what the controller sends.
        self._controller.submit(enter_network, self.lab.keeper.network(topology.CONTROLLER)).result()
        begin = time.monotonic()
        playbook, *options = self.deployment()
        command = ["ansible-playbook", "-i", str(self.lab.inventory), str(playbook), *map(str, options)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
        if done.returncode != 0:
            sys.exit(f"{Path(playbook).name} failed\n{done.stdout}{done.stderr}")
        self.ssh("client1", f"cat > /root/prober.py <<'PROBER'\n{PROBER.read_text()}\nPROBER")
        say(f"deployed in {time.monotonic() - begin:.0f} s")

    def deployment(self) -> Sequence[str | Path]:
        """The playbook that deploys the nodes, and its options."""
        return [self.parts / "deploy.yml"]

    def down(self) -> None:
        self._controller.shutdown()
        self.lab.down()

    def ssh_command(self, machine: str, script: str) -> list[str]:
        command = ["ssh", "-F", str(self.lab.state / "ssh_config"), machine, script]
        if machine not in self.broken:  # one connection serves all
            command[1:1] = ["-oControlMaster=auto", f"-oControlPath={self.lab.state}/mux/%C", "-oControlPersist=60"]
        return command

    def ssh(self, machine: str, script: str, check: bool = True) -> str:
        command = self.ssh_command(machine, script)
        if check:
            return run(*command)
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout

    # --- the API

    def compute(self, method: str, path: str, body: Any = None) -> Any:
        """A request of the controller to the API."""

        def ask() -> Any:
            host, _, base = self.variables["gcp_endpoint"].removeprefix("http://").partition("/")
            connection = http.client.HTTPConnection(host, timeout=10)
            authorization = {"Authorization": f"Bearer {self.variables['gcp_access_token']}"}
            return _ask(connection, method, f"/{base}/{self.project}/{path}", body, authorization)

        return self._controller.submit(ask).result()

    @property
    def project(self) -> str:
        """Its path."""
        return f"projects/{self.variables['gcp_project']}"

    def zone(self, name: str) -> str:
        return str(self.plan.machine(name).variables["gcp_zone"])

    def instance(self, name: str) -> str:
        """The path of the instance that ``name`` is, in the project."""
        return f"zones/{self.zone(name)}/instances/{name}"

    @abstractmethod
    def put_back(self) -> None:
        """As it was before a trial, whatever has become of that."""

    def calls(self, since: int) -> list[dict[str, Any]]:
        """What the API was asked since then, oldest first."""
        return sorted(
            (call for call in self.lab.api.log() if call["mono_ns"] >= since), key=operator.itemgetter("mono_ns")
        )

    def probe(self, answering: str = f"--by {OLD}", options: str = "") -> None:
        """Start the prober; return when node1 answers it, or whoever else is ``answering``."""
        self.ssh(
            "client1",
            # The prober of a trial that failed may still run.
            f"systemctl stop bench-prober 2>&-; rm -f {RECORDS}; "
            "systemd-run --quiet --collect --unit=bench-prober python3 /root/prober.py run "
            f"--url http://{self.address}/ --output {RECORDS} --max-seconds {GIVE_UP_S + 60:.0f} {options} && "
            f"python3 /root/prober.py wait --input {RECORDS} {answering} --good-ms {GOOD_MS} --timeout 40",
        )

    def probed(
        self, since_wall: int, answering: str = f"--by {NEW}", good_ms: int = GOOD_MS, timeout: float = 20.0
    ) -> records.Recording:
        """Wait until node2 answers, or whoever else is ``answering``; stop the prober; what it recorded."""
        wait = f"python3 /root/prober.py wait --input {RECORDS} --since {since_wall} {answering} --good-ms {good_ms}"
        self.ssh("client1", f"{wait} --timeout {timeout:g}; systemctl stop bench-prober", check=False)
        recording = self.lab.state / "records"
        recording.write_text(self.ssh("client1", f"cat {RECORDS}"))
        return records.read_recording(str(recording))


class Contestant(ABC):
    """Somebody who moves the address to node2 when told."""

    name: str
    ours = False

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.told = self.ended = 0  # when; the machine's monotonic clock, ns
        self.cpu_s = 0.0  # from then on
        self.idle = 0.0  # and before, in seconds a second
        self.peak_mib = 0.0

    def missing(self) -> str | None:
        """Why it cannot take part, if so."""
        return None

    def version(self) -> dict[str, str]:
        return {}

    @abstractmethod
    def get_ready(self) -> None:
        """All that a real one has behind it long before."""

    @abstractmethod
    def tell(self) -> None:
        """node2 is master now. Sets `told`."""

    @abstractmethod
    def wait(self) -> None:
        """Until it says that it is done. Sets what it has used."""

    @abstractmethod
    def clean_up(self) -> None:
        """Leave the stage, whatever became of the trial."""


class Command(Contestant):
    """One that is a command: it waits, in its place, for the word to begin."""

    namespace = NEW
    listens = False  # whether the command itself waits for the word, and is started before

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage)
        self.process: subprocess.Popen[bytes] | None = None
        self.output = stage.lab.state / "contestant.log"

    def command(self) -> list[str]:
        raise NotImplementedError

    def environment(self) -> dict[str, str]:
        raise NotImplementedError

    def start(self, command: list[str], listens: bool = False) -> subprocess.Popen[bytes]:
        """``command`` at its place in the lab, with the host's files: it begins when it gets a line."""
        network = self.stage.lab.keeper.network(self.namespace)
        hosts = self.stage.lab.state / "hosts"
        hosts.write_text(f"127.0.0.1 localhost\n{vpc.METADATA} metadata.google.internal metadata\n")
        go = "" if listens else "read -r go && "
        script = f'mount --bind "$0" /etc/hosts && {go}exec "$@"'
        with self.output.open("wb") as output:
            return subprocess.Popen(
                ["nsenter", f"--net={network}", "unshare", "--mount", "sh", "-c", script, hosts, *command],
                env=self.environment(),
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                preexec_fn=lambda: self.stage.lab.groups.join("bench"),  # so that it ends with the lab
                start_new_session=True,
            )

    def get_ready(self) -> None:
        self.process = self.start(self.command(), self.listens)

    def tell(self) -> None:
        assert self.process is not None and self.process.stdin is not None
        self.told = time.monotonic_ns()
        self.process.stdin.write(b"go\n")
        self.process.stdin.close()

    def wait(self) -> None:
        process = self.process
        assert process is not None
        watch = os.pidfd_open(process.pid)
        try:
            ended, _, _ = select.select([watch], [], [], GIVE_UP_S)
        finally:
            os.close(watch)
        self.ended = time.monotonic_ns()
        if not ended:
            raise Unfit(f"{self.name}: not done after {GIVE_UP_S:.0f} s")
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        # Of it and of all whose end it has waited for; the memory is that of the largest.
        self.cpu_s, self.peak_mib = used.ru_utime + used.ru_stime, used.ru_maxrss / 1024
        if process.returncode != 0:
            raise Unfit(f"{self.name}: ended with {process.returncode}: {self.output.read_text()[-2000:]}")

    def clean_up(self) -> None:
        process, self.process = self.process, None
        if process is not None and process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(10)

    def warm_up(self, command: list[str]) -> None:
        """A harmless run: its files are in memory, its byte code is compiled."""
        self.process = self.start(command)
        self.tell()
        self.wait()


class Module(Command):
    """ansible-playbook on the controller, with move.yml."""

    name = "cloudha.vip module"
    ours = True
    namespace = topology.CONTROLLER

    def version(self) -> dict[str, str]:
        return {"ansible-core": run("ansible", "--version").split("]")[0].split()[-1]}

    def command(self) -> list[str]:
        return ["ansible-playbook", "-i", str(self.stage.lab.inventory), str(self.stage.parts / "move.yml")]

    def environment(self) -> dict[str, str]:
        # As users have it: what tests/callback keeps would make it faster.
        kept = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_CALLBACK")}
        return {**kept, "ANSIBLE_NOCOLOR": "1"}


class Gcloud(Command):
    """A script with gcloud's commands, which finds in its environment how to reach the lab's API."""

    name = "gcloud script"
    script: str
    harmless: tuple[str, ...]  # what it runs before, to have its files in memory

    def missing(self) -> str | None:
        return None if shutil.which("gcloud") else "gcloud is not on this machine"

    def version(self) -> dict[str, str]:
        return {"gcloud": json.loads(run("gcloud", "version", "--format=json"))["Google Cloud SDK"]}

    def command(self) -> list[str]:
        return [str(self.stage.parts / self.script)]

    def environment(self) -> dict[str, str]:
        home = self.stage.lab.state / "gcloud"
        home.mkdir(exist_ok=True)
        token = home / "token"
        # Given, not asked for: a request less than on a real node.
        token.write_text(self.stage.variables["gcp_access_token"])
        variables = self.stage.variables
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "CLOUDSDK_CONFIG": str(home),
            "CLOUDSDK_API_ENDPOINT_OVERRIDES_COMPUTE": variables["gcp_endpoint"] + "/",
            "CLOUDSDK_AUTH_ACCESS_TOKEN_FILE": str(token),
            "CLOUDSDK_CORE_PROJECT": variables["gcp_project"],
            "CLOUDSDK_CORE_DISABLE_PROMPTS": "1",
            "CLOUDSDK_CORE_DISABLE_USAGE_REPORTING": "1",
            "CLOUDSDK_COMPONENT_MANAGER_DISABLE_UPDATE_CHECK": "1",
        }

    def get_ready(self) -> None:
        self.warm_up(["gcloud", "compute", *self.harmless])
        super().get_ready()


class ResourceAgent(Command):
    """From Debian's packages, unpacked and not installed. It is Pacemaker's, which would call it like this."""

    name = "Debian resource agent"
    packages = ("resource-agents", "python3-pyroute2")
    agent: str

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage)
        self.root = cache_directory() / "bench-resource-agents"

    def missing(self) -> str | None:
        if self._agent.exists():
            return None
        scratch = self.root.with_suffix(".new")
        if reason := download(self.packages, scratch):
            return reason
        for package in scratch.glob("*.deb"):
            run("dpkg-deb", "-x", str(package), str(scratch))
            (scratch / f"{package.name.split('_')[0]}.version").write_text(
                run("dpkg-deb", "-f", str(package), "Version")
            )
        shutil.rmtree(self.root, ignore_errors=True)
        scratch.rename(self.root)
        return None if self._agent.exists() else f"the package has no {self._agent.name}"

    @property
    def _agent(self) -> Path:
        return self.root / "usr/lib/ocf/resource.d/heartbeat" / self.agent

    def version(self) -> dict[str, str]:
        return {
            "resource-agents": (self.root / "resource-agents.version").read_text().strip(),
            "google-api-python-client": metadata.version("google-api-python-client"),
        }

    def command(self, action: str = "start") -> list[str]:
        return [sys.executable, "-tt", str(self._agent), action]

    def environment(self) -> dict[str, str]:
        home = self.stage.lab.state / "resource-agent"
        home.mkdir(exist_ok=True)
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "PYTHONPATH": f"{HERE / 'site'}:{self.root / 'usr/lib/python3/dist-packages'}",
            "BENCH_ENDPOINT": self.stage.variables["gcp_endpoint"] + "/",
            "BENCH_TOKEN": self.stage.variables["gcp_access_token"],
            "OCF_ROOT": str(self.root / "usr/lib/ocf"),
            "OCF_RESOURCE_INSTANCE": "floating-ip",
        }

    def get_ready(self) -> None:
        self.warm_up(self.command("validate-all"))
        super().get_ready()


def download(packages: Sequence[str], directory: Path) -> str | None:
    """Debian's packages, into a new directory; the reason if that cannot be."""
    if not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
        return "this is no Debian, which it would come from"
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    done = subprocess.run(
        ["apt-get", "-q", "download", *packages], cwd=directory, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        shutil.rmtree(directory)
        return f"apt-get cannot download {' and '.join(packages)}: {done.stderr.strip()[-300:]}"
    return None


def ms(nanoseconds: float) -> float:
    return round(nanoseconds / 1e6, 1)


def until(condition: Callable[[], bool], seconds: float, what: str, pause: float = 0.05) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise Unfit(f"waited {seconds:.0f} s for {what}")
        time.sleep(pause)


def _ask(connection: http.client.HTTPConnection, method: str, path: str, body: Any, headers: dict[str, str]) -> Any:
    data = None if body is None else json.dumps(body)
    try:
        connection.request(method, path, data, {"Content-Type": "application/json", **headers})
        answer = connection.getresponse()
        text = answer.read()
    finally:
        connection.close()
    if answer.status >= 300:
        raise Unfit(f"{method} {path}: {answer.status} {text.decode(errors='replace')[:500]}")
    return json.loads(text) if text else None


def say(text: str) -> None:
    print(text, flush=True)


class Results:
    """What a run has found. results: by case and contestant. out: who is left out, and why.

    kinds: classes of contestants, of which each has a name, and says whether it is ours.
    """

    def __init__(self, kinds: Sequence[type[Any]]) -> None:
        self.kinds = kinds
        self.results: dict[tuple[Any, ...], list[Any]] = {}
        self.out: dict[str, str] = {}
        self.versions: dict[str, str] = {}
        self.load = [os.getloadavg()[0]]

    def leave_out(self, name: str, reason: str) -> None:
        self.out[name] = reason
        say(f"left out: {name}: {reason}")

    def cases(self) -> Iterator[tuple[tuple[Any, ...], dict[str, Any]]]:
        """Each case that has results, and for each of its contestants their columns."""
        for case in dict.fromkeys(key[:-1] for key in self.results):
            yield (
                case,
                {name: spread(self.results[*case, name]) for name in self.names if (*case, name) in self.results},
            )

    @property
    def names(self) -> list[str]:
        """Of those who have results."""
        there = {key[-1] for key in self.results}
        return [kind.name for kind in self.kinds if kind.name in there]

    def document(self, title: str, trials: int) -> dict[str, Any]:
        """What the files say of the run, but for the results."""
        return {
            "title": title,
            "date": datetime.now(UTC).date().isoformat(),
            "trials": trials,
            "environment": {
                "python": platform.python_version(),
                "kernel": platform.release(),
                "cores": os.cpu_count(),
                "load": [round(each, 2) for each in (*self.load, os.getloadavg()[0])],
            },
            "versions": self.versions,
            "left_out": self.out,
            "contestants": self.names,
        }

    def complain(self) -> None:
        """Ours have to have a result."""
        if ours := [kind.name for kind in self.kinds if kind.ours and kind.name in self.out]:
            sys.exit(f"{' and '.join(sorted(ours))}: no result")


class Contest(Results):
    """Rounds of trials: each contestant in each case, in turn. Whoever fails twice in a row is left out afterwards."""

    def __init__(self, kinds: Sequence[type[Contestant]], stage: Stage, only: Sequence[str] | None = None) -> None:
        super().__init__(kinds)
        everyone = [kind(stage) for kind in kinds if not only or kind.name in only]
        for each in everyone:
            if reason := each.missing():
                self.leave_out(each.name, reason)
        self.there = [each for each in everyone if each.name not in self.out]
        self.versions = {key: value for each in self.there for key, value in each.version().items()}

    def rounds(
        self,
        trials: int,
        cases: Sequence[tuple[Any, ...]],
        trial: Callable[..., NamedTuple],
        line: Callable[[Any], str],
    ) -> Iterator[int]:
        """trial() gets the contestant and the case. Yields the number of rounds that are done after each."""
        for number in range(1, trials + 1):
            for case in cases:
                for contestant in self._in_turn(number):
                    try:
                        got = self._attempt(trial, contestant, case)
                    except (Unfit, LabError) as error:
                        why = str(error).strip().splitlines()[-1][:300]
                        self.there.remove(contestant)
                        self.leave_out(contestant.name, f"{'  '.join(map(str, case))}: {why}")
                        continue
                    self.results.setdefault((*case, contestant.name), []).append(got)
                    say(f"{number}/{trials}  {'  '.join(map(str, case)):<16}  {contestant.name:<22}  {line(got)}")
            yield number

    def _in_turn(self, number: int) -> list[Contestant]:
        """Each round begins with another one."""
        first = number % max(1, len(self.there))
        return self.there[first:] + self.there[:first]

    @staticmethod
    def _attempt(trial: Callable[..., NamedTuple], contestant: Contestant, case: tuple[Any, ...]) -> NamedTuple:
        """It may fail for a reason that has nothing to do with the contestant: once more, then that is it."""
        try:
            return trial(contestant, *case)
        except (Unfit, LabError) as error:
            say(f"{contestant.name}: once more: {error}")
        return trial(contestant, *case)


class Abreast(Results):
    """Rounds of trials, in which all contestants of a pattern suffer at once, each in a lab of its own.

    Whatever else the machine does hits all of them. kinds: of stages with the methods up(), put_back(), trial() and
    down(), which are made of the pattern and a number; each has the ``patterns`` that it takes part in.
    """

    def __init__(self, kinds: Sequence[type[Any]], only: Sequence[str] | None = None) -> None:
        super().__init__(kinds)
        self._there = []
        for kind in kinds:
            if only and kind.name not in only:
                continue
            if reason := kind.missing():
                self.leave_out(kind.name, reason)
            else:
                self._there.append(kind)
                self.versions |= kind.version()

    def rounds(
        self, pattern: str, faults: Sequence[str], trials: int, line: Callable[[Any], str], know: Callable[[Any], None]
    ) -> Iterator[int]:
        """Yields the number of rounds that are done after each. know: is told of each contestant that is up."""
        kinds = [kind for kind in self._there if pattern in kind.patterns]
        sides = [kind(pattern, number) for number, kind in enumerate(kinds, 1)]
        if not sides:
            return
        with ThreadPoolExecutor(len(sides)) as pool:
            try:
                list(pool.map(lambda side: side.up(), sides))
                for side in sides:
                    know(side)
                fit = [*sides]
                for number in range(1, trials + 1):
                    for fault in faults:
                        self._trials(pool, fit, fault, (number - 0.5) / trials, line)
                    yield number
            finally:
                list(pool.map(lambda side: side.down(), sides))

    def _trials(self, pool: Executor, sides: list[Any], fault: str, phase: float, line: Callable[[Any], str]) -> None:
        """One for each of ``sides``, of which those that fail twice are left out from then on."""

        def attempt(side: Any) -> Any:
            try:
                side.put_back()
                return side.trial(fault, phase)
            except (Unfit, LabError, OSError) as error:
                return error

        def mend(side: Any) -> None:
            with contextlib.suppress(LabError, OSError):  # the next trial tries again, and says it
                side.put_back()

        left = [*sides]
        for _attempt in range(2):
            found = list(pool.map(attempt, left))
            # Only now: a machine that boots disturbs those who measure.
            list(pool.map(mend, left))
            failed = {}
            for side, got in zip(left, found, strict=True):
                if isinstance(got, Exception):
                    failed[side], told = got, str(got)
                else:
                    self.results.setdefault((side.pattern, fault, side.name), []).append(got)
                    told = line(got)
                say(f"{side.pattern:<14} {fault:<16} {side.name:<28} {told}")
            left = [*failed]
        for side, error in failed.items():
            sides.remove(side)
            self.leave_out(side.name, f"{side.pattern}, {fault}: {str(error).strip().splitlines()[-1][:300]}")


# --- the files


def spread(trials: Sequence[Any]) -> dict[str, dict[str, Any]]:
    """Each column of these named tuples: median, least and most, and each trial."""
    columns = {key: [getattr(one, key) for one in trials] for key in trials[0]._fields}
    return {
        key: {"median": round(statistics.median(values), 4), "min": min(values), "max": max(values), "all": values}
        for key, values in columns.items()
    }


def cell(value: dict[str, float], digits: int = 0) -> str:
    median, low, high = (f"{value[each]:.{digits}f}" for each in ("median", "min", "max"))
    return median if low == high else f"{median} ({low} to {high})"


def head(names: Sequence[str]) -> list[str]:
    """Of a table with names for its columns."""
    return [f"| | {' | '.join(names)} |", "|---|" + "---:|" * len(names)]


def objective(
    found: list[dict[str, Any]], what: str, limit: str, measured: float | None, met: Callable[[float], bool]
) -> None:
    """What was promised, and what came out, if it could be measured."""
    if measured is not None:
        found.append({"what": what, "limit": limit, "measured": round(measured, 1), "met": met(measured)})


def ending(record: dict[str, Any]) -> list[str]:
    """What was promised, who was left out, and on what it was measured."""
    lines = [
        "",
        "## Promised",
        "",
        "The least favourable run of each counts.",
        "",
        "| | limit | measured | |",
        "|---|---|---:|---|",
    ]
    for each in record["objectives"]:
        met = "met" if each["met"] else "**missed**"
        lines.append(f"| {each['what']} | {each['limit']} | {each['measured']:g} | {met} |")
    for name, reason in record["left_out"].items():
        lines += ["", f"Left out: {name}: {reason}."]
    facts = {**record["versions"], **record["environment"]}
    facts["load"] = " to ".join(map(str, facts.pop("load"))) + " at the start and at the end"
    return [*lines, "", ", ".join(f"{name} {value}" for name, value in facts.items()) + "."]


def write(directory: Path, name: str, record: dict[str, Any], tables: str, bars: dict[str, Any]) -> None:
    """Numbers, tables, picture."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / f"{name}.json").write_text(json.dumps(record, indent=2) + "\n")
    (directory / f"{name}.md").write_text(tables)
    (directory / f"{name}.svg").write_text(picture.alone(picture.comparison(bars)))


def options(about: str, kinds: Sequence[type[Any]], latencies: bool = True) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=about.splitlines()[0])
    parser.add_argument("--trials", type=int, default=5)
    if latencies:
        parser.add_argument("--latencies", type=float, nargs="+", default=[2.0, 0.2], help="seconds an operation takes")
    parser.add_argument("--only", nargs="+", choices=[kind.name for kind in kinds], help="these contestants")
    parser.add_argument("--results", type=Path, default=HERE / "results", help="directory (%(default)s)")
    return parser

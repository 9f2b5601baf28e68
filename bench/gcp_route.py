#!/usr/bin/env python3
# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Side by side: what moves a route of a Google Cloud network when a node becomes master.

One lab, one stage: node1 serves the floating address, and the route leads to it. Then, in the same instant, a
contestant is told that node2 is master now, and node1 loses its power (or, in the planned variant, stays as it is).
The API's log says what each did and when; a client's prober says what it was worth. After each trial everything is
put back. The contestants take turns, so that whatever else the machine does hits all.

The contestants: the agent (a line in its FIFO, as keepalived writes it), the module (ansible-playbook on the
controller), a notify_master script with gcloud (the same four steps), and Debian's resource agent
gcp-vpc-move-route. All but the module are on node2. What is not on this machine is left out.

Writes gcp_route.json, gcp_route.md and gcp_route.svg into results/ beside this file.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import itertools
import json
import operator
import os
import platform
import shutil
import signal
import statistics
import subprocess
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
PARTS = HERE / "gcp_route"
sys.path.insert(0, str(ROOT / "tests"))
from ansible_collections.cloudha.vip.plugins.module_utils.drill import analysis, picture, records  # noqa: E402
from lab import LabError, topology, vpc  # noqa: E402
from lab.image import cache_directory  # noqa: E402
from lab.keeper import enter_network  # noqa: E402
from lab.lab import Lab  # noqa: E402
from lab.process import run  # noqa: E402

PROBER = ROOT / "plugins/module_utils/drill/prober.py"
RECORDS = "/run/bench-records"
OLD, NEW = "node1", "node2"
GIVE_UP_S = 90.0
GOOD_MS = 500
POWER_CUT, PLANNED = "power_cut", "planned"
STAGES = {POWER_CUT: "node1's power is cut", PLANNED: "planned: node1 stays up"}


class Measured(NamedTuple):
    """One trial of one contestant."""

    first_mutation_ms: float
    mutations_before_move: int
    gap_ms: float
    lost: int
    no_route_ms: float
    no_route_at_most_ms: float
    done_ms: float
    cpu_s: float
    idle_ms_per_s: float
    peak_mib: float
    requests: int


Results = dict[tuple[float, str, str], list[Measured]]  # by latency, stage and contestant
COLUMNS = {
    "first_mutation_ms": "transition to first change, ms",
    "mutations_before_move": "changes until traffic moves",
    "gap_ms": "client gap, ms",
    "lost": "requests lost",
    "no_route_ms": "no route at all, ms",
    "no_route_at_most_ms": "no route at most, ms",
    "done_ms": "all done after, ms",
    "cpu_s": "CPU, s",
    "idle_ms_per_s": "CPU before it, ms a second",
    "peak_mib": "memory, MiB",
    "requests": "requests",
}


class Stage:
    """The lab, its API, and the client."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        plan = topology.get("gcp_route_heartbeat")
        self.plan = plan
        self.variables: dict[str, Any] = {key: str(value) for key, value in plan.variables.items()}
        self.address = self.variables["vip_address"].partition("/")[0]
        self.route = self.variables["gcp_route_name"]
        self._controller = ThreadPoolExecutor(1)

    def up(self) -> None:
        self.lab.up(self.plan.name, progress=say)
        # A network namespace is a thread's own: this one sends what the controller sends.
        self._controller.submit(enter_network, self.lab.keeper.network(topology.CONTROLLER)).result()
        begin = time.monotonic()
        command = ["ansible-playbook", "-i", str(self.lab.inventory), str(PARTS / "deploy.yml")]
        done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
        if done.returncode != 0:
            sys.exit(f"deploy.yml failed\n{done.stdout}{done.stderr}")
        self.ssh("client1", f"cat > /root/prober.py <<'PROBER'\n{PROBER.read_text()}\nPROBER")
        say(f"deployed in {time.monotonic() - begin:.0f} s")

    def down(self) -> None:
        self._controller.shutdown()
        self.lab.down()

    def ssh(self, machine: str, script: str, check: bool = True) -> str:
        command = ["ssh", "-F", str(self.lab.state / "ssh_config"), machine, script]
        if machine != OLD:  # never broken: one connection serves all
            command[1:1] = ["-oControlMaster=auto", f"-oControlPath={self.lab.state}/mux/%C", "-oControlPersist=60"]
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
            return _ask(
                connection, method, f"/{base}/projects/{self.variables['gcp_project']}/{path}", body, authorization
            )

        return self._controller.submit(ask).result()

    def instance(self, name: str) -> str:
        """The path of the instance that ``name`` is."""
        zone = self.plan.machine(name).variables["gcp_zone"]
        return f"projects/{self.variables['gcp_project']}/zones/{zone}/instances/{name}"

    def routes(self) -> list[dict[str, Any]]:
        """Those to the floating address."""
        there = self.compute("GET", "global/routes").get("items", [])
        return [route for route in there if route["destRange"] == self.variables["vip_address"]]

    def put_back(self) -> None:
        """One route, to node1, and node1 there and serving. What a trial that failed has left may come in late."""
        self.lab.api.behave(latency_s=0.0, propagation_s=0.0)
        self.lab.repair("node_power_off", OLD)
        _until(self._empty, 30, "the routes of the last trial to go")
        _until(self._restored, 30, f"the API to take the route to {OLD}")

    def _empty(self) -> bool:
        there = self.routes()
        for route in there:
            with contextlib.suppress(Unfit):
                self.compute("DELETE", f"global/routes/{route['name']}")
        return not there and not self.lab.api.state()["operations"]

    def _restored(self) -> bool:
        """Whether the route is there and alive: an instance that boots is no next hop yet."""
        there = self.routes()
        if not there:
            host = "https://www.googleapis.com/compute/v1/"
            network = f"projects/{self.variables['gcp_project']}/global/networks/{self.variables['gcp_network']}"
            body = {
                "name": self.route,
                "destRange": self.variables["vip_address"],
                "network": host + network,
                "nextHopInstance": host + self.instance(OLD),
                "priority": 1000,
            }
            self.compute("POST", "global/routes", body)
            return False
        return not there[0].get("warnings")

    def calls(self, since: int) -> list[dict[str, Any]]:
        """What the API was asked since then, oldest first."""
        return sorted(
            (call for call in self.lab.api.log() if call["mono_ns"] >= since), key=operator.itemgetter("mono_ns")
        )

    def dead_ms(self) -> float:
        """For how long the address has had no live next hop since the log was begun, as the network has it."""
        history = [
            each
            for each in self.lab.api.call("GET", "/history")
            if each["destination"] == self.variables["vip_address"]
        ]
        return _ms(
            sum(after["mono_ns"] - one["mono_ns"] for one, after in itertools.pairwise(history) if not one["next_hops"])
        )

    # --- the client

    def probe(self) -> None:
        """Start the prober; return when node1 answers it."""
        self.ssh(
            "client1",
            # The prober of a trial that failed may still run.
            f"systemctl stop bench-prober 2>&-; rm -f {RECORDS}; "
            "systemd-run --quiet --collect --unit=bench-prober python3 /root/prober.py run "
            f"--url http://{self.address}/ --output {RECORDS} --max-seconds {GIVE_UP_S + 60:.0f} && "
            f"python3 /root/prober.py wait --input {RECORDS} --by {OLD} --good-ms {GOOD_MS} --timeout 40",
        )

    def probed(self, since_wall: int) -> records.Recording:
        """Wait until node2 answers, stop the prober; what it recorded."""
        wait = f"python3 /root/prober.py wait --input {RECORDS} --since {since_wall} --by {NEW} --good-ms {GOOD_MS}"
        self.ssh("client1", f"{wait} --timeout 20; systemctl stop bench-prober", check=False)
        recording = self.lab.state / "records"
        recording.write_text(self.ssh("client1", f"cat {RECORDS}"))
        return records.read_recording(str(recording))

    def cut_power(self, tell: Callable[[], None]) -> None:
        """``tell`` somebody, and in the same instant node1 is gone."""
        heard, said = os.pipe()

        def listen() -> None:
            if os.read(heard, 1):
                tell()

        listener = threading.Thread(target=listen)
        listener.start()
        site = self.lab.site()

        def work() -> None:
            os.write(said, b"!")
            site.power_off(OLD)

        try:
            self.lab.keeper.run(work)
        finally:
            os.close(said)
            listener.join(10)
            os.close(heard)


class Contestant(ABC):
    """Somebody who points the route at node2 when told."""

    name: str

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.told = 0  # when; the machine's monotonic clock, ns
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
    """One that is a command: it waits, loaded and in its place, for the word to begin."""

    namespace = NEW

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage)
        self.process: subprocess.Popen[bytes] | None = None
        self.output = stage.lab.state / "contestant.log"

    def command(self) -> list[str]:
        raise NotImplementedError

    def environment(self) -> dict[str, str]:
        raise NotImplementedError

    def start(self, command: list[str]) -> subprocess.Popen[bytes]:
        """``command`` at its place in the lab, with the host's files: it begins when it gets a line."""
        network = self.stage.lab.keeper.network(self.namespace)
        hosts = self.stage.lab.state / "hosts"
        hosts.write_text(f"127.0.0.1 localhost\n{vpc.METADATA} metadata.google.internal metadata\n")
        script = 'mount --bind "$0" /etc/hosts && read -r go && exec "$@"'
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
        self.process = self.start(self.command())

    def tell(self) -> None:
        assert self.process is not None and self.process.stdin is not None
        self.told = time.monotonic_ns()
        self.process.stdin.write(b"go\n")
        self.process.stdin.close()

    def wait(self) -> None:
        process = self.process
        assert process is not None
        deadline = time.monotonic() + GIVE_UP_S
        while True:
            pid, status, used = os.wait4(process.pid, os.WNOHANG)
            if pid:
                process.returncode = os.waitstatus_to_exitcode(status)
                break
            if time.monotonic() > deadline:
                raise Unfit(f"{self.name}: not done after {GIVE_UP_S:.0f} s")
            time.sleep(0.02)
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
    name = "cloudha.vip module"
    namespace = topology.CONTROLLER

    def version(self) -> dict[str, str]:
        return {"ansible-core": run("ansible", "--version").split("]")[0].split()[-1]}

    def command(self) -> list[str]:
        return ["ansible-playbook", "-i", str(self.stage.lab.inventory), str(PARTS / "move.yml")]

    def environment(self) -> dict[str, str]:
        return {**os.environ, "ANSIBLE_NOCOLOR": "1"}


class Gcloud(Command):
    name = "gcloud script"

    def missing(self) -> str | None:
        return None if shutil.which("gcloud") else "gcloud is not on this machine"

    def version(self) -> dict[str, str]:
        return {"gcloud": json.loads(run("gcloud", "version", "--format=json"))["Google Cloud SDK"]}

    def command(self) -> list[str]:
        return [str(PARTS / "notify_master.sh")]

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
            "ROUTE": self.stage.route,
            "NETWORK": variables["gcp_network"],
            "DESTINATION": variables["vip_address"],
            "INSTANCE": NEW,
            "ZONE": str(self.stage.plan.machine(NEW).variables["gcp_zone"]),
        }

    def get_ready(self) -> None:
        self.warm_up(["gcloud", "compute", "routes", "list"])
        super().get_ready()


class ResourceAgent(Command):
    """From Debian's packages, unpacked and not installed. It is Pacemaker's, which would call it like this."""

    name = "Debian resource agent"
    packages = ("resource-agents", "python3-pyroute2")

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage)
        self.root = cache_directory() / "bench-gcp-route"

    def missing(self) -> str | None:
        if self._agent.exists():
            return None
        if not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
            return "this is no Debian, which it would come from"
        scratch = self.root.with_suffix(".new")
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(parents=True)
        fetched = subprocess.run(
            ["apt-get", "-q", "download", *self.packages], cwd=scratch, capture_output=True, text=True, check=False
        )
        if fetched.returncode != 0:
            shutil.rmtree(scratch)
            return f"apt-get cannot download {' and '.join(self.packages)}: {fetched.stderr.strip()[-300:]}"
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
        return self.root / "usr/lib/ocf/resource.d/heartbeat/gcp-vpc-move-route"

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
            "PYTHONPATH": f"{PARTS / 'site'}:{self.root / 'usr/lib/python3/dist-packages'}",
            "BENCH_ENDPOINT": self.stage.variables["gcp_endpoint"] + "/",
            "BENCH_TOKEN": self.stage.variables["gcp_access_token"],
            "OCF_ROOT": str(self.root / "usr/lib/ocf"),
            "OCF_RESOURCE_INSTANCE": "floating-ip",
            "OCF_RESKEY_ip": self.stage.address,
            "OCF_RESKEY_vpc_network": self.stage.variables["gcp_network"],
            "OCF_RESKEY_route_name": self.stage.route,
            "OCF_RESKEY_interface": "eth0",
        }

    def get_ready(self) -> None:
        self.warm_up(self.command("validate-all"))
        # It gives the node the address by itself, when the route is there.
        self.stage.ssh(NEW, f"ip address delete {self.stage.address}/32 dev lo")
        super().get_ready()

    def clean_up(self) -> None:
        super().clean_up()
        address = f"{self.stage.address}/32"
        self.stage.ssh(NEW, f"ip address delete {address} dev eth0; ip address replace {address} dev lo", check=False)


class Agent(Contestant):
    """The service on node2, in the lab's machine."""

    name = "cloudha.vip agent"
    pid = _inside = 0  # on the host, and as the machine sees it
    _before = 0.0
    _ready = (0.0, 0.0)

    @property
    def _root(self) -> Path:
        return Path(f"/proc/{self.pid}/root")

    def get_ready(self) -> None:
        self.stage.ssh(NEW, "systemctl start vip-agent")
        inside = int(self.stage.ssh(NEW, "systemctl show --property=MainPID --value vip-agent"))
        self.pid, self._inside = _host_pid(self.stage.lab.groups.directories[0] / NEW, inside), inside
        _until(lambda: self._doing() == "standing by", 20, "the agent to stand by")
        self._ready = _cpu_seconds(self.pid), time.monotonic()

    def _doing(self) -> str:
        with contextlib.suppress(OSError):
            status = json.loads((self._root / "run/cloudha-vip/agent/status.json").read_text())
            if status["pid"] == self._inside:
                return next(iter(status["actions"].values()))["doing"]
        return "starting"

    def tell(self) -> None:
        self._before = _cpu_seconds(self.pid)
        cpu, since = self._ready
        self.idle = (self._before - cpu) / (time.monotonic() - since)
        with open(self._root / "run/cloudha-vip/notify", "wb", buffering=0) as fifo:
            self.told = time.monotonic_ns()
            fifo.write(b'INSTANCE "VI_1" MASTER 100\n')

    def wait(self) -> None:
        def done() -> bool:
            lines = (self._root / "var/lib/vip-agent/events.jsonl").read_text().splitlines()
            events = [event for event in map(json.loads, lines) if event["mono_ns"] >= self.told]
            failed = [event for event in events if event["event"] == "action_failed"]
            if failed:
                raise Unfit(f"{self.name}: {failed}")
            return any(event["event"] == "action_done" for event in events)

        _until(done, GIVE_UP_S, "the agent to be done", 0.1)
        status = dict(line.split(":", 1) for line in Path(f"/proc/{self.pid}/status").read_text().splitlines())
        self.cpu_s, self.peak_mib = _cpu_seconds(self.pid) - self._before, int(status["VmHWM"].split()[0]) / 1024

    def clean_up(self) -> None:
        script = """echo 'INSTANCE "VI_1" BACKUP 100' > /run/cloudha-vip/notify; systemctl stop vip-agent"""
        self.stage.ssh(NEW, f"systemctl is-active --quiet vip-agent || exit 0; {script}", check=False)


class Unfit(Exception):
    """A trial that has no result; the message says why."""


def trial(stage: Stage, contestant: Contestant, latency: float, kind: str) -> Measured:
    """Put everything in its place, let the contestant do its work, and measure it."""
    stage.put_back()
    try:
        contestant.get_ready()
        stage.probe()
        stage.lab.api.behave(latency_s=latency)
        stage.lab.api.forget()
        wall, contestant.told = time.time_ns(), 0
        if kind == POWER_CUT:
            stage.cut_power(contestant.tell)
        else:
            contestant.tell()
        if not contestant.told:
            raise Unfit(f"{contestant.name}: could not be told")
        contestant.wait()
        recording = stage.probed(wall)
        calls = stage.calls(contestant.told)
        there = stage.routes()
        if len(there) != 1 or not there[0]["nextHopInstance"].endswith(stage.instance(NEW)):
            raise Unfit(f"{contestant.name}: left {there}")
        got = measure(contestant, latency, calls, recording)
        if kind == PLANNED and abs(got.no_route_ms - stage.dead_ms()) > 100:
            raise Unfit(
                f"{contestant.name}: no route for {got.no_route_ms} ms, and for {stage.dead_ms()} in the network"
            )
        return got
    finally:
        contestant.clean_up()


def measure(
    contestant: Contestant, latency: float, calls: list[dict[str, Any]], recording: records.Recording
) -> Measured:
    """The numbers of one trial. All clocks are the machine's monotonic one."""
    told = contestant.told
    changes = [call for call in calls if call["mutation"] and call["status"] == 200]
    if not changes:
        raise Unfit(f"{contestant.name}: changed no route")
    moved = min((r.mono for r in recording.requests if r.ok and r.by == NEW and r.mono >= told), default=None)
    if moved is None:
        raise Unfit(f"{contestant.name}: the traffic has not moved")
    ends = sorted(r.ended for r in recording.requests if r.ok)
    operation = round(latency * 1e9)
    return Measured(
        first_mutation_ms=_ms(changes[0]["mono_ns"] - told),
        mutations_before_move=sum(call["mono_ns"] < moved for call in changes),
        gap_ms=_ms(analysis.longest_gap(ends, told, ends[-1]).ms),
        lost=sum(not r.ok for r in recording.requests if r.mono >= told),
        no_route_ms=_ms(no_route(changes, operation, operation)),
        no_route_at_most_ms=_ms(no_route(changes, operation, 0)),
        done_ms=_ms(changes[-1]["mono_ns"] + operation - told),
        cpu_s=round(contestant.cpu_s, 4),
        idle_ms_per_s=round(contestant.idle * 1000, 2),
        peak_mib=round(contestant.peak_mib, 1),
        requests=len(calls),
    )


def _inserts(call: dict[str, Any]) -> bool:
    return "POST" in (call["method"], call.get("verb"))


def no_route(changes: list[dict[str, Any]], insertion: int, deletion: int) -> int:
    """For how long the network had no route to the address, dead or alive, if they take so long; all in ns.

    There was one at first. The lab's API does what it is asked for when the operation ends; Google does not say when
    within it.
    """
    steps = sorted(
        (call["mono_ns"] + insertion, 1) if _inserts(call) else (call["mono_ns"] + deletion, -1) for call in changes
    )
    routes, since, without = 1, 0, 0
    for at, step in steps:
        if routes == 0:
            without += at - since
        routes, since = routes + step, at
    return without


def _ms(nanoseconds: float) -> float:
    return round(nanoseconds / 1e6, 1)


def _until(condition: Callable[[], bool], seconds: float, what: str, pause: float = 0.05) -> None:
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


def _cpu_seconds(pid: int) -> float:
    """Of all its threads, those that have ended too: the kernel's own clock of a process."""
    return time.clock_gettime((~pid << 3) | 2)


def _host_pid(group: Path, inside: int) -> int:
    """The host's number for what is process ``inside`` in a machine."""
    for path in (group, *group.rglob("*/")):
        with contextlib.suppress(OSError):
            for pid in map(int, (path / "cgroup.procs").read_text().split()):
                status = Path(f"/proc/{pid}/status").read_text()
                numbers = next(line for line in status.splitlines() if line.startswith("NSpid:")).split()
                if int(numbers[-1]) == inside:
                    return pid
    raise Unfit(f"no process {inside} in {group.name}")


def say(text: str) -> None:
    print(text, flush=True)


def main() -> None:
    options = _options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    stage = Stage(Lab(f"bench-route{os.getpid()}"))
    load = [os.getloadavg()[0]]
    results: Results = {}
    out: dict[str, str] = {}
    try:
        stage.up()
        everyone = [kind(stage) for kind in CONTESTANTS]
        out = {each.name: reason for each in everyone if (reason := each.missing())}
        for name, reason in out.items():
            say(f"left out: {name}: {reason}")
        there = [each for each in everyone if each.name not in out and (not options.only or each.name in options.only)]
        versions = {key: value for each in there for key, value in each.version().items()}
        for number in range(1, options.trials + 1):
            for latency in options.latencies:
                for kind in options.stages:
                    for contestant in _in_turn(there, number):
                        try:
                            got = attempt(stage, contestant, latency, kind)
                        except (Unfit, LabError) as error:
                            out[contestant.name] = f"{kind}: {str(error).strip().splitlines()[-1][:300]}"
                            there.remove(contestant)
                            say(f"left out from now on: {contestant.name}: {error}")
                            continue
                        results.setdefault((latency, kind, contestant.name), []).append(got)
                        say(
                            f"{number}/{options.trials}  {latency:g} s  {kind:<10}  {contestant.name:<22}  {_line(got)}"
                        )
            # After each round, so that a run which is stopped leaves what it measured.
            write(options.results, document(results, number, versions, out, [*load, os.getloadavg()[0]]))
    finally:
        stage.down()
    print((options.results / "gcp_route.md").read_text())
    if ours := {Agent.name, Module.name} & out.keys():
        sys.exit(f"{' and '.join(sorted(ours))}: no result")


def attempt(stage: Stage, contestant: Contestant, latency: float, kind: str) -> Measured:
    """A trial. It may fail for a reason that has nothing to do with the contestant: once more, then that is it."""
    try:
        return trial(stage, contestant, latency, kind)
    except (Unfit, LabError) as error:
        say(f"{contestant.name}: once more: {error}")
    return trial(stage, contestant, latency, kind)


def _in_turn(contestants: list[Contestant], number: int) -> list[Contestant]:
    """Each round begins with another one."""
    first = number % len(contestants)
    return contestants[first:] + contestants[:first]


def _line(got: Measured) -> str:
    return (
        f"first change {got.first_mutation_ms:7.1f} ms  gap {got.gap_ms:7.1f} ms  lost {got.lost:4d}  "
        f"no route {got.no_route_ms:5.0f} to {got.no_route_at_most_ms:5.0f} ms  {got.cpu_s:.3f} s CPU  "
        f"{got.peak_mib:.0f} MiB  {got.requests} requests"
    )


def document(results: Results, trials: int, versions: dict[str, str], out: dict[str, str], load: list[float]) -> Any:
    """All of the run, for the files."""
    names = [kind.name for kind in CONTESTANTS if any(kind.name == name for *_, name in results)]
    runs = [
        {
            "latency_s": latency,
            "stage": stage,
            "values": {
                name: spread(results[latency, stage, name]) for name in names if (latency, stage, name) in results
            },
        }
        for latency, stage in dict.fromkeys((latency, stage) for latency, stage, _ in results)
    ]
    return {
        "title": "Moving a route of a Google Cloud network when a node becomes master",
        "date": datetime.now(UTC).date().isoformat(),
        "trials": trials,
        "environment": {
            "python": platform.python_version(),
            "kernel": platform.release(),
            "cores": os.cpu_count(),
            "load": [round(each, 2) for each in load],
        },
        "versions": versions,
        "left_out": out,
        "contestants": names,
        "runs": runs,
        "objectives": objectives(runs),
    }


def spread(trials: list[Measured]) -> dict[str, dict[str, Any]]:
    """Each column: median, least and most, and each trial."""
    columns = {key: [getattr(one, key) for one in trials] for key in COLUMNS}
    return {
        key: {"median": round(statistics.median(values), 4), "min": min(values), "max": max(values), "all": values}
        for key, values in columns.items()
    }


def objectives(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What was promised, and what came out. The worst of all runs counts."""

    def worst(name: str, column: str, of: str = "median") -> float | None:
        return max((run["values"][name][column][of] for run in runs if name in run["values"]), default=None)

    def best(name: str, column: str) -> float | None:
        return min((run["values"][name][column]["median"] for run in runs if name in run["values"]), default=None)

    ours, found = Agent.name, []

    def objective(what: str, limit: str, measured: float | None, met: Callable[[float], bool]) -> None:
        if measured is not None:
            found.append({"what": what, "limit": limit, "measured": round(measured, 1), "met": met(measured)})

    first = worst(ours, "first_mutation_ms")
    script = best(Gcloud.name, "first_mutation_ms")
    objective(f"{ours}: transition to first change, median, ms", "at most 30", first, lambda value: value <= 30)
    if first and script:
        ratio = script / first
        objective(f"{Gcloud.name}: the same, times the agent's", "at least 10", ratio, lambda value: value >= 10)
    for name in (ours, Module.name):
        longest = worst(name, "no_route_at_most_ms", "max")
        objective(f"{name}: no route, the longest, ms", "0", longest, lambda value: value == 0)
    objective(f"{ours}: memory, the most, MiB", "at most 30", worst(ours, "peak_mib", "max"), lambda value: value <= 30)
    return found


def write(directory: Path, record: dict[str, Any]) -> None:
    """Numbers, tables, picture."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "gcp_route.json").write_text(json.dumps(record, indent=2) + "\n")
    (directory / "gcp_route.md").write_text(tables(record))
    (directory / "gcp_route.svg").write_text(picture.alone(picture.comparison(bars(record))))


EXPLAINED = f"""Medians of {{trials}} trials (least to most). node2 is told that it is master; until then
node1 had the route.

- *{Agent.name}*: the service on node2 gets a line in its FIFO. *{Module.name}*: `ansible-playbook` begins on the
  controller. *{Gcloud.name}*: `notify_master` with four steps of gcloud begins on node2. *{ResourceAgent.name}*:
  `gcp-vpc-move-route start` begins on node2.
- *Changes until traffic moves*: requests that change a route, sent before node2 got its first request of the client.
- *No route at all*: to the address, dead or alive. The lab's API deletes a route when the operation ends; Google does
  not say when within it. *No route at most*: if at its beginning.
- *CPU* from the word on, with all children; *memory* of the largest process. The agent also runs before: *CPU before
  it*.
- The lab's API is plain HTTP, next door. Over the Internet, who connects anew for each step pays for TLS each time."""


def tables(record: dict[str, Any]) -> str:
    names = record["contestants"]
    lines = [f"# {record['title']} ({record['date']})", "", EXPLAINED.format(trials=record["trials"])]
    for one in record["runs"]:
        lines += ["", f"## An operation takes {one['latency_s']:g} s; {STAGES[one['stage']]}", ""]
        there = [name for name in names if name in one["values"]]
        lines += [f"| | {' | '.join(there)} |", "|---|" + "---:|" * len(there)]
        for key, title in COLUMNS.items():
            lines.append(f"| {title} | {' | '.join(_cell(key, one['values'][name][key]) for name in there)} |")
        if Agent.name in there:
            lines += [
                f"| {title}, times the agent's | {' | '.join(cells)} |"
                for title, cells in _ratios(one["values"], there, one["stage"])
            ]
    lines += [
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
    lines += ["", ", ".join(f"{name} {value}" for name, value in facts.items()) + "."]
    return "\n".join(lines) + "\n"


def _cell(key: str, value: dict[str, float]) -> str:
    digits = {"cpu_s": 3, "first_mutation_ms": 1, "idle_ms_per_s": 1, "peak_mib": 1}.get(key, 0)
    median, low, high = (f"{value[each]:.{digits}f}" for each in ("median", "min", "max"))
    return median if low == high else f"{median} ({low} to {high})"


def _ratios(values: dict[str, Any], names: list[str], stage: str) -> Iterator[tuple[str, list[str]]]:
    # Where nothing is broken, the agent's gap is the client's noise.
    for key in ("first_mutation_ms", *(["gap_ms"] if stage == POWER_CUT else []), "cpu_s", "peak_mib"):
        ours = values[Agent.name][key]["median"]
        if ours:
            yield COLUMNS[key].partition(",")[0], [f"{values[name][key]['median'] / ours:.1f}" for name in names]


def bars(record: dict[str, Any]) -> dict[str, Any]:
    """For the picture: the times that count."""
    shown = {
        POWER_CUT: {
            "first_mutation_ms": "first change",
            "gap_ms": "client gap",
            "no_route_at_most_ms": "no route at most",
        },
        PLANNED: {"gap_ms": "gap, planned"},  # the rest is the same again
    }
    rows = [
        {
            "fault": f"{title}, {one['latency_s']:g} s",
            "values": [one["values"].get(name, {}).get(key) for name in record["contestants"]],
        }
        for one in record["runs"]
        for key, title in shown[one["stage"]].items()
    ]
    note = f"Medians of {record['trials']} trials; the line spans least and most. Seconds: what an operation takes."
    return {"title": record["title"], "note": note, "series": record["contestants"], "faults": rows}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--trials", type=int, default=5)
    parser.add_argument("--latencies", type=float, nargs="+", default=[2.0, 0.2], help="seconds an operation takes")
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=list(STAGES))
    parser.add_argument("--only", nargs="+", choices=[kind.name for kind in CONTESTANTS], help="these contestants")
    parser.add_argument("--results", type=Path, default=HERE / "results", help="directory (%(default)s)")
    return parser.parse_args()


CONTESTANTS: tuple[type[Contestant], ...] = (Agent, Module, Gcloud, ResourceAgent)

if __name__ == "__main__":
    main()

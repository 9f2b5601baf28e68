# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The agent's health port on real machines, with systemd and keepalived, as a prober on the network sees it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

import pytest
from busy import Watch, until
from logs import kept
from pair import ROOT, Pair

from ansible_collections.cloudha.vip.plugins.module_utils.agent.health_port import LASTS
from lab.lab import Lab

NODES = {"node1": "192.168.7.247", "node2": "192.168.7.248"}
PORT = 6000
DETECTION_S = 0.6  # the default of the role keepalived
TICK_S = 0.25  # after which the agent looks again at what nobody tells it
SLACK_S = 0.25  # a probe, and a kernel that ends a process
OPEN, CLOSED, SILENT = "open", "refused", "silent"
# One line for each change: when the probe began and ended, in seconds, the node, and what it saw.
PROBER = """
import socket, sys, threading, time
def watch(node, address):
    last = None
    while True:
        with socket.socket() as connection:
            connection.settimeout(0.1)
            begin = time.time()
            try:
                connection.connect((address, int(sys.argv[1])))
                seen = "open"
            except TimeoutError:
                seen = "silent"
            except OSError:
                seen = "refused"
        if seen != last:
            print(begin, time.time(), node, seen, flush=True)
            last = seen
        time.sleep(0.005)
for each in sys.argv[2:]:
    threading.Thread(target=watch, args=each.split("=")).start()
"""


class Seen:
    """What a prober saw of each node, from change to change."""

    def __init__(self, lines: list[str]) -> None:
        self.changes: dict[str, list[tuple[float, float, str]]] = {node: [] for node in NODES}
        for line in lines:
            begin, end, node, state = line.split()
            self.changes[node].append((float(begin), float(end), state))

    def states(self, node: str) -> list[str]:
        return [state for _begin, _end, state in self.changes[node]]

    def last(self, node: str) -> str:
        return self.states(node)[-1]

    def one(self) -> bool:
        """Whether exactly one is open at the end."""
        return sorted(map(self.last, NODES)) == [OPEN, CLOSED]

    def first(self, node: str, state: str, after: float) -> float:
        """When the first answer of this kind was there."""
        return next(end for begin, end, its in self.changes[node] if begin >= after and its == state)

    def both_open_s(self) -> float:
        """The longest time for which both were."""
        spans = {node: list(self._open(node)) for node in NODES}
        one, other = spans.values()
        return max((min(b, d) - max(a, c) for a, b in one for c, d in other), default=0.0)

    def _open(self, node: str) -> Iterator[tuple[float, float]]:
        since = None
        for begin, end, state in [*self.changes[node], (float("inf"), 0.0, "")]:
            if since is not None:
                yield since, begin
            since = end if state == OPEN else None


class PortPair(Pair):
    """The agent and keepalived, and no service. The machines of the lab have one clock."""

    def master(self) -> tuple[str, str]:
        """It, and the other one."""
        addresses = {node: self.ssh(node, "ip -oneline address show") for node in NODES}
        (master,) = (node for node, text in addresses.items() if f" {self.address}/" in text)
        return master, next(node for node in NODES if node != master)

    def at(self, machine: str, command: str) -> float:
        """Run it; the time just before."""
        return float(self.ssh(machine, f"date +%s.%N; {command}").split()[0])

    @contextlib.contextmanager
    def prober(self) -> Iterator[Prober]:
        """On the client."""
        where = " ".join(f"{node}={address}" for node, address in NODES.items())
        self.ssh("client1", f"cat > /run/test-ports.py <<'PROBER'\n{PROBER}\nPROBER")
        self.ssh(
            "client1",
            "systemd-run --quiet --collect --unit=test-ports --property=StandardOutput=truncate:/run/test-ports "
            f"python3 /run/test-ports.py {PORT} {where}",
        )
        try:
            this = Prober(self)
            this.until(Seen.one)
            yield this
        finally:
            self.ssh("client1", "systemctl stop test-ports; rm -f /run/test-ports.py /run/test-ports")


class Prober:
    """It may be asked again and again."""

    def __init__(self, pair: Pair) -> None:
        self._pair = pair

    def seen(self) -> Seen:
        return Seen(self._pair.ssh("client1", "cat /run/test-ports").splitlines())

    def until(self, condition: Callable[[Seen], bool]) -> Seen:
        """Wait until it is true of what it has seen."""

        def look() -> Seen | None:
            with contextlib.suppress(IndexError):  # of one of them nothing yet
                return seen if condition(seen := self.seen()) else None

        return until(look, 30)


@pytest.fixture(scope="module")
def pair(lab_name: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[PortPair]:
    with kept(Lab(lab_name("port"))) as lab:
        lab.up("onprem_active_standby")
        this = PortPair(lab, tmp_path_factory.mktemp("pair"), "onprem_active_standby", "192.168.7.246")
        deploy(this)
        yield this


def deploy(pair: PortPair, **action: object) -> None:
    parts = ["vip_agent", "vrrp"]
    done = pair.play(
        f"{ROOT}/tests/system/part.yml",
        parts=parts,
        topology=pair.topology,
        topology_shared="vrrp",
        topology_wanted=parts,
        vip_agent_checks=[],
        vip_agent_actions=[{"type": "health_port", "instance": "VI_1", "name": "lb", "port": PORT, **action}],
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr


@pytest.mark.parametrize("how", ["stop", "kill --signal=KILL"])
def test_it_is_closed_at_once_when_the_agent_ends(pair: PortPair, how: str) -> None:
    master, other = pair.master()
    watch = Watch()
    with pair.prober() as prober:
        ended = pair.at(master, f"systemctl {how} vip-agent")
        prober.until(lambda seen: CLOSED in seen.states(master))
        pair.ssh(master, "systemctl start vip-agent")
        saw = prober.until(lambda seen: seen.last(master) == OPEN)
    # systemctl itself takes its time.
    watch.at_most(TICK_S + SLACK_S, saw.first(master, CLOSED, ended) - ended)
    watch.holds((saw.states(master), saw.states(other)) == ([OPEN, CLOSED, OPEN], [CLOSED]), str(saw.changes))


def test_it_is_closed_soon_when_the_agent_hangs_and_open_with_the_next_one(pair: PortPair) -> None:
    master, other = pair.master()
    watch = Watch()
    with pair.prober() as prober:
        hung = pair.at(master, "systemctl kill --signal=STOP vip-agent")
        # systemd starts the next one.
        saw = prober.until(lambda seen: CLOSED in seen.states(master) and seen.last(master) == OPEN)
    watch.at_most(LASTS + SLACK_S, saw.first(master, CLOSED, hung) - hung)
    watch.holds((saw.states(master), saw.states(other)) == ([OPEN, SILENT, CLOSED, OPEN], [CLOSED]), str(saw.changes))


def test_a_node_that_hangs_is_closed_and_the_other_one_open(pair: PortPair) -> None:
    """Its kernel still answers, and nobody there starts another agent before all go on."""
    master, other = pair.master()
    watch = Watch()
    with pair.prober() as prober:
        hung = time.time()
        pair.lab.fault("node_hang", master)
        try:
            meanwhile = prober.until(lambda seen: CLOSED in seen.states(master) and seen.last(other) == OPEN)
        finally:
            pair.lab.repair("node_hang", master, wait=True)
        saw = prober.until(Seen.one)
    watch.at_most(LASTS + SLACK_S, meanwhile.first(master, CLOSED, hung) - hung)
    watch.at_most(DETECTION_S + SLACK_S, meanwhile.first(other, OPEN, hung) - hung)
    watch.at_most(LASTS, saw.both_open_s())


@pytest.mark.parametrize("units", ["keepalived", "keepalived vip-agent"])
def test_a_master_whose_keepalived_is_stopped_is_closed(pair: PortPair, units: str) -> None:
    """The log still says MASTER, also to an agent that systemd starts meanwhile."""
    master, other = pair.master()
    signal = "for unit in {}; do systemctl kill --kill-who=all --signal={} $unit; done"
    watch = Watch()
    with pair.prober() as prober:
        stopped = pair.at(master, signal.format(units, "STOP"))
        try:
            prober.until(lambda seen: CLOSED in seen.states(master) and seen.last(other) == OPEN)
            pair.until(master, "vip-agent status | grep -q 'is CLOSED: keepalived is stopped by a signal'")
            meanwhile = prober.seen()
        finally:
            pair.ssh(master, signal.format("keepalived", "CONT"))
        saw = prober.until(Seen.one)
    limit_s = (LASTS if "vip-agent" in units else TICK_S) + SLACK_S
    watch.at_most(limit_s, meanwhile.first(master, CLOSED, stopped) - stopped)
    watch.holds(meanwhile.states(master).count(OPEN) == 1, str(saw.changes))
    watch.at_most(limit_s, saw.both_open_s())


def test_the_port_moves_with_the_mastership(pair: PortPair) -> None:
    watch = Watch()
    with pair.prober() as prober:
        for _time in range(2):
            master, other = pair.master()
            pair.ssh(master, "echo -254 > /run/cloudha-vip/drain")
            prober.until(lambda seen, other=other: seen.one() and seen.last(other) == OPEN)
            pair.ssh(master, "echo 0 > /run/cloudha-vip/drain")
        saw = prober.seen()
    watch.at_most(SLACK_S, saw.both_open_s())


def test_with_http_it_answers_200_and_of_a_healed_split_one_node_is_left(pair: PortPair) -> None:
    deploy(pair, mode="http")
    master, other = pair.master()
    code = f"import urllib.request as u; print(u.urlopen('http://{NODES[master]}:{PORT}/', timeout=5).status)"
    assert pair.ssh("client1", f'python3 -c "{code}"') == "200\n"
    with pair.prober() as prober:
        pair.lab.fault("partition_peers", master)
        try:
            prober.until(lambda seen: seen.last(master) == seen.last(other) == OPEN)
        finally:
            pair.lab.repair("partition_peers", master, wait=True)
        prober.until(Seen.one)
        time.sleep(1)
        assert prober.seen().one()

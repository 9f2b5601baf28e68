# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The port of an agent that is a process of a user without privilege, as a prober sees it. Tests write keepalived's
lines."""

from __future__ import annotations

import os
import select
import shutil
import signal
import socket
import subprocess
import threading
import time
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from busy import Watch, until

from ansible_collections.cloudha.vip.plugins.module_utils.agent.health_port import LASTS
from ansible_collections.cloudha.vip.tests.contract.agent_node import agent_nodes

ADDRESS = "127.0.0.1"
FEW = 5  # connections that a hung agent makes, as the role's README says
SLACK = 0.15  # seconds until the kernel has killed a process and a prober has seen it


def free_port():
    with socket.create_server(("0.0.0.0", 0)) as listener:
        return listener.getsockname()[1]


def probe(port, address=ADDRESS, seconds=0.05):
    """What a prober of TCP sees: open, refused, or silent."""
    with socket.socket() as connection:
        connection.settimeout(seconds)
        try:
            connection.connect((address, port))
        except TimeoutError:
            return "silent"
        except OSError:
            return "refused"
        return "open"


def get(port):
    """The first line of what a prober of HTTP is answered."""
    with socket.create_connection((ADDRESS, port), 2) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: 10.100.3.1\r\n\r\n")
        return connection.recv(4096).partition(b"\r\n")[0]


@pytest.fixture
def make_node():
    with agent_nodes() as make:

        def start(checks=(), **action):
            node = make({"type": "health_port", "instance": "VI_1", "name": "lb", "port": free_port(), **action})
            node.port = node.action["port"]
            node.act(checks)
            node.start(ready=False)
            return node

        yield start


@pytest.fixture
def node(make_node):
    return make_node()


@pytest.fixture
def master(node):
    become(node, "MASTER")
    return node


def become(node, state):
    """keepalived says so; the event of the port that follows."""
    seq = node.state(state)
    return node.event("port_opened" if state == "MASTER" else "port_closed", after=seq)


# --- with keepalived


def test_it_follows_the_mastership(node, record_property):
    assert probe(node.port) == "refused"
    took = []
    for state in ("BACKUP", "FAULT", "STOP") * 4:
        for told, event, seen in (("MASTER", "port_opened", "open"), (state, "port_closed", "refused")):
            seq = node.state(told)
            happened = node.event(event, after=seq)
            assert probe(node.port) == seen
            transition = node.event("transition", after=seq, state=told)
            took.append((happened["mono_ns"] - transition["mono_ns"]) / 1e6)
    record_property("worst_ms", max(took))
    print(
        f"from the transition to the port: {sorted(took)[len(took) // 2]:.2f} ms (median), {max(took):.2f} ms (worst)"
    )
    assert node.runs_without_privilege()


def test_a_backup_is_closed_and_says_why(node):
    status = until(lambda: "open" in (said := node.status()) and said)
    assert (status["open"], status["reason"]) == (False, "VI_1 is not MASTER here")
    assert "is CLOSED: VI_1 is not MASTER here" in node.vip_agent("status").stdout
    assert become(node, "MASTER")["port"] == node.port
    assert "is open" in until(lambda: "is open" in (said := node.vip_agent("status").stdout) and said)


def test_it_is_closed_when_keepalived_dies(master):
    seq = master.last()
    master.keepalived.kill()
    master.keepalived.wait()
    closed = master.event("port_closed", after=seq)
    assert probe(master.port) == "refused"
    assert closed["reason"] == "VI_1 is not MASTER here"


def test_another_keepalived_is_not_the_master_because_the_last_one_was(master):
    time.sleep(1.1)  # as old as a mastership must be, for its keepalived to be known as another one
    seq = master.last()
    master.keepalived.kill()
    master.keepalived.wait()
    master.start_keepalived()
    master.event("keepalived", after=seq, running=True)
    time.sleep(0.6)
    assert probe(master.port) == "refused"
    become(master, "MASTER")
    assert probe(master.port) == "open"


def test_it_is_closed_while_keepalived_is_stopped(master, record_property):
    """It says nothing then, and the others have another master soon."""
    seq = master.last()
    watch, stopped = Watch(), time.monotonic_ns()
    master.keepalived.send_signal(signal.SIGSTOP)
    closed = master.event("port_closed", after=seq)
    assert probe(master.port) == "refused"
    assert closed["reason"] == "keepalived is stopped by a signal"
    took = (closed["mono_ns"] - stopped) / 1e9
    record_property("closed_after_s", took)
    print(f"closed {took:.3f} s after SIGSTOP to keepalived")
    watch.at_most(0.5, took)
    # An agent that comes meanwhile does not believe the log, either.
    master.stop(signal.SIGKILL)
    master.start(ready=False)
    until(lambda: master.status().get("reason") == "keepalived is stopped by a signal")
    assert probe(master.port) == "refused"
    master.keepalived.send_signal(signal.SIGCONT)
    master.event("port_opened", after=closed["seq"])
    assert probe(master.port) == "open"


# --- with its own checks


def test_it_is_closed_as_soon_as_a_check_has_failed(make_node):
    with socket.create_server((ADDRESS, 0)) as service:
        check = {"name": "web", "type": "tcp", "port": service.getsockname()[1], "interval_ms": 20, "rise": 1}
        node = make_node([check])
        node.event("check", healthy=True)
        become(node, "MASTER")
        seq = node.last()
    closed = node.event("port_closed", after=seq)
    failed = node.event("check", after=seq, healthy=False)
    assert probe(node.port) == "refused"
    assert closed["reason"] == "the verdict of web is failed"
    assert 0 < closed["mono_ns"] - failed["mono_ns"] < 250e6
    with socket.create_server((ADDRESS, check["port"])):
        node.event("port_opened", after=closed["seq"])
        assert probe(node.port) == "open"


def test_a_master_whose_check_has_never_passed_is_closed(make_node):
    node = make_node([{"name": "web", "type": "tcp", "port": free_port()}])
    node.state("MASTER")
    node.event("transition")
    until(lambda: node.status().get("reason") == "the verdict of web is failed")
    assert probe(node.port) == "refused"


# --- without an agent, or with one that hangs


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_it_is_closed_when_the_agent_ends_and_open_again_with_the_next(master, number):
    seq = master.last()
    master.stop(number)
    assert probe(master.port) == "refused"
    # The same keepalived still says that this node is the master.
    master.start(ready=False)
    master.event("port_opened", after=seq)
    assert probe(master.port) == "open"


def test_a_stopping_agent_says_so(master):
    seq = master.last()
    master.stop()
    assert master.event("port_closed", after=seq)["reason"] == "the agent stops"


def test_a_hung_agent_keeps_it_open_for_a_second_at_most_and_for_few_probes(master, record_property):
    master.process.send_signal(signal.SIGSTOP)
    is_closed_in_time(master, record_property)


def test_so_does_a_node_of_which_all_processes_stand_still(master, record_property):
    """No process of such a node could close it, systemd neither."""
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    unified = next((Path(mount[1]) for mount in mounts if mount[2] == "cgroup2"), None)
    if os.geteuid() or not unified:
        pytest.skip("this needs root, and control groups of version 2")
    group = unified / f"health-port-{os.getpid()}"
    group.mkdir()
    try:
        (group / "cgroup.procs").write_text(str(master.process.pid))
        (group / "cgroup.freeze").write_text("1")
        until(lambda: "frozen 1" in (group / "cgroup.events").read_text())
        is_closed_in_time(master, record_property)
    finally:
        (group / "cgroup.freeze").write_text("0")
        master.process.kill()
        master.process.wait()
        until(lambda: "populated 0" in (group / "cgroup.events").read_text())
        group.rmdir()


def is_closed_in_time(node, record_property):
    """The agent does nothing any more, as of now."""
    watch = Watch()
    seen = []
    while not seen or seen[-1] != "refused":
        watch.holds(watch.took_s < 5, "it stays open")
        seen.append(probe(node.port))
        time.sleep(0.005)
    took = watch.took_s
    assert seen.count("open") <= FEW, seen
    assert "silent" in seen, "the kernel answers as many as the backlog lets it, and no more"
    watch.at_most(LASTS + SLACK, took)
    record_property("closed_after_s", took)
    print(f"refused after {took:.3f} s; until then {seen.count('open')} of {len(seen)} connections were made")
    assert node.process.wait(5) == -signal.SIGKILL


def test_the_kernel_ends_no_agent_that_does_its_work(master):
    """For longer than a hung one would live, with probers, a check that takes its time, and a log that is written."""
    watch = Watch()
    while watch.took_s < 4 * LASTS:
        watch.holds(probe(master.port, seconds=1.0) == "open", "a probe was not answered")
        master.tell("# a line for the log")
        time.sleep(0.01)
    assert master.process.poll() is None


def test_a_backup_that_hangs_is_nobodys_loss(node):
    node.process.send_signal(signal.SIGSTOP)
    time.sleep(LASTS + 2 * SLACK)
    assert node.process.poll() is None and probe(node.port) == "refused"
    node.process.send_signal(signal.SIGCONT)
    become(node, "MASTER")


# --- two nodes


def test_two_nodes_are_open_at_once_for_no_longer_than_the_transition(make_node, record_property):
    port = free_port()
    nodes = [make_node(port=port, address=address) for address in ("127.0.0.1", "127.0.0.2")]
    spans, ended = [], threading.Event()

    def watch_both():
        since = None
        while not ended.is_set():
            now = time.monotonic()
            both = all(probe(port, node.action["address"]) == "open" for node in nodes)
            since = (since or now) if both else None
            if since:
                spans.append(time.monotonic() - since)
            time.sleep(0.001)

    watch = Watch()
    prober = threading.Thread(target=watch_both)
    prober.start()
    try:
        become(nodes[0], "MASTER")
        for turn in range(20):
            old, new = nodes[turn % 2], nodes[1 - turn % 2]
            closing, opening = old.last(), new.last()
            old.tell('INSTANCE "VI_1" BACKUP 253')
            new.tell('INSTANCE "VI_1" MASTER 254')
            new.event("port_opened", after=opening)
            old.event("port_closed", after=closing)
    finally:
        ended.set()
        prober.join()
    worst = max(spans, default=0.0)
    record_property("both_open_s", worst)
    print(f"both were open for {1000 * worst:.1f} ms at most")
    watch.at_most(0.1, worst)


# --- HTTP


def test_http_is_answered_by_an_agent_that_works(make_node):
    node = make_node(mode="http")
    become(node, "MASTER")
    assert get(node.port) == b"HTTP/1.1 200 OK"
    node.process.send_signal(signal.SIGSTOP)
    with pytest.raises((TimeoutError, ConnectionError)):
        get(node.port)
    assert node.process.wait(5) == -signal.SIGKILL
    assert probe(node.port) == "refused"


def test_many_at_once_are_answered(make_node):
    node = make_node(mode="http")
    become(node, "MASTER")
    with ExitStack() as stack:
        asking = [stack.enter_context(socket.create_connection((ADDRESS, node.port), 5)) for _one in range(30)]
        for connection in asking:
            connection.sendall(b"GET / HTTP/1.1\r\n\r\n")
        for connection in asking:
            assert connection.recv(4096).startswith(b"HTTP/1.1 200 OK")


# --- beside others


def test_a_port_in_use_is_a_problem_until_it_is_free(make_node):
    with socket.create_server((ADDRESS, 0)) as other:
        node = make_node(port=other.getsockname()[1], address=ADDRESS)
        node.state("MASTER")
        until(lambda: "Address already in use" in node.status()["problems"].get("lb: port", ""))
        assert node.vip_agent("status").returncode == 1
        seq = node.last()
    node.event("port_opened", after=seq)
    until(lambda: not node.status()["problems"])
    assert probe(node.port) == "open"


def test_a_prober_whose_connection_is_gone_does_no_harm(master):
    for _round in range(50):
        with socket.socket() as connection:
            connection.setblocking(False)
            with suppress(BlockingIOError):
                connection.connect((ADDRESS, master.port))
            select.select([], [connection], [], 1)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # it ends with a reset
    assert probe(master.port, seconds=1.0) == "open"


def test_a_command_of_a_check_does_not_keep_it_open(make_node):
    """It gets no descriptor of the agent, and may outlive it."""
    command = shutil.which("sleep")
    check = {"name": "slow", "type": "command", "command": [command, "4321"], "timeout_ms": 60000}
    healthy = {"name": "web", "type": "command", "command": ["/bin/true"]}
    node = make_node([healthy])
    node.event("check", healthy=True)
    node.stop()
    (node.path / "check" / "slow").write_text("0\n")  # of the agent before
    node.act([healthy, check])
    subprocess.run(["chown", "-R", "--reference", str(node.path), str(node.path / "check")], check=True)
    node.start(ready=False)
    become(node, "MASTER")
    until(lambda: _is_running(command, "4321"))
    node.stop(signal.SIGKILL)
    assert probe(node.port) == "refused"
    for pid in _is_running(command, "4321"):
        os.kill(pid, signal.SIGKILL)


def _is_running(*words):
    wanted = b"\0".join(os.fsencode(word) for word in words) + b"\0"
    found = []
    for cmdline in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            if cmdline.read_bytes() == wanted:
                found.append(int(cmdline.parent.name))
    return found

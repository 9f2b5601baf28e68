# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The watch, which outlives the agent: as a process of its own, beside a real agent."""

from __future__ import annotations

import functools
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

import pytest

from ansible_collections.cloudha.vip.plugins.module_utils.agent import service
from ansible_collections.cloudha.vip.tests.unit.plugins.module_utils.agent.made_up_node import Node
from ansible_collections.cloudha.vip.tests.unit.plugins.module_utils.agent.made_up_node import until as soon

COLLECTION = Path(service.__file__).parents[3]
WATCH = COLLECTION / "roles/vip_agent/files/watch"
TURN = 0.02
until = functools.partial(soon, seconds=60)  # each turn starts a process, which a busy machine takes its time for


@pytest.fixture
def node(tmp_path):
    node = Node(tmp_path)
    yield node
    if node.process:
        node.stop(signal.SIGKILL)
    os.close(node.fifo)


@pytest.fixture
def port():
    """Of a service that answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve():
            while True:
                try:
                    connection, _peer = listener.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(4096)
                    connection.sendall(b"HTTP/1.1 200 OK\r\n\r\nok\n")

        threading.Thread(target=serve, daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def watch(tmp_path):
    """Starts a watch whose turns are shorter than a second; gives its standard error when it is stopped."""
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "sleep").write_text(f"#!/bin/sh\nexec {shutil.which('sleep')} {TURN}\n")
    (tools / "sleep").chmod(0o755)
    running = []

    def start(turns):
        process = subprocess.Popen(
            ["sh", str(WATCH), str(turns), str(tmp_path)],
            env={"PATH": f"{tools}:/usr/bin:/bin"},
            stderr=subprocess.PIPE,
            text=True,
        )
        running.append(process)

        def stop():
            process.terminate()
            return process.communicate(timeout=10)[1]

        return stop

    yield start
    for process in running:
        process.kill()
        process.wait()
        process.stderr.close()


def healthy(node, port):
    node.configure(checks=[{"name": "web", "type": "http", "url": f"http://127.0.0.1:{port}/"}])
    node.start()
    node.event("check", healthy=True)
    until((node.path / "agent/renewed").exists)


def test_the_verdict_of_a_killed_agent_fails_and_a_new_agent_makes_it_healthy_again(node, port, watch):
    healthy(node, port)
    stop = watch(100)  # two seconds, and a renewal comes four times a second
    time.sleep(3)
    assert node.verdict() == "0\n", "an agent that lives is believed"
    node.stop(signal.SIGKILL)
    assert node.verdict() == "0\n"
    until(lambda: node.verdict() == "1\n")
    assert os.stat(node.path / "check/web").st_mode & 0o777 == 0o644
    seq = node.start()
    node.event("check", after=seq, healthy=True)
    assert node.verdict() == "0\n"
    assert "web counts as failed" in stop()


def test_a_hung_agent_is_away(node, port, watch):
    healthy(node, port)
    watch(50)
    node.process.send_signal(signal.SIGSTOP)
    until(lambda: node.verdict() == "1\n")
    node.process.send_signal(signal.SIGCONT)
    until(lambda: node.verdict() == "0\n")  # it repairs what it has not written


def test_a_restart_fails_nothing(node, port, watch):
    healthy(node, port)
    inode = os.stat(node.path / "check/web").st_ino
    watch(500)
    for number in (signal.SIGTERM, signal.SIGKILL):
        node.stop(number)
        node.start()
        time.sleep(0.5)
    assert os.stat(node.path / "check/web").st_ino == inode, "nobody has written it anew"


def test_agents_that_die_before_they_know_anything_renew_nothing(node, watch):
    """In a loop, as systemd starts them: the listener takes the connection, and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        node.configure(checks=[{"name": "web", "type": "http", "url": url, "timeout_ms": 60_000}])
        (node.path / "check/web").write_text("0\n")
        watch(100)
        deadline = time.monotonic() + 60
        while node.verdict() != "1\n":
            assert time.monotonic() < deadline
            node.start()
            time.sleep(0.3)  # more than a tick
            node.stop(signal.SIGKILL)
        assert not (node.path / "agent/renewed").exists()


def test_a_check_that_may_take_long_may_take_as_long_after_a_restart(tmp_path, watch):
    (tmp_path / "check").mkdir()
    (tmp_path / "agent").mkdir()
    (tmp_path / "check/web").write_text("0\n")
    (tmp_path / "agent/renewed").write_text("123 100\n")
    watch(10)
    began = time.monotonic()
    until(lambda: (tmp_path / "check/web").read_text() == "1\n")
    assert time.monotonic() - began > 110 * TURN


def test_a_new_check_that_takes_long_fails_no_verdict(node, port, watch):
    """Before its first attempt has ended, nothing is renewed; the watch knows only how long the old checks took."""
    healthy(node, port)
    watch(100)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        checks = [
            {"name": "web", "type": "http", "url": f"http://127.0.0.1:{port}/"},
            {
                "name": "slow",
                "type": "http",
                "url": f"http://127.0.0.1:{silent.getsockname()[1]}/",
                "timeout_ms": 600_000,
            },
        ]
        node.stop(signal.SIGTERM)
        renewed = (node.path / "agent/renewed").read_text().split()[0]
        node.configure(checks=checks)
        node.start()
        time.sleep(200 * TURN)
        assert node.verdict() == "0\n"
        assert (node.path / "agent/renewed").read_text() == f"{renewed} 600\n"


@pytest.mark.parametrize(
    "text",
    [b"", b"\n", b"x", b"1 x\n", b"1 08\n", b"1 -1\n", b"1 $(id)\n", b"1 99999999\n", b"1 2 3\n", b"\0\0 \xff\n"],
)
def test_whatever_is_in_the_file_the_watch_goes_on(tmp_path, watch, text):
    (tmp_path / "check").mkdir()
    (tmp_path / "agent").mkdir()
    (tmp_path / "check/web").write_text("0\n")
    (tmp_path / "check/gone").symlink_to("/nonexistent")
    (tmp_path / "agent/renewed").write_bytes(text)
    watch(5)
    until(lambda: (tmp_path / "check/web").read_text() == "1\n")


def test_without_an_agent_and_without_a_check_it_waits(tmp_path, watch):
    stop = watch(1)
    time.sleep(0.3)
    (tmp_path / "check").mkdir()
    for _time in range(2):  # it says so after it has done so; the first time, before it does so again
        (tmp_path / "check/web").write_text("0\n")
        until(lambda: (tmp_path / "check/web").read_text() == "1\n")
    assert "web" in stop()

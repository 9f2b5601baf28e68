# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The agent as the role lays it on a node: a process of its own, without Ansible."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from ansible_collections.cloudha.vip.plugins.module_utils.agent import guard, service
from ansible_collections.cloudha.vip.plugins.module_utils.agent.config import load
from ansible_collections.cloudha.vip.plugins.module_utils.agent.events import newest_first
from ansible_collections.cloudha.vip.plugins.module_utils.topology.values import SHORTEST_VERDICT
from ansible_collections.cloudha.vip.tests.unit.plugins.module_utils.agent.made_up_node import Node, until


@pytest.fixture
def node(tmp_path):
    node = Node(tmp_path)
    yield node
    if node.process:
        node.stop(signal.SIGKILL)
    os.close(node.fifo)


@pytest.fixture
def web():
    """A service that can die, hang and come back on the same port."""
    web = Web()
    yield web
    web.stop()


class Web:
    def __init__(self):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.port = listener.getsockname()[1]
        self.listener = None
        self.hung = False
        self.held = []

    def start(self):
        self.listener = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._serve, args=(self.listener,), daemon=True).start()

    def _serve(self, listener):
        while True:
            try:
                connection, _peer = listener.accept()
            except OSError:
                return
            if self.hung:
                self.held.append(connection)
                continue
            with connection:
                connection.recv(4096)
                connection.sendall(b"HTTP/1.1 200 OK\r\n\r\nok\n")

    def stop(self):
        if self.listener:
            self.listener.shutdown(socket.SHUT_RDWR)
            self.listener.close()
            self.listener = None

    def check(self, **keys):
        return {"name": "web", "type": "http", "url": f"http://127.0.0.1:{self.port}/", **keys}


def test_a_service_that_comes_dies_hangs_and_comes_back(node, web):
    node.configure(checks=[web.check()])
    node.start()
    until((node.path / "check/web").exists)
    assert node.verdict() == "1\n"  # nothing is known: not healthy
    web.start()
    node.event("check", healthy=True)
    assert node.verdict() == "0\n"
    web.stop()
    died = node.event("check", healthy=False)
    assert node.verdict() == "1\n"
    assert "refused" in died["reason"]
    web.start()
    back = node.event("check", after=died["seq"], healthy=True)
    web.hung = True
    hung = node.event("check", after=back["seq"], healthy=False)
    assert "waiting for the answer" in hung["reason"]
    status = json.loads(node.vip_agent("status", "--json").stdout)
    assert status["running"] is True
    assert status["checks"]["web"]["healthy"] is False
    assert status["rss_kib"] < 30 * 1024


def test_an_upgrade_does_not_change_a_verdict(node, web):
    node.configure(checks=[web.check(interval_ms=3_600_000)])  # one attempt, and no more
    web.start()
    node.start()
    node.event("check", healthy=True)
    written = os.stat(node.path / "check/web").st_mtime_ns
    web.stop()
    for number in (signal.SIGTERM, signal.SIGKILL):
        node.stop(number)
        node.start()
        until(lambda: json.loads(node.vip_agent("status", "--json").stdout)["checks"]["web"]["last"])
    assert node.verdict() == "0\n"
    assert os.stat(node.path / "check/web").st_mtime_ns == written
    assert [event["checks"] for event in node.events() if event["event"] == "agent_start"][1:] == [{"web": True}] * 2


def test_verdicts_that_were_lost_or_are_of_no_check(node, web):
    web.start()
    (node.path / "check/old").write_text("1\n")
    node.configure(checks=[web.check()])
    node.start()
    node.event("check", healthy=True)
    assert os.listdir(node.path / "check") == ["web"]
    os.unlink(node.path / "check/web")
    until(lambda: os.path.exists(node.path / "check/web"))
    assert node.verdict() == "0\n"


def test_transitions_come_in_order_and_only_once_through_kills_of_the_agent(node):
    rng = random.Random(1)
    total = 3000
    writing = threading.Thread(
        target=lambda: [(node.tell(f'INSTANCE "VI_{number}" MASTER 254'), time.sleep(0.001)) for number in range(total)]
    )
    writing.start()
    kills = 0
    while writing.is_alive():
        node.start()
        time.sleep(rng.uniform(0, 0.3))
        node.stop(signal.SIGKILL)
        kills += 1
    node.start()
    node.event("transition", name=f"VI_{total - 1}")
    events = node.events()
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert [event["name"] for event in events if event["event"] == "transition"] == [f"VI_{n}" for n in range(total)]
    assert kills > 3


def test_lines_written_while_no_agent_ran_are_marked(node):
    node.tell('INSTANCE "VI_1" BACKUP 254')
    node.start()
    assert node.event("transition", state="BACKUP")["backlog"] is True
    node.tell('INSTANCE "VI_1" MASTER 254')
    assert "backlog" not in node.event("transition", state="MASTER")


def test_a_fifo_that_keepalived_made_anew(node):
    node.start()
    node.tell('INSTANCE "VI_1" MASTER 254')
    node.event("transition", state="MASTER")
    node.tell('INSTANCE "VI_1" STOP 254')
    os.unlink(node.path / "notify")
    os.close(node.fifo)
    os.mkfifo(node.path / "notify")
    node.fifo = os.open(node.path / "notify", os.O_RDWR | os.O_NONBLOCK)
    node.tell('INSTANCE "VI_1" BACKUP 254')
    node.event("transition", state="BACKUP")
    states = [event["state"] for event in node.events() if event["event"] == "transition"]
    assert states == ["MASTER", "STOP", "BACKUP"]


def test_what_was_missed_shows_in_the_addresses(node):
    node.configure(
        instances=[{"name": "here", "addresses": ["127.0.0.1/8"]}, {"name": "gone", "addresses": ["192.0.2.9"]}]
    )
    node.start()
    node.tell('INSTANCE "here" BACKUP 254', 'INSTANCE "gone" MASTER 254')
    node.event("transition", name="gone")
    node.stop(signal.SIGKILL)
    observed = node.event("observed", after=node.start())
    assert observed["addresses"] == {"127.0.0.1": "lo", "192.0.2.9": None}
    assert observed["instances"] == {
        "here": {"holds": True, "logged": "BACKUP", "agrees": False},
        "gone": {"holds": False, "logged": "MASTER", "agrees": False},
    }


def test_keepalived_ends_and_comes_back(node):
    node.start()
    program = node.path / "keepalived"  # the name is what counts
    shutil.copy("/bin/sleep", program)
    for _round in range(2):
        seq = node.events()[-1]["seq"]
        keepalived = subprocess.Popen([str(program), "60"])
        (node.path / "keepalived.pid").write_text(f"{keepalived.pid}\n")
        node.event("keepalived", after=seq, running=True, pid=keepalived.pid)
        keepalived.kill()
        keepalived.wait()
        node.event("keepalived", after=seq, running=False, pid=keepalived.pid)


def test_status_and_its_exit_codes(node, web):
    assert node.vip_agent("status").returncode == 3
    node.configure(checks=[web.check()])
    web.start()
    (node.path / "drain").write_text("-10\n")
    node.start()
    node.tell('INSTANCE "VI_1" MASTER 254', 'INSTANCE "VI_1" MASTER_PRIORITY 100')
    node.event("check", healthy=True)
    healthy = until(lambda: (found := node.vip_agent("status")).returncode == 0 and found)
    assert "drained" in healthy.stdout
    assert "unknown (was MASTER)" in healthy.stdout  # no keepalived runs here
    assert "priority 100" in healthy.stdout
    node.tell('INSTANCE "VI_1" FAULT 254')
    until(lambda: node.vip_agent("status").returncode == 1)
    assert node.stop() == 0
    ended = node.vip_agent("status")
    assert ended.returncode == 3
    assert "NOT RUNNING" in ended.stdout
    assert node.events()[-1]["event"] == "agent_stop"


@pytest.fixture
def keepalived(node):
    program = node.path / "keepalived"
    shutil.copy("/bin/sleep", program)
    process = subprocess.Popen([str(program), "60"])
    (node.path / "keepalived.pid").write_text(f"{process.pid}\n")
    yield process
    process.kill()
    process.wait()


def says(node, *problems, age=0.0):
    mono = time.monotonic_ns() - int(age * 1e9)
    (node.path / "keepalived.json").write_text(json.dumps({"mono": mono, "problems": problems}))


def test_what_the_guard_sees_of_keepalived_is_a_problem_of_the_agent(node, keepalived):
    node.start()
    until(lambda: node.vip_agent("status").returncode == 0)
    says(node, "keepalived does not watch drain")
    blind = until(lambda: (found := node.vip_agent("status")).returncode == 1 and found)
    assert "PROBLEM keepalived: keepalived does not watch drain" in blind.stdout
    says(node)
    until(lambda: node.vip_agent("status").returncode == 0)


def test_a_silent_guard_is_a_problem_of_the_agent_and_of_no_service(node, web, keepalived):
    web.start()
    node.configure(checks=[web.check()])
    says(node, "keepalived does not watch drain", age=60)
    node.start()
    silent = until(lambda: "PROBLEM keepalived: the guard" in (found := node.vip_agent("status")).stdout and found)
    assert (silent.returncode, "watch drain" in silent.stdout, node.verdict()) == (1, False, "0\n")
    says(node)
    until(lambda: node.vip_agent("status").returncode == 0)


def test_an_instance_that_a_reload_removed_is_forgotten(node, keepalived):
    node.configure(instances=[{"name": "VI_1"}])
    node.start()
    node.tell('INSTANCE "VI_1" BACKUP 254', 'INSTANCE "VI_2" BACKUP 254', 'GROUP "G" BACKUP 254')
    node.tell('INSTANCE "VI_2" FAULT 254', 'GROUP "G" FAULT 254')
    node.event("transition", name="G", state="FAULT")

    def loaded(since, *members):
        said = {"mono": time.monotonic_ns(), "problems": [], "in_force": {"since": since, "members": members}}
        (node.path / "keepalived.json.new").write_text(json.dumps(said))
        (node.path / "keepalived.json.new").rename(node.path / "keepalived.json")

    def states():
        return sorted(json.loads(node.vip_agent("status", "--json").stdout)["states"])

    loaded(
        time.time_ns() - 60_000_000_000, "INSTANCE VI_1"
    )  # read before they were in FAULT: a reload may be under way
    time.sleep(2.5)
    assert states() == ["GROUP G", "INSTANCE VI_1", "INSTANCE VI_2"]
    assert node.vip_agent("status").returncode == 1
    loaded(time.time_ns())  # an instance of its own configuration it never forgets
    until(lambda: states() == ["INSTANCE VI_1"])
    until(lambda: node.vip_agent("status").returncode == 0)
    # One that is new is known before the guard has seen it.
    node.tell('INSTANCE "VI_3" BACKUP 254')
    node.event("transition", name="VI_3")
    time.sleep(2.5)
    assert states() == ["INSTANCE VI_1", "INSTANCE VI_3"]


@pytest.mark.parametrize("left", ["", "{}", "[]", '{"in_force": 5}', '{"in_force": {"since": "x", "members": []}}'])
def test_a_damaged_word_of_the_guard_lets_nothing_be_forgotten(tmp_path, left):
    (tmp_path / "health").write_text(left)
    assert guard.in_force(str(tmp_path / "health")) is None
    assert guard.in_force(str(tmp_path / "none")) is None


@pytest.mark.parametrize(
    ("deployed", "left", "runs", "silent"),
    [
        (True, None, True, True),
        (True, None, False, False),  # it has nothing to look at
        (True, "half a line", True, True),
        (True, '{"problems": []}', True, True),
        (False, None, True, False),
        (False, '{"mono": 0, "problems": []}', True, True),
        (True, '{"mono": 1111000000000, "problems": []}', True, False),
    ],
)
def test_a_guard_is_silent_after_ten_seconds(tmp_path, monkeypatch, deployed, left, runs, silent):
    unit, health = tmp_path / "unit", tmp_path / "health"
    if deployed:
        unit.touch()
    if left is not None:
        health.write_text(left)
    config = SimpleNamespace(keepalived_health=str(health), keepalived_guard=str(unit))
    told = []
    agent = SimpleNamespace(config=config, keepalived=runs, guard_heard=1100.0)
    agent.problem = lambda what, text: told.append(bool(text))
    for now in (1100.0, 1109.9, 1110.1, 1120.9):
        monkeypatch.setattr(time, "monotonic", lambda now=now: now)
        monkeypatch.setattr(time, "monotonic_ns", lambda now=now: int(now * 1e9))
        service.Agent._ask_guard(agent)
    assert told == [False, False, silent, silent]


def test_a_second_agent_is_refused(node):
    node.start()
    second = node.vip_agent("run")
    assert second.returncode == 1
    assert "another agent runs" in second.stderr


def test_a_log_that_cannot_be_written_holds_events_back(node):
    # A limit of 4 KiB for a file makes its writes fail, as a full disk would.
    limited = ["/bin/sh", "-c", 'ulimit -f 8; trap "" XFSZ; exec "$@"', "sh"]
    node.process = subprocess.Popen([*limited, *node.command("run")])
    node.event("observed")
    lines = [f'INSTANCE "VI_{number}" MASTER 254' for number in range(100)]
    node.tell(*lines)
    until(lambda: os.path.getsize(node.log) > 4096 - 512)
    until(lambda: "event_log" in json.loads(node.vip_agent("status", "--json").stdout)["problems"])
    node.stop(signal.SIGKILL)
    node.start()
    node.event("transition", name="VI_99")
    assert [event["name"] for event in node.events() if event["event"] == "transition"] == [
        f"VI_{n}" for n in range(100)
    ]


def test_check_once_and_drain(node, web):
    node.configure(checks=[web.check()])
    failed = node.vip_agent("check", "web")
    assert failed.returncode == 1
    assert "refused" in failed.stdout
    web.start()
    assert node.vip_agent("check", "web").returncode == 0
    assert "configured: web" in node.vip_agent("check", "wbe").stderr
    for words, value in ((["drain"], "-10\n"), (["drain", "--hand-over"], "-254\n"), (["undrain"], "0\n")):
        assert node.vip_agent(*words).returncode == 0
        assert (node.path / "drain").read_text() == value


ROLE = Path(service.__file__).parents[3] / "roles/vip_agent"


def role(file, pattern):
    (found,) = re.findall(pattern, (ROLE / file).read_text(), re.M)
    return float(found)


def test_a_restart_does_not_outlast_the_shortest_life_of_a_verdict():
    """systemd kills an agent that does not end, and the next one needs a part of a second to renew the verdicts."""
    ends = role("templates/vip-agent.service.j2", "^TimeoutStopSec=([0-9]+)s$")
    pause = role("templates/vip-agent.service.j2", "^RestartSec=([0-9]+)ms$") / 1000
    assert ends + pause + 0.5 < SHORTEST_VERDICT
    assert role("defaults/main.yml", "^vip_agent_verdict_lasts_s: ([0-9]+)$") >= SHORTEST_VERDICT
    assert ends > service.PATIENCE


def test_actions_that_hang_do_not_delay_the_end(node):
    """Six of them wait for an answer of the metadata server."""
    for package in ("clouds", "failover"):
        (node.path / "lib/vip_agent" / package).symlink_to(ROLE.parents[1] / "plugins/module_utils" / package)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        names = [f"route-{number}" for number in range(6)]
        route = {"type": "gcp_route", "instance": "VI_1", "destination": "10.200.1.1/32", "network": "net"}
        actions = [{**route, "name": name, "endpoint": url, "metadata_url": url} for name in names]
        node.configure(instances=[{"name": "VI_1"}], actions=actions)
        node.start()
        silent.settimeout(15)
        accepted = [silent.accept()[0] for _name in names]
        began = time.monotonic()
        assert node.stop() == 0
        assert time.monotonic() - began < 3 * service.PATIENCE
        for connection in accepted:
            connection.close()
    assert node.events()[-1]["event"] == "agent_stop"


def test_events_since(node):
    node.start()
    node.stop()
    first, *_rest, last = node.events()
    since = node.vip_agent("events", "--json", "--since", last["time"])
    assert [json.loads(line) for line in since.stdout.splitlines()] == [last]
    assert len(node.vip_agent("events", "--since", "1h").stdout.splitlines()) == len(node.events())
    assert node.vip_agent("events", "--since", "yesterday").returncode == 2
    assert first["event"] == "agent_start"


def test_a_bad_configuration_is_refused(node):
    node.configure(checks=[{"name": "web", "type": "http"}])
    refused = node.vip_agent("run", "--check-config", str(node.path / "config.json"))
    assert refused.returncode == 2
    assert "checks[0].url: is required" in refused.stderr
    assert node.vip_agent("run").returncode == 2


def test_listeners_are_told_each_transition_after_it_is_logged(node):
    config = load(str(node.path / "config.json"))
    told = []

    def listener(record):
        told.append((record["state"], next(newest_first(node.log))["seq"] == record["seq"]))

    agent = service.Agent(config, (listener,))
    agent._reopen_fifo()
    node.tell('INSTANCE "VI_1" BACKUP 254', "VS [192.0.2.1]:tcp:80 UP", 'INSTANCE "VI_1" MASTER 254')
    agent._read_fifo()
    os.close(agent.lock)
    assert told == [("BACKUP", True), ("MASTER", True)]


def test_without_an_action_nothing_of_the_cloud_is_loaded(node):
    node.start()
    with open(f"/proc/{node.process.pid}/maps") as file:
        assert "ssl" not in file.read()
    assert json.loads(node.vip_agent("status", "--json").stdout)["actions"] == {}

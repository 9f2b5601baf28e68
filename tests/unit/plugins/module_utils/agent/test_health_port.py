# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The port with a made-up agent, and the kernel's real sockets. The agent as a process is in tests/contract."""

from __future__ import annotations

import contextlib
import socket
import time
from types import SimpleNamespace

import pytest

from ansible_collections.cloudha.vip.plugins.module_utils.agent import health_port
from ansible_collections.cloudha.vip.plugins.module_utils.agent.config import ConfigError, parse
from ansible_collections.cloudha.vip.plugins.module_utils.agent.loop import Loop

ACTION = {"type": "health_port", "instance": "VI_1", "name": "lb", "port": 6000}


def config_of(**changes):
    return parse({"instances": [{"name": "VI_1"}], "actions": [{**ACTION, **changes}]}).actions[0]


class Agent:
    """What the action sees of an agent."""

    def __init__(self):
        self.loop = Loop()
        self.master, self.stopped = True, False
        self.runners = [self.check("web", True), self.check("app", True)]
        self.events, self.problems, self.news = [], {}, False

    @staticmethod
    def check(name, healthy):
        return SimpleNamespace(check=SimpleNamespace(name=name), verdict=SimpleNamespace(healthy=healthy))

    def mastership(self, instance):
        return {"state": "MASTER"} if self.master and instance == "VI_1" else None

    def keepalived_stopped(self):
        return self.stopped

    def record(self, event, **fields):
        self.events.append((event, fields))

    def problem(self, what, text):
        self.problems = {**self.problems, what: text}
        if not text:
            del self.problems[what]


class Switch:
    """Nobody is killed by this one."""

    def __init__(self, seconds):
        self.told = []

    def hold(self):
        self.told.append("hold")

    def release(self):
        self.told.append("release")

    def close(self):
        self.told.append("close")


class Bench:
    def __init__(self, **changes):
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.agent = Agent()
        config = config_of(**{"port": self.port, "address": "127.0.0.1", **changes})
        self.action = health_port.HealthPort(config, self.agent)
        self.switch = self.action._switch

    def turn(self, seconds=0.05):
        """Let the agent's loop run."""
        end = time.monotonic() + seconds
        self.agent.loop.at(end, lambda: None)
        while time.monotonic() < end:
            self.agent.loop.turn()

    def connect(self, address="127.0.0.1"):
        return socket.create_connection((address, self.port), 5)

    def is_open(self):
        with contextlib.suppress(ConnectionRefusedError), self.connect():
            return True
        return False

    def ask(self, *pieces):
        """Send the request in pieces; all that comes until the connection is closed."""
        answer = b""
        with self.connect() as connection:
            for piece in pieces:
                connection.sendall(piece)
                self.turn()
            connection.settimeout(0.2)
            with contextlib.suppress(
                OSError
            ):  # a reset, or no end in time, which was no TimeoutError before Python 3.10
                while more := connection.recv(4096):
                    answer += more
                return answer
            return "no end"


@pytest.fixture(autouse=True)
def switch(monkeypatch):
    monkeypatch.setattr(health_port, "DeadMansSwitch", Switch)


@pytest.fixture
def make():
    made = []

    def make(**changes):
        made.append(Bench(**changes))
        return made[-1]

    yield make
    for bench in made:
        bench.action.stop()
        bench.agent.loop.close()


# --- the configuration


def test_the_least_that_must_be_given():
    config = config_of()
    assert (config.port, config.address, config.mode, config.name) == (6000, "0.0.0.0", "tcp", "lb")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"port": None}, "port: is required"),
        ({"port": 80}, "port: must be from 1024 to 65535, not 80"),
        ({"port": 65536}, "port: must be from 1024 to 65535, not 65536"),
        ({"port": "6000"}, 'port: must be a whole number, not "6000"'),
        ({"address": "lb.example.com"}, "address: 'lb.example.com' is not an IP address"),
        ({"address": ""}, "address: '' is not an IP address"),
        ({"mode": "https"}, "mode: must be one of tcp, http, not 'https'"),
        ({"instance": "VI_2"}, "instance: 'VI_2' is none of the instances: VI_1"),
        ({"timeout_s": 60}, "timeout_s: is not a known key"),
        ({"check_interval_s": 1}, "check_interval_s: is not a known key"),
    ],
)
def test_mistakes(changes, says):
    with pytest.raises(ConfigError) as refused:
        config_of(**changes)
    assert f"actions[0].{says}" in str(refused.value).splitlines()


# --- when it is open


def test_it_is_open_if_the_node_is_the_master_and_all_checks_pass(make):
    bench = make()
    agent, (web, app) = bench.agent, bench.agent.runners
    for master, web.verdict.healthy, app.verdict.healthy, reason in (
        (False, True, True, "VI_1 is not MASTER here"),
        (True, True, True, ""),
        (True, False, True, "the verdict of web is failed"),
        (True, None, False, "the verdict of web, app is failed"),
        (True, True, True, ""),
        (False, True, True, "VI_1 is not MASTER here"),
    ):
        agent.master = master
        bench.action.look()
        assert bench.is_open() is not bool(reason)
        status = bench.action.status()
        assert (status["open"], status["reason"]) == (not reason, reason)
        bench.turn()
    told = {"action": "lb", "instance": "VI_1", "port": bench.port}
    assert agent.events == [
        ("port_opened", told),
        ("port_closed", {**told, "reason": "the verdict of web is failed"}),
        ("port_opened", told),
        ("port_closed", {**told, "reason": "VI_1 is not MASTER here"}),
    ]


def test_a_master_whose_keepalived_is_stopped_is_closed(make):
    bench = make()
    for bench.agent.stopped, reason in ((True, "keepalived is stopped by a signal"), (False, "")) * 2:
        bench.action.look()
        assert (bench.is_open(), bench.action.status()["reason"]) == (not reason, reason)
    bench.agent.master, bench.agent.stopped = False, True
    bench.action.look()
    assert bench.action.status()["reason"] == "VI_1 is not MASTER here"


def test_without_checks_it_is_the_masters(make):
    bench = make()
    bench.agent.runners = []
    bench.action.look()
    assert bench.is_open()


def test_a_look_that_changes_nothing_tells_nothing(make):
    bench = make()
    bench.action.look()
    bench.agent.news = False
    for _look in range(3):
        bench.action.look()
    assert len(bench.agent.events) == 1 and not bench.agent.news


def test_the_switch_is_held_while_it_is_open_and_from_before_that(make, monkeypatch):
    bench = make()
    listens = health_port._listen
    monkeypatch.setattr(health_port, "_listen", lambda *given: (bench.switch.told.append("listen"), listens(*given))[1])
    bench.agent.master = False
    bench.action.look()
    assert bench.switch.told == []
    bench.agent.master = True
    bench.action.look()
    bench.action.look()
    assert bench.switch.told == ["hold", "listen", "hold", "hold"]
    bench.agent.master = False
    bench.action.look()
    bench.action.look()
    assert bench.switch.told[4:] == ["release"]


def test_a_port_of_somebody_else_is_a_problem_until_it_is_free(make):
    bench = make()
    with socket.create_server(("127.0.0.1", bench.port)):
        bench.action.look()
        assert bench.agent.problems == {"lb: port": f"{bench.port} of 127.0.0.1: Address already in use"}
        assert bench.action.status()["reason"] == "Address already in use"
        assert bench.switch.told == ["hold", "release"], "an agent without the port need not die"
    bench.action.look()
    assert bench.is_open() and bench.agent.problems == {}


def test_a_problem_is_over_when_the_port_is_to_be_closed(make):
    bench = make(address="192.0.2.1")
    bench.action.look()
    assert bench.agent.problems == {"lb: port": f"{bench.port} of 192.0.2.1: Cannot assign requested address"}
    bench.agent.master = False
    bench.action.look()
    assert bench.agent.problems == {}


def test_it_is_closed_when_the_agent_ends(make):
    bench = make()
    bench.action.look()
    bench.action.stop()
    assert not bench.is_open()
    assert bench.agent.events[-1][1]["reason"] == "the agent stops"
    assert bench.switch.told[-2:] == ["release", "close"]


def test_its_description():
    status = {"port": 6000, "address": "0.0.0.0", "mode": "tcp", "open": True, "reason": ""}
    assert health_port.HealthPort.describe(status) == "port 6000 of 0.0.0.0 (tcp) is open"
    status.update(open=False, reason="VI_1 is not MASTER here")
    assert health_port.HealthPort.describe(status) == "port 6000 of 0.0.0.0 (tcp) is CLOSED: VI_1 is not MASTER here"


# --- its answers


@pytest.mark.parametrize(("given", "asked"), [("0.0.0.0", "127.0.0.1"), ("::", "127.0.0.1"), ("::", "::1")])
def test_all_addresses(make, given, asked):
    if ":" in given and not socket.has_ipv6:
        pytest.skip("no IPv6 here")
    bench = make(address=given)
    bench.action.look()
    with bench.connect(asked):
        pass


def test_tcp_is_accepted_and_ended(make):
    bench = make()
    bench.action.look()
    for _probe in range(3 * health_port.BACKLOG["tcp"]):
        with bench.connect() as connection:
            bench.turn(0.01)
            assert connection.recv(1) == b""


@pytest.mark.parametrize("mode", ["tcp", "http"])
def test_a_flood_does_not_keep_the_agent_from_its_other_work(make, mode):
    """At most as many as may be waiting are accepted in one turn of the loop, however many more come meanwhile."""
    bench = make(mode=mode)
    bench.action.look()
    accepted, more = [], contextlib.ExitStack()

    class Listener:
        def accept(self):
            accepted.append(more.enter_context(bench.connect()))
            return listener.accept()

        def fileno(self):
            return listener.fileno()

        def close(self):
            listener.close()

    listener, bench.action._listener = bench.action._listener, Listener()
    with more:
        bench.action._accept()
        assert len(accepted) == health_port.BACKLOG[mode] + 1
        bench.action._listener = listener


def test_http(make):
    bench = make(mode="http")
    bench.action.look()
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 3\r\nConnection: close\r\n\r\n"
    assert bench.ask(b"GET / HTTP/1.1\r\nHost: 10.100.3.1\r\n\r\n") == head + b"ok\n"
    assert bench.ask(b"GET /any?thing HTTP/1.0\r\n", b"\r", b"\n") == head + b"ok\n"
    assert bench.ask(b"HEAD / HTTP/1.1\r\n\r\n") == head
    assert bench.ask(b"") == "no end", "no answer without a request"


def test_http_that_goes_on_and_on_is_not_listened_to(make):
    bench = make(mode="http")
    bench.action.look()
    assert bench.ask(b"x" * (health_port.REQUEST_LIMIT + 1)) in (b"", "no end")
    assert bench.action._connections == 0


def test_a_connection_without_a_request_is_ended(make, monkeypatch):
    monkeypatch.setattr(health_port, "REQUEST_TIMEOUT", 0.1)
    bench = make(mode="http")
    bench.action.look()
    with bench.connect() as silent:
        bench.turn(0.05)
        assert bench.action._connections == 1
        bench.turn(0.15)
        assert (bench.action._connections, silent.recv(1)) == (0, b"")


def test_there_is_a_limit_of_connections_without_a_request(make):
    bench = make(mode="http")
    bench.action.look()
    with contextlib.ExitStack() as stack:
        silent = []
        for _one in range(health_port.CONNECTIONS + 8):
            silent.append(stack.enter_context(bench.connect()))
            bench.turn(0.002)
        assert bench.action._connections == health_port.CONNECTIONS
        assert [connection.recv(1) for connection in silent[-8:]] == [b""] * 8


@pytest.mark.parametrize("again", [False, True])
def test_a_connection_from_before_it_was_closed_gets_no_answer(make, again):
    bench = make(mode="http")
    bench.action.look()
    with bench.connect() as connection:
        bench.turn()
        for bench.agent.master in (False, *[True] * again):
            bench.action.look()
        connection.sendall(b"GET / HTTP/1.1\r\n\r\n")
        bench.turn()
        connection.settimeout(1)
        assert connection.recv(1) == b""

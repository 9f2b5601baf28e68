# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from ansible_collections.cloudha.vip.plugins.module_utils.drill.records import read_recording
from ansible_collections.cloudha.vip.tests.unit.plugins.module_utils.drill.made_up import between

# A program that the role lays on clients, and nothing that Ansible would import.
PROBER = Path(__file__).resolve().parents[5] / "roles/drill/files/prober.py"
_spec = importlib.util.spec_from_file_location("prober", PROBER)
prober = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(prober)

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nX-Vip-Node: node1\r\nConnection: close\r\n\r\nok\n"


def answer(data, closed=False):
    return prober.parse_http(data, closed, b"x-vip-node")


@pytest.mark.parametrize("end", range(len(ANSWER)))
def test_half_an_answer_is_none(end):
    assert answer(ANSWER[:end]) is None
    closed = answer(ANSWER[:end], closed=True)
    assert not closed.ok
    assert closed.err == ("broken" if end else "closed")


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (ANSWER, (True, "node1", None)),
        (ANSWER.replace(b"X-Vip-Node", b"x-vip-node"), (True, "node1", None)),
        (b"HTTP/1.0 301 Moved\r\n\r\n", (True, None, None)),
        (b"HTTP/1.1 503 Busy\r\nX-Vip-Node: node2\r\nContent-Length: 0\r\n\r\n", (False, "node2", "status 503")),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", (False, None, "not http")),
        (b"SSH 200\r\n\r\n", (False, None, "not http")),
        (b"\r\n\r\n", (False, None, "not http")),
    ],
)
def test_an_answer(data, expected):
    assert tuple(answer(data)) == expected


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--url", "https://192.0.2.1/"], "--url https://192.0.2.1/: must begin with http://, tcp:// or udp://"),
        (["--url", "tcp://192.0.2.1"], "--url tcp://192.0.2.1: needs a host and a port"),
        (["--url", "http://192.0.2.1:99999/"], "needs a host and a port"),
        (["--url", "http://192.0.2.1/", "--interval-ms", "0"], "--interval-ms 0: must be at least 1"),
        (["--url", "http://192.0.2.1/", "--timeout-ms", "9000"], "--timeout-ms 9000: must be between"),
        (["--url", "http://192.0.2.1/", "--max-seconds", "0"], "--max-seconds 0: must be more than 0"),
        (["--url", "http://192.0.2.1/", "--output", "/no/such/place"], "--output /no/such/place: No such file"),
    ],
)
def test_wrong_use_names_the_option(tmp_path, capsys, options, message):
    assert prober.main(["run", "--output", str(tmp_path / "record"), *options]) == 2
    assert message in capsys.readouterr().err


def line(at, by="node1", err=None):
    return json.dumps({"t": at * 1_000_000, "m": at * 1_000_000, "d": 1000, "ok": not err, "by": by, "err": err})


def follow(lines, **options):
    follower = prober.Follower(**{"since": 0, "good_ms": 100, **options})
    follower.feed(json.dumps({"prober": 1, "timeout_ms": 50}).encode())
    for number, text in enumerate(lines):
        found = follower.feed(text.encode())
        if found:
            return number, found
    return None, follower


def test_wait_waits_until_nothing_older_can_be_lost_any_more():
    # The run from 0 to 100 is certain once a request sent at 150 has ended.
    number, found = follow([line(at) for at in range(0, 400, 10)])
    assert number == 15
    assert (found["first"], found["last"], found["by"]) == (0, 100_000_000, "node1")


def test_wait_sees_a_loss_that_ends_after_later_answers():
    lines = [line(at) for at in range(0, 60, 10)] + [line(5, err="timeout", by=None)]
    number, found = follow(lines + [line(at) for at in range(60, 400, 10)])
    assert found["first"] == 10_000_000
    assert (found["requests"], found["lost"]) == (13, 1)
    assert number is not None


def test_wait_for_a_node_or_for_another():
    lines = [line(at, "node1" if at < 200 else "node2") for at in range(0, 600, 10)]
    assert follow(lines, by="node2")[1]["first"] == 200_000_000
    assert follow(lines, not_by="node1")[1]["first"] == 200_000_000
    assert follow(lines, since=70_000_000)[1]["first"] == 70_000_000
    assert follow(lines, by="node3")[0] is None


def test_wait_for_a_node_where_answers_name_none():
    lines = [line(at, None, "refused" if at < 200 else None) for at in range(0, 600, 10)]
    assert follow(lines, by="node2")[1]["first"] == 200_000_000
    assert follow(lines, not_by="node1")[1]["first"] == 200_000_000
    # Where answers have names, one without is not this node's.
    assert follow([line(0, "node1"), *lines], by="node2")[0] is None


def test_wait_for_each_of_those_who_answer_side_by_side():
    lines = [line(at, "real2" if at < 300 or at % 20 else "real1") for at in range(0, 600, 10)]
    assert follow(lines, each_by=["real1", "real2"])[1]["last"] == 300_000_000
    assert follow(lines, each_by=["real2"])[1]["last"] == 100_000_000
    # Once is not enough, if it was long ago.
    once = [line(at, "real1" if at == 0 else "real2") for at in range(0, 600, 10)]
    assert follow(once, each_by=["real1", "real2"])[0] is None


def test_wait_until_nobody_answers():
    lines = [line(at, *((None, "timeout") if 200 <= at < 260 or at >= 300 else ("node1",))) for at in range(0, 600, 10)]
    assert follow(lines, unanswered=True)[1]["first"] == 300_000_000
    assert follow(lines[:38], unanswered=True)[0] is None, "not long enough"


def test_wait_counts_the_tail_when_the_prober_has_stopped():
    lines = [line(at) for at in range(0, 110, 10)]
    assert follow(lines)[0] is None
    assert follow([*lines, json.dumps({"summary": {}})])[1]["last"] == 100_000_000


def test_wait_gives_up_and_says_what_it_saw(tmp_path, capsys):
    record = tmp_path / "record"
    record.write_text("\n".join([json.dumps({"prober": 1, "timeout_ms": 1}), line(0), line(10, None, "timeout"), ""]))
    assert prober.main(["wait", "--input", str(record), "--by", "node2", "--timeout", "0.2"]) == 1
    printed = capsys.readouterr()
    assert "no 500 ms of unbroken good answers by node2 within 0.2 s" in printed.err
    assert json.loads(printed.out)["ok"] is False
    assert prober.main(["wait", "--input", str(tmp_path / "other"), "--timeout", "0.1"]) == 2
    assert "no such file; is the prober running?" in capsys.readouterr().err
    record.write_text("what is this\n")
    assert prober.main(["wait", "--input", str(record), "--timeout", "1"]) == 2
    assert "the prober did not write this" in capsys.readouterr().err


class Server(threading.Thread):
    """Answers on loopback, until told to hang (accept and be silent) or to refuse (not to listen)."""

    def __init__(self):
        super().__init__(daemon=True)
        self.hanging = threading.Event()
        self.stopping = threading.Event()
        self.held = []
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.listener.settimeout(0.1)
        self.port = self.listener.getsockname()[1]

    def run(self):
        while not self.stopping.is_set():
            try:
                connection, _peer = self.listener.accept()
            except OSError:
                continue
            if self.hanging.is_set():
                self.held.append(connection)
                continue
            with connection:
                connection.settimeout(1)
                try:
                    if connection.recv(4096):
                        connection.sendall(ANSWER)
                        connection.recv(4096)  # until the prober has closed
                except OSError:
                    pass

    def stop(self):
        self.stopping.set()
        self.join(5)
        for connection in [self.listener, *self.held]:
            connection.close()


@pytest.fixture
def server():
    running = Server()
    running.start()
    yield running
    running.stop()


@pytest.fixture
def start(tmp_path):
    started = []

    def start(url, *options):
        record = tmp_path / "record.jsonl"
        command = [sys.executable, prober.__file__, "run", "--url", url, "--output", str(record), "--client", "me"]
        command += ["--interval-ms", "5", "--timeout-ms", "100", "--max-seconds", "30", *options]
        started.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        return started[-1], record

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


def wait(record, since=0, *options):
    return prober.main(["wait", "--input", str(record), "--since", str(since), "--good-ms", "100", *options])


def test_a_server_that_hangs_is_measured(server, start, capsys):
    process, record = start("http://127.0.0.1:%d/healthz" % server.port)
    assert wait(record, 0, "--by", "node1") == 0
    capsys.readouterr()
    server.hanging.set()
    began = time.time_ns()
    time.sleep(0.8)  # this is the outage
    server.hanging.clear()
    ended = time.time_ns()
    assert wait(record, ended) == 0
    assert json.loads(capsys.readouterr().out)["first"] >= ended

    process.send_signal(signal.SIGTERM)
    printed, _none = process.communicate(timeout=10)
    summary = json.loads(printed)
    assert summary["stopped"] == "signal"
    made = read_recording(str(record))
    assert (made.client, made.interval_ms, made.timeout_ms) == ("me", 5, 100)
    assert len(made.requests) == summary["sent"] == summary["ok"] + summary["lost"]
    assert summary["errors"] == {"timeout": summary["lost"]}

    # Open loop: during the outage it went on sending, whatever became of the requests before.
    # Whose time is over before the end, and which began when the server surely hung.
    margin = 200_000_000
    outage = [r for r in made.requests if began + margin < r.wall < ended - margin]
    assert len(outage) + made.skipped >= 0.9 * (ended - began - 2 * margin) / 5_000_000
    assert not any(r.ok for r in outage)
    assert all(r.took >= 100_000_000 for r in outage)
    good = sorted(r.ended for r in made.requests if r.ok)
    assert max(between(good)) >= ended - began - 100_000_000


def test_a_port_that_nobody_listens_on_is_refused_and_the_time_is_bounded(server, start):
    server.stop()
    process, record = start("http://127.0.0.1:%d/" % server.port, "--max-seconds", "0.3")
    process.communicate(timeout=10)
    made = read_recording(str(record))
    assert {r.err for r in made.requests} == {"refused"}
    times = [r.mono for r in made.requests]
    assert times[-1] - times[0] < 400_000_000
    assert record.read_text().splitlines()[-1].startswith('{"summary"')
    assert wait(record) == 1


def test_connect_only(server, start):
    process, record = start("tcp://127.0.0.1:%d" % server.port, "--max-seconds", "0.2")
    process.communicate(timeout=10)
    made = read_recording(str(record))
    assert made.requests
    assert all(r.ok and r.by is None for r in made.requests)


def test_udp_echo(start):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as echo:
        echo.bind(("127.0.0.1", 0))
        echo.settimeout(5)
        process, record = start("udp://127.0.0.1:%d" % echo.getsockname()[1], "--max-seconds", "0.4")
        for number in range(40):
            data, peer = echo.recvfrom(100)
            if number < 20:
                echo.sendto(data, peer)
        process.communicate(timeout=10)
    outcomes = [(r.ok, r.err) for r in read_recording(str(record)).requests]
    assert (True, None) in outcomes[:20]
    assert set(outcomes[20:]) <= {(False, "timeout")}


def test_a_lease_that_is_renewed_keeps_the_prober(tmp_path):
    path = tmp_path / "lease"
    path.touch()
    lease = prober.Lease(1000, str(path))
    begin = lease.end
    lease.renew(begin)
    assert lease.end == begin, "nobody has touched it"
    os.utime(path, ns=(1, 1))
    lease.renew(begin + 500)
    assert lease.end == begin + 1500
    path.unlink()
    lease.renew(begin + 900)
    assert lease.end == begin + 1500, "a file that is gone ends nothing at once"


def test_how_busy_the_host_is(tmp_path):
    path = tmp_path / "cpu"
    path.write_text("some avg10=0.07 avg60=4.71 avg300=3.60 total=40054599\nfull avg10=0.00 total=0\n")
    assert prober.host_busy_us(str(path)) == 40054599
    assert prober.host_busy_us(str(tmp_path / "none")) is None


@pytest.mark.parametrize(
    ("data", "ok", "err"),
    [
        (b"HTTP/1.1 " + b"2" * 5000 + b" OK\r\n\r\n", False, "not http"),
        (b"HTTP/1.1 " + b"2" * 900 + b" OK\r\n\r\n", False, "not http"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: " + b"1" * 5000 + b"\r\n\r\n", True, None),
        (b"HTTP/1.1 200 OK\r\nX-Vip-Node: " + b"n" * 5000 + b"\r\n\r\n", True, None),
    ],
)
def test_numbers_and_names_that_are_too_long(data, ok, err):
    answer = prober.parse_http(data, True, b"x-vip-node")
    assert (answer.ok, answer.err) == (ok, err)
    assert len(answer.by or "") <= 100


def test_a_name_is_followed_and_an_answer_that_is_missing_changes_nothing(monkeypatch):
    led = iter(["192.0.2.1", None, "192.0.2.2"])

    def getaddrinfo(host, port, *_kind, **_more):
        address = next(led) if host == "web.example" else host
        if address is None:
            raise OSError("no answer")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    class Beside:
        begun = []

        def __init__(self, **_how):
            pass

        def start(self):
            self.begun.append(self)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    monkeypatch.setattr(prober.threading, "Thread", Beside)
    target = prober.Target("http://web.example/", "X-Vip-Node", 5)
    assert len(Beside.begun) == 1
    seen = [target.address]
    for _turn in range(2):
        target.resolve()
        seen.append(target.address)
    assert seen == [("192.0.2.1", 80), ("192.0.2.1", 80), ("192.0.2.2", 80)]
    # An address leads nowhere else.
    prober.Target("http://192.0.2.7/", "X-Vip-Node", 5)
    assert len(Beside.begun) == 1


def test_an_answer_without_an_end_is_too_long(monkeypatch):
    """Also one whose bytes all come within the time."""
    monkeypatch.setattr(prober, "ANSWER_LIMIT", 1000)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        target = prober.Target("http://127.0.0.1:%d/" % listener.getsockname()[1], "X-Vip-Node")
        request = prober.Request(target, 10**9)
        request.sock.setblocking(True)
        assert request.start() is None
        connection, _peer = listener.accept()
        with connection, request.sock:
            assert request.on_event() is None
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 999999\r\n\r\n" + b"x" * 5000)
            answer = None
            for _turn in range(100):
                answer = answer or request.on_event()
                if answer:
                    break
    assert answer.err == "too long"

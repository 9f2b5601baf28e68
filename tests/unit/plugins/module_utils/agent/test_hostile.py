# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What others write must not end the agent: each of its parsers, fed with what its writer should not write.

Random input comes from a seed, so that a failure comes again.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import random
import signal
import socket
import struct
import threading

import pytest

from ansible_collections.cloudha.vip.plugins.module_utils.agent import (
    checks,
    drain,
    events,
    fifo,
    guard,
    netlink,
    runner,
    states,
)
from ansible_collections.cloudha.vip.plugins.module_utils.agent.config import Config, ConfigError, load, parse
from ansible_collections.cloudha.vip.plugins.module_utils.agent.loop import REASON_LIMIT, Failed, Loop
from ansible_collections.cloudha.vip.tests.unit.plugins.module_utils.agent.made_up_node import Node, until

DIGITS = b"2" * 5000
DEEP = b"[" * 20_000
STEERING = b"\x1b[2J\x1b]0;owned\x07\r\nPROBLEM keepalived: all is lost\0\x85\xe2\x80\xae"
ANSWERS = {
    "a status of 5,000 digits": b"HTTP/1.1 " + DIGITS + b" OK\r\n\r\n",
    "a status of other digits": "HTTP/1.1 ²⁰⁰ OK\r\n\r\n".encode(),
    "a negative status": b"HTTP/1.1 -200 OK\r\n\r\n",
    "a status with zeros": b"HTTP/1.1 000200 OK\r\n\r\n",
    "no status": b"HTTP/1.1\r\n\r\n",
    "no protocol": b" 200 \r\n\r\n",
    "nothing but the end": b"\r\n\r\n",
    "zeros": b"\0" * 200_000,
    "what is no UTF-8": b"HTTP/1.1 \xff\xfe\xed\xa0\x80 OK\r\n\r\n",
    "what steers a terminal": b"HTTP/1.1 " + STEERING + b"\r\n\r\n",
    "endless headers": b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 50_000,
    "an endless status line": b"HTTP/1.1 200 " + b"O" * 200_000,
    "an endless body": b"HTTP/1.1 200 OK\r\n\r\n" + b"y" * 300_000,
    "a body of another length": b"HTTP/1.1 200 OK\r\nContent-Length: " + DIGITS + b"\r\n\r\n",
    "chunks without end": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"ffffffffffff\r\n" * 1000,
    "TLS": b"\x16\x03\x01" + b"\xff" * 500,
}


def mangled(dice, samples):
    """Something like one of them: cut, doubled, with other bytes in it, or no more than noise."""
    data = bytearray(dice.choice(samples))
    for _turn in range(dice.randrange(1, 8)):
        kind = dice.randrange(6)
        at = dice.randrange(len(data) + 1)
        if kind == 0:
            del data[at : at + dice.randrange(1, 30)]
        elif kind == 1:
            data[at:at] = dice.choice(
                [b"\0", b'"', b"\n", b"\r\n", b"\xff\xfe", DIGITS, b"{}", b"[]", b"null", b"1e999"]
            )
        elif kind == 2:
            data[at:at] = bytes(dice.randrange(256) for _byte in range(dice.randrange(1, 20)))
        elif kind == 3 and data:
            data[at % len(data)] ^= 1 << dice.randrange(8)
        elif kind == 4:
            data[at:at] = data[: dice.randrange(50)]
        else:
            del data[at:]
    return bytes(data)


# A service


def attempt(**keys):
    check = parse({"checks": [{"name": "web", "timeout_ms": 3000, **keys}]}).checks[0]
    ended = []
    loop = Loop()
    loop.run(runner.ATTEMPTS[check.type](check), check.timeout, ended.append)
    while not ended:
        loop.turn()
    loop.close()
    return ended[0]


def assert_is_short(failed):
    text = str(failed)
    assert isinstance(failed, Failed) and text
    assert len(text) <= REASON_LIMIT and text.isprintable(), text


@contextlib.contextmanager
def server(answers):
    """Answers each connection with the next of the answers."""

    def serve():
        for answer in answers:
            try:
                connection, _peer = listener.accept()
            except OSError:
                return
            with connection, contextlib.suppress(OSError):
                connection.recv(4096)
                connection.sendall(answer)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(10)


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("answer", ANSWERS.values(), ids=list(ANSWERS))
def test_what_a_service_answers_is_a_failed_check_at_most(scheme, answer):
    with server([answer]) as place:
        assert_is_short(attempt(type="http", url=f"{scheme}://{place}/", body="well", tls_verify=False))


def test_a_service_that_answers_at_random():
    dice = random.Random(12)
    answers = [mangled(dice, [b"HTTP/1.1 200 OK\r\nX: y\r\n\r\nwell\n"]) for _turn in range(400)]
    with server(answers) as place:
        for _answer in answers:
            failed = attempt(type="http", url=f"http://{place}/", body="well")
            if failed:
                assert_is_short(failed)


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RecursionError("deep"),
        KeyError("x"),
        RuntimeError("\x1b[2J\n" * 1000),
        OSError(5, None),
        ValueError(),
    ],
)
def test_any_exception_is_a_failed_check(error):
    def attempt_of_it():
        try:
            yield receiver, 1, "waiting"
        finally:
            raise error

    ended = []
    sender, receiver = socket.socketpair()
    with sender, receiver:
        loop = Loop()
        loop.run(attempt_of_it(), 10, ended.append)
        sender.send(b"x")
        loop.turn()
        assert_is_short(ended[0])
        # Also when it is told that its time is over.
        loop.run(attempt_of_it(), 0.01, ended.append)
        receiver.recv(10)
        while len(ended) < 2:
            loop.turn()
        assert "no end after" in str(ended[1])
        loop.close()


def test_whatever_a_command_writes():
    dice = random.Random(13)
    for output in [
        DIGITS,
        STEERING,
        b"\0" * 100_000,
        b"\xff" * 5000,
        *(mangled(dice, [b"sick\n"]) for _turn in range(10)),
    ]:
        script = "".join(f"\\{byte:03o}" for byte in output[:3000])
        assert_is_short(attempt(type="command", command=["/bin/sh", "-c", f"printf '{script}'; exit 3"]))


def test_a_killed_command_that_somebody_else_has_waited_for(monkeypatch):
    monkeypatch.setattr(checks, "_killed", [os.getpid()])  # no child of this process
    checks.reap()
    assert checks._killed == []


@pytest.fixture
def node(tmp_path):
    node = Node(tmp_path)
    yield node
    if node.process:
        node.stop(signal.SIGKILL)
    os.close(node.fifo)


def test_the_agent_outlives_all_of_it(node):
    """The whole of it: hostile services beside a good one, a FIFO and files in which others have written."""
    with contextlib.ExitStack() as stack:
        places = [stack.enter_context(server([answer] * 100_000)) for answer in ANSWERS.values()]
        good = stack.enter_context(server([b"HTTP/1.1 200 OK\r\n\r\n"] * 100_000))
        hostile = [{"name": f"h{n}", "type": "http", "url": f"http://{place}/"} for n, place in enumerate(places)]
        node.configure(checks=[{"name": "good", "type": "http", "url": f"http://{good}/"}, *hostile])
        (node.path / "keepalived.pid").write_bytes(DIGITS)
        (node.path / "keepalived.json").write_bytes(DEEP)
        (node.path / "drain").write_bytes(DIGITS)
        (node.path / "agent/status.json").write_bytes(b'{"states": ["x"], "actions": {"a": 7}, "seq": "x"}')
        (node.path / "events.jsonl").write_bytes(b'[]\n{"seq":"x"}\n' + DEEP + b'\n{"seq":' + DIGITS + b"}\n\xff\n")
        node.start()
        node.event("check", check="good", healthy=True)
        for line in (b"x" * 100_000, b'INSTANCE "VI_1" MASTER ' + DIGITS + b"\n", b"\0\xff\n" + STEERING + b"\n"):
            for part in range(0, len(line), 4096):
                until(lambda part=part, line=line: _written(node.fifo, line[part : part + 4096]))
        node.tell("", 'INSTANCE "VI_1" MASTER 200')
        node.event("transition", name="VI_1", priority=200)
        assert node.process.poll() is None
        assert len([event for event in node.events() if event["event"] == "agent_start"]) == 1
        assert node.verdict("good") == "0\n"
        tried = until(lambda: json.loads(node.vip_agent("status", "--json").stdout).get("checks"))
        assert len(tried) == len(ANSWERS) + 1 and all(check["last"] for check in tried.values())
        assert not tried["h0"]["healthy"] and node.verdict("h0") == "1\n"
        shown = node.vip_agent("status").stdout + node.vip_agent("events").stdout
        assert "\x1b" not in shown and "\0" not in shown


def _written(descriptor, data):
    try:
        return os.write(descriptor, data) == len(data)
    except BlockingIOError:
        return False


# keepalived's FIFO


def test_lines_of_the_fifo():
    dice = random.Random(14)
    samples = [b'INSTANCE "VI_1" MASTER 254', b'GROUP "G" FAULT', b"VS [10.0.0.1]:tcp:80 UP"]
    for _turn in range(5000):
        event, fields = fifo.parse_line(mangled(dice, samples).decode(errors="backslashreplace"))
        assert event in ("transition", "notify")
        json.dumps(fields)


def test_a_line_without_an_end_does_not_grow(tmp_path):
    spool = fifo.Spool(str(tmp_path / "spool"), 0)
    read, write = os.pipe()
    os.set_blocking(write, False)
    for _turn in range(100):
        os.write(write, b"x" * 30_000)
        assert spool.fill(read)
        for line, end in spool.lines():
            assert len(line) <= fifo.LONGEST_LINE
            spool.read = end
        assert os.stat(tmp_path / "spool").st_size < 200_000
    os.write(write, b"\nlast\n")
    spool.fill(read)
    assert [line for line, _end in spool.lines()][-1] == "last"
    spool.close()
    os.close(read)
    os.close(write)


# Files


def test_files_in_which_others_have_written(tmp_path):
    dice = random.Random(15)
    state = {"state": "MASTER", "priority": 1, "since": 2, "mono": 3, "transition": 4}
    status = {
        "seq": 3,
        "states": {"INSTANCE VI_1": state},
        "actions": {"a": {"asserted": 2}},
        "mono": 5,
        "problems": [],
    }
    line = json.dumps({"seq": 7, "wall_ns": 1, "mono_ns": 1, "time": "t", "event": "transition", "spool": 9, **state})
    samples = [
        json.dumps(status).encode(),
        f"{line}\n{line}\n".encode(),
        DEEP,
        b"0\n",
        b"4711\n",
        b'{"mono": ' + DIGITS + b"}",
    ]
    config = Config()
    config.state_dir, config.event_log = str(tmp_path), str(tmp_path / "events")
    for _turn in range(1500):
        data = mangled(dice, samples)
        for name in ("status.json", "events", "file"):
            (tmp_path / name).write_bytes(data)
        drain.read_number(str(tmp_path / "file"))
        guard.last_word(str(tmp_path / "file"), "/nonexistent")
        known, asserted = states.last_states(config)
        assert all(isinstance(each["state"], str) for each in known.values())
        assert all(isinstance(number, int) for number in asserted.values())
        assert None in itertools.islice(events.oldest_first(str(tmp_path / "events")), 100)


def test_an_agent_starts_on_a_log_of_rubbish(tmp_path):
    dice = random.Random(16)
    line = b'{"seq":7,"wall_ns":1,"mono_ns":1,"time":"t","event":"x","spool":-9}\n'
    rubbish = [b"[]\n", b'{"seq":"x"}\n', b"7\n", DEEP + b"\n", line, b"{}\n"]
    for data in [*rubbish, *(b"".join(mangled(dice, [line]) for _line in range(3)) for _turn in range(60))]:
        (tmp_path / "events").write_bytes(data)
        log = events.EventLog(str(tmp_path / "events"), "node1", 1 << 20)
        (tmp_path / "spool").write_bytes(b"x")
        fifo.Spool(str(tmp_path / "spool"), log.spool_read).close()
        record = log.append("agent_start")
        assert next(events.newest_first(str(tmp_path / "events"))) == record


def test_a_configuration_of_rubbish(tmp_path):
    dice = random.Random(17)
    good = {
        "node": "n",
        "instances": [{"name": "VI_1", "addresses": ["10.0.0.1/24"]}],
        "checks": [
            {
                "name": "a",
                "type": "http",
                "url": "http://[::1]:80/x",
                "status": [200],
                "body": "ok",
                "host_header": "a:1",
            },
            {"name": "b", "type": "command", "command": ["/bin/true", "x"]},
        ],
        "actions": [
            {"type": "gcp_route", "name": "r", "instance": "VI_1", "destination": "10.2.0.1/32", "network": "n"}
        ],
    }
    text = json.dumps(good)
    texts = [
        text.replace('"10.0.0.1/24"', '"\\u0000"'),
        text.replace('"ok"', '"\\ud800"'),
        text.replace("/bin/true", "/\\udfff"),
    ]
    for data in [DEEP, *(each.encode() for each in texts), *(mangled(dice, [text.encode()]) for _turn in range(1500))]:
        (tmp_path / "config.json").write_bytes(data)
        with contextlib.suppress(ConfigError):
            load(str(tmp_path / "config.json"))


# The kernel


def test_netlink_of_any_bytes():
    dice = random.Random(18)
    attribute = struct.pack("=HH", 8, 2) + socket.inet_aton("10.0.0.1")
    payload = struct.pack("=BBBBI", 2, 24, 0, 0, 1) + attribute
    message = struct.pack("=IHHII", 16 + len(payload), 20, 0, 1, 0) + payload
    held = {}
    for kind, _sequence, body in netlink.messages(message):
        netlink._apply(held, kind, body)
    assert held == {"10.0.0.1": "lo"}
    for _turn in range(3000):
        for number, (kind, _sequence, body) in enumerate(netlink.messages(mangled(dice, [message, message * 3]))):
            netlink._apply(held, kind, body)
            assert number < 100_000, "no message may be read again and again"

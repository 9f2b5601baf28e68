# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The script of the role health_check, as keepalived runs it, and services that do what no service should."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import random
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[3] / "roles/health_check/files/vip_health_check.py"
# A hang is far longer; a busy machine needs a while to start a process.
PATIENCE = 8.0


def check(*words):
    """Exit code and what it said; no check takes longer than its deadline and a start."""
    done = subprocess.run(
        [sys.executable, "-IS", str(SCRIPT), *words],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=PATIENCE,
        check=False,
        env={"LC_ALL": "C"},
    )
    said, errors = done.stdout.decode(), done.stderr.decode()
    assert "Traceback" not in errors
    if done.returncode != 2:
        assert errors == ""
        assert len(said) < 500 and said.rstrip("\n").isprintable()
    return done.returncode, said, errors


def endless(first, again, pause=0.0):
    def answer(connection):
        connection.sendall(first)
        while True:
            connection.sendall(again)
            time.sleep(pause)

    return answer


def once(data):
    return lambda connection: connection.sendall(data)


@contextlib.contextmanager
def service(answer):
    def serve(connection):
        with connection, contextlib.suppress(OSError):
            connection.recv(4096)
            answer(connection)

    def accept():
        while True:
            try:
                connection, _peer = listener.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(connection,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/healthz"
        listener.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize(
    ("answer", "code", "says"),
    [
        (once(b"HTTP/1.1 200 OK\r\n\r\n"), 0, ""),
        (once(b"HTTP/1.0 200\n\n"), 0, ""),
        (once(b"HTTP/1.1 503 Busy\r\n\r\n"), 1, "status 503"),
        (once(b"HTTP/1.1 " + b"2" * 5000 + b" OK\r\n\r\n"), 1, "not an HTTP answer"),
        (once("HTTP/1.1 ²⁰⁰ OK\r\n\r\n".encode()), 1, "not an HTTP answer"),
        (once(b"HTTP/1.1\r\n\r\n"), 1, "not an HTTP answer"),
        (once(b"\r\n"), 1, "not an HTTP answer"),
        (once(b"\0" * 100_000), 1, "not an HTTP answer"),
        (once(b"HTTP/1.1 \x1b[2J\xff\r\n"), 1, "not an HTTP answer"),
        (once(b""), 1, "without an answer"),
        (lambda connection: time.sleep(20), 1, "timed out"),
        (endless(b"", b"x" * 60_000), 1, "not an HTTP answer"),
        (endless(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n" * 1000), 0, ""),
        (endless(b"HTTP/1.1 200 OK\r\n\r\n", b"y" * 60_000), 0, ""),
        # Each byte comes in time, and all of them do not.
        (endless(b"HTTP/1.1", b" ", 0.02), 1, "timed out"),
    ],
)
def test_a_service_may_do_what_it_likes(answer, code, says):
    with service(answer) as url:
        found = check("name=web", f"url={url}", "timeout_ms=500" if code else "timeout_ms=5000")
    assert found[0] == code and says in found[1], found


def test_a_service_that_answers_at_random():
    module = load()
    dice = random.Random(21)
    for _turn in range(300):
        data = bytearray(b"HTTP/1.1 200 OK\r\nX: y\r\n\r\n")
        for _change in range(dice.randrange(1, 6)):
            data[dice.randrange(len(data))] = dice.randrange(256)
        with service(once(bytes(data))) as url:
            reason = module.trouble(module.understood(["name=a", f"url={url}", "timeout_ms=5000"]))
            assert reason is None or module.in_one_line(reason).isprintable()


def load():
    spec = importlib.util.spec_from_file_location("vip_health_check", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_all_addresses_share_one_deadline(monkeypatch):
    """Of a name with many addresses behind which nobody answers."""
    module = load()
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        place = full.getsockname()
        waiting = [socket.socket() for _number in range(3)]
        for one in waiting:  # the queue is full, and the next one waits for an answer
            one.setblocking(False)
            one.connect_ex(place)
        address = (socket.AF_INET, socket.SOCK_STREAM, 6, "", place)
        monkeypatch.setattr(module, "resolve", lambda *_given: [address] * 50)
        began = time.monotonic()
        assert "timed out" in module.trouble(module.understood(["name=a", "tcp=a.example:80", "timeout_ms=300"]))
        assert time.monotonic() - began < PATIENCE, "50 times 300 ms are 15 s"
        for one in waiting:
            one.close()


def test_a_name_is_looked_up_in_time_or_not_at_all(monkeypatch):
    module = load()
    ask = socket.getaddrinfo

    def slow(*given, **keys):
        if not keys.get("flags"):
            time.sleep(20)
        return ask(*given, **keys)

    monkeypatch.setattr(module.socket, "getaddrinfo", slow)
    began = time.monotonic()
    assert "looked up" in module.trouble(module.understood(["name=a", "tcp=a.example:80", "timeout_ms=100"]))
    assert time.monotonic() - began < PATIENCE


def test_a_name_that_is_known_and_one_that_is_not():
    with service(once(b"HTTP/1.1 200 OK\r\n\r\n")) as url:
        code, said, _errors = check("name=a", f"url={url.replace('127.0.0.1', 'localhost')}", "timeout_ms=5000")
        assert (code, said) == (0, "")
    code, said, _errors = check("name=a", "tcp=nothing.invalid:80", "timeout_ms=5000")
    assert code == 1 and said.startswith("nothing.invalid:80: ")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "name is missing"),
        (["url=http://127.0.0.1/"], "name is missing"),
        (["name=a", "porcess=x"], "porcess is not known"),
        (["name=a", "x"], "x is not known"),
        (["name=a", "timeout_ms=abc"], "timeout_ms is a number"),
        (["name=a", "timeout_ms=-1"], "timeout_ms is a number"),
        (["name=a", "timeout_ms=0"], "timeout_ms is a number"),
        (["name=a", "timeout_ms=1e3"], "timeout_ms is a number"),
        (["name=a", "timeout_ms=" + "9" * 5000], "timeout_ms is a number"),
        (["name=a", "timeout_ms=٣٣"], "timeout_ms is a number"),
        (["name=a", "status=ok"], "status is a number"),
        (["name=a", "status=20"], "status is a number"),
        (["name=a", "url=https://127.0.0.1/"], "url must begin with http://"),
        (["name=a", "url=http://"], "url needs a host"),
        (["name=a", "url=http://:80/"], "url needs a host"),
        (["name=a", "url=http://127.0.0.1:99999/"], "url needs a host, and a port from 1 to 65535"),
        (["name=a", "url=http://127.0.0.1:0/"], "a port from 1 to 65535"),
        (["name=a", "url=http://127.0.0.1:/"], "a port from 1 to 65535"),
        (["name=a", "url=http://127.0.0.1/\r\nHost: other"], "no address may have"),
        (["name=a", "url=http://127.0.0.1/ HTTP/1.1"], "no address may have"),
        (["name=a", "url=http://127.0.0.1/ä"], "no address may have"),
        (["name=a", b"url=http://127.0.0.1/\xff"], "no address may have"),
        (["name=a", "tcp=127.0.0.1"], "tcp needs a host, and a port"),
        (["name=a", "tcp=::1:80"], "brackets"),
        (["name=a", "tcp=127.0.0.1:http"], "tcp needs a host, and a port"),
        (["name=../../etc/x"], "name is a name"),
        (["name="], "name is a name"),
        (["name=" + "a" * 1000], "name is a name"),
        (["name=a", "restart=../x"], "restart is a name"),
        (["name=a", "\x1b[2J=x"], "?[2J is not known"),
    ],
)
def test_odd_arguments_get_a_sentence(words, says):
    code, said, errors = check(*words)
    assert code == 2 and said == ""
    assert says in errors.splitlines()[0]
    assert "Exit: 0 well" in errors


@pytest.mark.parametrize("name", [b"\xff\xfe", "ä" * 50, "a" * 100, "(", "", "\n"])
def test_odd_processes_are_not_there(name):
    word = b"process=" + (name if isinstance(name, bytes) else name.encode())
    code, said, _errors = check("name=a", word)
    assert code == 1 and said.startswith("no process")


def test_whoever_may_not_remove_the_file_of_an_outage_gets_an_answer(monkeypatch):
    def refuse(path):
        raise PermissionError(path)

    module = load()
    monkeypatch.setattr(os.path, "exists", lambda path: True)
    monkeypatch.setattr(os, "unlink", refuse)
    assert module.main(["name=a"]) == 0

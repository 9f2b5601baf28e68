# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time

import pytest

from ansible_collections.cloudha.vip.plugins.module_utils.agent import checks
from ansible_collections.cloudha.vip.plugins.module_utils.agent.config import parse
from ansible_collections.cloudha.vip.plugins.module_utils.agent.loop import Loop, Timeout


def attempt(attempts, **keys):
    """One attempt of a check; the failure, or None."""
    check = parse({"checks": [{"name": "web", "timeout_ms": 2000, **keys}]}).checks[0]
    ended = []
    loop = Loop()
    loop.run(attempts(check), check.timeout, ended.append)
    while not ended:
        loop.turn()
    loop.close()
    return ended[0]


@contextlib.contextmanager
def server(*answer, hang=False):
    """Answers the first connection with the parts of an answer; gives the request."""
    request = []
    release = threading.Event()

    def serve():
        connection, _peer = listener.accept()
        with connection:
            request.append(connection.recv(65536).decode(errors="replace"))
            for part in answer:
                connection.sendall(part)
                time.sleep(0.01)
            if hang:
                release.wait(10)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/healthz", request
        release.set()
        thread.join(10)


def http(url, **keys):
    return attempt(checks.http, type="http", url=url, **keys)


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def test_http_asks_for_the_path_and_the_host():
    with server(b"HTTP/1.1 200 OK\r\n\r\nok\n") as (url, request):
        assert http(url, host_header="www.example.com") is None
    assert request[0].startswith("GET /healthz HTTP/1.0\r\nHost: www.example.com\r\n")


@pytest.mark.parametrize(
    ("answer", "keys", "reason"),
    [
        ([b"HTTP/1.1 503 Busy\r\n\r\n"], {}, "status 503"),
        ([b"HTTP/1.1 503 Busy\r\n\r\n"], {"status": [200, 503]}, None),
        ([b"HTTP/1.1 2", b"00 OK\r\nA: b\r", b"\n\r\n"], {}, None),
        ([b"HTTP/1.1 200 OK\r\n\r\nall is go", b"od\n"], {"body": "good"}, None),
        ([b"HTTP/1.1 200 OK\r\nX: good\r\n\r\nbad"], {"body": "good"}, "the body does not contain 'good'"),
        ([b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 200_000], {"body": "good"}, "the body does not contain 'good'"),
        ([b"SSH-2.0-OpenSSH\r\n\r\n"], {}, "not an HTTP answer"),
        ([b"HTTP/1.1 200 OK\r\n"], {}, "not an HTTP answer"),
        ([], {}, "closed without an answer"),
    ],
)
def test_http_answers(answer, keys, reason):
    with contextlib.suppress(ConnectionError), server(*answer) as (url, _request):
        failed = http(url, **keys)
    assert (failed and str(failed)) == reason


def test_http_that_hangs_says_where():
    with server(hang=True) as (url, _request):
        failed = http(url, timeout_ms=50)
    assert isinstance(failed, Timeout)
    assert str(failed) == "no end after 50 ms (waiting for the answer)"
    with server(b"HTTP/1.1 200 OK\r\n\r\n", hang=True) as (url, _request):
        assert "waiting for the body" in str(http(url, timeout_ms=50, body="x"))


def test_https_to_a_server_without_tls():
    with server(b"HTTP/1.1 200 OK\r\n\r\n") as (url, _request):
        assert http(url.replace("http:", "https:")) is not None


def test_a_file_of_authorities_that_cannot_be_read_is_named(tmp_path):
    (tmp_path / "empty.pem").write_text("")
    for name, says in (("none.pem", "No such file"), ("empty.pem", "")):
        with server(hang=True) as (url, _request):
            failed = str(http(url.replace("http:", "https:"), tls_ca_file=f"{tmp_path}/{name}"))
        assert failed.startswith(f"tls_ca_file {tmp_path}/{name}: {says}")


def test_a_value_that_a_library_refuses_fails_the_check_and_not_the_agent():
    def refused(_check):
        yield from ()
        raise ValueError("no such thing")

    assert str(attempt(refused, type="tcp", port=1)) == "no such thing (starting)"


def test_tcp():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        assert attempt(checks.tcp, type="tcp", port=listener.getsockname()[1]) is None
    assert "Connection refused" in str(attempt(checks.tcp, type="tcp", port=free_port()))


def command(*words, **keys):
    return attempt(checks.command, type="command", command=list(words), **keys)


def test_command():
    assert command("/bin/true") is None
    assert str(command("/bin/sh", "-c", "echo not today >&2; echo x; exit 3")) == "exit code 3: not today"
    assert str(command("/bin/sh", "-c", "kill -9 $$")) == "killed by signal 9"
    assert "No such file" in str(command("/no/such/program"))


def test_a_command_out_of_time_is_killed_with_what_it_started(tmp_path):
    pid_file = tmp_path / "pid"
    failed = command("/bin/sh", "-c", f"sleep 60 & echo $! > {pid_file}; wait", timeout_ms=300)
    assert isinstance(failed, Timeout)
    child = int(pid_file.read_text())
    deadline = time.monotonic() + 5
    while _runs(child) or checks._killed:
        assert time.monotonic() < deadline
        checks.reap()
        time.sleep(0.01)


def _runs(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"  # whoever adopted it may not have reaped it
    except FileNotFoundError:
        return False


def test_a_slow_attempt_does_not_delay_another():
    loop = Loop()
    ended = []
    slow = parse({"checks": [{"name": "a", "type": "command", "command": ["/bin/sleep", "30"]}]}).checks[0]
    fast = parse({"checks": [{"name": "a", "type": "command", "command": ["/bin/true"]}]}).checks[0]
    loop.run(checks.command(slow), 1.0, lambda failed: ended.append(("slow", failed)))
    loop.run(checks.command(fast), 1.0, lambda failed: ended.append(("fast", failed)))
    while len(ended) < 2:
        loop.turn()
    assert [name for name, _failed in ended] == ["fast", "slow"]
    assert ended[0][1] is None
    loop.close()


def test_no_descriptor_is_left_open():
    command("/bin/true")
    before = len(os.listdir("/proc/self/fd"))
    command("/bin/true")
    command("/bin/sleep", "9", timeout_ms=20)
    command("/no/such/program")
    attempt(checks.tcp, type="tcp", port=free_port())
    with server(hang=True) as (url, _request):
        http(url, timeout_ms=20)
    assert len(os.listdir("/proc/self/fd")) == before

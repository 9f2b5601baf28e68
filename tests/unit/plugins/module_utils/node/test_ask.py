# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import http.server
import re
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from ansible_collections.cloudha.vip.plugins.module_utils.node.ask import ask, ask_all


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response({"/moved": 302, "/sick": 503}.get(self.path, 200))
        self.send_header("X-Vip-Node", "web1")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_args: object) -> None:
        pass


@pytest.fixture
def port() -> Iterator[int]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


@pytest.mark.parametrize("path", ["/", "/moved", "/a?b=c", ""])
def test_an_answer_names_its_node(port: int, path: str) -> None:
    answer = ask(f"http://127.0.0.1:{port}{path}")
    assert (answer["ok"], answer["by"], answer["error"]) == (True, "web1", "")


def test_a_connection_is_an_answer_too(port: int) -> None:
    assert ask(f"tcp://127.0.0.1:{port}")["ok"]


@pytest.mark.parametrize(("more", "error"), [(b"", ""), (b"!", "not echoed"), (None, "timed out|no answer within 1 s")])
def test_an_echo_by_udp_is_an_answer_too(more: bytes | None, error: str) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as service:
        service.bind(("127.0.0.1", 0))

        def serve() -> None:
            sent, client = service.recvfrom(100)
            if more is not None:
                service.sendto(sent + more, client)

        threading.Thread(target=serve, daemon=True).start()
        answer = ask(f"udp://127.0.0.1:{service.getsockname()[1]}", timeout=1)
    assert answer["ok"] == (not error) and re.fullmatch(error, answer["error"])


def test_an_error_is_no_answer(port: int) -> None:
    assert ask(f"http://127.0.0.1:{port}/sick")["error"] == "status 503"


@pytest.mark.parametrize("scheme", ["http", "https", "tcp"])
def test_nobody_listens(scheme: str) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        answer = ask(f"{scheme}://127.0.0.1:{free.getsockname()[1]}")
    assert not answer["ok"] and "refused" in answer["error"]


@pytest.mark.parametrize("url", ["127.0.0.1", "tcp://127.0.0.1", "udp://127.0.0.1", "sctp://127.0.0.1:53", "http:///x"])
def test_what_is_no_url_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="cannot be asked"):
        ask(url)


def test_it_asks_until_there_is_an_answer_or_no_patience_is_left() -> None:
    now, script = [0.0], {"a": [False, False, True], "b": [False] * 1000}

    def asking(url: str, node_header: str) -> dict[str, object]:
        return {"url": url, "ok": script[url].pop(0)}

    def pause(seconds: float) -> None:
        now[0] += seconds

    found = ask_all(["a", "b"], 5, clock=lambda: now[0], pause=pause, asking=asking)
    assert [each["ok"] for each in found] == [True, False]
    assert 5 <= now[0] < 6


@pytest.mark.parametrize(("url", "port"), [("http://[2001:db8::246]/", 80), ("https://[2001:db8::246]/healthz", 443)])
def test_an_ipv6_address_without_a_port_is_asked_whole(url: str, port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def refuse(address: tuple[str, int], *_args: object, **_more: object) -> None:
        asked.append(address)
        raise ConnectionRefusedError("refused")

    monkeypatch.setattr(socket, "create_connection", refuse)
    assert ask(url)["error"] == "refused"
    assert asked == [("2001:db8::246", port)]


@pytest.mark.parametrize(
    ("first", "again"),
    [
        (b"", b"x"),
        (b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"),
        (b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 100 Go\r\n\r\n"),
    ],
)
def test_slow_bytes_endless_headers_and_endless_interim_answers_end(first: bytes, again: bytes) -> None:
    """Each read gets something in time; the whole never comes to an end."""

    def serve() -> None:
        connection, _peer = listener.accept()
        with connection:
            try:
                connection.sendall(first)
                for _byte in range(200):
                    connection.sendall(again)
                    time.sleep(0.1)
            except OSError:
                return

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, daemon=True).start()
        began = time.monotonic()
        answer = ask(f"http://127.0.0.1:{listener.getsockname()[1]}/", timeout=0.5)
    assert not answer["ok"] and "no answer within 0.5 s" in answer["error"]
    assert time.monotonic() - began < 8, "20 s pass until the last byte"


@pytest.mark.parametrize("status", [b"2" * 5000, b"\xff\xfe", b"", b"-200"])
def test_a_status_that_is_none_is_a_short_error(status: bytes) -> None:
    def serve() -> None:
        connection, _peer = listener.accept()
        with connection:
            connection.recv(4096)
            connection.sendall(b"HTTP/1.1 " + status + b" OK\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, daemon=True).start()
        answer = ask(f"http://127.0.0.1:{listener.getsockname()[1]}/")
    assert not answer["ok"] and 0 < len(answer["error"]) <= 300

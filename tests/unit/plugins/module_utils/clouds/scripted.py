# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A server and a session that say what they were told to, and know what they were asked."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import struct
import threading

from ansible_collections.cloudha.vip.plugins.module_utils.clouds.session import Response

# What the server does with a request instead of answering it.
SILENT, RESET, HANG = "close without an answer", "reset", "never answer"
# What it does of its own accord.
CLOSE = "close while idle"


def ok(body="", *headers):
    return reply("200 OK", body, *headers)


def reply(status, body="", *headers):
    data = body.encode()
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(data)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + data


class Server:
    """Plays one script for each connection: bytes answer a request, the words above do what they say."""

    def __init__(self, scripts, tls=None):
        self.scripts = list(scripts)
        self.tls = tls
        self.requests = []
        self.connections = 0
        self.idle_closed = threading.Event()
        self.asked = threading.Event()
        self.release = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self):
        while True:
            try:
                connection, _peer = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            # One at a time would do, but a client may hold the last one open while it opens the next.
            script = self.scripts.pop(0) if self.scripts else []
            threading.Thread(target=self._play, args=(connection, script), daemon=True).start()

    def _play(self, connection, script):
        with contextlib.suppress(OSError), connection:
            connection.settimeout(20)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self.tls:
                connection = self.tls.wrap_socket(connection, server_side=True)
            with connection:
                for step in script:
                    if step == CLOSE:
                        connection.close()
                        self.idle_closed.set()
                        return
                    self.requests.append(_request(connection))
                    self.asked.set()
                    if step == RESET:
                        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    if step in (SILENT, RESET):
                        return
                    if step == HANG:
                        self.release.wait(20)
                        return
                    for part in [step] if isinstance(step, bytes) else step:
                        connection.sendall(part)
                if script:
                    self.release.wait(20)

    def close(self):
        self.release.set()
        # Closing alone does not wake the thread that accepts.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(10)


def _request(connection):
    data = b""
    while b"\r\n\r\n" not in data:
        more = connection.recv(65536)
        if not more:
            raise ConnectionError("closed by the client")
        data += more
    head, _end, body = data.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)content-length: (\d+)", head)
    while length and len(body) < int(length.group(1)):
        body += connection.recv(65536)
    return (head + b"\r\n\r\n" + body).decode()


@contextlib.contextmanager
def server(*scripts, tls=None):
    made = Server(scripts, tls)
    try:
        yield made
    finally:
        made.close()


class Script:
    """A session: a list of (request line, body or None, answer), exactly in this order.

    An answer is an object (status 200), (status, object or text), (status, object or text, headers), an exception, or
    a function that gives one of them.
    """

    DATE = "Sat, 21 Nov 2026 11:00:00 GMT"

    def __init__(self, *exchanges):
        self.exchanges = list(exchanges)
        self.headers = []
        self.timeouts = []

    def request(self, method, url, body=None, headers=None, timeout=10.0):
        assert self.exchanges, f"nobody expected {method} {url}"
        line, wanted, answer = self.exchanges.pop(0)
        assert f"{method} {url}" == line
        assert (None if body is None else json.loads(body)) == wanted
        self.headers.append(dict(headers))
        self.timeouts.append(timeout)
        if callable(answer):
            answer = answer()
        if isinstance(answer, Exception):
            raise answer
        status, content, extra = (*answer, {})[:3] if isinstance(answer, tuple) else (200, answer, {})
        text = content if isinstance(content, str) else json.dumps(content)
        return Response(status, {"date": self.DATE, **extra}, text.encode())

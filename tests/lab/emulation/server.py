# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The servers: HTTP for the API, and the socket on which the lab says what it wants."""

from __future__ import annotations

import contextlib
import json
import socket
import socketserver
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

Verbs = Mapping[tuple[str, str], Callable[[Any, Any], Any]]


class Handler(BaseHTTPRequestHandler):
    """What the handlers of an emulator share; ``emulator`` is bound by `bound`."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 1 << 16
    timeout = 700  # idle: longer than a client keeps a connection
    json_type = "application/json"
    emulator: Any

    def log_message(self, *_: Any) -> None:
        """Nothing: the emulator has a log."""

    def text(self) -> bytes:
        """The request's body."""
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def send(self, status: int, text: bytes, kind: str, headers: Mapping[str, str] | None = None) -> None:
        """The answer."""
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(text)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(text)
        self.wfile.flush()

    def send_json(self, status: int, answer: object, headers: Mapping[str, str] | None = None) -> None:
        """The answer, as JSON."""
        self.send(status, json.dumps(answer).encode(), self.json_type, headers)

    def drop(self) -> None:
        """Break the connection, as a broken network does."""
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)
        self.close_connection = True


class Admin(Handler):
    """What the lab can tell the emulator, and ask it: ``verbs``."""

    disable_nagle_algorithm = False  # it is no TCP
    verbs: Verbs

    def _any(self) -> None:
        text = self.text()
        try:
            body = json.loads(text) if text else None
            self.send_json(200, call(self.verbs, self.emulator, self.command, self.path, body))
        except (ValueError, TypeError, LookupError, AttributeError) as error:
            self.send_json(400, {"error": f"{type(error).__name__}: {error}"})

    do_GET = do_POST = do_PATCH = do_DELETE = _any


def call(verbs: Verbs, emulator: Any, verb: str, path: str, body: Any = None) -> Any:
    """One request to the admin socket; ValueError says what is wrong with it."""
    found = verbs.get((verb, path))
    if found is None:
        raise ValueError(f"there is no {verb} {path}; there are {', '.join(' '.join(each) for each in verbs)}")
    return found(emulator, body)


class Server(ThreadingHTTPServer):
    """A thread for each connection."""

    daemon_threads = True
    request_queue_size = 128
    allow_reuse_address = True

    def server_bind(self) -> None:
        """HTTPServer's own asks a name server who we are."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = (
            "lab",
            0 if isinstance(self.server_address, str) else self.server_address[1],
        )

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is none."""
        if not isinstance(sys.exc_info()[1], OSError):
            traceback.print_exc()


class UnixServer(Server):
    """The same on a socket in the file system."""

    address_family = socket.AF_UNIX

    def __init__(self, path: Path, handler: type[Handler]) -> None:
        super().__init__(str(path), handler)  # type: ignore[arg-type]

    def get_request(self) -> tuple[socket.socket, Any]:
        """Its clients have no address."""
        return self.socket.accept()[0], ("admin", 0)


def bound(kind: type[Handler], emulator: Any, **more: Any) -> type[Handler]:
    """The handler for one emulator."""
    return type(kind.__name__, (kind,), {"emulator": emulator, **more})


def start(server: Server, look_s: float = 0.5) -> Server:
    """Serve in a thread; ``look_s``: how soon it notices that it shall stop."""
    threading.Thread(target=server.serve_forever, args=(look_s,), daemon=True).start()
    return server


def on_loopback(handler: type[Handler]) -> Server:
    """A server on a free port, for tests."""
    return start(Server(("127.0.0.1", 0), handler), 0.05)


def stop(servers: list[Server]) -> None:
    """Stop serving, all at once."""
    endings = [threading.Thread(target=server.shutdown) for server in servers]
    for each in endings:
        each.start()
    for each, server in zip(endings, servers, strict=True):
        each.join()
        server.server_close()

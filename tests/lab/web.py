# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the lab's cloud APIs have in common: HTTP on TCP and on a Unix socket, and a log of the requests."""

from __future__ import annotations

import contextlib
import json
import socket
import socketserver
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

JSON = "application/json; charset=UTF-8"
_KEPT = 20_000  # requests in a log


class Dropped(Exception):
    """The connection is lost instead of an answer."""


def begin(log: list[dict[str, Any]], verb: str, target: str) -> dict[str, Any]:
    """A new entry of a log."""
    times = {"wall_ns": time.time_ns(), "mono_ns": time.monotonic_ns(), "end_mono_ns": None}
    entry = {**times, "caller": "", "method": verb, "path": target, "status": None}
    log.append(entry)
    del log[:-_KEPT]
    return entry


class Handler(BaseHTTPRequestHandler):
    """What every server of ours does with a request."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 1 << 16
    timeout = 700  # idle: longer than a client keeps a connection

    def log_message(self, *_: Any) -> None:
        """Nothing: there is a log of our own."""

    def text(self) -> bytes:
        """The request's body."""
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def send(self, status: int, text: bytes, kind: str, headers: dict[str, str] | None = None) -> None:
        """Answer with a content of this kind."""
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(text)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(text)
        self.wfile.flush()

    def send_json(self, status: int, answer: object, headers: dict[str, str] | None = None) -> None:
        """Answer with an object."""
        self.send(status, json.dumps(answer).encode(), JSON, headers)

    def drop(self) -> None:
        """End the connection without an answer, as a broken network does."""
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)
        self.close_connection = True


class Admin(Handler):
    """The socket on which the lab says what it wants: ``call`` does it; ValueError says what is wrong."""

    disable_nagle_algorithm = False  # it is no TCP
    call: Callable[[str, str, Any], Any]

    def _any(self) -> None:
        text = self.text()
        try:
            body = json.loads(text) if text else None
            self.send_json(200, self.call(self.command, self.path, body))
        except (ValueError, TypeError, LookupError, AttributeError) as error:
            self.send_json(400, {"error": f"{type(error).__name__}: {error}"})

    do_GET = do_POST = do_PATCH = do_DELETE = _any


class Server(ThreadingHTTPServer):
    """A thread for each connection."""

    daemon_threads = True
    request_queue_size = 128
    allow_reuse_address = True

    def server_bind(self) -> None:
        """Without HTTPServer's own way, which asks a name server who we are."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = (
            "lab",
            0 if isinstance(self.server_address, str) else self.server_address[1],
        )

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is no error."""
        if not isinstance(sys.exc_info()[1], OSError):
            traceback.print_exc()


class UnixServer(Server):
    """On a Unix socket; its address is a path."""

    address_family = socket.AF_UNIX

    def get_request(self) -> tuple[socket.socket, Any]:
        """The peer has no address that a handler could print."""
        return self.socket.accept()[0], ("admin", 0)


def bound(kind: type[Handler], **attributes: Any) -> type[Handler]:
    """A handler whose instances have these attributes."""
    return type(kind.__name__, (kind,), attributes)


def admin(path: Path, call: Callable[[str, str, Any], Any]) -> Server:
    """The server of an admin socket; see `Admin`."""
    return UnixServer(str(path), bound(Admin, call=staticmethod(call)))  # type: ignore[arg-type]


def start(server: Server, look_s: float = 0.5) -> Server:
    """Serve in a thread. ``look_s``: how soon it notices that it shall stop."""
    threading.Thread(target=server.serve_forever, args=(look_s,), daemon=True).start()
    return server


def stop(servers: Iterable[Server]) -> None:
    """End servers that were started."""
    servers = list(servers)
    endings = [threading.Thread(target=server.shutdown) for server in servers]
    for each in endings:
        each.start()
    for each, server in zip(endings, servers, strict=True):
        each.join()
        server.server_close()

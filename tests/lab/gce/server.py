# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The servers: the API, the metadata server of every instance, and the socket on which the lab says what it wants."""

from __future__ import annotations

import contextlib
import json
import socket
import socketserver
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from email.message import Message
from email.parser import BytesParser
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from lab.gce import admin as controls
from lab.gce import metadata as about
from lab.gce.dataplane import DataPlane
from lab.gce.emulator import Emulator
from lab.gce.errors import ApiError, Dropped
from lab.gce.memory import MemoryPlane
from lab.gce.world import World

_BATCH = "/batch/compute/v1"
_JSON = "application/json; charset=UTF-8"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 1 << 16
    timeout = 700  # idle: longer than a client keeps a connection
    emulator: Emulator

    def log_message(self, *_: Any) -> None:
        pass

    def version_string(self) -> str:
        return "ESF"

    def _text(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _send(self, status: int, text: bytes, kind: str, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(text)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(text)
        self.wfile.flush()

    def _send_json(self, status: int, answer: object, headers: dict[str, str] | None = None) -> None:
        self._send(status, json.dumps(answer).encode(), _JSON, headers)


class _Api(_Handler):
    def _any(self) -> None:
        text = self._text()
        try:
            if self.command == "POST" and urlsplit(self.path).path == _BATCH:
                self._batch(text)
                return
            token = _token(self.headers)
            status, answer, retry_after = self.emulator.handle(self.command, self.path, token, text)
        except Dropped:
            # As a broken network does.
            with contextlib.suppress(OSError):
                self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True
            return
        headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
        if status == 401:
            headers["WWW-Authenticate"] = 'Bearer realm="https://accounts.google.com/"'
        self._send_json(status, answer, headers)

    do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = _any

    def _batch(self, text: bytes) -> None:
        """Several requests in one: multipart/mixed of application/http, as gcloud sends what it does at once."""
        head = f"Content-Type: {self.headers['Content-Type']}\r\n\r\n"
        whole = BytesParser().parsebytes(head.encode() + text)
        if not whole.is_multipart():
            self._send_json(400, ApiError(400, "badRequest", "A batch is multipart/mixed.").body)
            return
        boundary = f"batch_{time.monotonic_ns():x}"
        answers = []
        for part in whole.get_payload():
            assert isinstance(part, Message)
            status, answer = self._part(part)
            answers.append(
                f"--{boundary}\r\nContent-Type: application/http\r\n"
                f"Content-ID: <response-{(part['Content-ID'] or '').strip().strip('<>')}>\r\n\r\n"
                f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n"
                f"Content-Type: {_JSON}\r\n\r\n{json.dumps(answer)}\r\n"
            )
        content = "".join(answers) + f"--{boundary}--\r\n"
        self._send(200, content.encode(), f"multipart/mixed; boundary={boundary}")

    def _part(self, part: Message) -> tuple[int, object]:
        payload = part.get_payload(decode=True)
        assert isinstance(payload, bytes)
        head, _, body = payload.replace(b"\r\n", b"\n").lstrip().partition(b"\n\n")
        first, _, rest = head.partition(b"\n")
        verb, url, *_version = first.decode().split()
        split = urlsplit(url)
        target = f"{split.path}?{split.query}" if split.query else split.path
        token = _token(BytesParser().parsebytes(rest + b"\n\n")) or _token(self.headers)
        status, answer, _ = self.emulator.handle(verb, target, token, body)
        return status, answer


def _token(headers: Message) -> str | None:
    kind, _, token = (headers.get("Authorization") or "").partition(" ")
    return token.strip() if kind == "Bearer" else None


class _Metadata(_Handler):
    instance: str | None = None  # None: who asks is known by the address

    def version_string(self) -> str:
        return "Metadata Server for VM"

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        name = self.instance or self._asker()
        entry = self.emulator.begin(self.emulator.metadata_requests, "GET", self.path)
        entry["caller"] = name or self.client_address[0]
        said = about.ask(self.emulator.cloud, name, path, dict(parse_qsl(query)), self.headers)
        entry |= {"status": said.status, "end_mono_ns": time.monotonic_ns()}
        self._send(said.status, said.text.encode(), said.kind, {"Metadata-Flavor": "Google"})

    def _asker(self) -> str | None:
        addresses = {
            each["networkInterfaces"][0]["networkIP"]: name for name, each in self.emulator.cloud.instances.items()
        }
        return addresses.get(self.client_address[0])


class _Admin(_Handler):
    disable_nagle_algorithm = False  # it is no TCP

    def _any(self) -> None:
        text = self._text()
        try:
            body = json.loads(text) if text else None
            self._send_json(200, controls.call(self.emulator, self.command, self.path, body))
        except (ValueError, TypeError, LookupError, AttributeError) as error:
            self._send_json(400, {"error": f"{type(error).__name__}: {error}"})

    do_GET = do_POST = do_PATCH = do_DELETE = _any


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    allow_reuse_address = True

    def server_bind(self) -> None:
        # HTTPServer's own asks a name server who we are.
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = (
            "lab",
            0 if isinstance(self.server_address, str) else self.server_address[1],
        )

    def handle_error(self, request: Any, client_address: Any) -> None:
        # A client that hangs up is none.
        if not isinstance(sys.exc_info()[1], OSError):
            traceback.print_exc()


class _UnixServer(_Server):
    address_family = socket.AF_UNIX

    def get_request(self) -> tuple[socket.socket, Any]:
        return self.socket.accept()[0], ("admin", 0)


def _bound(kind: type[_Handler], emulator: Emulator, **more: Any) -> type[_Handler]:
    return type(kind.__name__, (kind,), {"emulator": emulator, **more})


def _start(server: _Server, look_s: float = 0.5) -> _Server:
    """``look_s``: how soon it notices that it shall stop."""
    threading.Thread(target=server.serve_forever, args=(look_s,), daemon=True).start()
    return server


def serve(world: World, plane: DataPlane, *, api: tuple[str, int], metadata: tuple[str, int], admin: Path) -> None:
    """Serve for ever. When the admin socket answers, the network is as the world says."""
    emulator = Emulator(world, plane)
    _start(_Server(api, _bound(_Api, emulator)))
    _start(_Server(metadata, _bound(_Metadata, emulator)))
    admin.unlink(missing_ok=True)
    _UnixServer(str(admin), _bound(_Admin, emulator)).serve_forever()  # type: ignore[arg-type]


class Local(Emulator):
    """An emulator on loopback, for tests.

    ``endpoint``: the API's, ending with /compute/v1; ``root``: without that. ``metadata_url``: that of each instance.
    """

    def __init__(self, world: World, plane: DataPlane, admin: Path | None = None) -> None:
        super().__init__(world, plane)
        self._servers = [_start(_Server(("127.0.0.1", 0), _bound(_Api, self)), 0.05)]
        self.root = f"http://127.0.0.1:{self._servers[0].server_port}"
        self.endpoint = f"{self.root}/compute/v1"
        self.metadata_url: dict[str, str] = {}
        for each in world.instances:
            server = _start(_Server(("127.0.0.1", 0), _bound(_Metadata, self, instance=each.name)), 0.05)
            self._servers.append(server)
            self.metadata_url[each.name] = f"http://127.0.0.1:{server.server_port}"
        if admin is not None:
            self._servers.append(_start(_UnixServer(str(admin), _bound(_Admin, self)), 0.05))  # type: ignore[arg-type]

    def admin(self, verb: str, path: str, body: Any = None) -> Any:
        """What the admin socket would answer; ValueError says what is wrong."""
        return controls.call(self, verb, path, body)

    def close(self) -> None:
        """Stop serving."""
        endings = [threading.Thread(target=server.shutdown) for server in self._servers]
        for each in endings:
            each.start()
        for each, server in zip(endings, self._servers, strict=True):
            each.join()
            server.server_close()
        super().close()


@contextlib.contextmanager
def local(world: World, plane: DataPlane | None = None, admin: Path | None = None) -> Iterator[Local]:
    """An emulator on loopback as long as the block lasts. Nothing takes time unless it is told otherwise."""
    emulator = Local(world, plane or MemoryPlane(), admin)
    emulator.cloud.behaviour.change({"latency_s": 0, "propagation_s": 0})
    try:
        yield emulator
    finally:
        emulator.close()

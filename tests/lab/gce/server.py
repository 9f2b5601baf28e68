# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The servers: the API, the metadata server and the resolver of every instance, and the socket on which the lab says
what it wants."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from email.message import Message
from email.parser import BytesParser
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from lab.emulation.server import Admin, Handler, Server, UnixServer, bound, call, on_loopback, start, stop
from lab.gce import metadata as about
from lab.gce.admin import VERBS
from lab.gce.dataplane import DataPlane
from lab.gce.dns_resolver import Resolver
from lab.gce.emulator import Emulator
from lab.gce.errors import ApiError, Dropped
from lab.gce.memory import MemoryPlane
from lab.gce.world import World

_BATCH = "/batch/compute/v1"
_JSON = "application/json; charset=UTF-8"


class _Api(Handler):
    json_type = _JSON
    emulator: Emulator

    def version_string(self) -> str:
        return "ESF"

    def _any(self) -> None:
        text = self.text()
        try:
            if self.command == "POST" and urlsplit(self.path).path == _BATCH:
                self._batch(text)
                return
            token = _token(self.headers)
            status, answer, headers = self.emulator.handle(self.command, self.path, token, text)
        except Dropped:
            self.drop()
            return
        self.send_json(status, answer, headers)

    do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = _any

    def _batch(self, text: bytes) -> None:
        """Several requests in one: multipart/mixed of application/http, as gcloud sends what it does at once."""
        head = f"Content-Type: {self.headers['Content-Type']}\r\n\r\n"
        whole = BytesParser().parsebytes(head.encode() + text)
        if not whole.is_multipart():
            self.send_json(400, ApiError(400, "badRequest", "A batch is multipart/mixed.").body)
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
        self.send(200, content.encode(), f"multipart/mixed; boundary={boundary}")

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


class _Metadata(Handler):
    emulator: Emulator
    instance: str | None = None  # None: who asks is known by the address

    def version_string(self) -> str:
        return "Metadata Server for VM"

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        name = self.instance or self.emulator.cloud.instance_at(self.client_address[0])
        entry = self.emulator.begin(self.emulator.metadata_requests, "GET", self.path)
        entry["caller"] = name or self.client_address[0]
        said = about.ask(self.emulator.cloud, name, path, dict(parse_qsl(query)), self.headers)
        entry |= {"status": said.status, "end_mono_ns": time.monotonic_ns()}
        self.send(said.status, said.text.encode(), said.kind, {"Metadata-Flavor": "Google"})


def serve(
    world: World,
    plane: DataPlane,
    *,
    api: tuple[str, int],
    metadata: tuple[str, int],
    resolver: tuple[str, int],
    admin: Path,
) -> None:
    """Serve for ever. When the admin socket answers, the network is as the world says."""
    emulator = Emulator(world, plane)
    start(Server(api, bound(_Api, emulator)))
    start(Server(metadata, bound(_Metadata, emulator)))
    Resolver(emulator.cloud, emulator.dns_queries, emulator.cloud.instance_at, resolver)
    admin.unlink(missing_ok=True)
    UnixServer(admin, bound(Admin, emulator, verbs=VERBS)).serve_forever()


class Local(Emulator):
    """An emulator on loopback, for tests.

    ``endpoint``: the API's, ending with /compute/v1; ``root``: without that. ``metadata_url``: that of each instance.
    ``resolver`` makes one of an instance.
    """

    def __init__(self, world: World, plane: DataPlane, admin: Path | None = None) -> None:
        super().__init__(world, plane)
        self._servers = [on_loopback(bound(_Api, self))]
        self.root = f"http://127.0.0.1:{self._servers[0].server_port}"
        self.endpoint = f"{self.root}/compute/v1"
        self.metadata_url: dict[str, str] = {}
        self._resolvers: list[Resolver] = []
        for each in world.instances:
            self.serve_metadata(each.name)
        if admin is not None:
            self._servers.append(start(UnixServer(admin, bound(Admin, self, verbs=VERBS)), 0.05))

    def serve_metadata(self, instance: str) -> None:
        """Serve the metadata server of an instance, too."""
        server = on_loopback(bound(_Metadata, self, instance=instance))
        self._servers.append(server)
        self.metadata_url[instance] = f"http://127.0.0.1:{server.server_port}"

    def admin(self, verb: str, path: str, body: Any = None) -> Any:
        """What the admin socket would answer; ValueError says what is wrong."""
        return call(VERBS, self, verb, path, body)

    def resolver(self, instance: str) -> tuple[str, int]:
        """The address of a resolver that takes everybody for this instance."""
        made = Resolver(self.cloud, self.dns_queries, lambda _address: instance, ("127.0.0.1", 0))
        self._resolvers.append(made)
        return made.address

    def close(self) -> None:
        """Stop serving."""
        for each in self._resolvers:
            each.close()
        stop(self._servers)
        super().close()


@contextlib.contextmanager
def local(world: World, plane: DataPlane | None = None, admin: Path | None = None) -> Iterator[Local]:
    """An emulator on loopback as long as the block lasts. Nothing takes time unless it is told otherwise."""
    emulator = Local(world, plane or MemoryPlane(), admin)
    emulator.cloud.behaviour.change({"latency_s": 0, "propagation_s": 0, "dns_latency_s": 0, "dns_propagation_s": 0})
    try:
        yield emulator
    finally:
        emulator.close()

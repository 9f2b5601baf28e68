# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What stands in front of the APIs: it logs each request, and lets go wrong what it is told to.

A `Service` answers requests; `Front` gives each of them a port. Everything that a client sees goes through here; what
the lab itself asks does not.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import socketserver
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol

from lab.gce.behaviour import Fault

KINDS = ("slow", "status", "lose-before", "lose-after")
_KEPT = 20_000  # requests in the log
_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "host"}


@dataclass
class Answer:
    """Of a service."""

    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=lambda: {"Content-Type": "application/json"})

    @classmethod
    def json(cls, status: int, body: object) -> Answer:
        """``body`` as JSON."""
        return cls(status, json.dumps(body).encode())


@dataclass
class Request:
    """To a service; ``path`` with its query; the names of ``headers`` in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


class Service(Protocol):
    """What answers at one port."""

    def __call__(self, request: Request) -> Answer: ...


class Upstream:
    """`Service`: a server somewhere else."""

    def __init__(self, address: tuple[str, int]) -> None:
        self._address = address

    def __call__(self, request: Request) -> Answer:
        """Pass the request on; the answer's links name the host that the client asked."""
        connection = http.client.HTTPConnection(*self._address, timeout=60)
        with contextlib.closing(connection):
            passed = {name: value for name, value in request.headers.items() if name not in _HOP_BY_HOP - {"host"}}
            connection.request(request.method, request.path, request.body or None, passed)
            answer = connection.getresponse()
            headers = {name: value for name, value in answer.getheaders() if name.lower() not in _HOP_BY_HOP}
            return Answer(answer.status, answer.read(), headers)


class Front:
    """The services on the ports where clients find them.

    ``requests``: oldest first: when (wall_ns, mono_ns, end_mono_ns), to which ``service``, by which ``caller`` (the
    user whose token it was), HTTP's ``method`` and ``path``, whether it is a ``mutation``, and the ``status`` that was
    answered (0: the connection was lost). ``hooks`` are called with ("before" | "after", the entry). ``changed`` is
    called after each mutation that took effect, before it is answered.
    """

    def __init__(self, host: str = "127.0.0.1") -> None:
        self.requests: list[dict[str, Any]] = []
        self.faults: list[Fault] = []
        self.hooks: list[Callable[[str, dict[str, Any]], None]] = []
        self.changed: Callable[[], None] = lambda: None
        self._host = host
        self._users: dict[str, str] = {}
        self._servers: list[Listener] = []

    def open(self, name: str, port: int = 0) -> Listener:
        """Listen for the service called ``name``; what asks waits until `serve`."""
        server = Listener((self._host, port), type("Handler", (_Handler,), {"front": self, "service": name}))
        self._servers.append(server)
        return server

    def serve(self, server: Listener, service: Service) -> None:
        """Answer what `open` let in."""
        server.start(service)

    def close(self) -> None:
        """Stop serving."""
        for server in self._servers:
            server.stop()

    def fault(self, kind: str, **how: Any) -> None:
        """Let requests go wrong: ``kind`` is one of `KINDS`, for what else there is see `lab.gce.behaviour.Fault`."""
        self.tell([*self.faults, Fault.parse(_checked({"kind": kind, **how}))])

    def tell(self, faults: list[Fault]) -> None:
        """These faults from now on, and no others."""
        self.faults = faults

    def behaviour(self) -> dict[str, Any]:
        """What `behave` takes."""
        return {"faults": [fault.to_json() for fault in self.faults if not fault.over]}

    def behave(self, told: Mapping[str, Any]) -> None:
        """What the admin socket tells, all or nothing; ValueError says what is wrong with it."""
        unknown = told.keys() - {"faults"}
        if unknown:
            raise ValueError(f"the behaviour has no {', '.join(sorted(unknown))}")
        self.tell([Fault.parse(_checked(spec)) for spec in told.get("faults", [])])

    def handle(self, service: str, answer: Service, request: Request) -> Answer | None:
        """The answer to one request, or None for a connection that breaks."""
        entry: dict[str, Any] = {
            "wall_ns": time.time_ns(),
            "mono_ns": time.monotonic_ns(),
            "end_mono_ns": None,
            "service": service,
            "caller": self._users.get(request.headers.get("x-auth-token", ""), ""),
            "method": request.method,
            "path": request.path,
            # Asking for a token changes nothing.
            "mutation": request.method not in ("GET", "HEAD") and service != "identity",
            "status": None,
        }
        self.requests.append(entry)
        del self.requests[:-_KEPT]
        for hook in self.hooks:
            hook("before", entry)
        said = self._obey(entry, answer, request)
        entry |= {"status": said.status if said else 0, "end_mono_ns": time.monotonic_ns()}
        for hook in self.hooks:
            hook("after", entry)
        return said

    def _obey(self, entry: dict[str, Any], answer: Service, request: Request) -> Answer | None:
        met = self._meet(entry)
        for fault in met:
            if fault.kind == "slow":
                time.sleep(fault.seconds)
            elif fault.kind == "lose-before":
                return None
            elif fault.kind == "status":
                return _refusal(fault)
        said = answer(request)
        if entry["service"] == "identity":
            self._remember(said)
        if entry["mutation"] and said.status < 400:
            self.changed()
        return None if any(fault.kind == "lose-after" for fault in met) else said

    def _meet(self, entry: dict[str, Any]) -> list[Fault]:
        """The faults that a request meets; each has one time less to go."""
        self.faults = [fault for fault in self.faults if not fault.over]
        met = [fault for fault in self.faults if fault.matches(entry["method"], entry["path"], entry["caller"])]
        for fault in met:
            if fault.times is not None:
                fault.times -= 1
        return met

    def _remember(self, said: Answer) -> None:
        token = next((value for name, value in said.headers.items() if name.lower() == "x-subject-token"), None)
        if token:
            self._users[token] = json.loads(said.body)["token"]["user"]["name"]


def _checked(spec: Mapping[str, Any]) -> Mapping[str, Any]:
    if spec.get("kind") not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}, not {spec.get('kind')!r}")
    return spec


def _refusal(fault: Fault) -> Answer:
    message = fault.message or f"The lab was told to answer {fault.status}."
    # The shape of Neutron's errors; what another service says has the same place for its words.
    answer = Answer.json(
        fault.status, {"NeutronError": {"type": fault.reason or "Lab", "message": message, "detail": ""}}
    )
    if fault.retry_after is not None:
        answer.headers["Retry-After"] = str(fault.retry_after)
    return answer


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 1 << 16
    timeout = 700  # idle: longer than a client keeps a connection
    front: Front
    service: str
    answer: Service

    def log_message(self, *_: Any) -> None:
        pass

    def _any(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(self.command, self.path, headers, body)
        try:
            said = self.front.handle(self.service, self.answer, request)
        except OSError as error:
            said = Answer.json(502, {"error": f"the lab's {self.service} does not answer: {error}"})
        if said is None:
            # As a broken network does.
            with contextlib.suppress(OSError):
                self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True
            return
        self.send_response_only(said.status)
        for name, value in {**said.headers, "Content-Length": str(len(said.body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(said.body)
        self.wfile.flush()

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = _any


class Listener(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    _thread: threading.Thread | None = None

    def server_bind(self) -> None:
        # HTTPServer's own asks a name server who we are.
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = "lab", int(self.server_address[1])

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://{self.server_address[0]!s}:{self.server_port}"

    def start(self, service: Service) -> None:
        """Let ``service`` answer."""
        self.RequestHandlerClass.answer = staticmethod(service)  # type: ignore[attr-defined]
        self._thread = threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """No more answers."""
        if self._thread is not None:
            self.shutdown()
        self.server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        # A client that hangs up is none.
        if not isinstance(sys.exc_info()[1], OSError):
            traceback.print_exc()

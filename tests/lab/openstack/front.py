# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What stands in front of the APIs: it logs each request, and lets go wrong what it is told to.

A `Service` answers requests; a `Front` gives each of them a port. Everything that a client sees goes through here;
what the lab itself asks does not, nor what the services ask each other.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from lab.emulation import behaviour, server
from lab.emulation.emulator import Dropped, Emulator, Refused

KINDS = ("slow", "status", "lose-before", "lose-after")
_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length"}


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
    body: bytes = b""


Service = Callable[[Request], Answer]


class Upstream:
    """`Service`: a server somewhere else."""

    def __init__(self, address: tuple[str, int]) -> None:
        self._address = address

    def __call__(self, request: Request) -> Answer:
        """Pass the request on, with the host that the client asked: the answer's links name that."""
        connection = http.client.HTTPConnection(*self._address, timeout=60)
        with contextlib.closing(connection):
            headers = {name: value for name, value in request.headers.items() if name not in _HOP_BY_HOP}
            connection.request(request.method, request.path, request.body or None, headers)
            answer = connection.getresponse()
            headers = {name: value for name, value in answer.getheaders() if name.lower() not in _HOP_BY_HOP}
            return Answer(answer.status, answer.read(), headers)


class Refusal(Refused):
    """What a fault says, in the shape of Neutron's errors."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.message or f"The lab was told to answer {fault.status}.")
        self.status = fault.status
        self._fault = fault

    @property
    def body(self) -> dict[str, Any]:
        """See `lab.emulation.emulator.Refused`."""
        return {"NeutronError": {"type": self._fault.reason or "Lab", "message": str(self), "detail": ""}}

    @property
    def headers(self) -> dict[str, str]:
        """See `lab.emulation.emulator.Refused`."""
        return {} if self._fault.retry_after is None else {"Retry-After": str(self._fault.retry_after)}


class Fault(behaviour.Fault):
    """One of `KINDS`: there are no operations here. ``caller`` is the name of a user."""

    @classmethod
    def parse(cls, spec: Mapping[str, Any]) -> Fault:
        """See `lab.emulation.behaviour.Fault`."""
        if spec.get("kind") not in KINDS:
            raise ValueError(f"kind must be one of {', '.join(KINDS)}, not {spec.get('kind')!r}")
        fault = super().parse(spec)
        assert isinstance(fault, Fault)
        return fault

    def refusal(self) -> Refusal:
        """See `lab.emulation.behaviour.Fault`."""
        return Refusal(self)


@dataclass
class Behaviour(behaviour.Behaviour):
    """``latency_s``: of each request. ``propagation_s``: from a change's answer until the network obeys."""

    fault = Fault
    latency_s: float = 0.0
    propagation_s: float = 0.0
    token_lifetime_s: float = 3600.0

    def read(self, key: str, value: Any) -> Any:
        """See `lab.emulation.behaviour.Behaviour`."""
        if key == "token_lifetime_s":
            raise ValueError("how long a token lasts is Keystone's to say")
        return super().read(key, value)


class Front:
    """The services on the ports where clients find them.

    ``requests``: oldest first: when (wall_ns, mono_ns, end_mono_ns), to which ``service``, by which ``caller`` (the
    user whose token it was), HTTP's ``method`` and ``path``, whether it is a ``mutation``, and the ``status`` that was
    answered (0: the connection was lost). ``hooks`` are called with ("before" | "after", the entry). ``changed`` is
    called after each mutation that took effect, before it is answered.
    """

    def __init__(self, host: str = "127.0.0.1") -> None:
        self.requests: list[dict[str, Any]] = []
        self.behaviour = Behaviour()
        self.hooks: list[Callable[[str, dict[str, Any]], None]] = []
        self.changed: Callable[[], None] = lambda: None
        self._host = host
        self._users: dict[str, str] = {}
        self._listeners: list[Listener] = []

    def open(self, name: str, port: int = 0) -> Listener:
        """Listen for the service called ``name``; who asks waits until the listener is started."""
        listener = Listener((self._host, port), server.bound(_Handler, self, service=name))
        self._listeners.append(listener)
        return listener

    def close(self) -> None:
        """Stop serving."""
        server.stop([each for each in self._listeners if each.started])
        for each in self._listeners:
            each.server_close()

    def fault(self, kind: str, **how: Any) -> None:
        """One more fault: ``kind`` is one of `KINDS`; for the rest see `lab.emulation.behaviour.Fault`."""
        self.behaviour.faults.append(Fault.parse({"kind": kind, **how}))

    def reset(self) -> None:
        """Behave as at first: no faults, no hooks, nothing takes time."""
        self.behaviour = Behaviour()
        self.hooks.clear()

    def handle(self, service: str, answer: Service, request: Request) -> Answer:
        """The answer to one request; raises Dropped for a connection that breaks."""
        entry = Emulator.begin(self.requests, request.method, request.path)
        entry |= {
            "service": service,
            "caller": self._users.get(request.headers.get("x-auth-token", ""), ""),
            # Asking for a token changes nothing.
            "mutation": request.method not in ("GET", "HEAD") and service != "identity",
        }
        status = 0
        try:
            for hook in self.hooks:
                hook("before", entry)
            said = self._obey(entry, answer, request)
            status = said.status
            return said
        finally:
            entry |= {"status": status, "end_mono_ns": time.monotonic_ns()}
            for hook in self.hooks:
                hook("after", entry)

    def _obey(self, entry: dict[str, Any], answer: Service, request: Request) -> Answer:
        time.sleep(self.behaviour.latency_s)
        met = self.behaviour.meet(entry["method"], entry["path"], entry["caller"])
        try:
            behaviour.begin(met, deferred=False)
        except Refused as refused:
            said = Answer.json(refused.status, refused.body)
            said.headers |= refused.headers
            return said
        said = answer(request)
        if entry["service"] == "identity":
            self._remember(said)
        if entry["mutation"] and said.status < 400:
            self.changed()
        behaviour.end(met)
        return said

    def _remember(self, said: Answer) -> None:
        """Whose token it is that Keystone gives out."""
        token = next((value for name, value in said.headers.items() if name.lower() == "x-subject-token"), None)
        if token:
            self._users[token] = json.loads(said.body)["token"]["user"]["name"]


class _Handler(server.Handler):
    emulator: Front
    service: str
    answer: Service

    def _any(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(self.command, self.path, headers, self.text())
        try:
            said = self.emulator.handle(self.service, self.answer, request)
        except Dropped:
            self.drop()
            return
        self.send_response_only(said.status)
        for name, value in {**said.headers, "Content-Length": str(len(said.body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(said.body)
        self.wfile.flush()

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = _any


class Listener(server.Server):
    """Has a port from the beginning."""

    started = False

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://{self.server_address[0]!s}:{self.server_port}"

    def start(self, service: Service) -> None:
        """Let ``service`` answer."""
        self.RequestHandlerClass.answer = staticmethod(service)  # type: ignore[attr-defined]
        self.started = True
        server.start(self, 0.05)

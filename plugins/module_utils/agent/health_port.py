# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The action ``health_port``: a port that is open while this node is the master and its checks pass.

The health checks of a load balancer ask it, so that clients are sent to the master. It must never answer for an agent
that hangs. But the kernel completes the handshakes of a socket that listens, whatever its process does. So the agent
holds back a timer of the kernel while the port is open, and the kernel kills an agent that does not.
"""

from __future__ import annotations

import contextlib
import socket

from . import kinds
from .config import Action, normal_address
from .deadman import DeadMansSwitch
from .loop import READ
from .runner import failed_verdicts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .config import Section
    from .loop import Attempt, Failed
    from .service import Agent

LASTS = 1.0  # seconds for which an agent that hangs keeps the port open; as long as the unit's watchdog waits
# For a listening socket with a backlog of n the kernel completes n + 1 handshakes that nobody accepts, and no more. An
# agent accepts within a millisecond: a few let the probes of several probers meet. With HTTP the agent itself has to
# answer, and they tell nothing.
BACKLOG = {"tcp": 4, "http": 32}
REQUEST_LIMIT = 8 * 1024
REQUEST_TIMEOUT = 2.0
CONNECTIONS = 64
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 3\r\nConnection: close\r\n\r\n"
BODY = b"ok\n"


class HealthPortAction(Action):
    port: int
    address: str
    mode: str


@kinds.register
class HealthPort(kinds.Follower):
    type = "health_port"
    options: dict[str, Any] = {**kinds.INSTANCE, "port": int, "address": str, "mode": str}

    def __init__(self, config: HealthPortAction, agent: Agent) -> None:
        self.config = config
        self.name = config.name
        self.instance = config.instance
        self.reason = "the agent starts"  # why it is closed
        self._agent = agent
        self._listener: socket.socket | None = None
        self._switch = DeadMansSwitch(LASTS)
        self._connections = 0

    @classmethod
    def parse(cls, section: Section) -> Action:
        action = HealthPortAction()
        # The agent has no privilege, which a lower one needs.
        action.port = section.number("port", 1024, 65535)
        given = section.take("address", str, "0.0.0.0")
        action.address = normal_address(given) or ""
        if not action.address:
            section.problem("address", f"{given!r} is not an IP address")
        action.mode = section.take("mode", str, "tcp")
        if action.mode not in BACKLOG:
            section.problem("mode", f"must be one of {', '.join(BACKLOG)}, not {action.mode!r}")
        return action

    @staticmethod
    def describe(status: dict[str, Any]) -> str:
        where = f"port {status['port']} of {status['address']} ({status['mode']})"
        return f"{where} is open" if status["open"] else f"{where} is CLOSED: {status['reason']}"

    def status(self) -> dict[str, Any]:
        config = self.config
        return {
            "port": config.port,
            "address": config.address,
            "mode": config.mode,
            "open": self._listener is not None,
            "reason": self.reason,
        }

    def look(self) -> None:
        reason = self._closed_because()
        if reason:
            self._close(reason)
            self._problem(None)
        elif not self._listener:
            self._open()
        if self._listener:
            self._switch.hold()

    def stop(self) -> None:
        self._close("the agent stops")
        self._switch.close()

    def _closed_because(self) -> str:
        if not self._agent.mastership(self.instance):
            return f"{self.instance} is not MASTER here"
        if self._agent.keepalived_stopped():
            return "keepalived is stopped by a signal"
        return failed_verdicts(self._agent.runners)

    def _open(self) -> None:
        config = self.config
        try:
            self._switch.hold()  # first: there is no moment at which the port is open without it
            listener = _listen(config.address, config.port, BACKLOG[config.mode])
        except OSError as error:
            self._switch.release()
            self.reason = f"{error.strerror or error}"
            self._problem(f"{config.port} of {config.address}: {self.reason}")
            return
        self._listener, self.reason = listener, ""
        self._problem(None)
        self._agent.loop.watch(listener, READ, self._accept)
        self._tell("port_opened")

    def _close(self, reason: str) -> None:
        self.reason = reason
        if self._listener:
            self._agent.loop.unwatch(self._listener)
            self._listener.close()
            self._listener = None
            self._switch.release()
            self._tell("port_closed", reason=reason)

    def _problem(self, text: str | None) -> None:
        self._agent.problem(f"{self.name}: port", text)

    def _tell(self, event: str, **fields: str) -> None:
        self._agent.record(event, action=self.name, instance=self.instance, port=self.config.port, **fields)
        self._agent.news = True

    def _accept(self) -> None:
        listener = self._listener
        if not listener:  # closed meanwhile
            return
        # A connection may be gone before it is accepted, and the node may be short of descriptors for a moment.
        with contextlib.suppress(OSError):
            # No more than could be waiting: a flood of them must not keep the agent from its other work.
            for _each in range(BACKLOG[self.config.mode] + 1):
                connection, _peer = listener.accept()
                if self.config.mode == "tcp" or self._connections == CONNECTIONS:
                    connection.close()
                    continue
                connection.setblocking(False)
                self._connections += 1
                self._agent.loop.run(self._answer(connection, listener), REQUEST_TIMEOUT, self._answered)

    def _answer(self, connection: socket.socket, listener: socket.socket) -> Attempt:
        with connection:
            request = b""
            while b"\r\n\r\n" not in request:
                yield connection, READ, "waiting for the request"
                more = connection.recv(4096)
                request += more
                if not more or len(request) > REQUEST_LIMIT:
                    return
            if self._listener is listener:  # it may have been closed meanwhile
                connection.send(HEAD if request.startswith(b"HEAD ") else HEAD + BODY)

    def _answered(self, _failed: Failed | None) -> None:
        self._connections -= 1


def _listen(address: str, port: int, backlog: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)  # "::" is all addresses of both
        listener.bind((address, port))
        listener.listen(backlog)
    except BaseException:
        listener.close()
        raise
    return listener

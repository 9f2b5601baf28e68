# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Health checks: a prober for each backend of a service that has a rule, and what it makes of the answers."""

from __future__ import annotations

import http.client
import itertools
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from lab.gce.balance import HEALTHY, UNHEALTHY
from lab.gce.balancers import Check, Service

# Where probes come from, an address in each of Google's ranges, by the scheme of the service.
PROBERS = {
    "INTERNAL": ("35.191.0.1", "130.211.0.1"),
    "EXTERNAL": ("35.191.0.1", "209.85.152.1", "209.85.204.1"),
}
_BODY = 1024  # bytes of an HTTP answer in which what is expected has to be
_KEPT = 5_000  # changes that are remembered
# Of an instance, with a check, at an address, from another one: whether the answer is good. None: it is not known.
Probe = Callable[[str, Check, str, str], bool | None]


def ask(check: Check, address: str, source: str, mark: int) -> bool:
    """One probe, a connection of its own whose packets are marked: whether the answer was good, and came in time."""
    with _Timed(check.timeout_s) as connection:
        try:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, mark)
            connection.bind((source, 0))
            connection.connect((address, check.port))
            return check.kind == "TCP" or _answers(connection, check, address)
        except (OSError, http.client.HTTPException):
            return False


def _answers(connection: socket.socket, check: Check, address: str) -> bool:
    head = f"GET {check.path} HTTP/1.1\r\nHost: {check.host or address}\r\nUser-Agent: GoogleHC/1.0\r\n"
    connection.sendall(f"{head}Connection: close\r\n\r\n".encode())
    answer = http.client.HTTPResponse(connection)
    answer.begin()
    return answer.status == 200 and (not check.response or check.response.encode() in answer.read(_BODY))


class _Timed(socket.socket):
    """A connection that has so many seconds for everything together."""

    def __init__(self, seconds: float) -> None:
        super().__init__(socket.AF_INET, socket.SOCK_STREAM)
        self._end = time.monotonic() + seconds
        self.settimeout(seconds)

    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self.settimeout(left)
        return super().recv_into(buffer, nbytes, flags)


Key = tuple[str, ...]
"""On whose behalf (a service's, or a managed group's name), of which instance, and whatever tells it from others."""


class Task(NamedTuple):
    """What to ask an instance: at which of its addresses, and from which ones in turn; ``doubtful``: see `Verdict`."""

    check: Check
    address: str
    sources: Sequence[str]
    doubtful: bool = False


def of_services(services: Sequence[Service]) -> dict[Key, Task]:
    """The backends of services, each asked at the address of its first rule."""
    return {
        (service.name, each.instance): Task(service.health_check, service.rules[0].address, PROBERS[service.scheme])
        for service in services
        for each in service.backends
        if service.health_check and service.rules
    }


@dataclass
class Verdict:
    """Whether an instance is healthy: at first it is not, or nobody knows (None).

    ``against``: how many answers in a row, of which ``last`` is one, say otherwise.
    """

    healthy: bool | None = False
    against: int = 0
    last: bool | None = None

    def hear(self, good: bool, check: Check) -> None:
        """One more answer."""
        self.against = self.against + 1 if good == self.last or not self.against else 1
        self.last = good
        if good == self.healthy:
            self.against = 0
        elif self.against >= (check.healthy if good else check.unhealthy):
            self.healthy, self.against = good, 0


class Probes:
    """Keeps ``health``: of each key, from its first probe on, or its first verdict. Its keeper has ``lock``.

    ``changed`` is called after every change. ``history``: what was found when.
    """

    def __init__(
        self,
        probe: Probe,
        health: MutableMapping[Any, str],
        lock: threading.RLock,
        changed: Callable[[], None],
    ) -> None:
        self.history: list[dict[str, Any]] = []
        self._probe = probe
        self._health = health
        self._lock = lock
        self._changed = changed
        self._probers: dict[Key, _Prober] = {}

    def follow(self, wanted: Mapping[Key, Task]) -> None:
        """Make these probes, and no others. An instance that was probed before keeps its verdict."""
        with self._lock:
            for key in self._probers.keys() - wanted.keys():
                self._probers.pop(key).end()
                self._health.pop(key, None)
            for key, task in wanted.items():
                if key in self._probers:
                    self._probers[key].change(task)
                else:
                    self._probers[key] = _Prober(self._probe, key[1], task, self._listener(key))
                    self._probers[key].start()

    def close(self) -> None:
        """Probe nothing any more."""
        self.follow({})

    def _listener(self, key: Key) -> Callable[[_Prober, bool | None], None]:
        def hear(prober: _Prober, healthy: bool | None) -> None:
            if healthy is None:
                return
            state = HEALTHY if healthy else UNHEALTHY
            with self._lock:
                if self._probers.get(key) is not prober or self._health.get(key) == state:
                    return
                self._health[key] = state
                times = {"wall_ns": time.time_ns(), "mono_ns": time.monotonic_ns()}
                self.history.append({**times, "service": key[0], "instance": key[1], "health": state})
                del self.history[:-_KEPT]
            self._changed()

        return hear


class _Prober(threading.Thread):
    """Probes one backend, at each interval from the next one of its addresses."""

    def __init__(
        self,
        probe: Probe,
        instance: str,
        task: Task,
        tell: Callable[[_Prober, bool | None], None],
    ) -> None:
        super().__init__(name=f"probes of {instance}", daemon=True)
        self._probe = probe
        self._instance = instance
        self._tell = tell
        self._verdict = Verdict(None if task.doubtful else False)
        self._wake = threading.Event()
        self._ended = False
        self._task = task

    def change(self, task: Task) -> None:
        """From now on probe like this."""
        if task != self._task:
            self._task = task
            self._wake.set()

    def end(self) -> None:
        """Probe no more."""
        self._ended = True
        self._wake.set()

    def run(self) -> None:
        for number in itertools.count():
            began = time.monotonic()
            check, address, sources, _doubtful = self._task
            try:
                good = self._probe(self._instance, check, address, sources[number % len(sources)])
                if good is not None:
                    self._verdict.hear(good, check)
                    self._tell(self, self._verdict.healthy)
            except Exception:
                # The next probe may go better.
                traceback.print_exc(file=sys.stderr)
            while not self._ended and (left := began + self._task.check.interval_s - time.monotonic()) > 0:
                self._wake.wait(left)
                self._wake.clear()
            if self._ended:
                return

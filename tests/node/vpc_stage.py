# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The lab's VPC without its machines: a router and instances that are network namespaces, and servers on them.

All of it is seen by one thread only, which has namespaces of its own. It is gone when the thread ends.
"""

from __future__ import annotations

import contextlib
import ctypes
import socket
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

from lab.gce.balance import HEALTHY, UNHEALTHY
from lab.gce.balancers import Service
from lab.gce.firewall import Filter
from lab.keeper import CLONE_NEWNET, CLONE_NEWNS, MS_PRIVATE, MS_REC, NETWORKS, enter_network, mount
from lab.places import Places
from lab.process import run
from lab.vpc import Vpc

GATEWAY, VIP, EXTERNAL = "10.100.0.1", "10.100.3.1", "203.0.113.10"
ADDRESSES = {
    "node1": "10.100.2.1",
    "node2": "10.100.2.2",
    "node3": "10.100.2.3",
    "client1": "10.100.3.10",
    "client2": "10.101.3.10",
    "outside1": "198.51.100.10",
    "controller": "10.100.0.2",
}
NODES = ("node1", "node2", "node3")
SERVING, HEALTH = 80, 8080
ANSWER_S, SILENCE_S = 10.0, 0.4  # how long a client waits for an answer, and where it expects none
Value = TypeVar("Value")


@dataclass
class Node:
    """Says who it is to everybody, and how it is to probers: each request on ``probed`` with its time and ends."""

    name: str
    status: str = "200 OK"
    body: str = "fine\n"
    silent: bool = False
    probed: list[dict[str, Any]] = field(default_factory=list)
    seen: list[tuple[str, str]] = field(default_factory=list)  # of each connection: the client's end, and its own

    def say_who(self, connection: socket.socket) -> None:
        self.seen.append((connection.getpeername()[0], connection.getsockname()[0]))
        while connection.recv(1):
            connection.sendall(f"{self.name}\n".encode())

    def say_how(self, connection: socket.socket) -> None:
        times = {"at": time.monotonic(), "from": connection.getpeername()[0], "to": connection.getsockname()[0]}
        self.probed.append({**times, "head": connection.recv(4096).decode()})
        if self.silent:
            connection.recv(1)
        connection.sendall(f"HTTP/1.1 {self.status}\r\nContent-Length: {len(self.body)}\r\n\r\n{self.body}".encode())


class Stage:
    """``vpc``: the router. Whatever is to be done in its namespaces is for `do`."""

    def __init__(self, addresses: Mapping[str, str]) -> None:
        self._thread = ThreadPoolExecutor(1)
        self._open: list[socket.socket] = []
        self._addresses = dict(addresses)
        self.vpc = Vpc(GATEWAY, Places(), "controller")
        self.nodes = {name: Node(name) for name in NODES if name in addresses}
        self.do(self._begin)
        self.allow({})
        for node in self.nodes.values():
            self._serve(node)

    def do(self, function: Callable[..., Value], *arguments: Any) -> Value:
        return self._thread.submit(function, *arguments).result(60)

    def _begin(self) -> None:
        if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET | CLONE_NEWNS) != 0:
            raise OSError(ctypes.get_errno(), "unshare")
        mount("none", "/", "", MS_REC | MS_PRIVATE)
        mount("stage", "/run", "tmpfs")
        NETWORKS.mkdir()
        self.vpc.build()
        for name in self._addresses:
            self._plug_in(name)
        for name in self._addresses:
            self.vpc.program(name, self.table())
        for name in self.nodes:
            self._have_floating(name)

    def _have_floating(self, name: str) -> None:
        """As Google's guest agent does it."""
        for address in (VIP, EXTERNAL):
            run("ip", "-netns", name, "route", "add", "local", f"{address}/32", "dev", "eth0", "proto", "66")

    def _plug_in(self, name: str) -> None:
        address = self._addresses[name]
        Places().add(name, address, disk="")
        self.vpc.attach(name, (f"{address}/32",))
        self.vpc.permit(name, (f"{address}/32",))

    def table(self, *hops: str) -> dict[str, tuple[str, ...]]:
        """The way to everybody, and where the floating address leads."""
        ways = {f"{address}/32": (name,) for name, address in self._addresses.items()}
        return {**ways, **({f"{VIP}/32": hops} if hops else {})}

    def come(self, name: str, address: str) -> None:
        """A new instance, which nobody knows the way to yet; it serves."""
        self._addresses[name] = address
        self.do(self._plug_in, name)
        self.nodes[name] = Node(name)
        self.do(self._have_floating, name)
        self._serve(self.nodes[name])
        self.allow({})

    def go(self, name: str) -> None:
        """An instance is deleted."""
        self.do(self.vpc.unplug, name)
        del self._addresses[name], self.nodes[name]

    def reset(self) -> None:
        """No load balancers, everything is let in, and nobody has seen anything."""
        self.balance(healthy=())
        self.allow({})
        for node in self.nodes.values():
            node.__init__(node.name)  # type: ignore[misc]

    def close(self) -> None:
        for each in self._open:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        self._thread.shutdown()

    def socket(self, name: str, kind: socket.SocketKind = socket.SOCK_STREAM, protocol: int = 0) -> socket.socket:
        """A socket of an instance, which every thread may use."""

        def make() -> socket.socket:
            enter_network(NETWORKS / name)
            return socket.socket(socket.AF_INET, kind, protocol)

        def in_a_thread_of_its_own() -> socket.socket:
            with ThreadPoolExecutor(1) as thread:
                return thread.submit(make).result()

        made = self.do(in_a_thread_of_its_own)
        made.settimeout(ANSWER_S)
        self._open.append(made)
        return made

    # --- the network

    def allow(self, filters: Mapping[str, Sequence[Filter]]) -> None:
        """Let in what these filters say, and everything to the instances that have none."""
        whole = {name: tuple(filters.get(name, (Filter(True),))) for name in self._addresses}
        self.do(self.vpc.firewall, whole)

    def balance(self, *services: Service, healthy: Collection[str], senders: Sequence[str] = ("client1",)) -> None:
        """Put services in force; the others of their backends are unhealthy."""
        health = {
            (service.name, each.instance): HEALTHY if each.instance in healthy else UNHEALTHY
            for service in services
            for each in service.backends
        }
        self.do(self.vpc.balance, services, health, {rule: senders for each in services for rule in each.rules})

    # --- servers and clients

    def serve(self, name: str, port: int, talk: Callable[[socket.socket], None]) -> None:
        """Have a node listen, and talk on each connection."""
        ear = self.socket(name)
        ear.settimeout(None)
        ear.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        ear.bind(("", port))
        ear.listen(99)
        threading.Thread(target=self._accept, args=(ear, talk), daemon=True).start()

    def _serve(self, node: Node) -> None:
        self.serve(node.name, SERVING, node.say_who)
        self.serve(node.name, HEALTH, node.say_how)
        for address in (self._addresses[node.name], VIP, EXTERNAL):
            # One for each address: what it was asked at is what it answers from.
            ear = self.socket(node.name, socket.SOCK_DGRAM)
            ear.settimeout(None)
            ear.bind((address, SERVING))
            threading.Thread(target=_echo, args=(ear, node.name), daemon=True).start()

    def _accept(self, ear: socket.socket, talk: Callable[[socket.socket], None]) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _peer = ear.accept()
                self._open.append(connection)
                threading.Thread(target=_talk, args=(connection, talk), daemon=True).start()

    def connect(
        self, client: str = "client1", address: str = VIP, port: int = SERVING, patience_s: float = ANSWER_S
    ) -> socket.socket:
        connection = self.socket(client)
        connection.settimeout(patience_s)
        connection.connect((address, port))
        return connection

    def who(self, client: str = "client1", address: str = VIP, port: int = SERVING) -> str:
        """Who takes a new connection."""
        with self.connect(client, address, port) as connection:
            return again(connection)

    def lost(self, client: str = "client1", address: str = VIP, port: int = SERVING) -> bool:
        """Whether nobody answers the packets of a new connection."""
        try:
            self.connect(client, address, port, SILENCE_S).close()
        except TimeoutError:
            return True
        return False

    def pings(self, client: str, address: str, patience_s: float = ANSWER_S) -> bool:
        """Whether an address answers an ICMP echo request."""
        with self.socket(client, socket.SOCK_RAW, socket.IPPROTO_ICMP) as icmp:
            icmp.settimeout(patience_s)
            icmp.sendto(b"\x08\x00\xf7\xff\x00\x00\x00\x00", (address, 0))
            with contextlib.suppress(TimeoutError):
                return icmp.recv(99)[20] == 0
        return False

    def ear(self, client: str = "client1", address: str = VIP) -> socket.socket:
        """A client's UDP socket that is for this address."""
        made = self.socket(client, socket.SOCK_DGRAM)
        made.connect((address, SERVING))
        return made


def again(connection: socket.socket) -> str:
    """Who answers on a connection; "reset": it is over."""
    try:
        connection.send(b"?")
        return connection.recv(99).decode().strip() or "reset"
    except TimeoutError:
        raise
    except OSError:
        return "reset"


def silent(ear: socket.socket) -> bool:
    """Whether nobody answers a datagram."""
    ear.settimeout(SILENCE_S)
    with contextlib.suppress(TimeoutError):
        return again(ear) == ""
    return True


def _talk(connection: socket.socket, talk: Callable[[socket.socket], None]) -> None:
    with contextlib.suppress(OSError), connection:
        talk(connection)


def _echo(ear: socket.socket, name: str) -> None:
    with contextlib.suppress(OSError):
        while heard := ear.recvfrom(99)[1]:
            ear.sendto(f"{name}\n".encode(), heard)


@contextlib.contextmanager
def stage(addresses: Mapping[str, str] | None = None) -> Iterator[Stage]:
    made = Stage(addresses or ADDRESSES)
    try:
        yield made
    finally:
        made.close()

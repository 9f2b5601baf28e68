# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The guard sees whether a keepalived that lives also sees, hears and is believed, and mends it.

keepalived is blind to a track file that its process does not watch, as it got no inotify instance.
It is deaf on an interface that was deleted and made again: it closes its sockets, and opens new ones only at a reload.

The role keepalived lays this file on the nodes, with those which it imports. The companion of the service looks once
after each start and reload, and a service of its own goes on looking.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import select
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from ..agent import netlink, verdict
from .announcements import Announcements, advertisement, announce
from .health import PROC, Health, health, problems, processes
from .in_force import CONFIGURATION, LOADED, RUNTIME, Instance, instances, known_configuration, members

HEALTH = "keepalived.json"  # what the guard leaves in RUNTIME
# The files of this program, which the imports above have loaded. A directory without __init__.py is a module, too, and
# has none.
_PROGRAM = __name__.partition(".node.")[0] + "."
_FILES = [getattr(module, "__file__", None) for name, module in list(sys.modules.items()) if name.startswith(_PROGRAM)]
CODE = [file for file in _FILES if file]
AMISS = 4  # the exit code; a Python that is too old ends with 1
PROTOCOL = 112
_IP_PKTINFO = 8
_ASK_FOR_INTERFACE = {
    socket.AF_INET: (socket.IPPROTO_IP, _IP_PKTINFO),
    socket.AF_INET6: (socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO),
}
_INTERFACE_AT = {(socket.IPPROTO_IP, _IP_PKTINFO): 0, (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO): 16}
LOOK_EVERY = 2.0
LASTS = 3.0  # seconds, before anything is said to be amiss
RELOAD_AGAIN = (1.0, 2.0, 5.0, 10.0, 30.0)  # seconds until a reload that did not help is tried again
SOON = 0.05  # events come in crowds, and one look is enough for all of them


class Guard:
    """Goes on looking, reloads a deaf keepalived, and repeats announcements."""

    def __init__(self, runtime: Path = RUNTIME, proc: Path = PROC, written: Path = CONFIGURATION) -> None:
        self.runtime, self.proc, self.written = runtime, proc, written
        self.links = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, 0)
        self.links.bind((0, 1))  # RTMGRP_LINK
        self.addresses = netlink.Addresses()
        self.vrrp = list(_vrrp_sockets())
        self.announcements = Announcements()
        self.seen, self.since, self.look_due = Health([], []), 0.0, 0.0
        self.judged, self.told = self.seen, list[str]()
        self.reloading: subprocess.Popen[bytes] | None = None
        self.reloads, self.reload_due = 0, 0.0
        self.instances: list[Instance] = []
        self.members: list[str] | None = None
        self.code, self.outdated = _versions(CODE), False
        self.read_as: tuple[int, int] | None = None
        self._configuration()
        self.held = self._held()

    def run(self) -> None:
        sockets = [self.links, self.addresses.socket, *self.vrrp]
        while not self.outdated or self.announcements.next() is not None:  # systemd starts it anew
            now = time.monotonic()
            self._announce(now)
            if now >= self.look_due:
                self._look(now)
            wake = min(self.look_due, self.announcements.next() or self.look_due)
            ready = select.select(sockets, [], [], max(0.0, wake - time.monotonic()))[0]
            for one in ready:
                if one is self.links:
                    _drop_all(self.links)
                    self._look_within(SOON)
                elif one is self.addresses.socket:
                    self._addresses_changed()
                else:
                    self._heard(one)

    def _look_within(self, seconds: float) -> None:
        self.look_due = min(self.look_due, time.monotonic() + seconds)

    def _configuration(self) -> None:
        try:
            status = (self.runtime / LOADED).stat()
        except OSError:
            return
        if (status.st_ino, status.st_mtime_ns) != self.read_as:
            self.read_as = status.st_ino, status.st_mtime_ns
            statements = known_configuration(self.runtime)
            self.instances, self.members = instances(statements or []), members(statements)

    def _held(self) -> set[str]:
        held = self.addresses.held
        return {i.name for i in self.instances if i.addresses and all(a in held for a in i.addresses)}

    def _addresses_changed(self) -> None:
        left = self.addresses.update()
        self._configuration()
        held, now = self._held(), time.monotonic()
        # One that left and came back between two looks has come, too: others may have believed another node meanwhile.
        back = {i.name for i in self.instances if left.intersection(i.addresses)}
        for name in held - (self.held - back):
            self.announcements.came(name, now)
        self.held = held
        self._look_within(SOON)  # an interface may have got its source address

    def _heard(self, one: socket.socket) -> None:
        try:
            packet, ancillary, _flags, sender = one.recvmsg(2048, 128)
        except OSError:
            return
        if one.family == socket.AF_INET:
            packet = packet[(packet[0] & 0xF) * 4 :]
        said = advertisement(packet)
        # One with priority 0 gives its addresses up: keepalived announces when it takes them.
        source = sender[0].partition("%")[0]
        if not said or not said[1] or source in self.addresses.held:
            return
        family, interface = 4 if one.family == socket.AF_INET else 6, _arrived_on(ancillary)
        for instance in self.instances:
            same = (instance.virtual_router_id, instance.family) == (said[0], family)
            if same and instance.name in self.held and instance.hears(source, interface):
                self.announcements.contested(instance.name, said[2], time.monotonic())

    def announce_now(self) -> None:
        """As if the addresses had come just now."""
        for name in self.held:
            self.announcements.came(name, time.monotonic())
        while (due := self.announcements.next()) is not None:
            time.sleep(max(0.0, due - time.monotonic()))
            self.addresses.update()
            self._announce(time.monotonic())

    def _announce(self, now: float) -> None:
        due = self.announcements.due(now)
        if not due or not processes(self.proc):  # a dead keepalived's addresses are the next node's
            return
        for address in [a for i in self.instances if i.name in due for a in i.addresses]:
            interface = self.addresses.held.get(address)
            if not interface:  # it left meanwhile
                continue
            try:
                announce(address, interface)
            except OSError as error:
                if error.errno not in (errno.ENODEV, errno.ENETDOWN, errno.EADDRNOTAVAIL, errno.ENOENT):
                    _say(f"{address} could not be announced on {interface}: {error.strerror}")

    def _look(self, now: float) -> None:
        self.look_due = now + LOOK_EVERY
        self._configuration()
        found = health(self.runtime, self.proc, self.written)
        if found != self.seen:
            self.seen, self.since = found, now
        if any(found) and now < self.since + LASTS:
            # One that has just been started is not there yet, and one that ends is no more.
            self.look_due = now + 0.5
        elif found != self.judged:
            self._judge(found)
        self._write()
        self._mend(found, now)
        # A run of the role may have been killed before it restarted the guard.
        self.outdated = _versions(CODE) not in (self.code, None)

    def _judge(self, found: Health) -> None:
        self.judged, told = found, problems(found, self.proc)
        if told != self.told:
            for sentence in told or ["keepalived sees and hears again"]:
                _say(sentence)
            self.told = told

    def _write(self) -> None:
        """At each look, which shows that the guard lives."""
        said = {"mono": time.monotonic_ns(), **self.judged._asdict(), "problems": self.told}
        if self.read_as and self.members is not None:
            # By this the agent, which may not read the configuration, forgets what a reload removed.
            said["in_force"] = {"since": self.read_as[1], "members": self.members}
        try:
            verdict.write(str(self.runtime / HEALTH), json.dumps(said) + "\n")
        except OSError as error:
            _say(f"{error.filename}: {error.strerror}")

    def _mend(self, found: Health, now: float) -> None:
        if self.reloading and self.reloading.poll() is None:  # announcements do not wait for it
            return
        if not found.deaf:
            self.reloads = 0
        elif now >= self.reload_due and not found.withheld and self._ready(found.deaf):
            self.reload_due = now + RELOAD_AGAIN[min(self.reloads, len(RELOAD_AGAIN) - 1)]
            self.reloads += 1
            _say(f"reloading keepalived, as {' and '.join(found.deaf)} was made anew")
            # It fails where an operator stops the service at this moment, and does not undo that.
            self.reloading = subprocess.Popen(["systemctl", "--job-mode=fail", "reload", "keepalived.service"])
            self._look_within(0.5)

    def _ready(self, names: list[str]) -> bool:
        """Whether keepalived can bind again: each interface is up, and has the source address."""
        sources = [s for i in self.instances if i.interface in names for s in i.sources]
        return all(_is_up(name) for name in names) and all(s in self.addresses.held for s in sources)


def _versions(files: Iterable[str]) -> list[tuple[int, int]] | None:
    """A value that changes when one of them is replaced; None if one is missing, as at its removal."""
    try:
        return [(status.st_ino, status.st_mtime_ns) for status in map(os.stat, files)]
    except OSError:
        return None


def _vrrp_sockets() -> Iterator[socket.socket]:
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            one = socket.socket(family, socket.SOCK_RAW | socket.SOCK_NONBLOCK, PROTOCOL)
            one.setsockopt(*_ASK_FOR_INTERFACE[family], 1)
            yield one
        except OSError:  # a node without IPv6
            continue


def _arrived_on(ancillary: Iterable[tuple[int, int, bytes]]) -> str:
    """The interface of a packet, as the kernel says beside it; empty if that is gone."""
    for level, kind, data in ancillary:
        if (level, kind) in _INTERFACE_AT:
            with contextlib.suppress(OSError):
                return socket.if_indextoname(struct.unpack_from("=I", data, _INTERFACE_AT[level, kind])[0])
    return ""


def _drop_all(one: socket.socket) -> None:
    try:
        while one.recv(1 << 16):
            pass
    except OSError:  # none are left, or some were lost: either way it looks now
        pass


def _is_up(name: str) -> bool:
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            answer = fcntl.ioctl(s, 0x8913, struct.pack("16s24x", name.encode()))  # SIOCGIFFLAGS
    except OSError:
        return False
    return bool(struct.unpack_from("=H", answer, 16)[0] & 0x1)


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")


def main(arguments: list[str]) -> int:
    if arguments[:1] == ["watch"]:
        Guard().run()
    if arguments[:1] == ["announce"]:
        Guard().announce_now()
        return 0
    # After a start or a reload keepalived may need a moment.
    deadline = time.monotonic() + (float(arguments[1]) if len(arguments) > 1 else 0.0)
    found: Any = health()
    while (found.unwatched or found.deaf) and time.monotonic() < deadline:
        time.sleep(0.05)
        found = health()
    for sentence in problems(found):
        _say(sentence)
    return AMISS if found.unwatched or found.deaf else 0

# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The keeper of an address on lo: it puts back the address, and a route of its own for it, when somebody removes them.

Either of the two makes the node accept the address's packets, so that none is lost while the other one is put back. The
kernel tells of each change of links, addresses and routes. The keeper then asks it to create both, which changes
nothing if they are there. It never removes anything, so the routes of other programs for the same address stay.

The role local_address lays this file on the nodes.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import select
import socket
import struct
import sys
import time

from ..agent import netlink, systemd

_NEW_ADDRESS, _NEW_ROUTE = 20, 24
_ERROR = 2
_CREATE = 0x1 | 0x4 | 0x200 | 0x400  # a request with an answer, which fails if it is there already
_GROUPS = 0x1 | 0x10 | 0x100 | 0x40 | 0x400  # changes of links, and of addresses and routes of both families
_IFA_ADDRESS, _IFA_LOCAL = 1, 2
_RTA_DST, _RTA_OIF, _RTA_PRIORITY = 1, 4, 6
_LO = 1  # its number in each network namespace
_TABLE_LOCAL, _SCOPE_HOST, _TYPE_LOCAL = 255, 254, 2
# For an address the kernel allows one local route of each metric. Its own routes have 0. Those of Google's guest agent
# have 0, too, and 1024 in IPv6.
METRIC = 2048
SOON = 0.02  # seconds: events come in crowds, and somebody may remove the address again and again
AGAIN = 5.0  # until the next attempt after a failed one, if nothing happens before
TELL_EVERY = 1.0


class Keeper:
    """protocol: by this number in the kernel's table the route is known as the role's."""

    def __init__(self, address: str, protocol: int) -> None:
        self.address = address
        self.requests = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
        self.requests.settimeout(2)
        self.events = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, 0)
        self.events.bind((0, _GROUPS))
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        packed = socket.inet_pton(family, address)
        length = 8 * len(packed)
        self.wanted = {
            "the address on lo": (
                _NEW_ADDRESS,
                struct.pack("=BBBBI", family, length, 0, 0, _LO)
                + _attribute(_IFA_LOCAL, packed)
                + _attribute(_IFA_ADDRESS, packed),
            ),
            "its route": (
                _NEW_ROUTE,
                struct.pack("=BBBBBBBBI", family, length, 0, 0, _TABLE_LOCAL, protocol, _SCOPE_HOST, _TYPE_LOCAL, 0)
                + _attribute(_RTA_DST, packed)
                + _attribute(_RTA_OIF, struct.pack("=I", _LO))
                + _attribute(_RTA_PRIORITY, struct.pack("=I", METRIC)),
            ),
        }
        self.numbers = itertools.count(1)
        self.told, self.tell_due = "", 0.0

    def run(self) -> None:
        whole = False  # at some time until now
        while True:
            put, failed = self.put_back()
            if put and whole:
                self._tell(f"put back {' and '.join(put)}, which somebody had removed")
            for what in failed:
                self._tell(f"could not put back {what}")
            if not failed and not whole:
                whole = True
                systemd.tell("READY=1")
            time.sleep(SOON)
            select.select([self.events], [], [], AGAIN if failed else None)
            _drop_all(self.events)

    def put_back(self) -> tuple[list[str], list[str]]:
        """Create both. The names of those that were missing, and of those that the kernel refused."""
        put, failed = [], []
        for name, request in self.wanted.items():
            code = self._ask(*request)
            if code == 0:
                put.append(name)
            elif code != errno.EEXIST:
                failed.append(f"{name} ({os.strerror(code)})")
        return put, failed

    def _ask(self, kind: int, payload: bytes) -> int:
        """The error with which the kernel answers, or 0."""
        number = next(self.numbers)
        self.requests.send(netlink.HEADER.pack(netlink.HEADER.size + len(payload), kind, _CREATE, number, 0) + payload)
        while True:
            for answer, sequence, content in netlink.messages(netlink.receive(self.requests)):
                if (answer, sequence) == (_ERROR, number):
                    return -int(struct.unpack_from("=i", content)[0])

    def _tell(self, text: str) -> None:
        now = time.monotonic()
        if text != self.told or now >= self.tell_due:
            self.told, self.tell_due = text, now + TELL_EVERY
            sys.stderr.write(f"{self.address}: {text}\n")


def _attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value


def _drop_all(events: socket.socket) -> None:
    with contextlib.suppress(OSError):  # none are left, or some were lost: either way the keeper asks now
        while events.recv(1):
            pass


def main(address: str, protocol: str) -> None:
    Keeper(address, int(protocol)).run()

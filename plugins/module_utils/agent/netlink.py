# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The addresses that the node holds, from the kernel, and news of each change. Needs no privilege."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

HEADER = struct.Struct("=IHHII")  # length, type, flags, sequence, port
_ADDRESS = struct.Struct("=BBBBI")  # family, prefix length, flags, scope, interface
_ATTRIBUTE = struct.Struct("=HH")  # length, type
_ERROR, _DONE = 2, 3
_NEW, _DELETED, _GET = 20, 21, 22
_REQUEST_DUMP = 0x301
_GROUPS = 0x10 | 0x100  # changes of IPv4 and of IPv6 addresses
_IFA_ADDRESS, _IFA_LOCAL = 1, 2


class Addresses:
    """``held`` maps an address to its interface."""

    def __init__(self) -> None:
        self.socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, 0)
        self.socket.bind((0, _GROUPS))
        self.held: dict[str, str] = {}
        self.reload()

    def reload(self) -> None:
        """Ask for all addresses; news that come meanwhile are not lost, they are in the same stream."""
        held: dict[str, str] = {}
        request = HEADER.pack(HEADER.size + _ADDRESS.size, _GET, _REQUEST_DUMP, 1, 0)
        self.socket.send(request + _ADDRESS.pack(0, 0, 0, 0, 0))
        self.socket.settimeout(2)
        try:
            done = False
            while not done:
                for kind, sequence, payload in messages(receive(self.socket)):
                    if kind == _ERROR and len(payload) >= 4:
                        code = -struct.unpack_from("=i", payload)[0]
                        raise OSError(code, os.strerror(code))
                    if kind == _DONE and sequence == 1:
                        done = True
                    else:
                        _apply(held, kind, payload)
        finally:
            self.socket.setblocking(False)
        self.held = held

    def update(self) -> set[str]:
        """Take in the changes; return the addresses that left, also those that came back meanwhile."""
        left: set[str] = set()
        try:
            with contextlib.suppress(BlockingIOError):
                while True:
                    for kind, _sequence, payload in messages(receive(self.socket)):
                        left.update(_apply(self.held, kind, payload))
        except OSError as error:
            if error.errno != errno.ENOBUFS:
                raise
            before = set(self.held)
            self.reload()  # news were dropped
            left |= before - self.held.keys()
        return left

    def close(self) -> None:
        self.socket.close()


def receive(source: socket.socket) -> bytes:
    """The messages of the kernel, which has the port 0; none of other processes."""
    data, (port, _groups) = source.recvfrom(1 << 16)
    return data if port == 0 else b""


def messages(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """The type, sequence number and content of each."""
    while len(data) >= HEADER.size:
        length, kind, _flags, sequence, _port = HEADER.unpack_from(data)
        if length < HEADER.size:
            return
        yield kind, sequence, data[HEADER.size : length]
        data = data[(length + 3) & ~3 :]


def _apply(held: dict[str, str], kind: int, payload: bytes) -> tuple[str, ...]:
    """Take in one message; return the address that left."""
    if kind not in (_NEW, _DELETED) or len(payload) < _ADDRESS.size:
        return ()
    family, _prefix, _flags, _scope, index = _ADDRESS.unpack_from(payload)
    found: dict[int, bytes] = {}
    rest = payload[_ADDRESS.size :]
    while len(rest) >= _ATTRIBUTE.size:
        length, attribute = _ATTRIBUTE.unpack_from(rest)
        found[attribute] = rest[_ATTRIBUTE.size : length]
        rest = rest[max(4, (length + 3) & ~3) :]
    # On a point-to-point link IFA_ADDRESS is the other end.
    packed = found.get(_IFA_LOCAL) or found.get(_IFA_ADDRESS)
    if not packed or len(packed) != {socket.AF_INET: 4, socket.AF_INET6: 16}.get(family):
        return ()
    address = socket.inet_ntop(family, packed)
    if kind == _NEW:
        try:
            held[address] = socket.if_indextoname(index)
        except OSError:  # the interface is gone already
            held[address] = str(index)
        return ()
    return (address,) if held.pop(address, None) else ()

# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ask a network for the machines that answer for an address: ARP probes (RFC 5227), and neighbour solicitation (RFC
4861).

All addresses are asked for at once, with one wait for all. The probes carry no address as sender, or the interface's
link-local one, so that asking changes no neighbour's table.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import ipaddress
import select
import socket
import struct
import time
from collections.abc import Iterable, Iterator
from typing import NamedTuple, Union

Address = Union[ipaddress.IPv4Address, ipaddress.IPv6Address]

_ETH_P_ARP = 0x0806
_ARP = struct.Struct("!HHBBH6s4s6s4s")  # hardware, protocol, their lengths, operation, sender's and target's MAC and IP
_ETHERNET, _REQUEST, _REPLY = 1, 1, 2
_ND = struct.Struct("!BBHI16s")  # type, code, checksum, flags, target
_SOLICITATION, _ADVERTISEMENT = 135, 136
_SOURCE_MAC, _TARGET_MAC = 1, 2  # options
_ICMP6_FILTER = 1
_SIOCGIFFLAGS, _SIOCGIFHWADDR = 0x8913, 0x8927
_UP, _RUNNING = 0x1, 0x40
_BROADCAST = b"\xff" * 6
_SOLICITED_NODE = int(ipaddress.IPv6Address("ff02::1:ff00:0"))


class ProbeError(Exception):
    """The network cannot be asked; the message names the reason and the remedy."""


class Answer(NamedTuple):
    address: Address
    mac: str


def probe(
    addresses: Iterable[Address],
    interface: str,
    ignore_macs: Iterable[str] = (),
    timeout_ms: int = 600,
    probes: int = 3,
) -> list[Answer]:
    """The machines that answer for these addresses on this interface, other than this machine and ignore_macs.

    The probes are spread evenly over the timeout, the last wait included; it ends early once all have answered.
    """
    mac = _ethernet_address(interface)
    ignored = {m.lower() for m in ignore_macs} | set(_own_macs())
    waiting = set(addresses)
    answers: list[Answer] = []
    try:
        with contextlib.ExitStack() as stack:
            networks = [stack.enter_context(_NETWORKS[v](interface, mac)) for v in sorted({a.version for a in waiting})]
            started = time.monotonic()
            for number in range(1, probes + 1):
                for network in networks:
                    network.ask([a for a in waiting if a.version == network.version])
                deadline = started + number * timeout_ms / 1000 / probes
                while waiting and time.monotonic() < deadline:
                    for network in select.select(networks, [], [], max(0.0, deadline - time.monotonic()))[0]:
                        answer = network.answer()
                        if answer and answer.address in waiting and answer.mac not in ignored:
                            waiting.remove(answer.address)
                            answers.append(answer)
    except PermissionError as e:
        raise ProbeError("raw sockets need root, or the capability CAP_NET_RAW; use become") from e
    except OSError as e:
        raise ProbeError(f"{interface} cannot be asked on: {e.strerror}; try again once it is stable") from e
    return answers


class _Network(socket.socket):
    version: int

    def ask(self, addresses: Iterable[Address]) -> None:
        raise NotImplementedError

    def answer(self) -> Answer | None:
        raise NotImplementedError


class _Arp(_Network):
    version = 4

    def __init__(self, interface: str, mac: bytes) -> None:
        super().__init__(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_ETH_P_ARP))
        self.bind((interface, _ETH_P_ARP))
        self.mac = mac
        self.to = (interface, _ETH_P_ARP, 0, _ETHERNET, _BROADCAST)

    def ask(self, addresses: Iterable[Address]) -> None:
        for address in addresses:
            self.sendto(arp_probe(self.mac, address), self.to)

    def answer(self) -> Answer | None:
        return parse_arp(self.recv(64))


class _Neighbours(_Network):
    version = 6

    def __init__(self, interface: str, mac: bytes) -> None:
        super().__init__(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
        self.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode())
        # A neighbour drops what may have passed a router.
        self.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
        self.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_LOOP, 0)
        self.setsockopt(socket.IPPROTO_ICMPV6, _ICMP6_FILTER, _only(_ADVERTISEMENT))
        self.mac = mac
        self.interface = interface

    def ask(self, addresses: Iterable[Address]) -> None:
        index = socket.if_nametoindex(self.interface)
        for address in addresses:
            group = ipaddress.IPv6Address(_SOLICITED_NODE | int(address) & 0xFFFFFF)
            try:
                self.sendto(solicitation(self.mac, address), (str(group), 0, 0, index))
            except OSError as e:
                if e.errno not in (errno.EADDRNOTAVAIL, errno.ENETUNREACH, errno.EINVAL):
                    raise
                reason = f"{self.interface} has no usable link-local address to ask for {address} with"
                raise ProbeError(f"{reason}; enable IPv6 on it") from e

    def answer(self) -> Answer | None:
        return parse_advertisement(self.recv(2048))


_NETWORKS: dict[int, type[_Arp] | type[_Neighbours]] = {4: _Arp, 6: _Neighbours}


# Packets


def arp_probe(mac: bytes, address: Address) -> bytes:
    """A request from nobody: 0.0.0.0 as its sender keeps it out of the neighbours' tables."""
    return _ARP.pack(_ETHERNET, 0x0800, 6, 4, _REQUEST, mac, bytes(4), bytes(6), address.packed)


def parse_arp(packet: bytes) -> Answer | None:
    """The claim in a packet: an address and its machine. A probe of another machine says nothing: its sender is
    0.0.0.0."""
    if len(packet) < _ARP.size:
        return None
    hardware, protocol, _hlen, _plen, operation, mac, sender, _tmac, _target = _ARP.unpack_from(packet)
    if (hardware, protocol) != (_ETHERNET, 0x0800) or operation not in (_REQUEST, _REPLY) or sender == bytes(4):
        return None
    return Answer(ipaddress.IPv4Address(sender), format_mac(mac))


def solicitation(mac: bytes, address: Address) -> bytes:
    """The kernel fills in the checksum."""
    return _ND.pack(_SOLICITATION, 0, 0, 0, address.packed) + bytes((_SOURCE_MAC, 1)) + mac


def parse_advertisement(packet: bytes) -> Answer | None:
    if len(packet) < _ND.size or packet[0] != _ADVERTISEMENT:
        return None
    for kind, value in _options(packet[_ND.size :]):
        if kind == _TARGET_MAC and len(value) >= 6:
            return Answer(ipaddress.IPv6Address(packet[8 : _ND.size]), format_mac(value[:6]))
    return None


def _only(kind: int) -> bytes:
    """The filter of a raw ICMPv6 socket, a bit for each type: a set bit drops it."""
    words = [0xFFFFFFFF] * 8
    words[kind // 32] ^= 1 << kind % 32
    return struct.pack("=8I", *words)


def _options(rest: bytes) -> Iterator[tuple[int, bytes]]:
    while len(rest) >= 8 and rest[1]:
        yield rest[0], rest[2 : rest[1] * 8]
        rest = rest[rest[1] * 8 :]


# The machine's own interfaces


def _ethernet_address(interface: str) -> bytes:
    names = [name for _index, name in socket.if_nameindex()]
    if interface not in names:
        raise ProbeError(f"there is no interface {interface}; the node has {', '.join(sorted(names))}")
    flags = struct.unpack_from("=H", _ioctl(_SIOCGIFFLAGS, interface), 16)[0]
    family, mac = _hardware_address(interface)
    if family != _ETHERNET:
        raise ProbeError(
            f"{interface} is no Ethernet interface, on which nobody can be asked for an address; choose another one, "
            "or go without the question (keepalived_stranger_check of the role keepalived)"
        )
    if not flags & _UP:
        raise ProbeError(f"{interface} is down, so that nothing can answer; set it up first")
    if not flags & _RUNNING:
        raise ProbeError(
            f"{interface} has no carrier, so that nothing can answer; check its cable or its other end, "
            "or go without the question (keepalived_stranger_check of the role keepalived)"
        )
    return mac


def _own_macs() -> Iterator[str]:
    for _index, name in socket.if_nameindex():
        with contextlib.suppress(OSError):  # it went away meanwhile
            yield format_mac(_hardware_address(name)[1])


def _hardware_address(interface: str) -> tuple[int, bytes]:
    family, mac = struct.unpack_from("=H6s", _ioctl(_SIOCGIFHWADDR, interface), 16)
    return family, mac


def _ioctl(request: int, interface: str) -> bytes:
    """By ioctl and not from /sys, which may show another network namespace."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        return fcntl.ioctl(s, request, struct.pack("16s24x", interface.encode()))


def format_mac(mac: bytes) -> str:
    return ":".join(f"{byte:02x}" for byte in mac)

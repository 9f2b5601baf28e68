# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Announcements of addresses: when to make them, and how."""

from __future__ import annotations

import fcntl
import socket
import struct
from pathlib import Path

# keepalived sends all announcements of a moment within a millisecond, and the next ones a second later. A neighbour may
# miss the first ones, as its path heals in steps or as it believes the last one for a while. It hears one of these.
ANNOUNCE_AT = (0.1, 0.2, 0.35, 0.55, 0.8, 1.1)


def advertisement(packet: bytes) -> tuple[int, int, float] | None:
    """Router id, priority and interval in seconds, from a VRRP packet without IP header."""
    if len(packet) < 8 or packet[0] & 0xF != 1:
        return None
    version = packet[0] >> 4
    if version == 3:
        return packet[1], packet[2], ((packet[4] & 0xF) << 8 | packet[5]) / 100
    return (packet[1], packet[2], float(packet[5])) if version == 2 else None


def gratuitous_arp(mac: bytes, address: str) -> bytes:
    """A request for the address by its holder. Linux believes it at once, which it does not do with a reply."""
    own = socket.inet_aton(address)
    head = struct.pack("!HHBBH", 1, 0x0800, 6, 4, 1)
    return b"\xff" * 6 + mac + b"\x08\x06" + head + mac + own + b"\xff" * 6 + own


def neighbour_advertisement(mac: bytes, address: str, router: bool) -> bytes:
    """Unsolicited, and overriding; the kernel fills in the checksum."""
    flags = 0xA0 if router else 0x20
    return struct.pack("!BBHB3x", 136, 0, 0, flags) + socket.inet_pton(socket.AF_INET6, address) + b"\x02\x01" + mac


def announce(address: str, interface: str) -> None:
    """Tell the neighbours that the address is here."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        answer = fcntl.ioctl(s, 0x8927, struct.pack("16s24x", interface.encode()))  # SIOCGIFHWADDR
    family, mac = struct.unpack_from("=H6s", answer, 16)
    if family != 1:  # Ethernet
        return
    if ":" not in address:
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as s:
            s.bind((interface, 0))
            s.send(gratuitous_arp(mac, address))
        return
    with socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6) as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode())
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_LOOP, 0)
        index = socket.if_nametoindex(interface)
        s.bind((address, 0, 0, index))
        forwarding = Path(f"/proc/sys/net/ipv6/conf/{interface}/forwarding").read_text().strip() == "1"
        s.sendto(neighbour_advertisement(mac, address, forwarding), ("ff02::1", 0, 0, index))


class Announcements:
    """The times at which an instance's addresses are announced.

    They are announced after they came here, and after another node stopped saying that it holds them, too. While that
    one goes on, nothing is announced: it may be this node's keepalived that hangs.
    """

    def __init__(self) -> None:
        self._due: dict[str, list[float]] = {}

    def came(self, instance: str, now: float) -> None:
        self._due[instance] = [now + after for after in ANNOUNCE_AT]

    def contested(self, instance: str, interval: float, now: float) -> None:
        quiet = now + 1.25 * interval
        self._due[instance] = [quiet, *(quiet + after for after in ANNOUNCE_AT)]

    def due(self, now: float) -> list[str]:
        """The instances whose time has come."""
        ready = [name for name, times in self._due.items() if times[0] <= now]
        for name in ready:
            self._due[name] = [at for at in self._due[name] if at > now]
            if not self._due[name]:
                del self._due[name]
        return ready

    def next(self) -> float | None:
        return min((times[0] for times in self._due.values()), default=None)

# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A neighbour of a node, on the other end of its link.

observer.py LINK DIRECTORY: write what the node announces and advertises to DIRECTORY/seen, a JSON object a line, and
the last priority of each virtual router to DIRECTORY/priority.ID.
observer.py LINK DIRECTORY lower SOURCE TARGET ID ADDRESS: be another holder, with the lowest priority, for one packet.
"""

from __future__ import annotations

import json
import os
import socket
import struct
import sys
from pathlib import Path

ALL, ARP, IPV4, IPV6 = 3, 0x0806, 0x0800, 0x86DD
SO_TIMESTAMPNS = 35  # of Linux; the socket module does not have it
VRRP, ICMPV6, ADVERTISEMENT = 112, 58, 136


def understand(frame: bytes) -> dict[str, object] | None:
    """An announcement of an address, or an advertisement of VRRP."""
    kind = int.from_bytes(frame[12:14], "big")
    packet = frame[14:]
    if kind == ARP and packet[14:18] == packet[24:28]:
        return {"announced": socket.inet_ntoa(packet[14:18])}
    if kind == IPV6 and packet[6] == ICMPV6 and packet[40] == ADVERTISEMENT:
        return {"announced": socket.inet_ntop(socket.AF_INET6, packet[48:64])}
    if kind == IPV4 and packet[9] == VRRP:
        vrrp = packet[(packet[0] & 15) * 4 :]
        return {
            "announced": None,
            "version": vrrp[0] >> 4,
            "id": vrrp[1],
            "priority": vrrp[2],
            "source": socket.inet_ntoa(packet[12:16]),
            "target": socket.inet_ntoa(packet[16:20]),
            # Version 2 with a simple password has it at the end.
            "secret": vrrp[-8:].rstrip(b"\0").decode() if vrrp[0] >> 4 == 2 and vrrp[4] == 1 else None,
        }
    return None


def observe(link: str, directory: Path) -> None:
    with (
        socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ALL)) as ear,
        (directory / "seen").open("w") as out,
    ):
        ear.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        ear.bind((link, 0))
        (directory / "watching").touch()
        while True:
            try:
                frame, ancillary, _flags, address = ear.recvmsg(2048, 64)
            except OSError:  # said once when the link goes down
                continue
            seen = understand(frame) if address[2] != socket.PACKET_OUTGOING else None
            if seen is None:
                continue
            seconds, nanoseconds = struct.unpack("qq", ancillary[0][2])
            print(json.dumps({"at": seconds + nanoseconds / 1e9, **seen}), file=out, flush=True)
            if "id" in seen:
                path = directory / f"priority.{seen['id']}"
                new = path.with_suffix(".new")
                new.write_text(str(seen["priority"]))
                os.rename(new, path)


def checksum(data: bytes) -> int:
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def lower(link: str, source: str, target: str, number: int, address: str) -> None:
    ends = socket.inet_aton(source) + socket.inet_aton(target)
    vrrp = struct.pack("!BBBBHH", 0x31, number, 1, 1, 20, 0) + socket.inet_aton(address)
    vrrp = vrrp[:6] + struct.pack("!H", checksum(ends + struct.pack("!BBH", 0, VRRP, len(vrrp)) + vrrp)) + vrrp[8:]
    head = struct.pack("!BBHHHBBH", 0x45, 0xC0, 20 + len(vrrp), 0, 0, 255, VRRP, 0) + ends
    head = head[:10] + struct.pack("!H", checksum(head)) + head[12:]
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as mouth:
        mouth.bind((link, 0))
        mouth.send(b"\2\0\0\0\0\1" + b"\2\0\0\0\0\x09" + struct.pack("!H", IPV4) + head + vrrp)


if __name__ == "__main__":
    if len(sys.argv) > 3:
        lower(sys.argv[1], sys.argv[4], sys.argv[5], int(sys.argv[6]), sys.argv[7])
    else:
        observe(sys.argv[1], Path(sys.argv[2]))

# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The resolver of a VPC: it answers an instance from the private zones that the instance's network sees."""

from __future__ import annotations

import socketserver
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from dns import exception, flags, message, opcode, rcode, rdatatype, rrset

from lab.emulation.emulator import Emulator
from lab.gce.cloud import Cloud
from lab.gce.dns_records import Records
from lab.gce.dns_zones import Zone

_LINKS = 8  # of a chain of CNAMEs
_UDP_SIZE = 512  # without EDNS
_LARGEST_UDP = 1232
_LARGEST = 65535

Asker = Callable[[str], str | None]
"""An address -> the name of the instance that has it."""


def respond(cloud: Cloud, instance: str | None, query: message.Message) -> message.Message:
    """The answer to an instance; None: who asks is none."""
    response = message.make_response(query, recursion_available=True)
    if query.opcode() != opcode.QUERY or len(query.question) != 1:
        response.set_rcode(rcode.NOTIMP)
        return response
    with cloud.lock:
        asker = cloud.all_instances.get(instance or "")
        if asker is None:
            response.set_rcode(rcode.REFUSED)
            return response
        network = asker["networkInterfaces"][0]["network"].rpartition("/")[2]
        zones = [(each, each.served) for each in cloud.dns.seen_from(network)]
    question = query.question[0]
    owner = question.name.to_text().lower()
    for _link in range(_LINKS):
        zone, served = _zone_of(owner, zones)
        if zone is None:
            response.set_rcode(rcode.NXDOMAIN)
            return response
        found = _look_up(owner, zone, served)
        if found is None:
            response.set_rcode(rcode.NXDOMAIN)
            break
        kind = rdatatype.to_text(question.rdtype)
        chosen = found.get(kind) or found.get("CNAME")
        if chosen is None:
            break
        response.answer.append(rrset.from_text(owner, chosen["ttl"], "IN", chosen["type"], *chosen["rrdatas"]))
        if chosen["type"] == kind:
            return response
        owner = chosen["rrdatas"][0].lower()
    else:
        response.set_rcode(rcode.SERVFAIL)
        return response
    # How long it may be remembered that there is nothing.
    soa = served[zone.dns_name, "SOA"]
    ttl = min(soa["ttl"], int(soa["rrdatas"][0].split()[-1]))
    response.authority.append(rrset.from_text(zone.dns_name, ttl, "IN", "SOA", *soa["rrdatas"]))
    return response


def _zone_of(owner: str, zones: list[tuple[Zone, Records]]) -> tuple[Zone | None, Records]:
    """The zone that is closest to a name."""
    around = [each for each in zones if owner == each[0].dns_name or owner.endswith(f".{each[0].dns_name}")]
    return max(around, key=lambda each: len(each[0].dns_name), default=(None, {}))


def _look_up(owner: str, zone: Zone, served: Records) -> dict[str, Any] | None:
    """What a zone has at a name, by type; None: there is no such name, and no wildcard for it."""
    here = {kind: record for (each, kind), record in served.items() if each == owner}
    if here or any(each.endswith(f".{owner}") for each, _kind in served):
        return here
    above = owner.partition(".")[2]
    while above.endswith(zone.dns_name):
        wild = {kind: record for (each, kind), record in served.items() if each == f"*.{above}"}
        if wild or any(each == above or each.endswith(f".{above}") for each, _kind in served):
            return wild or None
        above = above.partition(".")[2]
    return None


class Resolver:
    """Answers by UDP and TCP at an address, in threads, until it is closed.

    ``log``: every query, as in `lab.emulation.emulator.Emulator`: its type and name, who asked, the code of the answer
    and what that says.
    """

    def __init__(self, cloud: Cloud, log: list[dict[str, Any]], asker: Asker, address: tuple[str, int]) -> None:
        self._cloud = cloud
        self._log = log
        self._asker = asker
        self._udp, self._tcp = self._servers(address)
        self.address: tuple[str, int] = self._udp.socket.getsockname()
        for server in (self._udp, self._tcp):
            threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()

    def _servers(self, address: tuple[str, int]) -> tuple[_Udp, _Tcp]:
        """Both on one port; any, if that is 0."""
        while True:
            udp = _Udp(address, self)
            try:
                return udp, _Tcp(udp.socket.getsockname(), self)
            except OSError:
                udp.server_close()
                if address[1]:
                    raise

    def close(self) -> None:
        """Answer nobody any more."""
        for server in (self._udp, self._tcp):
            server.shutdown()
            server.server_close()

    def answer(self, text: bytes, client: str, udp: bool) -> bytes | None:
        """The answer to a query; None: it is none."""
        try:
            query = message.from_wire(text)
        except exception.DNSException:
            return None
        if query.flags & flags.QR:
            return None
        asked = [(rdatatype.to_text(each.rdtype), each.name.to_text()) for each in query.question] or [("", "")]
        entry = Emulator.begin(self._log, *asked[0])
        instance = self._asker(client)
        response = respond(self._cloud, instance, query)
        entry |= {"caller": instance or client, "status": rcode.to_text(response.rcode()), "udp": udp}
        entry |= {"answer": [each.to_text() for each in response.answer], "end_mono_ns": time.monotonic_ns()}
        if not udp:
            return response.to_wire(max_size=_LARGEST)
        size = min(max(query.payload, _UDP_SIZE), _LARGEST_UDP) if query.edns >= 0 else _UDP_SIZE
        try:
            return response.to_wire(max_size=size)
        except exception.TooBig:
            short = message.make_response(query, recursion_available=True)
            short.flags |= flags.TC
            return short.to_wire()


class _Udp(socketserver.ThreadingUDPServer):
    daemon_threads = True
    allow_reuse_address = True
    max_packet_size = _LARGEST

    def __init__(self, address: tuple[str, int], resolver: Resolver) -> None:
        self.resolver = resolver
        super().__init__(address, _OverUdp)


class _OverUdp(socketserver.BaseRequestHandler):
    server: _Udp

    def handle(self) -> None:
        text, sock = self.request
        answer = self.server.resolver.answer(text, self.client_address[0], udp=True)
        if answer is not None:
            sock.sendto(answer, self.client_address)


class _Tcp(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, address: tuple[str, int], resolver: Resolver) -> None:
        self.resolver = resolver
        super().__init__(address, _OverTcp)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is none."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


class _OverTcp(socketserver.StreamRequestHandler):
    server: _Tcp
    timeout = 30

    def handle(self) -> None:
        while size := self.rfile.read(2):
            answer = self.server.resolver.answer(
                self.rfile.read(int.from_bytes(size, "big")), self.client_address[0], udp=False
            )
            if answer is None:
                return
            self.wfile.write(len(answer).to_bytes(2, "big") + answer)

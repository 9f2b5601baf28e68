# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""VRRP as a node sees it: the packets that arrive, the machines that take its own, and its keepalived's own words."""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import os
import re
import select
import shutil
import signal
import socket
import struct
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Union

from .health import first_process
from .probe import ProbeError, probe

Address = Union[ipaddress.IPv4Address, ipaddress.IPv6Address]

PROTOCOL = 112
_GROUPS = {4: "224.0.0.18", 6: "ff02::12"}
# It is for nobody: there is no router 0, so that a keepalived which gets it drops it.
_QUESTION = struct.pack("!BBBBHH", 0x31, 0, 0, 0, 0, 0)
_RECEIVE_ERRORS = {4: (socket.IPPROTO_IP, 11), 6: (socket.IPPROTO_IPV6, 25)}
_DATA = "tmp/keepalived.data"
_LAST_SECTION = "------< Interfaces >------"


class Voice(NamedTuple):
    """Packets of one virtual router."""

    interface: str
    virtual_router_id: int
    version: int  # 4 or 6, of IP


class Heard(NamedTuple):
    virtual_router_id: int
    source: str
    priority: int


class HinderedError(RuntimeError):
    """Another user of the node keeps keepalived's answer away."""


def listen(wanted: Mapping[Voice, Iterable[str]], timeout_ms: int) -> dict[Voice, list[Heard]]:
    """Wait until each router was heard from one of its sources, or from anybody if it has none, or until the time is
    over. Priority 0 does not count: it is a farewell."""
    heard: dict[Voice, list[Heard]] = {voice: [] for voice in wanted}
    missing = set(wanted)
    deadline = time.monotonic() + timeout_ms / 1000
    with contextlib.ExitStack() as stack:
        places = {voice._replace(virtual_router_id=0) for voice in wanted}
        sockets = {stack.enter_context(_ear(place)): place for place in places}
        while missing and time.monotonic() < deadline:
            for s in select.select(list(sockets), [], [], max(0.0, deadline - time.monotonic()))[0]:
                packet, sender = s.recvfrom(4096)
                voice = sockets[s]
                found = parse_packet(packet, voice.version, sender[0])
                if not found or not found.priority:
                    continue
                mine = voice._replace(virtual_router_id=found.virtual_router_id)
                if mine not in wanted or found in heard[mine]:
                    continue
                heard[mine].append(found)
                sources = list(wanted[mine])
                if not sources or found.source in sources:
                    missing.discard(mine)
    return heard


def _ear(voice: Voice) -> socket.socket:
    family = socket.AF_INET if voice.version == 4 else socket.AF_INET6
    s = socket.socket(family, socket.SOCK_RAW, PROTOCOL)
    # Not bound to the interface: with use_vmac, keepalived's own is another one.
    index = socket.if_nametoindex(voice.interface)
    group = socket.inet_pton(family, _GROUPS[voice.version])
    with contextlib.suppress(OSError):  # an interface without multicast can still hear unicast
        if voice.version == 4:
            s.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, group + struct.pack("=II", 0, index))
        else:
            s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, group + struct.pack("=I", index))
    return s


def parse_packet(packet: bytes, version: int, sender: str) -> Heard | None:
    """The content of a VRRP packet; a raw socket of IPv4 gives the IP header, too."""
    body = packet[(packet[0] & 0xF) * 4 :] if version == 4 and packet else packet
    if len(body) < 8 or body[0] & 0xF != 1 or not body[1]:
        return None
    return Heard(body[1], str(ipaddress.ip_address(sender.partition("%")[0])), body[2])


def ask(peer: Address, source: Address | None, interface: str | None, timeout_ms: int = 3000) -> str:
    """Whether something takes VRRP packets at an address. interface: where its machine would answer for it, if known.

    "refused": the machine is there, and nothing of it takes them. "off": no machine is there. "silent": there is no
    answer. Either keepalived runs there, or a firewall drops such answers.
    """
    answer = _question(peer, source, timeout_ms)
    if answer == "silent" and interface:
        with contextlib.suppress(ProbeError):
            return "silent" if probe([peer], interface) else "off"
    return answer


def _question(peer: Address, source: Address | None, timeout_ms: int) -> str:
    family = socket.AF_INET if peer.version == 4 else socket.AF_INET6
    deadline = time.monotonic() + timeout_ms / 1000
    with socket.socket(family, socket.SOCK_RAW, PROTOCOL) as s:
        try:
            # The kernel would hide errors that may pass, such as that nobody answers for the address.
            s.setsockopt(*_RECEIVE_ERRORS[peer.version], 1)
            if source:
                s.bind((str(source), 0))
            s.connect((str(peer), 0))
            while time.monotonic() < deadline:
                s.send(_QUESTION)
                s.settimeout(min(0.4, max(0.01, deadline - time.monotonic())))
                try:
                    s.recv(4096)
                    return "silent"  # it speaks VRRP itself
                except socket.timeout:
                    pass
        except OSError as e:
            return _ERRORS.get(e.errno or 0, "silent")
    return "silent"


# IPv4 says "protocol unreachable", IPv6 "unrecognized next header".
_ERRORS = {
    errno.ENOPROTOOPT: "refused",
    errno.EPROTO: "refused",
    errno.EHOSTUNREACH: "off",
    errno.EHOSTDOWN: "off",
    errno.ENETUNREACH: "off",
}


# keepalived's own words


def read_states(timeout_ms: int = 3000, proc: Path = Path("/proc")) -> dict[str, dict[str, Any]]:
    """The running keepalived's own words about its instances; nothing if it does not run, or does not answer."""
    keepalived = first_process(proc)
    if keepalived is None:
        return {}
    data = proc / str(keepalived) / "root" / _DATA  # it may have a /tmp of its own
    _hold(data)
    try:
        return parse_states(_data(keepalived, data, timeout_ms))
    finally:
        data.unlink(missing_ok=True)


def _hold(path: Path) -> None:
    """Put a file of root's at a name where any user may write, and replace an existing one. In a sticky directory
    nobody else can replace it then, and keepalived moves its own answer there."""
    file, own = tempfile.mkstemp(prefix=f"{path.name}.", dir=path.parent)
    os.close(file)
    for _again in range(100):
        try:
            os.replace(own, path)
            return
        except OSError:
            shutil.rmtree(path, ignore_errors=True)  # a directory
    os.unlink(own)
    raise HinderedError(f"somebody makes {path} again and again; find out who, and remove it")


def _data(keepalived: int, data: Path, timeout_ms: int) -> str:
    """The text that keepalived writes when it is asked to; empty if it does not answer."""
    deadline = time.monotonic() + timeout_ms / 1000
    asked, before = 0.0, ""
    while time.monotonic() < deadline:
        if time.monotonic() - asked > 0.5 and not before:  # a reload drops the question
            try:
                os.kill(keepalived, signal.SIGUSR1)
            except ProcessLookupError:
                return ""
            asked = time.monotonic()
        time.sleep(0.05)
        try:
            text = data.read_text(errors="replace")
        except OSError:
            continue
        if text == before and _LAST_SECTION in text:
            return text
        before = text
    return ""


def wait_until_well(timeout_ms: int) -> dict[str, dict[str, Any]]:
    """The states, as soon as no instance is in FAULT, or when the time is over."""
    deadline = time.monotonic() + timeout_ms / 1000
    while True:
        states = read_states()
        if time.monotonic() > deadline or all(state["state"] != "FAULT" for state in states.values()):
            return states
        time.sleep(0.2)


def parse_states(text: str) -> dict[str, dict[str, Any]]:
    """Read keepalived's data: for each instance its state, the holder that it hears, and its failed checks."""
    scripts, files, links = {}, {}, {}
    for name, values in _blocks(text, "VRRP Script"):
        # Before its first run, a script counts as bad.
        waits = values.get("Init state", "").lower().startswith("init")
        scripts[name] = waits or values.get("Status", "") in ("GOOD", "")
    for name, values in _blocks(text, "Track file"):
        files[name] = int(values.get("Status") or 0)
    for name, values in _blocks(text, "Name"):
        links[name] = "not " not in values.get("State", "") and "DOWN" not in values.get("State", "")
    states = {}
    for name, values in _blocks(text, "VRRP Instance"):
        failed = []
        for kind, tracked, weight in values["tracked"]:
            if kind == "scripts" and not weight and not scripts.get(tracked, True):
                failed.append(f"script {tracked}")
            elif kind == "files":
                number = files.get(tracked, 0)
                if number and (not weight or number * weight <= -254):
                    failed.append(f"file {tracked} ({number})")
            elif kind == "interfaces" and not weight and not links.get(tracked, True):
                failed.append(f"interface {tracked}")
        interface = values.get("Interface", "")
        if not links.get(interface, True):
            failed.append(f"interface {interface}")
        states[name] = {"state": values.get("State", ""), "hears": values.get("Master router"), "failed": failed}
    return states


def _blocks(text: str, kind: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each block that begins with ` KIND = NAME`, and its lines `   KEY = VALUE`; tracked: kind, name and weight."""
    values: dict[str, Any] = {}
    name, tracked_kind = "", ""
    for line in [*text.splitlines(), "------<"]:
        if re.match(r" ?\S", line):
            if name:
                yield name, values
            found = re.match(rf" {re.escape(kind)} = (.*)", line)
            name, values, tracked_kind = (found.group(1).strip() if found else ""), {"tracked": []}, ""
        elif name and (pair := re.match(r"   (\S[^=]*?) = (.*)", line)):
            values.setdefault(pair.group(1), pair.group(2).strip())
        elif name and (heading := re.match(r"   Tracked (\w+)", line)):
            tracked_kind = heading.group(1)
        elif tracked_kind and (entry := re.match(r"     (\S+?),? weight (-?\d+)", line)):
            values["tracked"].append((tracked_kind, entry.group(1), int(entry.group(2))))
        elif not line.startswith("     "):
            tracked_kind = ""

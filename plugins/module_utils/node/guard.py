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
import ipaddress
import json
import os
import select
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ..agent import netlink, verdict
from ..keepalived import conf

PROC = Path("/proc")
RUNTIME = Path("/run/cloudha-vip")
CONFIGURATION = Path("/etc/keepalived/keepalived.conf")
# The companion of the service leaves the first two there, and the guard the third.
LOADED, LINKS, HEALTH = "keepalived.conf", "keepalived.links", "keepalived.json"

CODE = [__file__, conf.__file__, netlink.__file__, verdict.__file__]
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
# keepalived sends all announcements of a moment within a millisecond, and the next ones a second later. A neighbour may
# miss the first ones, as its path heals in steps or as it believes the last one for a while. It hears one of these.
ANNOUNCE_AT = (0.1, 0.2, 0.35, 0.55, 0.8, 1.1)


class Health(NamedTuple):
    unwatched: list[str] | None  # None: it cannot be known, as its processes may not be looked at
    deaf: list[str]
    withheld: bool = False  # a deaf keepalived is not reloaded, as that would put another configuration in force


class Instance(NamedTuple):
    name: str
    virtual_router_id: int
    family: int  # 4 or 6, that of its packets
    interface: str
    anywhere: bool  # it has an interface of its own (VMAC, IPVLAN), and its packets may arrive there
    sources: tuple[str, ...]
    peers: tuple[str, ...]
    addresses: tuple[str, ...]

    def hears(self, source: str, interface: str) -> bool:
        """Whether a packet with its router id is meant for it, and not for an instance on another interface."""
        return self.anywhere or interface == self.interface or source in self.peers


# The wishes of the configuration in force


def track_files(statements: Iterable[conf.Statement]) -> list[str]:
    """The files that the VRRP process has to watch: those which an instance or a group tracks."""
    statements = list(statements)
    files: dict[str, str] = {}
    tracked: set[str] = set()
    for statement in statements:
        if statement.keyword in ("track_file", "vrrp_track_file") and statement.arguments:
            for line in statement.block or ():
                if line.keyword == "file" and line.arguments:
                    files[statement.arguments[0]] = line.arguments[0]
        elif statement.keyword in ("vrrp_instance", "vrrp_sync_group"):
            for block in _blocks(statement, "track_file"):
                tracked.update(line.keyword for line in block)
    return [file for name, file in files.items() if name in tracked]


def instances(statements: Iterable[conf.Statement]) -> list[Instance]:
    found = []
    for statement in statements:
        if statement.keyword != "vrrp_instance" or not statement.arguments:
            continue
        values = {line.keyword: line.arguments[0] for line in statement.block or () if line.arguments}
        addresses = [
            line.keyword.partition("/")[0]
            for keyword in ("virtual_ipaddress", "virtual_ipaddress_excluded")
            for block in _blocks(statement, keyword)
            for line in block
        ]
        peers = [line.keyword for block in _blocks(statement, "unicast_peer") for line in block]
        number = values.get("virtual_router_id", "")
        found.append(
            Instance(
                statement.arguments[0],
                int(number) if number.isdigit() else 0,
                6 if addresses and ":" in addresses[0] else 4,
                values.get("interface", ""),
                any(line.keyword.startswith(("use_vmac", "use_ipvlan")) for line in statement.block or ()),
                tuple(values[name] for name in ("unicast_src_ip",) if name in values),
                tuple(map(_plain, peers)),
                tuple(addresses),
            )
        )
    return found


def _plain(address: str) -> str:
    """As the kernel writes it."""
    try:
        return str(ipaddress.ip_address(address))
    except ValueError:
        return address


def interfaces(statements: Iterable[conf.Statement]) -> list[str]:
    """The interfaces that keepalived found when it read the configuration, and has to find again."""
    names: dict[str, bool] = {}
    for statement in statements:
        if statement.keyword != "vrrp_instance":
            continue
        for line in statement.block or ():
            if line.keyword == "interface" and line.arguments:
                names[line.arguments[0]] = True
            elif line.keyword in ("virtual_ipaddress", "virtual_ipaddress_excluded"):
                for entry in line.block or ():
                    for word, following in zip(entry.words, entry.words[1:]):
                        if word == "dev":
                            names[following] = True
            elif line.keyword == "track_interface":
                names.update({entry.keyword: True for entry in line.block or ()})
    return list(names)


def _blocks(statement: conf.Statement, keyword: str) -> Iterator[list[conf.Statement]]:
    for line in statement.block or ():
        if line.keyword == keyword and line.block is not None:
            yield line.block


# The state of its process


def processes(proc: Path = PROC) -> dict[Path, int]:
    """Those of keepalived, each with the id of its parent; not those of containers on this machine."""
    found = {}
    for status in proc.glob("[0-9]*/stat"):
        try:
            text = status.read_text(errors="replace")
            name = text[text.index("(") + 1 : text.rindex(")")]
            state, parent = text[text.rindex(")") + 2 :].split()[:2]
            if name in ("keepalived", "keepalived_vrrp") and state not in "ZX" and _ours(status.parent, proc):
                found[status.parent] = int(parent)
        except (OSError, ValueError):  # it ended meanwhile
            continue
    return found


def first_process(proc: Path = PROC) -> int | None:
    """The one that takes keepalived's signals, and is the parent of the others."""
    running = {int(process.name): parent for process, parent in processes(proc).items()}
    return min((number for number, parent in running.items() if parent not in running), default=None)


def _ours(process: Path, proc: Path) -> bool:
    try:
        program = os.path.basename(os.readlink(process / "exe"))  # the companion is a shell, and called the same
        return program.startswith("keepalived") and os.readlink(process / "ns/pid") == os.readlink(proc / "self/ns/pid")
    except PermissionError:  # it cannot be known
        return True


def unwatched(files: Iterable[str], proc: Path = PROC) -> list[str] | None:
    """Those of files which keepalived runs without watching; None if its processes may not be looked at."""
    running = processes(proc)
    if len(running) < 2:  # one is alone while it starts or ends; its child is the one that watches
        return []
    try:
        watched = {watch for process in running for watch in _watches(process)}
    except PermissionError:
        return None
    devices = _devices(proc)
    missing = []
    for file in files:
        # keepalived watches the directory, so that a file may be replaced.
        places = [os.path.dirname(os.path.realpath(file)), file]
        if not any(_is_watched(place, watched, devices) for place in places):
            missing.append(file)
    return missing


def _watches(process: Path) -> Iterator[tuple[int, int]]:
    """The device and inode of whatever a process watches."""
    try:
        entries = list((process / "fdinfo").iterdir())
    except (FileNotFoundError, ProcessLookupError):
        return
    for entry in entries:
        try:
            lines = entry.read_text().splitlines()
        except (FileNotFoundError, ProcessLookupError):
            continue
        for line in lines:
            if line.startswith("inotify "):
                fields = dict(field.split(":", 1) for field in line.split()[1:] if ":" in field)
                yield int(fields["sdev"], 16), int(fields["ino"], 16)


def _is_watched(path: str, watched: set[tuple[int, int]], devices: set[int]) -> bool:
    try:
        status = os.stat(path)
    except OSError:
        return False
    device = os.major(status.st_dev) << 20 | os.minor(status.st_dev)
    if device in devices:
        return (device, status.st_ino) in watched
    # Some file systems, such as btrfs, tell of another device than the kernel's own.
    return any(inode == status.st_ino for _device, inode in watched)


def _devices(proc: Path) -> set[int]:
    """Those of the mounted file systems."""
    found = set()
    for line in (proc / "self/mountinfo").read_text().splitlines():
        major, _colon, minor = line.split()[2].partition(":")
        found.add(int(major) << 20 | int(minor))
    return found


def current_links() -> dict[str, int]:
    return {name: index for index, name in socket.if_nameindex()}


def recorded_links(file: Path) -> dict[str, int]:
    """The interfaces as they were when keepalived last read its configuration."""
    try:
        lines = [line.split() for line in file.read_text().splitlines()]
    except FileNotFoundError:
        return {}
    return {words[0]: int(words[1]) for words in lines if len(words) == 2 and words[1].isdigit()}


def deaf(names: Iterable[str], before: Mapping[str, int], now: Mapping[str, int]) -> list[str]:
    """The interfaces that are not those which keepalived opened its sockets on."""
    return [name for name in names if name in before and name in now and before[name] != now[name]]


def configuration(runtime: Path = RUNTIME) -> list[conf.Statement]:
    """The one in force, empty if it is not known."""
    return known_configuration(runtime) or []


def known_configuration(runtime: Path = RUNTIME) -> list[conf.Statement] | None:
    """The one in force; None if it is not known."""
    try:
        return conf.load(str(runtime / LOADED))
    except (conf.ConfError, OSError):
        return None


def members(statements: Iterable[conf.Statement] | None) -> list[str] | None:
    """The instances and groups, as keepalived names them to its FIFO: ``INSTANCE VI_1``. None of None."""
    kinds = {"vrrp_instance": "INSTANCE", "vrrp_sync_group": "GROUP"}
    if statements is None:
        return None
    return [f"{kinds[s.keyword]} {s.arguments[0]}" for s in statements if s.keyword in kinds and s.arguments]


def in_force(runtime: Path = RUNTIME, written: Path = CONFIGURATION) -> bool:
    """Whether a reload would put nothing new in force: neither what an operator is writing nor what was refused."""
    try:
        return written.read_bytes() == (runtime / LOADED).read_bytes()
    except OSError:
        return False


def health(runtime: Path = RUNTIME, proc: Path = PROC, written: Path = CONFIGURATION) -> Health:
    if not processes(proc):
        return Health([], [])
    statements = configuration(runtime)
    lost = deaf(interfaces(statements), recorded_links(runtime / LINKS), current_links())
    return Health(unwatched(track_files(statements), proc), lost, bool(lost) and not in_force(runtime, written))


def problems(found: Health, proc: Path = PROC) -> list[str]:
    """The faults in sentences."""
    sentences = []
    if found.unwatched:
        limits = proc / "sys/fs/inotify"
        limit, watches = [(limits / f"max_user_{name}").read_text().strip() for name in ("instances", "watches")]
        used = sum(link == "anon_inode:inotify" for process in proc.glob("[0-9]*") for link in _links(process / "fd"))
        sentences.append(
            f"keepalived does not watch {' and '.join(found.unwatched)}: neither a drain nor a failed check moves "
            f"the address away. Raise fs.inotify.max_user_instances (now {limit}; the processes seen here have {used}, "
            f"and containers share those of their host) or fs.inotify.max_user_watches (now {watches}), then reload "
            "keepalived"
        )
    if found.deaf:
        sentence = f"keepalived neither hears nor speaks on {' and '.join(found.deaf)}, made anew since it read its "
        if found.withheld:
            sentence += (
                f"configuration. The guard does not reload it, as {CONFIGURATION} is not what is in force. Put the "
                "configuration there that you want, then reload keepalived"
            )
        else:
            sentence += "configuration. Reload keepalived"
        sentences.append(sentence)
    return sentences


def _links(directory: Path) -> Iterator[str]:
    try:
        for entry in directory.iterdir():
            yield os.readlink(entry)
    except OSError:  # it ended, or is another user's
        return


# Announcements


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


# The service


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
        self.addresses.update()
        self._configuration()
        held, now = self._held(), time.monotonic()
        for name in held - self.held:
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
    """What changes when one of them is replaced; None if one is missing, as at its removal."""
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

# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The configuration of keepalived that is in force: the files that keepalived watches, and its interfaces and
addresses."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from ..keepalived import conf

RUNTIME = Path("/run/cloudha-vip")
CONFIGURATION = Path("/etc/keepalived/keepalived.conf")
LOADED = "keepalived.conf"  # as keepalived read it last; the companion of the service leaves it in RUNTIME


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
    """Whether a reload would put nothing new in force: neither an operator's unfinished file nor a refused one."""
    try:
        return written.read_bytes() == (runtime / LOADED).read_bytes()
    except OSError:
        return False


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

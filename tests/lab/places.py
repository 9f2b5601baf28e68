# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which machines there are, and where each is plugged in: in a file that every process of the lab reads.

The file lies in the lab's own /run, so it ends with the lab.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from lab import LabError

PLACES = Path("/run/places.json")
SSH_HOSTS = "ssh_hosts"  # in the lab's state directory: where its machines are, since the cloud's API makes them
NUMBERS = 255  # as many as fit into the mark of a packet: see lab.gce.balance
_LINK = 14  # characters that the name of a link has, with one more for a cable's
_TAKEN = {"lo", "void", "fabric", "outside", "segment"}


@dataclass(frozen=True)
class Place:
    """Where a machine is plugged in: its ``port`` is a link, whose name may be shorter than the machine's.

    ``number``: no other machine has it, and one that is made again has another one than before.
    """

    address: str
    port: str
    number: int
    disk: str


class Places(Mapping[str, Place]):
    """By the names of the machines. Each look reads the file."""

    def __init__(self, path: Path = PLACES) -> None:
        self._path = path

    def __getitem__(self, name: str) -> Place:
        return self.now()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.now())

    def __len__(self) -> int:
        return len(self.now())

    def now(self) -> dict[str, Place]:
        """All of them, at one moment."""
        return {name: Place(**place) for name, place in self._read()["places"].items()}

    def add(self, name: str, address: str, disk: str) -> None:
        """A machine that is new."""
        with self._changing() as (places, last):
            if name in places:
                raise LabError(f"there is a machine '{name}' already")
            used = {each["number"] for each in places.values()}
            number = next((each for each in _after(last) if each not in used), None)
            if number is None:
                raise LabError(f"there is no room for '{name}': a lab has at most {NUMBERS} machines")
            fits = len(name) <= _LINK and name not in _TAKEN and not re.fullmatch(r"vm\d+", name)
            places[name] = asdict(Place(address, name if fits else f"vm{number}", number, disk))

    def remove(self, name: str) -> None:
        """A machine that is no more."""
        with self._changing() as (places, _last):
            places.pop(name, None)

    def _read(self) -> dict:
        try:
            return json.loads(self._path.read_text())
        except FileNotFoundError:
            return {"places": {}, "last": 0}

    @contextlib.contextmanager
    def _changing(self) -> Iterator[tuple[dict[str, dict], int]]:
        """Nobody else changes it meanwhile, and nobody reads half of it."""
        with locked(self._path.parent):
            known = self._read()
            places, last = known["places"], known["last"]
            before = set(places)
            yield places, last
            for name in places.keys() - before:
                last = places[name]["number"]
            replace_file(self._path, json.dumps({"places": places, "last": last}))


def _after(last: int) -> Iterator[int]:
    return ((last + step) % NUMBERS + 1 for step in range(NUMBERS))


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """No other process or thread holds the lock on ``path``; a file is made, if need be."""
    held = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDONLY | os.O_CREAT)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield
    finally:
        os.close(held)


def replace_file(path: Path, text: str) -> None:
    """Write a file that others read meanwhile."""
    new = path.with_name(f"{path.name}.{os.getpid()}.new")
    new.write_text(text)
    new.rename(path)


def ssh_hosts(addresses: Mapping[str, str]) -> str:
    """The part of OpenSSH's configuration that says where each machine is."""
    return "".join(f"Host {name}\n    HostName {address}\n" for name, address in addresses.items())

# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether a keepalived that lives also sees its track files, and hears on its interfaces."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from .in_force import CONFIGURATION, RUNTIME, configuration, in_force, interfaces, track_files

PROC = Path("/proc")
LINKS = "keepalived.links"  # the interfaces at that time; the companion of the service leaves it in RUNTIME


class Health(NamedTuple):
    unwatched: list[str] | None  # None: it cannot be known, as its processes may not be looked at
    deaf: list[str]
    withheld: bool = False  # a deaf keepalived is not reloaded, as that would put another configuration in force


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
    """The device and inode of each file that a process watches."""
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

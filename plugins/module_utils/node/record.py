# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The state of a node before a role changed it. So only the role's own changes are removed, and the former state is
restored.

Each part (a role) has a directory of its own: record.json and copies of files. An item is recorded once, before it is
changed for the first time. Each file appears whole or not at all; a killed run is done again.
"""

from __future__ import annotations

import grp
import json
import os
import pwd
import shutil
import subprocess
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

HOME = Path("/var/lib/cloudha-vip/before")
KINDS = ("programs", "files", "directories", "units", "users", "groups", "sysctl")

Run = Callable[[list[str]], tuple[int, str]]


def run_command(command: list[str]) -> tuple[int, str]:
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    except FileNotFoundError:
        return 127, ""
    return done.returncode, done.stdout


class Record:
    """The record of one part; ``root`` is where the node's files are."""

    def __init__(self, part: str, home: Path = HOME, root: Path = Path("/"), run: Run = run_command) -> None:
        self.part, self.home, self.root, self.run = part, home, root, run
        self.directory = home / part
        self.known = _read(self.directory)

    def _at(self, path: str) -> Path:
        return self.root / path.lstrip("/")

    def missing(self, wanted: Mapping[str, Iterable[str]]) -> dict[str, list[str]]:
        """The part of it that is not in the record yet."""
        known = self.known or {}
        return {kind: [i for i in items if i not in known.get(kind, {})] for kind, items in wanted.items()}

    def add(self, wanted: Mapping[str, Iterable[str]], marker: str) -> bool:
        """Record the missing parts; a file with the marker in it is the role's own, and was not there before."""
        missing = self.missing(wanted)
        if self.known is not None and not any(missing.values()):
            return False
        known = {kind: dict((self.known or {}).get(kind, {})) for kind in KINDS}
        for directory in (self.home.parent, self.home, self.directory):
            directory.mkdir(mode=0o700, exist_ok=True, parents=True)
        for kind, items in missing.items():
            for item in items:
                known[kind][item] = self._look(kind, item, marker)
        _write(self.directory / "record.json", json.dumps(known, indent=1, sort_keys=True) + "\n")
        self.known = known
        return True

    def _look(self, kind: str, item: str, marker: str) -> dict[str, Any]:
        if kind == "files":
            return self._copy(item, marker)
        if kind in ("programs", "directories"):
            return {"existed": self._at(item).exists()}
        if kind == "users":
            return {"existed": self._ours(kind, item) is None and _is_user(item)}
        if kind == "groups":
            return {"existed": self._ours(kind, item) is None and _is_group(item)}
        if kind == "units":
            active = self.run(["systemctl", "is-active", item])[1].strip()
            enabled = self.run(["systemctl", "is-enabled", item])[1].strip()
            return {"active": active in ("active", "activating", "reloading"), "enabled": enabled == "enabled"}
        code, value = self.run(["sysctl", "--values", item])
        return {"value": value.strip() if code == 0 else None}

    def _ours(self, kind: str, item: str) -> str | None:
        """The part that has made this user or group."""
        for directory in self._others():
            entry = (_read(directory) or {}).get(kind, {}).get(item)
            if entry is not None and not entry["existed"]:
                return directory.name
        return None

    def _others(self) -> list[Path]:
        if not self.home.is_dir():
            return []
        return [d for d in sorted(self.home.iterdir()) if d.name != self.part]

    def _copy(self, item: str, marker: str) -> dict[str, Any]:
        file = self._at(item)
        if file.is_symlink():
            return {"existed": True, "link": os.readlink(file)}
        if not file.is_file() or _has(file, marker):
            return {"existed": False}
        name = item.strip("/").replace("%", "%25").replace("/", "%2f")
        _duplicate(file, self.directory / name)
        return {"existed": True, "copy": name}

    @property
    def unfinished(self) -> bool:
        """Whether a run began the changes that the record is about, and was interrupted."""
        return (self.directory / "unfinished").exists()

    def begin(self) -> None:
        (self.directory / "unfinished").touch(mode=0o600)

    def finish(self) -> None:
        (self.directory / "unfinished").unlink(missing_ok=True)

    def made(self) -> dict[str, list[str]]:
        """The objects that were not there before, and that no other part of ours needs."""
        known = self.known or {}
        made = {
            kind: [item for item, entry in known.get(kind, {}).items() if not entry["existed"]]
            for kind in ("programs", "files", "directories", "users", "groups")
        }
        for kind in ("users", "groups"):
            needed = {item for d in self._others() for item in (_read(d) or {}).get(kind, {})}
            made[kind] = [item for item in made[kind] if item not in needed]
        return made

    def installed(self, programs: Iterable[str]) -> list[str]:
        return [program for program in programs if self._at(program).exists()]

    def notes(self, files: Iterable[str], marker: str) -> dict[str, Any]:
        """By file the object in JSON in its line "# MARKER: {...}", by which the role knows what it wrote last."""
        return {item: _note(self._at(item), marker) for item in files}

    def strangers(self, marker: str) -> list[str]:
        """Files below the recorded directories that neither a package nor the role brought as they are."""
        known = self.known or {}
        found = []
        for top in known.get("directories", {}):
            for directory, _directories, names in os.walk(self._at(top)):
                for name in names:
                    file = Path(directory) / name
                    path = "/" + str(file.relative_to(self.root))
                    if file.is_symlink() or (path in known.get("files", {}) and _has(file, marker)):
                        continue
                    if not self._is_as_packaged(path):
                        found.append(path)
        return sorted(found)

    def _is_as_packaged(self, path: str) -> bool:
        """Whether a package brought it, and nobody has changed it since."""
        code, owners = self.run(["dpkg-query", "--search", path])
        if code == 0:
            verify = ["dpkg", "--verify", *owners.rpartition(": ")[0].split(", ")]
        elif self.run(["rpm", "-qf", path])[0] == 0:
            verify = ["rpm", "-Vf", path]
        else:
            return False
        # Such as "??5?????? c /etc/web/web.conf": the third sign is about the content.
        changed = (line for line in self.run(verify)[1].splitlines() if line[2:3] == "5")
        return not any(line.split()[-1] == path for line in changed)

    def to_restore(self, files: Iterable[str], marker: str) -> list[str]:
        """The files that have to be put back or removed: a file that is not the role's any more stays as it is."""
        entries = (self.known or {}).get("files", {})
        wanted = list(dict.fromkeys([*files, *entries]))
        found = []
        for item in wanted:
            file, entry = self._at(item), entries.get(item, {"existed": False})
            there = file.is_file() or file.is_symlink()
            if (there and not file.is_symlink() and _has(file, marker)) or (not there and entry["existed"]):
                found.append(item)
        return found

    def restore(self, items: Iterable[str]) -> None:
        entries = (self.known or {}).get("files", {})
        for item in items:
            file, entry = self._at(item), entries.get(item, {"existed": False})
            if not entry["existed"]:
                file.unlink(missing_ok=True)
                continue
            file.parent.mkdir(parents=True, exist_ok=True)
            new = file.with_name(file.name + ".cloudha-vip-before")
            new.unlink(missing_ok=True)
            if "link" in entry:
                new.symlink_to(entry["link"])
                new.replace(file)
            else:
                _duplicate(self.directory / entry["copy"], file)

    def to_tell_the_kernel(self) -> dict[str, str]:
        """The settings of the kernel that differ from their former values."""
        before = {name: entry["value"] for name, entry in (self.known or {}).get("sysctl", {}).items()}
        now = {name: self.run(["sysctl", "--values", name]) for name in before}
        return {
            name: value
            for name, value in before.items()
            if value is not None and now[name][0] == 0 and now[name][1].strip() != value
        }

    def tell_the_kernel(self, values: Mapping[str, str]) -> None:
        for name, value in values.items():
            code, said = self.run(["sysctl", "--quiet", "--write", f"{name}={value}"])
            if code != 0:
                raise OSError(f"{name} cannot be set to {value}: {said.strip()}")

    def forget(self) -> None:
        # The record first: copies without it are of no meaning.
        (self.directory / "record.json").unlink(missing_ok=True)
        shutil.rmtree(self.directory, ignore_errors=True)
        for directory in (self.home, self.home.parent):
            try:
                directory.rmdir()
            except OSError:  # somebody else's
                return


def _read(directory: Path) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = json.loads((directory / "record.json").read_text())
    except FileNotFoundError:
        return None
    except ValueError as e:
        raise OSError(f"{directory}/record.json is damaged ({e}): repair it, or remove it to forget all") from e
    return found


def _has(file: Path, marker: str) -> bool:
    return bool(marker) and marker.encode() in file.read_bytes()


def _note(file: Path, marker: str) -> dict[str, Any]:
    """Empty if the file is not the role's, or if somebody has spoilt the line."""
    begin = f"# {marker}: "
    try:
        lines = file.read_text(errors="replace").split("\n")
        found = json.loads(next((line[len(begin) :] for line in lines if line.startswith(begin)), "{}"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _duplicate(source: Path, target: Path) -> None:
    """Content, owner and mode, at once."""
    new = target.with_name(target.name + ".cloudha-vip-before")
    new.unlink(missing_ok=True)
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "wb") as file:
        file.write(source.read_bytes())
        file.flush()
        os.fsync(file.fileno())
    status = source.stat()
    os.chown(new, status.st_uid, status.st_gid)
    shutil.copystat(source, new)
    new.replace(target)


def _write(target: Path, text: str) -> None:
    new = target.with_name(target.name + ".new")
    with open(new, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    new.replace(target)


def _is_user(name: str) -> bool:
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True


def _is_group(name: str) -> bool:
    try:
        grp.getgrnam(name)
    except KeyError:
        return False
    return True

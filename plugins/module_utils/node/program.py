# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Compares the files of a program with those on a node, and writes the ones that differ, each at once."""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
import shutil
import stat
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

# A unit there is known to systemd after a reload of its configuration only.
UNIT_DIRECTORIES = ("/etc/systemd/system", "/usr/local/lib/systemd/system", "/run/systemd/system")
TMPFILES = "/etc/tmpfiles.d"


class Access(NamedTuple):
    """owner, group: names, which may not exist yet in a dry run; None: those of this process."""

    owner: str | None
    group: str | None
    mode: int

    def ids(self) -> tuple[int, int]:
        """Raises KeyError if there is no such user or group."""
        owner = os.geteuid() if self.owner is None else pwd.getpwnam(self.owner).pw_uid
        return owner, os.getegid() if self.group is None else grp.getgrnam(self.group).gr_gid


class File(NamedTuple):
    path: str
    content: bytes
    access: Access
    service: str | None = None
    """The service that has to be restarted when the file changes."""


class Library(NamedTuple):
    """A directory that belongs to the program, with Python files: {"agent/cli.py": b"..."}."""

    path: str
    code: Mapping[str, bytes]
    service: str | None = None

    def files(self) -> list[File]:
        access = Access(None, None, 0o644)
        return [
            File(os.path.join(self.path, name), self.code[name], access, self.service) for name in sorted(self.code)
        ]

    def has(self, path: str) -> bool:
        return os.path.relpath(path, self.path) in self.code

    def present(self) -> list[str]:
        """The paths of the Python files that are there, also those of an older version."""
        return sorted(_python_files(self.path))


def content_of(path: str) -> bytes | None:
    """None if there is no file; anything but a regular file counts as none, and is replaced."""
    try:
        if not stat.S_ISREG(os.lstat(path).st_mode):
            return None
        return Path(path).read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None


def differs(file: File) -> bool:
    return content_of(file.path) != file.content or access_differs(file.path, file.access)


def access_differs(path: str, access: Access) -> bool:
    """Whether the owner, group or mode at a path differ; also if nothing is there."""
    try:
        found = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return True
    try:
        wanted = access.ids()
    except KeyError:
        return True
    return (found.st_uid, found.st_gid) != wanted or stat.S_IMODE(found.st_mode) != access.mode


def write(file: File) -> None:
    """Replace a file by renaming: a reader sees the old or the new one, and never one that is not yet its owner's."""
    if os.path.isdir(file.path) and not os.path.islink(file.path):
        raise IsADirectoryError(f"{file.path} is a directory, and should be a file: remove it")
    directory, name = os.path.split(file.path)
    new = os.path.join(directory, f".{name}.new")
    with contextlib.suppress(FileNotFoundError):  # of a run that was killed
        os.unlink(new)
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with open(descriptor, "wb") as stream:
        stream.write(file.content)
        stream.flush()
        _give(descriptor, file.access)
        os.fsync(descriptor)
    os.rename(new, file.path)


def make_directory(path: str, access: Access) -> None:
    if os.path.isdir(path):
        _give(path, access)
        return
    make_room(path)
    os.mkdir(path, 0o700)
    _give(path, access)


def make_room(path: str) -> None:
    """For a file: make the directories above it that are missing, readable for all."""
    directory = os.path.dirname(path)
    if not os.path.isdir(directory):
        make_room(directory)
        os.mkdir(directory)
        os.chmod(directory, 0o755)


def _give(target: int | str, access: Access) -> None:
    try:
        owner, group = access.ids()
    except KeyError as error:
        raise OSError(f"there is no user or group {error.args[0].rpartition(' ')[2]}") from None
    os.chown(target, owner, group)
    os.chmod(target, access.mode)


def remove(paths: Iterable[str]) -> None:
    for path in paths:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)


def forget_compiled(library: Library, changed: Iterable[str]) -> None:
    """Remove the bytecode that Python made of files that changed, and empty directories."""
    for directory in {os.path.dirname(path) for path in changed if path.startswith(library.path + "/")}:
        shutil.rmtree(os.path.join(directory, "__pycache__"), ignore_errors=True)
        while directory != library.path:
            try:
                os.rmdir(directory)
            except OSError:
                break
            directory = os.path.dirname(directory)


def is_unit(path: str) -> bool:
    return path.startswith(tuple(directory + "/" for directory in UNIT_DIRECTORIES))


def is_tmpfiles(path: str) -> bool:
    return os.path.dirname(path) == TMPFILES


def _python_files(path: str) -> Iterator[str]:
    for directory, _directories, names in os.walk(path):
        yield from (os.path.join(directory, name) for name in names if name.endswith(".py"))

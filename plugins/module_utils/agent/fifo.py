# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""keepalived's notify FIFO, read so that the death of the reader loses nothing and repeats nothing.

splice(2) moves the bytes from the FIFO to the end of a spool file inside the kernel: SIGKILL comes before or after,
never between. Each line of the event log carries the position in the spool at its writing, so the next agent goes on
exactly there.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

try:
    from os import splice as _splice

    def _move(source: int, target: int, count: int, offset: int) -> int:
        return _splice(source, target, count, offset_dst=offset, flags=os.SPLICE_F_NONBLOCK)

except ImportError:  # Python 3.9
    import ctypes

    _libc = ctypes.CDLL(None, use_errno=True)

    def _move(source: int, target: int, count: int, offset: int) -> int:
        position = ctypes.c_longlong(offset)
        moved = _libc.splice(source, None, target, ctypes.byref(position), ctypes.c_size_t(count), ctypes.c_uint(2))
        if moved < 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))
        return int(moved)


# One move never reaches the size at which the spool is emptied: a spool shorter than what the log says was read can
# then only be one that was emptied since.
MOVE_LIMIT = 32 * 1024
EMPTY_ABOVE = 64 * 1024
# keepalived's own lines are far shorter. What goes on without a newline must not fill the memory and the disk.
LONGEST_LINE = 4096

_LINE = re.compile(r'(INSTANCE|GROUP) "(.*)" ([A-Z_]+)(?: ([0-9]{1,9}))?')


def parse_line(line: str) -> tuple[str, dict[str, Any]]:
    """The event that a line of the FIFO stands for. Other lines (virtual servers) are kept as they are."""
    match = _LINE.fullmatch(line)
    if not match:
        return "notify", {"line": line}
    kind, name, state, priority = match.groups()
    return "transition", {"kind": kind, "name": name, "state": state, "priority": int(priority or 0)}


class Fifo:
    """The FIFO, opened for writing as well: no end of file while keepalived restarts."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.fd: int | None = None
        self._inode: tuple[int, int] | None = None

    def replaced(self) -> bool:
        """Is another FIFO there than the one that is open? keepalived removes a FIFO that it made when it stops."""
        try:
            found = os.stat(self.path, follow_symlinks=False)
        except OSError:
            return False  # go on with the one that is open, if any
        return stat.S_ISFIFO(found.st_mode) and (found.st_dev, found.st_ino) != self._inode

    def open(self) -> None:
        self.close()
        fd = os.open(self.path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
        found = os.fstat(fd)
        if not stat.S_ISFIFO(found.st_mode):
            os.close(fd)
            raise OSError(errno.EINVAL, "not a FIFO", self.path)
        self.fd = fd
        self._inode = (found.st_dev, found.st_ino)

    def close(self) -> None:
        if self.fd is not None:
            os.close(self.fd)
        self.fd = self._inode = None


class Spool:
    """Lines that left the FIFO. ``read`` is how far the event log has them."""

    def __init__(self, path: str, read: int) -> None:
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        self._size = os.fstat(self._fd).st_size
        self.read = read if 0 <= read <= self._size else 0

    def fill(self, fifo: int) -> bool:
        """Move the content of the FIFO; false if it was empty."""
        if self.read == self._size and self._size >= EMPTY_ABOVE:
            os.ftruncate(self._fd, 0)
            self._size = self.read = 0
        with contextlib.suppress(BlockingIOError):
            self._size += _move(fifo, self._fd, MOVE_LIMIT, self._size)
            return True
        return False

    def lines(self) -> Iterator[tuple[str, int]]:
        """Each line that has not been read, and where it ends. The caller sets ``read`` when the line is safe."""
        data = os.pread(self._fd, self._size - self.read, self.read)
        position = self.read
        *lines, rest = data.split(b"\n")
        for line in lines:
            position += len(line) + 1
            yield line[:LONGEST_LINE].decode(errors="backslashreplace"), position
        if len(rest) > LONGEST_LINE:  # otherwise it is a line whose rest is in the FIFO
            yield rest[:LONGEST_LINE].decode(errors="backslashreplace"), position + len(rest)

    def close(self) -> None:
        os.close(self._fd)

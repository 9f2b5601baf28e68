# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The drain file: a number below 0 drains the node.

keepalived watches the same file as a track file. Where the agent acts on it, it must not come too late either: the
kernel tells of changes in the file's directory by a signal, which wakes the agent's loop. Unlike inotify that needs
neither ctypes nor one of the few instances that a host has for all its containers.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_CHANGES = fcntl.DN_CREATE | fcntl.DN_MODIFY | fcntl.DN_DELETE | fcntl.DN_RENAME | fcntl.DN_MULTISHOT


class Drain:
    """number: the file's; None without a file, or without a number in it."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.number = read_number(path)
        self._directory: int | None = None

    def read(self) -> bool:
        """Whether the number is another one."""
        before, self.number = self.number, read_number(self.path)
        return self.number != before

    @property
    def why(self) -> str:
        """Why the node is drained; empty if it is not."""
        return f"the node is drained ({self.number})" if (self.number or 0) < 0 else ""

    def watch(self) -> None:
        """Have the kernel send SIGIO when the file changes; again if the directory is another one by now.

        Who calls this also reads the file now and then: a kernel may have no such signal.
        """
        directory = os.path.dirname(self.path)
        with contextlib.suppress(OSError):
            if self._directory is not None:
                if os.path.samestat(os.fstat(self._directory), os.stat(directory)):
                    return
                os.close(self._directory)
                self._directory = None
            signal.signal(signal.SIGIO, _nothing)
            self._directory = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            fcntl.fcntl(self._directory, fcntl.F_NOTIFY, _CHANGES)


def _nothing(_number: int, _frame: Any) -> None:
    """The signal has woken the loop."""


def read_number(path: str) -> int | None:
    try:
        with open(path, encoding="ascii") as file:
            return int(file.read(64))
    except (OSError, ValueError):
        return None

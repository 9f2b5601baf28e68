# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The event log: JSON lines, appended. A killed writer leaves whole lines and one torn end, which the next cuts off."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import threading
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

TAIL = 256 * 1024


class EventLog:
    """Two files at most, ``path`` and ``path.1``, each half of the size that was allowed.

    Lines are in the kernel when ``append`` returns, so no kill of the process loses one. They are made safe against a
    power loss by a thread within milliseconds: a slow disk must not delay the checks.
    """

    def __init__(self, path: str, node: str, max_bytes: int) -> None:
        self.path = path
        self.node = node
        self._half = max_bytes // 2
        self._turn = threading.Lock()
        self._fd = self._open()
        self._cut_torn_end()
        last: dict[str, Any] = next(newest_first(self.path), {})
        self.seq = last.get("seq", 0)
        self.spool_read = last.get("spool", 0)
        self._unsafe = threading.Event()
        threading.Thread(target=self._keep_safe, daemon=True).start()

    def _open(self) -> int:
        return os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)

    def _cut_torn_end(self) -> None:
        size = os.fstat(self._fd).st_size
        tail = os.pread(self._fd, TAIL, max(0, size - TAIL))
        os.ftruncate(self._fd, size - len(tail) + tail.rfind(b"\n") + 1)

    def append(self, event: str, spool: int | None = None, **fields: Any) -> dict[str, Any]:
        """Write an event; ``spool`` is how far the spool has been read once this event is safe. Any thread may call."""
        with self._turn:
            return self._append(event, spool, fields)

    def _append(self, event: str, spool: int | None, fields: dict[str, Any]) -> dict[str, Any]:
        spool = self.spool_read if spool is None else spool
        wall, mono = time.time_ns(), time.monotonic_ns()
        record = {
            "seq": self.seq + 1,
            "time": utc(wall),
            "wall_ns": wall,
            "mono_ns": mono,
            "node": self.node,
            "event": event,
            **fields,
            "spool": spool,
        }
        line = json.dumps(record, separators=(",", ":")).encode() + b"\n"
        size = os.fstat(self._fd).st_size
        if size and size + len(line) > self._half:
            self._rotate()
            size = 0
        if os.write(self._fd, line) < len(line):
            os.ftruncate(self._fd, size)
            raise OSError(errno.ENOSPC, "no space for an event", self.path)
        self.seq += 1
        self.spool_read = spool
        self._unsafe.set()
        return record

    def _rotate(self) -> None:
        os.rename(self.path, self.path + ".1")
        old, self._fd = self._fd, self._open()
        os.close(old)

    def _keep_safe(self) -> None:
        while True:
            self._unsafe.wait()
            self._unsafe.clear()
            # After a rotation the old file's last lines are left to the kernel.
            with contextlib.suppress(OSError):
                os.fdatasync(self._fd)
            time.sleep(0.05)

    def sync(self) -> None:
        os.fdatasync(self._fd)


def utc(wall_ns: int) -> str:
    seconds, rest = divmod(wall_ns, 1_000_000_000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{rest // 1000:06d}Z"


_KINDS: dict[str, type] = {"seq": int, "wall_ns": int, "mono_ns": int, "spool": int, "time": str, "event": str}


def _parse(line: bytes) -> dict[str, Any] | None:
    """The event of a line; None if it is none. A disk may have returned anything, and an agent must start on it."""
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(event, dict):
        return None
    return event if all(isinstance(event.get(key), kind) for key, kind in _KINDS.items()) else None


def newest_first(path: str) -> Iterator[dict[str, Any]]:
    """The events at the end of the log, from the newest backwards: about a thousand."""
    for name in (path, path + ".1"):
        try:
            with open(name, "rb") as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(max(0, size - TAIL))
                lines = file.read().split(b"\n")
        except FileNotFoundError:
            continue
        for line in reversed(lines[1:] if size > TAIL else lines):
            event = _parse(line)
            if event:
                yield event


def oldest_first(path: str) -> Iterator[dict[str, Any] | None]:
    """All events in order; then None whenever there is no other yet. Goes over to the new file after a rotation."""
    with contextlib.suppress(FileNotFoundError), open(path + ".1", "rb") as file:
        yield from filter(None, map(_parse, file))
    while True:
        with contextlib.suppress(FileNotFoundError), open(path, "rb") as file:
            while True:
                line = file.readline()
                if line.endswith(b"\n"):
                    event = _parse(line)
                    if event:
                        yield event
                    continue
                file.seek(-len(line), os.SEEK_CUR)
                with contextlib.suppress(FileNotFoundError):
                    if os.stat(path).st_ino != os.fstat(file.fileno()).st_ino and not line:
                        break
                yield None
        yield None

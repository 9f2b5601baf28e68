# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A dead man's switch: the kernel kills this process unless the process holds it back again and again.

A timer of the kernel sends SIGKILL. Unlike a watchdog of systemd it needs no other process, and so works on a node
whose processes all stand still. It ends a process that is stopped or frozen, and the kernel closes its sockets.
"""

from __future__ import annotations

import ctypes
import os
import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_CLOCK_MONOTONIC = 1
_SIGEV_SIGNAL = 0


class _Event(ctypes.Structure):
    _fields_ = (
        ("value", ctypes.c_void_p),
        ("signal", ctypes.c_int),
        ("notify", ctypes.c_int),
        ("rest", ctypes.c_char * 48),
    )


class _Timer(ctypes.Structure):
    """struct itimerspec: the interval, which is 0, as one signal is enough, and the time until that."""

    _fields_ = (
        ("interval_s", ctypes.c_long),
        ("interval_ns", ctypes.c_long),
        ("s", ctypes.c_long),
        ("ns", ctypes.c_long),
    )


class DeadMansSwitch:
    def __init__(self, seconds: float) -> None:
        """Not armed before the first ``hold``. Raises OSError if the kernel has no timer left."""
        self._seconds, self._nanoseconds = divmod(round(seconds * 1_000_000_000), 1_000_000_000)
        self._library = _library()
        self._timer = ctypes.c_void_p()
        event = _Event(None, signal.SIGKILL, _SIGEV_SIGNAL)
        self._ask(self._library.timer_create(_CLOCK_MONOTONIC, ctypes.byref(event), ctypes.byref(self._timer)))

    def hold(self) -> None:
        """Live for so many seconds from now on."""
        self._set(_Timer(0, 0, self._seconds, self._nanoseconds))

    def release(self) -> None:
        """Live on without holding it."""
        self._set(_Timer(0, 0, 0, 0))

    def close(self) -> None:
        self._library.timer_delete(self._timer)

    def _set(self, timer: _Timer) -> None:
        self._ask(self._library.timer_settime(self._timer, 0, ctypes.byref(timer), None))

    @staticmethod
    def _ask(failed: int) -> None:
        if failed:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), "a timer of the kernel")


def _library() -> Any:
    library: Any = ctypes.CDLL(None, use_errno=True)
    # Before version 2.34 of the GNU C library they are in another one.
    return library if hasattr(library, "timer_create") else ctypes.CDLL("librt.so.1", use_errno=True)

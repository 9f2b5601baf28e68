# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Limits for all that a thread does, however deep below: for its requests, as a login may come before any of them, and
for waiting until a change that was asked for is done.
"""

from __future__ import annotations

import contextlib
import threading
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_here = threading.local()


def limit(seconds: float) -> contextlib.AbstractContextManager[None]:
    """The code inside has so many seconds, and no more than a limit around it leaves."""
    return _until("end", seconds)


def waiting(seconds: float) -> contextlib.AbstractContextManager[None]:
    """The code inside waits for a change for so many seconds. A request takes the time that it takes: to cut off one
    that changes something would leave its outcome unknown.
    """
    return _until("waiting", seconds)


@contextlib.contextmanager
def _until(name: str, seconds: float) -> Iterator[None]:
    outer = getattr(_here, name, None)
    mine = time.monotonic() + seconds
    setattr(_here, name, mine if outer is None else min(outer, mine))
    try:
        yield
    finally:
        setattr(_here, name, outer)


def end() -> float | None:
    """When the limit is reached, by the monotonic clock; None if there is none."""
    return getattr(_here, "end", None)


def at_most(seconds: float) -> float:
    """So many seconds; fewer, if the limit leaves fewer."""
    return _left(end(), seconds)


def wait_at_most(seconds: float) -> float:
    """So many seconds to wait for a change; fewer, if waiting() leaves fewer."""
    return _left(getattr(_here, "waiting", None), seconds)


def _left(reached: float | None, seconds: float) -> float:
    return seconds if reached is None else max(0.0, min(seconds, reached - time.monotonic()))

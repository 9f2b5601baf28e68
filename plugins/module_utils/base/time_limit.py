# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A limit for all requests that a thread makes, however deep below: a login may come before any of them."""

from __future__ import annotations

import contextlib
import threading
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_here = threading.local()


@contextlib.contextmanager
def limit(seconds: float) -> Iterator[None]:
    """The code inside has so many seconds, and no more than a limit around it leaves."""
    outer = end()
    mine = time.monotonic() + seconds
    _here.end = mine if outer is None else min(outer, mine)
    try:
        yield
    finally:
        _here.end = outer


def end() -> float | None:
    """When the limit is reached, by the monotonic clock; None if there is none."""
    return getattr(_here, "end", None)


def at_most(seconds: float) -> float:
    """So many seconds; fewer, if the limit leaves fewer."""
    reached = end()
    return seconds if reached is None else max(0.0, min(seconds, reached - time.monotonic()))

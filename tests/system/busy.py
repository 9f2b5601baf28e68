# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a test does when it cannot tell a busy machine from a fault.

Tests wait with `until`, and hold what they measure to a bound with a `Watch`. Both are judged once they have failed: by
how long something on this machine has waited for a processor meanwhile.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

PRESSURE, STAT = Path("/proc/pressure/cpu"), Path("/proc/stat")
SUMMED_UP_S = 2.1  # the kernel adds up every two seconds
# For more than this share of the time something waited: a machine with time to spare has less.
BUSY = 0.5
Value = TypeVar("Value")


class Inconclusive(Exception):
    """The machine was too busy for a verdict. tests/again tries the test once more, alone."""


def short_enough(gap_ms: float, limit_ms: float, waited_ms: float) -> None:
    """A client's gap is below the limit. waited_ms: for how much of it the client's own host may be the reason."""
    said = f"a gap of {gap_ms:.0f} ms, not below {limit_ms:.0f} ms"
    if gap_ms >= limit_ms > gap_ms - waited_ms:
        raise Inconclusive(f"{said}, of which the busy machine may have made {waited_ms:.0f} ms")
    assert gap_ms < limit_ms, f"{said}; the machine had time for the client: it waited {waited_ms:.0f} ms at most"


def passed(report: Mapping[str, Any]) -> None:
    """All faults of a drill passed."""
    others = {each["fault"]: each for each in report["faults"] if each["verdict"] != "passed"}
    reasons = {name: each["reason"] for name, each in others.items()}
    failed = {name: reason for name, reason in reasons.items() if others[name]["verdict"] != "inconclusive"}
    assert failed == {}, reasons
    if others:
        raise Inconclusive(f"the drill says so of {re.sub('[{}]', '', str(reasons))}")


def lost_s() -> float:
    """Seconds since the machine was started in which something waited for a processor, or its host ran another one.

    0 where the kernel does not count: then nothing is inconclusive.
    """
    try:
        waited = int(PRESSURE.read_text().splitlines()[0].rpartition("total=")[2]) / 1e6
    except (OSError, ValueError, IndexError):
        return 0.0
    stolen = int(STAT.read_text().split(maxsplit=9)[8]) / os.sysconf("SC_CLK_TCK") / (os.cpu_count() or 1)
    return waited + stolen


class Watch:
    """Runs from the moment at which it is made; knows how busy the machine was since then."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._lost = lost_s()

    @property
    def took_s(self) -> float:
        return time.monotonic() - self._began

    def share(self) -> float:
        """Of the time so far, at most, in which something waited for a processor: from 0 to 1. Takes two seconds."""
        took = self.took_s
        time.sleep(SUMMED_UP_S)
        return min(1.0, (lost_s() - self._lost) / took)

    def at_most(self, limit_s: float, measured_s: float | None = None) -> None:
        """All of it, or what was measured meanwhile, took less than the limit."""
        took = self.took_s if measured_s is None else measured_s
        if took >= limit_s:
            share = self.share()
            said = f"{took:.3f} s, not below {limit_s} s; {_said(share)}"
            raise (Inconclusive if took * (1 - share) < limit_s else AssertionError)(said)

    def holds(self, condition: object, said: str) -> None:
        """What a machine with time to spare makes true."""
        if not condition:
            share = self.share()
            raise (Inconclusive if share > BUSY else AssertionError)(f"{said}; {_said(share)}")


def _said(share: float) -> str:
    return f"something waited for a processor for {share:.0%} of the time"


def until(
    condition: Callable[[], Value], seconds: float = 15.0, said: str = "it did not come true", pause_s: float = 0.02
) -> Value:
    """Wait for a condition that comes true by itself; return what it gives."""
    watch = Watch()
    while not (value := condition()):
        watch.holds(watch.took_s < seconds, f"{said} within {seconds} s")
        time.sleep(pause_s)
    return value

# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a test does when it cannot tell a busy machine from a fault."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any


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

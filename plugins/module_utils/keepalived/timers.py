# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From an objective to VRRP's timers, and back.

A backup takes over when it has heard nothing for three advertisement intervals and a skew. The lower the priority,
the longer is the skew: (256 - priority) / 256 of an interval (VRRP version 3) or of a second (version 2).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple


class _Version(NamedTuple):
    step_ms: int  # the unit in which advert_int counts
    largest: int  # in steps: 12 bits of centiseconds, 8 bits of seconds
    skew_follows_interval: bool


_VERSIONS = {2: _Version(1000, 255, False), 3: _Version(10, 4095, True)}


def detection_ms(advert_int_ms: float, lowest_priority: int, version: int) -> float:
    """The longest time in which a backup notices a silent holder."""
    skew_of_ms = advert_int_ms if _VERSIONS[version].skew_follows_interval else 1000
    return 3 * advert_int_ms + skew_of_ms * (256 - lowest_priority) / 256


def least_detection_ms(lowest_priority: int = 254, version: int = 3) -> int:
    """The smallest objective, in milliseconds, which this version of VRRP can meet with this priority."""
    return math.ceil(detection_ms(_VERSIONS[version].step_ms, lowest_priority, version))


def timers(objective_ms: int, priorities: Iterable[int] = (254,), version: int = 3) -> dict[str, float | int]:
    """The longest advertisement interval which still detects a silent holder within the objective.

    priorities: those of the nodes of one virtual router; the lowest decides.
    Returns advert_int_s and worst_detection_ms. advert_int_s is in seconds, as keepalived.conf wants it: a multiple
    of 0.01 for version 3, a whole number for version 2. worst_detection_ms is rounded up, and never more than the
    objective. Raises ValueError when VRRP cannot be that fast.
    """
    if version not in _VERSIONS:
        raise ValueError(f"version {version} of VRRP does not exist; use 2 or 3")
    lowest = min(priorities, default=254)
    least = least_detection_ms(lowest, version)
    if objective_ms < least:
        advice = f"use at least {least} ms" + (", or version 3" if version == 2 else "")
        raise ValueError(
            f"{objective_ms} ms is less than VRRP version {version} can do with priority {lowest}; {advice}"
        )
    v = _VERSIONS[version]
    fixed_ms = detection_ms(0, lowest, version)
    per_step_ms = detection_ms(v.step_ms, lowest, version) - fixed_ms
    steps = min(v.largest, math.floor((objective_ms - fixed_ms) / per_step_ms))
    return {
        "advert_int_s": steps * v.step_ms / 1000 if version == 3 else steps,
        "worst_detection_ms": math.ceil(detection_ms(steps * v.step_ms, lowest, version)),
    }


def objective_for(advert_int_s: float, priority: int, version: int) -> int:
    """The other way: a round objective in milliseconds which gives this interval, with priorities near this one."""
    step_ms = _VERSIONS[version].step_ms
    least = math.ceil(detection_ms(advert_int_s * 1000, priority, version))
    beyond = detection_ms(advert_int_s * 1000 + step_ms, priority, version)
    rounded = (math.ceil(least / unit) * unit for unit in (1000, 500, 100, 50, 10, 5))
    return next((objective for objective in rounded if objective < beyond), least)

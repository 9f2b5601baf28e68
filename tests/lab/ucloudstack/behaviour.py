# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the API behaves: how long things take, and what goes wrong, as it is told while it runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lab.gce.behaviour import Fault


@dataclass
class Behaviour:
    """Settings, and faults. Times are seconds.

    ``latency_s``: from a change's answer until it is done. ``says_available``: whether a VIP that is Available says
    so, or has no status.

    A fault is that of `lab.gce.behaviour`. The path that it matches is the URL's with the action after it, such as
    /api/AllocateVIP; its ``caller`` is a key's name. "status" is an HTTP status, or with a ``reason`` the RetCode of
    this number.
    """

    latency_s: float = 1.0
    says_available: bool = True
    faults: list[Fault] = field(default_factory=list)

    def meet(self, verb: str, path: str, caller: str) -> list[Fault]:
        """The faults that a request meets; each has one time less to go."""
        self.faults = [fault for fault in self.faults if not fault.over]
        met = [fault for fault in self.faults if fault.matches(verb, path, caller)]
        for fault in met:
            if fault.times is not None:
                fault.times -= 1
        return met

    def change(self, told: Mapping[str, Any]) -> None:
        """What the admin socket tells, all or nothing; a key that is not there stays as it is."""
        new: dict[str, Any] = {}
        for key, value in told.items():
            if key == "faults":
                new[key] = [Fault.parse(spec) for spec in value]
            elif key == "says_available":
                new[key] = bool(value)
            elif key == "latency_s":
                new[key] = float(value)
            else:
                raise ValueError(f"the behaviour has no {key}")
        for fault in new.get("faults", ()):
            if fault.reason is not None and not fault.reason.isdigit():
                raise ValueError(f"a reason is a RetCode, and so a number, not {fault.reason!r}")
        vars(self).update(new)

    def to_json(self) -> dict[str, Any]:
        """What `change` takes."""
        return {**vars(self), "faults": [fault.to_json() for fault in self.faults if not fault.over]}

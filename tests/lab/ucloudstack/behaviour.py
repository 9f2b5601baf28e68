# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the API behaves: how long things take, and what goes wrong, as it is told while it runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lab.emulation import behaviour
from lab.emulation.emulator import Refused
from lab.ucloudstack.errors import ApiError, HttpError


class Fault(behaviour.Fault):
    """The path that it matches is the URL's with the action after it, such as /api/AllocateVIP; the caller is a key's
    name. Of kind status it is an HTTP status, or with a ``reason`` the RetCode of this number.
    """

    @classmethod
    def parse(cls, spec: Mapping[str, Any]) -> Fault:
        """See `lab.emulation.behaviour.Fault`."""
        reason = spec.get("reason")
        if reason is not None and not str(reason).isdigit():
            raise ValueError(f"a reason is a RetCode, and so a number, not {reason!r}")
        fault = super().parse(spec)
        assert isinstance(fault, cls)
        return fault

    def refusal(self) -> Refused:
        """See `lab.emulation.behaviour.Fault`."""
        if self.reason is None:
            return HttpError(self.status, self.retry_after)
        return ApiError(int(self.reason), message=self.message or "The lab's API was told to say so.")


@dataclass
class Behaviour(behaviour.Behaviour):
    """``says_available``: whether a VIP that is Available says so, or has no status. Keys do not end, whatever
    ``token_lifetime_s`` is.
    """

    fault = Fault
    latency_s: float = 1.0
    propagation_s: float = 0.1
    token_lifetime_s: float = 0.0
    says_available: bool = True

    def read(self, key: str, value: Any) -> Any:
        """See `lab.emulation.behaviour.Behaviour`."""
        return bool(value) if key == "says_available" else super().read(key, value)

# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How Google's API behaves: how long things take, and what goes wrong, as it is told while it runs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from lab.emulation import behaviour
from lab.emulation.behaviour import KINDS
from lab.gce.errors import ApiError

__all__ = ["KINDS", "PEERING", "Behaviour", "Fault"]

PEERING = "There is a peering operation in progress on the local or peer network. Try again later."
# A status -> what Google says with it: the word in an answer, the word in an operation, a sentence.
_WORDS = {
    400: ("badRequest", "RESOURCE_NOT_READY", PEERING),
    401: ("authError", "PERMISSIONS_ERROR", "Invalid Credentials"),
    403: ("rateLimitExceeded", "QUOTA_EXCEEDED", "Rate Limit Exceeded"),
    404: ("notFound", "RESOURCE_NOT_FOUND", "The resource was not found"),
    409: ("alreadyExists", "RESOURCE_ALREADY_EXISTS", "The resource already exists"),
    412: ("conditionNotMet", "CONDITION_NOT_MET", "Precondition check failed."),
    429: ("rateLimitExceeded", "RATE_LIMIT_EXCEEDED", "Too many requests."),
    500: ("internalError", "INTERNAL_ERROR", "Internal error."),
}
_OTHER = ("backendError", "INTERNAL_ERROR", "Backend error: try again later.")


class Fault(behaviour.Fault):
    """In Google's words."""

    def words(self, in_operation: bool = False) -> tuple[int, str, str]:
        """Status, word and sentence; for an operation the words are others."""
        answered, operated, sentence = _WORDS.get(self.status, _OTHER)
        usual = operated if in_operation else answered
        if self.reason not in (None, usual):
            sentence = f"The lab's API was told to say {self.reason}."
        return self.status, self.reason or usual, self.message or sentence

    def refusal(self) -> ApiError:
        """See `lab.emulation.behaviour.Fault`."""
        return ApiError(*self.words(), self.retry_after or (1 if self.status == 429 else None))


@dataclass
class Behaviour(behaviour.Behaviour):
    """Besides what every API has, in seconds where it is a time:

    ``sender_propagation_s``: from the end of an operation to the network, for what single instances send. ``visible``:
    when what is being made can be seen by get and list: from its "request" on, or when it is "done". ``wait_s``: the
    longest that the API holds a wait for an operation. ``zone_outage``: zones that are down. ``boot_s``: from the start
    of a machine until its kernel runs. ``zone_exhausted``: zones that have no room for another machine.
    ``autohealing_stuck``: managed groups see what they should repair, and do not. ``dns_latency_s``: of a change of
    Cloud DNS; ``dns_propagation_s``: from its end until the name servers answer with it.
    """

    fault = Fault
    latency_s: float = 2.0
    propagation_s: float = 0.1
    token_lifetime_s: float = 3600.0
    sender_propagation_s: dict[str, float] = field(default_factory=dict)
    visible: str = "request"
    wait_s: float = 120.0
    zone_outage: list[str] = field(default_factory=list)
    boot_s: float = 20.0
    zone_exhausted: list[str] = field(default_factory=list)
    autohealing_stuck: bool = False
    dns_latency_s: float = 2.0
    dns_propagation_s: float = 0.1

    def delay(self, sender: str) -> float:
        """Seconds from the end of an operation until the packets of ``sender`` feel it."""
        return self.sender_propagation_s.get(sender, self.propagation_s)

    def read(self, key: str, value: Any) -> Any:
        """See `lab.emulation.behaviour.Behaviour`."""
        if key in ("zone_outage", "zone_exhausted"):
            return [str(zone) for zone in value]
        if key == "autohealing_stuck":
            if not isinstance(value, bool):
                raise ValueError(f"{key} is true or false, not {value!r}")
            return value
        if key == "sender_propagation_s":
            return {str(name): float(seconds) for name, seconds in value.items()}
        if key == "visible":
            if value not in ("request", "done"):
                raise ValueError(f"visible is request or done, not {value!r}")
            return value
        return super().read(key, value)

# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the API behaves: how long things take, and what goes wrong, as it is told while it runs."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

KINDS = ("slow", "status", "error-in-operation", "lose-before", "lose-after", "never-ends")
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


@dataclass
class Fault:
    """Something that goes wrong with the requests that match, so many times, or so long.

    slow: a change is accepted at once and takes ``seconds`` more; anything else is answered that much later.
    status: answered so, nothing done. error-in-operation: accepted, and the operation fails at its end. lose-before,
    lose-after: the connection breaks instead of an answer; the request was not, or was, obeyed. never-ends: accepted,
    and its operation runs for ever.
    """

    kind: str
    verb: str | None = None
    path: str | None = None
    caller: str | None = None
    status: int = 503
    reason: str | None = None
    message: str | None = None
    seconds: float = 5.0
    retry_after: int | None = None
    times: int | None = None
    until: float | None = None

    @classmethod
    def parse(cls, spec: Mapping[str, Any]) -> Fault:
        """From the admin socket's JSON; what is null is as if it were not there."""
        given = {key: value for key, value in {**spec, **(spec.get("match") or {})}.items() if value is not None}
        given.pop("match", None)
        for_s = given.pop("for_s", None)
        if given.get("kind") not in KINDS:
            raise ValueError(f"kind must be one of {', '.join(KINDS)}, not {given.get('kind')!r}")
        unknown = given.keys() - {each.name for each in fields(cls)} - {"until"}
        if unknown:
            raise ValueError(f"a fault knows no {', '.join(sorted(unknown))}")
        re.compile(given.get("path", ""))
        fault = cls(**given)
        if for_s is not None:
            fault.until = time.monotonic() + float(for_s)
        return fault

    def to_json(self) -> dict[str, Any]:
        """What `parse` takes, with what is left of its times or its time."""
        spec: dict[str, Any] = {each.name: getattr(self, each.name) for each in fields(self)}
        match = {key: spec.pop(key) for key in ("verb", "path", "caller")}
        until = spec.pop("until")
        spec["for_s"] = None if until is None else max(0.0, round(until - time.monotonic(), 3))
        spec["match"] = {key: value for key, value in match.items() if value is not None}
        return {key: value for key, value in spec.items() if value is not None}

    @property
    def over(self) -> bool:
        """Whether it has had its times, or its time."""
        return self.times == 0 or (self.until is not None and time.monotonic() >= self.until)

    def matches(self, verb: str, path: str, caller: str) -> bool:
        """Whether it concerns a request; ``path`` is found anywhere in its path."""
        return (
            not self.over
            and self.verb in (None, verb)
            and (self.path is None or re.search(self.path, path) is not None)
            and self.caller in (None, caller)
        )

    def words(self, in_operation: bool = False) -> tuple[int, str, str]:
        """Status, word and sentence; for an operation the words are others."""
        answered, operated, sentence = _WORDS.get(self.status, _OTHER)
        usual = operated if in_operation else answered
        if self.reason not in (None, usual):
            sentence = f"The lab's API was told to say {self.reason}."
        return self.status, self.reason or usual, self.message or sentence


@dataclass
class Behaviour:
    """Settings, and faults. Times are seconds.

    ``latency_s``: of an operation. ``propagation_s``: from its end until the network obeys; ``sender_propagation_s``:
    the same for what single instances send. ``visible``: when what is being made can be seen by get and list: from its
    "request" on, or when it is "done". ``wait_s``: the longest that the API holds a wait for an operation.
    ``token_lifetime_s``: of what the metadata server gives. ``zone_outage``: zones that are down.
    """

    latency_s: float = 2.0
    propagation_s: float = 0.1
    sender_propagation_s: dict[str, float] = field(default_factory=dict)
    visible: str = "request"
    wait_s: float = 120.0
    token_lifetime_s: float = 3600.0
    faults: list[Fault] = field(default_factory=list)
    zone_outage: list[str] = field(default_factory=list)

    def delay(self, sender: str) -> float:
        """Seconds from the end of an operation until the packets of ``sender`` feel it."""
        return self.sender_propagation_s.get(sender, self.propagation_s)

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
        unknown = told.keys() - {each.name for each in fields(self)}
        if unknown:
            raise ValueError(f"the behaviour has no {', '.join(sorted(unknown))}")
        new: dict[str, Any] = {}
        for key, value in told.items():
            if key == "faults":
                new[key] = [Fault.parse(spec) for spec in value]
            elif key == "zone_outage":
                new[key] = [str(zone) for zone in value]
            elif key == "sender_propagation_s":
                new[key] = {str(name): float(seconds) for name, seconds in value.items()}
            elif key == "visible":
                if value not in ("request", "done"):
                    raise ValueError(f"visible is request or done, not {value!r}")
                new[key] = value
            else:
                new[key] = float(value)
        for key, value in new.items():
            setattr(self, key, value)

    def to_json(self) -> dict[str, Any]:
        """What `change` takes."""
        return {
            **{each.name: getattr(self, each.name) for each in fields(self)},
            "faults": [fault.to_json() for fault in self.faults if not fault.over],
        }

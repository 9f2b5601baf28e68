# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How an API behaves: how long things take, and what goes wrong, as it is told while it runs."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar

from lab.emulation.emulator import Dropped, Refused

KINDS = ("slow", "status", "error-in-operation", "lose-before", "lose-after", "never-ends")


@dataclass
class Fault:
    """Something that goes wrong with the requests that match, so many times, or so long.

    slow: what is asked for takes ``seconds`` more: the work that a change starts, or else the answer.
    status: answered so, nothing done. error-in-operation: accepted, and the operation fails at its end. lose-before,
    lose-after: the connection breaks instead of an answer; the request was not, or was, obeyed. never-ends: accepted,
    and its operation runs for ever. What the API says is for each cloud: see `refusal`.
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

    def refusal(self) -> Refused:
        """What the API says to a request that a fault of kind status refuses."""
        raise NotImplementedError


@dataclass
class Behaviour:
    """Settings, and faults. Times are seconds.

    ``latency_s``: of an operation. ``propagation_s``: from its end until the network obeys. ``token_lifetime_s``: of a
    new token.
    """

    fault: ClassVar[type[Fault]] = Fault
    latency_s: float
    propagation_s: float
    token_lifetime_s: float
    faults: list[Any] = field(default_factory=list)

    def meet(self, verb: str, path: str, caller: str) -> list[Any]:
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
        for key, value in {key: self.read(key, value) for key, value in told.items()}.items():
            setattr(self, key, value)

    def read(self, key: str, value: Any) -> Any:
        """A setting from the admin socket's JSON; ValueError or TypeError says that it is none."""
        return [self.fault.parse(spec) for spec in value] if key == "faults" else float(value)

    def to_json(self) -> dict[str, Any]:
        """What `change` takes."""
        return {
            **{each.name: getattr(self, each.name) for each in fields(self)},
            "faults": [fault.to_json() for fault in self.faults if not fault.over],
        }


def begin(faults: Iterable[Fault], deferred: bool) -> None:
    """What faults do to a request before it is obeyed; ``deferred``: being slow is for the work that it starts."""
    for fault in faults:
        if fault.kind == "slow" and not deferred:
            time.sleep(fault.seconds)
        if fault.kind == "lose-before":
            raise Dropped
        if fault.kind == "status":
            raise fault.refusal()


def end(faults: Iterable[Fault]) -> None:
    """What they do to its answer."""
    if any(fault.kind == "lose-after" for fault in faults):
        raise Dropped

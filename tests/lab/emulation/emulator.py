# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What happens to every request between its arrival and its answer."""

from __future__ import annotations

import abc
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any

_KEPT = 20_000  # requests in the log


class Refused(Exception):
    """What the API answers when it does not do what it was asked."""

    status: int

    @property
    def body(self) -> dict[str, Any]:
        """The answer's JSON."""
        raise NotImplementedError

    @property
    def headers(self) -> dict[str, str]:
        """What the answer has besides the usual headers."""
        return {}


class Dropped(Exception):
    """The connection is lost instead of an answer."""


class Emulator(abc.ABC):
    """An API with its log.

    ``requests``: what the API was asked, oldest first: when (mono_ns, wall_ns, end_mono_ns), by which caller, HTTP's
    method and path, the name that the cloud has for it, whether it is a mutation, the status that was answered (0: the
    connection was lost) and the operation that it began. ``violations``: errors of our own; there shall be none.
    ``hooks`` are called with ("before" | "after", the request's entry).
    """

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.violations: list[str] = []
        self.hooks: list[Callable[[str, dict[str, Any]], None]] = []

    @abc.abstractmethod
    def answer(
        self, verb: str, target: str, token: str | None, text: bytes, entry: dict[str, Any]
    ) -> tuple[dict[str, Any], dict[str, str]]:
        """JSON and headers of a good answer, or Refused, or Dropped; fills in the log's entry."""

    @abc.abstractmethod
    def bug(self) -> Refused:
        """What is answered to a request at which the emulator itself failed."""

    def handle(self, verb: str, target: str, token: str | None, text: bytes) -> tuple[int, Any, dict[str, str]]:
        """Status, JSON and headers for a request to the API; raises Dropped."""
        entry = self.begin(self.requests, verb, target)
        entry |= {"name": "", "mutation": False, "operation": None}
        status = 0
        try:
            for hook in self.hooks:
                hook("before", entry)
            answer, headers = self.answer(verb, target, token, text, entry)
            status = 200
            return status, answer, headers
        except Refused as error:
            status = error.status
            return status, error.body, error.headers
        except Dropped:
            raise
        except Exception:
            # Ours, not the caller's: the lab's tests make sure that there was none.
            status = 500
            self.violations.append(f"{verb} {target}: {traceback.format_exc()}")
            sys.stderr.write(self.violations[-1])
            return status, self.bug().body, {}
        finally:
            entry |= {"status": status, "end_mono_ns": time.monotonic_ns()}
            for hook in self.hooks:
                hook("after", entry)

    @staticmethod
    def begin(log: list[dict[str, Any]], verb: str, target: str) -> dict[str, Any]:
        """A new entry of a log."""
        times = {"wall_ns": time.time_ns(), "mono_ns": time.monotonic_ns(), "end_mono_ns": None}
        entry = {**times, "caller": "", "method": verb, "path": target, "status": None}
        log.append(entry)
        del log[:-_KEPT]
        return entry

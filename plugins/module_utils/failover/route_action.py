# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A decision about routes: what is next."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .route_table import Route

WAIT = "wait"


class Action:
    """What is next: a `kind` of change to a `route`, or to WAIT some `seconds` for a `reason`."""

    __slots__ = ("kind", "reason", "route", "seconds")

    def __init__(self, kind: str, route: Route | None = None, seconds: float = 0.0, reason: str = "") -> None:
        self.kind = kind
        self.route = route
        self.seconds = seconds
        self.reason = reason

    def __repr__(self) -> str:
        if self.kind == WAIT:
            return f"wait {self.seconds:g} s: {self.reason}"
        return f"{self.kind} {self.route['name']}" if self.route else self.kind

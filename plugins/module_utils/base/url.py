# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The URLs that health checks ask: one grammar for what the inventory says, and for what the agent asks."""

from __future__ import annotations

import re

_URL = re.compile(
    r"(?P<scheme>https?|tcp)://(?P<host>\[[0-9A-Fa-f:.]+\]|[^/:\[\]@?#\s]+)(?::(?P<port>[0-9]{1,5}))?(?P<path>/[!-~]*)?"
)
PORTS = {"http": 80, "https": 443}


class Url:
    """scheme; host, an IPv6 address in brackets; port, if the text has one; path with its query, or an empty text."""

    def __init__(self, scheme: str, host: str, port: int | None, path: str) -> None:
        self.scheme, self.host, self.port, self.path = scheme, host, port, path

    @property
    def in_range(self) -> bool:
        """Whether the port, if there is one, can be a port."""
        return self.port is None or 1 <= self.port <= 65535


def parse(text: str) -> Url | None:
    """None if nobody could ask it: it names a user, has a query without a path, or is no such URL at all.

    tcp has a port and no path; the others may leave out both.
    """
    match = _URL.fullmatch(text)
    if not match:
        return None
    scheme, host, port, path = match.groups()
    if scheme == "tcp" and (not port or path):
        return None
    return Url(scheme, host, int(port) if port else None, path or "")

# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the API has under it: a network that obeys."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol


class DataPlane(Protocol):
    """Servers are called by their names."""

    def permit(self, server: str, vips: tuple[str, ...]) -> None:
        """Anti-spoofing: the addresses that ``server`` may send from besides its own."""

    def translate(self, eips: Mapping[str, str]) -> None:
        """Which VIP each EIP leads to. It is the whole table: no other EIP leads anywhere."""


class MemoryPlane:
    """A data plane without a network: it remembers what it was told."""

    def __init__(self) -> None:
        self.permitted: dict[str, tuple[str, ...]] = {}
        self.eips: dict[str, str] = {}

    def permit(self, server: str, vips: tuple[str, ...]) -> None:
        """See `DataPlane`."""
        self.permitted[server] = vips

    def translate(self, eips: Mapping[str, str]) -> None:
        """See `DataPlane`."""
        self.eips = dict(eips)

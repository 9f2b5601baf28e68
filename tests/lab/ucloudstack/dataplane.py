# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the API has under it: ports that obey."""

from __future__ import annotations

from typing import Protocol


class DataPlane(Protocol):
    """VMs are called by their names, and their interfaces by what their system calls them."""

    def permit(self, vm: str, device: str, addresses: tuple[str, ...]) -> None:
        """Port security: what the interface may send from, its own address first. It is the whole list."""


class MemoryPlane:
    """A data plane without a network: it remembers what it was told."""

    def __init__(self) -> None:
        self.permitted: dict[tuple[str, str], tuple[str, ...]] = {}

    def permit(self, vm: str, device: str, addresses: tuple[str, ...]) -> None:
        """See `DataPlane`."""
        self.permitted[vm, device] = addresses

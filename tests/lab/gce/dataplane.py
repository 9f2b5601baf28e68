# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the API has under it: a network and machines that obey."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol


class DataPlane(Protocol):
    """Instances are called by their names."""

    def program(self, sender: str, table: Mapping[str, tuple[str, ...]]) -> None:
        """Put in force where the packets of ``sender`` go: CIDR -> instances that are next hops.

        Several next hops share by 5-tuple; none drops. It is the whole table: what is in no entry is dropped.
        """

    def permit(self, instance: str, sources: tuple[str, ...] | None) -> None:
        """Anti-spoofing: the CIDRs that ``instance`` may send from; None: any."""

    def power(self, instance: str, on: bool) -> None:
        """Boot the machine, or cut its power."""

    def running(self, instance: str) -> bool:
        """Whether the machine has power; a hung one has."""

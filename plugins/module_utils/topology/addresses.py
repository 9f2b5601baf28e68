# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a floating address is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def plain(address: str) -> str:
    """The address without its prefix length, if it has one."""
    return str(address).partition("/")[0]


def entries(addresses: Sequence[str], settings: Mapping[str, Any]) -> list[dict[str, Any]]:
    """For each address a dictionary of the address and these settings, which are the same for all."""
    return [{"address": address, **settings} for address in addresses]

# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a floating address is written."""

from __future__ import annotations


def plain(address: str) -> str:
    """The address without its prefix length, if it has one."""
    return str(address).partition("/")[0]

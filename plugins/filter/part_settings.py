# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""See part_settings.yml."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any


def part_settings(variables: Mapping[str, Any], parts: Sequence[str]) -> dict[str, Any]:
    prefixes = (*(f"{part}_" for part in parts), "vip_")
    return {name: variables[name] for name in variables if name.startswith(prefixes)}


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"part_settings": part_settings}

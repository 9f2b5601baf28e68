# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""See cloudpods_eip.yml."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def cloudpods_eip(eip: Any, bandwidth: Any = None, line: Any = None, charge_type: Any = None) -> dict[str, Any]:
    if eip is not None:
        return {"eip_id": eip}
    if bandwidth is None:
        return {}
    new = {"bandwidth": bandwidth, "bgp_type": line, "charge_type": charge_type}
    return {option: value for option, value in new.items() if value is not None}


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"cloudpods_eip": cloudpods_eip}

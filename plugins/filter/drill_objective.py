# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""See drill_objective.yml."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.cloudha.vip.plugins.module_utils.drill import choice


def drill_objective(
    fault: str,
    catalog: Mapping[str, Mapping[str, Any]],
    own: Mapping[str, Any],
    rto_ms: Any,
    lossless_ms: Any,
    operations: Any,
    unheld_ms: Any,
    gradual: bool = False,
) -> int:
    times = (float(rto_ms), float(lossless_ms), int(operations), float(unheld_ms))
    return choice.objective_ms(fault, catalog[fault], own, *times, gradual)


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"drill_objective": drill_objective}

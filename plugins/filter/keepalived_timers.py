# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""See keepalived_timers.yml."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from ansible.errors import AnsibleFilterError

from ansible_collections.cloudha.vip.plugins.module_utils.keepalived.timers import timers


def keepalived_timers(objective_ms: int, priorities: int | Iterable[int] = 254, version: int = 3) -> dict[str, Any]:
    try:
        listed = [priorities] if isinstance(priorities, (int, str)) else priorities
        return timers(int(objective_ms), [int(p) for p in listed], int(version))
    except ValueError as e:
        raise AnsibleFilterError(f"keepalived_timers: {e}") from e


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"keepalived_timers": keepalived_timers}

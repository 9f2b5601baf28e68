# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""See keepalived_addresses.yml."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ansible_collections.cloudha.vip.plugins.module_utils.keepalived.instance import plain_addresses


def keepalived_addresses(instances: Iterable[Mapping[str, Any]] | None) -> list[str]:
    return plain_addresses(instances or [])


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"keepalived_addresses": keepalived_addresses}

# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""See topology_written.yml."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.cloudha.vip.plugins.filter.host_values import host_values
from ansible_collections.cloudha.vip.plugins.module_utils.topology.status import written


def topology_written(hosts: list[str], hostvars: Mapping[str, Mapping[str, Any]], files: Mapping[str, str]) -> str:
    return written(hosts, {file: host_values(hosts, hostvars, variable) for file, variable in files.items()})


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"topology_written": topology_written}

# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""See gcp_machine_groups.yml."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError

from ansible_collections.cloudha.vip.plugins.module_utils.topology import gcp_machines


def gcp_machine_groups(
    given: Mapping[str, Any], paths: Mapping[str, str], addresses: Mapping[str, str]
) -> dict[str, dict[str, Any]]:
    try:
        return gcp_machines.groups(given, paths, addresses)
    except ValueError as e:
        raise AnsibleFilterError(f"gcp_machine_groups: {e}") from e


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"gcp_machine_groups": gcp_machine_groups}

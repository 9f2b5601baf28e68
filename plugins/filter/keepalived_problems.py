# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""See keepalived_problems.yml."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError

from ansible_collections.cloudha.vip.plugins.module_utils.keepalived.problems import find_problems


def keepalived_problems(nodes: Mapping[str, Mapping[str, Any]], spec: Mapping[str, Any] | None = None) -> list[str]:
    if not isinstance(nodes, Mapping) or not all(isinstance(node, Mapping) for node in nodes.values()):
        raise AnsibleFilterError(
            "keepalived_problems: the input must be a dictionary of hosts, each with its variables"
        )
    return find_problems(nodes, spec)


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"keepalived_problems": keepalived_problems}

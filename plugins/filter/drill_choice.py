# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""See drill_choice.yml."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError

from ansible_collections.cloudha.vip.plugins.module_utils.drill import choice


def drill_choice(
    catalog: Any,
    wanted: Sequence[str],
    topology: Mapping[str, Any],
    pool: Sequence[str],
    nodes: Sequence[str],
    hostvars: Mapping[str, Mapping[str, Any]],
    hooks: Mapping[str, Any],
    answers: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    if not isinstance(catalog, Mapping):
        raise AnsibleFilterError("drill_choice: the input must be the catalog of faults")
    return choice.choose(
        catalog,
        wanted,
        topology,
        len(pool) > 0,
        {str(node): hostvars[node].get("drill_hooks") or hooks for node in nodes},
        choice.lacks(answers),
    )


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"drill_choice": drill_choice}

# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""See drill_deafness.yml."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleFilterError

from ansible_collections.cloudha.vip.plugins.module_utils.drill import choice


def drill_deafness(networks: Any) -> list[str]:
    if not isinstance(networks, list):
        raise AnsibleFilterError("drill_deafness: the input must be a list of networks")
    return choice.deaf_rules([str(network) for network in networks])


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"drill_deafness": drill_deafness}

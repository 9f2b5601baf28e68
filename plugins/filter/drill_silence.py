# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""See drill_silence.yml."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleFilterError

from ansible_collections.cloudha.vip.plugins.module_utils.drill import choice


def drill_silence(addresses: Any) -> list[str]:
    if not isinstance(addresses, list):
        raise AnsibleFilterError("drill_silence: the input must be a list of addresses")
    return choice.silent_rules([str(address) for address in addresses])


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"drill_silence": drill_silence}

# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""See drill_urls.yml."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleFilterError

from ansible_collections.cloudha.vip.plugins.module_utils.drill import choice


def drill_urls(addresses: Any, port: Any = 80, path: str = "/healthz") -> list[str]:
    if not isinstance(addresses, list):
        raise AnsibleFilterError("drill_urls: the input must be a list of addresses")
    return [choice.url_of(str(address), int(port), path) for address in addresses]


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"drill_urls": drill_urls}

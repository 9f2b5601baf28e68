# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""See drill_probes.yml."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError

from ansible_collections.cloudha.vip.plugins.module_utils.drill import choice


def drill_probes(
    clients: Any,
    hostvars: Mapping[str, Mapping[str, Any]],
    url: str,
    urls: Sequence[str],
    interval_ms: Any,
) -> list[dict[str, Any]]:
    if not isinstance(clients, list):
        raise AnsibleFilterError("drill_probes: the input must be a list of hosts")
    own = {client: hostvars[client].get("drill_url") or url for client in clients}
    return choice.probes(clients, own, urls, float(interval_ms))


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"drill_probes": drill_probes}

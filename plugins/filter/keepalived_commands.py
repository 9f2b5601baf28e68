# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""See keepalived_commands.yml."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError

from ansible_collections.cloudha.vip.plugins.module_utils.keepalived.values import commands


def keepalived_commands(settings: Mapping[str, Any]) -> list[dict[str, Any]]:
    if not isinstance(settings, Mapping) or "keepalived_instances" not in settings:
        raise AnsibleFilterError("keepalived_commands: the input must be what keepalived_settings gives")
    return [command._asdict() for command in commands(settings)]


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"keepalived_commands": keepalived_commands}

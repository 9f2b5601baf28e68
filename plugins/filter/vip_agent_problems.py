# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""See vip_agent_problems.yml."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible_collections.cloudha.vip.plugins.module_utils.agent.config import ConfigError, parse


def vip_agent_problems(config: Any) -> list[str]:
    try:
        parse(config)
    except ConfigError as error:
        return [f"vip_agent_{problem}" for problem in str(error).splitlines()]
    return []


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"vip_agent_problems": vip_agent_problems}

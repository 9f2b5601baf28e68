# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""See vip_agent_problems.yml."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ansible_collections.cloudha.vip.plugins.module_utils.agent import kinds
from ansible_collections.cloudha.vip.plugins.module_utils.agent.config import CHECK_OPTIONS, ConfigError, parse

# The unit has a /tmp of its own (PrivateTmp) and sees no home (ProtectHome): what is there would never be found.
_UNSEEN = re.compile("/+(tmp|var/+tmp|home|root|run/+user)/")


def vip_agent_problems(config: Any) -> list[str]:
    try:
        parse(config)
    except ConfigError as error:
        return [f"vip_agent_{problem}" for problem in str(error).splitlines()]
    return [
        f"vip_agent_{key}: the agent does not see {path}: its service has no access to home directories and a /tmp "
        "of its own. Choose a place such as /etc, /usr/local or /run"
        for key, path in _paths(config)
        if path and _UNSEEN.match(path)
    ]


def _paths(config: Any) -> Iterator[tuple[str, str | None]]:
    """The paths in a configuration without mistakes."""
    yield "fifo", config.get("fifo")
    for index, check in enumerate(config.get("checks") or ()):
        yield from _options(f"checks[{index}]", check, CHECK_OPTIONS)
        if check.get("command"):
            yield f"checks[{index}].command", check["command"][0]
    for index, action in enumerate(config.get("actions") or ()):
        yield from _options(f"actions[{index}]", action, kinds.find(action["type"]).options)


def _options(where: str, values: Any, options: Mapping[str, type]) -> Iterator[tuple[str, str | None]]:
    for key, kind in options.items():
        if kind is kinds.Path:
            yield f"{where}.{key}", values.get(key)


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"vip_agent_problems": vip_agent_problems}

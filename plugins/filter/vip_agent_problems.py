# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""See vip_agent_problems.yml."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from ansible_collections.cloudha.vip.plugins.module_utils.agent.config import (
    CommandCheck,
    Config,
    ConfigError,
    GcpAction,
    HttpCheck,
    parse,
)

# The unit has a /tmp of its own (PrivateTmp) and sees no home (ProtectHome): what is there would never be found.
_UNSEEN = re.compile("/+(tmp|var/+tmp|home|root|run/+user)/")


def vip_agent_problems(config: Any) -> list[str]:
    try:
        return [
            f"vip_agent_{key}: the agent does not see {path}: its service has no access to home directories and a /tmp "
            "of its own. Choose a place such as /etc, /usr/local or /run"
            for key, path in _paths(parse(config))
            if path and _UNSEEN.match(path)
        ]
    except ConfigError as error:
        return [f"vip_agent_{problem}" for problem in str(error).splitlines()]


def _paths(config: Config) -> Iterator[tuple[str, str | None]]:
    yield "fifo", config.fifo
    for index, check in enumerate(config.checks):
        if isinstance(check, HttpCheck):
            yield f"checks[{index}].tls_ca_file", check.tls_ca_file
        if isinstance(check, CommandCheck):
            yield f"checks[{index}].command", check.command[0]
    for index, action in enumerate(config.actions):
        if isinstance(action, GcpAction):
            yield f"actions[{index}].ca_file", action.ca_file


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"vip_agent_problems": vip_agent_problems}

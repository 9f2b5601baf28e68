# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""See vip_agent_config.yml."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.cloudha.vip.plugins.module_utils.agent import kinds
from ansible_collections.cloudha.vip.plugins.module_utils.agent.config import ACTION_OPTIONS, CHECK_OPTIONS

_TRUTHS = {
    **dict.fromkeys(("y", "yes", "on", "1", "true", "t"), True),
    **dict.fromkeys(("n", "no", "off", "0", "false", "f"), False),
}


def vip_agent_config(config: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **config,
        "event_log_max_mb": _typed(config["event_log_max_mb"], int),
        "instances": [_instance(instance) for instance in config["instances"]],
        "checks": [_check(check) for check in config["checks"]],
        "actions": [_with_types(action, _options(action)) for action in config["actions"]],
    }


def _instance(instance: Mapping[str, Any]) -> dict[str, Any]:
    entries = [*(instance.get("addresses") or ()), *(instance.get("excluded_addresses") or ())]
    addresses = [entry["address"] if isinstance(entry, Mapping) else entry for entry in entries]
    return {"name": instance["name"], "addresses": addresses}


def _check(check: Any) -> Any:
    typed = _with_types(check, CHECK_OPTIONS)
    if isinstance(typed, dict) and typed.get("status") is not None:
        codes = typed["status"] if isinstance(typed["status"], list) else [typed["status"]]
        typed["status"] = [_typed(code, int) for code in codes]
    return typed


def _options(action: Any) -> Mapping[str, Any]:
    try:
        return {**ACTION_OPTIONS, **kinds.find(str(action["type"])).options}
    except (KeyError, TypeError, kinds.UnknownKind):  # the agent's own check tells
        return ACTION_OPTIONS


def _with_types(values: Any, options: Mapping[str, Any]) -> Any:
    if not isinstance(values, Mapping):
        return values
    return {key: _typed(value, options.get(key)) for key, value in values.items()}


def _typed(value: Any, kind: Any) -> Any:
    """What is not of the type stays: the agent's own check tells."""
    if isinstance(kind, Mapping) and isinstance(value, list):
        return [_with_types(each, kind) for each in value]
    if kind is int and isinstance(value, str) and re.fullmatch(r"\s*[+-]?[0-9]{1,20}\s*", value):
        return int(value)
    if kind is bool and (isinstance(value, str) or (isinstance(value, int) and value in (0, 1))):
        return _TRUTHS.get(str(int(value) if isinstance(value, int) else value).strip().lower(), value)
    return value


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"vip_agent_config": vip_agent_config}

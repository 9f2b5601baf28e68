# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""See host_values.yml."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError
from jinja2 import Undefined


def host_values(hosts: Any, hostvars: Mapping[str, Mapping[str, Any]], *variables: str) -> list[Any]:
    if isinstance(hosts, (str, Mapping)):
        raise AnsibleFilterError("host_values: the input must be a list of hosts")
    return [_value(host, hostvars[host], variables) for host in hosts]


def _value(host: str, given: Mapping[str, Any], variables: tuple[str, ...]) -> Any:
    values = (given[name] for name in variables if name in given)
    return next((value for value in values if not isinstance(value, Undefined)), host)


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"host_values": host_values}

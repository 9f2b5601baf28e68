# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A cloud, as the modules for virtual IPs need it: one entry of the table in havip.py."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from ansible.module_utils.basic import AnsibleModule

    from ...failover.havip import Havip

    Options = dict[str, dict[str, Any]]


class Provider:
    """One cloud.

    name: the value of the option provider.
    procedure: binds its virtual IPs, by the client that connect(module) returns.
    login: argument specs of the options for the login, besides those that all clouds have.
    binding: argument specs of the options that only havip_bind has. Two clouds may share an option with one spec.
    most_members, most_vips: of a virtual IP, and of a member; None: any number.
    enforce: whether more than that is refused. Otherwise it is a warning.
    goal(params): what the options in `binding` mean, as arguments of failover.havip_goal.Goal.
    secrets(params): the values of options that have secrets in them: texts, or dictionaries with texts below names.
    """

    def __init__(
        self,
        name: str,
        procedure: Havip,
        connect: Callable[[AnsibleModule], Any],
        *,
        login: Options,
        binding: Options,
        goal: Callable[[Mapping[str, Any]], dict[str, Any]],
        secrets: Callable[[Mapping[str, Any]], list[Any]],
        most_members: int | None = None,
        most_vips: int | None = None,
        enforce: bool = True,
    ) -> None:
        self.name = name
        self.procedure = procedure
        self.connect = connect
        self.login = login
        self.binding = binding
        self.goal = goal
        self.secrets = secrets
        self.most_members = most_members
        self.most_vips = most_vips
        self.enforce = enforce


def option_or_variable(params: Mapping[str, Any], option: str, variable: str) -> str:
    """An option whose variable depends on the provider."""
    return params[option] or os.environ.get(variable) or ""

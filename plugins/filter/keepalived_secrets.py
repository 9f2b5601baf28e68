# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""See keepalived_secrets.yml."""

from __future__ import annotations

import secrets
import string
from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.cloudha.vip.plugins.module_utils.keepalived.settings import secrets_of


def keepalived_secrets(
    nodes: Mapping[str, Mapping[str, Any]], known: Mapping[str, str] | None = None
) -> dict[str, str]:
    return secrets_of(nodes, known or {}, _random)


def _random() -> str:
    """VRRP cuts a longer one."""
    return "".join(secrets.choice(string.ascii_letters + string.digits) for _each in range(8))


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"keepalived_secrets": keepalived_secrets}

# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The options for a health check of Google Cloud, and for the firewall rule that lets its probes in."""

from __future__ import annotations

from .run import OptionError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

CHECK: dict[str, dict[str, Any]] = dict(
    type=dict(type="str", choices=["http", "tcp"]),
    port=dict(type="int"),
    path=dict(type="str"),
    host=dict(type="str"),
    response=dict(type="str"),
    interval_s=dict(type="int"),
    timeout_s=dict(type="int"),
    healthy_threshold=dict(type="int"),
    unhealthy_threshold=dict(type="int"),
    log=dict(type="bool"),
)
FIREWALL: dict[str, Any] = dict(
    type="dict",
    options=dict(
        manage=dict(type="bool", default=True),
        target_tags=dict(type="list", elements="str"),
        target_service_accounts=dict(type="list", elements="str"),
    ),
    mutually_exclusive=[("target_tags", "target_service_accounts")],
)


def targets(firewall: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """Whom the rule is for, as the API has it."""
    fields = {"targetTags": "target_tags", "targetServiceAccounts": "target_service_accounts"}
    found = {field: tuple(firewall.get(option) or ()) for field, option in fields.items()}
    if not firewall.get("manage", True) and any(found.values()):
        raise OptionError("firewall: with manage=false there are no targets")
    # An empty list is for all instances, too.
    return {field: found[field] for field, option in fields.items() if firewall.get(option) is not None}

# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The checks of the role health_check, as scripts that keepalived runs."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

PROGRAM = "/usr/local/sbin/vip-health-check"
WORDS = ("name", "process", "url", "tcp", "status", "timeout_ms", "restart")  # its arguments, in this order


def late_checks(checks: Sequence[Mapping[str, Any]]) -> list[str]:
    """The names of the checks that keepalived would end before they know that nobody answers.

    A check's timeout_ms is in ms, its timeout, which is keepalived's, in s.
    """
    # Ansible's argument specification refuses a check that is none; until 2.18 a template does not wait for it.
    asking = [check for check in checks if isinstance(check, Mapping) and ("url" in check or "tcp" in check)]
    return [
        check["name"]
        for check in asking
        if _whole(check.get("timeout_ms", 500)) >= _whole(check.get("timeout", 1)) * 1000
    ]


def track_scripts(checks: Sequence[Mapping[str, Any]], user: str) -> list[dict[str, Any]]:
    """For the role keepalived: its keepalived_track_scripts. user: runs them."""
    return [
        {
            "name": check["name"],
            "script": " ".join([PROGRAM, *(shlex.quote(f"{word}={check[word]}") for word in WORDS if word in check)]),
            "user": user,
            "interval": check.get("interval", 1),
            "timeout": check.get("timeout", 1),
            "rise": check.get("rise", 2),
            "fall": check.get("fall", 2),
            "weight": check.get("weight", 0),
            "init_fail": True,
        }
        for check in checks
    ]


def _whole(value: Any) -> int:
    """A number that came through a template is a text. Other values are refused elsewhere."""
    try:
        return int(float(value))
    except (TypeError, ValueError):
        return 0

# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""See lock_verdict.yml."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible_collections.cloudha.vip.plugins.plugin_utils import runs


def lock_verdict(held: str, own: str) -> dict[str, Any]:
    return {"name": held, **runs.judge(held, own)._asdict()}


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"lock_verdict": lock_verdict}

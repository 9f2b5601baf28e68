# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""See lock_owner.yml."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible_collections.cloudha.vip.plugins.plugin_utils import runs


def lock_owner(who: str, since: str, job: Any = "", template: Any = "") -> str:
    numbers = [None if each in ("", None) else int(each) for each in (job, template)]
    return "by %s %s" % (who, runs.name(since, *numbers))


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"lock_owner": lock_owner}

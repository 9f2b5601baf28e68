# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""See gcp_machine_image.yml."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible_collections.cloudha.vip.plugins.module_utils.topology import gcp_machines


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"gcp_machine_image": gcp_machines.image}

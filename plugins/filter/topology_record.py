# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""See topology_record.yml."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml
from ansible.errors import AnsibleFilterError

from ansible_collections.cloudha.vip.plugins.module_utils.topology.record import agreed, traits


def topology_record(
    looks: Iterable[Mapping[str, Any]],
    roles: str,
    mechanism: str = "",
    earlier: dict[str, Any] | None = None,
    variables: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    files = {file.parents[1].name: file for file in Path(roles).glob("*/meta/mechanism.yml")}
    try:
        record = agreed(looks, mechanism, list(files), earlier)
        said = yaml.safe_load(files[record["mechanism"]].read_text())
        # A node may say otherwise of what its mechanism could.
        return {**traits(said, record["topology"], variables or {}), **record}
    except ValueError as e:
        raise AnsibleFilterError(f"topology_record: {e}") from e


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"topology_record": topology_record}

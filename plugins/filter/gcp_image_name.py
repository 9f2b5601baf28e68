# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""See gcp_image_name.yml."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError

from ansible_collections.cloudha.vip.plugins.module_utils.topology import image
from ansible_collections.cloudha.vip.plugins.plugin_utils.role_contents import RoleError, contents


def gcp_image_name(
    prefix: str,
    project: str,
    source: str,
    roles: Sequence[str] = (),
    variables: Mapping[str, Any] | None = None,
) -> str:
    if isinstance(roles, (str, bytes)) or not all(isinstance(role, str) for role in roles):
        raise AnsibleFilterError("gcp_image_name: roles is no list of names")
    try:
        return image.image_name(str(prefix), str(project), str(source), contents(map(str, roles)), variables or {})
    except (OSError, RoleError, ValueError) as e:
        raise AnsibleFilterError(f"gcp_image_name: {e}") from e


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"gcp_image_name": gcp_image_name}

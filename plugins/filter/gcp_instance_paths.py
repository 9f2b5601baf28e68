# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""See gcp_instance_paths.yml."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError


def gcp_instance_paths(hosts: Any, hostvars: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    if not isinstance(hosts, list):
        raise AnsibleFilterError("gcp_instance_paths: the input must be a list of hosts")
    return {str(host): _path(str(host), hostvars[host]) for host in hosts}


def _path(host: str, variables: Mapping[str, Any]) -> str:
    project = variables.get("gcp_instance_project") or variables.get("gcp_project") or ""
    return (
        f"projects/{project}/zones/{variables.get('gcp_zone') or ''}/instances/{variables.get('gcp_instance') or host}"
    )


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"gcp_instance_paths": gcp_instance_paths}

# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Compute Engine's API for passthrough load balancers: what only they need, besides gce_library.py.

Watcher reads without the library.
"""

from __future__ import annotations

from ..base.errors import Lost
from .gce_library import Library
from .gce_names import full_url, last_part, normalise

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    Resource = dict[str, Any]


class LoadBalancers(Library):
    """A project's load balancers, and what they consist of. All is named by its path."""

    # --- what is there

    def list_groups(self) -> tuple[list[Resource], list[str]]:
        """The project's instance groups, and the zones that did not answer."""
        silent: list[str] = []
        groups = list(self._aggregated(self.project, "instanceGroups", silent))
        return groups, sorted({last_part(scope) for scope in silent})

    def list_members(self, group: str) -> list[str]:
        """The paths of the instances in a group."""
        found = self._read(group, "list_instances", instance_groups_list_instances_request_resource={})
        return [normalise(each.get("instance")) for each in found]

    def get_health(self, service: str, group: str) -> list[Resource]:
        """What the probes have found out about the instances of a group, which is a backend of the service."""
        found = self._read(service, "get_health", resource_group_reference_resource={"group": full_url(group)})
        return list(found[0].get("healthStatus") or ())

    # --- changes

    def add_members(self, group: str, instances: Iterable[str], request_id: str) -> None:
        self._change_members("addInstances", group, instances, request_id, f"add instances to {group}")

    def remove_members(self, group: str, instances: Iterable[str], request_id: str) -> None:
        self._change_members("removeInstances", group, instances, request_id, f"remove instances from {group}")

    def set_target(self, rule: str, target: str, request_id: str) -> None:
        """Have a forwarding rule lead to another backend service; its address stays."""
        body = {"target": full_url(target)}
        self.change("POST", f"{rule}/setTarget", body, request_id, f"set the target of {rule}", rule)

    def _change_members(self, verb: str, group: str, instances: Iterable[str], request_id: str, doing: str) -> None:
        body = {"instances": [{"instance": full_url(each)} for each in instances]}
        self.change("POST", f"{group}/{verb}", body, request_id, doing, group)


class Watcher(LoadBalancers):
    """Reads by plain requests: for a look that is repeated until something has changed, and is to be a short one."""

    def _read(self, path: str, verb: str, **asked: Any) -> list[Resource]:
        doing = f"read {path}"
        body = next(iter(asked.values()), None)
        if verb == "get":
            found: list[Any] = [self._call("GET", path, {}, None, doing, path)[0]]
        elif verb == "get_health":
            found = [self._call("POST", f"{path}/getHealth", {}, body, doing, path)[0]]
        else:
            where = f"{path}/listInstances" if verb == "list_instances" else path
            found = []
            for page, _now in self._pages(where, {}, doing, body):
                items = page.get("items", [])
                found += items if isinstance(items, list) else [None]
        if not all(map(_is_resource, found)):
            message = f"Cannot {doing}: an answer that is not the API's. Check that the endpoint is right."
            raise Lost(message, resource=path)
        return found


_RESOURCES = ("backends", "healthStatus")
# Of the fields that are looked into.
_KINDS: dict[str, type] = {
    **dict.fromkeys(("backends", "healthChecks", "healthStatus", "ports"), list),
    **dict.fromkeys(("connectionDraining", "connectionTrackingPolicy", "failoverPolicy"), dict),
    **dict.fromkeys(("IPAddress", "address", "backendService", "description", "group", "instance", "name"), str),
}


def _is_resource(found: Any) -> bool:
    """Whether its fields are of the kinds that the API's have."""
    return isinstance(found, dict) and all(
        isinstance(found[name], _KINDS[name]) and (name not in _RESOURCES or all(map(_is_resource, found[name])))
        for name in _KINDS
        if name in found
    )

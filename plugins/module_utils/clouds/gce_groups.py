# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Compute Engine's API for managed instance groups: what only they need, besides gce_library.py."""

from __future__ import annotations

from .gce_library import Library
from .gce_names import full_url, last_part

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Resource = dict[str, Any]

# The library's types of the bodies, by the verbs.
_TYPES = {
    "applyUpdatesToInstances": "ApplyUpdatesRequest",
    "createInstances": "CreateInstancesRequest",
    "deleteInstances": "DeleteInstancesRequest",
    "recreateInstances": "RecreateInstancesRequest",
    "updatePerInstanceConfigs": "UpdatePerInstanceConfigsReq",
}


class Groups(Library):
    """A project's managed instance groups of a zone. All is named by its path.

    An operation that changes instances is done once the group has noted it: the group then works on.
    """

    # --- what is there

    def list_managers(self) -> tuple[list[Resource], list[str]]:
        """The project's managed groups, and the zones that did not answer."""
        silent: list[str] = []
        found = list(self._aggregated(self.project, "instanceGroupManagers", silent))
        return found, sorted({last_part(scope) for scope in silent})

    def list_templates(self, pattern: str) -> list[Resource]:
        """The project's instance templates of such names, as a regular expression says."""
        return self._read(f"projects/{self.project}/global/instanceTemplates", "list", filter=f'name eq "{pattern}"')

    def list_managed(self, group: str) -> list[Resource]:
        """The instances of a group: what they are, and what becomes of them."""
        return self._read(group, "list_managed_instances")

    def list_configs(self, group: str) -> list[Resource]:
        """What a group keeps of single instances, whenever it makes them anew."""
        return self._read(group, "list_per_instance_configs")

    # --- changes

    def create_instance(self, group: str, config: Resource, request_id: str) -> None:
        """Have one more instance in the group, with a name and with what is kept of it."""
        body = {"instances": [config]}
        self._change(group, "createInstances", body, request_id, f"create {config['name']} in {group}")

    def set_config(self, group: str, config: Resource, request_id: str) -> None:
        """Say what is kept of an instance. It takes effect when the instance is updated."""
        body = {"perInstanceConfigs": [config]}
        self._change(group, "updatePerInstanceConfigs", body, request_id, f"configure {config['name']} in {group}")

    def replace_instance(self, group: str, instance: str, request_id: str) -> None:
        """Have an instance become what the group's template and its configuration say; usually it is made anew.

        One that is like that already stays as it is: so a look that is out of date does no harm.
        """
        body = {"instances": [full_url(instance)], "minimalAction": "NONE", "mostDisruptiveAllowedAction": "REPLACE"}
        # The API takes no request id here. A repetition does nothing more.
        self._change(group, "applyUpdatesToInstances", body, "", f"replace {instance}")

    def recreate_instance(self, group: str, instance: str, request_id: str) -> None:
        """Have an instance made anew as the group's template says, also one that the group is at work with."""
        body = {"instances": [full_url(instance)]}
        self._change(group, "recreateInstances", body, request_id, f"make {instance} anew")

    def delete_instance(self, group: str, instance: str, request_id: str) -> None:
        """Have one instance less in the group."""
        body = {"instances": [full_url(instance)]}
        self._change(group, "deleteInstances", body, request_id, f"delete {instance}")

    def _change(self, group: str, verb: str, body: Resource, request_id: str, doing: str) -> None:
        body = self._checked_as(f"InstanceGroupManagers{_TYPES[verb]}", body)
        self.change("POST", f"{group}/{verb}", body, request_id, doing, group)

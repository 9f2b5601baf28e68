# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The modules for autohealing groups: from options to a goal, and from observations to results."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from ..base.errors import CloudError, PlaceDown
from ..clouds.gce_groups import Groups
from ..failover.gcp_checks import CHECK_FIELDS
from ..failover.gcp_instances import expand_scope
from ..failover.group_goal import GroupGoal, Member
from ..failover.group_inspect import address_of, image_of, inspect, is_stable, latest_image
from ..failover.parallel import AT_ONCE
from . import gcp, gcp_checks, gcp_library
from .run import OptionError, hide_only_secrets, read_with_retries

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from ansible.module_utils.basic import AnsibleModule

    from ..failover.group_look import Observed
    from .run import Report, Task

SPEC = dict(
    name=dict(type="str", required=True),
    zone=dict(type="str", required=True),
    state=dict(type="str", choices=["present", "prepared", "absent"], default="present"),
    instances=dict(
        type="list",
        elements="dict",
        options=dict(name=dict(type="str", required=True), address=dict(type="str")),
    ),
    image=dict(type="str"),
    machine_type=dict(type="str"),
    disk_size_gb=dict(type="int"),
    network=dict(type="str"),
    subnetwork=dict(type="str"),
    can_ip_forward=dict(type="bool"),
    tags=dict(type="list", elements="str"),
    service_account=dict(type="str"),
    service_account_scopes=dict(type="list", elements="str"),
    # Secret at first, so that nothing logs it; see goal().
    metadata=dict(type="dict", no_log=True),
    labels=dict(type="dict"),
    health_check=dict(type="dict", options=gcp_checks.CHECK),
    initial_delay_s=dict(type="int"),
    firewall=gcp_checks.FIREWALL,
    replace=dict(type="str", choices=["rolling", "none"], default="rolling"),
    healthy_within_s=dict(type="float"),
    wait=dict(type="bool", default=True),
    exclusive=dict(type="bool", default=False),
    timeout=dict(type="float", default=1800),
)


def client(module: AnsibleModule, timeout: float) -> Groups:
    """The client that the options ask for."""
    return gcp_library.connect(module, Groups, timeout)


def goal(module: AnsibleModule, project: str) -> GroupGoal:
    """The goal of gcp_autohealing_group, from its options."""
    params = module.params
    # Metadata have names of instances and zones, too, which the results are to have.
    hide_only_secrets(module, params["metadata"] or {})
    check = params["health_check"] or {}
    zone = gcp.zone_name(params["zone"])
    instances = params["instances"]
    return GroupGoal(
        params["name"],
        project,
        zone,
        params["state"] != "absent",
        None if instances is None else tuple(Member(each["name"], each["address"]) for each in instances),
        _template(params, project, zone.rpartition("-")[0]),
        check.get("type") and check["type"].upper(),
        {name: check[name] for name in CHECK_FIELDS if check.get(name) is not None},
        params["initial_delay_s"],
        (params["firewall"] or {}).get("manage", True),
        gcp_checks.targets(params["firewall"] or {}),
        params["replace"] == "rolling",
        params["healthy_within_s"],
        params["exclusive"],
        params["state"] == "prepared",
    )


def _template(params: Mapping[str, Any], project: str, region: str) -> dict[str, Any]:
    kinds = {"image": "global/images", "network": "global/networks", "subnetwork": f"regions/{region}/subnetworks"}
    found: dict[str, Any] = {}
    for name, kind in kinds.items():
        if params[name]:
            found[name] = gcp.resource_path(name, params[name], kind, project)
    for name in ("machine_type", "disk_size_gb", "can_ip_forward", "service_account"):
        if params[name] is not None:
            found[name] = params[name]
    if params["tags"] is not None:
        found["tags"] = sorted(set(params["tags"]))
    if params["service_account_scopes"] is not None:
        found["service_account_scopes"] = sorted(set(map(expand_scope, params["service_account_scopes"])))
    for name in ("metadata", "labels"):
        if params[name] is not None:
            found[name] = {str(key): _text(name, key, value) for key, value in params[name].items()}
    return found


def _text(option: str, key: Any, value: Any) -> str:
    if isinstance(value, (dict, list)) or value is None:
        raise OptionError(f"{option}: the value of {key} is no text; use the filter to_json, if it is to be JSON")
    return str(value).lower() if isinstance(value, bool) else str(value)


def describe(report: Report) -> dict[str, Any]:
    """The results of gcp_autohealing_group besides those of all modules."""
    seen = report.after.observed
    return {
        "instances": [_instance(seen, name) for name in sorted(seen.managed)],
        "waits": [{"instance": name, "seconds": round(seconds, 1)} for name, seconds in report.procedure.waits.items()],
        "notes": [*report.procedure.notes, *report.procedure.kept(report.after)],
    }


def _instance(seen: Observed, name: str) -> dict[str, Any]:
    each = seen.managed[name]
    return {
        "name": name,
        "instance": seen.goal.instance_path(name),
        "address": seen.address_of(name),
        "status": each.status or None,
        "action": each.action,
        "health": each.health,
        "serves": each.is_serving,
    }


def info(module: AnsibleModule, task: Task) -> dict[str, Any]:
    """The results of gcp_autohealing_group_info."""
    params = module.params
    groups = params["groups"]
    # A client has one connection. So each look has a client of its own.
    looks = [_Look(module, each, task) for each in ([params] if groups is None else groups)]
    if groups is None:
        return looks[0].read()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return {"groups": list(pool.map(_Look.told, looks))}


class _Look:
    """A look at one group, which may go on beside others."""

    def __init__(self, module: AnsibleModule, group: Mapping[str, str], task: Task) -> None:
        self._group = group
        self._task = task
        self._preflight = module.params["preflight"]
        self._api = client(module, module.params["timeout"])
        self._goal = GroupGoal(group["name"], self._api.project, gcp.zone_name(group["zone"]))

    def told(self) -> dict[str, Any]:
        """What there is, or why nobody can tell."""
        try:
            return {**self._group, **self.read()}
        except CloudError as error:
            return {**self._group, "msg": str(error), "image": self._latest_image()}

    def read(self) -> dict[str, Any]:
        return read_with_retries(self._read, self._task.left)

    def _latest_image(self) -> str | None:
        try:
            return read_with_retries(lambda: latest_image(self._api, self._goal), self._task.left)
        except CloudError:
            return None

    def _read(self) -> dict[str, Any]:
        try:
            found = inspect(self._api, self._goal, self._preflight)
        except PlaceDown as error:
            # That lasts for longer than anybody would wait who only looks.
            raise CloudError(str(error), resource=self._goal.zone_path) from None
        seen = found.seen
        return {
            "exists": seen.group is not None,
            "is_stable": is_stable(seen),
            "template": seen.template_path or None,
            "image": seen.made_of["image"] or None,
            "health_check": seen.present_check if seen.group else None,
            "instances": [
                {
                    **_instance(seen, name),
                    "address": address_of(seen, found.instances, name),
                    "template": each.template,
                    "image": image_of(self._api, seen, each),
                    "errors": [{"code": code, "message": text} for code, text in each.errors],
                }
                for name, each in sorted(seen.managed.items())
            ],
            "problems": found.problems,
        }

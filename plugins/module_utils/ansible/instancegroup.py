# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The modules for Cloudpods' anti-affinity groups: from options to a goal, and from an observation to a result."""

from __future__ import annotations

import time

from ..base.errors import Unavailable
from ..failover import engine
from ..failover.instancegroup import inspect
from ..failover.instancegroup_goal import ALLOC_DIRS, Eip, GroupGoal, Vip
from ..failover.instancegroup_steps import LATE
from .run import OptionError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from ..clouds.cloudpods import Cloudpods
    from ..failover.instancegroup_decide import Decision
    from ..failover.instancegroup_look import Observed
    from .run import Report

_STATE = dict(type="str", choices=["present", "absent"], default="present")
SPEC = dict(
    group=dict(type="str", required=True, aliases=["name"]),
    state=_STATE,
    granularity=dict(type="int"),
    force_dispersion=dict(type="bool"),
    members=dict(type="list", elements="str"),
    members_state=_STATE,
    vip=dict(
        type="dict",
        options=dict(
            state=_STATE,
            ip_addr=dict(type="str"),
            network_id=dict(type="str"),
            alloc_dir=dict(type="str", choices=list(ALLOC_DIRS)),
            reserved=dict(type="bool", default=False),
            require_designated_ip=dict(type="bool", default=True),
        ),
    ),
    eip=dict(
        type="dict",
        options=dict(
            state=_STATE,
            eip_id=dict(type="str"),
            bandwidth=dict(type="int"),
            bgp_type=dict(type="str"),
            charge_type=dict(type="str", choices=["bandwidth", "traffic"]),
            auto_dellocate=dict(type="bool", default=False),
            release=dict(type="bool", default=False),
        ),
    ),
    exclusive=dict(type="bool", default=False),
    timeout=dict(type="float", default=120),
)


def goal(params: Mapping[str, Any]) -> GroupGoal:
    """The goal of cloudpods_instancegroup_vip, from its options."""
    vip, eip = params["vip"], params["eip"]
    if params["members_state"] == "absent" and not params["members"]:
        raise OptionError("members_state: absent needs members: those that shall not be in the group")
    if params["members_state"] == "absent" and params["exclusive"]:
        raise OptionError("exclusive: not with members_state=absent; to keep some members only, name these")
    return GroupGoal(
        params["group"],
        params["members"],
        vip
        and Vip(
            vip["ip_addr"],
            vip["network_id"],
            vip["alloc_dir"],
            vip["reserved"],
            vip["require_designated_ip"],
            vip["state"] == "present",
        ),
        eip
        and Eip(
            eip["eip_id"],
            eip["bandwidth"],
            eip["bgp_type"],
            eip["charge_type"],
            eip["auto_dellocate"],
            eip["release"],
            eip["state"] == "present",
        ),
        params["granularity"],
        params["force_dispersion"],
        params["exclusive"],
        params["members_state"] == "present",
        params["state"] == "present",
    )


class SettledPreview:
    """As the engine's preview, but only of a group that is not being changed just now: until then, Unavailable.

    A run that doubts what it sees lets a moment pass before its first step; so does this.
    """

    def __init__(self) -> None:
        self._doubted_at: float | None = None

    def __call__(self, procedure: Any, client: Cloudpods, wanted: GroupGoal) -> tuple[Decision, list[engine.Step]]:
        seen, steps = engine.preview(procedure, client, wanted)
        reason = seen.waiting
        if seen.doubt and steps:
            now = time.monotonic()
            if self._doubted_at is None:
                self._doubted_at = now
            reason = seen.doubt if now - self._doubted_at < LATE else ""
        if reason:
            raise Unavailable(f"it cannot be told what would be done: {reason}")
        return seen, steps


def describe(report: Report) -> dict[str, Any]:
    """The results of cloudpods_instancegroup_vip besides those of all modules."""
    now, then = report.now, report.then
    address = then["vips"][0] if then["vips"] else None
    return {
        "address": address,
        "eip": then["eip"],
        "members": then["members"],
        # Nobody held this VIP before, if it is new.
        "previous_holder": now["holder"] if address is None or address in now["vips"] else None,
    }


def info(client: Cloudpods, group: str) -> dict[str, Any]:
    """The results of cloudpods_instancegroup_info."""
    o, problems = inspect(client, group)
    found = o.group
    if not found:
        return {"exists": False, "group": {}, "members": [], "vips": [], "eips": [], "problems": []}
    shown = ("id", "name", "status", "enabled", "granularity", "force_dispersion", "tenant", "tenant_id")
    return {
        "exists": True,
        "group": {key: found.get(key) for key in shown},
        "members": _members(o),
        "vips": [
            {key: row.get(key) for key in ("ip_addr", "network", "network_id", "eip_id", "eip_addr")} for row in o.vips
        ],
        "eips": [
            {
                **{key: eip.get(key) for key in ("id", "name", "ip_addr", "status", "bandwidth", "bgp_type")},
                "bound": eip not in o.failed,
            }
            for eip in o.eips
        ],
        "problems": problems,
    }


def _members(o: Observed) -> list[dict[str, Any]]:
    shown = ("ip_addr", "network", "network_id")
    return [
        {
            "id": key,
            "name": name,
            "interfaces": [{each: nic.get(each) for each in shown} for nic in o.interfaces(key)],
        }
        for key, name in sorted(o.members.items(), key=lambda pair: pair[1])
    ]

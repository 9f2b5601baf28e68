# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The modules for sets of routes: from options to a goal, and from observations to results."""

from __future__ import annotations

from ..failover.route_set_goal import Member, SetGoal
from ..failover.route_set_inspect import inspect, notes
from ..failover.route_table import is_live
from .gcp import instance_path
from .gcp_route import network, plain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from ..clouds.gce import Compute
    from ..failover.route_set_inspect import State
    from .run import Report


def goal(params: Mapping[str, Any], client: Compute) -> SetGoal:
    """The goal of gcp_route_set, from its options. Asks the client nothing."""
    return SetGoal(
        params["name"],
        params["destination"],
        network(params, client) or "",
        [
            Member(
                instance_path("members", each["instance"], client.project, each["zone"]),
                each["priority"],
                each["state"],
            )
            for each in params["members"]
        ],
        priority=params["priority"],
        tags=params["tags"],
        present=params["state"] == "present",
        exclusive=params["exclusive"],
        lease=params["lease"],
        settle=params["settle"],
    )


def describe(report: Report) -> dict[str, Any]:
    """The results of gcp_route_set besides those of all modules."""
    seen = report.after.observed
    there = {each["name"] for each in report.then["routes"]}
    return {
        "address": seen.goal.destination,
        "serving": report.then["serving"],
        "previous_serving": report.now["serving"],
        "foreign": [each["name"] for each in seen.foreign if each["name"] in there],
        "notes": [*report.procedure.notes, *notes(seen)],
    }


def info(params: Mapping[str, Any], client: Compute) -> dict[str, Any]:
    """The results of gcp_route_set_info."""
    members = [Member(instance_path("members", each, client.project)) for each in params["members"]]
    client.instance_projects = params["instance_projects"]
    wanted = SetGoal(params["name"], params["destination"], network(params, client) or "", members, present=False)
    found = inspect(client, wanted, params["preflight"])
    return {
        "address": wanted.destination,
        "members": [_member(each) for each in found.members],
        "serving": found.seen.serving,
        "foreign": [plain(each) for each in found.foreign],
        "leftovers": [each["name"] for each in found.leftovers],
        "notes": notes(found.seen),
        "problems": found.problems,
    }


def _member(state: State) -> dict[str, Any]:
    route, reserve = plain(state.route), plain(state.reserve)
    return {
        "instance": state.member.instance,
        "name": state.member.name,
        "route": route,
        "reserve": reserve,
        "active": state.route is not None and is_live(state.route),
        "serving": state.serving,
        "why": state.why,
    }

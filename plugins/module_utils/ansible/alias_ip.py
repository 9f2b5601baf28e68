# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The modules for alias IP ranges: from options to a goal, and from observations to results."""

from __future__ import annotations

import functools

from ..clouds.gce_names import normalise
from ..failover import alias, engine
from ..failover.alias_edit import ADD, REMOVE
from ..failover.alias_goal import AliasGoal, Want, spell
from ..failover.alias_inspect import inspect, neighbours
from . import gcp
from .run import OptionError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from ansible.module_utils.basic import AnsibleModule

    from ..clouds.gce import Compute
    from ..failover.alias_inspect import Range
    from ..failover.alias_look import Fleet
    from .run import Report

ASSIGNMENT = dict(
    type="list",
    elements="dict",
    options=dict(
        ranges=dict(type="list", elements="str", required=True),
        range_name=dict(type="str"),
        instances=dict(type="list", elements="str", required=True),
        interface=dict(type="str", default="nic0"),
    ),
)


def goal(params: Mapping[str, Any], project: str) -> AliasGoal:
    """The goal of alias_ip_move, from its options."""
    if params["assignment"] is not None:
        for option in ("target_instance", "source_instance", "range_name"):
            if params[option]:
                raise OptionError(f"{option}: not together with assignment, which says who may hold what")
        if params["state"] == "absent":
            raise OptionError("state: absent needs ranges, not an assignment")
        wants = assigned(params, project)
    else:
        wants = single(params, project)
    return AliasGoal(
        wants,
        avoid=avoided(params, wants),
        expected_holder=params["expected_holder"],
        limit=params["limit"],
        stop_source=params["on_source_failure"] == "stop",
        partial=params["assignment"] is not None,
    )


def single(params: Mapping[str, Any], project: str) -> list[Want]:
    target, source = params["target_instance"], params["source_instance"]
    if params["state"] == "absent":
        if target:
            raise OptionError("target_instance: not with state=absent; to name who has the ranges, use source_instance")
        candidates = []
    else:
        if not target:
            raise OptionError("target_instance: give it, to say who shall have the ranges")
        path = gcp.instance_path("target_instance", target, project, params["target_zone"])
        candidates = [(path, params["target_interface"])]
    place = None
    if source:
        path = gcp.instance_path("source_instance", source, project, params["source_zone"])
        place = (path, params["source_interface"] or "")
        if place in candidates or (not place[1] and candidates and candidates[0][0] == path):
            raise OptionError(f"source_instance: source and target are the same, {spell(candidates[0])}")
    return [Want(cidr, candidates, params["range_name"], place) for cidr in params["ranges"]]


def assigned(params: Mapping[str, Any], project: str) -> list[Want]:
    wants = []
    for entry in params["assignment"]:
        paths = [gcp.instance_path("assignment: instances", each, project) for each in entry["instances"]]
        if not paths:
            raise OptionError(f"assignment: instances: none may hold {', '.join(entry['ranges'])}; name at least one")
        candidates = [(path, entry["interface"]) for path in paths]
        for cidr in entry["ranges"]:
            wants.append(Want(cidr, candidates, entry["range_name"], stay=not params["preempt"]))
    return wants


def avoided(params: Mapping[str, Any], wants: list[Want]) -> list[str]:
    """The paths of instances that are given by name or by path."""
    known = {path for want in wants for path, _nic in want.candidates}
    paths = []
    for each in params["avoid"]:
        path = normalise(each)
        found = [one for one in known if one == path or one.endswith(f"/{each}")]
        if not found:
            raise OptionError(f"avoid: {each!r} is none of the instances that the assignment names")
        paths += found
    return paths


def preview(procedure: Any, client: Compute, wanted: AliasGoal) -> tuple[alias.Survey, list[engine.Step]]:
    """As the engine's; but a run moves the other ranges before it fails, and check mode must say so at once."""
    before, planned = engine.preview(procedure, client, wanted)
    unplaced = before.decision.unplaced
    if unplaced:
        raise engine.Refused([f"{cidr}: {why}" for cidr, why in unplaced.items()], before)
    return before, planned


def parallel(module: AnsibleModule) -> Callable[..., engine.Outcome]:
    """The engine with several clients, so that it changes several interfaces at the same time."""
    return functools.partial(engine.apply, make_client=lambda: gcp.compute(module, module.params["timeout"]))


def describe(report: Report) -> dict[str, Any]:
    """The results of alias_ip_move besides those of all modules."""
    ranges = [
        {"address": cidr, **_place("", there), **_place("previous_", report.now["ranges"].get(cidr))}
        for cidr, there in report.then["ranges"].items()
    ]
    return {
        "address": ranges[0]["address"] if len(ranges) == 1 else None,
        "ranges": ranges,
        "gap_ms": _gap(report.events),
        "notes": report.before.notes,
    }


def _gap(events: list[dict[str, Any]]) -> float | None:
    """How long a range can have been on no interface, in ms: from the first removal to the end of the last addition."""
    removals = [event["ms"] for event in events if event["event"] == "step" and event["name"] == REMOVE]
    additions = [event["ms"] for event in events if event["event"] == "done" and event["name"] == ADD]
    return round(additions[-1] - removals[0], 1) if removals and additions else None


def _place(prefix: str, text: str | None) -> dict[str, Any]:
    path, _space, nic = (text or "").partition(" ")
    return {f"{prefix}holder": path or None, f"{prefix}interface": nic or None}


def info(params: Mapping[str, Any], client: Compute) -> dict[str, Any]:
    """The results of alias_ip_info."""
    explicit = params["assignment"] is not None or bool(params["instances"])
    found = inspect(
        client,
        lambda fleet: _asked(params, client.project, fleet),
        explicit,
        params["preflight"],
        params["vrrp"],
    )
    return {
        "ranges": [_range(each) for each in found.ranges],
        "held": _held(found.fleet),
        "problems": list(found.problems),
        "silent_zones": list(found.silent),
    }


def _asked(params: Mapping[str, Any], project: str, fleet: Fleet) -> AliasGoal:
    """The goal of the move that alias_ip_info looks at. Without instances, all on a range's network are candidates."""
    if params["assignment"] is not None:
        wants = assigned({**params, "preempt": False}, project)
    else:
        given = [(gcp.instance_path("instances", each, project), params["interface"]) for each in params["instances"]]
        wants = [
            Want(cidr, given or neighbours(cidr, fleet), params["range_name"], stay=True)
            for cidr in params["ranges"] or ()
        ]
    return AliasGoal(wants, avoid=avoided(params, wants), partial=True)


def _range(found: Range) -> dict[str, Any]:
    return {
        "address": found.cidr,
        "holder": found.holder[0] if found.holder else None,
        "interface": found.holder[1] if found.holder else None,
        "target": found.target[0] if found.target else None,
        "standby": found.standby,
        "candidates": [
            {"instance": each.place[0], "interface": each.place[1], "fit": not each.reason, "reason": each.reason}
            for each in found.candidates
        ],
    }


def _held(fleet: Fleet) -> list[dict[str, Any]]:
    return [
        {
            "address": each.get("ipCidrRange"),
            "range_name": each.get("subnetworkRangeName", ""),
            "instance": path,
            "interface": nic,
        }
        for (path, nic), interface in sorted(fleet.interfaces.items())
        for each in interface.get("aliasIpRanges") or ()
    ]

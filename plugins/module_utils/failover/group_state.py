# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The present state of an autohealing group in the words of the modules' options."""

from __future__ import annotations

from ..clouds.gce_names import normalise
from .gcp_checks import PROBE_RANGES, shown_check, shown_rule

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .group_look import Observed

RANGES = PROBE_RANGES["INTERNAL"]


def describe(o: Observed) -> dict[str, Any]:
    """All that there is. What metadata say is told to nobody: they may be secret."""
    there = o.group is not None
    made_of = o.made_of if o.properties else None
    check = o.resources.get(o.present_check or "")
    shown: dict[str, Any] = {
        "exists": there,
        "instances": {name: _instance(o, name) for name in sorted(o.managed)},
        **(dict.fromkeys(o.goal.template) if made_of is None else made_of),
        "health_check": shown_check(check) if check else None,
        "initial_delay_s": (o.policy.get("initialDelaySec") or 0) if there and o.policy else None,
        "update_policy": _policy(o) if there else None,
        "firewall": shown_rule(o.resources.get(o.firewall_path), check, RANGES) if o.goal.firewall else None,
        "leftovers": leftovers(o),
    }
    if made_of is not None:
        shown["metadata"] = _metadata(o, made_of["metadata"])
        shown["network"] = made_of["network"] or _network(o, made_of["subnetwork"])
    elif "metadata" in shown:
        shown["metadata"] = None
    return shown


def _network(o: Observed, subnetwork: str) -> str:
    """That of a subnetwork, if somebody has asked for it: a template need not say it."""
    subnet = o.answers.get(("get_subnetwork", subnetwork))
    return normalise(subnet.get("network")) if isinstance(subnet, dict) else ""


def _instance(o: Observed, name: str) -> dict[str, Any]:
    template = o.managed[name].template
    return {"address": o.address_of(name), "is_current": template == o.template_path}


def _metadata(o: Observed, present: dict[str, str]) -> dict[str, str]:
    """By their keys, whether the values are those that are wanted."""
    wanted = o.goal.template.get("metadata")
    if wanted is None:
        return dict.fromkeys(sorted(present), "(a value)")
    return {
        key: "(the value in the options)" if present[key] == wanted.get(key) else "(another value)"
        for key in sorted(present)
    }


def _policy(o: Observed) -> dict[str, Any]:
    group = o.group or {}
    policy = group.get("updatePolicy") or {}
    return {
        "type": policy.get("type"),
        "replacement": policy.get("replacementMethod"),
        "max_surge": _number(policy.get("maxSurge")),
        "max_unavailable": _number(policy.get("maxUnavailable")),
        "update_on_repair": (group.get("instanceLifecyclePolicy") or {}).get("forceUpdateOnRepair") or "NO",
    }


def _number(value: dict[str, Any] | None) -> Any:
    value = value or {}
    return f"{value['percent']}%" if value.get("percent") is not None else value.get("fixed") or 0


def leftovers(o: Observed) -> list[str]:
    """What was made for the group, and nothing needs any more."""
    kinds = ("healthChecks", "instanceTemplates", "addresses")
    found = [path for kind in kinds for path, _body in o.collection(kind) if o.is_mine(path) and not o.users(path)]
    if o.group is None:
        return found
    return [path for path in found if path not in (o.present_check, o.template_path)]

# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The policies of a managed instance group, as they are stored."""

from __future__ import annotations

from lab.gce.errors import ApiError, invalid
from lab.gce.kinds import number, one_of, only
from lab.gce.resources import Resource

_LIFECYCLE = {
    "defaultActionOnFailure": ("REPAIR", "DO_NOTHING"),
    "onFailedHealthCheck": ("DEFAULT_ACTION", "REPAIR", "DO_NOTHING"),
    "forceUpdateOnRepair": ("NO", "YES"),
}
_ACTION_WORDS = ("REPLACE", "RESTART", "REFRESH", "NONE")
_LEAST = ("REPLACE", "REFRESH", "NONE")
AUTO_DELETE = ("NEVER", "ON_PERMANENT_INSTANCE_DELETION")


def lifecycle(given: Resource) -> Resource:
    """Which instances are repaired, and how."""
    only(given, _LIFECYCLE, "instanceLifecyclePolicy")
    return {name: one_of(given, name, words[0], words) for name, words in _LIFECYCLE.items()}


def update_policy(given: Resource) -> Resource:
    """How instances are replaced by newer ones."""
    where = "resource.updatePolicy"
    known = ("type", "minimalAction", "mostDisruptiveAllowedAction", "replacementMethod", "maxSurge", "maxUnavailable")
    only(given, known, "updatePolicy")
    if given.get("minimalAction") == "RESTART":
        raise ApiError(501, "notImplemented", "This lab restarts no instances of a managed group.")
    policy: Resource = {
        "type": one_of(given, "type", "OPPORTUNISTIC", ("OPPORTUNISTIC", "PROACTIVE"), where),
        "minimalAction": one_of(given, "minimalAction", "REPLACE", _LEAST, where),
        "replacementMethod": one_of(given, "replacementMethod", "SUBSTITUTE", ("SUBSTITUTE", "RECREATE"), where),
    }
    if given.get("mostDisruptiveAllowedAction"):
        name = "mostDisruptiveAllowedAction"
        policy[name] = one_of(given, name, "REPLACE", _ACTION_WORDS, where)
    recreates = policy["replacementMethod"] == "RECREATE"
    for name, default in (("maxSurge", 0 if recreates else 1), ("maxUnavailable", 1)):
        if "percent" in (given.get(name) or {}):
            raise ApiError(501, "notImplemented", f"This lab has no {name} in percent.")
        fixed = number(given.get(name) or {}, "fixed", default, 0, 1000, f"{where}.{name}")
        policy[name] = {"fixed": fixed, "calculated": fixed}
    if recreates and policy["maxSurge"]["fixed"]:
        why = "maxSurge must be equal to 0 when replacement method is set to RECREATE."
        raise invalid(f"{where}.maxSurge.fixed", policy["maxSurge"]["fixed"], why)
    if not policy["maxSurge"]["fixed"] and not policy["maxUnavailable"]["fixed"]:
        raise invalid(f"{where}.maxUnavailable.fixed", 0, "maxSurge and maxUnavailable cannot both be 0.")
    if policy["type"] == "PROACTIVE" and not recreates:
        raise ApiError(501, "notImplemented", "This lab replaces instances by RECREATE only.")
    return policy


def stateful_policy(given: Resource) -> Resource:
    """What is preserved of every instance."""
    state = given.get("preservedState") or {}
    only(given, ("preservedState",), "statefulPolicy")
    only(state, ("internalIPs",), "statefulPolicy")
    addresses = state.get("internalIPs") or {}
    for name, each in addresses.items():
        if name != "nic0":
            raise invalid("resource.statefulPolicy.preservedState.internalIPs", name, "There is no such interface.")
        one_of(each, "autoDelete", AUTO_DELETE[0], AUTO_DELETE)
    return {"preservedState": {"internalIPs": addresses} if addresses else {}}

# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The events of the nodes during a phase: in words, with the times of detection and of the address's move."""

from __future__ import annotations

import typing as t

from .analysis import Clock, ms

CLOCK_SKEW_MS = 20.0  # how much too early a node may say that it noticed, its clock being a little slow


def describe(event: t.Mapping[str, t.Any]) -> str:
    """One event in words."""
    if event["event"] == "check":
        text = "check %s %s" % (event.get("check"), "healthy" if event.get("healthy") else "failed")
        return "%s: %s" % (text, event["reason"]) if event.get("reason") else text
    if event["event"] == "transition":
        return "%s %s" % (event.get("name"), event.get("state"))
    if is_of_action(event):
        return describe_action(event)
    return str(event["event"]).replace("_", " ")


def is_of_action(event: t.Mapping[str, t.Any]) -> bool:
    """Whether an agent reports its changes to the cloud."""
    return event["event"] == "address_moved" or str(event["event"]).startswith("action_")


def describe_action(event: t.Mapping[str, t.Any]) -> str:
    """An event of the agent's action, in words."""
    text = "%s: %s" % (event.get("action"), event["event"].partition("_")[2])
    if event["event"] == "action_step":
        parts = [event.get(key) for key in ("phase", "name", "resource", "error", "reason")]
        return "%s: %s" % (event.get("action"), " ".join(str(part) for part in parts if part))
    if event["event"] == "address_moved":
        return "%s: moved here: %s" % (event.get("action"), event.get("resource"))
    return "%s: %s" % (text, event["reason"]) if event.get("reason") else text


def is_detection(event: t.Mapping[str, t.Any], target: str, holder_before: str | None) -> bool:
    """Whether this event means that the cluster has noticed."""
    if event["event"] == "check":
        return not event.get("healthy") and event["node"] == target
    if event["event"] == "transition":
        return is_move(event, holder_before or target) or (
            event["node"] == target and event.get("state") in ("FAULT", "STOP", "BACKUP")
        )
    return False


def is_move(event: t.Mapping[str, t.Any], holder_before: str) -> bool:
    return event["event"] == "transition" and event.get("state") == "MASTER" and event["node"] != holder_before


def is_cloud_move(event: t.Mapping[str, t.Any], holder_before: str) -> bool:
    """From here on the cloud sends the address's packets to another node, or has done so already."""
    return event["event"] in ("address_moved", "action_done") and event["node"] != holder_before


def detection(
    events: t.Sequence[dict[str, t.Any]], target: str, holder_before: str | None, until: float
) -> tuple[float | None, float | None]:
    """When the fault was detected, and when another node took the address."""
    window = [e for e in events if -CLOCK_SKEW_MS <= e["at_ms"] <= until]
    detected = next((max(0.0, e["at_ms"]) for e in window if is_detection(e, target, holder_before)), None)
    # Where the cloud decides who gets the packets, a new master has nothing before the cloud has moved the address.
    move = is_cloud_move if any(map(is_of_action, window)) else is_move
    moved = next((max(0.0, e["at_ms"]) for e in window if move(e, holder_before or target)), None)
    return detected, moved


def events_of_phase(
    events: t.Iterable[t.Mapping[str, t.Any]], clock: Clock, start: float, end: float
) -> list[dict[str, t.Any]]:
    """The events of a phase, each with its time on the phase's time line and its description."""
    placed = [
        dict(
            {k: v for k, v in event.items() if k not in ("wall_ns", "mono_ns", "seq")},
            at_ms=ms(clock.of_wall(event["wall_ns"], event["node"])),
            text=describe(event),
        )
        for event in events
    ]
    return sorted((e for e in placed if start <= e["at_ms"] <= end), key=lambda e: e["at_ms"])

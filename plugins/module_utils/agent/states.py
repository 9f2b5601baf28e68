# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The state that an agent has left to the next one: the states of all instances, from the status file and the event
log."""

from __future__ import annotations

import json
import os

from .events import newest_first

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .config import Config


def apply_transition(states: dict[str, dict[str, Any]], record: dict[str, Any]) -> None:
    """MASTER_RX_LOWER_PRI and the like are news, not states."""
    key = f"{record['kind']} {record['name']}"
    if record["state"] == "DELETED":
        states.pop(key, None)
    elif record["state"] in ("MASTER", "BACKUP", "FAULT", "STOP"):
        states[key] = {
            "state": record["state"],
            "priority": record["priority"],
            "since": record["wall_ns"],
            "mono": record["mono_ns"],
            "transition": record["seq"],  # the last one that an action has to follow
        }
    elif key in states:
        states[key]["priority"] = record["priority"]
        if record["state"] == "MASTER_RX_LOWER_PRI":
            states[key]["transition"] = record["seq"]


def last_states(config: Config) -> tuple[dict[str, dict[str, Any]], dict[str, int]]:
    """From the status file, brought up to date with the log: the file may be a second older than the last kill.

    And for each action the number of the last transition that it followed to the end.
    """
    status = read_status(config.state_dir) or {}
    states = {name: state for name, state in _objects(status, "states") if _is_state(state)}
    asserted = {name: _number(action.get("asserted")) for name, action in _objects(status, "actions")}
    news = []
    for event in newest_first(config.event_log):
        if event["seq"] <= _number(status.get("seq")):
            break
        if event["event"] == "transition" or event["event"] == "action_done":
            news.append(event)
    for event in reversed(news):
        try:
            if event["event"] == "transition":
                apply_transition(states, event)
            else:
                asserted[event["action"]] = max(asserted.get(event["action"], 0), _number(event.get("transition")))
        except (KeyError, TypeError):  # no event of an agent
            continue
    return states, asserted


# A file that was damaged must not keep the agent from starting.


def _objects(status: dict[str, Any], key: str) -> list[tuple[str, dict[str, Any]]]:
    found = status.get(key)
    return [(name, each) for name, each in found.items() if isinstance(each, dict)] if isinstance(found, dict) else []


def _is_state(state: dict[str, Any]) -> bool:
    numbers = all(isinstance(state.get(key), int) for key in ("priority", "since", "mono", "transition"))
    return numbers and isinstance(state.get("state"), str)


def _number(value: Any) -> int:
    return value if isinstance(value, int) else 0


def read_status(state_dir: str) -> dict[str, Any] | None:
    try:
        with open(os.path.join(state_dir, "status.json"), encoding="utf-8") as file:
            status = json.load(file)
    except (FileNotFoundError, ValueError, RecursionError):
        return None
    return status if isinstance(status, dict) else None

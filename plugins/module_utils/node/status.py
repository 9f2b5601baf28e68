# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The traces of keepalived and the agent in files and processes: read only, and right whether or not they run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..agent import guard as agents_guard
from ..agent import lock, states, verdict
from ..agent.events import newest_first
from .guard import HEALTH
from .health import health, problems, processes
from .in_force import known_configuration, members


def read_drain(file: Path) -> int | None:
    """The number in the drain file; None if there is no file, or no number in it."""
    try:
        return int(file.read_text())
    except (FileNotFoundError, ValueError):
        return None


def read_checks(directory: Path) -> dict[str, bool]:
    """The verdict of each resident check."""
    if not directory.is_dir():
        return {}
    files = sorted(file for file in directory.iterdir() if not file.name.startswith("."))
    return {file.name: bool(verdict.read(str(file))) for file in files}


def last_states(event_log: Path, members: list[str] | None = None) -> dict[str, str]:
    """The last state of each VRRP instance that the agent heard of, as far as the end of its log tells.

    members: those of the configuration in force, such as ``INSTANCE VI_1``, if it is known; others are left out. Of an
    instance that a reload removed, keepalived 2.2 says FAULT, and nothing more.
    """
    states: dict[str, str] = {}
    for event in newest_first(str(event_log)):
        state = str(event.get("state"))
        # MASTER_RX_LOWER_PRI and the like are news, not states.
        if event.get("event") == "transition" and event.get("kind") == "INSTANCE" and "_" not in state:
            states.setdefault(str(event["name"]), state)
    there = [name for name in sorted(states) if members is None or f"INSTANCE {name}" in members]
    return {name: states[name] for name in there if states[name] != "DELETED"}


def read_keepalived(runtime: Path) -> dict[str, Any]:
    """Whether it runs, and its problems if it does: this looks now, whatever its guard found before."""
    found = health(runtime)
    age, _problems = agents_guard.last_word(str(runtime / HEALTH), agents_guard.UNIT)
    silent = age is not None and age > agents_guard.SILENT
    return {
        "active": bool(processes()),
        **found._asdict(),
        "guard_age_s": None if age in (None, float("inf")) else round(age, 1),
        "guard_silent": silent,
        "problems": problems(found) + [agents_guard.PROBLEM] * silent,
    }


def read_actions(directory: Path) -> dict[str, Any]:
    """What a running agent tells of its actions, each by its name; it tells so once a second."""
    told = states.read_status(str(directory)) if lock.running(str(directory)) else None
    actions = (told or {}).get("actions")
    return actions if isinstance(actions, dict) else {}


def read_status(runtime: Path, event_log: Path) -> dict[str, Any]:
    return {
        "keepalived": read_keepalived(runtime),
        "agent": lock.running(str(runtime / "agent")),
        "drain": read_drain(runtime / "drain"),
        "checks": read_checks(runtime / "check"),
        "actions": read_actions(runtime / "agent"),
        "instances": last_states(event_log, members(known_configuration(runtime))),
    }

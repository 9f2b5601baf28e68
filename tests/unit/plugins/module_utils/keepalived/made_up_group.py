# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A group of nodes that speak VRRP about one address, as far as a rollout must know it.

It is pessimistic: whoever runs, is able and hears no holder becomes one at once.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ansible_collections.cloudha.vip.plugins.module_utils.keepalived.rollout import rollout

VIP = "192.0.2.100"


@dataclass
class Machine:
    """What runs is None when keepalived is off."""

    host: str
    wanted: dict[str, Any]  # its instance
    runs: dict[str, Any] | None = None
    able: bool = True
    here: bool = True
    holds: bool = False
    off_with: dict[str, Any] | None = None  # the configuration of one that is off and not here
    loaded: bool = field(default=False)  # whether this run has started or reloaded it

    @property
    def pending(self) -> bool:
        return self.here and self.runs != self.wanted


class TwoHoldersError(AssertionError):
    pass


class Group:
    def __init__(self, machines: list[Machine], deaf_links: bool = False) -> None:
        self.machines = {m.host: m for m in machines}
        self.deaf_links = deaf_links
        self.history: list[str] = []
        for m in machines:  # whatever was before this run, it is at rest now
            if m.runs and m.able and not self.hears_a_holder(m):
                m.holds = True
        self.yield_to_better()
        self.split_at_start = len(self.holders) > 1
        self.refused: list[str] = []
        self.deaf: list[str] = []

    @property
    def holders(self) -> list[str]:
        return [m.host for m in self.machines.values() if m.holds]

    def hears(self, listener: Machine, speaker: Machine) -> bool:
        mine, theirs = listener.runs, speaker.runs
        if mine is None or theirs is None or self.deaf_links:
            return False
        same = all(mine[key] == theirs[key] for key in ("virtual_router_id", "addresses"))
        return same and theirs["source_address"] in mine["peers"] and mine["source_address"] in theirs["peers"]

    def hears_a_holder(self, m: Machine) -> bool:
        return any(self.hears(m, other) for other in self.machines.values() if other is not m and other.holds)

    def yield_to_better(self) -> None:
        for m in sorted(self.machines.values(), key=lambda m: m.wanted["priority"]):
            better = (o for o in self.machines.values() if o.holds and o.wanted["priority"] > m.wanted["priority"])
            if m.holds and any(self.hears(m, other) for other in better):
                m.holds = False

    def rest(self) -> None:
        """Time passes."""
        alone = [m for m in self.machines.values() if m.runs and m.able and not m.holds and not self.hears_a_holder(m)]
        if len(alone) > 1 and not self.split_at_start:
            raise TwoHoldersError(f"{[m.host for m in alone]} contest the address; {self.history}")
        for m in alone:
            if not self.hears_a_holder(m):
                m.holds = True
        self.yield_to_better()
        if len(self.holders) > 1 and not self.split_at_start:
            raise TwoHoldersError(f"{self.holders} hold the address; {self.history}")

    def look(self) -> dict[str, dict[str, Any]]:
        return {
            m.host: {
                "here": m.here,
                "pending": m.pending,
                "active": m.runs is not None,
                "held": [VIP] if m.holds else [],
                "able": m.able or m.runs is None,  # nobody knows before it runs
                "begun": m.loaded,
                "before": [m.runs] if m.runs else [m.off_with] if m.off_with else [],
                "after": [m.wanted],
            }
            for m in self.machines.values()
        }

    def stop(self, host: str) -> None:
        m = self.machines[host]
        assert m.here, f"{host} is out of reach"
        self.history.append(f"stop {host}")
        m.runs, m.holds = None, False
        self.rest()

    def load(self, host: str) -> None:
        m = self.machines[host]
        assert m.here, f"{host} is out of reach"
        self.history.append(f"load {host}")
        if m.runs and any(m.runs[key] != m.wanted[key] for key in ("virtual_router_id", "name")):
            m.holds = False  # keepalived ends the old instance
        m.runs, m.loaded = m.wanted, True
        m.holds = m.holds and m.able
        self.rest()

    def run(self) -> None:
        """What the role does."""
        for _turn in range(4 * len(self.machines)):
            plan = rollout(self.look())
            if plan["refused"]:
                assert not self.history, f"refused in the middle: {plan['refused']}; {self.history}"
                self.refused = plan["refused"]
                return
            if not plan["stop"] and not plan["phases"]:
                return
            for host in plan["stop"]:
                self.stop(host)
            for host in plan["phases"][0]:
                m = self.machines[host]
                if plan["listen"].get(host) and self.deaf_links:
                    self.deaf.append(host)
                    return
                assert m.runs is not None or not self.holders or plan["listen"].get(host), "nobody listens first"
                self.load(host)
        raise AssertionError(f"it does not come to an end: {self.history}")

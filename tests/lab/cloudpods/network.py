# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From resources to packets: what each port may send, where each EIP leads, and since when."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

from lab.cloudpods.cloud import Cloud
from lab.cloudpods.dataplane import DataPlane
from lab.emulation.timeline import Timeline

_KEPT = 5_000  # changes that are remembered


class Network:
    """Keeps the data plane as the cloud says, each change after its delay and in its order.

    ``in_force``: what the ports may send, and the EIPs. ``programmed``: which of it was changed when.
    """

    def __init__(self, cloud: Cloud, plane: DataPlane) -> None:
        self._cloud = cloud
        self._plane = plane
        self._timeline = Timeline("network")
        self._due = 0.0
        self._told: dict[str, tuple[str, ...]] = {}
        self._eips: dict[str, str] = {}
        self.in_force: dict[str, Any] = {"ports": {}, "eips": {}}
        self.programmed: list[dict[str, Any]] = []

    def start(self) -> None:
        """Put everything in force at once, then follow the changes."""
        self._plane.translate({})
        self.update(at_once=True)
        self._timeline.idle(10)
        self._cloud.on_change = self.update

    def close(self) -> None:
        """Change nothing any more."""
        self._timeline.close()

    def settled(self, timeout: float = 10.0) -> bool:
        """Wait until the network is as the cloud says."""
        return self._timeline.idle(timeout)

    def update(self, at_once: bool = False) -> None:
        """Let what has changed be put in force; called with the cloud's lock held."""
        delay = 0.0 if at_once else self._cloud.behaviour.propagation_s
        self._due = max(self._due, time.monotonic() + delay)
        for server, vips in self._cloud.ports().items():
            if self._told.get(server) != vips:
                self._told[server] = vips
                self._timeline.at(self._due, partial(self._permit, server, vips))
        eips = self._cloud.mapped()
        if eips != self._eips:
            self._eips = eips
            self._timeline.at(self._due, partial(self._translate, eips))

    def _permit(self, server: str, vips: tuple[str, ...]) -> None:
        self._plane.permit(server, vips)
        self.in_force["ports"] = {**self.in_force["ports"], server: list(vips)}
        self._remember({"server": server, "vips": list(vips)})

    def _translate(self, eips: dict[str, str]) -> None:
        self._plane.translate(eips)
        self.in_force["eips"] = eips
        self._remember({"eips": eips})

    def _remember(self, change: dict[str, Any]) -> None:
        self.programmed.append({"mono_ns": time.monotonic_ns(), "wall_ns": time.time_ns(), **change})
        del self.programmed[:-_KEPT]

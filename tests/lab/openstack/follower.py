# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The data plane follows the API: after each change, what Neutron holds is put in force."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Protocol

from lab.emulation.timeline import Timeline
from lab.fabric import Policy
from lab.openstack.security import Translate
from lab.openstack.server import Cloud


class DataPlane(Protocol):
    """Machines are called by their names."""

    def secure(self, machine: str, policy: Policy | None) -> None:
        """Let pass what the policy says, all at once; None: everything."""

    def translate(self, eips: Mapping[str, str]) -> None:
        """Which address inside each floating IP leads to. It is the whole table."""


class MemoryPlane:
    """A data plane without a network: ``policies`` by machine, and their ``history``; ``eips``."""

    def __init__(self) -> None:
        self.policies: dict[str, Policy | None] = {}
        self.history: list[tuple[str, Policy | None]] = []
        self.eips: dict[str, str] = {}

    def secure(self, machine: str, policy: Policy | None) -> None:
        """See `DataPlane`."""
        self.policies[machine] = policy
        self.history.append((machine, policy))

    def translate(self, eips: Mapping[str, str]) -> None:
        """See `DataPlane`."""
        self.eips = dict(eips)


class Follower:
    """Keeps ``plane`` as ``cloud`` says, in the words of ``translate``; a change takes the time that its front says.

    ``in_force``: by machine. A server's first port is its machine's: a machine has one interface here.
    """

    def __init__(self, cloud: Cloud, plane: DataPlane, translate: Translate) -> None:
        self.in_force: dict[str, Policy | None] = {}
        self._eips: dict[str, str] = {}
        self._cloud = cloud
        self._plane = plane
        self._translate = translate
        self._timeline = Timeline("data plane")
        self.follow()
        cloud.front.changed = self._later

    def close(self) -> None:
        """Follow no more."""
        self._cloud.front.changed = lambda: None
        self._timeline.close()

    def settled(self, timeout: float = 10.0) -> bool:
        """Wait until the network is as the API says."""
        return self._timeline.idle(timeout)

    def follow(self) -> None:
        """Put in force what is not yet."""
        ask = self._cloud.network.call
        ports = ask("GET", "/ports")["ports"]
        groups = {each["id"]: each for each in ask("GET", "/security-groups")["security_groups"]}
        machines = self._cloud.compute.servers
        for port in ports:
            name = machines.get(port["device_id"])
            if name is None:
                continue
            neighbours = [each for each in ports if each["network_id"] == port["network_id"]]
            policy = self._translate(port, neighbours, groups)
            if name not in self.in_force or self.in_force[name] != policy:
                self._plane.secure(name, policy)
                self.in_force[name] = policy
        floating = ask("GET", "/floatingips")["floatingips"]
        eips = {each["floating_ip_address"]: each["fixed_ip_address"] for each in floating if each["fixed_ip_address"]}
        if eips != self._eips:
            self._plane.translate(eips)
            self._eips = eips

    def _later(self) -> None:
        self._timeline.at(time.monotonic() + self._cloud.front.behaviour.propagation_s, self.follow)

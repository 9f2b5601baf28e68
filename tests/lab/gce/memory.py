# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A data plane without a network: it remembers what it was told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lab.gce.balance import Health, Senders
from lab.gce.balancers import Check, Service
from lab.gce.firewall import Filters


class MemoryPlane:
    """`lab.gce.dataplane.DataPlane` in memory."""

    def __init__(self) -> None:
        self.programmed: list[tuple[str, dict[str, tuple[str, ...]]]] = []
        self.tables: dict[str, dict[str, tuple[str, ...]]] = {}
        self.sources: dict[str, tuple[str, ...] | None] = {}
        self.filters: Filters = {}
        self.services: tuple[Service, ...] = ()
        self.health: Health = {}
        self.senders: Senders = {}
        self.answers: dict[str, bool] = {}  # whether an instance's answers to probes are good; of others nobody knows
        self.off: set[str] = set()
        self.boots: list[tuple[str, float]] = []  # which machine was booted, and how long that takes
        self.machines: dict[str, tuple[str, str]] = {}  # those that were made: address, disk
        self.disks: dict[str, str] = {}  # its image
        self.images: dict[str, str] = {}  # the disk that it is a copy of

    def program(self, sender: str, table: Mapping[str, tuple[str, ...]]) -> None:
        """See `lab.gce.dataplane.DataPlane`."""
        self.tables[sender] = dict(table)
        self.programmed.append((sender, dict(table)))

    def permit(self, instance: str, sources: tuple[str, ...] | None) -> None:
        """See `lab.gce.dataplane.DataPlane`."""
        self.sources[instance] = sources

    def firewall(self, filters: Filters) -> None:
        """See `lab.gce.dataplane.DataPlane`."""
        self.filters = dict(filters)

    def balance(self, services: Sequence[Service], health: Health, senders: Senders) -> None:
        """See `lab.gce.dataplane.DataPlane`."""
        self.services, self.health, self.senders = tuple(services), dict(health), dict(senders)

    def probe(self, instance: str, check: Check, address: str, source: str) -> bool | None:
        """See `lab.gce.dataplane.DataPlane`."""
        return self.answers.get(instance)

    def make_disk(self, disk: str, image: str) -> None:
        """See `lab.gce.dataplane.DataPlane`."""
        self.disks[disk] = image

    def delete_disk(self, disk: str) -> None:
        """See `lab.gce.dataplane.DataPlane`."""
        del self.disks[disk]

    def make_image(self, image: str, disk: str) -> None:
        """See `lab.gce.dataplane.DataPlane`."""
        self.images[image] = disk

    def delete_image(self, image: str) -> None:
        """See `lab.gce.dataplane.DataPlane`."""
        del self.images[image]

    def create(self, instance: str, address: str, disk: str) -> None:
        """See `lab.gce.dataplane.DataPlane`."""
        self.machines[instance] = address, disk
        self.off.add(instance)

    def delete(self, instance: str) -> None:
        """See `lab.gce.dataplane.DataPlane`."""
        del self.machines[instance]
        self.off.discard(instance)

    def power(self, instance: str, on: bool, after: float = 0.0) -> None:
        """See `lab.gce.dataplane.DataPlane`."""
        (self.off.discard if on else self.off.add)(instance)
        if on:
            self.boots.append((instance, after))

    def running(self, instance: str) -> bool:
        """See `lab.gce.dataplane.DataPlane`."""
        return instance not in self.off

# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the API has under it: a network and machines that obey."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from lab.gce.balance import Health, Senders
from lab.gce.balancers import Check, Service
from lab.gce.firewall import Filters


class DataPlane(Protocol):
    """Instances are called by their names."""

    def program(self, sender: str, table: Mapping[str, tuple[str, ...]]) -> None:
        """Put in force where the packets of ``sender`` go: CIDR -> instances that are next hops.

        Several next hops share by 5-tuple; none drops. It is the whole table: what is in no entry is dropped.
        """

    def permit(self, instance: str, sources: tuple[str, ...] | None) -> None:
        """Anti-spoofing: the CIDRs that ``instance`` may send from; None: any."""

    def firewall(self, filters: Filters) -> None:
        """Put in force what may be sent to each instance. It is the whole firewall."""

    def balance(self, services: Sequence[Service], health: Health, senders: Senders) -> None:
        """Put these load balancers in force, and no others; ``senders``: whose packets each rule takes.

        It may be repeated at any time, and has to be: connections are drained for a time.
        """

    def probe(self, instance: str, check: Check, address: str, source: str) -> bool | None:
        """Whether an instance answers a probe, sent to this address, its own or a load balancer's, from a prober's.

        None: nobody knows, and it stays what it was thought to be.
        """

    def make_disk(self, disk: str, image: str) -> None:
        """Make a disk with an image's content. Without one, or with one that is no disk's: the lab's own Debian."""

    def delete_disk(self, disk: str) -> None:
        """Forget a disk."""

    def make_image(self, image: str, disk: str) -> None:
        """Make an image: a copy of the disk of a machine without power."""

    def delete_image(self, image: str) -> None:
        """Forget an image."""

    def create(self, instance: str, address: str, disk: str) -> None:
        """Make a machine without power, plugged in at its address, that boots from a disk."""

    def delete(self, instance: str) -> None:
        """Cut the machine's power, unplug it and forget it; its disk stays."""

    def power(self, instance: str, on: bool, after: float = 0.0) -> None:
        """Boot the machine, or cut its power. Booting takes ``after`` seconds, for which nobody waits."""

    def running(self, instance: str) -> bool:
        """Whether the machine has power; one that boots, or hangs, has."""

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
        """Whether an instance answers a probe, sent to this address of a load balancer and from a prober's.

        None: nobody knows, and it stays what it was thought to be.
        """

    def power(self, instance: str, on: bool) -> None:
        """Boot the machine, or cut its power."""

    def running(self, instance: str) -> bool:
        """Whether the machine has power; a hung one has."""

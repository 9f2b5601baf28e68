# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is in the cloud when its API starts: one tenant in one region, and who may do what there.

An id is the API's; a VM's name is that of its machine.
"""

from __future__ import annotations

from dataclasses import dataclass

# The vendor's manual: how many VMs a VIP may have, and how many VIPs a VM.
VMS_PER_VIP, VIPS_PER_VM = 3, 5


@dataclass(frozen=True)
class Vpc:
    """A private network, and the range that its subnets are of."""

    id: str
    name: str
    network: str


@dataclass(frozen=True)
class Subnet:
    """A range of addresses of a VPC."""

    id: str
    name: str
    vpc: str
    network: str


@dataclass(frozen=True)
class Segment:
    """A range of external addresses, and who forwards what leaves it."""

    id: str
    name: str
    network: str
    gateway: str


@dataclass(frozen=True)
class Nic:
    """An elastic network interface: in a subnet or on a segment, and known to its VM's system by ``device``."""

    id: str
    vm: str
    device: str
    address: str
    mac: str
    subnet: str | None = None
    segment: str | None = None


@dataclass(frozen=True)
class Vm:
    """A VM with its own interface in a subnet. ``nat_eip``: an external address that is translated is bound to it."""

    id: str
    name: str
    subnet: str
    address: str
    mac: str
    device: str = "eth0"
    state: str = "Running"
    nat_eip: bool = False


@dataclass(frozen=True)
class Key:
    """A pair of keys: who has it, and the actions that it may use (None: all)."""

    name: str
    public: str
    private: str
    actions: frozenset[str] | None = None


@dataclass(frozen=True)
class World:
    """One tenant in one region."""

    region: str
    company: int
    project: str
    keys: tuple[Key, ...]
    vpcs: tuple[Vpc, ...] = ()
    subnets: tuple[Subnet, ...] = ()
    segments: tuple[Segment, ...] = ()
    vms: tuple[Vm, ...] = ()
    nics: tuple[Nic, ...] = ()
    vms_per_vip: int = VMS_PER_VIP
    vips_per_vm: int = VIPS_PER_VM

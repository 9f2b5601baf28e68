# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is in the cloud when its API starts: a project, those that share its network, and who may do what with them.

Everything is called by its name alone: names are unique in all projects, and an
instance has the name of its machine.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

# Google's default for a project that has asked for nothing.
STATIC_ROUTES_PER_NETWORK = 250
QUOTAS = {
    "STATIC_ROUTES_PER_NETWORK": STATIC_ROUTES_PER_NETWORK,
    "INTERNAL_FORWARDING_RULES_PER_NETWORK": 300,
    # Of a region:
    "INTERNAL_ADDRESSES": 200,
    "STATIC_ADDRESSES": 8,
}


@dataclass(frozen=True)
class Network:
    """A VPC network of custom mode."""

    name: str


@dataclass(frozen=True)
class Subnetwork:
    """A range of addresses in a region; ``secondary`` ones have names and are for aliases."""

    name: str
    network: str
    region: str
    range: str
    secondary: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Instance:
    """A machine with one interface, nic0."""

    name: str
    zone: str
    network: str
    subnetwork: str
    address: str
    can_ip_forward: bool = False
    tags: tuple[str, ...] = ()
    service_account: str | None = None
    """Its e-mail address: the principal of this name is who the metadata server's tokens speak for."""
    aliases: tuple[str, ...] = ()
    project: str | None = None
    """The service project that it is in; None: the world's own."""
    reaches_outside: bool = False
    """Whether it has a way to the hosts that are outside of the network, as with an external address of its own."""


@dataclass(frozen=True)
class Outsider:
    """A host on the Internet: in no network, and in no project."""

    name: str
    address: str


INTERNET = "default-internet-gateway"


@dataclass(frozen=True)
class Route:
    """A static route: to an instance by name, to an address, or to the ``INTERNET``."""

    name: str
    network: str
    destination: str
    next_hop: str
    priority: int = 1000
    tags: tuple[str, ...] = ()
    description: str = ""


@dataclass(frozen=True)
class Firewall:
    """A rule that lets in ``allowed``: protocol (name or number) -> ports (none: all)."""

    name: str
    network: str
    allowed: Mapping[str, tuple[str, ...]]
    source_ranges: tuple[str, ...] = ()
    source_tags: tuple[str, ...] = ()
    target_tags: tuple[str, ...] = ()
    priority: int = 1000


@dataclass(frozen=True)
class ManagedZone:
    """A private zone of Cloud DNS, such as ha.internal., and the networks that see it."""

    name: str
    dns_name: str
    networks: tuple[str, ...]


@dataclass(frozen=True)
class Principal:
    """A caller: the tokens it always has, and its permissions (None: all), in each project that has no others."""

    name: str
    tokens: tuple[str, ...] = ()
    permissions: frozenset[str] | None = None
    elsewhere: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """By service project: its permissions there."""


@dataclass(frozen=True)
class ServiceProject:
    """Has instances on the networks of the world's project, which is then the host project of a Shared VPC.

    Routes, networks and firewall rules of its own it has none.
    """

    name: str
    number: int


@dataclass(frozen=True)
class World:
    """One project, and service projects. Zones and regions are those of instances and subnetworks, and ``zones``."""

    project: str
    networks: tuple[Network, ...] = ()
    subnetworks: tuple[Subnetwork, ...] = ()
    instances: tuple[Instance, ...] = ()
    outsiders: tuple[Outsider, ...] = ()
    routes: tuple[Route, ...] = ()
    firewalls: tuple[Firewall, ...] = ()
    managed_zones: tuple[ManagedZone, ...] = ()
    principals: tuple[Principal, ...] = ()
    zones: tuple[str, ...] = ()
    quotas: Mapping[str, int] = field(default_factory=lambda: dict(QUOTAS))
    number: int = 419080500001
    """The project's number."""
    service_projects: tuple[ServiceProject, ...] = ()
    external_range: str = "203.0.113.0/24"
    """Where external addresses come from, in every region."""

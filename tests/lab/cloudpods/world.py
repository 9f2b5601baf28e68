# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is in the cloud when its API starts: projects, users, networks, servers, and what they have.

Everything refers to everything else by its name. An ``id`` that is left out is made up; a server has the name of its
machine.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Project:
    """A project of the domain Default."""

    name: str
    id: str = ""


@dataclass(frozen=True)
class User:
    """A user of the domain Default; ``projects``: those which it may name in a token's scope."""

    name: str
    password: str
    projects: tuple[str, ...]
    id: str = ""
    role: str = "admin"


@dataclass(frozen=True)
class Network:
    """An IP subnet: what it may give away is ``first`` to ``last``, but for ``reserved``.

    ``server_type``: "guest", or "eip" for one that EIPs are taken from. A VPC called "Default" is the classic network.
    """

    name: str
    first: str
    last: str
    prefix: int
    gateway: str = ""
    vpc: str = "Default"
    wire: str = "wire"
    server_type: str = "guest"
    bgp_type: str = ""
    reserved: tuple[str, ...] = ()
    id: str = ""


@dataclass(frozen=True)
class Nic:
    """A server's interface on a network."""

    network: str
    address: str
    mac: str
    is_default: bool = True


@dataclass(frozen=True)
class Server:
    """A virtual machine."""

    name: str
    nics: tuple[Nic, ...]
    project: str
    status: str = "running"
    id: str = ""


@dataclass(frozen=True)
class Eip:
    """An EIP that belongs to nobody yet."""

    name: str
    address: str
    network: str
    project: str
    bandwidth: int = 10
    id: str = ""


@dataclass(frozen=True)
class Group:
    """An anti-affinity group with its members and VIPs."""

    name: str
    project: str
    servers: tuple[str, ...] = ()
    network: str = ""
    vips: tuple[str, ...] = ()
    id: str = ""


@dataclass(frozen=True)
class World:
    """One region. What comes later in a tuple is newer."""

    projects: tuple[Project, ...]
    users: tuple[User, ...]
    networks: tuple[Network, ...] = ()
    servers: tuple[Server, ...] = ()
    eips: tuple[Eip, ...] = ()
    groups: tuple[Group, ...] = ()
    region: str = "region0"

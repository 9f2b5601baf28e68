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
    """A user of the domain Default; ``projects``: those which it may name in a token's scope.

    ``role``: "admin" may do everything in every project, "project_owner" in its own; "project_editor" may neither
    create nor delete groups, "project_viewer" may only look.
    """

    name: str
    password: str
    projects: tuple[str, ...]
    id: str = ""
    role: str = "admin"


@dataclass(frozen=True)
class Vpc:
    """A VPC; one that only networks name is like this, too. The one called "Default" is the classic network."""

    name: str
    external_access_mode: str = "eip-distgw"
    cidr: str = ""
    id: str = ""


@dataclass(frozen=True)
class Network:
    """An IP subnet: what it may give away is ``first`` to ``last``, but for ``reserved``.

    ``server_type``: "guest", or "eip" for one that EIPs are taken from. ``project``: its owner, at first the first one
    that there is; all may use it. ``alloc_policy``: in which order its addresses are given away, whatever one asks for.
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
    alloc_policy: str = ""
    project: str = ""


@dataclass(frozen=True)
class Nic:
    """A server's interface on a network."""

    network: str
    address: str
    mac: str
    is_default: bool = True


@dataclass(frozen=True)
class Server:
    """A virtual machine; one that was never started has no host."""

    name: str
    nics: tuple[Nic, ...]
    project: str
    status: str = "running"
    id: str = ""
    host: str = "host1"


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
    """One region. What comes later in a tuple is newer. ``identity_utc_offset_h``: of the identity service's clock."""

    projects: tuple[Project, ...]
    users: tuple[User, ...]
    networks: tuple[Network, ...] = ()
    servers: tuple[Server, ...] = ()
    eips: tuple[Eip, ...] = ()
    groups: tuple[Group, ...] = ()
    vpcs: tuple[Vpc, ...] = ()
    region: str = "region0"
    identity_utc_offset_h: int = 8

# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is in the cloud when its API starts, or is put there later: everything is called by its name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

# What a group lets in: Neutron's own words for a rule; a remote group is called by its name.
Rule = Mapping[str, object]
VRRP: Rule = {"protocol": "112"}
AH: Rule = {"protocol": "51"}
SSH: Rule = {"protocol": "tcp", "port_range_min": 22, "port_range_max": 22}
HTTP: Rule = {"protocol": "tcp", "port_range_min": 80, "port_range_max": 80}
PING: Rule = {"protocol": "icmp"}


@dataclass(frozen=True)
class Network:
    """A network with one subnet. With ``external`` it is the way out: floating addresses come from it."""

    name: str
    cidr: str
    external: bool = False


@dataclass(frozen=True)
class SecurityGroup:
    """What it lets in, from anywhere if a rule does not say otherwise; everything may go out."""

    name: str
    ingress: tuple[Rule, ...] = ()


@dataclass(frozen=True)
class Server:
    """A machine, and its port, which has the same name. Without ``groups`` it has the project's default one."""

    name: str
    network: str
    address: str
    mac: str | None = None
    groups: tuple[str, ...] = ()
    port_security: bool = True


@dataclass(frozen=True)
class World:
    """What the project ``lab`` has. If there is an external network, a router joins all others to it.

    ``floating``: addresses of the external network that the project may attach to ports.
    """

    networks: tuple[Network, ...] = ()
    groups: tuple[SecurityGroup, ...] = ()
    servers: tuple[Server, ...] = ()
    floating: tuple[str, ...] = ()

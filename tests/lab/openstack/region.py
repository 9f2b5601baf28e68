# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The projects of the lab: servers and a client in a network behind a router, and a floating IP."""

from __future__ import annotations

from dataclasses import replace

from lab.openstack import prepare
from lab.openstack.world import HTTP, PING, SSH, VRRP, Network, SecurityGroup, Server, World

NETWORK, EXTERNAL = "backend", "internet"
VIP, FLOATING = "10.0.0.100", "203.0.113.200"
GATEWAY, BEYOND, EXTERNAL_RANGE = "10.0.0.1/24", "198.51.100.1/24", "203.0.113.0/24"
CONTROLLER_ADDRESS = "10.0.0.2"
# Huawei Cloud's API is another region of the same catalogue.
REGION, HUAWEI_REGION = prepare.REGION, "lab-1"
# Where the services are in the lab: Keystone, Neutron, Compute; and Huawei Cloud's API of VPCs.
ADDRESS, PORTS, VPC_PORT = "10.0.0.1", (5000, 9696, 8774), 9797


def _server(name: str, host: int, group: str) -> Server:
    return Server(name, NETWORK, f"10.0.0.{host}", f"02:00:0a:00:00:{host:02x}", (group,))


WORLD = World(
    networks=(Network(NETWORK, "10.0.0.0/24"), Network(EXTERNAL, EXTERNAL_RANGE, external=True)),
    groups=(SecurityGroup("web", (SSH, HTTP, VRRP, PING)), SecurityGroup("client", (SSH, PING))),
    servers=(
        _server("node1", 11, "web"),
        _server("node2", 12, "web"),
        _server("client1", 50, "client"),
        # So that nobody else gets its address; it is not a machine of the lab.
        Server("controller", NETWORK, CONTROLLER_ADDRESS, groups=("client",)),
    ),
    floating=(FLOATING,),
)
# With servers behind them, to which the two pass requests on.
LVS_WORLD = replace(WORLD, servers=(*WORLD.servers, _server("real1", 21, "web"), _server("real2", 22, "web")))

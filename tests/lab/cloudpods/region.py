# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The region of the lab: the addresses are those of the Cloudpods document's example of a pair of nginx servers."""

from __future__ import annotations

from lab.cloudpods.world import Eip, Network, Nic, Project, Server, User, World

USER, PASSWORD, PROJECT = "operator", "lab-operator-password", "lab-project"
ADMIN, ADMIN_PASSWORD, ADMIN_PROJECT = "sysadmin", "lab-sysadmin-password", "system"
GROUP, VIP, EIP = "nginx", "192.168.7.246", "203.0.113.10"
GATEWAY, BEYOND, EIPS = "192.168.4.1/22", "198.51.100.1/24", "203.0.113.0/24"
# Where the services are in the lab.
IDENTITY, COMPUTE = ("192.168.4.1", 30500), ("192.168.4.1", 30888)
NETWORK_ID = "5a6b1c1e-8f0a-4c55-8d1d-0c6f2f6f4e07"
NETWORK, EIP_NETWORK, LINE = "vip-subnet", "eip-subnet", "BGP"


def _server(name: str, address: str, mac: str) -> Server:
    return Server(name, (Nic(NETWORK, address, mac),), PROJECT)


WORLD = World(
    projects=(Project(PROJECT), Project("another-project"), Project(ADMIN_PROJECT)),
    users=(
        User(USER, PASSWORD, (PROJECT,), role="project_owner"),
        User("stranger", "lab-stranger-password", ("another-project",), role="project_owner"),
        User("editor", "lab-editor-password", (PROJECT,), role="project_editor"),
        User("viewer", "lab-viewer-password", (PROJECT,), role="project_viewer"),
        User(ADMIN, ADMIN_PASSWORD, (ADMIN_PROJECT,)),
    ),
    networks=(
        Network("classic-subnet", "172.16.5.10", "172.16.5.50", 24, "172.16.5.1"),
        Network("second-subnet", "192.168.8.2", "192.168.8.254", 24, "192.168.8.1", "vpc1", "vpc-vpc1"),
        # Below 192.168.4.3 there are the gateway and the lab's controller.
        Network(NETWORK, "192.168.4.3", "192.168.7.254", 22, "192.168.4.1", "vpc1", "vpc-vpc1", id=NETWORK_ID),
        Network(EIP_NETWORK, EIP, "203.0.113.50", 24, "203.0.113.1", server_type="eip", bgp_type=LINE),
    ),
    servers=(
        _server("node1", "192.168.7.247", "02:00:00:00:07:01"),
        _server("node2", "192.168.7.248", "02:00:00:00:07:02"),
        _server("client1", "192.168.4.10", "02:00:00:00:07:10"),
    ),
    eips=(Eip("nginx-eip", EIP, EIP_NETWORK, PROJECT),),
)

# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The region of the lab: a tenant with two VMs and a client in a subnet."""

from __future__ import annotations

from lab.ucloudstack.world import Key, Subnet, Vm, Vpc, World

KEY = Key("operator", "lab-public-key", "lab-private-key")
VPC, SUBNET, VIP = "vpc-lab", "subnet-lab", "10.0.0.100"
# Where the API is in the lab.
API = ("10.0.0.1", 80)


def _vm(name: str, host: int) -> Vm:
    return Vm(f"vm-{name}", name, SUBNET, f"10.0.0.{host}", f"02:00:0a:00:00:{host:02x}")


WORLD = World(
    region="cn",
    company=200000123,
    project="org-lab",
    keys=(KEY,),
    vpcs=(Vpc(VPC, "production", "10.0.0.0/16"),),
    subnets=(Subnet(SUBNET, "web", VPC, "10.0.0.0/24"),),
    vms=(
        _vm("node1", 11),
        _vm("node2", 12),
        _vm("client1", 50),
        # So that nobody else gets its address; it is not a machine of the lab.
        _vm("controller", 2),
    ),
)

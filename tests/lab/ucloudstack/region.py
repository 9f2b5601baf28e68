# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The regions of the lab: a tenant with VMs in a subnet, and one whose VMs are on a segment outside, too."""

from __future__ import annotations

from dataclasses import replace

from lab.ucloudstack.world import Key, Nic, Segment, Subnet, Vm, Vpc, World

KEY = Key("operator", "lab-public-key", "lab-private-key")
VPC, SUBNET, VIP = "vpc-lab", "subnet-lab", "10.0.0.100"
# The addresses of the manual's example.
SEGMENT, SEGMENT_GATEWAY, EXTERNAL_VIP = "segment-lab", "192.168.177.1", "192.168.177.204"
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


def _nic(name: str, host: int) -> Nic:
    mac = f"02:00:c0:a8:b1:{host:02x}"
    return Nic(f"nic-{name}", f"vm-{name}", "eth1", f"192.168.177.{host}", mac, segment=SEGMENT)


EXTERNAL = replace(
    WORLD,
    segments=(Segment(SEGMENT, "internet", "192.168.177.0/24", SEGMENT_GATEWAY),),
    vms=tuple(each for each in WORLD.vms if each.name != "client1"),
    nics=(_nic("node1", 11), _nic("node2", 12)),
)

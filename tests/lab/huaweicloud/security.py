# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Huawei Cloud's ports let pass, as its documentation has it: the source/destination check, and virtual IPs.

Pure, as `lab.openstack.security`, whose security groups are the same.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_network

from lab.fabric import Pair, Policy
from lab.huaweicloud.vpc import VIP
from lab.openstack.security import Groups, Port, conversations, network


def policy(port: Port, ports: Iterable[Port], groups: Groups) -> Policy:
    """What may pass at ``port``, which is one of ``ports``.

    With the check on: only what comes from an address of its own, and goes to one. With it off, anything; but to own a
    virtual IP (to answer ARP for it), it must be bound to the virtual IP as well.
    """
    ports = list(ports)
    mac = port["mac_address"]
    own = [each["ip_address"] for each in port["fixed_ips"]]
    ingress, egress = conversations(port, ports, groups)
    if not unchecked(port):
        pairs = tuple(Pair(mac, each) for each in own)
        return Policy(sends=pairs, claims=pairs, receives=tuple(own), ingress=ingress, egress=egress)
    bound = [
        each["ip_address"]
        for vip in ports
        if vip["device_owner"] == VIP and not set(own).isdisjoint(_members(vip))
        for each in vip["fixed_ips"]
    ]
    claims = tuple(Pair(mac, each) for each in dict.fromkeys([*own, *bound]))
    anything = tuple(Pair(mac, each) for each in ("0.0.0.0/0", "::/0"))
    return Policy(sends=anything, claims=claims, ingress=ingress, egress=egress)


def unchecked(port: Port) -> bool:
    """Whether its source/destination check is off: 1.1.1.1/0 is among its pairs."""
    return any(ip_network(each["ip_address"], strict=False).prefixlen == 0 for each in port["allowed_address_pairs"])


def _members(vip: Port) -> list[str]:
    return [network(each["ip_address"]) for each in vip["allowed_address_pairs"]]

# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fabric of an IP subnet in a VPC with a way out: the bridge with its port security, a gateway, and an outside.

Runs inside the lab's namespaces: the keeper's own network namespace is the gateway. It stands between the bridge of the
subnet and another one, to which the machines outside are plugged. From outside nothing passes but what is sent to an
EIP, which is translated; the controller alone, as a management network would, reaches both sides.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import ip_interface
from pathlib import Path

from lab import fabric
from lab.process import run

OUTSIDE, SEGMENT = "outside", "segment"
UPLINK = "eth1"
_SYSCTL = Path("/proc/sys/net")
# What goes through the gateway has no port as its other end: the addresses of the other side say what to cut.
_BRIDGE_TABLE = """
table bridge gateway {
    set cut { type ifname . ipv4_addr; }
    set unheard { type ifname; }
    chain input {
        type filter hook input priority 0
        iifname . ip daddr @cut drop
        iifname @unheard ether type arp drop
    }
    chain output { type filter hook output priority 0; oifname . ip saddr @cut drop; }
}
"""
# An EIP is translated packet by packet: nothing is remembered, so that it ends when its mapping does.
_TABLE = """
table ip gateway {
    map eips { type ipv4_addr : ipv4_addr; }
    map vips { type ipv4_addr : ipv4_addr; }
    chain prerouting {
        type filter hook prerouting priority mangle;
        iifname "%(outside)s" ip daddr set ip daddr map @eips meta mark set 1
    }
    chain forward {
        type filter hook forward priority filter; policy drop;
        iifname "%(outside)s" meta mark 1 accept
        iifname "%(inside)s" ip saddr %(controller)s accept
        iifname "%(outside)s" ip daddr %(controller)s accept
        iifname "%(inside)s" oifname "%(outside)s" ip saddr set ip saddr map @vips accept
        iifname "%(outside)s" oifname "%(segment)s" accept
        iifname "%(segment)s" oifname "%(outside)s" accept
    }
}
"""


@dataclass(frozen=True)
class Outside:
    """The gateway's addresses on both sides, where EIPs are taken from, and who is outside: name -> address.

    ``segment``: the gateway's address on a third bridge, of external addresses that are not translated, to which
    machines have a second interface.
    """

    gateway: str
    beyond: str
    eips: str
    machines: Mapping[str, str]
    segment: str | None = None


@dataclass(frozen=True)
class Uplink:
    """A machine's second interface, ``eth1``, on the segment."""

    address: str
    mac: str


class Subnet:
    """The subnet whose gateway and outside are ``outside``; ``controller``: its address; ``uplinks``: of whom."""

    def __init__(self, outside: Outside, controller: str, uplinks: Mapping[str, Uplink]) -> None:
        self._outside = outside
        self._controller = controller
        self._uplinks = uplinks

    def build(self) -> None:
        """Make the bridges and the gateway; no EIP leads anywhere yet."""
        fabric.build()
        sides = {fabric.BRIDGE: self._outside.gateway, OUTSIDE: self._outside.beyond}
        if self._outside.segment:
            sides[SEGMENT] = self._outside.segment
        for bridge in list(sides)[1:]:
            fabric.add_bridge(bridge)
        bridged = _SYSCTL / "bridge/bridge-nf-call-iptables"
        if bridged.exists():
            bridged.write_text("0")  # what stays on a bridge does not go through the gateway
        for bridge, address in sides.items():
            # One of its own: else it would be another one whenever a machine is plugged in or out.
            mac = "02:00:" + ip_interface(address).ip.packed.hex(":")
            run("ip", "link", "set", bridge, "address", mac)
            run("ip", "address", "add", address, "dev", bridge)
        # An EIP that nothing is mapped to is lost in silence.
        run("ip", "route", "add", "blackhole", self._outside.eips)
        names = {"inside": fabric.BRIDGE, "outside": OUTSIDE, "segment": SEGMENT, "controller": self._controller}
        run("nft", "-f", "-", stdin=_BRIDGE_TABLE + _TABLE % names)
        (_SYSCTL / "ipv4/ip_forward").write_text("1")

    def attach(self, name: str, addresses: Iterable[str], mac: str | None = None) -> None:
        """See `lab.fabric.attach`; with a route to the gateway."""
        outside = name in self._outside.machines
        fabric.attach(name, addresses, mac, OUTSIDE if outside else fabric.BRIDGE)
        gateway = ip_interface(self._outside.beyond if outside else self._outside.gateway).ip
        run("ip", "-netns", name, "route", "add", "default", "via", str(gateway))
        uplink = self._uplinks.get(name)
        if uplink:
            fabric.plug(name, UPLINK, (uplink.address,), uplink.mac, SEGMENT)

    def attach_kernel(self, name: str) -> str:
        """See `lab.fabric.attach_kernel`; returns the gateway."""
        fabric.attach_kernel(name)
        return str(ip_interface(self._outside.gateway).ip)

    def detach(self, name: str) -> None:
        """See `lab.fabric.detach`."""
        fabric.detach(name)

    def set_carrier(self, name: str, up: bool) -> None:
        """See `lab.fabric.set_carrier`; of two links, that by which clients come."""
        fabric.set_carrier(self._ports(name)[-1], up)

    def cut(self, name: str, peers: Iterable[str], on: bool) -> None:
        """See `lab.fabric.cut`; also between the two sides."""
        there = list(peers)
        others = [each for peer in there for each in self._ports(peer)]
        # All at once: a node that hears the other ones again says so to a gateway that can hear it.
        rules = "".join(fabric.cut_elements("bridge lab cut", port, others, on) for port in self._ports(name))
        outside = self._outside.machines
        across = [
            (name, peer) if peer in outside else (peer, name)
            for peer in there
            if (peer in outside) != (name in outside)
        ]
        if across:
            elements = [f'"{port}" . {outside[other]}' for inner, other in across for port in self._ports(inner)]
            rules += fabric.set_elements("bridge gateway cut", elements, on)
            if name not in outside:
                # The gateway is beyond the cut, too: it must not learn from there who has an address.
                ports = [f'"{port}"' for port in self._ports(name)]
                rules += fabric.set_elements("bridge gateway unheard", ports, on)
        run("nft", "-f", "-", stdin=rules)

    def _ports(self, name: str) -> list[str]:
        """The fabric's side of each interface of ``name``."""
        return [name, fabric.port_of(name, UPLINK)] if name in self._uplinks else [name]

    def translate(self, eips: Mapping[str, str]) -> None:
        """Which address inside each EIP leads to, and is sent for from there; no other one leads anywhere."""
        lines = ["flush map ip gateway eips", "flush map ip gateway vips"]
        for eip, address in eips.items():
            lines.append(f"add element ip gateway eips {{ {eip} : {address} }}")
            lines.append(f"add element ip gateway vips {{ {address} : {eip} }}")
        run("nft", "-f", "-", stdin="\n".join(lines) + "\n")

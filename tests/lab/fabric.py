# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The layer-2 fabric: a bridge whose ports obey.

Runs inside the lab's namespaces: the bridge lies in the keeper's own network
namespace, every machine in one of its own, joined by a port (a veth pair) that
is named after the machine on the fabric's side and ``eth0`` on the machine's.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_address

from lab.keeper import NETWORKS
from lab.process import run

BRIDGE = "fabric"
_TABLE = """
table bridge lab {
    set cut { type ifname . ifname; }
    chain secure { type filter hook prerouting priority -200; policy accept; }
    chain forward {
        type filter hook forward priority 0; policy accept;
        iifname . oifname @cut drop
    }
}
"""


@dataclass(frozen=True)
class Pair:
    """An address that a port may send from, as Neutron's allowed address pair: with which MAC."""

    mac: str
    address: str


def build() -> None:
    """Make the bridge and its rules."""
    run("ip", "link", "set", "lo", "up")
    add_bridge(BRIDGE)
    run("nft", "-f", "-", stdin=_TABLE)


def add_bridge(name: str) -> None:
    """A bridge without rules of its own."""
    # A VRRP advertisement must not wait for a spanning tree or an IGMP querier.
    run("ip", "link", "add", name, "type", "bridge", "forward_delay", "0", "stp_state", "0", "mcast_snooping", "0")
    run("ip", "link", "set", name, "up")


def attach(name: str, addresses: Iterable[str], mac: str | None = None, bridge: str = BRIDGE) -> None:
    """Make the network namespace ``name`` and plug its ``eth0`` into the bridge."""
    run("ip", "netns", "add", name)
    run("ip", "link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", name)
    batch = ["link set lo up", *([f"link set eth0 address {mac}"] if mac else []), "link set eth0 up"]
    batch += [f"address add {address} dev eth0{' nodad' if ':' in address else ''}" for address in addresses]
    run("ip", "-netns", name, "-batch", "-", stdin="\n".join(batch))
    run("ip", "link", "set", name, "master", bridge, "up")


def detach(name: str) -> None:
    """Unplug ``name`` at once (nothing it still sends arrives) and forget its namespace."""
    if f" {name}@" in run("ip", "-oneline", "link", "show", "type", "veth"):
        run("ip", "link", "set", name, "nomaster")
        run("ip", "link", "delete", name)
    if (NETWORKS / name).exists():
        run("ip", "netns", "delete", name)


def set_carrier(name: str, up: bool) -> None:
    """The switch's side of the cable: down takes the carrier away from the machine."""
    run("ip", "link", "set", name, "up" if up else "down")


def cut(name: str, peers: Iterable[str], on: bool) -> None:
    """Drop (or pass again) every frame between ``name`` and each of ``peers``."""
    run("nft", "-f", "-", stdin=cut_elements("bridge lab cut", name, peers, on))


def cut_elements(cut: str, name: str, peers: Iterable[str], on: bool) -> str:
    """The nftables commands that put ``name`` and each of ``peers`` into the set ``cut``, or take them out."""
    return set_elements(cut, [f'"{a}" . "{b}"' for peer in peers for a, b in ((name, peer), (peer, name))], on)


def set_elements(where: str, elements: Iterable[str], on: bool) -> str:
    """The nftables commands that put ``elements`` into a set, or take them out."""
    listed = ", ".join(elements)
    # Adding first makes the deletion of what is not there harmless.
    commands = [f"add element {where} {{ {listed} }}\n", f"delete element {where} {{ {listed} }}\n"]
    return "".join(commands[:1] if on else commands)


def secure(name: str, pairs: Iterable[Pair]) -> None:
    """Port security: from ``name`` pass only what carries one of ``pairs`` as its sender."""
    chain = f"port-{name}"
    rules = [f"ether saddr != {{ {', '.join(sorted({pair.mac for pair in pairs}))} }} drop"]
    for pair in pairs:
        if ip_address(pair.address).version == 4:
            rules.append(f"ether saddr {pair.mac} ip saddr {pair.address} accept")
            rules.append(f"arp saddr ether {pair.mac} arp saddr ip {pair.address} accept")
        else:
            rules.append(f"ether saddr {pair.mac} ip6 saddr {pair.address} accept")
    rules.append("ip6 saddr { ::, fe80::/10 } accept")
    rules.append("drop")
    body = "".join(f"add rule bridge lab {chain} {rule}\n" for rule in rules)
    jump = f'add rule bridge lab secure iifname "{name}" jump {chain}\n'
    run("nft", "-f", "-", stdin=_without(name) + f"add chain bridge lab {chain}\n" + jump + body)


def open_port(name: str) -> None:
    """No port security on ``name``: what a switch on premises does."""
    rules = _without(name)
    if rules:
        run("nft", "-f", "-", stdin=rules)


def _without(name: str) -> str:
    """The commands that take the security of port ``name`` away, in one transaction with what follows."""
    listing = run("nft", "-a", "list", "chain", "bridge", "lab", "secure")
    handles = [line.rpartition("handle ")[2] for line in listing.splitlines() if f"jump port-{name} " in line + " "]
    rules = "".join(f"delete rule bridge lab secure handle {handle}\n" for handle in handles)
    return rules + (f"flush chain bridge lab port-{name}\ndelete chain bridge lab port-{name}\n" if handles else "")

# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The layer-2 fabric: a bridge whose ports obey.

Runs inside the lab's namespaces: the bridge lies in the keeper's own network
namespace, every machine in one of its own, joined by a port (a veth pair) that
is named after the machine on the fabric's side and ``eth0`` on the machine's.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_network

from lab.keeper import NETWORKS
from lab.process import run

BRIDGE = "fabric"
_TABLE = """
table bridge lab {
    set cut { type ifname . ifname; }
    map from { type ifname : verdict; }
    map out { type ifname : verdict; }
    map in { type ifname : verdict; }
    chain secure {
        type filter hook prerouting priority -200; policy accept;
        iifname vmap @from
    }
    chain forward {
        type filter hook forward priority 0; policy accept;
        iifname . oifname @cut drop
        iifname vmap @out
        oifname vmap @in
    }
}
"""


@dataclass(frozen=True)
class Pair:
    """An address, or a network, that a port may send from, as Neutron's allowed address pair: with which MAC."""

    mac: str
    address: str


@dataclass(frozen=True)
class Allowed:
    """What a security group's rule lets pass: of IP ``version`` 4 or 6; None is any.

    ``protocol``: its number. ``ports``: first and last; of ICMP (where both may be None) the type and code. ``peers``:
    the networks at the other end.
    """

    version: int
    protocol: int | None = None
    ports: tuple[int | None, int | None] | None = None
    peers: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Policy:
    """What may pass at a port.

    ``sends``: senders of IP packets; ``claims``: of ARP. ``receives``: destinations, besides groups and broadcast; None
    is any. ``ingress`` and ``egress``: what may be sent to the machine and by it; None is anything. They are for what
    begins a conversation: answers within TCP, and ICMP's, pass.
    """

    sends: tuple[Pair, ...]
    claims: tuple[Pair, ...]
    receives: tuple[str, ...] | None = None
    ingress: tuple[Allowed, ...] | None = None
    egress: tuple[Allowed, ...] | None = None


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
    run("ip", "-netns", name, "link", "set", "lo", "up")
    plug(name, "eth0", addresses, mac, bridge)


def plug(name: str, device: str, addresses: Iterable[str], mac: str | None, bridge: str) -> None:
    """Plug an interface of the network namespace ``name`` into a bridge."""
    port = port_of(name, device)
    run("ip", "link", "add", port, "type", "veth", "peer", "name", device, "netns", name)
    batch = [*([f"link set {device} address {mac}"] if mac else []), f"link set {device} up"]
    batch += [f"address add {address} dev {device}{' nodad' if ':' in address else ''}" for address in addresses]
    run("ip", "-netns", name, "-batch", "-", stdin="\n".join(batch))
    run("ip", "link", "set", port, "master", bridge, "up")


def attach_kernel(name: str, bridge: str = BRIDGE) -> None:
    """A port for a machine with a kernel of its own, which makes its ``eth0`` of it."""
    run("ip", "tuntap", "add", "dev", name, "mode", "tap")
    run("ip", "link", "set", name, "master", bridge, "up")


def port_of(name: str, device: str) -> str:
    """The fabric's side of an interface of ``name``."""
    return name if device == "eth0" else f"{name}.{device}"


def detach(name: str) -> None:
    """Unplug ``name`` at once (nothing it still sends arrives) and forget its namespace."""
    links = run("ip", "-oneline", "link", "show").splitlines()
    names = [link.split()[1].rstrip(":").partition("@")[0] for link in links]
    for port in [each for each in names if re.fullmatch(rf"{re.escape(name)}(\.eth\d+)?", each)]:
        run("ip", "link", "set", port, "nomaster")
        run("ip", "link", "delete", port)
    if (NETWORKS / name).exists():
        run("ip", "netns", "delete", name)


def set_carrier(name: str, up: bool) -> None:
    """The switch's side of the cable: down takes the carrier away from the machine.

    A kernel of its own does not see that: nothing goes through its cable, and its link stays up. Its tap may not be
    set down, as ``vec0`` gives it up for good when a frame is refused.
    """
    taps = run("ip", "-oneline", "link", "show", "type", "tun").splitlines()
    if name in [tap.split(":")[1].strip() for tap in taps]:
        run("ip", "link", "set", name, "carrier", "on" if up else "off")
    else:
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


def secure(name: str, policy: Policy | None) -> None:
    """Let pass at the port of ``name`` what ``policy`` says, all at once; None: everything, as on premises."""
    chains = {"from": [], "out": [], "in": []} if policy is None else _chains(policy)
    commands = []
    for kind, rules in chains.items():
        chain, element = f"bridge lab {kind}-{name}", f'bridge lab {kind} {{ "{name}" : jump {kind}-{name} }}'
        commands += [f"add chain {chain}", f"flush chain {chain}", f"add element {element}"]
        commands += [f"add rule {chain} {rule}" for rule in rules]
        if policy is None:
            # Adding first makes the deletion of what is not there harmless.
            commands += [f"delete element {element}", f"delete chain {chain}"]
    run("nft", "-f", "-", stdin="\n".join(commands) + "\n")


def _chains(policy: Policy) -> dict[str, list[str]]:
    """The rules of a port: for what comes from it, on its way out of it, and into it."""
    sends = [f"ether saddr != {{ {', '.join(sorted({pair.mac for pair in policy.sends}))} }} drop"]
    sends += [f"ether saddr {pair.mac} {_ip(pair.address)} saddr {pair.address} accept" for pair in policy.sends]
    sends += [
        f"arp saddr ether {pair.mac} arp saddr ip {pair.address} accept"
        for pair in policy.claims
        if _ip(pair.address) == "ip"
    ]
    sends += ["ip6 saddr { ::, fe80::/10 } accept", "drop"]
    receives = []
    if policy.receives is not None:
        for kind, always in (("ip", ("224.0.0.0/4", "255.255.255.255")), ("ip6", ("ff00::/8", "fe80::/10"))):
            own = [each for each in policy.receives if _ip(each) == kind]
            receives.append(f"{kind} daddr != {{ {', '.join((*own, *always))} }} drop")
    return {
        "from": sends,
        "out": _conversations(policy.egress, "daddr"),
        "in": receives + _conversations(policy.ingress, "saddr"),
    }


# The bridge of this kernel does not track connections, so answers are told by what they are.
_ANSWERS = (
    "ether type != { ip, ip6 } return",
    "ip protocol tcp tcp flags & (syn | ack) != syn return",
    "ether type ip6 meta l4proto tcp tcp flags & (syn | ack) != syn return",
    "ip protocol icmp icmp type { echo-reply, destination-unreachable, time-exceeded } return",
    # Errors, the echo's reply, and neighbour discovery.
    "icmpv6 type { 1-4, 129, 133-137 } return",
)


def _conversations(allowed: tuple[Allowed, ...] | None, peer: str) -> list[str]:
    """The rules that let ``allowed`` go on; ``peer``: where the other end's address is."""
    if allowed is None:
        return []
    rules = list(_ANSWERS)
    for each in allowed:
        ip = "ip" if each.version == 4 else "ip6"
        words = [f"ether type {ip}"]
        if each.protocol is not None:
            words.append(f"meta l4proto {each.protocol}")
        if each.ports is not None:
            first, last = each.ports
            if each.protocol in (1, 58):
                icmp = "icmp" if each.protocol == 1 else "icmpv6"
                details = (("type", first), ("code", last))
                words += [f"{icmp} {what} {value}" for what, value in details if value is not None]
            else:
                words.append(f"th dport {first}-{last}")
        if each.peers is not None:
            words.append(f"{ip} {peer} {{ {', '.join(each.peers)} }}")
        if each.peers != ():
            rules.append(f"{' '.join(words)} return")
    return [*rules, "drop"]


def _ip(address: str) -> str:
    """What nftables calls the version of an address or a network."""
    return "ip" if ip_network(address, strict=False).version == 4 else "ip6"

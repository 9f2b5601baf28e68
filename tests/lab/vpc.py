# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The layer-3 fabric: the router of a VPC.

Runs inside the lab's namespaces: the keeper's own network namespace is the
router, every instance has one of its own. There is no segment that two
instances share, so what one of them says about addresses reaches no other:
where packets go is decided by the router alone, and the router obeys the API.

An instance's port is a bridge named after it, with one cable in it. The cable
goes with the power or the carrier; the port stays, and with it every route
that leads to it: packets to a machine that is gone are lost until somebody
takes the route away, as in a cloud.

A load balancer's address leads nowhere by itself. The router sees both
directions of every connection, marks what is for a load balancer, and sends
what is marked to a backend, unchanged.
"""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from ipaddress import ip_interface, ip_network
from pathlib import Path

from lab.fabric import cut_elements, set_elements
from lab.gce.balance import NUMBER, TABLE, Balancer, Health, Senders
from lab.gce.balancers import Check, Service
from lab.gce.firewall import Filters, commands
from lab.gce.probes import PROBERS, ask
from lab.keeper import NETWORKS
from lab.process import run

API = "199.36.153.8"
METADATA = "169.254.169.254"
MTU = 1460  # Google's
_VOID = "void"
_MARKED = 100_000  # and the number of an instance: the routing table for what is marked with that
_EVERYWHERE = "0.0.0.0/0"
_SYSCTL = Path("/proc/sys/net")
_IDLE_S = 600  # a connection is forgotten after that, as Google's firewall does
_SETTINGS = {
    "ipv4/ip_forward": 1,
    "ipv4/fib_multipath_hash_policy": 1,
    "ipv6/conf/all/disable_ipv6": 1,
    "ipv6/conf/default/disable_ipv6": 1,
    **{
        f"ipv4/conf/{which}/{name}": 0
        for which in ("all", "default")
        for name in ("rp_filter", "send_redirects", "accept_redirects", "arp_accept")
    },
    # Whichever address an instance asks for: the answer is the router.
    "ipv4/conf/default/proxy_arp": 1,
    **{
        f"netfilter/nf_conntrack_{name}": _IDLE_S
        for name in ("tcp_timeout_established", "udp_timeout", "udp_timeout_stream")
    },
    # Whoever answers for a connection that another one had is heard.
    "netfilter/nf_conntrack_tcp_be_liberal": 1,
    "netfilter/nf_conntrack_tcp_ignore_invalid_rst": 1,
}
# A port is a bridge, but what comes in by it is routed: it passes the rules once.
_BRIDGED = _SYSCTL / "bridge/bridge-nf-call-iptables"
_PROBERS = sorted({address for addresses in PROBERS.values() for address in addresses})
# A VPC is one hop and does not count: VRRP would refuse a packet with less than 255.
_TABLE = f"""
table inet vpc {{
    map sources {{ type ifname : verdict; }}
    set answers {{ type ifname . ipv4_addr; }}
    set cut {{ type ifname . ifname; }}
    set alone {{ type ifname; }}
    chain prerouting {{
        type filter hook prerouting priority raw; policy drop;
        iifname "lo" accept
        ip ttl 1 ip ttl set 2
        iifname . ip saddr @answers accept
        iifname vmap @sources
    }}
    chain forward {{
        type filter hook forward priority filter; policy accept;
        iifname . oifname @cut drop
        ip ttl 63 ip ttl set 64
        ip ttl 254 ip ttl set 255
    }}
    chain output {{
        type filter hook output priority filter; policy accept;
        ip saddr {{ {", ".join(_PROBERS)} }} oifname @alone drop
    }}
}}
"""


class Vpc:
    """The router whose address is ``gateway``, and the instances at their primary ``addresses``.

    ``manager``: the one of them that is on no side of a partition.
    """

    def __init__(self, gateway: str, addresses: Mapping[str, str], manager: str | None = None) -> None:
        self._gateway = gateway
        self._addresses = addresses
        self._manager = manager
        self._lock = threading.Lock()
        self._balancer = Balancer(addresses)
        self._balancing = threading.Lock()
        self._balanced = ""

    def build(self) -> None:
        """Make the router; nobody may send anything yet."""
        for name, value in _SETTINGS.items():
            (_SYSCTL / name).write_text(str(value))
        if _BRIDGED.exists():
            _BRIDGED.write_text("0")
        addresses = [f"address add {each}/32 dev lo" for each in (self._gateway, API, METADATA, *_PROBERS)]
        # What leads nowhere goes where nobody listens: it is lost in silence, and ARP is answered all the same.
        void = [f"link add {_VOID} type veth peer name {_VOID}.", f"link set {_VOID} arp off up"]
        marked = [
            command
            for number in self._balancer.numbers.values()
            for command in (
                f"route add default dev {_VOID} table {_MARKED + number}",
                f"rule add pref 50 fwmark {number:#x}/{NUMBER:#x} lookup {_MARKED + number}",
            )
        ]
        _ip(["link set lo up", *addresses, *void, *marked])
        run("nft", "-f", "-", stdin=_TABLE + TABLE)

    def attach(self, name: str, addresses: Iterable[str], mac: str | None = None) -> None:
        """Make the network namespace ``name`` and plug its ``eth0`` into its port."""
        address = str(ip_interface(next(iter(addresses))).ip)
        mac = mac or mac_of(address)
        port = [] if _exists(name) else self._port(name, address, mac)
        cable = [
            f"netns add {name}",
            f"link add name {_cable(name)} mtu {MTU} type veth peer name eth0 mtu {MTU} address {mac} netns {name}",
            f"link set dev {_cable(name)} master {name} up",
        ]
        _ip([*port, *cable])
        inside = [
            "link set lo up",
            "link set eth0 up",
            f"address add {address}/32 dev eth0",
            f"route add default via {self._gateway} dev eth0 onlink",
        ]
        _ip(inside, "-netns", name)
        if port:
            (_SYSCTL / "ipv4/neigh" / name / "proxy_delay").write_text("0")
            _ip(
                [
                    f"route add {_EVERYWHERE} dev {_VOID} table {_table(name)}",
                    f"rule add pref 100 iif {name} lookup {_table(name)}",
                    f"route replace default {self._path((name,))} table {_MARKED + self._balancer.numbers[name]}",
                ]
            )

    def detach(self, name: str) -> None:
        """Unplug ``name`` at once and forget its namespace; its port stays."""
        if _exists(_cable(name)):
            _ip([f"link set dev {_cable(name)} nomaster", f"link delete dev {_cable(name)}"])
        if (NETWORKS / name).exists():
            run("ip", "netns", "delete", name)

    def set_carrier(self, name: str, up: bool) -> None:
        """The router's end of the cable: down takes the carrier away from the machine."""
        run("ip", "link", "set", "dev", _cable(name), "up" if up else "down")

    def cut(self, name: str, peers: Iterable[str], on: bool) -> None:
        """Drop (or pass again) every packet between ``name`` and each of ``peers``.

        Whom nobody else reaches is reached by no prober: probers are where clients are.
        """
        there = list(peers)
        rules = cut_elements("inet vpc cut", name, there, on)
        if self._addresses.keys() <= {name, self._manager, *there}:
            rules += set_elements("inet vpc alone", [f'"{name}"'], on)
        run("nft", "-f", "-", stdin=rules)

    def program(self, sender: str, table: Mapping[str, tuple[str, ...]]) -> None:
        """Where the packets of ``sender`` go: see `lab.gce.dataplane.DataPlane`.

        What stays is never absent: an entry that does not change is not touched, one that does is replaced.
        """
        number = _table(sender)
        wanted = {_EVERYWHERE: self._path(())}
        wanted |= {str(ip_network(cidr)): self._path(hops) for cidr, hops in table.items()}
        with self._lock:
            listing = json.loads(run("ip", "-json", "route", "show", "table", str(number)) or "[]")
            there = {_EVERYWHERE if each["dst"] == "default" else str(ip_network(each["dst"])) for each in listing}
            batch = [f"route replace {cidr} table {number} {path}" for cidr, path in wanted.items()]
            _ip([*batch, *(f"route delete {cidr} table {number}" for cidr in there - wanted.keys())])

    def permit(self, instance: str, sources: tuple[str, ...] | None) -> None:
        """What ``instance`` may send from: see `lab.gce.dataplane.DataPlane`."""
        chain = f"inet vpc from-{instance}"
        rules = ["accept"] if sources is None else [f"ip saddr {source} accept" for source in sources]
        lines = [f"add chain {chain}", f"flush chain {chain}", *(f"add rule {chain} {rule}" for rule in rules)]
        lines.append(f'add element inet vpc sources {{ "{instance}" : jump from-{instance} }}')
        run("nft", "-f", "-", stdin="\n".join(lines) + "\n")

    def firewall(self, filters: Filters) -> None:
        """What may be sent to each instance: see `lab.gce.dataplane.DataPlane`."""
        run("nft", "-f", "-", stdin=commands(filters))

    def balance(self, services: Sequence[Service], health: Health, senders: Senders) -> None:
        """Which backends get what is sent to load balancers: see `lab.gce.dataplane.DataPlane`."""
        with self._balancing:
            rules = self._balancer.rules(services, health, senders, time.monotonic())
            if rules != self._balanced:
                run("nft", "-f", "-", stdin=rules)
                self._balanced = rules

    def probe(self, instance: str, check: Check, address: str, source: str) -> bool:
        """Whether an instance answers a health check: see `lab.gce.dataplane.DataPlane`."""
        return ask(check, address, source, self._balancer.numbers[instance])

    def _port(self, name: str, address: str, mac: str) -> list[str]:
        """The commands that make the port of ``name``, and the router's own way to it."""
        bridge = "type bridge forward_delay 0 stp_state 0 mcast_snooping 0"
        return [
            f"link add name {name} address {mac_of(self._gateway)} {bridge}",
            f"link set dev {name} mtu {MTU} up",
            # No machine can talk the router into another neighbour.
            f"neighbour add {address} lladdr {mac} dev {name} nud permanent",
            f"route add {address}/32 dev {name}",
        ]

    def _path(self, hops: Iterable[str]) -> str:
        """The route attributes that lead to ``hops``; an instance without a port is none."""
        there = [f"via {self._addresses[hop]} dev {hop} onlink" for hop in hops if _exists(hop)]
        if not there:
            return f"dev {_VOID}"
        return there[0] if len(there) == 1 else " ".join(f"nexthop {hop}" for hop in there)


def _ip(batch: Iterable[str], *options: str) -> None:
    run("ip", *options, "-batch", "-", stdin="\n".join(batch) + "\n")


def _cable(name: str) -> str:
    return f"{name}~"


def _table(name: str) -> int:
    """The number of the routing table for what comes in by port ``name``."""
    return 1000 + socket.if_nametoindex(name)


def _exists(link: str) -> bool:
    try:
        return bool(socket.if_nametoindex(link))
    except OSError:
        return False


def mac_of(address: str) -> str:
    """Google's way to make a MAC address from an IPv4 one."""
    return "42:01:" + ip_interface(address).ip.packed.hex(":")

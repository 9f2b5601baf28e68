# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The layer-3 fabric: the router of a VPC.

Runs inside the lab's namespaces: the keeper's own network namespace is the
router, every instance has one of its own. There is no segment that two
instances share, so what one of them says about addresses reaches no other:
where packets go is decided by the router alone, and the router obeys the API.

An instance's port is a bridge, with one cable in it. The cable goes with the
power or the carrier; the port stays until the instance is deleted, and with it
every route that leads to it: packets to a machine without power are lost until
somebody takes the route away, as in a cloud. Those to a deleted one are, too.

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
from lab.places import Place, Places
from lab.process import run

API = "199.36.153.8"
METADATA = "169.254.169.254"
SERVERS = {"api": (API, 80), "metadata": (METADATA, 80), "resolver": (METADATA, 53)}
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
    """The router whose address is ``gateway``, and the instances at their ``places``.

    ``manager``: the one of them that is on no side of a partition. Whoever tells it what is in force asks it to unplug.
    """

    def __init__(self, gateway: str, places: Places, manager: str | None = None) -> None:
        self._gateway = gateway
        self._places = places
        self._manager = manager
        self._lock = threading.Lock()
        self._tables: dict[str, Mapping[str, tuple[str, ...]]] = {}
        self._balancer = Balancer()
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
        _ip(["link set lo up", *addresses, *void])
        run("nft", "-f", "-", stdin=_TABLE + TABLE)

    def plug(self, name: str) -> None:
        """Make the port of an instance that has none: nothing leads there, and nothing is taken from there."""
        place = self._places[name]
        port = place.port
        if _exists(port):
            return
        bridge = "type bridge forward_delay 0 stp_state 0 mcast_snooping 0"
        _ip(
            [
                f"link add name {port} address {mac_of(self._gateway)} {bridge}",
                f"link set dev {port} mtu {MTU} up",
                # No machine can talk the router into another neighbour.
                f"neighbour add {place.address} lladdr {mac_of(place.address)} dev {port} nud permanent",
                f"route add {place.address}/32 dev {port}",
            ]
        )
        (_SYSCTL / "ipv4/neigh" / port / "proxy_delay").write_text("0")
        _ip(
            [
                f"route add {_EVERYWHERE} dev {_VOID} table {_table(port)}",
                f"route add default {_path((name,), {name: place})} table {_MARKED + place.number}",
                *(f"rule add {rule}" for rule in _rules(place)),
            ]
        )

    def unplug(self, name: str) -> None:
        """Take the port of an instance away, and all that is about it: its place is free.

        What leads there is lost, of a route with other hops a share, until the next `program`.
        """
        place = self._places[name]
        port = place.port
        self.detach(name)
        with self._lock:
            self._places.remove(name)
            self._tables.pop(name, None)
            places = self._places.now()
            leading = [
                f"route replace {ip_network(cidr)} table {_table(places[sender].port)} {_path(hops, places)}"
                for sender, table in self._tables.items()
                for cidr, hops in table.items()
                if name in hops
            ]
            flushed = [f"route flush table {each}" for each in (_table(port), _MARKED + place.number)]
            _ip([*leading, *(f"rule delete {rule}" for rule in _rules(place)), *flushed, f"link delete dev {port}"])
        cut = json.loads(run("nft", "-json", "list", "set", "inet", "vpc", "cut"))["nftables"][-1]["set"]
        pairs = [each["concat"] for each in cut.get("elem", ()) if port in each["concat"]]
        rules = "".join(set_elements("inet vpc cut", [f'"{one}" . "{other}"'], False) for one, other in pairs)
        rules += set_elements("inet vpc alone", [f'"{port}"'], False)
        chain, element = f"inet vpc from-{port}", f'inet vpc sources {{ "{port}" : jump from-{port} }}'
        rules += f"add chain {chain}\nadd element {element}\ndelete element {element}\ndelete chain {chain}\n"
        run("nft", "-f", "-", stdin=rules)

    def attach(self, name: str, addresses: Iterable[str], mac: str | None = None) -> None:
        """Make the network namespace ``name`` and plug its ``eth0`` into its port."""
        run("sh", "-ec", self.attach_asleep(name, addresses, mac))

    def attach_asleep(self, name: str, addresses: Iterable[str], mac: str | None = None) -> str:
        """The same, but the instance hears and says nothing until the shell script is run that this returns.

        It runs in the router's namespace, as the first programs of a machine would in its own.
        """
        self.plug(name)
        address, port = str(ip_interface(next(iter(addresses))).ip), self._places[name].port
        eth0 = f"eth0 mtu {MTU} address {mac or mac_of(address)} netns {name}"
        _ip(
            [
                f"netns add {name}",
                f"link add name {_cable(port)} mtu {MTU} type veth peer name {eth0}",
                f"link set dev {_cable(port)} master {port} up",
            ]
        )
        _ip(["link set lo up", f"address add {address}/32 dev eth0"], "-netns", name)
        waking = ["link set eth0 up", f"route add default via {self._gateway} dev eth0 onlink"]
        return "\n".join(f"ip -netns {name} {command}" for command in waking)

    def detach(self, name: str) -> None:
        """Unplug the cable of ``name`` at once and forget its namespace; its port stays."""
        cable = _cable(self._places[name].port)
        if _exists(cable):
            _ip([f"link set dev {cable} nomaster", f"link delete dev {cable}"])
        if (NETWORKS / name).exists():
            run("ip", "netns", "delete", name)

    def set_carrier(self, name: str, up: bool) -> None:
        """The router's end of the cable: down takes the carrier away from the machine."""
        run("ip", "link", "set", "dev", _cable(self._places[name].port), "up" if up else "down")

    def cut(self, name: str, peers: Iterable[str], on: bool) -> None:
        """Drop (or pass again) every packet between ``name`` and each of ``peers``.

        Whom nobody else reaches is reached by no prober: probers are where clients are.
        """
        places, there = self._places.now(), list(peers)
        port = places[name].port
        rules = cut_elements("inet vpc cut", port, [places[each].port for each in there], on)
        if places.keys() <= {name, self._manager, *there}:
            rules += set_elements("inet vpc alone", [f'"{port}"'], on)
        run("nft", "-f", "-", stdin=rules)

    def program(self, sender: str, table: Mapping[str, tuple[str, ...]]) -> None:
        """Where the packets of ``sender`` go: see `lab.gce.dataplane.DataPlane`.

        What stays is never absent: an entry that does not change is not touched, one that does is replaced. A sender
        that is no more has none.
        """
        with self._lock:
            places = self._places.now()
            if sender not in places:
                return
            wanted = {_EVERYWHERE: _path((), places)}
            wanted |= {str(ip_network(cidr)): _path(hops, places) for cidr, hops in table.items()}
            self._tables[sender], number = dict(table), _table(places[sender].port)
            listing = json.loads(run("ip", "-json", "route", "show", "table", str(number)) or "[]")
            there = {_EVERYWHERE if each["dst"] == "default" else str(ip_network(each["dst"])) for each in listing}
            batch = [f"route replace {cidr} table {number} {path}" for cidr, path in wanted.items()]
            _ip([*batch, *(f"route delete {cidr} table {number}" for cidr in there - wanted.keys())])

    def permit(self, instance: str, sources: tuple[str, ...] | None) -> None:
        """What ``instance`` may send from: see `lab.gce.dataplane.DataPlane`."""
        place = self._places.now().get(instance)
        if place is None:
            return
        chain = f"inet vpc from-{place.port}"
        rules = ["accept"] if sources is None else [f"ip saddr {source} accept" for source in sources]
        lines = [f"add chain {chain}", f"flush chain {chain}", *(f"add rule {chain} {rule}" for rule in rules)]
        lines.append(f'add element inet vpc sources {{ "{place.port}" : jump from-{place.port} }}')
        run("nft", "-f", "-", stdin="\n".join(lines) + "\n")

    def firewall(self, filters: Filters) -> None:
        """What may be sent to each instance: see `lab.gce.dataplane.DataPlane`."""
        places = self._places.now()
        there = {places[name].port: those for name, those in filters.items() if name in places}
        run("nft", "-f", "-", stdin=commands(there))

    def balance(self, services: Sequence[Service], health: Health, senders: Senders) -> None:
        """Which backends get what is sent to load balancers: see `lab.gce.dataplane.DataPlane`."""
        with self._balancing:
            rules = self._balancer.rules(services, health, senders, self._places.now(), time.monotonic())
            if rules != self._balanced:
                run("nft", "-f", "-", stdin=rules)
                self._balanced = rules

    def probe(self, instance: str, check: Check, address: str, source: str) -> bool:
        """Whether an instance answers a health check: see `lab.gce.dataplane.DataPlane`."""
        place = self._places.now().get(instance)
        return place is not None and ask(check, address, source, place.number)


def _path(hops: Iterable[str], places: Mapping[str, Place]) -> str:
    """The route attributes that lead to ``hops``; what leads to one that is nowhere is lost."""
    there = [places.get(hop) for hop in hops]
    ways = [f"via {each.address} dev {each.port} onlink" if each else f"dev {_VOID}" for each in there]
    if len(ways) > 1:
        return " ".join(f"nexthop {way}" for way in ways)
    return ways[0] if ways else f"dev {_VOID}"


def _ip(batch: Iterable[str], *options: str) -> None:
    run("ip", *options, "-batch", "-", stdin="\n".join(batch) + "\n")


def _cable(port: str) -> str:
    return f"{port}~"


def _table(port: str) -> int:
    """The number of the routing table for what comes in by a port."""
    return 1000 + socket.if_nametoindex(port)


def _rules(place: Place) -> list[str]:
    """Which packets have which table: those from a port, before these the marked ones that are for it."""
    marked = f"fwmark {place.number:#x}/{NUMBER:#x} lookup {_MARKED + place.number}"
    return [f"pref 50 {marked}", f"pref 100 iif {place.port} lookup {_table(place.port)}"]


def _exists(link: str) -> bool:
    try:
        return bool(socket.if_nametoindex(link))
    except OSError:
        return False


def mac_of(address: str) -> str:
    """Google's way to make a MAC address from an IPv4 one."""
    return "42:01:" + ip_interface(address).ip.packed.hex(":")

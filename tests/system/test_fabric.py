# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The bridge's ports obey a cloud's policy: real frames in real network namespaces, without machines.

That something is dropped is seen by what arrives first afterwards, when it is allowed.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lab import fabric
from lab.fabric import Allowed, Pair, Policy
from lab.huaweicloud import security as huaweicloud
from lab.keeper import enter_network
from lab.lab import Lab
from lab.openstack import security as openstack
from lab.openstack.client import Client
from lab.openstack.follower import Follower
from lab.openstack.server import local
from lab.openstack.world import VRRP as VRRP_RULE
from lab.openstack.world import Network as LabNetwork
from lab.openstack.world import SecurityGroup, Server, World
from lab.process import run

ADDRESSES = {"node1": "10.0.0.1", "node2": "10.0.0.2", "client1": "10.0.0.9"}
VIP = "10.0.0.100"
VRRP, UDP = 112, 17
EVERYTHING = (Allowed(4), Allowed(6))


def mac(name: str) -> str:
    return f"02:00:0a:00:00:{int(ADDRESSES[name].rpartition('.')[2]):02x}"


class Network:
    """The fabric (`lab.openstack.follower.DataPlane`), and sockets on its machines."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab

    def secure(self, machine: str, policy: Policy | None) -> None:
        self.lab.keeper.run(lambda: fabric.secure(machine, policy))

    def own(self, name: str, address: str) -> None:
        self.lab.keeper.run(lambda: run("ip", "-netns", name, "address", "add", f"{address}/24", "dev", "eth0"))

    def forget(self) -> None:
        """Nobody remembers what ARP once said, nor has packets waiting for it."""
        for name in ADDRESSES:
            self.lab.keeper.run(lambda name=name: run("ip", "-netns", name, "neighbour", "flush", "all"))  # type: ignore[misc]

    def socket(self, name: str, protocol: int, address: str | None = None) -> socket.socket:
        """A raw socket on the machine: of one IP protocol, from one of its addresses."""
        made: list[socket.socket] = []

        def make() -> None:
            enter_network(self.lab.keeper.network(name))  # of this thread
            # Ask for neighbours from an address of the interface's own, as every user of a floating address has to.
            Path("/proc/sys/net/ipv4/conf/all/arp_announce").write_text("2")
            made.append(socket.socket(socket.AF_INET, socket.SOCK_RAW, protocol))

        thread = threading.Thread(target=make)
        thread.start()
        thread.join()
        made[0].bind((address or ADDRESSES[name], 0))
        made[0].settimeout(10)
        return made[0]


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    lab = Lab(f"fabric-{os.getpid()}")
    lab.down()
    lab.state.mkdir(parents=True)
    try:
        lab.keeper.start()
        lab.keeper.run(fabric.build)
        yield lab
    finally:
        lab.down()


@pytest.fixture
def network(lab: Lab) -> Iterator[Network]:
    for name, address in ADDRESSES.items():
        lab.keeper.run(lambda name=name, address=address: fabric.attach(name, [f"{address}/24"], mac(name)))
    try:
        yield Network(lab)
    finally:
        for name in ADDRESSES:
            lab.keeper.run(lambda name=name: (fabric.secure(name, None), fabric.detach(name)))  # type: ignore[misc]


def packets(protocol: int, port: int = 53) -> Iterator[bytes]:
    """Numbered ones; those of UDP are whole datagrams for ``port``, without a checksum."""
    for number in range(100):
        text = f"{number}".encode()
        if protocol == UDP:
            header = (4000, port, 8 + len(text), 0)
            yield b"".join(each.to_bytes(2, "big") for each in header) + text
        else:
            yield text


def first(receiver: socket.socket, sender: str) -> bytes:
    """The next packet of ``sender``."""
    while True:
        data, (source, _) = receiver.recvfrom(2000)
        if source == sender:
            return data[20:]


class Flow:
    """Packets of one protocol, from an address of one machine to one of another."""

    def __init__(self, network: Network, protocol: int, source: str, target: str, **addresses: Any) -> None:
        self.source = addresses.get("source_address", ADDRESSES[source])
        self.target = addresses.get("target_address", ADDRESSES[target])
        self._packets = packets(protocol)
        self._sender = network.socket(source, protocol, self.source)
        self._receiver = network.socket(target, protocol, self.target)
        self._lost: list[bytes] = []

    def passes(self) -> None:
        packet = next(self._packets)
        self._sender.sendto(packet, (self.target, 0))
        assert first(self._receiver, self.source) == packet

    def send(self) -> None:
        """One that must not arrive: `passes` looks for the one after it."""
        # Without an answer to ARP the system may say so.
        with contextlib.suppress(OSError):
            self._sender.sendto(next(self._packets), (self.target, 0))


def own_pairs(name: str, *more: str) -> tuple[Pair, ...]:
    return tuple(Pair(mac(name), each) for each in (ADDRESSES[name], *more))


def test_only_allowed_pairs_are_sent(network: Network) -> None:
    network.own("node1", VIP)
    flow = Flow(network, VRRP, "node1", "client1", source_address=VIP)
    for more, does in (((), False), ((VIP,), True), ((), False), (("10.0.0.0/24",), True)):
        pairs = own_pairs("node1", *more)
        network.secure("node1", Policy(sends=pairs, claims=pairs))
        flow.passes() if does else flow.send()
    network.secure("node1", Policy(sends=own_pairs("client1", VIP), claims=own_pairs("client1", VIP)))
    flow.send()
    network.secure("node1", None)
    flow.passes()


def test_a_group_without_vrrp_splits_the_pair(network: Network) -> None:
    vrrp, other = (Flow(network, each, "node1", "node2") for each in (VRRP, UDP))
    dns = Allowed(4, UDP, (53, 53))

    def groups(*ingress: Allowed) -> None:
        pairs = own_pairs("node2")
        network.secure("node2", Policy(pairs, pairs, ingress=ingress, egress=EVERYTHING))

    groups(dns)
    vrrp.send()
    other.passes()
    groups(dns, Allowed(4, VRRP))
    vrrp.passes()
    groups(Allowed(4, VRRP, peers=(ADDRESSES["node1"],)), Allowed(4, UDP, (1, 52)))
    vrrp.passes()
    other.send()
    groups(Allowed(4, VRRP, peers=("10.0.0.128/25",)), Allowed(4, VRRP, peers=()), dns)
    vrrp.send()
    other.passes()
    groups(*EVERYTHING)
    vrrp.passes()


def test_a_group_says_what_goes_out(network: Network) -> None:
    vrrp, other = (Flow(network, each, "node1", "node2") for each in (VRRP, UDP))
    pairs = own_pairs("node1")
    network.secure("node1", Policy(pairs, pairs, ingress=(), egress=(Allowed(4, UDP, peers=(ADDRESSES["node2"],)),)))
    vrrp.send()
    other.passes()
    network.secure("node1", Policy(pairs, pairs, ingress=(), egress=EVERYTHING))
    vrrp.passes()


def port(name: str, *pairs: str, owner: str = "compute:nova", address: str | None = None) -> dict[str, Any]:
    return {
        "mac_address": mac(name) if name in ADDRESSES else "02:00:0a:00:00:64",
        "fixed_ips": [{"ip_address": address or ADDRESSES[name]}],
        "allowed_address_pairs": [{"ip_address": each, "mac_address": mac(name)} for each in pairs],
        "device_owner": owner,
        "port_security_enabled": True,
        "security_groups": ["open"],
    }


def rule(direction: str, **more: Any) -> dict[str, Any]:
    names = ("protocol", "port_range_min", "port_range_max", "remote_ip_prefix", "remote_group_id")
    return {**dict.fromkeys(names), "direction": direction, "ethertype": "IPv4", **more}


GROUPS = {"open": {"security_group_rules": [rule("ingress"), rule("egress")]}}


def vip(*members: str) -> dict[str, Any]:
    bound = [{"ip_address": ADDRESSES[each], "mac_address": "02:00:0a:00:00:64"} for each in members]
    return {**port("vip", owner=huaweicloud.VIP, address=VIP), "allowed_address_pairs": bound}


def test_huawei_checks_source_and_destination(network: Network) -> None:
    network.own("node1", VIP)
    to_vip = Flow(network, VRRP, "client1", "node1", target_address=VIP)
    from_vip = Flow(network, VRRP, "node1", "client1", source_address=VIP)

    def bind(member: dict[str, Any], *members: str) -> None:
        network.forget()
        network.secure("node1", huaweicloud.policy(member, [member, vip(*members)], GROUPS))

    bind(port("node1"), "node1")
    to_vip.send()
    from_vip.send()
    bind(port("node1", "1.1.1.1/0"))
    # Not bound: what it sends from the address passes, but nobody learns that it has it.
    from_vip.passes()
    to_vip.send()
    bind(port("node1", "1.1.1.1/0"), "node1")
    to_vip.passes()
    from_vip.passes()


def test_a_real_server_of_lvs_needs_the_check_off(network: Network) -> None:
    network.own("node1", VIP)
    to_vip = Flow(network, VRRP, "client1", "node1", target_address=VIP)
    # The director sends it there, whatever ARP says.
    director = ("neighbour", "replace", VIP, "lladdr", mac("node1"), "dev", "eth0")
    network.lab.keeper.run(lambda: run("ip", "-netns", "client1", *director))
    for member in (port("node1"), port("node1", "1.1.1.1/0")):
        network.secure("node1", huaweicloud.policy(member, [member, vip("node2")], GROUPS))
        to_vip.passes() if member["allowed_address_pairs"] else to_vip.send()


def test_neutron_needs_the_pair_alone(network: Network) -> None:
    network.own("node1", VIP)
    to_vip = Flow(network, VRRP, "client1", "node1", target_address=VIP)
    for member in (port("node1"), port("node1", f"{VIP}/32")):
        network.forget()
        network.secure("node1", openstack.policy(member, [member], GROUPS))
        to_vip.passes() if member["allowed_address_pairs"] else to_vip.send()


def test_what_neutron_holds_is_in_force(network: Network) -> None:
    world = World(
        networks=(LabNetwork("lan", "10.0.0.0/24"),),
        groups=(SecurityGroup("vrrp", (VRRP_RULE,)), SecurityGroup("none")),
        servers=(
            *(Server(name, "lan", ADDRESSES[name], mac(name), ("vrrp",)) for name in ("node1", "node2")),
            Server("client1", "lan", ADDRESSES["client1"], mac("client1"), port_security=False),
        ),
    )
    network.own("node1", VIP)
    with contextlib.ExitStack() as stack:
        cloud = stack.enter_context(local())
        ids = cloud.seed(world)
        follower = stack.enter_context(contextlib.closing(Follower(cloud, network, openstack.policy)))
        neutron = Client(f"{cloud.network_url}/v2.0", cloud.session)

        def update(name: str, **wish: Any) -> None:
            neutron.call("PUT", f"/ports/{ids.ports[name]}", {"port": wish})
            assert follower.settled()

        vip = Flow(network, VRRP, "node1", "client1", source_address=VIP)
        heartbeat = Flow(network, VRRP, "node1", "node2")
        vip.send()
        heartbeat.passes()
        update("node1", allowed_address_pairs=[{"ip_address": VIP}])
        vip.passes()
        update("node2", security_groups=[ids.groups["none"]])
        heartbeat.send()
        update("node1", allowed_address_pairs=[])
        vip.send()
        update("node2", security_groups=[ids.groups["vrrp"]])
        heartbeat.passes()
        update("node1", port_security_enabled=False, security_groups=[])
        vip.passes()

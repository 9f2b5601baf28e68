# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module vrrp_info on a real network: two network namespaces and a cable, with no way out."""

from __future__ import annotations

import subprocess
import sys

import pytest

OWN = {4: "10.0.0.1", 6: "fd00::1"}
OTHER = {4: "10.0.0.2", 6: "fd00::2"}
NOBODY = {4: "10.0.0.9", 6: "fd00::9"}
FAMILIES = pytest.mark.parametrize("family", [4, 6])
# Opens a socket for VRRP; with an address to send to, announces router 66 there.
SPEAKER = """
import socket, sys, time
family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
s = socket.socket(family, socket.SOCK_RAW, 112)
print("ready", flush=True)
while len(sys.argv) > 2:
    s.sendto(bytes((0x31, 66, int(sys.argv[3]), 1, 0, 19, 0, 0)), (sys.argv[2], 0))
    time.sleep(0.05)
sys.stdin.read()
"""


@pytest.fixture
def network(new_namespace):
    node, other = new_namespace(), new_namespace()
    node.run(*["ip", "link", "add", "eth0", "type", "veth", "peer", "name", "eth1"])
    node.run(*f"ip link set eth1 netns {other.pid} name eth0".split())
    for number, namespace in enumerate((node, other), 1):
        namespace.run("ip", "link", "set", "lo", "up")
        namespace.run("ip", "link", "set", "eth0", "up")
        namespace.run("ip", "address", "add", f"10.0.0.{number}/24", "dev", "eth0")
        namespace.run("ip", "address", "add", f"fd00::{number}/64", "dev", "eth0", "nodad")
    return node, other


@pytest.fixture
def speaker(network):
    """Starts something on the other machine that takes VRRP packets, and may send them."""
    started = []

    def start(*words):
        process = subprocess.Popen(
            [*network[1].enter, sys.executable, "-c", SPEAKER, *map(str, words)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        started.append(process)
        assert process.stdout.readline() == b"ready\n"

    yield start
    for process in started:
        process.kill()
        process.communicate()


def listen(network, family, sources=(), number=66, listen_ms=1500):
    entry = {"interface": "eth0", "virtual_router_id": number, "family": family, "sources": list(sources)}
    (heard,) = network[0].module("vrrp_info", {"listen": [entry], "listen_ms": listen_ms})["heard"]
    return heard


@FAMILIES
def test_a_holder_is_heard(network, speaker, family):
    speaker(OTHER[family], OWN[family], 254)
    heard = listen(network, family, [OTHER[family]], listen_ms=20000)
    assert heard["packets"] == [{"virtual_router_id": 66, "source": OTHER[family], "priority": 254}]
    assert heard["enough"] is True
    assert listen(network, family, [NOBODY[family]])["enough"] is False, "another one is not whom we must hear"
    assert listen(network, family, number=67)["packets"] == [], "nor another router"


@FAMILIES
def test_a_multicast_holder_is_heard(network, speaker, family):
    network[1].run(*["ip", "route", "add", "224.0.0.0/4", "dev", "eth0"])
    speaker(OTHER[family], {4: "224.0.0.18", 6: "ff02::12%eth0"}[family], 254)
    assert listen(network, family, listen_ms=20000)["enough"] is True


@FAMILIES
def test_a_farewell_is_no_holder(network, speaker, family):
    speaker(OTHER[family], OWN[family], 0)
    assert listen(network, family) == {
        "interface": "eth0", "virtual_router_id": 66, "sources": [], "packets": [], "enough": False
    }  # fmt: skip


def test_a_firewall_that_drops_protocol_112_is_noticed(network, speaker):
    network[0].run("sh", "-c", "nft add table ip t; nft 'add chain ip t in { type filter hook input priority 0; }'")
    network[0].run("nft", "add", "rule", "ip", "t", "in", "ip", "protocol", "112", "drop")
    speaker(OTHER[4], OWN[4], 254)
    assert listen(network, 4)["enough"] is False


def ask(network, address, **more):
    (asked,) = network[0].module("vrrp_info", {"ask": [{"address": address, **more}]})["asked"]
    return asked["answer"]


@FAMILIES
def test_who_runs_no_keepalived_refuses_its_packets(network, family):
    assert ask(network, OTHER[family]) == "refused"
    assert ask(network, OTHER[family], source=OWN[family], interface="eth0") == "refused"


@FAMILIES
def test_who_may_run_keepalived_is_silent(network, speaker, family):
    speaker(OTHER[family])
    assert ask(network, OTHER[family], interface="eth0") == "silent"


@FAMILIES
def test_a_machine_that_is_off_is_told_apart(network, family):
    assert ask(network, NOBODY[family], interface="eth0") == "off"


def test_without_keepalived_there_are_no_states(network):
    # Other tests run keepalived on this machine.
    alone = ["unshare", "--pid", "--fork", "--mount-proc"]
    assert network[0].module("vrrp_info", {"states": True}, *alone)["instances"] == {}


def test_an_interface_that_is_not_there(network):
    entry = {"interface": "eth9", "virtual_router_id": 66}
    assert "does the node have the interface" in network[0].module("vrrp_info", {"listen": [entry]})["msg"]

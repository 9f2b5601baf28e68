# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The guard beside a gateway that believes another node, which then stops saying that it holds the address."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time

import pytest

ADDRESSES = {4: "192.168.7.246", 6: "fd00:7::246"}
CONFIGURATION = """
vrrp_instance V4 {
    interface eth0
    virtual_router_id 66
    unicast_src_ip 192.168.7.247
    virtual_ipaddress {
        192.168.7.246/22 dev eth0
    }
}
vrrp_instance V6 {
    interface eth0
    virtual_router_id 66
    unicast_src_ip fd00:7::247
    virtual_ipaddress {
        fd00:7::246/64 dev eth0
    }
}
"""
# It has no keepalived here, and answers as if there was one.
GUARD = """
import sys
from pathlib import Path
from ansible_collections.cloudha.vip.plugins.module_utils.node import guard
guard.processes = lambda proc=None: {Path("/proc/self"): 1}
guard.Guard(Path(sys.argv[1])).run()
"""
# What the other node says: advertisements of version 3, with an interval of 0.16 s.
PEER = """
import socket, sys, time
to, count = sys.argv[1], int(sys.argv[2])
s = socket.socket(socket.AF_INET6 if ":" in to else socket.AF_INET, socket.SOCK_RAW, 112)
for beat in range(count):
    s.sendto(bytes([0x31, 66, 253, 1, 0, 16, 0, 0]), (to, 0))
    time.sleep(0.16)
"""
NODE, PEER_MAC = "02:00:00:00:00:01", "02:00:00:00:00:99"


@pytest.fixture
def world(new_namespace, collections, tmp_path):
    """The node with the address, and a neighbour which is both the other node and the gateway."""
    node, gateway = new_namespace(), new_namespace()
    node.run("ip", "link", "add", "eth0", "address", NODE, "type", "veth", "peer", "name", "eth0", "netns", gateway.pid)
    for namespace, number in ((node, 247), (gateway, 1)):
        namespace.run("ip", "link", "set", "lo", "up")
        namespace.run("ip", "link", "set", "eth0", "up")
        namespace.run("ip", "address", "add", f"192.168.7.{number}/22", "dev", "eth0")
        namespace.run("ip", "address", "add", f"fd00:7::{number}/64", "dev", "eth0", "nodad")
    for address in ("192.168.7.246/22", "fd00:7::246/64"):
        node.run("ip", "address", "add", address, "dev", "eth0", *(["nodad"] if ":" in address else []))
    (tmp_path / "keepalived.conf").write_text(CONFIGURATION)
    with _running([*node.enter, sys.executable, "-c", GUARD, str(tmp_path)], collections):
        deadline = time.monotonic() + 20
        while not (tmp_path / "keepalived.json").exists():
            assert time.monotonic() < deadline, "the guard does not come up"
            time.sleep(0.02)
        yield node, gateway


@contextlib.contextmanager
def _running(command, collections):
    process = subprocess.Popen(command, env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "PYTHONPATH": str(collections)})
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def _believed(gateway, address):
    (entry,) = json.loads(gateway.run("ip", "-json", "neighbour", "show", address, "dev", "eth0"))
    return entry["lladdr"]


def _believe_the_other_node(gateway, address):
    gateway.run("ip", "neighbour", "replace", address, "lladdr", PEER_MAC, "dev", "eth0", "nud", "stale")


@pytest.mark.parametrize("family", [4, 6])
def test_whoever_stays_after_a_split_is_believed_before_keepalived_announces_again(world, collections, family):
    _node, gateway = world
    address = ADDRESSES[family]
    to = "192.168.7.247" if family == 4 else "fd00:7::247"
    with _running([*gateway.enter, sys.executable, "-c", PEER, to, "1000"], collections):
        time.sleep(0.5)
        _believe_the_other_node(gateway, address)
        time.sleep(1.5)
        assert _believed(gateway, address) == PEER_MAC, "nothing is announced while the other node goes on"
    silent = time.monotonic()
    while _believed(gateway, address) != NODE:
        assert time.monotonic() < silent + 10, "the node that stayed is not believed"
        time.sleep(0.01)
    # keepalived's own second announcement comes after a second; this is a busy machine's time for 0.3 s.
    assert time.monotonic() - silent < 0.8


@pytest.mark.parametrize("family", [4, 6])
def test_an_address_that_came_is_announced_to_who_missed_the_first_time(world, family):
    node, gateway = world
    address = ADDRESSES[family]
    cidr = f"{address}/{22 if family == 4 else 64}"
    node.run("ip", "address", "delete", cidr, "dev", "eth0")
    node.run("ip", "address", "add", cidr, "dev", "eth0", *(["nodad"] if family == 6 else []))
    _believe_the_other_node(gateway, address)
    deadline = time.monotonic() + 10
    while _believed(gateway, address) != NODE:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_an_address_that_left_is_announced_no_more(world):
    node, gateway = world
    with contextlib.suppress(subprocess.CalledProcessError):
        node.run("ip", "address", "delete", "192.168.7.246/22", "dev", "eth0")
    _believe_the_other_node(gateway, ADDRESSES[4])
    time.sleep(1.5)
    assert _believed(gateway, ADDRESSES[4]) == PEER_MAC

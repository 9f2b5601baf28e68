# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The guard beside a gateway that believes another node, which then stops saying that it holds the address."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from busy import Watch, until

from ansible_collections.cloudha.vip.tests.node.real_keepalived import RealKeepalived, lay_companion

ROOT = Path(__file__).resolve().parents[2]

ADDRESSES = {4: "192.168.7.246", 6: "fd00:7::246"}
CIDRS = {4: "192.168.7.246/22", 6: "fd00:7::246/64"}
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
# It has no keepalived here, and answers as if there was one; and it counts its looks.
GUARD = """
import sys
from pathlib import Path
from ansible_collections.cloudha.vip.plugins.module_utils.node import guard
look = guard.health
def health(*given):
    with open(sys.argv[1] + "/looks", "a") as looks:
        looks.write(".")
    return look(*given)
guard.health = health
guard.processes = lambda proc=None: {Path("/proc/self"): 1}
its = guard.Guard(Path(sys.argv[1]))
its.announce_now() if "announce" in sys.argv else its.run()
"""
# What the other node says: advertisements of version 3, with an interval of 0.16 s.
PEER = """
import socket, sys, time
to, count, pause = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
s = socket.socket(socket.AF_INET6 if ":" in to else socket.AF_INET, socket.SOCK_RAW, 112)
for beat in range(count):
    s.sendto(bytes([0x31, 66, 253, 1, 0, 16, 0, 0]), (to, 0))
    time.sleep(pause)
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
    for address in CIDRS.values():
        node.run("ip", "address", "add", address, "dev", "eth0", *(["nodad"] if ":" in address else []))
    (tmp_path / "keepalived.conf").write_text(CONFIGURATION)
    with _running([*node.enter, sys.executable, "-c", GUARD, str(tmp_path)], collections) as node.guard:
        until((tmp_path / "keepalived.json").exists, 20, "the guard does not come up")
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


def _until_believed(gateway, address, seconds):
    until(lambda: _believed(gateway, address) == NODE, seconds, "the node that has the address is not believed", 0.01)


def _come_anew(node, family):
    node.run("ip", "address", "delete", CIDRS[family], "dev", "eth0")
    node.run("ip", "address", "add", CIDRS[family], "dev", "eth0", *(["nodad"] if family == 6 else []))


def _believe_the_other_node(gateway, address):
    gateway.run("ip", "neighbour", "replace", address, "lladdr", PEER_MAC, "dev", "eth0", "nud", "stale")


@pytest.mark.parametrize("family", [4, 6])
def test_whoever_stays_after_a_split_is_believed_before_keepalived_announces_again(world, collections, family):
    _node, gateway = world
    address = ADDRESSES[family]
    to = "192.168.7.247" if family == 4 else "fd00:7::247"
    with _running([*gateway.enter, sys.executable, "-c", PEER, to, "1000", "0.16"], collections):
        time.sleep(0.5)
        _believe_the_other_node(gateway, address)
        time.sleep(1.5)
        assert _believed(gateway, address) == PEER_MAC, "nothing is announced while the other node goes on"
    watch = Watch()
    _until_believed(gateway, address, 10)
    # keepalived's own second announcement comes after a second; this is a busy machine's time for 0.3 s.
    watch.at_most(0.8)


@pytest.mark.parametrize("family", [4, 6])
def test_an_address_that_came_is_announced_again(world, family):
    node, gateway = world
    _come_anew(node, family)
    _believe_the_other_node(gateway, ADDRESSES[family])
    _until_believed(gateway, ADDRESSES[family], 10)


@pytest.mark.parametrize("family", [4, 6])
def test_an_address_that_left_and_came_between_two_looks_is_announced_again(world, family):
    node, gateway = world
    node.guard.send_signal(signal.SIGSTOP)
    _come_anew(node, family)
    _believe_the_other_node(gateway, ADDRESSES[family])
    node.guard.send_signal(signal.SIGCONT)
    _until_believed(gateway, ADDRESSES[family], 10)


@pytest.mark.parametrize("family", [4, 6])
def test_the_role_has_an_address_announced_though_the_other_node_goes_on(world, collections, tmp_path, family):
    """It does so before it stops the other node, and the guard's own service is right not to."""
    node, gateway = world
    to = "192.168.7.247" if family == 4 else "fd00:7::247"
    with _running([*gateway.enter, sys.executable, "-c", PEER, to, "10000", "0.16"], collections):
        time.sleep(0.5)
        _believe_the_other_node(gateway, ADDRESSES[family])
        with _running([*node.enter, sys.executable, "-c", GUARD, str(tmp_path), "announce"], collections) as once:
            assert once.wait(20) == 0
        assert _believed(gateway, ADDRESSES[family]) == NODE


@pytest.mark.parametrize("family", [4, 6])
def test_an_address_that_left_is_announced_no_more(world, family):
    node, gateway = world
    _come_anew(node, family)
    _believe_the_other_node(gateway, ADDRESSES[family])
    _until_believed(gateway, ADDRESSES[family], 10)  # by the first announcement; others are due within a second
    node.run("ip", "address", "delete", CIDRS[family], "dev", "eth0")
    _believe_the_other_node(gateway, ADDRESSES[family])
    time.sleep(1.5)
    assert _believed(gateway, ADDRESSES[family]) == PEER_MAC


@pytest.mark.parametrize("family", [4, 6])
def test_the_same_router_id_on_another_interface_mutes_nobody(world, collections, family):
    node, gateway = world
    node.run("ip", "link", "add", "eth1", "type", "veth", "peer", "name", "eth1", "netns", gateway.pid)
    for namespace, number in ((node, 2), (gateway, 1)):
        namespace.run("ip", "link", "set", "eth1", "up")
        namespace.run("ip", "address", "add", f"10.9.0.{number}/24", "dev", "eth1")
        namespace.run("ip", "address", "add", f"fd00:9::{number}/64", "dev", "eth1", "nodad")
    to = "10.9.0.2" if family == 4 else "fd00:9::2"
    with _running([*gateway.enter, sys.executable, "-c", PEER, to, "10000", "0.02"], collections):
        time.sleep(0.5)
        _believe_the_other_node(gateway, ADDRESSES[family])
        _come_anew(node, family)
        _until_believed(gateway, ADDRESSES[family], 5)


def test_many_events_are_looked_at_together(world, tmp_path):
    node, _gateway = world
    before, started = (tmp_path / "looks").stat().st_size, time.monotonic()
    node.run("sh", "-c", "for mtu in $(seq 60001 60300); do ip link set lo mtu $mtu; done")
    assert (tmp_path / "looks").stat().st_size - before <= (time.monotonic() - started) / 0.05 + 5


# keepalived and its companion on a node of which eth0 is made anew; nobody runs systemd here.
DEAF = """
vrrp_instance WEB {
    interface eth0
    version 3
    virtual_router_id 66
    advert_int 0.2
    priority 254
    unicast_src_ip 192.168.7.247
    unicast_peer {
        192.168.7.248
    }
    virtual_ipaddress {
        192.168.7.246/22 dev eth0
    }
}
"""
SYSTEMCTL = """#!/bin/sh
echo "$*" >> /shared/asked
MAINPID=$(cat /run/keepalived.pid) exec /usr/local/lib/cloudha-vip/keepalived reload
"""
SPEAKS = """
import socket, struct, time
s = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x800))
s.bind(("eth1", 0x800))
s.settimeout(0.1)
end, spoken = time.monotonic() + 1.5, 0
while time.monotonic() < end:
    try:
        spoken += s.recv(2048)[9] == 112
    except socket.timeout:
        pass
print("speaks" if spoken else "says nothing")
"""
NODE_WITH_KEEPALIVED = """
companion=/usr/local/lib/cloudha-vip/keepalived
install -D /shared/companion $companion
cp -r /shared/cloudha_vip /usr/local/lib/cloudha-vip/
install /shared/systemctl /usr/bin/systemctl
mkdir -p /etc/keepalived /run/cloudha-vip
cp /shared/conf /etc/keepalived/keepalived.conf

until_true() { # COMMAND...: within 10 s
    for turn in $(seq 100); do
        if "$@" > /dev/null 2>&1; then return 0; fi
        sleep 0.1
    done
    echo "in vain: $*"
    exit 1
}
connect() {
    ip link set eth0 up
    ip link set eth1 up
    ip neighbour replace 192.168.7.248 lladdr 02:00:00:00:00:99 dev eth0 nud permanent
}
seen=/run/cloudha-vip/keepalived.json

connect
$companion clean
keepalived --dont-respawn --vrrp
until_true test -s /run/keepalived.pid
$companion loaded
$companion guard watch 2>> /shared/journal &
until_true sh -c "ip address show | grep 192.168.7.246"
echo "at first it $(python3 /shared/speaks)"
ip link delete eth0
ip link add eth0 address 02:00:00:00:00:01 type veth peer name eth1
connect
sleep 2
echo "without its address: $(cat /shared/asked 2> /dev/null)"
echo "# not finished" >> /etc/keepalived/keepalived.conf
ip address add 192.168.7.247/22 dev eth0
until_true grep 'The guard does not reload it' $seen
echo "deaf, it $(python3 /shared/speaks): $(grep -o '"withheld": true' $seen) $(cat /shared/asked 2> /dev/null)"
cp /shared/conf /etc/keepalived/keepalived.conf
until_true grep '"problems": [[]]' $seen
echo "at last it $(python3 /shared/speaks): $(cat /shared/asked)"
ls /tmp
"""


def test_a_deaf_keepalived_is_heard_again_and_nothing_else_is_put_in_force(tmp_path_factory, tmp_path):
    for name, text in {"conf": DEAF, "systemctl": SYSTEMCTL, "speaks": SPEAKS}.items():
        (tmp_path / name).write_text(text)
    lay_companion(tmp_path)
    done = RealKeepalived(tmp_path_factory.mktemp("keepalived")).run(tmp_path, NODE_WITH_KEEPALIVED)
    journal = (tmp_path / "journal").read_text() if (tmp_path / "journal").exists() else ""
    assert done.stdout.splitlines() == [
        "at first it speaks",
        "without its address: ",
        'deaf, it says nothing: "withheld": true ',
        "at last it speaks: --job-mode=fail reload keepalived.service",
    ], (done.stderr, journal)
    assert "The guard does not reload it" in journal and "sees and hears again" in journal

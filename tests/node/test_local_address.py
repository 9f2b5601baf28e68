# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The keeper of an address on a node whose network brings the address's packets, while others remove what it keeps."""

from __future__ import annotations

import contextlib
import json
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from busy import Watch, until

ROLE = Path(__file__).resolve().parents[2] / "roles/local_address"
PROTOCOL = str(yaml.safe_load((ROLE / "vars/main.yml").read_text())["local_address_protocol"])
GUEST_AGENT = "66"
ADDRESSES = {4: "10.200.1.1", 6: "fd00:200::1"}
LENGTHS = {4: "32", 6: "128"}
KEEPER = """
import sys
from ansible_collections.cloudha.vip.plugins.module_utils.node.local_address import main
main(*sys.argv[1:])
"""
# It answers from the address, as a service does. It is never short of memory for those who ask (SO_RCVBUFFORCE).
SERVICE = """
import contextlib, socket, sys
s = socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, 33, 1 << 24)
s.bind((sys.argv[1], 7777))
print("ready", flush=True)
while True:
    asked, client = s.recvfrom(64)
    with contextlib.suppress(OSError):
        s.sendto(asked, client)
"""
# It asks every millisecond. What a busy machine answers late is not lost, and is waited for.
CLIENT = """
import json, socket, sys, time
s = socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, 33, 1 << 24)
s.connect((sys.argv[1], 7777))
s.settimeout(0.001)
print("ready", flush=True)
sent, answered, begun = [], set(), time.monotonic()

def listen(seconds):
    end = time.monotonic() + seconds
    while len(answered) < len(sent) and time.monotonic() < end:
        try:
            answered.add(int(s.recv(64)))
        except OSError:
            pass

while time.monotonic() < begun + float(sys.argv[2]):
    sent.append(time.monotonic())
    try:
        s.send(b"%d" % (len(sent) - 1))
    except OSError:  # an answer to an earlier one: nobody has the address
        pass
    listen(0.001)
    time.sleep(max(0, sent[-1] + 0.001 - time.monotonic()))
listen(2)
gap, first = 0.0, None
for number, at in enumerate([*sent, time.monotonic()]):
    if number in answered or number == len(sent):
        gap, first = max(gap, at - first if first else 0.0), None
    elif first is None:
        first = at
lost = len(sent) - len(answered)
print(json.dumps({"sent": len(sent), "lost": lost, "gap": gap, "last": len(sent) - 1 in answered}))
"""


class World:
    """A node, a client behind a router's link, and an address that the network sends to the node."""

    def __init__(self, node, client, family, collections):
        self.node, self.client, self.family = node, client, family
        self.address, self.cidr = ADDRESSES[family], f"{ADDRESSES[family]}/{LENGTHS[family]}"
        self.environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "PYTHONPATH": str(collections)}
        self.running = contextlib.ExitStack()
        node.run("ip", "link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", client.pid)
        for namespace, number in ((node, 1), (client, 2)):
            namespace.run("ip", "link", "set", "lo", "up")
            namespace.run("ip", "link", "set", "eth0", "up")
            namespace.run("ip", "address", "add", f"10.100.2.{number}/24", "dev", "eth0")
            namespace.run("ip", "address", "add", f"fd00:100::{number}/64", "dev", "eth0", "nodad")
        client.run("ip", "route", "add", self.cidr, "via", "10.100.2.1" if family == 4 else "fd00:100::1")
        # As the address's service does, which comes before the keeper.
        node.run("ip", "address", "add", self.cidr, "dev", "lo")

    def start(self, namespace, program, *arguments, ready=True):
        process = subprocess.Popen(
            [*namespace.enter, sys.executable, "-c", program, self.address, *arguments],
            stdout=subprocess.PIPE,
            env=self.environment,
            text=True,
        )
        self.running.callback(self.end, process)
        if ready:
            assert process.stdout.readline() == "ready\n"
        return process

    @staticmethod
    def end(process):
        process.kill()
        process.wait()
        process.stdout.close()

    def keep(self):
        keeper = self.start(self.node, KEEPER, PROTOCOL, ready=False)
        until(self.whole)
        return keeper

    def routes(self, protocol):
        """The routes by which the node takes the address for its own."""
        shown = self.node.run("ip", f"-{self.family}", "-json", "-N", "route", "show", "table", "255", self.address)
        return [route for route in json.loads(shown or "[]") if route["protocol"] == protocol]

    def whole(self):
        on_lo = self.node.run("ip", "-oneline", "address", "show", "dev", "lo")
        return f" {self.cidr} " in on_lo and bool(self.routes(PROTOCOL))

    def batch(self, *lines):
        """As one program does, without a pause."""
        text = "".join(f"{line}\n" for line in lines)
        subprocess.run(
            [*self.node.enter, "ip", f"-{self.family}", "-batch", "-"], input=text, text=True, check=True, timeout=30
        )

    @contextlib.contextmanager
    def traffic(self, seconds):
        """What a client saw meanwhile is in the result, once that is over."""
        seen = {}
        if not hasattr(self, "service"):
            self.service = self.start(self.node, SERVICE)
        client = self.start(self.client, CLIENT, str(seconds))
        time.sleep(0.2)
        yield seen
        seen.update(json.loads(client.communicate(timeout=60)[0]))


@pytest.fixture(params=[4, 6], ids=["IPv4", "IPv6"])
def world(request, new_namespace, collections):
    made = World(new_namespace(), new_namespace(), request.param, collections)
    with made.running:
        yield made


def removals(world):
    lo = "dev lo table local"
    return {
        "address": [f"address delete {world.cidr} dev lo"],
        "its route": [f"route delete local {world.address} {lo} proto {PROTOCOL}"],
        "the kernel's route": [f"route delete local {world.address} {lo} proto kernel"],
    }


@pytest.mark.parametrize("what", ["address", "its route", "the kernel's route"])
def test_no_packet_is_lost_by_the_removal_of_one_of_them(world, what):
    world.keep()
    with world.traffic(1.5) as seen:
        for _time in range(1 if what == "the kernel's route" else 3):  # the kernel makes its own for a new address only
            world.batch(*removals(world)[what])
            until(world.whole)
    assert seen["lost"] == 0, seen


def test_both_are_back_within_100_ms(world, record_property):
    world.keep()
    watch = Watch()
    with world.traffic(3.0) as seen:
        for pause in (0.2, 0.1, 0, 0, 0, 0.1, 0, 0):  # a keeper that has just looked sleeps for a moment
            world.batch(*removals(world)["address"], *removals(world)["its route"])
            until(world.whole)
            time.sleep(pause)
    record_property("gap_ms", 1000 * seen["gap"])
    print(f"{seen['lost']} of {seen['sent']} lost, {1000 * seen['gap']:.1f} ms without an answer at most")
    watch.at_most(0.1, seen["gap"])


def test_without_a_keeper_they_stay_away(world):
    """Otherwise the tests above would show nothing."""
    with world.traffic(1.0) as seen:
        world.batch(*removals(world)["address"])
    assert seen["lost"] > 0 and not seen["last"]


def test_a_loopback_that_was_down_has_both_again(world):
    world.keep()
    world.node.run("ip", "link", "set", "lo", "down")
    time.sleep(0.2)
    world.node.run("ip", "link", "set", "lo", "up")
    until(world.whole)
    with world.traffic(0.5) as seen:
        pass
    assert seen["lost"] == 0, seen


def test_the_guest_agents_routes_are_left_alone_and_nobody_needs_them(world):
    """It has one for each address of a forwarding rule, and loses it when systemd-networkd restarts."""
    node = world.node
    node.run("ip", "address", "delete", world.cidr, "dev", "lo")
    guests = f"local {world.cidr} dev eth0 table local proto {GUEST_AGENT}"
    world.batch(f"route add {guests} scope host")
    before = world.routes(GUEST_AGENT)
    assert len(before) == 1
    node.run("ip", "address", "add", world.cidr, "dev", "lo")
    keeper = world.keep()
    with world.traffic(1.0) as seen:
        world.batch(*removals(world)["address"], *removals(world)["its route"])
        until(world.whole)
        assert world.routes(GUEST_AGENT) == before
        world.batch(f"route delete {guests}")
    assert seen["lost"] == 0, seen
    assert world.routes(GUEST_AGENT) == [], "it is not for the role to put back what the guest agent made"
    world.end(keeper)


def test_the_end_of_the_service_removes_what_is_the_roles_and_nothing_else(world):
    world.node.run("ip", "address", "delete", world.cidr, "dev", "lo")
    world.batch(f"route add local {world.cidr} dev eth0 table local proto {GUEST_AGENT} scope host")
    world.node.run("ip", "address", "add", world.cidr, "dev", "lo")
    guests = world.routes(GUEST_AGENT)
    world.end(world.keep())
    unit = (ROLE / "templates/address.service.j2").read_text()
    unit = unit.replace("{{ local_address_protocol }}", PROTOCOL).replace("%i", world.address)
    commands = re.findall(r"^ExecStop=-(.*)$", unit, re.M)
    assert len(commands) == 2
    for command in commands:
        world.node.run(*command.split())
    assert not world.whole() and world.routes(PROTOCOL) == world.routes("2") == []
    assert world.routes(GUEST_AGENT) == guests


def test_a_killed_keeper_takes_nothing_away_and_the_next_one_makes_it_whole(world):
    keeper = world.keep()
    keeper.send_signal(signal.SIGKILL)
    keeper.wait()
    assert world.whole()
    world.batch(*removals(world)["address"], *removals(world)["its route"])
    assert not world.whole()
    world.keep()


def test_it_tells_systemd_once_both_are_there(world, tmp_path):
    """A deployment waits for that, and fails where the kernel refuses one of them."""
    path = str(tmp_path / "notify")
    world.environment["NOTIFY_SOCKET"] = path
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(path)
        refused = world.family == 6  # which has no route to an interface that is down, unlike IPv4
        if refused:
            world.node.run("ip", "link", "set", "lo", "down")
        world.start(world.node, KEEPER, PROTOCOL, ready=False)
        if refused:
            systemd.settimeout(1)
            with pytest.raises(TimeoutError):
                systemd.recv(64)
            world.node.run("ip", "link", "set", "lo", "up")
        systemd.settimeout(15)
        assert systemd.recv(64) == b"READY=1" and world.whole()
        world.batch(*removals(world)["address"])
        until(world.whole)
        systemd.settimeout(0.2)
        with pytest.raises(TimeoutError):  # once is enough
            systemd.recv(64)


def switches(process):
    """How often it went to sleep."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(re.findall(r"^voluntary_ctxt_switches:\s*(\d+)", status, re.M)[0])


def settled(process):
    """The number after it has slept for a while."""

    def same():
        before = switches(process)
        time.sleep(2)  # IPv6 is not ready before
        return switches(process) == before

    until(same)
    return switches(process)


def test_a_keeper_sleeps_until_something_happens(world):
    before = settled(keeper := world.keep())
    with world.traffic(1.0):
        pass
    assert switches(keeper) == before


def test_many_events_are_looked_at_together(world):
    before, watch = settled(keeper := world.keep()), Watch()
    world.node.run("sh", "-c", "for mtu in $(seq 60001 60200); do ip link set lo mtu $mtu; done")
    time.sleep(0.1)
    assert switches(keeper) - before <= 2 * watch.took_s / 0.02 + 4


def test_it_says_what_it_did_and_no_more_than_it_must(new_namespace, collections):
    node = new_namespace()
    node.run("ip", "link", "set", "lo", "up")
    node.run("ip", "address", "add", "10.200.1.1/32", "dev", "lo")
    keeper = subprocess.Popen(
        [*node.enter, sys.executable, "-c", KEEPER, "10.200.1.1", PROTOCOL],
        stderr=subprocess.PIPE,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(collections)},
        text=True,
    )
    try:
        until(lambda: f"proto {PROTOCOL}" in node.run("ip", "route", "show", "table", "local"))
        loop = "for i in $(seq 50); do ip address delete 10.200.1.1/32 dev lo 2>/dev/null || :; done"
        watch = Watch()
        node.run("sh", "-c", loop)
        time.sleep(0.2)
        took = watch.took_s
    finally:
        keeper.kill()
        said = keeper.communicate()[1].splitlines()
    assert set(said) == {"10.200.1.1: put back the address on lo, which somebody had removed"}
    assert 1 <= len(said) <= 1 + took


def test_the_routes_have_a_number_of_their_own():
    """Not Google's guest agent's, nor one that the kernel or iproute2 gives a name, such as keepalived's."""
    known = {GUEST_AGENT}
    for file in ("/usr/include/linux/rtnetlink.h", "/etc/iproute2/rt_protos", "/usr/share/iproute2/rt_protos"):
        with contextlib.suppress(FileNotFoundError):
            known.update(re.findall(r"^(?:#define\s+RTPROT_\w+\s+)?(\d+)\b", Path(file).read_text(), re.M))
    assert {"2", "18"} <= known and PROTOCOL not in known and 4 < int(PROTOCOL) < 256

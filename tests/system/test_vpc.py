# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The VPC: machines say nothing about addresses, the router decides, and the router obeys."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from busy import until
from commands import cli
from logs import kept
from releases import python_3
from test_lab import left_over, traces

from lab import LabError
from lab.api import Admin
from lab.lab import Lab
from lab.topology import AGENT

NODE1, NODE2, CLIENT = "10.100.2.1", "10.100.2.2", "10.100.3.10"
FLOATING, SECOND = "10.200.1.1", "10.200.1.2"
ROUTER_MAC = "42:01:0a:64:00:01"

# Says who it is, to every datagram, from the address that was asked.
WHO = """
import select, socket, sys
ears = []
for address in sys.argv[1:]:
    ears.append(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    ears[-1].bind((address, 7000))
while True:
    for ear in select.select(ears, [], [])[0]:
        ear.sendto(socket.gethostname().encode(), ear.recvfrom(99)[1])
"""
# From boot on, with the floating addresses on lo.
WHO_UNIT = f"""
[Service]
ExecStartPre=/usr/sbin/ip address replace {FLOATING}/32 dev lo
ExecStartPre=/usr/sbin/ip address replace {SECOND}/32 dev lo
ExecStart=/usr/bin/python3 /root/who.py %H {FLOATING} {SECOND}
[Install]
WantedBy=multi-user.target
"""
# Asks from as many ports as told, each several times; prints "port answerer" per request, "-" for none.
ASK = """
import socket, sys
address, ports, times, pause = sys.argv[1], *map(float, sys.argv[2:5])
import time
for port in range(int(ports)):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.settimeout(0.3)
    s.connect((address, 7000))
    for _ in range(int(times)):
        s.send(b"?")
        try:
            print(port, s.recv(99).decode(), time.monotonic_ns(), flush=True)
        except OSError:
            print(port, "-", time.monotonic_ns(), flush=True)
        time.sleep(pause)
"""
# Everything that can be said about an address without being asked, on behalf of another.
SHOUT = """
import socket, sys
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0806))
s.bind(("eth0", 0))
own = s.getsockname()[4]
for claimed in sys.argv[1:]:
    address = socket.inet_aton(claimed)
    for operation in (1, 2):
        for target in (b"\\xff" * 6, bytes.fromhex("42010a640001")):
            arp = b"\\0\\1\\10\\0\\6\\4\\0" + bytes([operation]) + own + address + b"\\0" * 6 + address
            s.send(target + own + b"\\10\\6" + arp)
"""
# Who answers an ARP request for the address; prints the MAC.
ARP = """
import socket, sys
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0806))
s.bind(("eth0", 0x0806))
s.settimeout(1)
own = s.getsockname()[4]
asked = socket.inet_aton(sys.argv[2])
arp = b"\\0\\1\\10\\0\\6\\4\\0\\1" + own + socket.inet_aton(sys.argv[1]) + b"\\0" * 6 + asked
s.send(b"\\xff" * 6 + own + b"\\10\\6" + arp)
while True:
    frame = s.recv(99)
    if frame[20:22] == b"\\0\\2" and frame[28:32] == asked:
        print(frame[22:28].hex(":"))
        break
"""
# A VRRP packet to where it is told, and what arrives of it: TTL.
SEND_VRRP = """
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_RAW, 112)
s.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 255)
s.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 255)
for _ in range(3):
    s.sendto(b"advertisement", (sys.argv[1], 0))
"""
HEAR_VRRP = """
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_RAW, 112)
group = socket.inet_aton("224.0.0.18") + socket.inet_aton(sys.argv[1])
s.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, group)
s.settimeout(1.5)
print("listening", flush=True)
try:
    while True:
        packet = s.recv(999)
        if packet[20:] == b"advertisement":
            print("ttl", packet[8])
            break
except TimeoutError:
    print("nothing")
"""


def ssh(lab: Lab, machine: str, script: str, check: bool = True) -> str:
    done = cli("exec", "--name", lab.name, machine, "--", script, check=False)
    assert not check or done.returncode == 0, f"{machine}: {script}\n{done.stdout}{done.stderr}"
    return done.stdout


def script(lab: Lab, machine: str, text: str, *words: object) -> str:
    """Run a Python script on a machine."""
    return ssh(lab, machine, f"python3 - {' '.join(map(str, words))} <<'SCRIPT'\n{text}\nSCRIPT")


def answers(lab: Lab, address: str, machine: str = "client1", source: str = "") -> bool:
    ping = f"ping -q -c 2 -i 0.05 -W 1 {'-I ' + source if source else ''} {address} > /dev/null && echo yes || true"
    return ssh(lab, machine, ping) == "yes\n"


def ask(lab: Lab, address: str, ports: int = 1, times: int = 1) -> list[list[str]]:
    """Who answers, by port of the client."""
    rows = [line.split() for line in script(lab, "client1", ASK, address, ports, times, 0).splitlines()]
    return [[who for number, who, _ in rows if int(number) == port] for port in range(ports)]


# One request to the API, whose answer is waited for to the end of its operation.
REQUEST = """
import json, sys, urllib.request
root, token, method, path, body = sys.argv[1:]
def ask(method, path, body=None):
    headers = {"Authorization": "Bearer " + token, "Content-Type": "application/json"}
    request = urllib.request.Request(root + path, body.encode() if body else None, headers, method=method)
    return json.load(urllib.request.urlopen(request, timeout=30))
answer = ask(method, path, body)
while answer.get("kind") == "compute#operation" and answer["status"] != "DONE":
    answer = ask("POST", "/" + answer["selfLink"].split("/lab-project/")[1] + "/wait")
print(json.dumps(answer))
"""
ZONE = {"node1": "/zones/us-central1-a", "node2": "/zones/us-central1-b", "client1": "/zones/us-central1-f"}


def request(lab: Lab, method: str, path: str, **body: object) -> dict[str, Any]:
    """One request to the API, from the controller; returns when its operation is done."""
    root = f"{lab.topology.variables['gcp_endpoint']}/projects/lab-project"
    words = [
        sys.executable,
        "-c",
        REQUEST,
        root,
        "lab-controller-token",
        method,
        path,
        json.dumps(body) if body else "",
    ]
    done = cli("exec", "--name", lab.name, "--", *words, check=False)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert "error" not in answer, answer
    return answer


def add_route(lab: Lab, name: str, node: str, destination: str = f"{FLOATING}/32", **more: object) -> dict[str, Any]:
    hop = {"nextHopInstance": f"projects/lab-project{ZONE[node]}/instances/{node}"}
    network = "projects/lab-project/global/networks/ip-failover"
    body = {"name": name, "network": network, "destRange": destination, "priority": 1000, **hop, **more}
    return request(lab, "POST", "/global/routes", **body)


@pytest.fixture
def api(vpc: Lab) -> Iterator[Admin]:
    """The API, in a hurry; after the test it is as it was, and has no routes."""
    vpc.api.behave(latency_s=0, propagation_s=0, dns_latency_s=0, dns_propagation_s=0)
    yield vpc.api
    vpc.api.heal()
    vpc.api.behave(latency_s=0, propagation_s=0, sender_propagation_s={})
    for route in vpc.api.state()["routes"]:
        if "nextHopInstance" in route:
            request(vpc, "DELETE", f"/global/routes/{route['name']}")


def instances(lab: Lab) -> dict[str, tuple[str, ...]]:
    """What is in every table: the instances' own addresses."""
    return {f"{address}/32": (name,) for name, address in lab.topology.instances.items()}


def let_everything_in(lab: Lab) -> None:
    """What firewall rules do has tests of its own, in tests/node."""
    lab.api.behave(latency_s=0, propagation_s=0)
    network, allowed = "projects/lab-project/global/networks/ip-failover", [{"IPProtocol": "all"}]
    body = {"network": network, "allowed": allowed, "sourceRanges": ["10.0.0.0/8"]}
    request(lab, "POST", "/global/firewalls", name="everything", **body)


@pytest.fixture(scope="module")
def vpc(lab_name: Callable[[str], str]) -> Iterator[Lab]:
    """Two nodes that both have the floating address and say who they are, and a client."""
    with kept(Lab(lab_name("vpc"))) as lab:
        lab.up("gcp_route_heartbeat")
        for node in ("node1", "node2"):
            ssh(lab, node, f"cat > /root/who.py <<'SCRIPT'\n{WHO}\nSCRIPT")
            ssh(lab, node, f"cat > /etc/systemd/system/who.service <<'UNIT'\n{WHO_UNIT}\nUNIT")
            ssh(lab, node, "systemctl enable --quiet --now who")
        let_everything_in(lab)
        yield lab


@pytest.fixture
def programmed(vpc: Lab) -> Iterator[Callable[[dict[str, tuple[str, ...]]], None]]:
    """Put more entries into the client's table, as the API would; they are gone after the test."""
    site = vpc.site()
    usual = instances(vpc)
    yield lambda more: vpc.keeper.run(lambda: site.vpc.program("client1", usual | more))
    vpc.keeper.run(lambda: site.vpc.program("client1", usual))


@contextlib.contextmanager
def broken(lab: Lab, fault: str, machine: str) -> Iterator[None]:
    lab.fault(fault, machine, undo_after=60)
    try:
        yield
    finally:
        lab.repair(fault, machine, wait=True)


def test_the_router_is_no_hop_that_counts(vpc: Lab) -> None:
    assert "ttl=64" in ssh(vpc, "node1", f"ping -c 1 {NODE2}")
    assert "ttl=64" in ssh(vpc, "node1", f"ping -c 1 -t 1 {NODE2}"), "the next machine is one hop away"


def test_vrrp_passes_as_it_was_sent_but_only_unicast(vpc: Lab) -> None:
    def heard(destination: str) -> str:
        with subprocess.Popen(
            ["ssh", "-F", str(vpc.state / "ssh_config"), "node2", "python3", "-", NODE2],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as listener:
            assert listener.stdin and listener.stdout
            listener.stdin.write(HEAR_VRRP)
            listener.stdin.close()
            assert listener.stdout.readline() == "listening\n"
            script(vpc, "node1", SEND_VRRP, destination)
            return listener.stdout.read().strip()

    assert heard(NODE2) == "ttl 255"
    assert heard("224.0.0.18") == "nothing"


def test_what_no_firewall_rule_allows_does_not_come_in(vpc: Lab, api: Admin) -> None:
    request(vpc, "DELETE", "/global/firewalls/everything")
    try:
        until(lambda: not answers(vpc, NODE1))
        assert ssh(vpc, "node1", "true") == "", "from the controller there is a rule for that"
    finally:
        let_everything_in(vpc)
    until(lambda: answers(vpc, NODE1))


@pytest.mark.parametrize("asked", ["10.100.0.1", NODE2, "10.100.77.7", "10.200.1.1"])
def test_whatever_address_is_asked_for_the_router_answers(vpc: Lab, asked: str) -> None:
    assert script(vpc, "client1", ARP, CLIENT, asked).strip() == ROUTER_MAC


def test_gratuitous_arp_moves_nothing(vpc: Lab, programmed) -> None:
    programmed({f"{FLOATING}/32": ("node1",)})
    before = ssh(vpc, "client1", "ip neigh show dev eth0 10.100.0.1").split()[:3]
    script(vpc, "node2", SHOUT, FLOATING, NODE1, "10.100.0.1")
    assert ask(vpc, FLOATING) == [["node1"]] and ask(vpc, NODE1) == [["node1"]]
    assert ssh(vpc, "client1", "ip neigh show dev eth0 10.100.0.1").split()[:3] == before


def test_only_who_may_forward_sends_from_a_foreign_address(vpc: Lab) -> None:
    # 10.200.1.9 leads back to client1, so that what is missing is not the way back.
    site, foreign = vpc.site(), "10.200.1.9"
    usual = instances(vpc)
    ssh(vpc, "client1", f"ip address replace {foreign}/32 dev lo")

    def permit(sources: tuple[str, ...] | None) -> None:
        vpc.keeper.run(lambda: site.vpc.permit("client1", sources))

    try:
        vpc.keeper.run(lambda: site.vpc.program("node2", usual | {f"{foreign}/32": ("client1",)}))
        permit(None)
        assert answers(vpc, NODE2, source=foreign)
        permit((f"{CLIENT}/32",))
        assert not answers(vpc, NODE2, source=foreign)
        assert answers(vpc, NODE2), "its own address always passes"
        permit((f"{CLIENT}/32", "10.200.1.8/30"))
        assert answers(vpc, NODE2, source=foreign), "an alias range passes"
    finally:
        permit((f"{CLIENT}/32",))
        vpc.keeper.run(lambda: site.vpc.program("node2", usual))


def test_the_longest_prefix_wins_and_the_rest_is_dropped(vpc: Lab, programmed) -> None:
    assert ask(vpc, FLOATING) == [["-"]], "nothing leads there"
    programmed({"10.200.0.0/16": ("node2",)})
    assert ask(vpc, FLOATING) == [["node2"]]
    programmed({"10.200.0.0/16": ("node2",), f"{FLOATING}/32": ("node1",)})
    assert ask(vpc, FLOATING) == [["node1"]]
    assert ask(vpc, SECOND) == [["node2"]]
    programmed({"10.200.0.0/16": ("node2",), f"{FLOATING}/32": ()})
    assert ask(vpc, FLOATING) == [["-"]], "an entry without a next hop drops; no broader one takes over"
    programmed({"0.0.0.0/0": ("node1",)})
    assert ask(vpc, FLOATING) == [["node1"]]
    programmed({})
    assert ask(vpc, FLOATING) == [["-"]]


def test_equal_next_hops_share_by_connection(vpc: Lab, programmed) -> None:
    programmed({f"{FLOATING}/32": ("node1", "node2")})
    by_port = ask(vpc, FLOATING, ports=64, times=3)
    assert all(len(set(answers)) == 1 for answers in by_port), "one 5-tuple, one node"
    shares = Counter(answers[0] for answers in by_port)
    assert set(shares) == {"node1", "node2"} and min(shares.values()) >= 12, shares


def test_a_route_belongs_to_the_sender(vpc: Lab, programmed) -> None:
    programmed({f"{FLOATING}/32": ("node1",)})
    assert answers(vpc, FLOATING)
    reached = cli("exec", "--name", vpc.name, "--", "ip", "route", "get", FLOATING)
    assert "via 10.100.0.1" in reached.stdout
    asked = [
        sys.executable,
        "-c",
        f"import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(0.5);"
        f"s.sendto(b'?', ('{FLOATING}', 7000)); s.recv(9)",
    ]
    done = cli("exec", "--name", vpc.name, "--", *asked, check=False)
    assert "timed out" in done.stderr.lower(), "the controller's table has no such entry"


def test_what_does_not_change_loses_nothing_while_the_table_is_written(vpc: Lab, programmed) -> None:
    site = vpc.site()
    usual = instances(vpc)
    kept = usual | {f"{FLOATING}/32": ("node1",), "10.200.3.0/24": ("node1", "node2")}
    programmed(kept)
    ssh(vpc, "client1", f"cat > /root/ask.py <<'SCRIPT'\n{ASK}\nSCRIPT")
    with subprocess.Popen(
        ["ssh", "-F", str(vpc.state / "ssh_config"), "client1", f"python3 /root/ask.py {FLOATING} 1 100000 0.0002"],
        stdout=subprocess.PIPE,
        text=True,
    ) as asking:
        assert asking.stdout
        first = asking.stdout.readline()

        def rewrite() -> None:
            router = site.vpc
            for turn in range(100):
                other = {"10.200.1.0/24": ("node1", "node2")[turn % 2 :][:1], "0.0.0.0/0": ()} if turn % 3 else {}
                router.program("client1", kept | other)

        vpc.keeper.run(rewrite)
        asking.terminate()
        rows = [line.split() for line in (first + asking.stdout.read()).splitlines()]
    answered = Counter(row[1] for row in rows if len(row) == 3)
    assert set(answered) == {"node1"} and answered["node1"] > 300, answered


def test_packets_follow_a_change_at_once_and_none_is_lost(vpc: Lab, programmed) -> None:
    site = vpc.site()
    usual = instances(vpc)
    programmed({f"{FLOATING}/32": ("node1",)})
    ssh(vpc, "client1", f"cat > /root/ask.py <<'SCRIPT'\n{ASK}\nSCRIPT")
    with subprocess.Popen(
        ["ssh", "-F", str(vpc.state / "ssh_config"), "client1", f"python3 /root/ask.py {FLOATING} 1 100000 0.0002"],
        stdout=subprocess.PIPE,
        text=True,
    ) as asking:
        assert asking.stdout
        first = asking.stdout.readline()

        def change() -> None:
            for turn in range(20):
                site.vpc.program("client1", usual | {f"{FLOATING}/32": (("node2", "node1")[turn % 2],)})
                time.sleep(0.02)  # let some be answered

        vpc.keeper.run(change)
        asking.terminate()
        rows = [line.split() for line in (first + asking.stdout.read()).splitlines()]
    answered = Counter(row[1] for row in rows if len(row) == 3)
    assert set(answered) == {"node1", "node2"}, answered


@pytest.mark.parametrize("fault", ["node_power_off", "link_down", "partition", "node_hang"])
def test_a_lost_node_is_silent_and_its_routes_are_there_when_it_is_back(vpc: Lab, programmed, fault: str) -> None:
    programmed({f"{FLOATING}/32": ("node1",)})
    with broken(vpc, fault, "node1"):
        # What runs on a hung machine is silent; its kernel is not.
        assert ask(vpc, NODE1) == [["-"]] and answers(vpc, NODE1) == (fault == "node_hang")
        assert ask(vpc, NODE2) == [["node2"]], "the fault hit the wrong machine as well"
        assert ask(vpc, FLOATING) == [["-"]], "packets are lost until the API takes the route away"
    assert answers(vpc, NODE1)


def test_a_pulled_cable_takes_the_carrier(vpc: Lab) -> None:
    carrier = "cat /sys/class/net/eth0/carrier"
    with broken(vpc, "link_down", "client1"):
        inside = vpc.keeper.network("client1")
        seen = subprocess.run(
            ["nsenter", f"--net={inside}", "ip", "-oneline", "link", "show", "eth0"], capture_output=True, text=True
        ).stdout
        assert "NO-CARRIER" in seen
    assert ssh(vpc, "client1", carrier) == "1\n"


def test_peers_can_be_cut_from_each_other_alone(vpc: Lab) -> None:
    with broken(vpc, "partition_peers", "node1"):
        assert not answers(vpc, NODE2, machine="node1") and not answers(vpc, NODE1, machine="node2")
        assert answers(vpc, NODE1) and answers(vpc, NODE2)
        for node in ("node1", "node2"):
            assert answers(vpc, "199.36.153.8", machine=node) and answers(vpc, "169.254.169.254", machine=node)
    assert answers(vpc, NODE2, machine="node1")


def test_a_partitioned_node_still_reaches_the_api(vpc: Lab) -> None:
    with broken(vpc, "partition", "node1"):
        assert not answers(vpc, NODE1) and not answers(vpc, NODE1, machine="node2")
        assert answers(vpc, "199.36.153.8", machine="node1")


def test_port_security_is_not_of_this_network(vpc: Lab) -> None:
    with pytest.raises(LabError, match="cloud's API"):
        vpc.secure("node1", [])


def test_the_best_live_route_gets_the_packets(vpc: Lab, api: Admin) -> None:
    add_route(vpc, "usual", "node1")
    assert ask(vpc, FLOATING) == [["node1"]]
    add_route(vpc, "better", "node2", priority=900)
    assert ask(vpc, FLOATING) == [["node2"]]
    request(vpc, "DELETE", "/global/routes/better")
    add_route(vpc, "broader", "node2", "10.200.0.0/16", priority=1)
    assert ask(vpc, FLOATING) == [["node1"]] and ask(vpc, SECOND) == [["node2"]]
    add_route(vpc, "for-others", "node2", priority=1, tags=["other"])
    assert ask(vpc, FLOATING) == [["node1"]], "the client does not have that tag"
    add_route(vpc, "for-clients", "node2", priority=1, tags=["client"])
    assert ask(vpc, FLOATING) == [["node2"]]
    add_route(vpc, "for-clients-too", "node1", priority=1, tags=["client"])
    by_port = ask(vpc, FLOATING, ports=64, times=2)
    assert {answers[0] for answers in by_port} == {"node1", "node2"}
    assert all(len(set(answers)) == 1 for answers in by_port)


def test_a_machine_without_power_is_no_next_hop_and_a_hung_one_is(vpc: Lab, api: Admin) -> None:
    add_route(vpc, "usual", "node1")
    add_route(vpc, "spare", "node2", priority=2000)

    def status() -> str:
        return request(vpc, "GET", f"{ZONE['node1']}/instances/node1")["status"]

    with broken(vpc, "node_hang", "node1"):
        assert status() == "RUNNING"
        time.sleep(0.5)  # longer than it takes to notice that a machine has lost its power
        assert ask(vpc, FLOATING) == [["-"]]
    assert ask(vpc, FLOATING) == [["node1"]]
    with broken(vpc, "node_power_off", "node1"):
        until(lambda: ask(vpc, FLOATING) == [["node2"]], seconds=5)
        assert status() == "TERMINATED"
    until(lambda: ask(vpc, FLOATING) == [["node1"]], seconds=15)
    assert status() == "RUNNING"


def test_stop_and_start_are_the_power_of_the_machine(vpc: Lab, api: Admin) -> None:
    rows = {row["machine"]: row for row in vpc.status()}
    assert rows["node2"]["state"] == "running" and rows["node2"]["cloud"] == "RUNNING us-central1-b"
    request(vpc, "POST", f"{ZONE['node2']}/instances/node2/stop")
    rows = {row["machine"]: row for row in vpc.status()}
    assert rows["node2"]["state"] == "off" and rows["node2"]["cloud"] == "TERMINATED us-central1-b"
    request(vpc, "POST", f"{ZONE['node2']}/instances/node2/start")
    vpc.wait_for_ssh(["node2"])
    until(lambda: ask(vpc, NODE2) == [["node2"]])


def test_a_change_reaches_each_sender_after_its_delay(vpc: Lab, api: Admin) -> None:
    add_route(vpc, "usual", "node1")
    cli("api", "--name", vpc.name, "propagation", "1.5", "--sender", "client1")
    asking = subprocess.Popen(
        ["ssh", "-F", str(vpc.state / "ssh_config"), "client1", "python3", "-", FLOATING, "1", "1000", "0.005"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert asking.stdin and asking.stdout
    with asking:
        asking.stdin.write(ASK)
        asking.stdin.close()
        asking.stdout.readline()
        add_route(vpc, "better", "node2", priority=900)
        rows = []
        for line in asking.stdout:
            rows.append(line.split())
            if rows[-1][1] == "node2":
                break
        asking.terminate()
    end = max(entry["end_mono_ns"] for entry in api.log() if entry["mutation"])
    seen = int(rows[-1][2])
    assert {row[1] for row in rows} == {"node1", "node2"}, "nothing was lost"
    assert 1.4 <= (seen - end) / 1e9 <= 2.2, (seen - end) / 1e9


def test_a_node_sends_from_the_floating_address(vpc: Lab, api: Admin) -> None:
    add_route(vpc, "usual", "node1")
    assert answers(vpc, CLIENT, machine="node1", source=FLOATING), "it may forward"


def test_the_metadata_server_knows_who_asks(vpc: Lab, api: Admin) -> None:
    get = """
import urllib.request
for path in ("instance/name", "instance/zone", "project/project-id", "instance/network-interfaces/0/ip"):
    url = "http://metadata.google.internal/computeMetadata/v1/" + path
    print(urllib.request.urlopen(urllib.request.Request(url, headers={"Metadata-Flavor": "Google"})).read().decode())
"""
    name, zone, project, address = script(vpc, "node2", get).split()
    assert (name, project, address) == ("node2", "lab-project", NODE2) and zone.endswith("/zones/us-central1-b")


def test_the_machines_ask_the_resolver(vpc: Lab, api: Admin) -> None:
    network = "projects/lab-project/global/networks/ip-failover"
    zone = {"name": "ha", "dnsName": "ha.internal.", "description": "", "visibility": "private"}
    dns(vpc, "", {**zone, "privateVisibilityConfig": {"networks": [{"networkUrl": network}]}})
    web, moved = ({"name": "web.ha.internal.", "type": "A", "ttl": 300, "rrdatas": [each]} for each in (NODE1, NODE2))
    many = {**web, "name": "many.ha.internal.", "rrdatas": [f"10.9.9.{n}" for n in range(100)]}
    dns(vpc, "/ha/changes", {"additions": [web, many]})
    look_up = "import socket\nprint(*sorted({each[4][0] for each in socket.getaddrinfo(%r, 80, socket.AF_INET)}))"
    assert script(vpc, "client1", look_up % "web.ha.internal").split() == [NODE1]
    # Nobody on a machine keeps an answer, whatever its TTL is.
    dns(vpc, "/ha/changes", {"deletions": [web], "additions": [moved]})
    assert script(vpc, "client1", look_up % "web.ha.internal").split() == [NODE2]
    assert ssh(vpc, "node1", "getent ahostsv4 web.ha.internal").split()[0] == NODE2
    assert ssh(vpc, "node1", "getent hosts nosuch.ha.internal || echo none").strip() == "none"
    assert len(script(vpc, "client1", look_up % "many.ha.internal").split()) == 100
    asked = [each for each in api.call("GET", "/log/dns") if each["method"] == "A"]
    of_client = [(each["path"], each["udp"]) for each in asked if each["caller"] == "client1"]
    assert of_client[:2] == [("web.ha.internal.", True)] * 2
    assert set(of_client[2:]) == {("many.ha.internal.", True), ("many.ha.internal.", False)}
    assert ("node1", "nosuch.ha.internal.") in [(each["caller"], each["path"]) for each in asked]


def dns(lab: Lab, path: str, body: dict[str, object]) -> None:
    """One request to Cloud DNS, from the controller, about managed zones."""
    ask = """
import sys, urllib.request
headers = {"Authorization": "Bearer lab-controller-token"}
urllib.request.urlopen(urllib.request.Request(sys.argv[1], sys.argv[2].encode(), headers))
"""
    url = f"{lab.topology.variables['gcp_endpoint']}/projects/lab-project/managedZones".replace("/compute/", "/dns/")
    cli("exec", "--name", lab.name, "--", sys.executable, "-c", ask, url + path, json.dumps(body))


def python_of_gcloud() -> str:
    """The one that its package is compiled for, if it is here: any other compiles all of gcloud, at each start."""
    found = Path(shutil.which("gcloud") or "").resolve().parents[1]
    minors = {int(each.name.split("cpython-3")[1][:-4]) for each in found.glob("lib/__pycache__/gcloud.cpython-3*.pyc")}
    return next(filter(None, map(python_3, minors)), sys.executable)


@pytest.mark.skipif(not shutil.which("gcloud"), reason="gcloud is not installed")
def test_gcloud_works_from_the_controllers_network(vpc: Lab, api: Admin, tmp_path: Path) -> None:
    add_route(vpc, "usual", "node1")
    (tmp_path / "token").write_text("lab-controller-token")
    environment = {
        "CLOUDSDK_CONFIG": tmp_path,
        "CLOUDSDK_PYTHON": python_of_gcloud(),
        "CLOUDSDK_CORE_DISABLE_PROMPTS": "1",
        "CLOUDSDK_CORE_PROJECT": "lab-project",
        "CLOUDSDK_AUTH_ACCESS_TOKEN_FILE": tmp_path / "token",
        "CLOUDSDK_API_ENDPOINT_OVERRIDES_COMPUTE": f"{vpc.topology.variables['gcp_endpoint']}/",
    }
    words = ["env", *(f"{name}={value}" for name, value in environment.items()), "gcloud", "compute", "routes", "list"]
    assert "usual" in cli("exec", "--name", vpc.name, "--", *words).stdout


def test_the_api_is_told_how_to_behave(vpc: Lab, api: Admin) -> None:
    def tell(*words: str) -> str:
        return cli("api", "--name", vpc.name, *words).stdout

    tell("latency", "0.3")
    begin = time.monotonic()
    add_route(vpc, "usual", "node1")
    assert time.monotonic() - begin >= 0.3
    tell("fault", "status", "--verb", "GET", "--path", "routes$", "--status", "429", "--times", "1")
    tell("outage", "us-central1-b")
    behaviour = json.loads(tell("behaviour"))
    assert (behaviour["latency_s"], behaviour["zone_outage"]) == (0.3, ["us-central1-b"])
    assert [fault["match"] for fault in behaviour["faults"]] == [{"verb": "GET", "path": "routes$"}]
    with pytest.raises(AssertionError, match="429"):
        request(vpc, "GET", "/global/routes")
    request(vpc, "GET", "/global/routes")
    tell("heal")
    assert json.loads(tell("behaviour"))["zone_outage"] == []
    log = [json.loads(line) for line in tell("log").splitlines()]
    looks = [entry["status"] for entry in log if entry["path"].endswith("/routes") and not entry["mutation"]]
    assert looks[-2:] == [429, 200]
    tell("log", "--clear")
    assert tell("log") == ""
    assert [route["name"] for route in json.loads(tell("state"))["routes"] if "nextHopInstance" in route] == ["usual"]
    vpc.wait_for_ssh(["node2"])
    wrong = cli("api", "--name", vpc.name, "expire", "nobody", check=False)
    assert wrong.returncode == 1 and AGENT in wrong.stderr


@pytest.mark.parametrize("fault", ["api_slow", "api_refuse", "token_expired"])
def test_a_fault_of_the_api_takes_a_node_too_and_heals_by_itself(vpc: Lab, api: Admin, fault: str) -> None:
    metadata = "http://metadata.google.internal/computeMetadata/v1/instance/service-accounts/default/token"
    get_token = f"""
import json, urllib.request
request = urllib.request.Request("{metadata}", headers={{"Metadata-Flavor": "Google"}})
print(json.load(urllib.request.urlopen(request))["access_token"])
"""
    before = script(vpc, "node2", get_token)
    vpc.fault(fault, "node1", undo_after=3)
    assert {row["machine"]: row["state"] for row in vpc.status()}["node1"] == "off"
    if fault == "api_slow":
        begin = time.monotonic()
        add_route(vpc, "usual", "node2")
        assert time.monotonic() - begin >= 6
    elif fault == "api_refuse":
        with pytest.raises(AssertionError, match="503"):
            request(vpc, "GET", "/global/routes")
    else:
        assert script(vpc, "node2", get_token) != before
    until(lambda: {row["machine"]: row["state"] for row in vpc.status()}["node1"] == "running")
    until(lambda: api.behaviour()["faults"] == [])
    vpc.wait_for_ssh(["node1"])


def test_the_other_nodes_agent_is_killed_at_its_first_change(vpc: Lab, api: Admin) -> None:
    for node, unit in (("node1", "keepalived"), ("node2", "vip-agent")):
        text = "[Service]\nExecStart=/usr/bin/sleep infinity\n"
        ssh(vpc, node, f"printf '{text}' > /run/systemd/system/{unit}.service; systemctl start {unit}")

    def state(node: str, unit: str) -> str:
        return ssh(vpc, node, f"systemctl is-active {unit} || true").strip()

    vpc.fault("agent_kill", "node1", undo_after=60)
    try:
        assert state("node1", "keepalived") == "inactive"
        request(vpc, "GET", "/global/routes")
        assert state("node2", "vip-agent") == "active", "looking is no change"
        add_route(vpc, "usual", "node2")
        until(lambda: state("node2", "vip-agent") == "failed")
        ssh(vpc, "node2", "systemctl start vip-agent")
        request(vpc, "DELETE", "/global/routes/usual")
        assert state("node2", "vip-agent") == "active", "once is enough"
    finally:
        vpc.repair("agent_kill", "node1")
    assert state("node1", "keepalived") == "active"
    vpc.fault("agent_kill", "node1", undo_after=60)
    vpc.repair("agent_kill", "node1")
    add_route(vpc, "usual", "node2")
    assert state("node2", "vip-agent") == "active", "repaired is repaired"


def test_two_vpcs_do_not_meet(vpc: Lab, lab_name: Callable[[str], str]) -> None:
    other = Lab(lab_name("other"))
    other.up("gcp_route_heartbeat")
    try:
        let_everything_in(other)
        other.fault("node_power_off", "node1")
        assert answers(vpc, NODE1) and answers(other, NODE2)
        assert not answers(other, NODE1), "the other lab's client reached this lab's node1, which has the same address"
    finally:
        other.down()
    assert answers(vpc, NODE1)


@pytest.mark.alone
def test_down_leaves_nothing_behind(lab_name: Callable[[str], str]) -> None:
    before = traces()
    lab = Lab(lab_name("down"))
    lab.up("gcp_route_heartbeat")
    lab.fault("node_hang", "node1", undo_after=600)
    lab.fault("api_slow", "node2", undo_after=600)
    lab.down()
    assert left_over(before) == {}

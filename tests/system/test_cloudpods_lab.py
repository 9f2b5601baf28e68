# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Cloudpods in the lab: an address that was not bound does not pass, an EIP that was not mapped leads nowhere."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from busy import until
from commands import cli
from logs import kept
from test_lab import traces

from lab import LabError
from lab.cloudpods import region
from lab.keeper import enter_network
from lab.lab import Lab

NODE1, CLIENT, OUTSIDE = "192.168.7.247", "192.168.4.10", "198.51.100.10"
# Says who it is, to every datagram, from the address that was asked.
WHO = """
import socket, sys
ear = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
ear.bind((sys.argv[1], 7000))
while True:
    asker = ear.recvfrom(99)[1]
    ear.sendto(f"{socket.gethostname()} {asker[0]}".encode(), asker)
"""
ASK = """
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(0.3)
s.connect((sys.argv[1], 7000))
for _ in range(3):
    s.send(b"?")
    try:
        print(s.recv(99).decode())
        break
    except OSError:
        pass
"""
# What keepalived says when it takes an address: a gratuitous ARP.
SHOUT = """
import socket, sys
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0806))
s.bind(("eth0", 0))
own, address = s.getsockname()[4], socket.inet_aton(sys.argv[1])
arp = b"\\0\\1\\10\\0\\6\\4\\0\\1" + own + address + b"\\0" * 6 + address
s.send(b"\\xff" * 6 + own + b"\\10\\6" + arp)
"""
# A VRRP packet to the group of routers, and one who listens to it; prints who sent it.
VRRP = """
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_RAW, 112)
if len(sys.argv) > 1:
    s.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 255)
    s.sendto(b"x" * 20, ("224.0.0.18", 0))
else:
    group = socket.inet_aton("224.0.0.18") + socket.inet_aton("0.0.0.0")
    s.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, group)
    s.settimeout(10)
    print("listening", flush=True)
    print(s.recvfrom(99)[1][0], flush=True)
"""
SCRIPTS = {"who": WHO, "ask": ASK, "shout": SHOUT, "vrrp": VRRP}
# A request as a playbook's controller makes it; prints the answer.
REQUEST = """
import json, sys, urllib.error, urllib.request
verb, url, token, body = sys.argv[1:]
headers = {"X-Auth-Token": token} if token else {}
request = urllib.request.Request(url, body.encode() or None, headers, method=verb)
try:
    print(urllib.request.urlopen(request, timeout=10).read().decode())
except urllib.error.HTTPError as error:
    print(error.read().decode())
"""


class Cloud:
    """The API, as the controller sees it."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        everything = json.loads(lab.inventory.read_text())["all"]
        self.given = everything["vars"]
        user = {"name": self.given["cloudpods_username"], "password": self.given["cloudpods_password"]}
        auth = {
            "identity": {"methods": ["password"], "password": {"user": user}},
            "scope": {"project": {"name": self.given["cloudpods_project"]}},
        }
        self.token = ""
        answer = self.ask("POST", f"{self.given['cloudpods_auth_url']}/auth/tokens", {"auth": auth})
        self.token = answer["id"]
        catalog = answer["token"]["catalog"]
        self.url = next(each["endpoints"][0]["url"] for each in catalog if each["type"] == "compute_v2")

    def ask(self, verb: str, url: str, body: object = None) -> Any:
        text = "" if body is None else json.dumps(body)
        network = self.lab.keeper.network("controller")
        command = [sys.executable, "-I", "-c", REQUEST, verb, url, self.token, text]
        return json.loads(subprocess.check_output(command, preexec_fn=lambda: enter_network(network)))

    def act(self, action: str, **body: object) -> Any:
        """An action on the group; when it returns, the network obeys."""
        url = f"{self.url}/instancegroups/{region.GROUP}"
        answer = self.ask("POST", f"{url}/{action}", {"instancegroup": body})
        assert "instancegroup" in answer, answer
        if action.endswith("eip"):
            until(lambda: self.ask("GET", url)["instancegroup"]["status"] == "init")
        until(lambda: self._in_force(self.lab.api.state()))
        return answer["instancegroup"]

    def _in_force(self, state: Any) -> bool:
        """Whether the network is as the API says."""
        ports = {each["name"]: [vip for vip in [each.get("vip")] if vip] for each in state["servers"]}
        eips = {each["eip_addr"]: each["ip_addr"] for each in state["groupnetworks"] if "eip_addr" in each}
        return state["in_force"] == {"ports": ports, "eips": eips}


def lab_ssh(lab: Lab, machine: str, script: str) -> subprocess.CompletedProcess[str]:
    command = ["ssh", "-F", str(lab.state / "ssh_config"), machine, script]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def answers(lab: Lab, address: str, machine: str = "client1") -> bool:
    """Does ``address`` answer a ping from ``machine``?"""
    return lab_ssh(lab, machine, f"ping -q -c 3 -i 0.05 -W 1 {address}").returncode == 0


@pytest.fixture(scope="module")
def lab(lab_name: Callable[[str], str]) -> Iterator[Lab]:
    """A running lab with a pair in Cloudpods."""
    with kept(Lab(lab_name("cloudpods"))) as this:
        this.up("cloudpods_active_standby")
        scripts = "".join(f"cat > /root/{name}.py << 'END'\n{SCRIPTS[name]}\nEND\n" for name in SCRIPTS)
        for machine in ("node1", "node2", "client1", "outside1"):
            lab_ssh(this, machine, scripts)
        yield this


@pytest.fixture(scope="module")
def cloud(lab: Lab) -> Cloud:
    """With the group, which has no members yet."""
    this = Cloud(lab)
    assert "instancegroup" in this.ask("POST", f"{this.url}/instancegroups", {"instancegroup": {"name": region.GROUP}})
    return this


@pytest.fixture
def group(cloud: Cloud) -> Iterator[Cloud]:
    """With both nodes in the group, and no VIP; afterwards, too."""
    cloud.act("bind-guests", **{"guest.0": "node1", "guest.1": "node2"})
    yield cloud
    with contextlib.suppress(AssertionError):
        cloud.act("dissociate-eip")
    cloud.act("detachnetwork")
    cloud.lab.api.heal()


@contextlib.contextmanager
def holding(lab: Lab, name: str) -> Iterator[None]:
    """The machine has the VIP, says so as keepalived does, and answers on it."""
    take = f"ip address replace {region.VIP}/22 dev eth0 && python3 /root/shout.py {region.VIP}"
    serve = f"systemd-run --quiet --collect --unit=who /usr/bin/python3 /root/who.py {region.VIP}"
    assert lab_ssh(lab, name, f"{take} && {serve}").returncode == 0
    try:
        yield
    finally:
        lab_ssh(lab, name, f"systemctl stop who; ip address delete {region.VIP}/22 dev eth0")


def who(lab: Lab, machine: str, address: str) -> str:
    """Who answers there, and for whom; "" if nobody does. It may have been somebody else before."""
    forget = "ip neigh flush dev eth0; " if machine != "outside1" else ""
    return lab_ssh(lab, machine, f"{forget}python3 /root/ask.py {address}").stdout.strip()


def test_machines_reach_each_other_and_the_controller_all(lab: Lab) -> None:
    assert answers(lab, NODE1) and answers(lab, CLIENT, machine="node2")
    assert lab_ssh(lab, "outside1", "true").returncode == 0


def test_a_vip_passes_only_on_the_ports_of_members(group: Cloud) -> None:
    lab = group.lab
    with holding(lab, "node1"):
        assert who(lab, "client1", region.VIP) == "", "it is not bound"
        assert answers(lab, NODE1), "its own address always passes"
        group.act("attachnetwork", ip_addr=region.VIP, require_designated_ip=True)
        assert who(lab, "client1", region.VIP) == f"node1 {CLIENT}"
        group.act("unbind-guests", **{"guest.0": "node1"})
        assert who(lab, "client1", region.VIP) == "", "it is no member any more"
        with holding(lab, "node2"):
            assert who(lab, "client1", region.VIP) == f"node2 {CLIENT}"
        group.act("bind-guests", **{"guest.0": "node1"})
        assert who(lab, "client1", region.VIP) == f"node1 {CLIENT}"
        group.act("detachnetwork")
        assert who(lab, "client1", region.VIP) == ""


def test_nobody_else_may_claim_it(group: Cloud) -> None:
    lab = group.lab
    group.act("attachnetwork", ip_addr=region.VIP, require_designated_ip=True)
    with holding(lab, "client1"):
        assert who(lab, "node2", region.VIP) == "", "a server of the subnet that is no member"
        with holding(lab, "node1"):
            assert who(lab, "node2", region.VIP) == f"node1 {NODE1.replace('247', '248')}"


def test_an_eip_leads_to_the_vip_from_outside(group: Cloud) -> None:
    lab = group.lab
    group.act("attachnetwork", ip_addr=region.VIP, require_designated_ip=True)
    with holding(lab, "node1"):
        assert who(lab, "outside1", region.EIP) == "", "it is not mapped"
        group.act("associate-eip", eip_id="nginx-eip")
        assert who(lab, "outside1", region.EIP) == f"node1 {OUTSIDE}", "the client keeps its address"
        assert answers(lab, region.EIP, machine="outside1")
        for address in (region.VIP, NODE1, "203.0.113.11"):
            assert not answers(lab, address, machine="outside1"), f"{address}: nothing else leads in"
        assert not answers(lab, OUTSIDE, machine="node2"), "nor out"
        lab_ssh(lab, "node1", f"ip address delete {region.VIP}/22 dev eth0")
        with holding(lab, "node2"):
            assert who(lab, "outside1", region.EIP) == f"node2 {OUTSIDE}", "it follows the VIP"
            group.act("dissociate-eip")
            assert who(lab, "outside1", region.EIP) == ""


def test_an_eip_whose_task_fails_leads_nowhere(group: Cloud) -> None:
    lab = group.lab
    group.act("attachnetwork", ip_addr=region.VIP, require_designated_ip=True)
    lab.api.fault("error-in-operation", match={"path": "/associate-eip$"}, times=1)
    url = f"{group.url}/instancegroups/{region.GROUP}"
    with holding(lab, "node1"):
        group.ask("POST", f"{url}/associate-eip", {"instancegroup": {"eip_id": "nginx-eip"}})
        until(lambda: group.ask("GET", url)["instancegroup"]["status"] == "associate_eip_failed")
        assert who(lab, "outside1", region.EIP) == ""


@pytest.mark.parametrize("fault", ["partition", "link_down", "node_power_off"])
def test_faults_reach_across_the_gateway(group: Cloud, fault: str) -> None:
    lab = group.lab
    group.act("attachnetwork", ip_addr=region.VIP, require_designated_ip=True)
    group.act("associate-eip", eip_id="nginx-eip")
    with holding(lab, "node2"):
        assert who(lab, "outside1", region.EIP) == f"node2 {OUTSIDE}"
        lab.fault(fault, "node2")
        try:
            assert who(lab, "outside1", region.EIP) == "" and not answers(lab, "192.168.7.248")
            assert answers(lab, NODE1), "the fault hit the wrong machine as well"
        finally:
            lab.repair(fault, "node2", wait=True)
    with holding(lab, "node2"):
        assert who(lab, "outside1", region.EIP) == f"node2 {OUTSIDE}"


def test_a_machine_that_comes_back_is_held_to_the_same(group: Cloud) -> None:
    lab = group.lab
    lab.fault("node_power_off", "node1")
    lab.repair("node_power_off", "node1", wait=True)
    with holding(lab, "node1"):
        assert who(lab, "client1", region.VIP) == ""


def test_vrrp_passes_between_members(group: Cloud) -> None:
    """Multicast, as in the document that the pair comes from."""
    command = ["ssh", "-F", str(group.lab.state / "ssh_config"), "node2", "python3 /root/vrrp.py"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as ear:
        assert ear.stdout
        assert ear.stdout.readline() == "listening\n"
        lab_ssh(group.lab, "node1", "python3 /root/vrrp.py send")
        assert ear.stdout.readline() == f"{NODE1}\n"


def test_what_the_lab_says(group: Cloud) -> None:
    lab = group.lab
    group.act("attachnetwork", ip_addr=region.VIP, require_designated_ip=True)
    rows = {row["machine"]: row["cloud"] for row in lab.status()}
    assert rows["node1"] == f"running {region.VIP}" and rows["client1"] == "running" and rows["outside1"] == ""
    assert lab.api.state()["violations"] == []
    assert lab.api.state()["in_force"]["ports"]["node1"] == [region.VIP]
    with pytest.raises(LabError, match="the cloud's API to say"):
        lab.secure("node1", [])
    with pytest.raises(LabError, match="no fault 'api_slow' here"):
        lab.fault("api_slow", "node1")
    assert {"latency_s", "propagation_s"} <= set(json.loads(cli("api", "--name", lab.name, "behaviour").stdout))
    assert "has no" in cli("api", "--name", lab.name, "outage", "mars", check=False).stderr
    assert lab.api.log()[-1]["caller"] == region.USER


def test_nothing_of_it_stays(lab_name: Callable[[str], str]) -> None:
    other = Lab(lab_name("gone"))
    other.up("cloudpods_active_standby")

    def traces_of_it() -> list[str]:
        return [each for kind in traces().values() for each in kind if other.name in each]

    assert traces_of_it()
    other.down()
    assert traces_of_it() == []

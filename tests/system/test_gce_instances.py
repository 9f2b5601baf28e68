# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Machines that the cloud's API makes, deletes and makes again, from images of others.

What the router does with their packets is in tests/node, where machines are network namespaces.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from busy import Watch, until
from logs import kept
from test_gce_lb_plane import SERVER, lost, who
from test_lab import left_over, traces
from test_vpc import broken, request, script, ssh

from lab import LabError
from lab.gce.images import BASE
from lab.keeper import enter_network
from lab.lab import Lab, labs
from lab.topology import AGENT

VIP = "10.200.1.1"
NODES = {"node1": ("10.100.2.1", "us-central1-c"), "node2": ("10.100.2.2", "us-central1-f")}
BUILDER = "a-builder-whose-name-is-as-long-as-the-api-lets-it-be-63-characters"[:63]
PUBLIC, GOLDEN = f"projects/debian-cloud/global/images/{BASE}", "projects/lab-project/global/images/golden"
NETWORK = "projects/lab-project/global/networks/ip-failover"
# From boot on it says who it is; the floating address is there, and so is what was changed before the image was made.
UNIT = f"""
[Service]
ExecStartPre=/usr/sbin/ip address replace {VIP}/32 dev lo
ExecStart=/usr/bin/python3 /root/server.py 80
[Install]
WantedBy=multi-user.target
"""
# What is not there any more is not in the image, either, and what a plain copy would lose is.
CHANGES = """
set -e
rm /etc/issue.net; rm -r /usr/share/doc; mkdir /usr/share/doc; touch /usr/share/doc/new
install -m 4755 -o games /bin/true /root/owned
python3 -c 'import os; os.setxattr("/root/owned", "trusted.kind", b"golden")'
"""
# What became of it.
CHANGED = """
ls /etc/issue.net; ls /usr/share/doc; stat -c '%U %a' /root/owned
python3 -c 'import os; print(os.getxattr("/root/owned", "trusted.kind").decode())'
getent hosts node1 node2 | wc -l
"""
TOKEN = """
import json, urllib.request
def ask(what):
    headers = {"Metadata-Flavor": "Google"}
    url = "http://metadata.google.internal/computeMetadata/v1/instance/" + what
    return urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=5).read().decode()
print(json.dumps([ask("name"), ask("zone"), json.loads(ask("service-accounts/default/token"))["token_type"]]))
"""


def insert(lab: Lab, name: str, address: str, zone: str, image: str) -> None:
    """Make an instance by the API; its operation is done when this returns."""
    body = {"name": name, "machineType": f"zones/{zone}/machineTypes/e2-small", **machine(image, networkIP=address)}
    request(lab, "POST", f"/zones/{zone}/instances", **body)


def machine(image: str, **interface: str) -> dict[str, object]:
    """What all instances have."""
    subnetwork = "projects/lab-project/regions/us-central1/subnetworks/ip-failover-subnet"
    boot = {"boot": True, "autoDelete": True, "initializeParams": {"sourceImage": image}}
    return {
        "canIpForward": True,
        "tags": {"items": ["backend"]},
        "networkInterfaces": [{"subnetwork": subnetwork, **interface}],
        "disks": [boot],
        "serviceAccounts": [{"email": AGENT, "scopes": ["https://www.googleapis.com/auth/cloud-platform"]}],
    }


def node(lab: Lab, name: str) -> None:
    insert(lab, name, *NODES[name], GOLDEN)


def delete(lab: Lab, name: str) -> None:
    """Delete an instance by the API, wherever it is; one that is not there is none to delete."""
    for each in lab.api.state()["instances"]:
        if each["name"] == name:
            request(lab, "DELETE", f"/zones/{each['zone'].rpartition('/')[2]}/instances/{name}")


def status(lab: Lab, name: str) -> dict[str, str]:
    return next(each for each in lab.status() if each["machine"] == name)


def answers(lab: Lab, address: str) -> str:
    """What the controller hears when it connects to SSH: "yes", "refused", or "-" for nothing."""
    with socket.socket() as connection:
        connection.settimeout(0.3)
        try:
            connection.connect((address, 22))
            return "yes"
        except ConnectionRefusedError:
            return "refused"
        except OSError:
            return "-"


def from_controller(lab: Lab, function: Callable[[], str]) -> str:
    """What a function returns in the controller's network."""

    def inside() -> str:
        enter_network(lab.keeper.network("controller"))
        return function()

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(inside).result(30)


@pytest.fixture(scope="module")
def lab(lab_name: Callable[[str], str]) -> Iterator[Lab]:
    """A project with an image of a machine on which a server was installed, and no machine that runs it."""
    with kept(Lab(lab_name("instances"))) as this:
        this.up("gcp_route_priority")
        this.api.behave(latency_s=0, propagation_s=0, boot_s=0.2)
        assert [each["state"] for each in this.status() if each["group"] == "vip_nodes"] == ["absent", "absent"]
        insert(this, BUILDER, "10.100.2.50", "us-central1-b", PUBLIC)
        this.wait_for_ssh([BUILDER])
        ssh(this, BUILDER, f"cat > /root/server.py <<'SCRIPT'\n{SERVER}\nSCRIPT")
        ssh(this, BUILDER, f"cat > /etc/systemd/system/server.service <<'UNIT'\n{UNIT}\nUNIT")
        ssh(this, BUILDER, CHANGES)
        ssh(this, BUILDER, "systemctl enable --quiet server")
        request(this, "POST", f"/zones/us-central1-b/instances/{BUILDER}/stop")
        source = f"projects/lab-project/zones/us-central1-b/disks/{BUILDER}"
        request(this, "POST", "/global/images", name="golden", sourceDisk=source)
        delete(this, BUILDER)
        yield this
    assert lab_name("instances") not in [each.name for each in labs()]


@pytest.fixture
def pair(lab: Lab) -> Iterator[Lab]:
    """Both nodes, as they come from the image, and a route to the floating address by way of each."""
    for name, priority in (("node1", 500), ("node2", 1000)):
        node(lab, name)
        route(lab, name, priority)
    lab.wait_for_ssh(list(NODES))
    until(lambda: who(lab, address=VIP, seconds=0.5) == "node1")
    yield lab
    for name in NODES:
        request(lab, "DELETE", f"/global/routes/{name}")
        delete(lab, name)


def route(lab: Lab, name: str, priority: int) -> None:
    hop = f"projects/lab-project/zones/{NODES[name][1]}/instances/{name}"
    body = {"name": name, "network": NETWORK, "destRange": f"{VIP}/32", "priority": priority, "nextHopInstance": hop}
    request(lab, "POST", "/global/routes", **body)


def warnings(lab: Lab, name: str) -> list[str]:
    return [each["code"] for each in request(lab, "GET", f"/global/routes/{name}").get("warnings", ())]


def test_an_instance_is_running_at_once_and_answers_after_its_boot_time_and_not_before(lab: Lab) -> None:
    address, boot_s = NODES["node1"][0], 4.0
    lab.api.behave(boot_s=boot_s)
    try:
        began = time.monotonic()
        node(lab, "node1")
        assert status(lab, "node1")["state"] == "running"
        assert status(lab, "node1")["cloud"] == "RUNNING us-central1-c"
        heard = []
        while "yes" not in heard:
            heard.append(from_controller(lab, lambda: answers(lab, address)))
            assert heard[-1] == "-" or time.monotonic() - began >= boot_s, heard
            assert time.monotonic() - began < 60, heard
        assert heard[0] == "-"
        lab.wait_for_ssh(["node1"])
        until(lambda: who(lab, address=address, seconds=0.5) == "node1")
    finally:
        lab.api.behave(boot_s=0.2)
        delete(lab, "node1")
    assert from_controller(lab, lambda: answers(lab, address)) == "-"


def test_a_machine_from_an_image_is_as_the_one_it_was_made_of_and_has_its_own_name(pair: Lab) -> None:
    for name, (address, zone) in NODES.items():
        assert who(pair, address=address) == name
        assert ssh(pair, name, "hostname; systemctl is-active server") == f"{name}\nactive\n"
        assert json.loads(script(pair, name, TOKEN)) == [name, f"projects/419080500001/zones/{zone}", "Bearer"]
        assert ssh(pair, name, CHANGED).split("\n")[:-1] == ["new", "games 4755", "golden", "2"]
    ssh(pair, "node1", "echo changed > /root/note; rm /root/server.py")
    assert "server.py" in ssh(pair, "node2", "ls /root") and "note" not in ssh(pair, "node2", "ls /root")


def test_an_image_of_a_machine_that_was_made_of_an_image_has_both_changes_and_needs_neither(lab: Lab) -> None:
    node(lab, "node1")
    lab.wait_for_ssh(["node1"])
    ssh(lab, "node1", "echo second > /root/note")
    request(lab, "POST", "/zones/us-central1-c/instances/node1/stop")
    assert status(lab, "node1")["state"] == "off"
    second = "projects/lab-project/zones/us-central1-c/disks/node1"
    request(lab, "POST", "/global/images", name="second", sourceDisk=second)
    request(lab, "POST", "/zones/us-central1-c/instances/node1/start")
    lab.wait_for_ssh(["node1"])
    assert ssh(lab, "node1", "cat /root/note; ls /root/server.py") == "second\n/root/server.py\n", "its disk stays"
    ssh(lab, "node1", "echo third > /root/note")
    insert(lab, "node2", *NODES["node2"], GOLDEN.replace("golden", "second"))
    request(lab, "DELETE", "/global/images/second")
    delete(lab, "node1")
    lab.wait_for_ssh(["node2"])
    assert ssh(lab, "node2", "cat /root/note; ls /root/server.py") == "second\n/root/server.py\n"
    delete(lab, "node2")


def test_packets_go_to_the_next_priority_when_an_instance_is_deleted_and_back_as_soon_as_it_is_there(pair: Lab) -> None:
    delete(pair, "node1")
    assert warnings(pair, "node1") == ["NEXT_HOP_INSTANCE_NOT_FOUND"] and warnings(pair, "node2") == []
    assert who(pair, address=VIP) == "node2"
    assert lost(pair, "client1", NODES["node1"][0])
    pair.api.behave(boot_s=3600)
    try:
        node(pair, "node1")
        assert warnings(pair, "node1") == [], "it runs, says the API"
        until(lambda: lost(pair, "client1", VIP), 5)
    finally:
        pair.api.behave(boot_s=0.2)
    delete(pair, "node1")
    until(lambda: who(pair, address=VIP, seconds=0.5) == "node2", 5)
    node(pair, "node1")
    until(lambda: who(pair, address=VIP, seconds=0.5) == "node1")


# Who answers so many new connections.
SHARES = """
import sys, urllib.request
for _ in range(int(sys.argv[2])):
    try:
        print(urllib.request.urlopen(f"http://{sys.argv[1]}/", timeout=5).read().decode())
    except OSError:
        print("-")
"""


def shares(lab: Lab, count: int) -> Counter[str]:
    return Counter(script(lab, "client1", SHARES, VIP, count).split())


def test_two_nodes_share_and_a_deleted_one_loses_its_share_at_once(pair: Lab) -> None:
    request(pair, "DELETE", "/global/routes/node1")
    route(pair, "node1", 1000)
    until(lambda: who(pair, address=VIP, known="node2", seconds=1) == "node1")
    found = shares(pair, 60)
    assert set(found) == set(NODES) and min(found.values()) >= 8, found
    delete(pair, "node1")
    assert shares(pair, 30) == {"node2": 30}
    node(pair, "node1")


@pytest.mark.parametrize("fault", ["node_power_off", "node_hang", "partition", "link_down"])
def test_faults_are_the_same_for_a_machine_that_was_made(lab: Lab, fault: str) -> None:
    name, address = "web-" + "x" * 59, "10.100.2.60"
    insert(lab, name, address, "us-central1-b", GOLDEN)
    lab.wait_for_ssh([name])
    until(lambda: who(lab, address=address, seconds=0.5) == name)
    with broken(lab, fault, name):
        assert lost(lab, "client1", address)
        assert status(lab, name)["state"] == {"node_power_off": "off", "node_hang": "hung"}.get(fault, "running")
    assert who(lab, address=address) == name
    lab.fault(fault, name, undo_after=600)
    delete(lab, name)
    lab.repair(fault, "node1")
    with pytest.raises(LabError, match="no machine 'web-x"):
        lab.fault(fault, name)
    assert name not in [each["machine"] for each in lab.status()]


def test_the_power_of_a_machine_that_boots_can_be_cut(lab: Lab) -> None:
    lab.api.behave(boot_s=3600)
    try:
        node(lab, "node1")
        assert status(lab, "node1")["state"] == "running"
        lab.fault("node_power_off", "node1")
        assert status(lab, "node1")["state"] == "off"
        until(lambda: status(lab, "node1")["cloud"].startswith("TERMINATED"), 5)
        lab.repair("node_power_off", "node1", wait=True)
    finally:
        lab.api.behave(boot_s=0.2)
        delete(lab, "node1")


def test_a_name_that_the_lab_uses_itself_is_refused(lab: Lab) -> None:
    with pytest.raises(AssertionError, match="error"):
        insert(lab, "keeper", "10.100.2.70", "us-central1-b", GOLDEN)
    assert "keeper" not in lab.places


def test_an_operator_deletes_and_stops_an_instance(pair: Lab) -> None:
    pair.fault("instance_stopped", "node1")
    assert who(pair, address=VIP, known="node1") == "node2"
    pair.repair("instance_stopped", "node1", wait=True)
    until(lambda: who(pair, address=VIP, seconds=0.5) == "node1")
    pair.fault("instance_deleted", "node1")
    assert who(pair, address=VIP, known="node1") == "node2"
    pair.repair("instance_deleted", "node1")
    until(lambda: "node1" not in pair.places, 5)
    with pytest.raises(LabError, match="no machine 'node1' here"):
        pair.fault("instance_deleted", "node1")
    node(pair, "node1")


CHECKS, TEMPLATES = "/global/healthChecks", "/global/instanceTemplates"
GROUPS = "/zones/us-central1-c/instanceGroupManagers"


@pytest.fixture(scope="module")
def managed(lab: Lab) -> Lab:
    """A managed group whose only instance is node1, with a probe each second."""
    probes = {"sourceRanges": ["35.191.0.0/16", "130.211.0.0/22"], "allowed": [{"IPProtocol": "tcp", "ports": ["80"]}]}
    request(lab, "POST", "/global/firewalls", name="probes", network=NETWORK, targetTags=["backend"], **probes)
    timers = {"checkIntervalSec": 1, "timeoutSec": 1, "healthyThreshold": 1, "unhealthyThreshold": 2}
    request(lab, "POST", CHECKS, name="web", type="HTTP", httpHealthCheck={"port": 80}, **timers)
    properties = {"machineType": "e2-small", **machine(GOLDEN)}
    request(lab, "POST", TEMPLATES, name="web", properties=properties)
    healing = {"healthCheck": f"projects/lab-project{CHECKS}/web", "initialDelaySec": 60}
    template = f"projects/lab-project{TEMPLATES}/web"
    update = {"type": "OPPORTUNISTIC", "replacementMethod": "RECREATE", "maxSurge": {"fixed": 0}}
    group = {"instanceTemplate": template, "autoHealingPolicies": [healing], "updatePolicy": update}
    request(lab, "POST", GROUPS, name="web", targetSize=0, **group)
    kept = {"internalIPs": {"nic0": {"autoDelete": "NEVER", "ipAddress": {"literal": NODES["node1"][0]}}}}
    request(lab, "POST", f"{GROUPS}/web/createInstances", instances=[{"name": "node1", "preservedState": kept}])
    return lab


def incarnation(lab: Lab, other_than: str = "") -> str:
    """The id of node1, once the group has found it well and done with it."""

    def well() -> str:
        (member,) = request(lab, "POST", f"{GROUPS}/web/listManagedInstances")["managedInstances"]
        health = [each["detailedHealthState"] for each in member.get("instanceHealth", ())]
        fine = (member["currentAction"], health) == ("NONE", ["HEALTHY"])
        return member["id"] if fine and member["id"] != other_than else ""

    return until(well, 30)


@pytest.mark.parametrize("fault", ["node_power_off", "node_hang", "instance_deleted", "instance_stopped"])
def test_a_group_makes_a_lost_instance_again_at_the_same_address_and_as_it_was(managed: Lab, fault: str) -> None:
    address, zone = NODES["node1"]
    before = incarnation(managed)
    assert who(managed, address=address) == "node1"
    ssh(managed, "node1", "echo lost > /root/note")
    managed.fault(fault, "node1", undo_after=600)
    after = incarnation(managed, other_than=before)
    managed.repair(fault, "node1", wait=True)
    assert incarnation(managed) == after, "to mend what has been mended changes nothing"
    assert who(managed, address=address) == "node1"
    assert status(managed, "node1")["addresses"] == f"{address}/32"
    assert status(managed, "node1")["cloud"] == f"RUNNING {zone}"
    assert ssh(managed, "node1", "ls /root").split() == ["owned", "server.py"]


def test_a_group_that_is_stuck_leaves_a_lost_instance_alone_until_it_is_mended(managed: Lab) -> None:
    before = incarnation(managed)
    managed.fault("autohealing_stuck", "node1")
    assert managed.api.behaviour()["autohealing_stuck"]
    address = NODES["node1"][0]
    watch = Watch()
    while watch.took_s < 3:
        assert lost(managed, "client1", address)
    managed.repair("autohealing_stuck", "node1")
    assert not managed.api.behaviour()["autohealing_stuck"]
    incarnation(managed, other_than=before)
    assert who(managed, address=address) == "node1"


def test_an_instance_of_a_group_is_back_with_its_zone(managed: Lab) -> None:
    incarnation(managed)
    with broken(managed, "zone_outage", "node1"):
        assert lost(managed, "client1", NODES["node1"][0])
        assert status(managed, "node1")["state"] == "off" and status(managed, "client1")["state"] == "running"
    incarnation(managed)
    assert who(managed, address=NODES["node1"][0]) == "node1"


def test_a_group_takes_its_instances_along(managed: Lab) -> None:
    for path in (f"{GROUPS}/web", f"{TEMPLATES}/web", f"{CHECKS}/web", "/global/firewalls/probes"):
        request(managed, "DELETE", path)
    assert "node1" not in managed.places
    assert from_controller(managed, lambda: answers(managed, NODES["node1"][0])) == "-"


def test_nothing_is_left_of_instances_and_images(lab: Lab) -> None:
    """The last one of this file."""
    request(lab, "DELETE", "/global/images/golden")
    assert set(lab.places) == {"client1", "client2", "outside1", "controller"}
    inside = lab.keeper.outside
    assert sorted(each.name for each in inside(Path("/run/disks")).iterdir()) == ["client1", "client2", "outside1"]
    assert [each for kind in ("layers", "images") for each in inside(Path(f"/run/{kind}")).iterdir()] == []
    assert sorted(each.name for each in inside(Path("/run/netns")).iterdir()) == sorted(lab.places)
    mounts = [line.split()[1] for line in Path(f"/proc/{lab.keeper.pid}/mounts").read_text().splitlines()]
    assert sum(each.startswith("/run/disks") for each in mounts) == 3
    assert lab.api.state()["violations"] == []
    assert "Traceback" not in (lab.state / "api.log").read_text()


@pytest.mark.alone
@pytest.mark.parametrize("ends", ["down", "crash"])
def test_nothing_is_left_of_a_lab_with_a_machine_that_boots(lab_name: Callable[[str], str], ends: str) -> None:
    before = traces()
    with kept(Lab(lab_name("booting"))) as this:
        this.up("gcp_autohealing")
        this.api.behave(latency_s=0, boot_s=3600)
        insert(this, "web-" + "x" * 59, "10.100.2.60", "us-central1-b", PUBLIC)
        insert(this, "node1", *NODES["node1"], PUBLIC)
        this.fault("instance_deleted", "node1", undo_after=600)
        assert {"processes", "groups", "files"} <= set(left_over(before))
        if ends == "crash":
            assert this.keeper.pid is not None
            os.kill(this.keeper.pid, signal.SIGKILL)
            until(lambda: "processes" not in left_over(before), 10)
    assert left_over(before) == {}

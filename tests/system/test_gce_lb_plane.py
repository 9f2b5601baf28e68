# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A load balancer in front of real machines: they are lost, and found healthy again by themselves.

What it does with packets is in tests/node, where machines are network namespaces.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from busy import Watch, until
from logs import kept
from test_vpc import ZONE, broken, request, script, ssh

from lab.lab import Lab

VIP, HEALTH = "10.100.3.1", 8080
HOST = "https://www.googleapis.com/compute/v1/projects/lab-project"
REGION = "/regions/us-central1"
# Says who it is to whoever connects to port 80, and that it is well on the other one.
SERVER = """
import http.server, socketserver, threading, socket, sys
class Who(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(socket.gethostname().encode())
    def log_message(self, *_):
        pass
servers = [http.server.ThreadingHTTPServer(("", int(port)), Who) for port in sys.argv[1:]]
for each in servers:
    threading.Thread(target=each.serve_forever).start()
"""
# From boot on. The local route is what Google's guest agent gives a backend.
UNIT = f"""
[Service]
ExecStartPre=/usr/sbin/ip route replace local {VIP}/32 dev eth0 proto 66
ExecStart=/usr/bin/python3 /root/server.py 80 {HEALTH}
[Install]
WantedBy=multi-user.target
"""
# Who answers a new connection: the first one, but not who is known, for at most so many seconds; "-" for nobody.
WATCH = """
import sys, time, urllib.request
url, known, seconds = f"http://{sys.argv[1]}/", sys.argv[2], float(sys.argv[3])
end = time.monotonic() + seconds
while time.monotonic() < end:
    try:
        who = urllib.request.urlopen(url, timeout=0.3).read().decode()
    except OSError:
        who = "-"
    if who not in ("-", known):
        break
    time.sleep(0.01)
print(who)
"""


def who(lab: Lab, client: str = "client1", address: str = VIP, known: str = "", seconds: float = 10) -> str:
    """Who answers within so many seconds, and is not ``known``."""
    return script(lab, client, WATCH, address, known or "''", seconds).strip()


def lost(lab: Lab, client: str, address: str = VIP) -> bool:
    """Whether nobody answers."""
    return who(lab, client, address, seconds=0.3) == "-"


def balance(lab: Lab) -> None:
    """A load balancer whose second node is the backup of the first, with a probe each second."""
    path, network = HOST.partition("/compute/v1/")[2], "projects/lab-project/global/networks/ip-failover"
    probes = {
        "sourceRanges": ["35.191.0.0/16", "130.211.0.0/22"],
        "allowed": [{"IPProtocol": "tcp", "ports": [str(HEALTH)]}],
    }
    request(lab, "POST", "/global/firewalls", name="web-probes", network=network, targetTags=["backend"], **probes)
    timers = {"checkIntervalSec": 1, "timeoutSec": 1, "healthyThreshold": 2, "unhealthyThreshold": 2}
    request(lab, "POST", f"{REGION}/healthChecks", name="web", type="HTTP", httpHealthCheck={"port": HEALTH}, **timers)
    backends = []
    for node in ("node1", "node2"):
        groups = f"{ZONE[node]}/instanceGroups"
        request(lab, "POST", groups, name=node)
        member = {"instance": f"{path}{ZONE[node]}/instances/{node}"}
        request(lab, "POST", f"{groups}/{node}/addInstances", instances=[member])
        backends.append({"group": f"{HOST}{groups}/{node}", "balancingMode": "CONNECTION", "failover": node == "node2"})
    request(
        lab,
        "POST",
        f"{REGION}/backendServices",
        name="web",
        loadBalancingScheme="INTERNAL",
        protocol="TCP",
        healthChecks=[f"{HOST}{REGION}/healthChecks/web"],
        backends=backends,
    )
    request(
        lab,
        "POST",
        f"{REGION}/forwardingRules",
        name="web",
        loadBalancingScheme="INTERNAL",
        backendService=f"{HOST}{REGION}/backendServices/web",
        subnetwork=f"{path}{REGION}/subnetworks/ip-failover-subnet",
        IPAddress=VIP,
        ports=["80"],
    )


def health(lab: Lab) -> dict[str, str]:
    return {each["instance"]: each["state"] for each in lab.api.state()["health"]}


WELL = {"node1": "HEALTHY", "node2": "HEALTHY"}


@pytest.fixture(scope="module")
def pair(lab_name: Callable[[str], str]) -> Iterator[Lab]:
    with kept(Lab(lab_name("plane"))) as lab:
        lab.up("gcp_lb_failover")
        lab.api.behave(latency_s=0, propagation_s=0)
        for node in ("node1", "node2"):
            ssh(lab, node, f"cat > /root/server.py <<'SCRIPT'\n{SERVER}\nSCRIPT")
            ssh(lab, node, f"cat > /etc/systemd/system/server.service <<'UNIT'\n{UNIT}\nUNIT")
            ssh(lab, node, "systemctl enable --quiet --now server")
        balance(lab)
        yield lab


def test_who_reaches_whom(pair: Lab) -> None:
    until(lambda: health(pair) == WELL)
    assert who(pair) == who(pair, "node1") == "node1"
    assert who(pair, "node2") == "node2", "a backend that calls the address talks to itself"
    assert lost(pair, "client2") and lost(pair, "outside1"), "it is for the region's own clients"
    assert who(pair, "client2", "10.100.2.1") == "node1", "the network is one, and has a firewall rule for that"
    assert lost(pair, "outside1", "10.100.2.1") and lost(pair, "node1", "10.100.2.2")


@pytest.mark.parametrize("fault", ["node_power_off", "node_hang", "partition", "probe_firewall_removed"])
def test_a_lost_node_is_noticed_by_its_probes_and_comes_back_by_itself(pair: Lab, fault: str) -> None:
    until(lambda: health(pair) == WELL and who(pair) == "node1")
    with broken(pair, fault, "node1"):
        if fault == "probe_firewall_removed":
            until(lambda: set(health(pair).values()) == {"UNHEALTHY"}, 5)
            assert who(pair) == "node1", "the last resort"
        else:
            watch = Watch()
            assert who(pair, known="node1") == "node2"
            watch.at_most(4)  # two probes that fail, and their time
            assert health(pair) == {"node1": "UNHEALTHY", "node2": "HEALTHY"}
    until(lambda: health(pair) == WELL)
    assert who(pair) == "node1", "the fail-back"


def test_an_api_that_is_down_changes_nothing(pair: Lab) -> None:
    with broken(pair, "api_down", "node1"):
        with pytest.raises(AssertionError, match="503"):
            request(pair, "GET", f"{REGION}/backendServices/web")
        assert who(pair) == "node1"
        ssh(pair, "node1", "systemctl stop server")
        assert who(pair, known="node1") == "node2"
        ssh(pair, "node1", "systemctl start server")
        assert who(pair, known="node2") == "node1"
    request(pair, "GET", f"{REGION}/backendServices/web")

# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two nodes behind a passthrough load balancer, on real machines and the lab's API.

Each topology is a class with a lab of its own, so that several can run at once.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest
from busy import Watch, passed, until
from logs import kept
from pair import Pair, changes

from lab.lab import Lab

NODES = ("node1", "node2")
VIP = "10.100.3.1"
PROJECT = "http://199.36.153.8/compute/v1/projects/lab-project"
# The default of gcp_lb_objective_s, and what it takes clients to notice.
OBJECTIVE_S = 3.0 + 0.3
# The service works all the time.
HARMLESS = {"health_endpoint_broken", "probe_firewall_removed"}
# For so long may both answer new connections that one should: an interval of the probes, and a hand-over.
BOTH_S = 1.0 + 1.0
# Where everything is of which a load balancer consists.
KINDS = [
    "global/firewalls",
    *(f"regions/us-central1/{kind}" for kind in ("addresses", "healthChecks", "backendServices", "forwardingRules")),
    *(f"zones/us-central1-{zone}/instanceGroups" for zone in "ab"),
]
THERE = f"""
import json, urllib.request as u
for kind in {KINDS}:
    asked = u.Request('{PROJECT}/' + kind, headers={{'Authorization': 'Bearer lab-controller-token'}})
    for each in json.load(u.urlopen(asked)).get('items', ()):
        print(kind, each['name'])
"""
ON_NODE = f"""
find /etc /usr/local /var/lib /run -xdev -not -path '/var/lib/dpkg/*' -not -path '/var/lib/apt/*' \
    -not -path '/var/lib/systemd/deb-systemd-helper-*' \
    \\( -name '*cloudha*' -o -name 'vip-*' -o -name 'keepalived*' -o -name 'nginx*' \\) 2>/dev/null
getent passwd vip-agent keepalived_script
systemctl list-units --all --no-legend --plain 'cloudha*' 'vip-agent*' 'keepalived*' 'nginx*'
ip -oneline address show to {VIP}
"""
ASK = f"""
import urllib.request as u
for _ in range(30):
    try:
        print(u.urlopen('http://{VIP}/healthz', timeout=2).headers['X-Vip-Node'])
    except OSError:
        print('nobody')
        break
"""
# A page that takes its client longer than two switchovers: its next piece comes when the client has read the last one.
LINES = 4_000_000
SOCKETS_HOLD = 10 << 20  # bytes, at most
PAGE = f"seq {LINES} > $(nginx -T 2>/dev/null | sed -n 's/^ *root \\(.*\\);/\\1/p')/page"
DOWNLOAD = f"""
import http.client, os, socket, sys, time
node = sys.argv[1]
while True:
    connection = http.client.HTTPConnection('{VIP}')
    connection.sock = socket.socket()
    connection.sock.settimeout(30)
    connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
    connection.sock.connect(('{VIP}', 80))
    connection.request('GET', '/page')
    answer = connection.getresponse()
    if answer.getheader('X-Vip-Node') == node:
        break
    connection.close()
open('/run/test-page-begun', 'w')
pieces = []
while not os.path.exists('/run/test-page-enough'):
    pieces.append(answer.read(1 << 12))
    time.sleep(0.1)
pieces.append(answer.read())
same = b''.join(pieces) == b''.join(b'%d\\n' % number for number in range(1, {LINES} + 1))
open('/run/test-page-read', 'w').write(f'{{len(pieces[-1])}} {{same}}')
"""


@dataclass
class Download:
    """What a client made of one that lasted."""

    rest: int = 0  # bytes that it had not read yet when that had ended
    same: bool = False  # it has got every byte, in order


class Balanced(Pair):
    """Nodes and their load balancer. Every playbook gets the same options."""

    def __init__(self, lab: Lab, scratch: Path, topology: str, options: dict[str, object]) -> None:
        super().__init__(lab, scratch, topology, VIP)
        self.options = options
        self.fresh: tuple[str, ...] = ()

    def command(self, playbook: str, *words: str, **variables: object) -> list[str]:
        return super().command(playbook, *words, **{**self.options, **variables})

    def traces(self) -> tuple[str, ...]:
        """Everything on the nodes and in the project that a deployment may have left."""
        return self.there(), *(self.ssh(node, f"{ON_NODE}\n:") for node in NODES)

    def there(self) -> str:
        return self.ssh("client1", f'python3 - <<"CODE"\n{THERE}\nCODE')

    def changing_requests(self) -> list[str]:
        """Since the log was begun anew."""
        return [f"{each['method']} {each['path']}" for each in self.lab.api.log() if each["mutation"]]

    def healthy(self) -> set[str]:
        """As the load balancer sees it."""
        return {each["instance"] for each in self.lab.api.state()["health"] if each["state"] == "HEALTHY"}

    def who_answers(self, client: str = "client1") -> set[str]:
        """New connections, each by itself."""
        return set(self.ssh(client, f"python3 - <<'CODE'\n{ASK}\nCODE").split())

    @contextlib.contextmanager
    def download(self, node: str) -> Iterator[Download]:
        """One from this node that goes on for as long as the block does; the values are there when it has ended."""
        done = Download()
        self.ssh(node, PAGE)
        self.ssh("client1", f"cat > /run/test-download.py <<'CODE'\n{DOWNLOAD}\nCODE\nrm -f /run/test-page*")
        unit = "systemd-run --quiet --collect --unit=test-download --property=RuntimeMaxSec=300"
        self.ssh("client1", f"{unit} python3 /run/test-download.py {node}")
        try:
            self.until("client1", "[ -e /run/test-page-begun ]", 30)
            yield done
            self.ssh("client1", "touch /run/test-page-enough")
            self.until("client1", "[ -s /run/test-page-read ]", 60)
        finally:
            self.ssh("client1", "systemctl stop test-download 2>/dev/null || :")
        rest, same = self.ssh("client1", "cat /run/test-page-read").split()
        done.rest, done.same = int(rest), same == "True"

    def drill(self, *faults: str) -> dict[str, Any]:
        """All of them pass."""
        directory = self.scratch / "drill"
        # A busy machine is slow: the test holds the gaps to the objective itself.
        slow = {"drill_rto_ms": 6000, "drill_lossless_ms": 1000}
        done = self.play("drill", drill_faults=faults, drill_report_dir=str(directory), **slow)
        print(done.stdout[-3000:])
        report = json.loads((directory / "report.json").read_text())
        passed(report)
        assert done.returncode == 0
        found = {each["fault"]: each for each in report["faults"]}
        assert set(found) == set(faults)
        return found


@pytest.fixture(scope="class")
def nodes(
    request: pytest.FixtureRequest, lab_name: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Balanced]:
    this = request.cls
    with kept(Lab(lab_name(this.name.removeprefix("gcp_").replace("_", "")))) as lab:
        lab.up(this.name)
        lab.api.behave(latency_s=0.2)
        nodes = Balanced(lab, tmp_path_factory.mktemp("nodes"), this.name, this.options)
        fresh = nodes.traces()
        nodes.deploy("--check")
        assert (nodes.traces(), nodes.changing_requests()) == (fresh, [])
        nodes.deploy()
        assert all(after != before for after, before in zip(nodes.traces(), fresh, strict=True))
        nodes.fresh = fresh
        yield nodes


class Topology:
    """What all three have to show. The options are the roles'."""

    name: ClassVar[str]
    faults: ClassVar[tuple[str, ...]]  # the demo takes all
    options: ClassVar[dict[str, object]] = {}
    # Which nodes get new connections, of two that are well.
    serving: ClassVar[set[str]] = {"node1"}

    def test_clients_are_served_and_a_second_run_changes_nothing(self, nodes: Balanced) -> None:
        assert nodes.who_answers() == self.serving
        elsewhere = self.serving if self.options.get("gcp_lb_global_access") else {"nobody"}
        assert nodes.who_answers("client2") == elsewhere, "it is in another region"
        nodes.lab.api.forget()
        assert set(changes(nodes.deploy()).values()) == {0}
        assert nodes.changing_requests() == []
        assert nodes.play("status").returncode == 0

    def test_a_switchover_and_back_loses_nothing(self, nodes: Balanced) -> None:
        there, back = {"switchover_from": "node1"}, {"switchover_to": "node1"}
        with nodes.download("node1") as download:
            for words, serving in ((there, {"node2"}), (back, self.serving)):
                watch = Watch()
                with nodes.client() as seen:
                    done = nodes.play("switchover", **words)
                    assert done.returncode == 0, done.stdout[-3000:]
                assert nodes.who_answers() == serving
                assert seen.lost == 0 and seen.answered_by == set(NODES)
                if len(self.serving) == 1:
                    watch.at_most(BOTH_S, seen.split_brain_ms / 1000)
        assert download.rest > SOCKETS_HOLD, "its node was to send more all the time"
        assert download.same

    def test_faults(self, nodes: Balanced) -> None:
        watch = Watch()
        found = nodes.drill(*self.faults)
        watch.at_most(OBJECTIVE_S, max(each["gap_ms"] for each in found.values()) / 1000)
        assert {name for name, each in found.items() if not each["requests_lost"]} == HARMLESS & set(found)
        if len(self.serving) == 1:
            watch.at_most(BOTH_S, max(each["split_brain_ms"] for each in found.values()) / 1000)

    def take_away(self, nodes: Balanced) -> None:
        """The last test of each."""
        done = nodes.play("teardown")
        assert done.returncode == 0, done.stdout[-3000:]
        assert nodes.traces() == nodes.fresh


class TestFailover(Topology):
    name = "gcp_lb_failover"
    faults = ("service_kill", "node_hang", "health_endpoint_broken", "probe_firewall_removed")

    # What needs no API to be refused is in tests/contract/test_refused.py.
    def test_an_address_outside_of_the_subnet_is_refused_before_anything_changes(self, nodes: Balanced) -> None:
        look = "sha256sum /etc/nginx/nginx.conf; systemctl show -p MainPID nginx; ip -oneline address show lo"
        before = nodes.there(), [nodes.ssh(node, look) for node in NODES]
        nodes.lab.api.forget()
        done = nodes.play(nodes.topology, vip_address="10.99.0.1/32")
        assert done.returncode != 0, "this must be refused"
        assert "10.99.0.1 is outside of 10.100.0.0/16, the primary range" in done.stdout, done.stdout[-3000:]
        assert set(changes(done.stdout).values()) == {0} and nodes.changing_requests() == []
        assert (nodes.there(), [nodes.ssh(node, look) for node in NODES]) == before

    def test_teardown_takes_everything_away(self, nodes: Balanced) -> None:
        self.take_away(nodes)


class TestHeartbeat(Topology):
    name = "gcp_lb_heartbeat"
    faults = ("service_kill", "node_hang")

    def test_after_a_split_exactly_one_serves(self, nodes: Balanced) -> None:
        with nodes.client() as seen:
            nodes.lab.fault("partition_peers", "node1", undo_after=60)
            until(lambda: nodes.healthy() == set(NODES), 30)
            nodes.lab.repair("partition_peers", "node1")
            until(lambda: len(nodes.healthy()) == 1, 30)
        assert seen.lost == 0, "who gives way serves until the other one does"
        nodes.until_well()
        assert len(nodes.who_answers()) == 1

    def test_teardown_takes_everything_away(self, nodes: Balanced) -> None:
        self.take_away(nodes)


class TestActiveActive(Topology):
    name = "gcp_lb_active_active"
    faults = ("service_hang", "zone_outage")
    options: ClassVar[dict[str, object]] = {
        "vip_drain_file": "/run/test-away",
        "gcp_lb_global_access": True,
    }
    serving: ClassVar[set[str]] = set(NODES)

    def test_teardown_takes_everything_away(self, nodes: Balanced) -> None:
        self.take_away(nodes)

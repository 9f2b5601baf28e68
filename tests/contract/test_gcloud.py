# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Google's own client works against the lab's API."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.gce.server import Local

pytestmark = pytest.mark.skipif(not shutil.which("gcloud"), reason="gcloud is not installed here")
Gcloud = Callable[..., Any]
HOP = ("--next-hop-instance=node2", "--next-hop-instance-zone=us-central1-b")
REGION = "--region=us-central1"
SUBNET = ("--network=ip-failover", "--subnet=ip-failover-subnet")


@pytest.fixture(scope="session")
def server() -> Iterator[subprocess.Popen[str]]:
    """Google's client, which has imported all that it needs."""
    program = Path(__file__).with_name("gcloud_server.py")
    environment = {**os.environ, "CLOUDSDK_PYTHON_ARGS": f"-S {program}"}
    with subprocess.Popen(
        ["gcloud"], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield process
        assert process.stdin
        process.stdin.close()  # it ends


@pytest.fixture
def gcloud(gce: Local, tmp_path: Path, server: subprocess.Popen[str]) -> Gcloud:
    """Runs `gcloud compute`, or another service, and returns what it prints, from JSON."""
    (tmp_path / "token").write_text("lab-controller-token")
    environment = {
        **os.environ,
        "CLOUDSDK_CONFIG": str(tmp_path / "config"),
        "CLOUDSDK_API_ENDPOINT_OVERRIDES_COMPUTE": f"{gce.endpoint}/",
        "CLOUDSDK_API_ENDPOINT_OVERRIDES_DNS": f"{gce.root}/dns/v1/",
        "CLOUDSDK_AUTH_ACCESS_TOKEN_FILE": str(tmp_path / "token"),
        "CLOUDSDK_CORE_DISABLE_PROMPTS": "1",
        "CLOUDSDK_CORE_DISABLE_USAGE_REPORTING": "1",
        "CLOUDSDK_CORE_PROJECT": "lab-project",
    }

    def run(*words: str, succeeds: bool = True, service: str = "compute") -> Any:
        out, err = tmp_path / "out", tmp_path / "err"
        for file in (out, err):
            file.unlink(missing_ok=True)
        command = {"words": [service, *words, "--format=json"], "environment": environment, "timeout": 60}
        command |= {"directory": str(tmp_path), "out": str(out), "err": str(err)}
        assert server.stdin and server.stdout
        print(json.dumps(command), file=server.stdin, flush=True)
        assert (int(server.stdout.readline()) == 0) == succeeds, err.read_text()
        return json.loads(out.read_text() or "null") if succeeds else err.read_text()

    return run


def test_routes_come_and_go(gce: Local, gcloud: Gcloud) -> None:
    for name, hop in (("one", HOP), ("two", ("--next-hop-address=10.100.2.1",))):
        gcloud("routes", "create", name, "--network=ip-failover", "--destination-range=10.9.9.9/32", *hop)
    assert [each["name"] for each in gcloud("routes", "list", "--filter=destRange=10.9.9.9/32")] == ["one", "two"]
    refused = gcloud(
        "routes", "create", "one", "--network=ip-failover", "--destination-range=10.9.9.9/32", *HOP, succeeds=False
    )
    assert "already exists" in refused
    # Two at once come as one batch.
    gcloud("routes", "delete", "one", "two")
    assert gce.cloud.routes == {}
    assert "was not found" in gcloud("routes", "delete", "one", succeeds=False)


def test_instances_are_listed_and_stopped(gce: Local, gcloud: Gcloud) -> None:
    assert {each["name"]: each["status"] for each in gcloud("instances", "list")} == {
        "node1": "RUNNING",
        "node2": "RUNNING",
        "client1": "RUNNING",
        "controller": "RUNNING",
    }
    gcloud("instances", "stop", "node2", "--zone=us-central1-b")
    assert not gce.cloud.plane.running("node2")
    assert gcloud("instances", "describe", "node2", "--zone=us-central1-b")["status"] == "TERMINATED"


def test_alias_ranges_are_set_and_the_last_one_is_removed(gce: Local, gcloud: Gcloud) -> None:
    for aliases in ("10.100.9.0/28;10.100.9.99/32", ""):
        gcloud("instances", "network-interfaces", "update", "node1", "--zone=us-central1-a", f"--aliases={aliases}")
        interface = gce.cloud.instances["node1"]["networkInterfaces"][0]
        ranges = ";".join(each["ipCidrRange"] for each in interface.get("aliasIpRanges", []))
        assert ranges == aliases


def test_addresses(gce: Local, gcloud: Gcloud) -> None:
    shared = ("--addresses=10.100.9.1", "--subnet=ip-failover-subnet", "--purpose=SHARED_LOADBALANCER_VIP")
    gcloud("addresses", "create", "inside", REGION, *shared)
    gcloud("addresses", "create", "outside", REGION, "--network-tier=STANDARD")
    assert gcloud("addresses", "describe", "inside", REGION)["status"] == "RESERVED"
    assert [each["name"] for each in gcloud("addresses", "list")] == ["inside", "outside"]
    refused = gcloud("addresses", "create", "again", REGION, *shared, succeeds=False)
    assert "is already being used by another resource" in refused
    gcloud("addresses", "delete", "inside", "outside", REGION)
    assert gcloud("addresses", "list", "--filter=region:us-central1") == []


def test_health_checks(gce: Local, gcloud: Gcloud) -> None:
    for scope in (REGION, "--global"):
        gcloud("health-checks", "create", "tcp", "web", scope, "--port=80", "--check-interval=3s", "--timeout=2s")
        gcloud("health-checks", "update", "tcp", "web", scope, "--unhealthy-threshold=3")
        found = gcloud("health-checks", "describe", "web", scope)
        assert (found["checkIntervalSec"], found["unhealthyThreshold"], found["timeoutSec"]) == (3, 3, 2)
    gcloud("health-checks", "create", "http", "up", REGION, "--port=8080", "--request-path=/up", "--host=web.test")
    assert sorted(each["name"] for each in gcloud("health-checks", "list")) == ["up", "web", "web"]
    gcloud("health-checks", "update", "http", "up", REGION, "--host=", "--response=ok")
    http = gcloud("health-checks", "describe", "up", REGION)["httpHealthCheck"]
    assert "host" not in http and (http["response"], http["port"], http["requestPath"]) == ("ok", 8080, "/up")
    bad = ("--check-interval=1s", "--timeout=2s")
    refused = gcloud("health-checks", "create", "tcp", "bad", REGION, "--port=80", *bad, succeeds=False)
    assert "TimeoutSec should be less than checkIntervalSec" in refused
    gcloud("health-checks", "delete", "web", "--global")
    gcloud("health-checks", "delete", "web", "up", REGION)
    assert gcloud("health-checks", "list") == []


def test_instance_groups(gce: Local, gcloud: Gcloud) -> None:
    command, zone = ("instance-groups", "unmanaged"), "--zone=us-central1-a"
    gcloud(*command, "create", "web", zone, "--description=ours")
    gcloud(*command, "add-instances", "web", zone, "--instances=node1")
    gcloud(*command, "set-named-ports", "web", zone, "--named-ports=http:80")
    (member,) = gcloud(*command, "list-instances", "web", zone)
    assert member["instance"].endswith("/instances/node1") and member["status"] == "RUNNING"
    assert gcloud(*command, "get-named-ports", "web", zone) == [{"name": "http", "port": 80}]
    (listed,) = gcloud(*command, "list")
    assert (listed["name"], listed["size"], listed["isManaged"]) == ("web", 1, "No")
    refused = gcloud(*command, "add-instances", "web", zone, "--instances=node1", succeeds=False)
    assert "is already a member of" in refused
    gcloud(*command, "remove-instances", "web", zone, "--instances=node1")
    assert gcloud(*command, "describe", "web", zone)["size"] == 0
    gcloud(*command, "delete", "web", zone)
    assert gcloud(*command, "list") == []


def test_firewall_rules(gce: Local, gcloud: Gcloud) -> None:
    ranges = "--source-ranges=35.191.0.0/16,130.211.0.0/22"
    gcloud("firewall-rules", "create", "probes", "--network=ip-failover", "--allow=tcp:80", ranges)
    gcloud("firewall-rules", "update", "probes", "--allow=tcp:80,tcp:6000", "--target-tags=backend", "--disabled")
    found = gcloud("firewall-rules", "describe", "probes")
    assert [each["ports"] for each in found["allowed"]] == [["80"], ["6000"]]
    assert found["disabled"] is True and found["sourceRanges"] == ["35.191.0.0/16", "130.211.0.0/22"]
    gcloud("firewall-rules", "update", "probes", "--target-tags=", "--no-disabled")
    found = gcloud("firewall-rules", "describe", "probes")
    assert "targetTags" not in found and found["disabled"] is False
    gcloud("firewall-rules", "delete", "probes")
    assert "probes" not in gce.cloud.firewalls


@pytest.fixture
def backends(gcloud: Gcloud) -> None:
    """A health check and two groups."""
    gcloud("health-checks", "create", "tcp", "web", REGION, "--port=80")
    for node, zone in (("node1", "us-central1-a"), ("node2", "us-central1-b")):
        gcloud("instance-groups", "unmanaged", "create", f"of-{node}", f"--zone={zone}")
        gcloud("instance-groups", "unmanaged", "add-instances", f"of-{node}", f"--zone={zone}", f"--instances={node}")


def _group(node: str) -> tuple[str, ...]:
    zone = {"node1": "us-central1-a", "node2": "us-central1-b"}[node]
    return REGION, f"--instance-group=of-{node}", f"--instance-group-zone={zone}"


def _create_service(gcloud: Gcloud, name: str, scheme: str, protocol: str, *more: str) -> None:
    check = ("--health-checks=web", "--health-checks-region=us-central1")
    options = (f"--load-balancing-scheme={scheme}", f"--protocol={protocol}", REGION, *check, *more)
    gcloud("backend-services", "create", name, *options)


@pytest.mark.usefixtures("backends")
def test_backend_services(gce: Local, gcloud: Gcloud) -> None:
    """In the order of Google's guide: the policy first, then the primary, then the backup."""
    policy = ("--failover-ratio=0.5", "--drop-traffic-if-unhealthy", "--no-connection-drain-on-failover")
    _create_service(gcloud, "web", "internal", "tcp", *policy)
    gcloud("backend-services", "add-backend", "web", *_group("node1"))
    gcloud("backend-services", "add-backend", "web", *_group("node2"), "--failover")
    found = gcloud("backend-services", "describe", "web", REGION)
    assert [(each["balancingMode"], each.get("failover", False)) for each in found["backends"]] == [
        ("CONNECTION", False),
        ("CONNECTION", True),
    ]
    assert found["failoverPolicy"] == {
        "failoverRatio": 0.5,
        "dropTrafficIfUnhealthy": True,
        "disableConnectionDrainOnFailover": True,
    }
    tracking = ("--tracking-mode=PER_SESSION", "--connection-persistence-on-unhealthy-backends=NEVER_PERSIST")
    more = ("--session-affinity=CLIENT_IP", "--connection-draining-timeout=60", "--idle-timeout-sec=1200", *tracking)
    gcloud("backend-services", "update", "web", REGION, *more)
    gcloud("backend-services", "update-backend", "web", *_group("node2"), "--no-failover")
    (seen,) = gce.cloud.balancers.services()
    assert (seen.affinity, seen.tracking, seen.persistence) == ("CLIENT_IP", "PER_SESSION", "NEVER_PERSIST")
    assert (seen.drain_s, seen.idle_s, [each.failover for each in seen.backends]) == (60, 1200, [False, False])
    gcloud("forwarding-rules", "create", "web", REGION, "--load-balancing-scheme=internal", *SUBNET, *_to("web"))
    gce.cloud.balancers.health["web", "node1"] = "HEALTHY"
    one, other = gcloud("backend-services", "get-health", "web", REGION)
    assert one["backend"].endswith("/of-node1") and one["status"]["healthStatus"][0]["healthState"] == "HEALTHY"
    assert other["status"].get("healthStatus", []) == []
    refused = gcloud("backend-services", "delete", "web", REGION, succeeds=False)
    assert "is already being used by" in refused
    gcloud("forwarding-rules", "delete", "web", REGION)
    for node in ("node1", "node2"):
        gcloud("backend-services", "remove-backend", "web", *_group(node))
    (listed,) = gcloud("backend-services", "list")
    assert listed["name"] == "web" and "backends" not in listed
    gcloud("backend-services", "delete", "web", REGION)
    assert gcloud("backend-services", "list") == []


def _to(service: str, *ports: str) -> tuple[str, ...]:
    return f"--backend-service={service}", "--backend-service-region=us-central1", *(ports or ("--ports=80",))


@pytest.mark.usefixtures("backends")
def test_forwarding_rules(gce: Local, gcloud: Gcloud) -> None:
    for name, protocol in (("tcp", "tcp"), ("udp", "udp"), ("all", "unspecified"), ("spare", "tcp")):
        _create_service(gcloud, name, "internal", protocol)
    vip = ("--addresses=10.100.9.1", "--subnet=ip-failover-subnet", "--purpose=SHARED_LOADBALANCER_VIP")
    gcloud("addresses", "create", "vip", REGION, *vip)
    options = (REGION, "--load-balancing-scheme=internal", *SUBNET, "--address=vip")
    create = ("forwarding-rules", "create")
    gcloud(*create, "tcp", *options, "--ip-protocol=TCP", *_to("tcp", "--ports=80,443"), "--allow-global-access")
    gcloud(*create, "udp", *options, "--ip-protocol=UDP", *_to("udp", "--ports=ALL"))
    gcloud(*create, "all", *options, "--ip-protocol=L3_DEFAULT", *_to("all", "--ports=ALL"))
    refused = gcloud(*create, "more", *options, "--ip-protocol=TCP", *_to("tcp"), succeeds=False)
    assert "IP_IN_USE_BY_ANOTHER_RESOURCE" in refused
    found = {each["name"]: each for each in gcloud("forwarding-rules", "list")}
    assert {each["IPAddress"] for each in found.values()} == {"10.100.9.1"}
    assert (found["tcp"]["ports"], found["tcp"]["allowGlobalAccess"]) == (["80", "443"], True)
    assert found["udp"]["allPorts"] is True and found["all"]["IPProtocol"] == "L3_DEFAULT"
    gcloud("forwarding-rules", "update", "tcp", REGION, "--no-allow-global-access", "--update-labels=ours=yes")
    gcloud("forwarding-rules", "set-target", "tcp", REGION, *_to("spare")[:2])
    now = gcloud("forwarding-rules", "describe", "tcp", REGION)
    assert now["backendService"].endswith("/spare") and now["IPAddress"] == "10.100.9.1"
    assert (now["labels"], now["allowGlobalAccess"]) == ({"ours": "yes"}, False)
    gcloud("forwarding-rules", "delete", "tcp", "udp", "all", REGION)
    assert gcloud("addresses", "describe", "vip", REGION)["status"] == "RESERVED"


@pytest.mark.usefixtures("backends")
def test_an_external_load_balancer(gce: Local, gcloud: Gcloud) -> None:
    gcloud("addresses", "create", "vip", REGION)
    _create_service(gcloud, "web", "external", "tcp")
    gcloud("backend-services", "add-backend", "web", *_group("node1"))
    options = (REGION, "--load-balancing-scheme=external", "--address=vip")
    gcloud("forwarding-rules", "create", "one", *options, *_to("web", "--ports=80"))
    gcloud("forwarding-rules", "create", "more", *options, *_to("web", "--ports=443,8443"))
    (seen,) = gce.cloud.balancers.services()
    assert {each.name: each.ports for each in seen.rules} == {"one": (80,), "more": (443, 8443)}
    refused = gcloud("forwarding-rules", "create", "again", *options, *_to("web", "--ports=80"), succeeds=False)
    assert "in-use and would result in a conflict" in refused


def test_regions_and_their_operations(gce: Local, gcloud: Gcloud) -> None:
    gcloud("health-checks", "create", "tcp", "web", REGION, "--port=80")
    assert [each["name"] for each in gcloud("regions", "list")] == ["us-central1"]
    assert gcloud("regions", "describe", "us-central1")["status"] == "UP"
    (operation,) = gcloud("operations", "list", "--regions=us-central1")
    assert gcloud("operations", "describe", operation["name"], REGION)["status"] == "DONE"


def test_dns(gce: Local, gcloud: Gcloud) -> None:
    def dns(*words: str, **more: Any) -> Any:
        return gcloud(*words, service="dns", **more)

    zone, name = "--zone=ha", "web.ha.internal."
    private = ("--visibility=private", "--networks=ip-failover", "--description=")
    dns("managed-zones", "create", "ha", "--dns-name=ha.internal.", *private)
    assert [each["dnsName"] for each in dns("managed-zones", "list")] == ["ha.internal."]
    record = (zone, "--type=A", "--ttl=30")
    dns("record-sets", "create", name, *record, "--rrdatas=10.100.2.1")
    assert "already exists" in dns("record-sets", "create", name, *record, "--rrdatas=10.0.0.1", succeeds=False)
    dns("record-sets", "update", name, *record, "--rrdatas=10.100.2.2,10.100.2.3")
    dns("record-sets", "transaction", "start", zone)
    dns("record-sets", "transaction", "remove", "10.100.2.2", "10.100.2.3", "--name", name, *record)
    dns("record-sets", "transaction", "add", "10.100.2.1", "--name", name, *record)
    dns("record-sets", "transaction", "execute", zone)
    found = {each["type"]: each for each in dns("record-sets", "list", zone)}
    assert found["A"]["rrdatas"] == ["10.100.2.1"] and " 2 21600 " in found["SOA"]["rrdatas"][0]
    # It has the SOA in it, which is another one since.
    dns("record-sets", "transaction", "start", zone)
    dns("record-sets", "transaction", "add", "10.0.0.1", "--name=x.ha.internal.", *record)
    gce.cloud.dns.find("projects/lab-project", "ha").records.update(
        {(found["SOA"]["name"], "SOA"): {**found["SOA"], "ttl": 1}}
    )
    assert "Precondition not met" in dns("record-sets", "transaction", "execute", zone, succeeds=False)
    assert [each["status"] for each in dns("record-sets", "changes", "list", zone)] == ["done"] * 4
    dns("record-sets", "delete", name, zone, "--type=A")
    dns("managed-zones", "delete", "ha")
    assert dns("managed-zones", "list") == []

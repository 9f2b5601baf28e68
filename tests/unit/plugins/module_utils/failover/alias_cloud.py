# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Compute Engine's instances in memory: fingerprints, alias ranges that are unique, zones that fail."""

from __future__ import annotations

import copy
import ipaddress
import threading

from ansible_collections.cloudha.vip.plugins.module_utils.base.errors import (
    AlreadyExists,
    Invalid,
    NotFound,
    Stale,
    Unavailable,
)
from ansible_collections.cloudha.vip.plugins.module_utils.failover import alias, engine
from ansible_collections.cloudha.vip.plugins.module_utils.failover.alias_goal import AliasGoal, Want
from ansible_collections.cloudha.vip.plugins.module_utils.failover.alias_look import FOLLOW
from ansible_collections.cloudha.vip.tests.unit.plugins.module_utils.clock import Clock

URL = "https://www.googleapis.com/compute/v1/"
NETWORK = "projects/p/global/networks/net"
OTHER = "projects/p/global/networks/other"
SUBNET = "projects/p/regions/r/subnetworks/sub"
A = "projects/p/zones/r-a/instances/a"
B = "projects/p/zones/r-b/instances/b"
C = "projects/p/zones/r-c/instances/c"
X, Y = "10.0.9.1/32", "10.0.9.2/32"
POD = "172.16.5.0/24"


class OwnClock(Clock, threading.local):
    """Each thread has its own time: what others wait for at the same moment costs it nothing."""


class Aliases:
    """fault(phase, verb, path): called "before" and "after" each request; what it raises is the answer."""

    def __init__(self):
        self.clock = OwnClock()
        self.instances = {}
        self.operations = {}
        self.requests = []
        self.mutations = []
        self.silent = set()
        self.denied = set()
        self.latency = 2.0
        self.subnetwork = {
            "selfLink": URL + SUBNET,
            "network": URL + NETWORK,
            "ipCidrRange": "10.0.0.0/16",
            "secondaryIpRanges": [{"rangeName": "pods", "ipCidrRange": "172.16.0.0/16"}],
        }
        self.fault = lambda phase, verb, path: None
        self._version = 0
        self._lock = threading.RLock()
        for number, path in enumerate((A, B, C), 1):
            self.add(path, f"10.0.0.{number}")

    def add(self, path, address, aliases=(), status="RUNNING"):
        self.instances[path] = {
            "selfLink": URL + path,
            "name": path.rpartition("/")[2],
            "status": status,
            "networkInterfaces": [],
        }
        self.add_interface(path, "nic0", address, aliases)

    def add_interface(self, path, nic, address, aliases=(), network=NETWORK):
        self.instances[path]["networkInterfaces"].append(
            {
                "name": nic,
                "network": URL + network,
                "subnetwork": URL + SUBNET,
                "networkIP": address,
                "fingerprint": self._fingerprint(),
                "aliasIpRanges": [{"ipCidrRange": each} for each in aliases],
            }
        )

    def _fingerprint(self):
        self._version += 1
        return f"f{self._version}"

    def interface(self, path, nic="nic0"):
        return next(i for i in self.instances[path]["networkInterfaces"] if i["name"] == nic)

    def put(self, path, *ranges, nic="nic0"):
        """Somebody else adds ranges."""
        interface = self.interface(path, nic)
        interface["aliasIpRanges"] = interface.get("aliasIpRanges", []) + [{"ipCidrRange": each} for each in ranges]
        interface["fingerprint"] = self._fingerprint()
        self.check()
        return self

    def take(self, path, *ranges, nic="nic0"):
        """Somebody else removes ranges."""
        interface = self.interface(path, nic)
        interface["aliasIpRanges"] = [i for i in interface["aliasIpRanges"] if i["ipCidrRange"] not in ranges]
        interface["fingerprint"] = self._fingerprint()

    def on(self, path, nic="nic0"):
        return {each["ipCidrRange"] for each in self.interface(path, nic).get("aliasIpRanges", [])}

    def holders(self, cidr):
        return [
            (path, interface["name"])
            for path, instance in self.instances.items()
            for interface in instance["networkInterfaces"]
            if any(each["ipCidrRange"] == cidr for each in interface.get("aliasIpRanges", []))
        ]

    def check(self):
        """No range, nor a part of one, is in two places of a network."""
        spaces = []
        for path, instance in self.instances.items():
            for interface in instance["networkInterfaces"]:
                spaces.append((interface["network"], ipaddress.ip_network(interface["networkIP"]), path))
                for each in interface.get("aliasIpRanges", []):
                    spaces.append((interface["network"], ipaddress.ip_network(each["ipCidrRange"]), path))
        for number, (network, space, path) in enumerate(spaces):
            for other_network, other, where in spaces[:number]:
                if network == other_network and space.overlaps(other):
                    raise AlreadyExists(f"IP '{space}' is already being used ({path}, {where})", status=400)

    # AliasApi

    def list_instances(self):
        self._send("before", "list", "")
        found = [i for path, i in self.instances.items() if path.split("/")[3] not in self.silent]
        with self._lock:
            found = copy.deepcopy(found)
        self._send("after", "list", "")
        return found, sorted(self.silent)

    def get_instance(self, path):
        self._send("before", "get", path)
        if path not in self.instances:
            raise NotFound(f"{path} was not found.", resource=path, status=404)
        with self._lock:
            found = copy.deepcopy(self.instances[path])
        self._send("after", "get", path)
        return found

    def list_subnetworks(self, network):
        self._send("before", "subnetworks", network)
        return [{**self.subnetwork, "network": URL + network}]

    def get_subnetwork(self, path):
        self._send("before", "subnetwork", path)
        assert path == SUBNET
        return self.subnetwork

    def test_permissions(self, path, permissions):
        self._send("before", "permissions", path)
        return set(permissions) - self.denied

    def may_follow_operations(self, scope):
        self._send("before", "operations", scope)
        return FOLLOW not in self.denied

    def update_network_interface(self, path, interface, body, request_id):
        self._send("before", "patch", path)
        if request_id not in self.operations:
            if path not in self.instances:
                raise NotFound(f"{path} was not found.", resource=path, status=404)
            self.clock.now += self.latency
            with self._lock:
                self.operations[request_id] = self._patch(path, interface, body)
        error = self.operations[request_id]
        self._send("after", "patch", path)
        if error:
            raise error

    def _patch(self, path, nic, body):
        interface = self.interface(path, nic)
        if body["fingerprint"] != interface["fingerprint"]:
            return Stale("The fingerprint does not match.", resource=path, status=412)
        before = interface.get("aliasIpRanges", [])
        interface["aliasIpRanges"] = copy.deepcopy(body["aliasIpRanges"])
        try:
            for each in body["aliasIpRanges"]:
                space = "172.16.0.0/16" if each.get("subnetworkRangeName") == "pods" else "10.0.0.0/16"
                if not ipaddress.ip_network(each["ipCidrRange"]).subnet_of(ipaddress.ip_network(space)):
                    raise Invalid(f"{each} is outside {space}", status=400)
            self.check()
        except (AlreadyExists, Invalid) as error:
            interface["aliasIpRanges"] = before
            return error
        interface["fingerprint"] = self._fingerprint()
        self.mutations.append((path, nic, sorted(each["ipCidrRange"] for each in body["aliasIpRanges"])))
        return None

    def stop_instance(self, path, request_id):
        self._send("before", "stop", path)
        self.instances[path]["status"] = "TERMINATED"
        self._send("after", "stop", path)

    def _send(self, phase, verb, path):
        if phase == "before":
            self.requests.append((verb, path.rpartition("/")[2]))
        self.fault(phase, verb, path)
        if phase == "before" and "/zones/" in path and path.split("/")[3] in self.silent:
            raise Unavailable(f"The zone of {path} is not available.", resource=path, status=503)


def want(cidr=X, target=B, source=None, **keys):
    candidates = [(target, "nic0")] if isinstance(target, str) else target or []
    return Want(cidr, candidates, source=(source, "") if isinstance(source, str) else source, **keys)


def goal(*wants, **keys):
    return AliasGoal(wants or [want()], **keys)


def move(cloud, wanted, threads=False, **keys):
    keys.setdefault("chance", lambda: 0.5)
    make_client = (lambda: cloud) if threads else None
    clock = cloud.clock
    return engine.apply(alias, cloud, wanted, sleep=clock.sleep, clock=clock, make_client=make_client, **keys)

# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A RouteApi in memory, with a clock that only tests move, and faults at every request."""

from __future__ import annotations

import copy
import math

from ansible_collections.cloudha.vip.plugins.module_utils.base.errors import (
    AlreadyExists,
    Invalid,
    Lost,
    NotFound,
    Unavailable,
)
from ansible_collections.cloudha.vip.plugins.module_utils.clouds.gce_names import normalise
from ansible_collections.cloudha.vip.plugins.module_utils.failover import engine, route
from ansible_collections.cloudha.vip.plugins.module_utils.failover.route_goal import RouteGoal
from ansible_collections.cloudha.vip.plugins.module_utils.failover.route_table import next_hop_of
from ansible_collections.cloudha.vip.tests.unit.plugins.module_utils.clock import Clock
from ansible_collections.cloudha.vip.tests.unit.plugins.module_utils.failover.runs import Broken

NETWORK = "projects/p/global/networks/ip-failover"
DESTINATION = "10.200.1.1/32"
NAME = "floating-ip-route"
EPOCH = 1_795_258_800.0  # 2026-11-21T11:00:00Z
URL = "https://www.googleapis.com/compute/v1/"


def instance(name, zone="us-central1-a", project="p"):
    return f"projects/{project}/zones/{zone}/instances/{name}"


A, B, C = instance("node1"), instance("node2", "us-central1-b"), instance("node3", "us-central1-c")


def goal(next_hop, **keys):
    keys.setdefault("check", False)
    return RouteGoal(keys.pop("name", NAME), keys.pop("destination", DESTINATION), NETWORK, next_hop, **keys)


class Cloud:
    """Operations take `latency`, and are over when the request returns.

    fault(phase, verb, target): called before and after each request takes effect; what it raises, the client sees.
    """

    def __init__(self, latency=2.0, fault=None, propagation=0.0):
        self.clock = Clock()
        self.propagation = propagation  # an inserted route works so much later, a deleted one is gone at once
        self.latency = latency
        self.fault = fault or (lambda phase, verb, target: None)
        self.routes = []
        self.instances = {}
        self.subnetworks = [{"name": "ip-failover-subnet", "ipCidrRange": "10.100.0.0/16"}]
        self.dead = {}  # next hop -> warning code
        self.operations = {}
        self.log = []  # mutations that took effect
        self.requests = []  # all that were sent
        self.served = False  # whether there ever was an active route to a live holder
        self.unprotected = False  # while a run is at work that shall delete it all
        self.knows_ids = True
        self._last_id = 4_000_000_000_000_000_000
        for number, path in enumerate((A, B, C), 1):
            self.add_instance(path, f"10.100.2.{number}")

    def add_instance(self, path, address, **keys):
        self.instances[path] = {
            "selfLink": URL + path,
            "name": path.rsplit("/", 1)[1],
            "status": "RUNNING",
            "canIpForward": True,
            "networkInterfaces": [{"network": URL + NETWORK, "networkIP": address}],
            **keys,
        }

    # What tests do and ask

    def put(self, name, next_hop, priority=1000, **keys):
        """A route that was there before."""
        field = "nextHopInstance" if "/" in str(next_hop) else "nextHopIp"
        value = URL + next_hop if "/" in str(next_hop) else next_hop
        body = {"name": name, "network": URL + NETWORK, "destRange": DESTINATION, "priority": priority, field: value}
        self._commit({**body, **keys})
        self.clock.now += 60
        return self

    def names(self):
        return sorted(r["name"] for r in self.routes)

    def named(self, name):
        return next((r for r in self.routes if r["name"] == name), None)

    def kill(self, next_hop, code="NEXT_HOP_NOT_RUNNING"):
        self.dead[next_hop] = code
        self.served = False

    def active(self):
        now = self.clock.now
        return [r for r in self.routes if r["_active"] and r["_works_at"] <= now and not self._warnings(r)]

    def traffic(self):
        """The next hops that get the traffic of all senders without tags, by the rules of the VPC."""
        active = [r for r in self.active() if r["destRange"] == DESTINATION and normalise(r["network"]) == NETWORK]
        best = min((r["priority"] for r in active), default=None)
        return {next_hop_of(r) for r in active if r["priority"] == best}

    def check(self):
        """Invariants (a) and (c)."""
        if self.unprotected:
            self.served = False
        elif self.traffic():
            self.served = True
        elif self.served:
            raise Broken(f"no route to a live holder, after {self.log}")

    # RouteApi

    def list_routes(self, destination):
        self._send("before", "list", destination)
        found = [self._shown(r) for r in self.routes if r["_visible"] and r["destRange"] == destination]
        self._send("after", "list", destination)
        return found, float(math.floor(EPOCH + self.clock.now))

    def insert_route(self, body, request_id):
        name = body["name"]
        self._send("before", "insert", name)
        self._refuse_other_projects(body)
        if request_id not in self.operations:
            if self.named(name):
                raise AlreadyExists(f"The resource {name} already exists.", resource=name, status=409)
            self.operations[request_id] = None
            self.clock.now += self.latency
            self._commit(body, began=self.clock.now - self.latency)
            self.log.append(("insert", name, body["priority"], body.get("nextHopInstance") or body.get("nextHopIp")))
        self._send("after", "insert", name)
        self.check()
        return self._warnings(body)

    def delete_route(self, name, request_id):
        self._send("before", "delete", name)
        if request_id not in self.operations:
            found = self._find(name)
            self.operations[request_id] = None
            self.clock.now += self.latency
            self.routes.remove(found)
            self.log.append(("delete", found["name"]))
        self.check()
        self._send("after", "delete", name)

    def get_instance(self, path):
        self._send("before", "instance", path)
        if path not in self.instances:
            raise NotFound(f"The resource {path} was not found.", resource=path, status=404)
        return self.instances[path]

    def get_network(self, path):
        self._send("before", "network", path)
        if path != NETWORK:
            raise NotFound(f"The resource {path} was not found.", resource=path, status=404)
        return {"name": "ip-failover", "selfLink": URL + path}

    def list_subnetworks(self, network):
        self._send("before", "subnetworks", network)
        return self.subnetworks

    def find_instance_by_address(self, network, address):
        self._send("before", "find", address)
        for each in self.instances.values():
            if any(i["networkIP"] == address for i in each["networkInterfaces"]):
                return each
        return None

    # The inside

    def _send(self, phase, verb, target):
        if phase == "before":
            self.requests.append((verb, target))
        self.fault(phase, verb, target)

    def _find(self, name):
        found = next((r for r in self.routes if (self.knows_ids and r["id"] == name) or r["name"] == name), None)
        if not found:
            raise NotFound(f"The resource {name} was not found.", resource=name, status=404)
        return found

    def _refuse_other_projects(self, body):
        hop = body.get("nextHopInstance")
        if hop and not normalise(hop).startswith("projects/p/"):
            raise Invalid(
                f"Invalid value for field 'resource.nextHopInstance': '{hop}'. Cross project referencing is not "
                "allowed for this resource.",
                status=400,
                code="invalid",
            )

    def _commit(self, body, began=None, active=True, visible=True):
        hop = next_hop_of(body)
        if not hop and "nextHopNetwork" not in body:
            raise Invalid("The route has no next hop.", status=400)
        self._last_id += 7
        added = {**body, "id": str(self._last_id), "_active": active, "_visible": visible}
        added["_works_at"] = self.clock.now + self.propagation
        # As Google writes it: local time of the west coast, milliseconds.
        added.setdefault("creationTimestamp", written(EPOCH + (self.clock.now if began is None else began)))
        added["network"] = URL + normalise(body["network"])
        if "/" in str(body.get("nextHopInstance", "")):
            added["nextHopInstance"] = URL + normalise(body["nextHopInstance"])
        self.routes.append(added)
        self.check()
        return added

    def _warnings(self, body):
        code = self.dead.get(next_hop_of(body))
        return [{"code": code, "message": "The next hop is dead."}] if code else []

    def _shown(self, each):
        shown = {key: copy.copy(value) for key, value in each.items() if not key.startswith("_")}
        warnings = self._warnings(each)
        return {**shown, "warnings": warnings} if warnings else shown


class SlowCloud(Cloud):
    """Operations go on after their requests ended: lost connections, late commits, failures after they were listed.

    rng decides; tick() lets time pass for them.
    """

    def __init__(self, rng, lease=20.0):
        super().__init__(latency=0)
        self.rng = rng
        self.lease = lease
        self.pending = []  # [request id, when it began, what ends it]
        self.failed = set()

    def tick(self, seconds):
        # The one thing that is assumed of the API: an operation is over within the lease.
        for operation in list(self.pending):
            if self.rng.random() < 0.3 or self.clock.now + seconds - operation[1] > self.lease * 0.9:
                self._end(operation)
        self.clock.now += seconds

    def insert_route(self, body, request_id):
        self._refuse_other_projects(body)
        if request_id not in self.operations:
            if self.rng.random() < 0.1:
                raise Lost("The connection was lost before anything happened.")
            if self.named(body["name"]):
                raise AlreadyExists(f"The resource {body['name']} already exists.", status=409)
            self.operations[request_id] = None
            added = self._commit(body, active=False, visible=self.rng.random() < 0.7)

            def end():
                if self.rng.random() < 0.1:
                    self.failed.add(request_id)
                    self.routes = [r for r in self.routes if r is not added]
                elif any(r is added for r in self.routes):
                    added.update(_active=True, _visible=True)
                    self.log.append(("insert", body["name"], body["priority"], body.get("nextHopInstance")))

            self.pending.append([request_id, self.clock.now, end])
        self._answer(request_id)
        if request_id in self.failed:
            raise Unavailable("The operation failed: backend error.", status=503)
        return []

    def delete_route(self, name, request_id):
        if request_id not in self.operations:
            if self.rng.random() < 0.1:
                raise Lost("The connection was lost before anything happened.")
            found = self._find(name)
            self.operations[request_id] = None

            def end():
                # By then the name may be another route's: an API that deletes by name would hit that.
                target = found if found["id"] == name else self.named(name)
                self.routes = [r for r in self.routes if r is not target]
                self.log.append(("delete", found["name"]))

            self.pending.append([request_id, self.clock.now, end])
        self._answer(request_id)

    def _answer(self, request_id):
        for operation in list(self.pending):
            if operation[0] == request_id:
                if self.rng.random() < 0.4:
                    raise Lost("The connection was lost while the operation went on.")
                self._end(operation)

    def _end(self, operation):
        self.pending.remove(operation)
        operation[2]()
        self.check()


def written(seconds):
    """RFC 3339 with an offset of -08:00 and milliseconds, without help from what is tested."""
    import datetime

    zone = datetime.timezone(datetime.timedelta(hours=-8))
    return datetime.datetime.fromtimestamp(seconds, zone).isoformat(timespec="milliseconds")


def apply(cloud, wanted, **keys):
    keys.setdefault("chance", lambda: 0.5)
    cloud.unprotected = not wanted.present
    try:
        return engine.apply(route, cloud, wanted, sleep=cloud.clock.sleep, clock=cloud.clock, **keys)
    finally:
        cloud.check()
        cloud.unprotected = False

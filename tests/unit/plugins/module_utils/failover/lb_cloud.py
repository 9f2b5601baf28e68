# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An LbApi in memory. It refuses what Compute Engine refuses, and has faults at every request.

After each change it looks whether the address still leads somewhere, and whether the probes still get through.
"""

from __future__ import annotations

import copy
import ipaddress

from ansible_collections.cloudha.vip.plugins.module_utils.base.errors import AlreadyExists, Invalid, NotFound
from ansible_collections.cloudha.vip.plugins.module_utils.clouds.gce_names import full_url, normalise
from ansible_collections.cloudha.vip.plugins.module_utils.failover import engine, lb
from ansible_collections.cloudha.vip.plugins.module_utils.failover.lb_goal import Group, LbGoal
from ansible_collections.cloudha.vip.tests.unit.plugins.module_utils.failover.objects_cloud import ObjectsCloud
from ansible_collections.cloudha.vip.tests.unit.plugins.module_utils.failover.runs import Broken

NAME, REGION = "web", "us-central1"
PLACE = f"projects/p/regions/{REGION}"
NETWORK, OTHER_NETWORK = "projects/p/global/networks/net", "projects/p/global/networks/other"
SUBNET = f"{PLACE}/subnetworks/subnet"
IP = "10.0.0.9"
ADDRESS, SERVICE, RULE = (f"{PLACE}/{each}/{NAME}" for each in ("addresses", "backendServices", "forwardingRules"))
CHECK, GLOBAL_CHECK = f"{PLACE}/healthChecks/{NAME}", f"projects/p/global/healthChecks/{NAME}"
FIREWALL = f"projects/p/global/firewalls/{NAME}-probes"
PROBES = {
    "INTERNAL": {"35.191.0.0/16", "130.211.0.0/22"},
    "EXTERNAL": {"35.191.0.0/16", "209.85.152.0/22", "209.85.204.0/22"},
}


def instance(name, zone="a"):
    return f"projects/p/zones/{REGION}-{zone}/instances/{name}"


def group(name, zone="a"):
    return f"projects/p/zones/{REGION}-{zone}/instanceGroups/{name}"


A, B, C = instance("node1"), instance("node2", "b"), instance("node3")
BOTH = {"protocols": ("TCP", "UDP")}
EXTERNAL = {"scheme": "EXTERNAL", "subnetwork": None, "address": None, "network": NETWORK}
GROUP_A, GROUP_B, GROUP_C = group("web-a"), group("web-b", "b"), group("theirs")


def goal(**keys):
    """Two groups, the second one a backup."""
    keys.setdefault("subnetwork", SUBNET)
    keys.setdefault("address", IP)
    keys.setdefault("groups", (Group(GROUP_A, (A,)), Group(GROUP_B, (B,), True)))
    return LbGoal(keys.pop("name", NAME), "p", REGION, **keys)


def gone(**keys):
    return goal(present=False, **{"subnetwork": None, "address": None, "groups": None, **keys})


class Cloud(ObjectsCloud):
    latency = 2.0

    def __init__(self):
        super().__init__()
        self.members, self.health, self.served = {}, {}, {}
        self.subnets = {
            SUBNET: {"ipCidrRange": "10.0.0.0/24", "network": full_url(NETWORK)},
            f"{SUBNET}2": {"ipCidrRange": "10.2.0.0/24", "network": full_url(NETWORK)},
        }
        self.instances = {}
        for path, address in ((A, "10.0.0.2"), (B, "10.0.0.3"), (C, "10.0.0.4")):
            self.add_instance(path, address)
        self.add_instance(instance("elsewhere"), "10.1.0.2", OTHER_NETWORK)

    # What tests do and ask

    def add_instance(self, path, address, network=NETWORK, **more):
        interface = {"network": full_url(network), "networkIP": address, **more}
        self.instances[path] = {
            "selfLink": full_url(path),
            "networkInterfaces": [interface],
            "tags": {"items": ["web"]},
        }

    def put(self, path, members=None, **body):
        """Something that others made."""
        super().put(path, **body)
        if members is not None:
            self.members[path] = list(members)
            if members:
                self.resources[path]["network"] = full_url(NETWORK)
        return self

    def snapshot(self, *paths):
        """All that there is, or what is at the paths; for comparison."""
        chosen = {path: body for path, body in self.resources.items() if not paths or path in paths}
        return copy.deepcopy((chosen, {path: each for path, each in self.members.items() if path in chosen}))

    def live(self):
        """Forwarding rules that lead to backends: what clients see of them."""
        found = {}
        for path, rule in self.resources.items():
            service = self.resources.get(normalise(rule.get("backendService")))
            if service and any(self.members.get(normalise(each["group"])) for each in service.get("backends", ())):
                keys = ("IPAddress", "IPProtocol", "ports", "allPorts", "subnetwork", "loadBalancingScheme")
                found[path] = {key: rule[key] for key in keys if rule.get(key)}
        return found

    def check(self):
        """Rules 1 and 6."""
        live = self.live()
        for path, seen in self.served.items():
            if not self.may_go_down and live.get(path) != seen:
                raise Broken(f"{path} was {seen}, and is {live.get(path)}, after {self.log}")
        self.served = live
        firewall = self.resources.get(FIREWALL)
        for path in live if firewall else ():
            service = self.resources[normalise(self.resources[path]["backendService"])]
            probed = self.resources[normalise(service["healthChecks"][0])]
            port = str(next(probed[key]["port"] for key in ("httpHealthCheck", "tcpHealthCheck") if key in probed))
            allowed = any(port in each.get("ports", ()) for each in firewall["allowed"])
            if not allowed or not PROBES[service["loadBalancingScheme"]] <= set(firewall["sourceRanges"]):
                raise Broken(f"the probes to port {port} do not get through, after {self.log}")

    # LbApi: reads

    def list_groups(self):
        self._read("list_groups", "")
        return [self._shown(each) for each in self.resources if "/instanceGroups/" in each], list(self.silent)

    def list_members(self, path):
        self._read("list_members", path)
        assert "/zones/" in path, "the client does not know another one"
        self._find(path)
        return list(self.members[path])

    def list_instances(self):
        self._read("list_instances", "")
        return list(self.instances.values()), []

    def get_instance(self, path):
        self._read("get_instance", path)
        if path not in self.instances:
            raise NotFound(f"The resource {path} was not found.", resource=path, status=404)
        return self.instances[path]

    def get_health(self, service, path):
        self._read("get_health", path)
        found = ((each, self.health.get(each)) for each in self.members[path])
        return [{"instance": full_url(each), "healthState": state} for each, state in found if state]

    # LbApi: changes

    def add_members(self, path, instances, request_id):
        self._change("add", path, request_id, lambda: self._add(path, list(instances)))

    def remove_members(self, path, instances, request_id):
        self._change("remove", path, request_id, lambda: self._remove(path, list(instances)))

    def set_target(self, path, target, request_id):
        self._change("set_target", path, request_id, lambda: self._set_target(path, target))

    # The inside

    def _users(self, path):
        mine = self.resources[path]
        for other, body in self.resources.items():
            named = [body.get("backendService"), *body.get("healthChecks", ())]
            named += [each["group"] for each in body.get("backends", ())]
            if path in map(normalise, named) or ("/addresses/" in path and body.get("IPAddress") == mine["address"]):
                yield other

    def _free(self):
        return (f"203.0.113.{number}" for number in range(10, 250))

    def _insert(self, path, body):
        super()._insert(path, body)
        if "/instanceGroups/" in path:
            self.members[path] = []

    def _delete(self, path):
        super()._delete(path)
        self.members.pop(path, None)

    def _add(self, path, added):
        found = self._find(path)
        for each in added:
            if each not in self.instances:
                raise NotFound(f"The resource '{each}' was not found", resource=each, status=404)
            if each in self.members[path]:
                raise AlreadyExists(f"Resource '{each}' is already a member of '{path}'.", status=400)
            network = self.instances[each]["networkInterfaces"][0]["network"]
            if found.setdefault("network", network) != network:
                raise Invalid("All instances of the group must be in the same network.", status=400)
        self.members[path] += added
        self._check_alone()

    def _remove(self, path, removed):
        self._find(path)
        for each in removed:
            if each not in self.members[path]:
                raise Invalid(f"Resource '{each}' is not a member of '{path}'.", status=400, code="memberNotFound")
            self.members[path].remove(each)

    def _set_target(self, path, target):
        self._find(target)
        self._store(path, {**self._find(path), "backendService": full_url(target)})

    # What the API refuses

    def _check_body(self, path, body):
        super()._check_body(path, body)
        kind = path.split("/")[-2]
        for name in ("backendService", *(["healthChecks"] if kind == "backendServices" else [])):
            for url in [body[name]] if isinstance(body.get(name), str) else body.get(name) or ():
                if not url.startswith("https://"):
                    raise Invalid(f"resource.{name} is no full URL", status=400)
                self._find(normalise(url))

    def _check_addresses(self, path, body):
        address = body.get("address")
        if body["addressType"] == "EXTERNAL":
            return "nobody can choose an external address" if address else ""
        cidr = self.subnets[normalise(body["subnetwork"])]["ipCidrRange"]
        if ipaddress.ip_address(address) not in ipaddress.ip_network(cidr):
            return "outside of the subnetwork"
        place = normalise(body["subnetwork"])
        others = [each for each in self.resources.values() if normalise(each.get("subnetwork")) == place]
        if any(address in (each.get("address"), each.get("IPAddress")) for each in others) or self._has(address):
            raise AlreadyExists(f"IP_IN_USE_BY_ANOTHER_RESOURCE - IP '{address}' is already being used", status=409)
        return ""

    def _has(self, address):
        return any(each["networkIP"] == address for one in self.instances.values() for each in one["networkInterfaces"])

    def _check_healthChecks(self, path, body):
        part = {"HTTP": "httpHealthCheck", "TCP": "tcpHealthCheck"}[body["type"]]
        other = {"httpHealthCheck": "tcpHealthCheck"}.get(part, "httpHealthCheck")
        if part not in body or body.get(other) is not None:
            return "the type does not match"
        return super()._check_healthChecks(path, body)

    def _check_backendServices(self, path, body):
        backends = body.get("backends") or []
        for each in backends:
            if not each["group"].startswith("https://") or each.get("balancingMode") != "CONNECTION":
                return "the backend is not as it should be"
            if any(name.startswith(("capacity", "max")) for name in each):
                return "a passthrough load balancer has no capacities"
            if "network" not in self._find(normalise(each["group"])):
                return "the group has no network"
        policy = body.get("failoverPolicy")
        if policy is not None and not any(each.get("failover") for each in backends):
            return "a failover policy needs a backup"
        if policy and "disableConnectionDrainOnFailover" in policy and body["protocol"] == "UDP":
            return "it is not supported for the protocol UDP"
        tracking = body.get("connectionTrackingPolicy") or {}
        sessions = tracking.get("trackingMode") == "PER_SESSION" and body.get("sessionAffinity") == "CLIENT_IP"
        if tracking.get("idleTimeoutSec") and not sessions:
            return "idleTimeoutSec needs PER_SESSION, and a session affinity of less than five fields"
        for rule, other in self.resources.items():
            if normalise(other.get("backendService")) == path and "/forwardingRules/" in rule:
                wanted = {"TCP": "TCP", "UDP": "UDP", "L3_DEFAULT": "UNSPECIFIED"}[other["IPProtocol"]]
                if body["protocol"] != wanted:
                    return "a forwarding rule has another protocol"
        self._check_alone({path: {**body, "backends": backends}})
        return ""

    def _check_alone(self, new=None):
        seen = {}
        for path, body in {**self.resources, **(new or {})}.items():
            for each in body.get("backends") or ():
                for member in self.members.get(normalise(each["group"]), ()):
                    if seen.setdefault(member, normalise(each["group"])) != normalise(each["group"]):
                        text = f"Validation failed for instance '{member}': instance may belong to at most one group."
                        raise Invalid(text, resource=path, status=400, code="instanceInMultipleLoadBalancedIgs")

    def _check_forwardingRules(self, path, body):
        if bool(body.get("ports")) == bool(body.get("allPorts")) or len(body.get("ports", ())) > 5:
            return "the ports are not right"
        if body["IPProtocol"] == "L3_DEFAULT" and not body.get("allPorts"):
            return "L3_DEFAULT requires all ports"
        service = self._find(normalise(body["backendService"]))
        wanted = {"TCP": "TCP", "UDP": "UDP", "L3_DEFAULT": "UNSPECIFIED"}[body["IPProtocol"]]
        if (service["protocol"], service["loadBalancingScheme"]) != (wanted, body["loadBalancingScheme"]):
            return "the backend service does not fit"
        there = [
            each
            for other, each in self.resources.items()
            if other != path and self._place(each) == (body["IPAddress"], normalise(body.get("subnetwork")))
        ]
        rules = [each for each in there if "IPProtocol" in each]
        shared = body["loadBalancingScheme"] == "EXTERNAL" or any("SHARED" in each.get("purpose", "") for each in there)
        if rules and (not shared or any(_overlap(body, each) for each in rules)):
            raise AlreadyExists(f"IP_IN_USE_BY_ANOTHER_RESOURCE - IP '{body['IPAddress']}'", status=409)
        return ""

    @staticmethod
    def _place(body):
        return body.get("IPAddress") or body.get("address"), normalise(body.get("subnetwork"))


def _overlap(one, other):
    if one["IPProtocol"] != other["IPProtocol"]:
        return False
    return bool(one.get("allPorts") or other.get("allPorts") or set(one["ports"]) & set(other["ports"]))


def apply(cloud, wanted, **keys):
    keys.setdefault("chance", lambda: 0.5)
    keys.setdefault("timeout", 300)
    cloud.may_go_down = not wanted.present or wanted.allow_replace or wanted.groups == ()
    try:
        return engine.apply(lb.Procedure(), cloud, wanted, sleep=cloud.clock.sleep, clock=cloud.clock, **keys)
    finally:
        cloud.check()
        cloud.may_go_down = False


def preview(cloud, wanted):
    """The names of the steps, and the state before and after."""
    seen, steps = engine.preview(lb.Procedure(), cloud, wanted)
    return [repr(step) for step in steps], seen.to_diff(), lb.Procedure.wanted_diff(seen)


def made(**keys):
    """A cloud with the load balancer."""
    cloud = Cloud()
    apply(cloud, goal(**keys))
    cloud.requests.clear()
    cloud.log.clear()
    return cloud


def theirs(cloud):
    """Others add a group of theirs, and an instance to one of ours."""
    cloud.put(GROUP_C, members=[], network=full_url(NETWORK))
    cloud.members[GROUP_A].append(C)
    backend = {
        "group": full_url(GROUP_C),
        "balancingMode": "CONNECTION",
        "capacityScaler": 1.0,
        "description": "theirs",
    }
    cloud.resources[SERVICE]["backends"].append(backend)
    return cloud

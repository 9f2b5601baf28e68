# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Clouds in memory, as far as virtual IPs need them: Neutron, Huawei Cloud and UCloudStack."""

from __future__ import annotations

import pickle

from ansible_collections.cloudha.vip.plugins.module_utils.base.errors import (
    AlreadyExists,
    Invalid,
    NotFound,
    Quota,
    Stale,
)
from ansible_collections.cloudha.vip.plugins.module_utils.failover import (
    engine,
    havip,
    havip_huaweicloud,
    havip_ports,
    havip_ucloudstack,
)
from ansible_collections.cloudha.vip.plugins.module_utils.failover.havip_goal import Goal
from ansible_collections.cloudha.vip.tests.unit.plugins.module_utils.clock import Clock

X, Y = "10.0.0.100", "10.0.0.101"
CHANGES = (
    *("create_port", "update_port", "delete_port", "set_external"),
    *("allocate_vip", "update_vip_bind_resource", "modify_name_and_remark", "release_vip"),
)


class Cloud:
    """fault(phase, verb): called "before" and "after" each request; what it raises is the answer.

    `deleted` has (virtual IP, who could use its address at that moment) for each that was deleted.
    """

    def __init__(self):
        self.clock = Clock()
        self.requests = []
        self.deleted = []
        self.fault = lambda phase, verb: None

    def __getattribute__(self, name):
        found = super().__getattribute__(name)
        if name.startswith(("list_", "get_", "describe_")) or name in CHANGES:
            return lambda *args: self._send(name, found, args)
        return found

    def _send(self, verb, answer, args):
        self.requests.append(verb)
        self.fault("before", verb)
        result = pickle.loads(pickle.dumps(answer(*pickle.loads(pickle.dumps(args)))))
        self.fault("after", verb)
        return result

    def mutations(self):
        return [verb for verb in self.requests if verb in CHANGES]


class PortCloud(Cloud):
    """A network 10.0.0.0/24 with n1 to n8, each of a server, and a second subnet with far."""

    procedure: havip.Havip
    revisions = True

    def __init__(self):
        super().__init__()
        self.subnets = [
            {"id": "sub", "name": "front", "network_id": "net", "cidr": "10.0.0.0/24"},
            {"id": "sub2", "name": "back", "network_id": "net", "cidr": "10.0.1.0/24"},
        ]
        self.networks = [{"id": "net", "name": "web"}, {"id": "other", "name": "other"}]
        self.servers = [{"id": f"vm{n}", "name": f"node{n}"} for n in range(1, 9)] + [{"id": "lone", "name": "lone"}]
        self.external = {}
        self.ports = {}
        self.count = 0
        for n in range(1, 9):
            self.add(f"n{n}", f"10.0.0.{n}", device_id=f"vm{n}", device_owner="compute:nova")
        self.add("far", "10.0.1.9", "sub2", device_id="vm9", device_owner="compute:nova")
        self.add("gate", "10.0.0.254", device_id="router", device_owner="network:router_interface")
        self.eip("eip1", "203.0.113.1")
        self.eip("eip2", "203.0.113.2")

    def add(self, id, address, subnet="sub", **more):  # noqa: A002
        self.count += 1
        self.ports[id] = {
            "id": id,
            "name": "",
            "description": "",
            "network_id": "net",
            "mac_address": f"fa:16:3e:00:00:{self.count:02x}",
            "fixed_ips": [{"subnet_id": subnet, "ip_address": address}],
            "device_id": "",
            "device_owner": "",
            "allowed_address_pairs": [],
            "port_security_enabled": True,
            "revision_number": 1,
            **more,
        }
        return self.ports[id]

    def eip(self, id, address, port_id=None):  # noqa: A002
        self.external[id] = {"id": id, "address": address, "port_id": port_id, "fixed_ip": None, "revision_number": 1}

    def shown(self, port):
        return port if self.revisions else {key: value for key, value in port.items() if key != "revision_number"}

    def pairs(self, id):  # noqa: A002
        return {pair["ip_address"] for pair in self.ports[id]["allowed_address_pairs"]}

    def vip(self, address=X):
        return next((port for port in self.ports.values() if port["fixed_ips"][0]["ip_address"] == address), None)

    def write(self, id, pairs):  # noqa: A002
        """Somebody else changes the pairs of a port."""
        mac = self.ports[id]["mac_address"]
        self.ports[id]["allowed_address_pairs"] = [{"mac_address": mac, **pair} for pair in pairs]
        self.ports[id]["revision_number"] += 1

    # PortsApi

    def list_networks(self):
        return self.networks

    def list_subnets(self):
        return self.subnets

    def list_servers(self):
        return self.servers

    def list_ports(self, network_id):
        return [self.shown(port) for port in self.ports.values() if port["network_id"] == network_id]

    def list_external(self):
        return [self.shown(each) for each in self.external.values()]

    def get_port(self, port_id):
        if port_id not in self.ports:
            raise NotFound(f"Port {port_id} could not be found.", status=404)
        return self.shown(self.ports[port_id])

    def create_port(self, body):
        (fixed,) = body["fixed_ips"]
        used = {each["fixed_ips"][0]["ip_address"] for each in self.ports.values()}
        address = fixed.get("ip_address") or next(f"10.0.0.{n}" for n in range(200, 250) if f"10.0.0.{n}" not in used)
        if address in used:
            raise AlreadyExists(f"{address} is in use.", status=409)
        more = {key: value for key, value in body.items() if key not in ("fixed_ips", "network_id")}
        return self.add(f"vip{self.count}", address, fixed["subnet_id"], **more)

    def update_port(self, port_id, body, revision=None):
        port = self.ports.get(port_id)
        if port is None:
            raise NotFound(f"Port {port_id} could not be found.", status=404)
        if revision is not None and revision != port["revision_number"]:
            raise Stale("Constrained to another revision.", status=412)
        if "allowed_address_pairs" in body:
            pairs = [{"mac_address": port["mac_address"], **pair} for pair in body["allowed_address_pairs"]]
            if len({(pair["ip_address"], pair["mac_address"]) for pair in pairs}) != len(pairs):
                raise Invalid("Duplicate pairs.", status=400)
            body = {**body, "allowed_address_pairs": pairs}
        port.update(body)
        port["revision_number"] += 1

    def delete_port(self, port_id, revision=None):
        port = self.ports.get(port_id)
        if port is None:
            raise NotFound(f"Port {port_id} could not be found.", status=404)
        if revision is not None and revision != port["revision_number"]:
            raise Stale("Constrained to another revision.", status=412)
        self.deleted.append((port["fixed_ips"][0]["ip_address"], self.users(port)))
        del self.ports[port_id]
        for each in self.external.values():
            if each["port_id"] == port_id:
                each["port_id"] = None

    def set_external(self, external, port_id, fixed_ip):
        mine = self.external[external["id"]]
        if external.get("revision_number") not in (None, mine["revision_number"]):
            raise Stale("Constrained to another revision.", status=412)
        if port_id and any(each["port_id"] == port_id for each in self.external.values() if each is not mine):
            raise AlreadyExists("The port has another one.", status=409)
        mine.update(port_id=port_id, fixed_ip=fixed_ip, revision_number=mine["revision_number"] + 1)


class Neutron(PortCloud):
    procedure = havip_ports.Neutron()

    def make(self, address=X, members=(), name="web"):
        port = self.add(f"v-{address}", address, name=name)
        for member in members:
            self.write(member, [*self.ports[member]["allowed_address_pairs"], {"ip_address": address}])
        return port

    def users(self, vip):
        address = vip["fixed_ips"][0]["ip_address"]
        return {each for each in self.ports if address in self.pairs(each)}

    def bound(self, address=X):
        return {each for each in self.ports if address in self.pairs(each)}


class OldNeutron(Neutron):
    """Without revisions."""

    revisions = False


class Huawei(PortCloud):
    procedure = havip_huaweicloud.Huawei()
    revisions = False

    def make(self, address=X, members=(), name="web"):
        port = self.add(f"v-{address}", address, name=name, device_owner="neutron:VIP_PORT")
        self.write(port["id"], [{"ip_address": self.ports[each]["fixed_ips"][0]["ip_address"]} for each in members])
        for each in members:
            self.write(each, [*self.ports[each]["allowed_address_pairs"], {"ip_address": "1.1.1.1/0"}])
        return port

    def users(self, vip):
        listed = {pair["ip_address"] for pair in vip["allowed_address_pairs"]}
        return {each for each, port in self.ports.items() if port["fixed_ips"][0]["ip_address"] in listed}

    def bound(self, address=X):
        return {each for each in self.users(self.vip(address)) if "1.1.1.1/0" in self.pairs(each)}

    def delete_port(self, port_id, revision=None):
        if port_id in self.ports and self.ports[port_id]["allowed_address_pairs"]:
            raise Invalid("The virtual IP is bound; unbind it first.", status=409)
        super().delete_port(port_id, revision)


class Stack(Cloud):
    """UCloudStack: a VPC with the machines n1 to n8, the elastic NICs e1 and e2, and far in another subnet."""

    procedure = havip_ucloudstack.UCloudStack()

    def __init__(self):
        super().__init__()
        self.vms = [
            {
                "VMID": id,
                "Name": f"node{id[1:]}",
                "VPCID": "net",
                "SubnetID": subnet,
                "IPInfos": [{"IP": ip, "Type": "Private"}],
            }
            for id, ip, subnet in (  # noqa: A001
                *((f"n{n}", f"10.0.0.{n}", "sub") for n in range(1, 9)),
                ("far", "10.0.1.9", "sub2"),
            )
        ]
        self.vms.append({"VMID": "alien", "Name": "alien", "VPCID": "other", "SubnetID": "sub9", "IPInfos": []})
        self.nics = [
            {"NICID": f"e{n}", "Name": f"nic{n}", "VPCID": "net", "SubnetID": "sub", "IP": f"10.0.0.2{n}"}
            for n in (1, 2)
        ]
        self.vips = {}
        self.count = 0
        self.most = 3

    def make(self, address=X, members=(), name="web", **more):
        self.count += 1
        info = {
            "VIPID": f"vip-{self.count}",
            "VIPType": "LAN",
            "Name": name,
            "Remark": "",
            "IP": address,
            "Status": "Available",
            "VPCID": "net",
            "SubnetID": "sub",
            "AssociatedResourceType": "VM",
            "AssociatedResources": [{"ResourceID": each, "ResourceName": each} for each in members],
            **more,
        }
        self.vips[info["VIPID"]] = info
        return info

    def vip(self, address=X):
        return next((info for info in self.vips.values() if info["IP"] == address), None)

    def bound(self, address=X):
        return {each["ResourceID"] for each in self.vip(address)["AssociatedResources"]}

    # UCloudStackApi

    def describe_vips(self):
        for info in self.vips.values():
            if info["Status"] == "Allocating":
                info["Status"] = "Available"
        for info in [each for each in self.vips.values() if each["Status"] == "Gone"]:
            del self.vips[info["VIPID"]]
        return [{**info, "Status": "Deleting"} if info["Status"] == "Gone" else info for info in self.vips.values()]

    def describe_vms(self):
        return self.vms

    def describe_nics(self):
        return self.nics

    def describe_subnets(self, vpc_id):
        if vpc_id != "net":
            raise NotFound(f"There is no VPC {vpc_id}.")
        return [
            {"SubnetID": "sub", "Name": "front", "Network": "10.0.0.0/24"},
            {"SubnetID": "sub2", "Name": "back", "Network": "10.0.1.0/24"},
        ]

    def allocate_vip(self, parameters):
        used = {info["IP"] for info in self.vips.values()}
        ip = parameters.get("IP") or next(f"10.0.0.{n}" for n in range(200, 250) if f"10.0.0.{n}" not in used)
        if ip in used:
            raise AlreadyExists("The IP is taken.")
        given = {key: value for key, value in parameters.items() if key != "IP"}
        return self.make(ip, **{"name": given.pop("Name"), **given})["VIPID"]

    def update_vip_bind_resource(self, vip_id, resource_type, resource_ids):
        info = self.vips.get(vip_id)
        if info is None:
            raise NotFound(f"There is no VIP {vip_id}.")
        if len(resource_ids) > self.most:
            raise Quota(f"No more than {self.most} can be bound.")
        info["AssociatedResourceType"] = resource_type
        info["AssociatedResources"] = [{"ResourceID": each, "ResourceName": each} for each in resource_ids]

    def modify_name_and_remark(self, resource_id, name, remark):
        self.vips[resource_id]["Name"] = name
        if remark is not None:
            self.vips[resource_id]["Remark"] = remark

    def release_vip(self, vip_id):
        info = self.vips.get(vip_id)
        if info is None:
            raise NotFound(f"There is no VIP {vip_id}.")
        self.deleted.append((info["IP"], {each["ResourceID"] for each in info["AssociatedResources"]}))
        info["Status"] = "Gone"


CLOUDS = (Neutron, OldNeutron, Huawei, Stack)


def goal(*members, **options):
    given = {"network": "net", "subnet": "sub", "address": X, "name": "web", "members": members or None, **options}
    return Goal(**given)


def bind(cloud, wanted, **options):
    options.setdefault("chance", lambda: 0.5)
    return engine.apply(cloud.procedure, cloud, wanted, sleep=cloud.clock.sleep, clock=cloud.clock, **options)

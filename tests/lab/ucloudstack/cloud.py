# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tenant's virtual IPs: the rules for them, their states, and what they do to the network."""

from __future__ import annotations

import functools
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, ip_address, ip_network
from typing import Any

from lab.emulation.timeline import Timeline
from lab.ucloudstack.behaviour import Behaviour, Fault
from lab.ucloudstack.dataplane import DataPlane
from lab.ucloudstack.errors import ApiError
from lab.ucloudstack.world import Nic, Vm, World

LAN, WAN = "LAN", "WAN"
VM, NIC = "VM", "ELASTIC_NIC"
AVAILABLE, FAILED = "Available", "Failed"
ALLOCATING, UPDATING, DELETING = "Allocating", "Updating", "Deleting"


@dataclass
class Vip:
    """A virtual IP. ``resources``: the ids of what is bound; ``place``: the id of its subnet or segment."""

    id: str
    kind: str
    name: str
    remark: str
    address: str
    vpc: str
    place: str
    created: int
    updated: int
    bandwidth: int = 0
    charge_type: str = ""
    resource_type: str = VM
    resources: tuple[str, ...] = ()
    status: str = ALLOCATING
    reason: str = ""


class Cloud:
    """``vips``: by their ids, oldest first. ``permitted``: what each interface may send from, as the network has it.

    Everything but ``behaviour`` is changed under ``lock``.
    """

    def __init__(self, world: World, plane: DataPlane) -> None:
        self.world = world
        self.lock = threading.RLock()
        self.behaviour = Behaviour()
        self.vips: dict[str, Vip] = {}
        self.permitted: dict[tuple[str, str], tuple[str, ...]] = {}
        self.vpcs = {each.id: each for each in world.vpcs}
        self.subnets = {each.id: each for each in world.subnets}
        self.segments = {each.id: each for each in world.segments}
        self.vms = {each.id: each for each in world.vms}
        self.nics = {each.id: each for each in world.nics}
        self._plane = plane
        self._timeline = Timeline("ucloudstack")
        self._stuck: list[Callable[[], None]] = []
        self._ordered: dict[tuple[str, str], tuple[str, ...]] = {}
        self._program(0)

    def close(self) -> None:
        """End its thread."""
        self._timeline.close()

    # --- what the actions do

    def allocate(
        self,
        vip: Vip,
        address: str | None,
        resources: tuple[str, ...],
        resource_type: str,
        faults: Sequence[Fault] = (),
    ) -> None:
        """Make a VIP with this address, or a free one, and bind it."""
        with self.lock:
            vip.address = self._address(vip, address)
            self._check_bind(vip, resources, resource_type)
            self.vips[vip.id] = vip

            def done(failed: bool) -> None:
                if failed:
                    vip.status, vip.reason = FAILED, "told to fail"
                else:
                    vip.status, vip.resources, vip.resource_type = AVAILABLE, resources, resource_type

            self._begin(vip, done, faults)

    def bind(self, vip: Vip, resources: tuple[str, ...], resource_type: str, faults: Sequence[Fault] = ()) -> None:
        """Replace the whole list of what is bound."""
        with self.lock:
            self._check_state(vip, AVAILABLE)
            self._check_bind(vip, resources, resource_type)
            vip.status = UPDATING

            def done(failed: bool) -> None:
                vip.status = AVAILABLE
                if not failed:
                    vip.resources, vip.resource_type = resources, resource_type

            self._begin(vip, done, faults)

    def release(self, vip: Vip, faults: Sequence[Fault] = ()) -> None:
        """Delete a VIP; what is bound to it is unbound."""
        with self.lock:
            before = vip.status
            self._check_state(vip, AVAILABLE, FAILED)
            vip.status = DELETING

            def done(failed: bool) -> None:
                if failed:
                    vip.status = before
                else:
                    del self.vips[vip.id]

            self._begin(vip, done, faults)

    def unstick(self) -> None:
        """End what would never end."""
        with self.lock:
            stuck, self._stuck = self._stuck, []
            for end in stuck:
                end()

    def state(self) -> dict[str, Any]:
        """All there is: VIPs, and what each interface may send from."""
        with self.lock:
            return {
                "vips": [vars(each) | {"resources": list(each.resources)} for each in self.vips.values()],
                "permitted": {f"{vm} {device}": list(each) for (vm, device), each in self.permitted.items()},
            }

    # --- rules

    def find(self, vip_id: str) -> Vip:
        """The VIP of this id."""
        if vip_id not in self.vips:
            raise ApiError(200, vip_id)
        return self.vips[vip_id]

    def network(self, vip: Vip) -> IPv4Network:
        """The range that its address is of."""
        places: dict[str, Any] = self.subnets if vip.kind == LAN else self.segments
        network = ip_network(places[vip.place].network)
        assert isinstance(network, IPv4Network)
        return network

    def _check_state(self, vip: Vip, *allowed: str) -> None:
        if vip.status not in allowed:
            raise ApiError(202, f"{vip.id} is {vip.status}")

    def _address(self, vip: Vip, wanted: str | None) -> str:
        network = self.network(vip)
        taken = {each.address for each in self.vips.values() if each.place == vip.place}
        taken |= {each.address for each in self.world.vms if each.subnet == vip.place}
        taken |= {each.address for each in self.world.nics if vip.place in (each.subnet, each.segment)}
        taken |= {each.gateway for each in self.world.segments if each.id == vip.place}
        if vip.kind == LAN:
            taken.add(str(network[1]))  # its gateway
        if wanted is None:
            free = (str(each) for each in network.hosts() if str(each) not in taken)
            found = next(free, None)
            if found is None:
                raise ApiError(3011 if vip.kind == LAN else 8004, vip.place)
            return found
        try:
            address = ip_address(wanted)
        except ValueError:
            raise ApiError(4, f"IP {wanted}") from None
        edges = (network.network_address, network.broadcast_address)
        if not isinstance(address, IPv4Address) or address not in network or address in edges:
            raise ApiError(8006, f"{wanted}, {network}")
        if str(address) in taken:
            raise ApiError(8001, wanted)
        return str(address)

    def _check_bind(self, vip: Vip, resources: tuple[str, ...], resource_type: str) -> None:
        if len(set(resources)) < len(resources):
            raise ApiError(113, "AssociatedResourceIDs names one twice")
        if len(resources) > self.world.vms_per_vip:
            raise ApiError(208, f"a VIP has at most {self.world.vms_per_vip}")
        for each in resources:
            (self._check_vm if resource_type == VM else self._check_nic)(vip, each)
            vm = self._vm(resource_type, each)
            others = [
                other
                for other in self.vips.values()
                if other is not vip and vm in [self._vm(other.resource_type, one) for one in other.resources]
            ]
            if len(others) >= self.world.vips_per_vm:
                raise ApiError(208, f"{vm.id} has {len(others)} VIPs")

    def _check_vm(self, vip: Vip, name: str) -> None:
        vm = self.vms.get(name)
        if vm is None:
            raise ApiError(1004, name)
        if vip.kind == LAN and vm.subnet != vip.place:
            raise ApiError(113, f"{name} is in another subnet than {vip.id}")
        if vip.kind == WAN and self.subnets[vm.subnet].vpc != vip.vpc:
            raise ApiError(113, f"{name} is in another VPC than {vip.id}")
        if vip.kind == WAN and vm.nat_eip:
            raise ApiError(113, f"{name} has an EIP of NAT mode")

    def _check_nic(self, vip: Vip, name: str) -> None:
        nic = self.nics.get(name)
        if nic is None:
            raise ApiError(200, name)
        if vip.place not in (nic.subnet, nic.segment):
            raise ApiError(113, f"{name} is in another network than {vip.id}")

    def _vm(self, resource_type: str, name: str) -> Vm:
        return self.vms[name if resource_type == VM else self.nics[name].vm]

    # --- what takes time

    def _begin(self, vip: Vip, done: Callable[[bool], None], faults: Sequence[Fault]) -> None:
        """Have a change done when its time has come; a fault may make it fail, be late, or never end."""
        kinds = {fault.kind for fault in faults}
        seconds = self.behaviour.latency_s + sum(fault.seconds for fault in faults if fault.kind == "slow")

        def end() -> None:
            with self.lock:
                done("error-in-operation" in kinds)
                vip.updated = int(time.time())
                self._program(self.behaviour.propagation_s)

        if "never-ends" in kinds:
            self._stuck.append(end)
        else:
            self._after(seconds, end)

    def _after(self, seconds: float, job: Callable[[], None]) -> None:
        if seconds > 0:
            self._timeline.at(time.monotonic() + seconds, job)
        else:
            job()

    def _program(self, delay: float) -> None:
        """Have the network obey: an interface may send from its own address, and from those of its VIPs."""
        for vm, device, addresses in self._wanted():
            if self._ordered.get((vm, device)) != addresses:
                self._ordered[vm, device] = addresses
                self._after(delay, functools.partial(self._permit, vm, device, addresses))

    def _permit(self, vm: str, device: str, addresses: tuple[str, ...]) -> None:
        with self.lock:
            self._plane.permit(vm, device, addresses)
            self.permitted[vm, device] = addresses

    def _wanted(self) -> Iterable[tuple[str, str, tuple[str, ...]]]:
        for vm in self.world.vms:
            theirs = [each.address for each in self._bound(VM, vm.id) if each.place == vm.subnet]
            yield vm.name, vm.device, (vm.address, *theirs)
        for nic in self.world.nics:
            vips = [*self._bound(NIC, nic.id), *(each for each in self._bound(VM, nic.vm) if each.place == nic.segment)]
            yield self.vms[nic.vm].name, nic.device, (nic.address, *(each.address for each in vips))

    def _bound(self, resource_type: str, name: str) -> list[Vip]:
        return [each for each in self.vips.values() if each.resource_type == resource_type and name in each.resources]

    # --- what the API's lists say

    def vip_info(self, vip: Vip) -> dict[str, Any]:
        """VIPInfo."""
        vpc = self.vpcs[vip.vpc]
        info: dict[str, Any] = {
            **self._common(),
            "VIPID": vip.id,
            "VIPType": vip.kind,
            "Name": vip.name,
            "Remark": vip.remark,
            "IP": vip.address,
            "Status": vip.status,
            "Reason": vip.reason,
            "VPCID": vpc.id,
            "VPCName": vpc.name,
            "VPCNetwork": vpc.network,
            "AssociatedResourceType": vip.resource_type,
            "AssociatedResources": [
                {"ResourceID": each, "ResourceName": self.vms[each].name if vip.resource_type == VM else each}
                for each in vip.resources
            ],
            "Bandwidth": vip.bandwidth,
            "ChargeType": vip.charge_type,
            "CreateTime": vip.created,
            "UpdateTime": vip.updated,
            "ExpireTime": 0,
            "Tags": [],
        }
        if vip.status == AVAILABLE and not self.behaviour.says_available:
            del info["Status"]
        if vip.kind == LAN:
            subnet = self.subnets[vip.place]
            return info | {"SubnetID": subnet.id, "SubnetName": subnet.name, "SubnetNetwork": subnet.network}
        segment = self.segments[vip.place]
        return info | {"SegmentID": segment.id, "SegmentName": segment.name, "SegmentNetwork": segment.network}

    def vm_info(self, vm: Vm) -> dict[str, Any]:
        """VMInstanceInfo."""
        subnet = self.subnets[vm.subnet]
        vpc = self.vpcs[subnet.vpc]
        addresses = [self._ip_info(vm.address, LAN, f"{vm.id}-nic")]
        for nic in self.world.nics:
            if nic.vm == vm.id:
                addresses.append(self._ip_info(nic.address, WAN if nic.segment else LAN, nic.id, elastic=True))
        for vip in self._bound(VM, vm.id):
            addresses.append(self._ip_info(vip.address, vip.kind, "", vip=True))
        return {
            **self._common(),
            "VMID": vm.id,
            "Name": vm.name,
            "Remark": "",
            "State": vm.state,
            "VPCID": vpc.id,
            "VPCName": vpc.name,
            "SubnetID": subnet.id,
            "SubnetName": subnet.name,
            "IPInfos": addresses,
        }

    @staticmethod
    def _ip_info(address: str, kind: str, interface: str, elastic: bool = False, vip: bool = False) -> dict[str, Any]:
        return {
            "IP": address,
            "IPVersion": "IPv4",
            "Type": "Private" if kind == LAN else "Public",
            "NicType": kind,
            "InterfaceID": interface,
            "IsElastic": "Y" if elastic else "N",
            "IsVIP": "Y" if vip else "N",
        }

    def nic_info(self, nic: Nic) -> dict[str, Any]:
        """NICInfo."""
        info: dict[str, Any] = {
            **self._common(),
            "NICID": nic.id,
            "NICType": WAN if nic.segment else LAN,
            "NICStatus": "Bound",
            "Name": nic.id,
            "Remark": "",
            "IP": nic.address,
            "MAC": nic.mac,
            "BindResourceID": nic.vm,
            "BindResourceType": VM,
            "BindResourceName": self.vms[nic.vm].name,
        }
        if nic.subnet:
            subnet = self.subnets[nic.subnet]
            return info | {"VPCID": subnet.vpc, "SubnetID": subnet.id, "SubnetName": subnet.name}
        assert nic.segment is not None
        segment = self.segments[nic.segment]
        return info | {"SegmentID": segment.id, "SegmentName": segment.name, "SegmentNetwork": segment.network}

    def vpc_info(self, vpc_id: str) -> dict[str, Any]:
        """VPCInfo, with the SubnetInfo of its subnets."""
        vpc = self.vpcs[vpc_id]
        subnets = [
            {
                "Region": self.world.region,
                "SubnetID": each.id,
                "VPCID": vpc_id,
                "Name": each.name,
                "Network": each.network,
                "Subnet": each.network,
                "State": AVAILABLE,
            }
            for each in self.world.subnets
            if each.vpc == vpc_id
        ]
        return {
            **self._common(),
            "VPCID": vpc.id,
            "Name": vpc.name,
            "Network": vpc.network,
            "State": AVAILABLE,
            "SubnetCount": len(subnets),
            "SubnetInfos": subnets,
        }

    def _common(self) -> dict[str, Any]:
        return {"Region": self.world.region, "CompanyID": self.world.company, "ProjectID": self.world.project}


def new_id() -> str:
    """Of a VIP."""
    return f"vip-{secrets.token_hex(6)}"

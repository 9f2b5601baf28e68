# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Looks at UCloudStack's virtual IPs, and at the machines and elastic NICs that can be bound to them."""

from __future__ import annotations

from .havip_look import BUSY, FAILED, READY, Member, Observed, Vip, host

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any, Protocol

    from .havip_goal import Goal

    Info = Mapping[str, Any]
else:
    Protocol = object

VM, NIC = "VM", "ELASTIC_NIC"
_KINDS = {"LAN": "internal", "WAN": "external"}


class UCloudStackApi(Protocol):
    """The verbs of a client of UCloudStack. Errors are those of base/errors.py.

    Dictionaries have the API's own names (VIPInfo, VMInstanceInfo, NICInfo, SubnetInfo). Lists are whole: the client
    reads all pages. The client knows the region and, where they are set, the company and the project.
    """

    def describe_vips(self) -> list[dict[str, Any]]: ...

    def describe_vms(self) -> list[dict[str, Any]]: ...

    def describe_nics(self) -> list[dict[str, Any]]: ...

    def describe_subnets(self, vpc_id: str) -> list[dict[str, Any]]:
        """The subnets of a VPC: SubnetID, Name, Network (in CIDR notation). NotFound if there is no such VPC."""

    def allocate_vip(self, parameters: dict[str, Any]) -> str:
        """AllocateVIP with these parameters (Name, VIPType, VPCID, SubnetID, IP, …); returns the VIPID."""

    def update_vip_bind_resource(self, vip_id: str, resource_type: str, resource_ids: list[str]) -> None:
        """Replaces the whole list of resources (VM or ELASTIC_NIC); an empty one unbinds all."""

    def modify_name_and_remark(self, resource_id: str, name: str, remark: str | None) -> None:
        """Remark None: not sent, and so left as it is."""

    def release_vip(self, vip_id: str) -> None: ...


class StackObserved(Observed):
    """What is there. The data of a Vip is its VIPInfo; that of a Member its VMInstanceInfo or NICInfo.

    everything: all virtual IPs, wherever they are.
    """

    everything: Sequence[Vip]

    def __init__(self, everything: Iterable[Vip], **more: Any) -> None:
        super().__init__(everything=tuple(everything), **more)

    # --- facts that few goals need: each raises Unread until somebody has read it, and what its request raised

    def vms(self) -> list[Info]:
        return self.answer("describe_vms")

    def nics(self) -> list[Info]:
        return self.answer("describe_nics")

    def subnets(self, vpc_id: str) -> list[Info]:
        return self.answer("describe_subnets", vpc_id)


def look(client: UCloudStackApi, goal: Goal) -> StackObserved:
    everything = [vip_of(info) for info in client.describe_vips()]
    vips = [
        vip
        for vip in everything
        if (not goal.network or goal.network in (vip.network, vip.data.get("VPCName")))
        and (not goal.subnet or goal.subnet in (vip.subnet, vip.data.get("SubnetName")))
    ]
    return StackObserved(everything, vips=vips)


def vip_of(info: Info) -> Vip:
    status = str(info.get("Status") or "")
    bound = [
        Member(each["ResourceID"], each.get("ResourceName") or "", "", {})
        for each in info.get("AssociatedResources") or ()
    ]
    return Vip(
        id=info["VIPID"],
        address=host(info.get("IP")) or str(info.get("IP") or ""),
        name=info.get("Name") or "",
        remark=info.get("Remark") or "",
        network=info.get("VPCID") or "",
        subnet=info.get("SubnetID") or "",
        kind=_KINDS.get(info.get("VIPType") or "", "internal"),
        status=FAILED if "fail" in status.lower() else READY if status in ("", "Available") else BUSY,
        reason=str(info.get("Reason") or "") or status,
        data=info,
        members={member.id: member for member in bound},
        external=(),
    )


def member_of(info: Info) -> Member:
    """The member that a machine or an elastic NIC is."""
    address = next(iter(addresses_of(info)), "")
    return Member(str(info.get("VMID") or info.get("NICID")), info.get("Name") or "", address, info)


def type_of(member: Member) -> str:
    return VM if "VMID" in member.data else NIC


def addresses_of(info: Info) -> list[str]:
    """A machine's or a NIC's own addresses."""
    own = [each.get("IP") for each in info.get("IPInfos") or () if each.get("IsVIP") != "Y"] or [info.get("IP")]
    return [address for address in map(host, own) if address]

# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Virtual IPs of UCloudStack: a resource of its own, with one list of the machines or elastic NICs that are bound.

The list is replaced as a whole and has no revision, so it is read again right before it is written, and verified until
it has settled.
"""

from __future__ import annotations

from ..base.errors import NotFound, Stale
from .engine import Step
from .havip import (
    BUSY,
    CREATE,
    DELETE,
    FAILED,
    MEMBERS,
    READY,
    UPDATE,
    Havip,
    Member,
    Survey,
    Vip,
    check_limits,
    choose,
    host,
    inside,
    taken,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from .engine import Memory
    from .havip import Goal, UCloudStackApi

VM, NIC = "VM", "ELASTIC_NIC"
_KINDS = {"LAN": "internal", "WAN": "external"}
_TYPES = {kind: word for word, kind in _KINDS.items()}
LONGEST_NAME, LONGEST_NEW_NAME = 128, 30  # when it is created, and when it is renamed


class UCloudStack(Havip):
    """The data of a Vip is its VIPInfo; that of a Member its VMInstanceInfo or NICInfo."""

    def look(self, client: UCloudStackApi, goal: Goal, memory: Memory) -> Survey:
        s = Survey(goal)
        infos = client.describe_vips()
        everything = [_vip(info) for info in infos]
        s.vips = [
            vip
            for vip in everything
            if (not goal.network or goal.network in (vip.network, vip.data.get("VPCName")))
            and (not goal.subnet or goal.subnet in (vip.subnet, vip.data.get("SubnetName")))
        ]
        choose(s, memory)
        if goal.present and not s.problems:
            vms, nics = client.describe_vms(), client.describe_nics()
            if s.vip:
                s.network = s.vip.network
                _check_change(s, s.vip)
            else:
                _check_new(s, client, [*vms, *nics])
            if not s.problems:
                _check_members(s, vms, nics)
                check_limits(
                    s,
                    {member.id: {vip.address for vip in everything if member.id in vip.members} for member in s.wanted},
                )
        if s.vip:
            s.signature = (s.vip.id, s.vip.data.get("AssociatedResourceType"), tuple(sorted(s.vip.members)))
        return s

    def create(self, s: Survey) -> Step:
        goal = s.goal
        wanted = {
            "Name": goal.name,
            "Remark": goal.remark,
            "VIPType": _TYPES[goal.kind or "internal"],
            "VPCID": s.network,
            "SubnetID": s.subnet.get("SubnetID"),
            "IP": goal.address,
            **goal.creation,
        }
        parameters = {key: value for key, value in wanted.items() if value is not None}

        def do(client: UCloudStackApi, request_id: str) -> None:
            # The request may have been carried out already, and its answer lost.
            for info in client.describe_vips():
                if (info.get("Name"), info.get("VPCID")) == (goal.name, s.network):
                    raise taken(goal.label())
            client.allocate_vip(parameters)

        return Step(CREATE, goal.label(), do, contested=bool(goal.address))

    def update(self, s: Survey, vip: Vip, name: str, remark: str | None) -> Step:
        def do(client: UCloudStackApi, request_id: str) -> None:
            client.modify_name_and_remark(vip.id, name, remark)

        return Step(UPDATE, str(vip), do, key=(name, remark))

    def delete(self, vip: Vip) -> Step:
        return Step(DELETE, str(vip), lambda client, request_id: client.release_vip(vip.id))

    def rebind(self, s: Survey, vip: Vip, target: dict[str, Member]) -> Iterator[Step]:
        leaving = [member for member in vip.members.values() if member.id not in target]
        coming = [member for member in target.values() if member.id not in vip.members]
        if not leaving and not coming:
            return
        kind = next((_type(member) for member in coming), vip.data.get("AssociatedResourceType") or VM)
        gone = {member.id for member in leaving}

        def do(client: UCloudStackApi, request_id: str) -> None:
            there = next((_vip(info) for info in client.describe_vips() if info.get("VIPID") == vip.id), None)
            if there is None:
                raise NotFound(f"Virtual IP {vip} is not there any more.", resource=vip.id)
            stay = [each for each in there.members if each not in gone]
            if there.status != READY or (stay and kind != there.data.get("AssociatedResourceType", kind)):
                raise Stale(f"Virtual IP {vip} was changed meanwhile.", resource=vip.id)
            wanted = stay + [member.id for member in coming if member.id not in stay]
            if wanted != list(there.members):
                client.update_vip_bind_resource(vip.id, kind, wanted)

        words = [f"+{member}" for member in coming] + [f"-{member}" for member in leaving]
        yield Step(MEMBERS, f"{vip}: {', '.join(words)}", do, contested=True)


def _vip(info: dict[str, Any]) -> Vip:
    status = str(info.get("Status") or "")
    vip = Vip(
        info["VIPID"],
        host(info.get("IP")) or str(info.get("IP") or ""),
        info.get("Name") or "",
        info.get("Remark") or "",
        info.get("VPCID") or "",
        info.get("SubnetID") or "",
        _KINDS.get(info.get("VIPType") or "", "internal"),
        FAILED if "fail" in status.lower() else READY if status in ("", "Available") else BUSY,
        str(info.get("Reason") or "") or status,
        info,
    )
    for each in info.get("AssociatedResources") or ():
        vip.members[each["ResourceID"]] = Member(each["ResourceID"], each.get("ResourceName") or "")
    return vip


# --- checks


def _check_change(s: Survey, vip: Vip) -> None:
    goal = s.goal
    if goal.kind and goal.kind != vip.kind:
        s.problems.append(f"vip_type: virtual IP {vip} is {vip.kind}, and that cannot be changed")
    if goal.name is not None and goal.name != vip.name and not 1 <= len(goal.name) <= LONGEST_NEW_NAME:
        s.problems.append(f"name: a new name has 1 to {LONGEST_NEW_NAME} characters, and {goal.name} {len(goal.name)}")


def _check_new(s: Survey, client: UCloudStackApi, holders: list[dict[str, Any]]) -> None:
    """Whether it can be created, and in which subnet."""
    goal = s.goal
    if not goal.name or len(goal.name) > LONGEST_NAME:
        s.problems.append(f"name: a virtual IP is created with a name, of 1 to {LONGEST_NAME} characters")
    if not goal.network:
        s.problems.append("network: give the id of the VPC, to say where the virtual IP shall be")
        return
    s.network = goal.network
    try:
        subnets = client.describe_subnets(goal.network)
    except NotFound as error:
        s.problems.append(f"network: {error}")
        return
    if goal.kind == "external":
        if goal.subnet:
            s.problems.append("subnet: an external virtual IP is on a segment, and in no subnet; leave it out")
        lacking = [
            option
            for option, key in (("segment", "SegmentID"), ("bandwidth", "Bandwidth"), ("charge_type", "ChargeType"))
            if goal.creation.get(key) is None
        ]
        if lacking:
            s.problems.append(f"{', '.join(lacking)}: an external virtual IP is created with it")
        return
    found = [each for each in subnets if goal.subnet in (each.get("SubnetID"), each.get("Name"))]
    if len(found) != 1:
        there = ", ".join(f"{each.get('SubnetID')} ({each.get('Network')})" for each in subnets) or "none"
        s.problems.append(f"subnet: say in which one the virtual IP shall be; VPC {goal.network} has: {there}")
        return
    s.subnet = found[0]
    if goal.address and not inside(goal.address, str(s.subnet.get("Network"))):
        s.problems.append(f"address: {goal.address} is outside {s.subnet.get('SubnetID')} ({s.subnet.get('Network')})")
    for each in holders:
        if each.get("VPCID") == goal.network and goal.address in _addresses(each):
            s.problems.append(f"address: {goal.address} belongs to {_member(each)}, which is no virtual IP")


def _check_members(s: Survey, vms: list[dict[str, Any]], nics: list[dict[str, Any]]) -> None:
    """Find the members that are wanted, and say what is wrong with them."""
    kind = s.vip.kind if s.vip else s.goal.kind or "internal"
    subnet = s.vip.subnet if s.vip else s.subnet.get("SubnetID")
    for ref in s.goal.members or ():
        found = _resolve(ref, vms, nics)
        if isinstance(found, str):
            s.problems.append(f"members: {found}")
            continue
        member = _member(found)
        if found.get("VPCID") != s.network:
            s.problems.append(f"members: {ref} is in VPC {found.get('VPCID')}, and the virtual IP in {s.network}")
        elif kind == "internal" and found.get("SubnetID") != subnet:
            s.problems.append(f"members: {ref} is in subnet {found.get('SubnetID')}, and the virtual IP in {subnet}")
        elif member.id not in {each.id for each in s.wanted}:
            s.wanted.append(member)
    types = {_type(member): str(member) for member in s.wanted}
    others = [] if s.goal.exclusive or not s.vip else list(s.vip.members.values())
    if others and s.vip:
        types.setdefault(s.vip.data.get("AssociatedResourceType") or VM, str(others[0]))
    if len(types) > 1:
        said = " and ".join(f"{who} is a {'machine' if what == VM else 'NIC'}" for what, who in types.items())
        s.problems.append(f"members: they must be all machines or all elastic NICs, and {said}")


def _resolve(ref: str, vms: list[dict[str, Any]], nics: list[dict[str, Any]]) -> dict[str, Any] | str:
    """The machine or NIC that a member is given by, or why there is none."""
    for keys in ("VMID", "NICID"), ("Name",):
        found = [each for each in (*vms, *nics) if ref and ref in [each.get(key) for key in keys]]
        if found:
            break
    else:
        # A NIC's address is that of its machine, too.
        found = next(filter(None, ([e for e in some if host(ref) in _addresses(e)] for some in (vms, nics))), [])
    if len(found) == 1:
        return found[0]
    if not found:
        return f"there is no machine, elastic NIC or address {ref!r}"
    return f"{ref} means several: {', '.join(_member(each).id for each in found)}. Say which by its id"


def _member(info: dict[str, Any]) -> Member:
    address = next(iter(_addresses(info)), "")
    return Member(str(info.get("VMID") or info.get("NICID")), info.get("Name") or "", address, info)


def _type(member: Member) -> str:
    return VM if "VMID" in member.data else NIC


def _addresses(info: dict[str, Any]) -> list[str]:
    """A machine's or a NIC's own addresses."""
    own = [each.get("IP") for each in info.get("IPInfos") or () if each.get("IsVIP") != "Y"] or [info.get("IP")]
    return [address for address in map(host, own) if address]

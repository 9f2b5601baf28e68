# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Virtual IPs of UCloudStack: a resource of its own, with one list of the machines or elastic NICs that are bound.

The list is replaced as a whole and has no revision. So it is read again right before it is written, and verified
until it has settled.
"""

from __future__ import annotations

from ..base.errors import NotFound, Stale
from .havip import Havip
from .havip_decide import Decision, check_limits, choose
from .havip_look import READY, host, inside
from .havip_steps import CREATE, DELETE, MEMBERS, UPDATE, taken
from .havip_ucloudstack_look import VM, addresses_of, look, member_of, type_of, vip_of
from .plan import Step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Any

    from .facts import Question
    from .havip_goal import Goal
    from .havip_look import Member, Vip
    from .havip_steps import History
    from .havip_ucloudstack_look import Info, StackObserved, UCloudStackApi

_TYPES = {"internal": "LAN", "external": "WAN"}
LONGEST_NAME, LONGEST_NEW_NAME = 128, 30  # when it is created, and when it is renamed


class UCloudStack(Havip):
    def look(self, client: UCloudStackApi, goal: Goal, lasting: Mapping[Question, Any]) -> StackObserved:
        return look(client, goal)

    def decide(self, observed: StackObserved, goal: Goal, history: History) -> Decision:
        return decide(observed, goal, history)

    # --- steps

    def create(self, d: Decision) -> Step:
        goal, network = d.goal, d.network
        wanted = {
            "Name": goal.name,
            "Remark": goal.remark,
            "VIPType": _TYPES[goal.kind or "internal"],
            "VPCID": network,
            "SubnetID": d.subnet.get("SubnetID"),
            "IP": goal.address,
            **goal.creation,
        }
        parameters = {key: value for key, value in wanted.items() if value is not None}

        def do(client: UCloudStackApi, request_id: str) -> None:
            # The request may have been carried out already, and its answer lost.
            for info in client.describe_vips():
                if (info.get("Name"), info.get("VPCID")) == (goal.name, network):
                    raise taken(goal.label())
            client.allocate_vip(parameters)

        return Step(CREATE, goal.label(), do, contested=bool(goal.address))

    def update(self, vip: Vip, name: str, remark: str | None) -> Step:
        def do(client: UCloudStackApi, request_id: str) -> None:
            client.modify_name_and_remark(vip.id, name, remark)

        return Step(UPDATE, str(vip), do, key=(name, remark))

    def delete(self, vip: Vip) -> Step:
        return Step(DELETE, str(vip), lambda client, request_id: client.release_vip(vip.id))

    def rebind(self, d: Decision, vip: Vip, target: Mapping[str, Member]) -> Iterator[Step]:
        leaving = [member for member in vip.members.values() if member.id not in target]
        coming = [member for member in target.values() if member.id not in vip.members]
        if not leaving and not coming:
            return
        kind = next((type_of(member) for member in coming), vip.data.get("AssociatedResourceType") or VM)
        gone = {member.id for member in leaving}

        def do(client: UCloudStackApi, request_id: str) -> None:
            there = next((vip_of(info) for info in client.describe_vips() if info.get("VIPID") == vip.id), None)
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


# --- what is to be done


def decide(o: StackObserved, goal: Goal, history: History) -> Decision:
    """Pure. Raises Unread where a fact is missing."""
    d = Decision(o, goal, history)
    choose(d)
    if goal.present and not d.problems:
        vms, nics = o.vms(), o.nics()
        if d.vip:
            d.network = d.vip.network
            _check_change(d, d.vip)
        else:
            _check_new(d, o, [*vms, *nics])
        if not d.problems:
            _check_members(d, vms, nics)
            check_limits(
                d,
                {member.id: {vip.address for vip in o.everything if member.id in vip.members} for member in d.wanted},
            )
    if d.vip:
        d.signature = (d.vip.id, d.vip.data.get("AssociatedResourceType"), tuple(sorted(d.vip.members)))
    return d


def _check_change(d: Decision, vip: Vip) -> None:
    goal = d.goal
    if goal.kind and goal.kind != vip.kind:
        d.problems.append(f"vip_type: virtual IP {vip} is {vip.kind}, and that cannot be changed")
    if goal.name is not None and goal.name != vip.name and not 1 <= len(goal.name) <= LONGEST_NEW_NAME:
        d.problems.append(f"name: a new name has 1 to {LONGEST_NEW_NAME} characters, and {goal.name} {len(goal.name)}")


def _check_new(d: Decision, o: StackObserved, holders: Sequence[Info]) -> None:
    """Whether it can be created, and in which subnet."""
    goal = d.goal
    if not goal.name or len(goal.name) > LONGEST_NAME:
        d.problems.append(f"name: a virtual IP is created with a name, of 1 to {LONGEST_NAME} characters")
    if not goal.network:
        d.problems.append("network: give the id of the VPC, to say where the virtual IP shall be")
        return
    d.network = goal.network
    try:
        subnets = o.subnets(goal.network)
    except NotFound as error:
        d.problems.append(f"network: {error}")
        return
    if goal.kind == "external":
        if goal.subnet:
            d.problems.append("subnet: an external virtual IP is on a segment, and in no subnet; leave it out")
        lacking = [
            option
            for option, key in (("segment", "SegmentID"), ("bandwidth", "Bandwidth"), ("charge_type", "ChargeType"))
            if goal.creation.get(key) is None
        ]
        if lacking:
            d.problems.append(f"{', '.join(lacking)}: an external virtual IP is created with it")
        return
    found = [each for each in subnets if goal.subnet in (each.get("SubnetID"), each.get("Name"))]
    if len(found) != 1:
        there = ", ".join(f"{each.get('SubnetID')} ({each.get('Network')})" for each in subnets) or "none"
        d.problems.append(f"subnet: say in which one the virtual IP shall be; VPC {goal.network} has: {there}")
        return
    d.subnet = found[0]
    if goal.address and not inside(goal.address, str(d.subnet.get("Network"))):
        d.problems.append(f"address: {goal.address} is outside {d.subnet.get('SubnetID')} ({d.subnet.get('Network')})")
    for each in holders:
        if each.get("VPCID") == goal.network and goal.address in addresses_of(each):
            d.problems.append(f"address: {goal.address} belongs to {member_of(each)}, which is no virtual IP")


def _check_members(d: Decision, vms: Sequence[Info], nics: Sequence[Info]) -> None:
    """Find the wanted members, and report their problems."""
    kind = d.vip.kind if d.vip else d.goal.kind or "internal"
    subnet = d.vip.subnet if d.vip else d.subnet.get("SubnetID")
    for ref in d.goal.members or ():
        found = _resolve(ref, vms, nics)
        if isinstance(found, str):
            d.problems.append(f"members: {found}")
            continue
        member = member_of(found)
        if found.get("VPCID") != d.network:
            d.problems.append(f"members: {ref} is in VPC {found.get('VPCID')}, and the virtual IP in {d.network}")
        elif kind == "internal" and found.get("SubnetID") != subnet:
            d.problems.append(f"members: {ref} is in subnet {found.get('SubnetID')}, and the virtual IP in {subnet}")
        elif member.id not in {each.id for each in d.wanted}:
            d.wanted.append(member)
    types = {type_of(member): str(member) for member in d.wanted}
    others = [] if d.goal.exclusive or not d.vip else list(d.vip.members.values())
    if others and d.vip:
        types.setdefault(d.vip.data.get("AssociatedResourceType") or VM, str(others[0]))
    if len(types) > 1:
        said = " and ".join(f"{who} is a {'machine' if what == VM else 'NIC'}" for what, who in types.items())
        d.problems.append(f"members: they must be all machines or all elastic NICs, and {said}")


def _resolve(ref: str, vms: Sequence[Info], nics: Sequence[Info]) -> Info | str:
    """The machine or NIC that a member is given by, or why there is none."""
    for keys in ("VMID", "NICID"), ("Name",):
        found = [each for each in (*vms, *nics) if ref and ref in [each.get(key) for key in keys]]
        if found:
            break
    else:
        # A NIC's address is that of its machine, too.
        found = next(filter(None, ([e for e in some if host(ref) in addresses_of(e)] for some in (vms, nics))), [])
    if len(found) == 1:
        return found[0]
    if not found:
        return f"there is no machine, elastic NIC or address {ref!r}"
    return f"{ref} means several: {', '.join(member_of(each).id for each in found)}. Say which by its id"

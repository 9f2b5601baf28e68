# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The actions: which parameters each one takes, and what it does with them."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lab.ucloudstack import cloud as clouds
from lab.ucloudstack.behaviour import Fault
from lab.ucloudstack.cloud import LAN, NIC, VM, WAN, Cloud, Vip
from lab.ucloudstack.errors import ApiError

_NAME = re.compile(r"[\w.-]+")  # letters of any language
_FORBIDDEN = re.compile(r"<script|javascript:|https?://", re.IGNORECASE)
_CHARGE_TYPES = ("Dynamic", "Month", "Year", "hour", "month", "year")
_COMMON = frozenset({"Action", "PublicKey", "Signature"})
_IGNORED = frozenset({"ProjectId", "Zone"})  # the vendor's clients send them


@dataclass(frozen=True)
class Call:
    """A request: its parameters, with lists put together, and the faults that it met."""

    cloud: Cloud
    parameters: Mapping[str, Any]
    faults: Sequence[Fault] = ()

    def get(self, name: str) -> Any:
        """A parameter; an empty one is as none."""
        value = self.parameters.get(name)
        return None if value == "" else value

    def number(self, name: str, otherwise: int) -> int:
        """A parameter that is a number."""
        return otherwise if self.get(name) is None else int(self.parameters[name])


@dataclass(frozen=True)
class Action:
    """``required``, ``optional``, ``lists``: the names of its parameters, as in the vendor's SDK."""

    do: Callable[[Call], dict[str, Any]]
    required: frozenset[str]
    optional: frozenset[str] = field(default=frozenset())
    lists: frozenset[str] = field(default=frozenset())
    mutates: bool = False


_NUMBERS = frozenset({"CompanyID", "Bandwidth", "Quantity", "Limit", "Offset"})


def parse(action: Action, fields: Mapping[str, str]) -> dict[str, Any]:
    """The parameters of a form: Key.0, Key.1 and so on are a list."""
    parameters: dict[str, Any] = {}
    lists: dict[str, dict[int, str]] = {}
    for key, value in fields.items():
        name, _, index = key.partition(".")
        if key in _COMMON or key in _IGNORED:
            continue
        if name in action.lists and index.isdigit():
            lists.setdefault(name, {})[int(index)] = value
        elif key in action.required or key in action.optional:
            parameters[key] = value
        else:
            raise ApiError(113, f"there is no {key}")
    for name, items in lists.items():
        if sorted(items) != list(range(len(items))):
            raise ApiError(4, f"{name}.0, {name}.1 and so on")
        parameters[name] = [items[index] for index in sorted(items)]
    missing = sorted(name for name in action.required if not parameters.get(name))
    if missing:
        raise ApiError(3, ", ".join(missing))
    for name in sorted(_NUMBERS & parameters.keys()):
        if not re.fullmatch(r"\d{1,12}", parameters[name]):
            raise ApiError(4, f"{name} {parameters[name]}")
    return parameters


def _allocate(call: Call) -> dict[str, Any]:
    cloud, get = call.cloud, call.get
    kind, vpc = get("VIPType"), get("VPCID")
    _check_name(get("Name"), 128)
    _check_remark(get("Remark"))
    if kind not in (LAN, WAN):
        raise ApiError(4, f"VIPType {kind}")
    if get("IPVersion") not in (None, "IPv4", "ALL"):
        raise ApiError(113, f"IPVersion {get('IPVersion')}")
    if vpc not in cloud.vpcs:
        raise ApiError(3000, vpc)
    place = _subnet(call, vpc) if kind == LAN else _segment(call)
    if get("ProjectID") not in (None, cloud.world.project):
        raise ApiError(200, get("ProjectID"))
    now = int(time.time())
    vip = Vip(
        id=clouds.new_id(),
        kind=kind,
        name=get("Name"),
        remark=get("Remark") or "",
        address="",
        vpc=vpc,
        place=place,
        created=now,
        updated=now,
        bandwidth=call.number("Bandwidth", 0),
        charge_type=get("ChargeType") or "",
    )
    cloud.allocate(vip, get("IP"), *_resources(call), call.faults)
    return {"VIPID": vip.id}


def _subnet(call: Call, vpc: str) -> str:
    name = call.get("SubnetID")
    if name is None:
        raise ApiError(3, "SubnetID")
    subnet = call.cloud.subnets.get(name)
    if subnet is None:
        raise ApiError(3003, name)
    if subnet.vpc != vpc:
        raise ApiError(113, f"{name} is not in {vpc}")
    return subnet.id


def _segment(call: Call) -> str:
    missing = [name for name in ("SegmentID", "Bandwidth", "ChargeType") if call.get(name) is None]
    if missing:
        raise ApiError(3, ", ".join(missing))
    if call.get("SubnetID") is not None:
        raise ApiError(113, "SubnetID is for LAN")
    if call.get("ChargeType") not in _CHARGE_TYPES:
        raise ApiError(4, f"ChargeType {call.get('ChargeType')}")
    if not 1 <= call.number("Bandwidth", 0) <= 20000:
        raise ApiError(8000, call.get("Bandwidth"))
    name = call.get("SegmentID")
    if name not in call.cloud.segments:
        raise ApiError(200, name)
    return name


def _resources(call: Call) -> tuple[tuple[str, ...], str]:
    resource_type = call.get("AssociatedResourceType") or VM
    if resource_type not in (VM, NIC):
        raise ApiError(4, f"AssociatedResourceType {resource_type}")
    return tuple(call.parameters.get("AssociatedResourceIDs", ())), resource_type


def _check_name(name: str, limit: int) -> None:
    if not _NAME.fullmatch(name) or len(name) > limit:
        raise ApiError(4, f"Name {name}: 1 to {limit} letters, digits, '.', '_' and '-'")


def _check_remark(remark: str | None) -> None:
    if remark is not None and (len(remark) > 100 or _FORBIDDEN.search(remark)):
        raise ApiError(4, "Remark: at most 100 characters, no script and no URL")


def _bind(call: Call) -> dict[str, Any]:
    call.cloud.bind(call.cloud.find(call.get("VIPID")), *_resources(call), call.faults)
    return {}


def _release(call: Call) -> dict[str, Any]:
    call.cloud.release(call.cloud.find(call.get("VIPID")), call.faults)
    return {}


def _rename(call: Call) -> dict[str, Any]:
    vip = call.cloud.find(call.get("ResourceID"))
    _check_name(call.get("Name"), 30)
    _check_remark(call.get("Remark"))
    vip.name, vip.remark, vip.updated = call.get("Name"), call.get("Remark") or "", int(time.time())
    return {}


def _page(call: Call, infos: Iterable[dict[str, Any]], ids: str, key: str) -> dict[str, Any]:
    """What the request asks for of a list: these ids, these projects, what has the keyword, this page."""
    wanted, projects = call.parameters.get(ids), call.parameters.get("ProjectIDs")
    keyword = (call.get("Keyword") or "").lower()
    found = [
        each
        for each in infos
        if (not wanted or each[key] in wanted)
        and (not projects or each["ProjectID"] in projects)
        and any(keyword in str(each.get(name, "")).lower() for name in (key, "Name", "Remark", "IP"))
    ]
    offset = call.number("Offset", 0)
    limit = min(call.number("Limit", 20), 100)
    return {"TotalCount": len(found), "Infos": found[offset : offset + limit]}


def _describe_vips(call: Call) -> dict[str, Any]:
    cloud, states = call.cloud, call.parameters.get("Status")
    vips = [
        each
        for each in cloud.vips.values()
        if call.get("VIPType") in (None, each.kind) and (not states or each.status in states)
    ]
    return _page(call, map(cloud.vip_info, vips), "VIPIDs", "VIPID")


def _describe_vms(call: Call) -> dict[str, Any]:
    infos = [
        each
        for each in map(call.cloud.vm_info, call.cloud.world.vms)
        if call.get("VPCID") in (None, each["VPCID"]) and call.get("SubnetID") in (None, each["SubnetID"])
    ]
    return _page(call, infos, "VMIDs", "VMID")


def _describe_nics(call: Call) -> dict[str, Any]:
    infos = [
        each
        for each in map(call.cloud.nic_info, call.cloud.world.nics)
        if call.get("BindResourceID") in (None, each["BindResourceID"])
        and call.get("NICType") in (None, each["NICType"])
    ]
    return _page(call, infos, "NICIDs", "NICID")


def _describe_vpcs(call: Call) -> dict[str, Any]:
    return _page(call, map(call.cloud.vpc_info, call.cloud.vpcs), "VPCIDs", "VPCID")


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


ACTIONS = {
    "AllocateVIP": Action(
        _allocate,
        required=_words("Region CompanyID Name Quantity VIPType VPCID"),
        optional=_words("AssociatedResourceType Bandwidth ChargeType IP IPVersion ProjectID Remark SegmentID SubnetID"),
        lists=_words("AssociatedResourceIDs TagKeyValuePairs"),
        mutates=True,
    ),
    "UpdateVIPBindResource": Action(
        _bind,
        required=_words("Region CompanyID VIPID"),
        optional=_words("AssociatedResourceType"),
        lists=_words("AssociatedResourceIDs"),
        mutates=True,
    ),
    "ModifyNameAndRemark": Action(
        _rename, required=_words("Region ResourceID Name"), optional=_words("Remark"), mutates=True
    ),
    "ReleaseVIP": Action(_release, required=_words("Region VIPID"), mutates=True),
    "DescribeVIP": Action(
        _describe_vips,
        required=_words("Region"),
        optional=_words("CompanyID Keyword Limit Offset VIPType"),
        lists=_words("ProjectIDs Status VIPIDs"),
    ),
    "DescribeVMInstance": Action(
        _describe_vms,
        required=_words("Region"),
        optional=_words("CompanyID Keyword Limit Offset SubnetID VPCID"),
        lists=_words("ProjectIDs VMIDs"),
    ),
    "DescribeNIC": Action(
        _describe_nics,
        required=_words("Region"),
        optional=_words("BindResourceID CompanyID Keyword Limit NICType Offset"),
        lists=_words("NICIDs ProjectIDs"),
    ),
    "DescribeVPC": Action(
        _describe_vpcs,
        required=_words("Region"),
        optional=_words("CompanyID Keyword Limit Offset"),
        lists=_words("ProjectIDs VPCIDs"),
    ),
}

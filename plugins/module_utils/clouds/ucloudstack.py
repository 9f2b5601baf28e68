# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""UCloudStack's API, version 2: the few actions of its highly available VIPs. Every failure is a CloudError.

docs/ucloudstack.md names the source of each fact. No action takes a request id, and none can compare before it sets.
"""

from __future__ import annotations

import hashlib
from urllib.parse import urlencode

from ..base import masking
from ..base.errors import AlreadyExists, CloudError, Denied, Invalid, Lost, NotFound, Quota, Stale, Unavailable
from .session import read_answer, retry_after

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from .session import Response, Session

PAGE = 100  # the most that the API's lists give at once

# Of the list of version 2, which has virtual IPs. Where the state of something is not right, it has to be read again.
_BY_CODE: dict[int, type[CloudError]] = {
    2: Unavailable,  # an exception of the service
    103: Denied,  # no public key
    104: Denied,  # no signature
    109: Denied,  # a wrong signature
    111: Denied,  # for administrators only
    112: Denied,  # not from this address
    114: Denied,  # not allowed to use this action
    200: NotFound,
    201: Stale,  # the resource's state
    202: Stale,
    204: NotFound,  # deleted
    205: NotFound,  # destroyed
    208: Quota,  # no more can be bound
    209: Denied,  # an administrator forbids deletion
    1004: NotFound,  # the VM
    1005: Stale,  # the VM's state
    1006: Stale,
    1016: Stale,
    3000: NotFound,  # the VPC
    3003: NotFound,  # the subnet
    3007: Stale,  # the VPC's state, the subnet's
    3008: Stale,
    3009: Stale,
    3010: Stale,
    3011: Quota,  # the subnet has no free address
    8001: AlreadyExists,  # the address is taken
    8002: AlreadyExists,
    8004: Quota,  # the segment has no free address
    17005: Quota,
    23001: Quota,  # the balance of the account
}
# Of version 1, where version 2 has no such number: its gateways may have been kept.
_BY_OLD_CODE: dict[int, type[CloudError]] = {
    130: Unavailable,
    150: Denied,
    151: Unavailable,
    152: Unavailable,
    153: Unavailable,
    160: Quota,
    161: Quota,
    164: Denied,
    165: Unavailable,
    170: Denied,
    171: Denied,
    172: Denied,
    173: Denied,
    178: Denied,
    240: Denied,
}
_LATER = ("稍后", "try again", "retry later", "too frequent")
_TIMEOUT = ("超时", "timed out", "timeout")
_BY_STATUS: dict[int, type[CloudError]] = {401: Denied, 403: Denied, 408: Unavailable, 429: Unavailable}


class UCloudStack:
    """A tenant in a region. `endpoint`: the API's URL, such as https://console.example.com/api.

    `company_id`: the tenant's number; which actions can do without it is not known. `project_id`: where a VIP is made,
    and whose resources are listed; None: the tenant's default project, and all that the keys may see. `timeout`:
    seconds for a request. Dictionaries have the API's own names. Lists are whole: all pages are read.
    """

    def __init__(
        self,
        session: Session,
        public_key: str,
        private_key: str,
        *,
        endpoint: str,
        region: str,
        company_id: int | None = None,
        project_id: str | None = None,
        timeout: float = 10.0,
    ) -> None:
        self.endpoint = endpoint
        self.region = region
        self.company_id = company_id
        self.project_id = project_id
        self.timeout = timeout
        self._session = session
        self._public_key = public_key
        self._private_key = private_key

    # --- what is there

    def describe_vips(self) -> list[dict[str, Any]]:
        """VIPInfo, always with Status and AssociatedResources: the API may leave out that one is Available."""
        return [_whole(each) for each in self._list("DescribeVIP", "VIPID", "the VIPs", ProjectIDs=self._projects)]

    def describe_vms(self) -> list[dict[str, Any]]:
        """VMInstanceInfo."""
        return self._list("DescribeVMInstance", "VMID", "the VMs", ProjectIDs=self._projects)

    def describe_nics(self) -> list[dict[str, Any]]:
        """NICInfo: the elastic network interfaces, those on external networks too."""
        return self._list("DescribeNIC", "NICID", "the elastic NICs", ProjectIDs=self._projects)

    def describe_subnets(self, vpc_id: str) -> list[dict[str, Any]]:
        """SubnetInfo of a VPC's subnets, always with Network: of late the API calls it Subnet."""
        for vpc in self._list("DescribeVPC", "VPCID", f"VPC {vpc_id}", VPCIDs=[vpc_id]):
            if vpc["VPCID"] == vpc_id:
                return [
                    {**each, "Network": each.get("Network") or each.get("Subnet")}
                    for each in _dicts(vpc, "SubnetInfos")
                ]
        raise NotFound(f"There is no VPC {vpc_id} in region {self.region}.", resource=vpc_id)

    # --- changes

    def allocate_vip(self, parameters: dict[str, Any]) -> str:
        """AllocateVIP with these parameters; returns the VIPID. It may take a while until it is Available.

        Name, VIPType (LAN or WAN) and VPCID; for LAN a SubnetID; for WAN a SegmentID, Bandwidth in Mbps and ChargeType
        (Dynamic, Month or Year). IP, IPVersion, Remark and Quantity are chosen by the API, or 1.
        """
        name = str(parameters.get("Name"))
        common = {"CompanyID": self.company_id, "ProjectID": self.project_id, "Quantity": 1}
        vip_id = self._call("AllocateVIP", {**common, **parameters}, f"allocate VIP {name}", name).get("VIPID")
        if not isinstance(vip_id, str) or not vip_id:
            raise Lost(
                f"Cannot allocate VIP {name}: the API's answer names no VIPID. It may be there: look.", resource=name
            )
        return vip_id

    def update_vip_bind_resource(self, vip_id: str, resource_type: str, resource_ids: list[str]) -> None:
        """Bind exactly these resources (VM or ELASTIC_NIC), and unbind all others.

        The API compares nothing before it sets: read it back. It must not be repeated without a look, either.
        """
        parameters = {
            "CompanyID": self.company_id,
            "VIPID": vip_id,
            "AssociatedResourceIDs": resource_ids,
            "AssociatedResourceType": resource_type,
        }
        self._call("UpdateVIPBindResource", parameters, f"bind VIP {vip_id}", vip_id)

    def modify_name_and_remark(self, resource_id: str, name: str, remark: str | None) -> None:
        """Rename a VIP; None leaves its remark as it is.

        It is unknown whether the API keeps a remark that it is not sent. So it is read, and sent again.
        """
        if remark is None:
            vips = self._list("DescribeVIP", "VIPID", f"VIP {resource_id}", VIPIDs=[resource_id])
            found = [each for each in vips if each["VIPID"] == resource_id]
            if not found:
                raise NotFound(f"There is no VIP {resource_id} in region {self.region}.", resource=resource_id)
            remark = str(found[0].get("Remark") or "")
        parameters = {"ResourceID": resource_id, "Name": name, "Remark": remark}
        self._call("ModifyNameAndRemark", parameters, f"rename VIP {resource_id}", resource_id)

    def release_vip(self, vip_id: str) -> None:
        """Delete it, which unbinds all resources. The API lets go of those that are Available or Failed."""
        self._call("ReleaseVIP", {"VIPID": vip_id}, f"release VIP {vip_id}", vip_id)

    # --- requests

    @property
    def _projects(self) -> list[str]:
        return [self.project_id] if self.project_id else []

    def _list(self, action: str, key: str, what: str, **filters: Any) -> list[dict[str, Any]]:
        """All items of a list, by the key of their ids."""
        doing = f"list {what} of region {self.region}"
        asked = {"CompanyID": self.company_id, **filters, "Limit": PAGE}
        found: dict[str, dict[str, Any]] = {}
        offset = 0
        while True:
            page = self._call(action, {**asked, "Offset": offset}, doing, self.region)
            items = [each for each in _dicts(page, "Infos") if each.get(key)]
            found.update((each[key], each) for each in items)
            offset += len(items)
            total = _number(page.get("TotalCount"), offset)
            if offset < total and items:
                continue
            if len(found) < total:
                # Something may have gone meanwhile; a list that is not whole would look as if nothing were bound.
                raise Unavailable(
                    f"Cannot {doing}: the API says that there are {total}, and gives {len(found)}. Try again later.",
                    resource=self.region,
                )
            return list(found.values())

    def _call(self, action: str, parameters: Mapping[str, Any], doing: str, resource: str) -> dict[str, Any]:
        fields = flatten({"Action": action, "Region": self.region, "PublicKey": self._public_key, **parameters})
        fields["Signature"] = sign(fields, self._private_key)
        # Who has a signature can send the request again: it has neither a time nor a nonce.
        masking.keep(self._private_key, fields["Signature"])
        headers = {"Accept": "application/json", "Content-Type": "application/x-www-form-urlencoded"}
        try:
            response = self._session.request(
                "POST", self.endpoint, urlencode(fields).encode(), headers, timeout=self.timeout
            )
        except CloudError as error:
            raise type(error)(f"Cannot {doing}: {error}", resource=resource) from error
        succeeded, answer, text = read_answer(response)
        if not succeeded:
            raise _refusal(response, text, doing, resource)
        try:
            code = int(answer["RetCode"])
        except (ValueError, TypeError, KeyError, OverflowError):
            # A change may have taken effect all the same.
            raise Lost(
                f"Cannot {doing}: status {response.status}, and an answer that is not the API's (it has {len(text)} "
                f"characters). Check that the endpoint {self.endpoint} is right.",
                resource=resource,
                status=response.status,
            ) from None
        if code:
            raise _error(code, str(answer.get("Message") or ""), doing, resource)
        return answer


def flatten(parameters: Mapping[str, Any]) -> dict[str, str]:
    """The fields of a form: a list becomes Key.0, Key.1 and so on, an empty one nothing; a None is left out."""
    fields: dict[str, str] = {}
    for key, value in parameters.items():
        if isinstance(value, (list, tuple)):
            fields.update((f"{key}.{index}", str(item)) for index, item in enumerate(value))
        elif value is not None:
            fields[key] = str(value)
    return fields


def sign(fields: Mapping[str, str], private_key: str) -> str:
    """The signature of a form's fields, the public key among them."""
    text = "".join(f"{key}{fields[key]}" for key in sorted(fields))
    return hashlib.sha1((text + private_key).encode()).hexdigest()


def _whole(vip: dict[str, Any]) -> dict[str, Any]:
    return {
        **vip,
        "Status": vip.get("Status") or "Available",
        "AssociatedResources": _dicts(vip, "AssociatedResources"),
    }


def _dicts(answer: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    items = answer.get(key)
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []


def _number(value: Any, otherwise: int) -> int:
    try:
        return int(value)
    except (TypeError, ValueError):
        return otherwise


def _kind(code: int, message: str) -> type[CloudError]:
    if code in _BY_CODE:
        return _BY_CODE[code]
    # In version 1, 100 is "not in this state" and 110 a timeout; in version 2 both are mistakes of the request.
    said = message.lower()
    if any(word in said for word in _TIMEOUT):
        return Lost
    if any(word in said for word in _LATER):
        return Unavailable
    return _BY_OLD_CODE.get(code, Invalid)


_ADVICE: dict[type[CloudError], str] = {
    Denied: "Check the keys and what they may do.",
    Quota: "Raise the limit, or let go of what is not needed.",
    Stale: "Its state changes: look again.",
    Unavailable: "Try again later.",
    Lost: "Look before you repeat: it may have taken effect.",
}


def _error(code: int, message: str, doing: str, resource: str) -> CloudError:
    kind = _kind(code, message)
    said = message.rstrip("。. ") or "it does not say why"
    text = f"Cannot {doing}: RetCode {code}: {said}. {_ADVICE.get(kind, '')}"
    return kind(text.rstrip(), resource=resource, status=200, code=str(code))


def _refusal(response: Response, text: str, doing: str, resource: str) -> CloudError:
    """The error that an answer with another status than 2xx means; the API's own refusals have 200."""
    status = response.status
    kind = _BY_STATUS.get(status, Unavailable if status >= 500 else Invalid)
    said = " ".join(text.split())[:200] or "it is empty"
    if 300 <= status < 400:
        said = f"redirected to {response.headers.get('location')}, which is not followed: check the endpoint"
    return kind(
        f"Cannot {doing}: status {status}: {said.rstrip('. ')}. {_ADVICE.get(kind, '')}".rstrip(),
        resource=resource,
        status=status,
        retry_after=retry_after(response.headers),
    )

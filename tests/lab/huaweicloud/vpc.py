# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The API of VPCs as Huawei Cloud documents it: Neutron's ports with other rules, and elastic IPs.

Documented behaviour, not Huawei's: docs/openstack-api.md says which rule is from where, and what had to be made up.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

from lab.openstack.client import Refused
from lab.openstack.front import Answer, Request
from lab.openstack.server import Cloud

VIP = "neutron:VIP_PORT"
_FIXED = ("device_id", "device_owner", "fixed_ips")  # a port keeps them
# What else of Neutron there is, to be read.
_READABLE = r"/(v2\.0/?|v2\.0/(networks|subnets|security-groups|security-group-rules)(/[^/]+)?)?"


class NeutronError(Exception):
    """A refusal in Neutron's own shape."""

    def __init__(self, status: int, kind: str, message: str) -> None:
        super().__init__(message)
        self.answer = Answer.json(status, {"NeutronError": {"type": kind, "message": message, "detail": ""}})


class VpcError(Exception):
    """A refusal of what is Huawei's own, with a code of its list."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.answer = Answer.json(status, {"code": code, "message": message})


class Vpc:
    """`lab.openstack.front.Service`, in front of Neutron."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._lock = threading.Lock()  # an elastic IP is looked at and then bound

    def __call__(self, request: Request) -> Answer:
        """Answer one request."""
        split = urlsplit(request.path)
        port = re.fullmatch(r"/(v2\.0|v1/([^/]+))/ports(?:/([^/]+))?", split.path)
        publicip = re.fullmatch(r"/v1/([^/]+)/publicips(?:/([^/]+))?", split.path)
        try:
            if publicip:
                self._authenticate(request, publicip[1])
                with self._lock:
                    return self._publicip(request, publicip[2], parse_qs(split.query))
            if port:
                if port[2]:
                    self._authenticate(request, port[2])
                path = f"/v2.0/ports{'/' + port[3] if port[3] else ''}"
                answer = self._port(request, port[3], f"{path}?{split.query}" if split.query else path)
                return _in_words_of_vpc(answer) if port[2] and answer.status >= 400 else answer
            if request.method == "GET" and re.fullmatch(_READABLE, split.path):
                return self._ask(request, request.path)
        except (NeutronError, VpcError) as refused:
            return refused.answer
        return Answer.json(404, {"message": f"The lab's Huawei Cloud has no {request.method} {split.path}."})

    def _authenticate(self, request: Request, project: str) -> None:
        """Huawei's own paths name the project."""
        try:
            about = self._cloud.session.about(request.headers.get("x-auth-token", ""))
        except Refused:
            raise VpcError(401, "VPC.0008", "Invalid token in the header.") from None
        if about.get("project", {}).get("id") != project:
            raise VpcError(400, "VPC.0007", "urlTenantId is not equal tokenTenantId")

    def _ask(self, request: Request, path: str) -> Answer:
        """What Neutron answers, without what Huawei does not have."""
        headers = {name: value for name, value in request.headers.items() if name != "if-match"}
        answer = self._cloud.neutron(Request(request.method, path, headers, request.body))
        if answer.body.startswith(b"{"):
            answer.body = json.dumps(_without_revisions(json.loads(answer.body))).encode()
        return answer

    # --- ports

    def _port(self, request: Request, number: str | None, path: str) -> Answer:
        if request.method in ("POST", "PUT"):
            wish = _body(request, "port")
            _check_pairs(wish)
            if request.method == "POST":
                _check_new(wish)
            else:
                _check_change(wish)
        elif request.method == "DELETE" and number:
            self._check_unused(number)
        return self._ask(request, path)

    def _check_unused(self, number: str) -> None:
        """What may be deleted: the port of a virtual IP that nobody uses, or one that nobody owns."""
        try:
            port = self._cloud.network.call("GET", f"/ports/{number}")["port"]
        except Refused:
            return  # that is for Neutron to say
        owner = port["device_owner"]
        if owner not in ("", VIP) or port["device_id"]:
            raise _in_use(f"Port {number} is in use by {owner or port['device_id']}.")
        if owner == VIP:
            attached = self._cloud.network.call("GET", f"/floatingips?port_id={number}")["floatingips"]
            if attached or port["allowed_address_pairs"]:
                raise _in_use(f"The virtual IP address {number} is bound to an instance or an EIP. Unbind it first.")

    # --- elastic IPs

    def _publicip(self, request: Request, number: str | None, query: Mapping[str, list[str]]) -> Answer:
        if number is None and request.method == "GET":
            mine = f"/floatingips?project_id={self._cloud.project_id}"
            found = [_publicip(each) for each in self._cloud.network.call("GET", mine)["floatingips"]]
            start = [each["id"] for each in found].index(query["marker"][0]) + 1 if "marker" in query else 0
            end = start + int(query["limit"][0]) if "limit" in query else None
            return Answer.json(200, {"publicips": found[start:end]})
        if number is None or request.method not in ("GET", "PUT"):
            raise VpcError(405, "VPC.0001", f"The lab's Huawei Cloud does not {request.method} elastic IPs.")
        try:
            floating = self._cloud.network.call("GET", f"/floatingips/{number}")["floatingip"]
        except Refused:
            raise VpcError(404, "VPC.0504", "Floating IP could not be found.") from None
        if request.method == "PUT":
            floating = self._bind(floating, _body(request, "publicip").get("port_id") or None)
        return Answer.json(200, {"publicip": _publicip(floating)})

    def _bind(self, floating: dict[str, Any], port: str | None) -> dict[str, Any]:
        """To a port, or with None to none."""
        ask = self._cloud.network.call
        if port is not None:
            if floating["port_id"]:
                raise VpcError(409, "VPC.0510", "FloatingIp has already associated with port.")
            try:
                ask("GET", f"/ports/{port}")
            except Refused:
                raise VpcError(500, "VPC.0508", "Port is invalid.") from None
            if ask("GET", f"/floatingips?port_id={port}")["floatingips"]:
                raise VpcError(409, "VPC.0511", "Port has already associated with FloatingIp.")
        try:
            return ask("PUT", f"/floatingips/{floating['id']}", {"floatingip": {"port_id": port}})["floatingip"]
        except Refused as refused:
            raise VpcError(500, "VPC.0514", f"Neutron Error: {refused.body}") from None


def _publicip(floating: Mapping[str, Any]) -> dict[str, Any]:
    """A floating IP in Huawei's words; what a binding adds is absent without one."""
    about = {
        "id": floating["id"],
        "type": "5_bgp",
        "status": "ACTIVE" if floating["port_id"] else "DOWN",
        "public_ip_address": floating["floating_ip_address"],
        "tenant_id": floating["project_id"],
        "create_time": floating["created_at"].replace("T", " ").rstrip("Z"),
        "ip_version": 4,
    }
    if floating["port_id"]:
        about |= {"port_id": floating["port_id"], "private_ip_address": floating["fixed_ip_address"]}
    return about


def _check_pairs(wish: Mapping[str, Any]) -> None:
    for pair in wish.get("allowed_address_pairs") or ():
        if str(pair.get("ip_address", "")).partition("/")[0] == "0.0.0.0":
            raise NeutronError(400, "InvalidInput", "The IP address of allowed_address_pairs cannot be 0.0.0.0.")


def _check_new(wish: Mapping[str, Any]) -> None:
    owner = wish.get("device_owner", "")
    if owner not in ("", VIP):
        raise NeutronError(400, "InvalidInput", f"device_owner can be empty or {VIP}, not {owner}.")
    if owner == VIP and len(wish.get("fixed_ips") or ()) > 1:
        raise NeutronError(400, "InvalidInput", "A virtual IP address has one fixed IP address.")


def _check_change(wish: Mapping[str, Any]) -> None:
    fixed = [each for each in _FIXED if each in wish]
    if fixed:
        raise NeutronError(400, "InvalidInput", f"{', '.join(fixed)} cannot be updated.")
    if wish.get("security_groups", True) in ([], None):
        raise NeutronError(400, "InvalidInput", "security_groups cannot be left blank.")


def _in_use(message: str) -> NeutronError:
    return NeutronError(409, "PortInUse", message)


def _body(request: Request, kind: str) -> dict[str, Any]:
    try:
        wish = json.loads(request.body)[kind]
    except (ValueError, LookupError, TypeError):
        wish = None
    if not isinstance(wish, dict):
        raise NeutronError(400, "HTTPBadRequest", f"The body has to be an object with a {kind}.")
    return wish


def _without_revisions(thing: Any) -> Any:
    if isinstance(thing, dict):
        return {key: _without_revisions(value) for key, value in thing.items() if key != "revision_number"}
    return [_without_revisions(each) for each in thing] if isinstance(thing, list) else thing


def _in_words_of_vpc(answer: Answer) -> Answer:
    said = json.loads(answer.body).get("NeutronError", {})
    return Answer.json(answer.status, {"code": "VPC.0514", "message": f"Neutron Error: {said.get('message', '')}"})

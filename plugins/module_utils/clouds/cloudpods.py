# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Cloudpods: its Keystone, and the few requests of its compute service that a group's address needs.

Every failure is a CloudError. A group, a guest, a network or an EIP is given by its id, or by its name.
"""

from __future__ import annotations

import json
import random
from urllib.parse import quote, urlencode

from ..base import masking
from ..base.errors import (
    AlreadyExists,
    CloudError,
    Denied,
    Invalid,
    Lost,
    NotFound,
    Quota,
    Unavailable,
)
from .session import read_answer, retry_after

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from .session import Response, Session

    Resource = dict[str, Any]

# The client's own name for the service is compute; the catalog has it under this one.
SERVICE_TYPES = ("compute_v2", "compute")
PAGE = 1024
# Of all that the user may list. Without it a list has nothing of another project, and says that nothing is there.
WIDEST = ("scope", "max")

_BY_CLASS: dict[str, type[CloudError]] = {
    "DuplicateNameError": AlreadyExists,
    "DuplicateIdError": AlreadyExists,
    "ResourceNotFoundError": NotFound,
    "OutOfQuotaError": Quota,
    "TooManyRequestsError": Unavailable,
    "duplicate entry": Invalid,
}
_BY_STATUS: dict[int, type[CloudError]] = {
    401: Denied,
    403: Denied,
    404: NotFound,
    408: Unavailable,
    409: AlreadyExists,
    429: Unavailable,
    501: Invalid,
}


_NOTHING = "allow:none"  # what the service says of a privilege that is lacking, and of a token that is not valid
_UNIQUE = "a name is used once in all projects together, and upper and lower case are the same"


class Login:
    """The caller: a user with a password, or a token; and the project, by name with its domain."""

    __slots__ = ("domain", "password", "project", "project_domain", "token", "user")

    def __init__(
        self,
        user: str = "",
        password: str = "",
        token: str = "",
        domain: str = "",
        project: str = "",
        project_domain: str = "",
    ) -> None:
        self.user = user
        self.password = password
        self.token = token
        self.domain = domain
        self.project = project
        self.project_domain = project_domain

    def body(self) -> dict[str, Any]:
        """The body of a request to Keystone."""
        identity: dict[str, Any]
        if self.token:
            identity = {"methods": ["token"], "token": {"id": self.token}}
        else:
            user: dict[str, Any] = {"name": self.user, "password": self.password}
            if self.domain:
                user["domain"] = {"name": self.domain}
            identity = {"methods": ["password"], "password": {"user": user}}
        auth: dict[str, Any] = {"identity": identity}
        if self.project:
            project: dict[str, Any] = {"name": self.project}
            if self.project_domain:
                project["domain"] = {"name": self.project_domain}
            auth["scope"] = {"project": project}
        return {"auth": auth}

    def who(self) -> str:
        return "with the token" if self.token else f"as {self.user}"


class Cloudpods:
    """The compute service as one project sees it. It logs in before the first request, and again when it must.

    `connect`: makes the session for a URL; Keystone and the service may be different servers. `auth_url`: of Keystone,
    up to and with /v3. `region`: "" takes whichever the catalog has, if there is one only. `interface`: public,
    internal or admin. `endpoint`: of the service, instead of the one in the catalog. `timeout`: seconds for a
    request.
    """

    def __init__(
        self,
        connect: Callable[[str], Session],
        auth_url: str,
        login: Login,
        *,
        region: str = "",
        interface: str = "internal",
        endpoint: str | None = None,
        timeout: float = 30.0,
    ) -> None:
        self.auth_url = auth_url.rstrip("/")
        self.region = region
        self.interface = interface
        self.timeout = timeout
        masking.keep(login.password, login.token)
        self._connect = connect
        self._login = login
        self._given_endpoint = (endpoint or "").rstrip("/")
        self._endpoint = ""
        self._token = ""
        self._project: dict[str, str] = {}
        self._keystone: Session | None = None
        self._service: Session | None = None

    # --- what is there

    def project(self) -> dict[str, str]:
        """The project of the login: its id and its name."""
        if not self._token:
            self._log_in()
        return self._project

    def get_group(self, group: str) -> Resource | None:
        try:
            return self._find("instancegroup", group)
        except Denied as error:
            if error.status != 403 or _NOTHING in str(error):
                raise
            text = f"{error} For a new group choose another name: {_UNIQUE}."
            raise Denied(text, resource=error.resource, status=error.status, code=error.code) from error

    def get_server(self, server: str) -> Resource | None:
        return self._find("server", server)

    def get_network(self, network: str) -> Resource | None:
        return self._find("network", network)

    def get_vpc(self, vpc: str) -> Resource | None:
        """Its external_access_mode says whether its addresses may have EIPs."""
        return self._find("vpc", vpc)

    def get_eip(self, eip: str) -> Resource | None:
        """With auto_dellocate, whether it is released when it is dissociated: lists tell that to administrators only.

        Without `field`, which would make another project's EIP look as if it were not there.
        """
        return self._find("eip", eip)

    def list_group_networks(self, group_id: str) -> list[Resource]:
        """The group's VIPs: network_id, ip_addr, and eip_id and eip_addr of a VIP that has an EIP. The oldest first."""
        rows = self._list("groupnetworks", [("group_id", group_id)])
        return sorted(rows, key=lambda row: int(row.get("row_id") or 0))

    def list_group_guests(self, group_id: str) -> list[Resource]:
        """The group's members: guest_id and guest, its name."""
        return self._list("groupguests", [("group_id", group_id)])

    def list_group_eips(self, group_id: str) -> list[Resource]:
        """EIPs that are associated with the group, or should have been: an association that failed stays on record."""
        query = [("associate_id", group_id), ("filter.0", "associate_type.equals(instancegroup)")]
        return [row for row in self._list("eips", query) if row.get("associate_id") == group_id]

    def list_eips(self, name: str) -> list[Resource]:
        """The EIPs whose names begin so."""
        query = [("filter.0", f"name.startswith({name})")]
        return [row for row in self._list("eips", query) if str(row.get("name", "")).startswith(name)]

    def list_server_networks(self, server_id: str) -> list[Resource]:
        """A guest's interfaces: network_id, network, ip_addr."""
        return self._list("guestnetworks", [], f"servers/{quote(server_id, safe='')}/networks")

    def list_eip_networks(self) -> list[Resource]:
        """The networks that EIPs are taken from, as far as the project sees them: bgp_type is the type of the line."""
        rows = self._list("networks", [("filter.0", "server_type.equals(eip)")])
        return [row for row in rows if row.get("server_type") == "eip"]

    def list_address_users(self, network_id: str, address: str, besides: str) -> list[str]:
        """The owner of an address in a network, as far as the user sees it, such as "the guest vm1". Not the group
        with the id `besides`.
        """
        users = []
        for collection, kind, key in (
            ("guestnetworks", "the guest", "guest"),
            ("groupnetworks", "the group", "instance_group"),
            ("reservedips", "a reservation", "notes"),
        ):
            query = [("network_id", network_id), ("ip_addr", address)]
            try:
                rows = self._list(collection, query)
            except (Denied, Invalid, NotFound):
                continue  # Not everybody may see it, and not every release has it: the service itself refuses later.
            for row in rows:
                if row.get("group_id") == besides:
                    continue
                if row.get("network_id") == network_id and row.get("ip_addr") == address:
                    users.append(f"{kind} {row.get(key) or ''}".rstrip())
        return users

    # --- changes; what becomes of those of EIPs, which the service does later, is in the status of the group

    def create_group(self, body: Mapping[str, Any]) -> Resource:
        doing = f"create group {body.get('name')}"
        try:
            return self._change("POST", "instancegroups", {"instancegroup": dict(body)}, doing, str(body.get("name")))
        except AlreadyExists as error:
            text = f"{error} Choose another name: {_UNIQUE}."
            raise AlreadyExists(text, resource=error.resource, status=error.status, code=error.code) from error

    def update_group(self, group_id: str, body: Mapping[str, Any]) -> Resource:
        path = f"instancegroups/{quote(group_id, safe='')}"
        return self._change("PUT", path, {"instancegroup": dict(body)}, f"update group {group_id}", group_id)

    def delete_group(self, group_id: str) -> None:
        path = f"instancegroups/{quote(group_id, safe='')}"
        self._change("DELETE", path, None, f"delete group {group_id}", group_id)

    def bind_guests(self, group_id: str, guests: Sequence[str]) -> Resource:
        return self._act(group_id, "bind-guests", _numbered("guest", guests))

    def unbind_guests(self, group_id: str, guests: Sequence[str]) -> Resource:
        return self._act(group_id, "unbind-guests", _numbered("guest", guests))

    def attach_network(self, group_id: str, body: Mapping[str, Any]) -> Resource:
        """Another VIP, whether there is one already or not. The body may have network_id, ip_addr, alloc_dir, reserved
        and require_designated_ip; without the last one the service may take any other address than ip_addr.
        """
        return self._act(group_id, "attachnetwork", body)

    def detach_network(self, group_id: str, address: str) -> Resource:
        """An address that the group does not have is no error."""
        return self._act(group_id, "detachnetwork", {"ip_addr": address})

    def create_eip(self, group_id: str, body: Mapping[str, Any]) -> Resource:
        """The body may have bandwidth, bgp_type, charge_type and auto_dellocate. Its ip_addr would be the EIP's own."""
        return self._act(group_id, "create-eip", body)

    def associate_eip(self, group_id: str, eip_id: str, address: str) -> Resource:
        return self._act(group_id, "associate-eip", {"eip_id": eip_id, "ip_addr": address})

    def dissociate_eip(self, group_id: str, release: bool) -> Resource:
        """Of several EIPs the service takes any one."""
        return self._act(group_id, "dissociate-eip", {"auto_delete": release})

    def delete_eip(self, eip_id: str) -> None:
        self._change("DELETE", f"eips/{quote(eip_id, safe='')}", None, f"release EIP {eip_id}", eip_id)

    # --- requests

    def _act(self, group_id: str, action: str, body: Mapping[str, Any]) -> Resource:
        path = f"instancegroups/{quote(group_id, safe='')}/{action}"
        return self._change("POST", path, {"instancegroup": dict(body)}, f"{action} of group {group_id}", group_id)

    def _change(self, method: str, path: str, body: Any, doing: str, resource: str) -> Resource:
        answer = self._call(method, path, [], body, doing, resource)
        return next((each for each in answer.values() if isinstance(each, dict)), {})

    def _find(self, kind: str, name: str) -> Resource | None:
        if not name.strip("/."):
            raise Invalid(f"Cannot get {kind} {name!r}: that is no name.", resource=name)
        try:
            answer = self._call("GET", f"{kind}s/{quote(name, safe='')}", [], None, f"get {kind} {name}", name)
        except NotFound:
            return None
        found = answer.get(kind)
        return found if isinstance(found, dict) else None

    def _list(self, collection: str, query: Sequence[tuple[str, str]], path: str | None = None) -> list[Resource]:
        rows: list[Resource] = []
        while True:
            paging = [("limit", str(PAGE)), *([("offset", str(len(rows)))] if rows else [])]
            asked = [*query, WIDEST, *paging]
            answer = self._call("GET", path or collection, asked, None, f"list {collection}", collection)
            page = answer.get(collection)
            page = [row for row in page if isinstance(row, dict)] if isinstance(page, list) else []
            rows += page
            # An answer without rows has no total either.
            if not page or len(rows) >= int(answer.get("total") or 0):
                return rows

    def _call(
        self, method: str, path: str, query: Sequence[tuple[str, str]], body: Any, doing: str, resource: str
    ) -> dict[str, Any]:
        fresh = not self._token
        if fresh:
            self._log_in()
        response = self._send(method, path, query, body, doing, resource)
        # A token that is not good is told as a lack of privileges: nothing is allowed to nobody. A change is not sent
        # twice for that, unless the token may not even read any more.
        if not fresh and _is_nobody(response) and (method == "GET" or self._is_token_dead()):
            self._log_in()
            response = self._send(method, path, query, body, doing, resource)
        return self._answer(response, doing, resource)

    def _is_token_dead(self) -> bool:
        answer = self._send("GET", "instancegroups", [("limit", "1")], None, "list instancegroups", "instancegroups")
        return _is_nobody(answer)

    def _send(
        self, method: str, path: str, query: Sequence[tuple[str, str]], body: Any, doing: str, resource: str
    ) -> Response:
        url = f"{self._endpoint}/{path}"
        if query:
            url += "?" + urlencode(query, quote_via=quote)
        headers = {"X-Auth-Token": self._token}
        if self._service is None:
            self._service = self._connect(self._endpoint)
        return _request(self._service, method, url, body, headers, self.timeout, doing, resource)

    def _log_in(self) -> None:
        doing = f"log in to {self.auth_url} {self._login.who()}"
        if self._keystone is None:
            self._keystone = self._connect(self.auth_url)
        url = f"{self.auth_url}/auth/tokens"
        response = _request(self._keystone, "POST", url, self._login.body(), {}, self.timeout, doing, "token")
        try:
            answer = self._answer(response, doing, "token")
        except NotFound as error:
            # Nobody shall take it for a group that is not there.
            if error.code == "UserNotFound":
                raise Denied(
                    f"{error} Check username and domain_name: there is no such user.",
                    resource="token",
                    status=404,
                    code=error.code,
                ) from error
            raise Invalid(f"{error} Check auth_url: it ends with /v3.", resource="token", status=404) from error
        granted = answer.get("token")
        token = response.headers.get("x-subject-token") or answer.get("id")
        if not token or not isinstance(granted, dict):
            raise Denied(f"Cannot {doing}: the answer has no token. Check auth_url: it ends with /v3.")
        project = granted.get("project")
        if not isinstance(project, dict) or not project.get("id"):
            raise Denied(f"Cannot {doing}: the token is for no project. Name the project to log in to (project_name).")
        self._project = {"id": str(project["id"]), "name": str(project.get("name") or "")}
        self._endpoint = self._given_endpoint or self._look_up(granted.get("catalog"))
        self._token = str(token)
        masking.keep(self._token)

    def _look_up(self, catalog: Any) -> str:
        """The URL of the compute service in the region."""
        services = [each for each in catalog if isinstance(each, dict)] if isinstance(catalog, list) else []
        for kind in SERVICE_TYPES:
            endpoints = [
                endpoint
                for service in services
                if service.get("type") == kind
                for endpoint in service.get("endpoints") or ()
            ]
            if endpoints:
                break
        else:
            raise Invalid(
                f"The catalog of {self.auth_url} has no service {SERVICE_TYPES[0]}. Give its URL (compute_endpoint).",
                resource=SERVICE_TYPES[0],
            )
        regions = sorted({str(each.get("region_id") or "") for each in endpoints})
        interfaces = sorted({str(each.get("interface") or "") for each in endpoints})
        if not self.region and len(regions) > 1:
            raise Invalid(f"There are several regions: {', '.join(regions)}. Say which (region_name).")
        urls = [
            str(each["url"])
            for each in endpoints
            if each.get("url")
            and each.get("interface") == self.interface
            and (not self.region or each.get("region_id") == self.region)
        ]
        if not urls:
            raise Invalid(
                f"The catalog of {self.auth_url} has no {self.interface} endpoint of {kind} in region "
                f"{self.region or regions[0]!r}; it has {', '.join(interfaces)} in {', '.join(regions)}. Check "
                "region_name and endpoint_type, or give the URL (compute_endpoint).",
                resource=kind,
            )
        return random.choice(urls).rstrip("/")

    def _answer(self, response: Response, doing: str, resource: str) -> dict[str, Any]:
        succeeded, answer, text = read_answer(response)
        if not succeeded:
            raise _refusal(response, answer, text, doing, resource)
        if not isinstance(answer, dict):
            # A change may have taken effect all the same.
            raise Lost(
                f"Cannot {doing}: status {response.status}, and an answer that is not the API's. Check that the URLs "
                f"are right: {self.auth_url}, {self._endpoint or 'and that of the service'}.",
                resource=resource,
                status=response.status,
            )
        return answer


def _request(
    session: Session,
    method: str,
    url: str,
    body: Any,
    headers: Mapping[str, str],
    timeout: float,
    doing: str,
    resource: str,
) -> Response:
    sent = {"Accept": "application/json", **headers}
    data = None
    if body is not None:
        data = json.dumps(body, separators=(",", ":")).encode()
        sent["Content-Type"] = "application/json"
    try:
        return session.request(method, url, data, sent, timeout)
    except CloudError as error:
        raise type(error)(f"Cannot {doing}: {error}", resource=resource, status=error.status) from error


def _numbered(name: str, values: Sequence[str]) -> dict[str, str]:
    """guest.0, guest.1, ...: the service refuses a list."""
    return {f"{name}.{number}": value for number, value in enumerate(values)}


def _is_nobody(response: Response) -> bool:
    return response.status == 401 or (response.status == 403 and _NOTHING.encode() in response.body)


def _refusal(response: Response, answer: Any, text: str, doing: str, resource: str) -> CloudError:
    """The error that an answer with another status than 2xx means."""
    status, code, message = response.status, "", ""
    error = answer.get("error", answer) if isinstance(answer, dict) else None
    if isinstance(error, dict):
        code = str(error.get("class") or "")
        message = str(error.get("details") or error.get("message") or "")
    # With a status of 300 to 400 the service sends a Location as well: its message, and nowhere to go.
    if 300 <= status < 400 and not message:
        message = f"redirected to {response.headers.get('location')}, which is not followed: check the URL"
    message = message or " ".join(text.split())[:200] or "it does not say why"
    kind = _BY_CLASS.get(code) or _BY_STATUS.get(status) or (Unavailable if status >= 500 else Invalid)
    said = " ".join(str(word) for word in (status, code) if word)
    sentence = f"Cannot {doing}: {said}: {message.rstrip('. ')}."
    return kind(
        f"{sentence} {_advice(kind, status, code, response)}".rstrip(),
        resource=resource,
        status=status,
        code=code,
        retry_after=retry_after(response.headers),
    )


def _advice(kind: type[CloudError], status: int, code: str, response: Response) -> str:
    if kind is Denied:
        if code == "WrongPassword":
            return "Check username, password and domain_name."
        if status == 401:
            return "Check the credentials, project_name and project_domain."
        if _is_nobody(response):
            return "The user has no role in the project that allows it: have one given."
        return "Log in to the project that it belongs to, or have the privilege given to the user."
    if code == "duplicate entry":
        return "Several have this name: give the id."
    if kind is Quota:
        return "Raise the quota, or give back what is not needed."
    if kind is Unavailable:
        return "Try again later."
    return ""

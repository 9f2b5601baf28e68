# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""OpenStack's API of networks, over a connection of openstacksdk. Every failure is a CloudError.

Requests go through the SDK's adapters, which log in and find the service, and not through its objects. So an update
has exactly the intended keys, and its revision is compared also where nothing else changes.
"""

from __future__ import annotations

from ..base.errors import AlreadyExists, CloudError, Denied, Invalid, Lost, NotFound, Quota, Stale, Unavailable
from .session import read_json, retry_after

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

PAGE = 1000

_BY_STATUS: dict[int, type[CloudError]] = {
    401: Denied,
    403: Denied,
    404: NotFound,
    408: Unavailable,
    # In use, or not in the state for it: it has to be looked at again.
    409: AlreadyExists,
    412: Stale,
    429: Unavailable,
}
BY_CODE: dict[str, type[CloudError]] = {
    "OverQuota": Quota,
    "IpAddressGenerationFailure": Quota,
    "RetryRequest": Unavailable,
}
_ADVICE: dict[type[CloudError], str] = {
    Denied: "Check the credentials, the project, and what its member may do.",
    Quota: "Raise the quota, or delete what is not needed.",
    Unavailable: "Try again later.",
}


class Neutron:
    """A project's networks. `connection`: of openstacksdk. Dictionaries have the API's own names.

    `timeout`: seconds for a request, with the login and the search for the API if they come first.
    """

    by_code = BY_CODE

    def __init__(self, connection: Any, timeout: float = 30.0) -> None:
        self.timeout = timeout
        self._connection = connection

    # --- what is there

    def list_networks(self) -> list[dict[str, Any]]:
        return self._list("network", "/networks", "networks")

    def list_subnets(self) -> list[dict[str, Any]]:
        return self._list("network", "/subnets", "subnets")

    def list_ports(self, network_id: str) -> list[dict[str, Any]]:
        """All ports of a network that the caller can see."""
        return self._list("network", "/ports", "ports", {"network_id": network_id})

    def get_port(self, port_id: str) -> dict[str, Any]:
        return self._call("network", "GET", f"/ports/{port_id}", f"get port {port_id}", port_id)["port"]

    def list_servers(self) -> list[dict[str, Any]]:
        """The project's servers: id and name."""
        return self._list("compute", "/servers", "servers")

    def list_external(self) -> list[dict[str, Any]]:
        """The floating IPs: id, address, port_id, fixed_ip, revision_number. None, where there are no routers."""
        try:
            floating = self._list("network", "/floatingips", "floatingips")
        except NotFound:
            return []
        return [
            {
                "id": each["id"],
                "address": each["floating_ip_address"],
                "port_id": each.get("port_id"),
                "fixed_ip": each.get("fixed_ip_address"),
                "revision_number": each.get("revision_number"),
            }
            for each in floating
        ]

    # --- changes

    def create_port(self, body: dict[str, Any]) -> dict[str, Any]:
        name = str(body.get("name") or body.get("fixed_ips"))
        return self._call("network", "POST", "/ports", f"create port {name}", name, {"port": body})["port"]

    def update_port(self, port_id: str, body: dict[str, Any], revision: int | None = None) -> None:
        """Change only the keys of body. With a revision: Stale, if the port has another one."""
        doing = f"update port {port_id}"
        self._call("network", "PUT", f"/ports/{port_id}", doing, port_id, {"port": body}, revision=revision)

    def delete_port(self, port_id: str, revision: int | None = None) -> None:
        self._call("network", "DELETE", f"/ports/{port_id}", f"delete port {port_id}", port_id, revision=revision)

    def set_external(self, external: dict[str, Any], port_id: str | None, fixed_ip: str | None) -> None:
        """Attach a floating IP, as it was listed, to a port's address, or with None detach it; Stale if it changed."""
        doing = f"{'attach' if port_id else 'detach'} floating IP {external['address']}"
        wish = {"port_id": port_id, "fixed_ip_address": fixed_ip} if port_id else {"port_id": None}
        path, revision = f"/floatingips/{external['id']}", external.get("revision_number")
        self._call("network", "PUT", path, doing, external["address"], {"floatingip": wish}, revision=revision)

    # --- requests

    def _list(
        self, service: str, path: str, collection: str, query: Mapping[str, str] | None = None
    ) -> list[dict[str, Any]]:
        """All items, of all pages."""
        items: dict[str, dict[str, Any]] = {}
        asked = {**(query or {}), "limit": str(PAGE)}
        while True:
            page = self._call(service, "GET", path, f"list the {collection}", collection, query=asked)
            found = page.get(collection) or []
            new = [each for each in found if each["id"] not in items]
            items.update((each["id"], each) for each in new)
            more = len(found) >= PAGE or any(
                link.get("rel") == "next" for link in page.get(f"{collection}_links") or ()
            )
            if not new or not more:
                return list(items.values())
            asked["marker"] = found[-1]["id"]

    def _call(
        self,
        service: str,
        method: str,
        path: str,
        doing: str,
        resource: str,
        body: dict[str, Any] | None = None,
        *,
        query: Mapping[str, str] | None = None,
        revision: int | None = None,
    ) -> dict[str, Any]:
        """The answer's object; {} if there is none."""
        import keystoneauth1.exceptions
        import openstack.exceptions

        from . import bounded

        def ask() -> Any:
            adapter = getattr(self._connection, service)
            url = self._url(adapter, path)
            # A redirect would take the token to wherever it leads.
            return adapter.request(
                url, method, params=query, json=body, headers=headers, raise_exc=False, redirect=False
            )

        headers = {"Accept": "application/json"}
        if revision is not None:
            headers["If-Match"] = f"revision_number={revision}"
        try:
            response = bounded.call(self.timeout, ask)
        except keystoneauth1.exceptions.SSLError as error:
            raise Denied(f"Cannot {doing}: the server is not to be trusted: {error}", resource=resource) from None
        except (keystoneauth1.exceptions.ConnectionError, TimeoutError) as error:
            # Also when nothing was sent: a change is repeated only after a look, or where that does no harm.
            raise Lost(f"Cannot {doing}: {error}", resource=resource) from None
        except keystoneauth1.exceptions.HttpError as error:
            # Of the identity service, or of the search for the API.
            kind = _BY_STATUS.get(error.http_status, Unavailable if error.http_status >= 500 else Invalid)
            raise _error(kind, doing, resource, error.http_status, "", str(error.message or error)) from None
        except (keystoneauth1.exceptions.ClientException, openstack.exceptions.SDKException) as error:
            raise Invalid(
                f"Cannot {doing}: {str(error).rstrip('. ')}. Check the cloud's configuration: the catalog's region and "
                f"interface, and whether it has the service {service}.",
                resource=resource,
            ) from None
        except Exception as error:
            # The libraries take for granted that an answer is what it should be.
            raise Lost(
                f"Cannot {doing}: an answer that is not the API's: {type(error).__name__}: {error}", resource=resource
            ) from None
        if response.status_code >= 300:
            raise self._refusal(response, doing, resource)
        if not response.content:
            return {}
        answer = read_json(response.content)
        if not isinstance(answer, dict):
            # A change may have taken effect all the same.
            raise Lost(
                f"Cannot {doing}: an answer that is not the API's.", resource=resource, status=response.status_code
            )
        return answer

    def _url(self, adapter: Any, path: str) -> str:
        return path

    def _refusal(self, response: Any, doing: str, resource: str) -> CloudError:
        status, code, message = response.status_code, "", ""
        answer = read_json(response.content)
        # {"NeutronError": {type, message}}; {"badRequest": {message}} of Compute; {"code", "message"} of Huawei.
        said = answer
        if isinstance(answer, dict):
            said = next((each for each in answer.values() if isinstance(each, dict)), answer)
        if isinstance(said, dict):
            code = str(said.get("type") or said.get("code") or "")
            message = str(said.get("message") or "")
        elif said:
            message = str(said)
        message = message or " ".join(response.text.split())[:200] or "it does not say why"
        kind = self.by_code.get(code) or _BY_STATUS.get(status, Unavailable if status >= 500 else Invalid)
        wait = retry_after({"retry-after": response.headers.get("Retry-After") or ""})
        return _error(kind, doing, resource, status, code, message, wait)


def _error(
    kind: type[CloudError],
    doing: str,
    resource: str,
    status: int,
    code: str,
    message: str,
    retry_after: float | None = None,
) -> CloudError:
    said = " ".join(str(word) for word in (status, code) if word)
    text = f"Cannot {doing}: {said}: {message.rstrip('. ')}. {_ADVICE.get(kind, '')}".rstrip()
    return kind(text, resource=resource, status=status, code=code, retry_after=retry_after)

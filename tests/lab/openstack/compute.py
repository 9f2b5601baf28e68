# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An emulated Compute API: which servers there are, by name, and which ports they have. Nothing else.

Held to the Compute API reference, version 2.1 without microversions. Tokens are Keystone's, ports are Neutron's.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from lab.openstack.client import Client, Refused, Session
from lab.openstack.front import Answer, Request

_CREATED = "2026-01-01T00:00:00Z"


class Compute:
    """`lab.openstack.front.Service`; ``servers``: id -> name."""

    def __init__(self, session: Session, network: Client, url: str, project: str) -> None:
        self.servers: dict[str, str] = {}
        self._session = session
        self._network = network
        self._url = url
        self._project = project
        self._valid: set[str] = set()

    def add(self, name: str) -> str:
        """A new server; its id."""
        number = str(uuid.uuid4())
        self.servers[number] = name
        return number

    def __call__(self, request: Request) -> Answer:
        """Answer one request."""
        split = urlsplit(request.path)
        path = split.path.rstrip("/")
        if request.method != "GET":
            return _error(501, "The lab's Compute API only tells what there is.")
        if path in ("", "/v2.1"):
            return self._versions(path)
        refused = self._authenticate(request.headers.get("x-auth-token", ""))
        if refused is not None:
            return refused
        found = re.fullmatch(r"/v2\.1/servers(?:/([^/]+))?(?:/(os-interface))?", path)
        if found is None:
            return _error(404, f"The lab's Compute API has no {path}.")
        number, interfaces = found.groups()
        if number in (None, "detail"):
            query = dict(parse_qsl(split.query))
            return Answer.json(200, {"servers": self._list(query, number == "detail")})
        if number not in self.servers:
            return _error(404, f"Instance {number} could not be found.")
        if interfaces:
            return Answer.json(200, {"interfaceAttachments": self._interfaces(number)})
        return Answer.json(200, {"server": self._server(number, True)})

    def _versions(self, path: str) -> Answer:
        about = {
            "id": "v2.1",
            "status": "CURRENT",
            # No microversions: a client takes what version 2.1 says.
            "version": "",
            "min_version": "",
            "updated": "2013-07-23T11:33:21Z",
            "links": [{"rel": "self", "href": f"{self._url}/"}],
        }
        return Answer.json(200, {"version": about} if path else {"versions": [about]})

    def _authenticate(self, token: str) -> Answer | None:
        if token in self._valid:
            return None
        try:
            project = self._session.about(token).get("project", {}).get("id")
        except Refused:
            return _error(401, "The request you have made requires authentication.")
        if project != self._project:
            return _error(403, "The lab's servers are in another project.")
        self._valid.add(token)
        return None

    def _list(self, query: Mapping[str, str], detail: bool) -> list[dict[str, Any]]:
        """Those that have the regular expression ``name`` in theirs, as Nova's filter; a page if it is asked for."""
        found = [number for number, name in self.servers.items() if re.search(query.get("name", ""), name)]
        if query.get("marker") in found:
            found = found[found.index(query["marker"]) + 1 :]
        return [self._server(number, detail) for number in found[: int(query.get("limit", len(found)))]]

    def _server(self, number: str, detail: bool) -> dict[str, Any]:
        about: dict[str, Any] = {
            "id": number,
            "name": self.servers[number],
            "links": [{"rel": "self", "href": f"{self._url}/servers/{number}"}],
        }
        if detail:
            addresses: dict[str, list[dict[str, Any]]] = {}
            for each in self._interfaces(number):
                for fixed in each["fixed_ips"]:
                    version = 6 if ":" in fixed["ip_address"] else 4
                    entry = {"addr": fixed["ip_address"], "version": version, "OS-EXT-IPS:type": "fixed"}
                    addresses.setdefault(each["net_id"], []).append(entry)
            about |= {"status": "ACTIVE", "tenant_id": self._project, "created": _CREATED, "addresses": addresses}
        return about

    def _interfaces(self, number: str) -> list[dict[str, Any]]:
        ports = self._network.call("GET", f"/ports?device_id={number}")["ports"]
        return [
            {
                "port_id": each["id"],
                "port_state": each["status"],
                "net_id": each["network_id"],
                "mac_addr": each["mac_address"],
                "fixed_ips": each["fixed_ips"],
            }
            for each in ports
        ]


_FAULTS = {401: "unauthorized", 403: "forbidden", 404: "itemNotFound", 501: "notImplemented"}


def _error(status: int, message: str) -> Answer:
    return Answer.json(status, {_FAULTS[status]: {"code": status, "message": message}})

# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the handlers of requests share: the request, permissions, lists."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from lab.gce import filters
from lab.gce.behaviour import Fault
from lab.gce.cloud import Cloud
from lab.gce.discovery import COMPUTE, Method
from lab.gce.errors import ApiError, invalid, not_found
from lab.gce.names import HOST
from lab.gce.operations import GLOBAL, Change
from lab.gce.resources import Resource

_MOST_RESULTS = 500


class Call(NamedTuple):
    """A request that is known to be in order."""

    cloud: Cloud
    method: Method
    caller: str
    values: Mapping[str, str]  # of the path
    query: Mapping[str, str]
    body: Resource
    request: str  # what is asked, for a repeated requestId
    faults: list[Fault]

    @property
    def project(self) -> str:
        """The project's path."""
        return self.cloud.relative(f"projects/{self.values['project']}")

    def relative(self, url: str) -> str:
        """The path of a URL, which may be a partial one."""
        return self.cloud.relative(url, self.project)

    @property
    def scope(self) -> str:
        """Where in the project the method works: "global", or a path such as zones/Z."""
        for kind in ("zone", "region"):
            if kind in self.values:
                return f"{kind}s/{self.values[kind]}"
        return GLOBAL

    def may_update(self, url: str, permission: str) -> None:
        """Refuse a caller who lacks a permission on what a body names, if that is of the project as it has to be."""
        path = self.relative(url)
        if path.startswith(f"{self.project}/"):
            self.cloud.identity.require(self.caller, path, permission)

    def may_use(self, url: str, permission: str) -> None:
        """Refuse a caller who lacks a permission on what a body names, whichever of the world's projects has it."""
        path = self.relative(url)
        if "/".join(path.split("/")[:2]) in self.cloud.projects:
            self.cloud.identity.require(self.caller, path, permission)

    def of_network(self, path: str) -> None:
        """Refuse what only the project of a network has."""
        if self.project != self.cloud.project:
            raise not_found(f"{self.project}/{path}")

    def need(self, resource: str, *permissions: str) -> None:
        """Refuse a caller who lacks one of the permissions on what is at a path below the project's."""
        path = f"{self.project}/{resource}" if resource else self.project
        self.cloud.identity.require(self.caller, path, *permissions)

    def start(self, change: Change) -> Resource:
        """The operation that makes a change."""
        return self.cloud.operations.start(
            change,
            project=self.project,
            caller=self.caller,
            request=self.request,
            request_id=self.query.get("requestId"),
            scope=self.scope,
            faults=self.faults,
        )


Handler = Callable[[Call], Resource]


class Handlers(dict[str, Handler]):
    """By the names of an API's methods, such as compute.routes.insert."""

    def __init__(self, api: str = COMPUTE) -> None:
        super().__init__()
        self._api = api

    def of(self, *ids: str) -> Callable[[Handler], Handler]:
        """Says of a function which methods it handles, without "compute."."""

        def register(handler: Handler) -> Handler:
            self.update(dict.fromkeys((f"{self._api}.{each}" for each in ids), handler))
            return handler

        return register


# --- lists


def page(call: Call, kind: str, items: Iterable[Resource], collection: str) -> Resource:
    """The part of a list of what the project has that was asked for."""
    items = (each for each in items if each["selfLink"].startswith(f"{HOST}{call.project}/"))
    chosen = sorted(filter(filters.parse(call.query.get("filter")), items), key=lambda each: str(each["name"]))
    order = call.query.get("orderBy", "name")
    if order == "creationTimestamp desc":
        chosen.sort(key=lambda each: str(each["creationTimestamp"]), reverse=True)
    elif order != "name":
        raise invalid("orderBy", order, "It is neither name nor creationTimestamp desc.")
    path = f"{call.project}/{collection}"
    return {"kind": f"compute#{kind}List", "id": path, "selfLink": HOST + path, **part(call, chosen)}


def part(call: Call, chosen: list[Resource]) -> Resource:
    """The items of the page that was asked for, and the token of the next one."""
    size = min(int(call.query.get("maxResults", _MOST_RESULTS)), _MOST_RESULTS)
    try:
        begin = int(base64.urlsafe_b64decode(call.query.get("pageToken", "")) or 0)
    except ValueError:
        raise invalid("pageToken", call.query["pageToken"], "It is none that a list gave.") from None
    items = chosen[begin : begin + size] if size else []
    shown: Resource = {"items": items} if items else {}
    if items and begin + size < len(chosen):
        shown["nextPageToken"] = base64.urlsafe_b64encode(str(begin + size).encode()).decode()
    return shown


def aggregated(call: Call, kind: str, collection: str, scopes: Mapping[str, list[Resource] | None]) -> Resource:
    """All that is in the scopes, which are paths such as zones/Z; None: the scope does not answer."""
    wanted = filters.parse(call.query.get("filter"))
    partial = call.query.get("returnPartialSuccess", "").lower() == "true"
    path = f"{call.project}/aggregated/{collection}"
    answer: Resource = {"kind": f"compute#{kind}AggregatedList", "id": path, "selfLink": HOST + path, "items": {}}
    for scope, resources in scopes.items():
        if resources is None:
            if not partial:
                raise ApiError(503, "backendError", f"The scope '{scope}' cannot be reached.")
            answer["items"][scope] = {"warning": _warning("UNREACHABLE", scope)}
            answer.setdefault("unreachables", []).append(f"{HOST}{call.project}/{scope}")
            continue
        chosen = sorted(filter(wanted, resources), key=lambda each: str(each["name"]))
        empty = {"warning": _warning("NO_RESULTS_ON_PAGE", scope)}
        answer["items"][scope] = {collection: chosen} if chosen else empty
    return answer


def _warning(code: str, scope: str) -> Resource:
    text = f"There are no results for scope '{scope}' on this page."
    if code == "UNREACHABLE":
        text = f"The scope '{scope}' cannot be reached."
    return {"code": code, "message": text, "data": [{"key": "scope", "value": scope}]}

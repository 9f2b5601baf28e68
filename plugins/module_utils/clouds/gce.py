# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Google Compute Engine's API, version 1: the few requests that move an address. Every failure is a CloudError."""

from __future__ import annotations

import json
import time
from email.utils import mktime_tz, parsedate_tz
from urllib.parse import quote, urlencode, urlsplit

from ..base import masking, time_limit
from ..base.errors import (
    AlreadyExists,
    CloudError,
    Denied,
    Exhausted,
    Invalid,
    Lost,
    NotFound,
    Quota,
    Stale,
    Unavailable,
)
from .gce_names import last_part, normalise, project_of
from .session import read_answer, retry_after

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import Any

    from .session import Response, Session
    from .tokens import Tokens

ENDPOINT = "https://compute.googleapis.com/compute/v1"
# The API holds a wait for up to two minutes. Asked in shorter turns, a lost connection or a cancellation is noticed.
WAIT_TURN = 10.0
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 2.0

# The API has one word for a thing in an answer and another one in an operation: compared as quotaexceeded.
_BY_CODE: dict[str, type[CloudError]] = {
    "ratelimitexceeded": Unavailable,
    "userratelimitexceeded": Unavailable,
    "concurrentlimitexceeded": Unavailable,
    "resourceoperationrateexceeded": Unavailable,
    "resourcenotready": Unavailable,
    "quotaexceeded": Quota,
    "dailylimitexceeded": Quota,
    "limitexceeded": Quota,
    "ipinusebyanotherresource": AlreadyExists,
    "memberalreadyexists": AlreadyExists,
}
_BY_STATUS: dict[int, type[CloudError]] = {
    401: Denied,
    403: Denied,
    404: NotFound,
    408: Unavailable,
    409: AlreadyExists,
    410: NotFound,
    412: Stale,
    429: Unavailable,
}
# Operations that failed and do not say with which status.
_STATUS_OF = {
    "resourcenotfound": 404,
    "resourcealreadyexists": 409,
    "conditionnotmet": 412,
    "permissiondenied": 403,
    "permissionserror": 403,
    "forbidden": 403,
}
# A zone says it with the status 503, and yet it has none for the next hours.
_EXHAUSTED = "resourcepoolexhausted"
# A path through a zone or region that there is not is an invalid value to the API, and not a resource that is missing.
_NOWHERE = ("Unknown zone.", "Unknown region.")


def beside(endpoint: str, service: str, path: str) -> str:
    """The endpoint of another service that goes with one of Compute Engine, also of another universe, or of Private
    Service Connect. A double of the API has both in one place."""
    parts = urlsplit(endpoint)
    host = parts.netloc
    if host.startswith("compute"):
        host = f"{service}{host[len('compute') :]}"
    return f"{parts.scheme}://{host}{path}"


class Compute:
    """A project's network. `tokens`: None if the session itself sends the caller's credentials.

    `timeout`: seconds for a request. `operation_timeout`: seconds for a change until the API says that it is done.
    `cancelled` is asked before each request: when it says yes, the call ends with Unavailable and leaves an operation
    to itself. A change that is repeated with the same request id joins the existing operation.
    """

    service = ("Compute Engine", "compute")  # its name, and its scope

    def __init__(
        self,
        session: Session,
        project: str,
        *,
        tokens: Tokens | None = None,
        endpoint: str = ENDPOINT,
        timeout: float = 10.0,
        operation_timeout: float = 120.0,
        cancelled: Callable[[], bool] = lambda: False,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.project = project
        # Where else there may be instances on the network: the service projects of a shared VPC.
        self.instance_projects: list[str] = []
        self.endpoint = endpoint.rstrip("/")
        self.timeout = timeout
        self.operation_timeout = operation_timeout
        self.cancelled = cancelled
        self._session = session
        self._tokens = tokens
        self._sleep = sleep
        self._clock = clock

    # --- what is there

    def list_routes(self, destination: str) -> tuple[list[dict[str, Any]], float]:
        """The project's routes with exactly this destination, and the API's clock (seconds since 1970)."""
        routes: list[dict[str, Any]] = []
        server_time = None
        query = {"filter": f'destRange = "{destination}"'}
        doing = f"list the routes of project {self.project}"
        for page, now in self._pages(f"projects/{self.project}/global/routes", query, doing):
            server_time = now if server_time is None else server_time
            routes += [route for route in _dicts(page.get("items")) if route.get("destRange") == destination]
        return routes, time.time() if server_time is None else server_time

    def named_route(self, name: str) -> dict[str, Any] | None:
        """The project's route of this name, wherever it leads. A list needs no permission that moves do not need."""
        doing = f"list the routes of project {self.project}"
        pages = self._pages(f"projects/{self.project}/global/routes", {"filter": f'name = "{name}"'}, doing)
        return next(
            (route for page, _now in pages for route in _dicts(page.get("items")) if route["name"] == name), None
        )

    def all_routes(self) -> list[dict[str, Any]]:
        """All of the project's routes. Use it when only a route's name is known."""
        doing = f"list the routes of project {self.project}"
        pages = self._pages(f"projects/{self.project}/global/routes", {}, doing)
        return [route for page, _now in pages for route in _dicts(page.get("items"))]

    def get_instance(self, path: str) -> dict[str, Any]:
        return self._get(path, "instance")

    def get_network(self, path: str) -> dict[str, Any]:
        return self._get(path, "network")

    def get_subnetwork(self, path: str) -> dict[str, Any]:
        return self._get(path, "subnetwork")

    def list_subnetworks(self, network: str) -> list[dict[str, Any]]:
        return [
            subnetwork
            for subnetwork in self._aggregated(project_of(network), "subnetworks")
            if normalise(subnetwork.get("network")) == network
        ]

    def list_firewalls(self, network: str) -> list[dict[str, Any]]:
        project = project_of(network)
        pages = self._pages(f"projects/{project}/global/firewalls", {}, f"list the firewall rules of project {project}")
        return [
            rule
            for page, _now in pages
            for rule in _dicts(page.get("items"))
            if normalise(rule.get("network")) == network
        ]

    def find_instance_by_address(self, network: str, address: str) -> dict[str, Any] | None:
        """The instance with this as an interface's primary address on the network, or None.

        In any of the projects. An unreadable one is an error only if nothing was found elsewhere.
        """
        unread: CloudError | None = None
        for project in dict.fromkeys([*self.instance_projects, self.project]):
            try:
                for instance in self._aggregated(project, "instances"):
                    for interface in _dicts(instance.get("networkInterfaces")):
                        if interface.get("networkIP") == address and normalise(interface.get("network")) == network:
                            return instance
            except (Denied, NotFound, Unavailable) as error:
                unread = unread or error
        if unread:
            raise unread
        return None

    def list_instances(self) -> tuple[list[dict[str, Any]], list[str]]:
        """The project's instances with their interfaces, and the zones that did not answer."""
        silent: list[str] = []
        instances = list(self._aggregated(self.project, "instances", silent))
        return instances, sorted({last_part(scope) for scope in silent})

    def test_permissions(self, path: str, permissions: list[str], question: str = "/testIamPermissions") -> set[str]:
        """Which of the permissions the caller has on a resource, such as projects/P/zones/Z/instances/I."""
        body, _now = self._call(
            "POST",
            f"{path}{question}",
            {},
            {"permissions": permissions},
            f"ask for the permissions on {path}",
            path,
        )
        granted = body.get("permissions")
        return {str(name) for name in granted} if isinstance(granted, list) else set()

    def may_follow_operations(self, scope: str = "global") -> bool:
        """Whether the caller may learn the outcome of its changes: the API says "no such operation" only to a caller
        that may."""
        path = f"projects/{self.project}/{scope}/operations/cloudha-vip-none"
        try:
            self._call("GET", path, {}, None, "ask for an operation", path)
        except Denied:
            return False
        except NotFound:
            pass
        return True

    # --- changes

    def insert_route(self, body: dict[str, Any], request_id: str) -> list[dict[str, Any]]:
        """Returns the operation's warnings when the API says that it is done."""
        name = str(body.get("name"))
        path = f"projects/{self.project}/global/routes"
        return _dicts(self.change("POST", path, body, request_id, f"create route {name}", name).get("warnings"))

    def delete_route(self, name: str, request_id: str) -> None:
        path = f"projects/{self.project}/global/routes/{name}"
        self.change("DELETE", path, None, request_id, f"delete route {name}", name)

    def update_network_interface(self, path: str, interface: str, body: dict[str, Any], request_id: str) -> None:
        """Patch an instance's interface. The body has its fingerprint; a list replaces the whole list."""
        doing = f"update the interface {interface} of {path}"
        query = {"networkInterface": interface}
        self.change("PATCH", f"{path}/updateNetworkInterface", body, request_id, doing, path, query)

    def stop_instance(self, path: str, request_id: str) -> None:
        self.change("POST", f"{path}/stop", None, request_id, f"stop instance {path}", path)

    def change(
        self,
        method: str,
        path: str,
        body: dict[str, Any] | None,
        request_id: str,
        doing: str,
        resource: str,
        query: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """Make a change, wait until it is done, and return its operation. request_id: "" where the API takes none."""
        asked_with = {**(query or {}), **({"requestId": request_id} if request_id else {})}
        operation, _now = self._call(method, path, asked_with, body, doing, resource)
        allowed = time_limit.wait_at_most(self.operation_timeout)
        end = self._clock() + allowed
        name, pause = operation.get("name"), 0.0
        while operation.get("status") != "DONE":
            if not isinstance(name, str) or not name:
                raise Lost(f"Cannot {doing}: the API's answer names no operation to wait for.", resource=resource)
            remaining = end - self._clock()
            if remaining <= 0:
                raise Lost(
                    f"Cannot {doing}: operation {name} is not done after {allowed:.3g} s "
                    f"(it is {operation.get('status')}). It may be done yet: look before you repeat.",
                    resource=resource,
                )
            if pause:
                self._sleep(min(pause, remaining))
            asked = self._clock()
            try:
                operation = self._wait(operation, path, min(WAIT_TURN, max(remaining, 1.0)), doing, resource)
                asked_to_wait = 0.0
            except NotFound as error:
                raise Lost(f"{error} What became of it is not known.", resource=resource, status=404) from error
            except Denied as error:
                error.accepted = True
                raise
            except Unavailable as error:
                if self.cancelled():
                    raise
                asked_to_wait = min(error.retry_after or 0.0, WAIT_TURN)
            # The API may answer at once although nothing is done.
            pause = 0.0 if self._clock() - asked >= 1.0 else min(max(2 * pause, FIRST_PAUSE), LONGEST_PAUSE)
            pause = max(pause, asked_to_wait)
        _raise_failed(operation, doing, resource)
        return operation

    def _wait(
        self, operation: Mapping[str, Any], path: str, timeout: float, doing: str, resource: str
    ) -> dict[str, Any]:
        scope = "global"
        for kind in ("zone", "region"):
            if operation.get(kind):
                scope = f"{kind}s/{last_part(operation[kind])}"
        name = operation["name"]
        path = f"projects/{project_of(path)}/{scope}/operations/{name}/wait"
        return self._call("POST", path, {}, None, f"{doing}, waiting for operation {name}", resource, timeout)[0]

    # --- requests

    def _get(self, path: str, kind: str) -> dict[str, Any]:
        return self._call("GET", path, {}, None, f"get {kind} {path}", path)[0]

    def _aggregated(self, project: str, collection: str, unheard: list[str] | None = None) -> Iterator[dict[str, Any]]:
        """All of a project's resources. An unreachable zone is an error only if nothing was found elsewhere.

        unheard: to be told of such zones, instead of an error.
        """
        doing = f"list the {collection} of project {project}"
        silent: list[str] = [] if unheard is None else unheard
        for page, _now in self._pages(
            f"projects/{project}/aggregated/{collection}", {"returnPartialSuccess": "true"}, doing
        ):
            items = page.get("items")
            for scope, part in items.items() if isinstance(items, dict) else ():
                if isinstance(part, dict):
                    yield from _dicts(part.get(collection))
                    if (part.get("warning") or {}).get("code") == "UNREACHABLE":
                        silent.append(scope)
            silent += [str(scope) for scope in page.get("unreachables") or ()]
        if silent and unheard is None:
            names = ", ".join(sorted({last_part(scope) for scope in silent}))
            raise Unavailable(f"Cannot {doing}: no answer for {names}. Try again later.", resource=names)

    def _pages(
        self, path: str, query: dict[str, str], doing: str, body: dict[str, Any] | None = None
    ) -> Iterator[tuple[dict[str, Any], float | None]]:
        """body: of a list that is asked for by POST."""
        seen = set()
        query = {**query, "maxResults": "500"}
        while True:
            page, now = self._call("GET" if body is None else "POST", path, query, body, doing, path)
            yield page, now
            token = page.get("nextPageToken")
            if not token:
                return
            if token in seen:
                raise Unavailable(f"Cannot {doing}: the API gives the same page again and again.", resource=path)
            seen.add(token)
            query["pageToken"] = token

    def _call(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        body: dict[str, Any] | None,
        doing: str,
        resource: str,
        timeout: float | None = None,
    ) -> tuple[dict[str, Any], float | None]:
        """The answer's object, and the server's clock."""
        url = f"{self.endpoint}/{quote(path, safe='/:')}"
        if query:
            url += "?" + urlencode(query, quote_via=quote)
        data = None if body is None else json.dumps(body, separators=(",", ":")).encode()
        response, token = self._authorized(method, url, data, doing, resource, timeout or self.timeout)
        if response.status == 401 and self._tokens and self._tokens.invalidate(token):
            response, token = self._authorized(method, url, data, doing, resource, timeout or self.timeout)
        succeeded, answer, text = read_answer(response)
        if not succeeded:
            raise _refusal(response, answer, text, doing, resource, self.service)
        if not isinstance(answer, dict):
            # A change may have taken effect all the same.
            raise Lost(
                f"Cannot {doing}: status {response.status}, and an answer that is not the API's (it has {len(text)} "
                f"characters). Check that the endpoint {self.endpoint} is right.",
                resource=resource,
                status=response.status,
            )
        return answer, _seconds(response.headers.get("date"))

    def _authorized(
        self, method: str, url: str, body: bytes | None, doing: str, resource: str, timeout: float
    ) -> tuple[Response, str]:
        if self.cancelled():
            raise Unavailable(f"Cannot {doing}: it was cancelled.", resource=resource)
        headers = {"Accept": "application/json"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        token = ""
        try:
            if self._tokens:
                token = self._tokens.get()
                masking.keep(token)
                headers["Authorization"] = f"Bearer {token}"
            return self._session.request(method, url, body, headers, timeout), token
        except CloudError as error:
            raise type(error)(
                f"Cannot {doing}: {error}",
                resource=resource,
                status=error.status,
                code=error.code,
                retry_after=error.retry_after,
            ) from error


def _dicts(items: Any) -> list[dict[str, Any]]:
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []


def _seconds(date: str | None) -> float | None:
    try:
        parts = parsedate_tz(date) if date else None
        return float(mktime_tz(parts)) if parts else None
    except (ValueError, OverflowError):
        return None


def _excerpt(text: str) -> str:
    return " ".join(text.split())[:200] or "it is empty"


def _kind(status: int, code: str, message: str) -> type[CloudError]:
    word = code.replace("_", "").lower()
    if _EXHAUSTED in word:
        return Exhausted
    if status == 429 or status >= 500 or "peering operation in progress" in message:
        return Unavailable
    if word in _BY_CODE:
        return _BY_CODE[word]
    if word == "invalid" and message.endswith(_NOWHERE):
        return NotFound
    status = status or _STATUS_OF.get(word, 500)
    return _BY_STATUS.get(status, Invalid if status < 500 else Unavailable)


def _advice(kind: type[CloudError], status: int, code: str, message: str, service: tuple[str, str]) -> str:
    name, scope = service
    if code == "accessNotConfigured" or "SERVICE_DISABLED" in code:
        return f"Enable the {name} API in the project."
    if "scope" in message.lower() and kind is Denied:
        return f"The machine's access scopes do not allow it: give it the scope cloud-platform, or {scope}."
    if kind is Denied:
        if status == 401:
            return "Check the credentials, and this machine's clock."
        return "Give the caller the permission."
    if kind is Quota:
        return "Raise the quota, or delete what is not needed."
    if kind is Exhausted:
        return "Choose another zone, or another type of machine, or try again later."
    if kind is Unavailable:
        return "Try again later."
    return ""


def _refusal(
    response: Response, answer: Any, text: str, doing: str, resource: str, service: tuple[str, str]
) -> CloudError:
    """The error that an answer with another status than 2xx means."""
    status, code, message = response.status, "", ""
    error = answer.get("error") if isinstance(answer, dict) else None
    if isinstance(error, dict):
        message = str(error.get("message") or "")
        details = [*_dicts(error.get("errors")), *_dicts(error.get("details"))]
        reasons = [str(detail["reason"]) for detail in details if detail.get("reason")]
        code = reasons[0] if reasons else str(error.get("status") or "")
    if 300 <= status < 400:
        message = f"redirected to {response.headers.get('location')}, which is not followed: check the endpoint"
    wait = retry_after(response.headers)
    return _error(status, code, message or _excerpt(text), doing, resource, wait, service)


def _raise_failed(operation: Mapping[str, Any], doing: str, resource: str) -> None:
    error = operation.get("error")
    status = operation.get("httpErrorStatusCode") or 0
    if not error and status < 400:
        return
    errors = _dicts(error.get("errors")) if isinstance(error, dict) else []
    code = str(errors[0].get("code") or "") if errors else ""
    message = "; ".join(str(item.get("message") or item.get("code")) for item in errors)
    message = message or str(operation.get("httpErrorMessage") or "it does not say why")
    raise _error(status, code, f"operation {operation.get('name')} failed: {message}", doing, resource, None)


def _error(
    status: int,
    code: str,
    message: str,
    doing: str,
    resource: str,
    wait: float | None,
    service: tuple[str, str] = Compute.service,
) -> CloudError:
    kind = _kind(status, code, message)
    said = " ".join(str(word) for word in (status, code) if word)
    sentence = f"Cannot {doing}: {said}{': ' if said else ''}{message.rstrip('. ')}."
    advice = _advice(kind, status, code, message, service)
    return kind(f"{sentence} {advice}".rstrip(), resource=resource, status=status, code=code, retry_after=wait)

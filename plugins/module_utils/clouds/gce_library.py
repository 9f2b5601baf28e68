# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Compute Engine's API for what is provisioned, by the requests and types of google-cloud-compute.

The library spells each read and understands its answer. Compute sends every request: over one connection, within the
bounds of its time, with its errors. Compute also makes the changes and waits for them, for two reasons. The library
polls operations at Google's own endpoint, whatever endpoint it was given. And it leaves empty lists out of a body, so
that a last backend could never be removed. Its types only check the fields of a body, which is sent as it is.

Only for the controller, and only for the modules that need it: importing the library takes half a second.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import io
import json
import re
import sys
from typing import NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

from ..base.errors import Lost, Unavailable
from .gce import Compute, beside

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    Resource = dict[str, Any]

LIBRARY = "google.cloud.compute_v1"
_API = "/compute/v1/"


class _Collection(NamedTuple):
    """How the library calls what is in a collection: the client that reads it, the field that names it, its type."""

    client: str
    field: str
    type: str


_COLLECTIONS = {
    "global/firewalls": _Collection("FirewallsClient", "firewall", "Firewall"),
    "global/healthChecks": _Collection("HealthChecksClient", "health_check", "HealthCheck"),
    "global/images": _Collection("ImagesClient", "image", "Image"),
    "global/instanceTemplates": _Collection("InstanceTemplatesClient", "instance_template", "InstanceTemplate"),
    "regions/addresses": _Collection("AddressesClient", "address", "Address"),
    "regions/backendServices": _Collection("RegionBackendServicesClient", "backend_service", "BackendService"),
    "regions/forwardingRules": _Collection("ForwardingRulesClient", "forwarding_rule", "ForwardingRule"),
    "regions/healthChecks": _Collection("RegionHealthChecksClient", "health_check", "HealthCheck"),
    "regions/instanceTemplates": _Collection("RegionInstanceTemplatesClient", "instance_template", "InstanceTemplate"),
    "zones/disks": _Collection("DisksClient", "disk", "Disk"),
    "zones/instanceGroupManagers": _Collection(
        "InstanceGroupManagersClient", "instance_group_manager", "InstanceGroupManager"
    ),
    "zones/instanceGroups": _Collection("InstanceGroupsClient", "instance_group", "InstanceGroup"),
    "zones/instances": _Collection("InstancesClient", "instance", "Instance"),
    "zones/machineTypes": _Collection("MachineTypesClient", "machine_type", "MachineType"),
}

# What a page has its items in, if not in the usual field.
_ITEMS = {"list_managed_instances": "managed_instances"}


def library() -> Any:
    """google.cloud.compute_v1. Raises ImportError.

    Its package imports a hundred services, which takes a second. So it is left out, and a client imports its service.
    """
    if LIBRARY not in sys.modules:
        spec = importlib.util.find_spec(LIBRARY)
        if spec is None:
            raise ImportError(f"there is no {LIBRARY}")
        package = importlib.util.module_from_spec(spec)
        package.__getattr__ = _find  # type: ignore[method-assign]
        sys.modules[LIBRARY] = package
    importlib.import_module(f"{LIBRARY}.types")
    return sys.modules[LIBRARY]


def _find(name: str) -> Any:
    """A client or a type of the library, as its package has them."""
    if not name[:1].isupper():
        raise AttributeError(f"{LIBRARY} has no {name}")
    service = name.endswith("Client") and re.sub("(?<=[a-z])(?=[A-Z])", "_", name[: -len("Client")]).lower()
    return getattr(importlib.import_module(f"{LIBRARY}.services.{service}" if service else f"{LIBRARY}.types"), name)


def _parse(path: str) -> tuple[_Collection, dict[str, str], str]:
    """The collection of a path, the fields that say where it is, and the name at its end, if there is one."""
    project, scope, *rest = path.split("/")[1:]
    place = {"project": project}
    if scope != "global":
        place[scope[:-1]] = rest.pop(0)
    return _COLLECTIONS[f"{scope}/{rest[0]}"], place, "/".join(rest[1:])


def resource_manager(endpoint: str) -> str:
    """The endpoint of the Resource Manager that goes with one of Compute Engine."""
    return beside(endpoint, "cloudresourcemanager", "/v1")


class Library(Compute):
    """A project's resources of the kinds that are provisioned. All is named by its path.

    projects: the API of Google Cloud's projects, which alone tells the permissions to make something new.
    """

    projects: Compute | None = None

    # --- what is there

    def get(self, path: str) -> Resource:
        """A resource. Raises NotFound."""
        return self._read(path, "get")[0]

    def list_all(self, path: str) -> list[Resource]:
        """The resources of a collection, such as projects/P/regions/R/addresses."""
        return self._read(path, "list")

    def get_quotas(self, region: str) -> list[Resource]:
        """The quotas of a region, by its path, and of its project."""
        project = "/".join(region.split("/")[:2])
        return [*self._quotas(region, "region"), *self._quotas(project, "project")]

    def project_permissions(self, project: str, permissions: Sequence[str]) -> set[str]:
        """Which of the permissions the caller has on a whole project."""
        path = f"projects/{project}"
        return (self.projects or self).test_permissions(path, list(permissions), ":testIamPermissions")

    # --- changes

    def insert(self, path: str, body: Resource, request_id: str) -> None:
        parent = path.rpartition("/")[0]
        self.change("POST", parent, self._checked(path, body), request_id, f"create {path}", path)

    def patch(self, path: str, body: Resource, request_id: str) -> None:
        """Change the fields of the body. A list replaces the whole list, also an empty one."""
        self.change("PATCH", path, self._checked(path, body), request_id, f"change {path}", path)

    def delete(self, path: str, request_id: str) -> None:
        self.change("DELETE", path, None, request_id, f"delete {path}", path)

    # --- the library

    @functools.cached_property
    def _library(self) -> Any:
        return library()

    @functools.cached_property
    def _json_format(self) -> Any:
        return importlib.import_module("google.protobuf.json_format")

    @functools.cached_property
    def _clients(self) -> dict[str, Any]:
        return {}

    def _read(self, path: str, verb: str, **asked: Any) -> list[Resource]:
        """What a method of the library's client answers: one resource, or those of all pages."""
        collection, place, name = _parse(path)
        request = {**place, **({collection.field: name} if name else {}), **asked}
        try:
            answer = getattr(self._client(collection.client), verb)(request=request, retry=None)
            items = _ITEMS.get(verb, "items")
            found = self._of_pages(answer, path, items) if verb.startswith("list") else [answer]
            return [self._json_format.MessageToDict(type(each).pb(each)) for each in found]
        except self._json_format.ParseError as error:
            message = f"Cannot read {path}: an answer that is not the API's: {error}. Check that the endpoint is right."
            raise Lost(message, resource=path) from error

    @staticmethod
    def _of_pages(pager: Any, path: str, items: str) -> list[Any]:
        found: list[Any] = []
        seen: set[str] = set()
        for page in pager.pages:
            found += getattr(page, items)
            if page.next_page_token in seen:
                raise Unavailable(f"Cannot read {path}: the API gives the same page again and again.", resource=path)
            seen.update(filter(None, [page.next_page_token]))
        return found

    def _client(self, name: str) -> Any:
        """A client of the library. Its session hands all requests to us."""
        if name not in self._clients:
            credentials = importlib.import_module("google.auth.credentials")
            # The requests get their credentials here, and the endpoint may be another universe's.
            client = getattr(self._library, name)(
                credentials=credentials.AnonymousCredentials(), client_options={"universe_domain": "googleapis.com"}
            )
            session = client.transport._session
            session.trust_env = False  # it sends nothing by itself, and looks for a proxy each time
            for scheme in ("https://", "http://"):
                session.mount(scheme, _adapter()(self._send))
            self._clients[name] = client
        return self._clients[name]

    def _send(self, method: str, url: str, body: bytes | None) -> Resource:
        split = urlsplit(url)
        path = unquote(split.path).partition(_API)[2]
        query = dict(parse_qsl(split.query))
        return self._call(method, path, query, json.loads(body) if body else None, f"read {path}", path)[0]

    def _checked(self, path: str, body: Resource) -> Resource:
        """The body of a resource, if the library's type has all of its fields."""
        return self._checked_as(_parse(path)[0].type, body)

    def _checked_as(self, name: str, body: Resource) -> Resource:
        kind = getattr(self._library, name)
        self._json_format.ParseDict(body, kind.pb(kind()))
        return body

    def _quotas(self, path: str, kind: str) -> list[Resource]:
        return [quota for quota in self._get(path, kind).get("quotas") or () if isinstance(quota, dict)]


@functools.cache
def _adapter() -> Any:
    """The class of what a session of the library sends its requests with."""
    import requests

    class Adapter(requests.adapters.BaseAdapter):
        def __init__(self, send: Callable[[str, str, bytes | None], Resource]) -> None:
            super().__init__()
            self._send = send

        def send(self, request: requests.PreparedRequest, *_arguments: Any, **_options: Any) -> requests.Response:
            answer = self._send(str(request.method), str(request.url), request.body)  # type: ignore[arg-type]
            reply = requests.Response()
            reply.status_code = 200
            reply.url = str(request.url)
            reply.request = request
            reply.raw = io.BytesIO(json.dumps(answer).encode())
            return reply

        def close(self) -> None:
            pass

    return Adapter

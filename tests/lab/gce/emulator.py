# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What happens to a request to the API between its arrival and its answer."""

from __future__ import annotations

import contextlib
import json
import re
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from lab.emulation import behaviour, emulator
from lab.gce import discovery, dns_methods, instance_methods, lb_methods, manager_methods, methods
from lab.gce.calls import Call
from lab.gce.cloud import Cloud
from lab.gce.dataplane import DataPlane
from lab.gce.dns_zones import absent
from lab.gce.errors import ApiError, invalid, not_found
from lab.gce.healing import Healer
from lab.gce.images import PUBLIC
from lab.gce.resources import Resource
from lab.gce.routing import Router
from lab.gce.world import World

_ROOMS = (methods, instance_methods, lb_methods, manager_methods, dns_methods)
HANDLERS = {name: handler for each in _ROOMS for name, handler in each.HANDLERS.items()}
_FOR_EVERYONE = tuple(f"compute.images.{name}" for name in ("get", "getFromFamily", "list"))


class Emulator(emulator.Emulator):
    """A project, and those that share its network, with their API, its log and its network.

    The names in the log, and what counts as violations, are the discovery documents'. ``metadata_requests``: the log of
    the metadata server; ``dns_queries``: that of the resolver.
    """

    def __init__(self, world: World, plane: DataPlane) -> None:
        super().__init__()
        self.cloud = Cloud(world, plane)
        self.router = Router(self.cloud)
        self.healer = Healer(self.cloud)
        self.metadata_requests: list[dict[str, Any]] = []
        self.dns_queries: list[dict[str, Any]] = []
        self.victims: list[str] = []  # instances that an outage has cut off
        discovery.find("GET", "")  # reads the documents
        self.router.start()
        self.healer.start()

    def close(self) -> None:
        """End its threads."""
        self.healer.close()
        self.router.close()
        self.cloud.close()

    def settled(self, timeout: float = 10.0) -> bool:
        """Wait until the network is as the API says."""
        return self.router.settled(timeout)

    def answer(
        self, verb: str, target: str, token: str | None, text: bytes, entry: dict[str, Any]
    ) -> tuple[Resource, dict[str, str]]:
        """See `lab.emulation.emulator.Emulator`."""
        return self._answer(verb, target, token, text, entry), {}

    def bug(self) -> ApiError:
        """See `lab.emulation.emulator.Emulator`."""
        return ApiError(500, "internalError", "The lab's API has a bug; see its log.")

    def _answer(self, verb: str, target: str, token: str | None, text: bytes, entry: dict[str, Any]) -> Resource:
        cloud = self.cloud
        split = urlsplit(target)
        query = dict(parse_qsl(split.query, keep_blank_values=True))
        project = re.fullmatch(r"/v1/projects/([^/:]+):testIamPermissions", split.path)
        if project and verb == "POST":
            return self._project_permissions(project[1], token, text, entry)
        found = discovery.find(verb, unquote(split.path[1:]))
        if found is None:
            raise ApiError(404, "notFound", f"The API has no {verb} {split.path}")
        method, values = found
        is_dns = method.api == discovery.DNS
        changes = is_dns or method.response == "compute:Operation"
        mutates = verb != "GET" and changes and not method.id.endswith((".wait", ".testIamPermissions"))
        entry |= {"name": method.id, "mutation": mutates}
        entry["caller"] = caller = cloud.identity.caller(token)
        faults = cloud.behaviour.meet(verb, split.path, caller)
        behaviour.begin(faults, deferred=mutates)
        body = discovery.check_request(method, values, query, _parse(text))
        handler = HANDLERS.get(method.id)
        if handler is None:
            raise ApiError(501, "notImplemented", f"The lab's API does not have the method {method.id}.")
        if is_dns:
            self._check_project(values["project"])
        else:
            self._check_scope(method.id, values)
        request = f"{verb} {split.path} {json.dumps(body, sort_keys=True)}"
        answer = None
        if mutates and query.get("requestId"):
            answer = cloud.operations.repeated(request, query["requestId"])
        if answer is None:
            call = Call(cloud, method, caller, values, query, body, request, faults)
            # A change of Cloud DNS is made at once, and as a whole.
            with cloud.lock if is_dns else contextlib.nullcontext():
                answer = handler(call)
        if mutates and not is_dns:
            entry["operation"] = answer["name"]
        problems = discovery.problems_of(method.response, answer) if method.response else []
        if problems:
            raise AssertionError(f"{method.id} answers what the discovery document does not know: {problems}: {answer}")
        behaviour.end(faults)
        return answer

    def _project_permissions(self, project: str, token: str | None, text: bytes, entry: dict[str, Any]) -> Resource:
        """cloudresourcemanager.projects.testIamPermissions, which is another API's: it has another document."""
        entry |= {"name": "cloudresourcemanager.projects.testIamPermissions"}
        entry["caller"] = caller = self.cloud.identity.caller(token)
        body = _parse(text)
        asked = body.get("permissions", []) if isinstance(body, dict) else []
        path = f"projects/{project}"
        if path not in self.cloud.projects:
            raise ApiError(403, "forbidden", f"The caller does not have permission on the project {project}.")
        granted = [each for each in asked if self.cloud.identity.granted(caller, each, path)]
        return {"permissions": granted} if granted else {}

    def _check_project(self, project: str) -> None:
        """Refuse what is in a project that there is not, as Cloud DNS does."""
        if self.cloud.relative(f"projects/{project}") not in self.cloud.projects:
            raise absent("parameters.project", project)

    def _check_scope(self, method: str, values: dict[str, str]) -> None:
        """Refuse what is in a project or a zone that there is not, or in a zone that is down."""
        cloud = self.cloud
        project = cloud.relative(f"projects/{values['project']}")
        if project == PUBLIC and method in _FOR_EVERYONE:
            return
        if project not in cloud.projects:
            raise not_found(project)
        for kind, known in (("zone", cloud.zones.keys()), ("region", cloud.regions.keys())):
            name = values.get(kind)
            if name is None or name in known:
                continue
            # What is asked for itself is missing; in a path to something else it is a wrong value.
            if method == f"compute.{kind}s.get":
                raise not_found(f"{project}/{kind}s/{name}")
            raise invalid(kind, name, f"Unknown {kind}.")
        zone = values.get("zone")
        if zone in cloud.behaviour.zone_outage and not method.startswith("compute.zones."):
            raise ApiError(503, "backendError", f"The zone '{zone}' cannot be reached. Try again later.")


def _parse(text: bytes) -> object:
    if not text.strip():
        return None
    try:
        return json.loads(text)
    except ValueError:
        raise ApiError(400, "parseError", "The request body is not JSON.") from None

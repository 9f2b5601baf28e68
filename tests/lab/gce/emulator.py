# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What happens to a request to the API between its arrival and its answer."""

from __future__ import annotations

import json
import re
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from lab.gce import discovery
from lab.gce.cloud import Cloud
from lab.gce.dataplane import DataPlane
from lab.gce.errors import ApiError, Dropped, not_found
from lab.gce.methods import HANDLERS, Call
from lab.gce.resources import Resource
from lab.gce.routing import Router
from lab.gce.world import World

_KEPT = 20_000  # requests in the log


class Emulator:
    """A project with its API, its log and its network.

    ``requests``: what the API was asked, oldest first: when (mono_ns, wall_ns, end_mono_ns), by which caller, HTTP's
    method and path, the name that the discovery document has for it, whether it is a mutation, the status that was
    answered (0: the connection was lost) and the operation. ``metadata_requests``: the same of the metadata server.
    ``violations``: answers that were not as the document says, and other errors of our own; there shall be none.
    ``hooks`` are called with ("before" | "after", the request's entry).
    """

    def __init__(self, world: World, plane: DataPlane) -> None:
        self.cloud = Cloud(world, plane)
        self.router = Router(self.cloud)
        self.requests: list[dict[str, Any]] = []
        self.metadata_requests: list[dict[str, Any]] = []
        self.violations: list[str] = []
        self.victims: list[str] = []  # instances that an outage has cut off
        self.hooks: list[Callable[[str, dict[str, Any]], None]] = []
        discovery.find("GET", "")  # reads the document
        self.router.start()

    def close(self) -> None:
        """End its threads."""
        self.router.close()
        self.cloud.close()

    def settled(self, timeout: float = 10.0) -> bool:
        """Wait until the network is as the API says."""
        return self.router.settled(timeout)

    def handle(self, verb: str, target: str, token: str | None, text: bytes) -> tuple[int, Resource, int | None]:
        """Status, JSON and Retry-After of a request to the API; raises Dropped."""
        entry = self.begin(self.requests, verb, target)
        entry |= {"name": "", "mutation": False, "operation": None}
        status = 0
        try:
            for hook in self.hooks:
                hook("before", entry)
            answer = self._answer(verb, target, token, text, entry)
            status = 200
            return status, answer, None
        except ApiError as error:
            status = error.status
            return status, error.body, error.retry_after
        except Dropped:
            raise
        except Exception:
            # Ours, not the caller's: the lab's tests make sure that there was none.
            status = 500
            self.violations.append(f"{verb} {target}: {traceback.format_exc()}")
            sys.stderr.write(self.violations[-1])
            return status, ApiError(500, "internalError", "The lab's API has a bug; see its log.").body, None
        finally:
            entry |= {"status": status, "end_mono_ns": time.monotonic_ns()}
            for hook in self.hooks:
                hook("after", entry)

    @staticmethod
    def begin(log: list[dict[str, Any]], verb: str, target: str) -> dict[str, Any]:
        """A new entry of a log."""
        times = {"wall_ns": time.time_ns(), "mono_ns": time.monotonic_ns(), "end_mono_ns": None}
        entry = {**times, "caller": "", "method": verb, "path": target, "status": None}
        log.append(entry)
        del log[:-_KEPT]
        return entry

    def _answer(self, verb: str, target: str, token: str | None, text: bytes, entry: dict[str, Any]) -> Resource:
        cloud = self.cloud
        split = urlsplit(target)
        query = dict(parse_qsl(split.query, keep_blank_values=True))
        project = re.fullmatch(r"/v1/projects/([^/:]+):testIamPermissions", split.path)
        if project and verb == "POST":
            return self._project_permissions(project[1], token, text, entry)
        found = None
        if split.path.startswith(discovery.PREFIX):
            found = discovery.find(verb, unquote(split.path[len(discovery.PREFIX) :]))
        if found is None:
            raise ApiError(404, "notFound", f"The API has no {verb} {split.path}")
        method, values = found
        mutates = verb != "GET" and method.response == "Operation" and not method.id.endswith(".wait")
        entry |= {"name": method.id, "mutation": mutates}
        entry["caller"] = caller = cloud.identity.caller(token)
        faults = cloud.behaviour.meet(verb, split.path, caller)
        for fault in faults:
            if fault.kind == "slow" and not mutates:
                time.sleep(fault.seconds)
            if fault.kind == "lose-before":
                raise Dropped
            if fault.kind == "status":
                retry_after = fault.retry_after or (1 if fault.status == 429 else None)
                raise ApiError(*fault.words(), retry_after)
        body = discovery.check_request(method, values, query, _parse(text))
        handler = HANDLERS.get(method.id)
        if handler is None:
            raise ApiError(501, "notImplemented", f"The lab's API does not have the method {method.id}.")
        self._check_scope(method.id, values)
        request = f"{verb} {split.path} {json.dumps(body, sort_keys=True)}"
        answer = None
        if mutates and query.get("requestId"):
            answer = cloud.operations.repeated(request, query["requestId"])
        if answer is None:
            answer = handler(Call(cloud, method, caller, values, query, body, request, faults))
        if mutates:
            entry["operation"] = answer["name"]
        problems = discovery.problems_of(method.response, answer) if method.response else []
        if problems:
            raise AssertionError(f"{method.id} answers what the discovery document does not know: {problems}: {answer}")
        if any(fault.kind == "lose-after" for fault in faults):
            raise Dropped
        return answer

    def _project_permissions(self, project: str, token: str | None, text: bytes, entry: dict[str, Any]) -> Resource:
        """cloudresourcemanager.projects.testIamPermissions, which is another API's: it has another document."""
        entry |= {"name": "cloudresourcemanager.projects.testIamPermissions"}
        entry["caller"] = caller = self.cloud.identity.caller(token)
        body = _parse(text)
        asked = body.get("permissions", []) if isinstance(body, dict) else []
        if project != self.cloud.world.project:
            raise ApiError(403, "forbidden", f"The caller does not have permission on the project {project}.")
        granted = [each for each in asked if self.cloud.identity.granted(caller, each)]
        return {"permissions": granted} if granted else {}

    def _check_scope(self, method: str, values: dict[str, str]) -> None:
        """Refuse what is in another project, in no zone, or in one that is down."""
        cloud = self.cloud
        if values.get("project", cloud.world.project) not in (cloud.world.project, str(cloud.world.number)):
            raise not_found(f"projects/{values['project']}")
        zone = values.get("zone")
        if zone is not None and zone not in cloud.zones:
            raise not_found(f"{cloud.project}/zones/{zone}")
        regions = {name.rpartition("-")[0] for name in cloud.zones}
        if values.get("region", next(iter(regions), "")) not in regions:
            raise not_found(f"{cloud.project}/regions/{values['region']}")
        if zone in cloud.behaviour.zone_outage and not method.startswith("compute.zones."):
            raise ApiError(503, "backendError", f"The zone '{zone}' cannot be reached. Try again later.")


def _parse(text: bytes) -> object:
    if not text.strip():
        return None
    try:
        return json.loads(text)
    except ValueError:
        raise ApiError(400, "parseError", "The request body is not JSON.") from None

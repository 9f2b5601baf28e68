# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Health checks, global ones and those of a region."""

from __future__ import annotations

from lab.gce.errors import ApiError, invalid, required
from lab.gce.kinds import Kind, number, one_of
from lab.gce.resources import Resource

SERVING_PORT = "USE_SERVING_PORT is not supported by passthrough load balancers."
_PARTS = {"HTTP": "httpHealthCheck", "TCP": "tcpHealthCheck"}
_OF_ALL = {"port", "portName", "portSpecification", "proxyHeader"}
_HTTP_TEXTS = ("host", "response")
_KNOWN = {"HTTP": {*_OF_ALL, "requestPath", *_HTTP_TEXTS}, "TCP": _OF_ALL}
_LONGEST_RESPONSE = 1024


class HealthChecks(Kind):
    """HTTP and TCP."""

    collection = "healthChecks"
    kind = "healthCheck"
    title = "health_check"
    fields = frozenset(
        {"name", "description", "type", "checkIntervalSec", "timeoutSec", "healthyThreshold", "unhealthyThreshold"}
        | {"logConfig", *_PARTS.values()}
    )

    def content(self, body: Resource, scope: str, old: Resource | None) -> Resource:
        """See `Kind`."""
        kind = body.get("type")
        if not kind:
            raise required("resource.type")
        if kind not in _PARTS:
            raise ApiError(501, "notImplemented", f"This lab has no health check of the type {kind}.")
        parts = [name for name in _PARTS.values() if name in body]
        if parts != [_PARTS[kind]]:
            raise invalid("resource.type", kind, f"Exactly {_PARTS[kind]} must be specified with it.")
        interval = number(body, "checkIntervalSec", 5, 1, 300)
        timeout = number(body, "timeoutSec", 5, 1, 300)
        if timeout > interval:
            raise invalid("resource.timeoutSec", timeout, "TimeoutSec should be less than checkIntervalSec.")
        probe = _probe(body[parts[0]], f"resource.{parts[0]}", kind)
        if "port" not in probe and old and self.users(old):
            raise invalid(f"resource.{parts[0]}.portSpecification", probe["portSpecification"], SERVING_PORT)
        return {
            "name": body["name"],
            "description": body.get("description", ""),
            "type": kind,
            "checkIntervalSec": interval,
            "timeoutSec": timeout,
            "healthyThreshold": number(body, "healthyThreshold", 2, 1, 10),
            "unhealthyThreshold": number(body, "unhealthyThreshold", 2, 1, 10),
            parts[0]: probe,
            **({"logConfig": body["logConfig"]} if "logConfig" in body else {}),
        }

    def users(self, resource: Resource) -> list[str]:
        """See `Kind`."""
        url = resource["selfLink"]
        users = [each for each in self.scopes.everywhere("backendServices") if url in each["healthChecks"]]
        for each in self.scopes.everywhere("instanceGroupManagers"):
            if url in (policy["healthCheck"] for policy in each.get("autoHealingPolicies", ())):
                users.append(each)
        return [each["selfLink"] for each in users]

    def _names(self, used: str, user: str) -> tuple[str, str]:
        """The names of regional ones, in use by a backend service, are others, as recorded."""
        paths = super()._names(used, user)
        if "/regions/" not in paths[0] or "/regions/" not in paths[1]:
            return paths
        number = self.projects.projects["/".join(paths[0].split("/")[:2])]["id"]
        titles = ("HEALTH_CHECK", "BACKEND_SERVICE")
        names = [(path.split("/")[3], title, path.split("/")[5]) for path, title in zip(paths, titles, strict=True)]
        one, other = (f"REGION:{region}/PROJECT:{number}/{title}:{name}" for region, title, name in names)
        return one, other


def _probe(given: Resource, where: str, kind: str) -> Resource:
    """The part of a health check that is about its protocol, as it is stored."""
    more = sorted(name for name, value in given.items() if value and name not in _KNOWN[kind])
    if more or given.get("proxyHeader") not in (None, "NONE"):
        raise ApiError(501, "notImplemented", f"This lab's probes have no {', '.join(more) or 'proxyHeader'}.")
    if given.get("portName"):
        raise invalid(f"{where}.portName", given["portName"], "It is not supported.")
    probe: Resource = {"proxyHeader": "NONE"}
    if given.get("portSpecification"):
        words = ("USE_FIXED_PORT", "USE_SERVING_PORT")
        probe["portSpecification"] = one_of(given, "portSpecification", "", words, where)
    if probe.get("portSpecification") != "USE_SERVING_PORT":
        probe["port"] = number(given, "port", 80, 1, 65535, where)
    elif given.get("port"):
        raise invalid(f"{where}.port", given["port"], "It cannot be specified with USE_SERVING_PORT.")
    if kind == "HTTP":
        probe["requestPath"] = given.get("requestPath") or "/"
        if not probe["requestPath"].startswith("/"):
            raise invalid(f"{where}.requestPath", probe["requestPath"], "It must begin with a slash.")
        if len(given.get("response") or "") > _LONGEST_RESPONSE or not (given.get("response") or "").isascii():
            raise invalid(f"{where}.response", given["response"], f"Must be ASCII, of {_LONGEST_RESPONSE} at most.")
        probe |= {name: given[name] for name in _HTTP_TEXTS if given.get(name)}
    return probe

# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Health checks of Compute Engine, and the firewall rule that lets their probes in: as options, bodies and differences.

Pure. What probes with them, a load balancer or an instance group, says where they are and whom they ask.
"""

from __future__ import annotations

import ipaddress
import re

from ..clouds.gce_names import full_url, last_part
from .gcp_fields import read, write
from .gcp_instances import is_account, tag_problems

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from typing import Any

    Resource = dict[str, Any]

# Where probes come from, by the scheme of the load balancer.
PROBE_RANGES = {
    "EXTERNAL": ("209.85.152.0/22", "209.85.204.0/22", "35.191.0.0/16"),
    "INTERNAL": ("130.211.0.0/22", "35.191.0.0/16"),
}
# The part of a health check that depends on its type stands for itself.
PROBE = "PROBE"
PROBES = {"HTTP": "httpHealthCheck", "TCP": "tcpHealthCheck"}
CHECK_FIELDS: dict[str, tuple[str, ...]] = {
    "port": (PROBE, "port"),
    "path": (PROBE, "requestPath"),
    "host": (PROBE, "host"),
    "response": (PROBE, "response"),
    "interval_s": ("checkIntervalSec",),
    "timeout_s": ("timeoutSec",),
    "healthy_threshold": ("healthyThreshold",),
    "unhealthy_threshold": ("unhealthyThreshold",),
    "log": ("logConfig", "enable"),
}
HTTP_ONLY = ("path", "host", "response")
CHECK_RANGES: dict[str, tuple[float, float]] = {
    "port": (1, 65535),
    "interval_s": (1, 300),
    "timeout_s": (1, 300),
    "healthy_threshold": (1, 10),
    "unhealthy_threshold": (1, 10),
}
LONGEST_RESPONSE = 1024


def option_of(name: str) -> str:
    """How a user calls a field of a health check."""
    return f"health_check.{name}"


# --- what is wanted


def range_problems(
    fields: Mapping[str, Any], ranges: Mapping[str, tuple[float, float]], option: Callable[[str], str] = option_of
) -> Iterator[str]:
    """Numbers that are too small or too large."""
    for name, value in fields.items():
        if name in ranges and not ranges[name][0] <= value <= ranges[name][1]:
            yield f"{option(name)}: {value:g} is not from {ranges[name][0]:g} to {ranges[name][1]:g}"


def goal_problems(kind: str | None, fields: Mapping[str, Any]) -> Iterator[str]:
    """What can be said of the options for a health check without a request. kind: HTTP or TCP."""
    yield from range_problems(fields, CHECK_RANGES)
    if kind == "TCP":
        for name in HTTP_ONLY:
            if name in fields:
                yield f"{option_of(name)}: only with health_check.type=http"
    path = fields.get("path")
    if path is not None and not re.fullmatch("/[!-~]*", path):
        yield f"health_check.path: {path!r} does not begin with /, or has a blank or a letter beyond ASCII: encode it"
    host = fields.get("host", "")
    if not re.fullmatch("[!-~]*", host):
        yield f"health_check.host: {host!r} has a blank or a letter beyond ASCII"
    response = fields.get("response", "")
    if len(response) > LONGEST_RESPONSE or not response.isascii():
        yield f"health_check.response: it has to be ASCII, of at most {LONGEST_RESPONSE} characters"


def target_problems(targets: Mapping[str, Iterable[str]]) -> Iterator[str]:
    """The same of the options that say whom the firewall rule is for."""
    yield from tag_problems(targets.get("targetTags", ()), "firewall.target_tags")
    for account in targets.get("targetServiceAccounts", ()):
        if not is_account(account):
            yield f"firewall.target_service_accounts: {account!r} is no e-mail address of a service account"


def clashes(kind: str | None, fields: Mapping[str, Any], path: str, found: Resource) -> Iterator[str]:
    """What is wanted and does not go with what is there. found: the health check, or what a new one begins with."""
    interval, timeout = (fields.get(name) or read(found, CHECK_FIELDS[name]) for name in ("interval_s", "timeout_s"))
    if timeout > interval:
        yield f"health_check.timeout_s: {timeout} s is longer than the interval of {interval} s, which the API refuses"
    if check_kind(kind, found) == "TCP":
        for name in HTTP_ONLY:
            if kind is None and name in fields:
                yield f"{option_of(name)}: the health check {last_part(path)} has the type tcp"


# --- bodies


def check_kind(wanted: str | None, check: Resource | None) -> str:
    """The type of the health check, as it is wanted, or as it is."""
    found = str((check or {}).get("type"))
    return wanted or (found if found in PROBES else "HTTP")


def probed_port(wanted: int | None, check: Resource | None) -> int:
    """That the health check asks, as it is wanted, or as it is."""
    return wanted or read(check or {}, (PROBES.get(check_kind(None, check), ""), "port"))


def check_body(wanted: str | None, fields: Mapping[str, Any], present: Resource, is_new: bool) -> Resource:
    """A health check as it should be. present: the one that is used; is_new: whether another one takes its place."""
    kind = check_kind(wanted, present)
    probe = PROBES[kind]
    body: Resource = {"type": kind, probe: {}}
    fields = dict(fields)
    if is_new:
        # A new one has all of them: those of the present one in another place, or the API's own.
        for name, path in CHECK_FIELDS.items():
            value = read(
                present, [PROBES.get(str(present.get("type")), "") if part == PROBE else part for part in path]
            )
            if value is not None and (kind == "HTTP" or name not in HTTP_ONLY):
                fields.setdefault(name, value)
    for name, value in fields.items():
        write(body, [probe if part == PROBE else part for part in CHECK_FIELDS[name]], value)
    write(body, (probe, "portSpecification"), "USE_FIXED_PORT")
    return body


def rule_body(
    ports: Iterable[int], ranges: Iterable[str], targets: Mapping[str, Sequence[str]], network: str | None
) -> Resource:
    """The firewall rule that lets probes in."""
    body: Resource = {
        "direction": "INGRESS",
        "disabled": False,
        "sourceRanges": list(ranges),
        "allowed": [{"IPProtocol": "tcp", "ports": [str(port) for port in sorted(set(ports))]}],
        **{name: list(values) for name, values in targets.items()},
    }
    if targets:
        # A rule is for one kind of targets only.
        for name in {"targetTags", "targetServiceAccounts"} - set(targets):
            body[name] = []
    if network:
        body["network"] = full_url(network)
    return body


# --- in the words of the options


def shown_check(body: Resource) -> Resource:
    """A health check, without what says where it is."""
    kind = str(body.get("type"))
    shown: Resource = {"type": kind.lower()}
    for name, field in CHECK_FIELDS.items():
        if kind == "HTTP" or name not in HTTP_ONLY:
            value = read(body, [PROBES.get(kind, kind) if part == PROBE else part for part in field])
            shown[name] = value or ("" if name in HTTP_ONLY else False if name == "log" else value)
    return shown


def shown_rule(rule: Resource | None, check: Resource | None, ranges: Iterable[str]) -> Resource | None:
    """Whether the rule lets the probes in, whom it is for, and what else it lets in."""
    if rule is None:
        return None
    probe = f"tcp:{read(check, (PROBES.get(str(check.get('type')), ''), 'port'))}" if check else ""
    doors = {
        f"{str(each.get('IPProtocol')).lower()}:{port}"
        for each in rule.get("allowed") or ()
        for port in each.get("ports") or ("all",)
    }
    probed = set(ranges)
    sources = {str(ipaddress.ip_network(each, strict=False)) for each in rule.get("sourceRanges") or ()}
    return {
        "lets_probes_in": probe in doors
        and probed.issubset(sources)
        and not rule.get("disabled")
        and rule.get("direction", "INGRESS") == "INGRESS",
        "also": sorted((doors - {probe}) | (sources - probed)),
        "target_tags": sorted(rule.get("targetTags") or ()),
        "target_service_accounts": sorted(rule.get("targetServiceAccounts") or ()),
    }

# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The modules for passthrough load balancers: from options to a goal, and from observations to results."""

from __future__ import annotations

import re

from ..base import time_limit
from ..base.errors import CloudError
from ..clouds.gce_lb import LoadBalancers, Watcher
from ..clouds.gce_names import is_name, last_part, normalise, zone_of
from ..failover import engine
from ..failover.gcp_checks import CHECK_FIELDS
from ..failover.gcp_objects import DELETE, INSERT, NOUNS
from ..failover.lb_fields import ALL_PORTS, PROTOCOLS, SERVICE_FIELDS, ports_of, to_api
from ..failover.lb_goal import Group, LbGoal
from ..failover.lb_inspect import health, inspect
from . import gcp, gcp_checks, gcp_library
from .run import OptionError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from ansible.module_utils.basic import AnsibleModule

    from ..failover.lb_pool import Backend, Pool
    from .run import Report

_PROTOCOL_OF = {word: name for name, (_service, word) in PROTOCOLS.items()}
SPEC = dict(
    name=dict(type="str", required=True),
    region=dict(type="str", required=True),
    state=dict(type="str", choices=["present", "absent"], default="present"),
    network=dict(type="str"),
    subnetwork=dict(type="str"),
    scheme=dict(type="str", choices=["internal", "external"]),
    address=dict(type="str"),
    address_name=dict(type="str"),
    protocols=dict(type="list", elements="str", choices=list(_PROTOCOL_OF)),
    ports=dict(type="list", elements="str"),
    global_access=dict(type="bool"),
    health_check=dict(
        type="dict", options=dict(gcp_checks.CHECK, scope=dict(type="str", choices=["regional", "global"]))
    ),
    groups=dict(
        type="list",
        elements="dict",
        options=dict(
            name=dict(type="str", required=True),
            zone=dict(type="str", required=True),
            instances=dict(type="list", elements="str"),
            failover=dict(type="bool"),
        ),
    ),
    failover=dict(
        type="dict",
        options=dict(ratio=dict(type="float"), drop_if_unhealthy=dict(type="bool"), drain=dict(type="bool")),
    ),
    draining_timeout_s=dict(type="int"),
    session_affinity=dict(
        type="str",
        choices=["none", "client_ip", "client_ip_proto", "client_ip_port_proto", "client_ip_no_destination"],
    ),
    tracking_mode=dict(type="str", choices=["per_connection", "per_session"]),
    persistence=dict(type="str", choices=["default_for_protocol", "never_persist", "always_persist"]),
    idle_timeout_s=dict(type="int"),
    firewall=gcp_checks.FIREWALL,
    allow_replace=dict(type="bool", default=False),
    exclusive=dict(type="bool", default=False),
    timeout=dict(type="float", default=300),
)


def client(module: AnsibleModule, timeout: float = 120.0, watch: bool = False) -> LoadBalancers:
    """The client that the options ask for. watch: it only reads, and is to be quick."""
    return gcp_library.connect(module, Watcher if watch else LoadBalancers, timeout)


def goal(params: Mapping[str, Any], project: str) -> LbGoal:
    """The goal of gcp_passthrough_lb, from its options."""
    check, firewall = params["health_check"] or {}, params["firewall"] or {}
    region = params["region"]
    # Paths are made with it.
    if not is_name(region):
        raise OptionError(f"region: {region!r} is no name of a region, such as us-central1")
    values = {**params, **(params["failover"] or {})}
    return LbGoal(
        params["name"],
        project,
        region,
        params["state"] == "present",
        _path("network", params["network"], "global/networks", project),
        _path("subnetwork", params["subnetwork"], f"regions/{region}/subnetworks", project),
        params["scheme"] and params["scheme"].upper(),
        params["address"],
        params["address_name"],
        None if params["protocols"] is None else tuple(_PROTOCOL_OF[each] for each in params["protocols"]),
        _ports(params["ports"]),
        params["global_access"],
        check.get("type") and check["type"].upper(),
        None if check.get("scope") is None else check["scope"] == "global",
        {name: check[name] for name in CHECK_FIELDS if check.get(name) is not None},
        None if params["groups"] is None else tuple(_group(each, project) for each in params["groups"]),
        {name: to_api(name, values[name]) for name in SERVICE_FIELDS if values.get(name) is not None},
        firewall.get("manage", True),
        gcp_checks.targets(firewall),
        params["allow_replace"],
        params["exclusive"],
    )


def _path(option: str, value: str | None, kind: str, project: str) -> str | None:
    return gcp.resource_path(option, value, kind, project) if value else None


def _ports(texts: list[str] | None) -> tuple[Any, ...] | None:
    if texts is None:
        return None
    if texts == ["all"]:
        return ALL_PORTS
    if "all" in texts:
        raise OptionError("ports: all is for all ports; do not give others with it")
    strange = [text for text in texts if not re.fullmatch("[0-9]+", text)]
    if strange:
        raise OptionError(f"ports: {', '.join(map(repr, strange))}: no number; give up to five numbers, or all")
    return tuple(map(int, texts))


def _group(given: Mapping[str, Any], project: str) -> Group:
    zone, name = given["zone"], given["name"]
    if not is_name(zone) or not is_name(name):
        raise OptionError(f"groups: {name!r} in the zone {zone!r} is no name of a group in a zone")
    instances = given["instances"]
    if instances is not None:
        # In the project's own groups are the project's own instances.
        instances = tuple(dict.fromkeys(gcp.instance_path("groups", each, project, zone) for each in instances))
    return Group(f"projects/{project}/zones/{zone}/instanceGroups/{name}", instances, given["failover"])


def describe(report: Report, api: LoadBalancers, left: float) -> dict[str, Any]:
    """The results of gcp_passthrough_lb besides those of all modules. left: seconds to read the backends' health."""
    notes = [*report.procedure.notes, *report.procedure.kept(report.after)]
    seen = report.after.observed
    address = report.then["address"]
    result: dict[str, Any] = {
        # Of several, which only others can have made, none is the address.
        "address": address if isinstance(address, str) else None,
        "unanswered_ms": _unanswered_ms(report),
    }
    try:
        with time_limit.limit(max(left, engine.GRACE)):
            backends, pool = health(api, seen)
        result.update(_backends(backends, pool))
    except CloudError as error:
        notes.append(f"the health of the backends is not known: {error}")
    return {**result, "notes": notes}


def _unanswered_ms(report: Report) -> float | None:
    """From the beginning of the first deletion of a forwarding rule to the end of the last creation of one."""
    rule = NOUNS["forwardingRules"]
    gone = [each["ms"] for each in report.events if (each["event"], each.get("name")) == ("step", f"{DELETE} {rule}")]
    made = [each["ms"] for each in report.events if (each["event"], each.get("name")) == ("done", f"{INSERT} {rule}")]
    return round(max(made) - min(gone), 1) if gone and made else None


def _backends(backends: list[Backend], pool: Pool) -> dict[str, Any]:
    return {
        "holders": sorted(each.instance for each in pool.active),
        "active_pool": pool.name,
        "backends": [
            {
                "instance": each.instance,
                "zone": zone_of(each.instance),
                "group": each.group,
                "failover": each.failover,
                "health": each.health,
                "active": each in pool.active,
            }
            for each in backends
        ],
    }


def info(params: Mapping[str, Any], api: LoadBalancers) -> dict[str, Any]:
    """The results of gcp_passthrough_lb_info."""
    network = _path("network", params["network"], "global/networks", api.project)
    wanted = LbGoal(params["name"], api.project, params["region"], network=network)
    found = inspect(api, wanted, params["preflight"], params["scheme"].upper())
    rules = found.seen.named("forwardingRules")
    return {
        "exists": bool(rules),
        "address": found.seen.ip,
        "rules": [
            {
                "name": last_part(path),
                "address": rule.get("IPAddress"),
                "protocol": PROTOCOLS.get(str(rule.get("IPProtocol")), ("", "other"))[1],
                "ports": list(ports_of(rule)),
                "scheme": str(rule.get("loadBalancingScheme")).lower(),
                "global_access": bool(rule.get("allowGlobalAccess")),
                "backend_service": normalise(rule.get("backendService")),
            }
            for path, rule in rules
        ],
        **_backends(found.backends, found.pool),
        "problems": found.problems,
    }

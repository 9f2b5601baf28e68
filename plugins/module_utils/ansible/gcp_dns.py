# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The modules for names in Cloud DNS: from options to a goal, and from observations to results."""

from __future__ import annotations

from ..clouds.gce_dns import SCOPE, Dns, endpoint_beside
from ..failover.dns_name import PERMISSIONS, look, missing_permissions
from ..failover.dns_name_goal import NameGoal
from ..failover.dns_name_look import networks_of, obstacles
from . import gcp
from .run import OptionError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from ansible.module_utils.basic import AnsibleModule

    from .run import Report

SPEC = dict(
    gcp.SPEC,
    dns_endpoint=gcp.option("GCP_DNS_ENDPOINT", type="str"),
    managed_zone=dict(type="str", required=True),
    name=dict(type="str", required=True),
    type=dict(type="str", choices=["A", "AAAA"], default="A"),
)


def client(module: AnsibleModule) -> Dns:
    """The client that the options ask for."""
    params = module.params
    connect = gcp.log_in(module, params["timeout"], SCOPE)
    endpoint = params["dns_endpoint"] or endpoint_beside(params["endpoint"])
    if not gcp.is_endpoint(endpoint):
        raise OptionError(
            f"dns_endpoint: {endpoint!r} is not the URL of the API with its version, such as"
            " https://dns.googleapis.com/dns/v1"
        )
    return connect(Dns, endpoint)


def goal(params: Mapping[str, Any]) -> NameGoal:
    """The goal of gcp_dns_name, from its options."""
    return NameGoal(
        params["managed_zone"],
        params["name"],
        params["type"],
        present=params["state"] == "present",
        addresses=params["addresses"],
        ttl=params["ttl"],
        expected=params["expected"],
    )


def describe(report: Report) -> dict[str, Any]:
    """The results of gcp_dns_name besides those of all modules."""
    now, then = report.now, report.then
    return {
        "address": now["name"],
        "addresses": then["addresses"],
        "previous_addresses": now["addresses"],
        "ttl": then["ttl"],
        "previous_ttl": now["ttl"],
        "notes": report.procedure.notes,
    }


def info(params: Mapping[str, Any], api: Dns) -> dict[str, Any]:
    """The results of gcp_dns_name_info."""
    seen = look(api, NameGoal(params["managed_zone"], params["name"], params["type"], present=False))
    found: list[str] = []
    if params["preflight"]:
        missing, unanswered = missing_permissions(api, params["managed_zone"], PERMISSIONS)
        found = [*obstacles(seen), *missing, *([str(unanswered)] if unanswered else [])]
    shown = seen.to_diff()
    return {
        "exists": seen.record is not None,
        "address": shown["name"],
        "addresses": shown["addresses"],
        "ttl": shown["ttl"],
        "pending": bool(seen.pending),
        "zone": {
            "name": seen.zone.get("name"),
            "dns_name": seen.zone.get("dnsName"),
            "visibility": seen.zone.get("visibility", "public"),
            "networks": networks_of(seen.zone),
        },
        "problems": found,
    }

# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What an autohealing group should consist of. Pure: from facts and a goal to bodies for the API.

A body has all that is wanted of an object. What an option leaves open is as it is, and a new object's as a default.
"""

from __future__ import annotations

from typing import NamedTuple

from ..base.errors import NotFound
from ..clouds.gce_names import full_url, normalise
from .gcp_checks import check_body, probed_port, rule_body
from .gcp_objects import Item, item_of
from .group_fields import hash_of, write_properties
from .group_goal import INITIAL_DELAY, Member
from .group_look import NIC, UNAPPLIED
from .group_state import RANGES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .group_look import Managed, Observed

    Resource = dict[str, Any]


class Wanted(NamedTuple):
    """items: the objects, in the order in which the API takes them. template: the path of the one that instances are to
    be made of. addresses: by the names of instances, the paths of their addresses."""

    items: list[Item]
    template: str
    addresses: dict[str, str]


def wanted(o: Observed) -> Wanted:
    goal = o.goal
    items = []
    if goal.firewall:
        items.append(item_of(o.firewall_path, o.resources.get(o.firewall_path), _firewall(o), goal.shared_mark))
    addresses = {}
    for member in members(o):
        path = address_path(o, member)
        if path is not None:
            addresses[member.name] = path
            items.append(item_of(path, o.resources.get(path), _address(o, member, path), goal.mark))
    check = o.check_path
    body = check_body(goal.check_kind, goal.check, _present_check(o), check not in o.resources)
    items.append(item_of(check, o.resources.get(check), body, goal.shared_mark))
    template, body = _template(o)
    items.append(item_of(template, o.resources.get(template), body, goal.shared_mark))
    items.append(item_of(goal.path, o.group, _group(o, template), goal.mark))
    return Wanted(items, template, addresses)


def members(o: Observed) -> list[Member]:
    """The instances that are wanted; by default those that there are."""
    return [Member(name) for name in sorted(o.managed)] if o.goal.members is None else list(o.goal.members)


def _present_check(o: Observed) -> Resource:
    return o.resources.get(o.present_check or "") or {}


def _firewall(o: Observed) -> Resource:
    # The probes of the present health check pass until the group has the new one.
    present = o.resources.get(o.present_check or "")
    ports = [probed_port(o.goal.check.get("port"), present), *([probed_port(None, present)] if present else [])]
    return rule_body(ports, RANGES, o.goal.targets, o.network)


# --- addresses


def address_path(o: Observed, member: Member) -> str | None:
    """Where the address of an instance is reserved, or is to be. None: nothing is kept for it, and nothing is asked."""
    goal = o.goal
    kept = o.kept_address(member.name)
    address = wanted_address(o, member)
    if address:
        for path, body in o.collection("addresses"):
            if body.get("address") == address and normalise(body.get("subnetwork")) in ("", o.subnetwork):
                return path
        return f"{goal.place}/addresses/{member.name}-{address.replace('.', '-')}"
    if kept and "/" in kept:
        return str(kept)
    if goal.members is None:
        return None
    return f"{goal.place}/addresses/{member.name}-{goal.zone}"


def wanted_address(o: Observed, member: Member) -> str | None:
    """The address of an instance: as it is wanted, as it is kept, or as it is. None: the API is to choose it."""
    if member.address or o.goal.members is None or o.kept_address(member.name) or member.name not in o.managed:
        return member.address or o.address_of(member.name)
    try:
        interfaces = o.instance(o.goal.instance_path(member.name)).get("networkInterfaces") or [{}]
    except NotFound:
        return None  # it is being made
    return interfaces[0].get("networkIP") or None


def _address(o: Observed, member: Member, path: str) -> Resource:
    body: Resource = {"addressType": "INTERNAL", "purpose": "GCE_ENDPOINT"}
    address = wanted_address(o, member)
    if address:
        body["address"] = address
    if o.subnetwork:
        body["subnetwork"] = full_url(o.subnetwork)
    return body


def config_of(o: Observed, name: str, address: str) -> Resource:
    """What is to be kept of an instance, besides what others want to be kept. address: the path of a reservation."""
    found = o.configs.get(name) or {}
    state = dict(found.get("preservedState") or {})
    kept = {"autoDelete": "NEVER", "ipAddress": {"address": full_url(address)}}
    state["internalIPs"] = {**(state.get("internalIPs") or {}), NIC: kept}
    lock = {"fingerprint": found["fingerprint"]} if found.get("fingerprint") else {}
    return {"name": name, "preservedState": state, **lock}


def is_kept(o: Observed, name: str, address: str) -> bool:
    """Whether the address of an instance is kept. address: the path of a reservation."""
    kept = o.kept_address(name)
    literal = (o.resources.get(address) or {}).get("address")
    return kept is not None and kept in (address, literal)


# --- the template and the group


def _template(o: Observed) -> tuple[str, Resource]:
    if o.properties and not o.changed_options:
        return o.template_path, {}
    properties = write_properties(o.properties, o.goal.template)
    path = f"projects/{o.goal.project}/global/instanceTemplates/{o.goal.name}-{hash_of(properties)}"
    # One of this name is like this, as nobody can change a template.
    return path, {} if path in o.resources else {"properties": properties}


def _group(o: Observed, template: str) -> Resource:
    goal, group = o.goal, o.group or {}
    delay = INITIAL_DELAY if o.initial_delay is None else o.initial_delay
    body: Resource = {
        "autoHealingPolicies": [{"healthCheck": full_url(o.check_path), "initialDelaySec": delay}],
        "updatePolicy": {
            "type": "OPPORTUNISTIC",
            "minimalAction": "REPLACE",
            "replacementMethod": "RECREATE",
            "maxSurge": _fixed(group, "maxSurge", 0),
            "maxUnavailable": _fixed(group, "maxUnavailable", 1),
        },
        "instanceLifecyclePolicy": {"forceUpdateOnRepair": "NO"},
    }
    if template not in o.template_paths:
        body["versions"] = [{"instanceTemplate": full_url(template)}]
    if not group:
        body.update(baseInstanceName=goal.name, targetSize=0)
    return body


def _fixed(group: Resource, name: str, number: int) -> Resource:
    found = (group.get("updatePolicy") or {}).get(name) or {}
    return {"fixed": number, **({"percent": None} if found.get("percent") is not None else {})}


# --- instances


def is_current(o: Observed, each: Managed, template: str) -> bool:
    """Whether an instance is made as the template and its configuration say."""
    templates = o.template_paths if template in o.template_paths else [template]
    return each.template in templates and (o.configs.get(each.name) or {}).get("status") != UNAPPLIED

# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Looks at an autohealing group for a person: its instances and their health, and what keeps it from healing them."""

from __future__ import annotations

from typing import NamedTuple

from ..base.errors import CloudError, Denied, NotFound
from ..clouds.gce_names import last_part
from .facts import ask
from .gcp_checks import PROBES
from .gcp_fields import read
from .gcp_objects import DELETE, INSERT, PATCH, Change, permission_problems, quota_problems
from .gcp_preflight import probe_problems
from .group_decide import KEEP, REPLACE
from .group_fields import read_properties
from .group_look import HEALTHY, NONE, UNKNOWN, list_templates, look
from .group_problems import advice
from .group_state import RANGES
from .group_steps import PARTS, permissions

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any, Protocol

    from .gcp_preflight import FirewallApi
    from .group_goal import GroupGoal
    from .group_look import Managed, ManagedApi, Observed

    Resource = dict[str, Any]

    class InspectApi(ManagedApi, FirewallApi, Protocol):
        """Further verbs that this needs of a client."""

        def get_quotas(self, region: str) -> list[Resource]: ...


# Of which a group takes something.
QUOTAS = (
    "CPUS",
    "FIREWALLS",
    "HEALTH_CHECKS",
    "INSTANCES",
    "INSTANCE_GROUP_MANAGERS",
    "INSTANCE_TEMPLATES",
    "INTERNAL_ADDRESSES",
)


class Findings(NamedTuple):
    """seen: what is there. instances: by name, what the API says of them. problems: what is amiss."""

    seen: Observed
    instances: Mapping[str, Resource]
    problems: list[str]


def inspect(client: InspectApi, goal: GroupGoal, preflight: bool = True) -> Findings:
    """goal: names the group. preflight: whether to look for what keeps it from healing."""
    o = look(client, goal)
    instances: dict[str, Resource] = {}
    for each in o.managed.values():
        try:
            instances[each.name] = client.get_instance(goal.instance_path(each.name))
        except NotFound:
            continue  # it is being made
    if not preflight:
        return Findings(o, instances, [])
    problems = [*_structure(o), *_instance_problems(o)]
    problems += _probe_problems(client, o, instances)
    if o.group is None:
        problems += quota_problems(client, o.goal.place, QUOTAS)
    return Findings(o, instances, problems + _permission_problems(client, o))


def is_stable(o: Observed) -> bool:
    """Whether all instances serve, and are made as the group's template says."""
    return bool(o.managed) and all(each.is_serving and each.template in o.template_paths for each in o.managed.values())


def _structure(o: Observed) -> Iterator[str]:
    """What is missing, or lets an instance come back as another one."""
    goal, group = o.goal, o.group
    if group is None:
        yield f"there is no managed instance group {goal.name} in {goal.zone}"
        return
    if not o.managed:
        yield f"the group {goal.name} has no instance"
    if not o.policy.get("healthCheck"):
        yield f"the group {goal.name} has no autohealing policy: it makes a stopped instance anew, and not a hung one"
    method = (group.get("updatePolicy") or {}).get("replacementMethod")
    if method != "RECREATE":
        yield f"the group {goal.name} replaces by {method}, which gives instances new names: it should be RECREATE"
    check = o.resources.get(o.present_check or "")
    kind = check.get("type") if check else "HTTP"
    if kind not in PROBES:
        yield f"the health check {last_part(o.present_check)} has the type {kind}, which is not looked into"
    for name in sorted(o.managed):
        if not o.kept_address(name):
            yield f"the address of {name} is not kept: if the group makes it anew, it may get another one"
        if o.managed[name].template not in o.template_paths:
            template = last_part(o.managed[name].template)
            yield f"{name} is made of the template {template}, and the group has {last_part(o.template_path)} now"


def _instance_problems(o: Observed) -> Iterator[str]:
    delay = o.policy.get("initialDelaySec") or 0
    for each in o.managed.values():
        if each.errors:
            code, text = each.errors[0]
            yield f"{each} cannot be made: {code}: {text.rstrip('. ')}: {advice(code)}; the group goes on trying"
        elif each.action != NONE:
            yield f"the group is at work with {each}: if this lasts longer than {delay} s and a boot, healing is stuck"
        elif each.health == UNKNOWN:
            yield f"{each} has not been probed yet"
        elif each.health != HEALTHY:
            yield f"{each} is not healthy: the group makes it anew {delay} s after its start; its service has to answer"


def _probe_problems(client: InspectApi, o: Observed, instances: Mapping[str, Resource]) -> list[str]:
    check = o.resources.get(o.present_check or "")
    if not check or not instances or check.get("type") not in PROBES:
        return []
    try:
        o, network = ask(client, o, lambda seen: seen.network)
        if network is None:
            return []
        rules = client.list_firewalls(network)
    except (Denied, NotFound) as error:
        return [str(error)]
    port = read(check, (PROBES[check["type"]], "port"))
    named = {o.goal.instance_path(name): each for name, each in instances.items()}
    return probe_problems(named, network, rules, port, RANGES)


def _permission_problems(client: InspectApi, o: Observed) -> list[str]:
    """The caller's missing permissions to make, change and delete all of it."""
    goal = o.goal
    check, name = goal.check_paths()[0], goal.name
    template = f"projects/{goal.project}/global/instanceTemplates/{name}"
    paths = [goal.path, template, check, o.firewall_path, f"{goal.place}/addresses/{name}"]
    whole: Resource = {"autoHealingPolicies": [{"healthCheck": check}], "versions": [{}]}
    whole["properties"] = dict.fromkeys(PARTS, True)
    changes = [Change(verb, path, whole) for path in paths for verb in (INSERT, DELETE)]
    changes += [Change(PATCH, path, whole) for path in (goal.path, check, o.firewall_path)]
    changes += [Change(verb, goal.instance_path(name)) for verb in (INSERT, KEEP, REPLACE, DELETE)]
    return permission_problems(client, permissions(o, changes))


def address_of(o: Observed, instances: Mapping[str, Resource], name: str) -> str | None:
    """The address that an instance has; while it is made anew, the one that is kept for it."""
    interfaces = instances.get(name, {}).get("networkInterfaces") or [{}]
    return interfaces[0].get("networkIP") or o.address_of(name)


def image_of(client: InspectApi, o: Observed, each: Managed) -> str | None:
    """The path of the image that an instance is made of. None: nobody tells."""
    template = o.resources.get(each.template)
    if template is None:
        try:
            template = client.get(each.template)
        except CloudError:
            return None
    return _image_in(template, o.goal)


def latest_image(client: ManagedApi, goal: GroupGoal) -> str | None:
    """The path of the image of the group's latest template, which is in no zone: a lost zone leaves it. None if there
    is none."""
    found = sorted(list_templates(client, goal), key=lambda each: str(each.get("creationTimestamp")))
    return _image_in(found[-1], goal) if found else None


def _image_in(template: Resource, goal: GroupGoal) -> str | None:
    return read_properties(template.get("properties") or {}, goal.project)["image"] or None

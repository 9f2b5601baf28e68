# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a managed instance group has in mind of its instances."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from lab.gce.projects import Projects
from lab.gce.resources import Resource

NONE, VERIFYING = "NONE", "VERIFYING"
CREATING, RECREATING, DELETING = "CREATING", "RECREATING", "DELETING"
# As currentActions calls the actions; the lab has not all of them.
_ACTIONS = (
    *("none", "creating", "creatingWithoutRetries", "verifying", "recreating", "deleting", "abandoning"),
    *("restarting", "refreshing", "suspending", "resuming", "stopping", "starting"),
)


@dataclass
class Member:
    """An instance that is, or is to be.

    ``template``: the URL of what it is made after. ``made``: the id of the instance that was made last, ``since`` when;
    ``coming``: of the one that is being made. ``proven``: whether it was healthy since. ``applied``: the part of its
    configuration that is in force; ``kept``: the address that the group's policy preserves. ``repairs``: what it does
    is a repair. ``operation``: under way; ``errors``: of the last one; ``again``: not before then.
    """

    name: str
    template: str
    action: str = CREATING
    made: str = ""
    coming: str = ""
    since: float = 0.0
    proven: bool = False
    applied: Resource = field(default_factory=dict)
    kept: str = ""
    repairs: bool = False
    operation: str = ""
    errors: list[Resource] = field(default_factory=list)
    again: float = 0.0

    def recreate(self, template: str, repairs: bool = False) -> None:
        """Begin to replace the instance."""
        self.template, self.repairs = template, repairs
        self.act(RECREATING)

    def act(self, action: str) -> None:
        """Begin something, at once."""
        self.action, self.again = action, 0.0


@dataclass
class Group:
    """A managed group beside its resource: ``configs``: what is wished of members, by name.

    ``health``: of each member's instance, by its id.
    """

    members: dict[str, Member] = field(default_factory=dict)
    configs: dict[str, Resource] = field(default_factory=dict)
    health: dict[str, str] = field(default_factory=dict)

    def wished(self, name: str) -> Resource:
        """The preserved state that a member is to have."""
        state: Resource = self.configs.get(name, {}).get("preservedState", {})
        return state

    def all_configs(self) -> list[Resource]:
        """Those that are wished, and those that are not wished any more but still in force."""
        going = [
            {"name": each.name, "preservedState": each.applied, "status": "UNAPPLIED_DELETION"}
            for each in self.members.values()
            if each.applied and each.name not in self.configs
        ]
        return [{**each, "status": self.config_status(name)} for name, each in self.configs.items()] + going

    def config_status(self, name: str) -> str:
        """Whether a configuration is in force."""
        member = self.members.get(name)
        if member and member.action in (CREATING, RECREATING):
            return "APPLYING"
        return "EFFECTIVE" if member and member.applied == self.wished(name) else "UNAPPLIED"

    def outdated(self, template: str) -> Iterator[Member]:
        """The members that are not as the group wants them, and that nothing happens to."""
        for each in self.members.values():
            old = each.template != template or each.applied != self.wished(each.name)
            if old and each.action in (NONE, VERIFYING):
                yield each

    def is_available(self, member: Member, checked: bool) -> bool:
        """Whether it runs, and was healthy if somebody asks; see maxUnavailable."""
        return member.action in (NONE, VERIFYING) and (member.proven or not checked)


def view(manager: Resource, group: Group) -> Resource:
    """What the API says of a group's actions and of its status."""
    actions = [each.action.lower() for each in group.members.values()]
    proactive = manager["updatePolicy"]["type"] == "PROACTIVE"
    template = manager["instanceTemplate"]
    pending = proactive and any(group.outdated(template))
    stable = set(actions) <= {"none"} and len(actions) == manager["targetSize"] and not pending
    reached = all(each.template == template and each.made for each in group.members.values())
    effective = all(group.config_status(name) == "EFFECTIVE" for name in group.configs)
    effective = effective and all(each.applied == group.wished(each.name) for each in group.members.values())
    stateful = bool(group.configs) or bool(manager.get("statefulPolicy", {}).get("preservedState"))
    return {
        "currentActions": {name: actions.count(name) for name in _ACTIONS},
        "status": {
            "isStable": stable,
            "versionTarget": {"isReached": reached},
            "stateful": {"hasStatefulConfig": stateful, "perInstanceConfigs": {"allEffective": effective}},
        },
    }


def listed(projects: Projects, manager: Resource, group: Group, checks: list[str]) -> list[Resource]:
    """What listManagedInstances answers; ``checks``: the URLs of the group's health checks."""
    return [_managed(projects, manager, group, each, checks) for each in group.members.values()]


def _managed(projects: Projects, manager: Resource, group: Group, member: Member, checks: list[str]) -> Resource:
    url = f"{manager['zone']}/instances/{member.name}"
    shown: Resource = {"name": member.name, "instance": url, "currentAction": member.action}
    there = projects.all_instances.get(member.name)
    if there and there["selfLink"] == url:
        shown |= {"id": there["id"], "instanceStatus": projects.status(member.name)}
        state = group.health.get(there["id"], "UNKNOWN")
        shown |= {"instanceHealth": [{"healthCheck": each, "detailedHealthState": state} for each in checks]}
        if not checks:
            del shown["instanceHealth"]
    if member.action != DELETING:
        shown["version"] = {"instanceTemplate": member.template}
    shown["targetStatus"] = "DELETED" if member.action == DELETING else "RUNNING"
    shown["lastAttempt"] = {"errors": {"errors": member.errors}} if member.errors else {}
    if member.applied:
        shown["preservedStateFromConfig"] = member.applied
    policy = manager.get("statefulPolicy", {}).get("preservedState", {}).get("internalIPs", {})
    if member.kept and policy:
        kept = {"autoDelete": policy["nic0"].get("autoDelete", "NEVER"), "ipAddress": {"literal": member.kept}}
        shown["preservedStateFromPolicy"] = {"internalIPs": {"nic0": kept}}
    return shown

# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What managed instance groups do: they make, repair, replace and delete their instances, one look after another."""

from __future__ import annotations

import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from typing import NamedTuple

from lab.gce.assignments import WEIGHT
from lab.gce.balance import HEALTHY, UNHEALTHY
from lab.gce.balancers import check_of
from lab.gce.cloud import Cloud
from lab.gce.errors import ApiError
from lab.gce.members import DELETING, NONE, VERIFYING, Group, Member
from lab.gce.operations import Change
from lab.gce.probes import PROBERS, Key, Probes, Task
from lab.gce.resources import Resource
from lab.gce.shapes import with_metadata

LOOK_S = 0.1
RETRY_S = 1.0  # from an action that failed to the next attempt


class _Job(NamedTuple):
    member: Member
    change: Change
    manager: Resource


class Healer:
    """Looks at every group at short intervals, and at once when something has changed. ``looks``: how often it has."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self.looks = 0
        self._health: dict[Key, str] = {}
        self.probes = Probes(cloud.plane.probe, self._health, cloud.lock, self.wake)
        self._changed = threading.Event()
        self._ended = False
        self._thread = threading.Thread(target=self._run, name="managed groups", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self.cloud.managers.wake = self.wake
        self._thread.start()

    def wake(self) -> None:
        """Look now."""
        self._changed.set()

    def close(self) -> None:
        """Do nothing any more."""
        self._ended = True
        self.wake()
        self._thread.join(5)
        self.probes.close()

    def _run(self) -> None:
        while not self._ended:
            self._changed.wait(LOOK_S)
            self._changed.clear()
            try:
                self._look()
            except Exception:
                # The next look may go better.
                traceback.print_exc(file=sys.stderr)
            self.looks += 1

    def _look(self) -> None:
        cloud, jobs, tasks = self.cloud, list[_Job](), dict[Key, Task]()
        with cloud.lock:
            for manager in cloud.managers.in_force():
                group = cloud.managers.groups[manager["selfLink"]]
                self._hear(manager, group)
                tasks.update(self._tasks(manager, group))
                if manager["zone"].rpartition("/")[2] in cloud.behaviour.zone_outage:
                    for member in group.members.values():
                        # Its machine will boot again.
                        member.since, member.proven = time.monotonic(), False
                    continue
                try:
                    jobs += list(self._of_group(manager, group))
                except Exception:
                    # The other groups have nothing to do with it.
                    traceback.print_exc(file=sys.stderr)
        self.probes.follow(tasks)
        for member, change, manager in jobs:
            project, zone = cloud.relative(manager["zone"]).split("/zones/")
            agent = f"{cloud.projects[project]['id']}@cloudservices.gserviceaccount.com"
            operation = cloud.operations.start(change, project=project, caller=agent, scope=f"zones/{zone}")
            with cloud.lock:
                member.operation = operation["selfLink"]
        if jobs:
            self.wake()

    # --- health

    def _tasks(self, manager: Resource, group: Group) -> Iterator[tuple[Key, Task]]:
        """The members' instances, each with the check that is to be made."""
        for policy in manager.get("autoHealingPolicies", ()):
            check = check_of(self.cloud.balancers.checks.in_force(), policy["healthCheck"])
            for member in group.members.values():
                instance = self.cloud.instances.get(member.name)
                if instance and instance["id"] == member.made:
                    address = instance["networkInterfaces"][0]["networkIP"]
                    key = manager["name"], member.name, member.made
                    yield key, Task(check, address, PROBERS["INTERNAL"], doubtful=True)

    def _hear(self, manager: Resource, group: Group) -> None:
        group.health = {
            member.made: state
            for member in group.members.values()
            if (state := self._health.get((manager["name"], member.name, member.made)))
        }

    # --- a look at a group

    def _of_group(self, manager: Resource, group: Group) -> Iterator[_Job]:
        for member in list(group.members.values()):
            if member.operation and not self._has_ended(member):
                continue
            change = self._of_member(manager, group, member)
            if change:
                yield _Job(member, change, manager)
        self._roll(manager, group)

    def _has_ended(self, member: Member) -> bool:
        """Whether the last operation has; then it is known how."""
        operation = self.cloud.operations.at(member.operation)
        if operation["status"] != "DONE":
            return False
        member.operation = ""
        self._note(member, operation.get("error", {}).get("errors", []))
        return True

    def _note(self, member: Member, errors: list[Resource]) -> None:
        member.errors = errors
        member.again = time.monotonic() + RETRY_S if errors else 0.0

    def _of_member(self, manager: Resource, group: Group, member: Member) -> Change | None:
        """What has to be done now."""
        name = member.name
        if name in self.cloud.transitional or time.monotonic() < member.again:
            return None
        instance = self.cloud.instances.get(name)
        # Somebody else may have made one of this name.
        mine = instance if instance and instance["id"] in (member.made, member.coming) else None
        if member.action in (NONE, VERIFYING):
            self._check(manager, group, member, mine)
        if member.action in (NONE, VERIFYING):
            return None
        if member.action == DELETING:
            if mine:
                return self._try(member, lambda: self.cloud.machines.deletion(mine))
            del group.members[name]
            group.configs.pop(name, None)
            self.cloud.preserved.pop((manager["selfLink"], name), None)
            return None
        if mine and mine["id"] == member.coming:
            self._has_come(manager, group, member, mine)
            return None
        if member.repairs and self.cloud.behaviour.autohealing_stuck:
            return None
        if mine:
            return self._try(member, lambda: self.cloud.machines.deletion(mine))
        return self._try(member, lambda: self._insertion(manager, group, member))

    def _try(self, member: Member, make: Callable[[], Change]) -> Change | None:
        try:
            return make()
        except ApiError as refused:
            self._note(member, refused.later().of_operation["error"]["errors"])
            return None

    def _has_come(self, manager: Resource, group: Group, member: Member, instance: Resource) -> None:
        member.made, member.coming, member.since = instance["id"], "", time.monotonic()
        member.proven, member.repairs = False, False
        member.action = VERIFYING if manager.get("autoHealingPolicies") else NONE
        self._keep(manager, member, instance)
        self.cloud.balancers.groups.join(manager["instanceGroup"], instance)

    def _keep(self, manager: Resource, member: Member, instance: Resource) -> None:
        """See whether nobody else may get its address, also while it is being replaced."""
        nic, key = instance["networkInterfaces"][0], (manager["selfLink"], member.name)
        by_policy = manager.get("statefulPolicy", {}).get("preservedState", {}).get("internalIPs")
        member.kept = nic["networkIP"] if by_policy else ""
        if by_policy or member.applied.get("internalIPs"):
            self.cloud.preserved[key] = nic["network"], nic["networkIP"]
        else:
            self.cloud.preserved.pop(key, None)

    def _check(self, manager: Resource, group: Group, member: Member, instance: Resource | None) -> None:
        """Whether an instance has to be repaired."""
        lifecycle = manager["instanceLifecyclePolicy"]
        failed, unhealthy = lifecycle["defaultActionOnFailure"], lifecycle["onFailedHealthCheck"]
        if instance is None or self.cloud.status(member.name) == "TERMINATED":
            self._repair(manager, member, failed)
            return
        self._keep(manager, member, instance)
        policies = manager.get("autoHealingPolicies", [])
        state = group.health.get(member.made)
        delayed = policies and time.monotonic() < member.since + policies[0]["initialDelaySec"]
        if not policies or state == HEALTHY:
            member.action, member.proven = NONE, bool(policies)
        elif state == UNHEALTHY and (member.proven or not delayed):
            member.action = NONE
            self._repair(manager, member, failed if unhealthy == "DEFAULT_ACTION" else unhealthy)
        elif not member.proven:
            member.action = VERIFYING

    def _repair(self, manager: Resource, member: Member, action: str) -> None:
        if action == "REPAIR":
            newest = manager["instanceLifecyclePolicy"]["forceUpdateOnRepair"] == "YES"
            member.recreate(manager["instanceTemplate"] if newest else member.template, repairs=True)

    def _insertion(self, manager: Resource, group: Group, member: Member) -> Change:
        cloud, scope = self.cloud, self.cloud.relative(manager["zone"])
        template = cloud.templates.find(member.template, "instanceTemplate", "")
        state = member.applied = group.wished(member.name)
        body = {**template["properties"], "name": member.name}
        address = cloud.assignments.address(state) or member.kept
        if address:
            body["networkInterfaces"] = [{**body["networkInterfaces"][0], "networkIP": address}]
        number = cloud.project_of(manager)["id"]
        path = cloud.relative(manager["selfLink"]).split("/", 2)[2]
        of_group = {
            "instance-template": f"projects/{number}/global/instanceTemplates/{template['name']}",
            "created-by": f"projects/{number}/{path}",
        }
        body = with_metadata(body, {**state.get("metadata", {}), **of_group})
        change = cloud.machines.insertion(body, scope)
        member.coming = change.target["id"]
        return change

    def _roll(self, manager: Resource, group: Group) -> None:
        """Go on with a proactive update, as far as it leaves enough instances available."""
        policy = manager["updatePolicy"]
        if policy["type"] != "PROACTIVE":
            return
        checked = bool(manager.get("autoHealingPolicies"))
        outdated = []
        for member in group.outdated(manager["instanceTemplate"]):
            needed = max(WEIGHT[policy["minimalAction"]], self.cloud.assignments.weight(manager, group, member.name))
            if needed < WEIGHT["REPLACE"]:
                member.applied = group.wished(member.name)
            elif policy.get("mostDisruptiveAllowedAction", "REPLACE") == "REPLACE":
                outdated.append(member)
        # Those that are not available anyway come first.
        for member in sorted(outdated, key=lambda each: group.is_available(each, checked)):
            available = sum(group.is_available(each, checked) for each in group.members.values())
            lacking = manager["targetSize"] - available
            if group.is_available(member, checked) and lacking >= policy["maxUnavailable"]["fixed"]:
                return
            member.recreate(manager["instanceTemplate"])

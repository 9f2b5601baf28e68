# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Managed instance groups of a zone: what is wished for. What is done about it is in `lab.gce.healing`."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from functools import partial

from lab.gce import members, policies
from lab.gce.checks import HealthChecks
from lab.gce.collection import Scopes
from lab.gce.errors import ApiError, invalid, required
from lab.gce.groups import InstanceGroups
from lab.gce.kinds import Kind, merged, number, only, region_of, unchanged
from lab.gce.members import CREATING, DELETING, Group, Member
from lab.gce.names import HOST
from lab.gce.operations import Change
from lab.gce.projects import Projects
from lab.gce.resources import Resource
from lab.gce.templates import Templates

_GONE_S = 600.0  # how long a group may take to delete its instances
_ALPHABET = "bcdfghjklmnpqrstvwxz0123456789"
_HEALING = ("healthCheck", "initialDelaySec")


class Managers(Kind):
    """``groups``: by the URL of the manager. ``wake`` lets the one who does the work look again."""

    collection = "instanceGroupManagers"
    kind = "instanceGroupManager"
    title = "instance_group_manager"
    fields = frozenset(
        {"name", "description", "baseInstanceName", "instanceTemplate", "versions", "targetSize"}
        | {"autoHealingPolicies", "updatePolicy", "instanceLifecyclePolicy", "statefulPolicy"}
    )
    fingerprinted = "optional"

    def __init__(
        self,
        projects: Projects,
        scopes: Scopes,
        templates: Templates,
        checks: HealthChecks,
        instance_groups: InstanceGroups,
    ) -> None:
        super().__init__(projects, scopes)
        self.templates = templates
        self.checks = checks
        self.instance_groups = instance_groups
        self.groups: dict[str, Group] = {}
        self.wake: Callable[[], None] = lambda: None

    def content(self, body: Resource, scope: str, old: Resource | None) -> Resource:
        """See `Kind`."""
        project, _, zone = scope.partition("/zones/")
        template = self.templates.find(self._template(body), "resource.instanceTemplate", project)["selfLink"]
        base = body.get("baseInstanceName") or body["name"][:58]
        if len(base) > 58:
            raise invalid("resource.baseInstanceName", base, "Must have at most 58 characters.")
        manager: Resource = {
            "name": body["name"],
            "description": body.get("description", ""),
            "baseInstanceName": base,
            "instanceTemplate": template,
            "versions": [{**_version(body), "instanceTemplate": template}],
            "targetSize": number(body, "targetSize", 0, 0, 1000),
            "instanceGroup": f"{HOST}{scope}/instanceGroups/{body['name']}",
            "updatePolicy": policies.update_policy(body.get("updatePolicy") or {}),
            "instanceLifecyclePolicy": policies.lifecycle(body.get("instanceLifecyclePolicy") or {}),
        }
        healing = body.get("autoHealingPolicies") or []
        if len(healing) > 1:
            raise invalid("resource.autoHealingPolicies", "", "At most one policy can be specified.")
        if healing and healing[0].get("healthCheck"):
            manager["autoHealingPolicies"] = [self._healing(healing[0], project, zone.rpartition("-")[0])]
        if body.get("statefulPolicy"):
            manager["statefulPolicy"] = policies.stateful_policy(body["statefulPolicy"])
        unchanged(old, manager, "baseInstanceName")
        return manager

    def view(self, resource: Resource) -> Resource:
        """See `Kind`."""
        return {**resource, **members.view(resource, self.group(resource))}

    def users(self, resource: Resource) -> list[str]:
        """See `Kind`: the services that its instance group is a backend of."""
        return self.instance_groups.services(resource["instanceGroup"])

    def needs(self, body: Resource, scope: str, old: Resource | None) -> Iterator[tuple[str, str]]:
        """See `Kind`."""
        if body.get("instanceTemplate") or body.get("versions"):
            yield self._template(body), "compute.instanceTemplates.useReadOnly"
        for each in body.get("autoHealingPolicies") or ():
            url = each.get("healthCheck") or ""
            regional = "/regions/" in f"/{url}"
            yield url, f"compute.{'regionHealthChecks' if regional else 'healthChecks'}.useReadOnly"

    def group(self, manager: Resource) -> Group:
        """What it has in mind of its instances; nothing while it is on its way in."""
        return self.groups.get(manager["selfLink"], Group())

    def using(self, template: str) -> list[str]:
        """The URLs of the managers that make instances after a template, or have one that was."""
        return [
            each["selfLink"]
            for each in self.all()
            if template == each["instanceTemplate"]
            or template in (member.template for member in self.group(each).members.values())
        ]

    def listed(self, manager: Resource) -> list[Resource]:
        """As listManagedInstances answers."""
        checks = [each["healthCheck"] for each in manager.get("autoHealingPolicies", ())]
        return members.listed(self.projects, manager, self.group(manager), checks)

    # --- changes

    def insertion(self, body: Resource, scope: str) -> Change:
        """See `Kind`. Its instance group comes with it."""
        with self.projects.lock:
            size = body.get("targetSize")
            if size is None:
                raise required("resource.targetSize")
            change = super().insertion(body, scope)
            try:
                template = self.templates.find(change.target["instanceTemplate"], "", "")
                nic = template["properties"]["networkInterfaces"][0]
                group = self.instance_groups.managed(change.target, scope, nic)
            except ApiError:
                change.abandon()
                raise

            def effect() -> list[Resource] | None:
                said = change.effect()
                group.effect()
                self.groups[change.target["selfLink"]] = Group()
                self.adjust(change.target)
                return said

            def abandon() -> None:
                change.abandon()
                group.abandon()

            return change._replace(effect=effect, abandon=abandon)

    def deletion(self, scope: str, key: str) -> Change:
        """See `Kind`. It ends when the instances are gone."""
        change = super().deletion(scope, key)
        manager = change.target
        group = self.groups[manager["selfLink"]]

        def work() -> None:
            with self.projects.lock:
                for each in group.members.values():
                    each.act(DELETING)
            self.wake()
            end = time.monotonic() + _GONE_S
            while group.members:
                if time.monotonic() > end:
                    raise ApiError(500, "internalError", "The instances of the group are still there.")
                time.sleep(0.02)

        def effect() -> list[Resource] | None:
            del self.groups[manager["selfLink"]]
            del self.instance_groups.within(scope)[manager["name"]]
            return change.effect()

        return change._replace(effect=effect, work=work)

    def patch(self, scope: str, key: str, body: Resource) -> Change:
        """See `Kind`. A template takes the place of versions, and the other way round."""

        def amend(old: Resource) -> Resource:
            kept = self._given(old)
            if body.get("instanceTemplate") or body.get("versions"):
                kept = {name: value for name, value in kept.items() if name not in ("instanceTemplate", "versions")}
            return merged(kept, body)

        return self._adjusting(self.change("patch", scope, key, body, amend))

    def set_template(self, scope: str, key: str, body: Resource) -> Change:
        """The change of the template; instances stay as they are, unless the update policy is to change them."""
        if not body.get("instanceTemplate"):
            raise required("resource.instanceTemplate")

        def amend(old: Resource) -> Resource:
            return {**self._given(old), "instanceTemplate": body["instanceTemplate"], "versions": None}

        return self._adjusting(self.change("setInstanceTemplate", scope, key, {}, amend))

    def resize(self, scope: str, key: str, size: int) -> Change:
        """The change of the number of instances."""
        if not 0 <= size <= 1000:
            raise invalid("size", size, "Must be from 0 to 1000.")

        def amend(old: Resource) -> Resource:
            return {**self._given(old), "targetSize": size}

        return self._adjusting(self.change("resize", scope, key, {}, amend))

    def sized(self, manager: Resource, more: int) -> None:
        """Put the same with so many instances more in its place."""
        path = self.projects.relative(manager["selfLink"]).rpartition("/")[0]
        there = self.scopes[path]
        now = there[manager["name"]]
        there[manager["name"]] = self.replaced(now, {**now, "targetSize": now["targetSize"] + more})

    def adjust(self, manager: Resource) -> None:
        """Have as many members as it wants: the newest ones go first."""
        group, wanted = self.groups[manager["selfLink"]], manager["targetSize"]
        staying = [each for each in group.members.values() if each.action != DELETING]
        for member in staying[wanted:]:
            member.act(DELETING)
        for _each in range(wanted - len(staying)):
            name = self._free_name(manager, group)
            group.members[name] = Member(name, manager["instanceTemplate"], CREATING)
        self.wake()

    # --- parts

    def _adjusting(self, change: Change) -> Change:
        def effect() -> list[Resource] | None:
            said = change.effect()
            self.adjust(self.find(change.target["selfLink"], "", ""))
            return said

        return change._replace(effect=effect)

    def _free_name(self, manager: Resource, group: Group) -> str:
        taken = {*group.members, *self.projects.all_instances}
        names = iter(partial(_name, manager["baseInstanceName"]), "")
        return next(name for name in names if name not in taken)

    def _template(self, body: Resource) -> str:
        versions = body.get("versions") or []
        if len(versions) > 1 or any(each.get("targetSize") for each in versions):
            raise ApiError(501, "notImplemented", "This lab has no managed group with several versions.")
        url = versions[0].get("instanceTemplate") if versions else body.get("instanceTemplate")
        if not url:
            raise required("resource.instanceTemplate")
        return str(url)

    def _healing(self, given: Resource, project: str, region: str) -> Resource:
        only(given, _HEALING, "autoHealingPolicies")
        field = "resource.autoHealingPolicies[0].healthCheck"
        check = self.checks.find(given["healthCheck"], field, project)
        if region_of(check) not in ("", f"{HOST}{project}/regions/{region}"):
            raise invalid(field, given["healthCheck"], f"It is neither global nor in the region {region}.")
        delay = number(given, "initialDelaySec", 0, 0, 3600, "resource.autoHealingPolicies[0]")
        return {"healthCheck": check["selfLink"], "initialDelaySec": delay}


def _name(base: str) -> str:
    return f"{base}-{''.join(secrets.choice(_ALPHABET) for _each in range(4))}"


def _version(body: Resource) -> Resource:
    versions = body.get("versions") or [{}]
    return {"name": versions[0]["name"]} if versions[0].get("name") else {}

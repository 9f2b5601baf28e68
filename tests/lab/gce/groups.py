# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Instance groups of a zone: unmanaged ones, and those that belong to a managed group."""

from __future__ import annotations

import re
from collections.abc import Callable

from lab.gce.errors import ApiError, invalid, required
from lab.gce.kinds import Kind, check_fingerprint, number
from lab.gce.names import HOST, NAME
from lab.gce.operations import Change
from lab.gce.projects import MALFORMED
from lab.gce.resources import Resource

# Of a stored group, and in no answer: the URLs of its instances, and that of its manager if it has one.
_MEMBERS, _MANAGER = "instances", "manager"


class InstanceGroups(Kind):
    """The first member decides which network a group is on, unless the request that made it did."""

    collection = "instanceGroups"
    kind = "instanceGroup"
    title = "instance_group"
    fields = frozenset({"name", "description", "namedPorts", "network"})
    fingerprinted = "optional"

    def content(self, body: Resource, scope: str, old: Resource | None) -> Resource:
        """See `Kind`."""
        group: Resource = {"name": body["name"], "description": body.get("description", ""), _MEMBERS: ()}
        if body.get("namedPorts"):
            group["namedPorts"] = _named(body["namedPorts"])
        if body.get("network"):
            project = scope.partition("/zones/")[0]
            name = self.projects.network(body["network"], project, shared=True)
            group["network"] = self.projects.networks[name]["selfLink"]
        return group

    def view(self, resource: Resource) -> Resource:
        """See `Kind`."""
        shown = {name: value for name, value in resource.items() if name not in (_MEMBERS, _MANAGER)}
        return {**shown, "size": len(resource[_MEMBERS])}

    def users(self, resource: Resource) -> list[str]:
        """See `Kind`."""
        return [*([resource[_MANAGER]] if _MANAGER in resource else []), *self.services(resource["selfLink"])]

    def quota(self, resource: Resource) -> str:
        """See `Kind`."""
        return "INSTANCE_GROUPS"

    def members(self, url: str) -> tuple[str, ...]:
        """The names of the instances of the group at a URL."""
        return tuple(each.rpartition("/")[2] for each in self._urls(url))

    def check_alone(self, backends: list[Resource], new: Resource | None = None) -> None:
        """Refuse backends of one service that have an instance in common. ``new``: what one of the groups becomes."""
        seen: set[str] = set()
        for backend in backends:
            for instance in self._urls(backend["group"], new):
                if instance in seen:
                    raise in_two_groups(self.projects.relative(instance))
                seen.add(instance)

    def check_only(self, url: str) -> None:
        """Refuse a group with an instance that is in another group which is a backend, of whichever service."""
        backends = [each for service in self.scopes.everywhere("backendServices") for each in service["backends"]]
        others = {backend["group"] for backend in backends} - {url}
        for instance in self._urls(url):
            if any(instance in self._urls(other) for other in others):
                raise in_two_groups(self.projects.relative(instance))

    def _urls(self, url: str, new: Resource | None = None) -> tuple[str, ...]:
        """The URLs of the instances of the group at a URL."""
        if new is not None and new["selfLink"] == url:
            return tuple(new[_MEMBERS])
        return next((tuple(each[_MEMBERS]) for each in self.all() if each["selfLink"] == url), ())

    def listed(self, group: Resource, running: bool) -> list[Resource]:
        """As listInstances answers; ``running``: without those that are not."""
        ports = {"namedPorts": group["namedPorts"]} if "namedPorts" in group else {}
        members = [(url, self.projects.status(url.rpartition("/")[2])) for url in group[_MEMBERS]]
        shown = [each for each in members if not running or each[1] == "RUNNING"]
        return [{"instance": url, "status": status, **ports} for url, status in shown]

    # --- changes

    def forget(self, instance: str) -> None:
        """Take the instance at a URL out of every group: there is none any more."""
        for collection in self.scopes.named(self.collection):
            for name, group in list(collection.items()):
                if instance in group[_MEMBERS]:
                    collection[name] = {**group, _MEMBERS: tuple(each for each in group[_MEMBERS] if each != instance)}

    def join(self, url: str, instance: Resource) -> None:
        """Put an instance into the group at a URL, if it is not in it."""
        for collection in self.scopes.named(self.collection):
            for name, group in list(collection.items()):
                if group["selfLink"] == url and instance["selfLink"] not in group[_MEMBERS]:
                    group = self._on_network(group, instance, "")
                    collection[name] = {**group, _MEMBERS: (*group[_MEMBERS], instance["selfLink"])}

    def managed(self, manager: Resource, scope: str, interface: Resource) -> Change:
        """The change that makes the group of a manager, whose instances have such an interface."""
        text = f"This instance group is controlled by Instance Group Manager '{manager['name']}'."
        change = self.insertion({"name": manager["name"], "description": text}, scope)
        change.target.update({name: interface[name] for name in ("network", "subnetwork")})
        change.target[_MANAGER] = manager["selfLink"]
        return change

    def add(self, scope: str, key: str, body: Resource) -> Change:
        """The change that puts instances into a group: all of them or none."""

        def build(group: Resource) -> Resource:
            members = list(group[_MEMBERS])
            for n, path in enumerate(self._paths(scope, body)):
                instance = self.projects.find_instance(scope.partition("/zones/")[0], *path.split("/")[3:6:2])
                if instance["selfLink"] in members:
                    message = f"Resource '{path}' is already a member of '{self.projects.relative(group['selfLink'])}'."
                    raise ApiError(400, "memberAlreadyExists", message)
                group = self._on_network(group, instance, f"resource.instances[{n}]")
                members.append(instance["selfLink"])
            new = {**group, _MEMBERS: tuple(members)}
            for service in self._services(group["selfLink"]):
                self.check_alone(service["backends"], new)
            return new

        return self._change("addInstances", scope, key, build)

    def remove(self, scope: str, key: str, body: Resource) -> Change:
        """The change that takes instances out of a group: all of them or none."""

        def build(group: Resource) -> Resource:
            members = list(group[_MEMBERS])
            for path in self._paths(scope, body):
                if HOST + path not in members:
                    message = f"Resource '{path}' is not a member of '{self.projects.relative(group['selfLink'])}'."
                    raise ApiError(400, "memberNotFound", message)
                members.remove(HOST + path)
            return {**group, _MEMBERS: tuple(members)}

        return self._change("removeInstances", scope, key, build)

    def name_ports(self, scope: str, key: str, body: Resource) -> Change:
        """The change of the named ports, which is what the fingerprint is of."""

        def build(group: Resource) -> Resource:
            check_fingerprint(body, group, "fingerprint", needed=False)
            ports = _named(body.get("namedPorts") or [])
            rest = {name: value for name, value in group.items() if name != "namedPorts"}
            return self.replaced(rest, {**rest, **({"namedPorts": ports} if ports else {})})

        return self._change("setNamedPorts", scope, key, build)

    def _change(self, kind: str, scope: str, key: str, build: Callable[[Resource], Resource]) -> Change:
        with self.projects.lock:
            group = self.within(scope).find(key)
            if _MANAGER in group:
                manager = self.projects.relative(group[_MANAGER])
                raise ApiError(400, "invalid", f"The instance group is controlled by '{manager}'.")
            return self.within(scope).alteration(f"compute.instanceGroups.{kind}", key, build)

    def _paths(self, scope: str, body: Resource) -> list[str]:
        """Where the instances are that a body names."""
        if not body.get("instances"):
            raise required("resource.instances")
        paths = []
        for n, each in enumerate(body["instances"]):
            path = self.projects.relative(each.get("instance", ""), scope.partition("/zones/")[0])
            if not re.fullmatch(r"projects/[^/]+/zones/[^/]+/instances/[^/]+", path):
                raise invalid(f"resource.instances[{n}].instance", each.get("instance", ""), MALFORMED)
            if not path.startswith(f"{scope}/"):
                raise invalid(f"resource.instances[{n}].instance", path, f"It is not in {scope}.")
            paths.append(path)
        return paths

    def _on_network(self, group: Resource, instance: Resource, field: str) -> Resource:
        """The group with the instance's network, if it had none; refuses an instance of another one."""
        interface = instance["networkInterfaces"][0]
        where = {name: interface[name] for name in ("network", "subnetwork")}
        for name, url in where.items():
            if group.get(name, url) != url:
                path = self.projects.relative(instance["selfLink"])
                other = self.projects.relative(group[name])
                raise invalid(field, path, f"All instances of the group must be in the {name} '{other}'.")
        return {**group, **where}

    def services(self, url: str) -> list[str]:
        """The URLs of the backend services that the group at a URL is a backend of."""
        return [each["selfLink"] for each in self._services(url)]

    def _services(self, url: str) -> list[Resource]:
        """The backend services that the group at a URL is a backend of."""
        services = self.scopes.everywhere("backendServices")
        return [each for each in services if url in (backend["group"] for backend in each["backends"])]


def in_two_groups(path: str) -> ApiError:
    """An instance would be in two groups that get its packets."""
    text = f"Validation failed for instance '{path}': instance may belong to at most one load-balanced instance group."
    return ApiError(400, "instanceInMultipleLoadBalancedIgs", text)


def _named(ports: list[Resource]) -> list[Resource]:
    for n, each in enumerate(ports):
        if not NAME.fullmatch(str(each.get("name", ""))):
            raise invalid(f"resource.namedPorts[{n}].name", each.get("name", ""), f"Must match '{NAME.pattern}'")
        number(each, "port", 0, 1, 65535, f"resource.namedPorts[{n}]")
    return [{"name": each["name"], "port": int(each["port"])} for each in ports]

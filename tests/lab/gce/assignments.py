# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What requests want done with the members of a managed group. Their operations end before it is done."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Address

from lab.gce.addresses import Addresses
from lab.gce.errors import ApiError, invalid, required
from lab.gce.kinds import check_fingerprint, merged, one_of, only
from lab.gce.managers import Managers
from lab.gce.members import CREATING, DELETING, NONE, VERIFYING, Group, Member
from lab.gce.names import NAME, fingerprint
from lab.gce.operations import Change
from lab.gce.policies import AUTO_DELETE
from lab.gce.resources import Resource

# How disruptive an action is.
WEIGHT = {"NONE": 0, "REFRESH": 1, "RESTART": 2, "REPLACE": 3}
_MOST = 1000


class Assignments:
    """``managers``: of the groups; ``addresses``: where a preserved address may be reserved."""

    def __init__(self, managers: Managers, addresses: Addresses) -> None:
        self.managers = managers
        self.addresses = addresses

    # --- instances

    def create(self, scope: str, key: str, body: Resource) -> Change:
        """The change that makes instances with these names and preserved states."""
        manager, group = self._find(scope, key)
        wanted = [self._config(n, each, scope) for n, each in enumerate(body.get("instances") or ())]
        if not wanted:
            raise required("resource.instances")

        def check() -> None:
            for each in wanted:
                if each["name"] in group.members or each["name"] in self.managers.projects.all_instances:
                    path = f"{scope}/instances/{each['name']}"
                    raise ApiError(409, "alreadyExists", f"The resource '{path}' already exists")

        def effect() -> None:
            check()
            for each in wanted:
                name = each["name"]
                group.members[name] = Member(name, self._now(manager)["instanceTemplate"], CREATING)
                if each["preservedState"]:
                    group.configs[name] = each
            self.managers.sized(manager, len(wanted))

        check()
        return self._change("createInstances", manager, effect)

    def delete(self, scope: str, key: str, body: Resource) -> Change:
        """The change that deletes instances, which makes the group smaller."""
        manager, group = self._find(scope, key)
        skip = body.get("skipInstancesOnValidationError", False)
        names = self._members(scope, group, body.get("instances"), skip)

        def effect() -> None:
            going = [group.members[name] for name in names if name in group.members]
            going = [each for each in going if each.action != DELETING]
            for each in going:
                each.act(DELETING)
            self.managers.sized(manager, -len(going))

        return self._change("deleteInstances", manager, effect)

    def recreate(self, scope: str, key: str, body: Resource) -> Change:
        """The change that replaces instances: each by another one of its name."""
        manager, group = self._find(scope, key)
        names = self._members(scope, group, body.get("instances"))

        def effect() -> None:
            for name in names:
                if name in group.members and group.members[name].action != DELETING:
                    group.members[name].recreate(self._now(manager)["instanceTemplate"])

        return self._change("recreateInstances", manager, effect)

    def apply(self, scope: str, key: str, body: Resource) -> Change:
        """The change that makes instances as the group wants them."""
        manager, group = self._find(scope, key)
        if body.get("allInstances") and body.get("instances"):
            raise invalid("resource.allInstances", True, "The instances may not be specified with it.")
        names = list(group.members) if body.get("allInstances") else self._members(scope, group, body.get("instances"))
        least, most = (
            WEIGHT[one_of(body, name, default, tuple(WEIGHT))]
            for name, default in (("minimalAction", "NONE"), ("mostDisruptiveAllowedAction", "REPLACE"))
        )
        if least == WEIGHT["RESTART"]:
            raise ApiError(501, "notImplemented", "This lab restarts no instances of a managed group.")
        for name in names:
            if self.weight(manager, group, name) > most:
                why = f"The update of '{name}' needs a more disruptive action."
                raise invalid("resource.mostDisruptiveAllowedAction", body["mostDisruptiveAllowedAction"], why)

        def effect() -> None:
            for name in names:
                member = group.members.get(name)
                if not member or member.action not in (NONE, VERIFYING):
                    continue
                if max(least, self.weight(manager, group, name)) == WEIGHT["REPLACE"]:
                    member.recreate(self._now(manager)["instanceTemplate"])
                else:
                    member.applied = group.wished(name)

        return self._change("applyUpdatesToInstances", manager, effect)

    def weight(self, manager: Resource, group: Group, name: str) -> int:
        """How disruptive it is to make an instance as the group wants it."""
        member, state = group.members[name], group.wished(name)
        if member.template != self._now(manager)["instanceTemplate"]:
            return WEIGHT["REPLACE"]
        if member.applied == state:
            return WEIGHT["NONE"]
        there = self.managers.projects.all_instances.get(name)
        address = self.address(state)
        other = there and address and there["networkInterfaces"][0]["networkIP"] != address
        same = state.get("metadata") == member.applied.get("metadata")
        return WEIGHT["REPLACE"] if other or not same else WEIGHT["REFRESH"]

    # --- configurations of single instances

    def configure(self, scope: str, key: str, body: Resource, patches: bool) -> Change:
        """The change of what is wished of instances; ``patches``: what is not said stays."""
        manager, group = self._find(scope, key)
        given = body.get("perInstanceConfigs") or []
        if not given:
            raise required("resource.perInstanceConfigs")

        def build() -> list[Resource]:
            new = []
            for n, each in enumerate(given):
                name = each.get("name", "")
                if name not in group.members:
                    raise invalid(f"resource.perInstanceConfigs[{n}].name", name, "It is not a member of the group.")
                old = group.configs.get(name)
                if old:
                    check_fingerprint(each, old, "fingerprint", needed=False)
                whole = merged(old, each) if patches and old else each
                new.append(self._config(n, whole, scope, "perInstanceConfigs"))
            return new

        def effect() -> None:
            group.configs.update({each["name"]: each for each in build()})

        build()
        return self._change("updatePerInstanceConfigs", manager, effect)

    def unconfigure(self, scope: str, key: str, body: Resource) -> Change:
        """The change that wishes no more of instances than the group does."""
        manager, group = self._find(scope, key)
        names = body.get("names") or []
        if not names:
            raise required("resource.names")
        for n, name in enumerate(names):
            if name not in group.configs:
                raise invalid(f"resource.names[{n}]", name, "It has no per-instance configuration.")

        def effect() -> None:
            for name in names:
                group.configs.pop(name, None)

        return self._change("deletePerInstanceConfigs", manager, effect)

    def configs(self, scope: str, key: str) -> list[Resource]:
        """As listPerInstanceConfigs answers."""
        _manager, group = self._find(scope, key)
        return group.all_configs()

    def address(self, state: Resource) -> str:
        """The address that a preserved state says; "" for none."""
        where = state.get("internalIPs", {}).get("nic0", {}).get("ipAddress", {})
        if where.get("address"):
            return str(self.addresses.find(where["address"], "", "")["address"])
        return str(where.get("literal", ""))

    # --- parts

    def _find(self, scope: str, key: str) -> tuple[Resource, Group]:
        manager = self.managers.within(scope).ready(key)
        return manager, self.managers.groups[manager["selfLink"]]

    def _now(self, manager: Resource) -> Resource:
        """The manager as it is now."""
        return self.managers.find(manager["selfLink"], "", "")

    def _change(self, kind: str, manager: Resource, work: Callable[[], None]) -> Change:
        def effect() -> None:
            if manager["selfLink"] in self.managers.groups:
                work()
                self.managers.wake()

        return Change(f"compute.instanceGroupManagers.{kind}", manager, effect)

    def _members(self, scope: str, group: Group, urls: list[str] | None, skip: bool = False) -> list[str]:
        """The names of the members at URLs; ``skip``: without the others."""
        if not urls:
            raise required("resource.instances")
        if len(urls) > _MOST:
            raise invalid("resource.instances", len(urls), f"At most {_MOST} instances can be specified.")
        names = []
        for n, url in enumerate(urls):
            path = self.managers.projects.relative(url, scope.partition("/zones/")[0])
            name = path.rpartition("/")[2]
            if path == f"{scope}/instances/{name}" and name in group.members:
                names.append(name)
            elif not skip:
                raise invalid(f"resource.instances[{n}]", url, "It is not a member of the group.")
        return names

    def _config(self, n: int, given: Resource, scope: str, where: str = "instances") -> Resource:
        """A configuration as it is stored."""
        field, name = f"resource.{where}[{n}]", given.get("name", "")
        if not NAME.fullmatch(name):
            raise invalid(f"{field}.name", name, f"Must be a match of regex '{NAME.pattern}'")
        state = given.get("preservedState") or {}
        only(state, ("internalIPs", "metadata"), "preservedState")
        stored: Resource = {"metadata": state["metadata"]} if state.get("metadata") else {}
        if state.get("internalIPs"):
            at = f"{field}.preservedState.internalIPs"
            stored["internalIPs"] = {"nic0": self._preserved(state["internalIPs"], at, scope)}
        return {"name": name, "preservedState": stored, "fingerprint": fingerprint()}

    def _preserved(self, given: Resource, where: str, scope: str) -> Resource:
        """The address of the only interface."""
        if list(given) != ["nic0"]:
            raise invalid(where, ", ".join(given), "There is no such interface.")
        nic, where = given["nic0"], f"{where}['nic0']"
        told = nic.get("ipAddress") or {}
        if bool(told.get("literal")) == bool(told.get("address")):
            raise invalid(f"{where}.ipAddress", "", "Exactly one of address and literal must be specified.")
        kept: Resource = {"autoDelete": one_of(nic, "autoDelete", AUTO_DELETE[0], AUTO_DELETE, where)}
        if told.get("address"):
            found = self.addresses.find(told["address"], f"{where}.ipAddress.address", scope.partition("/zones/")[0])
            if found["addressType"] != "INTERNAL":
                raise invalid(f"{where}.ipAddress.address", told["address"], "It is not an internal address.")
            return {**kept, "ipAddress": {"address": found["selfLink"]}}
        if not _is_address(told["literal"]):
            raise invalid(f"{where}.ipAddress.literal", told["literal"], "Must be an IPv4 address.")
        return {**kept, "ipAddress": {"literal": told["literal"]}}


def _is_address(text: str) -> bool:
    try:
        IPv4Address(text)
    except ValueError:
        return False
    return True

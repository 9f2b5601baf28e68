# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Looks at an autohealing group: what there is, and what belongs to it. Facts, no decision."""

from __future__ import annotations

from typing import NamedTuple

from ..base.errors import Invalid, NotFound, PlaceDown
from ..clouds.gce_names import last_part, normalise, project_of
from .facts import Facts
from .gcp_checks import check_kind
from .group_fields import differences, read_properties
from .group_goal import HASH_LENGTH, MARK
from .group_state import describe

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any, Protocol

    from .facts import Question
    from .group_goal import GroupGoal

    Resource = dict[str, Any]
else:
    Protocol = object

MAKING = ("CREATING", "CREATING_WITHOUT_RETRIES", "RECREATING")
DELETING = "DELETING"
NONE, RUNNING, HEALTHY, UNKNOWN = "NONE", "RUNNING", "HEALTHY", "UNKNOWN"
# Of what is kept of an instance: its internal address on the first interface.
NIC = "nic0"
# The configuration of an instance is not yet what the instance is like.
UNAPPLIED = "UNAPPLIED"


class ManagedApi(Protocol):
    """The verbs that this procedure needs of a client. Errors are those of base/errors.py; all is named by its path."""

    project: str

    def get(self, path: str) -> Resource: ...

    def list_all(self, path: str) -> list[Resource]: ...

    def list_managers(self) -> tuple[list[Resource], list[str]]:
        """The project's managed groups, and the zones that did not answer."""

    def list_templates(self, pattern: str) -> list[Resource]: ...

    def list_managed(self, group: str) -> list[Resource]: ...

    def list_configs(self, group: str) -> list[Resource]: ...

    def get_instance(self, path: str) -> Resource: ...

    def list_instances(self) -> tuple[list[Resource], list[str]]:
        """All instances of the project, and the zones that did not answer."""

    def get_subnetwork(self, path: str) -> Resource: ...

    def test_permissions(self, path: str, permissions: list[str]) -> set[str]: ...

    def project_permissions(self, project: str, permissions: Sequence[str]) -> set[str]: ...

    def insert(self, path: str, body: Resource, request_id: str) -> None:
        """Returns when it is done, as the others do."""

    def patch(self, path: str, body: Resource, request_id: str) -> None: ...

    def delete(self, path: str, request_id: str) -> None: ...

    def create_instance(self, group: str, config: Resource, request_id: str) -> None:
        """Returns when the group has noted it, as those that follow do; it then works on."""

    def set_config(self, group: str, config: Resource, request_id: str) -> None: ...

    def replace_instance(self, group: str, instance: str, request_id: str) -> None:
        """Nothing happens to one that is as it should be, or that the group is at work with."""

    def recreate_instance(self, group: str, instance: str, request_id: str) -> None: ...

    def delete_instance(self, group: str, instance: str, request_id: str) -> None: ...


class Managed(NamedTuple):
    """An instance of the group, as the group tells it.

    action: what the group does with it, NONE if nothing. status: of the machine, "" while there is none. health: by
    the probes. template: the path of the one that it is made of. errors: of the last attempt to make it, code and text.
    """

    name: str
    action: str = NONE
    status: str = ""
    health: str = UNKNOWN
    template: str = ""
    errors: tuple[tuple[str, str], ...] = ()

    @property
    def is_on_its_way(self) -> bool:
        """Whether the group makes it, or tries to."""
        return not self.status or self.action in MAKING

    @property
    def is_serving(self) -> bool:
        return (self.action, self.status, self.health) == (NONE, RUNNING, HEALTHY)

    def __str__(self) -> str:
        words = [self.status or "not there yet", f"health {self.health}"]
        return f"{self.name} ({', '.join([*words, *([self.action] if self.action != NONE else [])])})"


def managed_of(found: Resource) -> Managed:
    """From the API's words."""
    health = {str(each.get("detailedHealthState") or UNKNOWN) for each in found.get("instanceHealth") or ()}
    # Of several health checks, the worst counts.
    worst = next((each for each in sorted(health) if each != HEALTHY), HEALTHY if health else UNKNOWN)
    attempt = ((found.get("lastAttempt") or {}).get("errors") or {}).get("errors") or ()
    return Managed(
        str(found.get("name") or last_part(found.get("instance"))),
        str(found.get("currentAction") or NONE),
        str(found.get("instanceStatus") or ""),
        worst,
        normalise((found.get("version") or {}).get("instanceTemplate")),
        tuple((str(each.get("code") or ""), str(each.get("message") or "")) for each in attempt),
    )


class Observed(Facts):
    """What there is.

    | field     | type      | meaning                                                                           |
    |-----------|-----------|-----------------------------------------------------------------------------------|
    | goal      | GroupGoal | the group that it was looked for                                                  |
    | resources | dict      | by their paths: the project's managed groups; all addresses of the region; of     |
    |           |           | templates, health checks and firewall rules the group's own                       |
    | managed   | dict      | by name, the group's instances: Managed                                           |
    | configs   | dict      | by name, what is kept of instances                                                |
    | silent    | tuple     | zones that did not answer                                                         |
    """

    goal: GroupGoal
    resources: Mapping[str, Resource]
    managed: Mapping[str, Managed]
    configs: Mapping[str, Resource]
    silent: tuple[str, ...]

    def __init__(
        self,
        goal: GroupGoal,
        resources: Mapping[str, Resource] | None = None,
        managed: Mapping[str, Managed] | None = None,
        configs: Mapping[str, Resource] | None = None,
        silent: tuple[str, ...] = (),
        answers: Mapping[Question, Any] | None = None,
    ) -> None:
        super().__init__(
            goal=goal,
            resources=resources or {},
            managed=managed or {},
            configs=configs or {},
            silent=silent,
            answers=answers or {},
        )

    def but(self, **facts: Any) -> Observed:
        """The same with other facts."""
        names = ("goal", "resources", "managed", "configs", "silent", "answers")
        return Observed(**{**{name: getattr(self, name) for name in names}, **facts})

    # --- facts that few goals need: each raises Unread until somebody has read it, and what its request raised

    def instance(self, path: str) -> Resource:
        return self.answer("get_instance", path)

    def subnet(self) -> Resource:
        """The subnetwork itself."""
        return self.answer("get_subnetwork", self.subnetwork)

    # --- what follows

    def collection(self, name: str) -> list[tuple[str, Resource]]:
        """The resources of a kind, such as addresses, with their paths; in a fixed order."""
        return sorted((path, body) for path, body in self.resources.items() if path.split("/")[-2] == name)

    def _owner(self, path: str) -> str:
        return str((self.resources.get(path) or {}).get("description") or "")

    def is_mine(self, path: str) -> bool:
        """Whether it was made for this group, or for groups of its name."""
        return self._owner(path) in (self.goal.mark, self.goal.shared_mark)

    def is_anothers(self, path: str) -> bool:
        """Whether it was made for another group."""
        return self._owner(path).startswith(MARK) and not self.is_mine(path)

    @property
    def group(self) -> Resource | None:
        return self.resources.get(self.goal.path)

    @property
    def template_paths(self) -> list[str]:
        """Of the templates that the group makes new instances of. Others may have given it several."""
        return _templates_of(self.group or {})

    @property
    def template_path(self) -> str:
        """Of the last of them; "" without a group."""
        return next(reversed(self.template_paths), "")

    @property
    def properties(self) -> Resource:
        """Of that template; {} if there is none."""
        return (self.resources.get(self.template_path) or {}).get("properties") or {}

    @property
    def made_of(self) -> Resource:
        """The same, as the options have them."""
        return read_properties(self.properties, self.goal.project)

    @property
    def changed_options(self) -> list[str]:
        """The options for the template that ask for something else."""
        return differences(self.made_of, self.goal.template)

    @property
    def policy(self) -> Resource:
        """When instances are repaired."""
        return ((self.group or {}).get("autoHealingPolicies") or [{}])[0]

    @property
    def present_check(self) -> str | None:
        """The path of the health check in use, whoever made it; without a group, of one that was made for it."""
        used = self.policy.get("healthCheck")
        if used:
            return normalise(used)
        found = (path for path in self.goal.check_paths() if path in self.resources and self.is_mine(path))
        return None if self.group else next(found, None)

    @property
    def check_path(self) -> str:
        """Of the health check as it is wanted. The type of one cannot be changed: then it is another one."""
        present = self.present_check
        kind = check_kind(self.goal.check_kind, self.resources.get(present or ""))
        for path in self.goal.check_paths(kind):
            found = self.resources.get(path)
            if present and (self.resources.get(present) or {}).get("type", kind) == kind:
                return present
            if found is None or (self.is_mine(path) and found.get("type") == kind):
                return path
        return path

    @property
    def subnetwork(self) -> str | None:
        """The path of the subnetwork of the instances."""
        return self.goal.template.get("subnetwork") or self.made_of["subnetwork"] or None

    @property
    def network(self) -> str | None:
        """The path of the network. Raises Unread if only the subnetwork tells it."""
        wanted = self.goal.template
        found = wanted.get("network") or ("" if wanted.get("subnetwork") else self.made_of["network"])
        if not found and self.subnetwork:
            found = normalise(self.subnet().get("network"))
        return found or None

    @property
    def firewall_path(self) -> str:
        """Of the rule for the probes: in the project that has the network, which may be a shared one."""
        where = self.goal.template.get("network") or self.subnetwork or self.made_of["network"]
        return f"projects/{project_of(where or '') or self.goal.project}/global/firewalls/{self.goal.name}-probes"

    @property
    def initial_delay(self) -> int | None:
        """As it is wanted, or as it is."""
        wanted = self.goal.initial_delay_s
        return (self.policy.get("initialDelaySec") or 0) if wanted is None and self.policy else wanted

    def kept_address(self, name: str) -> Any:
        """What is kept of an instance's address: the path of a reservation, an address, or None."""
        state = (self.configs.get(name) or {}).get("preservedState") or {}
        kept = ((state.get("internalIPs") or {}).get(NIC) or {}).get("ipAddress") or {}
        return normalise(kept["address"]) if kept.get("address") else kept.get("literal")

    def address_of(self, name: str) -> str | None:
        """The address that is kept for an instance."""
        kept = self.kept_address(name)
        return (self.resources.get(kept) or {}).get("address") if kept and "/" in kept else kept

    def users(self, path: str) -> list[str]:
        """The paths of what needs a resource, as far as this procedure knows."""
        body = self.resources[path]
        found = [normalise(user) for user in body.get("users") or ()]
        if "/instanceTemplates/" in path:
            found += (self.goal.instance_path(each.name) for each in self.managed.values() if each.template == path)
        for other, each in self.collection("instanceGroupManagers"):
            named = [normalise(one.get("healthCheck")) for one in each.get("autoHealingPolicies") or ()]
            shares = "/firewalls/" in path and last_part(other) == self.goal.name
            if shares or path in (*named, *_templates_of(each)):
                found.append(other)
        if "/addresses/" in path:
            found += (self.goal.instance_path(name) for name in self.configs if self.kept_address(name) == path)
        return list(dict.fromkeys(found))

    # --- words

    def state(self) -> str:
        """The current state, in a sentence."""
        name = f"{self.goal.name} in {self.goal.zone}"
        if self.group is None:
            return f"there is no managed instance group {name}"
        return f"the group {name} has {', '.join(map(str, self.managed.values())) or 'no instance'}"

    def to_diff(self) -> dict[str, Any]:
        """The current state in the words of the options, for a person to compare with the goal."""
        return describe(self)


def _templates_of(group: Resource) -> list[str]:
    """The paths of the templates that a group makes instances of."""
    found = [each.get("instanceTemplate") for each in group.get("versions") or ()]
    return [normalise(each) for each in found or [group.get("instanceTemplate")] if each]


def list_templates(client: ManagedApi, goal: GroupGoal) -> list[Resource]:
    """The templates with names of the group."""
    return client.list_templates(f"{goal.name}-[0-9a-f]{{{HASH_LENGTH}}}")


def look(client: ManagedApi, goal: GroupGoal, answers: Mapping[Question, Any] | None = None) -> Observed:
    """Reads the facts that every goal needs. answers: those that are known already, and do not change."""
    resources: dict[str, Resource] = {}

    def get(path: str) -> None:
        try:
            resources[path] = client.get(path)
        except NotFound:
            resources.pop(path, None)

    managers, silent = client.list_managers()
    if goal.zone in silent:
        raise PlaceDown(f"Cannot look at the group: no answer for the zone {goal.zone}. Try again later.")
    resources.update((normalise(each["selfLink"]), each) for each in managers)
    get(goal.path)  # the list may be older
    for each in list_templates(client, goal):
        resources[normalise(each["selfLink"])] = each
    try:
        resources.update((normalise(each["selfLink"]), each) for each in client.list_all(f"{goal.place}/addresses"))
    except (Invalid, NotFound) as error:
        if error.status != 400:
            raise
        raise Invalid(f"zone: {goal.zone} does not exist ({error})", resource=goal.zone_path, status=400) from None
    managed: dict[str, Managed] = {}
    configs: dict[str, Resource] = {}
    if goal.path in resources:
        try:
            managed = {each.name: each for each in map(managed_of, client.list_managed(goal.path))}
            configs = {str(each.get("name")): each for each in client.list_configs(goal.path)}
        except NotFound:
            resources.pop(goal.path)  # somebody has deleted it meanwhile
    observed = Observed(goal, resources, managed, configs, tuple(silent), answers)
    if observed.template_path and observed.template_path not in resources:
        get(observed.template_path)
    for path in dict.fromkeys([*goal.check_paths(), *([observed.present_check] if observed.present_check else [])]):
        get(path)
    if goal.firewall:
        get(observed.firewall_path)
    return observed.but(resources=resources)

# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Looks at a passthrough load balancer: what there is in its region, and what belongs to it. Facts, no decision."""

from __future__ import annotations

from ..base.errors import NotFound, Unavailable
from ..clouds.gce_names import last_part, normalise, project_of, zone_of
from .facts import Facts
from .gcp_checks import PROBE_RANGES
from .lb_fields import PROTOCOLS, plain_rule
from .lb_goal import MARK
from .lb_state import describe

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any, Protocol

    from .facts import Question
    from .lb_goal import LbGoal

    Resource = dict[str, Any]
else:
    Protocol = object


class LbApi(Protocol):
    """The verbs that this procedure needs of a client. Errors are those of base/errors.py; all is named by its path."""

    def get(self, path: str) -> Resource: ...

    def list_all(self, path: str) -> list[Resource]:
        """What is in a collection."""

    def list_groups(self) -> tuple[list[Resource], list[str]]:
        """The project's instance groups, and the zones that did not answer."""

    def list_members(self, group: str) -> list[str]: ...

    def list_instances(self) -> tuple[list[Resource], list[str]]:
        """The project's instances, and the zones that did not answer."""

    def get_instance(self, path: str) -> Resource: ...

    def get_subnetwork(self, path: str) -> Resource: ...

    def test_permissions(self, path: str, permissions: list[str]) -> set[str]: ...

    def project_permissions(self, project: str, permissions: Sequence[str]) -> set[str]: ...

    def insert(self, path: str, body: Resource, request_id: str) -> None:
        """Returns when it is done, as the others do."""

    def patch(self, path: str, body: Resource, request_id: str) -> None: ...

    def delete(self, path: str, request_id: str) -> None: ...

    def add_members(self, group: str, instances: Iterable[str], request_id: str) -> None: ...

    def remove_members(self, group: str, instances: Iterable[str], request_id: str) -> None: ...

    def set_target(self, rule: str, target: str, request_id: str) -> None: ...


class Observed(Facts):
    """What there is.

    | field     | type  | meaning                                                                        |
    |-----------|-------|--------------------------------------------------------------------------------|
    | goal      | LbGoal | the load balancer that it was looked for                                      |
    | resources | dict  | by their paths: all addresses, forwarding rules and backend services of the    |
    |           |       | region; the project's instance groups; of health checks and firewall rules the |
    |           |       | load balancer's own                                                            |
    | members   | dict  | by the groups' paths: the paths of the instances in the groups that matter     |
    """

    goal: LbGoal
    resources: Mapping[str, Resource]
    members: Mapping[str, tuple[str, ...]]

    def __init__(
        self,
        goal: LbGoal,
        resources: Mapping[str, Resource] | None = None,
        members: Mapping[str, tuple[str, ...]] | None = None,
        answers: Mapping[Question, Any] | None = None,
    ) -> None:
        super().__init__(goal=goal, resources=resources or {}, members=members or {}, answers=answers or {})

    # --- facts that few goals need: each raises Unread until somebody has read it, and what its request raised

    def instance(self, path: str) -> Resource:
        return self.answer("get_instance", path)

    def instances(self) -> list[Resource]:
        """All of the project."""
        return self.answer("list_instances")[0]

    def members_of(self, group: str) -> Sequence[str]:
        """Those of any group."""
        return self.members[group] if group in self.members else self.answer("list_members", group)

    # --- what follows

    def collection(self, name: str) -> list[tuple[str, Resource]]:
        """The resources of a kind, such as forwardingRules, with their paths; in a fixed order."""
        return sorted((path, body) for path, body in self.resources.items() if path.split("/")[-2] == name)

    def is_mine(self, path: str) -> bool:
        """Whether it was made for this load balancer."""
        return self._owner(path) == self.goal.mark

    def is_anothers(self, path: str) -> bool:
        """Whether it was made for another load balancer."""
        return self._owner(path).startswith(MARK) and not self.is_mine(path)

    def _owner(self, path: str) -> str:
        return str((self.resources.get(path) or {}).get("description") or "")

    @property
    def address(self) -> tuple[str, Resource | None]:
        """The path of the address, and the address if it is reserved: by its name, else whatever its name is."""
        goal = self.goal
        path = f"{goal.place}/addresses/{goal.address_name or goal.name}"
        if path not in self.resources and goal.address and goal.address_name is None:
            for other, body in self.collection("addresses"):
                if body.get("address") == goal.address and self._fits(body):
                    return other, body
        return path, self.resources.get(path)

    def _fits(self, address: Resource) -> bool:
        """Whether a reservation of the wanted address is one of the wanted network."""
        return self.goal.subnetwork in (None, normalise(address.get("subnetwork")))

    @property
    def ip(self) -> str | None:
        """The address itself, as it is wanted or as it is."""
        return self.goal.address or (self.address[1] or {}).get("address") or self._of_rules("IPAddress")

    def named(self, collection: str) -> list[tuple[str, Resource]]:
        """The forwarding rules or backend services that have the load balancer's names, and are no other's."""
        found = self.collection(collection)
        return [each for each in found if last_part(each[0]) in self.goal.names and not self.is_anothers(each[0])]

    def _of_rules(self, field: str) -> Any:
        return next((rule[field] for _path, rule in self.named("forwardingRules") if rule.get(field)), None)

    @property
    def protocols(self) -> tuple[str, ...]:
        """Those that are wanted; by default those that there are forwarding rules or backend services for."""
        if self.goal.protocols is not None:
            return self.goal.protocols
        rules = {rule.get("IPProtocol") for _path, rule in self.named("forwardingRules")}
        services = {each.get("protocol") for path, each in self.named("backendServices") if not self.users(path)}
        found = [name for name, (each, _end) in PROTOCOLS.items() if name in rules or each in services]
        return tuple(found) or ("TCP",)

    def place_of(self, collection: str, protocol: str) -> str:
        """The path of a protocol's forwarding rule or backend service: of the one that there is, else of a new one."""
        field = "IPProtocol" if collection == "forwardingRules" else "protocol"
        value = protocol if collection == "forwardingRules" else PROTOCOLS[protocol][0]
        for path, body in self.named(collection):
            if body.get(field) == value:
                return path
        name = self.goal.name if len(self.protocols) == 1 else f"{self.goal.name}-{PROTOCOLS[protocol][1]}"
        return f"{self.goal.place}/{collection}/{name}"

    @property
    def scheme(self) -> str:
        """Internal or external: as wanted, else as it is. Schemes of other load balancers do not count."""
        services = (each.get("loadBalancingScheme") for _path, each in self.named("backendServices"))
        address = (self.address[1] or {}).get("addressType")
        told = (self.goal.scheme, self._of_rules("loadBalancingScheme"), *services, address)
        return next((each for each in told if each in PROBE_RANGES), "INTERNAL")

    @property
    def subnetwork(self) -> str | None:
        """The path of the subnetwork of an internal address."""
        found = (self.address[1] or {}).get("subnetwork") or self._of_rules("subnetwork")
        return self.goal.subnetwork or (normalise(found) if found else None)

    def subnet(self) -> Resource:
        """The subnetwork itself."""
        return self.answer("get_subnetwork", self.subnetwork)

    @property
    def network(self) -> str | None:
        """The path of the network. Raises Unread if only the subnetwork tells it."""
        found = self.goal.network or self._of_rules("network")
        if not found and self.scheme == "INTERNAL" and self.subnetwork:
            found = self.subnet().get("network")
        if not found:
            # An external address is on no network, but the instances and the rule for the probes are.
            others = (self.resources.get(path) or {} for path in (self.firewall_path, *sorted(self.members)))
            found = next((other["network"] for other in others if other.get("network")), None)
        return normalise(found) if found else None

    @property
    def present_check(self) -> str | None:
        """The path of the load balancer's own health check that is in use; else of the one that is there."""
        used = [normalise(url) for _path, each in self.named("backendServices") for url in each.get("healthChecks", ())]
        paths = [path for path in self.goal.check_paths if path in self.resources and not self.is_anothers(path)]
        return next((path for path in paths if path in used), next(iter(paths), None))

    @property
    def check_path(self) -> str:
        """Of the health check as it is wanted: by default where it is."""
        regional, everywhere = self.goal.check_paths
        if self.goal.check_global is not None:
            return everywhere if self.goal.check_global else regional
        return self.present_check or regional

    @property
    def firewall_path(self) -> str:
        """Of the rule for the probes: in the project that has the network."""
        return firewall_path(self.goal, self.collection("forwardingRules"))

    def users(self, path: str) -> list[str]:
        """The paths of what needs a resource."""
        body = self.resources[path]
        found = [normalise(user) for user in body.get("users") or ()]
        for other, each in self.resources.items():
            named = [each.get("backendService"), *each.get("healthChecks", ())]
            named += [backend.get("group") for backend in each.get("backends", ())]
            needs = path in map(normalise, named) or (
                "/addresses/" in path and "IPAddress" in each and self._is_at(each, body)
            )
            if needs and other not in found:
                found.append(other)
        # What the API says of an address may be older than the region's rules that there are.
        rules = f"{self.goal.place}/forwardingRules/"
        return [user for user in found if not user.startswith(rules) or user in self.resources]

    @staticmethod
    def _is_at(rule: Resource, address: Resource) -> bool:
        """Whether a forwarding rule has a reserved address. Networks may have the same addresses."""
        subnetworks = [normalise(each.get("subnetwork")) for each in (rule, address)]
        return rule["IPAddress"] == address.get("address") and len({*filter(None, subnetworks)}) < 2

    # --- words

    def state(self) -> str:
        """The current state, in a sentence."""
        rules = [last_part(path) for path, _rule in self.named("forwardingRules")]
        services = [last_part(path) for path, _service in self.named("backendServices")]
        if not rules and not services:
            return f"there is no load balancer {self.goal.name} in {self.goal.region}"
        return (
            f"the load balancer {self.goal.name} has the forwarding rules {', '.join(rules) or '(none)'} and the"
            f" backend services {', '.join(services) or '(none)'}"
        )

    def to_diff(self) -> dict[str, Any]:
        """The current state in the words of the options, for a person to compare with the goal."""
        return describe(self)


def firewall_path(goal: LbGoal, rules: Iterable[tuple[str, Resource]]) -> str:
    """Of the rule for the probes: in the project that has the network, which may be a shared one."""
    network = goal.network or goal.subnetwork
    for path, rule in rules:
        if not network and last_part(path) in goal.names:
            network = normalise(rule.get("network") or rule.get("subnetwork"))
    return f"projects/{project_of(network or '') or goal.project}/global/firewalls/{goal.name}-probes"


def look(client: LbApi, goal: LbGoal, answers: Mapping[Question, Any] | None = None) -> Observed:
    """Reads the facts that every goal needs. answers: those that are known already, and do not change."""
    resources: dict[str, Resource] = {}
    for collection in ("forwardingRules", "backendServices", "addresses"):
        for each in client.list_all(f"{goal.place}/{collection}"):
            resources[normalise(each["selfLink"])] = plain_rule(each) if collection == "forwardingRules" else each
    rules = [(path, each) for path, each in resources.items() if "/forwardingRules/" in path]
    for path in (*goal.check_paths, *([firewall_path(goal, rules)] if goal.firewall else ())):
        try:
            resources[path] = client.get(path)
        except NotFound:
            continue
    groups, silent = client.list_groups()
    wanted = {group.path for group in goal.groups or ()}
    near = [zone for zone in silent if zone.rpartition("-")[0] == goal.region]
    unheard = [zone for zone in near if not goal.present or zone in map(zone_of, wanted)]
    if unheard:
        raise Unavailable(f"Cannot list the instance groups: no answer for {', '.join(unheard)}. Try again later.")
    # Those of a whole region are managed ones: their members are nobody's to change.
    zonal = ((normalise(group["selfLink"]), group) for group in groups)
    resources.update((path, group) for path, group in zonal if "/zones/" in path)
    observed = Observed(goal, resources, answers=answers)
    used = {
        normalise(backend.get("group"))
        for _path, service in observed.named("backendServices")
        for backend in service.get("backends", ())
    }
    members: dict[str, tuple[str, ...]] = {}
    for path, _group in observed.collection("instanceGroups"):
        if path in wanted or path in used or observed.is_mine(path):
            try:
                members[path] = tuple(client.list_members(path))
            except NotFound:
                resources.pop(path)  # somebody has deleted it meanwhile
    return Observed(goal, resources, members, answers)

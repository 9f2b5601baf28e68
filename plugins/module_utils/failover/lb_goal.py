# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The goals that a caller can set for a passthrough load balancer, and the problems of a goal by itself."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..base.floating import never_floats
from ..clouds.gce_names import is_name, last_part, parse_address, project_of, zone_of
from .gcp_checks import goal_problems as check_problems
from .gcp_checks import range_problems, target_problems
from .lb_fields import ALL_PORTS, PROTOCOLS, SERVICE_RANGES, option_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

MARK = "cloudha.vip: load balancer "
INTERNAL, EXTERNAL = "INTERNAL", "EXTERNAL"
MOST_PORTS = 5


@dataclass(frozen=True)
class Group:
    """An unmanaged instance group by its path, and the paths of instances that shall be in it.

    failover: whether it is a backup. None: leave it as it is.
    """

    path: str
    instances: tuple[str, ...] | None = None
    failover: bool | None = None


@dataclass(frozen=True)
class LbGoal:
    """What is wanted. None, or a field that is not there: keep the present one.

    | field         | meaning                                                                                      |
    |---------------|----------------------------------------------------------------------------------------------|
    | name          | the names of all objects derive from it                                                      |
    | network       | projects/P/global/networks/N                                                                 |
    | subnetwork    | projects/P/regions/R/subnetworks/N; of an internal address                                   |
    | scheme        | INTERNAL or EXTERNAL                                                                         |
    | address       | IPv4                                                                                         |
    | address_name  | of the reserved address; None: as the load balancer                                          |
    | protocols     | keys of PROTOCOLS                                                                            |
    | ports         | numbers, or ALL_PORTS                                                                        |
    | global_access | whether clients of other regions are let in                                                  |
    | check_kind    | HTTP or TCP                                                                                  |
    | check_global  | whether the health check is a global one                                                     |
    | check         | its fields: options of CHECK_FIELDS and values of the API                                    |
    | groups        | the backends                                                                                 |
    | service       | fields of the backend services: options of SERVICE_FIELDS and values of the API              |
    | firewall      | whether to see to a rule that lets the probes in                                             |
    | targets       | whom that rule is for: targetTags or targetServiceAccounts, and their values                 |
    | allow_replace | delete and make anew what cannot be changed in place                                         |
    | exclusive     | take away other backends, and other members of the groups                                    |
    """

    name: str
    project: str
    region: str
    present: bool = True
    network: str | None = None
    subnetwork: str | None = None
    scheme: str | None = None
    address: str | None = None
    address_name: str | None = None
    protocols: tuple[str, ...] | None = None
    ports: tuple[Any, ...] | None = None
    global_access: bool | None = None
    check_kind: str | None = None
    check_global: bool | None = None
    check: Mapping[str, Any] = field(default_factory=dict)
    groups: tuple[Group, ...] | None = None
    service: Mapping[str, Any] = field(default_factory=dict)
    firewall: bool = True
    targets: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    allow_replace: bool = False
    exclusive: bool = False

    @property
    def mark(self) -> str:
        """The description of what belongs to this load balancer. What is global names the region, too."""
        return f"{MARK}{self.name} in {self.region}"

    @property
    def place(self) -> str:
        return f"projects/{self.project}/regions/{self.region}"

    @property
    def names(self) -> list[str]:
        """That its forwarding rules and backend services may have."""
        return [self.name, *(f"{self.name}-{end}" for _service, end in PROTOCOLS.values() if end != "all")]

    @property
    def check_paths(self) -> tuple[str, str]:
        """Of a regional health check, and of a global one."""
        return f"{self.place}/healthChecks/{self.name}", f"projects/{self.project}/global/healthChecks/{self.name}"


def goal_problems(goal: LbGoal) -> list[str]:
    """The problems that can be found without a request."""
    return [
        *_name_problems(goal),
        *_front_problems(goal),
        *check_problems(goal.check_kind, goal.check),
        *range_problems(goal.service, SERVICE_RANGES, option_of),
        *_group_problems(goal),
    ]


def _name_problems(goal: LbGoal) -> Iterator[str]:
    if not is_name(goal.name):
        yield (
            f"name: {goal.name!r} is no name of a load balancer: use 1 to 56 of a-z, 0-9 and -, with a letter first and"
            " no - last"
        )
    elif not is_name(f"{goal.name}-probes"):
        yield f"name: {goal.name!r} is too long: other objects have a longer one, so use at most 56 characters"
    if goal.address_name is not None and not is_name(goal.address_name):
        yield f"address_name: {goal.address_name!r} is no name of an address"
    yield from target_problems(goal.targets)


def _front_problems(goal: LbGoal) -> Iterator[str]:
    if goal.address is not None:
        number = parse_address(goal.address)
        wrong = "is not an IPv4 address" if number is None else never_floats(number, number)
        if wrong:
            yield f"address: {goal.address!r} {wrong}"
    if goal.scheme == EXTERNAL:
        if goal.global_access:
            yield "global_access: only with scheme=internal: an external address is reached from everywhere"
        if goal.subnetwork:
            yield "subnetwork: only with scheme=internal: an external address is in no subnetwork"
        if goal.check_global:
            yield "health_check.scope: an external load balancer needs a regional health check"
    protocols = goal.protocols
    if protocols is not None:
        if not protocols:
            yield "protocols: give at least one"
        if len(set(protocols)) < len(protocols):
            yield "protocols: one is there twice"
        if "L3_DEFAULT" in protocols and len(protocols) > 1:
            yield "protocols: all is for all protocols; do not give others with it"
    yield from _port_problems(goal)


def _port_problems(goal: LbGoal) -> Iterator[str]:
    ports = goal.ports
    if ports is None:
        return
    if not ports:
        yield "ports: give at least one, or all"
    if ports == ALL_PORTS:
        return
    if "L3_DEFAULT" in (goal.protocols or ()):
        yield "ports: with protocols=all there can be no single ports: give all"
    if len(ports) > MOST_PORTS:
        yield f"ports: {len(ports)} are too many: a forwarding rule takes at most {MOST_PORTS}, or all"
    if len(set(ports)) < len(ports):
        yield "ports: one is there twice"
    for port in ports:
        if not isinstance(port, int) or not 1 <= port <= 65535:
            yield f"ports: {port!r} is not from 1 to 65535"


def _group_problems(goal: LbGoal) -> Iterator[str]:
    where: dict[str, str] = {}
    paths = [group.path for group in goal.groups or ()]
    for path in sorted({path for path in paths if paths.count(path) > 1}):
        yield f"groups: {last_part(path)} is there twice"
    for group in goal.groups or ():
        zone = zone_of(group.path)
        if zone.rpartition("-")[0] != goal.region:
            yield f"groups: the zone {zone} of {last_part(group.path)} is not in the region {goal.region}"
        for instance in group.instances or ():
            if zone_of(instance) != zone:
                yield (
                    f"groups: the instance {instance} is not in the zone {zone} of its group {last_part(group.path)}: a"
                    " group has instances of its own zone"
                )
            if project_of(instance) != goal.project:
                yield f"groups: the instance {instance} is not in the project {goal.project} of the load balancer"
            if where.setdefault(instance, group.path) != group.path:
                yield (
                    f"groups: the instance {instance} is in {last_part(where[instance])} and in"
                    f" {last_part(group.path)}: the API takes it in one group of a load balancer only"
                )

# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What can be wanted of a set of routes to one destination, and the problems of a goal by itself."""

from __future__ import annotations

import binascii

from ..base.floating import check_floating
from ..clouds.gce_names import NAME_LENGTH, is_name, is_path, last_part, normalise, parse_cidr, project_of
from .route_table import BEST, WORST

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

PRESENT, DRAINED, ABSENT = "present", "drained", "absent"
RESERVE = WORST  # the priority of reserve routes; those of members are better
MARK = "cloudha.vip: route set "
_TAIL = "-reserve-99"  # the longest that a name may get behind it


class Member:
    """An instance, and the routes that shall lead to it: PRESENT: one that serves and a reserve; DRAINED: the reserve
    only; ABSENT: none. priority: None: the set's, or else that of its present route, or else 1000.

    address: its primary address on the network, if it is known already.
    """

    __slots__ = ("address", "instance", "priority", "state")

    def __init__(
        self, instance: str, priority: int | None = None, state: str = PRESENT, address: str | None = None
    ) -> None:
        self.instance = normalise(instance)
        self.priority = priority
        self.state = state
        self.address = address

    @property
    def name(self) -> str:
        return last_part(self.instance)


class SetGoal:
    """The routes to one destination, of all members.

    name: how the names of its routes begin; a route is called NAME-INSTANCE. network: projects/P/global/networks/N.
    priority: of members that have none of their own. tags: None: those of the present routes. present: without it all
    routes of the set are to go. exclusive: delete other routes to the destination, too.
    lease, settle: as of RouteGoal.
    """

    def __init__(
        self,
        name: str,
        destination: str,
        network: str,
        members: Sequence[Member] = (),
        priority: int | None = None,
        tags: Sequence[str] | None = None,
        present: bool = True,
        exclusive: bool = False,
        lease: float = 20.0,
        settle: float = 1.0,
    ) -> None:
        self.name = name
        self.destination = destination
        self.network = normalise(network)
        self.members = tuple(members)
        self.priority = priority
        self.tags = None if tags is None else sorted(set(tags))
        self.present = present
        self.exclusive = exclusive
        self.lease = lease
        self.settle = settle

    def across(self, member: Member) -> bool:
        """Whether it is in another project than the route, which can lead to it by its address only: a shared VPC."""
        ours = project_of(self.network)
        its = project_of(member.instance)
        # A number may be that of the same project.
        return its != ours and not its.isdigit() and not ours.isdigit()

    def mark(self, member: Member) -> str:
        """The description of the routes that are made for a member."""
        return f"{MARK}{self.name} {member.name}"


class NodeGoal(SetGoal):
    """What a node wants of its own route, and of those of dead peers. See route_set_node.py.

    instance: the node's own path. peers: those of the other members. present: True: this node's route is there;
    False: it is not, unless it is the last one; None: leave it as it is. drop: delete the routes of dead peers.
    created: when the instance was created, in seconds since 1970; 0 if that is not known.
    """

    def __init__(
        self,
        name: str,
        destination: str,
        network: str,
        instance: str,
        peers: Sequence[str] = (),
        present: bool | None = None,
        drop: bool = True,
        priority: int | None = None,
        tags: Sequence[str] | None = None,
        address: str | None = None,
        created: float = 0.0,
        lease: float = 20.0,
        settle: float = 1.0,
    ) -> None:
        me = Member(instance, priority, address=address)
        others = [Member(each) for each in peers if normalise(each) != me.instance]
        super().__init__(name, destination, network, [me, *others], tags=tags, lease=lease, settle=settle)
        self.me = me
        self.peers = tuple(others)
        self.own = present
        self.drop = drop
        self.created = created


def route_name(prefix: str, instance: str) -> str:
    """NAME-INSTANCE; what would be too long is cut, and gets digits that tell it from others."""
    name = f"{prefix}-{instance}"
    longest = NAME_LENGTH - len(_TAIL)
    if len(name) <= longest:
        return name
    return f"{name[: longest - 9]}-{binascii.crc32(name.encode()):08x}"


def names(prefix: str, instance: str, reserve: bool) -> Iterator[str]:
    """The names that a member's route may have, the best one first: others may have it already, or still."""
    first = route_name(prefix, instance) + ("-reserve" if reserve else "")
    yield first
    for number in range(2, 100):
        yield f"{first}-{number}"


def goal_problems(goal: SetGoal) -> list[str]:
    """The problems that can be found without a request."""
    return [*_set_problems(goal), *_member_problems(goal)]


def _set_problems(goal: SetGoal) -> Iterator[str]:
    if not is_name(goal.name):
        yield (
            f"name: {goal.name!r} is no name of a route: use 1 to 63 of a-z, 0-9 and -, with a letter first and no -"
            " last"
        )
    try:
        check_floating(goal.destination, *parse_cidr(goal.destination))
    except ValueError as error:
        yield f"destination: {error}"
    if not is_path(goal.network, "global/networks"):
        yield f"network: {goal.network!r} is not of the form projects/P/global/networks/N"
    yield from _priority_problems("priority", goal.priority)
    for tag in goal.tags or ():
        if not is_name(tag):
            yield f"tags: {tag!r} is no network tag: use 1 to 63 of a-z, 0-9 and -, with a letter first and no - last"


def _member_problems(goal: SetGoal) -> Iterator[str]:
    by_name: dict[str, str] = {}
    seen: set[str] = set()
    for member in goal.members:
        if not is_path(member.instance, "zones/*/instances"):
            yield f"members: {member.instance!r} is not of the form projects/P/zones/Z/instances/I"
            continue
        yield from _priority_problems(f"members: the priority of {member.name}", member.priority)
        other = by_name.setdefault(member.name, member.instance)
        if member.instance in seen:
            yield f"members: {member.instance} is there twice"
        elif other != member.instance:
            yield f"members: {other} and {member.instance} have the same name, and so would their routes"
        seen.add(member.instance)
    if goal.present and not goal.members:
        yield "members: give at least one"


def _priority_problems(option: str, priority: Any) -> Iterator[str]:
    if priority is not None and not BEST <= priority < RESERVE:
        yield f"{option}: {priority} is not from {BEST} to {RESERVE - 1}; {RESERVE} is for the reserve routes"

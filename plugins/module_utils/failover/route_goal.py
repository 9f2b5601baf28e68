# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The goals that a caller can set for a route, and the problems of a goal by itself."""

from __future__ import annotations

from ..base.floating import check_floating
from ..clouds.gce_names import is_name, is_path, normalise, parse_address, parse_cidr, project_of
from .route_table import BEST, LONGEST_DESCRIPTION, MARK, WORST

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


class RouteGoal:
    """What is wanted. None: keep the present one.

    next_hop: projects/P/zones/Z/instances/I, or an IPv4 address. address: that of this instance on the network, if it
    is known. network: projects/P/global/networks/N. An instance of another project can be a next hop only by address.
    expected_holder: refuse, unless the traffic goes there now, or to the next hop already; a path, a URL, an address,
    or the name of an instance. exclusive: delete other routes that would keep the traffic, instead of refusing.
    run: a part of the names of this run's temporaries; by default, each run makes its own.
    check: ask whether network, destination and next hop are fit for it, before anything is changed.
    """

    __slots__ = (
        "address",
        "check",
        "description",
        "destination",
        "exclusive",
        "expected_holder",
        "lease",
        "name",
        "network",
        "next_hop",
        "present",
        "priority",
        "run",
        "settle",
        "tags",
    )

    def __init__(
        self,
        name: str,
        destination: str,
        network: str,
        next_hop: str | None = None,
        priority: int | None = None,
        tags: Sequence[str] | None = None,
        description: str | None = None,
        present: bool = True,
        expected_holder: str | None = None,
        exclusive: bool = False,
        run: str | None = None,
        lease: float = 20.0,
        settle: float = 1.0,
        check: bool = True,
        address: str | None = None,
    ) -> None:
        self.address = address
        self.name = name
        self.destination = destination
        self.network = normalise(network)
        self.next_hop = normalise(next_hop, self.network) if next_hop else None
        self.priority = priority
        self.tags = None if tags is None else sorted(set(tags))
        self.description = description
        self.present = present
        self.expected_holder = normalise(expected_holder, self.network) if expected_holder else None
        self.exclusive = exclusive
        self.run = run
        self.lease = lease
        self.settle = settle
        self.check = check

    @property
    def across(self) -> bool:
        """Whether the next hop is an instance of another project than the route: a shared VPC."""
        hop, network = project_of(self.next_hop or ""), project_of(self.network)
        # A number may be that of the same project.
        return bool(hop and network) and hop != network and not hop.isdigit() and not network.isdigit()


def goal_problems(goal: RouteGoal) -> list[str]:
    """The problems that can be found without a request."""
    problems = []
    name = goal.name
    if not is_name(name):
        problems.append(
            f"name: {name!r} is no name of a route: use 1 to 63 of a-z, 0-9 and -, with a letter first and no - last"
        )
    try:
        check_floating(goal.destination, *parse_cidr(goal.destination))
    except ValueError as error:
        problems.append(f"destination: {error}")
    if not is_path(goal.network, "global/networks"):
        problems.append(f"network: {goal.network!r} is not of the form projects/P/global/networks/N")
    if goal.next_hop and parse_address(goal.next_hop) is None and not is_path(goal.next_hop, "zones/*/instances"):
        problems.append(
            f"next hop: {goal.next_hop!r} is neither of the form projects/P/zones/Z/instances/I nor an IPv4 address"
        )
    if goal.priority is not None and not BEST < goal.priority <= WORST:
        problems.append(
            f"priority: {goal.priority} is not from 1 to {WORST}"
            + (": 0 leaves no room for a temporary route that is better" if goal.priority == BEST else "")
        )
    problems += [
        f"tags: {tag!r} is no network tag: use 1 to 63 of a-z, 0-9 and -, with a letter first and no - last"
        for tag in goal.tags or ()
        if not is_name(tag)
    ]
    if goal.description is not None and len(goal.description) > LONGEST_DESCRIPTION:
        problems.append(f"description: longer than {LONGEST_DESCRIPTION} characters")
    elif goal.description is not None and goal.description.startswith(MARK):
        problems.append(f"description: {MARK!r} is the mark of temporary routes; begin with something else")
    return problems

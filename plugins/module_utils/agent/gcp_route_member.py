# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The action ``gcp_route_member``: this instance's own route of a set stands while the node's services are well.

The procedure is failover/route_set_node.py. It also deletes the routes of dead peers. So an instance that was created
anew gets no packets before its own agent says that it serves.
"""

from __future__ import annotations

import contextlib

from ..base.errors import CloudError, Invalid
from ..clouds.gce_names import last_part, parse_path, parse_time
from ..failover import engine, route_set_node
from ..failover.gcp_preflight import INSTANCE_PERMISSIONS, ROUTE_PERMISSIONS
from ..failover.named_route import ask_permissions, route_path
from ..failover.route_set_decide import DELETE, INSERT
from ..failover.route_set_goal import NodeGoal
from . import gcp_routes, kinds
from .config import Section
from .gcp import LOOK_TIMEOUT, REQUEST_TIMEOUT
from .gcp_routes import RoutesKind
from .membership import DROPPED, PUT_BACK, WITHDRAWN, Membership, Share

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from ..failover.route_set_node import Checked
    from .config import Action
    from .gcp_routes import Watched

MEMBER_OPTIONS: dict[str, Any] = {"instance": str, "priority": int}


class RouteMemberAction(gcp_routes.RoutesAction):
    """members: the path of each instance, and the priority of its route; None: that of its present route, or 1000."""

    members: dict[str, int | None]
    hold_back: bool


@kinds.register
class GcpRouteMember(RoutesKind):
    config: RouteMemberAction

    type = "gcp_route_member"
    machine = Membership
    options: dict[str, Any] = {"members": MEMBER_OPTIONS, "hold_back": bool, **gcp_routes.OPTIONS}

    def __init__(self, config: RouteMemberAction) -> None:
        super().__init__(config)
        # As the last look found it, also that of a run.
        self.checked: Checked | None = None
        self.route: str | None = None  # the own one, in a word
        self._created: float | None = None

    @classmethod
    def parse(cls, section: Section) -> Action:
        action = RouteMemberAction()
        gcp_routes.parse(section, action)
        gcp_routes.parse_name(section)
        action.hold_back = section.take("hold_back", bool, True)
        action.members = {}
        for index, item in enumerate(section.some("members")):
            member = Section(item, f"{section.where}.members[{index}]", section.problems, MEMBER_OPTIONS)
            given = member.take("instance", str)
            path = parse_path(given, "zones/*/instances")
            if given and not path:
                member.problem("instance", f"must be like projects/PROJECT/zones/ZONE/instances/NAME, not {given!r}")
            elif path in action.members:
                member.problem("instance", f"{path} is there twice")
            priority = member.take("priority", int, None)
            if priority is not None and not 0 <= priority <= 65534:
                member.problem("priority", f"must be from 0 to 65534, not {priority}")
            action.members[path or given] = priority
            member.end()
        return action

    @staticmethod
    def describe(status: dict[str, Any]) -> str:
        route = f"is {status['route'] or 'not known'}"
        if status["why"]:
            stays = status["last_one"] and status["route"] == "active"
            route += f", as the last one, although {status['why']}" if stays else f": {status['why']}"
        live = ", ".join(map(last_part, status["live"])) or "NOBODY (what is left are reserve routes)"
        return f"the own route to {status['destination']} {route}; alive: {live}"

    @property
    def across(self) -> bool:
        goal = self._goal(None, peers=False)
        return goal.across(goal.me)

    def prepare(self) -> None:
        super().prepare()
        if self.me not in self.config.members:
            raise Invalid(f"this instance, {self.me}, is none of the members, and so gets no route")

    def preflight(self) -> list[str]:
        compute = self.client(REQUEST_TIMEOUT).compute
        wanted = {} if self.across else {self.me: INSTANCE_PERMISSIONS}
        # The API tells of a route that is there only, and the same of each.
        for route in self.checked.observed.routes[:1] if self.checked else ():
            wanted[route_path(self.project, route["name"])] = ROUTE_PERMISSIONS
        missing, _unanswered = ask_permissions(compute, wanted)
        return [*super().preflight(), *missing]

    def look(self, serves: bool | None) -> Share:
        client = self.client(LOOK_TIMEOUT)
        self._ask_creation(client)
        checked, steps = engine.preview(self, client, self._goal(serves, peers=True))
        todo = [f"{step.name} {step.resource}" for step in steps]
        why = "; ".join(checked.dead.values()) or "it is not as it should be"
        return Share(todo, why, self.config.hold_back and serves is False and not checked.others)

    def reach(
        self,
        serves: bool | None,
        at_once: bool,
        still_wanted: Callable[[], bool],
        notify: Callable[[dict[str, Any]], None],
        sleep: Callable[[float], None],
    ) -> engine.Outcome:
        def tell(event: dict[str, Any]) -> None:
            notify(event)
            if event["event"] == "done":
                for change in self._changes(event["name"], event["resource"], serves):
                    notify(change)

        # A request that was sent is not left to itself: the next one would have to wait for it all the same.
        client = self.client(REQUEST_TIMEOUT, notify=notify)
        with contextlib.suppress(CloudError):  # a route can be withdrawn without
            self._ask_creation(client)
        return engine.apply(
            self,
            client,
            self._goal(serves, peers=not at_once),
            timeout=self.config.timeout,
            still_wanted=still_wanted,
            notify=tell,
            sleep=sleep,
        )

    def status(self) -> dict[str, Any]:
        checked = self.checked
        live = [] if checked is None else sorted({*checked.others, *([self.me] if checked.here else [])})
        return {
            "self": self.me or None,
            "destination": self.config.destination,
            "route": self.route,
            "live": live,
            "serving": checked.serving if checked else [],
            "dead": checked.dead if checked else {},
            "api": self.answers.status(),
        }

    # --- a procedure for the engine: that of the node, and what it sees

    def observe(self, client: Any, goal: NodeGoal, memory: engine.Memory) -> Checked:
        checked = route_set_node.observe(client, goal, memory)
        there = checked.observed.of(goal.me, False)
        self.checked, self.route = checked, "active" if checked.here else "dead" if there else "withdrawn"
        return checked

    plan = staticmethod(route_set_node.plan)

    # --- small parts

    def _ask_creation(self, client: Watched) -> None:
        """When this instance was created, which does not change."""
        if self._created is None:
            said = client.get_instance(self.me).get("creationTimestamp")
            self._created = parse_time(said) if said else 0.0

    def _goal(self, serves: bool | None, peers: bool) -> NodeGoal:
        """peers: whether to look after them, too, which takes a request for each."""
        config = self.config
        return NodeGoal(
            config.name,
            config.destination,
            self.network,
            self.me,
            list(config.members),
            present=serves if config.hold_back else True,
            drop=config.hold_back and peers,
            priority=config.members.get(self.me),
            tags=config.tags,
            address=self.address,
            created=self._created or 0.0,
            lease=config.lease,
            settle=config.settle,
        )

    def _changes(self, step: str, resource: str, serves: bool | None) -> Iterator[dict[str, Any]]:
        """What a step that is done means. Nobody has looked since."""
        checked = self.checked
        if step == INSERT:
            yield {"event": PUT_BACK, "resource": resource}
        elif step == DELETE and checked and resource in checked.dead:
            yield {"event": DROPPED, "resource": resource, "reason": checked.dead[resource]}
        elif step == DELETE and serves is False:
            yield {"event": WITHDRAWN, "resource": resource}

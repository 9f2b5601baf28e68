# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The action ``gcp_route``: on the master, a static route of a Google Cloud VPC leads to this instance."""

from __future__ import annotations

from ..clouds.gce_names import last_part, parse_time
from ..failover import engine, route
from ..failover.route_goal import RouteGoal
from . import gcp_routes, kinds
from .gcp import LOOK_TIMEOUT, REQUEST_TIMEOUT
from .gcp_routes import RoutesKind
from .kinds import Seen
from .mastership import Mastership

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ..failover.route_look import Observed
    from .config import Action, Section


class GcpRouteAction(gcp_routes.RoutesAction):
    """None: the priority, tags and description that the route has."""

    priority: int | None
    description: str | None


@kinds.register
class GcpRoute(RoutesKind):
    config: GcpRouteAction

    type = "gcp_route"
    machine = Mastership
    options: dict[str, Any] = {
        **kinds.INSTANCE,
        "priority": int,
        "description": str,
        **gcp_routes.OPTIONS,
    }

    @classmethod
    def parse(cls, section: Section) -> Action:
        action = GcpRouteAction()
        gcp_routes.parse(section, action)
        action.priority = section.take("priority", int, None)
        if action.priority is not None and not 1 <= action.priority <= 65535:
            # 0 would leave no room for the temporary route that has to be better.
            section.problem("priority", f"must be from 1 to 65535, not {action.priority}")
        action.description = section.take("description", str, None)
        gcp_routes.parse_name(section)
        return action

    @staticmethod
    def describe(status: dict[str, Any]) -> str:
        holder = last_part(status["holder"] or "")
        leads = "here" if status["here"] else f"to {holder}" if holder else "NOWHERE"
        return f"{status.get('destination')} leads {leads}"

    @property
    def across(self) -> bool:
        return self._goal().across

    def look(self) -> Seen:
        checked, steps = engine.preview(route, self.client(LOOK_TIMEOUT), self._goal())
        seen: Observed = checked.observed
        mine = seen.holder == self.me
        if mine:
            why = "something is left over, or not as configured"
        else:
            why = "its next hop is not alive" if seen.routes else "there is no route"
        age = seen.at - parse_time(seen.effective["creationTimestamp"]) if seen.effective else 0.0
        elsewhere = f"the address is with {seen.holder}, which is alive" if seen.holder and not mine else ""
        todo = [] if elsewhere else [f"{step.name} {step.resource}" for step in steps]
        return Seen(seen.holder, mine, todo, why, age, elsewhere)

    def reach(
        self,
        take: bool,  # without it a run begins a moment after a look that saw nobody alive: that is all there is to know
        still_wanted: Callable[[], bool],
        notify: Callable[[dict[str, Any]], None],
        sleep: Callable[[float], None],
    ) -> engine.Outcome:
        client = self.client(REQUEST_TIMEOUT, lambda: not still_wanted(), notify)
        return engine.apply(
            route,
            client,
            self._goal(),
            timeout=self.config.timeout,
            still_wanted=still_wanted,
            notify=notify,
            sleep=sleep,
        )

    def status(self) -> dict[str, Any]:
        return {"self": self.me or None, "destination": self.config.destination, "api": self.answers.status()}

    def _goal(self) -> RouteGoal:
        config = self.config
        return RouteGoal(
            config.name,
            config.destination,
            self.network,
            next_hop=self.me,
            priority=config.priority,
            tags=config.tags,
            description=config.description,
            lease=config.lease,
            settle=config.settle,
            check=False,  # of what cannot change by itself; see preflight
            address=self.address,
        )

# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The action ``gcp_route``: on the master, a static route of a Google Cloud VPC leads to this instance."""

from __future__ import annotations

import contextlib

from ..base.errors import CloudError
from ..clouds.gce_names import (
    is_name,
    is_project,
    last_part,
    normalise,
    parse_cidr,
    parse_path,
    parse_time,
    project_of,
)
from ..failover import engine, route
from ..failover.route_goal import RouteGoal
from ..failover.route_table import dead_codes
from . import gcp, kinds
from .gcp import LOOK_TIMEOUT, REQUEST_TIMEOUT, Answers, Identity
from .kinds import Seen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ..clouds.gce import Compute
    from ..failover.route_look import Observed
    from .config import Action, Section


class GcpRouteAction(gcp.GcpAction):
    """None: the metadata server's project; the priority, tags and description that the route has."""

    destination: str
    network: str
    project: str | None
    priority: int | None
    tags: list[str] | None
    description: str | None
    lease: float
    settle: float


@kinds.register
class GcpRoute:
    type = "gcp_route"
    options: dict[str, Any] = {
        "destination": str,
        "network": str,
        "project": str,
        "priority": int,
        "tags": list,
        "description": str,
        "lease_s": int,
        "settle_ms": int,
        **gcp.OPTIONS,
    }

    def __init__(self, config: GcpRouteAction) -> None:
        self.config = config
        self.name = config.name
        self.instance = config.instance
        self.check_interval = config.check_interval
        self._address: str | None = None
        self._network = ""
        self._node = Identity(config)
        self._session = self._node.session()
        self._answers = Answers(config.endpoint)
        self._api: _Watched | None = None

    @classmethod
    def parse(cls, section: Section) -> Action:
        action = GcpRouteAction()
        action.destination = section.take("destination", str)
        if action.destination and not _is_cidr(action.destination):
            section.problem(
                "destination",
                f"must be an IPv4 range with its length and no bits beyond that, such as 10.200.1.1/32, "
                f"not {action.destination!r}",
            )
        action.project = section.take("project", str, None)
        if action.project is not None and not is_project(action.project):
            section.problem("project", f"{action.project!r} is no id of a project")
        action.network = section.take("network", str)
        # A path as the API writes it, with or without what stands before it, or a name in the project.
        path = parse_path(action.network, "global/networks")
        if path:
            action.network = path
        elif action.network and not is_name(action.network):
            section.problem(
                "network", f"must be a name or like projects/PROJECT/global/networks/NAME, not {action.network!r}"
            )
        if path and action.project not in (None, project_of(path)):
            # The API takes no route elsewhere.
            section.problem(
                "project",
                f"must be that of the network, {project_of(path)}, or be left out, and not {action.project!r}",
            )
        action.priority = section.take("priority", int, None)
        if action.priority is not None and not 1 <= action.priority <= 65535:
            # 0 would leave no room for the temporary route that has to be better.
            section.problem("priority", f"must be from 1 to 65535, not {action.priority}")
        action.tags = section.take("tags", list, None)
        if not all(isinstance(tag, str) and is_name(tag) for tag in action.tags or ()):
            section.problem("tags", f"must be a list of network tags, each {gcp.NAME_IN_WORDS}")
        action.description = section.take("description", str, None)
        action.lease = section.number("lease_s", 1, 600, 20)
        action.settle = section.number("settle_ms", 0, 60_000, 1000) / 1000
        gcp.parse(section, action)
        name = section.data.get("name")
        if isinstance(name, str) and name.strip() and name.isprintable() and not is_name(name):
            section.problem("name", f"{name!r} is no name of a route: {gcp.NAME_IN_WORDS}")
        return action

    @staticmethod
    def describe(status: dict[str, Any]) -> str:
        holder = last_part(status["holder"] or "")
        leads = "here" if status["here"] else f"to {holder}" if holder else "NOWHERE"
        return f"{status.get('destination')} leads {leads}"

    @property
    def me(self) -> str:
        return self._node.me

    def prepare(self) -> None:
        config = self.config
        self._node.find_out()
        # The routes of a shared VPC are in the project of its network.
        in_network = project_of(config.network)
        project = config.project or in_network or self._node.project
        self._network = config.network if in_network else f"projects/{project}/global/networks/{config.network}"
        try:
            self._address = self._node.metadata.address(last_part(self._network))
        except CloudError:
            if self._goal().across:  # then a route can lead here by the address only
                raise
        self._api = _Watched(self._node.client(self._session, project), self._answers)

    def warm(self) -> None:
        self._node.tokens.get()
        self._session.warm(LOOK_TIMEOUT)

    def preflight(self) -> list[str]:
        """Only of this instance: to ask about networks would take permissions that a node needs for nothing else."""
        instance = self._client(REQUEST_TIMEOUT).get_instance(self.me)
        problems = []
        if not instance.get("canIpForward"):
            problems.append(
                f"{self.me} may not forward (canIpForward): no route can lead to it. Create it anew with that"
            )
        addresses = {
            normalise(each.get("network", "")): each.get("networkIP")
            for each in instance.get("networkInterfaces") or ()
        }
        if self._network not in addresses:
            problems.append(f"{self.me} has no interface on {self._network}; it is on {', '.join(addresses) or 'none'}")
        elif self._goal().across and addresses[self._network] != self._address:
            problems.append(
                f"{self.me} has {addresses[self._network]} on {self._network}, and the route would lead to"
                f" {self._address}, which is on another network of that name: rename one of them"
            )
        return problems

    def look(self) -> Seen:
        checked, steps = engine.preview(route, self._client(LOOK_TIMEOUT), self._goal())
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

    def assert_here(
        self,
        take: bool,  # without it a run begins a moment after a look that saw nobody alive: that is all there is to know
        still_wanted: Callable[[], bool],
        notify: Callable[[dict[str, Any]], None],
        sleep: Callable[[float], None],
    ) -> engine.Outcome:
        client = self._client(REQUEST_TIMEOUT, lambda: not still_wanted(), notify)
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
        return {"self": self.me or None, "destination": self.config.destination, "api": self._answers.status()}

    def _goal(self) -> RouteGoal:
        config = self.config
        return RouteGoal(
            config.name,
            config.destination,
            self._network,
            next_hop=self.me,
            priority=config.priority,
            tags=config.tags,
            description=config.description,
            lease=config.lease,
            settle=config.settle,
            check=False,  # of what cannot change by itself; see preflight
            address=self._address,
        )

    def _client(
        self,
        timeout: float,
        cancelled: Callable[[], bool] = lambda: False,
        notify: Callable[[dict[str, Any]], None] = lambda event: None,
    ) -> _Watched:
        api = self._api
        if api is None:
            raise RuntimeError("prepare() comes first")
        api.compute.timeout = timeout
        api.compute.cancelled = cancelled
        api.notify = notify
        return api


def _is_cidr(text: str) -> bool:
    with contextlib.suppress(ValueError):
        return bool(parse_cidr(text))
    return False


class _Watched:
    """The client, and when it was asked to change something, when that moved the traffic, and how long answers take."""

    def __init__(self, compute: Compute, answers: Answers) -> None:
        self.compute = compute
        self.notify: Callable[[dict[str, Any]], None] = lambda event: None
        self._answers = answers

    def list_routes(self, destination: str) -> tuple[list[dict[str, Any]], float]:
        with self._answers.timed():
            return self.compute.list_routes(destination)

    def insert_route(self, body: dict[str, Any], request_id: str) -> list[dict[str, Any]]:
        self.notify({"event": "mutation"})
        warnings = self.compute.insert_route(body, request_id)
        if not dead_codes(warnings):
            self.notify({"event": "moved", "resource": body["name"]})
        return warnings

    def delete_route(self, name: str, request_id: str) -> None:
        self.notify({"event": "mutation"})
        self.compute.delete_route(name, request_id)

    def get_instance(self, path: str) -> dict[str, Any]:
        return self.compute.get_instance(path)

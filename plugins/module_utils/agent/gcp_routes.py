# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The common parts of the actions that insert and delete routes of Google Cloud."""

from __future__ import annotations

from ..base.errors import CloudError
from ..base.floating import never_floats
from ..clouds.gce_names import is_name, is_project, last_part, normalise, parse_cidr, parse_path, project_of
from ..failover.route_table import dead_codes
from . import gcp
from .gcp import LOOK_TIMEOUT, REQUEST_TIMEOUT, Answers, Identity

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ..clouds.gce import Compute
    from .config import Section

OPTIONS: dict[str, Any] = {
    "destination": str,
    "network": str,
    "project": str,
    "tags": list,
    "lease_s": int,
    "settle_ms": int,
    **gcp.OPTIONS,
}


class RoutesAction(gcp.GcpAction):
    """None: the metadata server's project; the tags that the routes have."""

    destination: str
    network: str
    project: str | None
    tags: list[str] | None
    lease: float
    settle: float


def parse(section: Section, action: RoutesAction) -> None:
    """Take the options of ``OPTIONS``."""
    action.destination = section.take("destination", str)
    if action.destination:
        wrong = _wrong_destination(action.destination)
        if wrong:
            section.problem("destination", wrong)
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
    action.tags = section.take("tags", list, None)
    if not all(isinstance(tag, str) and is_name(tag) for tag in action.tags or ()):
        section.problem("tags", f"must be a list of network tags, each {gcp.NAME_IN_WORDS}")
    action.lease = section.number("lease_s", 1, 600, 20)
    action.settle = section.number("settle_ms", 0, 60_000, 1000) / 1000
    gcp.parse(section, action)


def parse_name(section: Section) -> None:
    """Where an action's name becomes that of a route."""
    name = section.data.get("name")
    if isinstance(name, str) and name.strip() and name.isprintable() and not is_name(name):
        section.problem("name", f"{name!r} is no name of a route: {gcp.NAME_IN_WORDS}")


def _wrong_destination(text: str) -> str:
    try:
        span = parse_cidr(text)
    except ValueError:
        return f"must be an IPv4 range with its length and no bits beyond that, such as 10.200.1.1/32, not {text!r}"
    wrong = never_floats(*span)
    return wrong and f"{text!r} {wrong}"


def place(config: RoutesAction, project: str) -> tuple[str, str]:
    """The project of the routes, and the path of their network. project: this node's.

    The routes of a shared VPC are in the project of its network.
    """
    in_network = project_of(config.network)
    project = config.project or in_network or project
    return project, config.network if in_network else f"projects/{project}/global/networks/{config.network}"


class RoutesKind:
    """What ``prepare`` finds out: ``me``, the path of this instance; ``network``, that of the routes; ``address``, this
    instance's one there, if it has one."""

    def __init__(self, config: RoutesAction) -> None:
        self.config = config
        self.name = config.name
        self.instance = config.instance
        self.check_interval = config.check_interval
        self.address: str | None = None
        self.network = self.project = ""
        self.answers = Answers(config.endpoint)
        self._node = Identity(config)
        self._session = self._node.session()
        self._api: Watched | None = None

    @property
    def me(self) -> str:
        return self._node.me

    @property
    def across(self) -> bool:
        """Whether a route can lead here by the address only, as this instance is in another project."""
        raise NotImplementedError

    def prepare(self) -> None:
        self._node.find_out()
        self.project, self.network = place(self.config, self._node.project)
        try:
            self.address = self._node.metadata.address(last_part(self.network))
        except CloudError:
            if self.across:
                raise
        self._api = Watched(self._node.client(self._session, self.project), self.answers)

    def warm(self) -> None:
        self._node.tokens.get()
        self._session.warm(LOOK_TIMEOUT)

    def preflight(self) -> list[str]:
        """Only of this instance: to ask about networks would take permissions that a node needs for nothing else."""
        instance = self.client(REQUEST_TIMEOUT).get_instance(self.me)
        problems = []
        if not instance.get("canIpForward"):
            problems.append(
                f"{self.me} may not forward (canIpForward): no route can lead to it. Create it anew with that"
            )
        addresses = {
            normalise(each.get("network", "")): each.get("networkIP")
            for each in instance.get("networkInterfaces") or ()
        }
        if self.network not in addresses:
            problems.append(f"{self.me} has no interface on {self.network}; it is on {', '.join(addresses) or 'none'}")
        elif self.across and addresses[self.network] != self.address:
            problems.append(
                f"{self.me} has {addresses[self.network]} on {self.network}, and the route would lead to"
                f" {self.address}, which is on another network of that name: rename one of them"
            )
        return problems

    def client(
        self,
        timeout: float,
        cancelled: Callable[[], bool] = lambda: False,
        notify: Callable[[dict[str, Any]], None] = lambda event: None,
    ) -> Watched:
        api = self._api
        if api is None:
            raise RuntimeError("prepare() comes first")
        api.compute.timeout = timeout
        api.compute.cancelled = cancelled
        api.notify = notify
        return api


class Watched:
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
        """name: or the route's id."""
        self.notify({"event": "mutation"})
        self.compute.delete_route(name, request_id)

    def get_instance(self, path: str) -> dict[str, Any]:
        return self.compute.get_instance(path)

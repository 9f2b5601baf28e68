# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Looks at the instances, interfaces, subnets and permissions that a move of alias IP ranges depends on."""

from __future__ import annotations

import contextlib

from ..base.errors import Unavailable
from ..clouds.gce_names import normalise, parse_range, zone_of
from .checked import unchecked

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any, Protocol

    from .alias_goal import AliasGoal, Place, Want

    Interface = dict[str, Any]
else:
    Protocol = object

UPDATE = "compute.instances.updateNetworkInterface"
USE = "compute.subnetworks.use"
FOLLOW = "compute.zoneOperations.get"


class AliasApi(Protocol):
    """The verbs that this procedure needs of a client. Errors are those of base/errors.py."""

    def list_instances(self) -> tuple[list[dict[str, Any]], list[str]]:
        """All instances of the project, and the zones that did not answer."""

    def get_instance(self, path: str) -> dict[str, Any]: ...

    def list_subnetworks(self, network: str) -> list[dict[str, Any]]: ...

    def test_permissions(self, path: str, permissions: list[str]) -> set[str]: ...

    def may_follow_operations(self, scope: str) -> bool: ...

    def update_network_interface(self, path: str, interface: str, body: dict[str, Any], request_id: str) -> None:
        """Returns when the operation is done."""

    def stop_instance(self, path: str, request_id: str) -> None:
        """Returns when the operation is done."""


class Fleet:
    """Instances as they were seen.

    instances    dict  the API's objects, by path
    interfaces   dict  the API's objects, by Place
    subnetworks  dict  the API's objects, by path
    silent       set   the zones that did not answer: their instances are missing
    """

    __slots__ = ("_spans", "instances", "interfaces", "silent", "subnetworks")

    def __init__(
        self,
        instances: Iterable[dict[str, Any]] = (),
        silent: Iterable[str] = (),
        subnetworks: Iterable[dict[str, Any]] = (),
    ) -> None:
        self.instances = {normalise(each["selfLink"]): each for each in instances}
        self.interfaces: dict[Place, Interface] = {
            (path, interface.get("name", "")): interface
            for path, each in self.instances.items()
            for interface in each.get("networkInterfaces") or ()
        }
        self.subnetworks = {normalise(each["selfLink"]): each for each in subnetworks}
        self.silent = set(silent)
        self._spans: list[tuple[int, int, Place, bool]] | None = None

    @property
    def spans(self) -> list[tuple[int, int, Place, bool]]:
        """Each address and range of each interface: first and last address, where, whether it is an alias range."""
        if self._spans is None:
            self._spans = []
            for place, interface in self.interfaces.items():
                texts = [(interface.get("networkIP"), False)]
                texts += [(each.get("ipCidrRange"), True) for each in interface.get("aliasIpRanges") or ()]
                for text, alias in texts:
                    with contextlib.suppress(ValueError):
                        self._spans.append((*parse_range(text or "")[1], place, alias))
        return self._spans

    def network(self, place: Place) -> str:
        return normalise(self.interfaces[place].get("network", ""))

    def nics(self, path: str) -> str:
        """The names of an instance's interfaces, for a message."""
        return ", ".join(sorted(nic for other, nic in self.interfaces if other == path)) or "none"

    def holders(self, want: Want, network: str | None) -> list[Place]:
        """The interfaces that have exactly this range. network: only on that one; None: on any."""
        return [
            place
            for begin, end, place, alias in self.spans
            if alias and (begin, end) == want.span and network in (None, self.network(place))
        ]


def see(client: AliasApi, goal: AliasGoal, fleet: Fleet | None = None) -> Fleet:
    """All instances, and the subnets of the candidates' networks. fleet: the instances, if they were seen already."""
    fleet = fleet or Fleet(*client.list_instances())
    places = [place for want in goal.wants for place in want.candidates if place in fleet.interfaces]
    for network in sorted({fleet.network(place) for place in places}):
        for subnetwork in client.list_subnetworks(network):
            fleet.subnetworks[normalise(subnetwork["selfLink"])] = subnetwork
    return fleet


def permission_problems(
    client: AliasApi,
    fleet: Fleet,
    gaining: Iterable[Place],
    losing: Iterable[Place] = (),
    unasked: list[str] | None = None,
) -> list[str]:
    """The permissions that the caller lacks to add ranges to some interfaces, and to learn that it is done.

    unasked: gets a note if a question is not answered, and the rest is not asked; None: that error is raised.
    """
    places = sorted(set(gaining))
    wanted = dict.fromkeys((path for path, _nic in places), UPDATE)
    subnetworks = (normalise(fleet.interfaces[place].get("subnetwork", "")) for place in places)
    wanted.update(dict.fromkeys(subnetworks, USE))
    lacking = []
    try:
        for path, permission in wanted.items():
            if permission not in client.test_permissions(path, [permission]):
                lacking.append((permission, path))
        seen = (zone_of(path) for path, _nic in [*places, *losing])
        zone = next((zone for zone in seen if zone not in fleet.silent), None)
        if zone and not client.may_follow_operations(f"zones/{zone}"):
            lacking.append((FOLLOW, "the project"))
    except Unavailable as error:
        if unasked is None:
            raise
        unasked.append(unchecked(error))
    return [
        f"the caller does not have the permission {permission} on {path}: give it a role that has it"
        for permission, path in lacking
    ]


def no_answer(zones: Iterable[str]) -> str:
    """Zones that are silent, in words that a sentence goes on with or ends with: from ZONES there is no answer."""
    return f"from {', '.join(sorted(zones))} there is no answer"

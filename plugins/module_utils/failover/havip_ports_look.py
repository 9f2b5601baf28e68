# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Looks at the ports of a network, and at their owners: Neutron's, and Huawei Cloud's."""

from __future__ import annotations

from typing import NamedTuple

from ..base.errors import NotFound
from .facts import Facts, ask
from .havip_look import Observed, host
from .havip_port_table import fixed_of, vip_of, words_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any, Protocol

    from .facts import Question
    from .havip_goal import Goal
    from .havip_port_table import Port
    from .havip_ports import Ports
else:
    Protocol = object


class PortsApi(Protocol):
    """The verbs of a client of Neutron, and of Huawei Cloud, whose API is like it. Errors: see base/errors.py.

    A port is a dictionary with the API's own names: id, name, description, network_id, mac_address, fixed_ips
    [{subnet_id, ip_address}], device_id, device_owner, port_security_enabled, allowed_address_pairs [{ip_address,
    mac_address}] and, where the API has it, revision_number. A subnet: id, name, network_id, cidr.
    An external address (floating IP, EIP) is {id, address, port_id, fixed_ip, revision_number}, "" and None for none.
    """

    def list_networks(self) -> list[dict[str, Any]]:
        """Those that the caller can see: id, name."""

    def list_subnets(self) -> list[dict[str, Any]]:
        """Those that the caller can see."""

    def list_ports(self, network_id: str) -> list[dict[str, Any]]:
        """All ports of the network."""

    def list_servers(self) -> list[dict[str, Any]]:
        """The project's servers: id, name."""

    def list_external(self) -> list[dict[str, Any]]:
        """The project's external addresses."""

    def create_port(self, body: dict[str, Any]) -> dict[str, Any]: ...

    def update_port(self, port_id: str, body: dict[str, Any], revision: int | None = None) -> None:
        """Changes only the keys of body. With a revision, raises Stale if the port has another one by now."""

    def delete_port(self, port_id: str, revision: int | None = None) -> None: ...

    def get_port(self, port_id: str) -> dict[str, Any]: ...

    def set_external(self, external: Mapping[str, Any], port_id: str | None, fixed_ip: str | None) -> None:
        """Attaches an external address, as it was listed, to a port's address; or with None detaches it."""


class Place(NamedTuple):
    """Where a virtual IP is looked for.

    network: its id; "" if there is nothing to look at. subnet: the one that is named, or {}. subnets: all of the
    network. problems: why it is not known.
    """

    network: str = ""
    subnet: Mapping[str, Any] = {}
    subnets: Sequence[Mapping[str, Any]] = ()
    problems: Sequence[str] = ()


class PortsObserved(Observed):
    """What is there. The data of a Vip is its port, and so is that of a Member.

    | field     | type           | meaning                                                    |
    |-----------|----------------|------------------------------------------------------------|
    | place     | Place          | the network and the subnet that were looked at             |
    | ports     | dict           | all ports of the network, by id                            |
    | servers   | dict           | names of servers by id; {} if no member needs them         |
    | externals | tuple of dicts | the project's external addresses                           |
    """

    place: Place
    ports: Mapping[str, Port]
    servers: Mapping[str, str]
    externals: Sequence[Mapping[str, Any]]

    def __init__(
        self,
        place: Place,
        ports: Mapping[str, Port] | None = None,
        servers: Mapping[str, str] | None = None,
        externals: Iterable[Mapping[str, Any]] = (),
        **more: Any,
    ) -> None:
        super().__init__(
            place=place,
            ports=ports or {},
            servers=servers or {},
            externals=tuple(externals),
            **more,
        )


def look(cloud: Ports, client: PortsApi, goal: Goal, lasting: Mapping[Question, Any]) -> PortsObserved:
    """Reads the network's ports, external addresses, and servers if a member may be given by the name of one."""
    known, place = ask(client, Facts(answers=lasting), lambda facts: locate(facts, goal))
    # They do not change during a run, or the API refuses what was planned for them.
    lasting = {key: answer for key, answer in known.answers.items() if key in (("list_networks",), ("list_subnets",))}
    if not place.network:
        return PortsObserved(place, lasting=lasting)
    ports = {port["id"]: port for port in client.list_ports(place.network)}
    servers = {}
    words = {word for port in ports.values() for word in words_of(port)}
    refs = [*((goal.members or ()) if goal.present else ()), *goal.unchecked]
    if not all(ref in words or host(ref) in words for ref in refs):
        servers = {server["id"]: server["name"] for server in client.list_servers()}
    externals = client.list_external()
    subnet = place.subnet.get("id")
    vips = [vip_of(port, subnet, externals) for port in ports.values() if cloud.is_vip(port) and fixed_of(port, subnet)]
    return PortsObserved(
        place,
        ports,
        servers,
        externals,
        vips=[vip._replace(members=cloud.members(vip, ports, servers)) for vip in vips],
        locked=cloud.is_locked(ports),
        lasting=lasting,
    )


def locate(facts: Facts, goal: Goal) -> Place:
    """Which network and subnet are meant, as far as that can be told before the virtual IP is found."""
    networks = facts.answer("list_networks") if goal.network else []
    subnets = facts.answer("list_subnets")
    network, subnet = "", {}
    if goal.network:
        networks = [each for each in networks if goal.network in (each["id"], each["name"])]
        if len(networks) != 1:
            return Place(problems=[_not_one("network", goal.network, networks)])
        network = networks[0]["id"]
    if goal.subnet:
        found = [
            each
            for each in subnets
            if goal.subnet in (each["id"], each["name"]) and network in ("", each["network_id"])
        ]
        if len(found) != 1:
            return Place(problems=[_not_one("subnet", goal.subnet, found)])
        subnet = found[0]
        network = subnet["network_id"]
    if not network and goal.vip_id:
        try:
            network = facts.answer("get_port", goal.vip_id)["network_id"]
        except NotFound:
            return Place(problems=[f"vip_id: there is no virtual IP {goal.vip_id}"] if goal.present else [])
    elif not network:
        return Place(problems=["network: give it, or subnet, to say where the virtual IP is"])
    return Place(network, subnet, [each for each in subnets if each["network_id"] == network])


def _not_one(option: str, value: str, found: list[dict[str, Any]]) -> str:
    if not found:
        return f"{option}: there is no {option} {value}, or the caller cannot see it"
    return f"{option}: {len(found)} are called {value}: {', '.join(each['id'] for each in found)}. Say which by its id"

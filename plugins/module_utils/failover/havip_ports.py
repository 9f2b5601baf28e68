# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Virtual IPs that are ports of a network: OpenStack Neutron, and what havip_huaweicloud.py has in common with it.

In Neutron each member's port has the virtual IP among its allowed address pairs. In Huawei Cloud the virtual IP's port
has the members' addresses there, and each member's port has 1.1.1.1/0, which switches its source/destination check off.
"""

from __future__ import annotations

from ..base.errors import NotFound, Stale
from .engine import Step
from .havip import (
    ATTACH,
    BIND,
    CREATE,
    DELETE,
    DETACH,
    MEMBERS,
    UNBIND,
    UPDATE,
    Havip,
    Survey,
    check_external,
    check_limits,
    choose,
    host,
    inside,
    taken,
)
from .havip_goal import Member, Vip
from .havip_port_table import (
    address_in,
    addresses_of,
    allows,
    covers,
    fixed_of,
    has_pair,
    is_for,
    key_of,
    listed_in,
    member_of,
    name_of,
    pairs_of,
    vip_of,
    whose,
    with_pair,
    words_of,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any

    from .engine import Memory
    from .havip_goal import Goal, PortsApi
    from .havip_port_table import Pair, Port

VIP_OWNER = "neutron:VIP_PORT"


class PortSurvey(Survey):
    """ports: of the network, by id. The data of a Vip is its port, and so is that of a Member. address: that of the
    virtual IP that is not there any more. unchecked: the members that Goal.unchecked names.
    """

    def __init__(self, goal: Goal) -> None:
        super().__init__(goal)
        self.address = ""
        self.unchecked: list[Member] = []
        self.ports: dict[str, Port] = {}
        self.subnets: list[dict[str, Any]] = []


class Ports(Havip):
    """What Neutron and Huawei Cloud have in common."""

    owners: tuple[str, ...]

    def bind_all(self, s: PortSurvey, names: dict[str, str]) -> None:
        """Fill in the members of each virtual IP."""
        raise NotImplementedError

    def body(self, goal: Goal) -> Port:
        """What a new virtual IP's port has besides its address."""
        raise NotImplementedError

    def held(self, s: PortSurvey, ports: list[Port]) -> set[str]:
        """The addresses of the virtual IPs that these ports of a machine have."""
        raise NotImplementedError

    def look(self, client: PortsApi, goal: Goal, memory: Memory) -> PortSurvey:
        s = PortSurvey(goal)
        if not _find_network(s, client, memory):
            return s
        s.ports = {port["id"]: port for port in client.list_ports(s.network)}
        refs = goal.members if goal.present and goal.members is not None else []
        names = self._server_names(s, client, [*refs, *goal.unchecked])
        self._judge(s, refs, names, client.list_external(), memory)
        return s

    def _judge(
        self,
        s: PortSurvey,
        refs: list[str],
        names: dict[str, str],
        externals: list[dict[str, Any]],
        memory: Memory,
    ) -> None:
        """Fill in what follows from what was read; asks nobody. names: of servers, by their ids."""
        goal = s.goal
        s.vips = [
            vip_of(port, s.subnet.get("id"))
            for port in s.ports.values()
            if self.is_vip(port) and fixed_of(port, s.subnet.get("id"))
        ]
        self.bind_all(s, names)
        for vip in s.vips:
            vip.external = [each for each in externals if each["port_id"] == vip.id]
        if goal.vip_id in s.ports and not self.is_vip(s.ports[goal.vip_id]):
            s.problems.append(f"vip_id: {goal.vip_id} is no virtual IP, but {whose(s.ports[goal.vip_id])}")
            return
        choose(s, memory)
        _check_address(s, memory)
        if goal.present and not s.problems:
            s.wanted = self._members(s, "members", refs, names)
            self._check_limits(s)
            check_external(s, externals)
        if not s.problems:
            s.unchecked = self._members(s, "source_check_off", goal.unchecked, names)
        if not goal.present and s.vip is None:
            s.address = memory.facts["vip"][1] if "vip" in memory.facts else goal.address or ""
            s.loose = self.loose(s)
        concerned = {s.vip.id, *s.vip.members} if s.vip else set()
        concerned.update(member.id for member in (*s.wanted, *s.unchecked))
        s.signature = tuple(
            (each, tuple(sorted(key_of(pair) for pair in pairs_of(s.ports[each]))))
            for each in sorted(concerned)
            if each in s.ports
        )

    def is_vip(self, port: Port) -> bool:
        return (port.get("device_owner") or "") in self.owners and not port.get("device_id")

    def loose(self, s: PortSurvey) -> list[Member]:
        return []

    def create(self, s: Survey) -> Step:
        goal = s.goal
        fixed = {"subnet_id": s.subnet.get("id")}
        if goal.address:
            fixed["ip_address"] = goal.address
        body = {"network_id": s.network, "fixed_ips": [fixed], **self.body(goal), **goal.creation}

        def do(client: PortsApi, request_id: str) -> None:
            # Nothing keeps a request whose answer was lost from being carried out twice, unless the address does.
            for port in client.list_ports(s.network) if not goal.address else ():
                if self.is_vip(port) and port.get("name") == goal.name and address_in(port, s.subnet.get("id")):
                    raise taken(goal.label())
            client.create_port(body)

        return Step(CREATE, goal.label(), do, contested=bool(goal.address))

    def update(self, s: Survey, vip: Vip, name: str, remark: str | None) -> Step:
        body = {key: value for key, value in (("name", name), ("description", remark)) if value is not None}
        return Step(UPDATE, str(vip), lambda client, request_id: client.update_port(vip.id, body), key=str(body))

    def delete(self, vip: Vip) -> Step:
        revision = vip.data.get("revision_number")
        return Step(DELETE, str(vip), lambda client, request_id: client.delete_port(vip.id, revision))

    def external(self, vip: Vip, external: dict[str, Any], attach: bool) -> Step:
        def do(client: PortsApi, request_id: str) -> None:
            if external.get("revision_number") is None:
                # It may be somebody else's by now.
                there = next((each for each in client.list_external() if each["id"] == external["id"]), None)
                if there is None or there["port_id"] not in (external["port_id"], vip.id if attach else None):
                    raise Stale(f"{external['address']} was changed meanwhile.", resource=external["address"])
            client.set_external(external, vip.id if attach else None, vip.address if attach else None)

        name = ATTACH if attach else DETACH
        return Step(name, f"{external['address']} {'to' if attach else 'from'} {vip}", do)

    # --- members

    def _server_names(self, s: PortSurvey, client: PortsApi, refs: Iterable[str]) -> dict[str, str]:
        """The names of servers by their ids: only if a member is given by what may be one."""
        known = {word for port in s.ports.values() for word in words_of(port)}
        if all(ref in known or host(ref) in known for ref in refs):
            return {}
        return {server["id"]: server["name"] for server in client.list_servers()}

    def _members(self, s: PortSurvey, option: str, refs: Iterable[str], names: dict[str, str]) -> list[Member]:
        """Those that an option names. What is wrong with them is said, if they are to be used."""
        members: dict[str, Member] = {}
        problems: list[str] = []
        for ref in refs:
            found = _resolve(s, ref, names)
            if isinstance(found, str):
                problems.append(f"{option}: {found}")
                continue
            member = member_of(found, s.subnet.get("id"), names)
            if self.is_vip(found) and (found.get("device_owner") or (s.vip and s.vip.id == found["id"])):
                problems.append(f"{option}: {ref} is a virtual IP itself ({member})")
            elif str(found.get("device_owner") or "").startswith("network:"):
                problems.append(f"{option}: {ref} is {whose(found)}, and no server's port")
            elif not member.address:
                there = ", ".join(f"{fixed['ip_address']}" for fixed in found.get("fixed_ips") or ()) or "no address"
                subnet = f"{name_of(s.subnet)} ({s.subnet['cidr']})"
                problems.append(f"{option}: {ref} is not in the virtual IP's subnet {subnet}: it has {there}")
            elif found.get("port_security_enabled") is False:
                problems.append(
                    f"{option}: port security is off on {member}, port {found['id']}: the cloud allows it every "
                    "address, and takes no binding. Switch it on, or leave this member out"
                )
            else:
                members.setdefault(member.id, member)
        if s.goal.present:
            s.problems += problems
        return list(members.values())

    def _check_limits(self, s: PortSurvey) -> None:
        held = {}
        for member in s.wanted:
            device = member.data.get("device_id")
            ports = [port for port in s.ports.values() if device and port.get("device_id") == device]
            held[member.id] = self.held(s, ports or [member.data])
        check_limits(s, held)


class Neutron(Ports):
    """Each member's port is changed by itself, with the revision it was seen with: a change by others is never lost.

    A Neutron without revisions is written to like Huawei Cloud.
    """

    owners = ("", VIP_OWNER)

    def bind_all(self, s: PortSurvey, names: dict[str, str]) -> None:
        s.locked = all(port.get("revision_number") is not None for port in s.ports.values())
        for vip in s.vips:
            for port in s.ports.values():
                if port["id"] != vip.id and allows(port, vip.address):
                    member = member_of(port, vip.subnet, names)
                    vip.members[member.id] = member

    def body(self, goal: Goal) -> Port:
        return {"name": goal.name or "", "description": goal.remark or ""}

    def held(self, s: PortSurvey, ports: list[Port]) -> set[str]:
        return {host(pair["ip_address"]) for port in ports for pair in pairs_of(port)} - {""}

    def loose(self, s: PortSurvey) -> list[Member]:
        if any(s.address in addresses_of(port) for port in s.ports.values()):
            return []
        return [member_of(port, None, {}) for port in s.ports.values() if allows(port, s.address)]

    def rebind(self, s: Survey, vip: Vip, target: dict[str, Member]) -> Iterator[Step]:
        for member in s.wanted:
            ours = {"ip_address": vip.address, "mac_address": member.data.get("mac_address")}
            if not has_pair(pairs_of(member.data), ours):
                yield edit_pairs(BIND, vip.address, member, lambda pairs, ours=ours: with_pair(pairs, ours))  # type: ignore[misc]
        for member in vip.members.values():
            if member.id not in target:
                yield self._unbind(vip.address, member)

    def release(self, s: Any) -> Iterator[Step]:
        for member in s.loose:
            yield self._unbind(s.address, member)

    def complaints(self, s: Any) -> list[str]:
        said = super().complaints(s)
        owned = {address for port in s.ports.values() for address in addresses_of(port)}
        strays: dict[str, list[Member]] = {}
        for port in s.ports.values():
            for address in listed_in(port) - owned:
                if any(inside(address, subnet["cidr"]) for subnet in s.subnets):
                    strays.setdefault(address, []).append(member_of(port, None, {}))
        for address, members in sorted(strays.items()):
            who = ", ".join(sorted(map(str, members)))
            said.append(
                f"{address} may be used by {who}, and no port reserves it, so that the cloud may give it to somebody "
                "else; create a virtual IP with it, or unbind them (state=absent)"
            )
        for vip in s.vips:
            for port in s.ports.values():
                covering = [str(pair["ip_address"]) for pair in pairs_of(port) if covers(pair, vip.address)]
                if covering and port["id"] not in vip.members:
                    who = f"{member_of(port, None, {})} is not bound to it, and may use it by {' and '.join(covering)}"
                    said.append(f"virtual IP {vip}: {who}; narrow that pair down if this is not meant")
        return said

    def _unbind(self, address: str, member: Member) -> Step:
        return edit_pairs(UNBIND, address, member, lambda pairs: [pair for pair in pairs if not is_for(pair, address)])


# --- steps


def edit_pairs(
    name: str, what: str, member: Member, edit: Callable[[list[Pair]], list[Pair]], locked: bool = True
) -> Step:
    """Change the pairs of a port: those it was seen with, if the API then compares the revision; else as they are."""
    seen, revision = member.data, member.data.get("revision_number") if locked else None

    def do(client: PortsApi, request_id: str) -> None:
        pairs = pairs_of(seen if revision is not None else client.get_port(member.id))
        wanted = edit(pairs)
        if wanted != pairs:
            client.update_port(member.id, {"allowed_address_pairs": wanted}, revision)

    resource = what if name == MEMBERS else f"{what} on {member}" if what else str(member)
    return Step(name, resource, do, contested=True)


# --- where


def _find_network(s: PortSurvey, client: PortsApi, memory: Memory) -> bool:
    """Which network and subnet are meant, as far as that can be told before the virtual IP is found."""
    goal = s.goal
    if "networks" not in memory.facts:
        # They do not change during a run, or the API refuses what was planned for them.
        memory.facts["networks"] = client.list_networks() if goal.network else [], client.list_subnets()
    networks, subnets = memory.facts["networks"]
    if goal.network:
        networks = [each for each in networks if goal.network in (each["id"], each["name"])]
        if len(networks) != 1:
            s.problems.append(_not_one("network", goal.network, networks))
            return False
        s.network = networks[0]["id"]
    if goal.subnet:
        found = [
            each
            for each in subnets
            if goal.subnet in (each["id"], each["name"]) and s.network in ("", each["network_id"])
        ]
        if len(found) != 1:
            s.problems.append(_not_one("subnet", goal.subnet, found))
            return False
        s.subnet = found[0]
        s.network = s.subnet["network_id"]
    if not s.network and goal.vip_id:
        try:
            s.network = client.get_port(goal.vip_id)["network_id"]
        except NotFound:
            if goal.present:
                s.problems.append(f"vip_id: there is no virtual IP {goal.vip_id}")
            return False
    elif not s.network:
        s.problems.append("network: give it, or subnet, to say where the virtual IP is")
        return False
    s.subnets = [each for each in subnets if each["network_id"] == s.network]
    return True


def _not_one(option: str, value: str, found: list[dict[str, Any]]) -> str:
    if not found:
        return f"{option}: there is no {option} {value}, or the caller cannot see it"
    return f"{option}: {len(found)} are called {value}: {', '.join(each['id'] for each in found)}. Say which by its id"


def _check_address(s: PortSurvey, memory: Memory) -> None:
    """Whether the address can be had, and which subnet it is in."""
    goal = s.goal
    if s.vip:
        s.subnet = next((each for each in s.subnets if each["id"] == s.vip.subnet), s.subnet)
        return
    if goal.address and "vip" not in memory.facts:
        owner = next((port for port in s.ports.values() if goal.address in addresses_of(port)), None)
        if owner:
            s.problems.append(f"address: {goal.address} belongs to {whose(owner)}, which is no virtual IP")
            return
    if not goal.present or s.problems:
        return
    choice = [s.subnet] if s.subnet else s.subnets
    if goal.address:
        fitting = [each for each in choice if inside(goal.address, each["cidr"])]
        if not fitting:
            there = (
                ", ".join(f"{name_of(each)} ({each['cidr']})" for each in choice) or "the network, which has no subnet"
            )
            s.problems.append(f"address: {goal.address} is outside {there}")
            return
        choice = fitting
    if len(choice) != 1:
        there = ", ".join(f"{name_of(each)} ({each['cidr']})" for each in choice) or "none"
        s.problems.append(f"subnet: say in which one the virtual IP shall be; the network has: {there}")
        return
    s.subnet = choice[0]


def _resolve(s: PortSurvey, ref: str, names: dict[str, str]) -> Port | str:
    """The port that a member is given by, or why there is none."""
    if ref in s.ports:
        return s.ports[ref]
    ports = list(s.ports.values())
    address = host(ref)
    servers = {each for each, name in names.items() if ref in (each, name)}
    if not ref:
        found = []
    elif address:
        found = [port for port in ports if address in addresses_of(port)]
    else:
        found = [port for port in ports if port.get("device_id") in {ref, *servers} or port.get("name") == ref]
    if not found:
        what = f"server {ref} has no port on" if servers else f"there is no port, address or server {ref!r} on"
        return f"{what} network {s.network}"
    if len(found) > 1:
        found = [port for port in found if address_in(port, s.subnet.get("id"))] or found
    if len(found) > 1:
        several = ", ".join(f"{port['id']} ({', '.join(sorted(addresses_of(port)))})" for port in found)
        return f"{ref} means several ports: {several}. Say which by its id or address"
    return found[0]

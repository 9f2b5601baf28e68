# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Virtual IPs that are ports of a network: OpenStack Neutron, and Huawei Cloud, which binds the other way round.

In Neutron each member's port has the virtual IP among its allowed address pairs. In Huawei Cloud the virtual IP's port
has the members' addresses there, and each member's port has 1.1.1.1/0, which switches its source/destination check off.
"""

from __future__ import annotations

import ipaddress

from ..base.errors import NotFound, Stale
from .engine import Step
from .havip import (
    ATTACH,
    BIND,
    CHECK_OFF,
    CHECK_ON,
    CREATE,
    DELETE,
    DETACH,
    MEMBERS,
    UNBIND,
    UPDATE,
    Havip,
    Member,
    Survey,
    Vip,
    check_external,
    check_limits,
    choose,
    host,
    inside,
    taken,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any

    from .engine import Memory
    from .havip import Goal, PortsApi

    Port = dict[str, Any]
    Pair = dict[str, Any]

VIP_OWNER = "neutron:VIP_PORT"
UNCHECKED = "1.1.1.1/0"  # Huawei Cloud's word for no source/destination check


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


class _Ports(Havip):
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
        s.vips = [_vip(port, s) for port in s.ports.values() if self.is_vip(port) and _fixed(port, s)]
        self.bind_all(s, names)
        externals = client.list_external()
        for vip in s.vips:
            vip.external = [each for each in externals if each["port_id"] == vip.id]
        if goal.vip_id in s.ports and not self.is_vip(s.ports[goal.vip_id]):
            s.problems.append(f"vip_id: {goal.vip_id} is no virtual IP, but {_whose(s.ports[goal.vip_id])}")
            return s
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
            (each, tuple(sorted(_key(pair) for pair in _pairs(s.ports[each]))))
            for each in sorted(concerned)
            if each in s.ports
        )
        return s

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
                if self.is_vip(port) and port.get("name") == goal.name and _address(port, s.subnet.get("id")):
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
        known = {word for port in s.ports.values() for word in _words(port)}
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
            member = _member(found, s.subnet.get("id"), names)
            if self.is_vip(found) and (found.get("device_owner") or (s.vip and s.vip.id == found["id"])):
                problems.append(f"{option}: {ref} is a virtual IP itself ({member})")
            elif str(found.get("device_owner") or "").startswith("network:"):
                problems.append(f"{option}: {ref} is {_whose(found)}, and no server's port")
            elif not member.address:
                there = ", ".join(f"{fixed['ip_address']}" for fixed in found.get("fixed_ips") or ()) or "no address"
                subnet = f"{_name(s.subnet)} ({s.subnet['cidr']})"
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


class Neutron(_Ports):
    """Each member's port is changed by itself, with the revision it was seen with: a change by others is never lost.

    A Neutron without revisions is written to like Huawei Cloud.
    """

    owners = ("", VIP_OWNER)

    def bind_all(self, s: PortSurvey, names: dict[str, str]) -> None:
        s.locked = all(port.get("revision_number") is not None for port in s.ports.values())
        for vip in s.vips:
            for port in s.ports.values():
                if port["id"] != vip.id and _allows(port, vip.address):
                    member = _member(port, vip.subnet, names)
                    vip.members[member.id] = member

    def body(self, goal: Goal) -> Port:
        return {"name": goal.name or "", "description": goal.remark or ""}

    def held(self, s: PortSurvey, ports: list[Port]) -> set[str]:
        return {host(pair["ip_address"]) for port in ports for pair in _pairs(port)} - {""}

    def loose(self, s: PortSurvey) -> list[Member]:
        if any(s.address in _addresses(port) for port in s.ports.values()):
            return []
        return [_member(port, None, {}) for port in s.ports.values() if _allows(port, s.address)]

    def rebind(self, s: Survey, vip: Vip, target: dict[str, Member]) -> Iterator[Step]:
        for member in s.wanted:
            ours = {"ip_address": vip.address, "mac_address": member.data.get("mac_address")}
            if not _has(_pairs(member.data), ours):
                yield _edit(BIND, vip.address, member, lambda pairs, ours=ours: _add(pairs, ours))  # type: ignore[misc]
        for member in vip.members.values():
            if member.id not in target:
                yield self._unbind(vip.address, member)

    def release(self, s: Any) -> Iterator[Step]:
        for member in s.loose:
            yield self._unbind(s.address, member)

    def complaints(self, s: Any) -> list[str]:
        said = super().complaints(s)
        owned = {address for port in s.ports.values() for address in _addresses(port)}
        strays: dict[str, list[Member]] = {}
        for port in s.ports.values():
            for address in _listed(port) - owned:
                if any(inside(address, subnet["cidr"]) for subnet in s.subnets):
                    strays.setdefault(address, []).append(_member(port, None, {}))
        for address, members in sorted(strays.items()):
            who = ", ".join(sorted(map(str, members)))
            said.append(
                f"{address} may be used by {who}, and no port reserves it, so that the cloud may give it to somebody "
                "else; create a virtual IP with it, or unbind them (state=absent)"
            )
        for vip in s.vips:
            for port in s.ports.values():
                covering = [str(pair["ip_address"]) for pair in _pairs(port) if _covers(pair, vip.address)]
                if covering and port["id"] not in vip.members:
                    who = f"{_member(port, None, {})} is not bound to it, and may use it by {' and '.join(covering)}"
                    said.append(f"virtual IP {vip}: {who}; narrow that pair down if this is not meant")
        return said

    def _unbind(self, address: str, member: Member) -> Step:
        return _edit(UNBIND, address, member, lambda pairs: [pair for pair in pairs if not _is(pair, address)])


class Huawei(_Ports):
    """The API has no revisions: a list is read again right before it is written, and verified until it has settled."""

    owners = (VIP_OWNER,)

    def bind_all(self, s: PortSurvey, names: dict[str, str]) -> None:
        by_address = {address: port for port in s.ports.values() for address in _addresses(port)}
        for vip in s.vips:
            for pair in _pairs(vip.data):
                address = host(pair["ip_address"])
                port = by_address.get(address)
                if port:
                    member = _member(port, vip.subnet, names)
                elif address:
                    member = Member(address, address=address)
                else:
                    continue
                vip.members[member.id] = member

    def body(self, goal: Goal) -> Port:
        return {"name": goal.name or "", "device_owner": VIP_OWNER}

    def held(self, s: PortSurvey, ports: list[Port]) -> set[str]:
        mine = {address for port in ports for address in _addresses(port)}
        return {
            fixed["ip_address"]
            for port in s.ports.values()
            if self.is_vip(port) and mine & _listed(port)
            for fixed in port.get("fixed_ips") or ()
        }

    def rebind(self, s: Any, vip: Vip, target: dict[str, Member]) -> Iterator[Step]:
        # Who is listed gets packets for the address. So whoever comes is able to take them before, and whoever goes
        # is recognised until all of it is done.
        for member in {member.id: member for member in (*s.wanted, *s.unchecked)}.values():
            if s.goal.present and not _unchecked(member.data):
                yield _edit(CHECK_OFF, "", member, lambda pairs: _add(pairs, {"ip_address": UNCHECKED}), locked=False)
        leaving = [member for member in vip.members.values() if member.id not in target]
        yield from self._restore(s, leaving, vip.id)
        coming = [member for member in target.values() if member.address not in _listed(vip.data)]
        if not leaving and not coming:
            return
        gone = {address for member in leaving for address in _addresses(member.data) or {member.address}}

        def edit(pairs: list[Pair]) -> list[Pair]:
            pairs = [pair for pair in pairs if host(pair["ip_address"]) not in gone]
            for member in coming:
                pairs = _add(pairs, {"ip_address": member.address})
            return pairs

        listed = Member(vip.id, vip.address, data=vip.data)
        words = [f"+{member}" for member in coming] + [f"-{member}" for member in leaving]
        yield _edit(MEMBERS, f"{vip}: {', '.join(words)}", listed, edit, locked=False)

    def release(self, s: Any) -> Iterator[Step]:
        return self._restore(s, [], "")

    def complaints(self, s: Survey) -> list[str]:
        said = super().complaints(s)
        for vip in s.vips:
            for member in vip.members.values():
                if not member.data:
                    said.append(f"virtual IP {vip} is bound to {member}, which no port has; bind the right members")
                elif not _unchecked(member.data):
                    said.append(
                        f"virtual IP {vip} is bound to {member}, whose source/destination check is on, so that it gets "
                        "no packets for it; bind it once more with this module"
                    )
        return said

    def _restore(self, s: PortSurvey, leaving: list[Member], vip_id: str) -> Iterator[Step]:
        """Those that need it no longer get their source/destination check back, if that is wanted."""
        if not s.goal.restore_check:
            return
        gone = {member.id: member for member in leaving}
        for member in s.unchecked:
            if s.goal.present:
                gone.pop(member.id, None)
            else:
                gone[member.id] = member
        for member in gone.values():
            if _unchecked(member.data) and not self._needed(s.ports.values(), vip_id, member):
                yield self._check_on(s.network, vip_id, member)

    def _needed(self, ports: Iterable[Port], vip_id: str, member: Member) -> bool:
        """Whether another virtual IP needs the member's source/destination check to be off."""
        mine = _addresses(member.data)
        return any(self.is_vip(port) and port["id"] != vip_id and mine & _listed(port) for port in ports)

    def _check_on(self, network: str, vip_id: str, member: Member) -> Step:
        def do(client: PortsApi, request_id: str) -> None:
            ports = {port["id"]: port for port in client.list_ports(network)}
            if self._needed(ports.values(), vip_id, member):
                raise Stale(f"Another virtual IP is bound to {member} by now.", resource=member.id)
            if member.id not in ports:
                raise NotFound(f"Port {member.id} is not there any more.", resource=member.id)
            pairs = [pair for pair in _pairs(ports[member.id]) if not _is_unchecked(pair)]
            client.update_port(member.id, {"allowed_address_pairs": pairs})

        return Step(CHECK_ON, str(member), do, contested=True)


# --- steps


def _edit(name: str, what: str, member: Member, edit: Callable[[list[Pair]], list[Pair]], locked: bool = True) -> Step:
    """Change the pairs of a port: those it was seen with, if the API then compares the revision; else as they are."""
    seen, revision = member.data, member.data.get("revision_number") if locked else None

    def do(client: PortsApi, request_id: str) -> None:
        pairs = _pairs(seen if revision is not None else client.get_port(member.id))
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
        owner = next((port for port in s.ports.values() if goal.address in _addresses(port)), None)
        if owner:
            s.problems.append(f"address: {goal.address} belongs to {_whose(owner)}, which is no virtual IP")
            return
    if not goal.present or s.problems:
        return
    choice = [s.subnet] if s.subnet else s.subnets
    if goal.address:
        fitting = [each for each in choice if inside(goal.address, each["cidr"])]
        if not fitting:
            there = (
                ", ".join(f"{_name(each)} ({each['cidr']})" for each in choice) or "the network, which has no subnet"
            )
            s.problems.append(f"address: {goal.address} is outside {there}")
            return
        choice = fitting
    if len(choice) != 1:
        there = ", ".join(f"{_name(each)} ({each['cidr']})" for each in choice) or "none"
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
        found = [port for port in ports if address in _addresses(port)]
    else:
        found = [port for port in ports if port.get("device_id") in {ref, *servers} or port.get("name") == ref]
    if not found:
        what = f"server {ref} has no port on" if servers else f"there is no port, address or server {ref!r} on"
        return f"{what} network {s.network}"
    if len(found) > 1:
        found = [port for port in found if _address(port, s.subnet.get("id"))] or found
    if len(found) > 1:
        several = ", ".join(f"{port['id']} ({', '.join(sorted(_addresses(port)))})" for port in found)
        return f"{ref} means several ports: {several}. Say which by its id or address"
    return found[0]


# --- ports


def _vip(port: Port, s: PortSurvey) -> Vip:
    fixed = _fixed(port, s) or {}
    return Vip(
        port["id"],
        host(fixed.get("ip_address")),
        port.get("name") or "",
        port.get("description") or "",
        port.get("network_id") or "",
        fixed.get("subnet_id") or "",
        data=port,
    )


def _fixed(port: Port, s: PortSurvey) -> dict[str, Any] | None:
    subnet = s.subnet.get("id")
    return next((each for each in port.get("fixed_ips") or () if subnet in (None, each.get("subnet_id"))), None)


def _member(port: Port, subnet: str | None, names: dict[str, str]) -> Member:
    device = port.get("device_id") or ""
    return Member(port["id"], names.get(device) or port.get("name") or device, _address(port, subnet), port)


def _address(port: Port, subnet: str | None) -> str:
    """The port's address in a subnet, or "" if it has none."""
    fixed = port.get("fixed_ips") or ()
    return next((host(each["ip_address"]) for each in fixed if subnet in (None, each.get("subnet_id"))), "")


def _addresses(port: Port) -> set[str]:
    return {host(each["ip_address"]) for each in port.get("fixed_ips") or ()}


def _words(port: Port) -> set[str]:
    """By what a port may be named without asking for servers."""
    return {port["id"], port.get("device_id") or "", port.get("name") or "", *_addresses(port)} - {""}


def _name(thing: dict[str, Any]) -> str:
    return thing.get("name") or thing.get("id") or ""


def _whose(port: Port) -> str:
    owner = port.get("device_owner") or "nobody"
    device = f" {port['device_id']}" if port.get("device_id") else ""
    return f"port {port['id']}{' (' + port['name'] + ')' if port.get('name') else ''} of {owner}{device}"


# --- pairs


def _pairs(port: Port) -> list[Pair]:
    return port.get("allowed_address_pairs") or []


def _key(pair: Pair) -> tuple[str, str]:
    return str(pair.get("ip_address")), str(pair.get("mac_address") or "")


def _has(pairs: Iterable[Pair], pair: Pair) -> bool:
    """Whether the pair is there, in whatever spelling; a MAC address that is not said is the port's own."""
    mac = pair.get("mac_address")
    return any(
        _spelling(each) == _spelling(pair) and (mac is None or each.get("mac_address") in (None, mac)) for each in pairs
    )


def _add(pairs: list[Pair], pair: Pair) -> list[Pair]:
    return pairs if _has(pairs, pair) else [*pairs, pair]


def _spelling(pair: Pair) -> str:
    text = str(pair["ip_address"])
    return host(text) or text


def _is(pair: Pair, address: str) -> bool:
    return bool(address) and host(pair["ip_address"]) == address


def _allows(port: Port, address: str) -> bool:
    return any(_is(pair, address) for pair in _pairs(port))


def _listed(port: Port) -> set[str]:
    return {host(pair["ip_address"]) for pair in _pairs(port)} - {""}


def _covers(pair: Pair, address: str) -> bool:
    """Whether a whole network is allowed that contains the address. One that contains every address means no check."""
    text = str(pair["ip_address"])
    return not host(text) and not _is_unchecked(pair) and inside(address, text)


def _is_unchecked(pair: Pair) -> bool:
    try:
        return ipaddress.ip_interface(str(pair["ip_address"])).network.prefixlen == 0
    except ValueError:
        return False


def _unchecked(port: Port) -> bool:
    return any(map(_is_unchecked, _pairs(port)))

# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Decides about virtual IPs that are ports of a network. Pure, as havip_decide.py."""

from __future__ import annotations

from .havip_decide import Decision, check_external, check_limits, choose
from .havip_look import host, inside
from .havip_port_table import address_in, addresses_of, key_of, member_of, name_of, pairs_of, whose

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from .havip_goal import Goal
    from .havip_look import Member
    from .havip_port_table import Port
    from .havip_ports import Ports
    from .havip_ports_look import PortsObserved
    from .havip_steps import History


def decide(cloud: Ports, o: PortsObserved, goal: Goal, history: History) -> Decision:
    d = Decision(o, goal, history, o.place.problems)
    d.network, d.subnet = o.place.network, o.place.subnet
    if not d.network:
        return d
    if goal.vip_id and goal.vip_id in o.ports and not cloud.is_vip(o.ports[goal.vip_id]):
        d.problems.append(f"vip_id: {goal.vip_id} is no virtual IP, but {whose(o.ports[goal.vip_id])}")
        return d
    choose(d)
    _find_subnet(d, o)
    if goal.present and not d.problems:
        d.wanted = _members(cloud, d, o, "members", goal.members or ())
        check_limits(d, {member.id: cloud.held(o, _ports_of(o, member)) for member in d.wanted})
        check_external(d, o.externals)
    if not d.problems:
        d.unchecked = _members(cloud, d, o, "source_check_off", goal.unchecked)
    if not goal.present and d.vip is None:
        d.address = history.deleting[1] if history.deleting else goal.address or ""
        d.loose = cloud.loose(o, d.address)
    concerned = {d.vip.id, *d.vip.members} if d.vip else set()
    concerned.update(member.id for member in (*d.wanted, *d.unchecked))
    d.signature = tuple(
        (each, tuple(sorted(key_of(pair) for pair in pairs_of(o.ports[each]))))
        for each in sorted(concerned)
        if each in o.ports
    )
    return d


def _find_subnet(d: Decision, o: PortsObserved) -> None:
    """Whether the address can be had, and which subnet it is in."""
    goal, subnets = d.goal, o.place.subnets
    if d.vip:
        d.subnet = next((each for each in subnets if each["id"] == d.vip.subnet), d.subnet)
        return
    if goal.address and not d.history.deleting:
        owner = next((port for port in o.ports.values() if goal.address in addresses_of(port)), None)
        if owner:
            d.problems.append(f"address: {goal.address} belongs to {whose(owner)}, which is no virtual IP")
            return
    if not goal.present or d.problems:
        return
    choice = [d.subnet] if d.subnet else list(subnets)
    if goal.address:
        fitting = [each for each in choice if inside(goal.address, each["cidr"])]
        if not fitting:
            there = (
                ", ".join(f"{name_of(each)} ({each['cidr']})" for each in choice) or "the network, which has no subnet"
            )
            d.problems.append(f"address: {goal.address} is outside {there}")
            return
        choice = fitting
    if len(choice) != 1:
        there = ", ".join(f"{name_of(each)} ({each['cidr']})" for each in choice) or "none"
        d.problems.append(f"subnet: say in which one the virtual IP shall be; the network has: {there}")
        return
    d.subnet = choice[0]


def _members(cloud: Ports, d: Decision, o: PortsObserved, option: str, refs: Iterable[str]) -> list[Member]:
    """Those that an option names. Their problems are reported if they are to be used."""
    members: dict[str, Member] = {}
    problems: list[str] = []
    for ref in refs:
        found = _resolve(d, o, ref)
        if isinstance(found, str):
            problems.append(f"{option}: {found}")
            continue
        member = member_of(found, d.subnet.get("id"), o.servers)
        if cloud.is_vip(found) and (found.get("device_owner") or (d.vip and d.vip.id == found["id"])):
            problems.append(f"{option}: {ref} is a virtual IP itself ({member})")
        elif str(found.get("device_owner") or "").startswith("network:"):
            problems.append(f"{option}: {ref} is {whose(found)}, and no server's port")
        elif not member.address:
            there = ", ".join(f"{fixed['ip_address']}" for fixed in found.get("fixed_ips") or ()) or "no address"
            subnet = f"{name_of(d.subnet)} ({d.subnet['cidr']})"
            problems.append(f"{option}: {ref} is not in the virtual IP's subnet {subnet}: it has {there}")
        elif found.get("port_security_enabled") is False:
            problems.append(
                f"{option}: port security is off on {member}, port {found['id']}: the cloud allows it every "
                "address, and takes no binding. Switch it on, or leave this member out"
            )
        else:
            members.setdefault(member.id, member)
    if d.goal.present:
        d.problems += problems
    return list(members.values())


def _resolve(d: Decision, o: PortsObserved, ref: str) -> Port | str:
    """The port that a member is given by, or why there is none."""
    if ref in o.ports:
        return o.ports[ref]
    ports = list(o.ports.values())
    address = host(ref)
    servers = {each for each, name in o.servers.items() if ref in (each, name)}
    if not ref:
        found = []
    elif address:
        found = [port for port in ports if address in addresses_of(port)]
    else:
        found = [port for port in ports if port.get("device_id") in {ref, *servers} or port.get("name") == ref]
    if not found:
        what = f"server {ref} has no port on" if servers else f"there is no port, address or server {ref!r} on"
        return f"{what} network {d.network}"
    if len(found) > 1:
        found = [port for port in found if address_in(port, d.subnet.get("id"))] or found
    if len(found) > 1:
        several = ", ".join(f"{port['id']} ({', '.join(sorted(addresses_of(port)))})" for port in found)
        return f"{ref} means several ports: {several}. Say which by its id or address"
    return found[0]


def _ports_of(o: PortsObserved, member: Member) -> list[Port]:
    """All ports of the machine that a member's port is of."""
    device = member.data.get("device_id")
    return [port for port in o.ports.values() if device and port.get("device_id") == device] or [member.data]

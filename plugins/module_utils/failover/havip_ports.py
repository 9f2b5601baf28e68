# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Virtual IPs that are ports of a network: OpenStack Neutron, and the parts that havip_huaweicloud.py shares with it.

In Neutron each member's port has the virtual IP among its allowed address pairs. In Huawei Cloud the virtual IP's port
has the members' addresses there, and each member's port has 1.1.1.1/0, which switches its source/destination check off.
"""

from __future__ import annotations

from ..base.errors import Stale
from .havip import Havip
from .havip_look import host, inside
from .havip_port_table import (
    address_in,
    addresses_of,
    allows,
    covers,
    has_pair,
    is_for,
    listed_in,
    member_of,
    pairs_of,
    with_pair,
)
from .havip_ports_decide import decide
from .havip_ports_look import look
from .havip_steps import ATTACH, BIND, CREATE, DELETE, DETACH, MEMBERS, UNBIND, UPDATE, taken
from .plan import Step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from typing import Any

    from .facts import Question
    from .havip_decide import Decision
    from .havip_goal import Goal
    from .havip_look import Member, Vip
    from .havip_port_table import Pair, Port
    from .havip_ports_look import PortsApi, PortsObserved
    from .havip_steps import History

VIP_OWNER = "neutron:VIP_PORT"


class Ports(Havip):
    """The common part of Neutron and Huawei Cloud."""

    owners: tuple[str, ...]

    def look(self, client: PortsApi, goal: Goal, lasting: Mapping[Question, Any]) -> PortsObserved:
        return look(self, client, goal, lasting)

    def decide(self, observed: PortsObserved, goal: Goal, history: History) -> Decision:
        return decide(self, observed, goal, history)

    # --- what differs

    def members(self, vip: Vip, ports: Mapping[str, Port], servers: Mapping[str, str]) -> dict[str, Member]:
        """Those that are bound to a virtual IP."""
        raise NotImplementedError

    def is_locked(self, ports: Mapping[str, Port]) -> bool:
        """Whether a change of a port is compared with the revision it was seen with."""
        return False

    def body(self, goal: Goal) -> dict[str, Any]:
        """The fields of a new virtual IP's port besides its address."""
        raise NotImplementedError

    def held(self, o: PortsObserved, ports: Sequence[Port]) -> set[str]:
        """The addresses of the virtual IPs that these ports of a machine have."""
        raise NotImplementedError

    def loose(self, o: PortsObserved, address: str) -> list[Member]:
        """The ports that still allow an address that is no virtual IP any more."""
        return []

    def is_vip(self, port: Port) -> bool:
        return (port.get("device_owner") or "") in self.owners and not port.get("device_id")

    # --- steps

    def create(self, d: Decision) -> Step:
        goal, network, subnet = d.goal, d.network, d.subnet.get("id")
        fixed = {"subnet_id": subnet}
        if goal.address:
            fixed["ip_address"] = goal.address
        body = {"network_id": network, "fixed_ips": [fixed], **self.body(goal), **goal.creation}

        def do(client: PortsApi, request_id: str) -> None:
            # Nothing keeps a request whose answer was lost from being carried out twice, unless the address does.
            for port in client.list_ports(network) if not goal.address else ():
                if self.is_vip(port) and port.get("name") == goal.name and address_in(port, subnet):
                    raise taken(goal.label())
            client.create_port(body)

        return Step(CREATE, goal.label(), do, contested=bool(goal.address))

    def update(self, vip: Vip, name: str, remark: str | None) -> Step:
        body = {key: value for key, value in (("name", name), ("description", remark)) if value is not None}
        return Step(UPDATE, str(vip), lambda client, request_id: client.update_port(vip.id, body), key=str(body))

    def delete(self, vip: Vip) -> Step:
        revision = vip.data.get("revision_number")
        return Step(DELETE, str(vip), lambda client, request_id: client.delete_port(vip.id, revision))

    def external(self, vip: Vip, external: Mapping[str, Any], attach: bool) -> Step:
        def do(client: PortsApi, request_id: str) -> None:
            if external.get("revision_number") is None:
                # It may be somebody else's by now.
                there = next((each for each in client.list_external() if each["id"] == external["id"]), None)
                if there is None or there["port_id"] not in (external["port_id"], vip.id if attach else None):
                    raise Stale(f"{external['address']} was changed meanwhile.", resource=external["address"])
            client.set_external(external, vip.id if attach else None, vip.address if attach else None)

        name = ATTACH if attach else DETACH
        return Step(name, f"{external['address']} {'to' if attach else 'from'} {vip}", do)


class Neutron(Ports):
    """Each member's port is changed by itself, with the revision it was seen with: a change by others is never lost.

    A Neutron without revisions is written to like Huawei Cloud.
    """

    owners = ("", VIP_OWNER)

    def members(self, vip: Vip, ports: Mapping[str, Port], servers: Mapping[str, str]) -> dict[str, Member]:
        return {
            id: member_of(port, vip.subnet, servers)
            for id, port in ports.items()  # noqa: A001
            if id != vip.id and allows(port, vip.address)
        }

    def is_locked(self, ports: Mapping[str, Port]) -> bool:
        return all(port.get("revision_number") is not None for port in ports.values())

    def body(self, goal: Goal) -> dict[str, Any]:
        return {"name": goal.name or "", "description": goal.remark or ""}

    def held(self, o: PortsObserved, ports: Sequence[Port]) -> set[str]:
        return {host(pair["ip_address"]) for port in ports for pair in pairs_of(port)} - {""}

    def loose(self, o: PortsObserved, address: str) -> list[Member]:
        if any(address in addresses_of(port) for port in o.ports.values()):
            return []
        return [member_of(port, None, {}) for port in o.ports.values() if allows(port, address)]

    def rebind(self, d: Decision, vip: Vip, target: Mapping[str, Member]) -> Iterator[Step]:
        for member in d.wanted:
            ours = {"ip_address": vip.address, "mac_address": member.data.get("mac_address")}
            if not has_pair(pairs_of(member.data), ours):
                yield edit_pairs(BIND, vip.address, member, lambda pairs, ours=ours: with_pair(pairs, ours))  # type: ignore[misc]
        for member in vip.members.values():
            if member.id not in target:
                yield self._unbind(vip.address, member)

    def release(self, d: Decision) -> Iterator[Step]:
        for member in d.loose:
            yield self._unbind(d.address, member)

    def complaints(self, observed: PortsObserved, vips: Sequence[Vip]) -> list[str]:
        said = super().complaints(observed, vips)
        owned = {address for port in observed.ports.values() for address in addresses_of(port)}
        strays: dict[str, list[Member]] = {}
        for port in observed.ports.values():
            for address in listed_in(port) - owned:
                if any(inside(address, subnet["cidr"]) for subnet in observed.place.subnets):
                    strays.setdefault(address, []).append(member_of(port, None, {}))
        for address, members in sorted(strays.items()):
            who = ", ".join(sorted(map(str, members)))
            said.append(
                f"{address} may be used by {who}, and no port reserves it, so that the cloud may give it to somebody "
                "else; create a virtual IP with it, or unbind them (state=absent)"
            )
        for vip in vips:
            for port in observed.ports.values():
                covering = [str(pair["ip_address"]) for pair in pairs_of(port) if covers(pair, vip.address)]
                if covering and port["id"] not in vip.members:
                    who = f"{member_of(port, None, {})} is not bound to it, and may use it by {' and '.join(covering)}"
                    said.append(f"virtual IP {vip}: {who}; narrow that pair down if this is not meant")
        return said

    def _unbind(self, address: str, member: Member) -> Step:
        return edit_pairs(UNBIND, address, member, lambda pairs: [pair for pair in pairs if not is_for(pair, address)])


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

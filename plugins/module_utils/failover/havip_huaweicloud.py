# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Virtual IPs of Huawei Cloud. The API has no revisions: a list is read again right before it is written, and verified
until it has settled.
"""

from __future__ import annotations

from ..base.errors import NotFound, Stale
from .havip_look import Member, host
from .havip_port_table import addresses_of, is_unchecked, listed_in, member_of, pairs_of, unchecked, with_pair
from .havip_ports import VIP_OWNER, Ports, edit_pairs
from .havip_steps import CHECK_OFF, CHECK_ON, MEMBERS
from .plan import Step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from typing import Any

    from .havip_decide import Decision
    from .havip_goal import Goal
    from .havip_look import Vip
    from .havip_port_table import Pair, Port
    from .havip_ports_look import PortsApi, PortsObserved

UNCHECKED = "1.1.1.1/0"  # the service's word for no source/destination check


class Huawei(Ports):
    """The virtual IP's port lists the members; each member's port has its source/destination check switched off."""

    owners = (VIP_OWNER,)

    def members(self, vip: Vip, ports: Mapping[str, Port], servers: Mapping[str, str]) -> dict[str, Member]:
        by_address = {address: port for port in ports.values() for address in addresses_of(port)}
        found = [
            member_of(by_address[address], vip.subnet, servers)
            if address in by_address
            else Member(address, "", address, {})
            for address in (host(pair["ip_address"]) for pair in pairs_of(vip.data))
            if address
        ]
        return {member.id: member for member in found}

    def body(self, goal: Goal) -> dict[str, Any]:
        return {"name": goal.name or "", "device_owner": VIP_OWNER}

    def held(self, o: PortsObserved, ports: Sequence[Port]) -> set[str]:
        mine = {address for port in ports for address in addresses_of(port)}
        return {
            fixed["ip_address"]
            for port in o.ports.values()
            if self.is_vip(port) and mine & listed_in(port)
            for fixed in port.get("fixed_ips") or ()
        }

    def rebind(self, d: Decision, vip: Vip, target: Mapping[str, Member]) -> Iterator[Step]:
        # Who is listed gets packets for the address. So whoever comes is able to take them before, and whoever goes
        # is recognised until all of it is done.
        for member in {member.id: member for member in (*d.wanted, *d.unchecked)}.values():
            if d.goal.present and not unchecked(member.data):
                yield edit_pairs(
                    CHECK_OFF, "", member, lambda pairs: with_pair(pairs, {"ip_address": UNCHECKED}), locked=False
                )
        leaving = [member for member in vip.members.values() if member.id not in target]
        yield from self._restore(d, leaving, vip.id)
        coming = [member for member in target.values() if member.address not in listed_in(vip.data)]
        if not leaving and not coming:
            return
        gone = {address for member in leaving for address in addresses_of(member.data) or {member.address}}

        def edit(pairs: list[Pair]) -> list[Pair]:
            pairs = [pair for pair in pairs if host(pair["ip_address"]) not in gone]
            for member in coming:
                pairs = with_pair(pairs, {"ip_address": member.address})
            return pairs

        listed = Member(vip.id, vip.address, "", vip.data)
        words = [f"+{member}" for member in coming] + [f"-{member}" for member in leaving]
        yield edit_pairs(MEMBERS, f"{vip}: {', '.join(words)}", listed, edit, locked=False)

    def release(self, d: Decision) -> Iterator[Step]:
        return self._restore(d, [], "")

    def complaints(self, observed: PortsObserved, vips: Sequence[Vip]) -> list[str]:
        said = super().complaints(observed, vips)
        for vip in vips:
            for member in vip.members.values():
                if not member.data:
                    said.append(f"virtual IP {vip} is bound to {member}, which no port has; bind the right members")
                elif not unchecked(member.data):
                    said.append(
                        f"virtual IP {vip} is bound to {member}, whose source/destination check is on, so that it gets "
                        "no packets for it; bind it once more with this module"
                    )
        return said

    def _restore(self, d: Decision, leaving: list[Member], vip_id: str) -> Iterator[Step]:
        """Those that need it no longer get their source/destination check back, if that is wanted."""
        if not d.goal.restore_check:
            return
        gone = {member.id: member for member in leaving}
        for member in d.unchecked:
            if d.goal.present:
                gone.pop(member.id, None)
            else:
                gone[member.id] = member
        for member in gone.values():
            if unchecked(member.data) and not self._needed(d.observed.ports.values(), vip_id, member):
                yield self._check_on(d.network, vip_id, member)

    def _needed(self, ports: Iterable[Port], vip_id: str, member: Member) -> bool:
        """Whether another virtual IP needs the member's source/destination check to be off."""
        mine = addresses_of(member.data)
        return any(self.is_vip(port) and port["id"] != vip_id and mine & listed_in(port) for port in ports)

    def _check_on(self, network: str, vip_id: str, member: Member) -> Step:
        def do(client: PortsApi, request_id: str) -> None:
            ports = {port["id"]: port for port in client.list_ports(network)}
            if self._needed(ports.values(), vip_id, member):
                raise Stale(f"Another virtual IP is bound to {member} by now.", resource=member.id)
            if member.id not in ports:
                raise NotFound(f"Port {member.id} is not there any more.", resource=member.id)
            pairs = [pair for pair in pairs_of(ports[member.id]) if not is_unchecked(pair)]
            client.update_port(member.id, {"allowed_address_pairs": pairs})

        return Step(CHECK_ON, str(member), do, contested=True)

# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Decides the changes of a Cloudpods anti-affinity group. Pure: from facts and a goal to a Decision."""

from __future__ import annotations

import ipaddress
import re

from .instancegroup_eip import (
    check_dissociated,
    check_released,
    decide_eip,
    dissociate,
    name_of_eip,
    never_allocated,
    waiting,
)
from .instancegroup_look import EIP_AT_WORK, GROUP_AT_WORK, group_diff, is_strangers, spell_eip, spell_vip
from .instancegroup_steps import new_group

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

    from .instancegroup_goal import GroupGoal, Vip
    from .instancegroup_look import Observed, Resource
    from .instancegroup_steps import History

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


class Decision:
    """The changes to make, or the reasons why they cannot be made. decide() makes it, and nothing changes it later.

    | field      | type           | meaning                                                                            |
    |------------|----------------|------------------------------------------------------------------------------------|
    | problems   | list of str    | what forbids to go on; then nothing is done                                        |
    | waiting    | str            | what the service has not finished; then nothing is done yet                        |
    | doubt      | str            | why a moment has to pass before the first step                                     |
    | vip        | dict or None   | the VIP that stays                                                                 |
    | network    | dict or None   | the network that is wanted for the VIP                                             |
    | eip        | dict or None   | the existing EIP that is wanted                                                    |
    | eips       | list of dicts  | the group's EIPs; where they are dissociated, with all that each of them tells     |
    | update     | dict           | fields of the group, and what they become                                          |
    | bind       | dict           | names of guests that become members, by their ids                                  |
    | unbind     | dict           | names of members that leave, by their ids                                          |
    | attach     | bool           | a VIP is attached                                                                  |
    | detach     | list of dicts  | VIPs that are detached                                                             |
    | ask_eip    | bool           | an EIP is associated, or created                                                   |
    | dissociate | bool           | all EIPs are dissociated                                                           |
    | release    | bool           | what is dissociated is released                                                    |
    | rubbish    | list of dicts  | EIPs that never came to be, and one that is to be released                         |
    | failed     | str or None    | for later looks: what came to nothing of the EIP that this run asked for           |
    | before     | set or None    | for later looks: ids of the EIPs that were there before this run asked for one     |
    """

    def __init__(
        self, observed: Observed, goal: GroupGoal, history: History, problems: Iterable[str] = (), waiting: str = ""
    ) -> None:
        self.observed = observed
        self.goal = goal
        self.history = history
        self.problems = list(problems)
        self.waiting = waiting
        self.doubt = ""
        self.vip: Resource | None = None
        self.network: Resource | None = None
        self.eip: Resource | None = None
        self.eips = list(observed.eips)
        self.update: dict[str, Any] = {}
        self.bind: dict[str, str] = {}
        self.unbind: dict[str, str] = {}
        self.attach = False
        self.detach: list[Resource] = []
        self.ask_eip = False
        self.dissociate = False
        self.release = False
        self.rubbish: list[Resource] = []
        self.failed = history.failed
        self.before = history.before

    @property
    def members_then(self) -> dict[str, str]:
        """Names by ids of those that will be members when a VIP or an EIP is asked for."""
        return {**self.members_left, **self.bind}

    @property
    def members_left(self) -> dict[str, str]:
        """Names by ids of the members that are there and stay."""
        return {key: name for key, name in self.observed.members.items() if key not in self.unbind}

    def state(self) -> str:
        """The current state, in a sentence."""
        return self.observed.state()

    def to_diff(self) -> dict[str, Any]:
        """The current state, for a person to compare with wanted_diff()."""
        return self.observed.to_diff()


def decide(o: Observed, goal: GroupGoal, history: History) -> Decision:
    """Raises Unread where a fact is missing, and CloudError where this run's own EIP has come to nothing."""
    problems = blocking(o, goal)
    if problems:
        return Decision(o, goal, history, problems)
    wait = waiting(o, goal, history)
    d = Decision(o, goal, history, waiting=wait.reason)
    if d.waiting:
        return d
    d.doubt = wait.doubt
    if o.group is None and not goal.present:
        return d
    if goal.present:
        _decide_group(d)
        _decide_members(d)
        _decide_vip(d)
        _find_network(d)
        decide_eip(d)
        _check_members(d)
    else:
        _decide_deletion(d)
    check_released(o, history)
    _check_enabled(d)
    if d.attach and not d.problems:
        _check_address(d)
    return d


def blocking(o: Observed, goal: GroupGoal) -> list[str]:
    """The problems of the current state, whatever the goal is."""
    if o.group is None:
        if goal.present and _UUID.fullmatch(goal.group):
            return [f"group: there is no group with the id {goal.group}: give the id of one that is there, or a name"]
        return []
    group = o.group
    if is_strangers(goal.group, group, o.project):
        return [
            f"the group {goal.group} is of another project, {group.get('tenant') or group['tenant_id']}, and not of "
            f"{o.project['name'] or o.project['id']}: log in to its project, or give its id, {o.id}; for a new group "
            "choose another name, since a name is used once in all projects together"
        ]
    if o.unlisted:
        return [
            f"the group {o.name} has VIP {', '.join(o.unlisted)}, which the service does not list for this user: log in"
            f" to its project, {group.get('tenant') or group.get('tenant_id')}, or have the privilege given to list "
            "groupnetworks wherever groups may be got"
        ]
    return []


def wanted_diff(d: Decision) -> dict[str, Any]:
    """to_diff() of the wanted state. An address that the service is to choose is None."""
    o, goal = d.observed, d.goal
    if not goal.present:
        return group_diff(None, (), [], None)
    group = {**(o.group or new_group(goal)), **d.update}
    gone = [row.get("ip_addr") for row in d.detach]
    vips: list[str | None] = [str(row["ip_addr"]) for row in o.vips if row.get("ip_addr") not in gone]
    if d.attach and goal.vip:
        vips.append(goal.vip.address)
    eip = None if d.dissociate else next((row.get("eip_addr") for row in o.bound), None)
    if d.ask_eip and d.eip:
        eip = d.eip.get("ip_addr")
    return group_diff(group, d.members_then.values(), vips, eip)


def _decide_deletion(d: Decision) -> None:
    o, eip = d.observed, d.goal.eip
    d.detach, d.unbind = list(o.vips), dict(o.members)
    d.rubbish = never_allocated(o, d.history)
    if o.eips or o.hidden:
        dissociate(d, bool(eip and eip.release), lose=True)
    check_dissociated(d)


def _decide_group(d: Decision) -> None:
    o = d.observed
    wanted = {"granularity": d.goal.granularity, "force_dispersion": d.goal.force_dispersion}
    if o.group:
        d.update = {key: value for key, value in wanted.items() if value is not None and o.group.get(key) != value}


def _decide_members(d: Decision) -> None:
    o, goal = d.observed, d.goal
    if goal.members is None:
        return
    wanted: dict[str, str] = {}
    owner = str(o.group.get("tenant_id") if o.group else o.project["id"])
    for guest in goal.members:
        known = next((key for key, name in o.members.items() if guest in (key, name)), None)
        if known:
            wanted[known] = o.members[known]
        elif goal.members_present:
            server = o.server(guest)
            if server is None:
                d.problems.append(f"members: there is no guest {guest}")
                continue
            if server.get("tenant_id") not in (None, owner):
                d.problems.append(
                    f"members: the guest {guest} is of another project, "
                    f"{server.get('tenant') or server['tenant_id']}, than the group {o.name}: a group has guests of "
                    "its own"
                )
                continue
            wanted[str(server["id"])] = str(server.get("name") or guest)
    if not goal.members_present:
        d.unbind = wanted
        return
    d.bind = {key: name for key, name in wanted.items() if key not in o.members}
    if goal.exclusive:
        d.unbind = {key: name for key, name in o.members.items() if key not in wanted}


def _decide_vip(d: Decision) -> None:
    o, goal, vip = d.observed, d.goal, d.goal.vip
    if vip is None:
        d.vip = o.vips[0] if o.vips else None
        return
    if vip.network:
        d.network = o.network(vip.network)
        if d.network is None:
            d.problems.append(f"vip: network_id: there is no network {vip.network}")
            return
    fitting = [row for row in o.vips if _fits(row, vip, d.network)]
    if not vip.present:
        d.detach = fitting
        left = [row for row in o.vips if row not in fitting]
        d.vip = left[0] if left else None
        _decide_detached_eip(d)
        return
    # What this run and another one attached at the same moment: all agree on who stays.
    if len(o.vips) > 1 and d.history.attached:
        stays = o.bound[0] if o.bound else o.vips[0]
        d.detach = [row for row in o.vips if row is not stays and not row.get("eip_id")]
        d.vip = stays
        return
    d.vip = next((row for row in fitting if row.get("eip_id")), fitting[0] if fitting else None)
    others = [row for row in o.vips if row is not d.vip]
    d.attach = d.vip is None
    if others and not goal.exclusive:
        there = ", ".join(map(spell_vip, others))
        wanted = f"{vip.address or 'a VIP'}{f' on {vip.network}' if vip.network else ''}"
        d.problems.append(
            f"vip: the group {o.name} has {there}, and may have one VIP only, {wanted}: detach it (state=absent), or "
            "have it replaced (exclusive)"
        )
        return
    d.detach = others
    _decide_detached_eip(d)


def _fits(row: Resource, vip: Vip, network: Resource | None) -> bool:
    wrong_address = vip.address and row.get("ip_addr") != vip.address and (vip.designated or not vip.present)
    return not wrong_address and (network is None or row.get("network_id") == network["id"])


def _decide_detached_eip(d: Decision) -> None:
    """A VIP cannot go while it has an EIP; and that goes only where it is asked for."""
    goal, eip = d.goal, d.goal.eip
    for row in d.detach:
        if not row.get("eip_id"):
            continue
        named = eip and eip.present and eip.eip in (row["eip_id"], name_of_eip(d.observed, row["eip_id"]))
        if eip and not eip.present and eip.eip is None:
            continue  # It goes before the VIP does.
        if goal.exclusive and named:
            dissociate(d, False, again=row["eip_id"])  # It comes back when the new VIP is there.
            continue
        d.problems.append(
            f"vip: {spell_vip(row)} cannot be detached while it has that EIP: dissociate it too (eip: state=absent), "
            "or name it (eip: eip_id), with exclusive, to have it on the next VIP"
        )


def _find_network(d: Decision) -> None:
    """The network of a VIP that is to come: the members', if none is named."""
    o = d.observed
    if not d.attach or d.network is not None:
        return
    nics = [nic for key in d.members_then for nic in o.interfaces(key)]
    if nics:
        d.network = o.network(str(nics[0]["network_id"]))


def _check_members(d: Decision) -> None:
    """Guests and VIP are on one network, and each guest has one interface: the service checks it now and then."""
    o = d.observed
    named = d.network if d.goal.vip and d.goal.vip.network else None
    if d.attach or d.ask_eip:
        d.problems += member_problems(o, d.members_then, d.vip, named)
        if d.attach and not d.network and not d.problems:
            d.problems.append(
                "vip: give network_id: the group has no members that would tell which network the VIP is on"
            )
    elif d.vip and d.bind:
        d.problems += member_problems(o, d.bind, d.vip, named)
    # While it detaches, those that are bound are still none, and those that are unbound are gone.
    if d.detach and not d.problems:
        wrong = member_problems(o, d.members_left)
        d.problems += [f"{each}. The service detaches no VIP until that is so, or they are unbound" for each in wrong]


def member_problems(
    o: Observed, members: Mapping[str, str], vip: Resource | None = None, network: Resource | None = None
) -> list[str]:
    """Why these members cannot be in a group together, with this VIP, on the network that the goal names."""
    problems: list[str] = []
    networks: dict[str, list[str]] = {}
    names: dict[str, str] = {}
    for key, name in members.items():
        nics = o.interfaces(key)
        if len(nics) != 1:
            there = ", ".join(str(nic.get("network")) for nic in nics) or "none"
            problems.append(
                f"members: the guest {name} has {len(nics)} network interfaces ({there}), and a member of a group "
                "with a VIP has one"
            )
            continue
        networks.setdefault(str(nics[0]["network_id"]), []).append(f"the guest {name}")
        names[str(nics[0]["network_id"])] = str(nics[0].get("network"))
    if vip:
        networks.setdefault(str(vip.get("network_id")), []).append(f"the VIP {vip['ip_addr']}")
        names[str(vip.get("network_id"))] = str(vip.get("network"))
    if network:
        networks.setdefault(str(network["id"]), []).append("network_id")
        names[str(network["id"])] = str(network.get("name"))
    if len(networks) > 1:
        where = "; ".join(f"{', '.join(whose)} on {names[key]}" for key, whose in networks.items())
        problems.append(f"members: the guests and the VIP of a group must be on one network: {where}")
    return problems


def _check_address(d: Decision) -> None:
    """Whether the VIP that is wanted is an address of the network, and free. The service would take another one."""
    o = d.observed
    vip, network = d.goal.vip, d.network
    if not vip or not vip.address or not network:
        return
    first, last = network.get("guest_ip_start"), network.get("guest_ip_end")
    name = network.get("name") or network["id"]
    if first and last:
        wanted = ipaddress.IPv4Address(vip.address)
        if not ipaddress.IPv4Address(first) <= wanted <= ipaddress.IPv4Address(last):
            d.problems.append(f"vip: ip_addr: {vip.address} is not in the range of network {name}, {first} to {last}")
            return
    if not vip.designated:
        return
    # The group itself may have it by now, given by another run: the next look tells.
    users = o.address_users(str(network["id"]), vip.address)
    reserved = [user for user in users if user.startswith("a reservation")]
    taken = [user for user in users if user not in reserved]
    if taken:
        d.problems.append(
            f"vip: ip_addr: {vip.address} on network {name} is in use by {', '.join(taken)}: choose another"
        )
    elif reserved and not vip.reserved:
        d.problems.append(
            f"vip: ip_addr: {vip.address} on network {name} is reserved: choose another, or give reserved=true, which "
            "uses up the reservation"
        )


def _check_enabled(d: Decision) -> None:
    o = d.observed
    if o.group and o.group.get("enabled") is False and (d.bind or d.unbind):
        d.problems.append(f"the group {o.name} is disabled, and refuses changes of its members: enable it first")


def warnings(o: Observed) -> list[str]:
    """The problems of the current state, a sentence each."""
    texts = []
    if len(o.vips) > 1:
        texts.append(
            f"the group {o.name} has several VIPs, and the documents allow one: {', '.join(map(spell_vip, o.vips))}"
        )
    if len({row.get("network_id") for row in o.vips}) > 1:
        texts.append(f"the VIPs of group {o.name} are on several networks")
    for eip in o.failed:
        if eip.get("status") not in EIP_AT_WORK:
            texts.append(
                f"EIP {spell_eip(eip)} says that it is the group's, and leads to no VIP: it is {eip.get('status')}"
            )
    for eip in o.loose:
        if eip.get("status") == "allocate_fail":
            texts.append(
                f"EIP {spell_eip(eip)}, which was created for the group {o.name} or one of a like name, could not be "
                "allocated, and leads nowhere"
            )
    for row in o.hidden:
        texts.append(f"{spell_vip(row)} has an EIP of another project, which cannot be seen")
    status = str(o.group.get("status")) if o.group else ""
    if status.endswith("_failed"):
        texts.append(f"the status of group {o.name} is {status}")
    elif status in GROUP_AT_WORK and not any(eip.get("status") in EIP_AT_WORK for eip in (*o.eips, *o.loose)):
        texts.append(
            f"the status of group {o.name} is {status}, and no EIP is on its way: its allocation failed. Ask for the "
            "EIP again, or take it away (eip: state=absent)"
        )
    if o.group and o.group.get("enabled") is False:
        texts.append(f"the group {o.name} is disabled")
    return texts

# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Decides the changes of a virtual IP, as far as the clouds have them in common. Pure: no request, no clock."""

from __future__ import annotations

from .havip_look import FAILED, listed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Mapping, Sequence
    from typing import Any

    from .havip_goal import Goal
    from .havip_look import Member, Vip
    from .havip_steps import History


class Decision:
    """The changes to make, or the reasons why they cannot be made. A cloud's decide() makes it, and nothing changes
    it later.

    | field     | type           | meaning                                                                     |
    |-----------|----------------|-----------------------------------------------------------------------------|
    | problems  | list of str    | what forbids to go on; then nothing is done                                 |
    | warnings  | list of str    | what is not as it should be, and forbids nothing                            |
    | vip       | Vip or None    | the virtual IP that is meant, if it is there                                |
    | network   | str            | the id of the network that it is on, or is created on                       |
    | subnet    | dict           | the subnet that it is in, or is created in; {} if it is in none             |
    | wanted    | list of Member | the members that the goal names                                             |
    | unchecked | list of Member | those that Goal.unchecked names                                             |
    | address   | str            | that of a virtual IP which is not there any more                            |
    | loose     | list of Member | who still allows that address                                               |
    | external  | dict or None   | the external address that the goal names                                    |
    | signature | hashable       | all that says who is bound: two looks with the same one saw the same        |
    """

    def __init__(self, observed: Any, goal: Goal, history: History, problems: Iterable[str] = ()) -> None:
        # Of the class that the cloud's look returns.
        self.observed = observed
        self.goal = goal
        self.history = history
        self.problems = list(problems)
        self.warnings: list[str] = []
        self.vip: Vip | None = None
        self.network = ""
        self.subnet: Mapping[str, Any] = {}
        self.wanted: list[Member] = []
        self.unchecked: list[Member] = []
        self.address = ""
        self.loose: list[Member] = []
        self.external: Mapping[str, Any] | None = None
        self.signature: Hashable = None

    @property
    def target(self) -> dict[str, Member]:
        """The ids of the members to bind."""
        if not self.goal.present:
            return {}
        wanted = {member.id: member for member in self.wanted}
        if self.goal.members is not None and self.goal.exclusive:
            return wanted
        return {**(self.vip.members if self.vip else {}), **wanted}

    @property
    def attach(self) -> Mapping[str, Any] | None:
        """The external address that is to be attached."""
        here = {each["id"] for each in self.vip.external} if self.vip else set()
        return self.external if self.goal.present and self.external and self.external["id"] not in here else None

    @property
    def detach(self) -> list[Mapping[str, Any]]:
        """The external addresses that are to be detached."""
        if not self.vip or (self.goal.present and self.goal.external is None):
            return []
        keep = self.external["id"] if self.goal.present and self.external else None
        return [each for each in self.vip.external if each["id"] != keep]

    def state(self) -> str:
        """The current state, in a sentence."""
        if self.vip is None:
            text = f"there is no virtual IP {self.goal.label()}"
            return f"{text}, but {listed(self.loose)} may use its address" if self.loose else text
        text = f"virtual IP {self.vip} is bound to {listed(self.vip.members.values()) or 'nobody'}"
        addresses = ", ".join(each["address"] for each in self.vip.external)
        return f"{text}, with the external address {addresses}" if addresses else text

    def to_diff(self) -> dict[str, Any]:
        """The current state, for a person to compare with wanted_diff()."""
        vip = self.vip
        if vip is None:
            return {"members": sorted(map(str, self.loose))} if self.loose else {}
        return {
            "id": vip.id,
            "address": vip.address,
            "name": vip.name,
            "remark": vip.remark,
            "members": sorted(map(str, vip.members.values())),
            "external": sorted(each["address"] for each in vip.external),
        }


def wanted_diff(d: Decision) -> dict[str, Any]:
    """to_diff() of the wanted state."""
    goal = d.goal
    if not goal.present:
        return {}
    before = d.to_diff() if d.vip else {"id": None, "address": goal.address, "name": "", "remark": ""}
    external = {each["id"]: each["address"] for each in d.vip.external} if d.vip else {}
    for each in d.detach:
        del external[each["id"]]
    if d.external:
        external[d.external["id"]] = d.external["address"]
    return {
        **before,
        "name": before["name"] if goal.name is None else goal.name,
        "remark": before["remark"] if goal.remark is None else goal.remark,
        "members": sorted(map(str, d.target.values())),
        "external": sorted(external.values()),
    }


# --- parts of a cloud's decide()


def choose(d: Decision) -> None:
    """Find the wanted virtual IP, and report its problems."""
    goal, vips = d.goal, d.observed.vips
    if d.history.deleting:
        found = [vip for vip in vips if vip.id == d.history.deleting[0]]
    elif goal.vip_id:
        found = [vip for vip in vips if vip.id == goal.vip_id]
        if not found and goal.present:
            d.problems.append(f"vip_id: there is no virtual IP {goal.vip_id}{_known(vips)}")
    elif goal.address:
        found = [vip for vip in vips if vip.address == goal.address]
        twins = [vip for vip in vips if goal.name is not None and vip.name == goal.name]
        if not found and twins and goal.present:
            d.problems.append(
                f"address: the virtual IP {goal.name} is {twins[0]}, and the address of one cannot be changed. Leave "
                "out the address, choose another name, or delete that one first"
            )
    else:
        found = [vip for vip in vips if vip.name == goal.name]
    if len(found) > 1:
        d.problems.append(
            f"name: {len(found)} virtual IPs are {goal.label()}: {', '.join(map(str, found))}. Say which by "
            "vip_id or address"
        )
    d.vip = found[0] if len(found) == 1 else None
    if d.vip and goal.vip_id and goal.address and d.vip.address != goal.address:
        d.problems.append(
            f"address: the virtual IP {d.vip.id} is {d.vip.address}, and not {goal.address}; the address of one cannot "
            "be changed"
        )
    if d.vip and d.vip.status == FAILED and goal.present:
        d.problems.append(
            f"the cloud says that virtual IP {d.vip} failed: {d.vip.reason}. Delete it (state=absent), and run this "
            "again"
        )


def check_limits(d: Decision, held: Mapping[str, set[str]]) -> None:
    """held: by a member's id, the addresses of all virtual IPs that the machine has."""
    per_vip, per_member = d.goal.limits
    target = d.target
    new = [member for member in d.wanted if not (d.vip and member.id in d.vip.members)]
    said = []
    if per_vip is not None and len(target) > per_vip and new:
        said.append(
            f"members: virtual IP {d.vip or d.goal.label()} would have {len(target)} members, and may have {per_vip}"
        )
    for member in new if per_member is not None else ():
        count = len(held.get(member.id, set()) | {d.vip.address if d.vip else d.goal.address or ""})
        if count > per_member:  # type: ignore[operator]
            said.append(f"members: {member} would have {count} virtual IPs, and may have {per_member}")
    (d.problems if d.goal.enforce else d.warnings).extend(said)


def check_external(d: Decision, externals: Sequence[Mapping[str, Any]]) -> None:
    """Find the wanted external address, and report its problems."""
    goal = d.goal
    if not goal.present or not goal.external:
        return
    d.external = next((each for each in externals if goal.external in (each["id"], each["address"])), None)
    if d.external is None:
        known = ", ".join(each["address"] for each in externals) or "none"
        d.problems.append(f"external: there is no external address {goal.external} in the project; there are: {known}")
        return
    port = d.external["port_id"]
    if port and not (d.vip and port == d.vip.id):
        d.problems.append(
            f"external: {d.external['address']} is on port {port}"
            + (f" ({d.external['fixed_ip']})" if d.external.get("fixed_ip") else "")
            + "; detach it there first"
        )
    others = [each["address"] for each in d.vip.external if each["id"] != d.external["id"]] if d.vip else []
    if others and not goal.exclusive:
        d.problems.append(
            f"external: virtual IP {d.vip} has the external address {', '.join(others)}, and can have only one; with "
            "exclusive=true that one is replaced"
        )


def complaints(vips: Iterable[Vip]) -> list[str]:
    """The problems of virtual IPs of any cloud, each with a remedy."""
    vips = list(vips)
    said = [
        f"virtual IP {vip} failed: {vip.reason}; delete it, and create it again" for vip in vips if vip.status == FAILED
    ]
    for vip in vips:
        if len(vip.members) < 2:
            who = listed(vip.members.values()) or "nobody"
            said.append(f"virtual IP {vip} is bound to {who}: nobody can take it over; bind another member")
    return said


def _known(vips: Sequence[Vip]) -> str:
    return f"; there are: {', '.join(map(str, vips))}" if 0 < len(vips) <= 20 else ""

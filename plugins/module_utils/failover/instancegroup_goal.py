# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The goals that a caller can set for a Cloudpods anti-affinity group, and the problems of a goal by itself."""

from __future__ import annotations

import ipaddress
import re

from ..base.floating import check_floating

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

ALLOC_DIRS = ("stepdown", "stepup", "random", "none")  # the service takes any other word for the default
LONGEST_NAME = 128  # characters; the service cuts what is longer
_REFUSED = re.compile(r"[/\\;\x00-\x1f\x7f]")  # in names, by the service
_LOST = re.compile(r"[^\x00-\uffff]")  # in names: the service's database keeps something else


class Vip:
    """The VIP that is wanted, or with present=False the one that must not be there.

    address: None for any. network: of the VIP; None for that of the members. designated: whether another address than
    this one will not do. reserved: whether it may be one that is reserved; the reservation is used up.
    """

    __slots__ = ("address", "alloc_dir", "designated", "network", "present", "reserved")

    def __init__(
        self,
        address: str | None = None,
        network: str | None = None,
        alloc_dir: str | None = None,
        reserved: bool = False,
        designated: bool = True,
        present: bool = True,
    ) -> None:
        self.address = address
        self.network = network
        self.alloc_dir = alloc_dir
        self.reserved = reserved
        self.designated = designated
        self.present = present


class Eip:
    """The EIP that is wanted: an existing one, by its name or id, or one that is created; or none.

    bandwidth: of the one that is created, in Mbit/s. auto_release: whether the service releases that one when it is
    dissociated. release: whether an EIP that this procedure dissociates is to be released.
    """

    __slots__ = ("auto_release", "bandwidth", "charge_type", "eip", "line", "present", "release")

    def __init__(
        self,
        eip: str | None = None,
        bandwidth: int | None = None,
        line: str | None = None,
        charge_type: str | None = None,
        auto_release: bool = False,
        release: bool = False,
        present: bool = True,
    ) -> None:
        self.eip = eip
        self.bandwidth = bandwidth
        self.line = line
        self.charge_type = charge_type
        self.auto_release = auto_release
        self.release = release
        self.present = present


class GroupGoal:
    """What is wanted. None: leave it as it is.

    group: its name, or its id. present: False deletes it, after all that it has. members: guests, by name or id. With
    members_present=False they must not be members. exclusive: the group shall have these members, this VIP and this
    EIP only. Otherwise existing ones that differ are a reason to refuse.
    """

    __slots__ = (
        "eip",
        "exclusive",
        "force_dispersion",
        "granularity",
        "group",
        "members",
        "members_present",
        "present",
        "vip",
    )

    def __init__(
        self,
        group: str,
        members: Iterable[str] | None = None,
        vip: Vip | None = None,
        eip: Eip | None = None,
        granularity: int | None = None,
        force_dispersion: bool | None = None,
        exclusive: bool = False,
        members_present: bool = True,
        present: bool = True,
    ) -> None:
        self.group = group
        self.members = None if members is None else list(dict.fromkeys(members))
        self.members_present = members_present
        self.vip = vip
        self.eip = eip
        self.granularity = granularity
        self.force_dispersion = force_dispersion
        self.exclusive = exclusive
        self.present = present


def goal_problems(goal: GroupGoal) -> list[str]:
    """The problems of the goal itself."""
    problems = _name_problems(goal.group)
    if goal.granularity is not None and goal.granularity < 1:
        problems.append(f"granularity: {goal.granularity} is not at least 1")
    vip, eip = goal.vip, goal.eip
    if vip and vip.address:
        try:
            number = int(ipaddress.IPv4Address(vip.address))
            check_floating(vip.address, number, number)
        except ipaddress.AddressValueError:
            problems.append(f"vip: ip_addr: {vip.address!r} is not an IPv4 address")
        except ValueError as error:
            problems.append(f"vip: ip_addr: {error}")
    if vip and vip.alloc_dir and vip.alloc_dir not in ALLOC_DIRS:
        problems.append(f"vip: alloc_dir: {vip.alloc_dir!r} is none of {', '.join(ALLOC_DIRS)}")
    if eip and eip.present:
        if vip and not vip.present:
            problems.append("eip: it needs a VIP, and vip has state=absent: give eip state=absent as well")
        if eip.eip and (eip.bandwidth or eip.line or eip.charge_type or eip.auto_release):
            problems.append(
                "eip: bandwidth, bgp_type, charge_type and auto_dellocate are for one that is created: not with eip_id"
            )
        if not eip.eip and not eip.bandwidth:
            problems.append("eip: give eip_id, for an EIP that exists, or bandwidth, for one that is created")
        if eip.bandwidth is not None and eip.bandwidth < 1:
            problems.append(f"eip: bandwidth: {eip.bandwidth} is not at least 1")
        if eip.charge_type not in (None, "bandwidth"):
            problems.append(
                f"eip: charge_type: {eip.charge_type!r} cannot be: the networks of Cloudpods itself, the only ones "
                "where a group has an EIP, know bandwidth only"
            )
    if not goal.present and (goal.members is not None or vip or (eip and (eip.present or eip.eip))):
        problems.append(
            "state: absent takes away all that the group has; give nothing with it but eip with state=absent"
        )
    return problems


def _name_problems(name: str) -> list[str]:
    """Of names that the service refuses, or changes without a word: the group would never be found again."""
    problems = []
    if len(name) > LONGEST_NAME:
        problems.append(f"group: the name has {len(name)} characters, and the service keeps {LONGEST_NAME}")
    if name != name.strip() or not name:
        problems.append(f"group: the name {name!r} is empty, or begins or ends with a blank, which the service drops")
    if _REFUSED.search(name):
        problems.append(f"group: the name {name!r} has a character that the service refuses: / \\ ; or a control one")
    lost = _LOST.findall(name)
    if lost:
        problems.append(f"group: the service does not keep {' '.join(lost)} of the name {name!r}: leave it out")
    return problems

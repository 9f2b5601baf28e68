# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What can be wanted of a name: which addresses it has."""

from __future__ import annotations

import ipaddress

from ..clouds.gce_names import is_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

LONGEST_TTL = 2**31 - 1
DEFAULT_TTL = 30  # of a new record: clients are to notice a move soon
_VERSIONS = {"A": 4, "AAAA": 6}
_LABEL, _LONGEST = 63, 254
_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-_")


class NameGoal:
    """A name and its addresses. What is None stays as it is.

    zone: the managed zone, by name. name: with or without the dot at its end. kind: A or AAAA. expected: the addresses
    that the name has to have for a change, none if it has to have no record.
    """

    __slots__ = ("addresses", "expected", "kind", "name", "present", "ttl", "zone")

    def __init__(
        self,
        zone: str,
        name: str,
        kind: str = "A",
        *,
        present: bool = True,
        addresses: Sequence[str] | None = None,
        ttl: int | None = None,
        expected: Sequence[str] | None = None,
    ) -> None:
        self.zone = zone
        self.name = name.lower() if name.endswith(".") else f"{name.lower()}."
        self.kind = kind
        self.present = present
        self.addresses = _all_canonical(addresses, kind)
        self.ttl = ttl
        self.expected = _all_canonical(expected, kind)


def canonical(address: str, kind: str) -> str | None:
    """An address as every program writes it; None if a record of this kind cannot have it."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return None
    return str(found) if found.version == _VERSIONS[kind] and "%" not in address else None


def _all_canonical(addresses: Iterable[str] | None, kind: str) -> tuple[str, ...] | None:
    """Each once. One that cannot be stays as it is, for goal_problems()."""
    if addresses is None:
        return None
    return tuple(dict.fromkeys(canonical(each, kind) or each for each in addresses))


def is_dns_name(name: str) -> bool:
    """Whether a name with a dot at its end can have records; its first label may be * for all."""
    labels = name[:-1].split(".")
    first = ["x"] if labels[0] == "*" else labels[:1]
    return len(name) <= _LONGEST and all(map(_is_label, first + labels[1:]))


def _is_label(text: str) -> bool:
    return 0 < len(text) <= _LABEL and _CHARACTERS.issuperset(text) and "-" not in (text[0], text[-1])


def goal_problems(goal: NameGoal) -> list[str]:
    """Why no zone could fulfil the goal, a sentence each."""
    found = []
    if not is_name(goal.zone):
        found.append(
            f"managed_zone: {goal.zone!r} is not the name of a managed zone, such as my-zone; its DNS name, such as"
            " ha.internal., is another thing"
        )
    if not is_dns_name(goal.name):
        found.append(f"name: {goal.name!r} is not a DNS name, such as web.ha.internal")
    for option, addresses in (("addresses", goal.addresses), ("expected", goal.expected)):
        wrong = [each for each in addresses or () if canonical(each, goal.kind) is None]
        if wrong:
            version = _VERSIONS[goal.kind]
            found.append(
                f"{option}: {', '.join(map(repr, wrong))}: no IPv{version} address, and a record of the type"
                f" {goal.kind} has no other"
            )
    if goal.present and goal.addresses == ():
        found.append("addresses: give at least one; state=absent takes the record away")
    if goal.ttl is not None and not 0 <= goal.ttl <= LONGEST_TTL:
        found.append(f"ttl: {goal.ttl} is not from 0 to {LONGEST_TTL} seconds")
    return found

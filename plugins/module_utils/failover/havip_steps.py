# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The names of the changes of a virtual IP, and a run's memory of its own changes."""

from __future__ import annotations

from ..base.errors import AlreadyExists

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Hashable

    from .plan import Memory

    Sight = tuple[Hashable, "float | None"]

CREATE = "create virtual IP"
UPDATE = "update virtual IP"
DELETE = "delete virtual IP"
BIND = "bind member"
UNBIND = "unbind member"
MEMBERS = "update members"
CHECK_OFF = "switch source/destination check off"
CHECK_ON = "switch source/destination check on"
ATTACH = "attach external address"
DETACH = "detach external address"

_BINDING = (BIND, UNBIND, MEMBERS, CHECK_OFF, CHECK_ON)


class History:
    """This run's changes, and its notes of earlier looks. No look can tell them.

    | field    | type              | meaning                                                              |
    |----------|-------------------|----------------------------------------------------------------------|
    | now      | float             | the run's clock in seconds, at the end of the last look              |
    | bound    | bool              | it bound or unbound somebody, or tried to                            |
    | deleting | (id, address)     | the virtual IP that it deletes. Whoever makes another one of that    |
    |          | or None           | name or address meanwhile keeps it                                   |
    | sight    | (signature, float | who was bound in the last look, and when the look ended that saw it  |
    |          | or None) or None  | first: None until the next look has ended                            |
    """

    __slots__ = ("bound", "deleting", "now", "sight")

    def __init__(
        self,
        now: float = 0.0,
        *,
        bound: bool = False,
        deleting: tuple[str, str] | None = None,
        sight: Sight | None = None,
    ) -> None:
        self.now = now
        self.bound = bound
        self.deleting = deleting
        self.sight = sight

    def then(self, signature: Hashable) -> Sight:
        """The sight of the look that follows."""
        if not self.sight or self.sight[0] != signature:
            return signature, None
        return signature, self.now if self.sight[1] is None else self.sight[1]


def remember(memory: Memory) -> History:
    """Reads a run's memory."""
    return History(
        memory.now,
        bound=any(key[0] in _BINDING for key in (*memory.done, *memory.conflicts)),  # type: ignore[index]
        deleting=memory.facts.get("vip"),
        sight=memory.facts.get("sight"),
    )


def taken(address: str) -> AlreadyExists:
    return AlreadyExists(f"There is a virtual IP {address} by now.", resource=address)

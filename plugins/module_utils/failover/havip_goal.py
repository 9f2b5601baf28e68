# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The goals that a caller can set for a virtual IP."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

# Where nothing tells that a list was changed since it was read, a writer may overwrite what another one has written.
# So a run ends only when the list has stayed as it is for so many seconds: longer than any writer needs between
# reading and writing it.
SETTLE = 1.0


class Goal:
    """What is wanted. An attribute that is None is left as it is.

    | attribute     | type           | meaning                                                                        |
    |---------------|----------------|--------------------------------------------------------------------------------|
    | vip_id        | str            | which virtual IP; the first that is given of vip_id, address and name decides  |
    | address       | str            | its address                                                                    |
    | name          | str            | its name; a name that differs is changed                                       |
    | remark        | str            | its description                                                                |
    | network       | str            | the network it is on, by id or name                                            |
    | subnet        | str            | the subnet it is in, by id or name                                             |
    | kind          | str            | internal or external                                                           |
    | members       | list of str    | who shall be bound, each by an id, an address or a name                        |
    | exclusive     | bool           | nobody else shall be bound                                                     |
    | external      | str            | the external address to attach, by id or address; "": none                     |
    | restore_check | bool           | a member that is unbound gets its source/destination check back, unless      |
    |               |                | another virtual IP needs it off                                                |
    | unchecked     | list of str    | whose check is off without being bound; with restore_check, on again when the  |
    |               |                | virtual IP is deleted                                                          |
    | limits        | (int, int)     | most members of a virtual IP, and virtual IPs of a member; None: any number    |
    | enforce       | bool           | refuse what is beyond the limits, instead of a warning                         |
    | creation      | dict           | more parameters of a new one, with the API's names                             |
    | settle        | float          | seconds; see SETTLE                                                            |
    """

    def __init__(
        self,
        *,
        present: bool = True,
        vip_id: str | None = None,
        address: str | None = None,
        name: str | None = None,
        remark: str | None = None,
        network: str | None = None,
        subnet: str | None = None,
        kind: str | None = None,
        members: Sequence[str] | None = None,
        exclusive: bool = False,
        external: str | None = None,
        restore_check: bool = False,
        unchecked: Sequence[str] = (),
        limits: tuple[int | None, int | None] = (None, None),
        enforce: bool = True,
        creation: dict[str, Any] | None = None,
        settle: float = SETTLE,
    ) -> None:
        self.present = present
        self.vip_id = vip_id
        self.address = address
        self.name = name
        self.remark = remark
        self.network = network
        self.subnet = subnet
        self.kind = kind
        self.members = None if members is None else list(dict.fromkeys(members))
        self.exclusive = exclusive
        self.external = external
        self.restore_check = restore_check
        self.unchecked = list(dict.fromkeys(unchecked))
        self.limits = limits
        self.enforce = enforce
        self.creation = creation or {}
        self.settle = settle

    def label(self) -> str:
        return self.address or self.name or self.vip_id or ""

# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The result of a look at virtual IPs of any cloud: facts only, no decision."""

from __future__ import annotations

import functools
import ipaddress
from typing import NamedTuple

from .facts import Facts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any

    from .facts import Question

READY, BUSY, FAILED = "ready", "busy", "failed"


class Member(NamedTuple):
    """A possible holder of the address: a port or a machine. data: as the API has it; {} if it is not there any
    more."""

    id: str
    name: str
    address: str
    data: Mapping[str, Any]

    def __str__(self) -> str:
        name = self.name or self.id
        return f"{name} ({self.address})" if self.address not in ("", name) else name


class Vip(NamedTuple):
    """A virtual IP.

    | field    | type          | meaning                                                  |
    |----------|---------------|----------------------------------------------------------|
    | id       | str           | "" for one that is yet to be created                     |
    | network  | str           | the id of its network                                    |
    | subnet   | str           | the id of its subnet, or ""                              |
    | kind     | str           | internal or external                                     |
    | status   | str           | READY, BUSY or FAILED                                    |
    | reason   | str           | why it is BUSY or FAILED                                 |
    | data     | dict          | as the API has it                                        |
    | members  | dict          | those that are bound, by their ids                       |
    | external | list of dicts | the external addresses that are attached: id, address, … |
    """

    id: str
    address: str
    name: str
    remark: str
    network: str
    subnet: str
    kind: str
    status: str
    reason: str
    data: Mapping[str, Any]
    members: Mapping[str, Member]
    external: Sequence[Mapping[str, Any]]

    def __str__(self) -> str:
        return f"{self.address or self.name or 'new'} ({self.id})" if self.id else self.address or self.name


class Observed(Facts):
    """What is there. A cloud adds the facts that its own decisions need.

    | field   | type         | meaning                                                    |
    |---------|--------------|------------------------------------------------------------|
    | vips    | tuple of Vip | all virtual IPs that can be seen where the goal says       |
    | locked  | bool         | the API compares revisions: no change by others gets lost  |
    | lasting | dict         | answers that stay the same during a run, for its next look |
    """

    vips: Sequence[Vip]
    locked: bool
    lasting: Mapping[Question, Any]

    def __init__(
        self,
        vips: Iterable[Vip] = (),
        locked: bool = False,
        lasting: Mapping[Question, Any] | None = None,
        **more: Any,
    ) -> None:
        super().__init__(vips=tuple(vips), locked=locked, lasting=lasting or {}, **more)


@functools.lru_cache(4096)  # a network has many ports, and each is compared with each virtual IP
def host(text: str | None) -> str:
    """An address as it is compared: without /32 and /128, and IPv6 in its short form. "" for a network."""
    try:
        interface = ipaddress.ip_interface(str(text).strip())
    except ValueError:
        return ""
    return str(interface.ip) if interface.network.prefixlen == interface.network.max_prefixlen else ""


def inside(address: str, cidr: str) -> bool:
    try:
        return ipaddress.ip_address(address) in ipaddress.ip_network(cidr, strict=False)
    except ValueError:
        return False


def listed(members: Iterable[Member]) -> str:
    """Members in words; "" for none."""
    return ", ".join(sorted(map(str, members)))

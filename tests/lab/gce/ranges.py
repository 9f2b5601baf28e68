# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ranges of addresses, as requests write them, and free ones."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any

from lab.gce.errors import ApiError, invalid


def parse(field: str, text: str, plain: bool = False) -> IPv4Network:
    """An IPv4 range; ``plain``: or an address."""
    try:
        found: Any = ip_network(text) if plain or "/" in text else ip_address(text)
    except ValueError:
        raise invalid(field, text, "Must be a CIDR address range, whose host bits are zero.") from None
    if isinstance(found, (IPv6Network, IPv6Address)):
        raise ApiError(501, "notImplemented", f"This lab has no IPv6: '{text}'.")
    if not isinstance(found, IPv4Network):
        raise invalid(field, text, "Must be a CIDR address range, such as 192.0.2.1/32.")
    return found


def kept(space: IPv4Network) -> list[IPv4Network]:
    """Addresses of a range that nothing gets: the network's, the gateway's and the last two."""
    return [IPv4Network(space[n]) for n in (0, 1, -2, -1)] if space.num_addresses >= 8 else []


def free(prefix: int, space: IPv4Network, taken: Iterable[IPv4Network]) -> IPv4Network | None:
    """The first range of a size that nothing has."""
    there = (*kept(space), *taken)
    return next((each for each in space.subnets(new_prefix=prefix) if not any(map(each.overlaps, there))), None)

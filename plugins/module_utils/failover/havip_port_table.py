# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ports as Neutron and Huawei Cloud list them, and their allowed address pairs."""

from __future__ import annotations

import ipaddress

from .havip_look import READY, Member, Vip, host, inside

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

    Port = Mapping[str, Any]
    Pair = dict[str, Any]


def vip_of(port: Port, subnet: str | None, externals: Iterable[Mapping[str, Any]]) -> Vip:
    """The virtual IP that a port is; nobody is bound to it yet."""
    fixed = fixed_of(port, subnet) or {}
    return Vip(
        id=port["id"],
        address=host(fixed.get("ip_address")),
        name=port.get("name") or "",
        remark=port.get("description") or "",
        network=port.get("network_id") or "",
        subnet=fixed.get("subnet_id") or "",
        kind="internal",
        status=READY,
        reason="",
        data=port,
        members={},
        external=tuple(each for each in externals if each["port_id"] == port["id"]),
    )


def fixed_of(port: Port, subnet: str | None) -> dict[str, Any] | None:
    """The first of its addresses, with its subnet; in a certain subnet, if one is given."""
    return next((each for each in port.get("fixed_ips") or () if subnet in (None, each.get("subnet_id"))), None)


def member_of(port: Port, subnet: str | None, names: Mapping[str, str]) -> Member:
    device = port.get("device_id") or ""
    return Member(port["id"], names.get(device) or port.get("name") or device, address_in(port, subnet), port)


def address_in(port: Port, subnet: str | None) -> str:
    """The port's address in a subnet, or "" if it has none."""
    fixed = port.get("fixed_ips") or ()
    return next((host(each["ip_address"]) for each in fixed if subnet in (None, each.get("subnet_id"))), "")


def addresses_of(port: Port) -> set[str]:
    return {host(each["ip_address"]) for each in port.get("fixed_ips") or ()}


def words_of(port: Port) -> set[str]:
    """The names of a port that need no question about servers."""
    return {port["id"], port.get("device_id") or "", port.get("name") or "", *addresses_of(port)} - {""}


def name_of(thing: Mapping[str, Any]) -> str:
    return thing.get("name") or thing.get("id") or ""


def whose(port: Port) -> str:
    owner = port.get("device_owner") or "nobody"
    device = f" {port['device_id']}" if port.get("device_id") else ""
    return f"port {port['id']}{' (' + port['name'] + ')' if port.get('name') else ''} of {owner}{device}"


# --- pairs


def pairs_of(port: Port) -> list[Pair]:
    return port.get("allowed_address_pairs") or []


def key_of(pair: Pair) -> tuple[str, str]:
    return str(pair.get("ip_address")), str(pair.get("mac_address") or "")


def has_pair(pairs: Iterable[Pair], pair: Pair) -> bool:
    """Whether the pair is there, in any spelling; an omitted MAC address is the port's own."""
    mac = pair.get("mac_address")
    return any(
        _spelling(each) == _spelling(pair) and (mac is None or each.get("mac_address") in (None, mac)) for each in pairs
    )


def with_pair(pairs: list[Pair], pair: Pair) -> list[Pair]:
    return pairs if has_pair(pairs, pair) else [*pairs, pair]


def _spelling(pair: Pair) -> str:
    text = str(pair["ip_address"])
    return host(text) or text


def is_for(pair: Pair, address: str) -> bool:
    return bool(address) and host(pair["ip_address"]) == address


def allows(port: Port, address: str) -> bool:
    return any(is_for(pair, address) for pair in pairs_of(port))


def listed_in(port: Port) -> set[str]:
    return {host(pair["ip_address"]) for pair in pairs_of(port)} - {""}


def covers(pair: Pair, address: str) -> bool:
    """Whether a whole network is allowed that contains the address. One that contains every address means no check."""
    text = str(pair["ip_address"])
    return not host(text) and not is_unchecked(pair) and inside(address, text)


def is_unchecked(pair: Pair) -> bool:
    try:
        return ipaddress.ip_interface(str(pair["ip_address"])).network.prefixlen == 0
    except ValueError:
        return False


def unchecked(port: Port) -> bool:
    return any(map(is_unchecked, pairs_of(port)))

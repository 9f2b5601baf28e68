# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""See local_address_problems.yml."""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError

from ansible_collections.cloudha.vip.plugins.module_utils.base.floating import never_floats


def local_address_problems(addresses: Any, interfaces: Mapping[str, list[str]] | None = None) -> list[str]:
    if not isinstance(addresses, list):
        raise AnsibleFilterError("local_address_problems: the input must be a list of addresses")
    elsewhere = {name: owned for name, owned in (interfaces or {}).items() if name != "lo"}
    where = {ipaddress.ip_interface(own).ip: name for name, owned in elsewhere.items() for own in owned}
    return [f"local_address_addresses: {problem}" for problem in _problems(addresses, where)]


def _problems(addresses: list[Any], where: Mapping[Any, str]) -> Iterator[str]:
    if not addresses:
        yield "there is none; list them, or set vip_address (such as 10.200.1.1/32)"
    for text, count in Counter(str(address) for address in addresses).items():
        try:
            if "%" in text:  # and the name of an interface
                raise ValueError(text)
            given = ipaddress.ip_interface(text)
        except ValueError:
            yield f"{text!r} is not an address; write it like 10.200.1.1 or 10.200.1.1/32"
            continue
        plain, ip = text.partition("/")[0], given.ip
        if given.network.num_addresses > 1:
            yield f"{text} is a whole network, which lo would answer for; write {ip}/{ip.max_prefixlen}"
        elif plain != str(ip):
            yield f"{text} is written {ip}"
        elif never_floats(int(ip), int(ip), ip.version):
            yield f"{text} {never_floats(int(ip), int(ip), ip.version)}"
        elif ip in where:
            yield f"{text} is on {where[ip]} already; choose an address that is nobody's own, or take it away there"
        if count > 1:
            yield f"{text} is listed {count} times; list it once"


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"local_address_problems": local_address_problems}

# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The service behind the address: the checks of a node, the requests of clients, and settings that serve nobody."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..base import url


def service_url(address: str, port: Any = 80, path: str = "/healthz", check_url: str | None = None) -> str:
    """The URL of the service at this address: as in check_url, or else of nginx at this port and path.

    Raises ValueError for a text that is no URL.
    """
    plain = str(address).partition("/")[0]
    host = f"[{plain}]" if ":" in plain else plain
    scheme = "http"
    if check_url:
        asked = url.parse(str(check_url))
        if asked is None:
            raise ValueError(
                f"vip_check_url is {check_url!r}; write it like http://127.0.0.1:8080/healthz or tcp://127.0.0.1:5432, "
                "with no user, and with a path before a query"
            )
        scheme, path = asked.scheme, asked.path
        port = url.PORTS[scheme] if asked.port is None else asked.port
    if not str(port).isdigit() or not 1 <= int(port) <= 65535:
        raise ValueError(f"nginx_port or the port of vip_check_url is {port!r}; it must be from 1 to 65535")
    if path and not re.fullmatch("/[!-~]*", str(path)):
        raise ValueError(f"nginx_health_path is {path!r}; it must begin with /, and have no spaces and ASCII only")
    return f"{scheme}://{host}{'' if url.PORTS.get(scheme) == int(port) else f':{int(port)}'}{path}"


def service_checks(address: str, service: str = "nginx", kind: str = "resident") -> list[dict[str, Any]]:
    """The check of this URL: for the resident agent, or for the script that keepalived runs."""
    asked = url.parse(address)
    if asked is None:
        raise ValueError(f"{address!r} is not a URL such as http://127.0.0.1/healthz")
    if kind == "script":
        if asked.scheme == "https":
            raise ValueError(
                f"vip_check_url is {address!r}, and the script asks by http or tcp only; "
                "choose another URL, or the health_check_kind resident"
            )
        process = {"process": "nginx"} if service == "nginx" else {}
        target = {"tcp": f"{asked.host}:{asked.port}"} if asked.scheme == "tcp" else {"url": address}
        return [{"name": service, **process, **target, "restart": f"{service.removesuffix('.service')}.service"}]
    if asked.scheme == "tcp":
        return [{"name": service, "type": "tcp", "host": asked.host.strip("[]"), "port": asked.port}]
    # Whether it lives, not who it is: its certificate is for its clients' name.
    verify = {"tls_verify": False} if asked.scheme == "https" else {}
    return [{"name": service, "type": "http", "url": address, **verify}]


def track_files(checks: Sequence[Mapping[str, Any]], watched: Sequence[Mapping[str, Any]] = ()) -> list[dict[str, Any]]:
    """The files that keepalived watches: the verdicts of the agent's checks, and those of the inventory.

    checks: as vip_agent_checks. watched: as keepalived_track_files; one of the same name takes a verdict's place.
    """
    named = {file.get("name") for file in watched}
    names = dict.fromkeys(check["name"] for check in checks)
    verdicts = [{"name": name, "file": f"/run/cloudha-vip/check/{name}", "init": 1} for name in names]
    return [verdict for verdict in verdicts if verdict["name"] not in named] + [dict(file) for file in watched]


def topology_problems(given: Mapping[str, Any]) -> list[str]:
    """Why these settings of one node cannot serve clients, in sentences.

    given: addresses, interface, interfaces (as vip_info tells), offlink, service, check_url, port, path,
    listen_addresses, ipv6; nginx_ports: by host its nginx_port, if the inventory has one.
    """
    return list(_problems(given))


def _problems(given: Mapping[str, Any]) -> Iterator[str]:
    addresses = given["addresses"]
    listed = isinstance(addresses, Sequence) and not isinstance(addresses, str)
    if not listed or not addresses or not all(address and isinstance(address, str) for address in addresses):
        yield (
            f"vip_addresses, or vip_address in its place, is {addresses or 'empty'}; write a list of texts such as "
            "[192.168.7.246/22], or one text as vip_address"
        )
        return
    others = sorted(set(given["interfaces"]) - {"lo"})
    if others and given["interface"] not in given["interfaces"]:
        yield f"vip_interface is {given['interface']}, which the node does not have; it has {', '.join(others)}"
        return
    if not given["offlink"]:
        owned = given["interfaces"].get(given["interface"], [])
        yield from off_link(given["addresses"], given["interface"], owned)
    try:
        service_url("127.0.0.1", given["port"], given["path"], given["check_url"])
    except ValueError as e:
        yield str(e)
    if given["service"] != "nginx":
        if not given["check_url"]:
            yield (
                f"vip_service is {given['service']}, which the playbook does not know; say by vip_check_url how "
                "clients ask it, also beside checks of your own, such as http://127.0.0.1:8080/healthz or "
                "tcp://127.0.0.1:5432"
            )
        return
    for host, port in given["nginx_ports"].items():
        if str(port) != str(given["port"]):
            yield (
                f"nginx_port of {host} is {port}, and the service's port is {given['port']}: nobody would answer "
                "there; set the same nginx_port on all hosts, or vip_port in its place"
            )
    for address in map(_ip, given["addresses"]):
        if address is None:
            continue
        listens = [_ip(one) for one in given["listen_addresses"]]
        if listens and address not in listens:
            yield (
                f"nginx_listen_addresses is {', '.join(given['listen_addresses'])}, without {address}: "
                f"nobody would answer there; add it, or leave the list empty"
            )
        elif not listens and address.version == 6 and not given["ipv6"]:
            yield f"nginx_ipv6 is false, and {address} is an IPv6 address: nobody would answer there; set it to true"


def off_link(addresses: Sequence[str], interface: str, owned: Sequence[str]) -> Iterator[str]:
    """For each address that has no network, or which no neighbour on the interface would look for there.

    owned: the addresses of the interface, which may include the given ones.
    """
    wanted = [_ip(address) for address in addresses]
    own = [ipaddress.ip_interface(o) for o in owned]
    networks = [o.network for o in own if o.ip not in wanted and not o.ip.is_link_local and o.network.num_addresses > 1]
    for text, address in zip(addresses, wanted):
        if address is not None and "/" not in text:
            length = next((n.prefixlen for n in networks if address in n), 24 if address.version == 4 else 64)
            yield f"vip_address {text} has no prefix length; write that of its network, such as {text}/{length}"
        mine = [n for n in networks if address is not None and n.version == address.version]
        # Of an interface without an address of this family, or with a host's only, nothing is known.
        if address is None or not mine or address.is_link_local:
            continue
        its = [n for n in mine if address in n]
        names = ", ".join(dict.fromkeys(map(str, mine)))
        if not its:
            yield (
                f"{text} is not in the network of {interface} ({names}), so that no neighbour would look for it there; "
                "correct vip_address, or set vip_address_offlink to true if a route leads to it"
            )
        elif any(
            n.version == 4 and n.num_addresses > 2 and address in (n.network_address, n.broadcast_address) for n in its
        ):
            yield f"{text} is the network's or the broadcast address of {names}, and no host's; correct vip_address"


def _ip(text: Any) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_interface(str(text)).ip
    except ValueError:  # keepalived's own check says so
        return None

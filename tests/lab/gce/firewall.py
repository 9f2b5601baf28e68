# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""VPC firewall rules: what may be sent to an instance. They are about what begins; answers to it pass."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, collapse_addresses, ip_network

from lab.gce.resources import Resource

_PROTOCOLS = {"tcp": 6, "udp": 17, "icmp": 1, "esp": 50, "ah": 51, "sctp": 132, "ipip": 94}


@dataclass(frozen=True)
class Filter:
    """Packets that pass, or do not: of a protocol, by its number, to ports or ranges of ports; None is any."""

    passes: bool
    protocol: int | None = None
    ports: tuple[str, ...] | None = None
    sources: tuple[str, ...] | None = None
    destinations: tuple[str, ...] | None = None


Filters = Mapping[str, tuple[Filter, ...]]


def filters(rules: Iterable[Resource], instances: Sequence[Resource]) -> dict[str, tuple[Filter, ...]]:
    """Those of each instance, by its name: the first that a packet matches decides; without one it is dropped."""
    ordered = sorted(rules, key=lambda rule: (rule["priority"], "denied" not in rule))
    return {each["name"]: tuple(_of(each, ordered, instances)) for each in instances}


def commands(whole: Filters) -> str:
    """The nftables commands that put these filters of ports in force, and no others, all at once."""
    chains = "\n".join(f"chain to-{port} {{\n{''.join(_lines(those))}drop\n}}" for port, those in whole.items())
    targets = ", ".join(f'"{port}" : jump to-{port}' for port in whole)
    return f"""table ip firewall
delete table ip firewall
table ip firewall {{
{chains}
chain check {{
    ct state established, related accept
    oifname vmap {{ {targets} }}
}}
chain forward {{ type filter hook forward priority filter; policy accept; jump check; }}
chain output {{ type filter hook output priority filter; policy accept; jump check; }}
}}
"""


def _of(instance: Resource, rules: Iterable[Resource], instances: Sequence[Resource]) -> Iterator[Filter]:
    network = instance["networkInterfaces"][0]["network"]
    neighbours = [each for each in instances if each["networkInterfaces"][0]["network"] == network]
    for rule in rules:
        if rule["network"] != network or rule["direction"] != "INGRESS" or rule["disabled"]:
            continue
        if (rule.get("targetTags") or rule.get("targetServiceAccounts")) and not _is_one(instance, rule, "target"):
            continue
        sources = _sources(rule, neighbours)
        if sources == ():
            continue
        destinations = _ranges(rule["destinationRanges"]) if rule.get("destinationRanges") else None
        passes = "denied" not in rule
        for each in rule["allowed" if passes else "denied"]:
            name = str(each["IPProtocol"]).lower()
            protocol = None if name == "all" else _PROTOCOLS.get(name) or int(name)
            yield Filter(passes, protocol, tuple(each["ports"]) if each.get("ports") else None, sources, destinations)


def _is_one(instance: Resource, rule: Resource, role: str) -> bool:
    """Whether a rule means the instance by a tag or a service account, in the ``role`` of source or target."""
    tags = set(instance["tags"].get("items", ()))
    accounts = {each["email"] for each in instance.get("serviceAccounts", ())}
    return bool(tags & set(rule.get(f"{role}Tags", ()))) or bool(accounts & set(rule.get(f"{role}ServiceAccounts", ())))


def _sources(rule: Resource, instances: Iterable[Resource]) -> tuple[str, ...] | None:
    """Where from. An instance that a rule names by its tag is meant with its primary address only."""
    if not any(rule.get(key) for key in ("sourceRanges", "sourceTags", "sourceServiceAccounts")):
        return None
    named = [each["networkInterfaces"][0]["networkIP"] for each in instances if _is_one(each, rule, "source")]
    return _ranges([*rule.get("sourceRanges", ()), *named])


def _ranges(texts: Iterable[str]) -> tuple[str, ...]:
    """IPv4 ranges that do not overlap."""
    networks = [ip_network(text, strict=False) for text in texts]
    return tuple(str(each) for each in collapse_addresses(each for each in networks if isinstance(each, IPv4Network)))


def _lines(those: Iterable[Filter]) -> Iterator[str]:
    for each in those:
        words = [f"ip saddr {{ {', '.join(each.sources)} }}"] if each.sources else []
        words += [f"ip daddr {{ {', '.join(each.destinations)} }}"] if each.destinations else []
        words += [f"meta l4proto {each.protocol}"] if each.protocol is not None else []
        for ports in each.ports or ("",):
            last = [f"th dport {ports}"] if ports else []
            yield " ".join([*words, *last, "accept" if each.passes else "drop"]) + "\n"

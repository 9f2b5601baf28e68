# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Finds obstacles to a failover between instances of Google Cloud, before a failover needs to work."""

from __future__ import annotations

import ipaddress

from ..base.errors import Denied, NotFound
from ..clouds.gce_names import normalise

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any, Protocol
else:
    Protocol = object

# What moving a route needs on it. compute.networks.updatePolicy is needed too, but no API of Compute Engine tells.
ROUTE_PERMISSIONS = ("compute.routes.create", "compute.routes.delete")
INSTANCE_PERMISSIONS = ("compute.instances.get", "compute.instances.use")

VRRP = "112"


class FirewallApi(Protocol):
    """The verbs that a client needs. Errors are those of base/errors.py."""

    def get_instance(self, path: str) -> dict[str, Any]: ...

    def list_firewalls(self, network: str) -> list[dict[str, Any]]: ...


def firewall_problems(client: FirewallApi, instances: Iterable[str], network: str) -> list[str]:
    """Reads the rules of a network, and tells which of the instances do not get VRRP from each other."""
    try:
        nodes = {path: client.get_instance(path) for path in instances}
        return vrrp_problems(nodes, network, client.list_firewalls(network))
    except NotFound:
        return []  # Whoever needs it tells that it is not there.
    except Denied as error:
        return [str(error)]


def vrrp_problems(
    instances: Mapping[str, Mapping[str, Any]], network: str, rules: Iterable[Mapping[str, Any]]
) -> list[str]:
    """Which of the instances do not get VRRP from which other, by the firewall rules of their network."""
    rules = _in_order(rules, network)
    problems = []
    for sender_name, sender in instances.items():
        for receiver_name, receiver in instances.items():
            if sender is receiver:
                continue
            for direction, mine, other in (("EGRESS", sender, receiver), ("INGRESS", receiver, sender)):
                rule = _first_match(rules, direction, mine, other, network)
                # Without a rule everything may leave, and nothing may come in.
                if (rule is None and direction == "EGRESS") or (rule is not None and "denied" not in rule):
                    continue
                why = f"the rule {rule['name']} forbids it" if rule is not None else "no rule allows it"
                problems.append(
                    f"VRRP (protocol {VRRP}) does not pass from {sender_name} to {receiver_name}: {why}"
                    f" ({direction.lower()}); add a firewall rule to {network} which allows protocol {VRRP} between the"
                    " nodes"
                )
    return problems


def probe_problems(
    instances: Mapping[str, Mapping[str, Any]],
    network: str,
    rules: Iterable[Mapping[str, Any]],
    port: int,
    ranges: Iterable[str],
) -> list[str]:
    """From which of the ranges health checks' probes do not get to which of the instances, at a TCP port."""
    rules = _in_order(rules, network)
    problems = []
    for path, instance in instances.items():
        for cidr in ranges:
            rule = next((each for each in rules if _meets_probes(each, instance, port, cidr)), None)
            if rule is not None and "denied" not in rule:
                continue
            why = f"the rule {rule['name']} forbids it" if rule is not None else "no rule allows it"
            problems.append(
                f"the probes from {cidr} do not get to {path} at TCP port {port}: {why}; add a firewall rule to"
                f" {network} which lets them in"
            )
    return problems


def _in_order(rules: Iterable[Mapping[str, Any]], network: str) -> list[Mapping[str, Any]]:
    """The rules of a network: of all that match, the first one counts."""
    return sorted(
        (rule for rule in rules if not rule.get("disabled") and normalise(rule.get("network", "")) == network),
        # The lowest number wins, and of those with the same one, a rule that denies.
        key=lambda rule: (rule.get("priority", 1000), "denied" not in rule),
    )


def _meets_probes(rule: Mapping[str, Any], instance: Mapping[str, Any], port: int, cidr: str) -> bool:
    """Whether a rule says something about probes from a range: it lets all of them in, or some of them not."""
    denies = "denied" in rule
    sources = [ipaddress.ip_network(each, strict=False) for each in rule.get("sourceRanges") or ()]
    if not sources and not rule.get("sourceTags") and not rule.get("sourceServiceAccounts"):
        sources = [ipaddress.ip_network("0.0.0.0/0")]
    probes = ipaddress.ip_network(cidr)
    return (
        rule.get("direction", "INGRESS") == "INGRESS"
        and any(_is_tcp(entry, port) for entry in rule.get("denied", rule.get("allowed", ())))
        and _is_target(rule, instance)
        and any(
            source.version == 4 and (source.overlaps(probes) if denies else probes.subnet_of(source))  # type: ignore[arg-type]
            for source in sources
        )
    )


def _is_tcp(entry: Mapping[str, Any], port: int) -> bool:
    if str(entry.get("IPProtocol", "")).lower() not in ("all", "tcp", "6"):
        return False
    for text in entry.get("ports") or ("0-65535",):
        first, _dash, last = str(text).partition("-")
        if int(first) <= port <= int(last or first):
            return True
    return False


def _first_match(
    rules: Iterable[Mapping[str, Any]], direction: str, mine: Mapping[str, Any], other: Mapping[str, Any], network: str
) -> Mapping[str, Any] | None:
    for rule in rules:
        if (
            rule.get("direction", "INGRESS") == direction
            and any(_is_vrrp(entry) for entry in rule.get("denied", rule.get("allowed", ())))
            and _is_target(rule, mine)
            and _is_other_side(rule, direction, other, network)
        ):
            return rule
    return None


def _is_vrrp(entry: Mapping[str, Any]) -> bool:
    return str(entry.get("IPProtocol", "")).lower() in ("all", VRRP)


def _is_target(rule: Mapping[str, Any], instance: Mapping[str, Any]) -> bool:
    tags, accounts = rule.get("targetTags"), rule.get("targetServiceAccounts")
    return (not tags and not accounts) or _has(instance, tags, accounts)


def _is_other_side(rule: Mapping[str, Any], direction: str, other: Mapping[str, Any], network: str) -> bool:
    if direction == "EGRESS":
        return _within(other, network, rule.get("destinationRanges") or ["0.0.0.0/0"])
    ranges, tags, accounts = rule.get("sourceRanges"), rule.get("sourceTags"), rule.get("sourceServiceAccounts")
    if not ranges and not tags and not accounts:
        return True
    return _within(other, network, ranges or ()) or _has(other, tags, accounts)


def _has(instance: Mapping[str, Any], tags: Iterable[str] | None, accounts: Iterable[str] | None) -> bool:
    own_accounts = {account.get("email") for account in instance.get("serviceAccounts", ())}
    return not own_accounts.isdisjoint(accounts or ()) or not set(instance.get("tags", {}).get("items", ())).isdisjoint(
        tags or ()
    )


def _within(instance: Mapping[str, Any], network: str, ranges: Iterable[str]) -> bool:
    addresses = [
        ipaddress.ip_address(interface["networkIP"])
        for interface in instance.get("networkInterfaces", ())
        if normalise(interface.get("network", "")) == network and interface.get("networkIP")
    ]
    return any(address in ipaddress.ip_network(cidr, strict=False) for cidr in ranges for address in addresses)

# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of a drill: the faults that can be injected here, and the requests of the clients. Pure functions."""

from __future__ import annotations

import math
import re
import typing as t
from ipaddress import ip_address

Faults = t.Mapping[str, t.Mapping[str, t.Any]]
# What a report says of a node, and where it stands in what the node prints.
VERSIONS = {
    "keepalived": r"Keepalived v([0-9.]+)",
    "nginx": r"nginx/([0-9.]+)",
    "python": r"Python ([0-9.]+)",
    "kernel": r"(?m)^Linux (.+)",
}
FULL_RATE = 4  # so many addresses a client asks at the full rate; more share it


def why_not(
    fault: str,
    what: t.Mapping[str, t.Any],
    topology: t.Mapping[str, t.Any],
    pool: bool,
    hooks: t.Mapping[str, t.Container[str]],
    lacking: t.Mapping[str, t.Mapping[str, str]],
) -> str | None:
    """Why a fault cannot be injected here."""
    if what.get("api") and not topology["operations"]:
        return "it is for topologies whose address a cloud's API moves"
    if what.get("apart") and topology["on_interface"]:
        return "it is for topologies whose address something else than the nodes leads to one of them"
    if what.get("elected") and not topology["elected"]:
        return "it is for topologies whose holder keepalived elects"
    if not (what.get("planned") or what.get("pool") or topology["fails_over"]):
        return "it is for topologies whose address moves by itself when its holder fails"
    if what.get("probed") and not topology.get("probes_from"):
        return "it is for topologies whose mechanism itself asks nodes for their health"
    if topology.get("single") and (what.get("planned") or what.get("leaves")):
        return "it is for topologies with a node that could take over"
    if what.get("recreated") and not topology.get("recreates"):
        return "it is for topologies whose cloud makes a lost node anew"
    if what.get("undecided") and what.get("probed") and topology.get("recreates"):
        return "the cloud would make all nodes anew at once, and nobody would serve meanwhile"
    if what.get("leaves") and not (topology.get("probes_from") and topology.get("moves")):
        return "it is for topologies whose nodes leave by failing the mechanism's health check on purpose"
    if what.get("pool") and not pool:
        return "it is for topologies with servers behind the node that holds the address"
    if what.get("own_service") and pool:
        return "the service is on the servers behind the holder, for which there are real_server_..."
    bare = [node for node in hooks if fault not in hooks[node]]
    if what.get("hooked") and bare:
        return "only drill_hooks can do it, and %s has no %s in it" % (bare[0], fault)
    for node in bare:
        if fault in lacking.get(node, {}):
            return "%s: %s; or set drill_hooks" % (node, lacking[node][fault])
    return None


def choose(
    catalog: Faults,
    wanted: t.Sequence[str],
    topology: t.Mapping[str, t.Any],
    pool: bool,
    hooks: t.Mapping[str, t.Mapping[str, t.Any]],
    lacking: t.Mapping[str, t.Mapping[str, str]],
) -> dict[str, t.Any]:
    """The faults of a drill: those that are wanted, or else all that are possible.

    topology: the traits that the mechanism's role declares. hooks: of each node, by fault. lacking: the faults that a
    node cannot have without a hook, and why.
    """
    reasons = {fault: why_not(fault, what, topology, pool, hooks, lacking) for fault, what in catalog.items()}
    possible = [fault for fault, reason in reasons.items() if reason is None]
    problems = [
        "drill_hooks of %s: %s has no %s" % (node, fault, word)
        for node, its in hooks.items()
        for fault, hook in its.items()
        for word in ("inject", "undo")
        if not (isinstance(hook, t.Mapping) and hook.get(word))
    ]
    problems += [
        "drill_faults: %s cannot be injected here: %s" % (fault, reasons.get(fault, "there is no such fault"))
        for fault in wanted
        if fault not in possible
    ]
    if problems:
        problems.append("Possible are %s" % (", ".join(possible) or "none"))
    return {
        "faults": list(wanted or possible),
        "problems": problems,
        # What a reader of the report may miss: the topology has it, this machine has not.
        "left_out": {fault: reason for fault, reason in reasons.items() if reason and not wanted and ": " in reason},
    }


def objective_ms(
    fault: str,
    what: t.Mapping[str, t.Any],
    own: t.Mapping[str, t.Any],
    rto_ms: float,
    lossless_ms: float,
    operations: int,
    unheld_ms: float,
    gradual: bool = False,
) -> int:
    """How long clients may wait after a fault. own: the objectives that the inventory has for faults.

    unheld_ms: how long a cloud's API leaves the address without a holder. gradual: a node that still serves is left
    connection by connection, as all fit nodes serve at once, or as the mechanism asks each for its health.
    """
    if fault in own:
        return int(float(own[fault]))
    if what.get("drains") or what.get("harmless") or (gradual and what.get("serving")):
        return int(lossless_ms)
    if operations and what.get("serving"):
        return int(min(rto_ms, unheld_ms + lossless_ms))
    return int(rto_ms + float(what.get("slack_ms") or 0))


def lacks(answers: t.Iterable[t.Mapping[str, t.Any]]) -> dict[str, dict[str, str]]:
    """Read the nodes' output: for each node the faults that cannot be injected there, and why."""
    found: dict[str, dict[str, str]] = {}
    for answer in answers:
        words = [line.partition("cannot ")[2].partition(": ") for line in answer.get("stdout_lines") or ()
                 if line.startswith("cannot ")]  # fmt: skip
        found[str(answer["item"])] = {fault: reason for fault, _colon, reason in words}
    return found


def versions(printed: str) -> dict[str, str]:
    """The versions that a node printed; a program that it has not is left out."""
    found = {name: re.search(pattern, printed) for name, pattern in VERSIONS.items()}
    return {name: match.group(1) for name, match in found.items() if match}


def probes(
    clients: t.Iterable[str], own: t.Mapping[str, str], urls: t.Sequence[str], interval_ms: float
) -> list[dict[str, t.Any]]:
    """The clients and their requests: each client asks for each of the URLs, or for its own.

    A record for each: name is that of its file, client the name in the report.
    """
    found = []
    for host in clients:
        asked = [own[host]] if own.get(host) else list(urls)
        for number, url in enumerate(asked):
            several = len(asked) > 1
            found.append(
                {
                    "host": host,
                    "url": url,
                    "client": "%s, %s" % (host, url.partition("://")[2].partition("/")[0]) if several else host,
                    "name": "%s.%d" % (host, number) if several else host,
                    "interval_ms": interval_ms * max(1, math.ceil(len(asked) / FULL_RATE)),
                }
            )
    return found


def deaf_rules(networks: t.Iterable[str]) -> list[str]:
    """Rules of nftables that drop what comes from these networks: of a chain of inet."""
    return ["%s saddr %s drop" % ("ip6" if ":" in network else "ip", network) for network in networks]


def silent_rules(addresses: t.Iterable[str]) -> list[str]:
    """Rules of nftables that drop all packets that announce these addresses, or come from them: of a chain of
    netdev."""
    rules = []
    for each in addresses:
        address = ip_address(each.partition("/")[0])
        if address.version == 4:
            rules += ["arp saddr ip %s drop" % address, "arp daddr ip %s drop" % address]
            rules += ["ip saddr %s drop" % address]
        else:
            # nftables has a word for the target of a neighbour's message only since 1.0.9.
            rules += [
                "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } @th,64,128 0x%032x drop" % int(address),
                "ip6 saddr %s drop" % address,
            ]
    return rules

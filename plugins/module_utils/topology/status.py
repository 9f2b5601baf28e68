# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The answers of a group's nodes about themselves, as a table and as a verdict."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from .record import unclear

_AT_WORK = ("MASTER", "BACKUP")
_ROW = "%-14s %-8s %-11s %-22s %-8s %s"
_IDLE = "does not serve"

Look = Mapping[str, Any]


def unfit(look: Look | None, elected: bool = True) -> list[str]:
    """Why this node could not hold the address now; an empty list if it could.

    look: what cloudha.vip.vip_info said, or what Ansible said in its place: it skips a node that does not exist. None
    if the node was not asked.
    elected: whether keepalived elects the holder, so that no node without it could be one.
    """
    if look is None:
        return ["was not asked (--limit?)"]
    if look.get("skipped"):
        return ["does not exist now"]
    if "keepalived" not in look:
        return ["does not answer" + (f" ({_first_line(look['msg'])})" if look.get("msg") else "")]
    keepalived = look["keepalived"]
    if elected and not keepalived["active"]:
        return ["keepalived does not run"]
    reasons = ["vip-agent does not run, and its verdicts stand as they are"] if look.get("agent") is False else []
    reasons += [f"check {name} FAILED" for name, well in look.get("checks", {}).items() if not well]
    reasons += [f"{name} is in state {now}" for name, now in look.get("instances", {}).items() if now not in _AT_WORK]
    if (look.get("drain") or 0) <= -254:
        reasons.append(f"is drained ({look['drain']})")
    reasons += [f"keepalived does not watch {file}" for file in keepalived.get("unwatched") or []]
    reasons += [f"keepalived is deaf: {what}" for what in keepalived.get("deaf") or []]
    return reasons


def unfit_nodes(nodes: Sequence[str], looks: Sequence[Look], elected: bool = True) -> dict[str, list[str]]:
    """For each node that could not hold the address now, the reasons. looks: those of the role holder, each with its
    item."""
    found = {look["item"]: look for look in looks}
    reasons = {node: unfit(found.get(node), elected) for node in nodes}
    return {node: why for node, why in reasons.items() if why}


def unfit_sentences(found: Mapping[str, Sequence[str]], without: Sequence[str] = ()) -> list[str]:
    """A sentence for each node that could not hold the address, with the reasons found; none for the nodes without."""
    return [f"{node}: {', '.join(why)}" for node, why in found.items() if node not in without]


def served_well(holders: Sequence[str], shared: bool = False) -> bool:
    """Whether as many nodes as should serve the addresses: one, or any number if all fit nodes share them."""
    return len(holders) > 0 if shared else len(holders) == 1


def by_whom(holders: Sequence[str], shared: bool = False) -> str:
    """The nodes that serve the addresses, in words."""
    return f"{'served' if shared else 'held'} by {' and '.join(holders) or 'no node'}"


def trouble(
    looks: Sequence[Look],
    holders: Sequence[str],
    notes: Sequence[str] = (),
    addresses: Sequence[str] = (),
    all_well: bool = True,
    elected: bool = True,
    shared: bool = False,
    away: Sequence[str] = (),
) -> list[str]:
    """Why this is no steady state, in sentences: not exactly one node holds the addresses, or a node does not answer.
    With all_well, also the notes, and the reasons why a node could not hold them.

    looks: those of the role holder, of each node that was asked, each with its item. shared: all fit nodes serve at
    once, so that one is enough and, with all_well, none may be missing. away: nodes that are to serve no longer.
    """
    # Without all_well, a node that answers need not be fit.
    counted = looks if all_well else [look for look in looks if "keepalived" not in look]
    unable = unfit_nodes([look["item"] for look in counted], counted, elected)
    found = unfit_sentences(unable)
    if all_well or not served_well(holders, shared):
        found += notes
    if not served_well(holders, shared):
        found.append(f"{', '.join(addresses)}: {by_whom(holders, shared)}")
    elif shared and all_well:
        nodes = [look["item"] for look in looks]
        found += [f"{node}: {_IDLE}" for node in nodes if node not in holders and node not in unable]
    return found + [f"{node} still serves" for node in away if node in holders]


def at_rest(
    looks: Sequence[Look],
    holders: Sequence[str],
    notes: Sequence[str],
    wanted: str = "",
    without: str = "",
    elected: bool = True,
    shared: bool = False,
) -> bool:
    """Whether nobody needs to wait any longer: one node holds the addresses, and there is no note.

    wanted: the node that is to hold them. without: one that is to hold them no longer. shared: all fit nodes serve at
    once; without a wish for one of them, all that were asked are to be fit and to serve.
    """
    if notes or not served_well(holders, shared):
        return False
    if wanted or without:
        return (not wanted or wanted in holders) and without not in holders
    return not shared or trouble(looks, holders, elected=elected, shared=True) == []


def masters(looks: Sequence[Look], hosts: Sequence[str] | None = None) -> list[str]:
    """The nodes on which keepalived runs and is MASTER. looks: each with its item, or in the order of hosts."""
    named = zip(hosts, looks) if hosts is not None else ((look["item"], look) for look in looks)
    return [
        host
        for host, look in named
        if (look.get("keepalived") or {}).get("active") and "MASTER" in look.get("instances", {}).values()
    ]


def status_report(
    nodes: Sequence[str],
    looks: Mapping[str, Look],
    holders: Sequence[str],
    notes: Sequence[str] = (),
    addresses: Sequence[str] = (),
    versions: Mapping[str, Sequence[str]] | None = None,
    by_node: bool = True,
    mechanism: str = "",
    elected: bool = True,
    shared: bool = False,
    single: bool = False,
) -> dict[str, Any]:
    """lines: the table. problems: why not exactly one node serves the address. redundancy: the nodes that could not
    take over.

    by_node: the nodes themselves know who holds the addresses, and may hold a part of them. mechanism: the one that
    moves the addresses, in place of the one in the nodes' records. shared: all fit nodes serve at once; each that does
    not is missing. single: one node exists at a time, so that no other one is missing.
    """
    unknown = _unknown(looks, mechanism)
    partly = [node for node in holders if by_node and not looks.get(node, {}).get("holds_all")]
    reasons = {node: unfit(looks.get(node), elected) for node in nodes}
    lines = [_ROW % ("node", "address", "keepalived", "checks", "drain", "versions")]
    does = {node: "partly" if node in partly else "serves" if shared else "holds" for node in holders}
    lines += [
        _line(node, looks.get(node), does.get(node, "-"), elected, (versions or {}).get(node, [])) for node in nodes
    ]
    problems = [unknown] if unknown else []
    if not served_well(holders, shared):
        problems += [] if unknown else [by_whom(holders, shared)]
        if not holders:
            problems += [f"{node}: {', '.join(why)}" for node, why in reasons.items() if why]
    problems += [f"{node} holds it, but not all of {', '.join(addresses)}" for node in partly]
    problems += [note for note in notes if not (unknown and unknown in note)]
    what = "serves" if shared else "holds it"
    problems += [f"{node} {what}, though {', '.join(reasons[node])}" for node in holders if reasons.get(node)]
    missing = {node: reasons[node] or [_IDLE] * shared for node in nodes if node not in holders}
    redundancy = unfit_sentences({node: why for node, why in missing.items() if why}) if holders else []
    if len(nodes) < 2:
        redundancy.append("there is no other node")
    if single:
        redundancy = []
    return {"lines": lines, "problems": problems, "redundancy": redundancy}


def _line(node: str, look: Look | None, does: str, elected: bool, versions: Sequence[str]) -> str:
    if look is None or "keepalived" not in look:
        return ("%-14s %s" % (node, "; ".join(unfit(look)))).rstrip()
    keepalived = look["keepalived"]
    states = " ".join(dict.fromkeys(look.get("instances", {}).values())) or "runs"
    trouble = ["unwatched"] * bool(keepalived.get("unwatched")) + ["deaf"] * bool(keepalived.get("deaf"))
    checks = look.get("checks", {})
    return (
        _ROW
        % (
            node,
            does,
            ",".join([states, *trouble]) if keepalived["active"] else "stopped" if elected else "-",
            ", ".join(f"{name} {'ok' if well else 'FAILED'}" for name, well in checks.items()) or "-",
            look.get("drain") or "no",
            ", ".join(versions),
        )
    ).rstrip()


def unserved(
    asked: Sequence[Mapping[str, Any]],
    nodes: Sequence[str],
    looks: Mapping[str, Look],
    holders: Sequence[str],
    notes: Sequence[str] = (),
    mechanism: str = "",
    elected: bool = True,
    shared: bool = False,
) -> dict[str, Any]:
    """problems: why clients are not served. silent: the hosts that could not ask, which is a problem only if no other
    could. served: in one line, by whom and to whom; empty if there is a problem, or nobody asked.

    asked: for each host that asked (item) what cloudha.vip.service_ask returned, or what Ansible said in its place.
    mechanism: as for status_report. shared: all fit nodes serve at once; one is enough for clients.
    """
    unknown = _unknown(looks, mechanism)
    silent, failed = [], []
    for one in asked:
        if "answers" not in one:
            silent.append(f"{one['item']} cannot ask ({_first_line(one.get('msg', '')) or 'no answer from it'})")
        failed += [
            f"{_shown(a['url'])}, asked from {one['item']}: {a['error']}" for a in one.get("answers", []) if not a["ok"]
        ]
    if len(silent) == len(asked):
        failed += silent
    if not failed and served_well(holders, shared) and not notes and not unknown:
        answers = [f"{one['item']} asked {_shown(a['url'])}" for one in asked for a in one.get("answers", [])]
        who = _servers(nodes, holders) if shared else f"{holders[0]} holds the address"
        served = f"{who}: {', '.join(answers)}, and got an answer" if answers else ""
        return {"problems": [], "silent": silent, "served": served}
    found = [unknown or f"the address is {by_whom(holders, shared)}", *notes]
    for node in nodes:
        look = looks.get(node) or {}
        states = list(dict.fromkeys(look.get("instances", {}).values()))
        passed = [f"check {name} ok" for name, well in look.get("checks", {}).items() if well]
        found.append(f"{node}: {', '.join([*unfit(looks.get(node), elected), *states, *passed]) or 'well'}")
    return {"problems": failed + found, "silent": silent, "served": ""}


def _servers(nodes: Sequence[str], holders: Sequence[str]) -> str:
    """Which nodes serve together, and which do not."""
    missing = [node for node in nodes if node not in holders]
    text = f"{' and '.join(holders)} {'serve' if len(holders) > 1 else 'serves'} the address"
    return f"{text} without {' and '.join(missing)}" if missing else text


def _unknown(looks: Mapping[str, Look], mechanism: str) -> str:
    """The reason why the holder is unknown: the nodes' records do not say how the addresses move; else empty."""
    return unclear(({**look, "item": node} for node, look in looks.items()), mechanism)


def written(hosts: Sequence[str], results: Mapping[str, Sequence[Any]]) -> str:
    """Which configurations this run has changed, and where, in one sentence.

    results: for each file the results of the task that writes it, one for each host; other values count as none.
    """
    changed = []
    for file, each in results.items():
        where = [host for host, result in zip(hosts, each) if isinstance(result, Mapping) and result.get("changed")]
        if where:
            changed.append(f"{', '.join(where)} ({file})")
    subject = " and ".join(changed) or f"neither {' nor '.join(results)}"
    return f"This run has changed {subject}; the tasks above say what else."


def _shown(url: str) -> str:
    """Without its possible secrets: a user's name and password, and the query."""
    return re.sub(r"//[^/@]*@", "//", url.partition("?")[0])


def _first_line(text: Any) -> str:
    lines = str(text).strip().splitlines()
    return lines[0].removeprefix("Task failed: ")[:160] if lines else ""

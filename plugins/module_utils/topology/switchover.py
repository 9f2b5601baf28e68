# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of a switchover: the node that gives the addresses up, and the one that gets them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .status import unfit_nodes, unfit_sentences

_UNCHANGED = "Nothing was changed"


def plan(
    nodes: Sequence[str],
    looks: Sequence[Mapping[str, Any]],
    holders: Sequence[str],
    giver: str = "",
    taker: str = "",
    elected: bool = True,
    shared: bool = False,
    single: bool = False,
) -> dict[str, Any]:
    """source, target: who gives the addresses up, and who gets them; the same node, or nobody, if there is nothing to
    do. after: the nodes that serve then. problem: why it cannot be, in sentences; empty if it can.

    looks: those of the role holder. holders: the nodes that serve now, at least one. giver, taker: the operator's wish.
    shared: all fit nodes serve at once, so that one can go, or come back, while the others stay. single: one node
    exists at a time, and the target is made when it gets the addresses, also if nobody serves.
    """
    if single:
        return _to_a_new_one(nodes, holders, giver, taker)
    return (_among_many if shared else _to_another)(nodes, looks, holders, giver, taker, elected)


def _to_another(
    nodes: Sequence[str],
    looks: Sequence[Mapping[str, Any]],
    holders: Sequence[str],
    giver: str,
    taker: str,
    elected: bool,
) -> dict[str, Any]:
    # Without an election, whoever was drained stays so until it is to come back.
    known = looks if elected else [{**look, "drain": 0} for look in looks]
    source, unfit = holders[0], unfit_nodes(nodes, known, elected)
    able = [node for node in nodes if node not in holders and node not in unfit]
    gone = bool(giver) and giver != source
    target = taker or (source if gone else able[0] if able else "")
    problem = ""
    if gone and target != source:
        problem = f"{source} holds the addresses, and not {giver}. {_UNCHANGED}"
    elif giver and giver == taker:
        problem = f"{giver} is to give the addresses up, and to get them. {_UNCHANGED}"
    elif target not in [*able, source]:
        who = f"{taker} cannot" if taker else "No other node can"
        reasons = "; ".join(unfit_sentences(unfit, holders)) or "there is no other node"
        problem = f"{who} take over from {source}. {_UNCHANGED}. {reasons}"
    return {"source": source, "target": target, "after": [target], "problem": problem}


def _to_a_new_one(nodes: Sequence[str], holders: Sequence[str], giver: str, taker: str) -> dict[str, Any]:
    source = holders[0] if holders else giver
    target = taker or next((node for node in nodes if node != source), "")
    problem = ""
    if giver and giver != source:
        problem = f"{source} holds the addresses, and not {giver}. {_UNCHANGED}"
    elif not source and not taker:
        problem = f"No node serves: set switchover_to to the one that is to. {_UNCHANGED}"
    elif giver and giver == target:
        problem = f"{giver} is to give the addresses up, and to get them. {_UNCHANGED}"
    return {"source": source, "target": target, "after": [target], "problem": problem}


def _among_many(
    nodes: Sequence[str],
    looks: Sequence[Mapping[str, Any]],
    holders: Sequence[str],
    giver: str,
    taker: str,
    elected: bool,
) -> dict[str, Any]:
    after = [node for node in nodes if node == taker or (node in holders and node != giver)]
    unfit = unfit_nodes(nodes, looks, elected)
    # Whoever was drained to serve nobody is to come back.
    ill = unfit_nodes([taker] if taker else [], [{**look, "drain": 0} for look in looks], elected)
    problem = ""
    if not giver and not taker:
        problem = (
            "Several nodes serve at once: set switchover_from to the one that is to stop, or switchover_to to the one "
            "that is to serve again"
        )
    elif giver == taker:
        problem = f"{giver} is to stop, and to serve again"
    elif ill:
        problem = f"{taker} cannot serve: {', '.join(ill[taker])}"
    elif giver in holders and not any(node == taker or node not in unfit for node in after):
        reasons = "; ".join(unfit_sentences(unfit, [giver])) or "no other node serves"
        problem = f"Nobody would serve without {giver}: {reasons}"
    return {
        "source": giver if giver in holders else "",
        # One that serves though it is drained was interrupted on its way out.
        "target": taker if taker not in holders or taker in unfit else "",
        "after": after,
        "problem": f"{problem}. {_UNCHANGED}" if problem else "",
    }

# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the clients' measurements of a fault met the objectives, in sentences."""

from __future__ import annotations

import math
import typing as t

from .analysis import number, percent


class Objectives(t.NamedTuple):
    gap_ms: float
    failback_gap_ms: float
    split_brain_ms: float
    slow_ms: float
    spread: float = 1.5


class Findings(t.NamedTuple):
    """In sentences: the failures, and the reasons why the drill could not measure."""

    wrong: list[str]
    unknown: list[str]


def uneven(seen: t.Mapping[str, t.Any], pool: t.Sequence[str], spread: float) -> str | None:
    """Whether one of the hosts that answer side by side had far more than its share before the fault, in a
    sentence."""
    answers = [seen["baseline"]["served"].get(name, 0) for name in pool]
    if len(pool) < 2 or max(answers) * len(pool) <= spread * sum(answers):
        return None
    shares = ", ".join("%s %d" % pair for pair in zip(pool, answers))
    return "Before the fault, %s was answered unevenly: %s times; at most %s of the even share is allowed." % (
        seen["client"],
        shares,
        "%g times" % spread,
    )


def suffered(seen: t.Mapping[str, t.Any]) -> str:
    """What a gap means to a client: of nodes that serve at once, the others answer meanwhile."""
    return "lost requests" if "share" in seen else "was without an answer"


def beyond_share(seen: t.Mapping[str, t.Any], target: str) -> str | None:
    """Whether a client lost more than the share of the node that was lost, in a sentence."""
    share = seen.get("share")
    if share is None:
        return None
    expected, known = seen["share_requests"], sum(seen["baseline"]["served"].values())
    # By chance it gets a few more, and so it did before the fault, when its share was measured.
    chance = expected * (1 - share) + (expected * (1 - share) * expected / share / known if share else 0)
    if seen["requests_lost"] <= expected + 4 * math.sqrt(chance) + 1:
        return None
    return "%s lost %d requests; %s had answered %s, which is about %d: others were lost, too." % (
        seen["client"],
        seen["requests_lost"],
        target,
        percent(share),
        expected,
    )


def too_long(seen: t.Mapping[str, t.Any], gap: float, waits: float, objective: float, when: str) -> tuple[str, bool]:
    """A gap that misses the objective, in a sentence; and whether that may be the fault of the host that measured."""
    text = "%s %s for %s%s; the objective is %s." % (
        seen["client"],
        suffered(seen),
        number(gap),
        when,
        number(objective),
    )
    doubtful = gap - waits <= objective
    if doubtful:
        text += " Its own host was too busy to measure that, and may be the reason for %s of it: measure again." % (
            number(waits)
        )
    return text, doubtful


def shortcomings(
    fault: t.Mapping[str, t.Any], seen: t.Mapping[str, t.Any], objectives: Objectives, pool: t.Sequence[str] = ()
) -> Findings:
    """The failures in the measurements of one client."""
    unknown: list[str] = []
    unserved = fault.get("undecided") == "dropped"
    suspects = (uneven(seen, pool, objectives.spread), beyond_share(seen, fault["target"]))
    found = [text for text in suspects if text]
    client = seen["client"]
    if seen["recorded_until_ms"] < fault["ended_ms"] - 1000:
        missing = fault["ended_ms"] - seen["recorded_until_ms"]
        unknown.append(
            "The record of %s ends %s before the phase does, so what happened then is not known."
            % (client, number(missing))
        )
    if seen["baseline"]["requests_sent"] == seen["baseline"]["requests_lost"]:
        found.append("%s had no good answer before the fault, so nothing can be said about it." % client)
    if not seen["recovered"]:
        until = "the phase ended" if fault["failback_ms"] is None else "the fail-back began"
        still, after = ("was still without an answer", "last")
        if "share" in seen:
            still, after = ("still lost requests", "first")
        found.append("%s %s when %s, %s after the %s one." % (client, still, until, number(seen["gap_ms"]), after))
    elif seen["gap_ms"] > objectives.gap_ms:
        gap, doubtful = too_long(seen, seen["gap_ms"], seen["host_waits_ms"], objectives.gap_ms, "")
        if fault["repaired_ms"] is not None and seen["gap_to_ms"] > fault["repaired_ms"] and not unserved:
            gap += " It got one again only after the repair had begun."
            doubtful = False
        (unknown if doubtful else found).append(gap)
    if unserved and seen["gap_from_ms"] != fault["repaired_ms"]:
        found.append("%s was answered when the repair began; until then nobody was to be." % client)
    if seen["failback_recovered"] is False:
        found.append("%s %s at the end of the fail-back." % (client, suffered(seen)))
    elif seen["failback_gap_ms"] is not None and seen["failback_gap_ms"] > objectives.failback_gap_ms:
        gap, doubtful = too_long(
            seen,
            seen["failback_gap_ms"],
            seen["failback_host_waits_ms"],
            objectives.failback_gap_ms,
            " during the fail-back",
        )
        (unknown if doubtful else found).append(gap)
    if seen["split_brain_ms"] > objectives.split_brain_ms and fault.get("undecided") != "served":
        found.append(
            "%s got answers from two nodes in turn for %s; at most %s is allowed."
            % (client, number(seen["split_brain_ms"]), number(objectives.split_brain_ms))
        )
    return Findings(found, unknown)


def good_news(fault: t.Mapping[str, t.Any], objectives: Objectives) -> str:
    text = "Clients %s for at most %s%s; the objective is %s." % (
        "lost requests" if "share" in fault else "were without an answer",
        number(fault["gap_ms"]),
        " after the repair; until then nobody was to be answered" if fault.get("undecided") == "dropped" else "",
        number(objectives.gap_ms),
    )
    if "share" in fault and not any(one["requests_lost"] for one in fault["clients"]):
        text = "No client lost a request."
    elif fault.get("share") is not None:
        text += " %s had answered %s of them before." % (fault["target"], percent(fault["share"]))
    if fault["holder_after"] and fault["holder_after"] != fault["holder_before"]:
        text += " %s took over" % fault["holder_after"]
        text += " after %s." % number(fault["moved_ms"]) if fault["moved_ms"] is not None else "."
    if fault["requests_lost"] and fault["requests_lost"] == fault["requests_in_flight"]:
        text += " Lost were only those under way when their connections were reset: %d." % fault["requests_lost"]
    if fault["failback_gap_ms"] is not None:
        text += " Fail-back: %s." % number(fault["failback_gap_ms"])
    return text


def verdict_of(faults: t.Iterable[t.Mapping[str, t.Any]]) -> str:
    """The worst of theirs; failed if there are none."""
    given = {f["verdict"] for f in faults} or {"failed"}
    return next(verdict for verdict in ("failed", "inconclusive", "passed") if verdict in given)

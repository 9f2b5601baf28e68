# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The JSON Schema of report.json. In Python, because Ansible carries nothing else to where a module runs.

docs/report-schema.json and the tables in docs/drill-report.md are made from it:
``tests/run python -m ansible_collections.cloudha.vip.plugins.module_utils.drill.schema docs``
"""

from __future__ import annotations

import json
import os
import sys
import typing as t

Schema = dict[str, t.Any]


def one(kind: str, description: str, **more: t.Any) -> Schema:
    return {"type": kind, "description": description, **more}


def maybe(kind: str, description: str) -> Schema:
    return {"type": [kind, "null"], "description": description}


def count(description: str) -> Schema:
    return one("integer", description, minimum=0)


def counts(description: str) -> Schema:
    return one("object", description, additionalProperties={"type": "integer", "minimum": 1})


def texts(description: str) -> Schema:
    return one("array", description, items={"type": "string"})


def objects(description: str, properties: Schema, optional: t.Collection[str] = (), **more: t.Any) -> Schema:
    return one("array", description, items=record(properties, optional, **more))


def record(properties: Schema, optional: t.Collection[str] = (), **more: t.Any) -> Schema:
    required = [name for name in properties if name not in optional]
    more.setdefault("additionalProperties", False)
    return {"type": "object", "required": required, "properties": properties, **more}


VERDICT = one("string", "Whether all was as it should be; inconclusive if that could not be measured.",
              enum=["passed", "failed", "inconclusive"])  # fmt: skip

BASELINE = {
    "requests_sent": count("Requests that ended between the start of the phase and the injection."),
    "requests_lost": count("Those without a good answer."),
    "served": {"type": "object", "description": "Good answers by node.", "additionalProperties": {"type": "integer"}},
    "interval_ms": maybe("number", "Median time between two sends, in ms."),
    "gap_ms": maybe("number", "Longest time between two good answers without any fault, in ms."),
    "latency_p50_ms": maybe("number", "Median time from send to complete answer, in ms."),
    "latency_p95_ms": maybe("number", "95th percentile, in ms."),
    "latency_p99_ms": maybe("number", "99th percentile, in ms."),
    "latency_max_ms": maybe("number", "Maximum, in ms."),
}

TIMELINE = {
    "from_ms": one("number", "When its first request ended (a good answer) or was sent (a lost one), in ms."),
    "to_ms": one("number", "The same of its last request, in ms."),
    "count": one("integer", "Number of requests in a row with this outcome.", minimum=1),
    "by": maybe("string", "The node that answered; null if the requests were lost; \"unknown\" if it gave no name."),
    "err": maybe("string", "Why the requests were lost; null if they were answered."),
}  # fmt: skip

# Only where several nodes serve the addresses at once.
SHARE = {
    "share": maybe("number", "The part of the good answers before the fault that came from the target, from 0 to 1;"
                   " null if answers carry no name. Only with `shared`."),
    "share_requests": maybe("integer", "Requests that the target would have answered, by its share, from the injection"
                            " until the last one was lost. As many may be lost. Only with `shared`."),
}  # fmt: skip

# What a client saw, and what a fault takes over from its clients; null throughout if nothing was measured.
SEEN = {
    "client": maybe("string", "The client; of a fault: the one with the longest gap, which the numbers are from, but"
                    " for split_brain_ms and failback_..., which are the worst of any client."),
    "gap_ms": maybe("number", "Longest time between two good answers in a row, from the injection to the fail-back (or"
                    " the end), in ms. If the clients never recovered: from the last good answer to the end of that."
                    " With `shared`: the time in which requests were lost, from the last good answer before the first"
                    " lost one to the first good answer after the last."),
    "gap_from_ms": maybe("number", "When the last good answer before this gap was complete, in ms."),
    "gap_to_ms": maybe("number", "When the first good answer after this gap was complete, in ms."),
    "recovered": maybe("boolean", "Whether there was a good answer within the prober's timeout before the fail-back (or"
                       " the end); with `shared`, and no request was lost in that time."),
    "first_good_ms": maybe("number", "When the new holder's first good answer was complete, in ms. If the holder did"
                           " not change: the end of the gap, or, if nothing was lost, the first answer after the"
                           " injection. Null if not recovered."),
    "holder_before": maybe("string", "The node that gave the last good answer before the fault; null if answers carry"
                           " no name, or that of a pool, and with `shared`. Of a fault with a pool: the node that"
                           " held the address."),
    "holder_after": maybe("string", "The same before the fail-back (or the end)."),
    "requests_sent": maybe("integer", "Requests that ended between the injection and the fail-back (or the end)."),
    "requests_lost": maybe("integer", "Those without a good answer: none in time, refused, broken or with an error"
                           " status."),
    "requests_slow": maybe("integer", "Good answers that took longer than slow_ms."),
    "requests_broken": maybe("integer", "Lost requests whose connection was made, and then cut."),
    "requests_in_flight": maybe("integer", "Those of them that were under way when the first was reset: a node that"
                                " takes an address over resets connections that it does not know."),
    "errors": {"type": ["object", "null"], "description": "Lost requests by reason.",
               "additionalProperties": {"type": "integer"}},
    "served": {"type": ["object", "null"], "description": "Good answers by node.",
               "additionalProperties": {"type": "integer"}},
    "split_brain_ms": maybe("number", "From the first answer by the new holder to the last one by the old, in ms; the"
                            " longer one of fault and fail-back. 0 if the address changed hands cleanly, and with"
                            " `shared`."),
    "failback_gap_ms": maybe("number", "Longest time between two good answers in a row after the fail-back began, in"
                             " ms; null if there was no fail-back."),
    "failback_lost": maybe("integer", "Requests lost after the fail-back began."),
    "failback_in_flight": maybe("integer", "Those of them that were under way when the first was reset."),
    "failback_holder": maybe("string", "The node that gave the last good answer of the phase."),
    **SHARE,
}  # fmt: skip

CLIENT_SEEN = {
    **SEEN,
    "failback_gap_from_ms": maybe("number", "When the last good answer before that gap was complete, in ms."),
    "failback_gap_to_ms": maybe("number", "When the first good answer after that gap was complete, in ms."),
    "failback_recovered": maybe("boolean", "Whether there was a good answer within the prober's timeout before the"
                                " end."),
    "host_waits_ms": one("number", "For how much of the gap the client host itself may be the reason, in ms: the prober"
                         " was not run, or others on the host waited for a processor."),
    "failback_host_waits_ms": maybe("number", "The same of the gap at fail-back."),
    "stall_ms": one("number", "Longest time around the gap during which the client host did not let the prober send,"
                    " in ms. If it is a good part of the gap, the gap may be shorter than it looks."),
    "recorded_until_ms": one("number", "When the last request of the record ended, in ms."),
    "split_brains": objects("When two nodes answered in turn.", {
        "from_ms": one("number", "First answer by the new holder, in ms."),
        "to_ms": one("number", "Last answer by the old holder, in ms."),
    }),
    "clock_step_ms": one("number", "How far the client's wall clock was set during the record, in ms. Gaps do not"
                         " depend on it."),
    "baseline": {"description": "The steady state before the fault.", **record(BASELINE)},
    "timeline": objects("All requests of the phase in short.", TIMELINE),
}  # fmt: skip

EVENT = {
    "at_ms": one("number", "Time by the node's clock, in ms after the injection."),
    "node": one("string", "The node."),
    "event": one("string", "Its kind, such as check or transition."),
    "text": one("string", "The event in words."),
}

AUDIT = {
    "when": one("string", "Which moment this was, such as before, during or after."),
    "at": one("integer", "Wall clock, in ns since 1970."),
    "holders": texts("Nodes that held the address."),
    "ok": one("boolean", "Whether this was as it should be."),
    "problem": one("string", "The mistake, in words."),
}

FAULT = {
    "fault": one("string", "Name of the fault."),
    "trial": one("integer", "Which repetition of the fault."),
    "target": one("string", "The node that the fault was injected into."),
    "verdict": VERDICT,
    "reason": one("string", "The verdict in words."),
    "objective_ms": one("number", "Longest gap that is allowed, in ms."),
    "injected_at": maybe("string", "Wall clock of the injection, UTC; null if it never happened. Moments in ms count"
                         " from here; if null, from the start of the phase."),
    "started_ms": one("number", "Start of the phase, in ms (negative)."),
    "repaired_ms": maybe("number", "When the repair of the fault began, in ms; null if it repairs itself."),
    "failback_ms": maybe("number", "When the address was told to go back, in ms; null if it was not."),
    "ended_ms": one("number", "End of the phase, in ms."),
    "rolled_back": one("boolean", "Whether the fault was undone and all was healthy at the end."),
    "undecided": one("string", "Only of a fault that left no node healthy, or several that each were to be the only"
                     " one: whether clients were to be served all the same, by any node, or dropped until the repair,"
                     " from which the gap then counts.",
                     enum=["served", "dropped"]),
    "audit": objects("The holders of the address, at moments.", AUDIT, optional=("at", "problem")),
    "events": objects("Events of the nodes' agents in this phase, with all of their fields.", EVENT,
                      additionalProperties=True),
    **SEEN,
    "detected_ms": maybe("number", "When a node first noticed the fault, in ms; null if no event says so."),
    "moved_ms": maybe("number", "When another node became master, or the cloud had moved the address to it, in ms;"
                      " null if no event says so."),
    "clients": objects("The record of each client.", CLIENT_SEEN, optional=SHARE),
}  # fmt: skip

SUMMARY = {
    "fault": FAULT["fault"],
    "trials": one("integer", "How often it was injected.", minimum=1),
    "gap_ms": maybe("number", "Median of the trials' gaps, in ms."),
    "gap_ms_max": maybe("number", "The longest of them, in ms."),
    "failback_gap_ms": maybe("number", "Median of the gaps at fail-back, in ms."),
    "failback_gap_ms_max": maybe("number", "The longest of them, in ms."),
    "requests_lost": count("Requests lost in all trials."),
    "objective_ms": FAULT["objective_ms"],
    "verdict": VERDICT,
}

CLIENT = {
    "client": one("string", "Name of the client."),
    "url": one("string", "The URL that it requested."),
    "interval_ms": one("number", "A request was sent this often, in ms."),
    "timeout_ms": one("number", "A request without a complete answer after this long was lost, in ms."),
    "requests_sent": count("All its requests, in all records."),
    "requests_lost": count("All those that were lost."),
    "requests_skipped": count("Requests not sent because the host did not let the prober run."),
}

HISTORY = {
    "drill_id": one("string", "Name of the drill."),
    "topology": one("string", "Name of the topology."),
    "addresses": texts("The addresses that were drilled."),
    "started": one("string", "When it started, UTC."),
    "objective_ms": one("number", "Its objective, in ms."),
    "verdict": VERDICT,
    "faults": one("object", "gap_ms, failback_gap_ms and verdict by fault."),
}

SCHEMA: Schema = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "Report of a failover drill",
    **record(
        {
            "schema_version": one("integer", "Version of this format.", const=1),
            "topology": one("string", "Name of the topology that was drilled."),
            "drill_id": one("string", "Name of the drill."),
            "addresses": texts("The addresses that were drilled."),
            "shared": one("boolean", "Whether several nodes serve the addresses at once: only then it is here."),
            "started": maybe("string", "Start of the first phase, UTC."),
            "ended": maybe("string", "End of the last phase, UTC."),
            "objective_ms": one("number", "Longest gap that is allowed after a fault, in ms."),
            "failback_objective_ms": one("number", "Longest gap that is allowed at fail-back, in ms."),
            "split_brain_objective_ms": one("number", "Longest time that two nodes may answer in turn, in ms."),
            "slow_ms": one("number", "Answers that took longer count as slow, in ms."),
            "verdict": VERDICT,
            "reasons": texts("Why it failed: one sentence for each fault that did."),
            "versions": one("object", "Versions of the nodes' programs.", additionalProperties={"type": "string"}),
            "clients": objects("The clients that measured.", CLIENT),
            "nodes": texts("The nodes, in the order in which they are shown."),
            "summary": objects("Each fault over all its trials.", SUMMARY),
            "faults": objects("Each fault and trial, in the order in which they were injected.", FAULT,
                              optional=(*SHARE, "undecided")),
            "history": objects("The last drills of this topology, the newest (this one) last.", HISTORY),
        },
        optional=("shared",),
    ),
}  # fmt: skip

TABLES = ("<!-- made by drill/schema.py: begin -->\n", "<!-- end -->\n")


def tables(schema: Schema = SCHEMA, name: str = "The report") -> str:
    """Every field, a table for each kind of object."""
    lines, deeper = ["### %s" % name, "", "| field | type | meaning |", "|---|---|---|"], []
    for field, value in schema["properties"].items():
        kind = value["type"] if isinstance(value["type"], str) else " or ".join(value["type"])
        inner = value.get("items", {})
        if "enum" in value:
            kind = " or ".join("`%s`" % choice for choice in value["enum"])
        elif "properties" in inner:
            kind = "list of objects"
            deeper.append(tables(inner, "Each of `%s`" % field))
        elif inner:
            kind = "list of %ss" % inner["type"]
        elif "properties" in value:
            deeper.append(tables(value, "`%s`" % field))
        lines.append("| `%s` | %s | %s |" % (field, kind, value["description"]))
    return "\n".join([*lines, "", *deeper])


def main(docs: str) -> None:
    with open(os.path.join(docs, "report-schema.json"), "w", encoding="utf-8") as stream:
        stream.write(json.dumps(SCHEMA, indent=2) + "\n")
    path = os.path.join(docs, "drill-report.md")
    with open(path, encoding="utf-8") as stream:
        text = stream.read()
    before, begin, rest = text.partition(TABLES[0])
    _old, end, after = rest.partition(TABLES[1])
    with open(path, "w", encoding="utf-8") as stream:
        stream.write(before + begin + tables() + end + after)


if __name__ == "__main__":
    main(sys.argv[1])

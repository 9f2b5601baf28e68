# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Write the report: one analysis, several forms. The work of the module drill_report."""

from __future__ import annotations

import json
import os
import typing as t
from xml.sax.saxutils import quoteattr

from . import faults, page, schema, wording
from .analysis import number
from .records import RecordError, read_events, read_recording

Report = dict[str, t.Any]
HISTORY = "history.jsonl"


def title(fault: t.Mapping[str, t.Any], report: Report) -> str:
    """The name of a fault for people; the trial only where there are several."""
    trials = sum(other["fault"] == fault["fault"] for other in report["faults"])
    name = fault["fault"].replace("_", " ")
    return "%s, trial %d" % (name, fault["trial"]) if trials > 1 else name


def table(report: Report) -> list[str]:
    """The result as lines of plain text."""
    head = ("fault", "target", "gap", "detected", "moved", "lost", "fail-back", wording.beside(report), "verdict")
    rows = [
        (
            title(f, report),
            f["target"],
            number(f["gap_ms"]),
            number(f["detected_ms"]),
            number(f["moved_ms"]),
            "–" if f["requests_sent"] is None else "%d of %d" % (f["requests_lost"], f["requests_sent"]),
            number(f["failback_gap_ms"]),
            wording.seen_beside(f),
            f["verdict"],
        )
        for f in report["faults"]
    ]
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]

    def line(row: t.Sequence[str]) -> str:
        cells = [c.ljust(w) if i < 2 or i == 8 else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths))]
        return "  ".join(cells).rstrip()

    return [line(head), "  ".join("-" * w for w in widths), *map(line, rows)]


def markdown(report: Report) -> str:
    passed = sum(f["verdict"] == "passed" for f in report["faults"])
    lines = [
        "# Failover drill of %s: %s" % (" ".join([report["topology"], *report["addresses"]]), report["verdict"]),
        "",
        "Drill `%s`, from %s to %s. Objective: clients are without an answer for at most %s after a fault. "
        "%d of %d faults passed."
        % (
            report["drill_id"],
            report["started"],
            report["ended"],
            number(report["objective_ms"]),
            passed,
            len(report["faults"]),
        ),
        "",
        "| fault | target | gap | detected | moved | first good answer | requests lost | fail-back gap | %s"
        " | verdict |" % wording.beside(report),
        "|---|---|--:|--:|--:|--:|--:|--:|--:|---|",
    ]
    for f in report["faults"]:
        lost = "–" if f["requests_sent"] is None else "%d of %d" % (f["requests_lost"], f["requests_sent"])
        numbers = [number(f[name]) for name in ("gap_ms", "detected_ms", "moved_ms", "first_good_ms")]
        cells = [title(f, report), f["target"], *numbers, lost]
        cells += [number(f["failback_gap_ms"]), wording.seen_beside(f)]
        cells.append("passed" if f["verdict"] == "passed" else "**%s**" % f["verdict"])
        lines.append("| %s |" % " | ".join(cells))
    lines += ["", *("- **%s**: %s" % (title(f, report), f["reason"]) for f in report["faults"]), ""]
    lines += [wording.columns(report), ""]
    for client in report["clients"]:
        lines.append(
            "- Client %s sent a request to %s every %g ms, %d in all; one without an answer after %g ms counts as lost."
            % (client["client"], client["url"], client["interval_ms"], client["requests_sent"], client["timeout_ms"])
        )
    if report["versions"]:
        lines.append("- Versions: %s." % ", ".join("%s %s" % item for item in report["versions"].items()))
    return "\n".join(lines) + "\n"


def junit(report: Report) -> str:
    cases = []
    for f in report["faults"]:
        name = "%s %s trial %d" % (f["fault"], f["target"], f["trial"])
        case = "  <testcase classname=%s name=%s time=%s>" % (
            quoteattr("drill." + report["topology"]),
            quoteattr(name),
            quoteattr("%.3f" % ((f["ended_ms"] - f["started_ms"]) / 1000)),
        )
        if f["verdict"] != "passed":
            kind = "failure" if f["verdict"] == "failed" else "error"
            case += "\n    <%s message=%s/>\n  " % (kind, quoteattr(f["reason"]))
        cases.append(case + "</testcase>")
    suite = "<testsuite name=%s tests='%d' failures='%d' errors='%d' timestamp=%s>" % (
        quoteattr("drill of %s" % report["topology"]),
        len(cases),
        sum(f["verdict"] == "failed" for f in report["faults"]),
        sum(f["verdict"] == "inconclusive" for f in report["faults"]),
        quoteattr(report["started"] or ""),
    )
    return "\n".join(["<?xml version='1.0' encoding='utf-8'?>", suite, *cases, "</testsuite>"]) + "\n"


def history_line(report: Report) -> Report:
    fields = ("gap_ms", "failback_gap_ms", "verdict")
    return {
        "drill_id": report["drill_id"],
        "topology": report["topology"],
        "addresses": report["addresses"],
        "started": report["started"],
        "objective_ms": report["objective_ms"],
        "verdict": report["verdict"],
        "faults": {one["fault"]: {name: one[name] for name in fields} for one in report["summary"]},
    }


def read_history(path: str) -> list[Report]:
    if not os.path.exists(path):
        return []
    try:
        with open(path, encoding="utf-8") as stream:
            return [json.loads(line) for line in stream if line.strip()]
    except (OSError, ValueError) as exc:
        raise RecordError("history_dir: cannot read %s: %s; repair or remove it" % (path, exc)) from exc


def small(report: Report) -> Report:
    """The values that set_stats keeps."""
    fields = ("trials", "gap_ms", "gap_ms_max", "failback_gap_ms", "requests_lost", "verdict")
    return {
        "drill_id": report["drill_id"],
        "topology": report["topology"],
        "addresses": report["addresses"],
        "verdict": report["verdict"],
        "objective_ms": report["objective_ms"],
        "faults": {one["fault"]: {name: one[name] for name in fields} for one in report["summary"]},
        "reasons": report["reasons"],
    }


def outcome(report: Report) -> str:
    """The message about a drill that has not passed, with advice after an inconclusive one; else ""."""
    if report["verdict"] == "passed":
        return ""
    reasons = "; ".join(report["reasons"])
    if report["verdict"] != "inconclusive":
        return "%s: %s" % (report["verdict"], reasons)
    again = [one["fault"] for one in report["summary"] if one["verdict"] == "inconclusive"]
    return (
        "inconclusive: nothing is known to be wrong, but what clients lost could not be measured: %s"
        " Let the hosts of the clients have less to do, and run the same again with --extra-vars '%s'"
        % (reasons, json.dumps({"drill_faults": again}))
    )


def put(path: str, text: str, write: bool) -> bool:
    """Write the file, whole or not at all, if that changes it; whether it does."""
    try:
        with open(path, encoding="utf-8") as stream:
            if stream.read() == text:
                return False
    except (FileNotFoundError, UnicodeDecodeError):
        pass
    if write:
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
        with open(path + ".new", "w", encoding="utf-8") as stream:
            stream.write(text)
        os.replace(path + ".new", path)
    return True


def make(params: t.Mapping[str, t.Any], write: bool) -> Report:
    """Analyse, write, and return the module's result."""
    if not params["phases"]:
        raise RecordError("phases: nothing to report; give at least one phase")
    recordings = [read_recording(path) for path in params["records"]]
    report = faults.analyse(params, recordings, read_events(params["events"]))

    this = history_line(report)
    others: list[Report] = []
    history_path = os.path.join(params["history_dir"], HISTORY) if params["history_dir"] else None
    if history_path:
        others = [line for line in read_history(history_path) if line["drill_id"] != report["drill_id"]]
    all_lines = sorted([*others, this], key=lambda line: (str(line["started"]), line["drill_id"]))
    # Of this pair: others of the same topology may keep their history in the same place.
    same = [
        line
        for line in all_lines
        if line["topology"] == report["topology"] and line.get("addresses", report["addresses"]) == report["addresses"]
    ]
    report["history"] = same[-params["history_length"] :]

    contents = {
        "json": ("report.json", json.dumps(report, indent=1, ensure_ascii=False) + "\n"),
        "md": ("report.md", markdown(report)),
        "html": ("report.html", page.page(report)),
        "junit": ("junit.xml", junit(report)),
        "schema": ("report-schema.json", json.dumps(schema.SCHEMA, indent=2) + "\n"),
    }
    files = {kind: os.path.join(params["output_dir"], name) for kind, (name, _text) in contents.items()}
    changed = False
    try:
        for kind, (_name, text) in contents.items():
            changed |= put(files[kind], text, write)
        if history_path:
            changed |= put(history_path, "".join(json.dumps(line) + "\n" for line in all_lines), write)
    except OSError as exc:
        raise RecordError("output_dir or history_dir: cannot write the report: %s" % exc) from exc
    return {
        "changed": changed,
        "summary": small(report),
        "outcome": outcome(report),
        "table": table(report),
        "files": files,
    }

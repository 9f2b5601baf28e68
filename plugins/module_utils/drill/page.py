# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report as one HTML file that loads nothing from anywhere."""

from __future__ import annotations

import typing as t
from html import escape

from . import picture, svg, wording
from .analysis import number, percent
from .picture import moment

Report = t.Mapping[str, t.Any]

STYLE = """
*{box-sizing:border-box} html{color-scheme:light dark}
body{margin:0;background:var(--lane);color:var(--ink);
font:15px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif}
main,header{max-width:1120px;margin:0 auto;padding:0 24px} header{padding-top:36px}
h1{font-size:26px;line-height:1.25;margin:0 0 6px} h2{font-size:19px;margin:0} h3{font-size:14px;margin:20px 0 6px}
p{margin:6px 0;max-width:82ch} .muted,.muted a{color:var(--muted)} .num{font-variant-numeric:tabular-nums}
.verdict{display:inline-block;border-radius:99px;padding:2px 12px;font-weight:600;font-size:13px;color:var(--paper)}
.passed{background:var(--good)} .failed{background:var(--lost)} .inconclusive{background:var(--detect)}
.why{border-left:5px solid var(--lost)} .why li{margin:6px 0}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(190px,1fr));gap:14px;margin:22px 0}
.tile,section{background:var(--paper);border:1px solid var(--line);border-radius:12px}
.tile{padding:14px 18px} .tile b{display:block;font-size:25px;line-height:1.3;font-variant-numeric:tabular-nums}
section{padding:20px 24px;margin:0 0 18px} .head{display:flex;gap:12px;align-items:center;flex-wrap:wrap}
.scroll{overflow-x:auto} table{border-collapse:collapse;width:100%;font-size:14px}
th{text-align:left;font-weight:600;color:var(--muted);font-size:12.5px;vertical-align:bottom}
th,td{padding:7px 14px 7px 0;border-bottom:1px solid var(--line)} tr:last-child td{border-bottom:0}
td.r,th.r{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap} td.t{white-space:nowrap}
.bars{position:relative;min-width:230px;height:16px;background:var(--lane);border-radius:3px}
.bars i{position:absolute;top:0;bottom:0;min-width:1px}
.bars .limit{width:0;border-left:2px dashed var(--ink);top:-4px;bottom:-4px}
.d{background:var(--detect)} .m{background:var(--move)} .a{background:var(--answer)} .none{background:var(--lost)}
.legend{display:flex;gap:18px;flex-wrap:wrap;font-size:13px;color:var(--muted);margin-top:10px}
.legend i{display:inline-block;width:11px;height:11px;border-radius:2px;margin-right:6px}
.legend .limit{width:0;border-radius:0;border-left:2px dashed var(--ink);height:14px;vertical-align:-2px}
dl{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:10px 18px;margin:14px 0 18px}
dt{font-size:12.5px;color:var(--muted)} dd{margin:0;font-weight:600;font-variant-numeric:tabular-nums}
svg.drawn{display:block;width:100%;height:auto} svg.small{width:110px;height:28px}
details{margin-top:12px} details table{width:auto} details td{padding-right:28px}
summary{cursor:pointer;color:var(--muted);font-size:14px} a{color:var(--n0)}
footer{max-width:1120px;margin:0 auto;padding:6px 24px 40px;color:var(--muted);font-size:13.5px}
.bad{color:var(--lost);font-weight:600}
@media print{:root{LIGHT} body{background:none;zoom:.68} section,.tile{break-inside:avoid;border-color:#bbb}
*{print-color-adjust:exact;-webkit-print-color-adjust:exact}
main,header,footer{max-width:none;padding-left:0;padding-right:0}}
@media (max-width:640px){main,header,footer{padding-left:14px;padding-right:14px} section{padding:16px}
header{padding-top:20px} h1{font-size:21px;overflow-wrap:anywhere} .tiles{grid-template-columns:1fr 1fr;gap:10px}
.tile{padding:10px 12px} .tile b{font-size:20px} .scroll.wide svg{min-width:760px} .scroll.wide::before{display:block;
content:"wider than the screen: move it sideways";font-size:12.5px;color:var(--muted)}
.stacked thead{display:none} .stacked,.stacked tbody{display:block} .stacked tr{display:grid;
grid-template-columns:1fr 1fr;gap:4px 12px;padding:12px 0;border-bottom:1px solid var(--line)}
.stacked tr:last-child{border:0} .stacked td,.stacked td.r{display:block;border:0;padding:0;text-align:left}
.stacked td[data-name]::before{content:attr(data-name);display:block;font-size:12.5px;color:var(--muted)}
.stacked td.b{grid-column:1/-1} .stacked td.v{text-align:right}
details .scroll,details table{width:100%} details td{padding-right:12px}}
""".replace("LIGHT", svg.COLOURS["light"])


def verdict(value: str) -> str:
    return '<span class="verdict %s">%s</span>' % (escape(value), escape(value))


def cell(value: str, css: str = "r", name: str = "") -> str:
    """name: the text above the value on a narrow screen, on which the table has no head."""
    named = ' data-name="%s"' % escape(name) if name else ""
    return '<td class="%s"%s>%s</td>' % (css, named, escape(value))


def page(report: Report) -> str:
    what = " ".join([report["topology"], *report["addresses"]])
    where = " on %s" % ", ".join(report["nodes"]) if report["nodes"] else ""
    name = "Failover drill of %s%s: %s" % (what, where, report["verdict"])
    body = [header(report), "<main>", why(report), overview(report)]
    body += [fault_section(i, fault, report) for i, fault in enumerate(report["faults"])]
    body += ["</main>", footer(report)]
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        "<title>%s</title><style>%s%s%s</style></head>\n<body>\n%s\n</body></html>\n"
        % (escape(name), svg.palette(), svg.STYLE, STYLE, "\n".join(body))
    )


def worst(faults: t.Iterable[Report], field: str) -> float | None:
    return max((f[field] for f in faults if f[field] is not None), default=None)


def tile(name: str, value: str, note: str) -> str:
    return '<div class="tile"><span class="muted">%s</span><b>%s</b><span class="muted">%s</span></div>' % (
        escape(name), escape(value), escape(note),
    )  # fmt: skip


def header(report: Report) -> str:
    faults = report["faults"]
    passed = sum(f["verdict"] == "passed" for f in faults)
    sent = sum(client["requests_sent"] for client in report["clients"])
    lost = sum(client["requests_lost"] for client in report["clients"])
    tiles = [
        tile("Passed", "%d of %d" % (passed, len(faults)), "faults"),
        tile("Longest gap", number(worst(faults, "gap_ms")), "objective %s" % number(report["objective_ms"])),
        tile(
            "Longest gap at fail-back",
            number(worst(faults, "failback_gap_ms")),
            "objective %s" % number(report["failback_objective_ms"]),
        ),
        tile("Requests lost", format(lost, ",d"), "of %s sent" % format(sent, ",d")),
    ]
    return (
        '<header><div class="head"><h1>Failover drill of %s</h1>%s</div><p>%s</p>'
        '<p class="muted">Drill %s, from %s to %s</p><div class="tiles">%s</div></header>'
        % (
            escape(report["topology"]),
            verdict(report["verdict"]),
            escape(whereabouts(report)),
            escape(report["drill_id"]),
            clock(report["started"]),
            clock(report["ended"]),
            "".join(tiles),
        )
    )


def whereabouts(report: Report) -> str:
    """The drilled addresses, and the hosts that measured."""
    parts = [", ".join(report["addresses"])] if report["addresses"] else []
    parts += ["on " + ", ".join(report["nodes"])] if report["nodes"] else []
    clients = "; ".join(str(client["client"]) for client in report["clients"])
    parts += ["seen from " + clients] if clients else []
    return ", ".join(parts)


def why(report: Report) -> str:
    """The reasons why the drill did not pass, before all numbers."""
    items = [
        '<li><a href="#fault-%d">%s</a> on %s: %s</li>'
        % (i, escape(name_of(f, report)), escape(f["target"]), prose(f["reason"]))
        for i, f in enumerate(report["faults"])
        if f["verdict"] != "passed"
    ]
    if not items:
        return ""
    return '<section class="why"><h2>Why %s</h2><ul>%s</ul></section>' % (escape(report["verdict"]), "".join(items))


def clock(value: str | None) -> str:
    return "–" if not value else '<time datetime="%s">%s %s UTC</time>' % (value, value[:10], value[11:19])


def name_of(fault: Report, report: Report) -> str:
    trials = sum(other["fault"] == fault["fault"] for other in report["faults"])
    name = str(fault["fault"]).replace("_", " ")
    return "%s, trial %d" % (name, fault["trial"]) if trials > 1 else name


MEANT_MS = 20  # a gap as short as any without a fault may lie anywhere


def stages(fault: Report) -> list[tuple[float, float, str, str]]:
    """How the time from the fault to the first good answer was spent: from, to, kind, wording."""
    result, at = [], 0.0
    # What the nodes noticed after clients had good answers again kept nobody waiting.
    over = fault["first_good_ms"] if fault["first_good_ms"] is not None else float("inf")
    for field, kind, words in (
        ("detected_ms", "d", "until detected"),
        ("moved_ms", "m", "until moved"),
        ("first_good_ms", "a", "until " + end_of_gap(fault)),
    ):
        until = None if fault[field] is None else min(fault[field], over)
        if until is not None and until > at:
            result.append((at, until, kind, words))
            at = until
    if fault["recovered"] is False:
        result.append((max(at, fault["gap_from_ms"]), fault["gap_to_ms"], "none", wording.outage(fault)))
    elif fault["gap_ms"] is not None and fault["gap_ms"] > MEANT_MS and fault["gap_from_ms"] >= at:
        # Somebody had answered, and then nobody did, for longer than before.
        result.append((fault["gap_from_ms"], fault["gap_to_ms"], "none", "no answer once more"))
    return result


def end_of_gap(part: Report) -> str:
    return wording.recovery(part) if wording.shared(part) else "the " + wording.recovery(part)


def bars(fault: Report, longest: float) -> str:
    parts, words = [], []
    for start, end, kind, name in stages(fault):
        parts.append(
            '<i class="%s" style="left:%.2f%%;width:%.2f%%" title="%s %s"></i>'
            % (kind, start / longest * 100, (end - start) / longest * 100, number(end - start), name)
        )
        words.append("%s %s" % (number(end - start), name))
    parts.append('<i class="limit" style="left:%.2f%%"></i>' % (fault["objective_ms"] / longest * 100))
    return '<div class="bars" role="img" aria-label="%s">%s</div>' % (
        escape("; ".join(words) or "none"),
        "".join(parts),
    )


def overview(report: Report) -> str:
    faults = report["faults"]
    ends = [end for f in faults for _start, end, _kind, _words in stages(f)]
    longest = max([*ends, *(f["objective_ms"] for f in faults), 1.0]) * 1.03
    with_trend = len(report["history"]) > 1
    last = wording.beside(report).capitalize()
    rows = []
    for i, f in enumerate(faults):
        lost = (
            "–" if f["requests_sent"] is None else "%d of %s" % (f["requests_lost"], format(f["requests_sent"], ",d"))
        )
        over = f["gap_ms"] is not None and f["gap_ms"] > f["objective_ms"]
        row = [
            '<td class="t"><a href="#fault-%d">%s</a></td>' % (i, escape(name_of(f, report))),
            '<td class="v">%s</td>' % verdict(f["verdict"]),
            cell(number(f["gap_ms"]), "r bad" if over else "r", "Gap"),
            '<td class="b">%s</td>' % bars(f, longest),
            cell(lost, name="Requests lost"),
            cell(number(f["failback_gap_ms"]), name="Gap at fail-back"),
            cell(wording.seen_beside(f), name=last),
        ]
        if with_trend:
            gaps = [line["faults"].get(f["fault"], {}).get("gap_ms") for line in report["history"]]
            small = picture.trend(gaps, f["objective_ms"]).replace('class="drawn"', 'class="drawn small"', 1)
            row.append('<td data-name="Last drills">%s</td>' % small)
        rows.append("<tr>%s</tr>" % "".join(row))
    head = [
        ("Fault", ""),
        ("Verdict", ""),
        ("Gap", "r"),
        ("Fault to %s (0 to %s)" % (wording.recovery(report), number(longest)), ""),
    ]
    head += [("Requests lost", "r"), ("Gap at fail-back", "r"), (last, "r")]
    head += [("Last %d drills" % len(report["history"]), "")] if with_trend else []
    return (
        '<section><div class="scroll"><table class="stacked"><thead><tr>%s</tr></thead><tbody>%s</tbody></table></div>'
        '<div class="legend"><span><i class="d"></i>until detected</span><span><i class="m"></i>until moved</span>'
        '<span><i class="a"></i>until %s</span><span><i class="none"></i>%s</span>'
        '<span><i class="limit"></i>objective</span></div>'
        "</section>"
        % (
            "".join('<th scope="col" class="%s">%s</th>' % (css, escape(words)) for words, css in head),
            "".join(rows),
            end_of_gap(report),
            wording.outage(report),
        )
    )


def prose(words: str) -> str:
    return escape(words).replace(" ms", "&nbsp;ms")


def pairs(mapping: t.Mapping[str, int] | None) -> str:
    # A name and its number stay in one line.
    return ", ".join("%s\u00a0%s" % (name, format(count, ",d")) for name, count in (mapping or {}).items()) or "none"


def facts(fault: Report) -> str:
    lost = "–" if fault["requests_sent"] is None else "%d of %d" % (fault["requests_lost"], fault["requests_sent"])
    shown = [
        ("Gap", number(fault["gap_ms"])),
        ("Detected after", number(fault["detected_ms"])),
        ("Moved after", number(fault["moved_ms"])),
        (wording.recovery(fault).capitalize() + " after", number(fault["first_good_ms"])),
        ("Requests lost", lost),
        ("Of them under way when reset", str(fault["requests_in_flight"] or 0)),
        ("Why lost", pairs(fault["errors"])),
        ("Slow answers", str(fault["requests_slow"])),
        ("Answered by", pairs(fault["served"])),
        *beside(fault),
        ("Gap at fail-back", number(fault["failback_gap_ms"])),
        ("Rolled back", "yes" if fault["rolled_back"] else "no"),
    ]
    return "<dl>%s</dl>" % "".join("<div><dt>%s</dt><dd>%s</dd></div>" % (escape(a), prose(b)) for a, b in shown)


def beside(fault: Report) -> list[tuple[str, str]]:
    """What there is to say of nodes that answered one after the other, or beside each other."""
    if wording.shared(fault):
        asked = fault["share_requests"]
        return [
            ("Share of the target before", percent(fault["share"])),
            ("Requests of that share", "–" if asked is None else format(asked, ",d")),
        ]
    return [
        ("Holder", "%s → %s" % (fault["holder_before"] or "?", fault["holder_after"] or "?")),
        ("Two holders for", number(fault["split_brain_ms"])),
    ]


def fault_section(index: int, fault: Report, report: Report) -> str:
    when = (fault["injected_at"] or "").replace("T", " ").replace("Z", " UTC")
    when = "injected at " + when if when else "never injected"
    parts = [
        '<section id="fault-%d"><div class="head"><h2>%s</h2>%s</div><p>%s</p>'
        % (index, escape(name_of(fault, report)), verdict(fault["verdict"]), prose(fault["reason"])),
        '<p class="muted">Target %s, %s</p>' % (escape(fault["target"]), escape(when)),
    ]
    if fault["client"] is not None:
        drawn = picture.timeline(fault, report["nodes"])
        parts += [facts(fault), '<div class="scroll wide">%s</div>' % drawn]
    if len(fault["clients"]) > 1:
        parts.append(clients_table(fault))
    if fault["events"]:
        rows = "".join(
            "<tr>%s%s%s</tr>" % (cell(moment(e["at_ms"])), cell(e["node"], "t"), cell(e["text"], ""))
            for e in fault["events"]
        )
        parts.append(
            '<details><summary>What the nodes recorded (%d)</summary><div class="scroll"><table><thead><tr>'
            '<th class="r" scope="col">After the fault</th><th scope="col">Node</th><th scope="col">Event</th></tr>'
            "</thead><tbody>%s</tbody></table></div></details>" % (len(fault["events"]), rows)
        )
    if fault["audit"]:
        items = "".join(
            "<li%s>%s: %s%s</li>"
            % (
                "" if entry["ok"] else ' class="bad"',
                escape(entry["when"]),
                escape(wording.holders(entry, fault)),
                escape(" (%s)" % entry["problem"] if entry.get("problem") else ""),
            )
            for entry in fault["audit"]
        )
        state = "" if all(e["ok"] for e in fault["audit"]) else " open"
        what = "Who served" if wording.shared(fault) else "Who held the address"
        parts.append("<details%s><summary>%s</summary><ul>%s</ul></details>" % (state, what, items))
    parts.append("</section>")
    return "".join(parts)


def clients_table(fault: Report) -> str:
    last = wording.beside(fault).capitalize()
    rows = "".join(
        "<tr>%s</tr>"
        % "".join(
            [
                cell(c["client"], "t"),
                cell(number(c["gap_ms"]), name="Gap"),
                cell("%d of %d" % (c["requests_lost"], c["requests_sent"]), name="Requests lost"),
                cell(number(c["failback_gap_ms"]), name="Gap at fail-back"),
                cell(wording.seen_beside(c), name=last),
                cell(pairs(c["served"]), "b", "Answered by"),
            ]
        )
        for c in fault["clients"]
    )
    return (
        '<h3>Each client</h3><table class="stacked"><thead><tr><th scope="col">Client</th>'
        '<th class="r" scope="col">Gap</th>'
        '<th class="r" scope="col">Requests lost</th><th class="r" scope="col">Gap at fail-back</th>'
        '<th class="r" scope="col">%s</th><th scope="col">Answered by</th></tr></thead>'
        "<tbody>%s</tbody></table>" % (last, rows)
    )


def footer(report: Report) -> str:
    lines = [wording.explanation(report)]
    for c in report["clients"]:
        lines.append(
            "<p>%s sent a request to %s every %g ms, each over its own connection, whatever became of the ones before. "
            "Without a complete answer after %g ms a request is lost. %s</p>"
            % (
                escape(c["client"]),
                escape(c["url"]),
                c["interval_ms"],
                c["timeout_ms"],
                "%d could not be sent because the host was busy." % c["requests_skipped"]
                if c["requests_skipped"]
                else "",
            )
        )
    if report["versions"]:
        lines.append("<p>%s</p>" % escape(" · ".join("%s %s" % item for item in report["versions"].items())))
    return "<footer>%s</footer>" % "".join(lines)

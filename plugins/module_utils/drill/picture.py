# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Draw: the time line of a fault, a trend, and a comparison, each as SVG.

Everything is drawn from the content of report.json. A picture that stands alone carries its own colours, for a light
and a dark surrounding.
"""

from __future__ import annotations

import math
import typing as t
from html import escape

from . import wording
from .analysis import UNKNOWN, number
from .svg import STYLE, drawing, palette, plain, step_for, text, text_width

Fault = t.Mapping[str, t.Any]
Names = t.Sequence[str]
Marker = tuple[float, str, str]  # when, name, colour


def alone(svg: str) -> str:
    """A drawing as a file of its own."""
    head, _close, rest = svg.partition(">")
    style = "<style>%s%s</style>" % (palette(), STYLE)
    background = plain('<rect width="100%" height="100%" rx="10" fill="var(--paper)"/>')
    return '%s xmlns="http://www.w3.org/2000/svg">%s%s%s\n' % (head, style, background, rest)


def colour(node: str, nodes: Names) -> str:
    return "var(--n%d)" % (list(nodes).index(node) % 4) if node in nodes else "var(--other)"


class Panel:
    """A stretch of the time line between two moments, at a place on the paper."""

    def __init__(self, x: float, width: float, low: float, high: float) -> None:
        self.x, self.width, self.low, self.high = x, width, low, high

    def at(self, moment: float) -> float:
        return self.x + (moment - self.low) / (self.high - self.low) * self.width

    def shows(self, moment: float) -> bool:
        return self.low <= moment <= self.high

    def clip(self, start: float, end: float) -> tuple[float, float] | None:
        start, end = max(start, self.low), min(end, self.high)
        return (self.at(start), self.at(end)) if start < end else None

    def band(self, start: float, end: float, y: float, height: float, css: str, words: str) -> str:
        edges = self.clip(start, end)
        if not edges:
            return ""
        return '<rect class="%s" x="%.1f" y="%.1f" width="%.1f" height="%.1f"><title>%s</title></rect>' % (
            css, edges[0], y, max(1.0, edges[1] - edges[0]), height, escape(words),
        )  # fmt: skip

    def run(self, run: t.Mapping[str, t.Any], y: float, height: float, paint: str) -> str:
        """Requests with the same outcome: one stroke for each, or a bar where they are too dense to tell apart."""
        start, end, count = run["from_ms"], run["to_ms"], run["count"]
        if end < self.low or start > self.high:
            return ""
        what = "%d good %s by %s" % (count, "answer" if count == 1 else "answers", run["by"])
        if run["err"]:
            what = "%d lost: %s" % (count, run["err"])
        words = "<title>%s, %s to %s</title>" % (escape(what), moment(start), moment(end))
        distance = (end - start) / max(count - 1, 1)
        if count > 1 and distance / (self.high - self.low) * self.width < 3:
            left, right = self.at(max(start, self.low)), self.at(min(end, self.high))
            return '<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" fill="%s">%s</rect>' % (
                left, y, max(1.5, right - left), height, paint, words,
            )  # fmt: skip
        moments = (start + distance * i for i in range(count))
        strokes = "".join("M%.1f %.1fv%.1f" % (self.at(m), y, height) for m in moments if self.shows(m))
        return '<path class="ticks" stroke="%s" d="%s">%s</path>' % (paint, strokes, words) if strokes else ""

    def axis(self, y: float, top: float, unit: str, zero: float = 0) -> str:
        factor = 1000 if unit == "s" else 1
        step = step_for(self.high - self.low, int(self.width / 75))
        parts = []
        mark = math.ceil((self.low - zero) / step)
        while zero + mark * step <= self.high:
            x = self.at(zero + mark * step)
            parts.append('<path class="grid" d="M%.1f %.1fV%.1f"/>' % (x, top, y + 4))
            if self.x + 8 <= x <= self.x + self.width - 8:
                label = "%g %s" % (round(mark * step / factor, 6), unit)
                parts.append(text(x, y + 17, label.replace("-", "−"), "muted", "middle"))
            mark += 1
        return "".join(parts)


def moment(value: float) -> str:
    sign = "−" if value < 0 else "+"
    return sign + number(abs(value))


def markers_of(fault: Fault) -> list[Marker]:
    """The moments worth a name: when, name, colour."""
    all_of_them = (
        (0.0 if fault["injected_at"] else None, "fault", "var(--lost)"),
        (fault["detected_ms"], "detected", "var(--detect)"),
        (fault["moved_ms"], "moved", "var(--move)"),
        (fault["first_good_ms"], wording.recovery(fault), "var(--answer)"),
        (fault["repaired_ms"], "repair", "var(--muted)"),
        (fault["failback_ms"], "fail-back", "var(--muted)"),
    )
    return [(at, name, paint) for at, name, paint in all_of_them if at is not None]


def labels(panel: Panel, markers: t.Sequence[Marker], zero: float) -> list[tuple[Marker, str, float, int]]:
    """The markers that the panel shows, each with its label, where that begins, and in which row above the lanes.

    From right to left, so that a marker's line, which ends at its own row, crosses no label.
    """
    placed: list[tuple[Marker, str, float, int]] = []
    for marker in sorted((m for m in markers if panel.shows(m[0])), reverse=True):
        at, name, _paint = marker
        label = name if name in ("fault", "fail-back", "repair") else "%s %s" % (name, moment(at - zero))
        width = text_width(label)
        left = min(panel.at(at) + 5, panel.x + panel.width - width)
        row = 0
        for other, other_label, other_left, other_row in placed:
            crosses = left < panel.at(other[0]) < left + width + 3
            overlaps = left < other_left + text_width(other_label) and other_left < left + width + 6
            if crosses or overlaps:
                row = max(row, other_row + 1)
        placed.append((marker, label, left, row))
    return placed


def draw_markers(panel: Panel, markers: t.Sequence[Marker], zero: float, y: float, bottom: float) -> str:
    parts, words = [], []
    for (at, _name, paint), label, left, row in labels(panel, markers, zero):
        top = y - 7 - 16 * row
        parts.append('<path class="mark" stroke="%s" d="M%.1f %.1fV%.1f"/>' % (paint, panel.at(at), top - 9, bottom))
        words.append(text(left, top, label, "strong halo"))
    return "".join(parts + words)


def draw_lanes(panel: Panel, seen: Fault, nodes: Names, lanes: Names, y: float, height: float, space: float) -> str:
    """One lane for each node, one for lost requests; the nodes' events as dots on their lanes."""
    bottom = y + (len(lanes) + 1) * (height + space) - space
    parts = [
        '<rect class="lane" x="%.1f" y="%.1f" width="%.1f" height="%.1f" rx="3"/>'
        % (panel.x, y + i * (height + space), panel.width, height)
        for i in range(len(lanes) + 1)
    ]
    for name in ("gap", "failback_gap"):
        if seen[name + "_ms"] is not None:
            words = wording.gap(seen, seen[name + "_ms"])
            start, end = seen[name + "_from_ms"], seen[name + "_to_ms"]
            parts.append(panel.band(start, end, y - 4, bottom - y + 8, "gap", words))
    for span in seen["split_brains"]:
        words = "two nodes answered in turn for %s" % number(span["to_ms"] - span["from_ms"])
        parts.append(panel.band(span["from_ms"], span["to_ms"], y - 4, bottom - y + 8, "split", words))
    for run in seen["timeline"]:
        lane = lanes.index(run["by"]) if run["by"] else len(lanes)
        paint = colour(run["by"], nodes) if run["by"] else "var(--lost)"
        parts.append(panel.run(run, y + lane * (height + space) + 3, height - 6, paint))
    return "".join(parts)


def draw_events(panel: Panel, fault: Fault, lanes: Names, nodes: Names, y: float, height: float, space: float) -> str:
    parts = []
    for event in fault["events"]:
        if event["node"] in lanes and panel.shows(event["at_ms"]):
            parts.append(
                '<circle class="dot" cx="%.1f" cy="%.1f" r="4" fill="%s"><title>%s: %s, %s</title></circle>'
                % (
                    panel.at(event["at_ms"]),
                    y + lanes.index(event["node"]) * (height + space),
                    colour(event["node"], nodes),
                    escape(event["node"]),
                    escape(event["text"]),
                    moment(event["at_ms"]),
                )
            )
    return "".join(parts)


def bracket(panel: Panel, seen: Fault, start: float, end: float, y: float) -> str:
    """The gap with its length, under the lanes."""
    edges = panel.clip(start, end)
    if not edges:
        return ""
    left, right = edges
    label = wording.gap(seen, end - start)
    if text_width(label) + 12 > right - left:
        label = number(end - start)
    middle = (left + right) / 2
    half = text_width(label) / 2
    middle = min(max(middle, panel.x + half), panel.x + panel.width - half)
    line = '<path class="bracket" d="M%.1f %.1fv8M%.1f %.1fv8M%.1f %.1fH%.1f"/>' % (
        left, y, right, y, left, y + 4, right,
    )  # fmt: skip
    return line + text(middle, y + 21, label, "red", "middle")


def zoom(fault: Fault, seen: Fault) -> tuple[float, float]:
    """The stretch around the fault that shows all that happened, and a little of before and after."""
    points = [at for at, name, _paint in markers_of(fault) if name not in ("repair", "fail-back")] or [0.0]
    # A gap as short as any without a fault may lie seconds away; it is not worth looking at.
    if seen["gap_ms"] > 20 or seen["gap_from_ms"] < max(points) + 200:
        points += [seen["gap_from_ms"], seen["gap_to_ms"]]
    low, high = min(points), max(points)
    extent = max(high - low, 80)
    # More on the right, where the labels are.
    return max(low - 0.15 * extent, fault["started_ms"]), min(high + 0.42 * extent, fault["ended_ms"])


def in_words(fault: Fault, seen: Fault) -> str:
    """A description of the picture, for readers who cannot see it."""
    parts = ["%s on %s, seen from %s." % (fault["fault"].replace("_", " "), fault["target"], seen["client"])]
    parts += ["%s at %s." % (name, moment(at)) for at, name, _paint in markers_of(fault)]
    parts.append(
        "%s: %s, from %s to %s. %d of %d requests lost."
        % (
            "Requests lost" if wording.shared(seen) else "Longest time without a good answer",
            number(seen["gap_ms"]),
            moment(seen["gap_from_ms"]),
            moment(seen["gap_to_ms"]),
            seen["requests_lost"],
            seen["requests_sent"],
        )
    )
    parts += ["Good answers by %s: %d." % item for item in seen["served"].items()]
    return " ".join(parts)


def timeline(fault: Fault, nodes: Names, client: str | None = None, overview: bool = True) -> str:
    """One fault as one client saw it: around the gap, around the fail-back, and the phase as a whole.

    fault: an entry of the report's faults. nodes: the report's nodes. client: default is the worst one.
    """
    seen = next((c for c in fault["clients"] if c["client"] == (client or fault["client"])), None)
    if seen is None:
        return ""
    named = (run["by"] for run in seen["timeline"] if run["by"])
    lanes = list(dict.fromkeys([*nodes, *named]))
    left, right, width = 84.0, 984.0, 1000.0
    markers = markers_of(fault)
    height, space = 24.0, 7.0
    lanes_height = (len(lanes) + 1) * (height + space) - space

    low, high = zoom(fault, seen)
    gap = (seen["gap_from_ms"], seen["gap_to_ms"])
    back = (seen["failback_gap_from_ms"], seen["failback_gap_to_ms"])
    # Each with the moment that its axis counts from, its markers and its gap.
    panels: list[tuple[Panel, float, list[Marker], tuple[float, float]]] = []
    failback = fault["failback_ms"]
    if failback is None:
        panels.append((Panel(left, right - left, low, high), 0, markers, gap))
    else:
        near = (failback - 40, max(failback + 110, min(back[1] + 40, failback + 2000)))
        panels.append((Panel(left, 640, low, high), 0, [m for m in markers if m[1] != "fail-back"], gap))
        panels.append((Panel(left + 664, right - left - 664, *near), failback, markers[-1:], back))
    rows = 1 + max(row for panel, zero, chosen, _gap in panels for *_rest, row in labels(panel, chosen, zero))
    y = 14 + 16.0 * rows
    parts = []
    for i, name in enumerate([*lanes, "lost"]):
        words = "no name" if name == UNKNOWN else name
        words = words if len(words) < 12 else words[:10] + "…"
        parts.append(
            text(left - 10, y + i * (height + space) + 16, words, "strong" if i < len(lanes) else "red", "end")
        )
    bottom = y + lanes_height
    for panel, zero, chosen, one_gap in panels:
        parts.append(panel.axis(bottom + 8, y, "ms", zero))
        parts.append(draw_lanes(panel, seen, nodes, lanes, y, height, space))
        parts.append(draw_events(panel, fault, lanes, nodes, y, height, space))
        parts.append(draw_markers(panel, chosen, zero, y, bottom + 4))
        parts.append(bracket(panel, seen, *one_gap, bottom + 30))
    end_y = bottom + 56
    if overview:
        whole = Panel(left, right - left, fault["started_ms"], fault["ended_ms"])
        windows = [panel for panel, *_rest in panels]
        parts.append(draw_overview(whole, fault, seen, nodes, lanes, end_y + 22, windows))
        end_y += 22 + (len(lanes) + 1) * 12 + 34
    return drawing(width, end_y, "%s: time line" % fault["fault"].replace("_", " "), in_words(fault, seen), parts)


def draw_overview(
    panel: Panel, fault: Fault, seen: Fault, nodes: Names, lanes: Names, y: float, windows: t.Sequence[Panel]
) -> str:
    height, space = 9.0, 3.0
    bottom = y + (len(lanes) + 1) * (height + space) - space
    parts = [panel.axis(bottom + 4, y, "s"), draw_lanes(panel, seen, nodes, lanes, y, height, space)]
    parts.append(text(panel.x - 10, y + 9, "all of it", "muted", "end"))
    for window in windows:
        edges = panel.clip(window.low, window.high)
        if edges:
            parts.append(
                '<rect class="window" x="%.1f" y="%.1f" width="%.1f" height="%.1f" rx="3"><title>drawn large'
                " above</title></rect>" % (edges[0], y - 4, max(3.0, edges[1] - edges[0]), bottom - y + 8)
            )
    big = [m for m in markers_of(fault) if m[1] in ("fault", "repair", "fail-back")]
    end = panel.x - 60.0  # of the last name
    for at, name, paint in sorted(big):
        x = panel.at(at)
        parts.append('<path class="mark" stroke="%s" d="M%.1f %.1fV%.1f"/>' % (paint, x, y - 8, bottom + 4))
        left = max(min(x, panel.x + panel.width - 20) - text_width(name) / 2, end + 6)
        # Beside its line if another name is in the way, and not at all where that would be far off.
        if left < x + 4:
            parts.append(text(left, y - 11, name, "muted"))
            end = left + text_width(name)
    return "".join(parts)


def trend(values: t.Sequence[float | None], objective: float, width: float = 120, height: float = 28) -> str:
    """The gaps of the last drills as a line, the newest at the right; the objective as a dashed line."""
    top = max([objective, *(v for v in values if v is not None)]) * 1.1
    step = (width - 8) / max(len(values) - 1, 1)

    def y(value: float) -> float:
        return height - 3 - value / top * (height - 6)

    points = [(4 + i * step, y(v), v) for i, v in enumerate(values) if v is not None]
    parts = [
        '<path d="M0 %.1fH%g" stroke="var(--muted)" stroke-dasharray="2 3" fill="none"/>' % (y(objective), width),
        '<polyline points="%s" fill="none" stroke="var(--n0)" stroke-width="1.5"/>'
        % " ".join("%.1f,%.1f" % (x, at) for x, at, _v in points),
    ]
    parts += [
        '<circle cx="%.1f" cy="%.1f" r="2.5" fill="%s"><title>%s</title></circle>'
        % (x, at, "var(--lost)" if v > objective else "var(--n0)", number(v))
        for x, at, v in points
    ]
    words = "last drills: " + ", ".join(number(v) for v in values)
    return drawing(width, height, "trend", words, parts)


def comparison(results: t.Mapping[str, t.Any]) -> str:
    """Bars side by side: how long clients were without an answer, for each fault and each of several set-ups.

    Or how many of something there were: ``"counts": true``.

    results::

        {"title": "Clients without an answer",
         "note": "Median of 7 trials; the line spans the fastest and the slowest.",
         "series": ["cloudha.vip", "the seed's configuration"],
         "faults": [{"fault": "service_kill",
                     "values": [{"median": 152.1, "min": 140.0, "max": 170.3},
                                {"median": 30000, "min": 30000, "max": 30000, "more": true}]}]}

    The first of the series is ours. Each fault has one value for each of the series, in ms. ``more`` says that
    clients had no answer by then, and nobody waited longer. note and more may be left out.
    A value may be null (not measured). Lengths of times are logarithmic: else, a bar of 20 ms beside one of 30 s is not
    seen. Those of counts are not: there may be none.
    """
    series, faults = results["series"], results["faults"]
    counts = bool(results.get("counts"))
    names = [fault["fault"].replace("_", " ") for fault in faults]
    left, right, width = max(170.0, 32 + max(map(text_width, names), default=0.0)), 880.0, 1000.0
    thick, space = 15.0, 18.0
    all_values = [v for f in faults for v in f["values"] if v]
    most = max([v["max"] for v in all_values], default=10.0)
    if counts:
        step = max(1.0, step_for(most, 10))
        marks = [step * i for i in range(math.ceil(most / step) + 1)]
    else:
        low = math.floor(math.log10(max(1.0, min([v["min"] for v in all_values], default=1.0))))
        marks = [10.0**power for power in range(low, math.ceil(math.log10(most * 1.01)) + 1)]

    def length(value: float) -> float:
        return value if counts else math.log10(max(value, marks[0]))

    def x(value: float) -> float:
        return left + (length(value) - length(marks[0])) / (length(marks[-1]) - length(marks[0])) * (right - left)

    def words_of(value: float) -> str:
        return "%g" % value if counts else number(value)

    y = 66.0
    each = len(series) * thick + space
    bottom = y + each * len(faults) - space + 8
    parts = [text(20, 28, results["title"], "strong")]
    legend = 20.0
    for i, name in enumerate(series):
        parts.append('<rect x="%.1f" y="38" width="11" height="11" rx="2" fill="%s"/>' % (legend, series_colour(i)))
        parts.append(text(legend + 17, 48, name))
        legend += 40 + text_width(name)
    for mark in marks:
        parts.append('<path class="grid" d="M%.1f %.1fV%.1f"/>' % (x(mark), y - 6, bottom))
        label = "%g" % mark if counts else "%g ms" % mark if mark < 1000 else "%g s" % (mark / 1000)
        parts.append(text(x(mark), bottom + 17, label, "muted", "middle"))
    words = []
    for fault, name in zip(faults, names):
        parts.append(text(left - 12, y + len(series) * thick / 2 + 4, name, "strong", "end"))
        for i, value in enumerate(fault["values"]):
            top = y + i * thick
            if value is None:
                parts.append(text(left + 6, top + 11, "not measured", "muted"))
                continue
            label = ("more than " if value.get("more") else "") + words_of(value["median"])
            parts.append(
                '<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" rx="2" fill="%s"><title>%s: %s</title></rect>'
                % (
                    left,
                    top + 1,
                    max(2.0, x(value["median"]) - left),
                    thick - 3,
                    series_colour(i),
                    escape(series[i]),
                    label,
                )
            )
            middle = top + thick / 2 - 0.5
            spread = value["max"] > value["min"]
            if spread:
                parts.append(
                    '<path class="mark" stroke="var(--ink)" d="M%.1f %.1fH%.1f"/>'
                    % (x(value["min"]), middle, x(value["max"]))
                )
            parts.append(text(x(value["max"]) + 6, top + 11, label))
            words.append("%s, %s: %s." % (name, series[i], label))
        y += each
    note = " ".join(filter(None, [results.get("note"), None if counts else "Logarithmic scale."]))
    parts.append(text(20, bottom + 42, note, "muted"))
    return drawing(width, bottom + 56, results["title"], " ".join(words), parts)


def series_colour(index: int) -> str:
    return ("var(--n0)", "var(--other)", "var(--n3)", "var(--n2)")[index % 4]

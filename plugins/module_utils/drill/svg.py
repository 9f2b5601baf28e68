# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Elements of SVG, in colours for a light and a dark surrounding."""

from __future__ import annotations

import math
import re
import typing as t
from html import escape

# Blue, teal, violet, brown: told apart also by the colour-blind, and each node has its own lane besides.
COLOURS = {
    "light": "--paper:#ffffff;--ink:#182230;--muted:#586577;--line:#dfe4ec;--lane:#f3f5f9;--lost:#d92d20;"
    "--gap:#fde3e1;--split:#fdecc8;--n0:#2563eb;--n1:#0d9488;--n2:#9333ea;--n3:#a16207;"
    "--detect:#e08a00;--move:#8b5cf6;--answer:#0284c7;--good:#067647;--other:#8a94a6;",
    "dark": "--paper:#151b26;--ink:#e7ebf2;--muted:#9aa7ba;--line:#2c3646;--lane:#1c2431;--lost:#ff6b5f;"
    "--gap:#46211f;--split:#43351a;--n0:#6ea0ff;--n1:#2dd4bf;--n2:#c084fc;--n3:#e0b341;"
    "--detect:#f5b041;--move:#a78bfa;--answer:#38bdf8;--good:#4ade80;--other:#7c889b;",
}
STYLE = """
svg.drawn{font-family:system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif;font-size:12px}
svg.drawn text{fill:var(--ink)} svg.drawn .muted{fill:var(--muted)} svg.drawn .strong{font-weight:600}
svg.drawn .lane{fill:var(--lane)} svg.drawn .grid{stroke:var(--line);stroke-width:1}
svg.drawn .gap{fill:var(--gap)} svg.drawn .split{fill:var(--split)} svg.drawn .window{fill:none;stroke:var(--muted)}
svg.drawn .mark{stroke-width:1.5;fill:none} svg.drawn .bracket{stroke:var(--lost);stroke-width:1.5;fill:none}
svg.drawn .halo{paint-order:stroke;stroke:var(--paper);stroke-width:4px;stroke-linejoin:round}
svg.drawn text.red{fill:var(--lost);font-weight:600}
svg.drawn .ticks{stroke-width:2;fill:none} svg.drawn .dot{stroke:var(--paper);stroke-width:1}
"""

# The same as attributes, which count where a renderer knows no variables (librsvg, and what makes PDF of it) and drops
# what STYLE says: without them it would paint black.
PLAIN = {
    "lane": {"fill": "--lane"},
    "grid": {"stroke": "--line"},
    "gap": {"fill": "--gap"},
    "split": {"fill": "--split"},
    "window": {"fill": "none", "stroke": "--muted"},
    "mark": {"fill": "none", "stroke-width": "1.5"},
    "bracket": {"fill": "none", "stroke": "--lost", "stroke-width": "1.5"},
    "muted": {"fill": "--muted"},
    "red": {"fill": "--lost", "font-weight": "600"},
    "strong": {"font-weight": "600"},
    "ticks": {"fill": "none", "stroke-width": "2"},
    "dot": {"stroke": "--paper"},
    "drawn": {"font-family": "system-ui, DejaVu Sans, sans-serif", "font-size": "12"},
}
LIGHT = dict(each.split(":") for each in COLOURS["light"].rstrip(";").split(";"))
TAG = re.compile(r"<(svg|rect|path|circle|text|polyline)\b([^>]*?)(/?)>")
VARIABLE = re.compile(r'\b(fill|stroke)="var\((--\w+)\)"')


def palette() -> str:
    return ":root{%s}@media (prefers-color-scheme: dark){:root{%s}}" % (COLOURS["light"], COLOURS["dark"])


def plain(svg: str) -> str:
    """The same drawing with colours that need neither variables nor a style sheet; where there are those, they win."""

    def repaint(match: re.Match[str]) -> str:
        tag, attributes, end = match.groups()
        painted = VARIABLE.findall(attributes)
        attributes = VARIABLE.sub(lambda m: '%s="%s"' % (m.group(1), LIGHT[m.group(2)]), attributes)
        if painted and " style=" not in attributes:
            attributes += ' style="%s"' % ";".join("%s:var(%s)" % each for each in painted)
        named = re.search(r'\bclass="([^"]*)"', attributes)
        for name in named.group(1).split() if named else ():
            for key, value in PLAIN.get(name, {}).items():
                if not re.search(r'(?<![\w-])%s="' % key, attributes):
                    attributes += ' %s="%s"' % (key, LIGHT.get(value, value))
        return "<%s%s%s>" % (tag, attributes, end)

    return TAG.sub(repaint, svg)


def drawing(width: float, height: float, name: str, description: str, parts: t.Iterable[str]) -> str:
    return plain(
        '<svg class="drawn" viewBox="0 0 %g %g" role="img" aria-label="%s"><title>%s</title><desc>%s</desc>%s</svg>'
        % (width, height, escape(name), escape(name), escape(description), "".join(parts))
    )


def text(x: float, y: float, words: str, css: str = "", anchor: str = "start") -> str:
    css = ' class="%s"' % css if css else ""
    anchor = ' text-anchor="%s"' % anchor if anchor != "start" else ""
    return '<text x="%.1f" y="%.1f"%s%s>%s</text>' % (x, y, css, anchor, escape(words))


def text_width(words: str) -> float:
    return 7.0 * len(words)  # a little wide, as nobody knows the reader's fonts


def step_for(extent: float, at_most: int) -> float:
    """A round distance between the marks of an axis."""
    raw = max(extent / max(at_most, 1), 1e-3)
    power = 10 ** math.floor(math.log10(raw))
    return next(power * f for f in (1, 2, 5, 10) if power * f >= raw)

# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""No moment is off by the time zone: what now(utc=true) gives knows of no zone, and Python takes it for local time."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

jinja2 = pytest.importorskip("jinja2")
yaml = pytest.importorskip("yaml")

from jinja2 import nodes  # noqa: E402

sys.path.insert(0, str(Path(__file__).parent))
from test_arithmetic import ROOT, parse, strings, templates  # noqa: E402


def called(node: nodes.Node, name: str) -> bool:
    return isinstance(node, nodes.Call) and isinstance(node.node, nodes.Name) and node.node.name == name


def options(call: nodes.Call) -> dict[str, object]:
    positional = ((("utc", "fmt")[number], value) for number, value in enumerate(call.args))
    named = ((each.key, each.value) for each in call.kwargs)
    return {name: value.as_const() for name, value in (*positional, *named)}


def wrong(text: str) -> list[str]:
    found = []
    for node in parse(text).find_all(nodes.Call):
        if called(node, "now"):
            given = options(node)
            if not given.get("utc") and str(given.get("fmt", "")).endswith("Z"):
                found.append("local time that calls itself UTC")
            if given.get("utc") and "%s" in str(given.get("fmt", "")):
                found.append("UTC taken for local time")
        elif isinstance(node.node, nodes.Getattr) and called(node.node.node, "now"):
            utc = options(node.node.node).get("utc")
            shown = [each.value for each in node.args if isinstance(each, nodes.Const)]
            if utc and (node.node.attr in ("timestamp", "astimezone") or "%s" in "".join(map(str, shown))):
                found.append("UTC taken for local time")
            if not utc and str((shown or [""])[0]).endswith("Z"):
                found.append("local time that calls itself UTC")
    return found


def everywhere():
    yield from templates()
    for directory in ("extensions", "bench", "docs"):
        for path in sorted((ROOT / directory).rglob("*.yml")):
            for document in yaml.safe_load_all(path.read_text(encoding="utf-8")):
                for text, condition in strings(document):
                    yield str(path.relative_to(ROOT)), text, condition


def test_no_moment_is_off_by_the_time_zone():
    seen = [(where, text) for where, text, _condition in everywhere() if "now(" in text]
    assert len({where for where, _text in seen}) > 5, "the templates are found"
    assert [(where, each) for where, text in seen for each in wrong(text)] == []


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("{{ now(utc=true).timestamp() }}", 1),
        ("{{ (now(true).timestamp() * 1000) | int }}", 1),
        ("{{ now(utc=true).strftime('%s') }}", 1),
        ("{{ now(utc=true, fmt='%s') }}", 1),
        ("{{ now(fmt='%H:%M:%SZ') }}", 1),
        ("{{ now().strftime('%H:%M:%SZ') }}", 1),
        ("{{ now().timestamp() }}", 0),
        ("{{ now(utc=true, fmt='%H:%M:%SZ') }}", 0),
        ("{{ (now(utc=true) - ('1970-01-01' | to_datetime('%Y-%m-%d'))).total_seconds() }}", 0),
    ],
)
def test_what_is_wrong(text, count):
    assert len(wrong(text)) == count

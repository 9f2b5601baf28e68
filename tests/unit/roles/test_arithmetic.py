# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Templates may not reckon with texts, which ansible-core before 2.19 makes of the numbers of templates."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

jinja2 = pytest.importorskip("jinja2")
yaml = pytest.importorskip("yaml")

from jinja2 import nodes  # noqa: E402

ROOT = Path(__file__).resolve().parents[3]
NUMBERS = ("int", "float", "length", "count", "sum", "round", "abs")
RECKONING = (nodes.Sub, nodes.Mul, nodes.Div, nodes.FloorDiv, nodes.Mod, nodes.Pow)


def number(node: nodes.Node) -> bool:
    """Whether this is a number for certain."""
    if isinstance(node, nodes.Const):
        return isinstance(node.value, (int, float))
    if isinstance(node, nodes.Filter):
        return node.name in NUMBERS
    if isinstance(node, (nodes.BinExpr, nodes.CondExpr)):
        children = [each for each in node.iter_child_nodes() if each is not getattr(node, "test", None)]
        return all(number(each) for each in children)
    return isinstance(node, nodes.Call) and "timestamp" in str(node)


def name_of(node: nodes.Node) -> str | None:
    """The variable that stands there as it is, or with a default."""
    while isinstance(node, nodes.Filter) and node.name == "default":
        node = node.node
    return node.name if isinstance(node, nodes.Name) else None


def texts_reckoned_with(expression: nodes.Node) -> list[str]:
    found = []
    for node in expression.find_all(nodes.Add):
        if number(node.left) or number(node.right):
            found += [name_of(each) for each in (node.left, node.right) if not number(each)]
    for node in expression.find_all(RECKONING):
        found += [name_of(each) for each in (node.left, node.right)]
    for node in expression.find_all(nodes.Compare):
        if any(operand.op in ("lt", "lteq", "gt", "gteq") for operand in node.ops):
            found += [name_of(each) for each in (node.expr, *(operand.expr for operand in node.ops))]
    for node in expression.find_all(nodes.Call):
        if isinstance(node.node, nodes.Name) and node.node.name == "range":
            found += [name_of(each) for each in node.args]
    return [each for each in found if each]


def parse(text: str) -> nodes.Template:
    return jinja2.Environment().parse(text)


def strings(value, key=None):
    """Each text of a YAML document that is a template, and whether it is a condition."""
    if isinstance(value, dict):
        for name, each in value.items():
            yield from strings(each, name)
    elif isinstance(value, list):
        for each in value:
            yield from strings(each, key)
    elif isinstance(value, str):
        if key in ("when", "that", "until", "failed_when", "changed_when") and "{{" not in value:
            yield "{{ %s }}" % value, True
        elif "{{" in value or "{%" in value:
            yield value, False


def templates():
    class Loader(yaml.SafeLoader):
        pass

    Loader.add_multi_constructor("!", lambda loader, suffix, node: None)
    for directory in ("roles", "playbooks"):
        for path in sorted((ROOT / directory).rglob("*")):
            where = str(path.relative_to(ROOT))
            if path.suffix == ".j2":
                yield where, path.read_text(encoding="utf-8"), False
            elif path.suffix == ".yml" and "/meta/" not in where:
                for text, condition in strings(yaml.load(path.read_text(encoding="utf-8"), Loader)):
                    yield where, text, condition


def test_no_template_reckons_with_a_text():
    found = {(where, name) for where, text, _condition in templates() for name in texts_reckoned_with(parse(text))}
    assert found == set(), "cast these: | int"


def test_no_default_of_a_role_is_omit():
    """Before ansible-core 2.19 the check of a role's arguments takes it for a text."""
    for path in sorted((ROOT / "roles").glob("*/defaults/main.yml")):
        assert not re.search(r"\bomit\b", path.read_text(encoding="utf-8")), path


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("{{ wait + 20 }}", ["wait"]),
        ("{{ wait * 50 }}", ["wait"]),
        ("{{ wait | default(5) - 1 }}", ["wait"]),
        ("{{ range(1, trials + 1) | list }}", ["trials"]),
        ("{% if tries > 3 %}{% endif %}", ["tries"]),
        ("{{ wait | int + 20 }}", []),
        ("{{ some + ['more'] }}", []),
        ("{{ hosts | length > 1 }}", []),
    ],
)
def test_what_is_reckoning(text, names):
    assert texts_reckoned_with(parse(text)) == names

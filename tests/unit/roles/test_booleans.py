# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""No condition takes a boolean option as it is: -e gives a text, which is true, or since ansible-core 2.19 an error."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

jinja2 = pytest.importorskip("jinja2")
yaml = pytest.importorskip("yaml")

from jinja2 import nodes  # noqa: E402

sys.path.insert(0, str(Path(__file__).parent))
from test_arithmetic import ROOT, name_of, parse, templates  # noqa: E402


def booleans():
    """The options of all roles that are booleans: those which are variables."""
    for path in ROOT.glob("roles/*/meta/argument_specs.yml"):
        for entry in yaml.safe_load(path.read_text(encoding="utf-8"))["argument_specs"].values():
            options = entry.get("options") or {}
            yield from (name for name, option in options.items() if option.get("type") == "bool")


OPTIONS = {*booleans(), "vip_nopreempt", "vip_address_offlink", "status_redundancy"}  # and the playbooks' own


def conditions(template: nodes.Template, whole: bool):
    """What is only true or false. whole: the template itself is a condition."""
    for node in template.find_all((nodes.CondExpr, nodes.If)):
        yield node.test
    for node in template.find_all((nodes.And, nodes.Or)):
        yield from (node.left, node.right)
    for node in template.find_all(nodes.Not):
        yield node.node
    for node in template.find_all(nodes.Filter):
        if node.name == "ternary":
            yield node.node
    if whole:
        yield from (each for output in template.body for each in output.nodes)


def bare(text: str, whole: bool = False) -> list[str]:
    found = (name_of(node) for node in conditions(parse(text), whole))
    return sorted({name for name in found if name in OPTIONS})


def test_no_condition_takes_a_boolean_option_as_it_is():
    found = {(where, name) for where, text, whole in templates() for name in bare(text, whole)}
    assert found == set(), "cast these: | bool"


@pytest.mark.parametrize(
    ("text", "whole", "names"),
    [
        ("{{ nginx_ipv6 }}", True, ["nginx_ipv6"]),
        ("{{ nginx_ipv6 }}", False, []),
        ("{{ nginx_ipv6 | default(true) }}", True, ["nginx_ipv6"]),
        ("{{ nginx_ipv6 | bool }}", True, []),
        ("{{ x and not nginx_ipv6 }}", True, ["nginx_ipv6"]),
        ("{{ 1 if nginx_ipv6 else 2 }}", False, ["nginx_ipv6"]),
        ("{{ nginx_ipv6 | ternary(1, 2) }}", False, ["nginx_ipv6"]),
        ("{% if nginx_ipv6 %}{% endif %}", False, ["nginx_ipv6"]),
        ("{% if nginx_ipv6 | bool %}{% endif %}", False, []),
    ],
)
def test_what_is_bare(text, whole, names):
    assert bare(text, whole) == names

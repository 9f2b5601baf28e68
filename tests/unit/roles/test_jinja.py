# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What decides or reckons is Python that has tests: no template builds a list or a dictionary by itself.

No template stands for all arguments of a module, either: Ansible would warn the user at each run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

yaml = pytest.importorskip("yaml")

ROOT = Path(__file__).resolve().parents[3]
PROGRAM = re.compile(r"\bset _ =|\bnamespace\(")


def programs(root):
    found = set()
    for directory in ("roles", "playbooks"):
        for path in (root / directory).rglob("*"):
            if path.is_file() and PROGRAM.search(path.read_text(encoding="utf-8", errors="replace")):
                found.add(str(path.relative_to(root)))
    return found


def test_no_template_is_a_program():
    assert programs(ROOT) == set()


def test_a_program_is_seen(tmp_path):
    (tmp_path / "roles/a/vars").mkdir(parents=True)
    for name, text in {
        "list": "{%- set _ = found.append(1) -%}",
        "space": "{% set all = namespace(list=[]) %}",
        "none": "{{ a | map('b') }} {% set b = 1 %} kubernetes_namespace(",
    }.items():
        (tmp_path / "roles/a/vars" / (name + ".yml")).write_text(text)
    assert programs(tmp_path) == {"roles/a/vars/list.yml", "roles/a/vars/space.yml"}


def templates(value):
    """The modules of the collection whose arguments are one template, at any depth."""
    if isinstance(value, dict):
        modules = {name: each for name, each in value.items() if str(name).startswith("cloudha.vip.")}
        yield from (name for name, each in modules.items() if isinstance(each, str))
        value = [each for name, each in value.items() if name != "module_defaults"]
    for each in value if isinstance(value, list) else []:
        yield from templates(each)


def test_no_template_is_all_arguments_of_a_module():
    files = [path for directory in ("roles/*/tasks", "playbooks") for path in ROOT.glob(directory + "/**/*.yml")]
    assert files
    assert {str(path): found for path in files if (found := list(templates(yaml.safe_load(path.read_text()))))} == {}


def test_such_a_template_is_seen():
    tasks = """
    - block:
        - cloudha.vip.a: "{{ all }}"
        - cloudha.vip.b: {c: "{{ one }}"}
          module_defaults: {cloudha.vip.b: "{{ others }}"}
    """
    assert list(templates(yaml.safe_load(tasks))) == ["cloudha.vip.a"]

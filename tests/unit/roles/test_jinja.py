# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What decides or reckons is Python that has tests: no template builds a list or a dictionary by itself."""

from __future__ import annotations

import re
from pathlib import Path

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

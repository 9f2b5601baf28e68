# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A text in place of a list of addresses would be looped over by letters: whoever takes such a list refuses it."""

from __future__ import annotations

from pathlib import Path

import pytest

jinja2 = pytest.importorskip("jinja2")
yaml = pytest.importorskip("yaml")

ROOT = Path(__file__).resolve().parents[3]


def asserted(value):
    """Each condition of an assert, at any depth."""
    if isinstance(value, dict):
        if "ansible.builtin.assert" in value:
            yield value["ansible.builtin.assert"]["that"]
        value = list(value.values())
    for each in value if isinstance(value, list) else []:
        yield from asserted(each)


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("roles/drill/tasks/main.yml", "drill_addresses"),
        ("roles/lvs_real_server/tasks/check.yml", "lvs_real_server_addresses"),
        ("roles/switchover/tasks/main.yml", "switchover_addresses"),
        ("playbooks/status.yml", "status_wanted"),
    ],
)
def test_no_list_and_an_empty_one_are_refused(file, name):
    conditions = [
        that for that in asserted(yaml.safe_load((ROOT / file).read_text())) if f"{name} | length" in str(that)
    ]
    (condition,) = conditions
    holds = jinja2.Environment().compile_expression(condition)
    assert holds(**{name: ["192.168.7.246/22"]})
    assert not holds(**{name: []})
    assert not holds(**{name: "192.168.7.246/22"})

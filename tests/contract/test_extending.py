# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The change in docs/extending.md is the whole change: the tests of roles and playbooks accept it as it is."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from extended import ROOT, extended

from ansible_collections.cloudha.vip.plugins.module_utils.drill import choice

# Those that look at each role, playbook or mechanism.
TESTS = [
    "tests/unit/roles",
    "tests/unit/plugins/callback/test_demo_progress.py",
    "tests/contract/test_hostile_values.py::test_every_option_takes_a_good_value",
    "tests/contract/test_hostile_values.py::test_what_can_be_hostile_is_quoted_where_it_is_written",
    "tests/contract/test_options.py::test_every_option_is_given_to_the_real_program[by_hand]",
    "tests/contract/test_release.py",
]


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return extended(tmp_path_factory.mktemp("collections"))


def test_the_tests_of_roles_and_playbooks_accept_the_change(copy: Path) -> None:
    above = str(copy.parents[2])
    paths = {"PYTHONPATH": f"{above}:{copy}/tests", "ANSIBLE_COLLECTIONS_PATH": above}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:xdist", *TESTS]
    done = subprocess.run(command, cwd=copy, env={**os.environ, **paths}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr


def test_a_drill_injects_only_what_the_new_mechanism_can_undo(copy: Path) -> None:
    traits = yaml.safe_load((copy / "roles/by_hand/meta/mechanism.yml").read_text())
    catalog = yaml.safe_load((ROOT / "roles/drill/vars/main.yml").read_text())["drill_catalog"]
    # What the lab's machines could do, too.
    hooks = {node: {fault: {"inject": "a", "undo": "b"} for fault in catalog} for node in ("node1", "node2")}
    assert choice.choose(catalog, [], traits, False, hooks, {})["faults"] == ["planned_switchover"]

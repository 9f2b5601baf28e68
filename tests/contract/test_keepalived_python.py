# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Python that runs the guard of keepalived, by the real Ansible, on no machine."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import plays


def test_a_python_that_cannot_run_the_guard_is_refused_before_anything_is_changed(tmp_path: Path) -> None:
    old = tmp_path / "old"
    old.write_text("#!/bin/sh\necho 3.6\n")
    old.chmod(0o755)
    hosts = {
        "old": {"keepalived_python": str(old)},
        "none": {"keepalived_python": "/nonexistent/python"},
        "default": {},
        # No module of this collection can be imported there.
        "past": plays.canned(tmp_path, {"failed": True, "msg": "TypeError"}),
    }
    facts = {
        "os_family": "Debian",
        "virtualization_tech_guest": [],
        "python": {"executable": "/usr/bin/python3.8", "version_info": [3, 8, 10, "final", 0]},
    }
    told = {"msg": "told: {{ keepalived_python }}"}
    these = [
        {
            "hosts": "default",
            "gather_facts": False,
            "roles": [{"role": "cloudha.vip.keepalived", "when": False}],
            "post_tasks": [
                {"ansible.builtin.setup": {"gather_subset": ["!all", "!min", "python"]}},
                {"ansible.builtin.debug": told},
                {"ansible.builtin.meta": "clear_facts"},
            ],
        },
        {
            "hosts": "past",
            "gather_facts": False,
            "tasks": [{"ansible.builtin.set_fact": {**facts, "cacheable": True}}],
        },
        {
            "hosts": "vip_nodes",
            "gather_facts": False,
            "tasks": [{"ansible.builtin.include_role": {"name": "cloudha.vip.keepalived", "tasks_from": "check"}}],
        },
    ]
    done = plays.run(tmp_path, {"vip_nodes": {"hosts": hosts}}, these)
    said = re.sub(r"\s+", " ", done.stdout)
    assert f"told: {sys.executable}" in said, "the one that Ansible uses"
    needs = "and the guard of keepalived needs Python 3.9 or newer; give the path of one as keepalived_python"
    assert f"{old} on old is Python 3.6, {needs}" in said
    assert f"/nonexistent/python on none cannot be run, {needs}" in said
    assert f"/usr/bin/python3.8 on past is Python 3.8.10, {needs}" in said, (
        "which Ansible has told, and nobody asks for"
    )
    assert " on default " not in said
    assert "Collect the variables of this node" not in said
    assert done.returncode != 0

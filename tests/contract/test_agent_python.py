# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A Python that cannot run a role's program is refused before the role makes anything, by the real Ansible."""

from __future__ import annotations

from pathlib import Path

import plays
import pytest


@pytest.mark.parametrize(
    ("role", "program"), [("vip_agent", "the agent"), ("local_address", "the keeper of an address")]
)
def test_what_is_no_python_or_an_old_one_is_refused_by_host_and_option(tmp_path: Path, role: str, program: str) -> None:
    old = tmp_path / "python-old"
    old.write_text("#!/bin/sh\necho 3.8\n")
    old.chmod(0o755)
    says = {
        "old": f"{old} on old is Python 3.8",
        "none": "/usr/bin/python3.99 on none cannot be run",
        "other": "/bin/true on other cannot be run",
    }
    nodes = {host: {f"{role}_python": text.partition(" ")[0]} for host, text in says.items()}
    check = {"ansible.builtin.include_role": {"name": f"cloudha.vip.{role}", "tasks_from": "check"}}
    play = {"hosts": "vip_nodes", "gather_facts": False, "tasks": [check], "vars": {"vip_address": "192.0.2.1"}}
    done = plays.run(tmp_path, {"vip_nodes": {"hosts": {**nodes, "good": {}}}}, [play])
    needs = f"and {program} needs Python 3.9 or newer; give the path of one as {role}_python"
    assert [text for text in says.values() if f"{text}, {needs}" not in done.stdout] == [], done.stdout
    assert done.returncode != 0 and "on good" not in done.stdout

# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the modules use is what a node's agent uses, and it stands alone: without Ansible, without any package."""

from __future__ import annotations

import subprocess
import sys

from ansible_collections.cloudha.vip.plugins.module_utils.failover import route
from ansible_collections.cloudha.vip.plugins.plugin_utils.library import collect

IMPORT = """
import sys
sys.path.insert(0, sys.argv[1])
import vip_agent.agent.cli, vip_agent.agent.gcp_alias_ip, vip_agent.agent.gcp_route
print([name for name, module in sys.modules.items() if "site-packages" in str(getattr(module, "__file__", ""))])
print([name for name in sys.modules if name.partition(".")[0] in ("ansible", "ansible_collections")])
"""


def test_the_agents_copy_is_the_modules_code_and_stands_alone(tmp_path):
    code = collect(["agent/*.py"])
    with open(route.__file__, encoding="utf-8") as file:
        assert code["failover/route.py"] == file.read()
    for name, source in code.items():
        path = tmp_path / "vip_agent" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", IMPORT, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["[]", "[]"]

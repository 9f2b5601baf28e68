# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import subprocess
import sys

from ansible_collections.cloudha.vip.plugins.module_utils.agent import cli, gcp_route
from ansible_collections.cloudha.vip.plugins.module_utils.node.code import code_of, installed


def lay(path, sources):
    for name, source in sources.items():
        target = path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(source)


def test_the_code_is_that_of_the_collection():
    directory = os.path.dirname(cli.__file__)
    for name in os.listdir(directory):
        if name.endswith(".py"):
            with open(os.path.join(directory, name), "rb") as file:
                assert code_of(cli)["agent/" + name] == file.read()


def test_what_is_laid_down_runs_without_ansible(tmp_path):
    lay(tmp_path / "package", code_of(cli))
    script = "import sys; sys.path.insert(0, %r); import package.agent.cli; print('ansible' in sys.modules)"
    done = subprocess.run([sys.executable, "-ISc", script % str(tmp_path)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "False\n"), done.stderr


def test_installed_is_what_was_laid_down(tmp_path):
    assert installed(str(tmp_path / "nothing")) == {}
    lay(tmp_path, {"agent/a.py": b"1", "b/c.py": b"2", "b/d.pyc": b"3"})
    assert installed(str(tmp_path)) == {"agent/a.py": b"1", "b/c.py": b"2"}


def test_what_only_actions_need_travels_along_and_is_not_imported_without_one(tmp_path):
    lay(tmp_path / "package", code_of(cli, gcp_route))
    script = (
        "import sys; sys.path.insert(0, %r); import package.agent.cli; print('package.clouds.gce' in sys.modules);"
        "import package.agent.gcp_route; print('package.clouds.gce' in sys.modules, 'ansible' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-ISc", script % str(tmp_path)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "False\nTrue False\n"), done.stderr

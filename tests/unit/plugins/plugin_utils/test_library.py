# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import subprocess
import sys

import pytest

from ansible_collections.cloudha.vip.plugins.plugin_utils.library import ROOT, LibraryError, collect


def lay(path, texts):
    for name, text in texts.items():
        target = path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)


def imports(tmp_path, script):
    """What a script prints that finds the files below the package ``package``, and nothing but the standard library."""
    script = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); {script}"
    done = subprocess.run([sys.executable, "-ISc", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_agent_is_the_code_of_the_collection_and_what_its_actions_import():
    found = collect(["agent/*.py"])
    for path in (ROOT / "agent").glob("*.py"):
        assert found[f"agent/{path.name}"] == path.read_text()
    assert {"failover/route.py", "failover/alias.py", "failover/engine.py", "clouds/gce.py", "clouds/tokens.py"} <= set(
        found
    )
    assert not [name for name in found if name.startswith(("node/", "drill/", "ansible/", "keepalived/"))]
    assert "failover/havip.py" not in found and "clouds/neutron.py" not in found


def test_what_is_found_runs_without_ansible_and_loads_no_cloud_before_it_has_to(tmp_path):
    lay(tmp_path / "package", collect(["agent/*.py"]))
    said = imports(
        tmp_path,
        "import package.agent.cli; print('package.clouds.gce' in sys.modules);"
        "import package.agent.gcp_route; print('package.clouds.gce' in sys.modules, 'ansible' in sys.modules)",
    )
    assert said == "False\nTrue False\n"


def test_every_file_of_the_agent_finds_what_it_imports(tmp_path):
    lay(tmp_path / "package", collect(["agent/*.py"]))
    names = [path.relative_to(tmp_path).with_suffix("").as_posix() for path in (tmp_path / "package").rglob("*.py")]
    modules = [name.replace("/", ".").removesuffix(".__init__") for name in names]
    assert imports(tmp_path, f"import {', '.join(modules)}") == ""


def test_ways_to_import(tmp_path):
    texts = {
        "a/main.py": (
            "from __future__ import annotations\nimport os\nfrom . import one, two as second\n"
            "from .three import x\nfrom ..b import (\n    four,  # the fourth\n    five as fifth,\n)\n"
            "def late():\n    from ..c.deep.six import y\n    from ..d import package\n"
            "TYPE_CHECKING = False\nif TYPE_CHECKING:\n    from ..never import z\n\n    from .nor import this\n\n"
            "from .last import w\n"
        ),
        **{f"a/{name}.py": "" for name in ("one", "two", "three", "last", "nor", "other")},
        "b/__init__.py": "from .of_package import v\n",
        **{f"b/{name}.py": "" for name in ("four", "five", "of_package", "seven")},
        "c/deep/six.py": "",
        "d/package/__init__.py": "",
        "never.py": "",
    }
    lay(tmp_path, texts)
    assert sorted(collect(["a/main.py"], tmp_path)) == [
        "a/last.py", "a/main.py", "a/one.py", "a/three.py", "a/two.py", "b/__init__.py", "b/five.py", "b/four.py",
        "b/of_package.py", "c/deep/six.py", "d/package/__init__.py",
    ]  # fmt: skip


def test_what_is_missing_is_named(tmp_path):
    with pytest.raises(LibraryError, match=r"has no file agent/\*\.py"):
        collect(["agent/*.py"], tmp_path)
    lay(tmp_path, {"a/main.py": "from . import nothing\n"})
    with pytest.raises(LibraryError, match=r"a/main\.py imports nothing, and there is no .*/a/nothing\.py"):
        collect(["a/main.py"], tmp_path)

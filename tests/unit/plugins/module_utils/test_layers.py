# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The layers of the code: which package may import which. No arrow runs up."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PLUGINS = Path(__file__).resolve().parents[4] / "plugins"
COLLECTION = "ansible_collections.cloudha.vip.plugins"

# Each package, and the others that it may import. Itself is always allowed, and so is the standard library.
LAYERS = {
    "module_utils.base": (),
    "module_utils.clouds": ("module_utils.base",),
    "module_utils.failover": ("module_utils.base", "module_utils.clouds"),
    "module_utils.agent": ("module_utils.base", "module_utils.clouds", "module_utils.failover"),
    "module_utils.ansible": ("module_utils.base", "module_utils.clouds", "module_utils.failover"),
    "module_utils.keepalived": (),
    "module_utils.drill": (),
    "module_utils.topology": ("module_utils.base", "module_utils.clouds"),
    "module_utils.node": ("module_utils.agent", "module_utils.keepalived"),
    "doc_fragments": (),
    "modules": ("module_utils",),
    "filter": ("module_utils", "plugin_utils"),
    "plugin_utils": ("module_utils",),
    "action": ("module_utils", "plugin_utils"),
    "lookup": ("module_utils",),
    "callback": ("module_utils",),
}
# Only these may import Ansible. All the rest runs on a node that has none, or in a test.
WITH_ANSIBLE = {"module_utils.ansible", "modules", "filter", "plugin_utils", "action", "lookup", "callback"}

FILES = sorted(path.relative_to(PLUGINS).as_posix() for path in PLUGINS.rglob("*.py") if path.name != "__init__.py")


def package_of(file):
    """module_utils/clouds/gce.py is in module_utils.clouds, modules/x.py in modules."""
    parts = file.split("/")
    return ".".join(parts[:2] if parts[0] == "module_utils" else parts[:1])


def imports(file, source):
    """The full names of all that a file imports, also for type checking only."""
    here = [COLLECTION, *file.split("/")[:-1]]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = [*here[: len(here) - node.level + 1]] if node.level else []
            yield from (".".join([*base, *filter(None, [node.module]), alias.name]) for alias in node.names)


def arrows_up(file, source):
    """What a file imports and must not."""
    package = package_of(file)
    allowed = (package, *LAYERS[package])
    for name in imports(file, source):
        if name.split(".")[0] == "ansible" and package not in WITH_ANSIBLE:
            yield name
        if name.startswith(COLLECTION):
            target = name[len(COLLECTION) + 1 :]
            if not any(f"{target}.".startswith(f"{each}.") for each in allowed):
                yield target


@pytest.mark.parametrize("file", FILES)
def test_no_arrow_runs_up(file):
    assert package_of(file) in LAYERS, "a new package: say in LAYERS what it may import"
    assert list(arrows_up(file, (PLUGINS / file).read_text(encoding="utf-8"))) == []


def test_every_layer_is_there_or_can_be():
    used = {package_of(file) for file in FILES}
    assert {name for name in LAYERS if name.startswith("module_utils")} <= used
    assert {"modules", "filter"} <= used and len(FILES) > 80


@pytest.mark.parametrize(
    ("file", "source", "found"),
    [
        ("module_utils/base/a.py", "from ..failover.engine import Step", ["module_utils.failover.engine.Step"]),
        ("module_utils/base/a.py", "from .masking import masked", []),
        ("module_utils/clouds/a.py", "from ..failover import route", ["module_utils.failover.route"]),
        ("module_utils/clouds/a.py", "from .. import failover", ["module_utils.failover"]),
        (
            "module_utils/clouds/a.py",
            "def f():\n    from ..agent.gcp import Identity",
            ["module_utils.agent.gcp.Identity"],
        ),
        (
            "module_utils/failover/a.py",
            "if TYPE_CHECKING:\n    from ..agent.config import GcpAction",
            ["module_utils.agent.config.GcpAction"],
        ),
        ("module_utils/failover/a.py", "from ..base import errors\nfrom .engine import Step\nimport time", []),
        ("module_utils/failover/a.py", f"import {COLLECTION}.module_utils.ansible.run", ["module_utils.ansible.run"]),
        ("module_utils/agent/a.py", "from ..ansible.run import failures", ["module_utils.ansible.run.failures"]),
        (
            "module_utils/agent/a.py",
            "from ansible.module_utils.basic import env_fallback",
            ["ansible.module_utils.basic.env_fallback"],
        ),
        ("module_utils/ansible/a.py", f"from {COLLECTION}.modules import havip_bind", ["modules.havip_bind"]),
        ("module_utils/ansible/a.py", "from ..agent import cli", ["module_utils.agent.cli"]),
        ("modules/a.py", f"from {COLLECTION}.module_utils.ansible import gcp", []),
        ("modules/a.py", f"from {COLLECTION}.modules import b", []),
    ],
)
def test_an_arrow_that_runs_up_is_found(file, source, found):
    assert list(arrows_up(file, source)) == found

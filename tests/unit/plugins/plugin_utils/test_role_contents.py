# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from ansible_collections.cloudha.vip.plugins.plugin_utils.role_contents import COLLECTION, RoleError, contents

HEAD = "from ansible_collections.cloudha.vip.plugins"
TEXTS = {
    "roles/web/tasks/main.yml": (
        "- ansible.builtin.import_role: {name: cloudha.vip.base}\n"
        "- cloudha.vip.node_thing:\n    library: {modules: [pack/*.py]}\n"
        "- name: x\n  when: a | cloudha.vip.judge\n"
    ),
    "roles/web/templates/deep/page.j2": "{{ x | cloudha.vip.shape(1) }}",
    "roles/web/README.md": "cloudha.vip.other",
    "roles/web/meta/argument_specs.yml": "cloudha.vip.other",
    "roles/web/tests/test.yml": "cloudha.vip.other",
    "roles/base/defaults/main.yml": "a: 1  # as in cloudha.vip.web",
    "roles/other/tasks/main.yml": "- x",
    "plugins/filter/judge.py": f"{HEAD}.module_utils.law import judge\nimport os\n",
    "plugins/filter/judge.yml": "DOCUMENTATION: x",
    "plugins/filter/shape.py": f"{HEAD}.module_utils.forms import (\n    circle,\n    square,\n)\n",
    "plugins/filter/other.py": "",
    "plugins/modules/node_thing.py": f"def main():\n    {HEAD}.module_utils.law import judge\n",
    "plugins/action/node_thing.py": f"{HEAD}.plugin_utils.tool import use\n",
    "plugins/plugin_utils/tool.py": f"{HEAD}.plugin_utils.screw import turn\n",
    "plugins/plugin_utils/screw.py": "",
    "plugins/plugin_utils/nail.py": "",
    "plugins/module_utils/law.py": "from .forms import paper\n",
    "plugins/module_utils/forms/circle.py": "",
    "plugins/module_utils/forms/square.py": "",
    "plugins/module_utils/forms/paper.py": "",
    "plugins/module_utils/forms/other.py": "",
    "plugins/module_utils/pack/one.py": "from . import two\n",
    "plugins/module_utils/pack/two.py": "",
    "plugins/module_utils/never.py": "",
}
COUNTS = {
    *("roles/web/tasks/main.yml", "roles/web/templates/deep/page.j2", "roles/base/defaults/main.yml"),
    *("plugins/filter/judge.py", "plugins/filter/shape.py"),
    *("plugins/modules/node_thing.py", "plugins/action/node_thing.py"),
    *("plugins/plugin_utils/tool.py", "plugins/plugin_utils/screw.py", "plugins/module_utils/law.py"),
    *(f"plugins/module_utils/forms/{each}.py" for each in ("circle", "square", "paper")),
    *(f"plugins/module_utils/pack/{each}.py" for each in ("one", "two")),
}


@pytest.fixture
def collection(tmp_path):
    for name, text in TEXTS.items():
        path = tmp_path / "collection" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / "collection"


def test_what_counts(collection):
    found = contents(["web"], collection)
    assert set(found) == COUNTS
    assert all(content == TEXTS[name].encode() for name, content in found.items())
    assert contents(["cloudha.vip.web", "base"], collection) == found


def test_where_it_lies_does_not_count(collection, tmp_path):
    found = contents(["web"], collection)
    (collection / "roles/web/tasks/__pycache__").mkdir()
    (collection / "roles/web/tasks/__pycache__/x.pyc").write_text("")
    moved = shutil.move(collection, tmp_path / "elsewhere")
    assert contents(["web"], Path(moved)) == found
    (tmp_path / "link").symlink_to(moved)
    assert contents(["web"], tmp_path / "link") == found


def test_a_role_beside_the_playbook(collection, tmp_path):
    role = tmp_path / "play" / "roles" / "mine"
    (role / "files").mkdir(parents=True)
    (role / "files" / "page").write_bytes(b"\xff\x00 cloudha.vip.shape")
    found = contents([str(role)], collection)
    assert set(found) == {
        "roles/mine/files/page",
        "plugins/filter/shape.py",
        "plugins/module_utils/forms/circle.py",
        "plugins/module_utils/forms/square.py",
    }


def test_refused(collection, tmp_path):
    for wrong, message in (
        ("none", "there is no role none: .*roles/none is no directory"),
        ("roles/web", "is no name of a role"),
        ("../web", "is no name of a role"),
        ("other.collection.web", "is no name of a role"),
        ("", "is no name of a role"),
        (str(tmp_path / "none"), "there is no role"),
    ):
        with pytest.raises(RoleError, match=message):
            contents([wrong], collection)
    (tmp_path / "base").mkdir()
    with pytest.raises(RoleError, match="have the same name"):
        contents(["web", str(tmp_path / "base")], collection)


def test_the_roles_of_the_collection():
    """Those that an image is made with; each with what it lays on the node."""
    found = set(contents(["nginx", "vip_agent", "health_check", "local_address"]))
    assert {
        "roles/nginx/templates/nginx.conf.j2",
        "plugins/filter/nginx_quote.py",
        "plugins/modules/node_program.py",
        "plugins/action/node_program.py",
        "plugins/plugin_utils/library.py",
        "plugins/module_utils/agent/cli.py",
        "plugins/module_utils/clouds/gce.py",
        "plugins/module_utils/node/local_address.py",
    } <= found
    assert not [name for name in found if name.startswith(("roles/drill", "plugins/module_utils/drill"))]
    for role in sorted(each.name for each in (COLLECTION / "roles").iterdir()):
        assert [name for name in contents([role]) if name.startswith(f"roles/{role}/")]

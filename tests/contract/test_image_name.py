# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The name of an image, as a play has it: the same with every release of ansible-core."""

from __future__ import annotations

import json
import os
import subprocess

from ansible_collections.cloudha.vip.plugins.module_utils.topology.image import image_name
from ansible_collections.cloudha.vip.plugins.plugin_utils.role_contents import contents
from ansible_collections.cloudha.vip.tests.contract import plays

GIVEN = {
    "port": 80,
    "templated_port": "{{ port }}",
    "on": True,
    "templated_on": "{{ port == 80 }}",
    "nothing": None,
    "names": ["{{ inventory_hostname }}", "b"],
    "joined": "{{ ['a', 'b'] | map('upper') | list }}",
    "of_range": "{{ range(2) | list }}",
    "facts": "{{ {'b': 1.5, 'a': port | string} }}",
}
MEANT = {
    "port": 80,
    "templated_port": 80,
    "on": True,
    "templated_on": True,
    "nothing": None,
    "names": ["here", "b"],
    "joined": ["A", "B"],
    "of_range": [0, 1],
    "facts": {"a": "80", "b": 1.5},
}
PLAY = {
    "hosts": "here",
    "gather_facts": False,
    "vars_files": ["{{ scratch }}/vault.yml"],
    "tasks": [
        {
            "ansible.builtin.copy": {
                "content": "{{ [first, again, secret] | to_json }}",
                "dest": "{{ scratch }}/names",
                "mode": "0644",
            },
            "vars": {
                "first": "{{ 'web' | cloudha.vip.gcp_image_name('p', '17', ['nginx', role], given) }}",
                "again": "{{ 'web' | cloudha.vip.gcp_image_name('p', 17, roles=[role, 'cloudha.vip.nginx'], "
                "variables=given) }}",
                "secret": "{{ 'web' | cloudha.vip.gcp_image_name('p', '17', variables=of_vault) }}",
                "role": "{{ scratch }}/roles/mine",
                "given": "{{ of_inventory }}",
            },
        }
    ],
}


def encrypted(text, environment):
    """As it is in a file of variables."""
    command = ["ansible-vault", "encrypt_string", "--stdin-name=secret"]
    done = subprocess.run(
        command, input=text, capture_output=True, text=True, check=True, timeout=60, env={**os.environ, **environment}
    )
    return done.stdout


def test_the_name_in_a_play(tmp_path):
    (tmp_path / "password").write_text("of the vault")
    vault = {"ANSIBLE_VAULT_PASSWORD_FILE": str(tmp_path / "password")}
    lines = encrypted("s3cret", vault).splitlines()
    (tmp_path / "vault.yml").write_text("\n  ".join(["of_vault:", *lines]) + "\n")
    role = tmp_path / "roles/mine/tasks"
    role.mkdir(parents=True)
    (role / "main.yml").write_text("- name: Nothing\n")
    variables = {"scratch": str(tmp_path), "of_inventory": GIVEN, **GIVEN}
    done = plays.run(tmp_path, {"nodes": {"hosts": {"here": {}}}}, [PLAY], variables, **vault)
    assert done.returncode == 0, done.stdout + done.stderr
    expected = image_name("web", "p", "17", contents(["nginx", str(role.parent)]), MEANT)
    secret = image_name("web", "p", "17", {}, {"secret": "s3cret"})
    assert json.loads((tmp_path / "names").read_text()) == [expected, expected, secret]

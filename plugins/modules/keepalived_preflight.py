#!/usr/bin/python
# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: keepalived_preflight
short_description: Check that a node can do everything that a configuration of keepalived will ask for
version_added: 1.0.0
author:
  - cloudha.vip contributors (@cloudha-vip)
description:
  - Checks assumptions of C(keepalived -t). keepalived itself finds a missing or not executable notification only when
    it needs it, and reports that in its journal.
  - Checks the program of each command. It must exist for its user, be executable, and have its interpreter. If it runs
    as root, no other user may be able to change it.
  - Checks that an inotify instance is free, by which keepalived watches its track files.
  - Checks whether an operator's arguments to the service make keepalived read another file.
  - Shows the version of keepalived, and whether the P(cloudha.vip.keepalived#role) role can work with it.
extends_documentation_fragment:
  - cloudha.vip.attributes
  - cloudha.vip.attributes.info
options:
  commands:
    description: The commands of keepalived, from P(cloudha.vip.keepalived_commands#filter).
    type: list
    elements: dict
    default: []
    suboptions:
      option:
        description: The option that gives the command. Messages name it.
        type: str
        required: true
      words:
        description: The program, and its arguments.
        type: list
        elements: str
        required: true
      user:
        description: The user of the command, and optionally its group after a space.
        type: str
        required: true
notes:
  - The module looks for programs as another user; use C(become).
seealso:
  - plugin: cloudha.vip.keepalived_commands
    plugin_type: filter
"""

EXAMPLES = r"""
- name: Check that a notification can run
  cloudha.vip.keepalived_preflight:
    commands:
      - option: keepalived_instances[web].notify_master
        words: [/usr/local/bin/tell, master]
        user: keepalived_script
  become: true
  register: preflight
  failed_when: preflight.problems | length > 0
"""

RETURN = r"""
version:
  description: The version of keepalived; empty if it is not installed.
  type: str
  returned: success
  sample: 2.2.7
problems:
  description: The node's obstacles, a sentence each.
  type: list
  elements: str
  returned: success
  sample:
    - >-
      keepalived_instances[web].notify_master runs /usr/local/bin/tell as keepalived_script, which cannot be found
      (No such file or directory); install it on this node, where keepalived_script may reach it
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.cloudha.vip.plugins.module_utils.keepalived.inotify import inotify_problem
from ansible_collections.cloudha.vip.plugins.module_utils.keepalived.programs import arguments_problem, program_problems
from ansible_collections.cloudha.vip.plugins.module_utils.keepalived.versions import parse_version, version_problem


def main() -> None:
    command = dict(
        option=dict(type="str", required=True),
        words=dict(type="list", elements="str", required=True),
        user=dict(type="str", required=True),
    )
    module = AnsibleModule(
        argument_spec=dict(commands=dict(type="list", elements="dict", default=[], options=command)),
        supports_check_mode=True,
    )
    keepalived = module.get_bin_path("keepalived", opt_dirs=["/usr/sbin", "/sbin"])
    said = "".join(module.run_command([keepalived, "--version"])[1:]) if keepalived else ""
    problems = [version_problem(said), inotify_problem(), arguments_problem()]
    for its in module.params["commands"]:
        # A dry run does not make the users that a run would make.
        problems += program_problems(its, (its["user"],) if module.check_mode else ())
    module.exit_json(
        changed=False,
        version=".".join(map(str, parse_version(said))),
        problems=[problem for problem in problems if problem],
    )


if __name__ == "__main__":
    main()

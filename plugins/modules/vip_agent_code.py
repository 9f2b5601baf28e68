#!/usr/bin/python
# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: vip_agent_code
short_description: Lay the node agent's code on a node
version_added: 1.0.0
author:
  - cloudha.vip contributors (@cloudha-vip)
description:
  - Writes the Python code of the node agent, the same that the collection's modules use, into a directory, and removes
    code there that an older version left.
  - The code travels with the module, so that the node needs nothing but Python, and one task does it all.
  - Used by the role P(cloudha.vip.vip_agent#role), which also restarts the agent.
extends_documentation_fragment:
  - cloudha.vip.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
    details: Shows the names of the files.
  idempotent:
    support: full
options:
  path:
    description: The directory of the package, which is made if it is missing. All code in it belongs to this module.
    type: path
    required: true
"""

EXAMPLES = r"""
- name: Lay down the agent's code
  cloudha.vip.vip_agent_code:
    path: /usr/local/lib/vip-agent/vip_agent
"""

RETURN = r"""
written:
  description: The files that were new or different, below O(path).
  returned: success
  type: list
  elements: str
  sample: [agent/cli.py]
removed:
  description: The files of an older version that were removed, below O(path).
  returned: success
  type: list
  elements: str
  sample: []
"""

import os
import shutil
import tempfile

from ansible.module_utils.basic import AnsibleModule

# Imports all that the agent runs, so that Ansible sends it along; the agent imports an action only if it has one.
from ansible_collections.cloudha.vip.plugins.module_utils.agent import cli, gcp_alias_ip, gcp_route
from ansible_collections.cloudha.vip.plugins.module_utils.node.code import code_of, installed


def main() -> None:
    module = AnsibleModule({"path": {"type": "path", "required": True}}, supports_check_mode=True)
    path = module.params["path"]
    wanted, there = code_of(cli, gcp_alias_ip, gcp_route), installed(path)
    written = sorted(name for name in wanted if there.get(name) != wanted[name])
    removed = sorted(set(there) - set(wanted))
    if not module.check_mode:
        for name in written:
            target = os.path.join(path, name)
            os.makedirs(os.path.dirname(target), mode=0o755, exist_ok=True)
            handle, temporary = tempfile.mkstemp(dir=module.tmpdir)
            with os.fdopen(handle, "wb") as file:
                file.write(wanted[name])
            os.chmod(temporary, 0o644)
            module.atomic_move(temporary, target)
        for name in removed:
            os.unlink(os.path.join(path, name))
        for directory in {os.path.dirname(os.path.join(path, name)) for name in written + removed}:
            shutil.rmtree(os.path.join(directory, "__pycache__"), ignore_errors=True)
    module.exit_json(
        changed=bool(written or removed),
        written=written,
        removed=removed,
        diff={
            "before": "".join("%s\n" % name for name in sorted(there)),
            "after": "".join(
                "%s%s\n" % (name, " (changed)" if name in written and name in there else "") for name in sorted(wanted)
            ),
        },
    )


if __name__ == "__main__":
    main()

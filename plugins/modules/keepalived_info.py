#!/usr/bin/python
# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: keepalived_info
short_description: Show a configuration of keepalived as variables of the keepalived role
version_added: 1.0.0
author:
  - cloudha.vip contributors (@cloudha-vip)
description:
  - Reads C(keepalived.conf) on a node, however it was written, and returns equivalent variables of the
    P(cloudha.vip.keepalived#role) role.
  - It returns only differences from the role's defaults. Settings without a variable of their own become raw lines
    (C(extra), C(keepalived_global_extra), C(keepalived_extra_config)). RV(notes) lists settings that are lost.
  - C(advert_int) becomes C(keepalived_detection_ms), a round objective that gives the same interval again. That holds
    if the priorities of the other nodes are near this node's.
  - Understands quotes, comments, nested blocks, includes, conditions (C(@)) and parameters on one line (C($)).
    Fails on C(~SEQ), C(~LST), parameters over many lines, and C($_INSTANCE), C($_RANDOM) and C($_ENV).
extends_documentation_fragment:
  - cloudha.vip.attributes
  - cloudha.vip.attributes.info
options:
  path:
    description: The configuration.
    type: path
    default: /etc/keepalived/keepalived.conf
  config_id:
    description:
      - The value that C(@) conditions are compared with, as keepalived's own option C(--config-id).
      - By default the host name up to the first dot.
    type: str
notes:
  - The module returns passwords only to a task with C(no_log=true). Otherwise RV(notes) says that they are missing.
  - Usually only root can read the configuration; use C(become).
seealso:
  - module: cloudha.vip.keepalived_node_info
  - module: cloudha.vip.vip_info
"""

EXAMPLES = r"""
- name: Read the configuration of a node
  cloudha.vip.keepalived_info:
  become: true
  register: running

- name: Keep it as variables of the host
  ansible.builtin.copy:
    content: "{{ running.variables | to_nice_yaml }}"
    dest: "host_vars/{{ inventory_hostname }}/keepalived.yml"
    mode: "0600"
  delegate_to: localhost
"""

RETURN = r"""
exists:
  description: Whether there is a configuration.
  type: bool
  returned: success
checksum:
  description: The SHA-1 of the file itself, without included files; V(null) if there is none.
  type: str
  returned: success, and when the configuration is not understood
variables:
  description: The variables of the role; empty if there is no configuration.
  type: dict
  returned: success
  sample:
    keepalived_router_id: node1
    keepalived_instances:
      - name: web
        interface: eth0
        virtual_router_id: 66
        priority: 254
        source_address: 192.168.7.247
        peers: [192.168.7.248]
        addresses: [192.168.7.246/22]
notes:
  description: The settings that the variables lose, and includes that no file matches, one message each.
  type: list
  elements: str
  returned: success
  sample: ["vrrp_instance web: state MASTER is left out, as all nodes start as BACKUP"]
"""

import socket

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.cloudha.vip.plugins.module_utils.keepalived.reading import read


def main() -> None:
    module = AnsibleModule(
        argument_spec=dict(
            path=dict(type="path", default="/etc/keepalived/keepalived.conf"),
            config_id=dict(type="str"),
        ),
        supports_check_mode=True,
    )
    config_id = module.params["config_id"] or socket.gethostname().partition(".")[0]
    try:
        found = read(module.params["path"], config_id, secrets=module.no_log)
    except OSError as e:
        module.fail_json(msg=f"{e.filename} cannot be read: {e.strerror}; use become")
    if found.mistake:
        module.fail_json(msg=f"the configuration is not understood: {found.mistake}", checksum=found.checksum)
    module.exit_json(
        changed=False,
        exists=found.exists,
        checksum=found.checksum,
        variables=found.variables,
        notes=found.notes,
    )


if __name__ == "__main__":
    main()

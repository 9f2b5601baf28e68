#!/usr/bin/python
# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: topology_record
short_description: Record a node's topology on the node
version_added: 1.0.0
author:
  - cloudha.vip contributors (@cloudha-vip)
description:
  - The playbooks that deploy a topology write its record on its nodes, as the local fact C(cloudha_vip) of Ansible, in
    C(/etc/ansible/facts.d/cloudha_vip.fact). The playbooks C(status), C(switchover), C(drill) and C(teardown) read the
    topology's mechanism and parts there.
  - A record also names the parts of earlier deployments that were not removed.
extends_documentation_fragment:
  - cloudha.vip.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  state:
    description:
      - V(present) writes the record.
      - V(absent) removes it. It also removes the directories of local facts if this module made them and nothing
        else uses them.
      - V(read) changes nothing.
    type: str
    choices: [present, absent, read]
    default: present
  topology:
    description: The name of the topology. Required with O(state=present).
    type: str
  mechanism:
    description: The role that moves the address. Required with O(state=present).
    type: str
  parts:
    description: The roles of the topology on this node, in the order of deployment.
    type: list
    elements: str
    default: []
  standby_asks:
    description: Whether a standby can ask the address as a client would. By default as the mechanism declares.
    type: bool
seealso:
  - module: cloudha.vip.vip_info
  - plugin: cloudha.vip.topology_record
    plugin_type: filter
"""

EXAMPLES = r"""
- name: Record the node's topology
  cloudha.vip.topology_record:
    topology: onprem_active_standby
    mechanism: vrrp
    parts: [nginx, vip_agent, vrrp]
"""

RETURN = r"""
record:
  description: The record; V(null) if there is none.
  type: dict
  returned: success
  sample: {"topology": "onprem_active_standby", "mechanism": "vrrp", "parts": ["nginx", "vip_agent", "vrrp"]}
removal:
  description: The parts in the order of removal, with the mechanism first.
  type: list
  elements: str
  returned: success
  sample: ["vrrp", "vip_agent", "nginx"]
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.cloudha.vip.plugins.module_utils.node.record import Record
from ansible_collections.cloudha.vip.plugins.module_utils.topology import record as topology


def main() -> None:
    module = AnsibleModule(
        argument_spec=dict(
            state=dict(type="str", choices=["present", "absent", "read"], default="present"),
            topology=dict(type="str"),
            mechanism=dict(type="str"),
            parts=dict(type="list", elements="str", default=[]),
            standby_asks=dict(type="bool"),
        ),
        required_if=[("state", "present", ("topology", "mechanism"))],
        supports_check_mode=True,
    )
    state, fact = module.params["state"], topology.FACT
    try:
        try:
            before = topology.read(fact)
        except ValueError:
            if state != "present":
                raise
            before = None  # a deployment is what mends it
        after = before
        if state == "present":
            names = ("topology", "mechanism", "parts", "standby_asks")
            wanted = {name: module.params[name] for name in names if module.params[name] is not None}
            after = topology.merged(before, wanted)
        elif state == "absent":
            after = None
        # A run that was killed may have left less than a record.
        if (after != before or state == "absent") and not module.check_mode:
            topology.write(fact, after, Record("topology"))
        shown = after or before
        removal = topology.removal(shown) if shown else []
    except (OSError, ValueError) as e:
        module.fail_json(msg=str(e))
    module.exit_json(
        changed=after != before,
        record=after,
        removal=removal,
        diff={"before": before or {}, "after": after or {}},
    )


if __name__ == "__main__":
    main()

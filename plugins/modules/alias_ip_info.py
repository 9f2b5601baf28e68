#!/usr/bin/python
# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: alias_ip_info
short_description: Show the holders of Google Cloud alias IP ranges, the possible holders, and the next standby
version_added: 1.0.0
author:
  - cloudha.vip contributors (@cloudha-vip)
description:
  - Shows the instance that has each alias IP range. Of the possible holders it shows which ones are fit, and the
    others' reasons.
  - Shows the plan of M(cloudha.vip.alias_ip_move) for the same O(assignment).
  - RV(problems) is empty if each range has a fit instance, now and after that one fails.
extends_documentation_fragment:
  - cloudha.vip.attributes
  - cloudha.vip.attributes.info
  - cloudha.vip.gcp
  - cloudha.vip.gcp.info
options:
  project:
    description:
      - The project of the instances, by its id. With a shared VPC this is the service project.
      - If it is not set, the environment variable E(GCP_PROJECT) is used.
    type: str
    required: true
  ranges:
    description:
      - The alias ranges, each an IPv4 address or a network in CIDR notation.
      - If neither this nor O(assignment) is given, RV(held) lists all ranges of all instances.
    type: list
    elements: str
    aliases: [addresses]
  range_name:
    description:
      - The secondary range of the subnet that the O(ranges) are in; empty for the primary range.
      - If omitted, the module finds it.
    type: str
  instances:
    description:
      - The instances that may hold the O(ranges), by path or URL, the preferred one first.
      - If omitted, all interfaces of the range's network; the result then lists only the fit ones.
    type: list
    elements: str
    default: []
  interface:
    description: The interface of the O(instances).
    type: str
    default: nic0
  assignment:
    description: The possible holders of each range, as in M(cloudha.vip.alias_ip_move).
    type: list
    elements: dict
    suboptions:
      ranges:
        description: The alias ranges, as in O(ranges).
        type: list
        elements: str
        required: true
      range_name:
        description: The secondary range that they are in.
        type: str
      instances:
        description: The instances that may hold them, by path or URL, the preferred one first.
        type: list
        elements: str
        required: true
      interface:
        description: The interface of these instances.
        type: str
        default: nic0
  avoid:
    description: Instances, by name or path, that must hold none of the ranges, although they seem fit.
    type: list
    elements: str
    default: []
  preflight:
    description:
      - Whether to check the requirements of a move, such as a standby, permissions and, with O(vrrp), the firewall.
      - V(false) only reads. RV(problems) then lists only the obstacles to the ranges' current places.
    type: bool
    default: true
  vrrp:
    description: Whether to check that the firewall lets VRRP (protocol 112) through between the instances.
    type: bool
    default: false
notes:
  - An instance is fit if it is RUNNING, has the interface, and the range is in the interface's subnet. The API does not
    know whether its guest works.
seealso:
  - module: cloudha.vip.alias_ip_move
"""

EXAMPLES = r"""
- name: Show the holder and the next standby of an address
  cloudha.vip.alias_ip_info:
    project: my-project
    auth_kind: application
    ranges: [10.100.9.5]
    instances:
      - zones/us-central1-a/instances/node1
      - zones/us-central1-b/instances/node2
  register: aliases

- name: Require that node1 has it, and that there is a standby
  ansible.builtin.assert:
    that:
      - aliases.problems == []
      - aliases.ranges[0].holder == 'projects/my-project/zones/us-central1-a/instances/node1'
      - aliases.ranges[0].standby is not none

- name: List all alias ranges of the project
  cloudha.vip.alias_ip_info:
    project: my-project
"""

RETURN = r"""
ranges:
  description: Each of the given ranges.
  type: list
  elements: dict
  returned: success
  contains:
    address:
      description: The range, in CIDR notation.
      type: str
      sample: 10.100.9.5/32
    holder:
      description: The instance that has it; V(null) if no visible one has it.
      type: str
      sample: projects/my-project/zones/us-central1-a/instances/node1
    interface:
      description: The interface that has it.
      type: str
      sample: nic0
    target:
      description: The instance that should have it now. It differs from RV(ranges[].holder) if the range must move.
      type: str
      sample: projects/my-project/zones/us-central1-a/instances/node1
    standby:
      description:
        - The instance that would get it if the holder fails; V(null) if none is fit.
        - If no instance has it, the one that would get it if RV(ranges[].target) fails. It is never the target itself.
      type: str
      sample: projects/my-project/zones/us-central1-b/instances/node2
    candidates:
      description: The possible holders, in the order of preference.
      type: list
      elements: dict
      contains:
        instance:
          description: The instance.
          type: str
        interface:
          description: Its interface.
          type: str
        fit:
          description: Whether it could hold the range now.
          type: bool
        reason:
          description: The reason why it could not.
          type: str
held:
  description: All alias ranges of all visible instances of the project.
  type: list
  elements: dict
  returned: success
  contains:
    address:
      description: The range.
      type: str
      sample: 10.100.9.5/32
    range_name:
      description: The secondary range of the subnet that it is in; empty for the primary one.
      type: str
    instance:
      description: The instance that has it.
      type: str
    interface:
      description: The interface that has it.
      type: str
silent_zones:
  description: Zones that did not answer. The ranges of their instances are unknown.
  type: list
  elements: str
  returned: success
  sample: []
problems:
  description: The obstacles to the ranges' right places, each with its remedy.
  type: list
  elements: str
  returned: success
  sample: []
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.cloudha.vip.plugins.module_utils.ansible import alias_ip, gcp
from ansible_collections.cloudha.vip.plugins.module_utils.ansible.run import failures, read_with_retries


def main() -> None:
    module = AnsibleModule(
        argument_spec=dict(
            gcp.SPEC,
            ranges=dict(type="list", elements="str", aliases=["addresses"]),
            range_name=dict(type="str"),
            instances=dict(type="list", elements="str", default=[]),
            interface=dict(type="str", default="nic0"),
            assignment=alias_ip.ASSIGNMENT,
            avoid=dict(type="list", elements="str", default=[]),
            preflight=dict(type="bool", default=True),
            vrrp=dict(type="bool", default=False),
            timeout=dict(type="float", default=60),
        ),
        mutually_exclusive=[("ranges", "assignment")],
        supports_check_mode=True,
    )
    with failures(module) as task:
        client = gcp.compute(module)
        result = read_with_retries(lambda: alias_ip.info(module.params, client), task.left)
        module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()

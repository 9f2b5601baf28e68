#!/usr/bin/python
# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: cloudpods_instancegroup_info
short_description: Show the contents and the faults of a Cloudpods anti-affinity group
version_added: 1.0.0
author:
  - cloudha.vip contributors (@cloudha-vip)
description:
  - Shows the members, the VIPs and the EIPs of an anti-affinity group (instance group).
  - The service's own summary of a group may name an EIP that could not be bound. This module shows the VIP's real EIP,
    and the EIPs that are left over.
extends_documentation_fragment:
  - cloudha.vip.attributes
  - cloudha.vip.attributes.info
  - cloudha.vip.cloudpods
options:
  group:
    description: The group, by name or id.
    type: str
    required: true
    aliases: [name]
  timeout:
    description: The seconds for which to retry temporary failures, such as rate limits and failures of the service.
    type: float
    default: 60
seealso:
  - module: cloudha.vip.cloudpods_instancegroup_vip
"""

EXAMPLES = r"""
- name: Show the group
  cloudha.vip.cloudpods_instancegroup_info:
    group: nginx
  register: nginx

- name: Require one VIP with an EIP, and no problem
  ansible.builtin.assert:
    that:
      - nginx.exists
      - nginx.problems == []
      - nginx.vips | map(attribute='eip_addr') | list == ['203.0.113.13']
"""

RETURN = r"""
exists:
  description: Whether there is such a group.
  type: bool
  returned: success
group:
  description: The group itself; empty if there is none.
  type: dict
  returned: success
  contains:
    id:
      description: Its id.
      type: str
    name:
      description: Its name.
      type: str
      sample: nginx
    status:
      description: Its status. A healthy group has V(init).
      type: str
      sample: init
    enabled:
      description: Whether it is enabled.
      type: bool
    granularity:
      description: The largest number of members on one host.
      type: int
    force_dispersion:
      description: Whether the service refuses to start a guest that would break that.
      type: bool
    tenant:
      description: The name of its project.
      type: str
    tenant_id:
      description: The id of its project.
      type: str
members:
  description: The guests in it.
  type: list
  elements: dict
  returned: success
  contains:
    id:
      description: Its id.
      type: str
    name:
      description: Its name.
      type: str
      sample: nginx-master
    interfaces:
      description: Its network interfaces.
      type: list
      elements: dict
      contains:
        ip_addr:
          description: The address.
          type: str
          sample: 192.168.7.247
        network:
          description: The name of the network.
          type: str
        network_id:
          description: The id of the network.
          type: str
vips:
  description: Its VIPs, the oldest first.
  type: list
  elements: dict
  returned: success
  contains:
    ip_addr:
      description: The address.
      type: str
      sample: 192.168.7.246
    network:
      description: The name of its network.
      type: str
    network_id:
      description: The id of its network.
      type: str
    eip_id:
      description: The id of its EIP; V(null) if it has none.
      type: str
    eip_addr:
      description: The address of its EIP; V(null) if it has none.
      type: str
      sample: 203.0.113.13
eips:
  description: The EIPs that claim to be the group's.
  type: list
  elements: dict
  returned: success
  contains:
    id:
      description: Its id.
      type: str
    name:
      description: Its name.
      type: str
      sample: eip-for-grp-nginx
    ip_addr:
      description: Its address.
      type: str
      sample: 203.0.113.13
    status:
      description: Its status.
      type: str
      sample: ready
    bandwidth:
      description: Its bandwidth in Mbit/s.
      type: int
    bgp_type:
      description: The type of its line.
      type: str
    bound:
      description: Whether it leads to a VIP of the group.
      type: bool
problems:
  description: The faults of the group, one message each.
  type: list
  elements: str
  returned: success
  sample: []
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.cloudha.vip.plugins.module_utils.ansible import cloudpods, instancegroup
from ansible_collections.cloudha.vip.plugins.module_utils.ansible.run import failures, read_with_retries


def main() -> None:
    module = AnsibleModule(
        argument_spec=dict(
            cloudpods.SPEC,
            group=dict(type="str", required=True, aliases=["name"]),
            timeout=dict(type="float", default=60),
        ),
        supports_check_mode=True,
    )
    with failures(module) as task:
        client = cloudpods.client(module)
        result = read_with_retries(lambda: instancegroup.info(client, module.params["group"]), task.left)
        module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()

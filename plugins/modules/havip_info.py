#!/usr/bin/python
# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: havip_info
short_description: Show a cloud's highly available virtual IPs and their members
version_added: 1.0.0
author:
  - cloudha.vip contributors (@cloudha-vip)
description:
  - Shows the virtual IPs of a network of OpenStack or Huawei Cloud, or of a region of UCloudStack.
  - RV(problems) is empty if each of them has at least two members that can hold it.
  - In OpenStack, a virtual IP is a port without a device.
extends_documentation_fragment:
  - cloudha.vip.attributes
  - cloudha.vip.attributes.info
  - cloudha.vip.havip
options:
  timeout:
    description: The seconds for which to retry temporary failures, such as rate limits and failures of the API.
    type: float
    default: 60
seealso:
  - module: cloudha.vip.havip_bind
"""

EXAMPLES = r"""
- name: List the virtual IPs of a network
  cloudha.vip.havip_info:
    provider: openstack
    cloud: production
    network: backend
  register: found

- name: Require that each can be taken over
  ansible.builtin.assert:
    that: found.problems == []

- name: Show one virtual IP of UCloudStack
  cloudha.vip.havip_info:
    provider: ucloudstack
    endpoint: https://console.example.com/api
    region_name: cn
    public_key: "{{ vault_public_key }}"
    private_key: "{{ vault_private_key }}"
    name: web
"""

RETURN = r"""
vips:
  description: Each virtual IP that matches the options.
  type: list
  elements: dict
  returned: success
  contains:
    id:
      description: Its id.
      type: str
    address:
      description: Its address.
      type: str
      sample: 10.0.0.100
    name:
      description: Its name.
      type: str
    remark:
      description: Its remark.
      type: str
    network:
      description: The id of the network, or of the VPC.
      type: str
    subnet:
      description: The id of the subnet.
      type: str
    vip_type:
      description: V(internal), or V(external) for one of UCloudStack's external network.
      type: str
    status:
      description: V(ready), V(busy) while the cloud works on it, or V(failed).
      type: str
    members:
      description: Its members.
      type: list
      elements: dict
      contains:
        id:
          description: The id of the port, the machine or the elastic NIC.
          type: str
        name:
          description: Its name.
          type: str
        address:
          description: Its address. Empty if the cloud does not show it.
          type: str
    external:
      description: The attached external addresses.
      type: list
      elements: str
problems:
  description: The obstacles to a takeover, each with its remedy.
  type: list
  elements: str
  returned: success
  sample: []
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.cloudha.vip.plugins.module_utils.ansible import havip
from ansible_collections.cloudha.vip.plugins.module_utils.ansible.run import failures, read_with_retries


def main() -> None:
    module = AnsibleModule(argument_spec=havip.INFO_SPEC, supports_check_mode=True)
    with failures(module) as task:
        provider = havip.check_options(module)
        client = provider.connect(module)
        result = read_with_retries(lambda: havip.info(module.params, provider, client), task.left)
        module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()

#!/usr/bin/python
# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: havip_bind
short_description: Create a highly available virtual IP of a cloud, and bind it to the servers that may hold it
version_added: 1.0.0
author:
  - cloudha.vip contributors (@cloudha-vip)
description:
  - Creates, finds, renames and deletes a virtual IP of OpenStack, Huawei Cloud or UCloudStack. It binds the virtual IP
    to its members, and attaches a floating IP (elastic IP) to it.
  - The members decide by VRRP which of them holds the address. The cloud lets each of them use it, and
    cannot tell which one does.
  - The module adds its bindings to the existing ones. It removes other members only if O(exclusive) says so. A member's
    settings for other addresses always stay, even if others write at the same time.
  - The module unbinds all members before it deletes a virtual IP. Otherwise they would answer for an address that the
    cloud may give to another server.
  - The module makes every possible check before any change. It may be killed at any point. The next run
    continues from any state.
extends_documentation_fragment:
  - cloudha.vip.attributes
  - cloudha.vip.havip
attributes:
  check_mode:
    support: full
    details: Reads, checks and plans, and sends no request that changes anything.
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  state:
    description:
      - V(present) ensures that the virtual IP exists, with the members bound.
      - V(absent) detaches its external address, unbinds all members, and deletes it. O(members) is not needed.
      - V(absent) with an O(address) that has no port in OpenStack any more unbinds the ports that still allow it.
      - It also unbinds a port that allows the address with a foreign hardware address. The cloud may give the address
        to another server next.
    type: str
    choices: [present, absent]
    default: present
  vip_id:
    description:
      - The virtual IP, by its id. For OpenStack and Huawei Cloud that of its port.
      - The module finds the virtual IP by this, else by O(address), else by O(name). If its name differs from O(name),
        the module renames it.
    type: str
  address:
    description:
      - The address of the virtual IP. If it is omitted, the cloud chooses one for a new virtual IP.
      - The address of an existing virtual IP cannot change.
    type: str
    aliases: [ip_address]
  name:
    description:
      - The name of the virtual IP. UCloudStack needs one of up to 128 characters to create it, and of up to 30 to
        rename it.
    type: str
  remark:
    description: The remark of the virtual IP. Only with O(provider=openstack) and O(provider=ucloudstack).
    type: str
    aliases: [description]
  members:
    description:
      - The possible holders of the address. Name each by its address, or by the id or name of a server or of its port
        (elastic NIC).
      - They must be in the subnet of the virtual IP; for an external one of UCloudStack, in its VPC. There they all
        are either machines or elastic NICs.
      - If it is omitted, the module does not change the members.
    type: list
    elements: str
  exclusive:
    description:
      - Whether O(members) are all members. The module then unbinds others; with an empty list, all.
      - Whether O(external) replaces another external address.
    type: bool
    default: false
  restore_source_check:
    description:
      - Whether the module switches the source/destination check of an unbound member on again, unless another virtual
        IP needs it to be off. The module cannot see other reasons to keep it off.
      - Only with O(provider=huaweicloud).
    type: bool
  source_check_off:
    description:
      - Servers or ports, given like O(members), whose source/destination check the module switches off without binding
        them. The real servers behind LVS directors answer from the virtual IP, and need it off.
      - With O(state=absent) and O(restore_source_check) the module switches it on again.
      - Only with O(provider=huaweicloud).
    type: list
    elements: str
  external:
    description:
      - The floating IP (elastic IP) to attach, by id or address; an empty string to detach the attached one.
      - The module does not take one that is attached elsewhere.
      - Only with O(provider=openstack) and O(provider=huaweicloud).
    type: str
  max_members:
    description:
      - The largest number of members of a virtual IP.
      - By default 10 for Huawei Cloud, 3 for UCloudStack, and any number for OpenStack.
    type: int
  max_vips:
    description:
      - The largest number of virtual IPs of a member.
      - By default 8 for Huawei Cloud, 5 for UCloudStack, and any number for OpenStack, which has a limit of its own.
    type: int
  enforce_limits:
    description:
      - Whether the module refuses more than O(max_members) and O(max_vips). Otherwise it only warns.
      - By default V(false) for Huawei Cloud, which only advises against more, and else V(true).
    type: bool
  vip_type:
    description:
      - The type of a new virtual IP of UCloudStack. If it is omitted, V(internal).
      - The module fails if the virtual IP exists with the other type.
      - An external one is on a O(segment), and in no O(subnet).
    type: str
    choices: [internal, external]
  segment:
    description: The id of the segment of a new external virtual IP of UCloudStack.
    type: str
  bandwidth:
    description: The bandwidth of a new external virtual IP of UCloudStack, in Mbps.
    type: int
  charge_type:
    description: The charge type of a new external virtual IP of UCloudStack.
    type: str
    choices: [Dynamic, Month, Year]
  quantity:
    description: The months or years to pay for a new external virtual IP of UCloudStack.
    type: int
  settle:
    description:
      - If the API does not compare revisions (Huawei Cloud, UCloudStack), the module verifies a change. It stops when
        the members have stayed unchanged for so many seconds.
      - It must be longer than any other writer needs between reading and writing the list.
    type: float
    default: 1
  timeout:
    description:
      - Give up so many seconds after the task began. The time includes the login and all reading.
      - Until then, the module retries temporary failures (rate limits, failures of the API, lost connections, changes
        by others), with growing pauses.
    type: float
    default: 60
notes:
  - Runs on a host that reaches the API, usually C(localhost).
  - The security groups of the members must let VRRP through (protocol 112). The module does not check them.
  - The module neither counts nor touches networks in CIDR notation that members allow, such as 0.0.0.0/0.
seealso:
  - module: cloudha.vip.havip_info
"""

EXAMPLES = r"""
- name: Bind a virtual IP of OpenStack to two servers, with a floating IP
  cloudha.vip.havip_bind:
    provider: openstack
    cloud: production
    network: backend
    address: 10.0.0.100
    name: web
    members: [web1, web2]
    external: 203.0.113.7
  register: vip

- name: Bind exactly two servers of Huawei Cloud, and restore the source/destination check of others
  cloudha.vip.havip_bind:
    provider: huaweicloud
    region_name: ap-southeast-1
    user_name: failover
    password: "{{ vault_huawei_password }}"
    domain_name: my-account
    subnet: subnet-web
    name: web
    members: [10.0.0.11, 10.0.0.12]
    exclusive: true
    restore_source_check: true

- name: Bind two LVS directors of Huawei Cloud, and let two real servers answer for them
  cloudha.vip.havip_bind:
    provider: huaweicloud
    region_name: ap-southeast-1
    subnet: subnet-web
    address: 10.0.0.100
    members: [director1, director2]
    source_check_off: [web1, web2]

- name: Create an external virtual IP of UCloudStack
  cloudha.vip.havip_bind:
    provider: ucloudstack
    endpoint: https://console.example.com/api
    region_name: cn
    public_key: "{{ vault_public_key }}"
    private_key: "{{ vault_private_key }}"
    company_id: 200000123
    network: vpc-abcdef
    vip_type: external
    segment: segment-abcdef
    bandwidth: 10
    charge_type: Month
    name: web
    members: [vm-1, vm-2]

- name: Rename a virtual IP
  cloudha.vip.havip_bind:
    provider: openstack
    cloud: production
    network: backend
    address: 10.0.0.100
    name: web-old

- name: Delete a virtual IP
  cloudha.vip.havip_bind:
    provider: openstack
    cloud: production
    network: backend
    address: 10.0.0.100
    state: absent
"""

RETURN = r"""
address:
  description: The address of the virtual IP. In check mode V(null) if the cloud would choose it.
  type: str
  returned: success, and failure after a first look
  sample: 10.0.0.100
vip_id:
  description: Its id; V(null) if it neither existed nor exists.
  type: str
  returned: success, and failure after a first look
  sample: 0b7d1d0e-4c3e-4f0e-8f0e-6f5c8c2c6a11
members:
  description: The current members, each with its address in parentheses.
  type: list
  elements: str
  returned: success, and failure after a first look
  sample: [web1 (10.0.0.11), web2 (10.0.0.12)]
previous_members:
  description: The members before the run.
  type: list
  elements: str
  returned: success, and failure after a first look
  sample: [web1 (10.0.0.11)]
external:
  description: The external addresses that are attached now.
  type: list
  elements: str
  returned: success, and failure after a first look
  sample: [203.0.113.7]
locking:
  description:
    - The way in which simultaneous changes by others are kept. V(revision) is the API's own comparison.
    - V(verify) is reading back until the members have not changed for O(settle) seconds.
  type: str
  returned: success, and failure after a first look
  sample: revision
steps:
  description: Each change, in order. In check mode the planned ones.
  type: list
  elements: dict
  returned: always
  contains:
    name:
      description: The kind of change, such as V(bind member).
      type: str
    resource:
      description: The changed object.
      type: str
    ms:
      description: The time that it took. Not in check mode.
      type: float
    attempts:
      description: The number of attempts. Not in check mode.
      type: int
elapsed_ms:
  description: The time of the whole run, with reading and checking.
  type: float
  returned: always
  sample: 421.9
problems:
  description: The reasons of a refusal, one message each.
  type: list
  elements: str
  returned: when the module refused to change anything
error:
  description: The API's error.
  type: dict
  returned: when a request failed
  contains:
    resource:
      description: The object of the request.
      type: str
    status:
      description: The HTTP status; 0 if there was no answer.
      type: int
    code:
      description: The API's own code.
      type: str
      sample: IpAddressInUse
    message:
      description: The whole message.
      type: str
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.cloudha.vip.plugins.module_utils.ansible import havip
from ansible_collections.cloudha.vip.plugins.module_utils.ansible.run import carry_out, failures


def main() -> None:
    module = AnsibleModule(argument_spec=havip.BIND_SPEC, supports_check_mode=True)
    with failures(module) as task:
        provider = havip.check_options(module)
        goal, client = havip.goal(module.params), provider.connect(module)
        module.exit_json(**carry_out(module, provider.procedure, client, goal, task, describe=havip.describe))


if __name__ == "__main__":
    main()

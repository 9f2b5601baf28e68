#!/usr/bin/python
# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: havip_bind
short_description: Create a highly available virtual IP of a cloud, and bind it to the servers that may hold it
version_added: 0.5.0
author:
  - cloudha.vip contributors (@cloudha-vip)
description:
  - Creates, finds, renames and deletes a virtual IP of OpenStack, Huawei Cloud or UCloudStack, binds it to its members,
    and attaches a floating IP (elastic IP) to it.
  - Which member holds the address is decided between the members, by VRRP. The cloud lets each of them have it, and
    cannot tell which one does.
  - A binding is added to those that are there. Nobody else's is removed, unless O(exclusive) says so, and what a member
    has for other addresses stays in any case, even if others write at the same time.
  - All members are unbound before a virtual IP is deleted. Otherwise they would answer to an address that the cloud may
    give to somebody else.
  - Everything that can be checked is checked before anything is changed. It may be killed at any point. The next run
    goes on from whatever state it finds.
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
      - V(present) makes the virtual IP be there, with the members bound.
      - V(absent) detaches its external address, unbinds all members, and deletes it. Members need not be given.
      - V(absent) with an O(address) that no port of OpenStack has any more unbinds those that still allow it.
      - Unbound is also a port that allows the address with a hardware address other than its own, as the cloud may give
        the address to somebody else next.
    type: str
    choices: [present, absent]
    default: present
  vip_id:
    description:
      - The virtual IP, by its id. For OpenStack and Huawei Cloud that of its port.
      - The virtual IP is found by this, else by O(address), else by O(name). If the one that is found has another name,
        it is renamed.
    type: str
  address:
    description:
      - The address of the virtual IP. If it is omitted, the cloud chooses one for a new virtual IP.
      - It cannot be changed.
    type: str
    aliases: [ip_address]
  name:
    description:
      - The name of the virtual IP. UCloudStack needs one to create it, of up to 128 characters, and of up to 30 to
        rename it.
    type: str
  remark:
    description: What is said about it. Only with O(provider=openstack) and O(provider=ucloudstack).
    type: str
    aliases: [description]
  members:
    description:
      - Who may hold the address, each by the id or name of a server or of its port (elastic NIC), or by its address.
      - They have to be in the subnet of the virtual IP; for an external one of UCloudStack, in its VPC. There they all
        are either machines or elastic NICs.
      - If it is omitted, the members stay as they are.
    type: list
    elements: str
  exclusive:
    description:
      - Whether O(members) are all members, so that others are unbound; with an empty list, all.
      - Whether another external address is replaced by O(external).
    type: bool
    default: false
  restore_source_check:
    description:
      - Whether a member that is unbound gets its source/destination check back, unless another virtual IP needs it to
        be off. It is not known whether something else needs it to be off.
      - Only with O(provider=huaweicloud).
    type: bool
  source_check_off:
    description:
      - Servers or ports, given like O(members), whose source/destination check is switched off although they are not
        bound. The real servers behind LVS directors answer from the virtual IP, and need it off.
      - With O(state=absent) and O(restore_source_check) they get it back.
      - Only with O(provider=huaweicloud).
    type: list
    elements: str
  external:
    description:
      - The floating IP (elastic IP) to attach, by id or address; an empty string to detach the one that is attached.
      - One that is attached elsewhere is not taken from there.
      - Only with O(provider=openstack) and O(provider=huaweicloud).
    type: str
  max_members:
    description:
      - How many members a virtual IP may have.
      - By default 10 for Huawei Cloud, 3 for UCloudStack, and any number for OpenStack.
    type: int
  max_vips:
    description:
      - How many virtual IPs a member may have.
      - By default 8 for Huawei Cloud, 5 for UCloudStack, and any number for OpenStack, which has a limit of its own.
    type: int
  enforce_limits:
    description:
      - Whether more than O(max_members) and O(max_vips) is refused. Otherwise it is a warning.
      - By default V(false) for Huawei Cloud, which only advises against more, and else V(true).
    type: bool
  vip_type:
    description:
      - The type of a new virtual IP of UCloudStack. If it is omitted, V(internal).
      - Fails if there is one of the other type.
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
    description: How a new external virtual IP of UCloudStack is paid for.
    type: str
    choices: [Dynamic, Month, Year]
  quantity:
    description: For how many months or years a new external virtual IP of UCloudStack is paid.
    type: int
  settle:
    description:
      - Where the API does not compare revisions (Huawei Cloud, UCloudStack), a change is verified until nobody has
        changed the members for so many seconds.
      - It has to be longer than any other writer needs between reading and writing the list.
    type: float
    default: 1
  timeout:
    description:
      - Give up so many seconds after the task began. The login counts, and so does all reading.
      - Until then, what may pass (rate limits, failures of the API, lost connections, changes by others) is tried
        again, with growing pauses.
    type: float
    default: 60
notes:
  - Runs where the API can be reached, usually on C(localhost).
  - The security groups of the members have to let VRRP through (protocol 112). The module does not look at them.
  - What members allow with a network in CIDR notation, such as 0.0.0.0/0, is neither counted nor touched.
seealso:
  - module: cloudha.vip.havip_info
"""

EXAMPLES = r"""
- name: OpenStack, a virtual IP of two servers, with a floating IP
  cloudha.vip.havip_bind:
    provider: openstack
    cloud: production
    network: backend
    address: 10.0.0.100
    name: web
    members: [web1, web2]
    external: 203.0.113.7
  register: vip

- name: Huawei Cloud, exactly these two; whoever else was bound gets the source/destination check back
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

- name: Huawei Cloud, two LVS directors, and two real servers which answer for them
  cloudha.vip.havip_bind:
    provider: huaweicloud
    region_name: ap-southeast-1
    subnet: subnet-web
    address: 10.0.0.100
    members: [director1, director2]
    source_check_off: [web1, web2]

- name: UCloudStack, an external one
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

- name: Rename it
  cloudha.vip.havip_bind:
    provider: openstack
    cloud: production
    network: backend
    address: 10.0.0.100
    name: web-old

- name: Delete it
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
  description: Its id; V(null) if there was none, and is none.
  type: str
  returned: success, and failure after a first look
  sample: 0b7d1d0e-4c3e-4f0e-8f0e-6f5c8c2c6a11
members:
  description: Who is bound to it now, each with its address in parentheses.
  type: list
  elements: str
  returned: success, and failure after a first look
  sample: [web1 (10.0.0.11), web2 (10.0.0.12)]
previous_members:
  description: Who was bound to it before.
  type: list
  elements: str
  returned: success, and failure after a first look
  sample: [web1 (10.0.0.11)]
external:
  description: The external addresses that are attached to it now.
  type: list
  elements: str
  returned: success, and failure after a first look
  sample: [203.0.113.7]
locking:
  description:
    - How changes by others at the same time are kept. V(revision) is the API's own comparison.
    - V(verify) is reading back until the members have stayed as they are (O(settle)).
  type: str
  returned: success, and failure after a first look
  sample: revision
steps:
  description: Each change, in order. In check mode those that would be made.
  type: list
  elements: dict
  returned: always
  contains:
    name:
      description: What was done, such as V(bind member).
      type: str
    resource:
      description: What it was done to.
      type: str
    ms:
      description: How long it took. Not in check mode.
      type: float
    attempts:
      description: How often it was tried. Not in check mode.
      type: int
elapsed_ms:
  description: How long all took, with reading and checking.
  type: float
  returned: always
  sample: 421.9
problems:
  description: What was refused, one message each.
  type: list
  elements: str
  returned: when the module refused to change anything
error:
  description: What the API said.
  type: dict
  returned: when a request failed
  contains:
    resource:
      description: What the request was about.
      type: str
    status:
      description: The HTTP status; 0 if there was no answer.
      type: int
    code:
      description: The API's own word for it.
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

#!/usr/bin/python
# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: cloudpods_instancegroup_vip
short_description: Give a Cloudpods anti-affinity group its members, its virtual IP and its EIP
version_added: 1.0.0
author:
  - cloudha.vip contributors (@cloudha-vip)
description:
  - Sets up an anti-affinity group (instance group) of Cloudpods. It gives the group guests as members and one virtual
    IP (VIP) that they share. It also gives it one EIP, which leads to the VIP from outside the VPC. It also removes
    them.
  - keepalived or the like in the guests decides which member has the VIP. The group makes the network let each
    of them use it.
  - Does the work of C(climc instancegroup-attachnetwork), C(instancegroup-detachnetwork), C(instancegroup-create-eip),
    C(instancegroup-associate-eip) and C(instancegroup-dissociate-eip), in the order that the service requires.
  - The module makes every possible check before the first change. The service itself gives a group several VIPs, and
    takes other addresses than the given one. It cuts long names, and accepts an EIP that it cannot bind. This module
    does not.
  - The module may be killed at any point. The next run continues from any state.
extends_documentation_fragment:
  - cloudha.vip.attributes
  - cloudha.vip.cloudpods
attributes:
  check_mode:
    support: full
    details: Reads, checks and plans, and sends no request that changes anything.
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  group:
    description:
      - The group, by name or id.
      - By name only a group of the login's project; by id any that the user may change.
      - A name has at most 128 characters, none of C(/), C(\) and C(;), no emoji, and no blank at its ends. A name
        exists once in all projects together, whatever its case. A name that looks like an id (a UUID) counts as one.
    type: str
    required: true
    aliases: [name]
  state:
    description:
      - V(present) creates the group if there is none of this name.
      - V(absent) dissociates the EIP of the group, unbinds its members, detaches its VIPs and deletes it. Of the
        options for parts, only O(eip) may be given with it, for O(eip.release).
    type: str
    choices: [present, absent]
    default: present
  granularity:
    description:
      - The largest number of members on one host.
      - If omitted, an existing group keeps its own, and a new one gets V(1).
    type: int
  force_dispersion:
    description:
      - Whether the service refuses to start a guest that would break O(granularity).
      - If omitted, an existing group keeps its own, and a new one gets V(true).
    type: bool
  members:
    description:
      - Guests, by name or id. They become members. Others stay, unless O(exclusive=true).
      - If the group has or gets a VIP, each has exactly one network interface, all on one network.
    type: list
    elements: str
  members_state:
    description: With V(absent), the module unbinds those of O(members) that are members.
    type: str
    choices: [present, absent]
    default: present
  vip:
    description: The VIP. If omitted, the module does not change it.
    type: dict
    suboptions:
      state:
        description:
          - V(present) gives the group this one VIP.
          - V(absent) detaches it, and without O(vip.ip_addr) any VIP of the group. The service does so only while each
            member has one network interface, all on one network.
        type: str
        choices: [present, absent]
        default: present
      ip_addr:
        description: The IPv4 address. If omitted, any VIP of the group is good, or the service chooses one.
        type: str
      network_id:
        description:
          - The network (IP subnet) of the VIP, by name or id.
          - Required for a group without members. Otherwise it is the network of the members.
        type: str
      alloc_dir:
        description:
          - The end of the network from which the service takes an address.
          - A network's own C(alloc_policy) takes precedence.
        type: str
        choices: [stepdown, stepup, random, none]
      reserved:
        description: Whether O(vip.ip_addr) may be a reserved address. That uses the reservation up.
        type: bool
        default: false
      require_designated_ip:
        description:
          - Whether it must be O(vip.ip_addr) and no other address.
          - With V(false) it is a proposal. The service takes another address if it is in use, and any VIP of the
            group is good.
        type: bool
        default: true
  eip:
    description: The EIP of the VIP. If omitted, the module does not change it.
    type: dict
    suboptions:
      state:
        description:
          - V(present) gives the VIP an EIP. Its VPC must have the C(external_access_mode) V(eip) or
            V(eip-distgw).
          - V(absent) dissociates it. The EIP is kept, unless O(eip.release=true) or it was created with
            O(eip.auto_dellocate=true).
        type: str
        choices: [present, absent]
        default: present
      eip_id:
        description:
          - An existing EIP, by name or id. The module associates it. It must not be associated with another object.
          - If omitted, the module creates an EIP, unless the group has one.
        type: str
      bandwidth:
        description: The bandwidth of a new EIP, in Mbit/s.
        type: int
      bgp_type:
        description: The type of the line, exactly as in the network of the EIP.
        type: str
      charge_type:
        description:
          - The charge type of a new EIP. Default is V(bandwidth).
          - The module refuses V(traffic), as the service does for groups.
        type: str
        choices: [bandwidth, traffic]
      auto_dellocate:
        description:
          - Whether a new EIP is released as soon as anybody dissociates it.
          - Such an EIP cannot be moved to another VIP.
        type: bool
        default: false
      release:
        description:
          - Whether the module releases an EIP that it dissociates, and does not bind again.
          - With O(eip.state=absent) and O(eip.eip_id) also if it is dissociated already.
        type: bool
        default: false
  exclusive:
    description:
      - Whether the given O(members), O(vip) and O(eip) are all that the group may have. The module then unbinds other
        members, detaches other VIPs and dissociates another EIP.
      - Otherwise another VIP or EIP makes the module fail, and change nothing.
    type: bool
    default: false
  timeout:
    description:
      - Give up so many seconds after the task began. The task waits until an EIP is created and bound.
      - Until then, the module retries temporary failures (rate limits, failures of the service, lost connections), with
        growing pauses.
    type: float
    default: 120
notes:
  - Runs on a host that reaches the services, usually C(localhost).
  - The module never takes an address from another group, guest or load balancer. So there is nothing to compare before
    a move, and no option for it.
  - A group whose EIP could not be allocated keeps the status V(associate_eip). If no EIP is on its way for three
    seconds, the module assumes this case, and continues.
  - Two runs that each create an EIP for a group at the same moment may both succeed. One of the EIPs is then left over,
    and the run says so.
seealso:
  - module: cloudha.vip.cloudpods_instancegroup_info
"""

EXAMPLES = r"""
- name: Let two nginx servers share 192.168.7.246
  cloudha.vip.cloudpods_instancegroup_vip:
    group: nginx
    members: [nginx-master, nginx-slave]
    vip:
      ip_addr: 192.168.7.246

- name: Add a new EIP of 30 Mbit/s
  cloudha.vip.cloudpods_instancegroup_vip:
    auth_url: https://cloudpods.example:30500/v3
    username: operator
    password: "{{ vault_password }}"
    domain_name: Default
    project_name: shop
    group: nginx
    granularity: 1
    members: [nginx-master, nginx-slave]
    vip:
      ip_addr: 192.168.7.246
    eip:
      bandwidth: 30
      bgp_type: BGP
  register: group

- name: Show both addresses
  ansible.builtin.debug:
    msg: "{{ group.address }} inside, {{ group.eip }} outside"

- name: Bind an existing EIP
  cloudha.vip.cloudpods_instancegroup_vip:
    group: nginx
    eip:
      eip_id: shop-eip

- name: Make these the only members
  cloudha.vip.cloudpods_instancegroup_vip:
    group: nginx
    members: [nginx-master, nginx-slave2]
    exclusive: true

- name: Remove the EIP and the VIP, and release the EIP
  cloudha.vip.cloudpods_instancegroup_vip:
    group: nginx
    vip:
      state: absent
    eip:
      state: absent
      release: true

- name: Delete the group and keep its EIP
  cloudha.vip.cloudpods_instancegroup_vip:
    group: nginx
    state: absent
"""

RETURN = r"""
address:
  description: The VIP; V(null) if there is none, or in check mode if the service would choose it.
  type: str
  returned: success, and failure after a first look
  sample: 192.168.7.246
eip:
  description: The address of the EIP; V(null) if there is none, or in check mode if it would be created.
  type: str
  returned: success, and failure after a first look
  sample: 203.0.113.13
members:
  description: The names of the members.
  type: list
  elements: str
  returned: success, and failure after a first look
  sample: [nginx-master, nginx-slave]
holder:
  description: The group, if it has a VIP; V(null) if not.
  type: str
  returned: success, and failure after a first look
  sample: nginx
previous_holder:
  description: The group, if it had this VIP before; V(null) if not.
  type: str
  returned: success, and failure after a first look
steps:
  description: Each request that changed something. In check mode the planned ones, without times.
  type: list
  elements: dict
  returned: always
  contains:
    name:
      description: The kind of change.
      type: str
      sample: attach VIP
    resource:
      description: The group, and the changed object.
      type: str
      sample: "nginx: 192.168.7.246"
    ms:
      description:
        - The time until the service answered.
        - It answers requests for EIPs before they are done. RV(elapsed_ms) includes the wait for their end.
      type: float
      sample: 35.2
    attempts:
      description: The number of attempts.
      type: int
      sample: 1
elapsed_ms:
  description: The time of the whole run, with reading, checking and waiting.
  type: float
  returned: always
  sample: 1874.6
problems:
  description: The reasons of a refusal, one message each.
  type: list
  elements: str
  returned: when the module refused to change anything
error:
  description: The service's error.
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
      description: The service's own code.
      type: str
      sample: ConflictError
    message:
      description: The whole message.
      type: str
"""

from ansible_collections.cloudha.vip.plugins.module_utils.ansible import cloudpods, instancegroup
from ansible_collections.cloudha.vip.plugins.module_utils.ansible.module import Module
from ansible_collections.cloudha.vip.plugins.module_utils.ansible.run import carry_out, failures
from ansible_collections.cloudha.vip.plugins.module_utils.failover import instancegroup as procedure


def main() -> None:
    module = Module(argument_spec=dict(cloudpods.SPEC, **instancegroup.SPEC), supports_check_mode=True)
    with failures(module) as task:
        client, goal = cloudpods.client(module), instancegroup.goal(module.params)
        preview = instancegroup.SettledPreview()
        result = carry_out(module, procedure, client, goal, task, describe=instancegroup.describe, preview=preview)
        module.exit_json(**result)


if __name__ == "__main__":
    main()

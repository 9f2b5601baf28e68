#!/usr/bin/python
# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: cloudpods_instancegroup_vip
short_description: Give a Cloudpods anti-affinity group its members, its virtual IP and its EIP
version_added: 0.4.0
author:
  - cloudha.vip contributors (@cloudha-vip)
description:
  - Makes an anti-affinity group (instance group) of Cloudpods have guests as members, one virtual IP (VIP) that they
    share, and one EIP that leads to the VIP from outside of the VPC; or takes them away.
  - Which member has the VIP is decided in the guests, by keepalived or the like. The group makes the network let each
    of them use it.
  - Does what C(climc instancegroup-attachnetwork), C(instancegroup-detachnetwork), C(instancegroup-create-eip),
    C(instancegroup-associate-eip) and C(instancegroup-dissociate-eip) do, in the order that the service demands.
  - Everything that can be checked is checked before the first change. The service itself gives a group several VIPs,
    takes other addresses than the one that was named, cuts long names, and accepts an EIP that it cannot bind; this
    module does not.
  - It may be killed at any point. The next run goes on from what it finds.
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
      - By name only a group of the project that is logged in to; by id any that the user may change.
      - A name has at most 128 characters, none of C(/), C(\) and C(;), no emoji, and no blank at its ends. It is used
        once in all projects together; upper and lower case are the same. What looks like an id (a UUID) is one.
    type: str
    required: true
    aliases: [name]
  state:
    description:
      - V(present) makes the group be there; it is created if there is none of this name.
      - V(absent) dissociates the EIP of the group, unbinds its members, detaches its VIPs and deletes it. Of the
        options for parts, only O(eip) may be given with it, for O(eip.release).
    type: str
    choices: [present, absent]
    default: present
  granularity:
    description:
      - How many members may be on one host.
      - If omitted, it stays as it is; a new group gets V(1).
    type: int
  force_dispersion:
    description:
      - Whether a guest is not started at all if it would break O(granularity).
      - If omitted, it stays as it is; a new group gets V(true).
    type: bool
  members:
    description:
      - Guests, by name or id. They become members; others stay, unless O(exclusive=true).
      - Where the group has a VIP, or is to get one, each has exactly one network interface, all on one network.
    type: list
    elements: str
  members_state:
    description: With V(absent), the O(members) are unbound, if they are members.
    type: str
    choices: [present, absent]
    default: present
  vip:
    description: The VIP. If omitted, it stays as it is.
    type: dict
    suboptions:
      state:
        description:
          - V(present) makes the group have one VIP, this one.
          - V(absent) detaches it; without O(vip.ip_addr) any that the group has. The service does so only while each
            member has one network interface, all on one network.
        type: str
        choices: [present, absent]
        default: present
      ip_addr:
        description: The IPv4 address. If omitted, any VIP that the group has will do, or the service chooses one.
        type: str
      network_id:
        description:
          - The network (IP subnet) of the VIP, by name or id.
          - Needed for a group without members. Otherwise it is the network of the members.
        type: str
      alloc_dir:
        description:
          - From which end of the network the service takes an address.
          - A network that has an C(alloc_policy) goes by that, whatever is said here.
        type: str
        choices: [stepdown, stepup, random, none]
      reserved:
        description: Whether O(vip.ip_addr) may be a reserved address. That uses the reservation up.
        type: bool
        default: false
      require_designated_ip:
        description:
          - Whether it must be O(vip.ip_addr) and no other address.
          - With V(false) it is a proposal. The service takes another address if it is in use, and any VIP that the
            group has will do.
        type: bool
        default: true
  eip:
    description: The EIP of the VIP. If omitted, it stays as it is.
    type: dict
    suboptions:
      state:
        description:
          - V(present) makes the VIP have an EIP. Its VPC must have the C(external_access_mode) V(eip) or
            V(eip-distgw).
          - V(absent) dissociates it. It is kept, unless O(eip.release=true) or it was created with
            O(eip.auto_dellocate=true).
        type: str
        choices: [present, absent]
        default: present
      eip_id:
        description:
          - An EIP that exists, by name or id. It is associated, and must not be associated with anything else.
          - If omitted, an EIP is created, unless the group has one.
        type: str
      bandwidth:
        description: Of an EIP that is created, in Mbit/s.
        type: int
      bgp_type:
        description: The type of the line, exactly as the network has it that the EIP is taken from.
        type: str
      charge_type:
        description:
          - By what an EIP that is created is charged. Default is V(bandwidth).
          - V(traffic) is refused, as the service does for groups.
        type: str
        choices: [bandwidth, traffic]
      auto_dellocate:
        description:
          - Whether an EIP that is created is released as soon as it is dissociated, by whomever.
          - Such an EIP cannot be moved to another VIP.
        type: bool
        default: false
      release:
        description:
          - Whether an EIP is released that this module dissociates, and does not bind again.
          - With O(eip.state=absent) and O(eip.eip_id) also if it is dissociated already.
        type: bool
        default: false
  exclusive:
    description:
      - O(members), O(vip) and O(eip), as far as they are given, are all that there shall be. Other members are unbound,
        other VIPs detached, another EIP dissociated.
      - Otherwise another VIP or EIP makes the module fail, and change nothing.
    type: bool
    default: false
  timeout:
    description:
      - Give up so many seconds after the task began. The task waits until an EIP is created and bound.
      - Until then, what may pass (rate limits, failures of the service, lost connections) is tried again, with growing
        pauses.
    type: float
    default: 120
notes:
  - Runs where the services can be reached, usually on C(localhost).
  - An address is never taken from another group, guest or load balancer. So there is nothing to compare before it
    moves, and no option for it.
  - A group whose EIP could not be allocated keeps the status V(associate_eip). If no EIP is on its way for three
    seconds, it is taken for such a one, and the module goes on.
  - Two runs that each create an EIP for a group at the same moment may both be accepted by the service. One of the EIPs
    is then left over, and the run says so.
seealso:
  - module: cloudha.vip.cloudpods_instancegroup_info
"""

EXAMPLES = r"""
- name: Two nginx servers share 192.168.7.246
  cloudha.vip.cloudpods_instancegroup_vip:
    group: nginx
    members: [nginx-master, nginx-slave]
    vip:
      ip_addr: 192.168.7.246

- name: The same, reached from outside by a new EIP of 30 Mbit/s
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

- name: Where clients find it
  ansible.builtin.debug:
    msg: "{{ group.address }} inside, {{ group.eip }} outside"

- name: An EIP that exists
  cloudha.vip.cloudpods_instancegroup_vip:
    group: nginx
    eip:
      eip_id: shop-eip

- name: Exactly these members
  cloudha.vip.cloudpods_instancegroup_vip:
    group: nginx
    members: [nginx-master, nginx-slave2]
    exclusive: true

- name: No EIP and no VIP any more; the EIP is given back
  cloudha.vip.cloudpods_instancegroup_vip:
    group: nginx
    vip:
      state: absent
    eip:
      state: absent
      release: true

- name: No group any more; its EIP is kept
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
  description: Each request that changed something. In check mode those that would be made, without times.
  type: list
  elements: dict
  returned: always
  contains:
    name:
      description: What was done.
      type: str
      sample: attach VIP
    resource:
      description: The group, and what it was about.
      type: str
      sample: "nginx: 192.168.7.246"
    ms:
      description:
        - How long it took until the service had answered.
        - It answers requests for EIPs before they are done; waiting for that is in RV(elapsed_ms).
      type: float
      sample: 35.2
    attempts:
      description: How many times it was tried.
      type: int
      sample: 1
elapsed_ms:
  description: How long all took, with reading, checking and waiting.
  type: float
  returned: always
  sample: 1874.6
problems:
  description: What was refused, one message each.
  type: list
  elements: str
  returned: when the module refused to change anything
error:
  description: What the service said.
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
      description: The service's own word for it.
      type: str
      sample: ConflictError
    message:
      description: The whole message.
      type: str
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.cloudha.vip.plugins.module_utils.ansible import cloudpods, instancegroup
from ansible_collections.cloudha.vip.plugins.module_utils.ansible.run import carry_out, failures
from ansible_collections.cloudha.vip.plugins.module_utils.failover import instancegroup as procedure


def main() -> None:
    module = AnsibleModule(argument_spec=dict(cloudpods.SPEC, **instancegroup.SPEC), supports_check_mode=True)
    with failures(module) as task:
        client, goal = cloudpods.client(module), instancegroup.goal(module.params)
        preview = instancegroup.SettledPreview()
        result = carry_out(module, procedure, client, goal, task, describe=instancegroup.describe, preview=preview)
        module.exit_json(**result)


if __name__ == "__main__":
    main()

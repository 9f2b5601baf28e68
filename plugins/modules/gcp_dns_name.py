#!/usr/bin/python
# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: gcp_dns_name
short_description: Move a name in Google Cloud DNS to other addresses by compare-and-swap
version_added: 1.0.0
author:
  - cloudha.vip contributors (@cloudha-vip)
description:
  - Gives a name in a managed zone of Cloud DNS its addresses. These can be in another zone or region than the old ones.
  - One request replaces the record set. The API applies it as a whole, and only if the record set is still the one that
    the module has read. So the name has an answer at every moment, and no change of others is overwritten unseen.
  - The module ends when Google has told its name servers. They may answer with the old record for some moments more,
    and a client may keep an answer for RV(previous_ttl) seconds.
  - The module may be killed at any point. The next run continues from any state. Several may run at once.
extends_documentation_fragment:
  - cloudha.vip.attributes
  - cloudha.vip.gcp.dns
  - cloudha.vip.gcp
attributes:
  check_mode:
    support: full
    details: Reads, checks and plans, and sends no request that changes anything.
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  name:
    description: The whole DNS name, such as V(web.ha.internal), with or without a dot at its end.
    type: str
    required: true
  state:
    description:
      - V(present) makes the record set, or changes it.
      - V(absent) deletes it.
    type: str
    choices: [present, absent]
    default: present
  addresses:
    description:
      - All addresses of the name, in the order in which the record set shall have them. The order alone is no change.
      - If omitted, an existing record set keeps its own.
    type: list
    elements: str
  ttl:
    description:
      - The seconds for which clients may keep the answer. After a move they may use the old addresses for as long.
      - If omitted, an existing record set keeps its own, and a new one gets 30.
    type: int
  expected:
    description:
      - Compare and swap. Fail, and change nothing, unless the name has exactly these addresses now, or what is wanted
        already. V([]) is no record set.
    type: list
    elements: str
  timeout:
    description:
      - Give up so many seconds after the task began, from 0.001 to 86400. The time includes the login and all reading.
      - Until then, the module retries temporary failures (rate limits, failures of the API, lost connections), with
        growing pauses.
    type: float
    default: 60
notes:
  - Runs on a host that reaches the API, usually C(localhost).
  - The module does not ask name servers. Ask on a client whether the new answer has arrived there.
  - The module refuses record sets with a routing policy, and zones that forward queries or take part in peering.
seealso:
  - module: cloudha.vip.gcp_dns_name_info
  - module: google.cloud.gcp_dns_resource_record_set
    description: Writes record sets of every type, without a comparison with the present one.
"""

EXAMPLES = r"""
- name: Send clients of the database to the instance in the other zone, if they are sent to the lost one now
  cloudha.vip.gcp_dns_name:
    project: my-project
    managed_zone: my-zone
    name: db.ha.internal
    addresses: [10.100.2.2]
    expected: [10.100.2.1]
  register: move

- name: Wait until no client has the old address any more
  ansible.builtin.pause:
    seconds: "{{ move.previous_ttl or 0 }}"
  when: move is changed

- name: Let clients notice a move within five seconds
  cloudha.vip.gcp_dns_name:
    project: my-project
    managed_zone: my-zone
    name: db.ha.internal
    ttl: 5

- name: Give the name an IPv6 address, too
  cloudha.vip.gcp_dns_name:
    project: my-project
    managed_zone: my-zone
    name: db.ha.internal
    type: AAAA
    addresses: ["fd20:1:2::3"]

- name: Remove the name
  cloudha.vip.gcp_dns_name:
    project: my-project
    managed_zone: my-zone
    name: db.ha.internal
    state: absent
"""

RETURN = r"""
address:
  description: The whole name, with the dot at its end.
  type: str
  returned: success, and failure after a first look
  sample: db.ha.internal.
addresses:
  description: The addresses of the name now, or those that it would have in check mode, sorted; empty if it has none.
  type: list
  elements: str
  returned: success, and failure after a first look
  sample: [10.100.2.2]
previous_addresses:
  description: The addresses of the name before; as RV(addresses).
  type: list
  elements: str
  returned: success, and failure after a first look
  sample: [10.100.2.1]
ttl:
  description: The seconds for which clients may keep the answer; V(null) without a record set.
  type: int
  returned: success, and failure after a first look
  sample: 30
previous_ttl:
  description: The seconds for which clients may keep the answer from before; V(null) if there was none.
  type: int
  returned: success, and failure after a first look
  sample: 30
steps:
  description: Each request that changed something, in order. In check mode the planned ones, without times.
  type: list
  elements: dict
  returned: always
  contains:
    name:
      description: The kind of change.
      type: str
      sample: change record
    resource:
      description: The name and the type.
      type: str
      sample: db.ha.internal. A
    ms:
      description: The time until the API accepted the change.
      type: float
      sample: 213.4
    attempts:
      description: The number of attempts.
      type: int
      sample: 1
elapsed_ms:
  description: The time of the whole run, with reading, checking, and waiting for the change to be done.
  type: float
  returned: always
  sample: 2842.7
notes:
  description: Checks that were not possible before the change, such as that of the caller's permissions.
  type: list
  elements: str
  returned: success, and failure after a first look
  sample: []
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
      sample: conditionNotMet
    message:
      description: The whole message.
      type: str
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.cloudha.vip.plugins.module_utils.ansible import gcp_dns
from ansible_collections.cloudha.vip.plugins.module_utils.ansible.run import carry_out, failures
from ansible_collections.cloudha.vip.plugins.module_utils.failover import dns_name


def main() -> None:
    module = AnsibleModule(
        argument_spec=dict(
            gcp_dns.SPEC,
            state=dict(type="str", choices=["present", "absent"], default="present"),
            addresses=dict(type="list", elements="str"),
            ttl=dict(type="int"),
            expected=dict(type="list", elements="str"),
            timeout=dict(type="float", default=60),
        ),
        supports_check_mode=True,
    )
    with failures(module) as task:
        client = gcp_dns.client(module)
        goal = gcp_dns.goal(module.params)
        result = carry_out(module, dns_name.Procedure(), client, goal, task, describe=gcp_dns.describe)
        module.exit_json(**result)


if __name__ == "__main__":
    main()

#!/usr/bin/python
# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: gcp_dns_name_info
short_description: Show the addresses of a name in Google Cloud DNS, and the obstacles to its move
version_added: 1.0.0
author:
  - cloudha.vip contributors (@cloudha-vip)
description:
  - Shows the addresses that a managed zone of Cloud DNS gives to a name, and whether a change of them is under way.
  - Finds what keeps the name from its clients, or M(cloudha.vip.gcp_dns_name) from moving it, and names the remedy.
    RV(problems) is empty if nothing does.
extends_documentation_fragment:
  - cloudha.vip.attributes
  - cloudha.vip.attributes.info
  - cloudha.vip.gcp.dns
  - cloudha.vip.gcp
  - cloudha.vip.gcp.info
options:
  name:
    description: The whole DNS name, such as V(web.ha.internal), with or without a dot at its end. It need not exist.
    type: str
    required: true
  preflight:
    description:
      - Whether to look for obstacles. These are a zone that has no records of its own, one that no network sees, a name
        outside the zone, a missing record set, an alias (CNAME) or a routing policy, and missing permissions.
      - With V(false), RV(problems) is empty.
    type: bool
    default: true
notes:
  - The module does not ask name servers. Ask on a client which answer it gets.
  - The permissions are those of the caller on the managed zone. Without an answer RV(problems) says so.
seealso:
  - module: cloudha.vip.gcp_dns_name
"""

EXAMPLES = r"""
- name: Look at the name
  cloudha.vip.gcp_dns_name_info:
    project: my-project
    managed_zone: my-zone
    name: db.ha.internal
  register: db

- name: Require that it can be moved
  ansible.builtin.assert:
    that: db.problems == []
    fail_msg: "{{ db.problems }}"

- name: Require that clients are sent to the first instance
  ansible.builtin.assert:
    that: db.addresses == ['10.100.2.1'] and not db.pending
"""

RETURN = r"""
exists:
  description: Whether the name has a record set of the type.
  type: bool
  returned: success
address:
  description: The whole name, with the dot at its end.
  type: str
  returned: success
  sample: db.ha.internal.
addresses:
  description: Its addresses, sorted; empty if it has none.
  type: list
  elements: str
  returned: success
  sample: [10.100.2.1]
ttl:
  description: The seconds for which clients may keep the answer; V(null) without a record set.
  type: int
  returned: success
  sample: 30
pending:
  description: Whether a change of the record set is under way, so that name servers may not have it yet.
  type: bool
  returned: success
zone:
  description: The managed zone.
  type: dict
  returned: success
  contains:
    name:
      description: Its name.
      type: str
      sample: my-zone
    dns_name:
      description: The end of its names.
      type: str
      sample: ha.internal.
    visibility:
      description: For clients in some networks (V(private)) or on the internet (V(public)).
      type: str
      sample: private
    networks:
      description: The networks that see a private zone, by their names.
      type: list
      elements: str
      sample: [ip-failover]
problems:
  description: The obstacles, each with its remedy.
  type: list
  elements: str
  returned: success
  sample: []
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.cloudha.vip.plugins.module_utils.ansible import gcp_dns
from ansible_collections.cloudha.vip.plugins.module_utils.ansible.run import failures, read_with_retries


def main() -> None:
    module = AnsibleModule(
        argument_spec=dict(
            gcp_dns.SPEC,
            preflight=dict(type="bool", default=True),
            timeout=dict(type="float", default=60),
        ),
        supports_check_mode=True,
    )
    with failures(module) as task:
        client = gcp_dns.client(module)
        result = read_with_retries(lambda: gcp_dns.info(module.params, client), task.left)
        module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()

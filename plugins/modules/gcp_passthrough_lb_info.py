#!/usr/bin/python
# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: gcp_passthrough_lb_info
short_description: Show who gets the connections of a passthrough load balancer of Google Cloud, and its obstacles
version_added: 1.0.0
author:
  - cloudha.vip contributors (@cloudha-vip)
description:
  - Shows the backends of a passthrough load balancer with their health, and computes which of them get new connections.
    The API does not tell that.
  - Finds what keeps the load balancer from working, and names the remedy. RV(problems) is empty if nothing does.
extends_documentation_fragment:
  - cloudha.vip.attributes
  - cloudha.vip.attributes.info
  - cloudha.vip.gcp.service_project
  - cloudha.vip.gcp
  - cloudha.vip.gcp.info
requirements:
  - C(google-cloud-compute) 1.20 or newer, with every O(auth_kind); not with O(preflight=false)
options:
  name:
    description: The name of the load balancer, as in M(cloudha.vip.gcp_passthrough_lb). It need not exist.
    type: str
    required: true
  region:
    description: The region of the load balancer.
    type: str
    required: true
  network:
    description:
      - The VPC network, by name, or by its path or URL.
      - May be left out if the load balancer is internal and exists.
    type: str
  scheme:
    description:
      - Whether a load balancer that does not exist yet is for clients in the network, or for clients on the internet.
        This decides which quotas and permissions matter.
    type: str
    choices: [internal, external]
    default: internal
  preflight:
    description:
      - Whether to look for obstacles. These are missing parts, a firewall that stops the probes, backends that are not
        healthy, groups without instances or on another network, and missing permissions. If there is no forwarding
        rule, they are also quotas that are used up.
      - With V(false), RV(problems) is empty.
    type: bool
    default: true
notes:
  - The module reads only the firewall rules of the VPC network, and no hierarchical or network firewall policies.
  - The permissions are those of the caller on the project. Without an answer RV(problems) says so.
  - The module cannot see whether a service listens at the address on an instance. M(cloudha.vip.vip_info) sees that
    there.
seealso:
  - module: cloudha.vip.gcp_passthrough_lb
"""

EXAMPLES = r"""
- name: Look at the load balancer
  cloudha.vip.gcp_passthrough_lb_info:
    project: my-project
    name: web
    region: us-central1
  register: web

- name: Require that it works
  ansible.builtin.assert:
    that: web.problems == []
    fail_msg: "{{ web.problems }}"

- name: Require that a primary gets the connections
  ansible.builtin.assert:
    that: web.active_pool == 'primary'
"""

RETURN = r"""
exists:
  description: Whether there is a forwarding rule of the load balancer.
  type: bool
  returned: success
address:
  description: Its address; V(null) if there is none.
  type: str
  returned: success
  sample: 10.100.3.1
rules:
  description: Its forwarding rules.
  type: list
  elements: dict
  returned: success
  contains:
    name:
      description: The name.
      type: str
      sample: web
    address:
      description: The address.
      type: str
      sample: 10.100.3.1
    protocol:
      description: The protocol, V(tcp), V(udp) or V(all); V(other) for any that the module does not make.
      type: str
      sample: tcp
    ports:
      description: The ports, or V([all]).
      type: list
      elements: raw
      sample: [80]
    scheme:
      description: For clients in the network (V(internal)) or on the internet (V(external)).
      type: str
      sample: internal
    global_access:
      description: Whether clients of other regions reach it.
      type: bool
    backend_service:
      description: The path of the backend service that it leads to.
      type: str
      sample: projects/my-project/regions/us-central1/backendServices/web
holders:
  description: The instances that get new connections, by their paths.
  type: list
  elements: str
  returned: success
  sample: [projects/my-project/zones/us-central1-a/instances/node1]
active_pool:
  description:
    - The backends that get new connections. V(primary) and V(failover) are the healthy ones of this kind.
    - V(all_unhealthy_primaries) are all primaries, if no backend is healthy. V(none) is nobody.
  type: str
  returned: success
  sample: primary
backends:
  description: All backends.
  type: list
  elements: dict
  returned: success
  contains:
    instance:
      description: The path of the instance.
      type: str
      sample: projects/my-project/zones/us-central1-a/instances/node1
    zone:
      description: Its zone.
      type: str
      sample: us-central1-a
    group:
      description: The path of its group.
      type: str
      sample: projects/my-project/zones/us-central1-a/instanceGroups/web-a
    failover:
      description: Whether the group is a backup.
      type: bool
    health:
      description: What the probes found, V(HEALTHY) or V(UNHEALTHY); V(UNKNOWN) before the first ones.
      type: str
      sample: HEALTHY
    active:
      description: Whether it gets new connections.
      type: bool
problems:
  description: The obstacles, each with its remedy.
  type: list
  elements: str
  returned: success
  sample: []
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.cloudha.vip.plugins.module_utils.ansible import gcp, gcp_lb, gcp_library
from ansible_collections.cloudha.vip.plugins.module_utils.ansible.run import failures, read_with_retries


def main() -> None:
    module = AnsibleModule(
        argument_spec=dict(
            gcp.SPEC,
            name=dict(type="str", required=True),
            region=dict(type="str", required=True),
            network=dict(type="str"),
            scheme=dict(type="str", choices=["internal", "external"], default="internal"),
            preflight=dict(type="bool", default=True),
            timeout=dict(type="float", default=60),
        ),
        supports_check_mode=True,
    )
    if module.params["preflight"]:
        gcp_library.require(module)
    with failures(module) as task:
        client = gcp_lb.client(module, watch=not module.params["preflight"])
        result = read_with_retries(lambda: gcp_lb.info(module.params, client), task.left)
        module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()

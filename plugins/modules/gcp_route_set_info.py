#!/usr/bin/python
# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: gcp_route_set_info
short_description: Show which instances a set of Google Cloud routes leads to, and who gets the traffic
version_added: 1.0.0
author:
  - cloudha.vip contributors (@cloudha-vip)
description:
  - Shows the routes of a set that M(cloudha.vip.gcp_route_set) makes. Which members get the traffic, which do not, and
    why.
  - Names the routes of others to the same destination.
  - Checks the requirements of the set beforehand, and names the remedy for each missing one. RV(problems) is empty if
    none is missing.
extends_documentation_fragment:
  - cloudha.vip.attributes
  - cloudha.vip.attributes.info
  - cloudha.vip.gcp
  - cloudha.vip.gcp.info
options:
  name:
    description: The name of the set.
    type: str
    required: true
  destination:
    description: The floating address, or a range, in CIDR notation.
    type: str
    required: true
    aliases: [dest_range]
  network:
    description: The VPC network, by name, or by its path or URL.
    type: str
    required: true
  members:
    description:
      - The instances that the routes shall lead to, each by its path or URL, such as
        V(zones/us-central1-a/instances/node1).
      - If omitted, they are those that routes of the set lead to.
    type: list
    elements: str
    default: []
  instance_projects:
    description:
      - The service projects of a shared VPC, by their ids, in which to look for the instances whose addresses the
        routes name, besides O(project). Only if O(members) is omitted.
    type: list
    elements: str
    default: []
  preflight:
    description:
      - Whether to check the requirements.
      - V(false) only reads, with one request if O(members) is given and the routes name instances. RV(problems) is then
        empty.
    type: bool
    default: true
notes:
  - The API has no question for the permission C(compute.networks.updatePolicy), which a change of routes needs. The
    module asks for all other permissions.
  - The permissions are those of the caller, and not those of the agents on the nodes.
seealso:
  - module: cloudha.vip.gcp_route_set
"""

EXAMPLES = r"""
- name: Check the routes, and their requirements
  cloudha.vip.gcp_route_set_info:
    project: my-project
    auth_kind: application
    name: floating-ip
    network: ip-failover
    destination: 10.200.1.1/32
    members:
      - zones/us-central1-a/instances/node1
      - zones/us-central1-b/instances/node2
  register: routes

- name: Require that both get traffic
  ansible.builtin.assert:
    that:
      - routes.problems == []
      - routes.serving | length == 2
    fail_msg: "{{ routes.problems + routes.members | map(attribute='why') | flatten }}"
"""

RETURN = r"""
address:
  description: The destination of the routes.
  type: str
  returned: success
  sample: 10.200.1.1/32
members:
  description: The members, in the given order.
  type: list
  elements: dict
  returned: success
  contains:
    instance:
      description: The instance's path.
      type: str
      sample: projects/my-project/zones/us-central1-a/instances/node1
    name:
      description: The instance's name.
      type: str
      sample: node1
    route:
      description: The route by which it serves; empty if there is none.
      type: dict
      contains: &route
        name:
          description: Its name.
          type: str
          sample: floating-ip-node1
        destination:
          description: Its destination.
          type: str
          sample: 10.200.1.1/32
        network:
          description: Its network.
          type: str
          sample: projects/my-project/global/networks/ip-failover
        next_hop:
          description: The instance or the address that it names.
          type: str
          sample: projects/my-project/zones/us-central1-a/instances/node1
        priority:
          description: Its priority; the lowest number wins.
          type: int
          sample: 1000
        tags:
          description: The network tags of the instances that it applies to; empty for all.
          type: list
          elements: str
        description:
          description: Its description.
          type: str
        created:
          description: The time of its creation.
          type: str
          sample: "2026-11-21T02:00:00.000-08:00"
        warnings:
          description: The API's warnings about its next hop, such as V(NEXT_HOP_NOT_RUNNING).
          type: list
          elements: str
    reserve:
      description: Its reserve route, which gets traffic only while no other route is alive; empty if there is none.
      type: dict
      contains: *route
    active:
      description: Whether its route is there, and alive. It may have a worse priority than others.
      type: bool
    serving:
      description: Whether it gets traffic.
      type: bool
    why:
      description: Why it gets none; empty if it does.
      type: list
      elements: str
      sample: ["floating-ip-node2 has a better priority, 500"]
serving:
  description:
    - Where the traffic goes, by the live routes with the lowest number as their priority. Paths of members, and other
      next hops as the routes name them.
  type: list
  elements: str
  returned: success
  sample: ["projects/my-project/zones/us-central1-a/instances/node1"]
foreign:
  description: Routes to the destination that lead to no member.
  type: list
  elements: dict
  returned: success
  contains: *route
leftovers:
  description: The names of further routes to members, of runs that were killed, or that are at work.
  type: list
  elements: str
  returned: success
  sample: []
notes:
  description: Oddities of the routes to the destination, and the API's warnings about them.
  type: list
  elements: str
  returned: success
problems:
  description: What is missing for the set to work, or to be changed, each with its remedy.
  type: list
  elements: str
  returned: success
  sample: []
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.cloudha.vip.plugins.module_utils.ansible import gcp, gcp_route_set
from ansible_collections.cloudha.vip.plugins.module_utils.ansible.run import failures, read_with_retries


def main() -> None:
    module = AnsibleModule(
        argument_spec=dict(
            gcp.SPEC,
            name=dict(type="str", required=True),
            destination=dict(type="str", required=True, aliases=["dest_range"]),
            network=dict(type="str", required=True),
            members=dict(type="list", elements="str", default=[]),
            instance_projects=dict(type="list", elements="str", default=[]),
            preflight=dict(type="bool", default=True),
            timeout=dict(type="float", default=60),
        ),
        supports_check_mode=True,
    )
    with failures(module) as task:
        client = gcp.compute(module)
        result = read_with_retries(lambda: gcp_route_set.info(module.params, client), task.left)
        module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()

#!/usr/bin/python
# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: gcp_route_info
short_description: Show the real target of a Google Cloud route, and the obstacles to its move
version_added: 1.0.0
author:
  - cloudha.vip contributors (@cloudha-vip)
description:
  - Shows the instance that gets the traffic to a floating address. It may differ from the one that the route names.
  - Finds temporary routes that a killed run of P(cloudha.vip.gcp_route_failover#module) has left.
  - Checks the requirements of a failover beforehand, and names the remedy for each missing one. RV(problems) is empty
    if none is missing.
extends_documentation_fragment:
  - cloudha.vip.attributes
  - cloudha.vip.attributes.info
  - cloudha.vip.gcp
  - cloudha.vip.gcp.info
options:
  name:
    description: The name of the route. It need not exist.
    type: str
    required: true
  destination:
    description:
      - The floating address, or a range, in CIDR notation.
      - May be left out if the route exists. Without either the module can say nothing about the destination.
    type: str
    aliases: [dest_range]
  network:
    description:
      - The VPC network, by name, or by its path or URL.
      - May be left out if the route exists.
    type: str
  instances:
    description:
      - The instances that the route may be moved to, each by its path or URL, such as
        V(zones/us-central1-a/instances/node1).
      - Each must exist, run, be allowed to forward (C(canIpForward)) and be on the network.
      - If there are several, the firewall must let VRRP (protocol 112) through between each two of them.
      - With a shared VPC, give instances in service projects by their paths, V(projects/service-project/zones/...).
    type: list
    elements: str
    default: []
  instance_projects:
    description:
      - The service projects of a shared VPC, by their ids, in which to look for the instance whose address the route
        names, besides O(project).
      - The module always searches the projects of O(instances).
    type: list
    elements: str
    default: []
  preflight:
    description:
      - Whether to check the requirements of a failover.
      - V(false) only reads, with one request if O(destination) and O(network) are given. RV(problems) is then empty.
    type: bool
    default: true
  vrrp:
    description: Whether to check that the firewall lets VRRP through between the O(instances).
    type: bool
    default: true
notes:
  - The module reads only the firewall rules of the VPC network, and no hierarchical or network firewall policies.
  - The API has no question for the permission C(compute.networks.updatePolicy), which a change of routes needs. The
    module asks for all other permissions.
  - The permissions are those of the caller, and not those of the agents on the nodes.
seealso:
  - module: cloudha.vip.gcp_route_failover
"""

EXAMPLES = r"""
- name: Check the route, and the requirements of a failover
  cloudha.vip.gcp_route_info:
    project: my-project
    auth_kind: application
    name: floating-ip-route
    network: ip-failover
    destination: 10.200.1.1/32
    instances:
      - zones/us-central1-a/instances/node1
      - zones/us-central1-b/instances/node2
  register: route

- name: Require that a failover would work
  ansible.builtin.assert:
    that: route.problems == []
    fail_msg: "{{ route.problems }}"

- name: Require that node1 gets the traffic
  ansible.builtin.assert:
    that: route.holder == 'projects/my-project/zones/us-central1-a/instances/node1'
"""

RETURN = r"""
exists:
  description:
    - Whether there is a route of this name, to the destination on the network.
    - If it is for another destination or network, RV(problems) says so.
  type: bool
  returned: success
route:
  description: The route; empty if there is none.
  type: dict
  returned: success
  contains: &route
    name:
      description: Its name.
      type: str
      sample: floating-ip-route
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
holder:
  description: The instance that really gets the traffic; V(null) if none does.
  type: str
  returned: success
  sample: projects/my-project/zones/us-central1-a/instances/node1
effective:
  description: The route that the traffic really follows, the best one with a living next hop; empty if there is none.
  type: dict
  returned: success
  contains: *route
leftovers:
  description: Temporary routes of runs that were killed, or that are at work.
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
  description: The obstacles to a failover, each with its remedy.
  type: list
  elements: str
  returned: success
  sample: []
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.cloudha.vip.plugins.module_utils.ansible import gcp, gcp_route
from ansible_collections.cloudha.vip.plugins.module_utils.ansible.run import failures, read_with_retries


def main() -> None:
    module = AnsibleModule(
        argument_spec=dict(
            gcp.SPEC,
            name=dict(type="str", required=True),
            destination=dict(type="str", aliases=["dest_range"]),
            network=dict(type="str"),
            instances=dict(type="list", elements="str", default=[]),
            instance_projects=dict(type="list", elements="str", default=[]),
            preflight=dict(type="bool", default=True),
            vrrp=dict(type="bool", default=True),
            timeout=dict(type="float", default=60),
        ),
        supports_check_mode=True,
    )
    with failures(module) as task:
        client = gcp.compute(module)
        result = read_with_retries(lambda: gcp_route.info(module.params, client), task.left)
        module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()

#!/usr/bin/python
# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: gcp_route_info
short_description: Tell where a route of a Google Cloud network really points, and what would keep it from moving
version_added: 1.0.0
author:
  - cloudha.vip contributors (@cloudha-vip)
description:
  - Tells which instance the traffic to a floating address goes to, which may be another than the one the route names.
  - Finds temporary routes that a killed run of P(cloudha.vip.gcp_route_failover#module) has left.
  - Checks beforehand what a failover needs, and says what to do about what is missing. RV(problems) is empty if nothing
    is.
extends_documentation_fragment:
  - cloudha.vip.attributes
  - cloudha.vip.attributes.info
  - cloudha.vip.gcp
options:
  name:
    description: The name of the route. It need not exist.
    type: str
    required: true
  destination:
    description:
      - The floating address, or a range, in CIDR notation.
      - May be left out if the route exists; without either nothing about the destination can be told or checked.
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
      - Each is checked. It must be there, run, be allowed to forward (C(canIpForward)) and be on the network.
      - If there are several, the firewall must let VRRP (protocol 112) through between each two of them.
      - With a shared VPC, instances in service projects by their paths, V(projects/service-project/zones/...).
    type: list
    elements: str
    default: []
  instance_projects:
    description:
      - Where else than in O(project) to look for the instance whose address the route names, the service projects of a
        shared VPC, by their ids.
      - The projects of O(instances) need not be named.
    type: list
    elements: str
    default: []
  preflight:
    description:
      - Whether to check what a failover needs.
      - V(false) only looks, with one request if O(destination) and O(network) are given; RV(problems) is then empty.
    type: bool
    default: true
  vrrp:
    description: Whether to check that the firewall lets VRRP through between the O(instances).
    type: bool
    default: true
  timeout:
    description:
      - For how many seconds to try again what may pass, such as rate limits and failures of the API.
      - From 0.001 to 86400.
    type: float
    default: 60
notes:
  - Of the firewall only the rules of the VPC network are read, no hierarchical and no network firewall policies.
  - Whether the caller may change the routes of the network (C(compute.networks.updatePolicy)) cannot be asked for
    without changing one; all other permissions are asked for.
  - The permissions are those of the caller, and not those of the agents on the nodes.
seealso:
  - module: cloudha.vip.gcp_route_failover
"""

EXAMPLES = r"""
- name: Look at the route, and check all that a failover needs
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

- name: A failover would work
  ansible.builtin.assert:
    that: route.problems == []
    fail_msg: "{{ route.problems }}"

- name: Traffic goes to node1
  ansible.builtin.assert:
    that: route.holder == 'projects/my-project/zones/us-central1-a/instances/node1'
"""

RETURN = r"""
exists:
  description:
    - Whether there is a route of this name, to the destination on the network.
    - If it is for something else, RV(problems) says so.
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
      description: The network tags of the instances that it is for; empty is all.
      type: list
      elements: str
    description:
      description: Its description.
      type: str
    created:
      description: When it was made.
      type: str
      sample: "2026-11-21T02:00:00.000-08:00"
    warnings:
      description: What the API has against its next hop, such as V(NEXT_HOP_NOT_RUNNING).
      type: list
      elements: str
holder:
  description: The instance that the traffic really goes to; V(null) if none.
  type: str
  returned: success
  sample: projects/my-project/zones/us-central1-a/instances/node1
effective:
  description: The route that the traffic really follows, which is the best whose next hop is alive; empty if none is.
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
  description: What is odd about the routes to the destination, and what the API has against them.
  type: list
  elements: str
  returned: success
problems:
  description: What would keep a failover from working, and what to do about it, one message each.
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

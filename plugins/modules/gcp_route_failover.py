#!/usr/bin/python
# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: gcp_route_failover
short_description: Point a route of a Google Cloud network at another instance without a gap
version_added: 1.0.0
author:
  - cloudha.vip contributors (@cloudha-vip)
description:
  - Points a static route of a VPC network, whose destination is a floating address, at one instance.
  - The API cannot change a route. So the module inserts a temporary route that wins, deletes the old route, inserts it
    again, and deletes the temporary one. Traffic moves after the first of these four requests, and there is a route at
    every moment. The module deletes a route only after its replacement works.
  - The module may be killed at any point. The next run, of this module or of the agent on a node, leaves exactly one
    route, the wanted one. Several may run at once.
  - The module makes every possible check before any change. The next hop must exist, run, be allowed to
    forward (C(canIpForward)), and be on the network.
extends_documentation_fragment:
  - cloudha.vip.attributes
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
    description:
      - The name of the route. The module adopts an existing route of this name.
      - If that route is for another destination or network than the given ones, the module fails and changes nothing,
        whatever the O(state).
      - A temporary route has this name, shortened if necessary, with C(-tmp-) and a few characters behind it.
    type: str
    required: true
  state:
    description:
      - V(present) points the route at the next hop.
      - V(absent) deletes it, and the temporary routes of killed runs.
    type: str
    choices: [present, absent]
    default: present
  destination:
    description:
      - The floating address, or a range, in CIDR notation. It must not be inside a subnet of the network.
      - May be left out if the route exists.
    type: str
    aliases: [dest_range]
  network:
    description:
      - The VPC network, by name, or by its path or URL.
      - May be left out if the route exists.
    type: str
  next_hop_instance:
    description:
      - The instance that gets the traffic, by name with O(next_hop_zone), or by its path or URL, such as
        V(zones/us-central1-a/instances/node1).
      - Give this or O(next_hop_address). If neither is given, the next hop of an existing route stays.
      - With a shared VPC, give the path of an instance in a service project,
        V(projects/service-project/zones/us-central1-a/instances/node1). A route can lead to an instance of another
        project only by an address, so it gets the instance's primary address on the network.
    type: str
  next_hop_zone:
    description: The zone of O(next_hop_instance).
    type: str
  next_hop_address:
    description:
      - The primary internal IPv4 address of the instance that gets the traffic.
      - The route then follows the address, also to an instance that gets it later.
    type: str
    aliases: [next_hop_ip]
  instance_projects:
    description:
      - The service projects of a shared VPC, by their ids, in which to look for the owner of an address, besides
        O(project).
      - The module always searches the projects of O(next_hop_instance) and O(expected_holder), if these are paths.
    type: list
    elements: str
    default: []
  priority:
    description:
      - The priority of the route, from 1 to 65535; of several, the lowest number wins.
      - The module refuses 0, as a temporary route could not be better.
      - If omitted, an existing route keeps its own, and a new one gets 1000.
    type: int
  tags:
    description:
      - The network tags of the instances whose traffic follows the route. V([]) is all instances.
      - A tag is like a name, 1 to 63 of a-z, 0-9 and -, with a letter first and no - last.
      - If omitted, an existing route keeps its own, and a new one is for all instances.
    type: list
    elements: str
  description:
    description: The purpose of the route. If omitted, an existing route keeps its own.
    type: str
  expected_holder:
    description:
      - Compare and move. Fail, and change nothing, unless the traffic goes to this instance now, or to the wanted one
        already.
      - The name, the path or the primary internal address of an instance.
    type: str
  exclusive:
    description:
      - Other routes to the same destination may have a priority as good or better, and would keep the traffic.
      - V(false) fails, names them and changes nothing.
      - V(true) deletes them, after the wanted route is in place.
    type: bool
    default: false
  timeout:
    description:
      - Give up so many seconds after the task began, from 0.001 to 86400. The time includes the login and all reading.
      - Until then, the module retries temporary failures (rate limits, failures of the API, lost connections), with
        growing pauses.
    type: float
    default: 60
  lease:
    description:
      - The seconds for which a run trusts its temporary route, before it makes another. Another run leaves a temporary
        route alone for as long, since its owner may be at work.
      - Use the same value for everything that moves the route. It must be longer than a few operations of the API, and
        at most 600.
    type: float
    default: 20
  settle:
    description:
      - The seconds, 60 at most, to wait from the API's confirmation of a route until the deletion of the route that it
        replaces.
      - The API confirms a change when it is decided. The change reaches the hosts of all senders some moments later.
    type: float
    default: 1
notes:
  - Runs on a host that reaches the API, usually C(localhost).
  - The instances must have the address, for example on C(lo), and accept packets for it.
seealso:
  - module: cloudha.vip.gcp_route_info
  - module: google.cloud.gcp_compute_route
    description: Creates a route. It does not see that the next hop, the priority or the tags of an existing one differ.
"""

EXAMPLES = r"""
- name: Send the floating address to node2
  cloudha.vip.gcp_route_failover:
    project: my-project
    auth_kind: application
    name: floating-ip-route
    network: ip-failover
    destination: 10.200.1.1/32
    next_hop_instance: node2
    next_hop_zone: us-central1-b

- name: Move the address to node2 only if node1 has it now
  cloudha.vip.gcp_route_failover:
    project: my-project
    auth_kind: serviceaccount
    service_account_file: /etc/failover/key.json
    name: floating-ip-route
    next_hop_instance: zones/us-central1-b/instances/node2
    expected_holder: node1
  register: move

- name: Send the address to an instance in a service project of a shared VPC
  cloudha.vip.gcp_route_failover:
    project: host-project
    name: floating-ip-route
    network: shared-network
    destination: 10.200.1.1/32
    next_hop_instance: projects/service-project/zones/us-central1-b/instances/node2

- name: Show the time that it took
  ansible.builtin.debug:
    msg: "{{ move.previous_holder }} -> {{ move.holder }} in {{ move.elapsed_ms }} ms"

- name: Set common options of several tasks in one place
  module_defaults:
    group/cloudha.vip.gcp:
      project: my-project
      auth_kind: accesstoken
      access_token: "{{ gcp_token }}"
  block:
    - name: Remove the route
      cloudha.vip.gcp_route_failover:
        name: floating-ip-route
        state: absent
"""

RETURN = r"""
address:
  description: The destination of the route.
  type: str
  returned: success, and failure after a first look
  sample: 10.200.1.1/32
holder:
  description:
    - The instance that gets the traffic now, or would get it in check mode.
    - The address that the route names, if the caller may not see its owner.
    - V(null) if no instance gets the traffic.
  type: str
  returned: success, and failure after a first look
  sample: projects/my-project/zones/us-central1-b/instances/node2
previous_holder:
  description: The instance that got the traffic before; as RV(holder).
  type: str
  returned: success, and failure after a first look
  sample: projects/my-project/zones/us-central1-a/instances/node1
steps:
  description: Each request that changed something, in order. In check mode the planned ones, without times.
  type: list
  elements: dict
  returned: always
  contains:
    name:
      description: The kind of change.
      type: str
      sample: insert temporary route
    resource:
      description: The name of the route.
      type: str
      sample: floating-ip-route-tmp-1f3a
    ms:
      description: The time until the API confirmed the change.
      type: float
      sample: 2013.4
    attempts:
      description: The number of attempts.
      type: int
      sample: 1
moved_ms:
  description:
    - The time until the end of the first step, which moves the traffic. The rest is tidying up.
    - V(null) if nothing was changed.
  type: float
  returned: success, and failure after a first look
  sample: 2105.2
elapsed_ms:
  description: The time of the whole run, with reading and checking.
  type: float
  returned: always
  sample: 8121.9
notes:
  description:
    - Checks that were not possible before the first change, such as that of the caller's permissions while the API does
      not answer.
  type: list
  elements: str
  returned: success, and failure after a first look
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
      sample: QUOTA_EXCEEDED
    message:
      description: The whole message.
      type: str
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.cloudha.vip.plugins.module_utils.ansible import gcp, gcp_route
from ansible_collections.cloudha.vip.plugins.module_utils.ansible.run import carry_out, failures
from ansible_collections.cloudha.vip.plugins.module_utils.failover import named_route


def main() -> None:
    module = AnsibleModule(
        argument_spec=dict(
            gcp.SPEC,
            name=dict(type="str", required=True),
            state=dict(type="str", choices=["present", "absent"], default="present"),
            destination=dict(type="str", aliases=["dest_range"]),
            network=dict(type="str"),
            next_hop_instance=dict(type="str"),
            next_hop_zone=dict(type="str"),
            next_hop_address=dict(type="str", aliases=["next_hop_ip"]),
            priority=dict(type="int"),
            instance_projects=dict(type="list", elements="str", default=[]),
            tags=dict(type="list", elements="str"),
            description=dict(type="str"),
            expected_holder=dict(type="str"),
            exclusive=dict(type="bool", default=False),
            timeout=dict(type="float", default=60),
            lease=dict(type="float", default=20),
            settle=dict(type="float", default=1),
        ),
        mutually_exclusive=[("next_hop_instance", "next_hop_address")],
        required_by={"next_hop_zone": ["next_hop_instance"]},
        supports_check_mode=True,
    )
    with failures(module) as task:
        client = gcp.compute(module, module.params["timeout"])
        goal = gcp_route.goal(module.params, client)
        result = carry_out(module, named_route.Procedure(), client, goal, task, describe=gcp_route.describe)
        module.exit_json(**result)


if __name__ == "__main__":
    main()

#!/usr/bin/python
# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: gcp_route_set
short_description: Have a set of Google Cloud routes lead to several instances, without a gap
version_added: 1.0.0
author:
  - cloudha.vip contributors (@cloudha-vip)
description:
  - Declares the static routes of a VPC network to one destination, a floating address, by the instances that they lead
    to.
  - Members of the same priority share the traffic (ECMP). With different priorities, the lowest number gets all of it.
    The network takes no route whose instance does not run.
  - Each member has a second route, its reserve, of the worst priority. It gets traffic only while no other route is
    alive. So no number of drained members, agents and runs at once leaves the destination without a route.
  - The API cannot change a route. Where the priority, the tags or the next hop of a route differ, the module inserts a
    new one with another name, and deletes the old one when the new one works.
  - The module recognises a route by its next hop. So it adopts the routes that are there, whoever made them, whatever
    their names are, and whether they name the instance or its address.
  - The module may be killed at any point. The next run goes on from what is there. Several may run at once, also beside
    the agents on the nodes.
  - The module makes every possible check before any change. A member that needs a new route must exist, run, be
    allowed to forward (C(canIpForward)), and be on the network.
  - This is not an option of M(cloudha.vip.gcp_route_failover). That module moves one route, known by its name, from one
    instance to another, and takes the traffic along. Here nothing moves. Every member has routes of its own, and
    the network chooses among them. A node's agent needs to change its own route only.
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
      - The name of the set. A new route is called C(NAME-INSTANCE), and a reserve C(NAME-INSTANCE-reserve). If a route
        has that name already, a number follows.
      - A name that would be longer than 63 characters is cut, and gets eight digits that tell it from others.
    type: str
    required: true
  state:
    description:
      - V(present) makes the routes as declared.
      - V(absent) deletes all routes of the set. These are the ones that were made for it, and those that lead to
        O(members). Nothing is protected then.
    type: str
    choices: [present, absent]
    default: present
  destination:
    description: The floating address, or a range, in CIDR notation. It must not be inside a subnet of the network.
    type: str
    required: true
    aliases: [dest_range]
  network:
    description: The VPC network, by name, or by its path or URL.
    type: str
    required: true
  members:
    description:
      - The instances that the routes lead to. Required with O(state=present).
      - Routes to instances that are not listed stay, unless O(exclusive=true).
    type: list
    elements: dict
    default: []
    suboptions:
      instance:
        description:
          - The instance, by name with O(members[].zone), or by its path or URL, such as
            V(zones/us-central1-a/instances/node1).
          - With a shared VPC, give the path of an instance in a service project,
            V(projects/service-project/zones/us-central1-a/instances/node1). A route can lead to an instance of another
            project only by an address, so it gets the instance's primary address on the network.
        type: str
        required: true
      zone:
        description: The zone of O(members[].instance).
        type: str
      priority:
        description:
          - The priority of the member's route, from 0 to 65534; the lowest number wins.
          - If omitted, it is O(priority).
        type: int
      state:
        description:
          - V(present) is a route that serves, and a reserve.
          - V(drained) is the reserve only. The member gets traffic only if no other route is alive.
          - V(absent) is no route at all.
          - The last active route is not taken away. The module fails, and changes nothing, if no other member is alive.
        type: str
        choices: [present, drained, absent]
        default: present
  priority:
    description:
      - The priority of members that have none of their own, from 0 to 65534.
      - If omitted, a member's existing route keeps its priority, and a new one gets 1000.
    type: int
  tags:
    description:
      - The network tags of the instances whose traffic follows the routes. V([]) is all instances.
      - A tag is like a name, 1 to 63 of a-z, 0-9 and -, with a letter first and no - last.
      - If omitted, the tags are those of the set's newest route, and without one the routes are for all instances.
    type: list
    elements: str
  exclusive:
    description:
      - Other routes to the destination may share the traffic, or keep it. RV(foreign) has their names.
      - V(false) leaves them alone.
      - V(true) deletes those that apply to the same senders, after the members' routes are in place.
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
      - A route that another run inserted counts as active after so many seconds, at most 600. A run that wants
        something else waits as long, since the other one may be at work.
      - Use the same value for everything that changes the routes. It must be longer than a few operations of the API.
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
  - A node's agent may have taken its route away, as the node is drained or fails its health check. If this module
    declares the route present, the agent takes it away again.
seealso:
  - module: cloudha.vip.gcp_route_set_info
  - module: cloudha.vip.gcp_route_failover
"""

EXAMPLES = r"""
- name: Share the traffic to the floating address among two instances (ECMP)
  cloudha.vip.gcp_route_set:
    project: my-project
    auth_kind: application
    name: floating-ip
    network: ip-failover
    destination: 10.200.1.1/32
    members:
      - instance: zones/us-central1-a/instances/node1
      - instance: zones/us-central1-b/instances/node2

- name: Let node1 have the traffic, and node2 while node1 does not run
  cloudha.vip.gcp_route_set:
    project: my-project
    name: floating-ip
    network: ip-failover
    destination: 10.200.1.1/32
    members:
      - instance: node1
        zone: us-central1-a
        priority: 500
      - instance: node2
        zone: us-central1-b
        priority: 1000

- name: Drain node1
  cloudha.vip.gcp_route_set:
    project: my-project
    name: floating-ip
    network: ip-failover
    destination: 10.200.1.1/32
    members:
      - instance: zones/us-central1-a/instances/node1
        state: drained
      - instance: zones/us-central1-b/instances/node2
  register: drained

- name: Show who serves now
  ansible.builtin.debug:
    msg: "{{ drained.previous_serving }} -> {{ drained.serving }}"

- name: Remove the routes
  cloudha.vip.gcp_route_set:
    project: my-project
    name: floating-ip
    network: ip-failover
    destination: 10.200.1.1/32
    state: absent
"""

RETURN = r"""
address:
  description: The destination of the routes.
  type: str
  returned: success, and failure after a first look
  sample: 10.200.1.1/32
serving:
  description:
    - The instances that get the traffic now, or would get it in check mode.
    - Another next hop than a member is as its route names it.
  type: list
  elements: str
  returned: success, and failure after a first look
  sample: ["projects/my-project/zones/us-central1-a/instances/node1"]
previous_serving:
  description: The instances that got the traffic before; as RV(serving).
  type: list
  elements: str
  returned: success, and failure after a first look
  sample: []
foreign:
  description: The names of routes to the destination that lead to no member, and stay.
  type: list
  elements: str
  returned: success, and failure after a first look
  sample: []
steps:
  description: Each request that changed something, in order. In check mode the planned ones, without times.
  type: list
  elements: dict
  returned: always
  contains:
    name:
      description: The kind of change.
      type: str
      sample: insert route
    resource:
      description: The name of the route.
      type: str
      sample: floating-ip-node1
    ms:
      description: The time until the API confirmed the change.
      type: float
      sample: 2013.4
    attempts:
      description: The number of attempts.
      type: int
      sample: 1
elapsed_ms:
  description: The time of the whole run, with reading and checking.
  type: float
  returned: always
  sample: 8121.9
notes:
  description:
    - Checks that were not possible before the first change, the API's warnings about routes, and routes of others.
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

from ansible_collections.cloudha.vip.plugins.module_utils.ansible import gcp, gcp_route_set
from ansible_collections.cloudha.vip.plugins.module_utils.ansible.module import Module
from ansible_collections.cloudha.vip.plugins.module_utils.ansible.run import carry_out, failures
from ansible_collections.cloudha.vip.plugins.module_utils.failover import route_set


def main() -> None:
    module = Module(
        argument_spec=dict(
            gcp.SPEC,
            name=dict(type="str", required=True),
            state=dict(type="str", choices=["present", "absent"], default="present"),
            destination=dict(type="str", required=True, aliases=["dest_range"]),
            network=dict(type="str", required=True),
            members=dict(
                type="list",
                elements="dict",
                default=[],
                options=dict(
                    instance=dict(type="str", required=True),
                    zone=dict(type="str"),
                    priority=dict(type="int"),
                    state=dict(type="str", choices=["present", "drained", "absent"], default="present"),
                ),
            ),
            priority=dict(type="int"),
            tags=dict(type="list", elements="str"),
            exclusive=dict(type="bool", default=False),
            timeout=dict(type="float", default=60),
            lease=dict(type="float", default=20),
            settle=dict(type="float", default=1),
        ),
        supports_check_mode=True,
    )
    with failures(module) as task:
        client = gcp.compute(module, module.params["timeout"])
        goal = gcp_route_set.goal(module.params, client)
        result = carry_out(module, route_set.Procedure(), client, goal, task, describe=gcp_route_set.describe)
        module.exit_json(**result)


if __name__ == "__main__":
    main()

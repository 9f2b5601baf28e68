#!/usr/bin/python
# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: alias_ip_move
short_description: Move alias IP ranges between running instances of Google Cloud
version_added: 1.0.0
author:
  - cloudha.vip contributors (@cloudha-vip)
description:
  - Moves alias IP ranges to the interface of one instance, wherever they are now. With a declared assignment, one call
    moves any number of ranges to any number of instances.
  - A range can be on one interface only, so the module removes it before it adds it. It makes every possible check
    before the removal. The addition follows at once. Other ranges stay in place, even if others write at the same time.
  - The module changes interfaces in parallel, each by one request for all of its ranges. A hundred ranges on twenty
    instances take as long as one.
  - A range that cannot be added goes back to its former place. If that fails too, the error says that it is on no
    instance.
  - The module may be killed at any point. The next run puts the ranges into their places.
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
  project:
    description:
      - The project of the instances, by its id. With a shared VPC this is the service project.
      - If it is not set, the environment variable E(GCP_PROJECT) is used.
    type: str
    required: true
  ranges:
    description:
      - The alias ranges, each an IPv4 address or a network in CIDR notation.
      - They move together to O(target_instance). Give this or O(assignment).
    type: list
    elements: str
    aliases: [addresses]
  range_name:
    description:
      - The secondary range of the subnet that the O(ranges) are in.
      - Empty for the primary range. If omitted, the module finds it; the primary range comes first.
    type: str
  state:
    description:
      - V(present) moves the ranges to the target.
      - V(absent) removes them from O(source_instance), or from any holder.
    type: str
    choices: [present, absent]
    default: present
  target_instance:
    description:
      - The instance that gets the ranges, by name with O(target_zone), or by its path or URL, such as
        V(zones/us-central1-a/instances/node1).
      - It must run, and the ranges must be in the subnet of its interface.
    type: str
  target_zone:
    description: The zone of O(target_instance).
    type: str
  target_interface:
    description: The interface that gets the ranges.
    type: str
    default: nic0
  source_instance:
    description:
      - The only instance that the ranges may be taken from, by name with O(source_zone), or by its path or URL.
      - If omitted, the module finds the holders and takes the ranges from them.
      - Give it if its zone may fail. The module cannot find an instance whose zone does not answer.
    type: str
  source_zone:
    description: The zone of O(source_instance).
    type: str
  source_interface:
    description: The interface of O(source_instance). If omitted, any interface of it.
    type: str
  assignment:
    description:
      - The possible holders of many ranges. One call makes all necessary moves.
      - A range moves if its holder is not in the list, is not RUNNING, or is listed in O(avoid). It goes to the
        first fit instance of the list.
      - If no instance is fit for a range, the others still move, and then the task fails.
    type: list
    elements: dict
    suboptions:
      ranges:
        description: The alias ranges, as in O(ranges).
        type: list
        elements: str
        required: true
      range_name:
        description: The secondary range that they are in, as in O(range_name).
        type: str
      instances:
        description:
          - The instances that may hold them, by path or URL, such as V(zones/us-central1-a/instances/node1).
          - The first is the preferred one.
        type: list
        elements: str
        required: true
      interface:
        description: The interface of these instances.
        type: str
        default: nic0
  avoid:
    description:
      - Instances of the O(assignment), by name or path, that must hold none of the ranges, although they seem fit.
      - An instance whose guest hangs is still RUNNING. Name it here.
    type: list
    elements: str
    default: []
  preempt:
    description:
      - Whether a range of the O(assignment) also moves back to a fit instance that is earlier in the list, such
        as a repaired one.
    type: bool
    default: false
  expected_holder:
    description:
      - Compare and move. Fail, and change nothing, unless each range is on this instance, on none, or already in its
        wanted place.
      - The name or the path of an instance.
    type: str
  on_source_failure:
    description:
      - The action if a range cannot be removed in half of O(timeout), as the API or the zone of its instance fails.
      - V(fail) fails, and names the holder and the choices.
      - V(stop) stops the whole instance, with everything on it, and tries once more to remove the range. That helps if
        the instance is the cause, and not the zone.
    type: str
    choices: [fail, stop]
    default: fail
  limit:
    description:
      - The largest number of alias ranges of an interface. The module refuses a move that would exceed it.
      - Google's own limit is 150.
    type: int
    default: 150
  timeout:
    description:
      - Give up after so many seconds, from 0.001 to 86400. The limit is for the whole task with all its ranges.
      - Each removal, each addition and each stop of an instance may take half of the time that is left then.
      - A removed range must get an interface, even if its removal took all the time. So after the limit the module
        still takes up to 10 seconds to add it, and as much to put it back.
      - Until then, the module retries temporary failures (rate limits, failures of the API, lost connections), with
        growing pauses.
    type: float
    default: 120
notes:
  - Runs on a host that reaches the API, usually C(localhost).
  - Google's guest agent lets an instance accept packets to its alias ranges. Without it the instance needs a local
    route.
  - The module sees only instances of the project. If an instance of another project on the same network has the range,
    the API refuses the addition.
seealso:
  - module: cloudha.vip.alias_ip_info
  - module: cloudha.vip.gcp_route_failover
    description: Moves an address outside of all subnets by a route, without a gap.
"""

EXAMPLES = r"""
- name: Move an address to node2
  cloudha.vip.alias_ip_move:
    project: my-project
    auth_kind: application
    ranges: [10.100.9.5]
    target_instance: node2
    target_zone: us-central1-b

- name: Move two ranges from node1 only, and stop it if it does not release them
  cloudha.vip.alias_ip_move:
    project: my-project
    auth_kind: serviceaccount
    service_account_file: /etc/failover/key.json
    ranges:
      - 10.100.9.5
      - 10.100.9.16/28
    source_instance: zones/us-central1-a/instances/node1
    target_instance: zones/us-central1-b/instances/node2
    on_source_failure: stop
  register: move

- name: Show the time that it took
  ansible.builtin.debug:
    msg: "{{ move.previous_holder }} -> {{ move.holder }}, nobody had it for {{ move.gap_ms }} ms at most"

- name: Move databases from db1, which hangs, to their standbys
  cloudha.vip.alias_ip_move:
    project: my-project
    assignment:
      - ranges: [10.100.9.1, 10.100.9.2]
        instances:
          - zones/us-central1-a/instances/db1
          - zones/us-central1-b/instances/standby1
          - zones/us-central1-c/instances/standby2
      - ranges: [10.100.9.3]
        instances:
          - zones/us-central1-b/instances/db2
          - zones/us-central1-c/instances/standby2
          - zones/us-central1-b/instances/standby1
    avoid: [db1]

- name: Remove a range
  cloudha.vip.alias_ip_move:
    project: my-project
    ranges: [10.100.9.5]
    state: absent
"""

RETURN = r"""
address:
  description: The range, if there is one; V(null) if there are several.
  type: str
  returned: success, and failure after a first look
  sample: 10.100.9.5/32
holder:
  description: The instance that has all the ranges now, or would have in check mode; V(null) if several have them.
  type: str
  returned: success, and failure after a first look
  sample: projects/my-project/zones/us-central1-b/instances/node2
previous_holder:
  description: The instance that had all the ranges before; V(null) if none had them, or several.
  type: str
  returned: success, and failure after a first look
  sample: projects/my-project/zones/us-central1-a/instances/node1
ranges:
  description: Each range.
  type: list
  elements: dict
  returned: success, and failure after a first look
  contains:
    address:
      description: The range, in CIDR notation.
      type: str
      sample: 10.100.9.5/32
    holder:
      description: The instance that has it now; V(null) if none.
      type: str
    interface:
      description: The interface that has it now.
      type: str
      sample: nic0
    previous_holder:
      description: The instance that had it before; V(null) if none.
      type: str
    previous_interface:
      description: The interface that had it before.
      type: str
steps:
  description: Each request that changed something. In check mode the planned ones, without times.
  type: list
  elements: dict
  returned: always
  contains:
    name:
      description: The kind of change.
      type: str
      sample: remove alias ranges
    resource:
      description: The interface and the ranges.
      type: str
      sample: "projects/my-project/zones/us-central1-a/instances/node1 nic0: 10.100.9.5/32"
    ms:
      description: The time until the API confirmed the change.
      type: float
      sample: 2013.4
    attempts:
      description: The number of attempts.
      type: int
      sample: 1
gap_ms:
  description:
    - The longest time of a range without an interface, from the first removal to the end of the last addition.
    - V(null) if nothing was moved.
  type: float
  returned: success, and failure after a first look
  sample: 4105.2
elapsed_ms:
  description: The time of the whole run, with reading and checking.
  type: float
  returned: always
  sample: 4321.9
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
      sample: IP_IN_USE_BY_ANOTHER_RESOURCE
    message:
      description: The whole message.
      type: str
"""

from ansible_collections.cloudha.vip.plugins.module_utils.ansible import alias_ip, gcp
from ansible_collections.cloudha.vip.plugins.module_utils.ansible.module import Module
from ansible_collections.cloudha.vip.plugins.module_utils.ansible.run import carry_out, failures
from ansible_collections.cloudha.vip.plugins.module_utils.failover import alias


def main() -> None:
    module = Module(
        argument_spec=dict(
            gcp.SPEC,
            ranges=dict(type="list", elements="str", aliases=["addresses"]),
            range_name=dict(type="str"),
            state=dict(type="str", choices=["present", "absent"], default="present"),
            target_instance=dict(type="str"),
            target_zone=dict(type="str"),
            target_interface=dict(type="str", default="nic0"),
            source_instance=dict(type="str"),
            source_zone=dict(type="str"),
            source_interface=dict(type="str"),
            assignment=alias_ip.ASSIGNMENT,
            avoid=dict(type="list", elements="str", default=[]),
            preempt=dict(type="bool", default=False),
            expected_holder=dict(type="str"),
            on_source_failure=dict(type="str", choices=["fail", "stop"], default="fail"),
            limit=dict(type="int", default=150),
            timeout=dict(type="float", default=120),
        ),
        mutually_exclusive=[("ranges", "assignment")],
        required_one_of=[("ranges", "assignment")],
        required_by={
            "target_zone": ["target_instance"],
            "source_zone": ["source_instance"],
            "source_interface": ["source_instance"],
        },
        supports_check_mode=True,
    )
    with failures(module) as task:
        client = gcp.compute(module, module.params["timeout"])
        result = carry_out(
            module,
            alias,
            client,
            alias_ip.goal(module.params, client.project),
            task,
            describe=alias_ip.describe,
            preview=alias_ip.preview,
            apply=alias_ip.parallel(module),
        )
        module.exit_json(**result)


if __name__ == "__main__":
    main()

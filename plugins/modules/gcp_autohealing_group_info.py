#!/usr/bin/python
# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: gcp_autohealing_group_info
short_description: Show the instances of an autohealing group of Google Cloud, and what keeps it from healing them
version_added: 1.0.0
author:
  - cloudha.vip contributors (@cloudha-vip)
description:
  - Shows the instances of a managed instance group with their health, what the group does with them, and what they are
    made of.
  - Finds what keeps the group from healing its instances, and names the remedy. RV(problems) is empty if nothing does.
extends_documentation_fragment:
  - cloudha.vip.attributes
  - cloudha.vip.attributes.info
  - cloudha.vip.gcp.service_project
  - cloudha.vip.gcp
  - cloudha.vip.gcp.info
requirements:
  - C(google-cloud-compute) 1.20 or newer, with every O(auth_kind)
options:
  name:
    description:
      - The name of the group, as in M(cloudha.vip.gcp_autohealing_group). It need not exist.
      - Required without O(groups).
    type: str
  zone:
    description: The zone of the group. Required with O(name).
    type: str
  groups:
    description:
      - Several groups, to look at all at the same time, in place of O(name) and O(zone).
      - A group that nobody can look at, as in a lost zone, does not fail the task, and does not delay the others. See
        RV(groups).
    type: list
    elements: dict
    suboptions:
      name:
        description: The name of the group, as O(name).
        type: str
        required: true
      zone:
        description: The zone of the group, as O(zone).
        type: str
        required: true
  preflight:
    description:
      - Whether to look for obstacles. These are instances that do not serve, errors in making them, a firewall that
        stops the probes, addresses that are not kept, and missing permissions. If there is no group, they are also
        quotas that are used up.
      - With V(false), RV(problems) is empty.
    type: bool
    default: true
notes:
  - The module reads only the firewall rules of the VPC network, and no hierarchical or network firewall policies.
  - The permissions are those of the caller on the project. Without an answer RV(problems) says so.
seealso:
  - module: cloudha.vip.gcp_autohealing_group
"""

EXAMPLES = r"""
- name: Look at the group
  cloudha.vip.gcp_autohealing_group_info:
    project: my-project
    name: web
    zone: us-central1-f
  register: web

- name: Fail if something keeps it from healing
  ansible.builtin.assert:
    that: web.problems | length == 0
    fail_msg: "{{ web.problems | join('; ') }}"

- name: Look at the groups of two zones, of which one may be lost
  cloudha.vip.gcp_autohealing_group_info:
    project: my-project
    groups:
      - {name: web-node1, zone: us-central1-c}
      - {name: web-node2, zone: us-central1-f}
    preflight: false
  register: web

- name: Show the groups that nobody could look at
  ansible.builtin.debug:
    msg: "{{ web.groups | selectattr('msg', 'defined') | map(attribute='msg') | list }}"
"""

RETURN = r"""
groups:
  description:
    - Each of O(groups), in their order, with its C(name), its C(zone), and all that is returned for one group.
    - Of a group that nobody could look at there are C(msg), which says why, and the C(image) of its latest template.
      Templates are in no zone.
  type: list
  elements: dict
  returned: if O(groups) is set
  sample:
    - name: web-node1
      zone: us-central1-c
      msg: "Cannot look at the group: no answer for the zone us-central1-c. Try again later."
      image: projects/my-project/global/images/web-3f9a1c
    - name: web-node2
      zone: us-central1-f
      exists: true
      is_stable: false
      template: projects/my-project/global/instanceTemplates/web-node2-3f9a1c77b0
      image: projects/my-project/global/images/web-3f9a1c
      health_check: projects/my-project/regions/us-central1/healthChecks/web-node2
      instances: []
      problems: []
exists:
  description: Whether there is a group of this name in the zone.
  type: bool
  returned: if O(name) is set
is_stable:
  description: Whether all instances serve, and are made of the group's template.
  type: bool
  returned: if O(name) is set
template:
  description: The path of the template that the group makes instances of. V(null) without a group.
  type: str
  returned: if O(name) is set
  sample: projects/my-project/global/instanceTemplates/web-3f9a1c77b0
image:
  description: The path of the image in that template. V(null) without a group.
  type: str
  returned: if O(name) is set
  sample: projects/my-project/global/images/web-3f9a1c
health_check:
  description: The path of the health check. V(null) if there is none.
  type: str
  returned: if O(name) is set
  sample: projects/my-project/regions/us-central1/healthChecks/web
instances:
  description: The instances of the group.
  type: list
  elements: dict
  returned: if O(name) is set
  contains:
    name:
      description: The name of the instance.
      type: str
      sample: web
    instance:
      description: Its path.
      type: str
      sample: projects/my-project/zones/us-central1-f/instances/web
    address:
      description: Its address. While there is no machine, the one that is kept for it.
      type: str
      sample: 10.100.2.1
    status:
      description: The status of the machine. V(null) while there is none.
      type: str
      sample: RUNNING
    action:
      description: What the group does with it. V(NONE) if nothing.
      type: str
      sample: NONE
    health:
      description:
        - What the probes found, such as V(HEALTHY), V(UNHEALTHY) or V(TIMEOUT). V(UNKNOWN) before the first ones.
      type: str
      sample: HEALTHY
    serves:
      description: Whether it runs, is healthy, and the group has nothing more to do with it.
      type: bool
    template:
      description: The path of the template that it is made of.
      type: str
      sample: projects/my-project/global/instanceTemplates/web-3f9a1c77b0
    image:
      description: The path of the image that it is made of. V(null) if nobody tells.
      type: str
      sample: projects/my-project/global/images/web-3f9a1c
    errors:
      description: What kept the group from making it, at the last attempt.
      type: list
      elements: dict
      contains:
        code:
          description: The API's own code.
          type: str
          sample: ZONE_RESOURCE_POOL_EXHAUSTED
        message:
          description: The API's text.
          type: str
problems:
  description: The obstacles, each with its remedy.
  type: list
  elements: str
  returned: if O(name) is set
  sample: []
"""

from ansible_collections.cloudha.vip.plugins.module_utils.ansible import gcp, gcp_group, gcp_library
from ansible_collections.cloudha.vip.plugins.module_utils.ansible.module import Module
from ansible_collections.cloudha.vip.plugins.module_utils.ansible.run import failures


def main() -> None:
    module = Module(
        argument_spec=dict(
            gcp.SPEC,
            name=dict(type="str"),
            zone=dict(type="str"),
            groups=dict(
                type="list",
                elements="dict",
                options=dict(name=dict(type="str", required=True), zone=dict(type="str", required=True)),
            ),
            preflight=dict(type="bool", default=True),
            timeout=dict(type="float", default=60),
        ),
        required_one_of=[("name", "groups")],
        required_together=[("name", "zone")],
        mutually_exclusive=[("name", "groups"), ("zone", "groups")],
        supports_check_mode=True,
    )
    gcp_library.require(module)
    with failures(module) as task:
        module.exit_json(changed=False, **gcp_group.info(module, task))


if __name__ == "__main__":
    main()

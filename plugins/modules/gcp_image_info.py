#!/usr/bin/python
# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: gcp_image_info
short_description: Show images of Google Cloud, newest first, and builders that are left over
version_added: 1.0.0
author:
  - cloudha.vip contributors (@cloudha-vip)
description:
  - Shows the images of a project, newest first, with the instance templates that name them.
  - Shows the builders of M(cloudha.vip.gcp_image) that are there, of all zones. One that no run is at work on is left
    over of a run that was killed.
  - Finds out which image a source image is now, if it is given by its family.
extends_documentation_fragment:
  - cloudha.vip.attributes
  - cloudha.vip.attributes.info
  - cloudha.vip.gcp.service_project
  - cloudha.vip.gcp
  - cloudha.vip.gcp.info
requirements:
  - C(google-cloud-compute) 1.20 or newer, with every O(auth_kind)
options:
  family:
    description: Show only images of this family.
    type: str
  prefix:
    description: Show only images whose names begin so, and the builders of such images.
    type: str
    default: ""
  source_image:
    description: An image or a family, as in O(cloudha.vip.gcp_image#module:source_image), to find out what it is now.
    type: str
notes:
  - Only instance templates of the same project are read.
seealso:
  - module: cloudha.vip.gcp_image
"""

EXAMPLES = r"""
- name: Look at the images of a node
  cloudha.vip.gcp_image_info:
    project: my-project
    family: node
  register: found

- name: Keep the newest two, and those that are used
  cloudha.vip.gcp_image:
    project: my-project
    name: "{{ item.name }}"
    state: absent
  loop: "{{ found.images[2:] }}"
  loop_control:
    label: "{{ item.name }}"
  when: item.made_here and not item.used_by

- name: Find out the newest image of Debian 12
  cloudha.vip.gcp_image_info:
    project: my-project
    source_image: projects/debian-cloud/global/images/family/debian-12
  register: found
"""

RETURN = r"""
images:
  description: The images, newest first.
  type: list
  elements: dict
  returned: success
  contains:
    name:
      description: The name.
      type: str
      sample: node-h3kqx7m2ab
    path:
      description: The path.
      type: str
      sample: projects/my-project/global/images/node-h3kqx7m2ab
    id:
      description: The number that the API gave it.
      type: str
      sample: "4631837253713183415"
    status:
      description: V(READY), V(PENDING) while the API makes it, V(FAILED), or V(DELETING).
      type: str
      sample: READY
    deprecated:
      description: V(DEPRECATED), V(OBSOLETE) or V(DELETED); V(null) if it is active.
      type: str
    family:
      description: Its family; V(null) if it has none.
      type: str
      sample: node
    labels:
      description: All its labels.
      type: dict
      sample: {"cloudha-vip-image": "node-h3kqx7m2ab"}
    created:
      description: When it was made.
      type: str
      sample: "2026-11-30T12:00:00.000-08:00"
    made_here:
      description: Whether M(cloudha.vip.gcp_image) made it.
      type: bool
    used_by:
      description: The instance templates of the project that name it, by their paths.
      type: list
      elements: str
      sample: [projects/my-project/global/instanceTemplates/node-5d2a]
builders:
  description: The builders that are there.
  type: list
  elements: dict
  returned: success
  contains:
    name:
      description: The name.
      type: str
      sample: node-h3kqx7m2ab-builder
    path:
      description: The path.
      type: str
      sample: projects/my-project/zones/us-central1-a/instances/node-h3kqx7m2ab-builder
    zone:
      description: The zone.
      type: str
      sample: us-central1-a
    id:
      description: The number that the API gave it.
      type: str
      sample: "7123837253713183415"
    status:
      description: The status of the instance.
      type: str
      sample: RUNNING
    image:
      description: The name of the image that it becomes.
      type: str
      sample: node-h3kqx7m2ab
    address:
      description: Its internal IPv4 address.
      type: str
      sample: 10.100.2.9
    external_address:
      description: Its external IPv4 address; V(null) if it has none.
      type: str
    created:
      description: When it was made.
      type: str
      sample: "2026-11-30T12:00:00.000-08:00"
source_image:
  description: What O(source_image) is now. V(null) without that option.
  type: dict
  returned: success
  contains:
    name:
      description: The name.
      type: str
      sample: node-h3kqx7m2ab
    path:
      description: The path.
      type: str
      sample: projects/my-project/global/images/node-h3kqx7m2ab
    id:
      description: The number that the API gave it.
      type: str
      sample: "4631837253713183415"
    status:
      description: V(READY), V(PENDING) while the API makes it, V(FAILED), or V(DELETING).
      type: str
      sample: READY
    deprecated:
      description: V(DEPRECATED), V(OBSOLETE) or V(DELETED); V(null) if it is active.
      type: str
    family:
      description: Its family; V(null) if it has none.
      type: str
      sample: node
    labels:
      description: All its labels.
      type: dict
      sample: {"cloudha-vip-image": "node-h3kqx7m2ab"}
    created:
      description: When it was made.
      type: str
      sample: "2026-11-30T12:00:00.000-08:00"
    made_here:
      description: Whether M(cloudha.vip.gcp_image) made it.
      type: bool
notes:
  description: Zones that did not answer, so that their builders are not in the list.
  type: list
  elements: str
  returned: success
  sample: []
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.cloudha.vip.plugins.module_utils.ansible import gcp, gcp_image, gcp_library
from ansible_collections.cloudha.vip.plugins.module_utils.ansible.run import failures, read_with_retries


def main() -> None:
    module = AnsibleModule(
        argument_spec=dict(
            gcp.SPEC,
            family=dict(type="str"),
            prefix=dict(type="str", default=""),
            source_image=dict(type="str"),
            timeout=dict(type="float", default=60),
        ),
        supports_check_mode=True,
    )
    gcp_library.require(module)
    with failures(module) as task:
        client = gcp_image.client(module)
        result = read_with_retries(lambda: gcp_image.info(module.params, client), task.left)
        module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()

#!/usr/bin/python
# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: gcp_image
short_description: Make an image of Google Cloud from an instance that is prepared by roles
version_added: 1.0.0
author:
  - cloudha.vip contributors (@cloudha-vip)
description:
  - Makes an image in two tasks. O(state=building) makes an instance from another image, the builder. Roles or tasks
    then prepare the builder. O(state=present) stops the builder, makes the image of its disk, and deletes the builder
    with its disk.
  - An image that exists is never changed. If it exists, O(state=building) makes no builder and changes nothing. So a
    name that follows from the contents, as of P(cloudha.vip.gcp_image_name#filter), has each image made once.
  - The module makes every possible check before the first change, and asks for the permissions of both states.
  - The module may be killed at any point. The next run continues from any state. Several may run at once.
extends_documentation_fragment:
  - cloudha.vip.attributes
  - cloudha.vip.gcp.service_project
  - cloudha.vip.gcp
attributes:
  check_mode:
    support: full
    details: Reads, checks and plans, and sends no request that changes anything.
  diff_mode:
    support: full
  idempotent:
    support: full
requirements:
  - C(google-cloud-compute) 1.20 or newer, with every O(auth_kind)
options:
  name:
    description: The name of the image, with at most 63 characters.
    type: str
    required: true
  state:
    description:
      - V(building) makes the builder, or starts the one that is there, unless the image exists.
      - V(present) makes the image of the builder, unless it exists. Then the builder is deleted.
      - V(absent) deletes the image and its builder. The module refuses to delete an image that an instance template of
        the project names, and one that it has not made.
    type: str
    choices: [building, present, absent]
    default: present
  zone:
    description:
      - The zone of the builder.
      - Required, unless O(state=absent). Without it O(state=absent) looks for no builder.
    type: str
  builder:
    description: The name of the builder. By default, the name of the image, cut if need be, with C(-builder) behind it.
    type: str
  expected_builder:
    description:
      - The id of the builder that was prepared, RV(builder.id) of O(state=building). If somebody made the builder anew
        meanwhile, O(state=present) fails, and makes no image of it.
    type: str
  source_image:
    description:
      - The image that the builder is made from, by its path or URL, or by its name in O(project). A path that ends with
        C(family/NAME) is the newest image of that family at this moment.
      - Required with O(state=building).
    type: str
  family:
    description: The family of the image.
    type: str
  labels:
    description:
      - Labels of image, builder and disk. The module adds labels that begin with C(cloudha-vip-). By them it knows what
        it has made.
    type: dict
    default: {}
  machine_type:
    description: The machine type of the builder.
    type: str
    default: e2-small
  network:
    description: The VPC network of the builder, by name, or by its path or URL.
    type: str
  subnetwork:
    description:
      - The subnetwork of the builder, by name, or by its path or URL.
      - With O(state=building), give it, or a O(network) that makes its subnetworks by itself.
    type: str
  address:
    description: An internal IPv4 address for the builder. By default, the API chooses one.
    type: str
  external_address:
    description:
      - Whether the builder also has an external address.
      - Without one, it reaches package repositories through Cloud NAT, or in the network.
    type: bool
    default: false
  tags:
    description: Network tags of the builder, such as those of a firewall rule that lets SSH in.
    type: list
    elements: str
    default: []
  service_account:
    description: The e-mail address of the builder's service account. By default it has none, and so no rights.
    type: str
  service_account_scopes:
    description: The access scopes of O(service_account).
    type: list
    elements: str
    default: ["https://www.googleapis.com/auth/cloud-platform"]
  metadata:
    description:
      - Metadata of the builder, such as C(ssh-keys). All processes on the builder can read it, and all who may see the
        instance. Put no secrets here.
      - The image does not have it. But it has what the builder made of it, such as accounts of C(ssh-keys).
    type: dict
    default: {}
  disk_size_gb:
    description: The size of the builder's disk, and so of the image. By default, that of the source image.
    type: int
  timeout:
    description:
      - Give up so many seconds after the task began, from 0.001 to 86400. The time includes the login and all reading.
      - Until then, the module retries temporary failures (rate limits, failures of the API, lost connections), with
        growing pauses.
    type: float
    default: 900
notes:
  - Runs on a host that reaches the API, usually C(localhost).
  - The options of a builder matter only for O(state=building). A builder that was made with others is made anew, and so
    is one whose source image has a successor.
  - An image has all that is on the disk, also keys and passwords. Whoever may use the image can read them.
  - The module waits until the builder runs, and not until it answers. Use M(ansible.builtin.wait_for_connection) for
    that.
  - The module asks Google's Resource Manager for the caller's permissions on the project, for which its token also has
    the scope C(https://www.googleapis.com/auth/cloudplatformprojects.readonly), unless O(scopes) is set. Without an
    answer it goes on, and RV(notes) says so.
seealso:
  - module: cloudha.vip.gcp_image_info
  - plugin: cloudha.vip.gcp_image_name
    plugin_type: filter
  - module: google.cloud.gcp_compute_image
    description: Makes an image of a disk that exists. It has no check mode.
"""

EXAMPLES = r"""
- name: An image with a web server
  hosts: localhost
  gather_facts: false
  module_defaults:
    group/cloudha.vip.gcp:
      project: my-project
  tasks:
    - name: Find out the newest source image
      cloudha.vip.gcp_image_info:
        source_image: projects/debian-cloud/global/images/family/debian-12
      register: found

    - name: Start a builder, unless there is an image of these contents
      cloudha.vip.gcp_image:
        name: "{{ image_name }}"
        state: building
        zone: us-central1-a
        source_image: "{{ found.source_image.path }}"
        subnetwork: build-subnet
        tags: [ssh]
        metadata:
          ssh-keys: "admin:{{ lookup('ansible.builtin.file', '~/.ssh/id_ed25519.pub') }}"
      vars:
        image_name: >-
          {{ 'web' | cloudha.vip.gcp_image_name('my-project', found.source_image.id, roles=['nginx'],
                                                variables={'page': page}) }}
        page: Hello
      register: built

    - name: Prepare the builder in the next play
      ansible.builtin.add_host:
        name: builder
        groups: builders
        ansible_host: "{{ built.builder.address }}"
        image_name: "{{ built.builder.image }}"
        builder_id: "{{ built.builder.id }}"
      when: not built.image
      changed_when: false

- name: Prepare the builder
  hosts: builders
  become: true
  gather_facts: false
  tasks:
    - name: Wait until the builder answers
      ansible.builtin.wait_for_connection:

    - name: Install the web server
      ansible.builtin.import_role:
        name: cloudha.vip.nginx

    - name: Make the image, and delete the builder
      cloudha.vip.gcp_image:
        project: my-project
        name: "{{ image_name }}"
        zone: us-central1-a
        family: web
        expected_builder: "{{ builder_id }}"
      delegate_to: localhost
      become: false

- name: Delete an image
  hosts: localhost
  gather_facts: false
  tasks:
    - name: Delete the image, and a builder that is left over
      cloudha.vip.gcp_image:
        project: my-project
        name: web-h3kqx7m2ab
        state: absent
        zone: us-central1-a
"""

RETURN = r"""
image:
  description: The image. V(null) if there is none, or none yet.
  type: dict
  returned: success, and failure after a first look
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
builder:
  description: The builder. V(null) if there is none.
  type: dict
  returned: success, and failure after a first look
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
steps:
  description: Each request that changed something, in order. In check mode the planned ones, without times.
  type: list
  elements: dict
  returned: always
  contains:
    name:
      description: The kind of change.
      type: str
      sample: create image
    resource:
      description: The name of the object.
      type: str
      sample: node-h3kqx7m2ab
    ms:
      description: The time until the API confirmed the change.
      type: float
      sample: 62013.4
    attempts:
      description: The number of attempts.
      type: int
      sample: 1
elapsed_ms:
  description: The time of the whole run, with reading and checking.
  type: float
  returned: always
  sample: 121042.7
notes:
  description: What was not done, and checks that were not possible, with the reasons.
  type: list
  elements: str
  returned: success, and failure after a first look
  sample: ["the image node-h3kqx7m2ab exists: no builder is made"]
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
      sample: ZONE_RESOURCE_POOL_EXHAUSTED
    message:
      description: The whole message.
      type: str
"""

from ansible_collections.cloudha.vip.plugins.module_utils.ansible import gcp, gcp_image, gcp_library
from ansible_collections.cloudha.vip.plugins.module_utils.ansible.module import Module
from ansible_collections.cloudha.vip.plugins.module_utils.ansible.run import carry_out, failures
from ansible_collections.cloudha.vip.plugins.module_utils.failover import image


def main() -> None:
    module = Module(argument_spec=dict(gcp.SPEC, **gcp_image.SPEC), supports_check_mode=True)
    gcp_library.require(module)
    with failures(module) as task:
        client = gcp_image.client(module, module.params["timeout"])
        goal = gcp_image.goal(module, client.project)
        result = carry_out(module, image.Procedure(), client, goal, task, describe=gcp_image.describe)
        module.exit_json(**result)


if __name__ == "__main__":
    main()

#!/usr/bin/python
# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: gcp_autohealing_group
short_description: Make a managed instance group of Google Cloud that heals itself, with fixed names and addresses
version_added: 1.0.0
author:
  - cloudha.vip contributors (@cloudha-vip)
description:
  - Makes a zonal managed instance group from one declaration. It consists of reserved addresses, a health check, a
    firewall rule for the probes, an instance template, the group, and a configuration of each instance.
  - The group makes an instance anew that stopped, or that does not answer the probes. The instance keeps its name and
    its internal address. It comes from the O(image), so the image has to hold all that the service needs.
  - Another image, or another option of the instances, is rolled out by the module. It replaces one instance after the
    other, and waits until each one serves. An instance serves once it runs, the probes found it healthy, and the group
    has nothing more to do with it. If it does not come up, the module fails, and the others go on serving.
  - A group that exists is adopted. What can be changed in place is changed in place. The module refuses all else, and
    names the field.
  - The module makes every possible check before the first change.
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
    details: Metadata are shown by their keys only, as they may be secret.
  idempotent:
    support: full
requirements:
  - C(google-cloud-compute) 1.20 or newer, with every O(auth_kind)
options:
  name:
    description:
      - The name of the group, with at most 52 characters.
      - The health check has this name, too. The instance template has a dash and a hash of its content behind it, and
        the firewall rule has C(-probes).
      - Groups of one name in several zones share these objects. The last group takes them away.
    type: str
    required: true
  zone:
    description: The zone of the group and its instances.
    type: str
    required: true
  state:
    description:
      - V(present) makes the group, or changes it, and waits until its instances serve.
      - V(prepared) makes the group without instances, and all that these need. It deletes the instances that the group
        has, and keeps their addresses reserved. Then V(present) only has to make the instances, which a spare place
        does faster.
      - V(absent) deletes what this module made for the group, first the group with its instances. What it did not
        make, or what others use, stays, and RV(notes) says so.
    type: str
    choices: [present, prepared, absent]
    default: present
  instances:
    description:
      - The instances of the group. Others stay in it, unless O(exclusive=true).
      - If omitted, an existing group keeps its own.
    type: list
    elements: dict
    suboptions:
      name:
        description: The name of the instance, which it keeps.
        type: str
        required: true
      address:
        description:
          - The internal address of its first interface, which it keeps. The module reserves it, or uses a reservation
            that exists, and never deletes that one.
          - If omitted, the instance keeps the one that it has, and the API chooses one for a new instance.
          - Another address replaces the instance.
        type: str
  image:
    description:
      - The image of the boot disk, by name, or by its path or URL. A new group needs one.
      - It is no image family. An instance that is made anew would come from an image that nobody has tried.
    type: str
  machine_type:
    description: The machine type. The default of a new group is C(e2-small).
    type: str
  disk_size_gb:
    description: The size of the boot disk. By default that of the image.
    type: int
  network:
    description: The VPC network, by name, or by its path or URL. The O(subnetwork) tells it, too.
    type: str
  subnetwork:
    description: The subnetwork of the instances, by name, or by its path or URL. A new group needs one.
    type: str
  can_ip_forward:
    description: Whether the instances may send and get packets of other addresses, as the hop of a route does.
    type: bool
  tags:
    description: The network tags of the instances, all of them.
    type: list
    elements: str
  service_account:
    description:
      - The service account of the instances, by its e-mail address. V(default) is the project's default one.
      - An empty string is none.
    type: str
  service_account_scopes:
    description:
      - The scopes of the instances' tokens, all of them, by URL or by its last part.
      - The default of a new service account is C(cloud-platform). The permissions of the account limit it further.
    type: list
    elements: str
  metadata:
    description:
      - The metadata of the instances, all of them. Use the filter C(to_json) for a value that is JSON.
      - Differences and results have only the keys. A value whose key has a name such as C(db-password) or C(api-token)
        is hidden everywhere. At C(-vvv) Ansible shows the other ones among the options of the task.
      - Whoever may read the instance or its template can read its metadata. A secret is better kept elsewhere.
    type: dict
  labels:
    description: The labels of the instances, all of them.
    type: dict
  health_check:
    description:
      - The health check that decides which instance is made anew. The probes come to the address of the instance.
      - A change takes effect at once. If the present instances do not pass the new health check, the group makes all of
        them anew.
    type: dict
    suboptions:
      type:
        description:
          - V(http) expects the status 200. V(tcp) expects a connection.
          - If omitted, an existing health check keeps its own, and a new one gets V(http).
          - Another type is another health check, which takes the place of the present one.
        type: str
        choices: [http, tcp]
      port:
        description: The TCP port. The default of a new health check is 80.
        type: int
      path:
        description: The path of the request. Only with O(health_check.type=http). The default is C(/).
        type: str
      host:
        description: The C(Host) header of the request. Only with O(health_check.type=http).
        type: str
      response:
        description:
          - The text that the first 1024 bytes of the answer's body must have, in ASCII. Only with
            O(health_check.type=http).
        type: str
      interval_s:
        description: The seconds between two probes, from 1 to 300. The default of a new health check is 5.
        type: int
      timeout_s:
        description:
          - The seconds for an answer, from 1 to O(health_check.interval_s). The default of a new health check is 5.
        type: int
      healthy_threshold:
        description: So many good probes in a row, from 1 to 10, make an instance healthy. The default is 2.
        type: int
      unhealthy_threshold:
        description: So many bad probes in a row, from 1 to 10, make an instance unhealthy. The default is 2.
        type: int
      log:
        description: Whether Google Cloud logs changes of health.
        type: bool
  initial_delay_s:
    description:
      - For so many seconds, from 0 to 3600, the group does not make a new instance anew that is not healthy yet.
      - The first good probe ends this time. So a long one costs nothing where the image is good. One that ends before
        the service is up makes the instance anew for ever.
      - The default of a new group is 120, several times the boot of a usual image.
    type: int
  firewall:
    description: The firewall rule that lets the probes in. They come from 35.191.0.0/16 and 130.211.0.0/22.
    type: dict
    suboptions:
      manage:
        description: Whether the module makes this rule. If not, it neither makes nor deletes one.
        type: bool
        default: true
      target_tags:
        description: The network tags of the instances that it is for. V([]) is all instances of the network.
        type: list
        elements: str
      target_service_accounts:
        description: The service accounts of the instances that it is for. Not with O(firewall.target_tags).
        type: list
        elements: str
  replace:
    description:
      - What becomes of instances that are not as the options say.
      - V(rolling) replaces one after the other. While a replaced instance does not serve, no other one is replaced. The
        only instance of a group is replaced, too, and nobody serves meanwhile.
      - V(none) leaves them as they are, until a run with V(rolling). The group also repairs them as they are.
    type: str
    choices: [rolling, none]
    default: rolling
  healthy_within_s:
    description:
      - For so many seconds, from 1 to 86400, the module waits for one instance to serve, and then fails.
      - The default is the O(initial_delay_s) and 120 seconds.
    type: float
  wait:
    description:
      - Whether to wait until the instances serve.
      - V(false) ends as soon as it would wait. So it makes all instances that are missing, and replaces one at most. A
        run with V(true) does the rest.
    type: bool
    default: true
  exclusive:
    description: V(true) takes away instances that are not in O(instances), after the others serve.
    type: bool
    default: false
  timeout:
    description:
      - Give up so many seconds after the task began, from 0.001 to 86400. The time includes the login, all reading, and
        the wait for every instance.
      - Until then, the module retries temporary failures (rate limits, failures of the API, lost connections), with
        growing pauses.
    type: float
    default: 1800
notes:
  - Runs on a host that reaches the API, usually C(localhost).
  - An omitted option changes nothing of an existing object. The exception is how the group updates its instances. The
    module sets the update policy that fixed names and its own rolling replacement need, in every group.
  - Each object that the module makes has a description with the name of the group. By it the module knows what it may
    delete.
  - The group applies a change of labels, tags or metadata to a running instance, and makes it anew for other changes.
  - With C(-vv) the result has C(events), which say whom the module waited for, and how long.
  - The module asks Google's Resource Manager for the caller's permissions on the project, for which its token also has
    the scope C(https://www.googleapis.com/auth/cloudplatformprojects.readonly), unless O(scopes) is set. Without an
    answer it goes on, and RV(notes) says so.
seealso:
  - module: cloudha.vip.gcp_autohealing_group_info
  - module: google.cloud.gcp_compute_instance_group_manager
    description: Makes one of the objects. It knows no autohealing, and no fixed names or addresses.
"""

EXAMPLES = r"""
- name: One server that heals itself, always at the same address
  cloudha.vip.gcp_autohealing_group:
    project: my-project
    name: web
    zone: us-central1-f
    instances:
      - {name: web, address: 10.100.2.1}
    image: web-3f9a1c
    subnetwork: web-subnet
    tags: [web]
    health_check:
      type: http
      port: 80
      path: /health
      interval_s: 2
      timeout_s: 1
    firewall:
      target_tags: [web]

- name: A new image
  cloudha.vip.gcp_autohealing_group:
    project: my-project
    name: web
    zone: us-central1-f
    image: web-77b0e2
  register: web

- name: Show for how long the instance was waited for
  ansible.builtin.debug:
    var: web.waits

- name: A pair of gateways, which are replaced one after the other
  cloudha.vip.gcp_autohealing_group:
    project: my-project
    name: gateway
    zone: us-central1-f
    instances:
      - {name: gateway1, address: 10.100.2.11}
      - {name: gateway2, address: 10.100.2.12}
    image: gateway-5d21aa
    subnetwork: web-subnet
    can_ip_forward: true
    service_account: gateway@my-project.iam.gserviceaccount.com
    health_check:
      type: tcp
      port: 6000

- name: Take it all away
  cloudha.vip.gcp_autohealing_group:
    project: my-project
    name: gateway
    zone: us-central1-f
    state: absent
"""

RETURN = r"""
instances:
  description: The instances of the group. In check mode, those of the present state.
  type: list
  elements: dict
  returned: success, and failure after a first look
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
      description: The address that is kept for it. V(null) if none is.
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
      sample: true
waits:
  description: For which instances the module waited, and how long.
  type: list
  elements: dict
  returned: success, and failure after a first look
  contains:
    instance:
      description: The name of the instance.
      type: str
      sample: web
    seconds:
      description: For how long.
      type: float
      sample: 41.3
steps:
  description: Each request that changed something, in order. In check mode the planned ones, without times.
  type: list
  elements: dict
  returned: always
  contains:
    name:
      description: The kind of change.
      type: str
      sample: replace instance
    resource:
      description: The name of the object.
      type: str
      sample: web
    ms:
      description: The time until the API confirmed the change. The group works on after that.
      type: float
      sample: 1013.4
    attempts:
      description: The number of attempts.
      type: int
      sample: 1
elapsed_ms:
  description: The time of the whole run, with reading, checking and waiting.
  type: float
  returned: always
  sample: 61042.7
notes:
  description: Checks that were not possible, and objects that stay with O(state=absent), with the reasons.
  type: list
  elements: str
  returned: success, and failure after a first look
  sample: []
problems:
  description: The reasons of a refusal, one message each.
  type: list
  elements: str
  returned: when the module refused to change anything
error:
  description: The API's error, or what the module waited for in vain.
  type: dict
  returned: when a request failed, or an instance does not serve
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

from ansible_collections.cloudha.vip.plugins.module_utils.ansible import gcp, gcp_group, gcp_library
from ansible_collections.cloudha.vip.plugins.module_utils.ansible.module import Module
from ansible_collections.cloudha.vip.plugins.module_utils.ansible.run import carry_out, failures
from ansible_collections.cloudha.vip.plugins.module_utils.failover import group


def main() -> None:
    module = Module(argument_spec=dict(gcp.SPEC, **gcp_group.SPEC), supports_check_mode=True)
    gcp_library.require(module)
    with failures(module) as task:
        client = gcp_group.client(module, module.params["timeout"])
        goal = gcp_group.goal(module, client.project)
        procedure = group.Procedure(module.params["wait"])
        result = carry_out(module, procedure, client, goal, task, describe=gcp_group.describe)
        module.exit_json(**result)


if __name__ == "__main__":
    main()

#!/usr/bin/python
# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: gcp_passthrough_lb
short_description: Make a passthrough load balancer of Google Cloud, with all that it consists of
version_added: 1.0.0
author:
  - cloudha.vip contributors (@cloudha-vip)
description:
  - Makes an internal or external passthrough Network Load Balancer from one declaration. It consists of an address, a
    firewall rule for the probes, a health check, unmanaged instance groups with their members, backend services, and
    forwarding rules.
  - What can be changed in place is changed in place. The module refuses a change that would take the live address down,
    and names the field. O(allow_replace=true) makes such a change all the same.
  - The module adopts objects that exist, if they fit or can be changed in place. Backends and members that others added
    stay, unless O(exclusive=true).
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
  idempotent:
    support: full
requirements:
  - C(google-cloud-compute) 1.20 or newer, with every O(auth_kind)
options:
  name:
    description:
      - The name of the load balancer, with at most 56 characters.
      - Address, health check, backend service and forwarding rule have this name. With several O(protocols), backend
        services and forwarding rules have C(-tcp) and C(-udp) behind it. The firewall rule has C(-probes) behind it.
    type: str
    required: true
  region:
    description: The region of the load balancer and its instances.
    type: str
    required: true
  state:
    description:
      - V(present) makes the load balancer, or changes it.
      - V(absent) deletes what this module made for it, in the order that the API requires. What others use stays, and
        RV(notes) says so.
    type: str
    choices: [present, absent]
    default: present
  network:
    description:
      - The VPC network, by name, or by its path or URL. With a shared VPC, give its path in the host project, also with
        O(state=absent).
      - If omitted, it is the network of the subnetwork, or of an existing load balancer.
      - Required for a new external load balancer, unless O(firewall.manage=false).
    type: str
  subnetwork:
    description:
      - The subnetwork of an internal address, by name, or by its path or URL.
      - Required for a new internal load balancer.
    type: str
  scheme:
    description:
      - Whether the load balancer is for clients in the network, or for clients on the internet.
      - If omitted, an existing load balancer keeps its own, and a new one is V(internal).
    type: str
    choices: [internal, external]
  address:
    description:
      - The IPv4 address. The module reserves it.
      - An internal one is in the primary range of O(subnetwork), and required for a new load balancer, unless
        O(address_name) names a reserved one.
      - An external one must be reserved already. If omitted, the module reserves a new one.
    type: str
  address_name:
    description: The name of the reserved address. By default, the name of the load balancer.
    type: str
  protocols:
    description:
      - The protocols. Each gets a backend service and a forwarding rule; all are at the same address.
      - V(all) is every protocol, in one forwarding rule of the protocol C(L3_DEFAULT). It excludes others.
      - An internal address that was reserved for one forwarding rule cannot have two.
      - If omitted, an existing load balancer keeps its own, and a new one gets V(tcp).
    type: list
    elements: str
    choices: [tcp, udp, all]
  ports:
    description:
      - One to five ports, or V([all]). With O(protocols=all) there are only V([all]).
      - If omitted, an existing load balancer keeps its own, and a new one gets 80.
    type: list
    elements: str
  global_access:
    description:
      - Whether clients in other regions of the network reach an internal address.
      - If omitted, an existing load balancer keeps its own, and of a new one this is V(false).
    type: bool
  health_check:
    description: The health check of all backends. The probes come to the address of the load balancer.
    type: dict
    suboptions:
      type:
        description:
          - V(http) expects the status 200. V(tcp) expects a connection.
          - If omitted, an existing health check keeps its own, and a new one gets V(http).
        type: str
        choices: [http, tcp]
      port:
        description: The TCP port. The default of a new health check is 80.
        type: int
      path:
        description: The path of the request. Only with O(health_check.type=http). The default is C(/).
        type: str
      host:
        description:
          - The C(Host) header of the request. Only with O(health_check.type=http).
          - Without it, the header has the address of the load balancer.
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
        description: So many good probes in a row, from 1 to 10, make a backend healthy. The default is 2.
        type: int
      unhealthy_threshold:
        description: So many bad probes in a row, from 1 to 10, make a backend unhealthy. The default is 2.
        type: int
      scope:
        description:
          - Where the health check is. An external load balancer needs a regional one.
          - If omitted, an existing load balancer keeps its own, and a new one gets V(regional).
        type: str
        choices: [regional, global]
      log:
        description: Whether Google Cloud logs changes of health.
        type: bool
  groups:
    description:
      - The backends, unmanaged instance groups of the project. The module makes those that do not exist.
      - An instance can be in one load-balanced group only.
    type: list
    elements: dict
    suboptions:
      name:
        description: The name of the group.
        type: str
        required: true
      zone:
        description: The zone of the group and of its instances.
        type: str
        required: true
      instances:
        description:
          - Instances that are added to the group, by name or path. Others stay in it, unless O(exclusive=true).
          - The first interface of each must be on the network.
        type: list
        elements: str
      failover:
        description:
          - Whether the group is a backup, which gets connections only if too few primaries are healthy.
          - If omitted, an existing backend keeps its own, and a new one is a primary.
        type: bool
  failover:
    description: The policy of failover. It needs a group with O(groups[].failover=true), and one without.
    type: dict
    suboptions:
      ratio:
        description:
          - The backups get the connections if a smaller part of the primaries than this is healthy, from 0 to 1.
          - With 0, they get them if no primary is healthy.
        type: float
      drop_if_unhealthy:
        description: If no backend is healthy, whether connections are dropped. Otherwise all primaries get them.
        type: bool
      drain:
        description: Whether established connections stay with a backend when the active pool changes.
        type: bool
  draining_timeout_s:
    description: For so many seconds, from 0 to 3600, established connections stay with a backend that was removed.
    type: int
  session_affinity:
    description:
      - The connections that go to the same backend. V(client_ip_no_destination) is only for O(scheme=internal).
    type: str
    choices: [none, client_ip, client_ip_proto, client_ip_port_proto, client_ip_no_destination]
  tracking_mode:
    description: Whether each connection is tracked for itself, or by the O(session_affinity).
    type: str
    choices: [per_connection, per_session]
  persistence:
    description: Whether established connections stay with a backend that is not healthy any more.
    type: str
    choices: [default_for_protocol, never_persist, always_persist]
  idle_timeout_s:
    description:
      - The seconds, from 600 to 57600, for which a session is remembered that has no traffic.
      - The API takes it only with O(tracking_mode=per_session), and an affinity of fewer fields than a connection has.
    type: int
  firewall:
    description:
      - The firewall rule that lets the probes in. Those of an internal load balancer come from 35.191.0.0/16 and
        130.211.0.0/22.
      - Those of an external one come from 35.191.0.0/16, 209.85.152.0/22 and 209.85.204.0/22.
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
  allow_replace:
    description:
      - Some fields cannot be changed in place, such as the O(address), the O(protocols), the O(ports), the
        O(subnetwork) and the O(scheme).
      - V(false) fails, names the field, the old and the new value, and changes nothing.
      - V(true) deletes the object, and whatever needs it, and makes it anew. Meanwhile nothing answers at the address;
        RV(unanswered_ms) says for how long. The module never deletes an object that it did not make.
      - Other options must then tell what only the deleted objects tell. The module names those that are missing, and
        changes nothing.
    type: bool
    default: false
  exclusive:
    description:
      - V(true) takes away backends that are not in O(groups), and instances that are not in their lists. With
        O(groups=[]), no backend is left.
      - With O(state=absent), groups are deleted whatever instances are in them.
    type: bool
    default: false
  timeout:
    description:
      - Give up so many seconds after the task began, from 0.001 to 86400. The time includes the login and all reading.
      - Until then, the module retries temporary failures (rate limits, failures of the API, lost connections), with
        growing pauses.
    type: float
    default: 300
notes:
  - Runs on a host that reaches the API, usually C(localhost).
  - An omitted option changes nothing of an existing object.
  - Each object that the module makes has a description with the name and the region of the load balancer. By it the
    module knows what it may delete.
  - With O(state=absent) and without O(groups), all instances in the module's own groups count as the load balancer's.
  - The instances must accept packets to the address. Google's guest agent sees to that.
  - The module asks Google's Resource Manager for the caller's permissions on the project, for which its token also has
    the scope C(https://www.googleapis.com/auth/cloudplatformprojects.readonly), unless O(scopes) is set. Without an
    answer it goes on, and RV(notes) says so.
seealso:
  - module: cloudha.vip.gcp_passthrough_lb_info
  - module: google.cloud.gcp_compute_region_backend_service
    description: Makes one of the objects. It has no check mode, and no health of backends.
"""

EXAMPLES = r"""
- name: Two web servers, and all healthy ones get connections
  cloudha.vip.gcp_passthrough_lb:
    project: my-project
    name: web
    region: us-central1
    subnetwork: web-subnet
    address: 10.100.3.1
    ports: [80, 443]
    health_check:
      type: http
      port: 80
      path: /health
      interval_s: 1
      timeout_s: 1
      unhealthy_threshold: 2
    groups:
      - {name: web-a, zone: us-central1-a, instances: [node1]}
      - {name: web-b, zone: us-central1-b, instances: [node2]}
    firewall:
      target_tags: [backend]

- name: The second server only gets connections if the first one fails
  cloudha.vip.gcp_passthrough_lb:
    project: my-project
    name: web
    region: us-central1
    groups:
      - {name: web-b, zone: us-central1-b, failover: true}
    failover:
      drop_if_unhealthy: false
      drain: true

- name: A name server for clients on the internet, at an address that the API chooses
  cloudha.vip.gcp_passthrough_lb:
    project: my-project
    name: dns
    region: us-central1
    scheme: external
    network: web-network
    protocols: [tcp, udp]
    ports: [53]
    health_check:
      type: tcp
      port: 53
    groups:
      - {name: dns-a, zone: us-central1-a, instances: [node3]}
      - {name: dns-b, zone: us-central1-b, instances: [node4]}
  register: dns

- name: Show the address
  ansible.builtin.debug:
    var: dns.address

- name: Other ports, which needs a new forwarding rule
  cloudha.vip.gcp_passthrough_lb:
    project: my-project
    name: web
    region: us-central1
    ports: [8080]
    allow_replace: true
  register: web

- name: Show for how long nothing answered
  ansible.builtin.debug:
    msg: "{{ web.unanswered_ms }} ms"

- name: Take it all away
  cloudha.vip.gcp_passthrough_lb:
    project: my-project
    name: web
    region: us-central1
    state: absent
"""

RETURN = r"""
address:
  description:
    - The address of the forwarding rules, or the reserved one before there is a rule.
    - V(null) if there is none, or none yet, or if the rules have several.
  type: str
  returned: success, and failure after a first look
  sample: 10.100.3.1
holders:
  description:
    - The instances that get new connections, by their paths. In check mode, and before the first probes, those of the
      present state.
  type: list
  elements: str
  returned: success, and failure after a first look, if the API told the health of the backends
  sample: [projects/my-project/zones/us-central1-a/instances/node1]
active_pool:
  description:
    - The backends that get new connections. V(primary) and V(failover) are the healthy ones of this kind.
    - V(all_unhealthy_primaries) are all primaries, if no backend is healthy. V(none) is nobody.
  type: str
  returned: as RV(holders)
  sample: primary
backends:
  description: All backends.
  type: list
  elements: dict
  returned: as RV(holders)
  contains:
    instance:
      description: The path of the instance.
      type: str
      sample: projects/my-project/zones/us-central1-a/instances/node1
    zone:
      description: Its zone.
      type: str
      sample: us-central1-a
    group:
      description: The path of its group.
      type: str
      sample: projects/my-project/zones/us-central1-a/instanceGroups/web-a
    failover:
      description: Whether the group is a backup.
      type: bool
    health:
      description: What the probes found, V(HEALTHY) or V(UNHEALTHY); V(UNKNOWN) before the first ones.
      type: str
      sample: HEALTHY
    active:
      description: Whether it gets new connections.
      type: bool
steps:
  description: Each request that changed something, in order. In check mode the planned ones, without times.
  type: list
  elements: dict
  returned: always
  contains:
    name:
      description: The kind of change.
      type: str
      sample: create forwarding rule
    resource:
      description: The name of the object.
      type: str
      sample: web
    ms:
      description: The time until the API confirmed the change.
      type: float
      sample: 2013.4
    attempts:
      description: The number of attempts.
      type: int
      sample: 1
unanswered_ms:
  description:
    - From the beginning of the first deletion of a forwarding rule to the end of the last creation of one; for about so
      long nothing answered at the address. V(null) if no rule was made anew.
  type: float
  returned: success, and failure after a first look
  sample: null
elapsed_ms:
  description: The time of the whole run, with reading and checking.
  type: float
  returned: always
  sample: 21042.7
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

from ansible_collections.cloudha.vip.plugins.module_utils.ansible import gcp, gcp_lb, gcp_library
from ansible_collections.cloudha.vip.plugins.module_utils.ansible.module import Module
from ansible_collections.cloudha.vip.plugins.module_utils.ansible.run import carry_out, failures
from ansible_collections.cloudha.vip.plugins.module_utils.failover import lb


def main() -> None:
    module = Module(argument_spec=dict(gcp.SPEC, **gcp_lb.SPEC), supports_check_mode=True)
    gcp_library.require(module)
    with failures(module) as task:
        client = gcp_lb.client(module, module.params["timeout"])
        goal = gcp_lb.goal(module.params, client.project)
        procedure = lb.Procedure()
        result = carry_out(
            module, procedure, client, goal, task, describe=lambda report: gcp_lb.describe(report, client, task.left)
        )
        module.exit_json(**result)


if __name__ == "__main__":
    main()

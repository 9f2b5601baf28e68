#!/usr/bin/python
# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: vip_info
short_description: Show a node's addresses and its state
version_added: 1.0.0
author:
  - cloudha.vip contributors (@cloudha-vip)
description:
  - Shows which of the given addresses the node holds, and whether keepalived and the agent run there. It also shows
    whether the node is drained, the verdicts of its resident checks, and the last state of each VRRP instance.
  - Runs on the node. It changes nothing and asks nobody else, so it also answers while keepalived or its agent is dead.
requirements:
  - C(ip) of iproute2, with JSON output
extends_documentation_fragment:
  - cloudha.vip.attributes
  - cloudha.vip.attributes.info
options:
  addresses:
    description:
      - The addresses to look for, with or without prefix length. The module ignores the prefix length.
      - By default all addresses of the node, except those of loopback and link-local ones.
    type: list
    elements: str
  runtime_dir:
    description: The directory of the drain file, the verdicts of the resident checks and the agent's lock.
    type: path
    default: /run/cloudha-vip
  event_log:
    description: The event log of the agent.
    type: path
    default: /var/lib/vip-agent/events.jsonl
notes:
  - Only root and the agent's own user can read the event log and the verdicts; use C(become).
seealso:
  - module: cloudha.vip.address_in_use
  - module: cloudha.vip.keepalived_info
  - module: cloudha.vip.keepalived_node_info
"""

EXAMPLES = r"""
- name: Look for the address
  cloudha.vip.vip_info:
    addresses:
      - 192.168.7.246/22
  become: true
  register: vip

- name: Assert that exactly one node holds it
  ansible.builtin.assert:
    that: ansible_play_hosts | map('extract', hostvars, 'vip') | selectattr('holds_all') | length == 1
  run_once: true
"""

RETURN = r"""
addresses:
  description: The given addresses, in their order.
  type: list
  elements: dict
  returned: success
  contains:
    address:
      description: The address as it was given.
      type: str
      sample: 192.168.7.246/22
    held:
      description: Whether the node has it.
      type: bool
    interface:
      description: The interface that has it; V(null) if none has.
      type: str
      sample: eth0
holds_all:
  description: Whether the node holds all of them, and at least one.
  type: bool
  returned: success
holds_any:
  description: Whether the node holds at least one of them.
  type: bool
  returned: success
keepalived:
  description: The keepalived service.
  type: dict
  returned: success
  contains:
    active:
      description: Whether a process of keepalived exists.
      type: bool
    unwatched:
      description:
        - The track files that keepalived does not watch. Neither a drain nor a failed check by such a file moves the
          address. V(null) if the module may not read the process. Known only if the role P(cloudha.vip.keepalived#role)
          set keepalived up.
      type: list
      elements: str
      sample: ["/run/cloudha-vip/drain"]
    deaf:
      description: The interfaces created since keepalived read its configuration. It neither hears nor speaks there.
      type: list
      elements: str
      sample: ["eth0.100"]
    withheld:
      description:
        - Whether the guard does not reload a deaf keepalived, because C(/etc/keepalived/keepalived.conf) differs from
          the configuration in force.
      type: bool
      sample: false
    guard_age_s:
      description:
        - The seconds since the last writing of the guard that the role P(cloudha.vip.keepalived#role) installs. V(null)
          if it has written nothing.
      type: float
      sample: 0.7
    guard_silent:
      description: Whether the node has a guard that has written nothing for 10 seconds. It is dead, or hangs.
      type: bool
      sample: false
    problems:
      description: The same in sentences, with the remedies.
      type: list
      elements: str
agent:
  description:
    - Whether the agent of the role P(cloudha.vip.vip_agent#role) runs. Without it, its verdicts do not change.
    - V(null) if the node has no agent.
  type: bool
  returned: success
drain:
  description: The number in the drain file; V(null) if there is no such file. 0 is normal, and a lower number drains.
  type: int
  returned: success
  sample: 0
checks:
  description: The verdict of each resident check; true is healthy.
  type: dict
  returned: success
  sample: {"nginx": true}
actions:
  description:
    - What a running agent tells of each of its actions, by the action's name, as C(vip-agent status --json) does. It is
      not older than a second or two.
    - Every action has its C(type), and C(instance), which is V(null) for one that follows no VRRP instance. The rest
      depends on the type.
    - Of the type V(gcp_route_member), C(route) is the node's own route, V(active), V(withdrawn) or V(dead), which it is
      while the API takes the node for dead. It is V(null) before the first look.
      C(wanted) is whether the node may serve, V(null) while nobody knows, and C(why) is the reason why not.
      C(last_one) is whether the node goes on all the same, as no other member's route is alive.
      C(live) lists the members whose own routes are alive, C(serving) the next hops that get the packets.
  type: dict
  returned: success
  sample:
    web:
      type: gcp_route_member
      instance: null
      wanted: false
      why: the node is drained (-254)
      last_one: false
      route: withdrawn
      live: ["projects/my-project/zones/us-central1-b/instances/node2"]
instances:
  description: The last state of each VRRP instance in the event log.
  type: dict
  returned: success
  sample: {"web": "MASTER"}
interfaces:
  description: All interfaces of the node, each with its addresses, the primary ones first.
  type: dict
  returned: success
  sample: {"eth0": ["192.168.7.247/22", "192.168.7.246/22"]}
passing:
  description:
    - Addresses that will not stay, or are not usable yet, without prefix length. These are temporary, deprecated or
      tentative ones of IPv6.
  type: list
  elements: str
  returned: success
  sample: []
scopes:
  description: The scope of each IPv4 address, without prefix length, whose scope is not C(global).
  type: dict
  returned: success
  sample: {"127.0.0.1": "host"}
macs:
  description: The hardware address of each interface.
  type: dict
  returned: success
  sample: {"eth0": "52:54:00:12:34:56"}
topology:
  description:
    - The node's topology, as M(cloudha.vip.topology_record) recorded it; V(null) without a record.
  type: dict
  returned: success
  sample: {"topology": "onprem_active_standby", "mechanism": "vrrp", "parts": ["nginx", "vip_agent", "vrrp"]}
topology_error:
  description: The reason why the record of the topology cannot be used, and the remedy.
  type: str
  returned: when the record is damaged
  sample: "/etc/ansible/facts.d/cloudha_vip.fact is no dictionary: deploy the topology again"
"""

from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.cloudha.vip.plugins.module_utils.node.addresses import facts_of, held, of_clients, parse_links
from ansible_collections.cloudha.vip.plugins.module_utils.node.status import read_status
from ansible_collections.cloudha.vip.plugins.module_utils.topology import record


def main() -> None:
    module = AnsibleModule(
        argument_spec=dict(
            addresses=dict(type="list", elements="str"),
            runtime_dir=dict(type="path", default="/run/cloudha-vip"),
            event_log=dict(type="path", default="/var/lib/vip-agent/events.jsonl"),
        ),
        supports_check_mode=True,
    )
    wanted = module.params["addresses"]
    ip = module.get_bin_path("ip", required=True, opt_dirs=["/usr/sbin", "/sbin"])
    links = parse_links(module.run_command([ip, "-json", "address", "show"], check_rc=True)[1])
    try:
        addresses = held(of_clients(links) if wanted is None else wanted, links)
        status = read_status(Path(module.params["runtime_dir"]), Path(module.params["event_log"]))
    except ValueError as e:
        module.fail_json(msg=f"addresses: {e}; write ADDRESS or ADDRESS/PREFIX")
    except PermissionError as e:
        module.fail_json(msg=f"{e.filename} cannot be read: {e.strerror}; use become")
    try:
        topology: dict[str, Any] = {"topology": record.read()}
    except ValueError as e:  # all else is told all the same
        topology = {"topology": None, "topology_error": str(e)}
    module.exit_json(
        changed=False,
        **topology,
        addresses=addresses,
        holds_all=bool(addresses) and all(a["held"] for a in addresses),
        holds_any=any(a["held"] for a in addresses),
        **facts_of(links),
        **status,
    )


if __name__ == "__main__":
    main()

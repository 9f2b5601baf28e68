#!/usr/bin/python
# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: vrrp_info
short_description: Listen for VRRP packets, ask for VRRP listeners, and show the state of keepalived's instances
version_added: 1.0.0
author:
  - cloudha.vip contributors (@cloudha-vip)
description:
  - A node that hears no holder becomes one. Before keepalived starts, this module checks whether the holder's packets
    (IP protocol 112) arrive. It also checks whether a machine that left the group still listens for them.
  - Runs on the node. It changes nothing.
extends_documentation_fragment:
  - cloudha.vip.attributes
  - cloudha.vip.attributes.info
options:
  listen:
    description: The packets to wait for. The module returns when all were heard.
    type: list
    elements: dict
    default: []
    suboptions:
      interface:
        description: The interface on which multicast packets would arrive.
        type: str
        required: true
      virtual_router_id:
        description: Their virtual router.
        type: int
        required: true
      family:
        description: The version of IP.
        type: int
        choices: [4, 6]
        default: 4
      sources:
        description: Source addresses. One of them is enough. An empty list accepts any sender.
        type: list
        elements: str
        default: []
  listen_ms:
    description: The longest wait for them, in milliseconds.
    type: int
    default: 2000
  ask:
    description: Addresses of machines that may listen for VRRP packets.
    type: list
    elements: dict
    default: []
    suboptions:
      address:
        description: The address of the machine.
        type: str
        required: true
      source:
        description: The node's own address to ask from.
        type: str
      interface:
        description: The interface to the address's network. There, a machine that is off does not answer ARP.
        type: str
  states:
    description: Whether to ask the running keepalived for the states of its instances.
    type: bool
    default: false
  fault_ms:
    description:
      - With O(states), the longest wait until no instance is in FAULT, in milliseconds. After a start or reload, an
        instance is in FAULT until its scripts have run.
    type: int
    default: 0
notes:
  - Needs root; use C(become).
  - Each address in O(ask) gets a packet for the virtual router 0, which does not exist, so that keepalived drops it.
seealso:
  - module: cloudha.vip.vip_info
"""

EXAMPLES = r"""
- name: Listen for the holder
  cloudha.vip.vrrp_info:
    listen:
      - interface: eth0
        virtual_router_id: 66
  become: true
  register: vrrp

- name: Require that VRRP passes
  ansible.builtin.assert:
    that: vrrp.heard[0].packets | length > 0
"""

RETURN = r"""
heard:
  description: The packets that arrived, for each entry of O(listen), in their order.
  type: list
  elements: dict
  returned: success
  contains:
    interface:
      description: As given.
      type: str
    virtual_router_id:
      description: As given.
      type: int
    sources:
      description: As given; empty if any sender counts.
      type: list
      elements: str
    packets:
      description: The senders, each with its priority.
      type: list
      elements: dict
      sample: [{"virtual_router_id": 66, "source": "192.168.7.247", "priority": 254}]
    enough:
      description: Whether one of the sources was heard.
      type: bool
asked:
  description: For each entry of O(ask), in their order, the answer.
  type: list
  elements: dict
  returned: success
  contains:
    address:
      description: As given.
      type: str
    answer:
      description:
        - V(refused) - the machine is there, and nothing on it takes VRRP packets.
        - V(off) - no machine is there.
        - V(silent) - no answer, because keepalived runs there, or because a firewall drops the answer.
      type: str
instances:
  description:
    - The running keepalived's own report of each of its instances. Empty if it was not asked or does not answer.
  type: dict
  returned: success
  sample: {"web": {"state": "FAULT", "hears": null, "failed": ["script app"]}}
"""

import ipaddress
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.cloudha.vip.plugins.module_utils.node import vrrp


def main() -> None:
    module = AnsibleModule(
        argument_spec=dict(
            listen=dict(
                type="list",
                elements="dict",
                default=[],
                options=dict(
                    interface=dict(type="str", required=True),
                    virtual_router_id=dict(type="int", required=True),
                    family=dict(type="int", choices=[4, 6], default=4),
                    sources=dict(type="list", elements="str", default=[]),
                ),
            ),
            listen_ms=dict(type="int", default=2000),
            ask=dict(
                type="list",
                elements="dict",
                default=[],
                options=dict(
                    address=dict(type="str", required=True), source=dict(type="str"), interface=dict(type="str")
                ),
            ),
            states=dict(type="bool", default=False),
            fault_ms=dict(type="int", default=0),
        ),
        supports_check_mode=True,
    )
    given = module.params
    states: dict[str, Any] = {}
    try:
        wanted = {
            vrrp.Voice(i["interface"], i["virtual_router_id"], i["family"]): [
                str(ipaddress.ip_address(source)) for source in i["sources"]
            ]
            for i in given["listen"]
        }
        heard = vrrp.listen(wanted, given["listen_ms"]) if wanted else {}
        asked = [
            {
                "address": i["address"],
                "answer": vrrp.ask(
                    ipaddress.ip_address(i["address"]),
                    ipaddress.ip_address(i["source"]) if i["source"] else None,
                    i["interface"],
                ),
            }
            for i in given["ask"]
        ]
        if given["states"]:
            states = vrrp.wait_until_well(given["fault_ms"])
    except ValueError as e:
        module.fail_json(msg=f"{e}; write addresses without a prefix length")
    except PermissionError:
        module.fail_json(msg="raw sockets and the processes of keepalived need root; use become")
    except vrrp.HinderedError as e:
        module.fail_json(msg=str(e))
    except OSError as e:
        module.fail_json(msg=f"VRRP packets cannot be received: {e.strerror}; does the node have the interface?")
    module.exit_json(
        changed=False,
        heard=[
            {
                "interface": voice.interface,
                "virtual_router_id": voice.virtual_router_id,
                "packets": [packet._asdict() for packet in packets],
                "sources": wanted[voice],
                "enough": any(not wanted[voice] or packet.source in wanted[voice] for packet in packets),
            }
            for voice, packets in heard.items()
        ],
        asked=asked,
        instances=states,
    )


if __name__ == "__main__":
    main()

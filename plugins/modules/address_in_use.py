#!/usr/bin/python
# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: address_in_use
short_description: Ask the network whether a stranger answers for an address
version_added: 1.0.0
author:
  - cloudha.vip contributors (@cloudha-vip)
description:
  - Asks on the node's own segment for the owners of some addresses. It sends ARP probes (RFC 5227) for IPv4, and
    neighbour solicitations (RFC 4861) for IPv6. Use it before you give a virtual address to a group of nodes.
  - Asks for all addresses at once, and waits for them together. It ends early if all have answered.
  - The node's own answers never count. The probes change no neighbour's table.
  - An answer is a result and not an error; check RV(in_use).
requirements:
  - root, or the capability CAP_NET_RAW
extends_documentation_fragment:
  - cloudha.vip.attributes
  - cloudha.vip.attributes.info
options:
  addresses:
    description: The addresses, IPv4 and IPv6, with or without prefix length. The module ignores the prefix length.
    type: list
    elements: str
    required: true
  interface:
    description: The interface to ask on. It must be Ethernet, be up, and have a carrier.
    type: str
    required: true
  ignore_macs:
    description: Hardware addresses whose answers do not count, such as those of the group's other nodes.
    type: list
    elements: str
    default: []
  timeout_ms:
    description: Milliseconds from the first probe until the end of the wait, from 50 to 10000.
    type: int
    default: 600
  probes:
    description: The number of probes for each address within O(timeout_ms), from 1 to 10.
    type: int
    default: 3
notes:
  - In some networks a router answers for every address (proxy ARP, and most clouds' layer 3 networks). Put its hardware
    address into O(ignore_macs), or do not ask.
seealso:
  - module: cloudha.vip.vip_info
"""

EXAMPLES = r"""
- name: Ask for the owner of the address
  cloudha.vip.address_in_use:
    addresses:
      - 192.168.7.246/22
    interface: eth0
    ignore_macs: "{{ ansible_play_hosts | map('extract', hostvars) | map(attribute='vip.macs.eth0') }}"
  become: true
  register: asked

- name: Refuse an address that a stranger has
  ansible.builtin.assert:
    that: not asked.in_use
    fail_msg: "{{ asked.answers | map(attribute='mac') | join(' and ') }} answers already"
"""

RETURN = r"""
answers:
  description: The machines that answer, at most one for each address.
  type: list
  elements: dict
  returned: success
  contains:
    address:
      description: The address as it was given.
      type: str
      sample: 192.168.7.246/22
    mac:
      description: The hardware address of the machine that answers, in lower case.
      type: str
      sample: "52:54:00:12:34:56"
in_use:
  description: Whether a machine answers for any of the addresses.
  type: bool
  returned: success
"""

import ipaddress

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.cloudha.vip.plugins.module_utils.node.probe import ProbeError, probe


def main() -> None:
    module = AnsibleModule(
        argument_spec=dict(
            addresses=dict(type="list", elements="str", required=True),
            interface=dict(type="str", required=True),
            ignore_macs=dict(type="list", elements="str", default=[]),
            timeout_ms=dict(type="int", default=600),
            probes=dict(type="int", default=3),
        ),
        supports_check_mode=True,
    )
    options = dict(module.params)
    for name, least, most in (("timeout_ms", 50, 10000), ("probes", 1, 10)):
        if not least <= options[name] <= most:
            module.fail_json(msg=f"{name} is {options[name]}; use {least} to {most}")
    try:
        given = {ipaddress.ip_interface(text).ip: text for text in options.pop("addresses")}
        answers = [{"address": given[a.address], "mac": a.mac} for a in probe(given, **options)]
    except ValueError as e:
        module.fail_json(msg=f"addresses: {e}; write ADDRESS or ADDRESS/PREFIX")
    except ProbeError as e:
        module.fail_json(msg=str(e))
    module.exit_json(changed=False, answers=answers, in_use=bool(answers))


if __name__ == "__main__":
    main()

#!/usr/bin/python
# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: service_ask
short_description: Ask a service from a host, as a client does
version_added: 1.0.0
author:
  - cloudha.vip contributors (@cloudha-vip)
description:
  - Asks each URL from the host of the task, until it answers or the time is over.
  - A service that does not answer is a result and not an error; check RV(answers[].ok).
  - Redirects count as answers. The module does not check certificates.
extends_documentation_fragment:
  - cloudha.vip.attributes
  - cloudha.vip.attributes.info
options:
  urls:
    description:
      - The services to ask, such as C(http://192.0.2.10:8080/healthz), C(https://192.0.2.10/) or
        C(tcp://192.0.2.10:5432).
      - Of C(udp://192.0.2.10:7) it expects an echo.
    type: list
    elements: str
    required: true
  timeout:
    description: Seconds for all services together.
    type: int
    default: 10
  node_header:
    description: The header in which an answer names its node.
    type: str
    default: X-Vip-Node
"""

EXAMPLES = r"""
- name: Ask the address
  cloudha.vip.service_ask:
    urls: [http://192.168.7.246/healthz]
  delegate_to: client1
"""

RETURN = r"""
answers:
  description: The last answer of each service.
  type: list
  elements: dict
  returned: success
  contains:
    url:
      description: The requested URL.
      type: str
      sample: http://192.168.7.246/healthz
    ok:
      description: Whether it answered, with a status of 200 to 399.
      type: bool
    error:
      description: The reason for a missing answer.
      type: str
      sample: timed out
    by:
      description: The node that the answer names.
      type: str
      sample: web1
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.cloudha.vip.plugins.module_utils.node.ask import ask_all


def main() -> None:
    module = AnsibleModule(
        argument_spec=dict(
            urls=dict(type="list", elements="str", required=True),
            timeout=dict(type="int", default=10),
            node_header=dict(type="str", default="X-Vip-Node"),
        ),
        supports_check_mode=True,
    )
    try:
        answers = ask_all(module.params["urls"], module.params["timeout"], module.params["node_header"])
    except ValueError as e:
        module.fail_json(msg=f"urls: {e}")
    module.exit_json(changed=False, answers=answers)


if __name__ == "__main__":
    main()

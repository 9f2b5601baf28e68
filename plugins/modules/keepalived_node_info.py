#!/usr/bin/python
# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: keepalived_node_info
short_description: Show the facts of a node that a deployment of keepalived needs
version_added: 1.0.0
author:
  - cloudha.vip contributors (@cloudha-vip)
description:
  - Shows the interfaces of the node, whether keepalived is installed, and the contents of its configurations. The role
    P(cloudha.vip.keepalived#role) asks each node once, before it changes anything.
  - A configuration that cannot be understood is no failure, as the role replaces it. One that cannot be read is a
    problem.
  - Runs on the node, and changes nothing.
requirements:
  - C(ip) of iproute2, with JSON output
extends_documentation_fragment:
  - cloudha.vip.attributes
  - cloudha.vip.attributes.info
options:
  paths:
    description: The configurations.
    type: list
    elements: path
    default: [/etc/keepalived/keepalived.conf]
  secret_words:
    description: A regular expression for lines that may contain a secret, in any case. See RV(configurations[].secret).
    type: str
  python:
    description: A Python on the node whose version to show.
    type: path
notes:
  - The module returns passwords only to a task with C(no_log=true).
  - Usually only root can read the configurations; use C(become).
seealso:
  - module: cloudha.vip.keepalived_info
  - module: cloudha.vip.vip_info
"""

EXAMPLES = r"""
- name: Look at the node, and at its configuration of keepalived
  cloudha.vip.keepalived_node_info:
  become: true
  register: node

- name: Require that it can be read
  ansible.builtin.assert:
    that: node.problems == []
"""

RETURN = r"""
installed:
  description: Whether keepalived is installed.
  type: bool
  returned: success
configurations:
  description: The configurations, in the order of O(paths).
  type: list
  elements: dict
  returned: success
  contains:
    path:
      description: As given.
      type: str
    checksum:
      description: The SHA-1 of the file itself, without included files; V(null) if there is none.
      type: str
    variables:
      description:
        - The variables of the role, as M(cloudha.vip.keepalived_info) returns them; empty if there is no configuration.
        - V(false) if it cannot be understood or read.
      type: raw
    secret:
      description: Whether a line matches O(secret_words), so that no log should show the file.
      type: bool
  sample: [{"path": "/etc/keepalived/keepalived.conf", "checksum": null, "variables": {}, "secret": false}]
problems:
  description: Why configurations could not be read, a sentence each.
  type: list
  elements: str
  returned: success
  sample: ["/etc/keepalived/keepalived.conf cannot be read: Is a directory; use become"]
python_version:
  description: The version of O(python); empty if it cannot be run, or was not asked for.
  type: str
  returned: success
  sample: 3.11.2
interfaces:
  description: All interfaces of the node, each with its addresses, as M(cloudha.vip.vip_info) returns them.
  type: dict
  returned: success
  sample: {"eth0": ["192.168.7.247/22"]}
passing:
  description: Addresses that will not stay, or are not usable yet, as M(cloudha.vip.vip_info) returns them.
  type: list
  elements: str
  returned: success
  sample: []
scopes:
  description: The scope of each IPv4 address whose scope is not C(global), as M(cloudha.vip.vip_info) returns them.
  type: dict
  returned: success
  sample: {"127.0.0.1": "host"}
macs:
  description: The hardware address of each interface.
  type: dict
  returned: success
  sample: {"eth0": "52:54:00:12:34:56"}
"""

import os
import socket
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.cloudha.vip.plugins.module_utils.keepalived.reading import has_line, read
from ansible_collections.cloudha.vip.plugins.module_utils.node.addresses import facts_of, parse_links

KEEPALIVED = "/usr/sbin/keepalived"
_VERSION = "import sys; print('%d.%d.%d' % sys.version_info[:3])"


def main() -> None:
    module = AnsibleModule(
        argument_spec=dict(
            paths=dict(type="list", elements="path", default=["/etc/keepalived/keepalived.conf"]),
            secret_words=dict(type="str", no_log=False),
            python=dict(type="path"),
        ),
        supports_check_mode=True,
    )
    ip = module.get_bin_path("ip", required=True, opt_dirs=["/usr/sbin", "/sbin"])
    links = parse_links(module.run_command([ip, "-json", "address", "show"], check_rc=True)[1])
    given = module.params
    configurations, problems = _configurations(given["paths"], given["secret_words"], module.no_log)
    module.exit_json(
        changed=False,
        installed=os.path.exists(KEEPALIVED),
        configurations=configurations,
        problems=problems,
        python_version=_version_of(module, given["python"]),
        **facts_of(links),
    )


def _configurations(paths: list[str], words: str | None, secrets: bool) -> tuple[list[dict[str, Any]], list[str]]:
    config_id = socket.gethostname().partition(".")[0]
    found: list[dict[str, Any]] = []
    problems = []
    for path in paths:
        its: dict[str, Any] = {"path": path, "checksum": None, "variables": False, "secret": False}
        try:
            said = read(path, config_id, secrets)
            its.update(checksum=said.checksum, variables=False if said.mistake else said.variables)
            its["secret"] = bool(words) and said.exists and has_line(path, str(words))
        except OSError as e:
            problems.append(f"{e.filename} cannot be read: {e.strerror}; use become")
        except Exception as e:  # a fault of the reader: its words could hold a secret
            problems.append(f"{path} cannot be understood: {type(e).__name__}")
        found.append(its)
    return found, problems


def _version_of(module: AnsibleModule, python: str | None) -> str:
    if not python:
        return ""
    try:
        said: str = module.run_command([python, "-c", _VERSION], handle_exceptions=False)[1]
    except OSError:
        return ""
    return said.strip()


if __name__ == "__main__":
    main()

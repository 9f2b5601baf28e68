#!/usr/bin/python
# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: node_record
short_description: Record a node's state before a role changes it, and restore it
version_added: 1.0.0
author:
  - cloudha.vip contributors (@cloudha-vip)
description:
  - With it a role's removal removes only the role's own changes.
  - Each role has a record below C(/var/lib/cloudha-vip/before), with copies of the files that it replaces. The module
    records an item once, before the role's first change of it.
  - The next run repeats a run that was killed at any point.
extends_documentation_fragment:
  - cloudha.vip.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
  idempotent:
    support: full
options:
  part:
    description: The owner of the record, such as the name of the role.
    type: str
    required: true
  state:
    description:
      - V(recorded) records the items of the options, unless they are recorded already. A run begins to change them.
      - V(finished) says that the run has made all changes, and that its services have read them. It reports no change.
      - V(read) changes nothing.
      - V(restored) restores the files that the role replaced, removes the files that it created, and restores the
        kernel's settings. A file without O(marker) is no longer the role's, and stays.
      - V(forgotten) deletes the record.
    type: str
    choices: [recorded, finished, read, restored, forgotten]
    default: recorded
  marker:
    description: A text that identifies a file as written by the role.
    type: str
    default: cloudha.vip
  programs:
    description: Programs. Their presence shows whether their package was installed.
    type: list
    elements: path
    default: []
  files:
    description: Files that the role writes, and that may exist before.
    type: list
    elements: path
    default: []
  directories:
    description: Directories that may have foreign files.
    type: list
    elements: path
    default: []
  units:
    description: Units of systemd.
    type: list
    elements: str
    default: []
  users:
    description: Users.
    type: list
    elements: str
    default: []
  groups:
    description: Groups of users.
    type: list
    elements: str
    default: []
  sysctl:
    description: Settings of the kernel.
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
- name: Record the state before nginx
  cloudha.vip.node_record:
    part: nginx
    programs: [/usr/sbin/nginx]
    files: [/etc/nginx/nginx.conf]
    directories: [/etc/nginx]
    units: [nginx.service]

- name: Restore that state
  cloudha.vip.node_record:
    part: nginx
    state: restored

- name: Record that all changes are in effect
  cloudha.vip.node_record:
    part: nginx
    state: finished
"""

RETURN = r"""
known:
  description: Whether there is a record. Without one, the role owns nothing on the node.
  type: bool
  returned: success
unfinished:
  description:
    - Whether an earlier run began and did not finish. Its changes may not be in effect, as its notified handlers are
      lost.
  type: bool
  returned: success
made:
  description:
    - Items that did not exist before, by kind; programs, files, directories, users and groups.
    - It does not include a user or group that another record names as well.
  type: dict
  returned: success
  sample: {"programs": ["/usr/sbin/nginx"], "files": [], "directories": ["/etc/nginx"], "users": [], "groups": []}
installed:
  description: Those of O(programs) that exist now.
  type: list
  elements: str
  returned: success
  sample: [/usr/sbin/nginx]
units:
  description: Whether each unit was active and enabled.
  type: dict
  returned: success
  sample: {"nginx.service": {"active": false, "enabled": false}}
notes:
  description:
    - For each of O(files) a JSON object, by which a role knows the settings that it wrote last.
    - The role writes it in one line, after a hash sign, O(marker) and a colon.
    - It is empty if the file has no such line.
  type: dict
  returned: O(state=recorded)
  sample: {"/etc/nginx/nginx.conf": {"ports": [80]}}
strangers:
  description:
    - Files below the directories that neither a package nor the role installed, or that somebody has changed since.
    - This includes a file of the role without O(marker), and a file of a package with other content.
  type: list
  elements: str
  returned: O(state=read)
  sample: [/etc/nginx/conf.d/mine.conf]
restored:
  description: Files that the module restored or removed.
  type: list
  elements: str
  returned: O(state=restored)
  sample: [/etc/nginx/nginx.conf]
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.cloudha.vip.plugins.module_utils.node.record import KINDS, Record


def main() -> None:
    paths = {"programs", "files", "directories"}
    kinds: dict[str, Any] = {
        kind: dict(type="list", elements="path" if kind in paths else "str", default=[]) for kind in KINDS
    }
    module = AnsibleModule(
        argument_spec=dict(
            part=dict(type="str", required=True),
            state=dict(
                type="str", choices=["recorded", "finished", "read", "restored", "forgotten"], default="recorded"
            ),
            marker=dict(type="str", default="cloudha.vip"),
            **kinds,
        ),
        supports_check_mode=True,
    )
    try:
        result = _carry_out(module.params, module.check_mode)
    except OSError as e:
        module.fail_json(msg=f"The record of {module.params['part']}: {e}")
    module.exit_json(**result)


def _carry_out(params: dict[str, Any], dry: bool) -> dict[str, Any]:
    record = Record(params["part"])
    wanted = {kind: params[kind] for kind in KINDS}
    changed = False
    more: dict[str, Any] = {}
    unfinished = record.unfinished
    if params["state"] == "recorded":
        changed = record.known is None or any(record.missing(wanted).values())
        more = {"notes": record.notes(wanted["files"], params["marker"])}
        if not dry:
            record.add(wanted, params["marker"])
            record.begin()
    elif params["state"] == "finished" and not dry:
        record.finish()
    known = record.known or {}
    result = {
        "known": record.known is not None,
        "unfinished": unfinished,
        "made": record.made(),
        "installed": record.installed(wanted["programs"]),
        "units": known.get("units", {}),
    }
    if params["state"] == "read":
        more = {"strangers": record.strangers(params["marker"])}
    elif params["state"] == "restored":
        files, values = record.to_restore(params["files"], params["marker"]), record.to_tell_the_kernel()
        changed, more = bool(files or values), {"restored": files}
        if not dry:
            record.restore(files)
            record.tell_the_kernel(values)
    elif params["state"] == "forgotten":
        changed = record.known is not None
        if not dry:
            record.forget()
    return {"changed": changed, **result, **more}


if __name__ == "__main__":
    main()

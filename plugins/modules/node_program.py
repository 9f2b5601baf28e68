#!/usr/bin/python
# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: node_program
short_description: Install a program of this collection on a node
version_added: 1.0.0
author:
  - cloudha.vip contributors (@cloudha-vip)
description:
  - Installs all files of a program in one task, such as Python files, launcher, units of systemd and configuration.
  - The Python files come from the collection, with everything that they import. The node needs nothing but Python.
  - Templates are rendered on the controller.
  - The module replaces each file atomically. After a task that failed or was killed, run it again.
  - systemd reads its configuration again only if a unit below C(/etc/systemd/system) changed.
  - In each run C(systemd-tmpfiles) creates the missing objects of files below C(/etc/tmpfiles.d).
  - The roles P(cloudha.vip.vip_agent#role) and P(cloudha.vip.keepalived#role) use this module.
extends_documentation_fragment:
  - cloudha.vip.attributes
attributes:
  action:
    description: Has an action plugin that renders the templates and collects the Python files.
    support: full
  check_mode:
    support: full
  diff_mode:
    support: full
    details: Shows only the names of Python files.
  idempotent:
    support: full
options:
  library:
    description: The Python files.
    type: dict
    suboptions:
      path:
        description:
          - A directory. The module creates it if it is missing.
          - All Python files in it belong to the program. The module removes those that the program does not need.
        type: path
        required: true
      modules:
        description:
          - Patterns of files below the collection's C(plugins/module_utils), such as V(agent/*.py).
          - The module also installs the files that these import.
        type: list
        elements: str
        required: true
      service:
        description: The service to restart when a Python file changes.
        type: str
  directories:
    description:
      - Directories that the program needs. The module creates a file's directory anyway, with the mode V(0755).
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: The directory.
        type: path
        required: true
      owner:
        description: Its owner. By default the user of the task.
        type: str
      group:
        description: Its group. By default that of the user of the task.
        type: str
      mode:
        description: Its mode, in octal digits.
        type: str
        default: "0755"
  files:
    description: The other files. The module writes them in this order after the Python files.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: The file.
        type: path
        required: true
      template:
        description: A template of the role, by its name. Give either this, O(files[].src) or O(files[].content).
        type: str
      src:
        description: A file of the role, by its name.
        type: str
      content:
        description: The text itself.
        type: str
      owner:
        description: Its owner. By default the user of the task.
        type: str
      group:
        description: Its group. By default that of the user of the task.
        type: str
      mode:
        description: Its mode, in octal digits.
        type: str
        default: "0644"
      service:
        description: The service to restart when the file changes.
        type: str
      validate:
        description:
          - A command that refuses a bad file, with C(%s) for its path.
          - It runs in each run, except in check mode, as the program that reads the file may have changed.
        type: str
  absent:
    description: Files of an older version of the program. The module removes them.
    type: list
    elements: path
    default: []
  python:
    description:
      - A Python on the node that runs the program.
      - If it is older than 3.9, or no Python, the task fails and changes nothing.
    type: path
  unfinished:
    description:
      - Whether an earlier run was interrupted, so that some changes may not be in effect.
      - systemd then reads its configuration again, RV(restart) names every service, and the task reports a change.
    type: bool
    default: false
  archive:
    description: All contents, packed by the action plugin. A task cannot set it.
    type: str
seealso:
  - module: cloudha.vip.node_record
"""

EXAMPLES = r"""
- name: Install the agent
  cloudha.vip.node_program:
    library:
      path: /usr/local/lib/vip-agent/vip_agent
      modules: [agent/*.py]
    files:
      - path: /usr/local/bin/vip-agent
        template: vip-agent.j2
        mode: "0755"
      - path: /etc/vip-agent/config.json
        content: "{}"
        group: vip-agent
        mode: "0640"
        validate: /usr/local/bin/vip-agent run --check-config %s
      - path: /etc/systemd/system/vip-agent.service
        template: vip-agent.service.j2
    python: /usr/bin/python3
  notify: Restart the agent
"""

RETURN = r"""
changed_files:
  description: Written files and directories, and those that got another owner, group or mode.
  returned: success
  type: list
  elements: str
  sample: [/usr/local/bin/vip-agent]
removed_files:
  description: Removed files.
  returned: success
  type: list
  elements: str
  sample: []
restart:
  description: The services to restart, as one of their files changed or an earlier run was interrupted.
  returned: success
  type: list
  elements: str
  sample: [vip-agent]
reloaded:
  description: Whether systemd has read its configuration again, or would have.
  returned: success
  type: bool
"""

import base64
import json
import os
import shlex
import sys
import tempfile
import zlib
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.cloudha.vip.plugins.module_utils.node.program import (
    Access,
    File,
    Library,
    access_differs,
    content_of,
    differs,
    forget_compiled,
    is_tmpfiles,
    is_unit,
    make_directory,
    make_room,
    remove,
    write,
)
from ansible_collections.cloudha.vip.plugins.module_utils.topology.values import python_problems

ACCESS: dict[str, Any] = dict(owner=dict(type="str"), group=dict(type="str"))


def main() -> None:
    module = AnsibleModule(
        argument_spec=dict(
            library=dict(
                type="dict",
                options=dict(
                    path=dict(type="path", required=True),
                    modules=dict(type="list", elements="str", required=True),
                    service=dict(type="str"),
                ),
            ),
            directories=dict(
                type="list",
                elements="dict",
                default=[],
                options=dict(
                    path=dict(type="path", required=True),
                    mode=dict(type="str", default="0755"),
                    **ACCESS,
                ),
            ),
            files=dict(
                type="list",
                elements="dict",
                default=[],
                options=dict(
                    path=dict(type="path", required=True),
                    template=dict(type="str"),
                    src=dict(type="str"),
                    content=dict(type="str"),
                    mode=dict(type="str", default="0644"),
                    service=dict(type="str"),
                    validate=dict(type="str"),
                    **ACCESS,
                ),
            ),
            absent=dict(type="list", elements="path", default=[]),
            python=dict(type="path"),
            unfinished=dict(type="bool", default=False),
            # Neither the node's journal nor the result repeats all contents.
            archive=dict(type="str", no_log=True),
        ),
        supports_check_mode=True,
    )
    if module.params["archive"] is None:
        module.fail_json(msg="node_program ran without its action plugin; call it cloudha.vip.node_program in the task")
    try:
        _check_python(module)
        result = _install(module)
    except OSError as error:
        named = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        module.fail_json(msg=f"{named}. Run the task again when that is mended")
    module.exit_json(**result)


def _check_python(module: AnsibleModule) -> None:
    python = module.params["python"]
    if not python:
        return
    if os.path.realpath(python) == os.path.realpath(sys.executable):
        version = "%d.%d" % sys.version_info[:2]
    else:
        _code, version, _complaint = module.run_command(
            [python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"], handle_exceptions=False
        )
    problems = python_problems(version.strip(), python, "this node", "the program", "python")
    if problems:
        module.fail_json(msg="; ".join(problems))


def _install(module: AnsibleModule) -> dict[str, Any]:
    params, dry = module.params, module.check_mode
    packed = json.loads(zlib.decompress(base64.b64decode(params["archive"])))
    library = None
    if params["library"]:
        code = {name: text.encode() for name, text in packed["library"].items()}
        library = Library(params["library"]["path"].rstrip("/"), code, params["library"]["service"])
    files = [
        File(entry["path"], text.encode(), _access(entry), entry["service"])
        for entry, text in zip(params["files"], packed["files"])
    ]
    commands = {entry["path"]: entry["validate"] for entry in params["files"] if entry["validate"]}
    changed: list[str] = []
    restart: dict[str, bool] = {}
    diff: list[dict[str, str]] = []
    there = library.present() if library else []
    for entry in params["directories"]:
        if access_differs(entry["path"], _access(entry)):
            changed.append(entry["path"])
            if not dry:
                make_directory(entry["path"], _access(entry))
    code_files = library.files() if library else []
    strays = [path for path in there if library and not library.has(path)]
    for file in [*code_files, *files]:
        if file.path in commands and not dry:
            _validate(module, commands[file.path], file)
        if not differs(file):
            continue
        changed.append(file.path)
        if file not in code_files:
            before = (content_of(file.path) or b"").decode(errors="replace")
            diff.append(_difference(file.path, before, file.content.decode()))
        if file.service:
            restart[file.service] = True
        if not dry:
            make_room(file.path)
            write(file)
            module.set_default_selinux_context(file.path, False)
    removed = [path for path in params["absent"] if os.path.lexists(path)] + strays
    if not dry:
        remove(removed)
        if library:
            forget_compiled(library, changed + removed)
    if library:
        if strays and library.service:
            restart[library.service] = True
        new = [file.path for file in code_files if file.path in changed]
        if new or strays:
            after = "".join(f"{file.path}{' (changed)' if file.path in new else ''}\n" for file in code_files)
            diff.append(_difference(library.path, "".join(f"{path}\n" for path in there), after))
    if params["unfinished"]:
        owners = [file.service for file in [*code_files, *files]]
        restart.update({service: True for service in owners if service})
    reloaded = any(map(is_unit, changed + removed)) or (
        params["unfinished"] and any(is_unit(file.path) for file in files)
    )
    if not dry:
        if reloaded:
            _run(module, ["systemctl", "daemon-reload"])
        for file in files:
            if is_tmpfiles(file.path):
                _run(module, ["systemd-tmpfiles", "--create", file.path])
    return {
        "changed": bool(changed or removed or params["unfinished"]),
        "changed_files": changed,
        "removed_files": removed,
        "restart": sorted(restart),
        "reloaded": reloaded,
        "diff": diff,
    }


def _access(entry: dict[str, Any]) -> Access:
    try:
        mode = int(entry["mode"], 8)
    except ValueError:
        raise OSError(f"{entry['path']}: the mode {entry['mode']!r} is none; give octal digits such as 0644") from None
    return Access(entry["owner"], entry["group"], mode)


def _validate(module: AnsibleModule, command: str, file: File) -> None:
    with tempfile.NamedTemporaryFile(dir=module.tmpdir) as there:
        there.write(file.content)
        there.flush()
        words = [word.replace("%s", there.name) for word in shlex.split(command)]
        code, said, complaint = module.run_command(words, handle_exceptions=False)
        if code != 0:
            text = (complaint.strip() or said.strip()).replace(there.name, file.path)
            module.fail_json(msg=f"{file.path} is refused, and the old one stays: {text}", rc=code)


def _run(module: AnsibleModule, command: list[str]) -> None:
    code, said, complaint = module.run_command(command, handle_exceptions=False)
    if code != 0:
        raise OSError(f"{' '.join(command)} has ended with {code}: {(complaint or said).strip()}")


def _difference(path: str, before: str, after: str) -> dict[str, str]:
    return {"before_header": path, "after_header": path, "before": before, "after": after}


if __name__ == "__main__":
    main()

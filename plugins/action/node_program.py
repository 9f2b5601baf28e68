# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The controller's half of the module node_program: renders templates, collects Python files, and packs them."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ansible import release
from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.plugins.loader import lookup_loader

from ansible_collections.cloudha.vip.plugins.plugin_utils.library import LibraryError, collect

SOURCES = ("template", "src", "content")
# Before 2.19 a template whose text looks like JSON became a dictionary; since then the option is deprecated.
TEXT = {"convert_data": False} if tuple(map(int, release.__version__.split(".")[:2])) < (2, 19) else {}


def pack(library: Mapping[str, str], files: Sequence[str]) -> str:
    """The module's option ``archive``: the texts of the Python files by their names, and those of the other files."""
    return base64.b64encode(zlib.compress(json.dumps({"library": library, "files": files}).encode())).decode()


class ActionModule(ActionBase):
    _supports_check_mode = True
    _supports_diff = True

    def run(self, tmp: Any = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        variables = task_vars or {}
        result: dict[str, Any] = super().run(tmp, variables)
        args = dict(self._task.args)
        if "archive" in args:
            raise AnsibleActionFail("archive cannot be given")
        files, texts = [], []
        for entry in args.get("files") or ():
            texts.append(self._text(entry, variables))
            files.append({key: value for key, value in entry.items() if key not in SOURCES})
        library = args.get("library") or {}
        try:
            code = collect(library.get("modules") or ())
        except LibraryError as error:
            raise AnsibleActionFail(str(error)) from error
        args.update(files=files, archive=pack(code, texts))
        result.update(self._execute_module("cloudha.vip.node_program", module_args=args, task_vars=variables))
        return result

    def _text(self, entry: Any, variables: dict[str, Any]) -> str:
        given = [key for key in SOURCES if isinstance(entry, Mapping) and entry.get(key) is not None]
        if len(given) != 1:
            raise AnsibleActionFail(f"give each file one of {', '.join(SOURCES)}: {entry}")
        key, value = given[0], entry[given[0]]
        if key == "content":
            return str(value) if isinstance(value, str) else json.dumps(value)
        if key == "src":
            return Path(self._find_needle("files", value)).read_text(encoding="utf-8")
        lookup = lookup_loader.get("ansible.builtin.template", loader=self._loader, templar=self._templar)
        (text,) = lookup.run([value], variables=variables, **TEXT)
        return str(text)

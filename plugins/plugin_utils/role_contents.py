# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The files of this collection that decide what a role does: its own, and those that it names.

A list that somebody keeps by hand would miss one some day, and an old image would count as a new one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from .library import LibraryError, collect

COLLECTION = Path(__file__).parents[2]
NAMESPACE = "cloudha.vip"
# Of a role. README and argument_specs.yml explain it, and do nothing.
PARTS = ("defaults", "files", "handlers", "meta", "tasks", "templates", "vars")
EXPLAINS = "meta/argument_specs.yml"
KINDS = ("action", "filter", "lookup", "modules")
_NAMED = re.compile(rf"\b{re.escape(NAMESPACE)}\.(\w+)")
# Of the option library.modules of cloudha.vip.node_program.
_PATTERN = re.compile(r"(?<![\w/.])([a-z_]+/[\w*]+\.py)\b")
_IMPORT = re.compile(
    rf"^[ \t]*from ansible_collections\.{re.escape(NAMESPACE)}\.plugins\.([\w.]+) import (\([^)]*\)|[^\n]*)", re.M
)


class RoleError(Exception):
    """There is no such role."""


def contents(roles: Iterable[str], collection: Path = COLLECTION) -> dict[str, bytes]:
    """The files by their names, such as roles/nginx/tasks/main.yml or plugins/filter/nginx_quote.py.

    roles: names of this collection's roles, or absolute paths of other ones. Roles and plugins of the collection that
    a role's files name are taken, too, with all that these import.
    """
    found: dict[str, bytes] = {}
    waiting = [_directory(role, collection) for role in roles]
    done: dict[str, Path] = {}
    while waiting:
        directory = waiting.pop()
        if directory.name in done:
            if done[directory.name] != directory:
                raise RoleError(f"{done[directory.name]} and {directory} have the same name; rename one of them")
            continue
        done[directory.name] = directory
        for path in _files(directory):
            content = path.read_bytes()
            found[f"roles/{directory.name}/{path.relative_to(directory).as_posix()}"] = content
            text = content.decode(errors="replace")
            for name in set(_NAMED.findall(text)):
                if (collection / "roles" / name).is_dir():
                    waiting.append((collection / "roles" / name).resolve())
                found.update(_plugins(name, collection))
            for pattern in set(_PATTERN.findall(text)):
                if any((collection / "plugins/module_utils").glob(pattern)):
                    found.update(_library([pattern], collection))
    return found


def _directory(role: str, collection: Path) -> Path:
    if Path(role).is_absolute():
        directory = Path(role)
    elif re.fullmatch(rf"({re.escape(NAMESPACE)}\.)?\w+", role):
        directory = collection / "roles" / role.rpartition(".")[2]
    else:
        raise RoleError(f"{role!r} is no name of a role, and no absolute path such as {{{{ playbook_dir }}}}/roles/web")
    if not directory.is_dir():
        raise RoleError(f"there is no role {role}: {directory} is no directory")
    return directory.resolve()


def _files(directory: Path) -> Iterator[Path]:
    for part in PARTS:
        for path in sorted((directory / part).rglob("*")):
            name = path.relative_to(directory).as_posix()
            if path.is_file() and path.suffix != ".pyc" and name != EXPLAINS:
                yield path


def _plugins(name: str, collection: Path) -> dict[str, bytes]:
    """The plugins of a name, and what they import."""
    found: dict[str, bytes] = {}
    waiting = [collection / "plugins" / kind / f"{name}.py" for kind in KINDS]
    while waiting:
        path = waiting.pop()
        key = path.relative_to(collection).as_posix()
        if key in found or not path.is_file():
            continue
        found[key] = path.read_bytes()
        for module, names in _IMPORT.findall(found[key].decode()):
            base = collection / "plugins" / module.replace(".", "/")
            files = [base.with_suffix(".py"), *(base / f"{each}.py" for each in re.findall(r"\w+", names))]
            for file in filter(Path.is_file, files):
                inside = file.relative_to(collection / "plugins").as_posix()
                if inside.startswith("module_utils/"):
                    found.update(_library([inside[len("module_utils/") :]], collection))
                else:
                    waiting.append(file)
    return found


def _library(patterns: list[str], collection: Path) -> dict[str, bytes]:
    try:
        texts = collect(patterns, collection / "plugins/module_utils")
    except LibraryError as error:
        raise RoleError(str(error)) from error
    return {f"plugins/module_utils/{name}": text.encode() for name, text in texts.items()}

# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The collection's own Python files that a program on a node needs: its own, and those that they import."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1] / "module_utils"
# A pattern instead of a parser: all files are read for each node in each run.
_IMPORT = re.compile(r"^[ \t]*from (\.+)([\w.]*) import (\([^)]*\)|[^\n]*)", re.M)
_FOR_TYPES_ONLY = re.compile(r"^if TYPE_CHECKING:\n(?:[ \t].*\n|\n)+", re.M)


class LibraryError(Exception):
    """A file is not there, or one that another imports."""


def collect(patterns: Iterable[str], root: Path = ROOT) -> dict[str, str]:
    """The texts of the files below ``root`` that match one of the patterns, and of all files that they import.

    A pattern is like ``agent/*.py``, a key of the result like ``agent/cli.py``. Only relative imports count, anywhere
    in a file, and none that only type checkers need.
    """
    found: dict[str, str] = {}
    waiting: list[Path] = []
    for pattern in patterns:
        matches = sorted(root.glob(pattern))
        if not matches:
            raise LibraryError(f"{root} has no file {pattern}")
        waiting += matches
    while waiting:
        path = waiting.pop()
        name = str(path.relative_to(root))
        if name not in found:
            found[name] = path.read_text(encoding="utf-8")
            waiting += _imported(path, found[name], root)
    return found


def _imported(path: Path, text: str, root: Path) -> Iterator[Path]:
    for directory in path.parents:
        if directory == root:
            break
        if (directory / "__init__.py").is_file():
            yield directory / "__init__.py"
    for dots, module, names in _IMPORT.findall(_FOR_TYPES_ONLY.sub("", text)):
        base = path.parents[len(dots) - 1].joinpath(*filter(None, module.split(".")))
        if base.with_suffix(".py").is_file():
            yield base.with_suffix(".py")
            continue
        for name in re.findall(r"(\w+)(?: as \w+)?\s*(?:,|$|\))", re.sub(r"#[^\n]*", "", names).strip("( \n")):
            file = base / f"{name}.py"
            package = base / name / "__init__.py"
            if not file.is_file() and not package.is_file():
                raise LibraryError(f"{path} imports {name}, and there is no {file}")
            yield file if file.is_file() else package

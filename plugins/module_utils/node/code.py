# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The source of our own packages, as it came with a module."""

from __future__ import annotations

import os
import pkgutil
import sys
import typing as t
from types import ModuleType


def code_of(main: ModuleType, *_more: ModuleType) -> dict[str, bytes]:
    """The source of the package of ``main`` and of each neighbour that it uses: ``{"agent/cli.py": b"..."}``.

    ``_more``: what ``main`` imports only when it needs it; the caller has imported it, and with it what it uses.

    Works from a directory and from the archive in which Ansible sends a module.
    """
    root = t.cast(str, main.__package__).rpartition(".")[0] + "."
    packages = {name for name in sys.modules if name.startswith(root) and hasattr(sys.modules[name], "__path__")}
    packages.discard(root + "node")  # this file's own, which serves modules
    sources = {}
    for package in packages:
        names = [
            name for _finder, name, is_package in pkgutil.iter_modules(sys.modules[package].__path__) if not is_package
        ]
        for name in ["__init__", *names]:
            source = pkgutil.get_data(package, name + ".py")
            sources["%s/%s.py" % (package[len(root) :].replace(".", "/"), name)] = source or b""
    return sources


def installed(path: str) -> dict[str, bytes]:
    """What lies below ``path`` already, in the same form; empty if there is nothing."""
    found = {}
    for directory, _directories, names in os.walk(path):
        for name in names:
            if name.endswith(".py"):
                whole = os.path.join(directory, name)
                with open(whole, "rb") as file:
                    found[os.path.relpath(whole, path)] = file.read()
    return found

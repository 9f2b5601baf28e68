# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Lets plain pytest import the collection by its full name, wherever the clone lies.

ansible-test has its own loader for ansible_collections; then nothing is to be done.
"""

from __future__ import annotations

import importlib.util
import sys
import types
from pathlib import Path

import pytest

_ROOT = Path(__file__).resolve().parents[2]


def _namespace(name: str, path: list[str]) -> None:
    module = types.ModuleType(name)
    module.__path__ = path
    sys.modules[name] = module
    parent, _dot, child = name.rpartition(".")
    if parent:
        setattr(sys.modules[parent], child, module)


def _importable() -> bool:
    try:
        return importlib.util.find_spec("ansible_collections.cloudha.vip.plugins") is not None
    except ModuleNotFoundError:
        return False


if not _importable():
    if "ansible_collections" not in sys.modules:
        _namespace("ansible_collections", [])
    _namespace("ansible_collections.cloudha", [])
    _namespace("ansible_collections.cloudha.vip", [str(_ROOT)])

from ansible_collections.cloudha.vip.tests.unit import budget  # noqa: E402

nothing_is_spent_beyond_its_budget = budget.nothing_is_spent_beyond_its_budget


@pytest.fixture(autouse=True)
def _no_secrets():
    """What one test's client has learned does not change what another test's client says."""
    from ansible_collections.cloudha.vip.plugins.module_utils.base import masking

    masking.forget()
    yield
    masking.forget()

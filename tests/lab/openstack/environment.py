# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keystone's and Neutron's own virtual environment, and their databases, made once and kept in the cache."""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lab.image import cache_directory
from lab.process import run

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Environment:
    """``python`` has Keystone and Neutron; ``state`` holds their databases and keys as `prepare` left them."""

    python: Path
    state: Path


def ensure(progress: Callable[[str], None] = print) -> Environment:
    """Return the environment, making what the cache has not: about 40 s for the packages, 15 s for the databases."""
    directory = cache_directory() / f"openstack-{_key(HERE / 'requirements.txt')}"
    state = directory / f"state-{_key(HERE / 'prepare.py')}"
    environment = Environment(directory / "venv/bin/python", state)
    if state.is_dir():
        return environment
    cache_directory().mkdir(parents=True, exist_ok=True)
    # Two who come at once make one.
    with open(cache_directory() / "openstack.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        _install(directory, progress)
        if not state.is_dir():
            progress("preparing the databases of Keystone and Neutron (once; about 15 s)")
            building = state.with_suffix(".building")
            shutil.rmtree(building, ignore_errors=True)
            run(str(environment.python), "-I", str(HERE / "prepare.py"), str(building))
            building.rename(state)
    return environment


def _install(directory: Path, progress: Callable[[str], None]) -> None:
    # A virtual environment cannot be renamed into its place, so a stamp says that it is whole.
    stamp = directory / ".complete"
    if stamp.exists():
        return
    progress("installing Keystone and Neutron from PyPI (once; about 40 s)")
    shutil.rmtree(directory, ignore_errors=True)
    run(sys.executable, "-m", "venv", str(directory / "venv"))
    # What is not imported need not be compiled: Python does the rest when it starts them the first time.
    pip = [str(directory / "venv/bin/python"), "-m", "pip", "install", "-qq", "--disable-pip-version-check"]
    run(*pip, "--no-compile", "--requirement", str(HERE / "requirements.txt"))
    stamp.touch()


def _key(path: Path) -> str:
    """The hash of what the file at ``path`` makes with this Python."""
    inputs = f"{path.read_text()}{sys.version}{sys.base_prefix}"
    return hashlib.sha256(inputs.encode()).hexdigest()[:12]

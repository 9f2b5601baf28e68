# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Modules as processes of their own, forked from one that has imported already what all of them need."""

from __future__ import annotations

import importlib
import io
import json
import multiprocessing
import os
import pathlib
import subprocess
import sys
import tempfile
import threading
import time

from ansible_collections.cloudha.vip.tests.unit import budget

MODULES = "ansible_collections.cloudha.vip.plugins.modules."
_NEEDED = ["ansible.module_utils.basic", "google.cloud.compute_v1", "openstack.version", "requests", "urllib.request"]
_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(_NEEDED)


def import_ours():
    """Import our modules, too, before any of them starts, which would read and compile its sources anew.

    Not for a benchmark, in which others' modules have to do that.
    """
    ours = pathlib.Path(__file__).resolve().parents[2] / "plugins/modules"
    _context.set_forkserver_preload([*_NEEDED, __name__, *(MODULES + path.stem for path in ours.glob("*.py"))])


class Module:
    """A module that runs; as `subprocess.Popen`.

    environment: the variables that it has. of: the Python package. first: a program that its process runs before it.
    """

    def __init__(self, module, arguments, environment, of=MODULES, first=""):
        self._place = tempfile.TemporaryDirectory(prefix="cloudha-module-")
        words = (of + module, arguments, environment, self._place.name, first)
        self._process = _context.Process(target=_run, args=words)
        self._process.start()
        self._turn = threading.Lock()  # of two who ask how it ended at once, one would be told wrongly

    @property
    def returncode(self):
        with self._turn:
            return self._process.exitcode

    def send_signal(self, number):
        os.kill(self._process.pid, number)

    def wait(self, timeout=None):
        deadline = None if timeout is None else time.monotonic() + timeout
        while deadline is None or time.monotonic() < deadline:
            with self._turn:
                self._process.join(0.02)
                if self._process.exitcode is not None:
                    return self._process.exitcode
        raise subprocess.TimeoutExpired("module", timeout)

    def communicate(self, timeout=None):
        """What it said: its standard output, and its standard error."""
        self.wait(timeout)
        with self._place:
            assert not _text(f"{self._place.name}/beyond"), _text(f"{self._place.name}/beyond")
            return tuple(_text(f"{self._place.name}/{name}") for name in ("out", "err"))


def _text(path):
    try:
        with open(path) as file:
            return file.read()
    except FileNotFoundError:  # it was killed before it began
        return ""


def _run(module, arguments, environment, place, first):
    for descriptor, name in ((1, "out"), (2, "err")):
        opened = os.open(f"{place}/{name}", os.O_WRONLY | os.O_CREAT)
        os.dup2(opened, descriptor)
        os.close(opened)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = [module]
    # No run may send more changes than it is allowed.
    budget.count(pathlib.Path(place, "beyond").write_text)
    sys.stdin = io.TextIOWrapper(io.BytesIO(json.dumps({"ANSIBLE_MODULE_ARGS": arguments}).encode()))
    exec(first, {})
    importlib.import_module(module).main()

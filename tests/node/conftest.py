# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Modules run as Ansible runs them on a node, in network namespaces with no way out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import again
import pytest

ROOT = Path(__file__).resolve().parents[2]


def pytest_configure(config):
    again.register(config)


def pytest_collection_modifyitems(items):
    if os.geteuid() != 0:
        for item in items:
            if item.path.parent == Path(__file__).parent:
                item.add_marker(pytest.mark.skip(reason="network namespaces need root"))


class Namespace:
    """Lives as long as this process at most: its holder ends with our end of the pipe."""

    def __init__(self, collections):
        self.collections = collections
        self.holder = subprocess.Popen(
            ["unshare", "--net", "sh", "-c", "echo ready; exec cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert self.holder.stdout.readline() == b"ready\n"
        self.pid = str(self.holder.pid)
        self.enter = ["nsenter", "--net", f"--target={self.pid}"]

    def run(self, *command):
        return subprocess.run([*self.enter, *command], check=True, capture_output=True, text=True, timeout=30).stdout

    def start(self, module, options, *prefix):
        """Start a module of the collection; communicate() gives its result as JSON."""
        process = subprocess.Popen(
            [*self.enter, *prefix, sys.executable, "-m", f"ansible_collections.cloudha.vip.plugins.modules.{module}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(self.collections)},
        )
        process.stdin.write(json.dumps({"ANSIBLE_MODULE_ARGS": options}))
        process.stdin.flush()
        return process

    def module(self, module, options, *prefix):
        return json.loads(self.start(module, options, *prefix).communicate(timeout=30)[0])

    def close(self):
        self.holder.stdin.close()
        self.holder.wait(timeout=10)
        self.holder.stdout.close()


@pytest.fixture(scope="session")
def collections(tmp_path_factory):
    """A directory from which the collection can be imported, wherever the clone lies."""
    path = tmp_path_factory.mktemp("collections")
    (path / "ansible_collections" / "cloudha").mkdir(parents=True)
    (path / "ansible_collections" / "cloudha" / "vip").symlink_to(ROOT)
    return path


@pytest.fixture
def new_namespace(collections):
    made = []

    def make():
        made.append(Namespace(collections))
        return made[-1]

    yield make
    for namespace in made:
        namespace.close()

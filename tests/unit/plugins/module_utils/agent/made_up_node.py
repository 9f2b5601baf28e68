# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A node: the agent as a process of its own, without Ansible, and what it finds there."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from ansible_collections.cloudha.vip.plugins.module_utils.agent import service
from ansible_collections.cloudha.vip.plugins.module_utils.agent.events import newest_first, oldest_first

LAUNCHER = "import sys; sys.path.insert(0, sys.argv.pop(1)); from vip_agent.agent.cli import main; sys.exit(main())"


class Node:
    def __init__(self, path, **config):
        self.path = path
        (path / "lib/vip_agent").mkdir(parents=True)
        for package in ("agent", "base"):
            (path / "lib/vip_agent" / package).symlink_to(Path(service.__file__).parents[1] / package)
        for name in ("check", "agent"):
            (path / name).mkdir()
        os.mkfifo(path / "notify")
        self.fifo = os.open(path / "notify", os.O_RDWR | os.O_NONBLOCK)  # as keepalived does
        self.log = str(path / "events.jsonl")
        self.configure(**config)
        self.process = None

    def configure(self, **config):
        paths = {
            "fifo": "notify",
            "drain_file": "drain",
            "check_dir": "check",
            "state_dir": "agent",
            "event_log": "events.jsonl",
            "keepalived_pid_file": "keepalived.pid",
            "keepalived_health": "keepalived.json",
            "keepalived_guard": "guard.service",
        }
        config = {"node": "node1", **{key: str(self.path / name) for key, name in paths.items()}, **config}
        (self.path / "config.json").write_text(json.dumps(config))

    def command(self, *words):
        return [
            sys.executable,
            "-sEc",
            LAUNCHER,
            str(self.path / "lib"),
            "--config",
            f"{self.path}/config.json",
            *words,
        ]

    def start(self):
        seq = next(newest_first(self.log), {"seq": 0})["seq"]
        self.process = subprocess.Popen(self.command("run"), cwd="/")
        self.event("observed", after=seq)
        return seq

    def stop(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        code = self.process.wait(10)
        self.process = None
        return code

    def vip_agent(self, *words):
        return subprocess.run(self.command(*words), capture_output=True, text=True, timeout=20, check=False)

    def tell(self, *lines):
        for line in lines:
            os.write(self.fifo, f"{line}\n".encode())

    def event(self, event, after=0, **fields):
        """Wait for an event that comes after the one with the given number."""

        def find():
            for found in newest_first(self.log):
                if found["seq"] <= after:
                    return None
                if found["event"] == event and all(found[key] == value for key, value in fields.items()):
                    return found
            return None

        return until(find)

    def events(self):
        found = []
        for event in oldest_first(self.log):
            if event is None:
                return found
            found.append(event)
        return found

    def verdict(self, name="web"):
        return (self.path / "check" / name).read_text()


def until(condition, seconds=15):
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.01)

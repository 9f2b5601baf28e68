# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A node with the agent as the role lays it down: a process of a user without privilege, with an action."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from busy import Watch, until

from ansible_collections.cloudha.vip.plugins.module_utils.agent.events import newest_first
from ansible_collections.cloudha.vip.plugins.module_utils.agent.states import read_status
from ansible_collections.cloudha.vip.plugins.plugin_utils.library import collect
from ansible_collections.cloudha.vip.tests.unit.plugins.module_utils.agent.made_up_node import Node

NOBODY = 65534


class AgentNode(Node):
    """Any process of its name will do for keepalived; tests write its lines. An action without an instance has none."""

    def __init__(self, path, action):
        super().__init__(path)
        self.action = action
        self.instances = [{"name": action["instance"]}] if "instance" in action else []
        self.errors = path / "stderr"
        for package in ("agent", "base"):
            (path / "lib/vip_agent" / package).unlink()
        for name, source in collect(["agent/*.py"]).items():
            target = path / "lib/vip_agent" / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(source)
        self.act()
        self.keepalived = None
        if self.instances:
            shutil.copy("/bin/sleep", path / "keepalived")
            self.start_keepalived()
        else:
            (path / "notify").unlink()
        self.user = {}
        if os.geteuid() == 0:
            subprocess.run(["chown", "-R", f"{NOBODY}:{NOBODY}", path], check=True)
            self.user = {"user": NOBODY, "group": NOBODY, "extra_groups": []}

    def act(self, checks=(), **changes):
        """Configure the action, with changes."""
        self.action = {**self.action, **changes}
        keepalived = {} if self.instances else {"keepalived": False}
        self.configure(instances=self.instances, checks=list(checks), actions=[self.action], **keepalived)

    def command(self, *words):
        # A user without privilege may not be able to run the one of a virtual environment in root's home.
        python = sys.executable if os.geteuid() else "/usr/bin/python3"
        return [python, *super().command(*words)[1:]]

    def start(self, ready=True):
        seq = self.events()[-1]["seq"] if os.path.exists(self.log) else 0
        with open(self.errors, "ab") as errors:
            self.process = subprocess.Popen(self.command("run"), cwd="/", stderr=errors, **self.user)
        self.event("observed", after=seq)
        if ready:
            until(lambda: self.status().get("seen"))
        return seq

    def status(self):
        """What `vip-agent status` would tell of the action, and the problems; of the agent that runs now."""
        whole = read_status(str(self.path / "agent")) or {}
        if self.process and whole.get("pid") != self.process.pid:
            whole = {}
        return {**whole.get("actions", {}).get(self.action["name"], {}), "problems": whole.get("problems", {})}

    def start_keepalived(self):
        self.keepalived = subprocess.Popen([str(self.path / "keepalived"), "600"])
        (self.path / "keepalived.pid").write_text(f"{self.keepalived.pid}\n")

    def event(self, event, after=0, **fields):
        watch = Watch()
        try:
            return super().event(event, after, **fields)
        except AssertionError as late:
            watch.holds(False, f"no {event}: {late}")

    def last(self):
        """The number of the last event."""
        return next(newest_first(self.log))["seq"]

    def find(self, event, after):
        return next((each for each in self.events() if each["seq"] > after and each["event"] == event), None)

    def seen_again(self):
        """Wait for two more looks, so that one began and ended after now."""
        for _look in range(2):
            seen = self.status()["seen"]
            until(lambda seen=seen: self.status()["seen"] != seen)

    def state(self, state):
        """keepalived says so; the number of the event before."""
        seq = self.last()
        self.tell(f'INSTANCE "VI_1" {state} 254')
        return seq

    def resident_mib(self):
        statm = Path(f"/proc/{self.process.pid}/statm").read_text()
        return int(statm.split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20

    def runs_without_privilege(self):
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        user = status.partition("\nUid:")[2].split()[0]
        return user == str(NOBODY if os.geteuid() == 0 else os.geteuid())

    def all_it_tells(self):
        """What people and files are told, all of it."""
        told = self.vip_agent("status", "--json").stdout
        for name in ("stderr", "events.jsonl", "agent/status.json"):
            told += (self.path / name).read_text()
        return told

    def close(self):
        if self.process:
            self.stop(signal.SIGKILL)
        if self.keepalived:
            self.keepalived.kill()
            self.keepalived.wait()
        os.close(self.fifo)


@contextlib.contextmanager
def agent_nodes():
    """Makes nodes, in directories that a user without privilege can get into, which pytest's own is not."""
    made = []

    def make(action):
        path = Path(tempfile.mkdtemp(prefix="vip-agent-"))
        path.chmod(0o755)
        made.append(AgentNode(path, action))
        return made[-1]

    try:
        yield make
    finally:
        for node in made:
            node.close()
            if node.errors.exists():
                print(node.errors.read_text())
            shutil.rmtree(node.path)

# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Control groups: how a lab knows, freezes and kills what runs in it.

Every machine has a group of its own, and so has the keeper, all below one
directory for the lab: killing that directory ends the lab, whatever state
it is in.
"""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections.abc import Callable
from pathlib import Path

from lab import LabError

PREFIX = "cloudha-lab-"
KEEPER, API, PROBES = "keeper", "api", "probes"  # the groups of a lab that are no machine's


class Groups:
    """The control groups of one lab, in each hierarchy that systemd uses."""

    def __init__(self, lab: str) -> None:
        self.lab = lab
        self.directories = [root / f"{PREFIX}{lab}" for root in hierarchies()]

    @property
    def _unified(self) -> Path:
        return self.directories[0]

    def join(self, machine: str) -> None:
        """Put this process, and so what it starts, into the group of ``machine``."""
        for directory in self.directories:
            group = directory / machine
            group.mkdir(parents=True, exist_ok=True)
            (group / "cgroup.procs").write_text(str(os.getpid()))

    def kill(self, machine: str) -> None:
        """End every process of ``machine`` with SIGKILL, all at once."""
        group = self._unified / machine
        if group.is_dir():
            (group / "cgroup.kill").write_text("1")
            _wait(lambda: not self._populated(group), 10, f"the processes of {machine} to end")
        for directory in self.directories:
            _remove_tree(directory / machine)

    def freeze(self, machine: str, on: bool) -> None:
        """Stop every process of ``machine`` in its tracks, or let all go on."""
        group = self._unified / machine
        if on or group.is_dir():
            (group / "cgroup.freeze").write_text("1" if on else "0")

    def kill_unit(self, machine: str, unit: str) -> None:
        """End every process of a system service of ``machine`` with SIGKILL, if it runs."""
        group = self._payload(machine) / "system.slice" / unit
        with contextlib.suppress(FileNotFoundError):
            (group / "cgroup.kill").write_text("1")

    def leader(self, machine: str) -> int:
        """The first process of ``machine``, as this process's namespace numbers it."""
        return int((self._payload(machine) / "init.scope" / "cgroup.procs").read_text().split()[0])

    def state(self, machine: str) -> str:
        """``off``, ``running`` or ``hung``."""
        group = self._unified / machine
        try:
            if not self._populated(group):
                return "off"
            return "hung" if (group / "cgroup.freeze").read_text().strip() == "1" else "running"
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENODEV):  # it is not there, or just being removed
                raise
            return "off"

    def remove(self) -> None:
        """Kill what is left in any group of the lab and remove them all."""
        for directory in self.directories:
            if not directory.is_dir():
                continue
            kill = directory / "cgroup.kill"
            if kill.exists():
                kill.write_text("1")
                _wait(lambda: not self._populated(self._unified), 10, "the lab's processes to end")
            _remove_tree(directory)

    def _payload(self, machine: str) -> Path:
        """What systemd-nspawn lets the machine's own systemd divide."""
        return self._unified / machine / "payload"

    @staticmethod
    def _populated(group: Path) -> bool:
        return "populated 1" in (group / "cgroup.events").read_text()


def hierarchies() -> list[Path]:
    """Where control groups of systemd are mounted: the unified one first, then the named one of a hybrid host."""
    unified, named = [], []
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, target, kind, options, *_ = line.split()
        if kind == "cgroup2":
            unified.append(Path(target))
        elif kind == "cgroup" and "name=systemd" in options.split(","):
            named.append(Path(target))
    if not unified:
        raise LabError("no cgroup2 file system is mounted: the lab needs control groups version 2")
    return unified[:1] + named[:1]


def _remove_tree(directory: Path) -> None:
    """Remove a control group and those below it: leaves first, files go with their directory."""
    if not directory.is_dir():
        return
    for path, _, _ in os.walk(directory, topdown=False):
        deadline = time.monotonic() + 5
        while True:
            try:
                os.rmdir(path)
                break
            except OSError:
                # A killed process leaves its group a moment after it is gone.
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.01)


def _wait(condition: Callable[[], bool], timeout: float, what: str) -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise LabError(f"waited {timeout:.0f} s for {what}")
        time.sleep(0.005)

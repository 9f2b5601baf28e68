# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Systemd machines: power, hang and their repair.

Runs inside the lab's namespaces. A machine is a systemd-nspawn container in a
network namespace of its own, booted from an overlay over the image, in a
control group of its own: killing or freezing that group is what a power cut
or a hang is to a real one.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from lab import LabError
from lab.groups import Groups
from lab.keeper import DISKS
from lab.process import run


def start(groups: Groups, name: str, image: Path, console: Path, files: dict[str, str]) -> None:
    """Boot ``name``; its network namespace is there already. ``files`` are laid on its disk first."""
    disk = DISKS / name
    root = disk / "root"
    if not root.is_dir():
        for part in ("root", "upper", "work"):
            (disk / part).mkdir(parents=True)
        layers = f"lowerdir={image},upperdir={disk}/upper,workdir={disk}/work"
        run("mount", "-t", "overlay", "-o", layers, "overlay", str(root))
    for path, text in files.items():
        target = root / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        target.write_text(text)
    command = [
        "systemd-nspawn", "--quiet", "--boot", "--register=no", "--keep-unit", "--link-journal=no",
        "--resolv-conf=off", "--timezone=off", "--capability=CAP_NET_ADMIN,CAP_NET_RAW",
        f"--directory={root}", f"--machine={name}", f"--hostname={name}", f"--network-namespace-path=/run/netns/{name}",
    ]  # fmt: skip
    # Sysctls of the network are a machine's own, as on a VM.
    environment = os.environ | {"SYSTEMD_NSPAWN_API_VFS_WRITABLE": "network"}
    child = os.fork()
    if child == 0:
        try:
            groups.join(name)
            with console.open("ab") as log:
                subprocess.Popen(
                    command,
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
        except BaseException as error:
            console.write_text(f"could not start: {error}\n")
            os._exit(1)
        os._exit(0)
    if os.waitpid(child, 0)[1] != 0:
        raise LabError(f"{name} did not start; {console} says: {console.read_text().strip()}")


def execute(groups: Groups, name: str, *command: str) -> str:
    """Run ``command`` on the running machine, as its root; return what it printed."""
    return run("nsenter", "--all", f"--target={groups.leader(name)}", *command)

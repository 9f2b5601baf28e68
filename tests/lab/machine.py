# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Systemd machines: power, hang and their repair.

Runs inside the lab's namespaces. A machine is a systemd-nspawn container in a
network namespace of its own, booted from a disk (see `lab.disks`), in a
control group of its own: killing or freezing that group is what a power cut
or a hang is to a real one. A machine that needs what the host's kernel lacks
has a kernel of its own instead, which is a process: user-mode Linux.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable
from pathlib import Path

from lab import LabError
from lab.groups import Groups
from lab.keeper import DISKS
from lab.process import run


def start(groups: Groups, name: str, root: Path, console: Path, files: dict[str, str], before: str = "") -> None:
    """Boot ``name`` from ``root``; its network namespace is there already. ``files`` are laid on its disk first.

    Its kernel starts when the shell script ``before`` has ended, which is a part of the machine: nobody waits for it.
    """
    _lay(root, files)
    command = [
        "systemd-nspawn", "--quiet", "--boot", "--register=no", "--keep-unit", "--link-journal=no",
        "--resolv-conf=off", "--timezone=off", "--capability=CAP_NET_ADMIN,CAP_NET_RAW",
        f"--directory={root}", f"--machine={name}", f"--hostname={name}", f"--network-namespace-path=/run/netns/{name}",
    ]  # fmt: skip
    if before:
        command = ["sh", "-ec", f'{before}\nexec "$@"', "boot", *command]
    # Sysctls of the network are a machine's own, as on a VM.
    _launch(groups, name, command, os.environ | {"SYSTEMD_NSPAWN_API_VFS_WRITABLE": "network"}, console)


def start_kernel(
    groups: Groups,
    name: str,
    image: Path,
    console: Path,
    files: dict[str, str],
    mac: str,
    addresses: Iterable[str],
    gateway: str,
) -> None:
    """Boot ``name`` with a kernel of its own, which takes the place of the bridge's port of this name."""
    network = ["ip link set lo up", "ip link set vec0 name eth0", "ip link set eth0 up"]
    network += [f"ip address add {address} dev eth0" for address in addresses]
    network += [f"ip route add default via {gateway}"]
    disk = DISKS / name
    _lay(disk / "files", {"/etc/lab-network": "\n".join(network) + "\n", **files})
    command = [
        str(image.parent / "linux"), "mem=384M", "root=/dev/ubda", "rw",
        # t: no zeroing of ranges. The driver takes them for changed, and after a power cut their changes are gone.
        f"ubd0t={disk}/changes,{image.parent}/disk",
        "init=/usr/sbin/lab-init", f"lab_files={disk}/files", f"umid={name}", f"uml_dir={disk}/",
        # Segments that were put together have to be taken as they come.
        f"vec0:transport=tap,ifname={name},mac={mac},depth=128,gro=1", "con=null", "con0=null,fd:1",
        # What has no meaning here costs seconds.
        "systemd.mask=systemd-binfmt.service", "systemd.mask=proc-sys-fs-binfmt_misc.automount",
        "systemd.mask=e2scrub_reap.service", "systemd.mask=getty.target",
    ]  # fmt: skip
    # Kernel and processes hand over to each other all the time, which between two processors takes seven times as long.
    cpus = sorted(os.sched_getaffinity(0))
    # Its memory is a file below TMPDIR.
    environment = os.environ | {"TMPDIR": str(disk), "LD_PRELOAD": str(image.parent / "registers.so")}
    _launch(groups, name, command, environment, console, cpu=cpus[name.encode()[-1] % len(cpus)])


def _lay(root: Path, files: dict[str, str]) -> None:
    """Write ``files`` below ``root``."""
    for path, text in files.items():
        target = root / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        target.write_text(text)


def _launch(
    groups: Groups, name: str, command: list[str], environment: dict[str, str], console: Path, cpu: int | None = None
) -> None:
    """Start ``command`` in the machine's control group, to outlive this process; on the processor ``cpu``, if given."""
    child = os.fork()
    if child == 0:
        try:
            groups.join(name)
            if cpu is not None:
                os.sched_setaffinity(0, {cpu})
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

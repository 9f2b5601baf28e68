# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The lab's keepalived, run by itself: in the file system of the lab's machines, with a network of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from lab.image import PACKAGES, ensure

# The package and the libraries that the machines' image does not have yet.
_NEEDED = (
    "keepalived",
    *(f"lib{name}" for name in ["nl", "snmp", "glib", "ip4tc", "nftnl", "mnl", "sensors", "pci", "wrap"]),
)
# $1 is where the image is, $2 what is laid over it, $3 a directory that both sides see; the rest is run inside.
_ENTER = """
image=$1 packages=$2 shared=$3
shift 3
mount -t tmpfs tmpfs "$packages/mnt"
cd "$packages/mnt"
mkdir upper work root
mount -t overlay -o "lowerdir=$packages/files:$image,upperdir=upper,workdir=work" overlay root
mkdir root/shared
mount --bind "$shared" root/shared
mount -t proc proc root/proc
ip link set lo up
ip link add eth0 address 02:00:00:00:00:01 type veth peer name eth1
ip link add eth2 type veth peer name eth3
for link in eth0 eth1 eth2 eth3; do ip link set "$link" up; done
ip address add 192.168.7.247/22 dev eth0
ip address add fd00:7::247/64 dev eth0 nodad
exec chroot root sh -ec "$@"
"""


class RealKeepalived:
    def __init__(self, directory: Path) -> None:
        self.image = ensure()
        self.packages = directory
        files = directory / "files"
        (directory / "mnt").mkdir()
        files.mkdir()
        for package in sorted((self.image / PACKAGES.lstrip("/")).glob("*.deb")):
            if package.name.startswith(_NEEDED):
                subprocess.run(["dpkg-deb", "-x", package, files], check=True)
        for name in ("bin", "lib", "sbin"):  # on the image, these are links to those in usr
            if (files / name).is_dir():
                shutil.copytree(files / name, files / "usr" / name, symlinks=True, dirs_exist_ok=True)
                shutil.rmtree(files / name)
        self.version = self.run(directory, "keepalived --version 2>&1").stdout

    def run(self, shared: Path, script: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
        """Run a shell script beside keepalived as root; shared is its /shared. All its processes end with it."""
        enter = ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "sh", "-ec", _ENTER, "sh"]
        return subprocess.run(
            [*enter, str(self.image), str(self.packages), str(shared), script],
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
            env={**os.environ, "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
        )

    def refuses(self, shared: Path, text: str) -> str:
        """What keepalived says against a configuration, as the role asks it; empty if nothing."""
        (shared / "keepalived.conf").write_text(text)
        tested = self.run(shared, "trap '' TERM; keepalived --config-test --use-file=/shared/keepalived.conf")
        return tested.stdout + tested.stderr + (f"exit code {tested.returncode}" if tested.returncode else "")

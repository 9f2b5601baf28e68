# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The lab's keepalived, run by itself: in the file system of the lab's machines, with a network of its own."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2
import yaml
from busy import BUSY, Inconclusive, Watch

from ansible_collections.cloudha.vip.plugins.module_utils.keepalived.problems import find_problems
from ansible_collections.cloudha.vip.plugins.module_utils.keepalived.render import render
from ansible_collections.cloudha.vip.plugins.module_utils.keepalived.settings import settings
from ansible_collections.cloudha.vip.plugins.plugin_utils.library import collect
from lab.image import PACKAGES, ensure

ROLE = Path(__file__).resolve().parents[2] / "roles/keepalived"
SPEC = yaml.safe_load((ROLE / "meta/argument_specs.yml").read_text())["argument_specs"]["main"]["options"]
DRAIN = "/shared/drain"
# What a script says that has waited for long enough.
_VAIN = re.compile("^in vain: .*", re.MULTILINE)

# The package and the libraries that the machines' image does not have yet.
_NEEDED = (
    "keepalived",
    *(f"lib{name}" for name in ["nl", "snmp", "glib", "ip4tc", "nftnl", "mnl", "sensors", "pci", "wrap"]),
)
# $1 is where the image is, $2 what is laid over it, $3 a directory that both sides see, $4 makes its links; the rest is
# run inside.
_ENTER = """
image=$1 packages=$2 shared=$3 links=$4
shift 4
mount -t tmpfs tmpfs "$packages/mnt"
cd "$packages/mnt"
mkdir upper work root
mount -t overlay -o "lowerdir=$packages/files:$image,upperdir=upper,workdir=work" overlay root
mkdir root/shared
mount --bind "$shared" root/shared
touch root/linux
mount --bind "$image/../linux" root/linux
mount -t proc proc root/proc
[ -z "$links" ] || sh -ec "$links"
exec chroot root sh -ec "$@"
"""
_LINKS = """
ip link set lo up
ip link add eth0 address 02:00:00:00:00:01 type veth peer name eth1
ip link add eth2 type veth peer name eth3
ip link add eth4 type veth peer name eth5
for link in eth0 eth1 eth2 eth3 eth4 eth5; do ip link set "$link" up; done
ip address add 192.168.7.247/22 dev eth0
ip address add fd00:7::247/64 dev eth0 nodad
ip address add 192.0.2.247/24 dev eth2
"""
# The first process of a kernel of its own, whose root file system is where its own process runs.
_INIT = """#!/bin/sh
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /tmp
sh -e /shared/script
echo $? > /shared/code
poweroff -ff
"""


def written(version: str, own: Sequence[str] = (), **variables: Any) -> str:
    """keepalived.conf for these variables of a node; nothing may be wrong with them. own: more addresses of eth0."""
    interfaces = {"lo": ["127.0.0.1/8"], "eth0": ["192.168.7.247/22", "fd00:7::247/64", *own]}
    nodes = {"node1": {**variables, "interfaces": {**interfaces, "eth1": [], "eth2": ["192.0.2.247/24"], "eth4": []}}}
    assert find_problems(nodes, SPEC) == []
    return render(settings(nodes, "node1", SPEC), DRAIN, version)


def lay_companion(shared: Path) -> None:
    """The companion of the service and the guard's code, for a script to copy to where the role has them."""
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined)
    environment.filters["dirname"] = os.path.dirname
    companion = environment.from_string((ROLE / "templates/companion.j2").read_text()).render(
        ansible_managed="",
        __keepalived_config="/etc/keepalived/keepalived.conf",
        __keepalived_loaded="/run/cloudha-vip/keepalived.conf",
        __keepalived_links="/run/cloudha-vip/keepalived.links",
        __keepalived_companion="/usr/local/lib/cloudha-vip/keepalived",
        keepalived_python="/usr/bin/python3",
    )
    (shared / "companion").write_text(companion)
    for name, text in collect(["node/guard.py"]).items():
        (shared / "cloudha_vip" / name).parent.mkdir(parents=True, exist_ok=True)
        (shared / "cloudha_vip" / name).write_text(text)


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
        return self._run(["--net", "--pid", "--fork", "--kill-child"], _LINKS, shared, script, timeout)

    def run_in_first_namespaces(self, shared: Path, script: str) -> subprocess.CompletedProcess[str]:
        """The same among the machine's own processes, links and addresses. The script ends what it starts."""
        return self._run([], "", shared, script, 120)

    def _run(
        self, namespaces: list[str], links: str, shared: Path, script: str, timeout: float
    ) -> subprocess.CompletedProcess[str]:
        enter = ["unshare", "--mount", *namespaces, "sh", "-ec", _ENTER, "sh"]
        watch = Watch()
        done = subprocess.run(
            [*enter, str(self.image), str(self.packages), str(shared), links, script],
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
            env={**os.environ, "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
        )
        if done.returncode and (vain := _VAIN.search(done.stdout + done.stderr)) and watch.share() > BUSY:
            raise Inconclusive(vain.group())
        return done

    def run_with_kernel(self, shared: Path, script: str, timeout: float = 600) -> subprocess.CompletedProcess[str]:
        """The same with a kernel that has IPVS, and no network but what the script makes."""
        (shared / "script").write_text(script)
        (shared / "init").write_text(_INIT)
        (shared / "init").chmod(0o755)
        shutil.copy(self.image.parent / "registers.so", shared)
        # On one processor, as in the lab: handing over between two takes much longer.
        alone = f"taskset --cpu-list {min(os.sched_getaffinity(0))}"
        start = f"TMPDIR=/tmp LD_PRELOAD=/shared/registers.so {alone} /linux mem=256M"
        root = "root=/dev/root rootfstype=hostfs rootflags=/ rw init=/shared/init"
        console = "quiet uml_dir=/tmp/ con=null con0=null,fd:1"
        return self.run(shared, f"{start} {root} {console}; exit $(cat /shared/code)", timeout)

    def refuses(self, shared: Path, text: str) -> str:
        """What keepalived says against a configuration, as the role asks it; empty if nothing."""
        (shared / "keepalived.conf").write_text(text)
        tested = self.run(shared, "trap '' TERM; keepalived --config-test --use-file=/shared/keepalived.conf")
        return tested.stdout + tested.stderr + (f"exit code {tested.returncode}" if tested.returncode else "")

# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The disk that every machine boots from.

A Debian root file system with systemd, SSH and Python, and inside it a local
package source with everything the roles install: a machine without a way out
runs ``apt-get update`` and ``apt-get install`` as it would against a mirror.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from lab import LabError
from lab.process import run

# Debian 12 and Debian 13. LAB_SUITE names the one that machines have unless their lab is told otherwise.
SUITES = ("bookworm", "trixie")
USUAL = os.environ.get("LAB_SUITE") or SUITES[0]
SYSTEM = [
    "systemd",
    "systemd-sysv",
    "dbus",
    "iproute2",
    "iputils-ping",
    "kmod",
    "procps",
    "nftables",
    "openssh-server",
    "python3",
    "python3-apt",
    "ca-certificates",
    "sudo",
]
# What the roles may install: with their dependencies, but not installed yet.
OFFERED = ["keepalived", "nginx-light", "nginx", "ipvsadm", "curl", "tcpdump"]
PACKAGES = "/var/local/packages"
# A Linux that runs as a process, for machines that need what the host's kernel lacks, and what compiles registers.c.
KERNEL = "user-mode-linux"
COMPILER = "tcc"
# Whole at once: what is put off would be done by the machine, at its expense.
DISK = ("mke2fs", "-q", "-t", "ext4", "-E", "lazy_itable_init=0,lazy_journal_init=0")

# Part of the cache key: whatever is run to build the image.
RECIPE = f"""
set -e
root=$1
chroot "$root" apt-get install --yes --download-only --no-install-recommends {" ".join(OFFERED)}
mkdir -p "$root{PACKAGES}"
mv "$root"/var/cache/apt/archives/*.deb "$root{PACKAGES}/"
# Beside the root file system: a kernel, whose modules are in it.
chroot "$root" sh -c 'cd /tmp && apt-get download {KERNEL} {COMPILER}'
unpacked=$root/tmp/unpacked
for deb in "$root"/tmp/*.deb; do dpkg-deb --extract "$deb" "$unpacked"; done
rm "$root"/tmp/*.deb
mv "$unpacked/usr/bin/linux.uml" "$root/../linux"
cat > "$unpacked/registers.c" <<'SOURCE'
{(Path(__file__).parent / "registers.c").read_text()}SOURCE
chroot "$root" /tmp/unpacked/usr/bin/tcc -shared -nostdlib -o /tmp/unpacked/registers.so /tmp/unpacked/registers.c
mv "$unpacked/registers.so" "$root/.."
mkdir -p "$root/usr/lib/modules"
mv "$unpacked"/usr/lib/uml/modules/* "$root/usr/lib/modules/"
rm -r "$unpacked"
for deb in "$root{PACKAGES}"/*.deb; do
    dpkg-deb --field "$deb"
    echo "Filename: ./${{deb##*/}}"
    echo "Size: $(stat --format %s "$deb")"
    echo "SHA256: $(sha256sum "$deb" | cut -d' ' -f1)"
    echo
done > "$root{PACKAGES}/Packages"
# The machines take packages from there and nowhere else.
rm -rf "$root"/etc/apt/sources.list.d/*
echo 'deb [trusted=yes] file:{PACKAGES} ./' > "$root/etc/apt/sources.list"
# No way out: nothing to resolve, no lease to ask for, nothing to update on a timer.
ln -sf /dev/null "$root/etc/systemd/system/systemd-networkd.service"
ln -sf /dev/null "$root/etc/systemd/system/systemd-resolved.service"
ln -sf /dev/null "$root/etc/systemd/system/apt-daily.timer"
ln -sf /dev/null "$root/etc/systemd/system/apt-daily-upgrade.timer"
# Each reload of systemd has all generators look for what is not here. Only those of old init scripts find any.
mkdir -p "$root/etc/systemd/system-generators"
for each in "$root"/usr/lib/systemd/system-generators/*; do
    case $each in *sysv*) ;; *) ln -s /dev/null "$root/etc/systemd/system-generators/${{each##*/}}" ;; esac
done
# A machine with a kernel of its own gets the files that are laid on others' disks as it boots,
cat > "$root/usr/sbin/lab-init" <<'SCRIPT'
{(Path(__file__).parent / "lab-init").read_text()}SCRIPT
chmod 755 "$root/usr/sbin/lab-init"
# and finds its interface bare.
cat > "$root/etc/systemd/system/lab-network.service" <<'UNIT'
[Unit]
DefaultDependencies=no
After=local-fs.target
Before=network.target
ConditionPathExists=/etc/lab-network
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh -e /etc/lab-network
[Install]
WantedBy=multi-user.target
UNIT
chroot "$root" systemctl enable lab-network.service
# As Debian's initramfs mounts it, which the machines do without: no program runs from there.
cat > "$root/etc/systemd/system/lab-run.service" <<'UNIT'
[Unit]
DefaultDependencies=no
Before=sysinit.target
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/mount -o remount,nosuid,nodev,noexec /run
[Install]
WantedBy=sysinit.target
UNIT
chroot "$root" systemctl enable lab-run.service
: > "$root/etc/resolv.conf"
: > "$root/etc/machine-id"
cat > "$root/usr/lib/python3/dist-packages/usercustomize.py" <<'PYTHON'
{(Path(__file__).parent / "usercustomize.py").read_text()}PYTHON
printf 'PermitRootLogin prohibit-password\\nUseDNS no\\nX11Forwarding no\\n' > "$root/etc/ssh/sshd_config.d/lab.conf"
"""


def cache_directory() -> Path:
    """Where what is worth keeping between labs lies."""
    base = os.environ.get("CLOUDHA_CACHE")
    if base:
        return Path(base)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cloudha-vip"


def key(suite: str = USUAL) -> str:
    """The hash of everything the image of this release of Debian is made from."""
    inputs = "\n".join((suite, *SYSTEM, RECIPE, *DISK, os.uname().machine))
    return hashlib.sha256(inputs.encode()).hexdigest()[:16]


def ensure(progress: Callable[[str], None] = print, suite: str = USUAL) -> Path:
    """Return the root file system of Debian's release ``suite``, building it (about 20 s) if the cache has none.

    Beside it are ``linux``, a kernel that runs as a process, ``registers.so`` for its LD_PRELOAD (see registers.c), and
    ``disk``, the same file system as a disk of it.
    """
    if suite not in SUITES:
        raise LabError(f"no machines of Debian '{suite}': there are {' and '.join(SUITES)}")
    directory = cache_directory() / f"image-{key(suite)}"
    root = directory / "root"
    if root.is_dir():
        return root
    cache_directory().mkdir(parents=True, exist_ok=True)
    # Two labs that start at once build one image.
    with open(cache_directory() / "image.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if root.is_dir():
            return root
        progress(f"building the machines' image from packages of Debian {suite} (once; about 20 s)")
        building = directory.with_suffix(".building")
        shutil.rmtree(building, ignore_errors=True)
        building.mkdir()
        (building / "recipe").write_text(RECIPE)
        try:
            # In a mount namespace of its own, so that one who is killed leaves no mount below the cache.
            run(
                "unshare",
                "--mount",
                "mmdebstrap",
                "--variant=minbase",
                "--mode=root",
                f"--include={','.join(SYSTEM)}",
                f'--customize-hook=sh {building}/recipe "$1"',
                suite,
                str(building / "root"),
            )
            run(*DISK, "-d", str(building / "root"), str(building / "disk"), "2G")
        except LabError:
            shutil.rmtree(building, ignore_errors=True)
            raise
        shutil.rmtree(directory, ignore_errors=True)
        building.rename(directory)
    return root

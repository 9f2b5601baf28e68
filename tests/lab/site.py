# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A lab as its own inside sees it: the network, and machines that have power or not.

Runs inside the lab's namespaces, in whichever process has to do with machines.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from lab import fabric, machine, topology
from lab.groups import Groups
from lab.subnet import Subnet
from lab.topology import CONTROLLER, Topology
from lab.vpc import METADATA, Vpc


class Fabric(Protocol):
    """What joins the machines: a bridge (`lab.fabric`), one with a gateway (`lab.subnet`), or a router (`lab.vpc`)."""

    def build(self) -> None: ...
    def attach(self, name: str, addresses: Iterable[str], mac: str | None = None) -> None: ...
    def detach(self, name: str) -> None: ...
    def set_carrier(self, name: str, up: bool) -> None: ...
    def cut(self, name: str, peers: Iterable[str], on: bool) -> None: ...


class Site:
    """A lab as its own inside sees it."""

    def __init__(self, groups: Groups, topology: Topology, image: Path, state: Path) -> None:
        self.topology = topology
        self.image = image
        self.state = state
        self.groups = groups

    @property
    def fabric(self) -> Fabric:
        """The network of the topology's kind."""
        if self.topology.outside is not None:
            return self.subnet
        return fabric if self.topology.gateway is None else self.vpc

    @property
    def subnet(self) -> Subnet:
        """The bridge with its gateway, of a topology that has an outside."""
        assert self.topology.outside is not None
        uplinks = {each.name: each.uplink for each in self.topology.machines if each.uplink}
        return Subnet(self.topology.outside, self.topology.instances[CONTROLLER], uplinks)

    @property
    def vpc(self) -> Vpc:
        """The router, of a topology that has one."""
        assert self.topology.gateway is not None
        return Vpc(self.topology.gateway, self.topology.instances, CONTROLLER)

    def build(self) -> None:
        """Make the fabric, the controller's network, and boot every machine."""
        self.fabric.build()
        self.fabric.attach(CONTROLLER, self.topology.controller)
        for each in self.topology.machines:
            self.power_on(each.name)

    def power_on(self, name: str) -> None:
        """Plug the machine in and boot it."""
        if self.groups.state(name) != "off":
            return
        this = self.topology.machine(name)
        self.fabric.detach(name)
        hosts = "".join(f"{each.address} {each.name}\n" for each in self.topology.machines)
        if self.topology.gateway is not None:
            hosts += f"{METADATA} metadata.google.internal metadata\n"
        files = {
            "/etc/hostname": f"{name}\n",
            "/etc/hosts": f"127.0.0.1 localhost\n::1 localhost\n{hosts}",
            "/root/.ssh/authorized_keys": (self.state / "ssh_key.pub").read_text(),
        }
        console = self.state / f"{name}.console"
        if this.own_kernel:
            gateway = self.subnet.attach_kernel(name)
            machine.start_kernel(self.groups, name, self.image, console, files, this.mac, this.addresses, gateway)
        else:
            self.fabric.attach(name, this.addresses, this.mac)
            machine.start(self.groups, name, self.image, console, files)

    def power_off(self, name: str) -> None:
        """A power cut: silent on the network first, then everything dies with SIGKILL."""
        self.fabric.detach(name)
        self.groups.kill(name)

    def spawn(self, module: str, *words: str, log: str) -> subprocess.Popen[bytes]:
        """Start ``python -m module`` with this site (see `of`) and ``words``; it outlives the caller, not the lab."""
        site = [self.groups.lab, self.topology.name, str(self.image), str(self.state)]
        with (self.state / log).open("ab") as output:
            return subprocess.Popen(
                [sys.executable, "-m", module, *site, *words],
                env={**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    @classmethod
    def of(cls, words: list[str]) -> Site:
        """The site that `spawn` handed over, taken from the front of ``words``."""
        lab, name, image, state = words[:4]
        del words[:4]
        return cls(Groups(lab), topology.get(name), Path(image), Path(state))

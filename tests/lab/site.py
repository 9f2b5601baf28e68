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
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Protocol

from lab import LabError, disks, fabric, machine, topology
from lab.groups import API, KEEPER, PROBES, Groups
from lab.places import SSH_HOSTS, Places, locked, replace_file, ssh_hosts
from lab.subnet import Subnet
from lab.topology import CONTROLLER, Machine, Topology
from lab.vpc import METADATA, Vpc, mac_of

_LOCKS = Path("/run")  # a file for each machine: one at a time gives it power, or takes it


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
        self.places = Places()

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

    @cached_property
    def vpc(self) -> Vpc:
        """The router, of a topology that has one."""
        assert self.topology.gateway is not None
        return Vpc(self.topology.gateway, self.places, CONTROLLER)

    def machine(self, name: str) -> Machine:
        """The machine called ``name``, if it is there: planned by the topology, or made by the cloud's API."""
        places = self.places.now()
        if name not in places:
            raise LabError(f"no machine '{name}' here: there are {', '.join(places)}")
        address = places[name].address
        planned = next((each for each in self.topology.machines if each.name == name), None)
        if planned is None:
            return Machine(name, "", (f"{address}/32",), mac_of(address))
        # The cloud's API may have made it elsewhere.
        moved = planned.address != address
        return replace(planned, addresses=(f"{address}/32",), mac=mac_of(address)) if moved else planned

    def others(self, name: str) -> list[str]:
        """All machines but this one; the controller keeps its way in, as a management network would."""
        return [each for each in self.places.now() if each not in (name, CONTROLLER)]

    def peers(self, name: str) -> list[str]:
        """The other machines of the same group."""
        group = self.machine(name).group
        return [each for each in self.others(name) if self.machine(each).group == group]

    def build(self) -> None:
        """Make the fabric, the controller's network, and boot every machine."""
        self.fabric.build()
        for name, address in self.topology.instances.items():
            self.places.add(name, address, disk=name)
        self.fabric.attach(CONTROLLER, self.topology.controller)
        for each in self.topology.machines:
            if not each.later:
                self.power_on(each.name)

    def create(self, name: str, address: str, disk: str) -> None:
        """A new machine in the VPC, plugged in, without power."""
        if name in (API, KEEPER, PROBES):
            raise LabError(f"no machine of a lab can be called '{name}'")
        self.places.add(name, address, disk)
        self.vpc.plug(name)
        self._tell_ssh()

    def delete(self, name: str) -> None:
        """Forget a machine; its disk stays."""
        with self._alone(name):
            if name in self.places:
                self._cut_power(name)
                self.vpc.unplug(name)
                self._tell_ssh()

    def _tell_ssh(self) -> None:
        found = {name: place.address for name, place in self.places.now().items() if name != CONTROLLER}
        replace_file(self.state / SSH_HOSTS, ssh_hosts(found))

    def power_on(self, name: str, after: float = 0.0) -> None:
        """Plug the machine in and boot it, if it is there: its kernel starts ``after`` seconds of silence."""
        with self._alone(name):
            if name in self.places and self.groups.state(name) == "off":
                self._boot(name, after)

    def _boot(self, name: str, after: float) -> None:
        this = self.machine(name)
        self.fabric.detach(name)
        addresses = {each.name: each.address for each in self.topology.machines}
        addresses |= {each: place.address for each, place in self.places.now().items()}
        hosts = "".join(f"{address} {each}\n" for each, address in addresses.items() if each != CONTROLLER)
        if self.topology.gateway is not None:
            hosts += f"{METADATA} metadata.google.internal metadata\n"
        files = {
            "/etc/hostname": f"{name}\n",
            "/etc/hosts": f"127.0.0.1 localhost\n::1 localhost\n{hosts}",
            "/root/.ssh/authorized_keys": (self.state / "ssh_key.pub").read_text(),
        }
        if self.topology.gateway is not None:
            files["/etc/resolv.conf"] = f"nameserver {METADATA}\n"
        console = self.state / f"{name}.console"
        if this.own_kernel:
            gateway = self.subnet.attach_kernel(name)
            machine.start_kernel(self.groups, name, self.image, console, files, this.mac, this.addresses, gateway)
        else:
            before = ""
            if after:
                before = f"sleep {after}\n{self.vpc.attach_asleep(name, this.addresses, this.mac)}"
            else:
                self.fabric.attach(name, this.addresses, this.mac)
            root = disks.mounted(self.places[name].disk, self.image)
            machine.start(self.groups, name, root, console, files, before)

    def power_off(self, name: str) -> None:
        """A power cut: silent on the network first, then everything dies with SIGKILL, what is to boot it too."""
        with self._alone(name):
            if name in self.places:
                self._cut_power(name)

    def _cut_power(self, name: str) -> None:
        self.fabric.detach(name)
        self.groups.kill(name)

    def _alone(self, name: str) -> AbstractContextManager[None]:
        return locked(_LOCKS / f"{name}.power")

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

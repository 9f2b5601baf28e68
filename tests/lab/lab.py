# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The verbs: up, down, status, exec, fault, repair, clean."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from lab import LabError, api, fabric, faults, image, inotify, inventory, topology
from lab.groups import PREFIX, PROBES, Groups, hierarchies
from lab.keeper import Keeper, enter_network
from lab.openstack import environment
from lab.openstack.world import World as OpenStack
from lab.places import PLACES, Place, Places
from lab.process import run
from lab.site import Site

STATE = Path("/run/cloudha-lab")


class Lab:
    """The lab called ``name``: its state on the host, and what can be done to it."""

    def __init__(self, name: str) -> None:
        if not re.fullmatch(r"[a-z][a-z0-9-]{0,30}", name):
            raise LabError(f"'{name}' is no name for a lab: use up to 31 of a-z, 0-9 and -, beginning with a letter")
        self.name = name
        self.state = STATE / name
        self.groups = Groups(name)
        self.keeper = Keeper(self.state, self.groups)

    @property
    def inventory(self) -> Path:
        """Where the Ansible inventory lies while the lab runs."""
        return self.state / "inventory.yml"

    @property
    def topology(self) -> topology.Topology:
        """What this lab was started as."""
        return topology.get(self._spec()["topology"])

    @property
    def places(self) -> dict[str, Place]:
        """The machines that there are now, and the controller, and where each is."""
        return Places(self.keeper.outside(PLACES)).now()

    @property
    def api(self) -> api.Admin:
        """How the cloud's API is told what to do."""
        if self.topology.world is None:
            clouds = " or ".join(f"`up {each.name}`" for each in topology.TOPOLOGIES.values() if each.world)
            raise LabError(f"lab '{self.name}' has no cloud's API: start one with {clouds}")
        return api.Admin(self.state)

    def up(self, topology_name: str, progress: Callable[[str], None] = print, suite: str = image.USUAL) -> None:
        """Start the lab, with machines of Debian's release ``suite``; return when every machine answers SSH."""
        plan = topology.get(topology_name)
        if self.keeper.pid is not None:
            raise LabError(
                f"lab '{self.name}' is running already: `down --name {self.name}` it, or take another --name"
            )
        root = image.ensure(progress, suite)
        if isinstance(plan.world, OpenStack):
            environment.ensure(progress)  # from inside the lab there is no way to the packages
        self.down()
        begin = time.monotonic()
        # Of those that come later one is built first.
        builder = any(each.later for each in plan.machines)
        self._claim(sum(not each.own_kernel for each in plan.machines) + builder)
        try:
            (self.state / "mux").mkdir()
            (self.state / "lab.json").write_text(json.dumps({"topology": topology_name, "image": str(root)}))
            run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "lab", "-f", str(self.state / "ssh_key"))
            host_key = (root / "etc/ssh/ssh_host_ed25519_key.pub").read_text()
            (self.state / "known_hosts").write_text(f"lab {host_key}")
            self.keeper.start()
            inventory.controller_python(self.state)
            self.inventory.write_text(inventory.inventory(self.name, self.state, plan))
            network = self.keeper.network(topology.CONTROLLER)
            (self.state / "ssh_config").write_text(inventory.ssh_config(self.state, plan, network))
            starting = [each.name for each in plan.machines if not each.later]
            progress(f"starting {', '.join(starting)}")
            self.keeper.run(self.site().build)
            if plan.world is not None:
                self.keeper.run(lambda: api.start(self.site()))
                self.api.wait()
            self.wait_for_ssh(starting)
        except BaseException:
            self.down()
            raise
        progress(f"lab '{self.name}' is up in {time.monotonic() - begin:.1f} s; its inventory: {self.inventory}")

    def down(self) -> None:
        """End the lab and leave nothing of it but the cache. Also mends what a crash left."""
        for socket in self.state.glob("mux/*"):
            # A connection that ssh keeps open for later would outlive the machine at its other end.
            subprocess.run(["ssh", "-O", "exit", "-S", socket, "lab"], capture_output=True, check=False)
        self.groups.remove()
        self._give_back()

    def _claim(self, machines: int) -> None:
        with _alone():
            inotify.reserve(machines)
            self.state.mkdir(parents=True)

    def _give_back(self) -> None:
        shutil.rmtree(self.state, ignore_errors=True)
        with _alone(), contextlib.suppress(OSError):
            STATE.rmdir()  # fails while there is another lab
            inotify.release()

    def status(self) -> list[dict[str, str]]:
        """Each machine: name, group, addresses, state (running, hung, off, absent), and what the cloud's API says."""
        places = self.places
        known = self.api.machines() if self.topology.world else {}
        planned = {each.name: each for each in self.topology.machines}
        rows = []
        for name in dict.fromkeys([*planned, *places]):
            if name == topology.CONTROLLER and name not in known:
                continue
            place, this = places.get(name), planned.get(name)
            addresses = " ".join(this.addresses) if this else place.address if place else ""
            state = "" if name == topology.CONTROLLER else self.groups.state(name) if place else "absent"
            row = {"machine": name, "group": this.group if this else "", "addresses": addresses, "state": state}
            rows.append({**row, "cloud": known.get(name, "")})
        return rows

    def fault(
        self,
        fault: str,
        name: str,
        peers: Sequence[str] = (),
        undo_after: float | None = None,
        tell: Callable[[int], object] = lambda _: None,
    ) -> None:
        """Do ``fault`` to machine ``name``; with ``undo_after`` its repair is armed first.

        ``tell`` is called just before the fault, with the wall clock in ns since 1970.
        """
        self._check(fault, (name, *peers))
        site = self.site()

        def work() -> None:
            if undo_after is not None:
                faults.arm(site, fault, name, peers, undo_after)
            tell(time.time_ns())
            faults.inject(site, fault, name, peers)

        self.keeper.run(work)

    def repair(self, fault: str, name: str, peers: Sequence[str] = (), wait: bool = False) -> None:
        """Undo ``fault`` on machine ``name``, which may be no more; with ``wait`` return when it answers SSH again."""
        self._check(fault, (name, *peers), also=[each.name for each in self.topology.machines])
        site = self.site()
        self.keeper.run(lambda: faults.repair(site, fault, name, peers))
        if wait:
            self.wait_for_ssh([name])

    def secure(self, name: str, addresses: Sequence[str] | None) -> None:
        """Port security: let machine ``name`` send from ``addresses`` and its own only; None opens its port."""
        this = self.topology.machine(name)
        if self.topology.world is not None:
            raise LabError("this network has no port security: what an instance may send is for the cloud's API to say")
        policy = None
        if addresses is not None:
            allowed = [str(address).partition("/")[0] for address in (*this.addresses, *addresses)]
            pairs = tuple(fabric.Pair(this.mac, address) for address in allowed)
            policy = fabric.Policy(sends=pairs, claims=pairs)
        self.keeper.run(lambda: fabric.secure(name, policy))

    def execute(self, command: Sequence[str], machine: str | None = None) -> int:
        """Run ``command`` in the controller's network, or on ``machine`` over SSH; return its exit status."""
        if machine is not None:
            self._find([machine])
            # ssh hands one string to a shell: several words are quoted, a single one is a script.
            script = shlex.join(command) if len(command) > 1 else command[0]
            return subprocess.call(["ssh", "-F", self.state / "ssh_config", machine, "--", script])
        network = self.keeper.network(topology.CONTROLLER)
        try:
            child = subprocess.Popen(command, preexec_fn=lambda: enter_network(network))
        except FileNotFoundError as error:
            raise LabError(f"no such command: {error.filename}") from error
        with _forwarding_signals(child):
            return child.wait()

    def wait_for_ssh(self, names: Sequence[str], timeout: float = 180.0) -> None:
        """Return when each machine lets root in over SSH; say which does not."""
        deadline = time.monotonic() + timeout
        waiting = list(names)
        while waiting:
            ssh: list[str | Path] = [
                "ssh",
                "-F",
                self.state / "ssh_config",
                "-o",
                "ConnectTimeout=2",
                "-o",
                "BatchMode=yes",
            ]
            probes = {
                name: subprocess.Popen(
                    [*ssh, name, "true"],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    preexec_fn=lambda: self.groups.join(PROBES),  # so that they end with the lab
                )
                for name in waiting
            }
            waiting = [name for name, probe in probes.items() if not _succeeds(probe)]
            self.groups.kill(PROBES)  # a proxy command may outlive its ssh
            if waiting and time.monotonic() > deadline:
                raise LabError(f"no SSH after {timeout:.0f} s from {', '.join(waiting)}: see {self.state}/*.console")
            if waiting:
                time.sleep(0.1)

    def _spec(self) -> dict[str, str]:
        try:
            return json.loads((self.state / "lab.json").read_text())
        except OSError:
            raise LabError(f"there is no lab '{self.name}': start it with `up --name {self.name}`") from None

    def site(self) -> Site:
        """The lab as its own inside sees it: for what `keeper.run` runs."""
        spec = self._spec()
        return Site(self.groups, topology.get(spec["topology"]), Path(spec["image"]), self.state)

    def _check(self, fault: str, names: Sequence[str], also: Sequence[str] = ()) -> None:
        offered = faults.offered(self.topology)
        if fault not in offered:
            raise LabError(f"no fault '{fault}' here: there are {', '.join(offered)}")
        self._find(names, also)

    def _find(self, names: Sequence[str], also: Sequence[str] = ()) -> None:
        """See that these machines are there now, or among ``also``."""
        machines = [each for each in dict.fromkeys([*self.places, *also]) if each != topology.CONTROLLER]
        for name in names:
            if name not in machines:
                raise LabError(f"no machine '{name}' here: there are {', '.join(machines)}")


def _succeeds(probe: subprocess.Popen[bytes], timeout: float = 5.0) -> bool:
    """Whether ``probe`` ends well; ssh's own time-outs do not cover its proxy command."""
    try:
        return probe.wait(timeout) == 0
    except subprocess.TimeoutExpired:
        probe.kill()
        probe.wait()
        return False


def labs() -> list[Lab]:
    """Every lab of which anything is left: state or control groups."""
    names = {path.name for path in STATE.glob("*")}
    for root in hierarchies():
        names |= {path.name.removeprefix(PREFIX) for path in root.glob(f"{PREFIX}*")}
    return [Lab(name) for name in sorted(names)]


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """No other lab makes or removes what all of them share; the lock is on a directory, as a file would stay behind."""
    above = os.open(STATE.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(above, fcntl.LOCK_EX)
        yield
    finally:
        os.close(above)


@contextlib.contextmanager
def _forwarding_signals(child: subprocess.Popen[bytes]):
    """Who stops `lab exec` means the command: pass SIGTERM on and let it end in its own way."""
    before = signal.signal(signal.SIGTERM, lambda *_: os.kill(child.pid, signal.SIGTERM))
    try:
        yield
    except KeyboardInterrupt:
        child.wait()
        raise
    finally:
        signal.signal(signal.SIGTERM, before)

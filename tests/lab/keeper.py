# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One process that owns a whole lab.

The keeper is the first process of its own mount, PID and network namespaces.
Every machine, mount, link and helper of the lab lives inside them, so when the
keeper ends, however it ends, the kernel takes all of it away. Nothing of a lab
is named on the host but its state directory and its control groups.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

from lab import LabError
from lab.groups import KEEPER, Groups

CLONE_NEWNS = 0x00020000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000
MS_NOSUID, MS_NODEV, MS_BIND, MS_REC, MS_PRIVATE = 0x2, 0x4, 0x1000, 0x4000, 0x40000

NETWORKS = Path("/run/netns")  # where `ip netns` keeps its names
DISKS = Path("/run/disks")

_libc = ctypes.CDLL(None, use_errno=True)


def _call(function: str, *args: object) -> None:
    if getattr(_libc, function)(*args) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{function}: {os.strerror(number)}")


def mount(source: str, target: str | Path, kind: str, flags: int = 0, data: str = "") -> None:
    """mount(2) in this process's mount namespace."""
    _call("mount", source.encode(), str(target).encode(), kind.encode(), flags, data.encode())


def enter_network(path: str | Path) -> None:
    """Move this process into the network namespace at ``path``."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        _call("setns", fd, CLONE_NEWNET)
    finally:
        os.close(fd)


def _start_time(pid: int) -> str | None:
    """When the kernel started ``pid``: tells a process from a later one of the same number."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else fields[19]


class Keeper:
    """The keeper of the lab whose state lies in ``directory``."""

    def __init__(self, directory: Path, groups: Groups) -> None:
        self.directory = directory
        self._groups = groups
        self._file = directory / "keeper"

    @property
    def pid(self) -> int | None:
        """The keeper's process id on the host, or None when it does not run."""
        try:
            pid, started = self._file.read_text().split()
        except (OSError, ValueError):
            return None
        return int(pid) if _start_time(int(pid)) == started else None

    def start(self) -> None:
        """Make the namespaces; return when they can be entered."""
        ready, tell = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(ready)
            self._groups.join(KEEPER)
            _detach_into_namespaces(self.directory, tell)
        os.close(tell)
        with os.fdopen(ready, "rb") as pipe:
            keeper, _, failure = pipe.read().decode().partition("\n")
        os.waitpid(child, 0)
        started = _start_time(int(keeper)) if keeper.isdecimal() else None
        if failure or started is None:
            raise LabError(f"cannot make the lab's namespaces: {failure or keeper or 'the keeper ended at once'}")
        self._file.write_text(f"{keeper} {started}\n")

    def outside(self, path: Path) -> Path:
        """Where the host finds what is at ``path`` in the lab."""
        return Path(f"/proc/{self._running()}/root{path}")

    def network(self, name: str) -> Path:
        """Where the host finds the lab's network namespace ``name``."""
        return self.outside(NETWORKS / name)

    def run(self, function: Callable[[], None]) -> None:
        """Run ``function`` inside the lab's namespaces; its failure is raised here as LabError."""
        pid = self._running()
        namespaces = [os.open(f"/proc/{pid}/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC) for kind in ("mnt", "pid", "net")]
        outcome, tell = os.pipe()
        sys.stdout.flush()
        sys.stderr.flush()
        child = os.fork()
        if child == 0:
            os.close(outcome)
            _inside(namespaces, function, tell)
        for fd in (*namespaces, tell):
            os.close(fd)
        with os.fdopen(outcome, "rb") as pipe:
            message = pipe.read().decode()
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if status != 0:
            raise LabError(message or f"a step inside the lab ended with status {status}")

    def _running(self) -> int:
        pid = self.pid
        if pid is None:
            name = self.directory.name
            raise LabError(f"lab '{name}' is not running: start it with `up --name {name}`")
        return pid


def _detach_into_namespaces(state: Path, tell: int) -> None:
    """In a forked child: become the parent of the keeper, tell its id, and end."""
    try:
        os.setsid()
        _call("unshare", CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET)
        go, begin = os.pipe()
        keeper = os.fork()
        if keeper == 0:
            os.close(begin)
            os.read(go, 1)  # the id is told before anything else is
            _keep(state, tell)
        os.write(tell, f"{keeper}\n".encode())
    except BaseException as error:
        os.write(tell, f"\n{error}".encode())
        os._exit(1)
    os._exit(0)


def _keep(state: Path, tell: int) -> None:
    """The keeper itself: private mounts, then reap whatever is orphaned to it, for ever."""
    try:
        mount("none", "/", "", MS_REC | MS_PRIVATE)
        mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV)
        # iproute2, nspawn and the machines' disks live on a /run of the lab's own; only the labs' state shows through.
        state_fd = os.open(state, os.O_PATH)
        mount("lab", "/run", "tmpfs", 0, "mode=0755")
        for directory in (NETWORKS, DISKS, state):
            directory.mkdir(parents=True)
        mount(f"/proc/self/fd/{state_fd}", state, "", MS_BIND)
        null = os.open(os.devnull, os.O_RDWR)
        for fd in (0, 1, 2):
            os.dup2(null, fd)
        os.chdir("/")
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    except BaseException:
        os.write(tell, traceback.format_exc().encode())
        os._exit(1)
    os.closerange(3, 256)
    while True:
        signal.sigwaitinfo({signal.SIGCHLD})
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass


def _inside(namespaces: list[int], function: Callable[[], None], tell: int) -> None:
    """In a forked child: enter the namespaces; a grandchild, which is in the PID one, does the work."""
    try:
        for fd in namespaces:
            _call("setns", fd, 0)
        os.chdir("/")
        worker = os.fork()
        if worker == 0:
            function()
            sys.stdout.flush()
            os._exit(0)
        os._exit(os.waitstatus_to_exitcode(os.waitpid(worker, 0)[1]) & 0xFF)
    except LabError as error:
        os.write(tell, str(error).encode())
    except BaseException:
        os.write(tell, traceback.format_exc().encode())
    os._exit(1)

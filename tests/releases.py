# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The releases of ansible-core that the collection is for, and somebody who has nothing but one of them.

``python -m releases`` prints those that this machine has a Python for, and ``python -m releases left-out`` a line that
names the others, if there are any.
"""

from __future__ import annotations

import fcntl
import functools
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from lab.image import cache_directory

# ansible-core -> the Pythons that its controller runs with.
SUPPORTED = {"2.17": (10, 12), "2.18": (11, 13), "2.19": (11, 13), "2.20": (12, 14), "2.21": (12, 14)}
# make versions tries all.
ALL = os.environ.get("VERSIONS") == "all"


class User:
    """Somebody with one release of ansible-core in an empty home, and nothing else of Python.

    The test is skipped if this machine has no Python for the release.
    """

    def __init__(self, release: str, home: Path) -> None:
        self.home = home
        self.environment = {
            "HOME": str(home),
            "PATH": f"{_commands(release)}:/usr/bin:/bin",
            "LANG": "C.UTF-8",
            "ANSIBLE_NOCOLOR": "1",
            "COLUMNS": "1000",
        }
        assert self.run("ansible --version").startswith(f"ansible [core {release}.")

    def try_to(self, line: str, timeout: float = 900) -> subprocess.CompletedProcess[str]:
        """Give this line to a shell, whatever its end is."""
        return subprocess.run(
            ["bash", "-c", line],
            env=self.environment,
            cwd=self.home,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout,
        )

    def run(self, line: str, timeout: float = 900) -> str:
        """What the line, which has to end well, prints."""
        done = self.try_to(line, timeout)
        assert done.returncode == 0, f"{line}: {done.stdout[-6000:]}{done.stderr[-3000:]}"
        return done.stdout


def _commands(release: str) -> Path:
    """The directory with the commands of the release; the cache keeps its virtual environment."""
    python = _python_for(release)
    if python is None:
        pytest.skip("ansible-core {} needs Python 3.{} to 3.{}".format(release, *SUPPORTED[release]))
    venv = cache_directory() / f"ansible-core-{release}"
    with open(cache_directory() / f"ansible-core-{release}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (venv / ".complete").exists():
            subprocess.run([python, "-m", "venv", "--clear", venv], check=True)
            install = ["-m", "pip", "install", "-qq", "--disable-pip-version-check", f"ansible-core=={release}.*"]
            subprocess.run([venv / "bin/python", *install], check=True)
            (venv / ".complete").touch()
    return venv / "bin"


def _python_for(release: str) -> str | None:
    """A Python of this machine that can run the release."""
    oldest, newest = SUPPORTED[release]
    return next(filter(None, map(python_3, range(newest, oldest - 1, -1))), None)


@functools.cache
def python_3(minor: int) -> str | None:
    """Python 3.``minor`` of this machine, if it has one."""
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    for each in (f"python3.{minor}", *map(str, pyenv.glob(f"versions/3.{minor}.*/bin/python3"))):
        # There may be a shim that does not run, or one without the venv module.
        test = f"import ensurepip, sys, venv; sys.exit(sys.version_info[:2] != (3, {minor}))"
        if shutil.which(each) and subprocess.run([each, "-c", test], capture_output=True, check=False).returncode == 0:
            return each
    return None


def ends(has: Callable[[str], object] = _python_for) -> tuple[str, str]:
    """The oldest and the newest release that this machine can run; if it can run none, tests of all are skipped."""
    runnable = list(filter(has, SUPPORTED)) or list(SUPPORTED)
    return runnable[0], runnable[-1]


def left_out(has: Callable[[str], object] = _python_for) -> str:
    """What this machine cannot try, and what it lacks for that, in a line; empty if it can try all."""
    missing = [release for release in SUPPORTED if not has(release)]
    lacks = [f"{release} needs Python 3.{SUPPORTED[release][0]} to 3.{SUPPORTED[release][1]}" for release in missing]
    return f"LEFT OUT, as this machine has no Python for it: ansible-core {'; '.join(lacks)}" if lacks else ""


OLDEST, NEWEST = ends()


if __name__ == "__main__":
    if sys.argv[1:] == ["left-out"]:
        print(left_out())
    else:
        print(*filter(_python_for, SUPPORTED))

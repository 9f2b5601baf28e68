# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Python of the lab's machines: a program that it reads ends in a fork of its twin as it ends without one.

Here it is the Python of a user's directory. No other one uses its twins.
"""

from __future__ import annotations

import contextlib
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

CUSTOM = Path(__file__).parents[1] / "lab/usercustomize.py"
FORKS = int(re.findall(r"^FORKS = (\d+)", CUSTOM.read_text(), re.MULTILINE)[0])
PYTHON = getattr(sys, "_base_executable", sys.executable)  # that of a virtual environment has no user's directory
PARENT = "import os; print(os.getppid())"
# Whatever a program can do that its caller sees.
PROGRAMS = (
    "print(1)",
    "import sys; sys.exit(3)",
    "import sys; sys.exit(300)",
    "import sys; print(1); sys.exit('a text')",
    "import sys; sys.exit(None)",
    "import sys; sys.exit([])",
    "def f():\n    raise ValueError('wrong')\nf()",
    "if:",
    "import os, sys; sys.stdout.write('lost'); os._exit(7)",
    "import os, signal; os.kill(os.getpid(), signal.SIGTERM)",
    "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
    "import os, signal; os.killpg(0, signal.SIGTERM)",
    "import os, sys\nif not os.fork():\n    print('child'); sys.exit(5)\nprint(os.wait()[1], flush=True); sys.exit(6)",
    "import atexit, threading\natexit.register(print, 3)\nthreading.Timer(0.1, print, [2]).start(); print(1)",
    "import os; print(os.environ['GIVEN'], os.getcwd(), oct(os.umask(0)), sorted(os.listdir('/proc/self/fd')))",
    "import os; os.system('echo $GIVEN; pwd; umask; readlink /proc/self/fd/0 | cut -c1-4')",
    "import sys; print(sys.argv, sys.path[0], __name__, repr(sys.stdin.read()))",
)


class Starts:
    """Pythons that start from the same user's directory; `twin` is None where one has done its work itself."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.environment = {"HOME": str(home), "PATH": os.environ["PATH"], "GIVEN": "ä\udcff", "LC_ALL": "C.UTF-8"}

    def run(self, program: str, python: str = PYTHON, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [python],
            input=program,
            env={**self.environment, **variables},
            cwd=self.home,
            umask=0o027,
            start_new_session=True,
            capture_output=True,
            text=True,
            errors="surrogateescape",
            timeout=60,
            check=False,
        )

    def twin(self, python: str = PYTHON, **variables: str) -> int | None:
        """Who does the work of such a Python."""
        parent = int(self.run(PARENT, python, **variables).stdout)
        return None if parent == os.getpid() else parent

    def ready(self, python: str = PYTHON, **variables: str) -> int:
        """The same, as soon as there is one."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if twin := self.twin(python, **variables):
                return twin
            time.sleep(0.05)
        raise AssertionError("there is no twin")


@pytest.fixture
def starts(tmp_path: Path) -> Iterator[Starts]:
    if os.getuid() != 0:
        pytest.skip("root's Pythons alone have a twin")
    home = tmp_path / "home"
    custom = sysconfig.get_path("purelib", "posix_user", {"userbase": str(home / ".local")})
    Path(custom).mkdir(parents=True)
    shutil.copy(CUSTOM, custom)
    yield Starts(home)
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if b"HOME=%s\0" % os.fsencode(home) in (process / "environ").read_bytes():
                os.kill(int(process.name), signal.SIGKILL)


def test_a_program_ends_as_without_a_twin(starts: Starts) -> None:
    twin = starts.ready()
    for program in PROGRAMS:
        alone, forked = starts.run(program, PYTHONNOUSERSITE="1"), starts.run(program)
        assert (forked.returncode, forked.stdout, forked.stderr) == (alone.returncode, alone.stdout, alone.stderr)
    assert starts.twin() == twin, "all of them were its forks"


def test_those_who_start_at_once_all_do_their_work_and_share_a_twin(starts: Starts) -> None:
    first = [
        subprocess.Popen([PYTHON], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=starts.environment, text=True)
        for _each in range(8)
    ]
    assert [each.communicate(f"print({place})", timeout=60)[0] for place, each in enumerate(first)] == [
        f"{place}\n" for place in range(8)
    ]
    assert starts.ready() == starts.twin()


def test_a_twin_works_for_those_alone_that_start_as_it_did(starts: Starts, tmp_path: Path) -> None:
    twin = starts.ready()
    assert starts.twin(PYTHONUTF8="1") is None
    assert starts.twin(GIVEN="other") == twin
    link = tmp_path / "python3"
    link.symlink_to(PYTHON)
    others = [starts.ready(TZ="Asia/Tokyo"), starts.ready(LC_ALL="C"), starts.ready(str(link))]
    assert len({twin, *others}) == 4
    assert starts.run("import time; print(time.tzname[0])", TZ="Asia/Tokyo").stdout == "JST\n"


def test_a_twin_is_renewed_and_nobody_notices(starts: Starts) -> None:
    first = starts.ready()
    twins = [starts.twin() for _each in range(FORKS + 1)]
    assert set(twins[: FORKS - 1]) == {first}
    assert first not in twins[FORKS - 1 :]
    assert starts.ready() != first


def test_the_end_of_the_twin_in_the_middle_of_the_work_is_told(starts: Starts) -> None:
    twin = starts.ready()
    done = starts.run(f"import os, time; os.kill({twin}, 9); time.sleep(0.2)")
    assert done.returncode == 1 and "twin of this Python ended before the work did" in done.stderr
    assert starts.twin() is None, "the next one does its work itself"


def test_who_types_at_a_terminal_talks_to_their_own_python(starts: Starts) -> None:
    twin = starts.ready()
    ours, theirs = pty.openpty()
    try:
        process = subprocess.Popen([PYTHON], stdin=theirs, stdout=subprocess.PIPE, text=True, env=starts.environment)
        os.write(ours, PARENT.encode() + b"\n\x04")
        assert int(process.communicate(timeout=60)[0]) == os.getpid() != twin
    finally:
        os.close(ours)
        os.close(theirs)

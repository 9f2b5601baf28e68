# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's command line, without a lab."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

# `lab api state`, of a lab that has so much to say.
TELLS = """
import os, sys
from lab import cli
os.geteuid = lambda: 0
class Lab:
    def __init__(self, name): self.api = self
    def __getattr__(self, verb): return lambda: ["x"] * int(sys.argv[1])
cli.Lab = Lab
sys.exit(cli.main(["api", "state"]))
"""


@pytest.mark.parametrize("lines", [1, 100_000])
def test_a_reader_that_has_read_enough_is_no_error(lines: int) -> None:
    """As with `| head`: what fits into a buffer is written at the end only."""
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing) as pipe:
        done = subprocess.run(
            [sys.executable, "-c", TELLS, str(lines)], stdout=pipe, stderr=subprocess.PIPE, text=True, check=False
        )
    assert (done.returncode, done.stderr) == (128 + signal.SIGPIPE, "")

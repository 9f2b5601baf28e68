# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The drain file, with the kernel's real signal."""

from __future__ import annotations

import os
import signal
import time

import pytest

from ansible_collections.cloudha.vip.plugins.module_utils.agent.drain import Drain


@pytest.fixture
def file(tmp_path):
    (tmp_path / "run").mkdir()
    yield tmp_path / "run/drain"
    signal.signal(signal.SIGIO, signal.SIG_DFL)


@pytest.mark.parametrize(
    ("text", "number", "drained"),
    [
        (None, None, False),
        ("", None, False),
        ("0\n", 0, False),
        ("-10\n", -10, True),
        ("-254\n", -254, True),
        ("5\n", 5, False),
        ("much\n", None, False),
    ],
)
def test_a_number_below_0_drains(file, text, number, drained):
    if text is not None:
        file.write_text(text)
    drain = Drain(str(file))
    assert (drain.number, bool(drain.why)) == (number, drained)
    assert not drain.read()


def test_each_way_to_change_it_is_told(file):
    drain = Drain(str(file))
    drain.watch()
    told = []
    signal.signal(signal.SIGIO, lambda _number, _frame: told.append(drain.read()))

    def seen(number):
        deadline = time.monotonic() + 10
        while drain.number != number:
            assert time.monotonic() < deadline
            time.sleep(0.001)

    file.write_text("-254\n")
    seen(-254)
    file.write_text("0\n")
    seen(0)
    file.unlink()
    seen(None)
    other = file.with_name(".drain.new")
    other.write_text("-10\n")
    other.rename(file)
    seen(-10)
    assert told.count(True) >= 4


def test_a_directory_that_comes_late_or_is_made_anew(file):
    file.parent.rmdir()
    drain = Drain(str(file))
    drain.watch()
    told = []
    for _round in range(2):
        file.parent.mkdir()
        drain.watch()
        drain.watch()  # of the same one, again and again
        signal.signal(signal.SIGIO, lambda _number, _frame: told.append(True))
        told.clear()
        file.write_text("-254\n")
        deadline = time.monotonic() + 10
        while not told:
            assert time.monotonic() < deadline
            time.sleep(0.001)
        assert drain.read()
        file.unlink()
        file.parent.rmdir()
        drain.read()
    assert len(os.listdir("/proc/self/fd")) < 200

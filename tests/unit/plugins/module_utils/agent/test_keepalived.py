# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""keepalived's process: real processes of that name, which do nothing."""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from ansible_collections.cloudha.vip.plugins.module_utils.agent import keepalived

# A shell with a child, as keepalived has one that speaks VRRP.
WITH_CHILD = 'sleep 60 & echo $! > "$0"; wait'


class Bench:
    def __init__(self, path):
        self.path = path
        self.file = path / "keepalived.pid"
        self.started = []

    def run(self, script="while :; do sleep 60; done", name="keepalived"):
        program = self.path / name
        if not program.exists():
            shutil.copy(shutil.which("sh"), program)
        child = self.path / "child"
        process = subprocess.Popen([program, "-c", script, str(child)], start_new_session=True)
        self.started.append(process)
        until(lambda: not Path(f"/proc/{process.pid}/comm").read_text().startswith("python"))
        self.file.write_text(f"{process.pid}\n")
        if script == WITH_CHILD:
            until(lambda: child.exists() and child.read_text().endswith("\n"))
            return process, int(child.read_text())
        return process

    def find(self):
        found = keepalived.find(str(self.file))
        if found:
            os.close(found.descriptor)
        return found

    def end(self):
        for process in self.started:
            with contextlib.suppress(ProcessLookupError):  # the test has seen its end
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.fixture
def bench(tmp_path):
    bench = Bench(tmp_path)
    yield bench
    bench.end()


def until(true):
    end = time.monotonic() + 10
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_it_is_the_one_that_the_file_names(bench):
    process = bench.run()
    assert bench.find().pid == process.pid


def test_its_descriptor_tells_of_its_end(bench):
    process = bench.run()
    descriptor = keepalived.find(str(bench.file)).descriptor
    try:
        assert not select.select([descriptor], [], [], 0)[0]
        process.kill()
        assert select.select([descriptor], [], [], 10)[0]
    finally:
        os.close(descriptor)


@pytest.mark.parametrize("text", [None, "", "none\n", "-1\n", "0\n", "99999999999999999999\n", "4194304\n"])
def test_without_a_process_there_is_none(bench, text):
    if text is not None:
        bench.file.write_text(text)
    before = os.listdir("/proc/self/fd")
    assert bench.find() is None
    assert os.listdir("/proc/self/fd") == before


def test_another_program_with_its_number_is_not_keepalived(bench):
    bench.run(name="keepalived2")
    before = os.listdir("/proc/self/fd")
    assert bench.find() is None
    assert os.listdir("/proc/self/fd") == before


def test_when_it_was_started(bench):
    before = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    process = bench.run()
    after = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    found = bench.find()
    assert before - 2e7 < found.started_ns() < after  # the kernel counts in hundredths
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert found.started_ns() is None


def test_it_is_stopped_while_it_is(bench):
    process = bench.run()
    found = bench.find()
    assert not found.stopped()
    for _time in range(2):
        process.send_signal(signal.SIGSTOP)
        until(found.stopped)
        process.send_signal(signal.SIGCONT)
        until(lambda: not found.stopped())
    process.kill()
    process.wait()
    assert not found.stopped()


def test_a_stopped_child_counts(bench):
    process, child = bench.run(WITH_CHILD)
    found = bench.find()
    assert process.poll() is None and not found.stopped()
    os.kill(child, signal.SIGSTOP)
    until(found.stopped)
    os.kill(child, signal.SIGCONT)
    until(lambda: not found.stopped())

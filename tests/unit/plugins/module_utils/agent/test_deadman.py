# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The switch in a process of its own, as the kernel ends that."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from ansible_collections.cloudha.vip.plugins.plugin_utils.library import ROOT

LASTS = 1.0
PROCESS = f"""
import sys, time
from module_utils.agent.deadman import DeadMansSwitch
switch = DeadMansSwitch({LASTS})
print("ready", flush=True)
"""
HOLDS = """
while True:
    switch.hold()
    time.sleep(0.05)
"""


@pytest.fixture
def start():
    started = []

    def start(does):
        environment = {"PYTHONPATH": str(ROOT.parent), "PATH": ""}
        process = subprocess.Popen([sys.executable, "-c", PROCESS + does], stdout=subprocess.PIPE, env=environment)
        started.append(process)
        assert process.stdout.readline() == b"ready\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


def ended(process):
    """The code with which it ended; None if it has lived for longer than the switch lasts."""
    try:
        return process.wait(2 * LASTS)
    except subprocess.TimeoutExpired:
        return None


@pytest.mark.parametrize(
    "does",
    [
        "time.sleep(60)",
        "switch.hold(); switch.release(); time.sleep(60)",
        "switch.hold(); switch.close(); time.sleep(60)",
    ],
    ids=["not armed", "released", "closed"],
)
def test_a_process_that_need_not_hold_it_lives(start, does):
    assert ended(start(does)) is None


def test_a_process_that_holds_it_lives_until_it_is_stopped(start):
    process = start(HOLDS)
    assert ended(process) is None
    process.send_signal(signal.SIGSTOP)
    assert process.wait(10) == -signal.SIGKILL


def test_a_process_in_an_endless_loop_is_killed(start):
    assert ended(start("switch.hold()\nwhile True: pass")) == -signal.SIGKILL


def test_a_process_that_holds_it_only_once_is_killed(start):
    assert ended(start("switch.hold(); time.sleep(60)")) == -signal.SIGKILL

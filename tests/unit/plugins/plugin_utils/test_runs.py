# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import multiprocessing
import os
import re
import signal
import subprocess
import time

import pytest

from ansible_collections.cloudha.vip.plugins.filter.lock_owner import lock_owner
from ansible_collections.cloudha.vip.plugins.filter.lock_verdict import lock_verdict
from ansible_collections.cloudha.vip.plugins.plugin_utils import runs

SINCE = "2026-11-29T06:56:36Z"
ALICE = "a deployment or teardown by alice on ops1"


def named(process, who=ALICE, start=None, place=None):
    """The lock of a run that is this process."""
    start = start or runs._look(process)[1]
    return f"{who} (since {SINCE}, process {process}, run {start}-{place or runs._place()})"


@pytest.fixture
def own():
    return f"{ALICE} {runs.name(SINCE)}"


@pytest.fixture
def other():
    with subprocess.Popen(["sleep", "60"]) as process:
        yield process
        process.kill()


def test_a_run_that_works_has_not_ended_and_its_user_learns_how_to_end_it(own, other):
    ended, advice = runs.judge(named(other.pid), own)
    assert not ended and f"process {other.pid} on this host" in advice and f"kill {other.pid}" in advice
    other.send_signal(signal.SIGSTOP)
    assert not runs.judge(named(other.pid), own).ended


def test_a_run_that_was_killed_has_ended_also_if_nobody_has_waited_for_it(own, other):
    name = named(other.pid)
    other.kill()
    deadline = time.monotonic() + 10
    while runs._look(other.pid)[0] != "Z":
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert runs.judge(name, own) == (True, "")
    other.wait()
    assert runs.judge(name, own) == (True, "")


def test_another_program_with_its_process_id_is_not_the_run(own, other):
    assert runs.judge(named(other.pid, start="1"), own).ended


def test_this_run_may_have_another_name(own):
    assert runs.judge(own.replace(SINCE, "2026-11-29T06:50:00Z"), own).ended


@pytest.mark.parametrize(
    "held",
    [
        "",
        "nonsense",
        "the drill 1 by alice on ops1 (since T, process 999999999, run 1-{place})",
        "a deployment or teardown by bob on ops1 (since T, process 999999999, run 1-{place})",
        "a deployment or teardown by alice on ops2 (since T, process 999999999, run 1-{place})",
        "a deployment or teardown by alice on ops1 (since T, process 999999999, run 1-0123abcd)",
        "a deployment or teardown by alice on ops1 (since T)",
        "a deployment or teardown by alice on ops1 (since T, AWX job 17)",
        "a deployment or teardown by alice on ops1 (since T, AWX job 17 of template 5)",
    ],
)
def test_what_cannot_be_known_has_not_ended(own, held):
    assert runs.judge(held.format(place=runs._place()), own) == (False, "")


def test_a_process_that_is_gone_has_ended_whatever_its_number(own):
    assert all(runs.judge(named(pid, start="1"), own).ended for pid in (999_999_999, 10**30))


def test_a_process_whose_start_cannot_be_seen_lives(own, other, tmp_path, monkeypatch):
    """On macOS there is no /proc, and on Linux other users' processes may be hidden."""
    name = named(other.pid)
    monkeypatch.setattr(runs, "PROC", tmp_path)
    here = f"{ALICE} {runs.name(SINCE)}"
    name = re.sub("-[0-9a-f]+\\)", f"-{runs._place()})", name)
    assert not runs.judge(name, here).ended
    other.kill()
    other.wait()
    assert runs.judge(name, here).ended


def test_a_worker_names_the_run_that_has_forked_it():
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    worker = context.Process(target=lambda: theirs.send(lock_owner("alice on ops1", SINCE)))
    worker.start()
    assert ours.recv() == lock_owner("alice on ops1", SINCE)
    worker.join()
    assert f"process {os.getpid()}, run " in lock_owner("alice on ops1", SINCE)


def test_in_awx_a_job_takes_over_from_a_job_of_its_template():
    """There, the former job's container is gone, and AWX starts the next job of a template at the end of the former."""
    first, second = (f"a deployment {lock_owner('alice on AWX', SINCE, job, 5)}" for job in ("17", 18))
    assert first == f"a deployment by alice on AWX (since {SINCE}, AWX job 17 of template 5)"
    assert lock_verdict(first, second) == {"name": first, "ended": True, "advice": ""}
    assert not lock_verdict(first, f"a deployment {lock_owner('alice on AWX', SINCE, 19, 6)}")["ended"]
    assert not lock_verdict(first, f"a deployment {lock_owner('bob on AWX', SINCE, 18, 5)}")["ended"]
    assert lock_owner("alice on AWX", SINCE, 19) == f"by alice on AWX (since {SINCE}, AWX job 19)"

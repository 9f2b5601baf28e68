# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import tempfile
import threading

import pytest

from ansible_collections.cloudha.vip.plugins.module_utils.agent import verdict
from ansible_collections.cloudha.vip.plugins.module_utils.agent.verdict import Verdict


@pytest.mark.parametrize(
    ("healthy", "attempts", "changes"),
    [
        # + is a success, - a failure; changes holds the number of each attempt that changed the verdict
        (True, "-+-+-+", []),
        (True, "--", [2]),
        (True, "--++", [2]),
        (True, "--+++", [2, 5]),
        (True, "--++-+++", [2, 8]),
        (False, "+++", [3]),
        (False, "++-++", []),
        (None, "+", [1]),
        (None, "----+--", [5, 7]),
    ],
)
def test_fall_2_rise_3(healthy, attempts, changes):
    found = Verdict(fall=2, rise=3, healthy=healthy)
    assert [number for number, mark in enumerate(attempts, 1) if found.add(mark == "+")] == changes


def test_read(tmp_path):
    path = tmp_path / "web"
    assert verdict.read(str(path)) is None
    for text, healthy in (("0\n", True), ("1\n", False), ("", None), ("x\n", None)):
        path.write_text(text)
        assert verdict.read(str(path)) is healthy


@pytest.mark.skipif(os.geteuid() != 0, reason="needs a file of another user")
def test_a_file_that_keepalived_made_first_is_no_verdict():
    with tempfile.TemporaryDirectory() as directory:  # not tmp_path: others may not enter that
        os.chmod(directory, 0o777)
        path = os.path.join(directory, "web")
        os.close(os.open(path, os.O_CREAT, 0o600))
        verdict.read(path)  # imports the codec while Python's library can be read
        child = os.fork()
        if child == 0:
            try:
                os.setuid(65534)
                first = verdict.read(path)
                verdict.write(path, verdict.HEALTHY)
                os._exit(0 if first is None and verdict.read(path) is True else 1)
            except BaseException:
                os._exit(2)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_no_reader_ever_sees_an_empty_file(tmp_path):
    path = str(tmp_path / "web")
    verdict.write(path, verdict.FAILED)
    seen = set()
    done = threading.Event()

    def read():
        while not done.is_set():
            with open(path) as file:
                seen.add(file.read())

    reader = threading.Thread(target=read)
    reader.start()
    for _round in range(500):
        verdict.write(path, verdict.HEALTHY)
        verdict.write(path, verdict.FAILED)
    done.set()
    reader.join()
    assert seen == {"0\n", "1\n"}
    assert os.listdir(tmp_path) == ["web"]
    assert os.stat(path).st_mode & 0o777 == 0o644

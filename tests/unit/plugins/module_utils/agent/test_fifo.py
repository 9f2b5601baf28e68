# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
import json
import os
import random
import select
import signal
import sys
import threading
import time

import pytest

from ansible_collections.cloudha.vip.plugins.module_utils.agent import fifo as fifo_module
from ansible_collections.cloudha.vip.plugins.module_utils.agent.events import EventLog, newest_first, oldest_first
from ansible_collections.cloudha.vip.plugins.module_utils.agent.fifo import Fifo, Spool, parse_line


@pytest.mark.parametrize(
    ("line", "kind", "name", "state", "priority"),
    [
        ('INSTANCE "VI_1" MASTER 254', "INSTANCE", "VI_1", "MASTER", 254),
        ('GROUP "a "b" c" FAULT 0', "GROUP", 'a "b" c', "FAULT", 0),
        ('INSTANCE "x" MASTER_RX_LOWER_PRI 9', "INSTANCE", "x", "MASTER_RX_LOWER_PRI", 9),
    ],
)
def test_transitions(line, kind, name, state, priority):
    assert parse_line(line) == ("transition", {"kind": kind, "name": name, "state": state, "priority": priority})


@pytest.mark.parametrize("line", ["VS [192.0.2.1]:tcp:80 UP", 'INSTANCE "x"', ""])
def test_other_lines_are_kept(line):
    assert parse_line(line) == ("notify", {"line": line})


# The children of these tests use no thread of the parent.
ALONE = pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")


class Place:
    """A FIFO, a spool and a log, as the agent has them."""

    def __init__(self, path, log_bytes=1 << 22):
        self.fifo_path = str(path / "notify")
        self.spool_path = str(path / "spool")
        self.log_path = str(path / "events.jsonl")
        self.log_bytes = log_bytes
        os.mkfifo(self.fifo_path)

    def open(self):
        fifo = Fifo(self.fifo_path)
        fifo.open()
        log = EventLog(self.log_path, "node1", self.log_bytes)
        return fifo, log, Spool(self.spool_path, log.spool_read)

    def read(self, fifo, log, spool):
        """What the service does when the FIFO is readable."""
        log.append("agent_start", spool=spool.read)
        more = True
        while more:
            for line, end in spool.lines():
                log.append("notify", spool=end, line=line)
                spool.read = end
            more = spool.fill(fifo.fd)

    def lines(self):
        events = []
        for event in oldest_first(self.log_path):
            if event is None:
                break
            events.append(event)
        if events:
            assert [event["seq"] for event in events] == list(range(events[0]["seq"], events[-1]["seq"] + 1))
        return {event["seq"]: event["line"] for event in events if event["event"] == "notify"}


def test_lines_longer_than_a_move_and_torn_between_moves(tmp_path, monkeypatch):
    monkeypatch.setattr(fifo_module, "MOVE_LIMIT", 7)
    monkeypatch.setattr(fifo_module, "EMPTY_ABOVE", 14)
    place = Place(tmp_path)
    fifo, log, spool = place.open()
    wanted = [f"line {number} \xff" for number in range(50)]
    os.write(fifo.fd, "".join(f"{line}\n" for line in wanted).encode("latin-1"))
    place.read(fifo, log, spool)
    assert list(place.lines().values()) == [f"line {number} \\xff" for number in range(50)]


def test_a_new_fifo_under_the_name_is_noticed(tmp_path):
    place = Place(tmp_path)
    fifo, _log, _spool = place.open()
    assert not fifo.replaced()
    os.unlink(place.fifo_path)
    assert not fifo.replaced()  # the open one is all there is
    os.mkfifo(place.fifo_path)
    assert fifo.replaced()
    fifo.open()
    assert not fifo.replaced()
    os.unlink(place.fifo_path)
    with open(place.fifo_path, "w"):
        assert not fifo.replaced()
    with pytest.raises(OSError, match="not a FIFO"):
        fifo.open()


def test_the_spool_begins_anew_when_it_is_shorter_than_the_log_says(tmp_path):
    assert fifo_module.EMPTY_ABOVE > fifo_module.MOVE_LIMIT  # what makes the length tell
    path = tmp_path / "spool"
    path.write_bytes(b"a\nb\n")
    assert list(Spool(str(path), 2).lines()) == [("b", 4)]
    assert list(Spool(str(path), 4).lines()) == []
    assert list(Spool(str(path), 5).lines()) == [("a", 2), ("b", 4)]


def test_the_torn_end_of_the_log_is_cut_off(tmp_path):
    place = Place(tmp_path)
    _fifo, log, _spool = place.open()
    log.append("one", spool=7)
    with open(place.log_path, "ab") as file:
        file.write(b'{"seq":2,"spool":9')
    log = EventLog(place.log_path, "node1", 1 << 20)
    assert (log.seq, log.spool_read) == (1, 7)
    log.append("two")
    assert [(event["event"], event["seq"], event["spool"]) for event in newest_first(place.log_path)] == [
        ("two", 2, 7),
        ("one", 1, 7),
    ]


def test_the_log_keeps_its_size_and_goes_on_counting(tmp_path):
    place = Place(tmp_path, log_bytes=20_000)
    _fifo, log, _spool = place.open()
    for number in range(500):
        log.append("check", spool=number)
    sizes = [os.path.getsize(place.log_path), os.path.getsize(place.log_path + ".1")]
    assert max(sizes) <= 10_000
    assert sum(sizes) > 10_000
    os.unlink(place.log_path)  # as when it was killed between renaming the log and making the new one
    last = next(newest_first(place.log_path))
    log = EventLog(place.log_path, "node1", 20_000)
    assert (log.seq, log.spool_read) == (last["seq"], last["spool"])


def test_following_the_log_goes_over_a_rotation(tmp_path):
    place = Place(tmp_path, log_bytes=10_000)
    _fifo, log, _spool = place.open()
    reader = oldest_first(place.log_path)
    seen = []
    for _number in range(300):
        log.append("check")
        event = next(reader)
        if event is None:  # the end of the old file
            event = next(reader)
        seen.append(event["seq"])
        # what is left is "nothing yet"
        assert next(reader) is None
    assert seen == list(range(1, 301))


def die_at(step):
    """SIGKILL this process before the given instruction of the modules under test."""
    left = step

    def trace(frame, event, _argument):
        nonlocal left
        frame.f_trace_opcodes = True
        if event == "opcode":
            left -= 1
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)
        return trace

    def enter(frame, event, argument):
        under_test = frame.f_code.co_filename.endswith(("agent/fifo.py", "agent/events.py"))
        return trace(frame, event, argument) if under_test else None

    sys._getframe().f_trace_opcodes = True  # Python 3.12 looks for it here
    sys.settrace(enter)


@ALONE
def test_sigkill_before_each_instruction_loses_nothing_and_repeats_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(fifo_module, "MOVE_LIMIT", 30)
    monkeypatch.setattr(fifo_module, "EMPTY_ABOVE", 80)
    monkeypatch.setattr(os, "fdatasync", lambda _fd: None)  # a thousand of them take long
    place = Place(tmp_path, log_bytes=20_000)
    keep_open = os.open(place.fifo_path, os.O_RDWR | os.O_NONBLOCK)
    step, written, ended, seen = 0, 0, False, {}
    while not ended:
        os.write(keep_open, b"a line of 20 bytes %d\n" % written)
        written += 1
        reader = os.fork()
        if not reader:
            try:
                parts = place.open()
                die_at(step)
                place.read(*parts)
                sys.settrace(None)
                os._exit(0)
            finally:
                os._exit(1)
        code = os.waitstatus_to_exitcode(os.waitpid(reader, 0)[1])
        assert code in (0, -signal.SIGKILL)
        ended = code == 0
        step += 1
        if step % 5 == 0:  # before the log is rotated twice
            seen.update(place.lines())
    seen.update(place.lines())
    assert step > 300
    assert [seen[seq] for seq in sorted(seen)] == [f"a line of 20 bytes {number}" for number in range(written)]


@ALONE
@pytest.mark.parametrize("seed", range(3))
def test_sigkill_at_any_instant_loses_nothing_and_repeats_nothing(tmp_path, seed):
    """A reader that is killed again and again, while a writer goes on writing, as keepalived would."""
    rng = random.Random(seed)
    place = Place(tmp_path, log_bytes=1 << 20)  # rotates on the way
    keep_open = os.open(place.fifo_path, os.O_RDWR | os.O_NONBLOCK)
    total, kills = 6000, 0
    deadline = time.monotonic() + 30

    def write():
        for number in range(total):
            # However slow the machine is, readers are killed all along.
            while kills < number // 250 and time.monotonic() < deadline:
                time.sleep(0.001)
            while time.monotonic() < deadline:
                with contextlib.suppress(BlockingIOError):
                    os.write(keep_open, f'INSTANCE "VI_{number}" MASTER 254\n'.encode())
                    break
                time.sleep(0.001)
            if number % 50 == 0:
                time.sleep(0.005)

    writer = threading.Thread(target=write, daemon=True)
    writer.start()
    while writer.is_alive() or select.select([keep_open], [], [], 0)[0]:
        assert time.monotonic() < deadline
        reader = os.fork()
        if not reader:
            try:
                parts = place.open()
                while True:
                    place.read(*parts)
                    select.select([parts[0].fd], [], [])
            finally:
                os._exit(1)
        time.sleep(rng.uniform(0.0005, 0.02))
        os.kill(reader, signal.SIGKILL)
        assert os.waitstatus_to_exitcode(os.waitpid(reader, 0)[1]) == -signal.SIGKILL
        kills += 1
    parts = place.open()
    place.read(*parts)
    # The log was rotated: what it still has must be the unbroken end of what was written.
    lines = list(place.lines().values())
    assert lines == [f'INSTANCE "VI_{number}" MASTER 254' for number in range(total - len(lines), total)]
    assert kills > 20
    assert len(lines) > 2000
    with open(place.log_path) as file:
        assert all(json.loads(line) for line in file)

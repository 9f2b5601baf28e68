# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Breaks things on a node, and holds the agent to what its README says."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

LOG = Path("/var/lib/vip-agent/events.jsonl")
DRAIN = Path("/run/cloudha-vip/drain")
VERDICT = Path("/run/cloudha-vip/check/nginx")


def run(command):
    return subprocess.run(command, shell=True, check=True, capture_output=True, text=True).stdout


def events(after):
    """The events since the one with the given number."""
    found = [json.loads(line) for line in LOG.read_text().splitlines()]
    return [event for event in found if event["seq"] > after]


def last():
    return events(0)[-1]["seq"]


def wait(after, **wanted):
    deadline = time.monotonic() + 10
    while True:
        for event in events(after):
            if all(event.get(key) == value for key, value in wanted.items()):
                return event
        assert time.monotonic() < deadline, f"no event {wanted}"
        time.sleep(0.01)


def agent():
    """The process of the agent; 0 while there is none."""
    return int(run("systemctl show --property=MainPID --value vip-agent"))


def put(path, text):
    new = path.with_name(f".{path.name}.test")
    new.write_text(text)
    new.rename(path)


def keepalived_said():
    """The states that keepalived has entered, according to the journal."""
    run("journalctl --sync")
    return re.findall("Entering (FAULT|BACKUP) STATE", run("journalctl --unit=keepalived"))


def kill_agent():
    start, rounds, kills, verdicts, due = last(), 200, 0, set(), 0.0
    said_before = len(keepalived_said())
    for _round in range(rounds):
        for text in ("-254\n", "0\n"):
            put(DRAIN, text)
            time.sleep(random.uniform(0.005, 0.03))
        verdicts.add(VERDICT.read_text())
        if time.monotonic() > due and agent():
            os.kill(agent(), signal.SIGKILL)
            kills += 1
            due = time.monotonic() + random.uniform(0.05, 0.6)
    wait(start, event="agent_start", pid=wait_for_agent())
    time.sleep(0.5)  # whatever could come twice has come
    found = events(start)
    assert [event["seq"] for event in found] == list(range(start + 1, start + 1 + len(found)))
    states = [event["state"] for event in found if event["event"] == "transition" and event["state"] != "MASTER"]
    said = keepalived_said()[said_before:]
    assert states == said, f"{len(states)} transitions, but {len(said)} of keepalived"
    assert len(states) > rounds  # a busy keepalived may see two of ours as none
    assert verdicts == {"0\n"}, verdicts
    assert not [event for event in found if event["event"] == "check"]
    assert kills > 5
    print(f"{kills} kills, {len(states)} transitions, each once and in order")


def wait_for_agent():
    deadline = time.monotonic() + 10
    while not agent():
        assert time.monotonic() < deadline, "the agent did not come back"
        time.sleep(0.02)
    return agent()


def hang_agent():
    start = last()
    os.kill(agent(), signal.SIGSTOP)
    wait(start, event="agent_start")
    assert VERDICT.read_text() == "0\n"


def break_service():
    for name, limit_ms in (("KILL", 2000), ("STOP", 3000)):
        start = last()
        wait_for_verdict("0\n")
        run("systemctl mask --runtime nginx")  # or systemd brings it back before two attempts have failed
        began = time.monotonic_ns()
        run(f"systemctl kill --kill-who=all --signal={name} nginx")
        failed = wait(start, event="check", healthy=False)
        fault = wait(start, event="transition", state="FAULT")
        took = [(event["mono_ns"] - began) / 1e6 for event in (failed, fault)]
        assert took[1] < limit_ms, took
        print(f"SIG{name}: verdict after {took[0]:.0f} ms, keepalived in FAULT after {took[1]:.0f} ms")
        run("systemctl unmask --runtime nginx; systemctl kill --kill-who=all --signal=KILL nginx || true")
        run("systemctl reset-failed nginx; systemctl start nginx")
        wait(start, event="check", healthy=True)


def wait_for_verdict(text):
    deadline = time.monotonic() + 10
    while VERDICT.read_text() != text:
        assert time.monotonic() < deadline, "the verdict did not change"
        time.sleep(0.02)


def break_agent():
    """Its program is broken: systemd starts it again and again, and each time it ends at once."""
    start = last()
    program = Path("/usr/local/bin/vip-agent")
    try:
        program.chmod(0o644)
        began = time.monotonic()
        run("systemctl kill --kill-who=all --signal=KILL vip-agent")
        wait_for_verdict("1\n")
        took = time.monotonic() - began
        deadline = time.monotonic() + 10
        while not {"FAULT"} & set(keepalived_said()[-1:]):
            assert time.monotonic() < deadline, "keepalived does not see it"
            time.sleep(0.1)
    finally:
        program.chmod(0o755)
    assert took > 4, "a mere restart takes as long"
    wait(start, event="check", healthy=True)
    print(f"the verdict failed after {took:.1f} s without an agent")


{
    "kill_agent": kill_agent,
    "hang_agent": hang_agent,
    "break_service": break_service,
    "break_agent": break_agent,
}[sys.argv[1]]()

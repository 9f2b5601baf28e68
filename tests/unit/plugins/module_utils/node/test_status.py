# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import os
import time

import pytest

from ansible_collections.cloudha.vip.plugins.module_utils.agent import guard as agents_guard
from ansible_collections.cloudha.vip.plugins.module_utils.agent import lock
from ansible_collections.cloudha.vip.plugins.module_utils.node.status import last_states, read_status


@pytest.fixture
def runtime(tmp_path):
    (tmp_path / "check").mkdir()
    return tmp_path


def write_log(path, *events):
    known = {"seq": 1, "wall_ns": 2, "mono_ns": 3, "spool": 4, "time": "2026-11-28T12:00:00.000000Z"}
    path.write_text("".join(json.dumps({**known, **event}) + "\n" for event in events))


def transition(name, state, kind="INSTANCE"):
    return {"event": "transition", "kind": kind, "name": name, "state": state, "priority": 254}


def test_nothing_installed(tmp_path):
    status = read_status(tmp_path / "missing", tmp_path / "missing.jsonl")
    assert (status["drain"], status["checks"], status["instances"]) == (None, {}, {})


@pytest.mark.parametrize(("text", "value"), [("0\n", 0), ("-254\n", -254), ("-10", -10), ("", None), ("x", None)])
def test_drain(runtime, text, value):
    (runtime / "drain").write_text(text)
    assert read_status(runtime, runtime / "log")["drain"] == value


def test_checks(runtime):
    for name, text in {"good": "0\n", "bad": "1\n", "empty": "", ".good.new": "1\n"}.items():
        (runtime / "check" / name).write_text(text)
    assert read_status(runtime, runtime / "log")["checks"] == {"bad": False, "empty": False, "good": True}


def test_last_state_of_each_instance(runtime):
    log = runtime / "log"
    write_log(
        log,
        transition("web", "BACKUP"),
        transition("db", "BACKUP"),
        transition("old", "MASTER"),
        transition("web", "MASTER"),
        {"event": "check", "check": "nginx", "healthy": True, "state": "BACKUP"},
        transition("old", "DELETED"),
        transition("web", "FAULT", kind="GROUP"),
        transition("web", "MASTER_RX_LOWER_PRI"),
    )
    with log.open("a") as file:
        file.write('{"event":"transition","kind":"INSTANCE","name":"web","sta')  # the writer was killed
    assert last_states(log) == {"db": "BACKUP", "web": "MASTER"}


def test_an_instance_that_a_reload_removed_has_no_state(runtime):
    log = runtime / "log"
    write_log(log, transition("web", "MASTER"), transition("db", "FAULT"))
    assert read_status(runtime, log)["instances"] == {"db": "FAULT", "web": "MASTER"}
    (runtime / "keepalived.conf").write_text("vrrp_instance web {\n}\n")
    assert read_status(runtime, log)["instances"] == {"web": "MASTER"}
    (runtime / "keepalived.conf").write_text("vrrp_instance web {\n")  # one that is not understood
    assert read_status(runtime, log)["instances"] == {"db": "FAULT", "web": "MASTER"}


def test_a_log_that_was_just_rotated(runtime):
    log = runtime / "log"
    write_log(runtime / "log.1", transition("web", "BACKUP"), transition("db", "MASTER"))
    write_log(log, transition("web", "MASTER"))
    assert last_states(log) == {"db": "MASTER", "web": "MASTER"}


@pytest.mark.parametrize(
    ("age", "deployed", "guard"),
    [
        (0.5, True, (0.5, False)),
        (9.0, True, (9.0, False)),
        (11.0, True, (11.0, True)),
        (11.0, False, (11.0, True)),
        (None, True, (None, True)),
        (None, False, (None, False)),
    ],
)
def test_a_guard_that_writes_no_more_is_told(runtime, monkeypatch, age, deployed, guard):
    unit = runtime / "guard.service"
    monkeypatch.setattr(agents_guard, "UNIT", str(unit))
    if deployed:
        unit.touch()
    now = time.monotonic_ns()
    monkeypatch.setattr(agents_guard.time, "monotonic_ns", lambda: now)
    if age is not None:
        said = {"mono": now - int(age * 1e9), "problems": []}
        (runtime / "keepalived.json").write_text(json.dumps(said))
    found = read_status(runtime, runtime / "log")["keepalived"]
    assert (found["guard_age_s"], found["guard_silent"]) == guard
    assert ("the guard of keepalived is silent" in "".join(found["problems"])) is guard[1]


def test_the_agent_runs_as_long_as_it_has_its_lock(runtime):
    log = runtime / "log"
    assert read_status(runtime, log)["agent"] is None, "it is not installed"
    (runtime / "agent").mkdir()
    assert read_status(runtime, log)["agent"] is False, "it has not started since the boot"
    taken = lock.take(str(runtime / "agent"))
    assert read_status(runtime, log)["agent"] is True
    os.close(taken)
    assert read_status(runtime, log)["agent"] is False


def test_what_the_agent_tells_of_its_actions_is_told_while_it_runs(runtime):
    log, directory = runtime / "log", runtime / "agent"
    assert read_status(runtime, log)["actions"] == {}
    directory.mkdir()
    (directory / "status.json").write_text('{"actions": {"web": {"type": "gcp_route_member", "route": "active"}}}')
    assert read_status(runtime, log)["actions"] == {}
    taken = lock.take(str(directory))
    assert read_status(runtime, log)["actions"]["web"]["route"] == "active"
    for text in ("", "[]", '{"actions": []}'):
        (directory / "status.json").write_text(text)
        assert read_status(runtime, log)["actions"] == {}
    os.close(taken)

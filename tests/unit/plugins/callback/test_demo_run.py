# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What somebody sees who watches the demo."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[4]
_SPEC = importlib.util.spec_from_file_location("demo_run", ROOT / "tests/demo_run.py")
assert _SPEC and _SPEC.loader
demo_run = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(demo_run)

PARTS = ("lab up", "deploy", "status", "drill begins", "fault a", "fault b", "drill ends", "lab down")


class Watched:
    """A teller whose clock is set by hand."""

    def __init__(self, directory, parts=PARTS, topology="pair"):
        self.lines, self.time = [], 0.0
        self.durations = demo_run.Durations(directory / "durations.json", topology)
        self.teller = demo_run.Teller(self.lines.append, self.durations, parts, lambda: self.time)

    def wait(self, seconds):
        for _second in range(seconds):
            self.time += 1
            self.teller.tick()


def whole_demo(watched):
    teller = watched.teller
    for part, seconds in (("lab up", 10), ("deploy", 60), ("status", 4)):
        teller.begin(part, f"doing {part}")
        watched.wait(seconds)
    teller.begin("drill begins", "drilling: every fault")
    watched.wait(8)
    for fault in ("a", "b"):
        teller.event({"kind": "to come", "fault": fault})
    for fault in ("a", "b"):
        teller.event({"kind": "fault", "fault": fault, "text": f"fault {fault} begins"})
        for detail in ("breaking it", "waiting for another node to answer", "repairing it"):
            watched.wait(7)
            teller.event({"kind": "now", "text": detail})
        watched.wait(9)
        teller.event({"kind": "over", "fault": fault, "text": f"fault {fault}: node2 answers"})
    watched.wait(6)
    teller.begin("lab down", "removing it")
    watched.wait(5)
    teller.finish()


def test_the_first_time_usual_durations_are_taken_and_later_those_that_were_measured(tmp_path):
    first = Watched(tmp_path)
    whole_demo(first)
    usual = sum(demo_run.USUAL_S.values()) + 2 * demo_run.USUAL_FAULT_S
    assert first.lines[0] == f"  0:00  doing lab up; about {demo_run.duration(usual)} to go"
    second = Watched(tmp_path)
    whole_demo(second)
    took = 10 + 60 + 4 + 8 + 2 * 30 + 6 + 5
    assert second.lines[0] == f"  0:00  doing lab up; about {demo_run.duration(took)} to go"
    # From then on it is right at each line.
    assert "  1:22  fault a begins; about 71 s to go" in second.lines
    assert "  1:52  fault a: node2 answers (30 s); about 41 s to go" in second.lines
    assert second.lines[-1] == "  2:28  removing it; about 5 s to go"
    # Another topology is better served by these than by the usual ones.
    assert Watched(tmp_path, topology="other").durations.expect("deploy") == 60


def test_about_ten_lines_a_minute(tmp_path):
    watched = Watched(tmp_path)
    whole_demo(watched)
    assert len(watched.lines) <= watched.time / 6
    watched.lines.clear()
    watched.teller.begin("deploy", "deploying")
    for number in range(600):
        watched.time += 0.1
        watched.teller.now(f"role {number}")
    assert 8 <= len(watched.lines) <= 11
    assert all("  role " in line for line in watched.lines[1:])


def test_a_long_silence_says_what_it_is_waiting_for_and_how_long(tmp_path):
    watched = Watched(tmp_path, ["lab up"])
    watched.teller.begin("lab up", "starting the machines")
    watched.wait(30)
    assert watched.lines[1:] == [
        "  0:12  still starting the machines, for 12 s",
        "  0:24  still starting the machines, for 24 s",
    ]


def test_beside_all_that_ansible_says_only_parts_and_silence_are_told(tmp_path):
    watched = Watched(tmp_path, ["deploy"])
    watched.teller.begin("deploy", "deploying")
    for number in range(300):
        watched.wait(1)
        watched.teller.shown()
        watched.teller.now(f"role {number}")
    assert len(watched.lines) == 1
    watched.wait(13)
    assert len(watched.lines) == 2 and "still role 299, for 1" in watched.lines[1]


def test_what_comes_again_and_again_is_said_once_and_then_how_long_it_takes(tmp_path):
    watched = Watched(tmp_path, ["deploy"])
    watched.teller.begin("deploy", "deploying")
    for _turn in range(40):
        watched.wait(1)
        watched.teller.now("waiting, as nobody holds the address")
        watched.teller.now("asking the nodes")
    assert [line.split("  ")[-1].partition(";")[0] for line in watched.lines] == [
        "deploying",
        "waiting, as nobody holds the address",
        "asking the nodes",
        "still asking the nodes, for 12 s",
        "still asking the nodes, for 24 s",
    ]


def test_the_faults_of_a_drill_that_chooses_take_the_place_of_the_guessed_ones(tmp_path):
    durations = demo_run.Durations(tmp_path / "durations.json", "pair")
    watched = Watched(tmp_path, ["drill begins", *durations.faults(), "drill ends"])
    before = watched.teller.remaining()
    assert before == pytest.approx(
        9 * demo_run.USUAL_FAULT_S + demo_run.USUAL_S["drill begins"] + demo_run.USUAL_S["drill ends"]
    )
    watched.teller.begin("drill begins")
    watched.time += 10
    for fault in ("a", "b", "a"):
        watched.teller.event({"kind": "to come", "fault": fault})
    assert watched.teller.remaining() == 3 * demo_run.USUAL_FAULT_S + demo_run.USUAL_S["drill ends"]
    watched.teller.event({"kind": "fault", "fault": "a", "text": "a"})
    assert watched.teller.remaining() == 3 * demo_run.USUAL_FAULT_S + demo_run.USUAL_S["drill ends"]


def test_how_long_a_part_took_that_failed_is_not_kept(tmp_path):
    watched = Watched(tmp_path)
    watched.teller.begin("lab up", "x")
    watched.wait(10)
    watched.teller.begin("deploy", "x")
    watched.wait(900)
    watched.teller.forget()
    watched.teller.begin("lab down", "x")
    assert json.loads((tmp_path / "durations.json").read_text()) == {"pair": {"lab up": [10]}}


def test_the_median_of_the_last_durations_counts(tmp_path):
    durations = demo_run.Durations(tmp_path / "durations.json", "pair")
    for seconds in (900, 40, 50, 60, 45, 300):
        durations.note("deploy", seconds)
    assert demo_run.Durations(tmp_path / "durations.json", "pair").expect("deploy") == 50


@pytest.mark.parametrize("text", ["", "nonsense", "[]", '{"pair": 3}', '{"pair": {"deploy": "x"}}'])
def test_a_cache_that_cannot_be_read_is_no_error(tmp_path, text):
    (tmp_path / "durations.json").write_text(text)
    assert demo_run.Durations(tmp_path / "durations.json", "pair").expect("deploy") == demo_run.USUAL_S["deploy"]


def test_an_error_is_printed_wholly(tmp_path):
    watched = Watched(tmp_path)
    watched.teller.begin("deploy", "deploying")
    text = "Install nginx\nnode1: " + "x" * 3000 + "\nstderr: the end"
    watched.teller.event({"kind": "error", "text": text})
    assert watched.lines[-1].endswith(text)


def test_a_table_is_in_columns():
    markdown = """# A title

| fault | target | gap | verdict |
|---|---|--:|---|
| service_kill | node1 | 152.0 ms | passed |
| partition | node1 | 1,012.0 ms | **failed** |

- **partition**: why
"""
    assert demo_run.table(markdown) == [
        "fault         target         gap  verdict",
        "service_kill  node1     152.0 ms  passed",
        "partition     node1   1,012.0 ms  failed",
    ]


TOPOLOGIES = [path.stem for path in (ROOT / "playbooks").glob("*_*.yml")]


@pytest.mark.parametrize("topology", TOPOLOGIES)
def test_faults_that_the_drill_would_refuse_are_refused_before_anything_is_built(
    topology, capsys, tmp_path, monkeypatch
):
    monkeypatch.setattr(demo_run, "Demo", None)
    monkeypatch.setattr(demo_run.signal, "signal", lambda *_: None)
    assert demo_run.main(topology, "partition,nonsense") == 1
    said = capsys.readouterr().err
    assert said.startswith("demo: FAULTS: nonsense cannot be injected here: there is no such fault. Possible are ")
    assert demo_run.refusal(topology, []) == demo_run.refusal(topology, ["partition"]) == ""


@pytest.mark.parametrize(
    ("topology", "fault", "why"),
    [
        ("onprem_active_standby", "agent_kill", "it is for topologies whose address a cloud's API moves"),
        ("onprem_active_standby", "real_server_kill", "it is for topologies with servers behind the node"),
        ("gcp_route_heartbeat", "agent_kill", ""),
        ("huawei_lvs_dr", "real_server_kill", ""),
        ("huawei_lvs_dr", "service_kill", "for which there are real_server_..."),
    ],
)
def test_a_fault_is_possible_in_the_topologies_that_have_it(topology, fault, why):
    said = demo_run.refusal(topology, [fault])
    assert why in said and bool(said) is bool(why)


@pytest.fixture
def demo(tmp_path, monkeypatch):
    """A demo whose commands are given by the test."""
    monkeypatch.setattr(demo_run, "ROOT", tmp_path)
    made = demo_run.Demo("pair", [], False, tmp_path)
    (made.report / "logs").mkdir(parents=True)
    return made


def python(program):
    return [sys.executable, "-c", program]


def test_task_lines_go_to_the_log_and_what_is_done_is_shown(demo, capsys):
    event = json.dumps({"kind": "error", "text": "it is broken"})
    demo.step("deploy", "deploying", python(f"print('TASK [a]'); print('PROGRESS ' + {event!r})"), "pair")
    shown = capsys.readouterr().out
    assert "deploying" in shown and "ERROR: it is broken" in shown and "TASK" not in shown
    assert (demo.report / "logs/pair.log").read_text() == "TASK [a]\n"


def test_verbose_shows_all_lines(demo, capsys):
    demo.verbose = True
    demo.step("deploy", "deploying", python("print('TASK [a]')"), "pair")
    assert "\nTASK [a]\n" in capsys.readouterr().out


def test_a_failure_that_is_no_tasks_is_shown_with_all_that_was_said(demo, capsys):
    lines = [f"line {number}" for number in range(200)]
    with pytest.raises(subprocess.CalledProcessError):
        demo.step("deploy", "deploying", python(f"print({chr(10).join(lines)!r}); raise SystemExit(4)"), "pair")
    shown = capsys.readouterr().out
    assert "\n".join(lines) in shown and "deploying: failed (4)" in shown


def test_a_reader_that_goes_ends_the_command():
    lines = demo_run.lines_of(python("import time; print(1, flush=True); time.sleep(600)"), {}, lambda: None)
    assert next(lines) == "1"
    lines.close()  # waits for the end of the process
    with pytest.raises(StopIteration):
        next(lines)

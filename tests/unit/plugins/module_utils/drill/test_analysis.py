# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import random

import pytest

from ansible_collections.cloudha.vip.plugins.module_utils.drill import analysis, faults
from ansible_collections.cloudha.vip.plugins.module_utils.drill.records import Sample
from ansible_collections.cloudha.vip.tests.unit.plugins.module_utils.drill.made_up import (
    INJECTED,
    MONO,
    between,
    check,
    event,
    lost,
    params,
    phase,
    recording,
    transition,
    wall,
)


def drill(recordings, events=(), phases=None, **options):
    return faults.analyse(params(phases or [phase()], **options), recordings, list(events))


def one(*args, **options):
    return drill(*args, **options)["faults"][0]


def taken_over(start, end, err="refused", back_lost=0):
    """node1 until start, nobody until end, then node2; from 3000 on node1 again, after back_lost ms."""

    def outcome(at):
        if at < start:
            return "node1"
        if at < end:
            return lost(err)
        if at < 3000:
            return "node2"
        return lost("refused") if at < 3000 + back_lost else "node1"

    return outcome


def test_a_fault_by_hand():
    # Sent every 4 ms, answered after 1 ms: the last good answer is complete at -3, the first new one at 153.
    events = [
        check(-900, "node1", True),
        check(130, "node1", False, "connection refused"),
        transition(131.5, "node1", "FAULT"),
        transition(141, "node2", "MASTER"),
        transition(3007, "node1", "MASTER"),
    ]
    fault = one([recording(taken_over(0, 152, back_lost=8))], events)
    assert fault["verdict"] == "passed"
    assert fault["gap_ms"] == 156
    assert (fault["gap_from_ms"], fault["gap_to_ms"]) == (-3, 153)
    assert (fault["detected_ms"], fault["moved_ms"], fault["first_good_ms"]) == (130, 141, 153)
    assert (fault["holder_before"], fault["holder_after"], fault["failback_holder"]) == ("node1", "node2", "node1")
    assert fault["requests_lost"] == 152 / 4
    assert fault["errors"] == {"refused": 38}
    assert fault["requests_sent"] == 3000 / 4
    assert fault["served"] == {"node2": 750 - 38}
    assert fault["split_brain_ms"] == 0
    # 2996 + 1 is the last answer before the fail-back, 3008 + 1 the first after it.
    assert (fault["failback_gap_ms"], fault["failback_lost"]) == (12, 2)
    assert fault["reason"] == (
        "Clients were without an answer for at most 156 ms; the objective is 1,000 ms."
        " node2 took over after 141 ms. Fail-back: 12 ms."
    )
    baseline = fault["clients"][0]["baseline"]
    assert (baseline["requests_sent"], baseline["requests_lost"]) == (250, 0)
    assert (baseline["interval_ms"], baseline["gap_ms"], baseline["latency_p99_ms"]) == (4, 4, 1)
    assert [e["text"] for e in fault["events"]][:2] == ["check nginx healthy", "check nginx failed: connection refused"]


def test_a_request_that_times_out_is_lost_when_it_was_sent_before_the_fault():
    # Sent at -4, unanswered: it ends at 246, in the fault.
    fault = one([recording(taken_over(-4, 600, "timeout"))])
    assert fault["requests_lost"] == 604 / 4
    assert fault["clients"][0]["baseline"]["requests_lost"] == 0
    assert fault["gap_from_ms"] == -7


@pytest.mark.parametrize(("gap", "verdict"), [(996, "passed"), (1000, "failed")])
def test_the_objective_decides(gap, verdict):
    fault = one([recording(taken_over(0, gap, "timeout"))])
    assert fault["gap_ms"] == gap + 4
    assert fault["verdict"] == verdict
    if verdict == "failed":
        assert fault["reason"] == "client1 was without an answer for 1,004 ms; the objective is 1,000 ms."


def test_an_objective_of_its_own_and_one_for_the_way_back():
    fault = one([recording(taken_over(0, 152))], phases=[phase(objective_ms=100)])
    assert fault["objective_ms"] == 100
    assert fault["verdict"] == "failed"
    fault = one([recording(taken_over(0, 152, back_lost=60))], failback_objective_ms=50)
    assert fault["reason"] == "client1 was without an answer for 64 ms during the fail-back; the objective is 50 ms."


def test_never_recovered():
    fault = one([recording(lambda at: "node1" if at < 0 else lost("timeout"))], phases=[phase(failback=None)])
    assert (fault["recovered"], fault["verdict"], fault["first_good_ms"]) == (False, "failed", None)
    assert fault["gap_from_ms"] == -3
    assert fault["gap_to_ms"] == 4000
    assert fault["reason"] == "client1 was still without an answer when the phase ended, 4,003 ms after the last one."


def test_recovered_only_by_the_repair():
    fault = one([recording(lambda at: lost("timeout") if 0 <= at < 2100 else "node1")])
    assert fault["recovered"]
    assert "only after the repair" in fault["reason"]
    assert fault["holder_after"] == "node1"


@pytest.mark.parametrize(
    ("answered", "verdict", "gap_ms", "reason"),
    [
        # Repaired at 2000.
        (
            lambda at: at < 700 or at >= 2300,
            "passed",
            301,
            "Clients were without an answer for at most 301 ms after the repair; until then nobody was to be answered;"
            " the objective is 1,000 ms.",
        ),
        (lambda at: at < 700 or at >= 3200, "failed", 1201, "client1 was without an answer for 1,201 ms;"),
        (lambda at: at < 700 or at >= 1500, "failed", 804, "client1 was answered when the repair began;"),
        (lambda at: True, "failed", 4, "client1 was answered when the repair began;"),
        (lambda at: at < 700, "failed", 2000, "client1 was still without an answer when the phase ended,"),
    ],
)
def test_where_clients_are_to_be_dropped_nobody_answers_until_the_repair(answered, verdict, gap_ms, reason):
    unserved = phase("all_backends_unhealthy", failback=None, undecided="dropped")
    fault = one([recording(lambda at: "node1" if answered(at) else lost("timeout"))], phases=[unserved])
    assert (fault["verdict"], fault["gap_ms"]) == (verdict, gap_ms), fault["reason"]
    assert fault["reason"].startswith(reason) and fault["undecided"] == "dropped"


def test_as_a_last_resort_any_node_may_serve():
    def turns(at):
        return "node%d" % (1 + int(0 < at < 2500 and at % 8 == 0))

    served, other = (
        one([recording(turns)], phases=[phase("all_backends_unhealthy", failback=None, **more)])
        for more in ({"undecided": "served"}, {})
    )
    assert (served["verdict"], other["verdict"]) == ("passed", "failed"), "of another fault it is a split brain"
    assert served["split_brain_ms"] == other["split_brain_ms"] > 1000


def test_recovered_and_lost_again():
    fault = one([recording(lambda at: lost("timeout") if 0 <= at < 400 or 2500 <= at < 3000 else "node1")])
    assert not fault["recovered"]
    assert (fault["gap_from_ms"], fault["gap_to_ms"]) == (2497, 3000)


def test_nothing_was_interrupted():
    fault = one([recording(lambda at: "node1")], [check(700, "node1", False)])
    assert (fault["gap_ms"], fault["requests_lost"], fault["first_good_ms"]) == (4, 0, 1)
    assert fault["moved_ms"] is None
    assert fault["verdict"] == "passed"


@pytest.mark.parametrize(
    ("recordings", "verdict", "reason"),
    [
        ([], "inconclusive", "No client recorded anything."),
        ([recording(lambda at: "node1", -90000, -80000)], "inconclusive", "client1 recorded nothing during this"),
        ([recording(lambda at: lost("refused"))], "failed", "client1 had no good answer before the fault"),
        ([recording(lambda at: "node1", end=1500)], "inconclusive", "The record of client1 ends 2,503 ms before"),
        ([recording(lambda at: "node1", start=100)], "failed", "client1 had no good answer before the fault"),
    ],
)
def test_no_measurement_is_no_success(recordings, verdict, reason):
    report = drill(recordings)
    assert report["verdict"] == verdict
    assert reason in report["faults"][0]["reason"]
    assert report["reasons"] == ["service_kill, trial 1: " + report["faults"][0]["reason"]]


def test_a_record_that_ends_early_is_not_an_outage():
    assert one([recording(lambda at: "node1", end=1500)])["gap_ms"] == 4


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"rolled_back": False}, "The fault was not undone, or the topology was not healthy at the end."),
        ({"error": "node1 is gone", "injected_at": None}, "The drill did not go as planned: node1 is gone."),
        ({"injected_at": None}, "The fault was never injected."),
        (
            {"audit": [{"when": "after", "at": None, "holders": ["node1", "node2"], "ok": False, "problem": None}]},
            "Audit after: held by node1 and node2.",
        ),
    ],
)
def test_what_the_drill_itself_found_fails_it(more, reason):
    fault = one([recording(lambda at: "node1")], phases=[phase(**more)])
    assert (fault["verdict"], fault["reason"]) == ("failed", reason)


def test_split_brain_is_from_the_first_new_to_the_last_old_answer():
    def outcome(at):
        return "node1" if at < 100 or at in (160, 200, 300) else "node2"

    fault = one([recording(outcome)], split_brain_objective_ms=150)
    assert fault["split_brain_ms"] == 200
    assert fault["clients"][0]["split_brains"] == [{"from_ms": 100, "to_ms": 300}]
    assert fault["reason"] == "client1 got answers from two nodes in turn for 200 ms; at most 150 ms is allowed."


def test_an_address_that_comes_back_by_itself_is_no_split_brain():
    fault = one([recording(lambda at: "node2" if 100 <= at < 2100 else "node1")])
    assert (fault["split_brain_ms"], fault["verdict"]) == (0, "passed")


def test_of_an_address_that_comes_back_by_itself_the_longer_hand_over_counts():
    """A load balancer may find one node healthy before it finds the other one ill, both times."""

    def outcome(at):
        return "node2" if 100 <= at < 2100 and at not in (160, 2000, 2040) else "node1"

    fault = one([recording(outcome)], split_brain_objective_ms=150)
    assert (fault["split_brain_ms"], fault["verdict"]) == (96, "passed")
    assert fault["clients"][0]["split_brains"] == [{"from_ms": 2000, "to_ms": 2096}]


def test_two_that_take_turns_and_end_where_they_began_are():
    fault = one([recording(lambda at: "node2" if 100 <= at < 200 or 300 <= at < 400 else "node1")])
    assert fault["split_brain_ms"] == 296


def test_the_worst_client_counts():
    recordings = [
        recording(taken_over(0, 152), client="near"),
        recording(taken_over(0, 200), client="far"),
    ]
    fault = one(recordings)
    assert (fault["client"], fault["gap_ms"], fault["requests_lost"]) == ("far", 204, 50)
    assert [(c["client"], c["gap_ms"]) for c in fault["clients"]] == [("far", 204), ("near", 156)]
    recordings.append(recording(lambda at: "node1" if at < 2900 else lost("timeout"), client="lonely"))
    fault = one(recordings)
    assert (fault["client"], fault["gap_ms"]) == ("far", 204)  # lonely had good answers until 2900 …
    assert fault["failback_gap_ms"] == 4000 - 2897  # … and none after
    assert fault["verdict"] == "failed"
    assert fault["reason"] == "lonely was without an answer at the end of the fail-back."


def test_a_step_of_the_wall_clock_makes_no_gap():
    fault = one([recording(taken_over(0, 152), clock=lambda at: at + (5000 if at >= 60 else 0))])
    assert fault["gap_ms"] == 156
    assert (fault["gap_from_ms"], fault["gap_to_ms"]) == (-3, 153)
    assert fault["clients"][0]["clock_step_ms"] == 5000


def test_clocks_that_differ_are_lined_up():
    made = recording(taken_over(0, 152), clock=lambda at: at + 700)
    events = [transition(141 - 300, "node2", "MASTER")]
    offsets = {"client1": 700, "node2": -300, "node1": 40}
    fault = one([made], events, clock_offsets_ms=offsets)
    assert (fault["gap_from_ms"], fault["moved_ms"]) == (-3, 141)
    # The injection by the clock of node1, which is 40 ms ahead.
    fault = one(
        [made], events, clock_offsets_ms=offsets, phases=[phase(injected_at=INJECTED + 40_000_000, injected_on="node1")]
    )
    assert (fault["gap_from_ms"], fault["moved_ms"]) == (-3, 141)


def test_events_that_do_not_count():
    events = [
        transition(-500, "node2", "MASTER"),  # before the fault
        check(20, "node2", False),  # another node's trouble
        transition(30, "node1", "MASTER"),  # the holder says what it is
        transition(3500, "node2", "MASTER"),  # after the fail-back
    ]
    fault = one([recording(taken_over(0, 152))], events)
    assert (fault["detected_ms"], fault["moved_ms"]) == (None, None)


def test_a_fault_of_the_standby_is_detected_there():
    events = [check(100, "node2", False), transition(101, "node2", "FAULT")]
    fault = one([recording(lambda at: "node1")], events, phases=[phase(target="node2")])
    assert (fault["detected_ms"], fault["moved_ms"]) == (100, None)


def test_where_the_cloud_moves_the_address_it_has_moved_when_the_cloud_says_so():
    made = recording(taken_over(0, 2600))
    events = [
        transition(600, "node2", "MASTER"),
        event(612, "node2", "action_step", action="r", phase="begin", name="insert route", resource="r-tmp-1"),
        event(2500, "node2", "address_moved", action="r", resource="r-tmp-1"),
        event(2900, "node2", "action_done", action="r", changed=True),
    ]
    fault = one([made], events)
    assert (fault["detected_ms"], fault["moved_ms"]) == (600, 2500)
    assert [each["text"] for each in fault["events"]] == [
        "vip MASTER",
        "r: begin insert route r-tmp-1",
        "r: moved here: r-tmp-1",
        "r: done",
    ]
    # A node that is the master, and cannot move the route, has nothing.
    events[1:] = [event(900, "node2", "action_failed", action="r", reason="Cannot list: 503.")]
    fault = one([made], events)
    assert (fault["detected_ms"], fault["moved_ms"]) == (600, None)
    assert fault["events"][-1]["text"] == "r: failed: Cannot list: 503."


def test_a_client_that_stood_still_is_named():
    made = recording(taken_over(0, 1200, "timeout"), skip=(200, 900))
    fault = one([made])
    assert fault["clients"][0]["stall_ms"] == 700
    assert fault["verdict"] == "inconclusive"
    assert "may be the reason for 704 ms of it: measure again" in fault["reason"]


def busy(share, made):
    """The same record from a host on which something waited for a processor for this share of the time."""
    samples = [Sample(MONO + round(at * 1e6), 0.0, 50_000 + at * share) for at in range(-1000, 4000, 500)]
    return made._replace(samples=samples)


@pytest.mark.parametrize(
    ("share", "outage", "verdict"),
    [
        (0.0, 1016, "failed"),
        (0.5, 1016, "inconclusive"),
        # However busy the host is, it cannot have made two seconds of one.
        (0.3, 2500, "failed"),
        # An objective that was met was met.
        (1.0, 600, "passed"),
    ],
)
def test_a_busy_client_host_does_not_look_like_a_missed_objective(share, outage, verdict):
    fault = one([busy(share, recording(taken_over(0, outage, "timeout")))])
    assert fault["verdict"] == verdict, fault["reason"]


def test_a_fault_that_is_wrong_for_certain_has_failed_though_a_client_did_not_measure():
    made = recording(taken_over(0, 2000, "timeout"), client="client2")
    report = drill([made, recording(lambda at: "node1", end=1500)])
    assert report["verdict"] == "failed"
    assert "client2 was without" in report["reasons"][0] and "The record of client1 ends" in report["reasons"][0]


def test_a_client_whose_record_is_missing_is_named():
    made = recording(taken_over(0, 300, "timeout"))
    report = drill([made], probes=["client1", "client2"])
    assert (report["verdict"], report["reasons"]) == (
        "inconclusive",
        ["service_kill, trial 1: client2 recorded nothing during this phase."],
    )


def test_who_answered_in_between_was_the_first_to_answer():
    """A partition that was none: node2 answered, then node1 announced itself, and has the address again in the end."""

    def outcome(at):
        if at < 0 or at >= 5000:
            return "node1"
        return "node2" if 600 <= at < 3600 else lost("timeout")

    fault = one([recording(outcome, end=9000)], phases=[phase("partition", repaired=6000, failback=8000, ended=9000)])
    assert fault["first_good_ms"] == 601
    assert (fault["gap_from_ms"], fault["gap_to_ms"]) == (3597, 5001)


def test_slow_and_broken():
    def outcome(at):
        return lost({0: "reset", 4: "closed", 8: "status 503"}.get(at, "timeout")) if 0 <= at < 20 else "node1"

    fault = one([recording(outcome, took=40)], slow_ms=30)
    assert fault["requests_broken"] == 2
    assert fault["requests_slow"] == fault["requests_sent"] - fault["requests_lost"]


def test_requests_under_way_when_the_address_moves_are_told_from_those_lost_afterwards():
    last = 1  # and a reset comes after 2 ms

    def moved(at):
        return lost("reset") if 0 <= at <= last or at == 3000 else "node1" if at < 0 else "node2"

    # Three requests are under way when the first is reset; on the way back, one.
    fault = one([recording(moved, interval=0.5)])
    assert (fault["requests_lost"], fault["requests_in_flight"], fault["failback_in_flight"]) == (3, 3, 1)
    assert "Lost were only those under way when their connections were reset: 3." in fault["reason"]
    # If they come every 4 ms, two of them began when the address had moved already.
    last = 8
    fault = one([recording(moved)])
    assert (fault["requests_lost"], fault["requests_in_flight"]) == (3, 1)
    assert "under way" not in fault["reason"]
    # Who gets no answer at all was not reset.
    fault = one([recording(lambda at: lost("timeout") if at == 0 else "node1")])
    assert (fault["requests_lost"], fault["requests_in_flight"]) == (1, 0)


def test_answers_without_a_name():
    fault = one([recording(lambda at: lost("refused") if 0 <= at < 100 else None)])
    assert (fault["holder_before"], fault["holder_after"], fault["gap_ms"]) == (None, None, 104)
    assert fault["served"] == {"unknown": 750 - 25}


def test_those_who_answer_side_by_side_are_no_two_holders():
    def answers(at):
        return lost("timeout") if 0 <= at < 300 else "real%d" % (1 + round(at / 4) % 2)

    audit = [
        {"when": "before", "at": 0, "holders": ["node1"], "ok": True},
        {"when": "during", "at": 0, "holders": ["node2"], "ok": True},
    ]
    pool = ["real1", "real2"]
    fault = one([recording(answers)], phases=[phase(audit=audit)], pool=pool)
    assert fault["verdict"] == "passed", fault["reason"]
    assert (fault["holder_before"], fault["holder_after"], fault["split_brain_ms"]) == ("node1", "node2", 0)
    assert fault["gap_ms"] > 300 and set(fault["served"]) == set(fault["clients"][0]["baseline"]["served"]) == set(pool)
    # One that has no part in it, or little.
    fault = one([recording(lambda at: "real1")], phases=[phase(audit=audit)], pool=pool)
    assert "unevenly: real1 250, real2 0 times" in fault["reason"] and fault["verdict"] == "failed"
    mostly = [recording(lambda at: "real1" if round(at / 4) % 5 else "real2")]
    assert one(mostly, phases=[phase(audit=audit)], pool=pool)["verdict"] == "failed"
    assert one(mostly, phases=[phase(audit=audit)], pool=pool, spread=1.7)["verdict"] == "passed"


def test_trials_are_taken_together():
    def trial(number, gap):
        shift = 10_000 * number
        made = recording(taken_over(0, gap))
        moved = [r._replace(wall=r.wall + shift * 1_000_000, mono=r.mono + shift * 1_000_000) for r in made.requests]
        times = ("started_at", "injected_at", "repaired_at", "failback_at", "ended_at")
        one_phase = phase(trial=number)
        return made._replace(requests=moved), {
            **one_phase,
            **{name: one_phase[name] + shift * 1_000_000 for name in times},
        }

    made = [trial(1, 100), trial(2, 300), trial(3, 152)]
    report = drill([recorded for recorded, _phase in made], phases=[one_phase for _recorded, one_phase in made])
    assert [f["gap_ms"] for f in report["faults"]] == [104, 304, 156]
    summary = report["summary"][0]
    assert (summary["gap_ms"], summary["gap_ms_max"], summary["trials"]) == (156, 304, 3)
    assert summary["requests_lost"] == (100 + 300 + 152) / 4
    assert report["clients"][0]["requests_sent"] == 3 * 1250
    assert report["started"] == "2026-11-21T03:00:09.000000Z" == faults.iso(wall(9000))


@pytest.mark.parametrize("seed", range(30))
def test_whatever_happens_the_books_balance(seed):
    """For any mix of outcomes: every request is counted once, and the gap is as long as any outage in it."""
    chance = random.Random(seed)
    edges = sorted(chance.sample(range(-900, 3900, 4), 12))
    outcomes = [chance.choice(["node1", "node2", lost("timeout"), lost("refused")]) for _number in range(13)]
    made = recording(lambda at: "node1" if at < -900 else outcomes[sum(at >= edge for edge in edges)])
    fault = one([made])
    seen = fault["clients"][0]
    assert fault["requests_sent"] == sum(fault["served"].values()) + fault["requests_lost"]
    assert fault["requests_lost"] == sum(fault["errors"].values())
    assert sum(run["count"] for run in seen["timeline"]) <= len(made.requests)
    assert [run["from_ms"] for run in seen["timeline"]] == sorted(run["from_ms"] for run in seen["timeline"])
    good = [(r.ended - made.requests[0].mono) / 1e6 - 1000 for r in made.requests if r.ok]
    inside = between([at for at in good if 0 <= at <= 3000])
    assert not fault["recovered"] or fault["gap_ms"] >= max(inside, default=0) - 0.001
    assert not any(fault["gap_from_ms"] + 0.001 < at < fault["gap_to_ms"] - 0.001 for at in good)
    assert (fault["verdict"] == "passed") == (
        fault["recovered"]
        and seen["failback_recovered"]
        and max(fault["gap_ms"], fault["failback_gap_ms"], fault["split_brain_ms"]) <= 1000
    )


def test_percentile_is_the_nearest_rank():
    values = list(range(1, 101))
    assert [analysis.percentile(values, share) for share in (0.5, 0.95, 0.99, 1)] == [50, 95, 99, 100]
    assert analysis.percentile([7.0], 0.5) == 7
    assert analysis.percentile([], 0.5) is None

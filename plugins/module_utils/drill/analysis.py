# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What clients lost: pure functions from records, events and phases to numbers and a verdict.

Every time in a result is in ms after the fault was injected. A phase has up to three parts, told apart by when a
request *ended*:

* ``baseline``: from the start of the phase to the injection
* ``fault``: from the injection to the fail-back (or the end); the repair of the fault is in it
* ``failback``: from the fail-back to the end
"""

from __future__ import annotations

import statistics
import typing as t
from collections import Counter
from datetime import datetime, timezone

from .records import Recording, Request

MS = 1e6
BROKEN = ("reset", "closed", "broken")
CLOCK_SKEW_MS = 20.0  # how much too early a node may say that it noticed, its clock being a little slow
UNKNOWN = "unknown"


class Objectives(t.NamedTuple):
    gap_ms: float
    failback_gap_ms: float
    split_brain_ms: float
    slow_ms: float
    spread: float = 1.5


class Clock(t.NamedTuple):
    """Turns the times of one phase into ms after the injection."""

    injected: int  # wall clock of the controller, ns
    offsets_ms: t.Mapping[str, float]

    @classmethod
    def of(cls, phase: t.Mapping[str, t.Any], offsets_ms: t.Mapping[str, float]) -> Clock:
        offset = offsets_ms.get(phase.get("injected_on") or "", 0.0)
        return cls(int(phase["injected_at"] - offset * MS), offsets_ms)

    def of_wall(self, wall: int, host: str | None = None) -> float:
        return (wall - self.injected) / MS - float(self.offsets_ms.get(host or "", 0.0))


class Point(t.NamedTuple):
    """A request on the time line of a phase."""

    sent: float
    ended: float
    ok: bool
    by: str | None
    err: str | None


class Gap(t.NamedTuple):
    start: float
    end: float

    @property
    def ms(self) -> float:
        return self.end - self.start


def iso(wall: int) -> str:
    return datetime.fromtimestamp(wall // 1000 / 1e6, timezone.utc).isoformat(timespec="microseconds")[:-6] + "Z"


def ms(value: float) -> float:
    return round(value, 3) + 0.0  # + 0.0: never show "-0.0"


def maybe_ms(value: float | None) -> float | None:
    return None if value is None else ms(value)


def percentile(values: t.Sequence[float], share: float) -> float | None:
    """The nearest-rank percentile."""
    if not values:
        return None
    ordered = sorted(values)
    return ordered[max(0, -int(-share * len(ordered) // 1) - 1)]


# --- one client, one phase ---------------------------------------------------------------------------------------


def zero_of(requests: t.Sequence[Request], clock: Clock, client: str) -> float:
    """The client's monotonic clock at the injection, in ms."""
    anchor = next((r for r in requests if clock.of_wall(r.wall, client) >= 0), requests[-1] if requests else None)
    return 0.0 if anchor is None else anchor.mono / MS - clock.of_wall(anchor.wall, client)


def place(requests: t.Sequence[Request], clock: Clock, client: str) -> list[Point]:
    """The requests on the phase's time line.

    The wall clock is used once, at the injection; all else is the client's monotonic clock. So a step of the wall
    clock cannot make or hide a gap.
    """
    zero = zero_of(requests, clock, client)
    return [Point(r.mono / MS - zero, r.ended / MS - zero, r.ok, r.by, r.err) for r in requests]


def host_waits_ms(recording: Recording, zero: float, gap: Gap) -> float:
    """For how much of a gap the client host itself may be the reason: at most so much shorter was it.

    While the prober was not run, it could neither send nor see an answer. And while other things on the host wait for
    a processor, so may what brings the answers. zero: the monotonic clock, in ms, from which the gap counts.
    """
    sends = [r.mono / MS - zero for r in recording.requests]
    between = [(a, b) for a, b in zip(sends, sends[1:]) if b - a > 2 * recording.interval_ms]
    stalled = sum(max(0.0, min(b, gap.end) - max(a, gap.start)) for a, b in between)
    # The kernel counts every two seconds: the share of the time around the gap is what is known.
    around = [s for s in recording.samples if gap.start - 2500 <= s.mono / MS - zero <= gap.end + 2500]
    shares = [
        (b.busy - a.busy) / ((b.mono - a.mono) / MS)
        for a, b in zip(around[:1], around[1:][-1:])
        if a.busy is not None and b.busy is not None
    ]
    return min(gap.ms, max([stalled, *(share * gap.ms for share in shares)]))


def clock_step_ms(requests: t.Sequence[Request]) -> float:
    """How far the wall clock moved against the monotonic one."""
    offsets = [r.wall - r.mono for r in requests]
    return (max(offsets) - min(offsets)) / MS if offsets else 0.0


def good_ends(points: t.Iterable[Point]) -> list[float]:
    return sorted(p.ended for p in points if p.ok)


def longest_gap(ends: t.Sequence[float], start: float, end: float) -> Gap:
    """The longest time without a good answer that was not over at start and had begun by end.

    ends: when each good answer was complete, in order. The last one up to start is the gap's left edge; without any,
    start is. What comes after end does not count, so the right edge is end at the latest.
    """
    before = [e for e in ends if e <= start]
    edges = [before[-1] if before else start] + [e for e in ends if start < e <= end] + [end]
    return max((Gap(a, b) for a, b in zip(edges, edges[1:])), key=lambda gap: gap.ms)


def split_brain(points: t.Iterable[Point]) -> Gap | None:
    """When clients got answers from two holders in turn.

    From the first answer by the new holder to the last one by the old. If the holder is the same in the end, another
    one may have had the address meanwhile: that counts only if the two took turns.
    """
    answers = sorted((p.sent, p.by) for p in points if p.ok and p.by)
    if not answers:
        return None
    first, last = answers[0][1], answers[-1][1]
    others = [sent for sent, by in answers if by != first]
    if first != last:
        old = [sent for sent, by in answers if by != last]
        return Gap(others[0], old[-1]) if others[0] < old[-1] else None
    if others and any(others[0] < sent < others[-1] for sent, by in answers if by == first):
        return Gap(others[0], others[-1])
    return None


def in_flight(points: t.Iterable[Point]) -> int:
    """How many lost requests were under way when the first of them was reset.

    However fast an address moves, the next packet of a connection goes to a node that knows nothing of it and resets
    it. No request that began afterwards may be lost for that.
    """
    reset = [p for p in points if p.err == "reset"]
    first = min((p.ended for p in reset), default=0.0)
    return sum(p.sent <= first for p in reset)


def runs(points: t.Iterable[Point]) -> list[dict[str, t.Any]]:
    """The time line in short: equal outcomes in a row become one entry.

    A good answer is shown when it was complete, a lost request when it was sent.
    """
    result: list[dict[str, t.Any]] = []
    for at, point in sorted((p.ended if p.ok else p.sent, p) for p in points):
        by, err = (point.by or UNKNOWN, None) if point.ok else (None, point.err or UNKNOWN)
        if result and result[-1]["by"] == by and result[-1]["err"] == err:
            result[-1]["to_ms"] = ms(at)
            result[-1]["count"] += 1
        else:
            result.append({"from_ms": ms(at), "to_ms": ms(at), "count": 1, "by": by, "err": err})
    return result


def unnamed(points: t.Iterable[Point], pool: t.Container[str | None]) -> list[Point]:
    """The same without the names of those who answer side by side: they say nothing about who has the address."""
    return [p._replace(by=None) if p.by in pool else p for p in points]


def baseline(points: t.Sequence[Point]) -> dict[str, t.Any]:
    took = [p.ended - p.sent for p in points if p.ok]
    ends = good_ends(points)
    sends = [p.sent for p in points]
    return {
        "requests_sent": len(points),
        "requests_lost": sum(not p.ok for p in points),
        "served": served(points),
        "interval_ms": ms(statistics.median(b - a for a, b in zip(sends, sends[1:]))) if len(sends) > 1 else None,
        "gap_ms": ms(max(b - a for a, b in zip(ends, ends[1:]))) if len(ends) > 1 else None,
        "latency_p50_ms": maybe_ms(percentile(took, 0.5)),
        "latency_p95_ms": maybe_ms(percentile(took, 0.95)),
        "latency_p99_ms": maybe_ms(percentile(took, 0.99)),
        "latency_max_ms": maybe_ms(max(took, default=None)),
    }


def served(points: t.Iterable[Point]) -> dict[str, int]:
    return dict(sorted(Counter(p.by or UNKNOWN for p in points if p.ok).items()))


def best_recording(recordings: t.Iterable[Recording], clock: Clock, start: float, end: float) -> Recording | None:
    """The recording that covers most of the phase; None if none covers any of it."""
    best, most = None, 0.0
    for recording in recordings:
        if recording.requests:
            first, last = (clock.of_wall(recording.requests[i].wall, recording.client) for i in (0, -1))
            covered = min(end, last) - max(start, first)
            if covered > most:
                best, most = recording, covered
    return best


def measure(
    recording: Recording,
    clock: Clock,
    phase: t.Mapping[str, t.Any],
    slow_ms: float,
    pool: t.Container[str | None] = (),
) -> dict[str, t.Any]:
    """What one client saw of one phase."""
    start, end = clock.of_wall(phase["started_at"]), clock.of_wall(phase["ended_at"])
    failback = clock.of_wall(phase["failback_at"]) if phase.get("failback_at") else None
    everything = place(recording.requests, clock, recording.client)
    zero = zero_of(recording.requests, clock, recording.client)
    # A prober that stopped early must not look like an outage; the verdict says that it did.
    recorded_until = max(p.ended for p in everything)
    fault_end = min(end if failback is None else failback, recorded_until)

    points = [p for p in everything if start <= p.ended <= end]
    before = [p for p in points if p.ended <= 0]
    during = [p for p in points if 0 < p.ended <= fault_end]
    after = [p for p in points if failback is not None and p.ended > failback]
    ends = good_ends(points)

    gap = longest_gap(ends, 0.0, max(fault_end, 0.0))
    last_good = max((e for e in ends if e <= fault_end), default=None)
    recovered = last_good is not None and last_good > 0 and fault_end - last_good <= recording.timeout_ms
    if not recovered:
        gap = Gap(gap.start if last_good is None else last_good, max(fault_end, 0.0))
    held = [unnamed(part, pool) for part in (before, during, after)]
    holder_before = next((p.by for p in reversed(held[0]) if p.ok and p.by), None)
    holder_after = next((p.by for p in sorted(held[1], key=lambda p: -p.ended) if p.ok and p.by), None)
    # A gap of a few ms may lie anywhere; who took over, and when, does not depend on it.
    new = {holder_after} - {holder_before}
    if not new and holder_before:  # it has the address again, and another node had it meanwhile
        new = {p.by for p in held[1] if p.ok and p.by and p.by != holder_before}
    taken_over = [p.ended for p in during if p.ok and p.by in new]
    first_good = min(taken_over) if taken_over else gap.end if recovered else None
    if first_good is not None and not taken_over and all(p.ok for p in during):
        first_good = min(p.ended for p in during)  # nothing was interrupted
    sends = [p.sent for p in everything if gap.start - recording.interval_ms <= p.sent <= gap.end]

    last_before = [p for p in held[0] if p.ok][-1:]
    split_brains = [span for span in (split_brain(last_before + held[1]), split_brain(held[2])) if span]

    result = {
        "client": recording.client,
        "gap_ms": ms(gap.ms),
        "gap_from_ms": ms(gap.start),
        "gap_to_ms": ms(gap.end),
        "recovered": recovered,
        "first_good_ms": maybe_ms(first_good),
        "holder_before": holder_before,
        "holder_after": holder_after,
        "requests_sent": len(during),
        "requests_lost": sum(not p.ok for p in during),
        "requests_slow": sum(p.ok and p.ended - p.sent > slow_ms for p in during),
        "requests_broken": sum(p.err in BROKEN for p in during),
        "requests_in_flight": in_flight(during),
        "errors": dict(sorted(Counter(p.err or UNKNOWN for p in during if not p.ok).items())),
        "served": served(during),
        "split_brain_ms": ms(max((span.ms for span in split_brains), default=0.0)),
        "failback_gap_ms": None,
        "failback_gap_from_ms": None,
        "failback_gap_to_ms": None,
        "failback_recovered": None,
        "failback_lost": None,
        "failback_in_flight": None,
        "failback_holder": None,
        "host_waits_ms": ms(host_waits_ms(recording, zero, gap)),
        "failback_host_waits_ms": None,
        "stall_ms": ms(max((b - a - recording.interval_ms for a, b in zip(sends, sends[1:])), default=0.0)),
        "recorded_until_ms": ms(recorded_until),
        "split_brains": [{"from_ms": ms(span.start), "to_ms": ms(span.end)} for span in split_brains],
        "clock_step_ms": ms(clock_step_ms(recording.requests)),
        "baseline": baseline(before),
        "timeline": runs(points),
    }
    # What came after the record's end is not known.
    if failback is not None and recorded_until > failback:
        back_end = max(failback, min(end, recorded_until))
        last_back = max((e for e in ends if failback < e <= back_end), default=None)
        result["failback_recovered"] = last_back is not None and back_end - last_back <= recording.timeout_ms
        back = longest_gap(ends, failback, back_end)
        result.update(failback_gap_ms=ms(back.ms), failback_gap_from_ms=ms(back.start), failback_gap_to_ms=ms(back.end))
        result["failback_host_waits_ms"] = ms(host_waits_ms(recording, zero, back))
        result["failback_lost"] = sum(not p.ok for p in after)
        result["failback_in_flight"] = in_flight(after)
        result["failback_holder"] = next((p.by for p in sorted(held[2], key=lambda p: -p.ended) if p.ok and p.by), None)
    return result


# --- what the nodes said -----------------------------------------------------------------------------------------


def describe(event: t.Mapping[str, t.Any]) -> str:
    """One event in words."""
    if event["event"] == "check":
        text = "check %s %s" % (event.get("check"), "healthy" if event.get("healthy") else "failed")
        return "%s: %s" % (text, event["reason"]) if event.get("reason") else text
    if event["event"] == "transition":
        return "%s %s" % (event.get("name"), event.get("state"))
    if is_of_action(event):
        return describe_action(event)
    return str(event["event"]).replace("_", " ")


def is_of_action(event: t.Mapping[str, t.Any]) -> bool:
    """Whether an agent tells what it does to the cloud."""
    return event["event"] == "address_moved" or str(event["event"]).startswith("action_")


def describe_action(event: t.Mapping[str, t.Any]) -> str:
    """An event of the agent's action, in words."""
    text = "%s: %s" % (event.get("action"), event["event"].partition("_")[2])
    if event["event"] == "action_step":
        parts = [event.get(key) for key in ("phase", "name", "resource", "error", "reason")]
        return "%s: %s" % (event.get("action"), " ".join(str(part) for part in parts if part))
    if event["event"] == "address_moved":
        return "%s: moved here: %s" % (event.get("action"), event.get("resource"))
    return "%s: %s" % (text, event["reason"]) if event.get("reason") else text


def is_detection(event: t.Mapping[str, t.Any], target: str, holder_before: str | None) -> bool:
    """Whether this event means that the cluster has noticed."""
    if event["event"] == "check":
        return not event.get("healthy") and event["node"] == target
    if event["event"] == "transition":
        return is_move(event, holder_before or target) or (
            event["node"] == target and event.get("state") in ("FAULT", "STOP", "BACKUP")
        )
    return False


def is_move(event: t.Mapping[str, t.Any], holder_before: str) -> bool:
    return event["event"] == "transition" and event.get("state") == "MASTER" and event["node"] != holder_before


def is_cloud_move(event: t.Mapping[str, t.Any], holder_before: str) -> bool:
    """From here on the cloud sends the address's packets to another node, or has done so already."""
    return event["event"] in ("address_moved", "action_done") and event["node"] != holder_before


def detection(
    events: t.Sequence[dict[str, t.Any]], target: str, holder_before: str | None, until: float
) -> tuple[float | None, float | None]:
    """When the fault was detected, and when another node took the address."""
    window = [e for e in events if -CLOCK_SKEW_MS <= e["at_ms"] <= until]
    detected = next((max(0.0, e["at_ms"]) for e in window if is_detection(e, target, holder_before)), None)
    # Where the cloud decides who gets the packets, a new master has nothing before the cloud has moved the address.
    move = is_cloud_move if any(map(is_of_action, window)) else is_move
    moved = next((max(0.0, e["at_ms"]) for e in window if move(e, holder_before or target)), None)
    return detected, moved


def events_of_phase(
    events: t.Iterable[t.Mapping[str, t.Any]], clock: Clock, start: float, end: float
) -> list[dict[str, t.Any]]:
    """The events of a phase, each with its time on the phase's time line and its description."""
    placed = [
        dict(
            {k: v for k, v in event.items() if k not in ("wall_ns", "mono_ns", "seq")},
            at_ms=ms(clock.of_wall(event["wall_ns"], event["node"])),
            text=describe(event),
        )
        for event in events
    ]
    return sorted((e for e in placed if start <= e["at_ms"] <= end), key=lambda e: e["at_ms"])


# --- the verdict -------------------------------------------------------------------------------------------------


def number(value: float | None) -> str:
    """A duration for people: 3.2 ms, 152 ms, 1,234 ms."""
    if value is None:
        return "–"
    return ("%.1f ms" % value if 0 < abs(value) < 10 else "%s ms" % format(round(value), ",d")).replace("-", "−")


def uneven(seen: t.Mapping[str, t.Any], pool: t.Sequence[str], spread: float) -> str | None:
    """Whether one of those who answer side by side had far more than its share before the fault, in a sentence."""
    answers = [seen["baseline"]["served"].get(name, 0) for name in pool]
    if len(pool) < 2 or max(answers) * len(pool) <= spread * sum(answers):
        return None
    shares = ", ".join("%s %d" % pair for pair in zip(pool, answers))
    return "Before the fault, %s was answered unevenly: %s times; at most %s of the even share is allowed." % (
        seen["client"],
        shares,
        "%g times" % spread,
    )


class Findings(t.NamedTuple):
    """In sentences: what is wrong, and why it is not known whether something is."""

    wrong: list[str]
    unknown: list[str]


def too_long(seen: t.Mapping[str, t.Any], gap: float, waits: float, objective: float, when: str) -> tuple[str, bool]:
    """A gap that misses the objective, in a sentence; and whether that may be the fault of the host that measured."""
    text = "%s was without an answer for %s%s; the objective is %s." % (
        seen["client"],
        number(gap),
        when,
        number(objective),
    )
    doubtful = gap - waits <= objective
    if doubtful:
        text += " Its own host was too busy to measure that, and may be the reason for %s of it: measure again." % (
            number(waits)
        )
    return text, doubtful


def shortcomings(
    fault: t.Mapping[str, t.Any], seen: t.Mapping[str, t.Any], objectives: Objectives, pool: t.Sequence[str] = ()
) -> Findings:
    """What is wrong with what one client saw."""
    unknown: list[str] = []
    found = [text for text in (uneven(seen, pool, objectives.spread),) if text]
    client = seen["client"]
    if seen["recorded_until_ms"] < fault["ended_ms"] - 1000:
        missing = fault["ended_ms"] - seen["recorded_until_ms"]
        unknown.append(
            "The record of %s ends %s before the phase does, so what happened then is not known."
            % (client, number(missing))
        )
    if seen["baseline"]["requests_sent"] == seen["baseline"]["requests_lost"]:
        found.append("%s had no good answer before the fault, so nothing can be said about it." % client)
    if not seen["recovered"]:
        until = "the phase ended" if fault["failback_ms"] is None else "the fail-back began"
        found.append(
            "%s was still without an answer when %s, %s after the last one." % (client, until, number(seen["gap_ms"]))
        )
    elif seen["gap_ms"] > objectives.gap_ms:
        gap, doubtful = too_long(seen, seen["gap_ms"], seen["host_waits_ms"], objectives.gap_ms, "")
        if fault["repaired_ms"] is not None and seen["gap_to_ms"] > fault["repaired_ms"]:
            gap += " It got one again only after the repair had begun."
            doubtful = False
        (unknown if doubtful else found).append(gap)
    if seen["failback_recovered"] is False:
        found.append("%s was without an answer at the end of the fail-back." % client)
    elif seen["failback_gap_ms"] is not None and seen["failback_gap_ms"] > objectives.failback_gap_ms:
        gap, doubtful = too_long(
            seen,
            seen["failback_gap_ms"],
            seen["failback_host_waits_ms"],
            objectives.failback_gap_ms,
            " during the fail-back",
        )
        (unknown if doubtful else found).append(gap)
    if seen["split_brain_ms"] > objectives.split_brain_ms:
        found.append(
            "%s got answers from two nodes in turn for %s; at most %s is allowed."
            % (client, number(seen["split_brain_ms"]), number(objectives.split_brain_ms))
        )
    return Findings(found, unknown)


def good_news(fault: t.Mapping[str, t.Any], objectives: Objectives) -> str:
    text = "Clients were without an answer for at most %s; the objective is %s." % (
        number(fault["gap_ms"]),
        number(objectives.gap_ms),
    )
    if fault["holder_after"] and fault["holder_after"] != fault["holder_before"]:
        text += " %s took over" % fault["holder_after"]
        text += " after %s." % number(fault["moved_ms"]) if fault["moved_ms"] is not None else "."
    if fault["requests_lost"] and fault["requests_lost"] == fault["requests_in_flight"]:
        text += " Lost were only those under way when their connections were reset: %d." % fault["requests_lost"]
    if fault["failback_gap_ms"] is not None:
        text += " Fail-back: %s." % number(fault["failback_gap_ms"])
    return text


def worst_of(seen: t.Sequence[t.Mapping[str, t.Any]]) -> dict[str, t.Any]:
    """What the fault is reported with: the client with the worst gap; the worst fail-back and split brain of any."""
    if not seen:
        return dict.fromkeys(MEASURED)
    worst = max(seen, key=lambda one: (not one["recovered"], one["gap_ms"]))
    back = max(seen, key=lambda one: (one["failback_recovered"] is False, one["failback_gap_ms"] or 0.0))
    result = {name: (back if name.startswith("failback") else worst)[name] for name in MEASURED}
    result["split_brain_ms"] = max(one["split_brain_ms"] for one in seen)
    return result


def analyse_phase(
    phase: t.Mapping[str, t.Any],
    recordings: t.Sequence[Recording],
    events: t.Sequence[t.Mapping[str, t.Any]],
    objectives: Objectives,
    offsets_ms: t.Mapping[str, float],
    pool: t.Sequence[str] = (),
    probes: t.Sequence[str] = (),
) -> dict[str, t.Any]:
    """One entry of the report's ``faults``. probes: the clients that should have recorded."""
    found: list[str] = []
    unknown: list[str] = []
    if phase.get("error"):
        found.append("The drill did not go as planned: %s." % str(phase["error"]).rstrip("."))
    injected = phase.get("injected_at")
    # Nothing was injected: the start is as good a zero as any.
    clock = Clock.of(phase, offsets_ms) if injected else Clock(phase["started_at"], offsets_ms)
    if not injected and not found:
        found.append("The fault was never injected.")
    fault: dict[str, t.Any] = {
        "fault": phase["fault"],
        "trial": phase["trial"],
        "target": phase["target"],
        "verdict": "failed",
        "reason": "",
        "objective_ms": objectives.gap_ms,
        "injected_at": iso(clock.injected) if injected else None,
        "started_ms": ms(clock.of_wall(phase["started_at"])),
        "repaired_ms": ms(clock.of_wall(phase["repaired_at"])) if phase.get("repaired_at") else None,
        "failback_ms": ms(clock.of_wall(phase["failback_at"])) if phase.get("failback_at") else None,
        "ended_ms": ms(clock.of_wall(phase["ended_at"])),
        "rolled_back": phase["rolled_back"],
        "audit": [{k: v for k, v in entry.items() if v is not None} for entry in phase.get("audit") or []],
    }
    fault["events"] = events_of_phase(events, clock, fault["started_ms"], fault["ended_ms"])
    seen = []
    for client in sorted({*probes, *(r.client for r in recordings)}) if injected else []:
        best = best_recording(
            (r for r in recordings if r.client == client), clock, fault["started_ms"], fault["ended_ms"]
        )
        if best:
            seen.append(measure(best, clock, phase, objectives.slow_ms, pool))
        else:
            unknown.append("%s recorded nothing during this phase." % client)
    if injected and not recordings:
        unknown.append("No client recorded anything.")

    fault.update(worst_of(seen))
    if pool:
        # Answers do not tell who has the address, but the nodes were asked.
        for moment, name in (("before", "holder_before"), ("during", "holder_after")):
            audits = [entry["holders"] for entry in fault["audit"] if entry["when"] == moment and entry["ok"]]
            fault[name] = audits[-1][0] if audits and audits[-1] else None
    until = fault["ended_ms"] if fault["failback_ms"] is None else fault["failback_ms"]
    fault["detected_ms"], fault["moved_ms"] = detection(fault["events"], phase["target"], fault["holder_before"], until)
    fault["clients"] = seen

    for one in seen:
        findings = shortcomings(fault, one, objectives, pool)
        found += findings.wrong
        unknown += findings.unknown
    for entry in fault["audit"]:
        if not entry["ok"]:
            holders = " and ".join(entry["holders"]) or "nobody"
            problem = str(entry.get("problem") or "held by %s" % holders).rstrip(".")
            found.append("Audit %s: %s." % (entry["when"], problem))
    if not phase["rolled_back"]:
        found.append("The fault was not undone, or the topology was not healthy at the end.")
    if found or unknown:
        # What is wrong for certain counts, whatever else is not known.
        fault["verdict"] = "failed" if found else "inconclusive"
        fault["reason"] = " ".join(found + unknown)
    else:
        fault["verdict"] = "passed"
        fault["reason"] = good_news(fault, objectives)
        lost = sum(one["baseline"]["requests_lost"] for one in seen)
        if lost:
            fault["reason"] += " (%d requests were lost before the fault already.)" % lost
    return fault


# The fields of a client's measurement that the fault takes over.
MEASURED = (
    "client", "gap_ms", "gap_from_ms", "gap_to_ms", "recovered", "first_good_ms", "holder_before", "holder_after",
    "requests_sent", "requests_lost", "requests_slow", "requests_broken", "requests_in_flight", "errors", "served",
    "split_brain_ms", "failback_gap_ms", "failback_lost", "failback_in_flight", "failback_holder",
)  # fmt: skip


def verdict_of(faults: t.Iterable[t.Mapping[str, t.Any]]) -> str:
    """The worst of theirs; failed if there are none."""
    given = {f["verdict"] for f in faults} or {"failed"}
    return next(verdict for verdict in ("failed", "inconclusive", "passed") if verdict in given)


def summarize(faults: t.Sequence[t.Mapping[str, t.Any]]) -> list[dict[str, t.Any]]:
    """The trials of each fault taken together, in the order in which the faults came."""
    result = []
    for name in dict.fromkeys(f["fault"] for f in faults):
        trials = [f for f in faults if f["fault"] == name]
        gaps = [f["gap_ms"] for f in trials if f["gap_ms"] is not None]
        back = [f["failback_gap_ms"] for f in trials if f["failback_gap_ms"] is not None]
        result.append(
            {
                "fault": name,
                "trials": len(trials),
                "gap_ms": ms(statistics.median(gaps)) if gaps else None,
                "gap_ms_max": max(gaps, default=None),
                "failback_gap_ms": ms(statistics.median(back)) if back else None,
                "failback_gap_ms_max": max(back, default=None),
                "requests_lost": sum(f["requests_lost"] or 0 for f in trials),
                "objective_ms": trials[0]["objective_ms"],
                "verdict": verdict_of(trials),
            }
        )
    return result


def analyse(
    params: t.Mapping[str, t.Any],
    recordings: t.Sequence[Recording],
    events: t.Sequence[t.Mapping[str, t.Any]],
) -> dict[str, t.Any]:
    """The whole report, but for the history. params: the options of the module drill_report."""

    def or_objective(name: str, objective: float) -> float:
        return objective if params.get(name) is None else params[name]

    faults = []
    for phase in params["phases"]:
        objective = phase.get("objective_ms") or params["objective_ms"]
        objectives = Objectives(
            objective,
            or_objective("failback_objective_ms", objective),
            or_objective("split_brain_objective_ms", objective),
            params["slow_ms"],
            params["spread"],
        )
        offsets_ms, pool = params["clock_offsets_ms"], params["pool"]
        probes = params.get("probes") or ()
        faults.append(analyse_phase(phase, recordings, events, objectives, offsets_ms, pool, probes))
    named = [by for f in faults for client in f["clients"] for by in client["served"] if by != UNKNOWN]
    nodes = list(dict.fromkeys([*params["nodes"], *(e["node"] for e in events), *named]))
    clients: dict[str, dict[str, t.Any]] = {}
    for r in recordings:
        one = clients.setdefault(
            r.client,
            {
                "client": r.client,
                "url": r.url,
                "interval_ms": r.interval_ms,
                "timeout_ms": r.timeout_ms,
                "requests_sent": 0,
                "requests_lost": 0,
                "requests_skipped": 0,
            },
        )
        one["requests_sent"] += len(r.requests)
        one["requests_lost"] += sum(not request.ok for request in r.requests)
        one["requests_skipped"] += r.skipped
    return {
        "schema_version": 1,
        "topology": params["topology"],
        "drill_id": params["drill_id"],
        "addresses": list(params.get("addresses") or ()),
        "started": iso(min(p["started_at"] for p in params["phases"])) if faults else None,
        "ended": iso(max(p["ended_at"] for p in params["phases"])) if faults else None,
        "objective_ms": params["objective_ms"],
        "failback_objective_ms": or_objective("failback_objective_ms", params["objective_ms"]),
        "split_brain_objective_ms": or_objective("split_brain_objective_ms", params["objective_ms"]),
        "slow_ms": params["slow_ms"],
        "verdict": verdict_of(faults),
        "reasons": [
            "%s, trial %d: %s" % (f["fault"], f["trial"], f["reason"]) for f in faults if f["verdict"] != "passed"
        ]
        or ([] if faults else ["Nothing was drilled."]),
        "versions": {name: str(value) for name, value in params["versions"].items()},
        "clients": sorted(clients.values(), key=lambda c: str(c["client"])),
        "nodes": nodes,
        "summary": summarize(faults),
        "faults": faults,
    }

# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The losses of the clients: pure functions from their records and a phase to numbers.

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

from .records import Recording, Request

MS = 1e6
BROKEN = ("reset", "closed", "broken")
UNKNOWN = "unknown"


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


def ms(value: float) -> float:
    return round(value, 3) + 0.0  # + 0.0: never show "-0.0"


def maybe_ms(value: float | None) -> float | None:
    return None if value is None else ms(value)


def number(value: float | None) -> str:
    """A duration for people: 3.2 ms, 152 ms, 1,234 ms."""
    if value is None:
        return "–"
    return ("%.1f ms" % value if 0 < abs(value) < 10 else "%s ms" % format(round(value), ",d")).replace("-", "−")


def percent(value: float | None) -> str:
    """A part of a whole for people: 49 %."""
    return "–" if value is None else "%d %%" % round(value * 100)


def percentile(values: t.Sequence[float], share: float) -> float | None:
    """The nearest-rank percentile."""
    if not values:
        return None
    ordered = sorted(values)
    return ordered[max(0, -int(-share * len(ordered) // 1) - 1)]


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

    While the prober was not run, it could neither send nor see an answer. Programs that bring the answers may also
    wait for a busy processor. zero: the monotonic clock, in ms, from which the gap counts.
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
    start is. Requests after end do not count, so the right edge is end at the latest.
    """
    before = [e for e in ends if e <= start]
    edges = [before[-1] if before else start] + [e for e in ends if start < e <= end] + [end]
    return max((Gap(a, b) for a, b in zip(edges, edges[1:])), key=lambda gap: gap.ms)


def time_of_losses(points: t.Sequence[Point], start: float, end: float) -> Gap:
    """From the last good answer before the first lost request to the first one after the last; without a lost one, as
    longest_gap.

    Where several nodes serve at once, one is lost, and the others answer all the time.
    """
    lost = [p.sent for p in points if not p.ok and start < p.ended <= end]
    if not lost:
        return longest_gap(good_ends(points), start, end)
    before = [p.ended for p in points if p.ok and p.ended <= min(lost)]
    after = [p.ended for p in points if p.ok and p.sent > max(lost) and p.ended <= end]
    return Gap(max(before, default=start), min(after, default=end))


def share_of(node: str, points: t.Iterable[Point]) -> float | None:
    """The part of the good answers that a node gave; None if none of them has a name."""
    named = [p.by for p in points if p.ok and p.by]
    return named.count(node) / len(named) if named else None


def split_brain(points: t.Iterable[Point]) -> Gap | None:
    """When clients got answers from two holders in turn.

    From the first answer by the new holder to the last one by the old. If the holder is the same in the end, another
    one may have had the address meanwhile. That counts only if the two took turns: when it got the address, or when it
    gave it back, whichever took longer; or all the time, if it never had it for longer than that by itself.
    """
    answers = sorted((p.sent, p.by) for p in points if p.ok and p.by)
    if not answers:
        return None
    first, last = answers[0][1], answers[-1][1]
    others = [sent for sent, by in answers if by != first]
    if first != last:
        old = [sent for sent, by in answers if by != last]
        return Gap(others[0], old[-1]) if others[0] < old[-1] else None
    firsts = [sent for sent, by in answers if by == first]
    if not others or not any(others[0] < sent < others[-1] for sent in firsts):
        return None
    turns = Gap(others[0], others[-1])
    between = [others[0], *(sent for sent in firsts if others[0] < sent < others[-1]), others[-1]]
    alone = max((Gap(*ends) for ends in zip(between, between[1:])), key=lambda span: span.ms)
    if alone.ms < turns.ms / 2:
        return turns
    return max(Gap(turns.start, alone.start), Gap(alone.end, turns.end), key=lambda span: span.ms)


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
    """The same without the names of hosts that answer side by side: these do not tell the holder of the address."""
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
    shared: bool = False,
) -> dict[str, t.Any]:
    """The observations of one client in one phase.

    pool: the hosts that answer side by side. shared: they are the nodes themselves, so that whoever asks loses only the
    share of a lost one.
    """
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

    def gap_in(start: float, end: float) -> Gap:
        return time_of_losses(points, start, end) if shared else longest_gap(ends, start, end)

    def well_at(end: float, part: t.Iterable[Point]) -> bool:
        """Whether there were good answers in the end, and only such where others answer for a lost node."""
        late = [p.ok for p in part if p.ended <= end and end - p.ended <= recording.timeout_ms]
        return all(late) if shared and late else any(late)

    gap = gap_in(0.0, max(fault_end, 0.0))
    last_good = max((e for e in ends if e <= fault_end), default=None)
    recovered = well_at(fault_end, during)
    if not recovered:
        gap = Gap(gap.start if shared or last_good is None else last_good, max(fault_end, 0.0))
    if phase.get("undecided") == "dropped" and phase.get("repaired_at"):
        repaired = clock.of_wall(phase["repaired_at"])
        # Nobody was to be answered before: clients wait from here on.
        gap = Gap(repaired, gap.end) if gap.start <= repaired < gap.end else gap
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
    if shared:
        share = share_of(phase["target"], before)
        exposed = sum(p.sent <= gap.end for p in during) if result["requests_lost"] else 0
        result["share"] = None if share is None else round(share, 3)
        result["share_requests"] = None if share is None else round(share * exposed)
    # What came after the record's end is not known.
    if failback is not None and recorded_until > failback:
        back_end = max(failback, min(end, recorded_until))
        result["failback_recovered"] = well_at(back_end, after)
        back = gap_in(failback, back_end)
        result.update(failback_gap_ms=ms(back.ms), failback_gap_from_ms=ms(back.start), failback_gap_to_ms=ms(back.end))
        result["failback_host_waits_ms"] = ms(host_waits_ms(recording, zero, back))
        result["failback_lost"] = sum(not p.ok for p in after)
        result["failback_in_flight"] = in_flight(after)
        result["failback_holder"] = next((p.by for p in sorted(held[2], key=lambda p: -p.ended) if p.ok and p.by), None)
    return result

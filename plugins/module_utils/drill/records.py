# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read the records of the prober and the agents: JSON lines to plain objects."""

from __future__ import annotations

import json
import typing as t


class RecordError(Exception):
    """A file cannot be used; the message names the file and the line."""


class Request(t.NamedTuple):
    """One request of the prober. Clocks in ns, took in ns."""

    wall: int
    mono: int
    took: int
    ok: bool
    by: str | None
    err: str | None

    @property
    def ended(self) -> int:
        return self.mono + self.took


class Sample(t.NamedTuple):
    """The client host's effect on the prober until then. The clock in ns, the rest in ms."""

    mono: int
    late: float  # by how much it was run too late at most, since the sample before
    busy: float | None  # for how long in all something on the host has waited for a processor


class Recording(t.NamedTuple):
    """One file of the prober; the requests in the order in which they were sent."""

    client: str
    url: str
    interval_ms: float
    timeout_ms: float
    skipped: int
    requests: list[Request]
    samples: t.Sequence[Sample] = ()


def read_lines(path: str, option: str) -> t.Iterator[tuple[int, dict[str, t.Any]]]:
    try:
        with open(path, encoding="utf-8") as stream:
            lines = stream.read().split("\n")
    except (OSError, UnicodeDecodeError) as exc:
        raise RecordError("%s: cannot read %s: %s" % (option, path, exc)) from exc
    for number, line in enumerate(lines, 1):
        if not line:
            continue
        try:
            value = json.loads(line)
            if not isinstance(value, dict):
                raise ValueError("not an object")
        except ValueError as exc:
            if number == len(lines):
                return  # the writer was killed in the middle of its last line
            raise RecordError("%s: %s, line %d is not a JSON object: %s" % (option, path, number, exc)) from exc
        yield number, value


def read_recording(path: str) -> Recording:
    head: dict[str, t.Any] = {}
    requests: list[Request] = []
    samples: list[Sample] = []
    skipped = 0
    for number, line in read_lines(path, "records"):
        try:
            if "prober" in line:
                head = line
            elif "summary" in line:
                skipped = line["summary"]["skipped"]
            elif "late" in line:
                busy = None if line["busy"] is None else line["busy"] / 1000
                samples.append(Sample(line["m"], line["late"] / 1000, busy))
            else:
                requests.append(Request(line["t"], line["m"], line["d"] * 1000, line["ok"], line["by"], line["err"]))
        except KeyError as exc:
            raise RecordError("records: %s, line %d has no %s" % (path, number, exc)) from exc
    if not head:
        raise RecordError("records: %s does not begin with the prober's first line; did the prober write it?" % path)
    requests.sort(key=lambda request: request.mono)
    return Recording(head["client"], head["url"], head["interval_ms"], head["timeout_ms"], skipped, requests, samples)


def read_events(paths: t.Iterable[str]) -> list[dict[str, t.Any]]:
    """All events in order of time, each once: logs may overlap."""
    events: dict[tuple[str, int, int], dict[str, t.Any]] = {}
    for path in paths:
        for number, event in read_lines(path, "events"):
            try:
                events[event["node"], event["seq"], event["wall_ns"]] = event
                event["event"]
            except KeyError as exc:
                raise RecordError("events: %s, line %d has no %s" % (path, number, exc)) from exc
    return sorted(events.values(), key=lambda event: (event["wall_ns"], event["node"], event["seq"]))

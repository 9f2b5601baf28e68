# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A first deployment on premises is killed at each of its tasks: the next run converges, and the third changes nothing.

Run as root: tests/run python bench/killed.py [MINUTES [BEGIN]]. What changes something comes first; all takes hours.
However many minutes there are, the moments are spread over the whole deployment. Writes bench/results/killed.md as it
goes. BEGIN: how many moments are in there already, and stay.
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests" / "system"), str(ROOT / "tests")]

from killed import Run, run  # noqa: E402
from pair import Pair, changes  # noqa: E402

from lab.lab import Lab  # noqa: E402

RESULT = ROOT / "bench" / "results" / "killed.md"
HEAD = """\
<!--
Copyright (c) 2026, the cloudha.vip contributors
GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
SPDX-License-Identifier: GPL-3.0-or-later
-->

# Deployments that were killed ({date})

A first deployment of `onprem_active_standby` in the lab, killed with all its processes by `make killed`
(`bench/killed.py`); then two more runs, to their ends. Each time the machines are as new. The first deployment has
{tasks} tasks, of which {changed} change something. {tried} moments were tried, and {well} ended well: the second run
passed, one node had the address, and the third run changed nothing.

| task | killed | its name | second run | nodes with the address | changes of the third run |
|---:|---|---|---|---:|---:|
"""
VIP = "192.168.7.246"
MIDDLE_MS = 150


def holders(pair: Pair) -> int:
    return sum(f" {VIP}/" in pair.ssh(node, "ip -oneline address show") for node in ("node1", "node2"))


def moments(first: Run) -> list[tuple[int, int]]:
    """The number of the task, and how long after it has begun. In and after what changes something, then the rest."""
    begins = [(number, 0) for number in range(2, len(first.tasks) + 1)]
    hot = [moment for number in first.changed for moment in ((number, MIDDLE_MS), (number + 1, 0))]
    return spread(hot) + spread([each for each in begins if each not in hot])


def spread(these: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """In an order of which every beginning is spread evenly over all of them."""
    golden = (5**0.5 - 1) / 2
    return [these[index] for index in sorted(range(len(these)), key=lambda index: index * golden % 1)]


def attempt(pair: Pair, at: int, after_ms: int) -> tuple[str, bool]:
    """The row of a moment, and whether it ended well."""
    killed = run(pair, pair.topology, at=at, after_ms=after_ms)
    when = f"{after_ms} ms after the begin" if after_ms else "at the begin"
    if killed.done.returncode == 0:
        when += " (it had ended)"
    second = pair.play(pair.topology)
    held = holders(pair)
    third = pair.play(pair.topology)
    changed = sum(changes(third.stdout).values())
    well = second.returncode == third.returncode == changed == 0 and held == 1
    if not well:
        for name, done in (("second", second), ("third", third)):
            (Path(tempfile.gettempdir()) / f"killed-{at}-{after_ms}-{name}.log").write_text(done.stdout + done.stderr)
    said = "passed" if second.returncode == 0 else "FAILED"
    return f"| {at} | {when} | {killed.tasks[-1]} | {said} | {held} | {changed} |\n", well


@contextlib.contextmanager
def fresh() -> Iterator[Pair]:
    """A pair on new machines."""
    lab = Lab("bench-killed")
    lab.up("onprem_active_standby")
    try:
        with tempfile.TemporaryDirectory() as scratch:
            yield Pair(lab, Path(scratch), "onprem_active_standby", VIP)
    finally:
        lab.down()


def main() -> None:
    deadline = time.monotonic() + float((sys.argv[1:] or ["600"])[0]) * 60
    begin = int((sys.argv[2:] or ["0"])[0])
    with fresh() as pair:
        first = run(pair, pair.topology)
        assert first.done.returncode == 0, first.done.stdout[-3000:]
    lines = RESULT.read_text().splitlines(keepends=True) if begin else []
    rows = [(line, "| passed | 1 | 0 |" in line) for line in lines if " the begin " in line]
    assert len(rows) == begin, f"{RESULT} has {len(rows)} moments"
    for at, after_ms in moments(first)[begin:]:
        if time.monotonic() > deadline:
            break
        with fresh() as pair:
            rows.append(attempt(pair, at, after_ms))
        print(rows[-1][0], end="", flush=True)
        well = sum(well for _row, well in rows)
        date = datetime.now(UTC).date().isoformat()
        head = HEAD.format(date=date, tasks=len(first.tasks), changed=len(first.changed), tried=len(rows), well=well)
        RESULT.write_text(head + "".join(sorted((row for row, _well in rows), key=lambda row: int(row.split()[1]))))
    sys.exit(any(not well for _row, well in rows))


if __name__ == "__main__":
    main()

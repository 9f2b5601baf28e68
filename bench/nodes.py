# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Nodes come and go in groups of two, three and five: what a client loses, and for how long two nodes hold the address.

Run as root: tests/run python bench/nodes.py [SIZE...]. Writes bench/results/nodes.md.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
import traceback
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests" / "system"), str(ROOT / "tests")]

from cases import DAILY  # noqa: E402
from nodes import TOPOLOGY, Nodes, Row  # noqa: E402

from lab.lab import Lab  # noqa: E402

RESULT = ROOT / "bench" / "results" / "nodes.md"
HEAD = """\
<!--
Copyright (c) 2026, the cloudha.vip contributors
GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
SPDX-License-Identifier: GPL-3.0-or-later
-->

# Nodes come and go

What each case of [roles/keepalived/README.md](../../roles/keepalived/README.md), "Nodes come and go", costs on the
lab's machines: the longest time between two good answers of a client during the whole run of the playbook, and the time
in which two nodes had the address, by their kernels' events. A split at the start counts from when it is ended.
One run each (`bench/nodes.py`), on a busy machine with {processors} processors; where nothing moves, the gap is its
scheduling.

| nodes | case | client's gap (ms) | two holders (ms) |
|---:|---|---:|---:|
"""


def measure(size: int) -> list[Row]:
    """The daily cases with a group of this size, each from where the one before left it."""
    lab = Lab(f"bench-nodes-{size}")
    lab.up(f"onprem_active_standby:{size + 1}")
    try:
        nodes = Nodes(lab, Path(tempfile.mkdtemp()), size)
        nodes.use(TOPOLOGY)
        for case in DAILY:
            try:
                case(nodes)
            except Exception:
                # What was measured so far is worth having; the rest begins from an unknown state.
                traceback.print_exc()
                break
        return nodes.rows
    finally:
        lab.down()


def main() -> None:
    sizes = list(map(int, sys.argv[1:] or ["2", "3", "5"]))
    for size in sizes:
        # After each size, as all of them take long; the rows of other sizes stay.
        new = [str(row) for row in measure(size)]
        rows = [line for line in RESULT.read_text().splitlines() if re.match(r"\| \d+ \|", line)]
        rows = [row for row in rows if not row.startswith(f"| {size} |")] + new
        rows.sort(key=lambda row: int(row.split()[1]))
        RESULT.write_text(HEAD.format(processors=os.cpu_count()) + "".join(f"{row}\n" for row in rows))


if __name__ == "__main__":
    main()

# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Draw the pictures of all recorded results again: after a change of the drawing, and with nothing measured anew."""

from __future__ import annotations

import importlib
import json

import contest

BARS = {"failover": lambda record: record} | {
    name: importlib.import_module(name).bars for name in ("gcp_route", "gcp_lb", "alias_ip", "havip")
}


def main() -> None:
    for name, bars in BARS.items():
        results = contest.HERE / "results"
        record = json.loads((results / f"{name}.json").read_text())
        (results / f"{name}.svg").write_text(contest.picture.alone(contest.picture.comparison(bars(record))))


if __name__ == "__main__":
    main()

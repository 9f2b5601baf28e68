# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Exchanges with a real Cloudpods identity and compute service, as they were recorded."""

from __future__ import annotations

import json
from pathlib import Path

EXCHANGES = {
    (each["scenario"], each["step"]): each
    for each in map(json.loads, Path(__file__).with_name("cloudpods.jsonl").read_text(encoding="utf-8").splitlines())
}


def request(scenario, step):
    """The recorded request: its line without a host, and its body."""
    asked = EXCHANGES[scenario, step]["request"]
    return f"{asked['method']} {asked['path']}", asked["body"]


def answer(scenario, step):
    """The recorded answer, as a Script gives it."""
    told = EXCHANGES[scenario, step]["response"]
    return told["status"], told["body"], {name.lower(): value for name, value in told["headers"].items()}

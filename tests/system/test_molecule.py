# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The molecule scenarios, run as their user runs them; each is a class, so that two of them can run at once."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

from commands import TESTS

ROOT = TESTS.parent
# For make molecule SCENARIO=… only. The directors of the first have kernels that are processes: a quarter of an hour of
# two processors. Of the others, test_onprem, test_gcp_route and test_gcp_alias run the same playbooks, and ask more.
LEFT_OUT = {"huawei_lvs_dr", "onprem_active_standby", "gcp_route_heartbeat", "gcp_alias_ip"}
SCENARIOS = sorted({path.parent.name for path in (ROOT / "extensions/molecule").glob("*/molecule.yml")} - LEFT_OUT)


def _test(scenario: str) -> Callable[[object], None]:
    def test(self: object) -> None:
        done = subprocess.run(
            ["molecule", "test", "-s", scenario],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=900,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-8000:]

    return test


for _scenario in SCENARIOS:
    _name = "Test" + _scenario.title().replace("_", "")
    globals()[_name] = type(_name, (), {"test_scenario": _test(_scenario)})

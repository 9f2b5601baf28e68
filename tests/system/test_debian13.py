# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The on-premises pair on Debian 13, whose keepalived, Python and nginx are newer than those of the other tests."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from busy import passed
from logs import kept
from pair import Pair, changes

from lab.lab import Lab

VIP = "192.168.7.246"
NODES = ("node1", "node2")
LEFT = "/etc/keepalived/keepalived.conf /etc/vip-agent /usr/local/lib/vip-agent /run/cloudha-vip /var/lib/cloudha-vip"
VERSIONS = "keepalived --version 2>&1; nginx -v 2>&1; python3 --version"


def test_it_is_deployed_serves_takes_a_fault_and_goes(lab_name: Callable[[str], str], tmp_path: Path) -> None:
    with kept(Lab(lab_name("trixie"))) as lab:
        lab.up("onprem_active_standby", suite="trixie")
        pair = Pair(lab, tmp_path, "onprem_active_standby", VIP)
        pair.deploy()
        assert changes(pair.deploy()) == dict.fromkeys(NODES, 0)
        for node in NODES:
            told = pair.ssh(node, VERSIONS)
            assert "Keepalived v2.3" in told and "nginx/1.26" in told and "Python 3.13" in told, told
            assert pair.ssh(node, "vip-agent status > /dev/null && systemctl is-active cloudha-vip-guard") == "active\n"
        with pair.client() as seen:
            pass
        assert len(seen.answered_by) == 1
        done = pair.play("switchover")
        assert done.returncode == 0, done.stdout[-3000:]
        # A busy machine is slow; how fast the pair is, is measured elsewhere.
        drill = {"drill_faults": ["keepalived_kill"], "drill_rto_ms": 5000, "drill_report_dir": str(tmp_path / "drill")}
        done = pair.play("drill", **drill)
        report = json.loads((tmp_path / "drill/report.json").read_text())
        passed(report)
        assert done.returncode == 0 and {each["split_brain_ms"] for each in report["faults"]} == {0}
        assert pair.status().returncode == 0
        done = pair.play("teardown")
        assert done.returncode == 0, done.stdout[-3000:]
        for node in NODES:
            assert pair.ssh(node, f"ls -d {LEFT} 2>/dev/null || true") == ""
            assert VIP not in pair.ssh(node, "ip -oneline address")

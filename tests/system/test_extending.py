# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The change in docs/extending.md is all that a new mechanism and a new topology need: each verb knows them."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from busy import passed
from extended import extended
from logs import kept
from pair import Pair, changes

from lab.lab import Lab

VIP = "192.168.7.246"


@pytest.fixture
def changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the collection with that change, which Ansible finds before this one."""
    above = tmp_path / "collections"
    copy = extended(above)
    monkeypatch.setenv("ANSIBLE_COLLECTIONS_PATH", f"{above}:{os.environ['ANSIBLE_COLLECTIONS_PATH']}")
    return copy


def test_each_verb_knows_a_new_mechanism(lab_name: Callable[[str], str], tmp_path: Path, changed: Path) -> None:
    def play(name: str, **variables: object) -> str:
        done = pair.play(f"{changed}/playbooks/{name}.yml", **variables)
        assert done.returncode == 0, done.stdout[-6000:] + done.stderr
        return done.stdout

    def holders() -> list[str]:
        return [node for node in ("node1", "node2") if VIP in pair.ssh(node, "ip -oneline address")]

    with kept(Lab(lab_name("toy"))) as lab:
        lab.up("onprem_active_standby")
        pair = Pair(lab, tmp_path, "by_hand", VIP)
        said = play("by_hand")
        assert re.search(r"node1 holds the address: client1 asked \S+, and got an answer", said), said[-3000:]
        assert changes(play("by_hand")) == {"node1": 0, "node2": 0}
        assert "node1 holds" in play("status")
        with pair.client() as seen:
            assert "moved from node1 to node2" in play("switchover")
        assert (seen.answered_by, seen.split_brain_ms, holders()) == ({"node1", "node2"}, 0, ["node2"])
        # A busy machine is slow; how long such a switchover takes, is of no interest here.
        play("drill", drill_rto_ms=5000, drill_report_dir=str(tmp_path / "drill"))
        report = json.loads((tmp_path / "drill/report.json").read_text())
        passed(report)
        assert [each["fault"] for each in report["faults"]] == ["planned_switchover"], "all that can be undone"
        assert report["topology"] == "by_hand" and report["faults"][0]["served"].keys() == {"node1", "node2"}
        assert holders() == ["node2"], "and back"
        play("teardown")
        assert holders() == []
        left = "ls -d /etc/nginx /etc/ansible /var/lib/cloudha-vip /run/cloudha-vip* 2>/dev/null || true"
        assert [pair.ssh(node, left) for node in ("node1", "node2")] == ["", ""]

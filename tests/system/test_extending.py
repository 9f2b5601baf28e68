# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The change in docs/extending.md is all that a new mechanism and a new topology need: each verb knows them."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from busy import passed
from logs import kept
from pair import ROOT, Pair, changes

from lab.lab import Lab

VIP = "192.168.7.246"


@pytest.fixture
def changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the collection with that change, which Ansible finds before this one."""
    above = tmp_path / "collections"
    copy = above / "ansible_collections/cloudha/vip"
    tracked = subprocess.run(["git", "-C", ROOT, "ls-files", "-z"], check=True, capture_output=True, text=True).stdout
    for name in filter(None, tracked.split("\0")):
        if (ROOT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, copy / name)
    (change,) = re.findall(r"^```diff\n(.*?)^```", (copy / "docs/extending.md").read_text(), re.DOTALL | re.MULTILINE)
    subprocess.run(["git", "apply", "--whitespace=error", "-"], cwd=copy, input=change, text=True, check=True)
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
        drill = {"drill_faults": ["planned_switchover"], "drill_lossless_ms": 5000}
        play("drill", **drill, drill_report_dir=str(tmp_path / "drill"))
        report = json.loads((tmp_path / "drill/report.json").read_text())
        passed(report)
        assert report["topology"] == "by_hand" and report["faults"][0]["served"].keys() == {"node1", "node2"}
        assert holders() == ["node2"], "and back"
        play("teardown")
        assert holders() == []
        left = "ls -d /etc/nginx /etc/ansible /var/lib/cloudha-vip /run/cloudha-vip* 2>/dev/null || true"
        assert [pair.ssh(node, left) for node in ("node1", "node2")] == ["", ""]

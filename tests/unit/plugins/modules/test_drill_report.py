# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json

import pytest
from ansible.module_utils.testing import patch_module_args

from ansible_collections.cloudha.vip.plugins.modules import drill_report
from ansible_collections.cloudha.vip.tests.unit.plugins.module_utils.drill.made_up import (
    lost,
    phase,
    recording,
    write_recording,
)


@pytest.fixture
def run(tmp_path, capsys):
    """Run the module as Ansible would, and return its result."""
    made = recording(lambda at: lost("refused") if 0 <= at < 152 else "node1")
    arguments = {
        "topology": "onprem_active_standby",
        "drill_id": "drill-1",
        "objective_ms": 1000,
        "phases": [{name: value for name, value in phase().items() if value is not None}],
        "records": [write_recording(made, tmp_path / "client1.jsonl")],
        "output_dir": str(tmp_path / "out"),
    }

    def run(**changes):
        with patch_module_args({**arguments, **changes}), pytest.raises(SystemExit) as ended:
            drill_report.main()
        result = json.loads(capsys.readouterr().out)
        assert ended.value.code == (1 if result.get("failed") else 0)
        return result

    return run


def test_reports(run, tmp_path):
    result = run()
    assert result["summary"]["verdict"] == "passed"
    assert result["summary"]["faults"]["service_kill"]["gap_ms"] == 156
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "junit.xml",
        "report-schema.json",
        "report.html",
        "report.json",
        "report.md",
    ]
    assert (result["changed"], run()["changed"]) == (True, False)


def test_check_mode(run, tmp_path):
    assert run(_ansible_check_mode=True)["changed"]
    assert not (tmp_path / "out").exists()


def test_a_missed_objective_is_a_result(run):
    result = run(objective_ms=100)
    assert result["summary"]["verdict"] == "failed"
    assert "failed" not in result


def test_an_unusable_record_is_an_error(run):
    assert run(records=["/no/such/file"])["msg"].startswith("records: cannot read /no/such/file: ")
    assert run(phases=[])["msg"] == "phases: nothing to report; give at least one phase"

# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs the modules for load balancers of Google Cloud against one in memory, where time costs nothing."""

from __future__ import annotations

import functools
import json

import pytest
from ansible.module_utils.testing import patch_module_args

from ansible_collections.cloudha.vip.plugins.module_utils.ansible import gcp_lb, run
from ansible_collections.cloudha.vip.plugins.module_utils.failover import engine
from ansible_collections.cloudha.vip.tests.unit.plugins.module_utils.failover import lb_cloud

OPTIONS = {
    "project": "p",
    "auth_kind": "accesstoken",
    "access_token": "sekret",
    "name": lb_cloud.NAME,
    "region": lb_cloud.REGION,
}
WHOLE = {
    "subnetwork": "subnet",
    "address": lb_cloud.IP,
    "groups": [
        {"name": "web-a", "zone": f"{lb_cloud.REGION}-a", "instances": ["node1"]},
        {"name": "web-b", "zone": f"{lb_cloud.REGION}-b", "instances": ["node2"], "failover": True},
    ],
}


def runner(module, there, monkeypatch, capsys):
    """A function that runs the module as Ansible would, and returns its result."""
    monkeypatch.setattr(gcp_lb, "client", lambda *_, **_watch: there)
    monkeypatch.setattr(run.time, "sleep", there.clock.sleep)
    monkeypatch.setattr(run.time, "monotonic", there.clock)
    quick = functools.partial(engine.apply, sleep=there.clock.sleep, clock=there.clock, chance=lambda: 0.5)
    monkeypatch.setattr(run.engine, "apply", quick)

    def run_module(**options):
        there.may_go_down = True
        arguments = {name: value for name, value in {**OPTIONS, **options}.items() if value is not None}
        with patch_module_args(arguments), pytest.raises(SystemExit) as ended:
            module.main()
        result = json.loads(capsys.readouterr().out)
        assert ended.value.code == (1 if result.get("failed") else 0), result
        assert "sekret" not in json.dumps(result)
        return result

    return run_module

# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.cloudha.vip.plugins.module_utils.base.errors import Unavailable
from ansible_collections.cloudha.vip.plugins.modules import gcp_passthrough_lb_info
from ansible_collections.cloudha.vip.tests.unit.plugins.module_utils.failover.lb_cloud import (
    GROUP_A,
    IP,
    REGION,
    SERVICE,
    A,
    B,
    Cloud,
    made,
)
from ansible_collections.cloudha.vip.tests.unit.plugins.modules.lb_run import runner


@pytest.fixture
def there():
    cloud = made(protocols=("TCP", "UDP"), ports=(53, 443), global_access=True)
    cloud.health = {A: "HEALTHY", B: "HEALTHY"}
    return cloud


@pytest.fixture
def run(there, monkeypatch, capsys):
    return runner(gcp_passthrough_lb_info, there, monkeypatch, capsys)


def test_tells_who_gets_the_connections(run, there):
    result = run()
    assert (result["changed"], result["exists"], result["address"], result["problems"]) == (False, True, IP, [])
    assert (result["holders"], result["active_pool"]) == ([A], "primary")
    assert result["rules"][0] == {
        "name": "web-tcp",
        "address": IP,
        "protocol": "tcp",
        "ports": [53, 443],
        "scheme": "internal",
        "global_access": True,
        "backend_service": f"{SERVICE}-tcp",
    }
    assert [rule["protocol"] for rule in result["rules"]] == ["tcp", "udp"]
    backend = {"instance": A, "zone": f"{REGION}-a", "group": GROUP_A, "failover": False, "health": "HEALTHY"}
    assert result["backends"][0] == {**backend, "active": True} and len(result["backends"]) == 2
    assert there.mutations == []


def test_an_obstacle(run, there):
    there.health[A] = "UNHEALTHY"
    result = run()
    assert (result["holders"], result["active_pool"]) == ([B], "failover")
    assert result["problems"] and not run(preflight=False)["problems"]


def test_there_is_none(monkeypatch, capsys):
    there = Cloud()
    result = runner(gcp_passthrough_lb_info, there, monkeypatch, capsys)()
    assert (result["exists"], result["address"], result["rules"], result["backends"]) == (False, None, [], [])
    assert result["active_pool"] == "none" and "nothing answers" in result["problems"][0]


def test_a_passing_failure_is_tried_again(run, there):
    left = [3]

    def fault(when, verb, path):
        if left[0]:
            left[0] -= 1
            raise Unavailable("not now", status=503)

    there.fault = fault
    assert run()["exists"] and left == [0]


def test_a_failure_that_lasts(run, there):
    def fault(when, verb, path):
        raise Unavailable("not now", status=503)

    there.fault = fault
    result = run(timeout=5)
    assert result["failed"] and "not now" in result["msg"]

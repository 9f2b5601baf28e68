# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs the modules for load balancers of Google Cloud against one in memory, where time costs nothing."""

from __future__ import annotations

from ansible_collections.cloudha.vip.plugins.module_utils.ansible import gcp_lb
from ansible_collections.cloudha.vip.tests.unit.plugins.module_utils.failover import lb_cloud
from ansible_collections.cloudha.vip.tests.unit.plugins.modules import gcp_run

OPTIONS = {**gcp_run.OPTIONS, "name": lb_cloud.NAME, "region": lb_cloud.REGION}
WHOLE = {
    "subnetwork": "subnet",
    "address": lb_cloud.IP,
    "groups": [
        {"name": "web-a", "zone": f"{lb_cloud.REGION}-a", "instances": ["node1"]},
        {"name": "web-b", "zone": f"{lb_cloud.REGION}-b", "instances": ["node2"], "failover": True},
    ],
}


def runner(module, there, monkeypatch, capsys):
    """See gcp_run.runner."""
    run_module = gcp_run.runner(module, there, monkeypatch, capsys, (gcp_lb, "client"), **OPTIONS)

    def may_go_down(**options):
        there.may_go_down = True
        return run_module(**options)

    return may_go_down

# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module for load balancers as processes of their own, which are killed, or at work at once."""

from __future__ import annotations

import signal

import pytest

from ansible_collections.cloudha.vip.tests.contract import lb_site
from ansible_collections.cloudha.vip.tests.contract.gcp_site import KillAtAChange
from ansible_collections.cloudha.vip.tests.contract.lb_site import GROUPS, REGION, WHOLE

one_site, site, made = lb_site.one_site, lb_site.site, lb_site.made  # fixtures

CHANGED = {
    **WHOLE,
    "ports": ["81"],
    "allow_replace": True,
    "exclusive": True,
    "groups": [GROUPS[0], {"name": "spare", "zone": f"{REGION}-a", "instances": ["spare"], "failover": True}],
    "health_check": {"port": 6000},
    "failover": {"ratio": 0.5},
}


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize(
    ("begin", "wanted", "changes"),
    [("forget", WHOLE, 9), ("made", CHANGED, 9), ("made", {"state": "absent"}, 7)],
    ids=["made", "changed", "taken away"],
)
def test_killed_at_every_change(site, begin, wanted, changes, moment):
    def start():
        getattr(site, begin)()
        site.behave(latency_s=0.02)

    start()
    steps = site.run(**wanted)["steps"]
    assert len(steps) == changes, steps
    expected = site.there()
    for number in range(1, changes + 1):
        start()
        hook = site.proxy.hook = KillAtAChange(site, number, moment)
        victim = hook.victim = site.start(**wanted)
        hook.armed.set()
        assert victim.process.wait(60) == -signal.SIGKILL, number
        # An operation that goes on all the same may be over by then, or not.
        result = site.run(**wanted)
        assert not result.get("failed"), (number, result)
        assert site.there() == expected, number
        assert not site.run(**wanted)["changed"]


def test_two_at_once(site):
    site.behave(latency_s=0.05)
    wanted = [{**WHOLE, "groups": [group]} for group in (GROUPS[0], {**GROUPS[1], "failover": False})]
    runs = [site.start(**options) for options in wanted]
    results = [run.result() for run in runs]
    assert all(not result.get("failed") for result in results), results
    assert {each.instance for each in site.services()[0].backends} == {"node1", "node2"}


def test_the_info_module(made):
    """And that both work as Ansible starts them."""
    made.probed(node1="HEALTHY", node2="HEALTHY")
    assert made.start(**WHOLE).result()["changed"] is False
    assert made.start("gcp_passthrough_lb_info", access_token="least-token").result()["active_pool"] == "primary"

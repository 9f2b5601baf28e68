# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module for autohealing groups as processes of their own, which are killed, or at work at once."""

from __future__ import annotations

import signal

import pytest
from busy import until

from ansible_collections.cloudha.vip.tests.contract import group_site
from ansible_collections.cloudha.vip.tests.contract.gcp_site import KillAtAChange
from ansible_collections.cloudha.vip.tests.contract.group_site import PAIR, WHOLE

site, made = group_site.site, group_site.made  # fixtures

CHANGED = {
    "image": "two",
    "instances": [{"name": "web1", "address": "10.100.7.8"}, {"name": "web3", "address": "10.100.7.3"}],
    "health_check": {"port": 6000},
    "exclusive": True,
}


def settled(site):
    """What there is, once nothing is under way."""
    until(lambda: not site.api.admin("GET", "/state")["operations"])
    kinds, members = site.kinds(), site.members() if "instanceGroupManagers" in site.kinds() else {}
    return kinds, {name: each["version"] for name, each in members.items()}, site.addresses()


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("wanted", [WHOLE, CHANGED, {"state": "absent"}], ids=["made", "changed", "taken away"])
def test_killed_at_every_change(site, wanted, moment):
    def start():
        site.proxy.hook = lambda *_: None
        assert not site.run(state="absent").get("failed")
        if wanted is not WHOLE:
            assert not site.run(**WHOLE).get("failed")
        site.proxy.requests.clear()

    start()
    steps = site.run(**wanted)["steps"]
    assert len(steps) >= 6
    expected = settled(site)
    for number in range(1, len(steps) + 1):
        start()
        hook = site.proxy.hook = KillAtAChange(site, number, moment)
        victim = hook.victim = site.start(**wanted)
        hook.armed.set()
        assert victim.process.wait(120) == -signal.SIGKILL, number
        # An operation that goes on all the same may be over by then, or not.
        result = site.run(**wanted)
        assert not result.get("failed"), (number, result["msg"])
        assert settled(site) == expected, number
        assert not site.run(**wanted)["changed"]


def test_two_at_once(site):
    site.behave(latency_s=0.05)
    runs = [site.start(**{**WHOLE, "instances": [each]}) for each in PAIR]
    results = [run.result() for run in runs]
    assert all(not result.get("failed") for result in results), results
    assert site.healthy() == {"web1", "web2"}
    runs = [site.start(image="two") for _each in range(2)]
    results = [run.result() for run in runs]
    assert all(not result.get("failed") for result in results), results
    assert site.images() == {"web1": "two", "web2": "two"}


def test_the_info_module(made):
    """And that both work as Ansible starts them."""
    assert made.start(**WHOLE).result()["changed"] is False
    assert made.start("gcp_autohealing_group_info", access_token="least-token").result()["is_stable"] is True

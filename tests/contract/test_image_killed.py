# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module for images as processes of their own, which are killed, or at work at once."""

from __future__ import annotations

import signal

import pytest

from ansible_collections.cloudha.vip.tests.contract import image_site
from ansible_collections.cloudha.vip.tests.contract.gcp_site import KillAtAChange, forget_environment
from ansible_collections.cloudha.vip.tests.contract.image_site import ABSENT, BUILD, NAME, PRESENT, a_site

site = image_site.site  # fixture

MADE = ({NAME: "READY"}, {}, [])
LATENCY = 0.3  # so that an operation goes on when its module is gone


def nothing(site):
    pass


def builds(site):
    site.run(**BUILD)


def made_otherwise(site):
    site.run(**BUILD, machine_type="n1-standard-1")


def made(site):
    site.made()


CASES = {
    "from nothing": (nothing, BUILD, 1),
    "made otherwise": (made_otherwise, BUILD, 2),
    "captured": (builds, PRESENT, 3),
    "a builder taken away": (builds, ABSENT, 1),
    "taken away": (made, ABSENT, 1),
}


@pytest.fixture(autouse=True)
def no_environment(monkeypatch):
    forget_environment(monkeypatch)


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("case", CASES)
def test_killed_at_every_change(case, moment):
    begin, wanted, changes = CASES[case]
    for number in range(1, changes + 1):
        with a_site() as site:
            begin(site)
            site.behave(latency_s=LATENCY)
            hook = site.proxy.hook = KillAtAChange(site, number, moment)
            victim = hook.victim = site.start(**wanted)
            hook.armed.set()
            assert victim.process.wait(60) == -signal.SIGKILL, number
            site.behave(latency_s=0.02)
            # All of it again, whatever was killed.
            for again in [ABSENT] if wanted is ABSENT else [BUILD, PRESENT]:
                result = site.run(**again)
                assert not result.get("failed"), (number, result)
            assert site.there() == (({}, {}, []) if wanted is ABSENT else MADE), number
            site.api.requests.clear()
            assert not site.run(**wanted)["changed"] and site.mutations() == []


@pytest.mark.parametrize("wanted", [BUILD, PRESENT, ABSENT], ids=lambda each: each["state"])
def test_two_at_once(site, wanted):
    """Neither fails, and nothing is made twice."""
    if wanted is not BUILD:
        site.run(**BUILD)
    site.behave(latency_s=LATENCY)
    runs = [site.start(**wanted) for _each in range(2)]
    results = [run.result() for run in runs]
    assert all(not each.get("failed") for each in results), results
    site.behave(latency_s=0.02)
    if wanted is BUILD:
        assert len({each["builder"]["id"] for each in results}) == 1
        assert not site.run(**BUILD)["changed"]
    else:
        assert site.there() == (({}, {}, []) if wanted is ABSENT else MADE)


def test_the_info_module(site):
    """And that both work as Ansible starts them."""
    site.made()
    assert site.start(**BUILD).result()["changed"] is False
    found = site.start("gcp_image_info", name=None, zone=None, access_token="least-token").result()
    assert [each["name"] for each in found["images"]] == [NAME]

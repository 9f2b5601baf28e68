# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.cloudha.vip.plugins.filter.local_address_problems import FilterModule

problems = FilterModule().filters()["local_address_problems"]


@pytest.mark.parametrize("address", ["10.200.1.1", "10.200.1.1/32", "fd00::1", "fd00::1/128"])
def test_nothing_to_complain_about(address):
    assert problems([address], {"lo": ["127.0.0.1/8", address], "eth0": ["10.100.2.1/32"]}) == []


@pytest.mark.parametrize(
    ("addresses", "says"),
    [
        ([], "there is none"),
        (["10.200.1.300"], "'10.200.1.300' is not an address"),
        ([None], "'None' is not an address"),
        (["10.200.1.1/24"], "write 10.200.1.1/32"),
        (["fd00::1/64"], "write fd00::1/128"),
        (["FD00:0::1"], "FD00:0::1 is written fd00::1"),
        (["127.0.0.2"], "127.0.0.2 is in 127.0.0.0/8 (each host's own loopback), where no client reaches a host"),
        (["169.254.1.1"], "169.254.1.1 is in 169.254.0.0/16 (link-local)"),
        (["::1"], "::1 is in ::/127"),
        (["10.100.2.1"], "10.100.2.1 is on eth0 already"),
        (["10.200.1.1", "10.200.1.1"], "10.200.1.1 is listed 2 times"),
    ],
)
def test_what_cannot_work(addresses, says):
    (problem,) = problems(addresses, {"lo": ["127.0.0.1/8"], "eth0": ["10.100.2.1/32"]})
    assert problem.startswith("local_address_addresses: ") and says in problem

# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.cloudha.vip.plugins.module_utils.keepalived.timers import least_detection_ms, timers


@pytest.mark.parametrize(
    ("objective_ms", "priorities", "version", "advert_int_s", "worst_ms"),
    [
        (900, [254, 253], 3, 0.29, 874),
        (900, [150, 100], 3, 0.24, 867),
        (31, [254], 3, 0.01, 31),
        (4000, [254, 253], 2, 1, 3012),
        (6012, [253], 2, 2, 6012),
        (6011, [253], 2, 1, 3012),
        (10**9, [1], 3, 40.95, 163641),
        (10**9, [254], 2, 255, 765008),
    ],
)
def test_longest_interval_that_meets_the_objective(objective_ms, priorities, version, advert_int_s, worst_ms):
    assert timers(objective_ms, priorities, version) == {"advert_int_s": advert_int_s, "worst_detection_ms": worst_ms}


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("lowest", [1, 100, 253, 254])
def test_never_worse_than_the_objective_and_one_step_more_would_be(lowest, version):
    step_s = {2: 1, 3: 0.01}[version]
    for objective_ms in range(least_detection_ms(lowest, version), 12000, 97):
        answer = timers(objective_ms, [254, lowest], version)
        assert answer["worst_detection_ms"] <= objective_ms
        longer_s = answer["advert_int_s"] + step_s
        skew_of_s = longer_s if version == 3 else 1
        assert 1000 * (3 * longer_s + skew_of_s * (256 - lowest) / 256) > objective_ms


@pytest.mark.parametrize(("version", "least"), [(2, "3012 ms, or version 3"), (3, "31 ms")])
def test_too_fast_for_vrrp_says_what_it_can_do(version, least):
    with pytest.raises(ValueError, match=f"use at least {least}"):
        timers(30, [254, 253], version)
    timers(least_detection_ms(253, version), [254, 253], version)


def test_unknown_version():
    with pytest.raises(ValueError, match="use 2 or 3"):
        timers(900, [254], 4)

# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The active pool, by the rules that Google publishes."""

from __future__ import annotations

import pytest

from ansible_collections.cloudha.vip.plugins.module_utils.failover.lb_pool import Backend, active_pool

STATES = {"+": "HEALTHY", "-": "UNHEALTHY", "?": "UNKNOWN"}


def backends(primaries, backups=""):
    return [
        Backend(f"{kind}{number}", kind, kind == "b", STATES[state])
        for kind, states in (("p", primaries), ("b", backups))
        for number, state in enumerate(states)
    ]


@pytest.mark.parametrize(
    ("primaries", "backups", "ratio", "drop", "name", "active"),
    [
        # Without a backup, the healthy ones; without a healthy one, all of them, whatever the policy is.
        ("++", "", 0, False, "primary", "p0 p1"),
        ("+-", "", 0, False, "primary", "p0"),
        ("--", "", 0, False, "all_unhealthy_primaries", "p0 p1"),
        ("--", "", 0, True, "all_unhealthy_primaries", "p0 p1"),
        ("??", "", 0, False, "all_unhealthy_primaries", "p0 p1"),
        ("", "", 0, False, "none", ""),
        # Ratio 0: the backups, when no primary is healthy.
        ("++", "++", 0, False, "primary", "p0 p1"),
        ("+---", "+", 0, False, "primary", "p0"),
        ("--", "++", 0, False, "failover", "b0 b1"),
        ("--", "+-", 0, False, "failover", "b0"),
        # Else when too few of them are.
        ("++--", "++", 0.5, False, "primary", "p0 p1"),
        ("+---", "++", 0.5, False, "failover", "b0 b1"),
        ("++-", "+", 1, False, "failover", "b0"),
        ("+++-------", "+", 0.3, False, "primary", "p0 p1 p2"),
        ("++--------", "+", 0.3, False, "failover", "b0"),
        # Too few, and no backup either: those that there are.
        ("+---", "--", 0.5, False, "primary", "p0"),
        ("+---", "--", 0.5, True, "primary", "p0"),
        # Nobody is healthy.
        ("--", "--", 0, False, "all_unhealthy_primaries", "p0 p1"),
        ("--", "--", 0, True, "none", ""),
        ("-?", "??", 0.5, True, "none", ""),
        # Only backups, which the module does not make.
        ("", "++", 0, False, "failover", "b0 b1"),
        ("", "--", 0, False, "none", ""),
    ],
)
def test_who_gets_new_connections(primaries, backups, ratio, drop, name, active):
    pool = active_pool(backends(primaries, backups), ratio, drop)
    assert (pool.name, " ".join(each.instance for each in pool.active)) == (name, active)

# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.cloudha.vip.plugins.filter import health_check_late, health_check_scripts

late = health_check_late.FilterModule().filters()["health_check_late"]
scripts = health_check_scripts.FilterModule().filters()["health_check_scripts"]


@pytest.mark.parametrize(
    ("check", "refused"),
    [
        ({"url": "http://127.0.0.1/"}, False),
        ({"url": "http://127.0.0.1/", "timeout_ms": 999}, False),
        ({"url": "http://127.0.0.1/", "timeout_ms": 1000}, True),
        ({"tcp": "127.0.0.1:80", "timeout_ms": 1500, "timeout": 2}, False),
        # Without native types of Jinja, a number is a text.
        ({"tcp": "127.0.0.1:80", "timeout_ms": "2000", "timeout": "2"}, True),
        ({"tcp": "127.0.0.1:80", "timeout_ms": 1, "timeout": 0.5}, True),
        ({"process": "nginx", "timeout_ms": 9000}, False),
    ],
)
def test_a_check_that_keepalived_would_end_too_soon_is_named(check, refused):
    assert late([{"name": "web", **check}]) == (["web"] if refused else [])


def test_a_check_that_is_none_is_left_to_the_check_of_values():
    assert late(["name=web url=http://127.0.0.1/"]) == []


def test_a_script_has_the_arguments_of_its_check_and_nothing_of_them_is_the_shells():
    made = scripts(
        [
            {"restart": "nginx", "status": 200, "url": "http://127.0.0.1/a?b=$(reboot)", "name": "web", "fall": 3},
            {"name": "disk", "process": "a b", "interval": "5", "weight": -10},
        ],
        "checker",
    )
    assert made == [
        {
            "name": "web",
            "script": "/usr/local/sbin/vip-health-check name=web 'url=http://127.0.0.1/a?b=$(reboot)' status=200 "
            "restart=nginx",
            "user": "checker",
            "interval": 1,
            "timeout": 1,
            "rise": 2,
            "fall": 3,
            "weight": 0,
            "init_fail": True,
        },
        {
            "name": "disk",
            "script": "/usr/local/sbin/vip-health-check name=disk 'process=a b'",
            "user": "checker",
            "interval": "5",
            "timeout": 1,
            "rise": 2,
            "fall": 2,
            "weight": -10,
            "init_fail": True,
        },
    ]

# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from ansible_collections.cloudha.vip.plugins.filter.vip_agent_problems import FilterModule

problems = FilterModule().filters()["vip_agent_problems"]


def test_problems_name_the_variable_of_the_role():
    assert problems({"checks": [{"name": "web", "type": "tcp", "port": 70000}]}) == [
        "vip_agent_checks[0].port: must be from 1 to 65535, not 70000"
    ]


def test_problems_of_an_action():
    action = {"type": "gcp_route", "instance": "VI_2", "name": "r", "destination": "10.200.1.1", "network": "n"}
    assert problems({"instances": [{"name": "VI_1"}], "actions": [action]}) == [
        "vip_agent_actions[0].destination: must be an IPv4 range with its length and no bits beyond that, "
        "such as 10.200.1.1/32, not '10.200.1.1'",
        "vip_agent_actions[0].instance: 'VI_2' is none of the instances: VI_1",
    ]


def test_no_problem():
    assert problems({"checks": [{"name": "web", "type": "tcp", "port": 80}]}) == []
